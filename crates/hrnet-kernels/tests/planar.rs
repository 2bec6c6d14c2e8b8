//! The tile-vector convolution and its layout, on every available level.
//!
//! Against f64 references within a tolerance; buffers between guard pages, inputs read-only; the zero rule
//! after every operation; the same bits for any number of threads and any place in a batch.

mod common;
#[path = "common/guard.rs"]
mod guard;

use common::*;
use guard::{Guarded, Side};
use hrnet_kernels::*;

/// Error bound relative to the rms of the reference: twice the largest error seen, 5.1e-6.
const TOLERANCE: f64 = 1e-5;

/// Both sides of a tile, of a row of 16 tiles, and the maps of the network.
const MAPS: [(usize, usize); 24] = [
    (1, 1),
    (1, 2),
    (2, 1),
    (2, 3),
    (3, 2),
    (3, 3),
    (4, 4),
    (5, 5),
    (6, 6),
    (7, 7),
    (8, 8),
    (9, 9),
    (4, 64),
    (64, 4),
    (3, 67),
    (66, 3),
    (5, 130),
    (13, 7),
    (7, 13),
    (14, 14),
    (16, 12),
    (28, 28),
    (32, 24),
    (56, 56),
];

const CHANNELS: [(usize, usize); 12] = [
    (1, 1),
    (2, 3),
    (3, 18),
    (5, 7),
    (9, 10),
    (16, 16),
    (17, 19),
    (18, 18),
    (27, 28),
    (36, 36),
    (40, 9),
    (72, 72),
];

fn cases() -> Vec<(usize, usize, PlanarShape)> {
    let mut cases = Vec::new();
    for (i, (h, w)) in MAPS.into_iter().enumerate() {
        let (ic, oc) = CHANNELS[i % 9];
        cases.push((ic, oc, PlanarShape { n: 1 + i % 2, c: ic, h, w }));
    }
    for (i, (ic, oc)) in CHANNELS.into_iter().enumerate() {
        let (h, w) = MAPS[(i * 5 + 6) % 15];
        cases.push((ic, oc, PlanarShape { n: 1, c: ic, h, w }));
    }
    for (c, h, w) in [(18, 56, 56), (36, 32, 24), (72, 16, 12), (40, 14, 14)] {
        cases.push((c, c, PlanarShape { n: 1, c, h, w }));
    }
    cases
}

fn desc(ic: usize, oc: usize) -> ConvDesc {
    ConvDesc { ic, oc, kernel: 3, stride: 1, padding: 1 }
}

fn side(index: usize) -> Side {
    if index.is_multiple_of(2) { Side::End } else { Side::Start }
}

/// Floats of a phase, as the documentation of the layout says.
fn phase(shape: PlanarShape) -> usize {
    let columns = shape.w.div_ceil(4);
    (shape.h.div_ceil(4) * columns).next_multiple_of(16).wrapping_add(columns + 2).next_multiple_of(16)
}

/// The tile layout, written down plainly: every float of the tensor, the copies and the zeros.
fn planar(plain: &[f32], shape: PlanarShape) -> Vec<f32> {
    let PlanarShape { n, c, h, w } = shape;
    let (columns, phase) = (w.div_ceil(4), phase(shape));
    let mut out = vec![0.0; n * c * 24 * phase];
    assert_eq!(out.len(), shape.len());
    for (plane, cells) in out.chunks_exact_mut(24 * phase).enumerate() {
        for (index, cell) in cells.iter_mut().enumerate() {
            let (r, j, t) = (index / phase / 6, index / phase % 6, index % phase);
            let (y, x) = (t / columns * 4 + r, t % columns * 4 + j);
            if (1..=h).contains(&y) && (1..=w).contains(&x) {
                *cell = plain[(plane * h + y - 1) * w + x - 1];
            }
        }
    }
    out
}

/// An output that obeys the zero rule where no kernel writes, and holds NaN elsewhere.
fn fresh(shape: PlanarShape) -> Vec<f32> {
    let mut buf = vec![f32::NAN; shape.len()];
    zero_planar_border(&Pool::new(1), &mut buf, shape);
    buf
}

/// The plain tensor of a planar one; checks every zero and every copy.
fn unplanar(buf: &[f32], shape: PlanarShape, what: &str) -> Vec<f32> {
    let mut plain = vec![f32::NAN; shape.n * shape.c * shape.h * shape.w];
    let (columns, phase) = (shape.w.div_ceil(4), phase(shape));
    for (plane, cells) in buf.chunks_exact(24 * phase).enumerate() {
        for y in 0..shape.h {
            for x in 0..shape.w {
                let (r, j, t) = ((y + 1) % 4, x % 4 + 1, (y + 1) / 4 * columns + x / 4);
                plain[(plane * shape.h + y) * shape.w + x] = cells[(r * 6 + j) * phase + t];
            }
        }
    }
    let again = planar(&plain, shape);
    for (i, (a, b)) in buf.iter().zip(&again).enumerate() {
        assert!(a == b || (a.is_nan() && b.is_nan()), "{what}: float {i} is {a}, by the layout {b}");
    }
    plain
}

#[test]
fn conversions_are_inverses_and_obey_the_layout() {
    let pool = Pool::new(2);
    for isa in Isa::available() {
        for (index, (_, c, shape)) in cases().into_iter().enumerate() {
            let shape = PlanarShape { c, ..shape };
            let what = format!("{isa} {shape:?}");
            let blocked_shape = Shape::from(shape);
            let plain = Rng(index as u64).reals(plain_len(blocked_shape));
            let src = Guarded::new(&blocked(&plain, blocked_shape), side(index)).read_only();
            let mut tiles = Guarded::new(&vec![f32::NAN; shape.len()], side(index));
            to_planar(isa, &pool, &src, blocked_shape, &mut tiles);
            assert_eq!(bits(&tiles), bits(&planar(&plain, shape)), "{what}");
            let tiles = tiles.read_only();
            let mut back = Guarded::new(&output(blocked_shape), side(index));
            from_planar(isa, &pool, &tiles, blocked_shape, &mut back);
            assert_eq!(bits(&unblock(&back, blocked_shape, &what)), bits(&plain), "{what}");
        }
    }
}

#[test]
fn convolution_equals_the_reference_and_keeps_the_zeros() {
    let pool = Pool::new(2);
    for isa in Isa::available() {
        for (index, (ic, oc, shape)) in cases().into_iter().enumerate() {
            let dst_shape = PlanarShape { c: oc, ..shape };
            let mut rng = Rng(index as u64);
            let src = rng.reals(plain_len(shape.into()));
            let weight = rng.reals(oc * ic * 9);
            let bias = rng.reals(oc);
            let residual = rng.reals(plain_len(dst_shape.into()));
            let (with_bias, relu, mode) = (index % 2 == 1, index % 3 == 1, index % 4);
            let conv = PlanarConv::new(isa, desc(ic, oc), &weight, with_bias.then_some(&bias[..]));
            let what = format!("{} {ic} to {oc}, {shape:?}, mode {mode}", conv.kernel_name());
            assert_eq!(conv.packed_len(), 36 * ic * oc);

            let guarded_src = Guarded::new(&planar(&src, shape), side(index)).read_only();
            let addend = Guarded::new(&planar(&residual, dst_shape), side(index)).read_only();
            let start = if mode == 1 { addend.to_vec() } else { fresh(dst_shape) };
            let mut dst = Guarded::new(&start, side(index));
            let epilogue_residual = match mode {
                1 => Residual::InPlace,
                2 => Residual::From(&addend),
                _ => Residual::None,
            };
            conv.run(&pool, &guarded_src, shape, &mut dst, Epilogue { residual: epilogue_residual, relu });

            let mut want: Vec<f64> = conv_reference(desc(ic, oc), &src, shape.into(), &weight);
            for (i, v) in want.iter_mut().enumerate() {
                if with_bias {
                    *v += f64::from(bias[i / (shape.h * shape.w) % oc]);
                }
                if mode == 1 || mode == 2 {
                    *v += f64::from(residual[i]);
                }
                if relu {
                    *v = v.max(0.0);
                }
            }
            compare(&unplanar(&dst, dst_shape, &what), &want, false, TOLERANCE, &what);
        }
    }
}

#[test]
fn lanes_that_are_no_pixels_stay_zero_beside_infinities() {
    let pool = Pool::new(1);
    for isa in Isa::available() {
        let shape = PlanarShape { n: 1, c: 2, h: 6, w: 9 };
        let dst_shape = PlanarShape { c: 3, ..shape };
        let src = vec![f32::INFINITY; plain_len(shape.into())];
        let conv = PlanarConv::new(isa, desc(2, 3), &[0.5; 54], None);
        let mut dst = fresh(dst_shape);
        let epilogue = Epilogue { residual: Residual::None, relu: false };
        conv.run(&pool, &planar(&src, shape), shape, &mut dst, epilogue);
        unplanar(&dst, dst_shape, "infinities");
    }
}

#[test]
fn bits_do_not_depend_on_threads_or_place_in_the_batch() {
    let pools = [1, 2, 3, 8].map(Pool::new);
    for isa in Isa::available() {
        for (ic, oc, h, w) in [(18, 18, 32, 24), (36, 36, 13, 7), (72, 72, 4, 4), (7, 5, 9, 9)] {
            let one = PlanarShape { n: 1, c: ic, h, w };
            let mut rng = Rng((ic * h) as u64);
            let weight = rng.reals(oc * ic * 9);
            let conv = PlanarConv::new(isa, desc(ic, oc), &weight, None);
            let src = rng.reals(plain_len(one.into()));
            let image = planar(&src, one);
            let mut want: Option<Vec<u32>> = None;
            for pool in &pools {
                for n in [1, 2, 5] {
                    let shape = PlanarShape { n, ..one };
                    let mut dst = fresh(PlanarShape { c: oc, ..shape });
                    let epilogue = Epilogue { residual: Residual::None, relu: true };
                    conv.run(pool, &image.repeat(n), shape, &mut dst, epilogue);
                    for got in dst.chunks_exact(dst.len() / n) {
                        assert!(
                            got.iter().all(|v| !v.is_nan()),
                            "{isa} {ic} {oc} {h} {w} {pool:?} {n}: a hole"
                        );
                        let want = want.get_or_insert_with(|| bits(got));
                        assert_eq!(&bits(got), want, "{isa} {ic} {oc} {h} {w} {pool:?} {n}");
                    }
                }
            }
        }
    }
}

#[test]
fn repacking_replaces_weights_and_bias() {
    let pool = Pool::new(1);
    let isa = Isa::detect();
    let shape = PlanarShape { n: 1, c: 5, h: 6, w: 6 };
    let mut rng = Rng(3);
    let src = planar(&rng.reals(plain_len(shape.into())), shape);
    let (first, second, bias) = (rng.reals(5 * 5 * 9), rng.reals(5 * 5 * 9), rng.reals(5));
    let run = |conv: &PlanarConv| {
        let mut dst = fresh(shape);
        conv.run(&pool, &src, shape, &mut dst, Epilogue { residual: Residual::None, relu: false });
        bits(&dst)
    };
    let mut conv = PlanarConv::new(isa, desc(5, 5), &first, Some(&bias));
    let before = run(&conv);
    conv.repack(&second, None);
    assert_eq!(run(&conv), run(&PlanarConv::new(isa, desc(5, 5), &second, None)));
    conv.repack(&first, Some(&bias));
    assert_eq!(run(&conv), before);
}

#[test]
#[should_panic(expected = "needs")]
fn a_wrong_length_panics() {
    let shape = PlanarShape { n: 1, c: 1, h: 4, w: 4 };
    let conv = PlanarConv::new(Isa::Portable, desc(1, 1), &[0.0; 9], None);
    let mut dst = vec![0.0; shape.len()];
    let epilogue = Epilogue { residual: Residual::None, relu: false };
    conv.run(&Pool::new(1), &dst.clone()[1..], shape, &mut dst, epilogue);
}
