//! Prints GFLOP/s (of the direct algorithm's operations) of the tile-vector convolution beside the direct one,
//! and the time of the layout conversions, single-threaded.
//!
//! `cargo run --release -p hrnet-bench --bin time_planar -- [case ...]`, a case being for instance
//! `ic18ih64iw48oc18k3s1p1`. The level follows `HRNET_ISA`.
#![forbid(unsafe_code)]

use std::time::Instant;

use hrnet_kernels::*;

/// The branches of W18 whose channels do not fill vectors, at 256x256, 224x224 and 256x192.
const CASES: &[&str] = &[
    "ic18ih64iw64oc18k3s1p1",
    "ic18ih56iw56oc18k3s1p1",
    "ic18ih64iw48oc18k3s1p1",
    "ic36ih32iw32oc36k3s1p1",
    "ic36ih28iw28oc36k3s1p1",
    "ic36ih32iw24oc36k3s1p1",
    "ic72ih16iw16oc72k3s1p1",
    "ic72ih14iw14oc72k3s1p1",
    "ic72ih16iw12oc72k3s1p1",
];

/// Best of many repetitions, about 60 ms in all.
fn best(mut f: impl FnMut()) -> f64 {
    f();
    let (begin, mut best) = (Instant::now(), f64::INFINITY);
    while begin.elapsed().as_millis() < 60 {
        let start = Instant::now();
        f();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let isa = Isa::from_env()?;
    let pool = Pool::new(1);
    let cases = if given.is_empty() { CASES.iter().map(|c| c.to_string()).collect() } else { given };
    println!("{isa}; GFLOP/s planar, direct; microseconds planar, to_planar, from_planar");
    for text in cases {
        let ConvCase { desc, ih, iw } = text.parse()?;
        let shape = Shape { n: 1, c: desc.ic, h: ih, w: iw };
        let dst_shape = Shape { c: desc.oc, ..shape };
        let planar_shape = PlanarShape::from(shape);
        let weight: Vec<f32> =
            (0..desc.oc * desc.ic * 9).map(|i| (i * 7 % 13) as f32 * 0.01 - 0.06).collect();
        let plain: Vec<f32> = (0..desc.ic * ih * iw).map(|i| (i * 31 % 97) as f32 * 0.02 - 1.0).collect();
        let mut src = AlignedBuf::zeroed(shape.len());
        to_blocked(&pool, &plain, shape, &mut src);
        let mut dst = AlignedBuf::zeroed(dst_shape.len());
        let mut src_planar = AlignedBuf::zeroed(planar_shape.len());
        let mut dst_planar = AlignedBuf::zeroed(PlanarShape::from(dst_shape).len());

        let epilogue = Epilogue { residual: Residual::None, relu: true };
        let planar = PlanarConv::new(isa, desc, &weight, None);
        let direct = Conv::new(isa, desc, &weight, None);
        let to = best(|| to_planar(isa, &pool, &src, shape, &mut src_planar));
        let fast = best(|| planar.run(&pool, &src_planar, planar_shape, &mut dst_planar, epilogue));
        let from = best(|| from_planar(isa, &pool, &dst_planar, dst_shape, &mut dst));
        let slow = best(|| direct.run(&pool, &src, shape, &mut dst, epilogue));
        let flops = 2e-9 * desc.macs(ih, iw) as f64;
        println!(
            "{text:26} {:6.1} {:6.1}   {:7.1} {:6.1} {:6.1}   {}",
            flops / fast,
            flops / slow,
            fast * 1e6,
            to * 1e6,
            from * 1e6,
            planar.kernel_name()
        );
    }
    Ok(())
}
