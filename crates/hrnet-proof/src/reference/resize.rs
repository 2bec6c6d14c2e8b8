//! Enlarging of the reference: the same pairs of pixels forward and backward.

use super::array::Array;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resize {
    Nearest { factor: usize },
    Bilinear { align_corners: bool },
}

impl Resize {
    /// Adds to `out`.
    pub fn forward(self, x: &Array, out: &mut Array) {
        let (so, ss) = (out.size(), x.size());
        for (dst, src, weight) in taps(self, x.shape, out.shape) {
            for plane in 0..out.shape[0] * out.shape[1] {
                out.data[plane * so + dst] += weight * x.data[plane * ss + src];
            }
        }
    }

    /// The gradient of a source of shape `from`.
    pub fn backward(self, from: [usize; 4], dy: &Array) -> Array {
        let mut dx = Array::zeros(from);
        let (so, ss) = (dy.size(), dx.size());
        for (dst, src, weight) in taps(self, from, dy.shape) {
            for plane in 0..dy.shape[0] * dy.shape[1] {
                dx.data[plane * ss + src] += weight * dy.data[plane * so + dst];
            }
        }
        dx
    }
}

/// (destination pixel, source pixel, weight).
fn taps(how: Resize, from: [usize; 4], to: [usize; 4]) -> Vec<(usize, usize, f64)> {
    let ([_, _, h, w], [_, _, oh, ow]) = (from, to);
    let axis = |size: usize, out: usize| -> Vec<[(usize, f64); 2]> {
        (0..out)
            .map(|o| {
                let pos = match how {
                    Resize::Nearest { factor } => (o / factor) as f64,
                    Resize::Bilinear { align_corners: true } if out > 1 => {
                        o as f64 * (size - 1) as f64 / (out - 1) as f64
                    }
                    Resize::Bilinear { align_corners: true } => 0.0,
                    Resize::Bilinear { align_corners: false } => {
                        ((o as f64 + 0.5) * size as f64 / out as f64 - 0.5).max(0.0)
                    }
                };
                let low = (pos as usize).min(size - 1);
                let weight = pos - low as f64;
                [(low, 1.0 - weight), ((low + 1).min(size - 1), weight)]
            })
            .collect()
    };
    let (ys, xs) = (axis(h, oh), axis(w, ow));
    let mut taps = Vec::new();
    for (oy, y) in ys.iter().enumerate() {
        for (ox, x) in xs.iter().enumerate() {
            for &(sy, wy) in y {
                for &(sx, wx) in x {
                    if wy * wx != 0.0 {
                        taps.push((oy * ow + ox, sy * w + sx, wy * wx));
                    }
                }
            }
        }
    }
    taps
}
