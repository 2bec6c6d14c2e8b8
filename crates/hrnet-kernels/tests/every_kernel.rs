//! Every row of the kernel table on every available level, against scalar references.
//!
//! Real data within a tolerance, with all buffers between guard pages; every ending (bias, addend, ReLU) on odd maps,
//! exactly on integers; identities between the kernels; what is refused. The sweep over shapes is in `guard_pages.rs`,
//! threads and batches in `same_bits.rs`.

mod common;
#[path = "common/guard.rs"]
mod guard;
#[path = "common/ways.rs"]
mod ways;

use common::*;
use guard::{Guarded, Side};
use hrnet_kernels::*;
use ways::*;

const TOLERANCE: f64 = DIRECT;

const CHANNELS: [usize; 10] = [1, 3, 15, 16, 17, 31, 32, 33, 48, 66];

/// (n, in channels, out channels, height, width): all channel pairs on a small map, then sizes around the
/// tile.
fn cases(tile: usize) -> Vec<(usize, usize, usize, usize, usize)> {
    let mut cases = Vec::new();
    for (i, &a) in CHANNELS.iter().enumerate() {
        for (j, &b) in CHANNELS.iter().enumerate() {
            cases.push((1, a, b, 2 + (i + j) % 2, 3 + (i + 2 * j) % 3));
        }
    }
    for w in [1, 2, tile.max(2) - 1, tile, tile + 1, 2 * tile + 1, 27] {
        for (h, a, b) in [(1, 17, 33), (2, 3, 16), (5, 16, 48)] {
            cases.push((2, a, b, h, w));
        }
    }
    cases
}

fn name(kernel: &Kernel, case: &(usize, usize, usize, usize, usize)) -> String {
    format!("{} n, ic, oc, h, w = {case:?}", kernel.name())
}

fn side(index: usize) -> Side {
    if index.is_multiple_of(2) { Side::End } else { Side::Start }
}

fn desc_of(op: Op, ic: usize, oc: usize) -> Option<ConvDesc> {
    match op {
        Op::Forward { kernel, stride }
        | Op::BackwardData { kernel, stride }
        | Op::WeightGrad { kernel, stride } => Some(ConvDesc { ic, oc, kernel, stride, padding: kernel / 2 }),
        Op::Transpose | Op::Winograd { .. } => None,
    }
}

/// One forward convolution between guard pages: the plain result.
fn run_way(
    way: &Way,
    pool: &Pool,
    desc: ConvDesc,
    shape: Shape,
    (src, weight, bias, residual): (&[f32], &[f32], &[f32], &[f32]),
    ending: Ending,
    side: Side,
    what: &str,
) -> Vec<f32> {
    let dst_shape = out_shape(desc, shape);
    let conv = (way.build)(weight, ending.bias.then_some(bias));
    assert_eq!(conv.desc(), desc);
    let src = Guarded::new(&blocked(src, shape), side).read_only();
    // The border of an addend is not read: it may hold anything.
    let held = output_holding(residual, dst_shape);
    let in_place = ending.residual == Addend::InPlace;
    let mut dst = Guarded::new(&if in_place { held.clone() } else { output(dst_shape) }, side);
    let addend = Guarded::new(&held, side).read_only();
    let residual = match ending.residual {
        Addend::None => Residual::None,
        Addend::InPlace => Residual::InPlace,
        Addend::From => Residual::From(&addend),
    };
    conv.run(pool, &src, shape, &mut dst, Epilogue { residual, relu: ending.relu });
    unblock(&dst, dst_shape, what)
}

fn forward(pool: &Pool, desc: ConvDesc, shape: Shape, endings: &[Ending], exact: bool, index: usize) {
    let dst_shape = out_shape(desc, shape);
    let mut rng = Rng(index as u64);
    let src = rng.numbers(plain_len(shape), exact);
    let weight = rng.numbers(desc.oc * desc.ic * desc.kernel * desc.kernel, exact);
    let bias = rng.numbers(desc.oc, exact);
    let residual = rng.numbers(plain_len(dst_shape), exact);
    let sums = conv_reference::<f64>(desc, &src, shape, &weight);
    let pixels = dst_shape.h * dst_shape.w;
    for &ending in endings {
        let want: Vec<f64> =
            (0..sums.len()).map(|i| ending.apply(sums[i], bias[i / pixels % desc.oc], residual[i])).collect();
        for way in ways(ConvCase { desc, ih: shape.h, iw: shape.w }) {
            let what = format!("{} {desc:?} {shape:?} {ending:?}", way.name);
            let data = (&src[..], &weight[..], &bias[..], &residual[..]);
            let got = run_way(&way, pool, desc, shape, data, ending, side(index), &what);
            compare(&got, &want, exact && way.exact, way.tolerance, &what);
        }
    }
}

const SIZES: [(usize, usize); 4] = [(1, 1), (1, 2), (3, 1), (3, 2)];

#[test]
fn forward_equals_the_reference() {
    let pool = Pool::new(2);
    for (kernel, stride) in SIZES {
        for (index, (n, ic, oc, h, w)) in cases(12).into_iter().enumerate() {
            let shape = Shape { n, c: ic, h, w };
            forward(&pool, square(ic, oc, kernel, stride), shape, &[Ending::number(index)], false, index);
        }
    }
}

#[test]
fn every_ending_on_odd_maps() {
    let pool = Pool::new(2);
    let maps = [(1, 1), (1, 13), (11, 1), (2, 2), (3, 5), (7, 7), (13, 13)];
    for (kernel, stride) in SIZES {
        for (index, (h, w)) in maps.into_iter().enumerate() {
            for (ic, oc) in [(3, 17), (16, 48), (20, 33)] {
                let shape = Shape { n: 1 + index % 2, c: ic, h, w };
                forward(&pool, square(ic, oc, kernel, stride), shape, &Ending::all(), true, index);
            }
        }
    }
}

#[test]
fn backward_data_equals_the_reference() {
    let pool = Pool::new(2);
    for kernel in available().filter(|k| matches!(k.op, Op::BackwardData { .. })) {
        for (index, case) in cases(kernel.depth).into_iter().enumerate() {
            let (n, ic, oc, h, w) = case;
            let what = name(kernel, &case);
            let desc = desc_of(kernel.op, ic, oc).unwrap();
            let shape = Shape { n, c: ic, h, w };
            let dy_shape = out_shape(desc, shape);
            let mut rng = Rng(index as u64);
            let src = vec![0.0; plain_len(shape)];
            let weight = rng.reals(oc * ic * desc.kernel * desc.kernel);
            let dy = rng.reals(plain_len(dy_shape));
            let before = rng.reals(plain_len(shape));
            let accumulate = index % 2 == 1;

            let conv = ConvBackwardData::with_kernel(kernel, desc, &weight);
            let guarded_dy = Guarded::new(&blocked(&dy, dy_shape), side(index)).read_only();
            let start = if accumulate { output_holding(&before, shape) } else { output(shape) };
            let mut dx = Guarded::new(&start, side(index));
            conv.run(&pool, &guarded_dy, shape, &mut dx, accumulate);

            let (mut want, _) = conv_gradients::<f64>(desc, &src, shape, &weight, &dy);
            if accumulate {
                want.iter_mut().zip(&before).for_each(|(w, &b)| *w += f64::from(b));
            }
            compare(&unblock(&dx, shape, &what), &want, false, TOLERANCE, &what);
        }
    }
}

#[test]
fn weight_gradient_equals_the_reference() {
    let pool = Pool::new(2);
    for kernel in available().filter(|k| matches!(k.op, Op::WeightGrad { .. })) {
        let mut cases = cases(kernel.depth);
        // Enough rows and images that strips and chunks are cut.
        cases.extend([(7, 16, 16, 9, 33), (3, 17, 48, 21, 40), (1, 3, 32, 50, 64)]);
        for (index, case) in cases.into_iter().enumerate() {
            let (n, ic, oc, h, w) = case;
            let what = name(kernel, &case);
            let desc = desc_of(kernel.op, ic, oc).unwrap();
            let shape = Shape { n, c: ic, h, w };
            let dy_shape = out_shape(desc, shape);
            let mut rng = Rng(index as u64);
            let src = rng.reals(plain_len(shape));
            let dy = rng.reals(plain_len(dy_shape));
            let before = rng.reals(oc * ic * desc.kernel * desc.kernel);

            let grad = ConvWeightGrad::with_kernel(kernel, desc);
            let mut scratch = AlignedBuf::default();
            let guarded_src = Guarded::new(&blocked(&src, shape), side(index)).read_only();
            let guarded_dy = Guarded::new(&blocked(&dy, dy_shape), side(index)).read_only();
            let mut dw = Guarded::new(&before, side(index));
            grad.run(&pool, &mut scratch, &guarded_src, shape, &guarded_dy, &mut dw);

            let (_, mut want) = conv_gradients::<f64>(desc, &src, shape, &before, &dy);
            want.iter_mut().zip(&before).for_each(|(w, &b)| *w += f64::from(b));
            compare(&dw, &want, false, TOLERANCE, &what);
            // Once more into the same scratch memory: adds the same again, bit for bit.
            let mut first = vec![0.0; before.len()];
            grad.run(&pool, &mut scratch, &guarded_src, shape, &guarded_dy, &mut first);
            let mut second = vec![0.0; before.len()];
            grad.run(&pool, &mut scratch, &guarded_src, shape, &guarded_dy, &mut second);
            assert_eq!(bits(&first), bits(&second), "{what}");
        }
    }
}

#[test]
fn transposed_convolution_equals_the_reference() {
    let pool = Pool::new(2);
    for kernel in available().filter(|k| k.op == Op::Transpose) {
        for (index, case) in cases(kernel.depth).into_iter().enumerate() {
            let (n, ic, oc, h, w) = case;
            let what = name(kernel, &case);
            let shape = Shape { n, c: ic, h, w };
            let dst_shape = Shape { n, c: oc, h: 2 * h, w: 2 * w };
            let mut rng = Rng(index as u64);
            let src = rng.reals(plain_len(shape));
            let weight = rng.reals(ic * oc * 16);
            let bias = rng.reals(oc);
            let (with_bias, relu) = (index % 2 == 1, index % 3 == 1);

            let conv = ConvTranspose::with_kernel(kernel, ic, oc, &weight, with_bias.then_some(&bias[..]));
            let guarded_src = Guarded::new(&blocked(&src, shape), side(index)).read_only();
            let mut dst = Guarded::new(&output(dst_shape), side(index));
            conv.run(&pool, &guarded_src, shape, &mut dst, relu);

            let mut want = transpose_reference::<f64>(ic, oc, &src, shape, &weight);
            let per_channel = dst_shape.h * dst_shape.w;
            for (i, v) in want.iter_mut().enumerate() {
                if with_bias {
                    *v += f64::from(bias[i / per_channel % oc]);
                }
                if relu {
                    *v = v.max(0.0);
                }
            }
            compare(&unblock(&dst, dst_shape, &what), &want, false, TOLERANCE, &what);
        }
    }
}

const LAYERS: [(usize, usize, usize, usize, usize, usize); 5] = [
    (16, 48, 3, 1, 9, 14),
    (40, 24, 3, 2, 11, 26),
    (33, 32, 1, 1, 6, 13),
    (64, 20, 1, 2, 7, 8),
    (3, 80, 3, 2, 40, 30),
];

#[test]
fn all_tiles_of_a_level_give_the_same_bits() {
    let pool = Pool::new(1);
    let desc = ConvDesc { ic: 37, oc: 96, kernel: 3, stride: 1, padding: 1 };
    let shape = Shape { n: 1, c: 37, h: 5, w: 29 };
    let (src, weight) = (Rng(1).reals(plain_len(shape)), Rng(2).reals(96 * 37 * 9));
    let src = blocked(&src, shape);
    for isa in Isa::available() {
        let mut seen: Option<Vec<u32>> = None;
        let op = Op::Forward { kernel: 3, stride: 1 };
        for kernel in available().filter(|k| k.op == op && k.isa == isa) {
            let mut dst = vec![0.0; Shape { c: 96, ..shape }.len()];
            let epilogue = Epilogue { residual: Residual::None, relu: false };
            Conv::with_kernel(kernel, desc, &weight, None).run(&pool, &src, shape, &mut dst, epilogue);
            let dst = bits(&dst);
            assert!(seen.get_or_insert(dst.clone()) == &dst, "{kernel:?}");
        }
    }
}

#[test]
fn transpose_identity_and_linearity_in_the_weights() {
    // <conv(x; w), y> = <x, conv^T(y; w)> = <w, dw(x, y)>, exact on integers.
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let pool = Pool::new(2);
    for isa in Isa::available() {
        for (ic, oc, kernel, stride, h, w) in LAYERS {
            let desc = ConvDesc { ic, oc, kernel, stride, padding: kernel / 2 };
            let shape = Shape { n: 2, c: ic, h, w };
            let dst_shape = out_shape(desc, shape);
            let (x, y) = (Rng(1).ints(plain_len(shape)), Rng(2).ints(plain_len(dst_shape)));
            let weight = Rng(3).ints(oc * ic * kernel * kernel);
            let (src, dy) = (blocked(&x, shape), blocked(&y, dst_shape));
            let (mut dst, mut dx) = (output(dst_shape), output(shape));
            let epilogue = Epilogue { residual: Residual::None, relu: false };
            Conv::new(isa, desc, &weight, None).run(&pool, &src, shape, &mut dst, epilogue);
            ConvBackwardData::new(isa, desc, &weight).run(&pool, &dy, shape, &mut dx, false);
            let mut dw = vec![0.0; weight.len()];
            ConvWeightGrad::new(isa, desc).run(&pool, &mut AlignedBuf::default(), &src, shape, &dy, &mut dw);
            let forward = dot(&unblock(&dst, dst_shape, "dst"), &y);
            assert_eq!(forward, dot(&unblock(&dx, shape, "dx"), &x), "{isa} {desc:?}");
            assert_eq!(forward, dot(&dw, &weight), "{isa} {desc:?}");
            assert!(forward != 0.0);
        }
    }
}

#[test]
fn repacking_replaces_weights_and_bias() {
    let pool = Pool::new(1);
    let desc = ConvDesc { ic: 19, oc: 21, kernel: 3, stride: 1, padding: 1 };
    let shape = Shape { n: 1, c: 19, h: 4, w: 5 };
    let dst_shape = out_shape(desc, shape);
    let src = blocked(&Rng(1).ints(plain_len(shape)), shape);
    let (first, second, bias) = (Rng(2).ints(21 * 19 * 9), Rng(3).ints(21 * 19 * 9), Rng(4).ints(21));
    let run = |conv: &Conv| {
        let mut dst = output(dst_shape);
        conv.run(&pool, &src, shape, &mut dst, Epilogue { residual: Residual::None, relu: false });
        unblock(&dst, dst_shape, "dst")
    };
    let mut conv = Conv::new(Isa::detect(), desc, &first, Some(&bias));
    let before = run(&conv);
    conv.repack(&second, None);
    assert_eq!(run(&conv), run(&Conv::new(Isa::detect(), desc, &second, None)));
    conv.repack(&first, Some(&bias));
    assert_eq!(run(&conv), before);
}

#[test]
fn nan_passes_the_relu_and_stays_in_its_pixels() {
    let pool = Pool::new(1);
    let desc = ConvDesc { ic: 1, oc: 16, kernel: 1, stride: 1, padding: 0 };
    let shape = Shape { n: 1, c: 1, h: 1, w: 14 };
    let dst_shape = out_shape(desc, shape);
    for isa in Isa::available() {
        let mut src = vec![-1.0; 14];
        src[5] = f32::NAN;
        let mut dst = output(dst_shape);
        let epilogue = Epilogue { residual: Residual::None, relu: true };
        Conv::new(isa, desc, &[1.0; 16], None).run(&pool, &blocked(&src, shape), shape, &mut dst, epilogue);
        for (i, v) in unblock(&dst, dst_shape, "dst").into_iter().enumerate() {
            assert!(if i % 14 == 5 { v.is_nan() } else { v == 0.0 }, "{isa}: {i} is {v}");
        }
    }
}

#[test]
fn wrong_lengths_and_levels_are_refused() {
    let desc = ConvDesc { ic: 4, oc: 4, kernel: 3, stride: 1, padding: 1 };
    let refused = |f: &dyn Fn()| {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
        let payload = outcome.expect_err("accepted");
        *payload.downcast::<String>().expect("a message")
    };
    let message = refused(&|| drop(Conv::new(Isa::Portable, desc, &[0.0; 5], None)));
    assert!(message.contains("144") && message.contains('5'), "{message}");
    let five = ConvDesc { kernel: 5, padding: 2, ..desc };
    assert!(refused(&|| drop(Conv::new(Isa::Portable, five, &[0.0; 400], None))).contains("no kernel"));
    let conv = Conv::new(Isa::Portable, desc, &[0.0; 144], None);
    let shape = Shape { n: 1, c: 4, h: 3, w: 3 };
    let short = refused(&|| {
        let epilogue = Epilogue { residual: Residual::None, relu: false };
        conv.run(&Pool::new(1), &vec![0.0; shape.len()], shape, &mut [0.0; 7], epilogue);
    });
    assert!(short.contains("dst") && short.contains('7'), "{short}");
    if Isa::detect() < Isa::Avx512 {
        assert!(refused(&|| drop(Conv::new(Isa::Avx512, desc, &[0.0; 144], None))).contains("offers"));
    }
}
