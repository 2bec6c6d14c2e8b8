//! Backward of average and maximum pooling with kernel = stride.

use crate::par::par_chunks;
use crate::{LANES, Pool, Shape};

/// Calls `f(source row, dy row, y)` for every row of windows of every plane of `dx`; the source row starts at the first
/// pixel of the window row inside the plane.
fn planes(
    pool: &Pool,
    dy: &[f32],
    src_shape: Shape,
    size: usize,
    dx: &mut [f32],
    accumulate: bool,
    window: impl Fn(usize, &[f32; LANES], &mut [f32]) + Sync,
) {
    assert!(size >= 1 && src_shape.h >= size && src_shape.w >= size, "pooling by {size} of {src_shape:?}");
    let dy_shape = Shape { h: src_shape.h / size, w: src_shape.w / size, ..src_shape };
    dy_shape.check("pooling backward: dy", dy.len());
    src_shape.check("pooling backward: dx", dx.len());
    par_chunks(pool, dx, src_shape.plane(), |plane, dx| {
        if !accumulate {
            dx.fill(0.0);
        }
        for y in 0..dy_shape.h {
            let from = plane * dy_shape.plane() + (y + 1) * dy_shape.row() + LANES;
            let cells = dy[from..from + dy_shape.w * LANES].as_chunks::<LANES>().0;
            for (x, cell) in cells.iter().enumerate() {
                let corner = (y * size + 1) * src_shape.row() + (x * size + 1) * LANES;
                window(plane * src_shape.plane() + corner, cell, &mut dx[corner..]);
            }
        }
    });
}

/// `dx (+)= dy / size^2` on every pixel of its window; pixels outside all windows get nothing.
pub fn avg_pool_backward(
    pool: &Pool,
    dy: &[f32],
    src_shape: Shape,
    size: usize,
    dx: &mut [f32],
    accumulate: bool,
) {
    let area = (size * size) as f32;
    planes(pool, dy, src_shape, size, dx, accumulate, |_, cell, dx| {
        for ky in 0..size {
            let row = &mut dx[ky * src_shape.row()..][..size * LANES];
            for d in row.as_chunks_mut::<LANES>().0 {
                for lane in 0..LANES {
                    d[lane] += cell[lane] / area;
                }
            }
        }
    });
}

/// `dx (+)= dy` on the first largest pixel of its window (row by row; NaN wins, as in [`crate::max_pool`]).
pub fn max_pool_backward(
    pool: &Pool,
    src: &[f32],
    dy: &[f32],
    src_shape: Shape,
    size: usize,
    dx: &mut [f32],
    accumulate: bool,
) {
    src_shape.check("pooling backward: src", src.len());
    planes(pool, dy, src_shape, size, dx, accumulate, |first, cell, dx| {
        let mut best = [f32::NEG_INFINITY; LANES];
        let mut at = [0usize; LANES];
        for ky in 0..size {
            for kx in 0..size {
                let offset = ky * src_shape.row() + kx * LANES;
                for lane in 0..LANES {
                    let v = src[first + offset + lane];
                    if v > best[lane] || v.is_nan() {
                        (best[lane], at[lane]) = (v, offset);
                    }
                }
            }
        }
        for lane in 0..LANES {
            dx[at[lane] + lane] += cell[lane];
        }
    });
}

/// `dst (+)= src * factors[n][c]`: dropout of whole channels, forward and backward.
pub fn scale_channels(
    pool: &Pool,
    src: &[f32],
    shape: Shape,
    factors: &[f32],
    dst: &mut [f32],
    accumulate: bool,
) {
    shape.check("scale_channels: src", src.len());
    shape.check("scale_channels: dst", dst.len());
    assert!(factors.len() == shape.n * shape.c, "scale_channels: {} factors for {shape:?}", factors.len());
    par_chunks(pool, dst, shape.plane(), |plane, dst| {
        let (image, cb) = (plane / shape.blocks(), plane % shape.blocks());
        let first = image * shape.c + cb * LANES;
        let mut factor = [0.0f32; LANES];
        let lanes = shape.lanes(cb);
        factor[..lanes].copy_from_slice(&factors[first..first + lanes]);
        let src = src[plane * shape.plane()..][..shape.plane()].as_chunks::<LANES>().0;
        for (d, s) in dst.as_chunks_mut::<LANES>().0.iter_mut().zip(src) {
            for lane in 0..LANES {
                let value = s[lane] * factor[lane];
                d[lane] = if accumulate { d[lane] + value } else { value };
            }
        }
    });
}
