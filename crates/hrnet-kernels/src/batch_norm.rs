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
use crate::{Isa, LANES, Pool, Shape};

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

/// Backward of batch norm in training, with the ReLU and the residual branch that follow it.
///
/// `y`: the output after the ReLU, when there is one (mask y > 0). `dx` and `dresidual` are overwritten or,
/// with their flag, added to; `dresidual` receives the masked `dy`. `dgamma` and `dbeta` are added to.
pub fn bn_backward(
    isa: Isa,
    pool: &Pool,
    dy: &[f32],
    y: Option<&[f32]>,
    x: &[f32],
    shape: Shape,
    mean: &[f32],
    inv_std: &[f32],
    gamma: &[f32],
    dx: &mut [f32],
    accumulate: bool,
    dresidual: Option<(&mut [f32], bool)>,
    dgamma: &mut [f32],
    dbeta: &mut [f32],
) {
    shape.check("bn_backward: dy", dy.len());
    shape.check("bn_backward: x", x.len());
    shape.check("bn_backward: dx", dx.len());
    y.iter().for_each(|y| shape.check("bn_backward: y", y.len()));
    for (what, len) in [
        ("bn_backward: mean", mean.len()),
        ("bn_backward: inv_std", inv_std.len()),
        ("bn_backward: gamma", gamma.len()),
        ("bn_backward: dgamma", dgamma.len()),
        ("bn_backward: dbeta", dbeta.len()),
    ] {
        check_channels(what, shape, len);
    }
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
    // dx = a * g + b * x + c, per channel.
    let count = (shape.n * shape.h * shape.w) as f64;
    let mut factors = vec![[0.0f32; 3]; shape.blocks() * LANES];
    for c in 0..shape.c {
        let [sum, product] = sums[c / LANES].map(|lanes| lanes[c % LANES]);
        let inv = f64::from(inv_std[c]);
        let product = product * inv;
        dbeta[c] += sum as f32;
        dgamma[c] += product as f32;
        let a = f64::from(gamma[c]) * inv;
        let b = -a * inv * product / count;
        // (x - mean) is formed first in the loop: b * x + c would cancel when the mean is large.
        factors[c] = [a as f32, b as f32, (-a * sum / count) as f32];
    }
    let pick =
        |cb: usize, which: usize| -> Lanes { std::array::from_fn(|lane| factors[cb * LANES + lane][which]) };
    let (dresidual, residual_accumulate) = match dresidual {
        Some((buf, accumulate)) => {
            shape.check("bn_backward: dresidual", buf.len());
            (Some(buf), accumulate)
        }
        None => (None, false),
    };
    par_bands2(pool, shape, dx, dresidual, |band, dx, dresidual| {
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
