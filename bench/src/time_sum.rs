//! Sums of an exchange's output 0, one thread: one pass against one pass per term.
//! `cargo run --release -p hrnet-bench --bin time_sum`
#![forbid(unsafe_code)]

use hrnet_kernels::{AlignedBuf, Isa, Pool, Residual, Resize, Shape, Sum, resize_bilinear, upsample_nearest};
use std::time::Instant;

fn best(mut f: impl FnMut()) -> f64 {
    let time = |f: &mut dyn FnMut()| {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64() * 1e6
    };
    (0..3000).map(|_| time(&mut f)).fold(f64::INFINITY, f64::min)
}

fn main() {
    let (isa, pool) = (Isa::detect(), Pool::new(1));
    for (c, h, w, nearest) in
        [(32, 64, 48, true), (48, 96, 72, true), (18, 64, 64, false), (48, 128, 256, false)]
    {
        let dst_shape = Shape { n: 1, c, h, w };
        let mut dst = AlignedBuf::zeroed(dst_shape.len());
        let shapes = [2, 4, 8].map(|factor| Shape { n: 1, c, h: h / factor, w: w / factor });
        let srcs = shapes.map(|shape| AlignedBuf::zeroed(shape.len()));
        let terms: Vec<(Shape, Resize)> = shapes
            .iter()
            .map(|&shape| match nearest {
                true => (shape, Resize::Nearest { factor: h / shape.h }),
                false => (shape, Resize::Bilinear { align_corners: false }),
            })
            .collect();
        let sum = Sum::new(isa, dst_shape, &terms);
        let refs: Vec<&[f32]> = srcs.iter().map(|src| &src[..]).collect();
        let fused = best(|| sum.run(&pool, &refs, Residual::InPlace, &mut dst, true));
        let passes = best(|| {
            for (i, (src, &shape)) in srcs.iter().zip(&shapes).enumerate() {
                if nearest {
                    upsample_nearest(isa, &pool, src, shape, h / shape.h, &mut dst, true, i == 2);
                } else {
                    resize_bilinear(isa, &pool, src, shape, &mut dst, h, w, false, true, i == 2);
                }
            }
        });
        let kind = if nearest { "nearest" } else { "bilinear" };
        println!("{kind:8} c{c} {h}x{w}: one pass {fused:7.1} us, a pass per term {passes:7.1} us");
    }
}
