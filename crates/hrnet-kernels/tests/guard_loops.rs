//! Check E1 for the loops around the convolutions: buffers between unreadable pages as in `guard_pages.rs`, inputs
//! read-only, outputs poisoned.
//!
//! The reference is the operation itself at the portable level with one thread: these loops give the same bits at every
//! level (`memory_bound.rs` compares the values with plain formulas). Channels 1 to 67 by widths 1 to 40; the plain
//! test run takes every 61st, `HRNET_SWEEP=full` all.

mod common;
#[path = "common/guard.rs"]
mod guard;
#[path = "common/running.rs"]
mod running;

use common::*;
use guard::{Guarded, Side};
use hrnet_kernels::*;
use running::Running;

/// Where an operation runs, and what comes out of it.
struct Place<'a> {
    isa: Isa,
    pool: &'a Pool,
    side: Side,
    out: Vec<u32>,
}

impl Place<'_> {
    fn input(&self, values: &[f32]) -> Guarded {
        Guarded::new(values, self.side).read_only()
    }

    /// Blocked numbers, read-only.
    fn blocked(&self, seed: u64, shape: Shape) -> Guarded {
        self.input(&blocked(&Rng(seed).reals(plain_len(shape)), shape))
    }

    /// A blocked output: NaN inside and a poisoned border, or the numbers it adds to.
    fn output(&self, shape: Shape, adds: bool) -> Guarded {
        let start =
            if adds { output_holding(&Rng(77).reals(plain_len(shape)), shape) } else { output(shape) };
        Guarded::new(&start, self.side)
    }

    /// A plain output of NaN, or the ones it adds to.
    fn plain(&self, len: usize, adds: bool) -> Guarded {
        Guarded::new(&vec![if adds { 1.0 } else { f32::NAN }; len], self.side)
    }

    fn keep(&mut self, buf: &[f32], shape: Shape, what: &str) {
        self.keep_plain(&unblock(buf, shape, what), what);
    }

    fn keep_plain(&mut self, values: &[f32], what: &str) {
        assert!(values.iter().all(|v| v.is_finite()), "{what}: not every output was written");
        self.out.extend(bits(values));
    }
}

/// An operation on maps of `shape`; `variant` counts up and chooses its switches.
type Operation = fn(&mut Place, Shape, usize, &str);

fn every_shape(seed: u64, operation: Operation) {
    let running = Running::new();
    let pools = [Pool::new(1), Pool::new(3)];
    let full = std::env::var("HRNET_SWEEP").is_ok_and(|v| v == "full");
    let mut rng = Rng(seed);
    let (mut shapes, mut runs) = (0, 0);
    for index in 0..67 * 40 {
        let (c, w) = (1 + index / 40, 1 + index % 40);
        let (h, n) = (1 + (rng.next() % 9) as usize, 1 + (rng.next() % 3) as usize);
        if !full && index as u64 % 61 != seed % 61 {
            continue;
        }
        let shape = Shape { n, c, h, w };
        let mut first: Option<Vec<u32>> = None;
        for side in [Side::End, Side::Start] {
            for isa in Isa::available() {
                let what = format!("{isa} {shape:?} {side:?}, variant {index}");
                running.set(format_args!("loop {seed}: {what}"));
                let mut place = Place { isa, pool: &pools[runs % 2], side, out: Vec::new() };
                operation(&mut place, shape, index, &what);
                let first = first.get_or_insert_with(|| place.out.clone());
                assert!(!first.is_empty() && *first == place.out, "{what}: other bits");
                runs += 1;
            }
        }
        shapes += 1;
    }
    println!("{shapes} shapes, {runs} guarded runs");
}

/// The `bit`-th switch of a variant.
fn on(variant: usize, bit: u32) -> bool {
    variant >> bit & 1 == 1
}

#[test]
fn layout() {
    every_shape(1, |place, shape, _, what| {
        let plain = place.input(&Rng(1).reals(plain_len(shape)));
        let mut buf = place.output(shape, false);
        to_blocked(place.pool, &plain, shape, &mut buf);
        place.keep(&buf, shape, what);
        let buf = buf.read_only();
        let mut back = place.plain(plain.len(), false);
        from_blocked(place.pool, &buf, shape, &mut back);
        assert!(back[..] == plain[..], "{what}");
        let mut buf = place.output(shape, true);
        zero_border(place.pool, &mut buf, shape);
        place.keep_plain(&buf, what);
    });
}

#[test]
fn sums_and_relu() {
    every_shape(2, |place, shape, variant, what| {
        let src = place.blocked(1, shape);
        let mut dst = place.output(shape, true);
        add(place.isa, place.pool, &src, &mut dst, shape, on(variant, 0));
        place.keep(&dst, shape, what);
        relu(place.isa, place.pool, &mut dst, shape);
        place.keep(&dst, shape, what);
        let (y, dy) = (place.blocked(2, shape), place.blocked(3, shape));
        let accumulate = on(variant, 1);
        let mut dx = place.output(shape, accumulate);
        relu_backward(place.isa, place.pool, &y, &dy, shape, &mut dx, accumulate);
        place.keep(&dx, shape, what);
        let mut db = place.plain(shape.c, true);
        bias_grad(place.pool, &dy, shape, &mut db);
        place.keep_plain(&db, what);
    });
}

#[test]
fn up_sampling() {
    every_shape(3, |place, shape, variant, what| {
        let factor = [1, 2, 3, 4, 8][variant % 5];
        let up = Shape { h: shape.h * factor, w: shape.w * factor, ..shape };
        let accumulate = on(variant, 0);
        let src = place.blocked(1, shape);
        let mut dst = place.output(up, accumulate);
        upsample_nearest(place.isa, place.pool, &src, shape, factor, &mut dst, accumulate, on(variant, 1));
        place.keep(&dst, up, what);
        let dy = place.blocked(2, up);
        let mut dx = place.output(shape, accumulate);
        upsample_nearest_backward(place.isa, place.pool, &dy, shape, factor, &mut dx, accumulate);
        place.keep(&dx, shape, what);
    });
}

#[test]
fn bilinear_resize() {
    every_shape(4, |place, shape, variant, what| {
        let (h, w) = [(1, 1), (3, 5), (2 * shape.h, 2 * shape.w), (shape.h, 17), (7, shape.w)][variant % 5];
        let to = Shape { h, w, ..shape };
        let (align, accumulate) = (on(variant, 0), on(variant, 1));
        let src = place.blocked(1, shape);
        let mut dst = place.output(to, accumulate);
        let act = on(variant, 2);
        resize_bilinear(place.isa, place.pool, &src, shape, &mut dst, h, w, align, accumulate, act);
        place.keep(&dst, to, what);
        let dy = place.blocked(2, to);
        let mut dx = place.output(shape, accumulate);
        resize_bilinear_backward(place.isa, place.pool, &dy, h, w, &mut dx, shape, align, accumulate);
        place.keep(&dx, shape, what);
    });
}

#[test]
fn concatenation() {
    every_shape(5, |place, shape, variant, what| {
        let shapes = [shape, Shape { c: 1 + variant % 19, ..shape }, Shape { c: 16, ..shape }];
        let whole = Shape { c: shapes.iter().map(|s| s.c).sum(), ..shape };
        let parts: Vec<Guarded> = (0..).zip(shapes).map(|(i, s)| place.blocked(i, s)).collect();
        let srcs: Vec<(&[f32], Shape)> = parts.iter().map(|p| &p[..]).zip(shapes).collect();
        let mut dst = place.output(whole, false);
        concat(place.pool, &srcs, &mut dst);
        place.keep(&dst, whole, what);
        let accumulate = on(variant, 0);
        let dy = place.blocked(9, whole);
        let mut dxs: Vec<Guarded> = shapes.iter().map(|&s| place.output(s, accumulate)).collect();
        let mut outs: Vec<(&mut [f32], Shape)> = dxs.iter_mut().map(|d| &mut d[..]).zip(shapes).collect();
        concat_backward(place.pool, &dy, &mut outs, accumulate);
        dxs.iter().zip(shapes).for_each(|(dx, s)| place.keep(dx, s, what));
    });
}

#[test]
fn pooling() {
    every_shape(6, |place, shape, variant, what| {
        let src = place.blocked(1, shape);
        let size = (1 + variant % 3).min(shape.h).min(shape.w);
        let to = Shape { h: shape.h / size, w: shape.w / size, ..shape };
        for average in [true, false] {
            let mut dst = place.output(to, false);
            let f = if average { avg_pool } else { max_pool };
            f(place.pool, &src, shape, size, &mut dst);
            place.keep(&dst, to, what);
        }
        let mut mean = place.plain(shape.n * shape.c, false);
        global_avg_pool(place.pool, &src, shape, &mut mean);
        place.keep_plain(&mean, what);
        let accumulate = on(variant, 0);
        let dy = place.input(&Rng(2).reals(shape.n * shape.c));
        let mut dx = place.output(shape, accumulate);
        global_avg_pool_backward(place.pool, &dy, shape, &mut dx, accumulate);
        place.keep(&dx, shape, what);
    });
}

#[test]
fn batch_norm() {
    every_shape(7, |place, shape, variant, what| {
        let Place { isa, pool, .. } = *place;
        let (x, residual) = (place.blocked(1, shape), place.blocked(2, shape));
        let (mut mean, mut var) = (place.plain(shape.c, false), place.plain(shape.c, false));
        bn_stats(isa, pool, &x, shape, &mut mean, &mut var);
        place.keep_plain(&mean, what);
        place.keep_plain(&var, what);
        let (mean, scale) = (mean.read_only(), place.input(&Rng(3).reals(shape.c)));
        let mut y = place.output(shape, false);
        let addend = on(variant, 0).then_some(&residual[..]);
        bn_apply(isa, pool, &x, shape, &scale, &mean, addend, on(variant, 1), &mut y);
        place.keep(&y, shape, what);

        let (dy, mask) = (place.blocked(4, shape), place.blocked(5, shape));
        let inv_std = place.input(&vec![0.5; shape.c]);
        let (accumulate, adds) = (on(variant, 2), on(variant, 3));
        let (mut dx, mut dr) = (place.output(shape, accumulate), place.output(shape, adds));
        let (mut dgamma, mut dbeta) = (place.plain(shape.c, true), place.plain(shape.c, true));
        let mask = on(variant, 1).then_some(&mask[..]);
        let dresidual = on(variant, 0).then_some((&mut dr[..], adds));
        let with_residual = dresidual.is_some();
        let gradient = BnGradient { dy: &dy, y: mask, x: &x, shape, mean: &mean };
        let sums = gradient.sums(isa, pool);
        bn_parameter_gradients(&sums, &inv_std, &mut dgamma, &mut dbeta);
        let factors = bn_factors(&sums, shape.n * shape.h * shape.w, &inv_std, &scale);
        gradient.apply(isa, pool, &factors, (&mut dx, accumulate), dresidual);
        place.keep(&dx, shape, what);
        if with_residual {
            place.keep(&dr, shape, what);
        }
        place.keep_plain(&dgamma, what);
        place.keep_plain(&dbeta, what);
    });
}

#[test]
fn object_regions() {
    every_shape(8, |place, shape, variant, what| {
        let Shape { n, c, .. } = shape;
        let k = 1 + variant % 21;
        let (scores, regions) = (Shape { c: k, ..shape }, Shape { n, c, h: k, w: 1 });
        let (scores_buf, feats) = (place.blocked(1, scores), place.blocked(2, shape));
        let mut dst = place.output(regions, false);
        region_gather(place.pool, &scores_buf, scores, &feats, shape, &mut dst);
        place.keep(&dst, regions, what);
        let value = Shape { c: 1 + variant % 37, ..regions };
        let (key, values) = (place.blocked(3, regions), place.blocked(4, value));
        let to = Shape { c: value.c, ..shape };
        let mut dst = place.output(to, false);
        region_attend(place.pool, &feats, shape, &key, &values, value.c, 0.25, &mut dst);
        place.keep(&dst, to, what);
    });
}

#[test]
fn linear_layers() {
    // Linear sums may differ between levels: each level is compared with itself at the other side.
    let running = Running::new();
    let pool = Pool::new(3);
    for index in 0..400 {
        let (n, inp, out) = (1 + index % 4, 1 + index % 67, 1 + index * 7 % 70);
        for isa in Isa::available() {
            let mut first: Option<Vec<u32>> = None;
            for side in [Side::End, Side::Start] {
                let what = format!("linear {isa} n {n}, {inp} to {out} {side:?}");
                running.set(format_args!("{what}"));
                let mut place = Place { isa, pool: &pool, side, out: Vec::new() };
                let [src, weight, bias, dy] =
                    [n * inp, out * inp, out, n * out].map(|len| place.input(&Rng(len as u64).reals(len)));
                let mut dst = place.plain(n * out, false);
                linear(isa, &pool, &src, n, &weight, on(index, 0).then_some(&bias[..]), inp, out, &mut dst);
                place.keep_plain(&dst, &what);
                let (mut dx, mut dw) = (place.plain(n * inp, false), place.plain(out * inp, true));
                let mut db = place.plain(out, true);
                linear_backward(
                    isa,
                    &pool,
                    &src,
                    &dy,
                    n,
                    &weight,
                    inp,
                    out,
                    Some(&mut dx),
                    &mut dw,
                    Some(&mut db),
                );
                place.keep_plain(&dx, &what);
                place.keep_plain(&dw, &what);
                place.keep_plain(&db, &what);
                assert!(*first.get_or_insert_with(|| place.out.clone()) == place.out, "{what}: other bits");
            }
        }
    }
}
