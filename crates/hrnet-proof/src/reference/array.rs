//! Values of the reference: planes of f64.

/// An array `[n, c, h, w]`.
#[derive(Clone, Debug, Default)]
pub struct Array {
    /// `[n, c, h, w]`.
    pub shape: [usize; 4],
    /// Row-major.
    pub data: Vec<f64>,
}

impl Array {
    /// Zeros of a shape.
    pub fn zeros(shape: [usize; 4]) -> Self {
        Self { shape, data: vec![0.0; shape.iter().product()] }
    }

    /// Pixels of a channel.
    pub(super) fn size(&self) -> usize {
        self.shape[2] * self.shape[3]
    }

    /// The planes with a zero border of `p` pixels.
    pub(super) fn padded(&self, p: usize) -> Array {
        let [n, c, h, w] = self.shape;
        let mut out = Array::zeros([n, c, h + 2 * p, w + 2 * p]);
        let ow = w + 2 * p;
        let size = out.size();
        for (dst, src) in out.data.chunks_exact_mut(size).zip(self.data.chunks_exact(h * w)) {
            for (y, row) in src.chunks_exact(w).enumerate() {
                dst[(y + p) * ow + p..][..w].copy_from_slice(row);
            }
        }
        out
    }

    /// A channel of an image.
    pub(super) fn plane(&self, n: usize, c: usize) -> &[f64] {
        let size = self.size();
        &self.data[(n * self.shape[1] + c) * size..][..size]
    }

    pub(super) fn plane_mut(&mut self, n: usize, c: usize) -> &mut [f64] {
        let size = self.size();
        &mut self.data[(n * self.shape[1] + c) * size..][..size]
    }
}
