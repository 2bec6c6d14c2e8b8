//! Segmentation: from score maps `[classes, h, w]` to a map of class ids.
//!
//! [`label_map`] up-samples bilinearly and takes the best class in one pass. The up-sampled scores never exist: per class two
//! widened source rows, and the best value of one output row (`8 * classes * width` bytes and a little).
//!
//! Larger images and better scores go through a [`Canvas`]: sums over windows ([`plan`]), scales and mirrored inputs at any
//! resolution, usually that of the network's output, a quarter of the input's on each axis, which for 4096x8192 and 19 classes are
//! 160 MB rather than 2.5 GB. Where even that is too much, a [`Blend`] gives the rows of the image one after the other.

use super::Protocol;
use super::resample::{Rows, axis, for_each_row};

mod blend;
mod windows;

pub use blend::{Before, Blend, Overlap, Resample, best_of_row, softmax_row};
pub use windows::{LastWindow, Window, WindowPlan, plan, ramp};

/// Why scores are not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentationError {
    /// The number of values is not that of the shape.
    #[error("{values} scores are not {classes} classes of {width}x{height}; check the order of the sizes")]
    Shape {
        /// Values given.
        values: usize,
        /// Classes.
        classes: usize,
        /// Width.
        width: usize,
        /// Height.
        height: usize,
    },
    /// A size or the number of classes is zero or too large.
    #[error(
        "{classes} classes of {width}x{height} pixels: every number must be above 0, classes at most 65536"
    )]
    Size {
        /// Classes.
        classes: usize,
        /// Width.
        width: usize,
        /// Height.
        height: usize,
    },
    /// More memory than allowed.
    #[error(
        "the score sums need {bytes} bytes, above the limit of {limit}; sum at the network's resolution or raise the limit"
    )]
    Memory {
        /// Bytes needed.
        bytes: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A window is not inside the canvas.
    #[error("a window of {width}x{height} at ({x}, {y}) is not inside {canvas_width}x{canvas_height}")]
    Window {
        /// Left.
        x: usize,
        /// Top.
        y: usize,
        /// Width.
        width: usize,
        /// Height.
        height: usize,
        /// Width of the canvas.
        canvas_width: usize,
        /// Height of the canvas.
        canvas_height: usize,
    },
    /// The window plan cannot be made.
    #[error(
        "windows of {window} with a step of {stride} aligned to {align}: every number must be above 0, step and window multiples of the alignment, the step at most the window"
    )]
    Plan {
        /// Side of a window.
        window: usize,
        /// Step.
        stride: usize,
        /// Alignment.
        align: usize,
    },
}

fn check(values: usize, classes: usize, height: usize, width: usize) -> Result<(), SegmentationError> {
    if classes == 0 || height == 0 || width == 0 || classes > 1 << 16 {
        return Err(SegmentationError::Size { classes, width, height });
    }
    match classes.checked_mul(height).and_then(|n| n.checked_mul(width)) {
        Some(n) if n == values => Ok(()),
        _ => Err(SegmentationError::Shape { values, classes, width, height }),
    }
}

/// The best class of every pixel after bilinear up-sampling of `[classes, h, w]` to `to` (height, width). Of equal scores the smaller
/// class wins; NaN never does, and where all are NaN the class is 0.
pub fn label_map(
    scores: &[f32],
    classes: usize,
    from: [usize; 2],
    to: [usize; 2],
    align_corners: bool,
) -> Result<Vec<u16>, SegmentationError> {
    let ([from_h, from_w], [to_h, to_w]) = (from, to);
    check(scores.len(), classes, from_h, from_w)?;
    if to_h == 0 || to_w == 0 || to_h.checked_mul(to_w).is_none() {
        return Err(SegmentationError::Size { classes, width: to_w, height: to_h });
    }
    let columns = axis(from_w, to_w, align_corners);
    let mut kept: Vec<Rows> = (0..classes).map(|_| Rows::new(to_w)).collect();
    let mut best = vec![0.0; to_w];
    let mut labels = vec![0u16; to_h * to_w];
    let planes = scores.chunks_exact(from_h * from_w);
    for (tap, labels) in axis(from_h, to_h, align_corners).into_iter().zip(labels.chunks_exact_mut(to_w)) {
        best.fill(f32::NEG_INFINITY);
        for (class, (plane, rows)) in planes.clone().zip(&mut kept).enumerate() {
            let (low, high) = rows.pair(plane, from_w, &columns, tap);
            let (p, q) = (1.0 - tap.part, tap.part);
            for (((best, label), &a), &b) in best.iter_mut().zip(labels.iter_mut()).zip(low).zip(high) {
                let v = p * a + q * b;
                let wins = v > *best;
                *best = if wins { v } else { *best };
                *label = if wins { class as u16 } else { *label };
            }
        }
    }
    Ok(labels)
}

/// What is summed over scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fusion {
    /// The scores themselves: one scale, windows.
    #[default]
    Logits,
    /// Softmax over the classes: the mean over scales is a probability. The default for several scales.
    Probability,
    /// The exponential of the scores without a softmax, as the official code sums scales. One scale with large scores can
    /// outvote all others.
    Exp,
}

impl Fusion {
    /// The sum over scales of a protocol.
    pub fn of_scales(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Default => Self::Probability,
            Protocol::Official => Self::Exp,
        }
    }

    /// Applies it in place to `[classes, pixels]`.
    pub fn apply(self, scores: &mut [f32], classes: usize) {
        match self {
            Self::Logits => {}
            Self::Exp => scores.iter_mut().for_each(|v| *v = v.exp()),
            Self::Probability => {
                let pixels = scores.len() / classes.max(1);
                let mut column = vec![0.0; classes];
                for i in 0..pixels {
                    for (c, v) in column.iter_mut().enumerate() {
                        *v = scores[c * pixels + i];
                    }
                    for (c, p) in super::classification::softmax(&column).into_iter().enumerate() {
                        scores[c * pixels + i] = p;
                    }
                }
            }
        }
    }
}

/// The flip test: the mean of the scores and of those of the mirrored input. `permutation` exchanges classes with a side (LIP:
/// 14 and 15, 16 and 17, 18 and 19); the identity elsewhere.
///
/// # Panics
/// When a length does not fit.
pub fn merge_flip(scores: &mut [f32], flipped: Vec<f32>, height: usize, width: usize, permutation: &[usize]) {
    super::heatmap::merge_flip(scores, flipped, height, width, permutation, false);
}

/// Weighted sums of scores.
#[derive(Debug, Clone)]
pub struct Canvas {
    classes: usize,
    height: usize,
    width: usize,
    sums: Vec<f32>,
    weights: Vec<f32>,
}

impl Canvas {
    /// An empty canvas of at most `limit` bytes.
    pub fn new(classes: usize, height: usize, width: usize, limit: u64) -> Result<Self, SegmentationError> {
        if classes == 0 || height == 0 || width == 0 || classes > 1 << 16 {
            return Err(SegmentationError::Size { classes, width, height });
        }
        let bytes =
            (classes as u64 + 1).saturating_mul(height as u64).saturating_mul(width as u64).saturating_mul(4);
        let memory = SegmentationError::Memory { bytes, limit };
        let length = usize::try_from(bytes / 4).ok().filter(|_| bytes <= limit).ok_or(memory.clone())?;
        let pixels = height * width;
        let zeros = |n: usize| {
            let mut v = Vec::new();
            v.try_reserve_exact(n).map_err(|_| memory.clone())?;
            v.resize(n, 0.0);
            Ok(v)
        };
        Ok(Self { classes, height, width, sums: zeros(length - pixels)?, weights: zeros(pixels)? })
    }

    /// Adds the scores `[classes, h, w]` of a window of the same scale. What of `scores` lies beyond the window (a padded border at
    /// its right and bottom) is ignored. `weight` gives the weight of a pixel of the window, x first.
    pub fn add_window(
        &mut self,
        scores: &[f32],
        size: [usize; 2],
        window: Window,
        weight: impl Fn(usize, usize) -> f32,
    ) -> Result<(), SegmentationError> {
        let [h, w] = size;
        check(scores.len(), self.classes, h, w)?;
        let end = |a: usize, b: usize, limit: usize| a.checked_add(b).is_some_and(|e| e <= limit);
        let inside = end(window.x, window.width, self.width) && end(window.y, window.height, self.height);
        if !inside || window.width > w || window.height > h {
            return Err(SegmentationError::Window {
                x: window.x,
                y: window.y,
                width: window.width,
                height: window.height,
                canvas_width: self.width,
                canvas_height: self.height,
            });
        }
        let pixels = self.height * self.width;
        let mut weights = vec![0.0; window.width];
        for y in 0..window.height {
            weights.iter_mut().enumerate().for_each(|(x, v)| *v = weight(x, y));
            let at = (window.y + y) * self.width + window.x;
            for (c, plane) in scores.chunks_exact(h * w).enumerate() {
                let from = &plane[y * w..y * w + window.width];
                let to = &mut self.sums[c * pixels + at..][..window.width];
                for ((to, &v), &k) in to.iter_mut().zip(from).zip(&weights) {
                    *to += v * k;
                }
            }
            self.weights[at..at + window.width].iter_mut().zip(&weights).for_each(|(to, &k)| *to += k);
        }
        Ok(())
    }

    /// Adds the scores of the whole image at another scale, resampled bilinearly to the canvas, then fused.
    pub fn add_scale(
        &mut self,
        scores: &[f32],
        size: [usize; 2],
        fusion: Fusion,
        align_corners: bool,
    ) -> Result<(), SegmentationError> {
        check(scores.len(), self.classes, size[0], size[1])?;
        let (width, pixels) = (self.width, self.height * self.width);
        if fusion == Fusion::Probability {
            // A softmax wants all classes of a row at once.
            let columns = axis(size[1], width, align_corners);
            let mut kept: Vec<Rows> = (0..self.classes).map(|_| Rows::new(width)).collect();
            let mut row = vec![0.0; self.classes * width];
            for (y, tap) in axis(size[0], self.height, align_corners).into_iter().enumerate() {
                for ((plane, rows), out) in
                    scores.chunks_exact(size[0] * size[1]).zip(&mut kept).zip(row.chunks_exact_mut(width))
                {
                    let (low, high) = rows.pair(plane, size[1], &columns, tap);
                    for ((out, &a), &b) in out.iter_mut().zip(low).zip(high) {
                        *out = (1.0 - tap.part) * a + tap.part * b;
                    }
                }
                fusion.apply(&mut row, self.classes);
                for (c, row) in row.chunks_exact(width).enumerate() {
                    let to = &mut self.sums[c * pixels + y * width..][..width];
                    to.iter_mut().zip(row).for_each(|(to, v)| *to += v);
                }
            }
        } else {
            for (plane, sums) in
                scores.chunks_exact(size[0] * size[1]).zip(self.sums.chunks_exact_mut(pixels))
            {
                for_each_row(plane, size, [self.height, width], align_corners, |y, row| {
                    for (to, &v) in sums[y * width..(y + 1) * width].iter_mut().zip(row) {
                        *to += if fusion == Fusion::Exp { v.exp() } else { v };
                    }
                });
            }
        }
        self.weights.iter_mut().for_each(|w| *w += 1.0);
        Ok(())
    }

    /// The means `[classes, h, w]`; zero where nothing was added.
    pub fn finish(mut self) -> Vec<f32> {
        for plane in self.sums.chunks_exact_mut(self.height * self.width) {
            for (v, &w) in plane.iter_mut().zip(&self.weights) {
                *v = if w > 0.0 { *v / w } else { 0.0 };
            }
        }
        self.sums
    }
}

#[cfg(test)]
mod tests;
