//! The hot loop over the waves. Convolutions and sums run as jobs of a wave; every other step is a wave of its own, one
//! kernel call. After the plan, `run_into` allocates nothing itself.

use crate::error::{PlanError, RunError};
use crate::layout::Layout;
use crate::lower::MAX_CONCAT;
use crate::pack::Layer;
use crate::plan::{Plan, PlannedStep, Region};
use crate::profile::Profile;
use crate::step::StepOp;
use hrnet_ir::Tensor;
use hrnet_kernels as kernels;
use hrnet_kernels::{AlignedBuf, Pool, Shape};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A plan with its working memory: one image tensor at a time. Sessions of one plan are independent.
pub struct Session {
    plan: Arc<Plan>,
    pub(crate) arena: AlignedBuf,
}

impl Session {
    /// Allocates the working memory.
    pub fn new(plan: &Arc<Plan>) -> Result<Self, PlanError> {
        let arena = AlignedBuf::try_zeroed(plan.arena_len)
            .map_err(|_| PlanError::Memory { bytes: plan.arena_bytes() })?;
        Ok(Self { plan: Arc::clone(plan), arena })
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Runs the network on an input of the planned shape; the results in the order of [`Plan::outputs`].
    pub fn run(&mut self, pool: &Pool, input: &Tensor) -> Result<Vec<Tensor>, RunError> {
        if input.shape() != self.plan.input {
            let found = input.shape().to_vec();
            return Err(RunError::InputShape { wanted: self.plan.input, found });
        }
        let mut outputs = self.plan.output_tensors();
        self.run_into(pool, input.data(), &mut outputs)?;
        Ok(outputs)
    }

    /// [`Session::run`] on plain `[n][3][h][w]` values into tensors from [`Plan::output_tensors`].
    pub fn run_into(&mut self, pool: &Pool, input: &[f32], outputs: &mut [Tensor]) -> Result<(), RunError> {
        self.check(input, outputs)?;
        let Self { plan, arena } = self;
        for (image, waves) in plan.passes() {
            for wave in waves {
                match &wave.jobs {
                    Some(jobs) => jobs.run_at(image.unwrap_or(0), pool, arena),
                    None => execute(plan, &plan.steps[wave.steps.start], image, pool, arena, input, outputs),
                }
            }
        }
        Ok(())
    }

    /// [`Session::run_into`] with the time of every step added to `profile`, which [`Profile::new`] made for this plan.
    /// Steps that would run side by side run one after another.
    pub fn run_profiled(
        &mut self,
        pool: &Pool,
        input: &[f32],
        outputs: &mut [Tensor],
        profile: &mut Profile,
    ) -> Result<(), RunError> {
        self.check(input, outputs)?;
        let Self { plan, arena } = self;
        // A step that runs image by image has the time of all images.
        let mut times = vec![Duration::ZERO; plan.steps.len()];
        for (image, waves) in plan.passes() {
            for wave in waves {
                for i in wave.steps.clone() {
                    let start = Instant::now();
                    match &wave.jobs {
                        Some(jobs) => jobs.run_job(i - wave.steps.start, image.unwrap_or(0), pool, arena),
                        None => execute(plan, &plan.steps[i], image, pool, arena, input, outputs),
                    }
                    times[i] += start.elapsed();
                }
            }
        }
        profile.add_run(&times);
        Ok(())
    }

    fn check(&self, input: &[f32], outputs: &[Tensor]) -> Result<(), RunError> {
        let plan = &self.plan;
        if hrnet_ir::element_count(&plan.input) != Some(input.len()) {
            return Err(RunError::InputLength { wanted: plan.input, found: input.len() });
        }
        if outputs.len() != plan.outputs.len() {
            return Err(RunError::OutputCount { wanted: plan.outputs.len(), found: outputs.len() });
        }
        for (tensor, output) in outputs.iter().zip(&plan.outputs) {
            if tensor.shape() != output.shape {
                let (name, found) = (output.name.clone(), tensor.shape().to_vec());
                return Err(RunError::OutputShape { name, wanted: output.shape, found });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?})", self.plan)
    }
}

/// The arena without the destination of a step.
struct Rest<'a> {
    below: &'a [f32],
    above: &'a [f32],
    /// Where `above` begins in the arena.
    end: usize,
}

impl<'a> Rest<'a> {
    fn split(arena: &'a mut [f32], dst: Region) -> (Self, &'a mut [f32]) {
        let end = dst.start + dst.len;
        let (below, rest) = arena.split_at_mut(dst.start);
        let (dst, above) = rest.split_at_mut(dst.len);
        (Self { below, above, end }, dst)
    }

    fn get(&self, region: Region) -> &'a [f32] {
        let range = region.start..region.start + region.len;
        if range.end <= self.below.len() {
            &self.below[range]
        } else {
            &self.above[range.start - self.end..range.end - self.end]
        }
    }
}

/// The values of one image, or all.
fn part<T>(image: Option<usize>, images: usize, all: &[T]) -> &[T] {
    let len = all.len() / images;
    image.map_or(all, |image| &all[image * len..(image + 1) * len])
}

/// Runs a step that is no job, on one image or all.
fn execute(
    plan: &Plan,
    step: &PlannedStep,
    image: Option<usize>,
    pool: &Pool,
    arena: &mut [f32],
    input: &[f32],
    outputs: &mut [Tensor],
) {
    let images = plan.input[0];
    let at = |region: &Region| region.of(image);
    if let StepOp::Output { index, src } = &step.op {
        let src = at(src);
        let (src_data, dst) = (&arena[src.start..src.start + src.len], outputs[*index].data_mut());
        let len = dst.len() / images;
        let dst = match image {
            Some(image) => &mut dst[image * len..(image + 1) * len],
            None => dst,
        };
        match src.layout {
            Layout::Blocked => kernels::from_blocked(pool, src_data, src.shape, dst),
            Layout::Plain => dst.copy_from_slice(src_data),
            Layout::Planar => unreachable!("outputs are read blocked or plain"),
        }
        return;
    }
    let to = step.dst.expect("every step but an output has a destination").of(image);
    let (rest, dst) = Rest::split(arena, to);
    if step.clear_border {
        kernels::zero_border(pool, dst, to.shape);
    }
    let isa = plan.isa();
    match &step.op {
        StepOp::Input => kernels::to_blocked(pool, part(image, images, input), to.shape, dst),
        StepOp::Concat { srcs } => {
            let mut parts: [(&[f32], Shape); MAX_CONCAT] = [(&[], to.shape); MAX_CONCAT];
            for (part, src) in parts.iter_mut().zip(srcs) {
                *part = (rest.get(at(src)), at(src).shape);
            }
            kernels::concat(pool, &parts[..srcs.len()], dst);
        }
        StepOp::AvgPool { src, size } => {
            kernels::avg_pool(pool, rest.get(at(src)), at(src).shape, *size, dst)
        }
        StepOp::MaxPool { src, size } => {
            kernels::max_pool(pool, rest.get(at(src)), at(src).shape, *size, dst)
        }
        StepOp::GlobalAvgPool { src } => {
            kernels::global_avg_pool(pool, rest.get(at(src)), at(src).shape, dst)
        }
        StepOp::Linear { layer, src } => {
            let Layer::Linear { weight, bias, inputs, outputs } = &*plan.layers[*layer] else {
                unreachable!("lowered from a linear layer")
            };
            let src_data = rest.get(at(src));
            let bias = bias.as_ref().map(|bias| bias.data());
            kernels::linear(
                isa,
                pool,
                src_data,
                at(src).shape.n,
                weight.data(),
                bias,
                *inputs,
                *outputs,
                dst,
            );
        }
        StepOp::RegionGather { scores, feats } => {
            kernels::region_gather(
                pool,
                rest.get(at(scores)),
                at(scores).shape,
                rest.get(at(feats)),
                at(feats).shape,
                dst,
            );
        }
        StepOp::RegionAttend { query, key, value, scale } => kernels::region_attend(
            pool,
            rest.get(at(query)),
            at(query).shape,
            rest.get(at(key)),
            rest.get(at(value)),
            at(value).shape.c,
            *scale,
            dst,
        ),
        StepOp::ToPlain { src } => kernels::from_blocked(pool, rest.get(at(src)), at(src).shape, dst),
        StepOp::ToBlocked { src } => kernels::to_blocked(pool, rest.get(at(src)), to.shape, dst),
        StepOp::Output { .. } => unreachable!("handled above"),
        StepOp::Conv { .. }
        | StepOp::ConvTranspose { .. }
        | StepOp::Sum { .. }
        | StepOp::ToPlanar { .. }
        | StepOp::FromPlanar { .. } => {
            unreachable!("a job of a wave")
        }
    }
}
