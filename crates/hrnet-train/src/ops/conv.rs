//! Convolution: packed weights for both directions, for one size of the map.

use super::{Ctx, Grads};
use crate::memory::Memory;
use crate::params::Params;
use crate::plan::Unit;
use hrnet_ir::Net;
use hrnet_kernels::{
    self as k, Conv, ConvBackwardData, ConvCase, ConvDesc, ConvWeightGrad, Epilogue, Isa, Residual,
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
            forward: Conv::new(isa, case.desc, w, b),
            backward: (!on_image).then(|| ConvBackwardData::new(isa, case.desc, w)),
            weight_grad: ConvWeightGrad::new(isa, case.desc),
            weight,
            bias,
        }
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

    pub fn backward(&mut self, ctx: &Ctx, params: &mut Params, dy: &[f32], grads: &mut Grads) {
        if let (Some((dx, accumulate)), Some(backward)) = (grads.first(), &self.backward) {
            backward.run(ctx.pool, dy, ctx.x_shape(), dx, accumulate);
        }
        let dw = &mut params.grads[self.weight.clone()];
        self.weight_grad.run(ctx.pool, ctx.x(), ctx.x_shape(), dy, dw);
        if let Some(bias) = self.bias.clone() {
            k::bias_grad(ctx.pool, dy, ctx.out_shape(), &mut params.grads[bias]);
        }
    }
}
