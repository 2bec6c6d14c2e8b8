//! Convolution.

use super::ctx::{Ctx, Grads};
use super::shared::Shared;
use crate::memory::Memory;
use crate::params::Params;
use crate::plan::Unit;
use hrnet_ir::Net;
use hrnet_kernels::{self as k, ConvCase, ConvDesc, Epilogue, Isa, Residual};
use std::ops::Range;

/// A convolution in both directions.
pub(crate) struct ConvLayer {
    /// Index into [`Shared::convs`].
    kernels: usize,
    pub weight: Range<usize>,
    pub bias: Option<Range<usize>>,
}

fn case(net: &Net, unit: &Unit, conv: &hrnet_ir::Conv, memory: &Memory) -> ConvCase {
    let desc = ConvDesc {
        ic: net.nodes()[unit.sources[0]].channels,
        oc: net.nodes()[unit.out].channels,
        kernel: conv.kernel,
        stride: conv.stride,
        padding: conv.padding,
    };
    let map = memory.forms[unit.sources[0]].map();
    ConvCase { desc, ih: map.h, iw: map.w }
}

impl ConvLayer {
    pub fn new(
        net: &Net,
        unit: &Unit,
        conv: &hrnet_ir::Conv,
        memory: &Memory,
        isa: Isa,
        params: &Params,
        shared: &mut Shared,
    ) -> Self {
        Self {
            kernels: shared.conv(isa, case(net, unit, conv, memory)),
            weight: params.range(conv.weight),
            bias: conv.bias.map(|b| params.range(b)),
        }
    }

    /// Takes over the shapes of `memory`.
    pub fn refit(
        &mut self,
        net: &Net,
        unit: &Unit,
        conv: &hrnet_ir::Conv,
        memory: &Memory,
        isa: Isa,
        shared: &mut Shared,
    ) {
        self.kernels = shared.conv(isa, case(net, unit, conv, memory));
    }

    /// Names of the algorithms: forward, backward with respect to data and to weights.
    pub fn algorithms(&self, shared: &Shared) -> String {
        let kernels = &shared.convs[self.kernels];
        let (data, weights) = (kernels.backward.algorithm(), kernels.weight_grad.algorithm());
        format!("{:?}/{data:?}/{weights:?}", kernels.forward.algorithm())
    }

    pub fn forward(&self, ctx: &Ctx, params: &Params, shared: &mut Shared, dst: &mut [f32]) {
        let conv = &mut shared.convs[self.kernels].forward;
        let bias = self.bias.clone().map(|b| &params.values[b]);
        conv.repack_on(ctx.pool, &params.values[self.weight.clone()], bias);
        let epilogue = Epilogue { residual: Residual::None, relu: ctx.unit.relu };
        conv.run(ctx.pool, ctx.x(), ctx.x_shape(), dst, epilogue);
    }

    pub fn backward(
        &self,
        ctx: &Ctx,
        params: &mut Params,
        shared: &mut Shared,
        dy: &[f32],
        grads: &mut Grads,
    ) {
        let Shared { convs, scratch, .. } = shared;
        let kernels = &mut convs[self.kernels];
        // Nothing for a convolution on the image.
        if let Some((dx, accumulate)) = grads.first() {
            kernels.backward.repack_on(ctx.pool, &params.values[self.weight.clone()]);
            kernels.backward.run(ctx.pool, dy, ctx.x_shape(), dx, accumulate);
        }
        let dw = &mut params.grads[self.weight.clone()];
        kernels.weight_grad.run(ctx.pool, scratch, ctx.x(), ctx.x_shape(), dy, dw);
        if let Some(bias) = self.bias.clone() {
            k::bias_grad(ctx.pool, dy, ctx.out_shape(), &mut params.grads[bias]);
        }
    }
}
