//! Pooling of the reference.

use super::array::Array;

/// What a window becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// Its mean.
    Average,
    /// Its maximum.
    Maximum,
}

/// Pixels of window `out` of a map `w` wide, `ow` windows in a row.
fn pixels(w: usize, ow: usize, size: usize, out: usize) -> impl Iterator<Item = usize> {
    let (y, x) = (out / ow * size, out % ow * size);
    (0..size * size).map(move |k| (y + k / size) * w + x + k % size)
}

impl Window {
    pub fn forward(self, size: usize, x: &Array, out: &mut Array) {
        let [n, channels, _, ow] = out.shape;
        let w = x.shape[3];
        for (image, c) in (0..n).flat_map(|image| (0..channels).map(move |c| (image, c))) {
            let src = x.plane(image, c);
            for (i, d) in out.plane_mut(image, c).iter_mut().enumerate() {
                let values = pixels(w, ow, size, i).map(|at| src[at]);
                *d = match self {
                    Window::Average => values.sum::<f64>() / (size * size) as f64,
                    Window::Maximum => values.fold(f64::NEG_INFINITY, f64::max),
                };
            }
        }
    }

    /// The gradient of the source.
    pub fn backward(self, size: usize, x: &Array, dy: &Array) -> Array {
        let [n, channels, _, ow] = dy.shape;
        let w = x.shape[3];
        let mut dx = Array::zeros(x.shape);
        for (image, c) in (0..n).flat_map(|image| (0..channels).map(move |c| (image, c))) {
            let (src, dst) = (x.plane(image, c), dx.plane_mut(image, c));
            for (i, &d) in dy.plane(image, c).iter().enumerate() {
                match self {
                    Window::Average => {
                        pixels(w, ow, size, i).for_each(|at| dst[at] += d / (size * size) as f64);
                    }
                    // To the first of equal maxima.
                    Window::Maximum => {
                        let first = pixels(w, ow, size, i).next().expect("a window has pixels");
                        let best = pixels(w, ow, size, i)
                            .fold(first, |best, at| if src[at] > src[best] { at } else { best });
                        dst[best] += d;
                    }
                }
            }
        }
        dx
    }
}

/// The mean of every plane.
pub(super) fn global_forward(x: &Array) -> Vec<f64> {
    x.data.chunks_exact(x.size()).map(|p| p.iter().sum::<f64>() / p.len() as f64).collect()
}

/// The gradient of the source.
pub(super) fn global_backward(x: &Array, dy: &Array) -> Vec<f64> {
    let size = x.size();
    dy.data.iter().flat_map(|&d| std::iter::repeat_n(d / size as f64, size)).collect()
}
