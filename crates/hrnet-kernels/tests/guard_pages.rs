//! Check E1: no convolution kernel touches a byte outside its buffers, reads what it should not, or leaves an output
//! unwritten.
//!
//! Every buffer is mapped so that it ends at an unreadable page, and in a second run so that it starts after one.
//! Inputs, weights, bias and addend are read-only. Outputs start as NaN with a poisoned border, the border of an
//! addend is poisoned too. Results are compared with a plain loop, exactly on integers where the way promises that.
//!
//! The list of cases: channels 1 to 67 by widths 1 to 40 (so tile - 1, tile, tile + 1 and 2 * tile + 1 of every row of
//! the table occur), small odd heights, batches up to 7. The plain test run takes every 23rd; `HRNET_SWEEP=full`, as
//! `cargo xtask nightly guard` sets it, takes all.
//!
//! Packed weights are the crate's own memory and not guarded here: AddressSanitizer sees them
//! (`cargo xtask nightly asan`).

mod common;
#[path = "common/guard.rs"]
mod guard;
#[path = "common/running.rs"]
mod running;
#[path = "common/ways.rs"]
mod ways;

use common::*;
use guard::{Guarded, Side};
use hrnet_kernels::*;
use running::Running;
use ways::*;

const CHANNELS: usize = 67;
const WIDTH: usize = 40;
/// Beyond the list: channels around two triples of vectors, maps larger than a tile both ways.
const LARGE: [(usize, usize, usize, usize, usize); 8] = [
    (1, 16, 95, 3, 13),
    (1, 5, 96, 9, 25),
    (1, 97, 97, 2, 7),
    (2, 33, 130, 4, 5),
    (1, 67, 48, 17, 40),
    (1, 130, 18, 5, 9),
    (3, 18, 36, 14, 14),
    (7, 3, 64, 1, 1),
];

/// A batch of images and the two channel counts.
#[derive(Clone, Copy, Debug)]
struct Case {
    n: usize,
    ic: usize,
    oc: usize,
    h: usize,
    w: usize,
}

/// The list of one operation. Heights, batches and the other channel count vary with the place in it, so that two
/// operations see different combinations.
fn cases(operation: u64) -> Vec<Case> {
    let mut rng = Rng(operation);
    let mut cases: Vec<Case> = Vec::new();
    for c in 1..=CHANNELS {
        for w in 1..=WIDTH {
            let mut pick = |choices: &[usize]| choices[(rng.next() % choices.len() as u64) as usize];
            let other = pick(&[1, 2, 3, 7, 15, 16, 17, 18, 20, 31, 32, 33, 36, 47, 48, 49, 64, 65, 66, 67]);
            let h = pick(&[1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9]);
            let n = pick(&[1, 1, 1, 1, 2, 2, 3, 5]);
            let n = if h * w > 40 { n.min(2) } else { n };
            cases.push(if rng.next().is_multiple_of(2) {
                Case { n, ic: c, oc: other, h, w }
            } else {
                Case { n, ic: other, oc: c, h, w }
            });
        }
    }
    cases.extend(LARGE.map(|(n, ic, oc, h, w)| Case { n, ic, oc, h, w }));
    match std::env::var("HRNET_SWEEP").as_deref() {
        Ok("full") => cases,
        Ok(other) => panic!("HRNET_SWEEP={other}: `full` or unset"),
        Err(_) => {
            let skip = operation as usize % 23;
            let large = cases.len() - LARGE.len();
            cases.iter().enumerate().filter(|(i, _)| *i >= large || i % 23 == skip).map(|(_, &c)| c).collect()
        }
    }
}

/// Counts what one operation ran and prints it, for `--nocapture`.
struct Tally(&'static str, usize, usize);

impl Drop for Tally {
    fn drop(&mut self) {
        println!("{}: {} shapes, {} guarded runs", self.0, self.1, self.2);
    }
}

const SIDES: [Side; 2] = [Side::End, Side::Start];

fn guarded(values: &[f32], side: Side) -> Guarded {
    Guarded::new(values, side).read_only()
}

/// One and three threads take turns: the bands of a map differ.
fn pools() -> [Pool; 2] {
    [Pool::new(1), Pool::new(3)]
}

fn forward(kernel: usize, stride: usize, name: &'static str) {
    let (running, pools) = (Running::new(), pools());
    let mut tally = Tally(name, 0, 0);
    for (index, case) in cases((10 * kernel + stride) as u64).into_iter().enumerate() {
        let Case { n, ic, oc, h, w } = case;
        let desc = square(ic, oc, kernel, stride);
        let shape = Shape { n, c: ic, h, w };
        let dst_shape = out_shape(desc, shape);
        let ending = Ending::number(index);
        let ways = ways(ConvCase { desc, ih: h, iw: w });
        for exact in [true, false] {
            if ways.iter().all(|way| way.exact != exact) {
                continue;
            }
            let mut rng = Rng(index as u64);
            let src = rng.numbers(plain_len(shape), exact);
            let weight = rng.numbers(oc * ic * kernel * kernel, exact);
            let bias = rng.numbers(oc, exact);
            let residual = rng.numbers(plain_len(dst_shape), exact);
            let pixels = dst_shape.h * dst_shape.w;
            let end = |(i, sum): (usize, f64)| ending.apply(sum, bias[i / pixels % oc], residual[i]);
            let want: Vec<f64> = if exact {
                let sums = conv_reference::<f32>(desc, &src, shape, &weight);
                sums.into_iter().map(f64::from).enumerate().map(end).collect()
            } else {
                conv_reference::<f64>(desc, &src, shape, &weight).into_iter().enumerate().map(end).collect()
            };
            let (src, held) = (blocked(&src, shape), output_holding(&residual, dst_shape));
            let fresh = output(dst_shape);
            for side in SIDES {
                let (src, weight, addend) =
                    (guarded(&src, side), guarded(&weight, side), guarded(&held, side));
                let bias = ending.bias.then(|| guarded(&bias, side));
                for (number, way) in ways.iter().filter(|way| way.exact == exact).enumerate() {
                    running.set(format_args!("{} {case:?} {ending:?} {side:?}", way.name));
                    let conv = (way.build)(&weight, bias.as_deref());
                    let start = if ending.residual == Addend::InPlace { &held } else { &fresh };
                    let mut dst = Guarded::new(start, side);
                    let residual = match ending.residual {
                        Addend::None => Residual::None,
                        Addend::InPlace => Residual::InPlace,
                        Addend::From => Residual::From(&addend),
                    };
                    let epilogue = Epilogue { residual, relu: ending.relu };
                    conv.run(&pools[(index + number) % 2], &src, shape, &mut dst, epilogue);
                    let what = || format!("{} {case:?} {ending:?} {side:?}", way.name);
                    check(&dst, dst_shape, &want, exact, way.tolerance, what);
                    tally.2 += 1;
                }
            }
        }
        tally.1 += 1;
    }
}

/// Interior right, border as it was, unused lanes zero. Builds the name only for a message.
fn check(
    buf: &[f32],
    shape: Shape,
    want: &[f64],
    exact: bool,
    tolerance: f64,
    what: impl Fn() -> String + Copy,
) {
    let mut plain = vec![0.0; want.len()];
    if let Err(problem) = unblock_into(buf, shape, &mut plain) {
        panic!("{}: {problem}", what());
    }
    if !exact || plain.iter().zip(want).any(|(&g, &w)| f64::from(g) != w) {
        compare(&plain, want, exact, tolerance, &what());
    }
}

fn backward_data(kernel: usize, stride: usize, name: &'static str) {
    let (running, pools) = (Running::new(), pools());
    let mut tally = Tally(name, 0, 0);
    let op = Op::BackwardData { kernel, stride };
    for (index, case) in cases((100 + 10 * kernel + stride) as u64).into_iter().enumerate() {
        let Case { n, ic, oc, h, w } = case;
        let desc = square(ic, oc, kernel, stride);
        let shape = Shape { n, c: ic, h, w };
        let dy_shape = out_shape(desc, shape);
        let mut rng = Rng(index as u64);
        let weight = rng.ints(oc * ic * kernel * kernel);
        let dy = rng.ints(plain_len(dy_shape));
        let before = rng.ints(plain_len(shape));
        let accumulate = index % 2 == 1;
        let src = vec![0.0; plain_len(shape)];
        let (sums, _) = conv_gradients::<f32>(desc, &src, shape, &weight, &dy);
        let want: Vec<f64> = sums
            .iter()
            .zip(&before)
            .map(|(&s, &b)| f64::from(s) + if accumulate { f64::from(b) } else { 0.0 })
            .collect();
        let dy = blocked(&dy, dy_shape);
        let start = if accumulate { output_holding(&before, shape) } else { output(shape) };
        for side in SIDES {
            let (dy, weight) = (guarded(&dy, side), guarded(&weight, side));
            for (number, row) in available().filter(|k| k.op == op).enumerate() {
                running.set(format_args!("{row:?} {case:?} {side:?}"));
                let conv = ConvBackwardData::with_kernel(row, desc, &weight);
                let mut dx = Guarded::new(&start, side);
                conv.run(&pools[(index + number) % 2], &dy, shape, &mut dx, accumulate);
                check(&dx, shape, &want, true, 0.0, || format!("{row:?} {case:?} {side:?}"));
                tally.2 += 1;
            }
        }
        tally.1 += 1;
    }
}

fn weight_gradient(kernel: usize, stride: usize, name: &'static str) {
    let (running, pools) = (Running::new(), pools());
    let mut tally = Tally(name, 0, 0);
    let op = Op::WeightGrad { kernel, stride };
    for (index, case) in cases((200 + 10 * kernel + stride) as u64).into_iter().enumerate() {
        let Case { n, ic, oc, h, w } = case;
        let desc = square(ic, oc, kernel, stride);
        let shape = Shape { n, c: ic, h, w };
        let dy_shape = out_shape(desc, shape);
        let mut rng = Rng(index as u64);
        let src = rng.ints(plain_len(shape));
        let dy = rng.ints(plain_len(dy_shape));
        let before = rng.ints(oc * ic * kernel * kernel);
        let (_, sums) = conv_gradients::<f32>(desc, &src, shape, &before, &dy);
        let want: Vec<f32> = sums.iter().zip(&before).map(|(s, b)| s + b).collect();
        let (src, dy) = (blocked(&src, shape), blocked(&dy, dy_shape));
        for side in SIDES {
            let (src, dy) = (guarded(&src, side), guarded(&dy, side));
            for (number, row) in available().filter(|k| k.op == op).enumerate() {
                running.set(format_args!("{row:?} {case:?} {side:?}"));
                let grad = ConvWeightGrad::with_kernel(row, desc);
                let mut scratch = AlignedBuf::default();
                let mut dw = Guarded::new(&before, side);
                grad.run(&pools[(index + number) % 2], &mut scratch, &src, shape, &dy, &mut dw);
                assert!(dw[..] == want[..], "{row:?} {case:?} {side:?}");
                tally.2 += 1;
            }
        }
        tally.1 += 1;
    }
}

#[test]
fn forward_3x3() {
    forward(3, 1, "forward 3x3");
}

#[test]
fn forward_3x3_stride_2() {
    forward(3, 2, "forward 3x3 stride 2");
}

#[test]
fn forward_1x1() {
    forward(1, 1, "forward 1x1");
}

#[test]
fn forward_1x1_stride_2() {
    forward(1, 2, "forward 1x1 stride 2");
}

#[test]
fn backward_data_3x3() {
    backward_data(3, 1, "backward data 3x3");
}

#[test]
fn backward_data_3x3_stride_2() {
    backward_data(3, 2, "backward data 3x3 stride 2");
}

#[test]
fn backward_data_1x1() {
    backward_data(1, 1, "backward data 1x1");
}

#[test]
fn backward_data_1x1_stride_2() {
    backward_data(1, 2, "backward data 1x1 stride 2");
}

#[test]
fn weight_gradient_3x3() {
    weight_gradient(3, 1, "weight gradient 3x3");
}

#[test]
fn weight_gradient_3x3_stride_2() {
    weight_gradient(3, 2, "weight gradient 3x3 stride 2");
}

#[test]
fn weight_gradient_1x1() {
    weight_gradient(1, 1, "weight gradient 1x1");
}

#[test]
fn weight_gradient_1x1_stride_2() {
    weight_gradient(1, 2, "weight gradient 1x1 stride 2");
}

#[test]
fn transposed_convolution() {
    let (running, pools) = (Running::new(), pools());
    let mut tally = Tally("transposed convolution", 0, 0);
    for (index, case) in cases(300).into_iter().enumerate() {
        let Case { n, ic, oc, h, w } = case;
        let shape = Shape { n, c: ic, h, w };
        let dst_shape = Shape { n, c: oc, h: 2 * h, w: 2 * w };
        let mut rng = Rng(index as u64);
        let src = rng.ints(plain_len(shape));
        let weight = rng.ints(ic * oc * 16);
        let bias = rng.ints(oc);
        let ending = Ending { residual: Addend::None, ..Ending::number(index + 6 * (index % 2)) };
        let pixels = dst_shape.h * dst_shape.w;
        let sums = transpose_reference::<f32>(ic, oc, &src, shape, &weight);
        let want: Vec<f64> = sums
            .iter()
            .enumerate()
            .map(|(i, &s)| ending.apply(f64::from(s), bias[i / pixels % oc], 0.0))
            .collect();
        let (src, start) = (blocked(&src, shape), output(dst_shape));
        for side in SIDES {
            let (src, weight) = (guarded(&src, side), guarded(&weight, side));
            let bias = ending.bias.then(|| guarded(&bias, side));
            for (number, row) in available().filter(|k| k.op == Op::Transpose).enumerate() {
                running.set(format_args!("{row:?} {case:?} {ending:?} {side:?}"));
                let conv = ConvTranspose::with_kernel(row, ic, oc, &weight, bias.as_deref());
                let mut dst = Guarded::new(&start, side);
                conv.run(&pools[(index + number) % 2], &src, shape, &mut dst, ending.relu);
                check(&dst, dst_shape, &want, true, 0.0, || format!("{row:?} {case:?} {ending:?} {side:?}"));
                tally.2 += 1;
            }
        }
        tally.1 += 1;
    }
}

/// The guard pages work: each kind of wrong access ends a child process with a fault that names the case.
#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn a_wrong_access_is_a_fault() {
    use std::os::unix::process::ExitStatusExt;
    const VARIABLE: &str = "HRNET_TEST_WRONG_ACCESS";
    let values = [1.0_f32; 33];
    if let Ok(which) = std::env::var(VARIABLE) {
        let running = Running::new();
        running.set(format_args!("the case {which}"));
        match which.as_str() {
            "none" => {
                let buf = guarded(&values, Side::End);
                assert_eq!(std::hint::black_box(&buf)[32], 1.0);
            }
            "after" => {
                let buf = guarded(&values, Side::End);
                // SAFETY: none, the fault is what the test wants.
                let past = unsafe { buf.as_ptr().wrapping_add(33).read_volatile() };
                println!("{past}");
            }
            "before" => {
                let buf = guarded(&values, Side::Start);
                // SAFETY: none, the fault is what the test wants.
                let past = unsafe { buf.as_ptr().wrapping_sub(1).read_volatile() };
                println!("{past}");
            }
            "write" => {
                let mut buf = guarded(&values, Side::End);
                buf[0] = std::hint::black_box(2.0);
                std::hint::black_box(&buf);
            }
            other => panic!("{VARIABLE}={other}"),
        }
        return;
    }
    for which in ["none", "after", "before", "write"] {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_wrong_access_is_a_fault", "--nocapture"])
            .env(VARIABLE, which)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stderr);
        if which == "none" {
            assert!(child.status.success(), "{child:?}");
        } else {
            // Under AddressSanitizer its own handler may report the fault.
            assert!(
                child.status.signal().is_some() || said.contains("AddressSanitizer"),
                "{which}: {child:?}"
            );
            assert!(
                said.contains(&format!("the case {which}")) || said.contains("AddressSanitizer"),
                "{said}"
            );
        }
    }
}
