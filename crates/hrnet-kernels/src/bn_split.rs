//! Batch norm backward in two halves, for batch norms whose sums are not those of this batch alone: shared with other
//! processes, or none because the running statistics are used.

use crate::par::par_bands2;
use crate::{LANES, Pool, Shape};
use std::sync::{Mutex, PoisonError};

/// Per channel `[sum of g, sum of g (x - mean)]`; `g` is `dy` where `y > 0` (everywhere without `y`). Summed in f64, row by
/// row, image by image.
pub fn bn_gradient_sums(
    pool: &Pool,
    dy: &[f32],
    y: Option<&[f32]>,
    x: &[f32],
    shape: Shape,
    mean: &[f32],
) -> Vec<[f64; 2]> {
    shape.check("bn_gradient_sums: dy", dy.len());
    shape.check("bn_gradient_sums: x", x.len());
    y.iter().for_each(|y| shape.check("bn_gradient_sums: y", y.len()));
    assert!(mean.len() == shape.c, "bn_gradient_sums: {} means for {shape:?}", mean.len());
    let planes: Vec<Mutex<[[f64; LANES]; 2]>> =
        (0..shape.n * shape.blocks()).map(|_| Mutex::default()).collect();
    pool.run(planes.len(), &|plane| {
        let (image, cb) = (plane / shape.blocks(), plane % shape.blocks());
        let mean = lanes_of(mean, cb);
        let mut sums = [[0.0f64; LANES]; 2];
        for row in 1..=shape.h {
            let start = shape.offset(image, cb, row) + LANES;
            let range = start..start + shape.w * LANES;
            let ys = y.unwrap_or(dy)[range.clone()].as_chunks::<LANES>().0;
            let dys = dy[range.clone()].as_chunks::<LANES>().0;
            for ((dy, y_cell), x) in dys.iter().zip(ys).zip(x[range].as_chunks::<LANES>().0) {
                for lane in 0..LANES {
                    let g = if y.is_none() || y_cell[lane] > 0.0 { f64::from(dy[lane]) } else { 0.0 };
                    sums[0][lane] += g;
                    sums[1][lane] += g * (f64::from(x[lane]) - f64::from(mean[lane]));
                }
            }
        }
        *planes[plane].lock().unwrap_or_else(PoisonError::into_inner) = sums;
    });
    let mut total = vec![[0.0; 2]; shape.c];
    for (plane, sums) in planes.into_iter().enumerate() {
        let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
        let channels = &mut total[plane % shape.blocks() * LANES..];
        for (lane, total) in channels.iter_mut().take(LANES).enumerate() {
            total[0] += sums[0][lane];
            total[1] += sums[1][lane];
        }
    }
    total
}

/// `dx (+)= a g + b (x - mean) + c` with `[a, b, c]` per channel, `g` as in [`bn_gradient_sums`]; `dresidual (+)= g`.
pub fn bn_gradient_apply(
    pool: &Pool,
    dy: &[f32],
    y: Option<&[f32]>,
    x: &[f32],
    shape: Shape,
    mean: &[f32],
    factors: &[[f32; 3]],
    dx: &mut [f32],
    accumulate: bool,
    dresidual: Option<(&mut [f32], bool)>,
) {
    shape.check("bn_gradient_apply: dy", dy.len());
    shape.check("bn_gradient_apply: x", x.len());
    shape.check("bn_gradient_apply: dx", dx.len());
    y.iter().for_each(|y| shape.check("bn_gradient_apply: y", y.len()));
    assert!(
        mean.len() == shape.c && factors.len() == shape.c,
        "bn_gradient_apply: {} means, {} factors for {shape:?}",
        mean.len(),
        factors.len()
    );
    let (dresidual, residual_accumulate) = match dresidual {
        Some((buf, accumulate)) => {
            shape.check("bn_gradient_apply: dresidual", buf.len());
            (Some(buf), accumulate)
        }
        None => (None, false),
    };
    par_bands2(pool, shape, dx, dresidual, |band, dx, mut dresidual| {
        let mean = lanes_of(mean, band.cb);
        let mut by_lane = [[0.0f32; LANES]; 3];
        for (lane, factors) in factors[band.cb * LANES..].iter().take(LANES).enumerate() {
            (0..3).for_each(|which| by_lane[which][lane] = factors[which]);
        }
        let [a, b, c] = by_lane;
        for start in (0..dx.len()).step_by(shape.row()) {
            let inner = start + LANES..start + shape.row() - LANES;
            let dys = band.of(dy)[inner.clone()].as_chunks::<LANES>().0;
            let ys = band.of(y.unwrap_or(dy))[inner.clone()].as_chunks::<LANES>().0;
            let xs = band.of(x)[inner.clone()].as_chunks::<LANES>().0;
            let dxs = dx[inner.clone()].as_chunks_mut::<LANES>().0;
            for (i, (((d, dy), y_cell), x)) in dxs.iter_mut().zip(dys).zip(ys).zip(xs).enumerate() {
                let mut g = [0.0f32; LANES];
                for lane in 0..LANES {
                    g[lane] = if y.is_none() || y_cell[lane] > 0.0 { dy[lane] } else { 0.0 };
                    let value = a[lane] * g[lane] + b[lane] * (x[lane] - mean[lane]) + c[lane];
                    d[lane] = if accumulate { d[lane] + value } else { value };
                }
                if let Some(residual) = &mut dresidual {
                    let at = inner.start + i * LANES;
                    for (r, g) in residual[at..at + LANES].iter_mut().zip(g) {
                        *r = if residual_accumulate { *r + g } else { g };
                    }
                }
            }
        }
    });
}

fn lanes_of(values: &[f32], cb: usize) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    lanes.iter_mut().zip(&values[cb * LANES..]).for_each(|(l, v)| *l = *v);
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AlignedBuf, Isa, bn_backward, bn_stats, to_blocked};

    #[test]
    fn the_halves_make_the_whole() {
        let pool = Pool::new(2);
        let shape = Shape { n: 3, c: 21, h: 5, w: 4 };
        let map = |salt: usize| {
            let plain: Vec<f32> =
                (0..3 * 21 * 20).map(|i| ((i * 7919 + salt * 31) % 1009) as f32 / 300.0 - 1.5).collect();
            let mut buf = AlignedBuf::zeroed(shape.len());
            to_blocked(&pool, &plain, shape, &mut buf);
            buf
        };
        let (x, dy, y, start) = (map(1), map(2), map(3), map(4));
        let gamma: Vec<f32> = (0..21).map(|c| 0.5 + c as f32 / 20.0).collect();
        let (mut mean, mut var) = (vec![0.0; 21], vec![0.0; 21]);
        bn_stats(Isa::detect(), &pool, &x, shape, &mut mean, &mut var);
        let inv_std: Vec<f32> = var.iter().map(|v| 1.0 / (v + 1e-5).sqrt()).collect();
        for (masked, accumulate) in [(false, false), (true, true)] {
            let y = masked.then_some(&y[..]);
            let (mut dx, mut residual) = (map(4), map(4));
            let (mut dgamma, mut dbeta) = (vec![0.0; 21], vec![0.0; 21]);
            bn_backward(
                Isa::detect(),
                &pool,
                &dy,
                y,
                &x,
                shape,
                &mean,
                &inv_std,
                &gamma,
                &mut dx,
                accumulate,
                Some((&mut residual, accumulate)),
                &mut dgamma,
                &mut dbeta,
            );
            let sums = bn_gradient_sums(&pool, &dy, y, &x, shape, &mean);
            let mut factors = Vec::new();
            for (c, [sum, product]) in sums.iter().enumerate() {
                let inv = f64::from(inv_std[c]);
                assert!((sum - f64::from(dbeta[c])).abs() < 1e-4);
                assert!((product * inv - f64::from(dgamma[c])).abs() < 1e-4);
                let a = f64::from(gamma[c]) * inv;
                factors.push([a as f32, (-a * inv * inv * product / 60.0) as f32, (-a * sum / 60.0) as f32]);
            }
            let (mut own_dx, mut own_residual) = (map(4), map(4));
            let wanted = Some((&mut own_residual[..], accumulate));
            bn_gradient_apply(&pool, &dy, y, &x, shape, &mean, &factors, &mut own_dx, accumulate, wanted);
            assert_eq!(own_residual[..], residual[..]);
            assert!(own_dx.iter().zip(&dx[..]).all(|(a, b)| (a - b).abs() < 1e-5));
            assert_ne!(own_dx[..], start[..]);
        }
    }
}
