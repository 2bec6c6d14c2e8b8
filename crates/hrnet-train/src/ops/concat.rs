//! Concatenation along channels.

use super::ctx::{Ctx, Grads};
use hrnet_kernels::{self as k, AlignedBuf, Shape};

pub(crate) fn forward(ctx: &Ctx, dst: &mut [f32]) {
    let parts: Vec<_> = ctx.unit.sources.iter().map(|&v| (ctx.value(v), ctx.shape(v))).collect();
    k::concat(ctx.pool, &parts, dst);
}

pub(crate) fn backward(ctx: &Ctx, dy: &[f32], grads: &mut Grads) {
    // One flag serves all parts: parts without a gradient start from zero when another one has one.
    let taken = &mut grads.sources;
    let accumulate = taken.iter().flatten().any(|(_, accumulate)| *accumulate);
    let mut spare: Vec<AlignedBuf> = Vec::new();
    for (part, &v) in taken.iter_mut().zip(&ctx.unit.sources) {
        match part {
            Some((buf, own)) if accumulate && !*own => buf.fill(0.0),
            Some(_) => {}
            None => spare.push(AlignedBuf::zeroed(ctx.shape(v).len())),
        }
    }
    let mut spare = spare.iter_mut();
    let mut parts: Vec<(&mut [f32], Shape)> = Vec::new();
    for (part, &v) in taken.iter_mut().zip(&ctx.unit.sources) {
        let buf = match part {
            Some((buf, _)) => &mut buf[..],
            None => &mut spare.next().expect("one per missing part")[..],
        };
        parts.push((buf, ctx.shape(v)));
    }
    k::concat_backward(ctx.pool, dy, &mut parts, accumulate);
}
