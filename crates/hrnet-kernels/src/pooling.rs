//! Average and maximum pooling with kernel = stride, and the global average.

use crate::elementwise::plane_sum;
use crate::par::{SharedMut, par_bands};
use crate::{LANES, Pool, Shape};

fn pooled(shape: Shape, size: usize) -> Shape {
    assert!(size >= 1 && shape.h >= size && shape.w >= size, "pooling by {size} of {shape:?} has no output");
    Shape { h: shape.h / size, w: shape.w / size, ..shape }
}

/// Folds every `size` x `size` window, row by row from the top left, then finishes the value.
fn windows(
    pool: &Pool,
    src: &[f32],
    src_shape: Shape,
    size: usize,
    dst: &mut [f32],
    start: f32,
    fold: impl Fn(f32, f32) -> f32 + Sync,
    finish: impl Fn(f32) -> f32 + Sync,
) {
    let dst_shape = pooled(src_shape, size);
    src_shape.check("pooling: src", src.len());
    dst_shape.check("pooling: dst", dst.len());
    par_bands(pool, dst_shape, dst, |band, rows| {
        let lanes = dst_shape.lanes(band.cb);
        for (y, row) in (band.y0..).zip(rows.chunks_exact_mut(dst_shape.row())) {
            let row = &mut row[LANES..(dst_shape.w + 1) * LANES];
            for (x, cell) in row.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let mut value = [start; LANES];
                for ky in 0..size {
                    let from = src_shape.offset(band.n, band.cb, y * size + ky + 1) + (x * size + 1) * LANES;
                    for s in src[from..from + size * LANES].as_chunks::<LANES>().0 {
                        for lane in 0..LANES {
                            value[lane] = fold(value[lane], s[lane]);
                        }
                    }
                }
                for lane in 0..LANES {
                    cell[lane] = if lane < lanes { finish(value[lane]) } else { 0.0 };
                }
            }
        }
    });
}

/// Mean of every `size` x `size` window, stride = size; rows and columns left over are dropped.
pub fn avg_pool(pool: &Pool, src: &[f32], src_shape: Shape, size: usize, dst: &mut [f32]) {
    let area = (size * size) as f32;
    windows(pool, src, src_shape, size, dst, 0.0, |sum, v| sum + v, |sum| sum / area);
}

/// Maximum of every `size` x `size` window, stride = size; rows and columns left over are dropped. NaN wins.
pub fn max_pool(pool: &Pool, src: &[f32], src_shape: Shape, size: usize, dst: &mut [f32]) {
    let fold = |best: f32, v: f32| if v > best || v.is_nan() { v } else { best };
    windows(pool, src, src_shape, size, dst, f32::NEG_INFINITY, fold, |best| best);
}

/// Mean over the pixels of every channel: `dst[n][c]`, plain. Summed in f64.
pub fn global_avg_pool(pool: &Pool, src: &[f32], src_shape: Shape, dst: &mut [f32]) {
    src_shape.check("global_avg_pool: src", src.len());
    check_plain("global_avg_pool: dst", src_shape, dst.len());
    let pixels = (src_shape.h * src_shape.w) as f64;
    let shared = SharedMut::new(dst);
    pool.run(src_shape.n * src_shape.blocks(), &|plane| {
        let (n, cb) = (plane / src_shape.blocks(), plane % src_shape.blocks());
        let first = n * src_shape.c + cb * LANES;
        // SAFETY: the channels of one block of one image belong to one task.
        let dst = unsafe { shared.slice(first..first + src_shape.lanes(cb)) };
        let sum = plane_sum(src, src_shape, plane);
        dst.iter_mut().zip(sum).for_each(|(d, sum)| *d = (sum / pixels) as f32);
    });
}

/// `dx (+)= dy[n][c] / (h * w)` on every pixel.
pub fn global_avg_pool_backward(pool: &Pool, dy: &[f32], src_shape: Shape, dx: &mut [f32], accumulate: bool) {
    src_shape.check("global_avg_pool_backward: dx", dx.len());
    check_plain("global_avg_pool_backward: dy", src_shape, dy.len());
    let pixels = (src_shape.h * src_shape.w) as f32;
    par_bands(pool, src_shape, dx, |band, rows| {
        let mut value = [0.0f32; LANES];
        let start = band.n * src_shape.c + band.cb * LANES;
        let channels = &dy[start..start + src_shape.lanes(band.cb)];
        value.iter_mut().zip(channels).for_each(|(v, &dy)| *v = dy / pixels);
        for row in rows.chunks_exact_mut(src_shape.row()) {
            for cell in row[LANES..(src_shape.w + 1) * LANES].as_chunks_mut::<LANES>().0 {
                for lane in 0..LANES {
                    cell[lane] = if accumulate { cell[lane] + value[lane] } else { value[lane] };
                }
            }
        }
    });
}

fn check_plain(what: &str, shape: Shape, len: usize) {
    assert!(len == shape.n * shape.c, "{what}: {} x {} wanted, {len} found", shape.n, shape.c);
}
