//! The two attention pieces of the object-contextual head: pixels gathered into regions, regions given back to pixels.

use super::ctx::{Ctx, Grads};
use hrnet_kernels as k;

pub(crate) fn gather(ctx: &Ctx, dst: &mut [f32]) {
    k::region_gather(ctx.pool, ctx.x(), ctx.x_shape(), ctx.source(1), ctx.source_shape(1), dst);
}

pub(crate) fn gather_backward(ctx: &Ctx, dy: &[f32], grads: &mut Grads) {
    let [dscores, dfeats] = grads.each();
    let (feats, feats_shape) = (ctx.source(1), ctx.source_shape(1));
    k::region_gather_backward(ctx.pool, ctx.x(), ctx.x_shape(), feats, feats_shape, dy, dscores, dfeats);
}

pub(crate) fn attend(ctx: &Ctx, scale: f64, dst: &mut [f32]) {
    let (key, value, values) = (ctx.source(1), ctx.source(2), ctx.source_shape(2).c);
    k::region_attend(ctx.pool, ctx.x(), ctx.x_shape(), key, value, values, scale as f32, dst);
}

pub(crate) fn attend_backward(ctx: &Ctx, scale: f64, dy: &[f32], grads: &mut Grads) {
    let [dquery, dkey, dvalue] = grads.each();
    k::region_attend_backward(
        ctx.pool,
        ctx.x(),
        ctx.x_shape(),
        ctx.source(1),
        ctx.source(2),
        ctx.source_shape(2).c,
        ctx.source_shape(1).h,
        scale as f32,
        dy,
        dquery,
        dkey,
        dvalue,
    );
}
