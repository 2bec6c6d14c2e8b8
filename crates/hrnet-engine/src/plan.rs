//! A frozen plan: which kernels run in which order on which parts of the arena, for one input shape.

use crate::error::PlanError;
use crate::layout::{self, Layout};
use crate::lower::Step;
use crate::memory;
use crate::pack::{Layer, Lowered};
use crate::step::StepOp;
use crate::waves::{self, Order, Segment};
use hrnet_ir::{Tensor, summary};
use hrnet_kernels::{ConvCase, Isa, Job, JobOp, MapLayout, Origin, Place, Shape, Sum, Wave, algorithm};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A part of the arena that holds a value of all images, or (then of one image only) serves all images in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) shape: Shape,
    pub(crate) layout: Layout,
}

impl Region {
    /// Floats from one image to the next; 0 where one place serves all.
    fn step(&self) -> usize {
        if self.shape.n == 1 { 0 } else { self.len / self.shape.n }
    }

    /// The part of one image, if one is asked for.
    pub(crate) fn of(&self, image: Option<usize>) -> Region {
        let Some(image) = image else { return *self };
        let shape = Shape { n: 1, ..self.shape };
        Region { start: self.start + image * self.step(), len: self.len / self.shape.n, shape, ..*self }
    }

    fn origin(&self, by_image: bool) -> Origin {
        Origin { start: self.start, step: if by_image { self.step() } else { 0 } }
    }
}

/// A step on its regions.
#[derive(Clone, Debug)]
pub(crate) struct PlannedStep {
    pub(crate) name: String,
    pub(crate) op: StepOp<Region>,
    pub(crate) dst: Option<Region>,
    pub(crate) clear_border: bool,
    pub(crate) macs: u64,
}

/// A result of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOutput {
    /// Its name.
    pub name: String,
    /// `[n, c, h, w]`.
    pub shape: [usize; 4],
}

/// Steps that run side by side.
pub(crate) struct PlannedWave {
    pub(crate) steps: Range<usize>,
    /// Its jobs are the steps; nothing for a step that is no job.
    pub(crate) jobs: Option<Wave>,
}

/// Everything decided before the first image: made by [`crate::Engine::plan`], shared by any number of sessions.
pub struct Plan {
    isa: Isa,
    pub(crate) input: [usize; 4],
    /// In the order of the waves.
    pub(crate) steps: Vec<PlannedStep>,
    pub(crate) waves: Vec<PlannedWave>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) layers: Vec<Arc<Layer>>,
    /// The sums of steps.
    sums: Vec<Option<Arc<Sum>>>,
    pub(crate) outputs: Vec<PlanOutput>,
    pub(crate) arena_len: usize,
    #[cfg(test)]
    pub(crate) buffers: Vec<memory::Buffer>,
}

/// The part of a plan that needs no weights.
pub(crate) struct Draft {
    isa: Isa,
    input: [usize; 4],
    steps: Vec<PlannedStep>,
    order: Order,
    /// For each layer that is a convolution, the convolution with its map size.
    pub(crate) cases: Vec<Option<ConvCase>>,
    outputs: Vec<PlanOutput>,
    arena_len: usize,
    #[cfg(test)]
    buffers: Vec<memory::Buffer>,
}

impl Draft {
    pub(crate) fn new(lowered: &Lowered, input: [usize; 4], limit: usize) -> Result<Self, PlanError> {
        let net = &lowered.net;
        let net_shapes = net.shapes(input)?;
        let mut program = lowered.program.clone();
        let cases = cases(lowered, &net_shapes);
        let layouts = layout::assign(&mut program, |layer| {
            cases[layer].map_or(MapLayout::Blocked, |case| algorithm(&case, lowered.isa).layout())
        });
        let (mut shapes, mut lens) = (Vec::new(), Vec::new());
        for (&node, layout) in program.values.iter().zip(&layouts) {
            let [n, c, h, w] = net_shapes[node];
            let shape = Shape { n, c, h, w };
            let len = layout.checked_len(shape);
            let too_large =
                || PlanError::TooLarge { node: net.nodes()[node].name.clone(), shape: net_shapes[node] };
            lens.push(len.filter(|&len| len <= isize::MAX as usize / 8).ok_or_else(too_large)?);
            shapes.push(shape);
        }
        let order = waves::sort(&mut program, |step| by_image(lowered, &cases, step, input[0], &lens));
        let memory = memory::plan(&program, &order, &layouts, &shapes, &lens);
        let memory = memory.ok_or_else(|| PlanError::TooLarge { node: "arena".into(), shape: input })?;
        let needed = memory.len.saturating_mul(size_of::<f32>());
        let limit = limit.min(MOST_BYTES);
        if needed > limit {
            return Err(PlanError::Limit { input, needed, limit });
        }
        let region = |v: usize| {
            let memory::Buffer { offset: start, shape, .. } = memory.buffers[memory.buffer_of[v]];
            Region { start, len: lens[v] / shapes[v].n * shape.n, shape, layout: layouts[v] }
        };
        let steps = program.steps.iter().zip(&memory.clear_border).map(|(step, &clear_border)| {
            let node = &net.nodes()[step.node];
            let computes = matches!(
                step.op,
                StepOp::Conv { .. }
                    | StepOp::ConvTranspose { .. }
                    | StepOp::Linear { .. }
                    | StepOp::RegionGather { .. }
                    | StepOp::RegionAttend { .. }
            );
            let macs = match computes {
                true => summary::node_macs(node, net_shapes[step.node], |v| net_shapes[v.index()]),
                false => 0,
            };
            let op = step.op.map(|&v| region(v));
            let name = match op {
                StepOp::Output { index, .. } => format!("output.{}", net.outputs()[index].name),
                _ => node.name.clone(),
            };
            PlannedStep { name, op, dst: step.dst.map(region), clear_border, macs }
        });
        Ok(Self {
            isa: lowered.isa,
            input,
            steps: steps.collect(),
            order,
            cases,
            outputs: net
                .outputs()
                .iter()
                .map(|o| PlanOutput { name: o.name.clone(), shape: net_shapes[o.value.index()] })
                .collect(),
            arena_len: memory.len,
            #[cfg(test)]
            buffers: memory.buffers,
        })
    }
}

impl Draft {
    pub(crate) fn arena_bytes(&self) -> usize {
        self.arena_len * size_of::<f32>()
    }
}

/// For each layer that is a convolution, the convolution with its map size.
fn cases(lowered: &Lowered, net_shapes: &[[usize; 4]]) -> Vec<Option<ConvCase>> {
    let mut cases = vec![None; lowered.program.layers.len()];
    for step in &lowered.program.steps {
        if let StepOp::Conv { layer, src, .. } = &step.op {
            let [_, _, ih, iw] = net_shapes[lowered.program.values[*src]];
            cases[*layer] = lowered.desc(*layer).map(|desc| ConvCase { desc, ih, iw });
        }
    }
    cases
}

/// The largest arena whatever the limit: a terabyte. Cutting larger work into tasks would take long before the allocator
/// refuses it.
const MOST_BYTES: usize = if usize::BITS >= 64 { 1 << 40 } else { usize::MAX };

/// Whether a step of a batch runs image by image: activations that all images together move are at least this many times
/// the weights that every image would read again. (A matter of speed only: it changes no bit.)
const BY_IMAGE: usize = 4;

fn by_image(
    lowered: &Lowered,
    cases: &[Option<ConvCase>],
    step: &Step,
    images: usize,
    lens: &[usize],
) -> bool {
    if images == 1 {
        return false;
    }
    let weights = match step.op {
        StepOp::Conv { layer, .. } => {
            cases[layer].map_or(0, |case| algorithm(&case, lowered.isa).packed_floats(&case.desc))
        }
        StepOp::ConvTranspose { layer, .. } | StepOp::Linear { layer, .. } => lowered.weight_floats(layer),
        _ => 0,
    };
    let mut moved = step.dst.map_or(0, |dst| lens[dst]);
    step.op.each_read(|&v| moved = moved.saturating_add(lens[v]));
    moved > BY_IMAGE.saturating_mul(weights)
}

/// A step as the job of a wave, of one image if the wave runs image by image.
fn job(
    isa: Isa,
    step: &PlannedStep,
    layers: &[Arc<Layer>],
    sum: Option<&Arc<Sum>>,
    by_image: bool,
) -> Option<Job> {
    let origin = |r: &Region| r.origin(by_image);
    let place = |r: &Region| {
        let (Origin { start, step }, shape) = (origin(r), r.of(by_image.then_some(0)).shape);
        r.layout.map().map(|layout| Place { start, step, shape, layout })
    };
    let op = match &step.op {
        StepOp::Conv { layer, src, .. } => match &*layers[*layer] {
            Layer::Conv(conv) => JobOp::Conv { conv: Arc::clone(conv), src: place(src)? },
            _ => unreachable!("lowered from a convolution"),
        },
        StepOp::ConvTranspose { layer, src, .. } => match &*layers[*layer] {
            Layer::ConvTranspose(conv) => JobOp::ConvTranspose { conv: Arc::clone(conv), src: place(src)? },
            _ => unreachable!("lowered from a transposed convolution"),
        },
        StepOp::Sum { terms, .. } => {
            JobOp::Sum { sum: Arc::clone(sum?), srcs: terms.iter().map(|(src, _)| origin(src)).collect() }
        }
        StepOp::ToPlanar { src } | StepOp::FromPlanar { src } => JobOp::Convert { isa, src: place(src)? },
        _ => return None,
    };
    Some(Job {
        op,
        dst: place(step.dst.as_ref()?)?,
        addend: step.op.addend().map(origin),
        relu: step.op.relu(),
        clear_border: step.clear_border,
    })
}

impl Plan {
    /// A draft with its packed layers, balanced for `threads` threads.
    pub(crate) fn new(draft: Draft, layers: Vec<Arc<Layer>>, threads: usize) -> Self {
        let Draft { isa, input, steps, order, outputs, arena_len, .. } = draft;
        let Order { waves: ranges, segments } = order;
        let sum = |step: &PlannedStep, by_image: bool| match (&step.op, step.dst) {
            (StepOp::Sum { terms, .. }, Some(dst)) => {
                let shape = |r: &Region| r.of(by_image.then_some(0)).shape;
                let terms: Vec<_> = terms.iter().map(|(src, resize)| (shape(src), *resize)).collect();
                Some(Arc::new(Sum::new(isa, shape(&dst), &terms)))
            }
            _ => None,
        };
        let (mut sums, mut waves) = (Vec::with_capacity(steps.len()), Vec::with_capacity(ranges.len()));
        for Segment { waves: of_segment, by_image } in &segments {
            let by_image = *by_image;
            let images = if by_image { input[0] } else { 1 };
            for range in &ranges[of_segment.clone()] {
                sums.extend(steps[range.clone()].iter().map(|step| sum(step, by_image)));
                let job = |i: usize| job(isa, &steps[i], &layers, sums[i].as_ref(), by_image);
                let jobs: Option<Vec<Job>> = range.clone().map(job).collect();
                let jobs = jobs.map(|jobs| {
                    let wave = Wave::by_image(jobs, images, arena_len, threads);
                    wave.expect("what is alive in one wave lies apart")
                });
                waves.push(PlannedWave { steps: range.clone(), jobs });
            }
        }
        Self {
            isa,
            input,
            waves,
            segments,
            steps,
            layers,
            sums,
            outputs,
            arena_len,
            #[cfg(test)]
            buffers: draft.buffers,
        }
    }

    /// The input shape `[n, 3, h, w]`.
    pub fn input_shape(&self) -> [usize; 4] {
        self.input
    }

    /// The results in the order of the network.
    pub fn outputs(&self) -> &[PlanOutput] {
        &self.outputs
    }

    /// Tensors that fit [`crate::Session::run_into`].
    pub fn output_tensors(&self) -> Vec<Tensor> {
        self.outputs.iter().map(|o| Tensor::zeros(o.shape)).collect()
    }

    /// The instruction set of its kernels.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Kernel calls per run.
    pub fn step_count(&self) -> usize {
        self.steps.len()
    }

    /// Waves of the plan.
    pub fn wave_count(&self) -> usize {
        self.waves.len()
    }

    /// Each segment of a run with the number of its passes, each over the images that it names (`None`: all of them).
    pub(crate) fn passes(&self) -> impl Iterator<Item = (Option<usize>, &[PlannedWave])> {
        self.segments.iter().flat_map(move |Segment { waves, by_image }| {
            let passes = if *by_image { self.input[0] } else { 1 };
            (0..passes).map(move |pass| (by_image.then_some(pass), &self.waves[waves.clone()]))
        })
    }

    /// Bytes of working memory of each session.
    pub fn arena_bytes(&self) -> usize {
        self.arena_len * size_of::<f32>()
    }

    /// Steps that only change the layout, input and outputs included.
    pub fn reorders(&self) -> usize {
        self.steps.iter().filter(|s| layout::reorders(&s.op, |r| r.layout)).count()
    }

    /// Steps that clear a border before they write.
    pub fn cleared_borders(&self) -> usize {
        self.steps.iter().filter(|s| s.clear_border).count()
    }

    /// Multiply-accumulates of one run.
    pub fn macs(&self) -> u64 {
        self.steps.iter().map(|s| s.macs).sum()
    }

    /// The kernel that a step calls.
    pub(crate) fn kernel_name(&self, index: usize) -> String {
        let step = &self.steps[index];
        match &step.op {
            StepOp::Conv { layer, .. } | StepOp::ConvTranspose { layer, .. } => match &*self.layers[*layer] {
                Layer::Conv(conv) => conv.kernel_name(),
                Layer::ConvTranspose(conv) => conv.kernel_name(),
                Layer::Linear { .. } => unreachable!("a linear layer has its own step"),
            },
            StepOp::Sum { .. } => self.sums[index].as_ref().map_or_else(String::new, |sum| sum.kernel_name()),
            StepOp::Input | StepOp::ToBlocked { .. } => "to_blocked".into(),
            StepOp::ToPlanar { .. } => "to_planar".into(),
            StepOp::FromPlanar { .. } => "from_planar".into(),
            StepOp::Concat { .. } => "concat".into(),
            StepOp::AvgPool { size, .. } => format!("avg_pool_{size}"),
            StepOp::MaxPool { size, .. } => format!("max_pool_{size}"),
            StepOp::GlobalAvgPool { .. } => "global_avg_pool".into(),
            StepOp::Linear { .. } => "linear".into(),
            StepOp::RegionGather { .. } => "region_gather".into(),
            StepOp::RegionAttend { .. } => "region_attend".into(),
            StepOp::ToPlain { .. } => "from_blocked".into(),
            StepOp::Output { src, .. } => match src.layout {
                Layout::Blocked => "from_blocked".into(),
                Layout::Planar => unreachable!("outputs are read blocked or plain"),
                Layout::Plain => "copy".into(),
            },
        }
    }

    /// The convolution of a step as `hrnet bench` reads it.
    pub(crate) fn conv_case(&self, step: &PlannedStep) -> Option<ConvCase> {
        let StepOp::Conv { layer, src, .. } = &step.op else { return None };
        match &*self.layers[*layer] {
            Layer::Conv(conv) => Some(ConvCase { desc: conv.desc(), ih: src.shape.h, iw: src.shape.w }),
            _ => None,
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { n, c, h, w } = self.shape;
        write!(f, "@{} {n}x{c}x{h}x{w}", self.start)
    }
}

impl fmt::Display for Plan {
    /// One line per step: number, node, kernel, what it reads, what it writes, flags. A line `wave` stands before the
    /// steps that run side by side; other steps run alone. `@` is the offset in the arena in floats. If there are
    /// several segments, a line stands before each; `1x...` in one that runs image by image is a place that serves all
    /// images in turn.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [n, c, h, w] = self.input;
        writeln!(
            f,
            "plan for {n}x{c}x{h}x{w}, isa {}, {} steps in {} waves, {} reorders, {} cleared borders, {} MACs, arena {} floats",
            self.isa(),
            self.steps.len(),
            self.waves.len(),
            self.reorders(),
            self.cleared_borders(),
            self.macs(),
            self.arena_len
        )?;
        for (i, step) in self.steps.iter().enumerate() {
            let starts = |s: &&Segment| self.waves[s.waves.start].steps.start == i;
            if let Some(Segment { waves, by_image }) = self.segments.iter().find(starts)
                && n > 1
            {
                let how = if *by_image { "image by image" } else { "together" };
                writeln!(f, "   segment of {} waves, {how}", waves.len())?;
            }
            if let Some(wave) = self.waves.iter().position(|w| w.steps.start == i && w.steps.len() > 1) {
                writeln!(f, "     wave {wave} of {} steps", self.waves[wave].steps.len())?;
            }
            write!(f, "{i:4} {:<40} {:<28}", step.name, self.kernel_name(i))?;
            let mut reads = Vec::new();
            step.op.each_read(|r| reads.push(*r));
            let addend = step.op.addend();
            if addend.is_some() {
                reads.pop();
            }
            reads.iter().try_for_each(|r| write!(f, " {r}"))?;
            if let Some(dst) = step.dst {
                write!(f, " -> {dst}")?;
                match addend {
                    Some(a) if a.start == dst.start => write!(f, " +in_place")?,
                    Some(a) => write!(f, " +@{}", a.start)?,
                    None => {}
                }
            }
            write!(f, "{}", if step.op.relu() { " relu" } else { "" })?;
            writeln!(f, "{}", if step.clear_border { " clear_border" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plan({:?}, {} steps, {} bytes)", self.input, self.steps.len(), self.arena_bytes())
    }
}
