//! The confusion matrix of a segmentation and the figures from it.
//!
//! Rows are labels, columns predictions; pixels labelled `ignore` are not counted. With `tp` the diagonal, `pos` the sum of a
//! row and `res` the sum of a column:
//!
//! ```text
//! IoU_c = tp / (pos + res - tp)      pixel accuracy = sum tp / sum pos      accuracy_c = tp / pos
//! ```
//!
//! | | official | default |
//! |---|---|---|
//! | class in neither labels nor predictions | IoU 0, counts in the mean (denominator at least 1) | no IoU, not in the mean |
//! | class not in the labels | accuracy 0, counts in the mean | no accuracy, not in the mean |
//!
//! mmsegmentation's means are the default ones. The difference is only seen where a class does not occur in a whole set.

use super::{Protocol, mean};
use serde::Serialize;

/// Why a picture cannot be counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentationError {
    /// Different numbers of pixels.
    #[error("{predicted} predicted pixels for {labelled} labelled ones; resize the prediction to the label")]
    Size {
        /// Predicted.
        predicted: usize,
        /// Labelled.
        labelled: usize,
    },
    /// An id that is no class.
    #[error(
        "pixel {pixel}: {what} id {id} is no class (0 to {last}) and not the ignored one; is a label map missing?"
    )]
    Id {
        /// Label or prediction.
        what: &'static str,
        /// 0-based, row-major.
        pixel: usize,
        /// The id.
        id: i64,
        /// Last class.
        last: usize,
    },
    /// Matrices of different numbers of classes.
    #[error("matrices of {0} and {1} classes cannot be added")]
    Classes(usize, usize),
}

/// Counts pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    ignore: Option<i64>,
    counts: Vec<u64>,
}

/// The figures over all pixels. Means are `None` where there is nothing to average.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SegmentationReport {
    /// Mean IoU.
    pub mean_iou: Option<f64>,
    /// Share of right pixels.
    pub pixel_accuracy: Option<f64>,
    /// Mean of the classes' accuracies.
    pub mean_accuracy: Option<f64>,
    /// IoU weighted by labelled pixels.
    pub weighted_iou: Option<f64>,
    /// Per class.
    pub iou: Vec<Option<f64>>,
    /// Per class: share of its labelled pixels that are right.
    pub accuracy: Vec<Option<f64>>,
    /// Counted pixels.
    pub pixels: u64,
    /// Conventions.
    pub protocol: Protocol,
}

impl Confusion {
    /// Without pixels. `ignore` may be any id, a class too; then that class is not counted where it is labelled.
    pub fn new(classes: usize, ignore: Option<i64>) -> Self {
        Self { classes, ignore, counts: vec![0; classes * classes] }
    }

    /// Forgets all pixels.
    pub fn reset(&mut self) {
        self.counts.fill(0);
    }

    /// Adds the pixels of a picture. Nothing is added when an id is refused.
    pub fn update<P, L>(&mut self, predicted: &[P], labelled: &[L]) -> Result<(), SegmentationError>
    where
        P: Copy + Into<i64>,
        L: Copy + Into<i64>,
    {
        if predicted.len() != labelled.len() {
            return Err(SegmentationError::Size { predicted: predicted.len(), labelled: labelled.len() });
        }
        let last = self.classes.saturating_sub(1);
        let class = |what, pixel, id: i64| match usize::try_from(id) {
            Ok(c) if c < self.classes => Ok(c),
            _ => Err(SegmentationError::Id { what, pixel, id, last }),
        };
        let mut counts = vec![0u64; self.counts.len()];
        for (pixel, (p, l)) in predicted.iter().zip(labelled).enumerate() {
            let (p, l) = ((*p).into(), (*l).into());
            if Some(l) == self.ignore {
                continue;
            }
            let row = class("label", pixel, l)?;
            counts[row * self.classes + class("predicted", pixel, p)?] += 1;
        }
        for (total, n) in self.counts.iter_mut().zip(counts) {
            *total += n;
        }
        Ok(())
    }

    /// Adds the counts of another matrix, for example of another thread.
    pub fn merge(&mut self, other: &Self) -> Result<(), SegmentationError> {
        if self.classes != other.classes {
            return Err(SegmentationError::Classes(self.classes, other.classes));
        }
        for (total, n) in self.counts.iter_mut().zip(&other.counts) {
            *total += n;
        }
        Ok(())
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Row-major counts, a row per label.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Each row divided by its sum, for a picture; rows without pixels are 0.
    pub fn normalised(&self) -> Vec<f64> {
        let rows = self.counts.chunks(self.classes.max(1));
        rows.flat_map(|row| {
            let sum = row.iter().sum::<u64>().max(1) as f64;
            row.iter().map(move |n| *n as f64 / sum)
        })
        .collect()
    }

    /// The largest off-diagonal counts: label, prediction, pixels.
    pub fn confused(&self, count: usize) -> Vec<(usize, usize, u64)> {
        let mut all: Vec<(usize, usize, u64)> = self
            .counts
            .iter()
            .enumerate()
            .map(|(i, n)| (i / self.classes, i % self.classes, *n))
            .filter(|(l, p, n)| l != p && *n > 0)
            .collect();
        all.sort_by_key(|&(l, p, n)| (std::cmp::Reverse(n), l, p));
        all.truncate(count);
        all
    }

    /// All figures.
    pub fn compute(&self, protocol: Protocol) -> SegmentationReport {
        let k = self.classes;
        let tp: Vec<u64> = (0..k).map(|c| self.counts[c * k + c]).collect();
        let pos: Vec<u64> = (0..k).map(|c| self.counts[c * k..(c + 1) * k].iter().sum()).collect();
        let res: Vec<u64> = (0..k).map(|c| (0..k).map(|r| self.counts[r * k + c]).sum()).collect();
        let share = |tp: u64, of: u64| match protocol {
            Protocol::Official => Some(tp as f64 / of.max(1) as f64),
            Protocol::Default => (of > 0).then(|| tp as f64 / of as f64),
        };
        let iou: Vec<Option<f64>> = (0..k).map(|c| share(tp[c], pos[c] + res[c] - tp[c])).collect();
        let accuracy: Vec<Option<f64>> = (0..k).map(|c| share(tp[c], pos[c])).collect();
        let over = |values: &[Option<f64>]| mean(&values.iter().flatten().copied().collect::<Vec<_>>());
        let pixels: u64 = pos.iter().sum();
        let whole = (pixels > 0).then_some(pixels as f64);
        SegmentationReport {
            mean_iou: over(&iou),
            pixel_accuracy: whole.map(|n| tp.iter().sum::<u64>() as f64 / n),
            mean_accuracy: over(&accuracy),
            weighted_iou: whole
                .map(|n| iou.iter().zip(&pos).map(|(i, p)| i.unwrap_or(0.0) * *p as f64).sum::<f64>() / n),
            iou,
            accuracy,
            pixels,
            protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn figures_by_hand() {
        // Labels 0 0 1 1 1 and one ignored; class 2 only predicted, class 3 nowhere.
        let mut m = Confusion::new(4, Some(255));
        m.update(&[0u8, 1, 1, 1, 2, 0], &[0u8, 0, 1, 1, 1, 255]).unwrap();
        let d = m.compute(Protocol::Default);
        assert_eq!(d.iou, [Some(0.5), Some(0.5), Some(0.0), None]);
        assert_eq!((d.mean_iou, d.pixel_accuracy, d.pixels), (Some(1.0 / 3.0), Some(0.6), 5));
        assert_eq!(d.accuracy, [Some(0.5), Some(2.0 / 3.0), None, None]);
        assert_eq!(d.mean_accuracy, Some((0.5 + 2.0 / 3.0) / 2.0));
        assert_eq!(d.weighted_iou, Some(0.5));
        let o = m.compute(Protocol::Official);
        assert_eq!((o.mean_iou, o.mean_accuracy), (Some(0.25), Some((0.5 + 2.0 / 3.0) / 4.0)));
        assert_eq!(m.confused(9), [(0, 1, 1), (1, 2, 1)]);
        assert_eq!(m.normalised()[..4], [0.5, 0.5, 0.0, 0.0]);
        let mut twice = m.clone();
        twice.merge(&m).unwrap();
        assert_eq!(twice.compute(Protocol::Default).mean_iou, d.mean_iou);
        m.reset();
        assert_eq!(m, Confusion::new(4, Some(255)));
    }

    #[test]
    fn nothing_has_no_figures() {
        let m = Confusion::new(2, None);
        let d = m.compute(Protocol::Default);
        assert_eq!((d.mean_iou, d.pixel_accuracy, d.mean_accuracy, d.weighted_iou), (None, None, None, None));
        assert_eq!(m.compute(Protocol::Official).mean_iou, Some(0.0));
        assert_eq!(Confusion::new(0, None).compute(Protocol::Official).mean_iou, None);
    }

    #[test]
    fn refused_pictures_leave_no_trace() {
        let mut m = Confusion::new(2, Some(-1));
        let size = SegmentationError::Size { predicted: 1, labelled: 2 };
        assert_eq!(m.update(&[0u8], &[0u8, 1]), Err(size));
        let id = |what, id| Err(SegmentationError::Id { what, pixel: 1, id, last: 1 });
        assert_eq!(m.update(&[0u8, 0], &[0u8, 255]), id("label", 255));
        assert_eq!(m.update(&[0i32, -1], &[0u8, 1]), id("predicted", -1));
        m.update(&[7u8], &[-1i32]).unwrap();
        assert_eq!(m, Confusion::new(2, Some(-1)));
        assert_eq!(m.merge(&Confusion::new(3, None)), Err(SegmentationError::Classes(2, 3)));
    }

    proptest! {
        #[test]
        fn perfect_is_one_and_order_does_not_matter(
            pairs in prop::collection::vec((0u8..5, 0u8..6), 1..200),
            turn in 0usize..200,
        ) {
            let labels: Vec<u8> = pairs.iter().map(|p| p.1).collect();
            let predicted: Vec<u8> = pairs.iter().map(|p| p.0).collect();
            let mut m = Confusion::new(5, Some(5));
            m.update(&predicted, &labels).unwrap();
            let mut turned = pairs.clone();
            turned.rotate_left(turn % pairs.len());
            let mut n = Confusion::new(5, Some(5));
            for (p, l) in turned {
                n.update(&[p], &[l]).unwrap();
            }
            prop_assert_eq!(&m, &n);
            let mut perfect = Confusion::new(5, Some(5));
            let same: Vec<u8> = labels.iter().map(|l| l % 5).collect();
            perfect.update(&same, &labels).unwrap();
            let r = perfect.compute(Protocol::Default);
            let want = labels.iter().any(|l| *l < 5).then_some(1.0);
            prop_assert_eq!((r.mean_iou, r.pixel_accuracy, r.mean_accuracy), (want, want, want));
        }
    }
}
