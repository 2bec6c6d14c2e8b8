//! Nearest up-sampling by a whole factor: pixel replication, and its backward, the sum over the replicas.

use crate::conv::Residual;
use crate::par::par_bands;
use crate::sum::{Resize, Sum};
use crate::{Isa, LANES, Pool, Shape};

fn upsampled(shape: Shape, factor: usize) -> Shape {
    assert!(factor >= 1, "upsample_nearest: factor 0");
    Shape { h: shape.h * factor, w: shape.w * factor, ..shape }
}

/// `dst = act([dst +] replicate(src))`; dst is `factor` times as high and wide.
pub fn upsample_nearest(
    isa: Isa,
    pool: &Pool,
    src: &[f32],
    src_shape: Shape,
    factor: usize,
    dst: &mut [f32],
    accumulate: bool,
    relu: bool,
) {
    let sum = Sum::new(isa, upsampled(src_shape, factor), &[(src_shape, Resize::Nearest { factor })]);
    let addend = if accumulate { Residual::InPlace } else { Residual::None };
    sum.run(pool, &[src], addend, dst, relu);
}

/// `dx (+)= sum of dy over the replicas`, row by row.
pub fn upsample_nearest_backward(
    isa: Isa,
    pool: &Pool,
    dy: &[f32],
    src_shape: Shape,
    factor: usize,
    dx: &mut [f32],
    accumulate: bool,
) {
    let dy_shape = upsampled(src_shape, factor);
    dy_shape.check("upsample_nearest_backward: dy", dy.len());
    src_shape.check("upsample_nearest_backward: dx", dx.len());
    let proven = isa.prove();
    par_bands(pool, src_shape, dx, |band, rows| {
        for (y, row) in (band.y0..).zip(rows.chunks_exact_mut(src_shape.row())) {
            let start = dy_shape.offset(band.n, band.cb, y * factor + 1);
            let dy_rows = &dy[start..start + factor * dy_shape.row()];
            let dst = &mut row[LANES..(src_shape.w + 1) * LANES];
            down_row(proven, dy_rows, dy_shape.row(), factor, dst, accumulate);
        }
    });
}

multiversion! {
    fn down_row[s](dy: &[f32], dy_row: usize, factor: usize, dst: &mut [f32], accumulate: bool) {
        for (x, d) in dst.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let mut sum = s.splat(0.0);
            for row in dy.chunks_exact(dy_row) {
                let start = (x * factor + 1) * LANES;
                for cell in row[start..start + factor * LANES].as_chunks::<LANES>().0 {
                    sum = s.add(sum, s.get(cell));
                }
            }
            s.put(d, if accumulate { s.add(s.get(d), sum) } else { sum });
        }
    }
}
