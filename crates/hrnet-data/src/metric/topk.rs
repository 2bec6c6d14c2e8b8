//! Top-k accuracy of classification.
//!
//! A sample is right at k if fewer than k classes come before its label. A class comes before it with a larger score, or with
//! an equal score and a smaller index. `torch.topk` leaves the order of equal scores open; this rule is what a stable sort
//! gives, and does not depend on the machine.

use serde::Serialize;

/// Why a sample cannot be counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopKError {
    /// A label that is no class.
    #[error("label {label} is no class: the scores are for {classes} classes, from 0")]
    Label {
        /// Label.
        label: usize,
        /// Number of scores.
        classes: usize,
    },
    /// NaN.
    #[error("the score of class {0} is not a number")]
    NotANumber(usize),
}

/// Counts samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopK {
    ks: Vec<usize>,
    right: Vec<u64>,
    samples: u64,
}

/// The figures over all samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TopKReport {
    /// k and share of right samples.
    pub accuracy: Vec<(usize, f64)>,
    /// Samples.
    pub samples: u64,
}

impl TopKReport {
    /// 1 - accuracy at k, as the papers print it.
    pub fn error(&self, k: usize) -> Option<f64> {
        self.accuracy.iter().find(|a| a.0 == k).map(|a| 1.0 - a.1)
    }
}

/// The number of classes before `label`: 0 for the best.
pub fn rank(scores: &[f32], label: usize) -> Result<usize, TopKError> {
    let Some(&own) = scores.get(label) else {
        return Err(TopKError::Label { label, classes: scores.len() });
    };
    if let Some(i) = scores.iter().position(|s| s.is_nan()) {
        return Err(TopKError::NotANumber(i));
    }
    Ok(scores.iter().enumerate().filter(|&(i, &s)| s > own || (s == own && i < label)).count())
}

impl TopK {
    /// For these k, such as 1 and 5. With fewer classes than k every sample is right.
    pub fn new(ks: &[usize]) -> Self {
        Self { ks: ks.to_vec(), right: vec![0; ks.len()], samples: 0 }
    }

    /// Forgets all samples.
    pub fn reset(&mut self) {
        self.right.fill(0);
        self.samples = 0;
    }

    /// Adds a sample and returns its [`rank`].
    pub fn update(&mut self, scores: &[f32], label: usize) -> Result<usize, TopKError> {
        let rank = rank(scores, label)?;
        for (k, right) in self.ks.iter().zip(&mut self.right) {
            *right += u64::from(rank < *k);
        }
        self.samples += 1;
        Ok(rank)
    }

    /// All figures; `None` without samples.
    pub fn compute(&self) -> Option<TopKReport> {
        let share = |right: &u64| *right as f64 / self.samples as f64;
        (self.samples > 0).then(|| TopKReport {
            accuracy: self.ks.iter().copied().zip(self.right.iter().map(share)).collect(),
            samples: self.samples,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranks_by_hand() {
        let scores = [0.1, 0.5, 0.5, f32::NEG_INFINITY, 0.9];
        let ranks: Vec<usize> = (0..5).map(|l| rank(&scores, l).unwrap()).collect();
        assert_eq!(ranks, [3, 1, 2, 4, 0]);
        let mut m = TopK::new(&[1, 2, 9]);
        assert_eq!(m.compute(), None);
        for label in 0..5 {
            m.update(&scores, label).unwrap();
        }
        let r = m.compute().unwrap();
        assert_eq!(r.accuracy, [(1, 0.2), (2, 0.4), (9, 1.0)]);
        assert_eq!((r.samples, r.error(1), r.error(5)), (5, Some(0.8), None));
        assert_eq!(m.update(&scores, 5), Err(TopKError::Label { label: 5, classes: 5 }));
        assert_eq!(m.update(&[0.0, f32::NAN], 0), Err(TopKError::NotANumber(1)));
        m.reset();
        assert_eq!(m, TopK::new(&[1, 2, 9]));
    }

    proptest! {
        #[test]
        fn the_best_class_is_right_and_ranks_are_a_permutation(
            scores in prop::collection::vec(-3i8..3, 1..12),
        ) {
            let scores: Vec<f32> = scores.into_iter().map(f32::from).collect();
            let mut ranks: Vec<usize> = (0..scores.len()).map(|l| rank(&scores, l).unwrap()).collect();
            let best = ranks.iter().position(|r| *r == 0).unwrap();
            prop_assert!(scores.iter().all(|s| *s <= scores[best]));
            ranks.sort_unstable();
            prop_assert_eq!(ranks, (0..scores.len()).collect::<Vec<_>>());
        }
    }
}
