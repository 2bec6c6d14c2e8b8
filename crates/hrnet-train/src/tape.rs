//! Executor: the forward pass in training mode, keeping what the backward pass needs, then the reverse walk.
//!
//! Activations are in the blocked layout of the kernels; inputs, outputs and their gradients are plain `[n, c, h, w]`.
//! Buffers are allocated once per input shape and reused in every step. Batch norms use batch statistics; the running
//! ones move only in [`Tape::commit_statistics`], so that a step can be abandoned without a trace.

use crate::layer::{BnLayer, ConvLayer, LayerId, LinearLayer};
use crate::memory::{Back, Dest, Form, Memory};
use crate::par;
use crate::params::Params;
use crate::plan::{self, Kind, Units};
use hrnet_ir::{Net, ShapeError, Weights};
use hrnet_kernels::{self as k, AlignedBuf, ConvDesc, ConvWeightGrad, Epilogue, Isa, Pool, Residual, Shape};
use std::collections::HashMap;
use std::sync::Arc;

/// Why a network cannot be trained.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TapeError {
    /// An operation without a backward pass.
    #[error("{node}: {op} is not trainable yet")]
    NotTrainable {
        /// Name of the node.
        node: String,
        /// What it computes.
        op: String,
    },
    /// A part of the network that no output depends on would never get a gradient.
    #[error("{node}: no output depends on it, so it cannot be trained")]
    Dead {
        /// Name of the node.
        node: String,
    },
    /// Batch statistics of a single value.
    #[error("{node}: batch norm needs more than one value per channel; use a larger batch or a larger image")]
    OneValue {
        /// Name of the node.
        node: String,
    },
    /// Weights that do not fit the network.
    #[error(
        "the weights do not fit the network: {missing} missing, {wrong} of another shape, first: {names}"
    )]
    Weights {
        /// Parameters that are absent.
        missing: usize,
        /// Parameters of another shape.
        wrong: usize,
        /// The first few names.
        names: String,
    },
    /// The input shape does not fit the network.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Buffers do not fit into memory.
    #[error("cannot allocate {bytes} bytes for activations and gradients; use a smaller batch or image")]
    Memory {
        /// What all buffers need.
        bytes: u64,
    },
    /// A slice of another length than the tape's shapes say.
    #[error("{what}: {wanted} values wanted for shape {shape:?}, {found} found")]
    Length {
        /// What the slice is.
        what: &'static str,
        /// The shape it must have.
        shape: [usize; 4],
        /// The product of that shape.
        wanted: usize,
        /// The length of the slice.
        found: usize,
    },
}

/// A network in training: parameters, packed layers, and buffers for one input shape.
pub struct Tape {
    net: Net,
    plan: Units,
    isa: Isa,
    pool: Arc<Pool>,
    input: [usize; 4],
    memory: Memory,
    pub(crate) params: Params,
    layers: Vec<LayerId>,
    convs: Vec<ConvLayer>,
    bns: Vec<BnLayer>,
    linears: Vec<LinearLayer>,
    weight_grads: Vec<ConvWeightGrad>,
    bufs: Vec<AlignedBuf>,
}

impl Tape {
    /// A tape over `net` with its parameters from `weights`, for inputs of shape `[n, 3, h, w]`.
    pub fn new(
        net: &Net,
        weights: &Weights,
        isa: Isa,
        pool: Arc<Pool>,
        input: [usize; 4],
    ) -> Result<Self, TapeError> {
        let plan = plan::units(net)?;
        let memory = Memory::new(net, &plan, input)?;
        let params = Params::new(net, weights)?;
        let mut tape = Self {
            net: net.clone(),
            isa,
            pool,
            input,
            bufs: allocate(&memory.lens)?,
            memory,
            params,
            layers: Vec::with_capacity(plan.units.len()),
            convs: Vec::new(),
            bns: Vec::new(),
            linears: Vec::new(),
            weight_grads: Vec::new(),
            plan,
        };
        let mut shared: HashMap<ConvDesc, usize> = HashMap::new();
        for unit in &tape.plan.units {
            let id = match &unit.kind {
                Kind::Conv(conv) => {
                    let desc = ConvLayer::desc(net, unit).expect("a convolution");
                    let weight_grad = *shared.entry(desc).or_insert_with(|| {
                        tape.weight_grads.push(ConvWeightGrad::new(isa, desc));
                        tape.weight_grads.len() - 1
                    });
                    let on_image = unit.sources[0] == 0;
                    tape.convs.push(ConvLayer::new(isa, conv, desc, on_image, &tape.params, weight_grad));
                    LayerId::Conv(tape.convs.len() - 1)
                }
                Kind::BatchNorm(bn) => {
                    tape.bns.push(BnLayer::new(bn, &tape.params));
                    LayerId::BatchNorm(tape.bns.len() - 1)
                }
                Kind::Linear { weight, bias } => {
                    tape.linears.push(LinearLayer {
                        weight: tape.params.range(*weight),
                        bias: tape.params.range(*bias),
                        inputs: net.nodes()[unit.sources[0]].channels,
                        outputs: net.nodes()[unit.out].channels,
                    });
                    LayerId::Linear(tape.linears.len() - 1)
                }
                Kind::UpsampleNearest { .. }
                | Kind::ResizeBilinear { .. }
                | Kind::Identity
                | Kind::Concat
                | Kind::GlobalAvgPool => LayerId::None,
            };
            tape.layers.push(id);
        }
        Ok(tape)
    }

    /// The input shape for which the buffers are laid out.
    pub fn input_shape(&self) -> [usize; 4] {
        self.input
    }

    /// Lays the buffers out for another input shape; nothing happens when it is the same.
    pub fn set_input_shape(&mut self, input: [usize; 4]) -> Result<(), TapeError> {
        if input != self.input {
            let memory = Memory::new(&self.net, &self.plan, input)?;
            self.bufs = Vec::new();
            self.bufs = allocate(&memory.lens)?;
            self.memory = memory;
            self.input = input;
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

    /// Sets all parameter gradients to zero.
    pub fn zero_gradients(&mut self) {
        par::for_each_chunk(&self.pool, &mut self.params.grads, |_, chunk| chunk.fill(0.0));
    }

    /// Packs the convolutions anew after the parameters changed.
    pub(crate) fn repack(&mut self) {
        let values = &self.params.values;
        par::for_each_mut(&self.pool, &mut self.convs, |_, conv| conv.repack(values));
    }

    /// Moves the running statistics of all batch norms towards the last batch.
    pub fn commit_statistics(&mut self) {
        for bn in &self.bns {
            bn.commit(&mut self.params.buffers);
        }
    }

    /// Runs the network in training mode on a plain input.
    pub fn forward(&mut self, input: &[f32]) -> Result<(), TapeError> {
        check_len("input", self.input, input.len())?;
        let shape = self.memory.forms[0].map();
        k::to_blocked(&self.pool, input, shape, &mut self.bufs[self.memory.values[0]]);
        for unit in 0..self.plan.units.len() {
            self.forward_unit(unit);
        }
        Ok(())
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
    /// ReLUs are, sums and batch norms inside a fused unit are not.
    pub fn activation(&self, node: usize) -> Option<Vec<f32>> {
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
        for step in 0..self.memory.backward.len() {
            self.backward_step(step);
        }
        Ok(())
    }

    fn forward_unit(&mut self, index: usize) {
        let unit = &self.plan.units[index];
        let memory = &self.memory;
        let (isa, pool) = (self.isa, &*self.pool);
        let shape = |v: usize| memory.forms[v].map();
        let dst_index = memory.values[unit.out];
        // The destination leaves the list while it is written; in-place hosts are never read beside it.
        let mut dst_buf = std::mem::take(&mut self.bufs[dst_index]);
        let dst = &mut dst_buf[..];
        let bufs = &self.bufs;
        let value = |v: usize| &bufs[memory.values[v]][..];
        let x = unit.sources[0];
        let out_shape = shape(unit.out);
        let host = memory.in_place[index];
        match (unit.kind, self.layers[index]) {
            (Kind::Conv(_), LayerId::Conv(layer)) => {
                let epilogue = Epilogue { residual: Residual::None, relu: unit.relu };
                self.convs[layer].forward.run(pool, value(x), shape(x), dst, epilogue);
            }
            (Kind::BatchNorm(_), LayerId::BatchNorm(layer)) => {
                let bn = &mut self.bns[layer];
                bn.values = out_shape.n * out_shape.h * out_shape.w;
                k::bn_stats(isa, pool, value(x), out_shape, &mut bn.mean, &mut bn.var);
                bn.prepare(&self.params.values);
                let residual = unit.addend.map(value);
                k::bn_apply(isa, pool, value(x), out_shape, &bn.scale, &bn.shift, residual, unit.relu, dst);
            }
            (Kind::Linear { .. }, LayerId::Linear(layer)) => {
                let l = &self.linears[layer];
                let weight = &self.params.values[l.weight.clone()];
                let bias = &self.params.values[l.bias.clone()];
                k::linear(isa, pool, value(x), out_shape.n, weight, Some(bias), l.inputs, l.outputs, dst);
            }
            (Kind::UpsampleNearest { factor }, _) => {
                let last = host.is_some() || unit.addend.is_none();
                let relu = unit.relu && last;
                k::upsample_nearest(isa, pool, value(x), shape(x), factor, dst, host.is_some(), relu);
                if !last {
                    k::add(isa, pool, value(unit.addend.expect("checked")), dst, out_shape, unit.relu);
                }
            }
            (Kind::ResizeBilinear { align_corners }, _) => {
                let last = host.is_some() || unit.addend.is_none();
                let relu = unit.relu && last;
                let Shape { h, w, .. } = out_shape;
                let acc = host.is_some();
                k::resize_bilinear(isa, pool, value(x), shape(x), dst, h, w, align_corners, acc, relu);
                if !last {
                    k::add(isa, pool, value(unit.addend.expect("checked")), dst, out_shape, unit.relu);
                }
            }
            (Kind::Identity, _) => {
                if host.is_none() {
                    dst.copy_from_slice(value(x));
                }
                // What is not in dst yet.
                let other = match host {
                    Some(h) if Some(h) == unit.addend => Some(x),
                    _ => unit.addend,
                };
                match other {
                    Some(v) => k::add(isa, pool, value(v), dst, out_shape, unit.relu),
                    None if unit.relu => k::relu(isa, pool, dst, out_shape),
                    None => {}
                }
            }
            (Kind::Concat, _) => {
                let parts: Vec<_> = unit.sources.iter().map(|&v| (value(v), shape(v))).collect();
                k::concat(pool, &parts, dst);
            }
            (Kind::GlobalAvgPool, _) => k::global_avg_pool(pool, value(x), shape(x), dst),
            (Kind::Conv(_) | Kind::BatchNorm(_) | Kind::Linear { .. }, _) => {
                unreachable!("layers follow kinds")
            }
        }
        self.bufs[dst_index] = dst_buf;
    }

    fn backward_step(&mut self, step: usize) {
        let (isa, pool) = (self.isa, self.pool.clone());
        let pool = &*pool;
        match &self.memory.backward[step] {
            &Back::Mask { y, dy, dst, shape } => {
                let mut out = std::mem::take(&mut self.bufs[dst]);
                k::relu_backward(isa, pool, &self.bufs[y], &self.bufs[dy], shape, &mut out, false);
                self.bufs[dst] = out;
            }
            &Back::Add { src, dst, shape } => {
                let mut out = std::mem::take(&mut self.bufs[dst]);
                k::add(isa, pool, &self.bufs[src], &mut out, shape, false);
                self.bufs[dst] = out;
            }
            &Back::Copy { src, dst } => {
                let mut out = std::mem::take(&mut self.bufs[dst]);
                out.copy_from_slice(&self.bufs[src]);
                self.bufs[dst] = out;
            }
            Back::Unit { unit, dy, sources, addend } => {
                let (unit, dy, addend) = (*unit, *dy, *addend);
                let sources = sources.clone();
                self.backward_unit(unit, dy, &sources, addend);
            }
        }
    }

    fn backward_unit(&mut self, index: usize, dy: usize, sources: &[Option<Dest>], addend: Option<Dest>) {
        let unit = &self.plan.units[index];
        let memory = &self.memory;
        let (isa, pool) = (self.isa, &*self.pool);
        let shape = |v: usize| memory.forms[v].map();
        let out_shape = shape(unit.out);
        let mut taken: Vec<Option<(AlignedBuf, bool)>> = sources
            .iter()
            .map(|d| d.map(|d| (std::mem::take(&mut self.bufs[d.buf]), d.accumulate)))
            .collect();
        let mut taken_addend = addend.map(|d| (std::mem::take(&mut self.bufs[d.buf]), d.accumulate));
        let bufs = &self.bufs;
        let value = |v: usize| &bufs[memory.values[v]][..];
        let dy = &bufs[dy][..];
        let x = unit.sources[0];
        let dx = taken[0].as_mut().map(|(buf, acc)| (&mut buf[..], *acc));
        match (unit.kind, self.layers[index]) {
            (Kind::Conv(_), LayerId::Conv(layer)) => {
                let conv = &self.convs[layer];
                if let (Some((dx, accumulate)), Some(backward)) = (dx, &conv.backward) {
                    backward.run(pool, dy, shape(x), dx, accumulate);
                }
                let dw = &mut self.params.grads[conv.weight.clone()];
                self.weight_grads[conv.weight_grad].run(pool, value(x), shape(x), dy, dw);
                if let Some(bias) = conv.bias.clone() {
                    k::bias_grad(pool, dy, out_shape, &mut self.params.grads[bias]);
                }
            }
            (Kind::BatchNorm(_), LayerId::BatchNorm(layer)) => {
                let bn = &self.bns[layer];
                let gamma = &self.params.values[bn.gamma.clone()];
                let ranges = [bn.gamma.clone(), bn.beta.clone()];
                let [dgamma, dbeta] =
                    self.params.grads.get_disjoint_mut(ranges).expect("parameters do not overlap");
                let y = unit.relu.then(|| value(unit.out));
                let dresidual = taken_addend.as_mut().map(|(buf, acc)| (&mut buf[..], *acc));
                let (dx, acc) = dx.expect("batch norms do not read the image");
                let (mean, inv_std) = (&bn.mean[..], &bn.inv_std[..]);
                k::bn_backward(
                    isa,
                    pool,
                    dy,
                    y,
                    value(x),
                    out_shape,
                    mean,
                    inv_std,
                    gamma,
                    dx,
                    acc,
                    dresidual,
                    dgamma,
                    dbeta,
                );
            }
            (Kind::Linear { .. }, LayerId::Linear(layer)) => {
                let l = &self.linears[layer];
                let ranges = [l.weight.clone(), l.bias.clone()];
                let [dw, db] = self.params.grads.get_disjoint_mut(ranges).expect("parameters do not overlap");
                let weight = &self.params.values[l.weight.clone()];
                let n = out_shape.n;
                // linear_backward overwrites; a vector with several readers would need a sum.
                let dx = dx.map(|(dx, accumulate)| {
                    assert!(!accumulate, "a pooled vector has one reader");
                    dx
                });
                k::linear_backward(isa, pool, value(x), dy, n, weight, l.inputs, l.outputs, dx, dw, Some(db));
            }
            (Kind::UpsampleNearest { factor }, _) => {
                if let Some((dx, acc)) = dx {
                    k::upsample_nearest_backward(isa, pool, dy, shape(x), factor, dx, acc);
                }
            }
            (Kind::ResizeBilinear { align_corners }, _) => {
                let Shape { h, w, .. } = out_shape;
                if let Some((dx, acc)) = dx {
                    k::resize_bilinear_backward(isa, pool, dy, h, w, dx, shape(x), align_corners, acc);
                }
            }
            (Kind::Concat, _) => {
                // One flag serves all parts: parts without a gradient start from zero when another one has one.
                let accumulate = taken.iter().flatten().any(|(_, acc)| *acc);
                let mut spare: Vec<AlignedBuf> = Vec::new();
                for (part, &v) in taken.iter_mut().zip(&unit.sources) {
                    match part {
                        Some((buf, acc)) if accumulate && !*acc => buf.fill(0.0),
                        Some(_) => {}
                        None => spare.push(AlignedBuf::zeroed(shape(v).len())),
                    }
                }
                let mut spare = spare.iter_mut();
                let mut parts: Vec<(&mut [f32], Shape)> = Vec::new();
                for (part, &v) in taken.iter_mut().zip(&unit.sources) {
                    let buf = match part {
                        Some((buf, _)) => &mut buf[..],
                        None => &mut spare.next().expect("one per missing part")[..],
                    };
                    parts.push((buf, shape(v)));
                }
                k::concat_backward(pool, dy, &mut parts, accumulate);
            }
            (Kind::GlobalAvgPool, _) => {
                if let Some((dx, acc)) = dx {
                    k::global_avg_pool_backward(pool, dy, shape(x), dx, acc);
                }
            }
            (Kind::Identity | Kind::Conv(_) | Kind::BatchNorm(_) | Kind::Linear { .. }, _) => {
                unreachable!("identities pass gradients on without a unit step; layers follow kinds")
            }
        }
        for (dest, part) in sources.iter().zip(taken) {
            if let (Some(dest), Some((buf, _))) = (dest, part) {
                self.bufs[dest.buf] = buf;
            }
        }
        if let (Some(dest), Some((buf, _))) = (addend, taken_addend) {
            self.bufs[dest.buf] = buf;
        }
    }
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tape({} units, input {:?})", self.plan.units.len(), self.input)
    }
}

fn check_len(what: &'static str, shape: [usize; 4], found: usize) -> Result<(), TapeError> {
    let wanted = shape.iter().product();
    if wanted == found { Ok(()) } else { Err(TapeError::Length { what, shape, wanted, found }) }
}

fn allocate(lens: &[usize]) -> Result<Vec<AlignedBuf>, TapeError> {
    let bytes = lens.iter().fold(0u64, |sum, &len| sum.saturating_add((len as u64).saturating_mul(4)));
    lens.iter().map(|&len| AlignedBuf::try_zeroed(len).map_err(|_| TapeError::Memory { bytes })).collect()
}
