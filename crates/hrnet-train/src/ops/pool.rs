//! Pooling: averages over a whole map, averages and maxima over windows.

use super::ctx::{Ctx, Grads};
use hrnet_kernels as k;

pub(crate) fn global(ctx: &Ctx, dst: &mut [f32]) {
    k::global_avg_pool(ctx.pool, ctx.x(), ctx.x_shape(), dst);
}

pub(crate) fn global_backward(ctx: &Ctx, dy: &[f32], grads: &mut Grads) {
    if let Some((dx, accumulate)) = grads.first() {
        k::global_avg_pool_backward(ctx.pool, dy, ctx.x_shape(), dx, accumulate);
    }
}

pub(crate) fn average(ctx: &Ctx, size: usize, dst: &mut [f32]) {
    k::avg_pool(ctx.pool, ctx.x(), ctx.x_shape(), size, dst);
}

pub(crate) fn average_backward(ctx: &Ctx, size: usize, dy: &[f32], grads: &mut Grads) {
    if let Some((dx, accumulate)) = grads.first() {
        k::avg_pool_backward(ctx.pool, dy, ctx.x_shape(), size, dx, accumulate);
    }
}

pub(crate) fn maximum(ctx: &Ctx, size: usize, dst: &mut [f32]) {
    k::max_pool(ctx.pool, ctx.x(), ctx.x_shape(), size, dst);
}

pub(crate) fn maximum_backward(ctx: &Ctx, size: usize, dy: &[f32], grads: &mut Grads) {
    if let Some((dx, accumulate)) = grads.first() {
        k::max_pool_backward(ctx.pool, ctx.x(), dy, ctx.x_shape(), size, dx, accumulate);
    }
}
