//! Gradients of 3x3 convolutions by Winograd, at every level, against f64: around the tile sizes, with channels that fill
//! their lanes and that do not, all buffers between guard pages.

mod common;
#[path = "common/guard.rs"]
mod guard;
#[path = "common/ways.rs"]
mod ways;

use common::*;
use guard::{Guarded, Side};
use hrnet_kernels::*;
use ways::*;

/// Images, in channels, out channels, height, width. The last ones have several strips and chunks, and dU above and below
/// the size from which on positions are divided instead of tiles.
fn cases(m: usize) -> Vec<(usize, usize, usize, usize, usize)> {
    let mut cases = Vec::new();
    for (i, side) in [1, m - 1, m, m + 1, 2 * m + 1].into_iter().enumerate() {
        for (ic, oc) in [(3, 17), (16, 16), (18, 33), (33, 48), (1, 1), (20, 9)] {
            cases.push((1 + i % 2, ic, oc, side, 2 * m + 1));
            cases.push((2, ic, oc, 2 * m, side));
        }
    }
    cases.extend([(3, 32, 32, 17, 30), (2, 18, 18, 33, 21), (2, 64, 80, 9, 13), (5, 96, 64, 4, 6)]);
    cases
}

fn side(index: usize) -> Side {
    if index.is_multiple_of(2) { Side::End } else { Side::Start }
}

fn algorithm_of(m: usize) -> Algorithm {
    match m {
        2 => Algorithm::Wino2,
        3 => Algorithm::Wino3,
        _ => Algorithm::Wino4,
    }
}

fn tolerance(m: usize) -> f64 {
    if m == 4 { WINO4 } else { DIRECT }
}

#[test]
fn weight_gradient_equals_the_reference() {
    let pools = [Pool::new(1), Pool::new(3)];
    for isa in Isa::available() {
        for m in [2, 3, 4] {
            for (index, (n, ic, oc, h, w)) in cases(m).into_iter().enumerate() {
                let desc = square(ic, oc, 3, if m == 3 { 2 } else { 1 });
                let shape = Shape { n, c: ic, h, w };
                let dy_shape = out_shape(desc, shape);
                let what = format!("{isa} F({m}) {desc:?} {shape:?}");
                let mut rng = Rng(index as u64);
                let src = rng.reals(plain_len(shape));
                let dy = rng.reals(plain_len(dy_shape));
                let before = rng.reals(oc * ic * 9);
                let grad = ConvWeightGrad::with_algorithm(isa, desc, algorithm_of(m));
                assert_eq!(grad.algorithm(), algorithm_of(m));
                let guarded_src = Guarded::new(&blocked(&src, shape), side(index)).read_only();
                let guarded_dy = Guarded::new(&blocked(&dy, dy_shape), side(index)).read_only();
                let mut dw = Guarded::new(&before, side(index));
                // What an earlier layer left in the scratch must not matter.
                let mut scratch = AlignedBuf::zeroed(1 << 20);
                scratch.fill(f32::NAN);
                grad.run(&pools[index % 2], &mut scratch, &guarded_src, shape, &guarded_dy, &mut dw);
                let (_, mut want) = conv_gradients::<f64>(desc, &src, shape, &before, &dy);
                want.iter_mut().zip(&before).for_each(|(w, &b)| *w += f64::from(b));
                compare(&dw, &want, false, tolerance(m), &what);
            }
        }
    }
}

#[test]
fn source_gradient_equals_the_reference() {
    let pools = [Pool::new(1), Pool::new(3)];
    let rows = available().filter(|k| matches!(k.op, Op::Winograd { m: 2 | 4 }));
    for row in rows {
        let Op::Winograd { m } = row.op else { unreachable!() };
        for (index, (n, ic, oc, h, w)) in cases(m).into_iter().enumerate() {
            let desc = square(ic, oc, 3, 1);
            let shape = Shape { n, c: ic, h, w };
            let dy_shape = out_shape(desc, shape);
            let what = format!("{row:?} {desc:?} {shape:?}");
            let mut rng = Rng(index as u64);
            let src = vec![0.0; plain_len(shape)];
            let weight = rng.reals(oc * ic * 9);
            let dy = rng.reals(plain_len(dy_shape));
            let before = rng.reals(plain_len(shape));
            let accumulate = index % 2 == 1;
            let conv = ConvBackwardData::with_kernel(row, desc, &weight);
            assert_eq!((conv.desc(), conv.algorithm()), (desc, algorithm_of(m)));
            let guarded_dy = Guarded::new(&blocked(&dy, dy_shape), side(index)).read_only();
            let start = if accumulate { output_holding(&before, shape) } else { output(shape) };
            let mut dx = Guarded::new(&start, side(index));
            conv.run(&pools[index % 2], &guarded_dy, shape, &mut dx, accumulate);
            let (mut want, _) = conv_gradients::<f64>(desc, &src, shape, &weight, &dy);
            if accumulate {
                want.iter_mut().zip(&before).for_each(|(w, &b)| *w += f64::from(b));
            }
            compare(&unblock(&dx, shape, &what), &want, false, tolerance(m), &what);
        }
    }
}

#[test]
fn repacking_replaces_the_weights() {
    let pool = Pool::new(1);
    let desc = square(19, 21, 3, 1);
    let shape = Shape { n: 1, c: 19, h: 6, w: 5 };
    let dy = blocked(&Rng(1).reals(21 * 30), out_shape(desc, shape));
    let (first, second) = (Rng(2).reals(21 * 19 * 9), Rng(3).reals(21 * 19 * 9));
    for algorithm in [Algorithm::Direct, Algorithm::Wino2, Algorithm::Wino4] {
        let run = |conv: &ConvBackwardData| {
            let mut dx = output(shape);
            conv.run(&pool, &dy, shape, &mut dx, false);
            unblock(&dx, shape, "dx")
        };
        let mut conv = ConvBackwardData::with_algorithm(Isa::detect(), desc, algorithm, &first);
        let before = run(&conv);
        conv.repack(&second);
        let fresh = ConvBackwardData::with_algorithm(Isa::detect(), desc, algorithm, &second);
        assert_eq!(run(&conv), run(&fresh));
        assert_ne!(run(&conv), before);
        conv.repack(&first);
        assert_eq!(run(&conv), before);
    }
}
