//! Backward of the transposed convolution with kernel 4, stride 2, padding 1.
//!
//! The gradient map is cut into its four phases (even and odd rows and columns), which become channel groups of a map of
//! the source's size. Output 2m + f of an axis reads tap k = 2 (m - i) + f + 1 of source i, so
//!
//! ```text
//! dx[i] = sum over f and d in -1..=1 of phase[f][i + d] * w[2 d + f + 1], where that tap exists
//! ```
//!
//! is an ordinary 3x3 convolution of the phases with 16 of its 36 taps per channel pair in use, and its weight gradient
//! is that of the taps. Both come from the kernels for 3x3 convolutions.

use crate::conv::{Conv, ConvWeightGrad, Epilogue, Residual};
use crate::par::par_chunks;
use crate::{AlignedBuf, ConvDesc, Isa, LANES, Pool, Shape};

/// Gradients of a [`crate::ConvTranspose`].
pub struct ConvTransposeBackward {
    ic: usize,
    oc: usize,
    data: Conv,
    weights: ConvWeightGrad,
    /// Weights of the 3x3 convolution, `[ic][4 phases of whole blocks][3][3]`; later its gradients.
    wide: Vec<f32>,
}

impl ConvTransposeBackward {
    /// Packs `weight` (`[ic][oc][4][4]`). Panics if the processor lacks `isa` or a length is wrong.
    pub fn new(isa: Isa, ic: usize, oc: usize, weight: &[f32]) -> Self {
        let desc = ConvDesc { ic: 4 * lanes(oc), oc: ic, kernel: 3, stride: 1, padding: 1 };
        let wide = vec![0.0; ic * desc.ic * 9];
        let (data, weights) = (Conv::new(isa, desc, &wide, None), ConvWeightGrad::new(isa, desc));
        let mut backward = Self { ic, oc, data, weights, wide };
        backward.repack(weight);
        backward
    }

    /// Replaces the weights.
    pub fn repack(&mut self, weight: &[f32]) {
        self.check(weight.len());
        self.wide.fill(0.0);
        let wide = &mut self.wide;
        taps(self.ic, self.oc, |tap, at| wide[at] = weight[tap]);
        self.data.repack(&self.wide, None);
    }

    fn check(&self, len: usize) {
        let wanted = self.ic * self.oc * 16;
        assert!(len == wanted, "transposed convolution: {wanted} weights wanted, {len} given");
    }

    /// `dx (+)= gradient of the source`, `dw += gradient of the weights`, `dw` as `[ic][oc][4][4]`; `src_shape` is that of
    /// the source, `dy` is twice as high and wide.
    pub fn run(
        &mut self,
        pool: &Pool,
        src: &[f32],
        src_shape: Shape,
        dy: &[f32],
        dx: Option<(&mut [f32], bool)>,
        dw: &mut [f32],
    ) {
        self.check(dw.len());
        let Shape { n, c, h, w } = src_shape;
        assert!(c == self.ic, "transposed convolution of {} channels, source {src_shape:?}", self.ic);
        let dy_shape = Shape { n, c: self.oc, h: 2 * h, w: 2 * w };
        dy_shape.check("transposed convolution: dy", dy.len());
        src_shape.check("transposed convolution: src", src.len());
        let shape = Shape { n, c: 4 * lanes(self.oc), h, w };
        let mut phases = AlignedBuf::zeroed(shape.len());
        let blocks = dy_shape.blocks();
        par_chunks(pool, &mut phases, shape.plane(), |plane, dst| {
            let (image, block) = (plane / (4 * blocks), plane % (4 * blocks));
            let (phase, cb) = (block / blocks, block % blocks);
            for (y, row) in dst.chunks_exact_mut(shape.row()).enumerate().skip(1).take(h) {
                let from = dy_shape.offset(image, cb, 2 * (y - 1) + phase / 2 + 1) + (phase % 2 + 1) * LANES;
                let row = row[LANES..(w + 1) * LANES].as_chunks_mut::<LANES>().0;
                let src = dy[from..].as_chunks::<LANES>().0.iter().step_by(2);
                row.iter_mut().zip(src).for_each(|(d, s)| *d = *s);
            }
        });
        if let Some((dx, accumulate)) = dx {
            let residual = if accumulate { Residual::InPlace } else { Residual::None };
            self.data.run(pool, &phases, shape, dx, Epilogue { residual, relu: false });
        }
        self.wide.fill(0.0);
        let mut scratch = AlignedBuf::default();
        self.weights.run(pool, &mut scratch, &phases, shape, src, &mut self.wide);
        let wide = &self.wide;
        taps(self.ic, self.oc, |tap, at| dw[tap] += wide[at]);
    }
}

/// Channels in whole blocks.
fn lanes(channels: usize) -> usize {
    channels.div_ceil(LANES) * LANES
}

/// Pairs every tap of `[ic][oc][4][4]` with its place in the wide 3x3 kernel.
fn taps(ic: usize, oc: usize, mut visit: impl FnMut(usize, usize)) {
    // Tap k of an axis: its phase and its place among the three.
    let axis = |k: usize| ((k + 1) % 2, [0, 1, 1, 2][k]);
    let wide = lanes(oc);
    for i in 0..ic {
        for o in 0..oc {
            for k in 0..16 {
                let ((fy, ty), (fx, tx)) = (axis(k / 4), axis(k % 4));
                let channel = (2 * fy + fx) * wide + o;
                visit((i * oc + o) * 16 + k, (i * 4 * wide + channel) * 9 + 3 * ty + tx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_blocked;

    fn values(len: usize, salt: usize) -> Vec<f32> {
        (0..len).map(|i| (((i + salt) * 7919 + 13) % 17) as f32 - 8.0).collect()
    }

    #[test]
    fn equals_the_plain_sums() {
        // Small integers: every sum is exact.
        for (n, ic, oc, h, w) in [(2, 3, 5, 3, 4), (1, 20, 17, 2, 2), (1, 1, 16, 1, 3)] {
            let (x, dy) = (values(n * ic * h * w, 1), values(n * oc * 4 * h * w, 5));
            let weight = values(ic * oc * 16, 9);
            let (mut dx_wanted, mut dw_wanted) = (vec![0.0f32; x.len()], vec![0.0f32; weight.len()]);
            for image in 0..n {
                for (i, o) in (0..ic).flat_map(|i| (0..oc).map(move |o| (i, o))) {
                    for (y, xx) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                        for k in 0..16 {
                            let (oy, ox) = (2 * y + k / 4, 2 * xx + k % 4);
                            if oy == 0 || ox == 0 || oy > 2 * h || ox > 2 * w {
                                continue;
                            }
                            let d = dy[((image * oc + o) * 2 * h + oy - 1) * 2 * w + ox - 1];
                            let at = ((image * ic + i) * h + y) * w + xx;
                            dx_wanted[at] += d * weight[(i * oc + o) * 16 + k];
                            dw_wanted[(i * oc + o) * 16 + k] += d * x[at];
                        }
                    }
                }
            }
            let (src_shape, dy_shape) = (Shape { n, c: ic, h, w }, Shape { n, c: oc, h: 2 * h, w: 2 * w });
            for isa in Isa::available() {
                let pool = Pool::new(2);
                let blocked = |plain: &[f32], shape: Shape| {
                    let mut buf = AlignedBuf::zeroed(shape.len());
                    to_blocked(&pool, plain, shape, &mut buf);
                    buf
                };
                let (src, grad) = (blocked(&x, src_shape), blocked(&dy, dy_shape));
                let mut backward = ConvTransposeBackward::new(isa, ic, oc, &weight);
                let mut dx = blocked(&vec![1.0; x.len()], src_shape);
                let mut dw = vec![2.0; weight.len()];
                for (accumulate, start) in [(true, 1.0), (false, 0.0)] {
                    dw.fill(2.0);
                    backward.run(&pool, &src, src_shape, &grad, Some((&mut dx, accumulate)), &mut dw);
                    let mut plain = vec![0.0; x.len()];
                    crate::from_blocked(&pool, &dx, src_shape, &mut plain);
                    for (got, wanted) in plain.iter().zip(&dx_wanted) {
                        assert_eq!(*got, wanted + start, "{}", isa.name());
                    }
                    for (got, wanted) in dw.iter().zip(&dw_wanted) {
                        assert_eq!(*got, wanted + 2.0, "{}", isa.name());
                    }
                }
            }
        }
    }
}
