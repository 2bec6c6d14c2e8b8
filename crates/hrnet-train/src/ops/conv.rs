//! Convolution: packed weights for both directions, for one size of the map.

use super::{Ctx, Grads};
use crate::memory::Memory;
use crate::params::Params;
use crate::plan::Unit;
use hrnet_ir::Net;
use hrnet_kernels::{
    self as k, AlignedBuf, Conv, ConvBackwardData, ConvCase, ConvDesc, ConvWeightGrad, Epilogue, Isa,
    Residual,
};
use std::ops::Range;

/// A convolution in both directions.
pub(crate) struct ConvLayer {
    /// The algorithms are chosen for this map.
    case: ConvCase,
    forward: Conv,
    /// Nothing for a convolution on the image.
    backward: Option<ConvBackwardData>,
    weight_grad: ConvWeightGrad,
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
    ) -> Self {
        let case = case(net, unit, conv, memory);
        let weight = params.range(conv.weight);
        let bias = conv.bias.map(|b| params.range(b));
        let w = &params.values[weight.clone()];
        let b = bias.clone().map(|b| &params.values[b]);
        let on_image = unit.sources[0] == 0;
        Self {
            case,
            forward: Conv::with_algorithm(isa, case, k::training_algorithm(&case, isa), w, b),
            backward: (!on_image).then(|| ConvBackwardData::for_map(isa, case, w)),
            weight_grad: ConvWeightGrad::for_map(isa, case),
            weight,
            bias,
        }
    }

    /// Whether the layer was packed for the map that it has in `memory`.
    pub fn fits(&self, unit: &Unit, memory: &Memory) -> bool {
        let map = memory.forms[unit.sources[0]].map();
        (map.h, map.w) == (self.case.ih, self.case.iw)
    }

    /// Names of the algorithms: forward, backward with respect to data and to weights.
    pub fn algorithms(&self) -> String {
        let data = self.backward.as_ref().map(|b| format!("{:?}", b.algorithm())).unwrap_or_default();
        format!("{:?}/{data}/{:?}", self.forward.algorithm(), self.weight_grad.algorithm())
    }

    /// Packs the weights anew after they changed.
    pub fn repack(&mut self, values: &[f32]) {
        let weight = &values[self.weight.clone()];
        self.forward.repack(weight, self.bias.clone().map(|b| &values[b]));
        if let Some(backward) = &mut self.backward {
            backward.repack(weight);
        }
    }

    pub fn forward(&self, ctx: &Ctx, dst: &mut [f32]) {
        let epilogue = Epilogue { residual: Residual::None, relu: ctx.unit.relu };
        self.forward.run(ctx.pool, ctx.x(), ctx.x_shape(), dst, epilogue);
    }

    pub fn backward(
        &self,
        ctx: &Ctx,
        params: &mut Params,
        dy: &[f32],
        grads: &mut Grads,
        scratch: &mut AlignedBuf,
    ) {
        if let (Some((dx, accumulate)), Some(backward)) = (grads.first(), &self.backward) {
            backward.run(ctx.pool, dy, ctx.x_shape(), dx, accumulate);
        }
        let dw = &mut params.grads[self.weight.clone()];
        self.weight_grad.run(ctx.pool, scratch, ctx.x(), ctx.x_shape(), dy, dw);
        if let Some(bias) = self.bias.clone() {
            k::bias_grad(ctx.pool, dy, ctx.out_shape(), &mut params.grads[bias]);
        }
    }
}
