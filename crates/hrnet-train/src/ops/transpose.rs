//! Transposed convolution.

use super::ctx::{Ctx, Grads};
use crate::params::Params;
use crate::plan::Unit;
use hrnet_ir::Net;
use hrnet_kernels::{self as k, ConvTranspose, ConvTransposeBackward, Isa};
use std::ops::Range;

/// A transposed convolution in both directions. It keeps its packs: networks have one or two of them.
pub(crate) struct TransposeLayer {
    forward: ConvTranspose,
    backward: ConvTransposeBackward,
    pub weight: Range<usize>,
    pub bias: Option<Range<usize>>,
}

impl TransposeLayer {
    pub fn new(net: &Net, unit: &Unit, conv: &hrnet_ir::ConvTranspose, isa: Isa, params: &Params) -> Self {
        let (ic, oc) = (net.nodes()[unit.sources[0]].channels, net.nodes()[unit.out].channels);
        let (weight, bias) = (params.range(conv.weight), conv.bias.map(|b| params.range(b)));
        let w = &params.values[weight.clone()];
        let b = bias.clone().map(|b| &params.values[b]);
        Self {
            forward: ConvTranspose::new(isa, ic, oc, w, b),
            backward: ConvTransposeBackward::new(isa, ic, oc, w),
            weight,
            bias,
        }
    }

    /// Packs the weights anew after they changed.
    pub fn repack(&mut self, values: &[f32]) {
        let weight = &values[self.weight.clone()];
        self.forward.repack(weight, self.bias.clone().map(|b| &values[b]));
        self.backward.repack(weight);
    }

    pub fn forward(&self, ctx: &Ctx, dst: &mut [f32]) {
        self.forward.run(ctx.pool, ctx.x(), ctx.x_shape(), dst, false);
    }

    pub fn backward(&mut self, ctx: &Ctx, params: &mut Params, dy: &[f32], grads: &mut Grads) {
        let dw = &mut params.grads[self.weight.clone()];
        self.backward.run(ctx.pool, ctx.x(), ctx.x_shape(), dy, grads.first(), dw);
        if let Some(bias) = self.bias.clone() {
            k::bias_grad(ctx.pool, dy, ctx.out_shape(), &mut params.grads[bias]);
        }
    }
}
