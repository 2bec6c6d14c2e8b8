//! Bilinear resize with the numerics of PyTorch's `interpolate(mode="bilinear")`, and its backward.
//!
//! Per axis, in f32: `align_corners` off: source = max(0, (dst + 0.5) * in / out - 0.5); on: source = dst *
//! (in - 1) / (out - 1), 0 when out = 1. Lower tap = floor(source), upper tap = the next pixel or the same
//! one at the end; weight of the upper tap = source - lower. A value is (horizontal mix above) * (1 - wy) +
//! (horizontal mix below) * wy.

use crate::conv::Residual;
use crate::par::par_bands;
use crate::sum::{Resize, Sum};
use crate::{Isa, LANES, Pool, Shape};

/// One axis of a bilinear resize.
#[derive(Clone, Copy)]
pub(crate) struct Axis {
    input: usize,
    scale: f32,
    align_corners: bool,
}

/// The two source pixels of one destination pixel and the weight of the second.
#[derive(Clone, Copy, Default)]
pub(crate) struct Taps {
    pub(crate) low: usize,
    pub(crate) high: usize,
    pub(crate) weight: f32,
}

impl Axis {
    pub(crate) fn new(input: usize, output: usize, align_corners: bool) -> Axis {
        let scale = match (align_corners, output) {
            (true, 1) => 0.0,
            (true, _) => (input - 1) as f32 / (output - 1) as f32,
            (false, _) => input as f32 / output as f32,
        };
        Axis { input, scale, align_corners }
    }

    #[inline(always)]
    pub(crate) fn at(&self, dst: usize) -> Taps {
        let source = if self.align_corners {
            self.scale * dst as f32
        } else {
            (self.scale * (dst as f32 + 0.5) - 0.5).max(0.0)
        };
        let low = (source as usize).min(self.input - 1);
        let high = (low + 1).min(self.input - 1);
        Taps { low, high, weight: (source - low as f32).clamp(0.0, 1.0) }
    }
}

/// `dst = act([dst +] resize(src))`.
pub fn resize_bilinear(
    isa: Isa,
    pool: &Pool,
    src: &[f32],
    src_shape: Shape,
    dst: &mut [f32],
    dst_h: usize,
    dst_w: usize,
    align_corners: bool,
    accumulate: bool,
    relu: bool,
) {
    let dst_shape = Shape { h: dst_h, w: dst_w, ..src_shape };
    let sum = Sum::new(isa, dst_shape, &[(src_shape, Resize::Bilinear { align_corners })]);
    let addend = if accumulate { Residual::InPlace } else { Residual::None };
    sum.run(pool, &[src], addend, dst, relu);
}

/// `dx (+)= transposed resize of dy`. Each source pixel gathers from its destination pixels in ascending
/// order, so the result does not depend on the schedule.
pub fn resize_bilinear_backward(
    isa: Isa,
    pool: &Pool,
    dy: &[f32],
    dy_h: usize,
    dy_w: usize,
    dx: &mut [f32],
    src_shape: Shape,
    align_corners: bool,
    accumulate: bool,
) {
    let dy_shape = Shape { h: dy_h, w: dy_w, ..src_shape };
    dy_shape.check("resize_bilinear_backward: dy", dy.len());
    src_shape.check("resize_bilinear_backward: dx", dx.len());
    let proven = isa.prove();
    let vertical = Gather::new(Axis::new(src_shape.h, dy_h, align_corners), src_shape.h, dy_h);
    let horizontal = Gather::new(Axis::new(src_shape.w, dy_w, align_corners), src_shape.w, dy_w);
    par_bands(pool, src_shape, dx, |band, rows| {
        // One row of dy, mixed vertically; then each source pixel gathers from it horizontally.
        let mut mixed = vec![0.0f32; dy_w * LANES];
        for (y, row) in (band.y0..).zip(rows.chunks_exact_mut(src_shape.row())) {
            mixed.fill(0.0);
            for &(dst, weight) in vertical.of(y) {
                let start = dy_shape.offset(band.n, band.cb, dst + 1) + LANES;
                add_scaled(proven, &dy[start..start + dy_w * LANES], weight, &mut mixed);
            }
            let row = &mut row[LANES..(src_shape.w + 1) * LANES];
            gather_row(proven, &mixed, &horizontal, row, accumulate);
        }
    });
}

/// For each source pixel of an axis, the destination pixels that read it, ascending, with their weights.
struct Gather {
    starts: Vec<usize>,
    entries: Vec<(usize, f32)>,
}

impl Gather {
    fn new(axis: Axis, input: usize, output: usize) -> Gather {
        let mut lists = vec![Vec::new(); input];
        for dst in 0..output {
            let taps = axis.at(dst);
            lists[taps.low].push((dst, 1.0 - taps.weight));
            if taps.weight != 0.0 {
                lists[taps.high].push((dst, taps.weight));
            }
        }
        let mut starts = vec![0];
        let mut entries = Vec::with_capacity(2 * output);
        for list in lists {
            entries.extend(list);
            starts.push(entries.len());
        }
        Gather { starts, entries }
    }

    #[inline(always)]
    fn of(&self, src: usize) -> &[(usize, f32)] {
        &self.entries[self.starts[src]..self.starts[src + 1]]
    }
}

multiversion! {
    fn add_scaled(src: &[f32], weight: f32, dst: &mut [f32]) {
        dst.iter_mut().zip(src).for_each(|(d, &s)| *d += weight * s);
    }
}

multiversion! {
    fn gather_row[s](mixed: &[f32], gather: &Gather, dst: &mut [f32], accumulate: bool) {
        let mixed = mixed.as_chunks::<LANES>().0;
        for (x, d) in dst.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let mut sum = s.splat(0.0);
            for &(from, weight) in gather.of(x) {
                sum = s.add(sum, s.mul(s.splat(weight), s.get(&mixed[from])));
            }
            s.put(d, if accumulate { s.add(s.get(d), sum) } else { sum });
        }
    }
}
