//! Enlarging, nearest and bilinear, with an optional addition and ReLU behind it.

use super::ctx::{Ctx, Grads};
use hrnet_kernels::{self as k, Shape};

/// The addition that could not be done in place.
fn finish(ctx: &Ctx, last: bool, dst: &mut [f32]) {
    if !last {
        let addend = ctx.value(ctx.unit.addend.expect("a unit that is not complete has an addend"));
        k::add(ctx.isa, ctx.pool, addend, dst, ctx.out_shape(), ctx.unit.relu);
    }
}

pub(crate) fn nearest(ctx: &Ctx, factor: usize, dst: &mut [f32]) {
    let in_place = ctx.host.is_some();
    let last = in_place || ctx.unit.addend.is_none();
    let relu = ctx.unit.relu && last;
    k::upsample_nearest(ctx.isa, ctx.pool, ctx.x(), ctx.x_shape(), factor, dst, in_place, relu);
    finish(ctx, last, dst);
}

pub(crate) fn bilinear(ctx: &Ctx, align_corners: bool, dst: &mut [f32]) {
    let in_place = ctx.host.is_some();
    let last = in_place || ctx.unit.addend.is_none();
    let relu = ctx.unit.relu && last;
    let Shape { h, w, .. } = ctx.out_shape();
    let (isa, pool) = (ctx.isa, ctx.pool);
    k::resize_bilinear(isa, pool, ctx.x(), ctx.x_shape(), dst, h, w, align_corners, in_place, relu);
    finish(ctx, last, dst);
}

pub(crate) fn nearest_backward(ctx: &Ctx, factor: usize, dy: &[f32], grads: &mut Grads) {
    if let Some((dx, accumulate)) = grads.first() {
        k::upsample_nearest_backward(ctx.isa, ctx.pool, dy, ctx.x_shape(), factor, dx, accumulate);
    }
}

pub(crate) fn bilinear_backward(ctx: &Ctx, align_corners: bool, dy: &[f32], grads: &mut Grads) {
    let Shape { h, w, .. } = ctx.out_shape();
    if let Some((dx, accumulate)) = grads.first() {
        let (isa, pool) = (ctx.isa, ctx.pool);
        k::resize_bilinear_backward(isa, pool, dy, h, w, dx, ctx.x_shape(), align_corners, accumulate);
    }
}
