//! What the losses on pixels share: logits are resized to the size of the labels, bilinearly and with the numerics of
//! PyTorch, a softmax is taken at every pixel, and the gradient goes the same way back.
//!
//! Nothing of the full size is kept: one row of labels at a time is resized, judged, and its gradient taken back to the
//! width of the output. Every source row then gathers its label rows from top to bottom, so sums have one order.

use crate::error::LossError;
use crate::par;
use hrnet_kernels::{Isa, Pool, softmax_channels};

/// A class id for every pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PixelLabels {
    /// `[n, h, w]`; usually the size of the input, not of the output.
    pub shape: [usize; 3],
    /// Row-major.
    pub ids: Vec<u8>,
}

/// Rows of labels per task.
const ROWS: usize = 4;

/// One axis of a resize from an output to the labels.
struct Axis {
    /// Lower source, upper source, weight of the upper one.
    taps: Vec<(usize, usize, f32)>,
    /// For each source the destinations that read it, ascending, with their weights.
    readers: Vec<Vec<(usize, f32)>>,
}

impl Axis {
    fn new(input: usize, output: usize, align_corners: bool) -> Self {
        let scale = match (align_corners, output) {
            (true, 1) => 0.0,
            (true, _) => (input - 1) as f32 / (output - 1) as f32,
            (false, _) => input as f32 / output as f32,
        };
        let mut readers = vec![Vec::new(); input];
        let taps = (0..output)
            .map(|to| {
                let at = match align_corners {
                    true => scale * to as f32,
                    false => (scale * (to as f32 + 0.5) - 0.5).max(0.0),
                };
                let low = (at as usize).min(input - 1);
                let high = (low + 1).min(input - 1);
                let weight = (at - low as f32).clamp(0.0, 1.0);
                readers[low].push((to, 1.0 - weight));
                if weight != 0.0 {
                    readers[high].push((to, weight));
                }
                (low, high, weight)
            })
            .collect();
        Self { taps, readers }
    }

    fn spread(&self, src: &[f32], dst: &mut [f32]) {
        for (d, &(low, high, weight)) in dst.iter_mut().zip(&self.taps) {
            *d = src[low] * (1.0 - weight) + src[high] * weight;
        }
    }

    fn gather(&self, src: &[f32], dst: &mut [f32]) {
        for (d, readers) in dst.iter_mut().zip(&self.readers) {
            *d = readers.iter().map(|&(from, weight)| weight * src[from]).sum();
        }
    }
}

/// An output and the labels of its pixels.
pub(super) struct Pixels<'a> {
    pool: &'a Pool,
    output: &'a [f32],
    shape: [usize; 4],
    labels: &'a PixelLabels,
    ignore: u8,
    rows: Axis,
    columns: Axis,
}

impl<'a> Pixels<'a> {
    /// Checks that the labels fit.
    pub fn new(
        pool: &'a Pool,
        output: &'a [f32],
        shape: [usize; 4],
        labels: &'a PixelLabels,
        ignore: u8,
        align_corners: bool,
    ) -> Result<Self, LossError> {
        let [n, classes, h, w] = shape;
        let [images, height, width] = labels.shape;
        if images != n || height * width == 0 || labels.ids.len() != images * height * width {
            let (wanted, found) = (vec![n, height.max(h), width.max(w)], labels.shape.to_vec());
            return Err(LossError::Shape { what: "the batch of pixel labels", wanted, found });
        }
        let unknown = |&id: &u8| id != ignore && usize::from(id) >= classes;
        if let Some(at) = labels.ids.iter().position(unknown) {
            let label = labels.ids[at];
            let (image, x, y) = (at / (height * width), at % width, at / width % height);
            return Err(LossError::PixelLabel { image, x, y, label, classes, ignore });
        }
        let (rows, columns) = (Axis::new(h, height, align_corners), Axis::new(w, width, align_corners));
        Ok(Self { pool, output, shape, labels, ignore, rows, columns })
    }

    /// Pixels of all labels together.
    pub fn count(&self) -> usize {
        self.labels.ids.len()
    }

    /// The class of a pixel that counts.
    pub fn class(&self, pixel: usize) -> Option<usize> {
        let id = self.labels.ids[pixel];
        (id != self.ignore).then_some(usize::from(id))
    }

    /// The logits of one row of labels, `[class][x]`; `mixed` is room for one row of the output.
    fn logits(&self, row: usize, mixed: &mut [f32], dst: &mut [f32]) {
        let [_, classes, h, w] = self.shape;
        let [_, height, width] = self.labels.shape;
        let (image, (low, high, weight)) = (row / height, self.rows.taps[row % height]);
        for c in 0..classes {
            let plane = &self.output[(image * classes + c) * h * w..][..h * w];
            let (above, below) = (&plane[low * w..][..w], &plane[high * w..][..w]);
            for ((m, a), b) in mixed.iter_mut().zip(above).zip(below) {
                *m = a * (1.0 - weight) + b * weight;
            }
            self.columns.spread(mixed, &mut dst[c * width..][..width]);
        }
    }

    /// The negative log-likelihood of the true class at every pixel; NaN where a pixel does not count.
    pub fn likelihoods(&self) -> Vec<f32> {
        let [_, classes, _, w] = self.shape;
        let width = self.labels.shape[2];
        let mut found = vec![f32::NAN; self.count()];
        let mut tasks: Vec<&mut [f32]> = found.chunks_mut(ROWS * width).collect();
        par::for_each_mut(self.pool, &mut tasks, |task, found| {
            let mut room = Room::new(classes, w, width);
            for (k, found) in found.chunks_exact_mut(width).enumerate() {
                let row = task * ROWS + k;
                self.judge(row, &mut room);
                for (x, f) in found.iter_mut().enumerate() {
                    if self.class(row * width + x).is_some() {
                        *f = room.likelihood(x) as f32;
                    }
                }
            }
        });
        found
    }

    /// Softmax over one row.
    fn judge(&self, row: usize, room: &mut Room) {
        self.logits(row, &mut room.mixed, &mut room.shares);
        let width = room.tops.len();
        for x in 0..width {
            let class = self.class(row * width + x);
            room.truth[x] = class.map_or(0.0, |class| room.shares[class * width + x]);
        }
        softmax_channels(Isa::detect(), &mut room.shares, &mut room.tops, &mut room.sums);
    }

    /// `sum over pixels of share(pixel, class) * -ln p[class]`; `grad` is overwritten with `scale` times its gradient.
    pub fn weighted(&self, share: impl Fn(usize, usize) -> f64 + Sync, scale: f64, grad: &mut [f32]) -> f64 {
        let [_, classes, h, w] = self.shape;
        let [_, height, width] = self.labels.shape;
        // Gradients at the height of the labels and the width of the output: [row of labels][class][x].
        let line = classes * w;
        let mut tall = vec![0.0f32; self.labels.shape[0] * height * line];
        let mut tasks: Vec<(f64, &mut [f32])> = tall.chunks_mut(ROWS * line).map(|t| (0.0, t)).collect();
        par::for_each_mut(self.pool, &mut tasks, |task, (total, tall)| {
            let mut room = Room::new(classes, w, width);
            let mut factors = vec![0.0f32; width];
            for (k, tall) in tall.chunks_exact_mut(line).enumerate() {
                let row = task * ROWS + k;
                self.judge(row, &mut room);
                for (x, factor) in factors.iter_mut().enumerate() {
                    *factor = 0.0;
                    if let Some(class) = self.class(row * width + x) {
                        let share = share(row * width + x, class);
                        if share != 0.0 {
                            *total += share * room.likelihood(x);
                            *factor = (scale * share) as f32;
                            room.shares[class * width + x] -= 1.0;
                        }
                    }
                }
                for (shares, dst) in room.shares.chunks_exact_mut(width).zip(tall.chunks_exact_mut(w)) {
                    // Not a product: a NaN at a pixel that does not count must not count either.
                    for (s, &f) in shares.iter_mut().zip(&factors) {
                        *s = if f == 0.0 { 0.0 } else { *s * f };
                    }
                    self.columns.gather(shares, dst);
                }
            }
        });
        let total = tasks.iter().map(|(total, _)| total).sum();
        let mut planes: Vec<&mut [f32]> = grad.chunks_exact_mut(h * w).collect();
        par::for_each_mut(self.pool, &mut planes, |plane, grad| {
            let (image, class) = (plane / classes, plane % classes);
            for (row, readers) in grad.chunks_exact_mut(w).zip(&self.rows.readers) {
                row.fill(0.0);
                for &(from, weight) in readers {
                    let src = &tall[(image * height + from) * line + class * w..][..w];
                    row.iter_mut().zip(src).for_each(|(d, s)| *d += weight * s);
                }
            }
        });
        total
    }
}

/// Working room for one row of labels.
struct Room {
    mixed: Vec<f32>,
    /// Logits, then probabilities, `[class][x]`.
    shares: Vec<f32>,
    tops: Vec<f32>,
    sums: Vec<f32>,
    /// The logit of the true class.
    truth: Vec<f32>,
}

impl Room {
    fn new(classes: usize, w: usize, width: usize) -> Self {
        let row = || vec![0.0; width];
        Self {
            mixed: vec![0.0; w],
            shares: vec![0.0; classes * width],
            tops: row(),
            sums: row(),
            truth: row(),
        }
    }

    fn likelihood(&self, x: usize) -> f64 {
        f64::from(self.tops[x]) - f64::from(self.truth[x]) + f64::from(self.sums[x]).ln()
    }
}
