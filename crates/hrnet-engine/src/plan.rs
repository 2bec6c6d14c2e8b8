//! A frozen plan: which kernels run in which order on which parts of the arena, for one input shape.

use crate::error::PlanError;
use crate::layout::{self, Layout};
use crate::memory;
use crate::pack::{Layer, Packed};
use crate::step::StepOp;
use hrnet_ir::{Tensor, summary};
use hrnet_kernels::{ConvCase, Isa, Shape};
use std::fmt;
use std::sync::Arc;

/// A part of the arena that holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) shape: Shape,
    pub(crate) layout: Layout,
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

/// Everything decided before the first image: made by [`crate::Engine::plan`], shared by any number of sessions.
pub struct Plan {
    pub(crate) packed: Arc<Packed>,
    pub(crate) input: [usize; 4],
    pub(crate) steps: Vec<PlannedStep>,
    pub(crate) outputs: Vec<PlanOutput>,
    pub(crate) arena_len: usize,
    #[cfg(test)]
    pub(crate) buffers: Vec<memory::Buffer>,
}

impl Plan {
    pub(crate) fn new(packed: &Arc<Packed>, input: [usize; 4], limit: usize) -> Result<Self, PlanError> {
        let net = &packed.net;
        let net_shapes = net.shapes(input)?;
        let program = &packed.program;
        let (mut shapes, mut lens) = (Vec::new(), Vec::new());
        for (&node, layout) in program.values.iter().zip(&packed.layouts) {
            let [n, c, h, w] = net_shapes[node];
            let shape = Shape { n, c, h, w };
            let len = match layout {
                Layout::Blocked => shape.checked_len(),
                Layout::Plain => hrnet_ir::element_count(&net_shapes[node]),
            };
            let too_large =
                || PlanError::TooLarge { node: net.nodes()[node].name.clone(), shape: net_shapes[node] };
            lens.push(len.filter(|&len| len <= isize::MAX as usize / 8).ok_or_else(too_large)?);
            shapes.push(shape);
        }
        let kernel_of = |layer| packed.kernel_of(layer);
        let memory = memory::plan(program, &packed.layouts, &shapes, &lens, kernel_of);
        let memory = memory.ok_or_else(|| PlanError::TooLarge { node: "arena".into(), shape: input })?;
        let needed = memory.len.saturating_mul(size_of::<f32>());
        if needed > limit {
            return Err(PlanError::Limit { input, needed, limit });
        }
        let region = |v: usize| Region {
            start: memory.buffers[memory.buffer_of[v]].offset,
            len: lens[v],
            shape: shapes[v],
            layout: packed.layouts[v],
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
            packed: Arc::clone(packed),
            input,
            steps: steps.collect(),
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
        self.packed.isa
    }

    /// Kernel calls per run.
    pub fn step_count(&self) -> usize {
        self.steps.len()
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
    pub(crate) fn kernel_name(&self, step: &PlannedStep) -> String {
        match &step.op {
            StepOp::Conv { layer, .. } | StepOp::ConvTranspose { layer, .. } => {
                match &self.packed.layers[*layer] {
                    Layer::Conv(conv) => conv.kernel_name(),
                    Layer::ConvTranspose(conv) => conv.kernel_name(),
                    Layer::Linear { .. } => unreachable!("a linear layer has its own step"),
                }
            }
            StepOp::Input | StepOp::ToBlocked { .. } => "to_blocked".into(),
            StepOp::Upsample { factor: 1, .. } => "copy".into(),
            StepOp::Upsample { factor, .. } => format!("upsample_nearest_x{factor}"),
            StepOp::Resize { .. } => "resize_bilinear".into(),
            StepOp::Add { .. } => "add".into(),
            StepOp::Relu { .. } => "relu".into(),
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
                Layout::Plain => "copy".into(),
            },
        }
    }

    /// The convolution of a step as `hrnet bench` reads it.
    pub(crate) fn conv_case(&self, step: &PlannedStep) -> Option<ConvCase> {
        let StepOp::Conv { layer, src, .. } = &step.op else { return None };
        match &self.packed.layers[*layer] {
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
    /// One line per step: node, kernel, what it reads, what it writes, flags. `@` is the offset in the arena in floats.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [n, c, h, w] = self.input;
        writeln!(
            f,
            "plan for {n}x{c}x{h}x{w}, isa {}, {} steps, {} reorders, {} cleared borders, {} MACs, arena {} floats",
            self.isa(),
            self.steps.len(),
            self.reorders(),
            self.cleared_borders(),
            self.macs(),
            self.arena_len
        )?;
        for (i, step) in self.steps.iter().enumerate() {
            write!(f, "{i:4} {:<40} {:<28}", step.name, self.kernel_name(step))?;
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
