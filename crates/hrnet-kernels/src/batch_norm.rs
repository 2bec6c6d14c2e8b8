//! Batch normalisation in training: statistics, normalisation, backward.
//!
//! With N = images * pixels, xhat = (x - mean) * inv_std and g = dy (masked by y > 0 when a ReLU follows):
//!
//! ```text
//! dbeta = sum g        dgamma = sum g * xhat
//! dx    = gamma * inv_std * (g - dbeta / N - xhat * dgamma / N)
//! ```
//!
//! Sums are f64 (runs of 32 pixels in f32 for the gradients): one partial sum per (image, channel block, band
//! of rows), a cut fixed by the shape, merged in image and band order. f32 products are exact in f64, so one
//! pass gives the variance to about 1e-16 * mean^2 / variance.

use crate::elementwise::par_map;
use crate::isa::Proven;
use crate::par::{par_bands, par_bands2};
use crate::{Isa, LANES, Pool, Shape, Wanted};

type Lanes = [f32; LANES];
type Sums = [[f64; LANES]; 2];

/// Pixels of one partial sum.
const CHUNK_PIXELS: usize = 4096;

fn check_channels(what: &str, shape: Shape, len: usize) {
    assert!(len == shape.c, "{what}: {} channels, {len} values", shape.c);
}

/// The 16 values of a channel block; zero for unused lanes.
fn block_of(values: &[f32], cb: usize) -> Lanes {
    let mut lanes = [0.0; LANES];
    let from = &values[cb * LANES..values.len().min((cb + 1) * LANES)];
    lanes[..from.len()].copy_from_slice(from);
    lanes
}

/// Two sums per channel over all images and pixels. `rows(n, cb, y0, y1)` computes a partial one.
fn channel_sums(
    pool: &Pool,
    shape: Shape,
    rows: impl Fn(usize, usize, usize, usize) -> Sums + Sync,
) -> Vec<Sums> {
    let height = (CHUNK_PIXELS / shape.w).clamp(1, shape.h);
    let bands = shape.h.div_ceil(height);
    let blocks = shape.blocks();
    let parts = par_map(pool, shape.n * blocks * bands, |index| {
        let (n, cb, band) = (index / (blocks * bands), index / bands % blocks, index % bands);
        rows(n, cb, band * height, ((band + 1) * height).min(shape.h))
    });
    let mut totals = vec![Sums::default(); blocks];
    for (index, part) in parts.iter().enumerate() {
        let total = &mut totals[index / bands % blocks];
        for (total, part) in total.iter_mut().zip(part) {
            total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
        }
    }
    totals
}

/// Mean and biased variance of every channel over images and pixels.
pub fn bn_stats(isa: Isa, pool: &Pool, x: &[f32], shape: Shape, mean: &mut [f32], var: &mut [f32]) {
    shape.check("bn_stats: x", x.len());
    check_channels("bn_stats: mean", shape, mean.len());
    check_channels("bn_stats: var", shape, var.len());
    let proven = isa.prove();
    let sums = channel_sums(pool, shape, |n, cb, y0, y1| {
        let start = shape.offset(n, cb, y0 + 1);
        let rows = &x[start..start + (y1 - y0) * shape.row()];
        let mut sums = Sums::default();
        moment_rows(proven, rows, shape.row(), &mut sums);
        sums
    });
    let count = (shape.n * shape.h * shape.w) as f64;
    for c in 0..shape.c {
        let [sum, square] = sums[c / LANES].map(|lanes| lanes[c % LANES]);
        let average = sum / count;
        mean[c] = average as f32;
        // A NaN stays a NaN; rounding below zero becomes zero.
        let variance = square / count - average * average;
        var[c] = if variance < 0.0 { 0.0 } else { variance as f32 };
    }
}

multiversion! {
    fn moment_rows(rows: &[f32], row: usize, sums: &mut Sums) {
        let (mut sum, mut square) = ([0.0f64; LANES], [0.0f64; LANES]);
        for row in rows.chunks_exact(row) {
            for cell in row[LANES..row.len() - LANES].as_chunks::<LANES>().0 {
                for lane in 0..LANES {
                    let v = f64::from(cell[lane]);
                    sum[lane] += v;
                    square[lane] += v * v;
                }
            }
        }
        *sums = [sum, square];
    }
}

/// `y = act(x * scale + shift [+ residual])`.
pub fn bn_apply(
    isa: Isa,
    pool: &Pool,
    x: &[f32],
    shape: Shape,
    scale: &[f32],
    shift: &[f32],
    residual: Option<&[f32]>,
    relu: bool,
    y: &mut [f32],
) {
    shape.check("bn_apply: x", x.len());
    shape.check("bn_apply: y", y.len());
    residual.iter().for_each(|residual| shape.check("bn_apply: residual", residual.len()));
    check_channels("bn_apply: scale", shape, scale.len());
    check_channels("bn_apply: shift", shape, shift.len());
    let proven = isa.prove();
    par_bands(pool, shape, y, |band, rows| {
        let (scale, shift) = (block_of(scale, band.cb), block_of(shift, band.cb));
        let residual = residual.map(|residual| band.of(residual));
        apply_rows(proven, band.of(x), &scale, &shift, residual, relu, rows, shape.row());
    });
}

multiversion! {
    fn apply_rows[s](
        x: &[f32],
        scale: &Lanes,
        shift: &Lanes,
        residual: Option<&[f32]>,
        relu: bool,
        y: &mut [f32],
        row: usize,
    ) {
        let (scale, shift) = (s.get(scale), s.get(shift));
        // Without a residual its place is taken by x, which is not read for it.
        let (add, residual) = (residual.is_some(), residual.unwrap_or(x));
        for start in (0..y.len()).step_by(row) {
            let inner = start + LANES..start + row - LANES;
            let xs = x[inner.clone()].as_chunks::<LANES>().0;
            let rs = residual[inner.clone()].as_chunks::<LANES>().0;
            let ys = y[inner].as_chunks_mut::<LANES>().0;
            for (y, (x, r)) in ys.iter_mut().zip(xs.iter().zip(rs)) {
                let mut v = s.add(s.mul(s.get(x), scale), shift);
                if add {
                    v = s.add(v, s.get(r));
                }
                s.put(y, if relu { s.relu(v) } else { v });
            }
        }
    }
}

/// What the backward pass of a batch norm reads, with the ReLU and the residual branch that follow it.
///
/// It has two halves, [`BnGradient::sums`] and [`BnGradient::apply`], because the sums are not always those of this batch:
/// processes share them, and with running statistics there are none.
#[derive(Clone, Copy, Debug)]
pub struct BnGradient<'a> {
    /// Gradient of the result.
    pub dy: &'a [f32],
    /// The result after the ReLU, when there is one: `g` is `dy` where it is positive, else 0.
    pub y: Option<&'a [f32]>,
    /// The source.
    pub x: &'a [f32],
    /// The shape of all of them.
    pub shape: Shape,
    /// Mean of every channel in the forward pass.
    pub mean: &'a [f32],
}

/// Adds the gradients of scale and shift, from the [`BnGradient::sums`] of this batch.
pub fn bn_parameter_gradients(sums: &[[f64; 2]], inv_std: &[f32], dgamma: &mut [f32], dbeta: &mut [f32]) {
    for (what, len) in [("inv_std", inv_std.len()), ("dgamma", dgamma.len()), ("dbeta", dbeta.len())] {
        assert!(len == sums.len(), "bn_parameter_gradients: {} sums, {len} values of {what}", sums.len());
    }
    for (c, [sum, product]) in sums.iter().enumerate() {
        dbeta[c] += *sum as f32;
        dgamma[c] += (product * f64::from(inv_std[c])) as f32;
    }
}

/// The factors of [`BnGradient::apply`] for batch statistics over `count` values per channel. Sums of zero give those of running
/// statistics.
pub fn bn_factors(sums: &[[f64; 2]], count: usize, inv_std: &[f32], gamma: &[f32]) -> Vec<[f32; 3]> {
    let lens = [inv_std.len(), gamma.len()];
    assert!(lens == [sums.len(); 2], "bn_factors: {} sums, {lens:?} deviations and scales", sums.len());
    let count = count as f64;
    let factors = sums.iter().enumerate().map(|(c, [sum, product])| {
        let inv = f64::from(inv_std[c]);
        let a = f64::from(gamma[c]) * inv;
        let b = -a * inv * (product * inv) / count;
        [a as f32, b as f32, (-a * sum / count) as f32]
    });
    factors.collect()
}

impl BnGradient<'_> {
    fn check(&self, what: &str) {
        let Self { dy, y, x, shape, mean } = self;
        shape.check(&format!("{what}: dy"), dy.len());
        shape.check(&format!("{what}: x"), x.len());
        y.iter().for_each(|y| shape.check(&format!("{what}: y"), y.len()));
        check_channels(&format!("{what}: mean"), *shape, mean.len());
    }

    /// Per channel `[sum of g, sum of g (x - mean)]`.
    pub fn sums(&self, isa: Isa, pool: &Pool) -> Vec<[f64; 2]> {
        self.check("bn_gradient_sums");
        let Self { dy, y, x, shape, mean } = *self;
        let proven: Proven = isa.prove();
        let sums = channel_sums(pool, shape, |n, cb, y0, y1| {
            let start = shape.offset(n, cb, y0 + 1);
            let range = start..start + (y1 - y0) * shape.row();
            let mean = block_of(mean, cb);
            let mut sums = Sums::default();
            let y = y.map(|y| &y[range.clone()]);
            gradient_rows(proven, &dy[range.clone()], y, &x[range], &mean, shape.row(), &mut sums);
            sums
        });
        (0..shape.c).map(|c| sums[c / LANES].map(|lanes| lanes[c % LANES])).collect()
    }

    /// `dx = a g + b (x - mean) + c` with `[a, b, c]` per channel, and `dresidual = g`; each is added to what is there where
    /// its flag says so.
    pub fn apply(
        &self,
        isa: Isa,
        pool: &Pool,
        factors: &[[f32; 3]],
        dx: (&mut [f32], bool),
        dresidual: Wanted,
    ) {
        self.check("bn_gradient_apply");
        let Self { dy, y, x, shape, mean } = *self;
        let (dx, accumulate) = dx;
        shape.check("bn_gradient_apply: dx", dx.len());
        check_channels("bn_gradient_apply: factors", shape, factors.len());
        let proven: Proven = isa.prove();
        let pick = |cb: usize, which: usize| -> Lanes {
            std::array::from_fn(|lane| factors.get(cb * LANES + lane).map_or(0.0, |f| f[which]))
        };
        let (dresidual, residual_accumulate) = match dresidual {
            Some((buf, accumulate)) => {
                shape.check("bn_gradient_apply: dresidual", buf.len());
                (Some(buf), accumulate)
            }
            None => (None, false),
        };
        par_bands2(pool, shape, dx, dresidual, |band, dx, dresidual| {
            // (x - mean) is formed first in the loop: b * x + c would cancel when the mean is large.
            let factors = Factors {
                a: pick(band.cb, 0),
                b: pick(band.cb, 1),
                c: pick(band.cb, 2),
                mean: block_of(mean, band.cb),
            };
            let y = y.map(|y| band.of(y));
            let row = shape.row();
            input_rows(proven, band.of(dy), y, band.of(x), &factors, dx, accumulate, row);
            if let Some(dresidual) = dresidual {
                masked_rows(proven, band.of(dy), y, dresidual, residual_accumulate, row);
            }
        });
    }
}

struct Factors {
    a: Lanes,
    b: Lanes,
    c: Lanes,
    mean: Lanes,
}

/// Pixels summed in f32 before the sum goes to f64.
const RUN: usize = 32;

multiversion! {
    fn gradient_rows[s](
        dy: &[f32],
        y: Option<&[f32]>,
        x: &[f32],
        mean: &Lanes,
        row: usize,
        sums: &mut Sums,
    ) {
        let mean = s.get(mean);
        // Without a ReLU the place of y is taken by dy, which is not read as a mask.
        let (masked, y) = (y.is_some(), y.unwrap_or(dy));
        for start in (0..dy.len()).step_by(row) {
            let inner = start + LANES..start + row - LANES;
            let dys = dy[inner.clone()].as_chunks::<LANES>().0.chunks(RUN);
            let xs = x[inner.clone()].as_chunks::<LANES>().0.chunks(RUN);
            let ys = y[inner].as_chunks::<LANES>().0.chunks(RUN);
            for ((dys, xs), ys) in dys.zip(xs).zip(ys) {
                let (mut sum, mut product) = (s.splat(0.0), s.splat(0.0));
                for ((dy, x), y) in dys.iter().zip(xs).zip(ys) {
                    let mut g = s.get(dy);
                    if masked {
                        g = s.where_positive(s.get(y), g);
                    }
                    sum = s.add(sum, g);
                    product = s.add(product, s.mul(g, s.sub(s.get(x), mean)));
                }
                for (total, part) in sums.iter_mut().zip([sum, product]) {
                    let mut lanes = [0.0; LANES];
                    s.put(&mut lanes, part);
                    total.iter_mut().zip(lanes).for_each(|(t, p)| *t += f64::from(p));
                }
            }
        }
    }
}

multiversion! {
    fn input_rows[s](
        dy: &[f32],
        y: Option<&[f32]>,
        x: &[f32],
        factors: &Factors,
        dx: &mut [f32],
        accumulate: bool,
        row: usize,
    ) {
        let (a, b, c) = (s.get(&factors.a), s.get(&factors.b), s.get(&factors.c));
        let mean = s.get(&factors.mean);
        let (masked, y) = (y.is_some(), y.unwrap_or(dy));
        for start in (0..dx.len()).step_by(row) {
            let inner = start + LANES..start + row - LANES;
            let dys = dy[inner.clone()].as_chunks::<LANES>().0;
            let xs = x[inner.clone()].as_chunks::<LANES>().0;
            let ys = y[inner.clone()].as_chunks::<LANES>().0;
            let dxs = dx[inner].as_chunks_mut::<LANES>().0;
            for (((dx, dy), x), y) in dxs.iter_mut().zip(dys).zip(xs).zip(ys) {
                let mut g = s.get(dy);
                if masked {
                    g = s.where_positive(s.get(y), g);
                }
                let centred = s.sub(s.get(x), mean);
                let mut value = s.add(s.add(s.mul(a, g), s.mul(b, centred)), c);
                if accumulate {
                    value = s.add(s.get(dx), value);
                }
                s.put(dx, value);
            }
        }
    }
}

multiversion! {
    fn masked_rows[s](dy: &[f32], y: Option<&[f32]>, dst: &mut [f32], accumulate: bool, row: usize) {
        let (masked, y) = (y.is_some(), y.unwrap_or(dy));
        for start in (0..dst.len()).step_by(row) {
            let inner = start + LANES..start + row - LANES;
            let dys = dy[inner.clone()].as_chunks::<LANES>().0;
            let ys = y[inner.clone()].as_chunks::<LANES>().0;
            let dsts = dst[inner].as_chunks_mut::<LANES>().0;
            for ((d, dy), y) in dsts.iter_mut().zip(dys).zip(ys) {
                let mut g = s.get(dy);
                if masked {
                    g = s.where_positive(s.get(y), g);
                }
                s.put(d, if accumulate { s.add(s.get(d), g) } else { g });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AlignedBuf, to_blocked};

    #[test]
    fn sums_of_shares_make_the_whole() {
        let (pool, isa) = (Pool::new(2), Isa::detect());
        let whole = Shape { n: 3, c: 21, h: 5, w: 4 };
        let image = whole.c * whole.h * whole.w;
        let plain = |salt: usize| -> Vec<f32> {
            (0..3 * image).map(|i| ((i * 7919 + salt * 31) % 1009) as f32 / 300.0 - 1.5).collect()
        };
        let blocked = |plain: &[f32]| {
            let shape = Shape { n: plain.len() / image, ..whole };
            let mut buf = AlignedBuf::zeroed(shape.len());
            to_blocked(&pool, plain, shape, &mut buf);
            buf
        };
        let (x, dy, y) = (plain(1), plain(2), plain(3));
        let (mut mean, mut var) = (vec![0.0; 21], vec![0.0; 21]);
        bn_stats(isa, &pool, &blocked(&x), whole, &mut mean, &mut var);
        let inv_std: Vec<f32> = var.iter().map(|v| 1.0 / (v + 1e-5).sqrt()).collect();
        let gamma: Vec<f32> = (0..21).map(|c| 0.5 + c as f32 / 20.0).collect();
        for masked in [false, true] {
            // The images of a share: their sums, and their part of the gradient from given factors.
            let run = |images: std::ops::Range<usize>, factors: Option<&[[f32; 3]]>| {
                let range = images.start * image..images.end * image;
                let [x, dy, y] = [&x, &dy, &y].map(|plain| blocked(&plain[range.clone()]));
                let shape = Shape { n: images.len(), ..whole };
                let gradient = BnGradient { dy: &dy, y: masked.then_some(&y[..]), x: &x, shape, mean: &mean };
                let sums = gradient.sums(isa, &pool);
                let mut dx = AlignedBuf::zeroed(shape.len());
                if let Some(factors) = factors {
                    gradient.apply(isa, &pool, factors, (&mut dx, false), None);
                }
                (sums, dx)
            };
            let (sums, _) = run(0..3, None);
            let mut together = run(0..1, None).0;
            for (total, part) in together.iter_mut().zip(run(1..3, None).0) {
                (0..2).for_each(|k| total[k] += part[k]);
            }
            let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9 * (1.0 + a.abs());
            assert!(together.as_flattened().iter().zip(sums.as_flattened()).all(close));
            let factors = bn_factors(&sums, 60, &inv_std, &gamma);
            let dx = run(0..3, Some(&factors)).1;
            let shares = [run(0..1, Some(&factors)).1, run(1..3, Some(&factors)).1];
            assert_eq!([&shares[0][..], &shares[1][..]].concat(), dx[..]);
            assert!(dx.iter().any(|&v| v != 0.0));
        }
    }

    #[test]
    fn without_sums_the_gradient_is_scaled() {
        let factors = bn_factors(&[[0.0; 2]; 2], 8, &[0.5, 2.0], &[3.0, 1.5]);
        assert_eq!(factors, [[1.5, 0.0, 0.0], [3.0, 0.0, 0.0]]);
        let (mut dgamma, mut dbeta) = (vec![1.0; 2], vec![2.0; 2]);
        bn_parameter_gradients(&[[4.0, 6.0], [0.0, 1.0]], &[0.5, 2.0], &mut dgamma, &mut dbeta);
        assert_eq!((dgamma, dbeta), (vec![4.0, 3.0], vec![6.0, 2.0]));
    }
}
