//! The two attention pieces of the object-contextual head, which have no parameters.
//!
//! * Gather: softmax of each of K score maps over all pixels; region k = the features weighted by it.
//! * Attend: per pixel, softmax over the K regions of `scale * query . key`; the values weighted by it.
//!
//! Regions are blocked tensors of K rows and one column. All sums run in a fixed order.

use crate::par::SharedMut;
use crate::{LANES, Pool, Shape};

/// `dst[n][c][k] = sum over pixels of softmax(scores[n][k])[pixel] * feats[n][c][pixel]`, dst of shape (n, C,
/// K, 1).
pub fn region_gather(
    pool: &Pool,
    scores: &[f32],
    scores_shape: Shape,
    feats: &[f32],
    feats_shape: Shape,
    dst: &mut [f32],
) {
    let Shape { n, c: regions, h, w } = scores_shape;
    let dst_shape = Shape { n, c: feats_shape.c, h: regions, w: 1 };
    assert!(
        (feats_shape.n, feats_shape.h, feats_shape.w) == (n, h, w),
        "region_gather: scores {scores_shape:?}, features {feats_shape:?}"
    );
    scores_shape.check("region_gather: scores", scores.len());
    feats_shape.check("region_gather: feats", feats.len());
    dst_shape.check("region_gather: dst", dst.len());
    let pixels = h * w;
    let shared = SharedMut::new(dst);
    pool.run_scratch(n * regions, &|index, scratch| {
        let (image, region) = (index / regions, index % regions);
        let mut own = Vec::new();
        let map = room(scratch, &mut own, pixels);
        for (y, row) in map.chunks_exact_mut(w).enumerate() {
            let start = scores_shape.offset(image, region / LANES, y + 1) + LANES + region % LANES;
            row.iter_mut().zip(scores[start..].iter().step_by(LANES)).for_each(|(p, &s)| *p = s);
        }
        softmax(map, w);
        for cb in 0..feats_shape.blocks() {
            let mut total = [0.0f32; LANES];
            for (y, weights) in map.chunks_exact(w).enumerate() {
                let start = feats_shape.offset(image, cb, y + 1) + LANES;
                let cells = feats[start..start + w * LANES].as_chunks::<LANES>().0;
                let mut sum = [0.0f32; LANES];
                for (cell, &weight) in cells.iter().zip(weights) {
                    for lane in 0..LANES {
                        sum[lane] += weight * cell[lane];
                    }
                }
                for lane in 0..LANES {
                    total[lane] += sum[lane];
                }
            }
            let at = dst_shape.offset(image, cb, region + 1) + LANES;
            // SAFETY: the pixel of this region and block belongs to one task.
            unsafe { shared.slice(at..at + LANES) }.copy_from_slice(&total);
        }
    });
}

/// `len` floats of the scratch, or of a buffer made now if the scratch is too small.
fn room<'a>(scratch: &'a mut [f32], own: &'a mut Vec<f32>, len: usize) -> &'a mut [f32] {
    if len <= scratch.len() {
        &mut scratch[..len]
    } else {
        own.resize(len, 0.0);
        own
    }
}

/// Softmax in place; the denominator is summed row by row, then over rows.
pub(crate) fn softmax(values: &mut [f32], row: usize) {
    let top = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0f32;
    for row in values.chunks_mut(row) {
        let mut sum = 0.0f32;
        for v in row {
            *v = (*v - top).exp();
            sum += *v;
        }
        total += sum;
    }
    values.iter_mut().for_each(|v| *v /= total);
}

/// `dst[n][v][pixel] = sum over k of softmax over k(scale * query[pixel] . key[k]) * value[n][v][k]`.
///
/// `key` has the channels of `query` and is a blocked (n, c, K, 1) tensor; so is `value` with `value_c`
/// channels. K is taken from the length of `key`.
pub fn region_attend(
    pool: &Pool,
    query: &[f32],
    query_shape: Shape,
    key: &[f32],
    value: &[f32],
    value_c: usize,
    scale: f32,
    dst: &mut [f32],
) {
    query_shape.check("region_attend: query", query.len());
    let Shape { n, c, h, w } = query_shape;
    let per_row = n * c.div_ceil(LANES) * 3 * LANES;
    let regions = (key.len() / per_row).saturating_sub(2);
    let key_shape = Shape { n, c, h: regions, w: 1 };
    let value_shape = Shape { n, c: value_c, h: regions, w: 1 };
    let dst_shape = Shape { n, c: value_c, h, w };
    key_shape.check("region_attend: key", key.len());
    value_shape.check("region_attend: value", value.len());
    dst_shape.check("region_attend: dst", dst.len());

    let shared = SharedMut::new(dst);
    pool.run_scratch(n * h, &|index, scratch| {
        let (image, y) = (index / h, index % h);
        let mut own = Vec::new();
        // weights[x][k]
        let weights = room(scratch, &mut own, w * regions);
        for (x, logits) in weights.chunks_exact_mut(regions).enumerate() {
            for (region, logit) in logits.iter_mut().enumerate() {
                let mut sum = [0.0f32; LANES];
                for cb in 0..query_shape.blocks() {
                    let q = query_shape.offset(image, cb, y + 1) + (x + 1) * LANES;
                    let k = key_shape.offset(image, cb, region + 1) + LANES;
                    let (q, k) = (&query[q..q + LANES], &key[k..k + LANES]);
                    for lane in 0..LANES {
                        sum[lane] += q[lane] * k[lane];
                    }
                }
                *logit = scale * sum.iter().sum::<f32>();
            }
            softmax(logits, regions);
        }
        for cb in 0..dst_shape.blocks() {
            let at = dst_shape.offset(image, cb, y + 1) + LANES;
            // SAFETY: the row of this image and block belongs to one task.
            let row = unsafe { shared.slice(at..at + w * LANES) };
            for (cell, weights) in
                row.as_chunks_mut::<LANES>().0.iter_mut().zip(weights.chunks_exact(regions))
            {
                let mut sum = [0.0f32; LANES];
                for (region, &weight) in weights.iter().enumerate() {
                    let v = value_shape.offset(image, cb, region + 1) + LANES;
                    let v = &value[v..v + LANES];
                    for lane in 0..LANES {
                        sum[lane] += weight * v[lane];
                    }
                }
                *cell = sum;
            }
        }
    });
}
