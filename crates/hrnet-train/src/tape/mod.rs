//! Executor: the forward pass in training mode, keeping what the backward pass needs, then the reverse walk.
//!
//! Activations are in the blocked layout of the kernels; inputs, outputs and their gradients are plain `[n, c, h, w]`.
//! Buffers are allocated once per input shape and reused in every step. Batch norms use batch statistics; the running
//! ones move only in [`Tape::commit_statistics`], so that a step can be abandoned without a trace.

mod profile;

pub use profile::{Cost, Direction};

use crate::dropout::Draw;
use crate::error::{BoxError, TapeError};
use crate::memory::{Back, Form, Memory};
use crate::ops::ctx::{Ctx, Grads, Mode, Phase};
use crate::ops::layer::Layer;
use crate::ops::shared::Shared;
use crate::par;
use crate::params::Params;
use crate::plan::{self, Units};
use crate::reduce::Reduce;
use hrnet_ir::{Net, Weights};
use hrnet_kernels::{self as k, AlignedBuf, Isa, Pool, Shape};
use profile::Profile;
use std::sync::Arc;

/// A network in training: parameters, packed layers, and buffers for one input shape.
pub struct Tape {
    net: Net,
    plan: Units,
    isa: Isa,
    pool: Arc<Pool>,
    input: [usize; 4],
    memory: Memory,
    pub(crate) params: Params,
    layers: Vec<Layer>,
    shared: Shared,
    /// A backward pass may follow.
    ready: bool,
    profile: Profile,
    bufs: Vec<AlignedBuf>,
    pub(crate) mode: Mode,
}

impl Tape {
    /// A tape over `net` with its parameters from `weights`, for inputs of shape `[n, 3, h, w]`. All values of the forward
    /// pass are kept until the next one.
    pub fn new(
        net: &Net,
        weights: &Weights,
        isa: Isa,
        pool: Arc<Pool>,
        input: [usize; 4],
    ) -> Result<Self, TapeError> {
        Self::with_memory(net, weights, isa, pool, input, false)
    }

    /// [`Tape::new`]; with `recompute`, values inside chains of convolutions and batch norms are not kept for the backward
    /// pass but computed again, to the same bits.
    pub fn with_memory(
        net: &Net,
        weights: &Weights,
        isa: Isa,
        pool: Arc<Pool>,
        input: [usize; 4],
        recompute: bool,
    ) -> Result<Self, TapeError> {
        let plan = plan::units(net)?;
        let memory = Memory::new(net, &plan, input, recompute)?;
        let params = Params::new(net, weights)?;
        let mut shared = Shared::default();
        let layers = layers(net, &plan, &memory, isa, &params, &mut shared);
        Ok(Self {
            net: net.clone(),
            isa,
            pool,
            input,
            bufs: allocate(&memory.lens)?,
            memory,
            params,
            layers,
            plan,
            shared,
            ready: false,
            profile: Profile::default(),
            mode: Mode::default(),
        })
    }

    /// The input shape for which the buffers are laid out.
    pub fn input_shape(&self) -> [usize; 4] {
        self.input
    }

    /// Lays the buffers out for another input shape; nothing happens when it is the same.
    pub fn set_input_shape(&mut self, input: [usize; 4]) -> Result<(), TapeError> {
        if input != self.input {
            let memory = Memory::new(&self.net, &self.plan, input, self.memory.recompute)?;
            self.bufs = Vec::new();
            self.bufs = allocate(&memory.lens)?;
            self.shared = Shared::default();
            for (layer, unit) in self.layers.iter_mut().zip(&self.plan.units) {
                layer.refit(&self.net, unit, &memory, self.isa, &mut self.shared);
            }
            self.memory = memory;
            self.input = input;
            self.ready = false;
        }
        Ok(())
    }

    /// The number of outputs of the network.
    pub fn outputs(&self) -> usize {
        self.plan.outputs.len()
    }

    /// The shape `[n, c, h, w]` of an output.
    pub fn output_shape(&self, index: usize) -> [usize; 4] {
        let Shape { n, c, h, w } = self.memory.forms[self.plan.outputs[index]].map();
        [n, c, h, w]
    }

    /// The pool on which the tape runs.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The instruction set of its kernels.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Bytes of all activations and gradients.
    pub fn buffer_bytes(&self) -> u64 {
        self.memory.lens.iter().map(|&l| l as u64 * 4).sum()
    }

    /// Parameters and buffers under their state-dict names.
    pub fn weights(&self) -> Weights {
        self.params.export(&self.params.values, &self.params.buffers)
    }

    /// The gradients of the last [`Tape::backward`] calls under the names of their parameters.
    pub fn gradients(&self) -> Weights {
        self.params.export_trainable(&self.params.grads)
    }

    /// Begins to measure the time of every operation, or ends it; what was measured is dropped.
    pub fn set_profile(&mut self, on: bool) {
        self.profile = Profile::new(on);
    }

    /// What the operations since [`Tape::set_profile`] cost, most expensive first.
    pub fn profile(&self) -> Vec<Cost> {
        self.profile.costs()
    }

    /// Shares gradients, and the statistics of batch norms if wanted, with other processes.
    pub(crate) fn share(&mut self, reduce: Arc<dyn Reduce>, batch_norms: bool) {
        self.mode.sync = batch_norms;
        self.mode.shared = Some(reduce);
    }

    /// Batch norms for which `frozen` holds use their running statistics and leave them.
    pub(crate) fn freeze_statistics(&mut self, frozen: impl Fn(&str) -> bool) {
        for (layer, unit) in self.layers.iter_mut().zip(&self.plan.units) {
            if let (Layer::BatchNorm(bn), crate::plan::Kind::BatchNorm(spec)) = (layer, unit.kind) {
                bn.frozen = frozen(&self.net.param(spec.gamma).name);
            }
        }
    }

    /// What dropout draws in the next forward passes; without it, as at first, nothing is dropped.
    pub fn set_draw(&mut self, draw: Option<Draw>) {
        self.mode.draw = draw;
    }

    /// The factors of a dropout node in the last forward pass, by image and channel.
    pub fn dropout_factors(&self, node: usize) -> Option<&[f32]> {
        let unit = self.plan.units.iter().position(|u| u.out == node)?;
        match &self.layers[unit] {
            Layer::Dropout(dropout) if !dropout.factors.is_empty() => Some(&dropout.factors),
            _ => None,
        }
    }

    /// Sets all parameter gradients to zero.
    pub fn zero_gradients(&mut self) {
        par::for_each_chunk(&self.pool, &mut self.params.grads, |_, chunk| chunk.fill(0.0));
    }

    /// Packs weights anew after the parameters changed, where packs are kept.
    pub(crate) fn repack(&mut self) {
        let values = &self.params.values;
        par::for_each_mut(&self.pool, &mut self.layers, |_, layer| layer.repack(values));
    }

    /// Moves the running statistics of all batch norms towards the last batch.
    pub fn commit_statistics(&mut self) {
        for layer in &self.layers {
            if let Layer::BatchNorm(bn) = layer {
                bn.commit(&mut self.params.buffers);
            }
        }
    }

    /// Runs the network in training mode on a plain input.
    pub fn forward(&mut self, input: &[f32]) -> Result<(), TapeError> {
        check_len("input", self.input, input.len())?;
        let shape = self.memory.forms[0].map();
        k::to_blocked(&self.pool, input, shape, &mut self.bufs[self.memory.values[0]]);
        for unit in 0..self.plan.units.len() {
            self.run_forward(unit, Phase::Forward);
        }
        self.ready = true;
        self.failure()
    }

    /// Copies an output of the last forward pass to plain `[n, c, h, w]`.
    pub fn read_output(&self, index: usize, dst: &mut [f32]) -> Result<(), TapeError> {
        check_len("output", self.output_shape(index), dst.len())?;
        let value = self.plan.outputs[index];
        let src = &self.bufs[self.memory.values[value]];
        match self.memory.forms[value] {
            Form::Map(shape) => k::from_blocked(&self.pool, src, shape, dst),
            Form::Vector { .. } => dst.copy_from_slice(src),
        }
        Ok(())
    }

    /// The value of a node in the last forward pass as plain `[n, c, h, w]`, if it is kept: outputs of convolutions and
    /// ReLUs are, sums and batch norms inside a fused unit are not. With recomputation nothing is.
    pub fn activation(&self, node: usize) -> Option<Vec<f32>> {
        if self.memory.recompute {
            return None;
        }
        let &buf = self.memory.values.get(node).filter(|&&buf| buf != usize::MAX)?;
        match self.memory.forms[node] {
            Form::Map(shape) => {
                let mut plain = vec![0.0; shape.n * shape.c * shape.h * shape.w];
                k::from_blocked(&self.pool, &self.bufs[buf], shape, &mut plain);
                Some(plain)
            }
            Form::Vector { .. } => Some(self.bufs[buf].to_vec()),
        }
    }

    /// Adds the parameter gradients for the given gradients of the outputs, one plain slice per output.
    pub fn backward(&mut self, output_grads: &[&[f32]]) -> Result<(), TapeError> {
        self.walk_back(output_grads, false)
    }

    /// [`Tape::backward`] which hands every gradient to the other processes once it is complete.
    pub(crate) fn backward_and_send(&mut self, output_grads: &[&[f32]]) -> Result<(), TapeError> {
        self.walk_back(output_grads, true)?;
        let Some(shared) = &self.mode.shared else { return Ok(()) };
        let reason = |e: BoxError| TapeError::Shared { reason: e.to_string() };
        shared.finish(&mut self.params.grads).map_err(reason)
    }

    fn send(&self, unit: usize) {
        let Some(shared) = &self.mode.shared else { return };
        for range in self.layers[unit].ranges() {
            self.mode.note(shared.ready(range.start, &self.params.grads[range]));
        }
    }

    /// The first failed exchange of the walk.
    fn failure(&self) -> Result<(), TapeError> {
        let failure = par::lock(&self.mode.failure).take();
        failure.map_or(Ok(()), |reason| Err(TapeError::Shared { reason }))
    }

    fn walk_back(&mut self, output_grads: &[&[f32]], send: bool) -> Result<(), TapeError> {
        if output_grads.len() != self.outputs() {
            let (wanted, found) = (self.outputs(), output_grads.len());
            return Err(TapeError::Length {
                what: "gradients of outputs",
                shape: [wanted, 1, 1, 1],
                wanted,
                found,
            });
        }
        for (i, grad) in output_grads.iter().enumerate() {
            check_len("gradient of an output", self.output_shape(i), grad.len())?;
            let dst = &mut self.bufs[self.memory.output_grads[i]];
            match self.memory.forms[self.plan.outputs[i]] {
                Form::Map(shape) => k::to_blocked(&self.pool, grad, shape, dst),
                Form::Vector { .. } => dst.copy_from_slice(grad),
            }
        }
        if !self.ready {
            return Err(TapeError::Spent);
        }
        for step in 0..self.memory.backward.len() {
            self.backward_step(step);
            if let (true, Back::Unit { unit, .. }) = (send, &self.memory.backward[step]) {
                self.send(*unit);
            }
        }
        self.ready = !self.memory.recompute;
        self.failure()
    }

    fn run_forward(&mut self, index: usize, phase: Phase) {
        let unit = &self.plan.units[index];
        let tables = [&self.memory.values, &self.memory.again];
        let dst_index = tables[usize::from(phase != Phase::Forward)][unit.out];
        // The destination leaves the list while it is written; in-place hosts are never read beside it.
        let mut dst = std::mem::take(&mut self.bufs[dst_index]);
        let ctx = Ctx {
            isa: self.isa,
            pool: &self.pool,
            unit,
            host: self.memory.in_place[index],
            memory: &self.memory,
            phase,
            bufs: &self.bufs,
            mode: &self.mode,
        };
        let start = self.profile.start();
        self.layers[index].forward(&ctx, &self.params, &mut self.shared, &mut dst);
        let direction = if phase == Phase::Forward { Direction::Forward } else { Direction::Again };
        self.profile.note(start, direction, &ctx, &self.layers[index], &self.shared);
        self.bufs[dst_index] = dst;
    }

    fn backward_step(&mut self, step: usize) {
        let (isa, pool) = (self.isa, self.pool.clone());
        let pool = &*pool;
        let start = self.profile.start();
        match &self.memory.backward[step] {
            &Back::Mask { y, dy, dst, shape } => {
                let mut out = std::mem::take(&mut self.bufs[dst]);
                k::relu_backward(isa, pool, &self.bufs[y], &self.bufs[dy], shape, &mut out, false);
                self.bufs[dst] = out;
                self.profile.note_flat(start, "mask", shape);
            }
            &Back::Add { src, dst, shape } => {
                let mut out = std::mem::take(&mut self.bufs[dst]);
                k::add(isa, pool, &self.bufs[src], &mut out, shape, false);
                self.bufs[dst] = out;
                self.profile.note_flat(start, "add", shape);
            }
            &Back::Again { unit } => self.run_forward(unit, Phase::Again),
            &Back::Copy { src, dst, shape } => {
                let mut out = std::mem::take(&mut self.bufs[dst]);
                out.copy_from_slice(&self.bufs[src]);
                self.bufs[dst] = out;
                self.profile.note_flat(start, "copy", shape);
            }
            Back::Unit { unit: index, dy, sources, addend } => {
                let (index, addend) = (*index, *addend);
                let mut grads = Grads::take(&mut self.bufs, sources, addend);
                let ctx = Ctx {
                    isa,
                    pool,
                    unit: &self.plan.units[index],
                    host: self.memory.in_place[index],
                    memory: &self.memory,
                    phase: Phase::Backward,
                    bufs: &self.bufs,
                    mode: &self.mode,
                };
                self.layers[index].backward(
                    &ctx,
                    &mut self.params,
                    &mut self.shared,
                    &self.bufs[*dy],
                    &mut grads,
                );
                self.profile.note(start, Direction::Backward, &ctx, &self.layers[index], &self.shared);
                grads.put_back(&mut self.bufs, sources, addend);
            }
        }
    }
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tape({} units, input {:?})", self.plan.units.len(), self.input)
    }
}

fn layers(
    net: &Net,
    plan: &Units,
    memory: &Memory,
    isa: Isa,
    params: &Params,
    shared: &mut Shared,
) -> Vec<Layer> {
    plan.units.iter().map(|unit| Layer::new(net, unit, memory, isa, params, shared)).collect()
}

fn check_len(what: &'static str, shape: [usize; 4], found: usize) -> Result<(), TapeError> {
    let wanted = shape.iter().product();
    if wanted == found { Ok(()) } else { Err(TapeError::Length { what, shape, wanted, found }) }
}

fn allocate(lens: &[usize]) -> Result<Vec<AlignedBuf>, TapeError> {
    let bytes = lens.iter().fold(0u64, |sum, &len| sum.saturating_add((len as u64).saturating_mul(4)));
    lens.iter().map(|&len| AlignedBuf::try_zeroed(len).map_err(|_| TapeError::Memory { bytes })).collect()
}
