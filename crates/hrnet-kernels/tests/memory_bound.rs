//! The loops around the convolutions against plain references: values, border, unused lanes, level and thread
//! count.

mod common;

use common::*;
use hrnet_kernels::*;

/// (n, c, h, w): channels around the block, odd sizes, one-pixel maps, and a map of several bands.
const SHAPES: [(usize, usize, usize, usize); 9] = [
    (1, 1, 1, 1),
    (2, 3, 1, 7),
    (1, 15, 5, 1),
    (2, 16, 4, 6),
    (3, 17, 3, 5),
    (1, 31, 2, 9),
    (1, 33, 7, 4),
    (2, 48, 6, 8),
    (1, 18, 40, 100),
];

fn shapes() -> impl Iterator<Item = Shape> {
    SHAPES.into_iter().map(|(n, c, h, w)| Shape { n, c, h, w })
}

/// Calls `f` for every level and for 1 and 3 threads, and checks that all outputs have the same bits.
fn everywhere(what: &str, f: impl Fn(Isa, &Pool) -> Vec<f32>) -> Vec<f32> {
    let mut first: Option<Vec<f32>> = None;
    for threads in [1, 3] {
        let pool = Pool::new(threads);
        for isa in Isa::available() {
            let got = f(isa, &pool);
            let first = first.get_or_insert_with(|| got.clone());
            assert!(bits(first) == bits(&got), "{what}: {isa}, {threads} threads");
        }
    }
    first.unwrap()
}

fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// (plain index of a pixel's plane, y, x) of a plain index.
fn place(index: usize, shape: Shape) -> (usize, usize, usize) {
    (index / (shape.h * shape.w), index / shape.w % shape.h, index % shape.w)
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[test]
fn add_and_relu() {
    for shape in shapes() {
        let (a, b) = (Rng(1).ints(plain_len(shape)), Rng(2).ints(plain_len(shape)));
        for act in [false, true] {
            let got = everywhere("add", |isa, pool| {
                let mut dst = output_holding(&b, shape);
                add(isa, pool, &blocked(&a, shape), &mut dst, shape, act);
                unblock(&dst, shape, "add")
            });
            let want = a.iter().zip(&b).map(|(a, b)| if act { (a + b).max(0.0) } else { a + b });
            assert_eq!(got, want.collect::<Vec<_>>());
        }
        let got = everywhere("relu", |isa, pool| {
            let mut dst = output_holding(&b, shape);
            relu(isa, pool, &mut dst, shape);
            unblock(&dst, shape, "relu")
        });
        assert_eq!(got, b.iter().map(|b| b.max(0.0)).collect::<Vec<_>>());
    }
}

#[test]
fn relu_gradient_and_bias_gradient() {
    for shape in shapes() {
        let (y, dy, old) =
            (Rng(1).ints(plain_len(shape)), Rng(2).ints(plain_len(shape)), Rng(3).ints(plain_len(shape)));
        for accumulate in [false, true] {
            let got = everywhere("relu_backward", |isa, pool| {
                let mut dx = if accumulate { output_holding(&old, shape) } else { output(shape) };
                let (y, dy) = (blocked(&y, shape), blocked(&dy, shape));
                relu_backward(isa, pool, &y, &dy, shape, &mut dx, accumulate);
                unblock(&dx, shape, "relu_backward")
            });
            for i in 0..got.len() {
                let g = if y[i] > 0.0 { dy[i] } else { 0.0 };
                assert_eq!(got[i], if accumulate { old[i] + g } else { g });
            }
        }
        let db = everywhere("bias_grad", |_, pool| {
            let mut db = vec![1.0; shape.c];
            bias_grad(pool, &blocked(&dy, shape), shape, &mut db);
            db
        });
        for (c, &got) in db.iter().enumerate() {
            let of_c = |i: &usize| place(*i, shape).0 % shape.c == c;
            let sum: f32 = (0..dy.len()).filter(of_c).map(|i| dy[i]).sum();
            assert_eq!(got, 1.0 + sum);
        }
    }
}

#[test]
fn nearest_up_sampling_and_its_backward() {
    for shape in shapes().take(8) {
        for factor in [1, 2, 3, 8] {
            let up = Shape { h: shape.h * factor, w: shape.w * factor, ..shape };
            let (x, old) = (Rng(1).ints(plain_len(shape)), Rng(2).ints(plain_len(up)));
            for (accumulate, act) in [(false, false), (true, false), (true, true), (false, true)] {
                let got = everywhere("upsample", |isa, pool| {
                    let mut dst = if accumulate { output_holding(&old, up) } else { output(up) };
                    let src = blocked(&x, shape);
                    upsample_nearest(isa, pool, &src, shape, factor, &mut dst, accumulate, act);
                    unblock(&dst, up, "upsample")
                });
                for (i, &got) in got.iter().enumerate() {
                    let (plane, y, xx) = place(i, up);
                    let v = x[(plane * shape.h + y / factor) * shape.w + xx / factor];
                    let v = if accumulate { v + old[i] } else { v };
                    assert_eq!(got, if act { v.max(0.0) } else { v });
                }
            }
            let (dy, old) = (Rng(3).ints(plain_len(up)), Rng(4).ints(plain_len(shape)));
            for accumulate in [false, true] {
                let got = everywhere("upsample backward", |isa, pool| {
                    let mut dx = if accumulate { output_holding(&old, shape) } else { output(shape) };
                    let dy = blocked(&dy, up);
                    upsample_nearest_backward(isa, pool, &dy, shape, factor, &mut dx, accumulate);
                    unblock(&dx, shape, "upsample backward")
                });
                let mut want = if accumulate { old.clone() } else { vec![0.0; got.len()] };
                for (i, &g) in dy.iter().enumerate() {
                    let (plane, y, xx) = place(i, up);
                    want[(plane * shape.h + y / factor) * shape.w + xx / factor] += g;
                }
                assert_eq!(got, want);
            }
        }
    }
}

fn resized(x: &[f32], shape: Shape, h: usize, w: usize, align: bool) -> Vec<f32> {
    everywhere("resize", |isa, pool| {
        let to = Shape { h, w, ..shape };
        let mut dst = output(to);
        resize_bilinear(isa, pool, &blocked(x, shape), shape, &mut dst, h, w, align, false, false);
        unblock(&dst, to, "resize")
    })
}

#[test]
fn bilinear_resize_gives_the_published_values() {
    // The 2x2 to 4x4 example of the PyTorch documentation.
    let shape = Shape { n: 1, c: 1, h: 2, w: 2 };
    let x = [1.0, 2.0, 3.0, 4.0];
    #[rustfmt::skip]
    let off = [1.0, 1.25, 1.75, 2.0, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3.0, 3.25, 3.75, 4.0];
    assert_eq!(resized(&x, shape, 4, 4, false), off);
    #[rustfmt::skip]
    let on = [
        1.0, 1.3333, 1.6667, 2.0, 1.6667, 2.0, 2.3333, 2.6667,
        2.3333, 2.6667, 3.0, 3.3333, 3.0, 3.3333, 3.6667, 4.0,
    ];
    for (got, want) in resized(&x, shape, 4, 4, true).into_iter().zip(on) {
        assert!((got - want).abs() < 1e-4, "{got} {want}");
    }
}

#[test]
fn bilinear_resize_equals_the_formula_and_its_backward_the_transpose() {
    let axis = |input: usize, output: usize, align: bool, dst: usize| -> (usize, usize, f64) {
        let source = match (align, output) {
            (true, 1) => 0.0,
            (true, _) => dst as f64 * (input - 1) as f64 / (output - 1) as f64,
            (false, _) => ((dst as f64 + 0.5) * input as f64 / output as f64 - 0.5).max(0.0),
        };
        // f32 may land just beside a whole number; both sides give nearly the same value.
        let low = (source.floor() as usize).min(input - 1);
        (low, (low + 1).min(input - 1), source - low as f64)
    };
    for shape in shapes().take(8) {
        for (h, w) in [(1, 1), (3, 5), (8, 12), (shape.h, shape.w), (2 * shape.h, 4 * shape.w), (2, 3)] {
            for align in [false, true] {
                let to = Shape { h, w, ..shape };
                let x = Rng(1).reals(plain_len(shape));
                let got = resized(&x, shape, h, w, align);
                let want: Vec<f64> = (0..got.len())
                    .map(|i| {
                        let (plane, y, xx) = place(i, to);
                        let (y0, y1, wy) = axis(shape.h, h, align, y);
                        let (x0, x1, wx) = axis(shape.w, w, align, xx);
                        let at = |y: usize, xx: usize| f64::from(x[(plane * shape.h + y) * shape.w + xx]);
                        (at(y0, x0) * (1.0 - wx) + at(y0, x1) * wx) * (1.0 - wy)
                            + (at(y1, x0) * (1.0 - wx) + at(y1, x1) * wx) * wy
                    })
                    .collect();
                // Source coordinates are f32: up to 1e-6 of a pixel, times a slope of up to 2.
                compare(&got, &want, false, 1e-5, &format!("{shape:?} to {h} x {w}, {align}"));

                let old = Rng(2).ints(plain_len(to));
                let sum = everywhere("resize and add", |isa, pool| {
                    let mut dst = output_holding(&old, to);
                    resize_bilinear(isa, pool, &blocked(&x, shape), shape, &mut dst, h, w, align, true, true);
                    unblock(&dst, to, "resize and add")
                });
                for i in 0..sum.len() {
                    assert_eq!(sum[i], (got[i] + old[i]).max(0.0));
                }

                let dy = Rng(3).reals(plain_len(to));
                let back = |accumulate: bool, old: &[f32]| {
                    everywhere("resize backward", |isa, pool| {
                        let mut dx = if accumulate { output_holding(old, shape) } else { output(shape) };
                        let dy = blocked(&dy, to);
                        resize_bilinear_backward(isa, pool, &dy, h, w, &mut dx, shape, align, accumulate);
                        unblock(&dx, shape, "resize backward")
                    })
                };
                let dx = back(false, &[]);
                let (left, right) = (dot(&got, &dy), dot(&x, &dx));
                assert!((left - right).abs() < 1e-4 * (1.0 + left.abs()), "{left} {right}");
                let added = back(true, &x);
                for i in 0..dx.len() {
                    assert_eq!(added[i], x[i] + dx[i]);
                }
            }
        }
    }
}

#[test]
fn concat_and_its_backward() {
    for channels in [vec![16, 32], vec![18, 36, 72, 144], vec![1, 15, 3], vec![33], vec![5, 7, 11, 40]] {
        let part = |c: usize| Shape { n: 2, c, h: 3, w: 5 };
        let whole = part(channels.iter().sum());
        let plains: Vec<Vec<f32>> =
            channels.iter().enumerate().map(|(i, &c)| Rng(i as u64).reals(plain_len(part(c)))).collect();
        // Plain concatenation: image by image, part after part.
        let mut want = Vec::new();
        for n in 0..2 {
            for (plain, &c) in plains.iter().zip(&channels) {
                want.extend(&plain[n * c * 15..(n + 1) * c * 15]);
            }
        }
        let bufs: Vec<Vec<f32>> = plains.iter().zip(&channels).map(|(p, &c)| blocked(p, part(c))).collect();
        let srcs: Vec<(&[f32], Shape)> =
            bufs.iter().zip(&channels).map(|(b, &c)| (&b[..], part(c))).collect();
        let got = everywhere("concat", |_, pool| {
            let mut dst = output(whole);
            concat(pool, &srcs, &mut dst);
            unblock(&dst, whole, "concat")
        });
        assert_eq!(got, want);

        for accumulate in [false, true] {
            let got = everywhere("concat backward", |_, pool| {
                let mut dxs: Vec<Vec<f32>> = plains
                    .iter()
                    .zip(&channels)
                    .map(|(p, &c)| if accumulate { output_holding(p, part(c)) } else { output(part(c)) })
                    .collect();
                let mut parts: Vec<(&mut [f32], Shape)> =
                    dxs.iter_mut().zip(&channels).map(|(d, &c)| (&mut d[..], part(c))).collect();
                concat_backward(pool, &blocked(&want, whole), &mut parts, accumulate);
                dxs.iter().zip(&channels).flat_map(|(d, &c)| unblock(d, part(c), "concat backward")).collect()
            });
            let times = if accumulate { 2.0 } else { 1.0 };
            let want: Vec<f32> = plains.iter().flatten().map(|v| v * times).collect();
            assert_eq!(got, want);
        }
    }
}

#[test]
fn pooling() {
    for shape in shapes() {
        let x = Rng(1).ints(plain_len(shape));
        let src = blocked(&x, shape);
        for size in [1, 2, 4].into_iter().filter(|&s| s <= shape.h && s <= shape.w) {
            let to = Shape { h: shape.h / size, w: shape.w / size, ..shape };
            let pooled = |average: bool| {
                everywhere("pool", |_, pool| {
                    let mut dst = output(to);
                    if average {
                        avg_pool(pool, &src, shape, size, &mut dst);
                    } else {
                        max_pool(pool, &src, shape, size, &mut dst);
                    }
                    unblock(&dst, to, "pool")
                })
            };
            let (average, maximum) = (pooled(true), pooled(false));
            for i in 0..average.len() {
                let (plane, y, xx) = place(i, to);
                let window: Vec<f32> = (0..size * size)
                    .map(|k| {
                        let (sy, sx) = (y * size + k / size, xx * size + k % size);
                        x[(plane * shape.h + sy) * shape.w + sx]
                    })
                    .collect();
                assert_eq!(average[i], window.iter().sum::<f32>() / (size * size) as f32);
                assert_eq!(maximum[i], window.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            }
        }
        let pixels = shape.h * shape.w;
        let mean = everywhere("global", |_, pool| {
            let mut dst = vec![f32::NAN; shape.n * shape.c];
            global_avg_pool(pool, &src, shape, &mut dst);
            dst
        });
        for (i, &got) in mean.iter().enumerate() {
            let sum: f32 = x[i * pixels..(i + 1) * pixels].iter().sum();
            assert_eq!(got, (f64::from(sum) / pixels as f64) as f32);
        }
        let dy = Rng(2).ints(shape.n * shape.c);
        for accumulate in [false, true] {
            let got = everywhere("global backward", |_, pool| {
                let mut dx = if accumulate { output_holding(&x, shape) } else { output(shape) };
                global_avg_pool_backward(pool, &dy, shape, &mut dx, accumulate);
                unblock(&dx, shape, "global backward")
            });
            for (i, &got) in got.iter().enumerate() {
                let g = dy[i / pixels] / pixels as f32;
                assert_eq!(got, if accumulate { x[i] + g } else { g });
            }
        }
    }
}

/// Plain values of one channel, in order.
fn channel(x: &[f32], shape: Shape, c: usize) -> Vec<f64> {
    let of_c = |i: &usize| place(*i, shape).0 % shape.c == c;
    (0..x.len()).filter(of_c).map(|i| f64::from(x[i])).collect()
}

#[test]
fn batch_norm_statistics() {
    for shape in shapes() {
        for offset in [0.0, 1000.0] {
            let x: Vec<f32> = Rng(1).reals(plain_len(shape)).iter().map(|v| v + offset).collect();
            let got = everywhere("bn_stats", |isa, pool| {
                let mut stats = vec![f32::NAN; 2 * shape.c];
                let (mean, var) = stats.split_at_mut(shape.c);
                bn_stats(isa, pool, &blocked(&x, shape), shape, mean, var);
                stats
            });
            for c in 0..shape.c {
                let values = channel(&x, shape, c);
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
                assert!((f64::from(got[c]) - mean).abs() <= 1e-7 * mean.abs() + 1e-9);
                assert!((f64::from(got[shape.c + c]) - var).abs() <= 1e-6 * var + 1e-9, "{shape:?} {var}");
            }
        }
    }
}

#[test]
fn batch_norm_forward() {
    for shape in shapes() {
        let (x, residual) = (Rng(1).ints(plain_len(shape)), Rng(2).ints(plain_len(shape)));
        let (scale, shift) = (Rng(3).ints(shape.c), Rng(4).ints(shape.c));
        for (with_residual, act) in [(false, false), (false, true), (true, false), (true, true)] {
            let got = everywhere("bn_apply", |isa, pool| {
                let mut y = output(shape);
                let residual = blocked(&residual, shape);
                let residual = with_residual.then_some(&residual[..]);
                bn_apply(isa, pool, &blocked(&x, shape), shape, &scale, &shift, residual, act, &mut y);
                unblock(&y, shape, "bn_apply")
            });
            for (i, &got) in got.iter().enumerate() {
                let c = place(i, shape).0 % shape.c;
                let v = x[i] * scale[c] + shift[c] + if with_residual { residual[i] } else { 0.0 };
                assert_eq!(got, if act { v.max(0.0) } else { v });
            }
        }
    }
}

/// Batch norm, residual and ReLU in f64; the loss is `sum of dy * output`. Returns loss and output.
fn bn_loss(
    x: &[f64],
    shape: Shape,
    gamma: &[f64],
    beta: &[f64],
    residual: &[f64],
    act: bool,
    dy: &[f32],
) -> (f64, Vec<f32>) {
    let (mut loss, mut out) = (0.0, vec![0.0; x.len()]);
    for c in 0..shape.c {
        let members: Vec<usize> = (0..x.len()).filter(|&i| place(i, shape).0 % shape.c == c).collect();
        let count = members.len() as f64;
        let mean = members.iter().map(|&i| x[i]).sum::<f64>() / count;
        let var = members.iter().map(|&i| (x[i] - mean).powi(2)).sum::<f64>() / count;
        for i in members {
            let v = (x[i] - mean) / (var + 1e-5).sqrt() * gamma[c] + beta[c] + residual[i];
            let v = if act { v.max(0.0) } else { v };
            out[i] = v as f32;
            loss += v * f64::from(dy[i]);
        }
    }
    (loss, out)
}

#[test]
fn batch_norm_backward_equals_finite_differences() {
    for (n, c, h, w, act) in [(2, 3, 3, 4, true), (3, 17, 2, 2, true), (1, 2, 4, 3, false)] {
        let shape = Shape { n, c, h, w };
        let len = plain_len(shape);
        let (x, dy, res) = (Rng(1).reals(len), Rng(2).reals(len), Rng(3).reals(len));
        let (gamma, beta) = (Rng(4).reals(c), Rng(5).reals(c));
        let (x64, res64, gamma64, beta64) = (f64s(&x), f64s(&res), f64s(&gamma), f64s(&beta));
        let (_, y) = bn_loss(&x64, shape, &gamma64, &beta64, &res64, act, &dy);
        let got = everywhere("bn_backward", |isa, pool| {
            let xb = blocked(&x, shape);
            let (mut mean, mut var) = (vec![0.0; c], vec![0.0; c]);
            bn_stats(isa, pool, &xb, shape, &mut mean, &mut var);
            let inv_std: Vec<f32> = var.iter().map(|v| 1.0 / (v + 1e-5).sqrt()).collect();
            let y = blocked(&y, shape);
            let dyb = blocked(&dy, shape);
            let (mut dx, mut dr) = (output(shape), output_holding(&res, shape));
            let (mut dgamma, mut dbeta) = (vec![1.0; c], vec![2.0; c]);
            let gradient = BnGradient { dy: &dyb, y: act.then_some(&y[..]), x: &xb, shape, mean: &mean };
            let sums = gradient.sums(isa, pool);
            bn_parameter_gradients(&sums, &inv_std, &mut dgamma, &mut dbeta);
            let factors = bn_factors(&sums, n * h * w, &inv_std, &gamma);
            gradient.apply(isa, pool, &factors, (&mut dx, false), Some((&mut dr, true)));
            // Once more on top: dx must double, and without a residual branch.
            let mut twice = dx.clone();
            gradient.apply(isa, pool, &factors, (&mut twice, true), None);
            let (dx, twice) = (unblock(&dx, shape, "dx"), unblock(&twice, shape, "dx twice"));
            assert!(dx.iter().zip(&twice).all(|(a, b)| 2.0 * a == *b));
            [dx, unblock(&dr, shape, "dresidual"), dgamma, dbeta].concat()
        });
        let step = 1e-5;
        let slope = |which: usize, i: usize| {
            let mut args = [x64.clone(), gamma64.clone(), beta64.clone(), res64.clone()];
            let mut at = |delta: f64| {
                args[which][i] += delta;
                let loss = bn_loss(&args[0], shape, &args[1], &args[2], &args[3], act, &dy).0;
                args[which][i] -= delta;
                loss
            };
            (at(step) - at(-step)) / (2.0 * step)
        };
        let close = |got: f32, want: f64, what: &str| {
            assert!((f64::from(got) - want).abs() < 2e-5 * (1.0 + want.abs()), "{what}: {got} {want}");
        };
        for i in 0..len {
            close(got[i], slope(0, i), "dx");
            close(got[len + i], f64::from(res[i]) + slope(3, i), "dresidual");
        }
        for i in 0..c {
            close(got[2 * len + i], 1.0 + slope(1, i), "dgamma");
            close(got[2 * len + c + i], 2.0 + slope(2, i), "dbeta");
        }
    }
}

#[test]
fn region_gather_and_attend() {
    for (n, k, c, v, h, w) in [(1, 3, 5, 7, 2, 3), (2, 19, 33, 16, 4, 5), (1, 1, 16, 20, 1, 1)] {
        let scores_shape = Shape { n, c: k, h, w };
        let feats_shape = Shape { n, c, h, w };
        let regions = Shape { n, c, h: k, w: 1 };
        let pixels = h * w;
        let (scores, feats) = (Rng(1).reals(plain_len(scores_shape)), Rng(2).reals(plain_len(feats_shape)));
        let softmax = |logits: &[f64]| -> Vec<f64> {
            let total: f64 = logits.iter().map(|l| l.exp()).sum();
            logits.iter().map(|l| l.exp() / total).collect()
        };
        let got = everywhere("gather", |_, pool| {
            let mut dst = output(regions);
            let (s, f) = (blocked(&scores, scores_shape), blocked(&feats, feats_shape));
            region_gather(pool, &s, scores_shape, &f, feats_shape, &mut dst);
            unblock(&dst, regions, "gather")
        });
        let mut want = vec![0.0; got.len()];
        for image in 0..n {
            for region in 0..k {
                let p = softmax(&f64s(&scores[(image * k + region) * pixels..][..pixels]));
                for channel in 0..c {
                    let f = &feats[(image * c + channel) * pixels..][..pixels];
                    want[(image * c + channel) * k + region] =
                        p.iter().zip(f).map(|(p, &f)| p * f64::from(f)).sum();
                }
            }
        }
        compare(&got, &want, false, 1e-5, "gather");

        let (key, value_shape) = (Rng(3).reals(n * c * k), Shape { n, c: v, h: k, w: 1 });
        let value = Rng(4).reals(plain_len(value_shape));
        let to = Shape { n, c: v, h, w };
        let scale = (c as f32).powf(-0.5);
        let got = everywhere("attend", |_, pool| {
            let mut dst = output(to);
            let (q, kb, vb) =
                (blocked(&feats, feats_shape), blocked(&key, regions), blocked(&value, value_shape));
            region_attend(pool, &q, feats_shape, &kb, &vb, v, scale, &mut dst);
            unblock(&dst, to, "attend")
        });
        let mut want = vec![0.0; got.len()];
        for image in 0..n {
            for pixel in 0..pixels {
                let logits: Vec<f64> = (0..k)
                    .map(|region| {
                        let products = (0..c).map(|channel| {
                            f64::from(feats[(image * c + channel) * pixels + pixel])
                                * f64::from(key[(image * c + channel) * k + region])
                        });
                        f64::from(scale) * products.sum::<f64>()
                    })
                    .collect();
                let p = softmax(&logits);
                for channel in 0..v {
                    let at = (image * v + channel) * k;
                    want[(image * v + channel) * pixels + pixel] =
                        p.iter().zip(&value[at..at + k]).map(|(p, &v)| p * f64::from(v)).sum();
                }
            }
        }
        compare(&got, &want, false, 1e-5, "attend");
    }
}
