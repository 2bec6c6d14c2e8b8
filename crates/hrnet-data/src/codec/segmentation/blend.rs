//! Rows of scores from windows: blended, enlarged and resampled while they are wanted, one image row at a time.
//!
//! ```text
//! network's output of a window -> enlarged to the window's input (its own taps) -> part of the window -> row of the image
//! ```
//!
//! Nothing of the size of the image ever holds scores: only the outputs of the windows about the current row, usually of a
//! quarter of the input's size on each axis. A row of the image is a row of every class, `[classes, width]`.
//!
//! Windows are blended by parts that add up to 1 on each axis: alike ([`Overlap::Even`], as published), or fading into each
//! other ([`Overlap::Ramp`]). Where one window alone lies, its part is exactly 1, so that nothing is lost by windows there.

use std::collections::VecDeque;

use super::super::resample::{Rows, Tap, axis};
use super::{SegmentationError, Window, WindowPlan, check};

/// How windows share the pixels where they overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// A line from one to the other, between the quarters of the overlap that lie at the borders of the windows, where the
    /// network sees least.
    #[default]
    Ramp,
    /// Alike.
    Even,
}

/// The windows of an axis.
#[derive(Debug, Clone)]
struct Line {
    /// First pixel and length.
    spans: Vec<(usize, usize)>,
    /// The part of each window at each of its pixels.
    parts: Vec<Vec<f32>>,
}

impl Line {
    fn new(spans: Vec<(usize, usize)>, length: usize, overlap: Overlap) -> Self {
        // Share of a window at a distance from the border it has with a neighbour.
        let fade = |t: usize, o: usize| {
            let margin = o / 4;
            let span = (o + 1 - 2 * margin) as f64;
            ((t as f64 + 1.0 - margin as f64) / span).clamp(0.0, 1.0)
        };
        let mut raw: Vec<Vec<f64>> = spans.iter().map(|s| vec![1.0; s.1]).collect();
        if overlap == Overlap::Ramp {
            for i in 1..spans.len() {
                let (start, before) = (spans[i].0, spans[i - 1]);
                let common = (before.0 + before.1).saturating_sub(start).min(spans[i].1);
                for t in 0..common {
                    raw[i][t] *= fade(t, common);
                    raw[i - 1][before.1 - 1 - t] *= fade(t, common);
                }
            }
        }
        let (mut total, mut count) = (vec![0.0; length], vec![0.0; length]);
        for (&(start, _), raw) in spans.iter().zip(&raw) {
            for (t, w) in raw.iter().enumerate() {
                total[start + t] += w;
                count[start + t] += 1.0;
            }
        }
        let part = |p: usize, w: f64| if total[p] > 0.0 { w / total[p] } else { 1.0 / count[p] };
        let parts = spans
            .iter()
            .zip(&raw)
            .map(|(&(start, _), raw)| {
                raw.iter().enumerate().map(|(t, &w)| part(start + t, w) as f32).collect()
            })
            .collect();
        Self { spans, parts }
    }
}

/// Outputs of a row of windows.
#[derive(Debug)]
struct Held {
    row: usize,
    /// `[classes, h, w]` of each window.
    scores: Vec<Vec<f32>>,
    /// Of each window, the widened rows of each class.
    widened: Vec<Vec<Rows>>,
}

/// What each window's scores become before they are blended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Before {
    /// Nothing.
    #[default]
    Scores,
    /// The exponential, as in the official code.
    Exp,
}

/// Rows of the scores of an image that was looked at in windows.
#[derive(Debug)]
pub struct Blend {
    classes: usize,
    width: usize,
    height: usize,
    input: [usize; 2],
    rows: Line,
    columns: Line,
    before: Before,
    align_corners: bool,
    next: usize,
    held: VecDeque<Held>,
    /// Size of the network's output and the taps from it to the input.
    taps: Option<([usize; 2], Vec<Tap>, Vec<Tap>)>,
}

impl Blend {
    /// For the windows of a plan over an image of `size` (height, width).
    ///
    /// # Errors
    /// Where a size is zero or a window leaves the image.
    pub fn new(
        classes: usize,
        size: [usize; 2],
        plan: &WindowPlan,
        overlap: Overlap,
        before: Before,
        align_corners: bool,
    ) -> Result<Self, SegmentationError> {
        let [height, width] = size;
        if classes == 0 || height == 0 || width == 0 || classes > 1 << 16 || plan.windows.is_empty() {
            return Err(SegmentationError::Size { classes, width, height });
        }
        for w in &plan.windows {
            if w.x + w.width > width || w.y + w.height > height || w.width == 0 || w.height == 0 {
                return Err(SegmentationError::Window {
                    x: w.x,
                    y: w.y,
                    width: w.width,
                    height: w.height,
                    canvas_width: width,
                    canvas_height: height,
                });
            }
        }
        let top = plan.windows[0].y;
        let columns: Vec<_> =
            plan.windows.iter().take_while(|w| w.y == top).map(|w| (w.x, w.width)).collect();
        let rows = plan.windows.iter().step_by(columns.len()).map(|w| (w.y, w.height)).collect();
        Ok(Self {
            classes,
            width,
            height,
            input: plan.size,
            rows: Line::new(rows, height, overlap),
            columns: Line::new(columns, width, overlap),
            before,
            align_corners,
            next: 0,
            held: VecDeque::new(),
            taps: None,
        })
    }

    /// Height and width.
    pub fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// The windows that must be given by [`Self::push`] before row `y` can be had. Rows are asked for in rising order.
    pub fn wanted(&mut self, y: usize) -> Option<Vec<Window>> {
        let ends = |row: usize| self.rows.spans[row].0 + self.rows.spans[row].1;
        self.held.retain(|h| ends(h.row) > y);
        let &(top, height) = self.rows.spans.get(self.next)?;
        (top <= y).then(|| {
            let windows = self.columns.spans.iter();
            windows.map(|&(x, width)| Window { x, y: top, width, height }).collect()
        })
    }

    /// Takes the network's outputs `[classes, h, w]` for the windows that were wanted, in their order.
    pub fn push(&mut self, scores: Vec<Vec<f32>>, output: [usize; 2]) -> Result<(), SegmentationError> {
        for s in &scores {
            check(s.len(), self.classes, output[0], output[1])?;
        }
        if self.taps.as_ref().is_none_or(|t| t.0 != output) {
            let taps = |axis_of: usize| axis(output[axis_of], self.input[axis_of], self.align_corners);
            self.taps = Some((output, taps(0), taps(1)));
        }
        let rows = |&(_, width): &(usize, usize)| (0..self.classes).map(|_| Rows::new(width)).collect();
        let widened = self.columns.spans.iter().map(rows).collect();
        self.held.push_back(Held { row: self.next, scores, widened });
        self.next += 1;
        Ok(())
    }

    /// Writes row `y`, `[classes, width]`.
    ///
    /// # Panics
    /// When `out` has another length, or windows that were wanted are missing.
    pub fn row(&mut self, y: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.classes * self.width, "a row of every class");
        let Some((output, row_taps, column_taps)) = &self.taps else { panic!("row {y} before its windows") };
        let [from_h, from_w] = *output;
        out.fill(0.0);
        for held in &mut self.held {
            let (top, _) = self.rows.spans[held.row];
            let Some(&part) = y.checked_sub(top).and_then(|t| self.rows.parts[held.row].get(t)) else {
                continue;
            };
            if part == 0.0 {
                continue;
            }
            let tap = row_taps[y - top];
            let (p, q) = (1.0 - tap.part, tap.part);
            for (c, &(x, width)) in self.columns.spans.iter().enumerate() {
                let parts = &self.columns.parts[c];
                let alone = part == 1.0 && parts.iter().all(|&w| w == 1.0);
                let planes = held.scores[c].chunks_exact(from_h * from_w);
                for (class, (plane, rows)) in planes.zip(&mut held.widened[c]).enumerate() {
                    let (low, high) = rows.pair(plane, from_w, &column_taps[..width], tap);
                    let to = &mut out[class * self.width + x..][..width];
                    let sources = low.iter().zip(high);
                    match (self.before, alone) {
                        (Before::Scores, true) => {
                            to.iter_mut().zip(sources).for_each(|(to, (a, b))| *to = p * a + q * b);
                        }
                        (Before::Scores, false) => {
                            for ((to, (a, b)), w) in to.iter_mut().zip(sources).zip(parts) {
                                *to += (p * a + q * b) * (part * w);
                            }
                        }
                        (Before::Exp, _) => {
                            for ((to, (a, b)), w) in to.iter_mut().zip(sources).zip(parts) {
                                *to += (p * a + q * b).exp() * (part * w);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Rows `[classes, width]` brought to another size, bilinearly.
#[derive(Debug)]
pub struct Resample {
    classes: usize,
    from: [usize; 2],
    to: [usize; 2],
    rows: Vec<Tap>,
    columns: Vec<Tap>,
    source: Vec<f32>,
    kept: [Option<u32>; 2],
    data: [Vec<f32>; 2],
}

impl Resample {
    /// From and to (height, width).
    pub fn new(classes: usize, from: [usize; 2], to: [usize; 2], align_corners: bool) -> Self {
        let data = || vec![0.0; if from == to { 0 } else { classes * to[1] }];
        Self {
            classes,
            from,
            to,
            rows: axis(from[0], to[0], align_corners),
            columns: axis(from[1], to[1], align_corners),
            source: vec![0.0; if from == to { 0 } else { classes * from[1] }],
            kept: [None; 2],
            data: [data(), data()],
        }
    }

    /// Row `y` of the result; `source` writes a row of what is resampled, and is asked for rows in rising order when this is.
    pub fn row<E>(
        &mut self,
        y: usize,
        out: &mut [f32],
        mut source: impl FnMut(usize, &mut [f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.from == self.to {
            return source(y, out);
        }
        let tap = self.rows[y];
        if self.kept[1] == Some(tap.low) {
            self.data.swap(0, 1);
            self.kept.swap(0, 1);
        }
        for (slot, row) in [(0, tap.low), (1, tap.high)] {
            if self.kept[slot] == Some(row) {
                continue;
            }
            if slot == 1 && tap.high == tap.low {
                let [low, high] = &mut self.data;
                high.copy_from_slice(low);
            } else {
                source(row as usize, &mut self.source)?;
                let planes = self.source.chunks_exact(self.from[1]);
                for (plane, out) in planes.zip(self.data[slot].chunks_exact_mut(self.to[1])) {
                    for (out, c) in out.iter_mut().zip(&self.columns) {
                        *out = (1.0 - c.part) * plane[c.low as usize] + c.part * plane[c.high as usize];
                    }
                }
            }
            self.kept[slot] = Some(row);
        }
        let (p, q) = (1.0 - tap.part, tap.part);
        for ((out, a), b) in out.iter_mut().zip(&self.data[0]).zip(&self.data[1]) {
            *out = p * a + q * b;
        }
        debug_assert_eq!(out.len(), self.classes * self.to[1]);
        Ok(())
    }
}

/// The best class of every pixel of a row `[classes, width]`; ties and NaN as in [`super::label_map`].
pub fn best_of_row(row: &[f32], best: &mut [f32], labels: &mut [u16]) {
    best.fill(f32::NEG_INFINITY);
    labels.fill(0);
    for (class, scores) in row.chunks_exact(labels.len().max(1)).enumerate() {
        for ((best, label), &v) in best.iter_mut().zip(labels.iter_mut()).zip(scores) {
            let wins = v > *best;
            *best = if wins { v } else { *best };
            *label = if wins { class as u16 } else { *label };
        }
    }
}

/// Softmax over the classes of every pixel of a row `[classes, width]`, in place.
pub fn softmax_row(row: &mut [f32], width: usize) {
    let mut highest = vec![f32::NEG_INFINITY; width];
    for scores in row.chunks_exact(width) {
        highest.iter_mut().zip(scores).for_each(|(h, &v)| *h = h.max(v));
    }
    let mut sums = vec![0.0f32; width];
    for scores in row.chunks_exact_mut(width) {
        for ((v, &h), sum) in scores.iter_mut().zip(&highest).zip(&mut sums) {
            *v = if h.is_finite() { (*v - h).exp() } else { 0.0 };
            *sum += *v;
        }
    }
    for scores in row.chunks_exact_mut(width) {
        scores.iter_mut().zip(&sums).for_each(|(v, &s)| *v = if s > 0.0 { *v / s } else { 0.0 });
    }
}
