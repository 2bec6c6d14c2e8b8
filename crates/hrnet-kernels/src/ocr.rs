//! The two attention pieces of the object-contextual head, which have no parameters.
//!
//! * Gather: softmax of each of K score maps over all pixels; region k = the features weighted by it.
//! * Attend: per pixel, softmax over the K regions of `scale * query . key`; the values weighted by it.
//!
//! Regions are blocked tensors of K rows and one column. All sums run in a fixed order.

use crate::par::{par_bands, par_chunks};
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
    let mut probabilities = vec![0.0f32; n * regions * pixels];
    par_chunks(pool, &mut probabilities, pixels, |index, map| {
        let (image, region) = (index / regions, index % regions);
        for (y, row) in map.chunks_exact_mut(w).enumerate() {
            let start = scores_shape.offset(image, region / LANES, y + 1) + LANES + region % LANES;
            row.iter_mut().zip(scores[start..].iter().step_by(LANES)).for_each(|(p, &s)| *p = s);
        }
        softmax(map, w);
    });
    par_bands(pool, dst_shape, dst, |band, rows| {
        for (region, row) in (band.y0..).zip(rows.chunks_exact_mut(dst_shape.row())) {
            let start = (band.n * regions + region) * pixels;
            let map = &probabilities[start..start + pixels];
            let mut total = [0.0f32; LANES];
            for (y, weights) in map.chunks_exact(w).enumerate() {
                let start = feats_shape.offset(band.n, band.cb, y + 1) + LANES;
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
            row[LANES..2 * LANES].copy_from_slice(&total);
        }
    });
}

/// Softmax in place; the denominator is summed row by row, then over rows.
fn softmax(values: &mut [f32], row: usize) {
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

    // weights[n][y][x][k]
    let mut weights = vec![0.0f32; n * h * w * regions];
    par_chunks(pool, &mut weights, w * regions, |index, row| {
        let (image, y) = (index / h, index % h);
        for (x, logits) in row.chunks_exact_mut(regions).enumerate() {
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
    });
    par_bands(pool, dst_shape, dst, |band, rows| {
        for (y, row) in (band.y0..).zip(rows.chunks_exact_mut(dst_shape.row())) {
            let start = (band.n * h + y) * w * regions;
            let weights = weights[start..start + w * regions].chunks_exact(regions);
            let cells = row[LANES..].as_chunks_mut::<LANES>().0;
            for (cell, weights) in cells.iter_mut().zip(weights) {
                let mut sum = [0.0f32; LANES];
                for (region, &weight) in weights.iter().enumerate() {
                    let v = value_shape.offset(band.n, band.cb, region + 1) + LANES;
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
