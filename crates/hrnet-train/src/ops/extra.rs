//! The rarer operations of the heads, in both directions: transposed convolution, pooling, the two attention pieces of the
//! object-contextual head, dropout. None is fused with an addition or a ReLU.

use super::{Ctx, Grads};
use crate::params::Params;
use hrnet_ir::{Net, Op};
use hrnet_kernels::{self as k, ConvTranspose, ConvTransposeBackward, Isa, Wanted};
use std::ops::Range;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Extra {
    Transpose(hrnet_ir::ConvTranspose),
    AvgPool { size: usize },
    MaxPool { size: usize },
    Gather,
    Attend { scale: f64 },
    Dropout { p: f64 },
}

impl Extra {
    pub fn of(op: &Op) -> Option<Self> {
        Some(match *op {
            Op::ConvTranspose(conv) => Self::Transpose(conv),
            Op::AvgPool { size } => Self::AvgPool { size },
            Op::MaxPool { size } => Self::MaxPool { size },
            Op::RegionGather => Self::Gather,
            Op::RegionAttend { scale } => Self::Attend { scale },
            Op::Dropout { p } => Self::Dropout { p },
            _ => return None,
        })
    }
}

/// One of them with what it keeps between forward and backward.
pub(crate) struct ExtraLayer {
    kind: Extra,
    transpose: Option<Transpose>,
    /// Factors of dropout by image and channel.
    pub factors: Vec<f32>,
}

struct Transpose {
    forward: ConvTranspose,
    backward: ConvTransposeBackward,
    weight: Range<usize>,
    bias: Option<Range<usize>>,
}

impl ExtraLayer {
    pub fn new(isa: Isa, kind: Extra, net: &Net, node: usize, params: &Params) -> Self {
        let this = &net.nodes()[node];
        let transpose = match kind {
            Extra::Transpose(conv) => {
                let (ic, oc) = (net.node(this.inputs[0]).channels, this.channels);
                let (weight, bias) = (params.range(conv.weight), conv.bias.map(|b| params.range(b)));
                let w = &params.values[weight.clone()];
                let b = bias.clone().map(|b| &params.values[b]);
                let forward = ConvTranspose::new(isa, ic, oc, w, b);
                let backward = ConvTransposeBackward::new(isa, ic, oc, w);
                Some(Transpose { forward, backward, weight, bias })
            }
            _ => None,
        };
        Self { kind, transpose, factors: Vec::new() }
    }

    /// Packs the weights anew after they changed.
    pub fn repack(&mut self, values: &[f32]) {
        if let Some(t) = &mut self.transpose {
            let weight = &values[t.weight.clone()];
            t.forward.repack(weight, t.bias.clone().map(|b| &values[b]));
            t.backward.repack(weight);
        }
    }

    pub fn ranges(&self) -> Vec<Range<usize>> {
        let ranges = self.transpose.iter().flat_map(|t| [Some(t.weight.clone()), t.bias.clone()]);
        ranges.flatten().collect()
    }

    pub fn forward(&mut self, ctx: &Ctx, dst: &mut [f32]) {
        let (pool, x, shape) = (ctx.pool, ctx.x(), ctx.x_shape());
        let source = |i: usize| (ctx.value(ctx.unit.sources[i]), ctx.shape(ctx.unit.sources[i]));
        match self.kind {
            Extra::Transpose(_) => {
                let transpose = self.transpose.as_ref().expect("made with the layer");
                transpose.forward.run(pool, x, shape, dst, false);
            }
            Extra::AvgPool { size } => k::avg_pool(pool, x, shape, size, dst),
            Extra::MaxPool { size } => k::max_pool(pool, x, shape, size, dst),
            Extra::Gather => {
                let (feats, feats_shape) = source(1);
                k::region_gather(pool, x, shape, feats, feats_shape, dst);
            }
            Extra::Attend { scale } => {
                let (value, value_shape) = source(2);
                k::region_attend(pool, x, shape, source(1).0, value, value_shape.c, scale as f32, dst);
            }
            Extra::Dropout { p } => {
                self.factors.clear();
                match &ctx.mode.draw {
                    Some(draw) => draw.factors(&ctx.unit.name, p, shape.n, shape.c, &mut self.factors),
                    None => self.factors.resize(shape.n * shape.c, 1.0),
                }
                k::scale_channels(pool, x, shape, &self.factors, dst, false);
            }
        }
    }

    pub fn backward(&mut self, ctx: &Ctx, params: &mut Params, dy: &[f32], grads: &mut Grads) {
        let (pool, x, shape) = (ctx.pool, ctx.x(), ctx.x_shape());
        let source = |i: usize| (ctx.value(ctx.unit.sources[i]), ctx.shape(ctx.unit.sources[i]));
        let mut wanted = grads.sources.iter_mut().map(|g| g.as_mut().map(|(buf, add)| (&mut buf[..], *add)));
        let mut next = || -> Wanted { wanted.next().flatten() };
        match self.kind {
            Extra::Transpose(_) => {
                let transpose = self.transpose.as_mut().expect("made with the layer");
                let dw = &mut params.grads[transpose.weight.clone()];
                transpose.backward.run(pool, x, shape, dy, next(), dw);
                if let Some(bias) = transpose.bias.clone() {
                    k::bias_grad(pool, dy, ctx.out_shape(), &mut params.grads[bias]);
                }
            }
            Extra::AvgPool { size } => {
                if let Some((dx, accumulate)) = next() {
                    k::avg_pool_backward(pool, dy, shape, size, dx, accumulate);
                }
            }
            Extra::MaxPool { size } => {
                if let Some((dx, accumulate)) = next() {
                    k::max_pool_backward(pool, x, dy, shape, size, dx, accumulate);
                }
            }
            Extra::Gather => {
                let (feats, feats_shape) = source(1);
                let (dscores, dfeats) = (next(), next());
                k::region_gather_backward(pool, x, shape, feats, feats_shape, dy, dscores, dfeats);
            }
            Extra::Attend { scale } => {
                let ((key, key_shape), (value, value_shape)) = (source(1), source(2));
                let (dquery, dkey, dvalue) = (next(), next(), next());
                k::region_attend_backward(
                    pool,
                    x,
                    shape,
                    key,
                    value,
                    value_shape.c,
                    key_shape.h,
                    scale as f32,
                    dy,
                    dquery,
                    dkey,
                    dvalue,
                );
            }
            Extra::Dropout { .. } => {
                if let Some((dx, accumulate)) = next() {
                    k::scale_channels(pool, dy, shape, &self.factors, dx, accumulate);
                }
            }
        }
    }
}
