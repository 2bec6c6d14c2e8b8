//! The layer of a unit: what it computes with, and which file runs it.

use super::batch_norm::BnLayer;
use super::conv::ConvLayer;
use super::ctx::{Ctx, Grads};
use super::dropout::DropoutLayer;
use super::linear::LinearLayer;
use super::shared::Shared;
use super::transpose::TransposeLayer;
use super::{concat, identity, pool, region, resize};
use crate::memory::Memory;
use crate::params::Params;
use crate::plan::{Kind, Unit};
use hrnet_ir::Net;
use hrnet_kernels::Isa;
use std::ops::Range;

/// What a unit computes with, beside its values.
pub(crate) enum Layer {
    None,
    Conv(ConvLayer),
    BatchNorm(Box<BnLayer>),
    Linear(LinearLayer),
    Transpose(Box<TransposeLayer>),
    Dropout(DropoutLayer),
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
            Kind::Transpose(conv) => {
                Layer::Transpose(Box::new(TransposeLayer::new(net, unit, conv, isa, params)))
            }
            Kind::Dropout { .. } => Layer::Dropout(DropoutLayer::default()),
            Kind::UpsampleNearest { .. }
            | Kind::ResizeBilinear { .. }
            | Kind::Identity
            | Kind::Concat
            | Kind::GlobalAvgPool
            | Kind::AvgPool { .. }
            | Kind::MaxPool { .. }
            | Kind::RegionGather
            | Kind::RegionAttend { .. } => Layer::None,
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
        if let Layer::Transpose(layer) = self {
            layer.repack(values);
        }
    }

    /// Where its parameters are; their gradients are complete after its backward step.
    pub fn ranges(&self) -> Vec<Range<usize>> {
        match self {
            Layer::None | Layer::Dropout(_) => Vec::new(),
            Layer::Conv(conv) => weight_and_bias(&conv.weight, &conv.bias),
            Layer::Transpose(layer) => weight_and_bias(&layer.weight, &layer.bias),
            Layer::BatchNorm(bn) => vec![bn.gamma.clone(), bn.beta.clone()],
            Layer::Linear(linear) => vec![linear.weight.clone(), linear.bias.clone()],
        }
    }

    pub fn forward(&mut self, ctx: &Ctx, params: &Params, shared: &mut Shared, dst: &mut [f32]) {
        match (ctx.unit.kind, self) {
            (Kind::Conv(_), Layer::Conv(layer)) => layer.forward(ctx, params, shared, dst),
            (Kind::BatchNorm(_), Layer::BatchNorm(layer)) => layer.forward(ctx, params, dst),
            (Kind::Linear { .. }, Layer::Linear(layer)) => layer.forward(ctx, params, dst),
            (Kind::Transpose(_), Layer::Transpose(layer)) => layer.forward(ctx, dst),
            (Kind::Dropout { p }, Layer::Dropout(layer)) => layer.forward(ctx, p, dst),
            (Kind::UpsampleNearest { factor }, _) => resize::nearest(ctx, factor, dst),
            (Kind::ResizeBilinear { align_corners }, _) => resize::bilinear(ctx, align_corners, dst),
            (Kind::Identity, _) => identity::forward(ctx, dst),
            (Kind::Concat, _) => concat::forward(ctx, dst),
            (Kind::GlobalAvgPool, _) => pool::global(ctx, dst),
            (Kind::AvgPool { size }, _) => pool::average(ctx, size, dst),
            (Kind::MaxPool { size }, _) => pool::maximum(ctx, size, dst),
            (Kind::RegionGather, _) => region::gather(ctx, dst),
            (Kind::RegionAttend { scale }, _) => region::attend(ctx, scale, dst),
            (
                Kind::Conv(_)
                | Kind::BatchNorm(_)
                | Kind::Linear { .. }
                | Kind::Transpose(_)
                | Kind::Dropout { .. },
                _,
            ) => unreachable!("layers follow kinds"),
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
            (Kind::Transpose(_), Layer::Transpose(layer)) => layer.backward(ctx, params, dy, grads),
            (Kind::Dropout { .. }, Layer::Dropout(layer)) => layer.backward(ctx, dy, grads),
            (Kind::UpsampleNearest { factor }, _) => resize::nearest_backward(ctx, factor, dy, grads),
            (Kind::ResizeBilinear { align_corners }, _) => {
                resize::bilinear_backward(ctx, align_corners, dy, grads);
            }
            (Kind::Concat, _) => concat::backward(ctx, dy, grads),
            (Kind::GlobalAvgPool, _) => pool::global_backward(ctx, dy, grads),
            (Kind::AvgPool { size }, _) => pool::average_backward(ctx, size, dy, grads),
            (Kind::MaxPool { size }, _) => pool::maximum_backward(ctx, size, dy, grads),
            (Kind::RegionGather, _) => region::gather_backward(ctx, dy, grads),
            (Kind::RegionAttend { scale }, _) => region::attend_backward(ctx, scale, dy, grads),
            (
                Kind::Identity
                | Kind::Conv(_)
                | Kind::BatchNorm(_)
                | Kind::Linear { .. }
                | Kind::Transpose(_)
                | Kind::Dropout { .. },
                _,
            ) => unreachable!("identities pass gradients on without a unit step; layers follow kinds"),
        }
    }
}

fn weight_and_bias(weight: &Range<usize>, bias: &Option<Range<usize>>) -> Vec<Range<usize>> {
    [Some(weight.clone()), bias.clone()].into_iter().flatten().collect()
}
