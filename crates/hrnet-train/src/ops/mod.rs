//! The operations of the tape, one file each: what its layer holds, `forward` and `backward`.
//!
//! A `forward` gets the tape's state as [`Ctx`] and the buffer of its result; a `backward` gets the gradient of its result and
//! adds to those of its sources, [`Grads`]. The tape decides the order and the buffers.

pub(crate) mod batch_norm;
pub(crate) mod concat;
pub(crate) mod conv;
pub(crate) mod extra;
pub(crate) mod global_pool;
pub(crate) mod identity;
pub(crate) mod linear;
pub(crate) mod resize;
pub(crate) mod shared;

use crate::dropout::Draw;
use crate::memory::{Dest, Memory};
use crate::params::Params;
use crate::plan::{Kind, Unit};
use crate::reduce::Reduce;
use crate::trainer::BoxError;
use batch_norm::BnLayer;
use conv::ConvLayer;
use extra::ExtraLayer;
use hrnet_ir::Net;
use hrnet_kernels::{AlignedBuf, Isa, Pool, Shape};
use linear::LinearLayer;
use shared::Shared;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// What a unit computes with, beside its values.
pub(crate) enum Layer {
    None,
    Conv(ConvLayer),
    BatchNorm(Box<BnLayer>),
    Linear(LinearLayer),
    Extra(Box<ExtraLayer>),
}

/// What is the same for all units of a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mode {
    /// What dropout draws; without it nothing is dropped.
    pub draw: Option<Draw>,
    /// The other processes of the run.
    pub shared: Option<Arc<dyn Reduce>>,
    /// Whether batch norms share their statistics with them.
    pub sync: bool,
    /// The first exchange with them that failed.
    pub failure: Arc<Mutex<Option<String>>>,
}

impl Mode {
    /// With whom batch norms share their statistics.
    pub fn statistics(&self) -> Option<&Arc<dyn Reduce>> {
        self.shared.as_ref().filter(|_| self.sync)
    }

    /// Keeps the first failure; the tape reports it at the end of its walk.
    pub fn note(&self, result: Result<(), BoxError>) {
        if let Err(error) = result {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert_with(|| error.to_string());
        }
    }
}

/// Which walk a unit runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Forward,
    /// Forward once more, with the statistics of the first time.
    Again,
    Backward,
}

/// A unit that runs, and where its values are.
pub(crate) struct Ctx<'a> {
    pub isa: Isa,
    pub pool: &'a Pool,
    pub unit: &'a Unit,
    /// The source or addend whose buffer the result overwrites.
    pub host: Option<usize>,
    pub memory: &'a Memory,
    pub phase: Phase,
    pub bufs: &'a [AlignedBuf],
    pub mode: &'a Mode,
}

impl<'a> Ctx<'a> {
    pub fn value(&self, v: usize) -> &'a [f32] {
        let buf = if self.phase == Phase::Forward { self.memory.values[v] } else { self.memory.again[v] };
        &self.bufs[buf]
    }

    pub fn shape(&self, v: usize) -> Shape {
        self.memory.forms[v].map()
    }

    /// The first source.
    pub fn x(&self) -> &'a [f32] {
        self.value(self.unit.sources[0])
    }

    pub fn x_shape(&self) -> Shape {
        self.shape(self.unit.sources[0])
    }

    pub fn out_shape(&self) -> Shape {
        self.shape(self.unit.out)
    }
}

/// A gradient buffer, and whether to add to what is there.
pub(crate) type Grad = (AlignedBuf, bool);

/// The gradients that a backward step writes, taken out of the tape's buffers while it does.
pub(crate) struct Grads {
    /// Per source; nothing for the image.
    pub sources: Vec<Option<Grad>>,
    pub addend: Option<Grad>,
}

impl Grads {
    pub fn take(bufs: &mut [AlignedBuf], sources: &[Option<Dest>], addend: Option<Dest>) -> Self {
        let mut take = |d: Dest| (std::mem::take(&mut bufs[d.buf]), d.accumulate);
        Self { sources: sources.iter().map(|d| d.map(&mut take)).collect(), addend: addend.map(&mut take) }
    }

    pub fn put_back(self, bufs: &mut [AlignedBuf], sources: &[Option<Dest>], addend: Option<Dest>) {
        let dests = sources.iter().chain([&addend]).flatten();
        for (dest, (buf, _)) in dests.zip(self.sources.into_iter().chain([self.addend]).flatten()) {
            bufs[dest.buf] = buf;
        }
    }

    /// Of the first source.
    pub fn first(&mut self) -> Option<(&mut [f32], bool)> {
        self.sources[0].as_mut().map(|(buf, accumulate)| (&mut buf[..], *accumulate))
    }
}

impl Layer {
    /// The layer of a unit.
    pub fn new(
        net: &Net,
        unit: &Unit,
        memory: &Memory,
        isa: Isa,
        params: &Params,
        shared: &mut Shared,
    ) -> Self {
        match &unit.kind {
            Kind::Conv(conv) => Layer::Conv(ConvLayer::new(net, unit, conv, memory, isa, params, shared)),
            Kind::BatchNorm(bn) => Layer::BatchNorm(Box::new(BnLayer::new(bn, params))),
            &Kind::Linear { weight, bias } => {
                Layer::Linear(LinearLayer::new(net, unit, weight, bias, params))
            }
            &Kind::Extra(kind) => Layer::Extra(Box::new(ExtraLayer::new(isa, kind, net, unit.out, params))),
            Kind::UpsampleNearest { .. }
            | Kind::ResizeBilinear { .. }
            | Kind::Identity
            | Kind::Concat
            | Kind::GlobalAvgPool => Layer::None,
        }
    }

    /// Takes over the shapes of `memory`.
    pub fn refit(&mut self, net: &Net, unit: &Unit, memory: &Memory, isa: Isa, shared: &mut Shared) {
        if let (Kind::Conv(conv), Layer::Conv(layer)) = (&unit.kind, self) {
            layer.refit(net, unit, conv, memory, isa, shared);
        }
    }

    /// Packs the weights anew after they changed, where packs are kept.
    pub fn repack(&mut self, values: &[f32]) {
        if let Layer::Extra(extra) = self {
            extra.repack(values);
        }
    }

    /// Where its parameters are; their gradients are complete after its backward step.
    pub fn ranges(&self) -> Vec<Range<usize>> {
        match self {
            Layer::None => Vec::new(),
            Layer::Conv(conv) => {
                [Some(conv.weight.clone()), conv.bias.clone()].into_iter().flatten().collect()
            }
            Layer::BatchNorm(bn) => vec![bn.gamma.clone(), bn.beta.clone()],
            Layer::Linear(linear) => vec![linear.weight.clone(), linear.bias.clone()],
            Layer::Extra(extra) => extra.ranges(),
        }
    }

    pub fn forward(&mut self, ctx: &Ctx, params: &Params, shared: &mut Shared, dst: &mut [f32]) {
        match (ctx.unit.kind, self) {
            (Kind::Conv(_), Layer::Conv(layer)) => layer.forward(ctx, params, shared, dst),
            (Kind::BatchNorm(_), Layer::BatchNorm(layer)) => layer.forward(ctx, params, dst),
            (Kind::Linear { .. }, Layer::Linear(layer)) => layer.forward(ctx, params, dst),
            (Kind::Extra(_), Layer::Extra(layer)) => layer.forward(ctx, dst),
            (Kind::UpsampleNearest { factor }, _) => resize::nearest(ctx, factor, dst),
            (Kind::ResizeBilinear { align_corners }, _) => resize::bilinear(ctx, align_corners, dst),
            (Kind::Identity, _) => identity::forward(ctx, dst),
            (Kind::Concat, _) => concat::forward(ctx, dst),
            (Kind::GlobalAvgPool, _) => global_pool::forward(ctx, dst),
            (Kind::Conv(_) | Kind::BatchNorm(_) | Kind::Linear { .. } | Kind::Extra(_), _) => {
                unreachable!("layers follow kinds")
            }
        }
    }

    pub fn backward(
        &mut self,
        ctx: &Ctx,
        params: &mut Params,
        shared: &mut Shared,
        dy: &[f32],
        grads: &mut Grads,
    ) {
        match (ctx.unit.kind, self) {
            (Kind::Conv(_), Layer::Conv(layer)) => layer.backward(ctx, params, shared, dy, grads),
            (Kind::BatchNorm(_), Layer::BatchNorm(layer)) => layer.backward(ctx, params, dy, grads),
            (Kind::Linear { .. }, Layer::Linear(layer)) => layer.backward(ctx, params, dy, grads),
            (Kind::Extra(_), Layer::Extra(layer)) => layer.backward(ctx, params, dy, grads),
            (Kind::UpsampleNearest { factor }, _) => resize::nearest_backward(ctx, factor, dy, grads),
            (Kind::ResizeBilinear { align_corners }, _) => {
                resize::bilinear_backward(ctx, align_corners, dy, grads);
            }
            (Kind::Concat, _) => concat::backward(ctx, dy, grads),
            (Kind::GlobalAvgPool, _) => global_pool::backward(ctx, dy, grads),
            (
                Kind::Identity | Kind::Conv(_) | Kind::BatchNorm(_) | Kind::Linear { .. } | Kind::Extra(_),
                _,
            ) => {
                unreachable!("identities pass gradients on without a unit step; layers follow kinds")
            }
        }
    }
}
