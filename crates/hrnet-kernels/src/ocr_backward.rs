//! Backward of the two attention pieces of the object-contextual head. All sums run in a fixed order.

use crate::ocr::softmax;
use crate::par::{par_bands, par_chunks};
use crate::{LANES, Pool, Shape};

/// A gradient that is wanted: where it goes, and whether it is added to what is there.
pub type Wanted<'a> = Option<(&'a mut [f32], bool)>;

fn put(dst: &mut f32, value: f32, accumulate: bool) {
    *dst = if accumulate { *dst + value } else { value };
}

/// The cell of row `row` of a tensor of K rows and one column.
fn region(tensor: &[f32], shape: Shape, image: usize, cb: usize, row: usize) -> &[f32; LANES] {
    let at = shape.offset(image, cb, row + 1) + LANES;
    tensor[at..].first_chunk().expect("inside the tensor")
}

fn dot(a: &[f32; LANES], b: &[f32; LANES], sum: &mut [f32; LANES]) {
    for lane in 0..LANES {
        sum[lane] += a[lane] * b[lane];
    }
}

/// Backward of [`crate::region_gather`] for `dy` of shape (n, C, K, 1): gradients of the scores and of the features.
pub fn region_gather_backward(
    pool: &Pool,
    scores: &[f32],
    scores_shape: Shape,
    feats: &[f32],
    feats_shape: Shape,
    dy: &[f32],
    dscores: Wanted,
    dfeats: Wanted,
) {
    let Shape { n, c: regions, h, w } = scores_shape;
    let dy_shape = Shape { n, c: feats_shape.c, h: regions, w: 1 };
    scores_shape.check("region_gather_backward: scores", scores.len());
    feats_shape.check("region_gather_backward: feats", feats.len());
    dy_shape.check("region_gather_backward: dy", dy.len());
    let pixels = h * w;
    // [n][region][pixel]
    let mut shares = vec![0.0f32; n * regions * pixels];
    par_chunks(pool, &mut shares, pixels, |index, map| {
        let (image, k) = (index / regions, index % regions);
        for (y, row) in map.chunks_exact_mut(w).enumerate() {
            let start = scores_shape.offset(image, k / LANES, y + 1) + LANES + k % LANES;
            row.iter_mut().zip(scores[start..].iter().step_by(LANES)).for_each(|(p, &s)| *p = s);
        }
        softmax(map, w);
    });
    if let Some((dscores, accumulate)) = dscores {
        scores_shape.check("region_gather_backward: dscores", dscores.len());
        par_chunks(pool, dscores, scores_shape.plane(), |plane, dst| {
            let (image, block) = (plane / scores_shape.blocks(), plane % scores_shape.blocks());
            let mut slopes = vec![0.0f32; pixels];
            for lane in 0..scores_shape.lanes(block) {
                let k = block * LANES + lane;
                let shares = &shares[(image * regions + k) * pixels..][..pixels];
                let mut mean = 0.0f32;
                for y in 0..h {
                    let mut sum = 0.0f32;
                    for x in 0..w {
                        let mut parts = [0.0f32; LANES];
                        for cb in 0..feats_shape.blocks() {
                            let at = feats_shape.offset(image, cb, y + 1) + (x + 1) * LANES;
                            let cell = feats[at..].first_chunk().expect("inside the map");
                            dot(cell, region(dy, dy_shape, image, cb, k), &mut parts);
                        }
                        let slope = parts.iter().sum::<f32>();
                        slopes[y * w + x] = slope;
                        sum += shares[y * w + x] * slope;
                    }
                    mean += sum;
                }
                for (i, (&share, &slope)) in shares.iter().zip(&slopes).enumerate() {
                    let at = (i / w + 1) * scores_shape.row() + (i % w + 1) * LANES + lane;
                    put(&mut dst[at], share * (slope - mean), accumulate);
                }
            }
        });
    }
    if let Some((dfeats, accumulate)) = dfeats {
        feats_shape.check("region_gather_backward: dfeats", dfeats.len());
        par_bands(pool, feats_shape, dfeats, |band, rows| {
            for (y, row) in (band.y0..).zip(rows.chunks_exact_mut(feats_shape.row())) {
                let cells = row[LANES..(w + 1) * LANES].as_chunks_mut::<LANES>().0;
                for (x, cell) in cells.iter_mut().enumerate() {
                    let mut sum = [0.0f32; LANES];
                    for k in 0..regions {
                        let share = shares[(band.n * regions + k) * pixels + y * w + x];
                        let slope = region(dy, dy_shape, band.n, band.cb, k);
                        for lane in 0..LANES {
                            sum[lane] += share * slope[lane];
                        }
                    }
                    for lane in 0..LANES {
                        put(&mut cell[lane], sum[lane], accumulate);
                    }
                }
            }
        });
    }
}

/// Backward of [`crate::region_attend`] for `dy` of shape (n, value_c, h, w): gradients of query, key and value. The key
/// has `regions` rows.
pub fn region_attend_backward(
    pool: &Pool,
    query: &[f32],
    query_shape: Shape,
    key: &[f32],
    value: &[f32],
    value_c: usize,
    regions: usize,
    scale: f32,
    dy: &[f32],
    dquery: Wanted,
    dkey: Wanted,
    dvalue: Wanted,
) {
    let Shape { n, c, h, w } = query_shape;
    let key_shape = Shape { n, c, h: regions, w: 1 };
    let value_shape = Shape { n, c: value_c, h: regions, w: 1 };
    let dy_shape = Shape { n, c: value_c, h, w };
    query_shape.check("region_attend_backward: query", query.len());
    key_shape.check("region_attend_backward: key", key.len());
    value_shape.check("region_attend_backward: value", value.len());
    dy_shape.check("region_attend_backward: dy", dy.len());
    // Per row of pixels: shares [x][region], then the gradients of the logits likewise.
    let half = w * regions;
    let mut rows = vec![0.0f32; n * h * 2 * half];
    par_chunks(pool, &mut rows, 2 * half, |index, row| {
        let (image, y) = (index / h, index % h);
        let (shares, slopes) = row.split_at_mut(half);
        let pairs = shares.chunks_exact_mut(regions).zip(slopes.chunks_exact_mut(regions));
        for (x, (shares, slopes)) in pairs.enumerate() {
            for (k, (share, slope)) in shares.iter_mut().zip(&mut *slopes).enumerate() {
                *share = scale * pixel_dot(query, query_shape, [image, y, x], key, key_shape, k);
                *slope = pixel_dot(dy, dy_shape, [image, y, x], value, value_shape, k);
            }
            softmax(shares, regions);
            let mean: f32 = shares.iter().zip(&*slopes).map(|(a, b)| a * b).sum();
            slopes.iter_mut().zip(&*shares).for_each(|(slope, &share)| *slope = share * (*slope - mean));
        }
    });
    let of = |image: usize, y: usize| rows[(image * h + y) * 2 * half..][..2 * half].split_at(half);
    if let Some((dquery, accumulate)) = dquery {
        query_shape.check("region_attend_backward: dquery", dquery.len());
        par_bands(pool, query_shape, dquery, |band, dst| {
            for (y, row) in (band.y0..).zip(dst.chunks_exact_mut(query_shape.row())) {
                let slopes = of(band.n, y).1.chunks_exact(regions);
                let cells = row[LANES..(w + 1) * LANES].as_chunks_mut::<LANES>().0;
                for (cell, slopes) in cells.iter_mut().zip(slopes) {
                    let mut sum = [0.0f32; LANES];
                    for (k, &slope) in slopes.iter().enumerate() {
                        let key = region(key, key_shape, band.n, band.cb, k);
                        for lane in 0..LANES {
                            sum[lane] += slope * key[lane];
                        }
                    }
                    for lane in 0..LANES {
                        put(&mut cell[lane], scale * sum[lane], accumulate);
                    }
                }
            }
        });
    }
    // Over all pixels of an image: what of the shares or slopes, times the pixel's cell.
    let gather = |dst: &mut [f32], shape: Shape, accumulate: bool, map: &[f32], shares: bool, factor: f32| {
        let map_shape = Shape { n, c: shape.c, h, w };
        par_chunks(pool, dst, shape.plane(), |plane, dst| {
            let (image, cb) = (plane / shape.blocks(), plane % shape.blocks());
            let mut sums = vec![[0.0f32; LANES]; regions];
            for y in 0..h {
                let (a, b) = of(image, y);
                let weights = if shares { a } else { b };
                let start = map_shape.offset(image, cb, y + 1) + LANES;
                let cells = map[start..start + w * LANES].as_chunks::<LANES>().0;
                for (cell, weights) in cells.iter().zip(weights.chunks_exact(regions)) {
                    for (sum, &weight) in sums.iter_mut().zip(weights) {
                        for lane in 0..LANES {
                            sum[lane] += weight * cell[lane];
                        }
                    }
                }
            }
            for (k, sum) in sums.iter().enumerate() {
                let at = (k + 1) * shape.row() + LANES;
                for (d, s) in dst[at..at + LANES].iter_mut().zip(sum) {
                    put(d, factor * s, accumulate);
                }
            }
        });
    };
    if let Some((dkey, accumulate)) = dkey {
        key_shape.check("region_attend_backward: dkey", dkey.len());
        gather(dkey, key_shape, accumulate, query, false, scale);
    }
    if let Some((dvalue, accumulate)) = dvalue {
        value_shape.check("region_attend_backward: dvalue", dvalue.len());
        gather(dvalue, value_shape, accumulate, dy, true, 1.0);
    }
}

/// The dot product of a pixel with a region over all channels.
fn pixel_dot(
    map: &[f32],
    shape: Shape,
    [image, y, x]: [usize; 3],
    regions: &[f32],
    regions_shape: Shape,
    k: usize,
) -> f32 {
    let mut sum = [0.0f32; LANES];
    for cb in 0..shape.blocks() {
        let at = shape.offset(image, cb, y + 1) + (x + 1) * LANES;
        let cell = map[at..].first_chunk().expect("inside the map");
        dot(cell, region(regions, regions_shape, image, cb, k), &mut sum);
    }
    sum.iter().sum()
}
