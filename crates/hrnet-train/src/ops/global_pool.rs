//! Average over all pixels of a map.

use super::{Ctx, Grads};
use hrnet_kernels as k;

pub(crate) fn forward(ctx: &Ctx, dst: &mut [f32]) {
    k::global_avg_pool(ctx.pool, ctx.x(), ctx.x_shape(), dst);
}

pub(crate) fn backward(ctx: &Ctx, dy: &[f32], grads: &mut Grads) {
    if let Some((dx, accumulate)) = grads.first() {
        k::global_avg_pool_backward(ctx.pool, dy, ctx.x_shape(), dx, accumulate);
    }
}
