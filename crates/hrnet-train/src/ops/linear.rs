//! Linear layer on a pooled vector.

use super::ctx::{Ctx, Grads};
use crate::params::Params;
use crate::plan::Unit;
use hrnet_ir::{Net, ParamId};
use hrnet_kernels as k;
use std::ops::Range;

/// A linear layer; its weights are used as they are.
pub(crate) struct LinearLayer {
    pub weight: Range<usize>,
    pub bias: Range<usize>,
    inputs: usize,
    outputs: usize,
}

impl LinearLayer {
    pub fn new(net: &Net, unit: &Unit, weight: ParamId, bias: ParamId, params: &Params) -> Self {
        Self {
            weight: params.range(weight),
            bias: params.range(bias),
            inputs: net.nodes()[unit.sources[0]].channels,
            outputs: net.nodes()[unit.out].channels,
        }
    }

    pub fn forward(&self, ctx: &Ctx, params: &Params, dst: &mut [f32]) {
        let weight = &params.values[self.weight.clone()];
        let bias = &params.values[self.bias.clone()];
        let n = ctx.out_shape().n;
        k::linear(ctx.isa, ctx.pool, ctx.x(), n, weight, Some(bias), self.inputs, self.outputs, dst);
    }

    pub fn backward(&self, ctx: &Ctx, params: &mut Params, dy: &[f32], grads: &mut Grads) {
        let ranges = [self.weight.clone(), self.bias.clone()];
        let [dw, db] = params.grads.get_disjoint_mut(ranges).expect("parameters do not overlap");
        let weight = &params.values[self.weight.clone()];
        let n = ctx.out_shape().n;
        // linear_backward overwrites; a vector with several readers would need a sum.
        let dx = grads.first().map(|(dx, accumulate)| {
            assert!(!accumulate, "a pooled vector has one reader");
            dx
        });
        let (inputs, outputs) = (self.inputs, self.outputs);
        k::linear_backward(ctx.isa, ctx.pool, ctx.x(), dy, n, weight, inputs, outputs, dx, dw, Some(db));
    }
}
