//! Prints GFLOP/s of the convolution kernels on a few shapes: forward, backward-data and weight gradient.
//!
//! `cargo run --release -p hrnet-bench --bin time_conv -- [threads] [batch] [case ...]`, a case being
//! for instance `ic64ih64iw48oc64k3s1p1`, with `x24` behind it: 24 of them with own weights, one after the other,
//! as in a network whose weights are larger than the caches. The level follows `HRNET_ISA`.
#![forbid(unsafe_code)]

use hrnet_kernels::*;
use std::time::Instant;

/// Stem, layer1, the branches of W32 at 256x192, and the branches of W18-small-v1 at 128x128.
const CASES: &[&str] = &[
    "ic3ih256iw192oc64k3s2p1",
    "ic64ih128iw96oc64k3s2p1",
    "ic64ih64iw48oc64k3s1p1",
    "ic64ih64iw48oc256k1s1p0",
    "ic256ih64iw48oc64k1s1p0",
    "ic32ih64iw48oc32k3s1p1",
    "ic48ih64iw48oc48k3s1p1",
    "ic64ih32iw24oc64k3s1p1",
    "ic128ih16iw12oc128k3s1p1",
    "ic256ih8iw6oc256k3s1p1",
    "ic32ih64iw48oc64k3s2p1",
    "ic16ih32iw32oc16k3s1p1",
    "ic32ih16iw16oc32k3s1p1",
    "ic64ih8iw8oc64k3s1p1",
    "ic128ih4iw4oc128k3s1p1",
];

/// Seconds of the best of many repetitions, about 60 ms in all: other processes disturb most of them, hardly all.
fn best(mut f: impl FnMut()) -> f64 {
    f();
    let (begin, mut best) = (Instant::now(), f64::INFINITY);
    while begin.elapsed().as_secs_f64() < 0.06 {
        let start = Instant::now();
        f();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

fn filled(pool: &Pool, shape: Shape) -> AlignedBuf {
    let plain: Vec<f32> =
        (0..shape.n * shape.c * shape.h * shape.w).map(|i| (i * 31 % 97) as f32 * 0.02 - 1.0).collect();
    let mut buf = AlignedBuf::zeroed(shape.len());
    to_blocked(pool, &plain, shape, &mut buf);
    buf
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let threads: usize = args.next().map_or(Ok(1), |a| a.parse())?;
    let n: usize = args.next().map_or(Ok(1), |a| a.parse())?;
    let given: Vec<String> = args.collect();
    let isa = Isa::from_env()?;
    let pool = Pool::new(threads);
    let cases = if given.is_empty() { CASES.iter().map(|c| c.to_string()).collect() } else { given };
    println!(
        "{isa}, {threads} threads, batch {n}; GFLOP/s (of the direct algorithm) direct, F2, F4 or F3 at stride 2"
    );
    for text in cases {
        let (text, copies) = text.split_once('x').unwrap_or((&text, "1"));
        let copies: usize = copies.parse()?;
        let case: ConvCase = text.parse()?;
        let ConvCase { desc, ih, iw } = case;
        let (oh, ow) = desc.out(ih, iw);
        let src_shape = Shape { n, c: desc.ic, h: ih, w: iw };
        let dst_shape = Shape { n, c: desc.oc, h: oh, w: ow };
        let weight: Vec<f32> = (0..desc.oc * desc.ic * desc.kernel * desc.kernel)
            .map(|i| (i % 13) as f32 * 0.01 - 0.06)
            .collect();
        let (src, dy) = (filled(&pool, src_shape), filled(&pool, dst_shape));
        let (mut dst, mut dx) = (AlignedBuf::zeroed(dst_shape.len()), AlignedBuf::zeroed(src_shape.len()));
        let flops = 2e-9 * n as f64 * desc.macs(ih, iw) as f64;
        let mut algorithms = vec![Algorithm::Direct];
        if (desc.kernel, desc.stride) == (3, 1) {
            algorithms.extend([Algorithm::Wino2, Algorithm::Wino4]);
        }
        if (desc.kernel, desc.stride) == (3, 2) && desc.ic > 8 {
            algorithms.push(Algorithm::Wino3);
        }
        let mut line = format!("{text:28}");
        for algorithm in algorithms {
            let convs: Vec<Conv> =
                (0..copies).map(|_| Conv::with_algorithm(isa, case, algorithm, &weight, None)).collect();
            let time = best(|| {
                let epilogue = Epilogue { residual: Residual::None, relu: true };
                convs.iter().for_each(|conv| conv.run(&pool, &src, src_shape, &mut dst, epilogue));
            });
            line += &format!(" {:7.1}", copies as f64 * flops / time);
        }
        if std::env::var_os("GRADIENTS").is_some() {
            let mut dw = vec![0.0; weight.len()];
            let mut scratch = AlignedBuf::default();
            let (mut data, mut weights) = (String::new(), String::new());
            for algorithm in [Algorithm::Direct, Algorithm::Wino2, Algorithm::Wino3, Algorithm::Wino4] {
                if algorithm != Algorithm::Direct
                    && ((algorithm == Algorithm::Wino3) != (desc.stride == 2) || desc.kernel != 3)
                {
                    continue;
                }
                if algorithm != Algorithm::Wino3 {
                    let back = ConvBackwardData::with_algorithm(isa, desc, algorithm, &weight);
                    let time = best(|| back.run(&pool, &dy, src_shape, &mut dx, false));
                    data += &format!(" {:6.1}", flops / time);
                }
                let grad = ConvWeightGrad::with_algorithm(isa, desc, algorithm);
                let time = best(|| grad.run(&pool, &mut scratch, &src, src_shape, &dy, &mut dw));
                weights += &format!(" {:6.1}", flops / time);
            }
            line += &format!("   data{data}   weights{weights}");
        }
        println!("{line}   chosen {:?}", algorithm(&case, isa));
    }
    Ok(())
}
