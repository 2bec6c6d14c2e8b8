//! Normalised mean error of landmarks, its failure rate, and the cumulative error distribution (CED).
//!
//! The error of an image is the mean distance of its points from the labels, divided by a length of the face that the
//! [`Normaliser`] names. It is a fraction, not percent. All points count, occluded ones included, as in the published
//! code.

use serde::{Deserialize, Serialize};

/// The length that errors are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normaliser {
    /// The distance of two labelled points: the outer eye corners (300-W 36 and 45, WFLW 60 and 72, COFW 8 and 9).
    InterOcular {
        /// First point, 0-based.
        a: usize,
        /// Second point, 0-based.
        b: usize,
    },
    /// The `box_size` column of the table (AFLW).
    BoxSize,
    /// The diagonal of the box of the labelled points.
    Diagonal,
    /// The square root of the area of the box of the labelled points.
    MinMaxBox,
}

impl Normaliser {
    /// The published normaliser for a number of points: 19, 29, 68 or 98.
    pub fn published(points: usize) -> Option<Self> {
        match points {
            19 => Some(Self::BoxSize),
            29 => Some(Self::InterOcular { a: 8, b: 9 }),
            68 => Some(Self::InterOcular { a: 36, b: 45 }),
            98 => Some(Self::InterOcular { a: 60, b: 72 }),
            _ => None,
        }
    }

    /// The length for one face; `None` when a point or the box size is missing.
    pub fn length(&self, truth: &[[f64; 2]], box_size: Option<f64>) -> Option<f64> {
        let extent = |axis: usize| {
            let low = truth.iter().map(|p| p[axis]).fold(f64::INFINITY, f64::min);
            let high = truth.iter().map(|p| p[axis]).fold(f64::NEG_INFINITY, f64::max);
            high - low
        };
        match *self {
            Self::InterOcular { a, b } => {
                let (p, q) = (truth.get(a)?, truth.get(b)?);
                Some((p[0] - q[0]).hypot(p[1] - q[1]))
            }
            Self::BoxSize => box_size,
            Self::Diagonal => Some(extent(0).hypot(extent(1))),
            Self::MinMaxBox => Some((extent(0) * extent(1)).sqrt()),
        }
    }
}

impl std::fmt::Display for Normaliser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InterOcular { a, b } => write!(f, "inter-ocular distance (points {a} and {b})"),
            Self::BoxSize => f.write_str("box size of the table"),
            Self::Diagonal => f.write_str("diagonal of the points' box"),
            Self::MinMaxBox => f.write_str("square root of the points' box area"),
        }
    }
}

/// Why a face cannot be measured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NmeError {
    /// Prediction and label have different numbers of points.
    #[error("{predicted} predicted points for {labelled} labelled ones")]
    Count {
        /// Predicted.
        predicted: usize,
        /// Labelled.
        labelled: usize,
    },
    /// A predicted coordinate is NaN or infinite.
    #[error("predicted point {0} is not finite")]
    NotFinite(usize),
    /// The normaliser is missing, zero or not finite.
    #[error("the face has no usable {normaliser}")]
    Normaliser {
        /// Which normaliser.
        normaliser: Normaliser,
    },
}

/// Collects the errors of faces.
#[derive(Debug, Clone, PartialEq)]
pub struct Nme {
    normaliser: Normaliser,
    errors: Vec<f64>,
    /// Sum of normalised distances per point.
    per_point: Vec<f64>,
    /// Sum over faces of the mean normalised vector from the labels to the points found.
    offset: [f64; 2],
}

/// The figures over all faces.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NmeReport {
    /// What errors were divided by.
    pub normaliser: Normaliser,
    /// Number of faces.
    pub images: usize,
    /// Mean over faces, a fraction.
    pub nme: f64,
    /// Median over faces.
    pub median: f64,
    /// Share of faces with an error strictly above 0.08.
    pub failure_rate_08: f64,
    /// Share of faces with an error strictly above 0.10.
    pub failure_rate_10: f64,
    /// [`Nme::auc`] up to 0.08.
    pub auc_08: f64,
    /// [`Nme::auc`] up to 0.10.
    pub auc_10: f64,
    /// Mean over faces of each point's error.
    pub per_point: Vec<f64>,
    /// Mean over faces and points of the vector from the label to the point found (x, y), normalised. Far from 0 where the
    /// labels, or the crops, lean to one side: a network trained with mirrored images cannot follow labels that do.
    pub offset: [f64; 2],
}

impl Nme {
    /// An empty collection.
    pub fn new(normaliser: Normaliser) -> Self {
        Self { normaliser, errors: Vec::new(), per_point: Vec::new(), offset: [0.0; 2] }
    }

    /// Forgets all faces.
    pub fn reset(&mut self) {
        self.errors.clear();
        self.per_point.clear();
        self.offset = [0.0; 2];
    }

    /// Adds a face and returns its error.
    pub fn update(
        &mut self,
        predicted: &[[f64; 2]],
        truth: &[[f64; 2]],
        box_size: Option<f64>,
    ) -> Result<f64, NmeError> {
        if predicted.len() != truth.len() || truth.is_empty() {
            return Err(NmeError::Count { predicted: predicted.len(), labelled: truth.len() });
        }
        if let Some(i) = predicted.iter().position(|p| !(p[0].is_finite() && p[1].is_finite())) {
            return Err(NmeError::NotFinite(i));
        }
        let length = self.normaliser.length(truth, box_size).filter(|l| *l > 0.0 && l.is_finite());
        let Some(length) = length else { return Err(NmeError::Normaliser { normaliser: self.normaliser }) };
        self.per_point.resize(truth.len().max(self.per_point.len()), 0.0);
        let mut sum = 0.0;
        let mut offset = [0.0; 2];
        for ((p, t), total) in predicted.iter().zip(truth).zip(&mut self.per_point) {
            let distance = (p[0] - t[0]).hypot(p[1] - t[1]);
            sum += distance;
            *total += distance / length;
            (0..2).for_each(|axis| offset[axis] += p[axis] - t[axis]);
        }
        let error = sum / (truth.len() as f64 * length);
        (0..2).for_each(|axis| self.offset[axis] += offset[axis] / (truth.len() as f64 * length));
        self.errors.push(error);
        Ok(error)
    }

    /// The error of each face, in the order of the updates.
    pub fn errors(&self) -> &[f64] {
        &self.errors
    }

    /// The mean error; `None` without faces.
    pub fn mean(&self) -> Option<f64> {
        (!self.errors.is_empty()).then(|| self.errors.iter().sum::<f64>() / self.errors.len() as f64)
    }

    /// The share of faces with an error strictly above `threshold`; 0 without faces.
    pub fn failure_rate(&self, threshold: f64) -> f64 {
        self.share(|e| e > threshold)
    }

    /// The share of faces with an error of at most `threshold`: the CED at that point. 0 without faces.
    pub fn ced(&self, threshold: f64) -> f64 {
        self.share(|e| e <= threshold)
    }

    fn share(&self, test: impl Fn(f64) -> bool) -> f64 {
        if self.errors.is_empty() {
            return 0.0;
        }
        self.errors.iter().filter(|&&e| test(e)).count() as f64 / self.errors.len() as f64
    }

    /// `steps + 1` samples (threshold, CED) from 0 to `cut`.
    pub fn ced_curve(&self, cut: f64, steps: usize) -> Vec<(f64, f64)> {
        let steps = steps.max(1);
        (0..=steps).map(|i| cut * i as f64 / steps as f64).map(|t| (t, self.ced(t))).collect()
    }

    /// The area under the CED from 0 to `cut`, over `cut`. The CED is a step function and is integrated exactly: the area is
    /// the mean over faces of `max(0, cut - error) / cut`. Papers that use the trapezoid rule on samples differ slightly.
    pub fn auc(&self, cut: f64) -> f64 {
        if self.errors.is_empty() || cut.is_nan() || cut <= 0.0 {
            return 0.0;
        }
        self.errors.iter().map(|e| (cut - e).max(0.0) / cut).sum::<f64>() / self.errors.len() as f64
    }

    /// The CED itself: a step function that rises to `share` at each `error`, ascending, equal errors once. It starts at
    /// (0, 0), so the points can be drawn as steps without further knowledge.
    pub fn ced_steps(&self) -> Vec<(f64, f64)> {
        let mut sorted = self.errors.clone();
        sorted.sort_by(f64::total_cmp);
        let mut steps = vec![(0.0, 0.0)];
        for (i, error) in sorted.iter().enumerate() {
            let share = (i + 1) as f64 / sorted.len() as f64;
            match steps.last_mut() {
                Some(last) if last.0 == *error => last.1 = share,
                _ => steps.push((*error, share)),
            }
        }
        steps
    }

    /// The area under [`Self::ced_curve`] by the trapezoid rule, over `cut`: for comparison with papers that sample the CED. It
    /// differs from [`Self::auc`] by at most half a step.
    pub fn auc_sampled(&self, cut: f64, steps: usize) -> f64 {
        if self.errors.is_empty() || cut.is_nan() || cut <= 0.0 {
            return 0.0;
        }
        let curve = self.ced_curve(cut, steps);
        curve.windows(2).map(|w| (w[0].1 + w[1].1) / 2.0).sum::<f64>() / (curve.len() - 1) as f64
    }

    /// The positions, in update order, of the `count` faces with the largest errors, worst first.
    pub fn worst(&self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.errors.len()).collect();
        order.sort_by(|&a, &b| self.errors[b].total_cmp(&self.errors[a]).then(a.cmp(&b)));
        order.truncate(count);
        order
    }

    /// All figures; `None` without faces.
    pub fn compute(&self) -> Option<NmeReport> {
        let nme = self.mean()?;
        let mut sorted = self.errors.clone();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        Some(NmeReport {
            normaliser: self.normaliser,
            images: n,
            nme,
            median: (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
            failure_rate_08: self.failure_rate(0.08),
            failure_rate_10: self.failure_rate(0.10),
            auc_08: self.auc(0.08),
            auc_10: self.auc(0.10),
            per_point: self.per_point.iter().map(|s| s / n as f64).collect(),
            offset: self.offset.map(|s| s / n as f64),
        })
    }
}

/// The mean-shape baseline: the mean of the training points in units of the face (offset from the centre over 200 scale).
/// A network that has learned anything beats it.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanShape {
    points: Vec<[f64; 2]>,
}

impl MeanShape {
    /// The mean over (centre, scale, points); `None` when there are no faces or their numbers of points differ.
    pub fn fit<'a>(faces: impl IntoIterator<Item = ([f64; 2], f64, &'a [[f64; 2]])>) -> Option<Self> {
        let mut sum: Vec<[f64; 2]> = Vec::new();
        let mut n = 0.0;
        for (centre, scale, points) in faces {
            if n == 0.0 {
                sum = vec![[0.0; 2]; points.len()];
            }
            if points.len() != sum.len() {
                return None;
            }
            for (s, p) in sum.iter_mut().zip(points) {
                for axis in 0..2 {
                    s[axis] += (p[axis] - centre[axis]) / (200.0 * scale);
                }
            }
            n += 1.0;
        }
        (n > 0.0).then(|| Self { points: sum.into_iter().map(|s| s.map(|v| v / n)).collect() })
    }

    /// The mean shape placed on a face.
    pub fn place(&self, centre: [f64; 2], scale: f64) -> Vec<[f64; 2]> {
        self.points
            .iter()
            .map(|p| [centre[0] + p[0] * 200.0 * scale, centre[1] + p[1] * 200.0 * scale])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: [[f64; 2]; 3] = [[0.0, 0.0], [10.0, 0.0], [5.0, 10.0]];

    fn shifted(by: f64) -> Vec<[f64; 2]> {
        TRUTH.iter().map(|p| [p[0] + by, p[1]]).collect()
    }

    #[test]
    fn normalisers_by_hand() {
        let length = |n: Normaliser| n.length(&TRUTH, Some(7.0));
        assert_eq!(length(Normaliser::InterOcular { a: 0, b: 1 }), Some(10.0));
        assert_eq!(length(Normaliser::BoxSize), Some(7.0));
        assert_eq!(length(Normaliser::Diagonal), Some(200.0f64.sqrt()));
        assert_eq!(length(Normaliser::MinMaxBox), Some(10.0));
        assert_eq!(length(Normaliser::InterOcular { a: 0, b: 9 }), None);
        assert_eq!(Normaliser::BoxSize.length(&TRUTH, None), None);
        assert_eq!(Normaliser::published(68), Some(Normaliser::InterOcular { a: 36, b: 45 }));
    }

    #[test]
    fn figures_by_hand() {
        let mut nme = Nme::new(Normaliser::InterOcular { a: 0, b: 1 });
        assert_eq!(nme.compute(), None);
        // Errors 0.02, 0.08, 0.10, 0.20.
        for by in [0.2, 0.8, 1.0, 2.0] {
            let error = nme.update(&shifted(by), &TRUTH, None).unwrap();
            assert!((error - by / 10.0).abs() < 1e-12);
        }
        // Shifts in floating point do not give 0.08 exactly; thresholds are tested on exact values below.
        let r = nme.compute().unwrap();
        assert!((r.nme - 0.1).abs() < 1e-12 && (r.median - 0.09).abs() < 1e-12);
        assert!((nme.auc(0.1) - (0.8 + 0.2) / 4.0).abs() < 1e-12);
        assert_eq!((nme.ced(0.05), nme.ced(0.5), r.images), (0.25, 1.0, 4));
        assert_eq!(nme.worst(2), [3, 2]);
        assert_eq!(nme.ced_curve(0.3, 3).len(), 4);
        assert!(r.per_point.iter().all(|p| (p - 0.1).abs() < 1e-12));
        assert!((r.offset[0] - 0.1).abs() < 1e-12 && r.offset[1] == 0.0, "found to the right of the labels");
        nme.reset();
        assert_eq!(nme.mean(), None);
    }

    #[test]
    fn thresholds_are_strict() {
        let truth = [[0.0, 0.0], [1.0, 0.0]];
        let mut nme = Nme::new(Normaliser::InterOcular { a: 0, b: 1 });
        nme.update(&[[0.25, 0.0], [1.25, 0.0]], &truth, None).unwrap();
        assert_eq!((nme.failure_rate(0.25), nme.failure_rate(0.2499)), (0.0, 1.0));
        assert_eq!((nme.ced(0.25), nme.ced(0.2499)), (1.0, 0.0));
    }

    #[test]
    fn the_curve_is_data() {
        let truth = [[0.0, 0.0], [1.0, 0.0]];
        let mut nme = Nme::new(Normaliser::InterOcular { a: 0, b: 1 });
        assert_eq!((nme.ced_steps(), nme.auc_sampled(1.0, 10)), (vec![(0.0, 0.0)], 0.0));
        for by in [0.5, 0.25, 0.5, 0.0] {
            nme.update(&[[by, 0.0], [1.0 + by, 0.0]], &truth, None).unwrap();
        }
        assert_eq!(nme.ced_steps(), [(0.0, 0.25), (0.25, 0.5), (0.5, 1.0)]);
        // Exact: 1/4 * 1/4 + 1/2 * 1/4 + 1 * 1/2.
        assert_eq!(nme.auc(1.0), 0.6875);
        for steps in [4, 7, 100, 1000] {
            assert!((nme.auc_sampled(1.0, steps) - 0.6875).abs() <= 0.5 / steps as f64 + 1e-12, "{steps}");
        }
    }

    #[test]
    fn unusable_faces_are_named() {
        let mut nme = Nme::new(Normaliser::InterOcular { a: 0, b: 1 });
        assert_eq!(nme.update(&TRUTH[..2], &TRUTH, None), Err(NmeError::Count { predicted: 2, labelled: 3 }));
        let bad = [[0.0, 0.0], [f64::NAN, 0.0], [0.0, 0.0]];
        assert_eq!(nme.update(&bad, &TRUTH, None), Err(NmeError::NotFinite(1)));
        let flat = [[1.0, 1.0]; 3];
        assert!(matches!(nme.update(&flat, &flat, None), Err(NmeError::Normaliser { .. })));
        assert_eq!(nme.compute(), None);
    }

    #[test]
    fn mean_shape_places_what_it_was_fitted_on() {
        let face = |c: [f64; 2], s: f64| TRUTH.map(|p| [c[0] + p[0] * s * 2.0, c[1] + p[1] * s * 2.0]);
        let (a, b) = (face([10.0, 20.0], 0.5), face([-3.0, 7.0], 1.5));
        let shape = MeanShape::fit([([10.0, 20.0], 0.5, &a[..]), ([-3.0, 7.0], 1.5, &b[..])]).unwrap();
        for (p, q) in shape.place([10.0, 20.0], 0.5).iter().zip(a) {
            assert!((p[0] - q[0]).hypot(p[1] - q[1]) < 1e-9);
        }
        assert_eq!(MeanShape::fit([]), None);
        assert_eq!(MeanShape::fit([([0.0; 2], 1.0, &a[..]), ([0.0; 2], 1.0, &a[..2])]), None);
    }
}
