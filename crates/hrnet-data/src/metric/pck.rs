//! The percentage of correct key points (PCK): the share of labelled points whose error, in units of a length of the person,
//! is small. [`Pck`] takes the length from the caller; [`Pckh`] is MPII's measure with its own table.
//!
//! | | official | default |
//! |---|---|---|
//! | PCKh, "Mean@0.1" | the entry 11 of the thresholds 0, 0.01, ...: 0.11 | 0.1 |
//! | PCKh, a joint without any label | 0 / 0 spoils its row and both means | left out (both protocols here) |
//! | PCKh, PCK of a group | mean of left and right | the same |
//! | PCK, distance (mmpose) | rounded to 32-bit floats before the comparison | 64-bit |
//! | AUC (mmpose) | mean of the PCK at 0, 1/n, ... (n-1)/n: a left sum, below the area by about 1 / 2n | the exact area |
//!
//! PCKh counts an error of exactly the threshold as right (`<=`), mmpose's PCK as wrong (`<`). Both are kept.

use super::{Protocol, mean};
use serde::Serialize;

/// Why a person cannot be measured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PckError {
    /// Lists of different lengths.
    #[error(
        "{predicted} predicted points, {labelled} labelled ones and {flags} flags; the metric has {joints}"
    )]
    Count {
        /// Predicted.
        predicted: usize,
        /// Labelled.
        labelled: usize,
        /// Flags.
        flags: usize,
        /// Joints of the metric.
        joints: usize,
    },
    /// A labelled joint has a coordinate that is NaN or infinite.
    #[error("joint {0}: a coordinate is not finite")]
    NotFinite(usize),
    /// The length is 0, negative or not finite.
    #[error("the person's length {0} cannot be divided by; is the box or a torso point missing?")]
    Length(f64),
}

/// The longer side of a box of x, y, width and height: the length of PCK by box (mmpose).
pub fn box_length(bbox: [f64; 4]) -> f64 {
    bbox[2].max(bbox[3])
}

/// The distance of two labelled points: PCK by torso. LSP: right hip 2 and left shoulder 9; JHMDB: 4 and 5.
/// `None` when the points are not there.
pub fn torso_length(truth: &[[f64; 2]], a: usize, b: usize) -> Option<f64> {
    let (p, q) = (truth.get(a)?, truth.get(b)?);
    Some(distance(*p, *q))
}

/// The diagonal of a head box given by two corners; [`HEAD_SHARE`] of it is the length of PCKh.
pub fn head_diagonal(corners: [[f64; 2]; 2]) -> f64 {
    distance(corners[0], corners[1])
}

/// Without `hypot`, whose last bit differs from the published root of squares.
fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    let (x, y) = (a[0] - b[0], a[1] - b[1]);
    (x * x + y * y).sqrt()
}

/// Checks a sample.
fn check(
    predicted: &[[f64; 2]],
    truth: &[[f64; 2]],
    labelled: &[bool],
    joints: usize,
) -> Result<(), PckError> {
    if [predicted.len(), truth.len(), labelled.len()] != [joints; 3] {
        let (predicted, labelled, flags) = (predicted.len(), truth.len(), labelled.len());
        return Err(PckError::Count { predicted, labelled, flags, joints });
    }
    let finite = |j: usize| predicted[j].iter().chain(&truth[j]).all(|v| v.is_finite());
    match (0..joints).find(|&j| labelled[j] && !finite(j)) {
        Some(j) => Err(PckError::NotFinite(j)),
        None => Ok(()),
    }
}

/// Collects the errors of labelled points, in units of a length per person and axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Pck {
    protocol: Protocol,
    /// Per joint.
    errors: Vec<Vec<f64>>,
}

/// PCK at a threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PckReport {
    /// Threshold.
    pub threshold: f64,
    /// Per joint, `None` where it is never labelled.
    pub per_joint: Vec<Option<f64>>,
    /// Mean over the joints that are labelled somewhere.
    pub mean: Option<f64>,
    /// Share over all labelled points.
    pub pooled: Option<f64>,
    /// Labelled points.
    pub points: usize,
}

impl Pck {
    /// Without persons.
    pub fn new(joints: usize, protocol: Protocol) -> Self {
        Self { protocol, errors: vec![Vec::new(); joints] }
    }

    /// Forgets all persons.
    pub fn reset(&mut self) {
        self.errors.iter_mut().for_each(Vec::clear);
    }

    /// Adds a person. `length` divides x and y errors; both are the same for a box, a head or a torso, and width and
    /// height for heat maps. mmpose's AUC divides by 30, its end-point error by 1.
    pub fn update(
        &mut self,
        predicted: &[[f64; 2]],
        truth: &[[f64; 2]],
        labelled: &[bool],
        length: [f64; 2],
    ) -> Result<(), PckError> {
        check(predicted, truth, labelled, self.errors.len())?;
        if let Some(bad) = length.iter().find(|l| !(**l > 0.0 && l.is_finite())) {
            return Err(PckError::Length(*bad));
        }
        for (j, errors) in self.errors.iter_mut().enumerate().filter(|(j, _)| labelled[*j]) {
            let at = |axis: usize| (predicted[j][axis] - truth[j][axis]) / length[axis];
            let error = distance([at(0), at(1)], [0.0; 2]);
            errors.push(match self.protocol {
                Protocol::Official => f64::from(error as f32),
                Protocol::Default => error,
            });
        }
        Ok(())
    }

    /// PCK at a threshold: errors strictly below it are right.
    pub fn compute(&self, threshold: f64) -> PckReport {
        let limit = match self.protocol {
            Protocol::Official => f64::from(threshold as f32),
            Protocol::Default => threshold,
        };
        let right = |errors: &Vec<f64>| errors.iter().filter(|e| **e < limit).count();
        let points: usize = self.errors.iter().map(Vec::len).sum();
        let hits: usize = self.errors.iter().map(right).sum();
        let per_joint: Vec<Option<f64>> =
            self.errors.iter().map(|e| (!e.is_empty()).then(|| right(e) as f64 / e.len() as f64)).collect();
        PckReport {
            threshold,
            mean: mean(&per_joint.iter().flatten().copied().collect::<Vec<_>>()),
            per_joint,
            pooled: (points > 0).then(|| hits as f64 / points as f64),
            points,
        }
    }

    /// The area under the mean PCK for thresholds from 0 to 1, `None` without points. Official: the left sum of `steps` values
    /// (mmpose: 20). Default: exact, the mean over joints of the mean of `max(0, 1 - error)`.
    pub fn auc(&self, steps: usize) -> Option<f64> {
        match self.protocol {
            Protocol::Official => {
                let steps = steps.max(1);
                let at = |i: usize| self.compute(i as f64 / steps as f64).mean;
                let values: Vec<f64> = (0..steps).map(at).collect::<Option<_>>()?;
                Some(values.iter().map(|v| v / steps as f64).sum())
            }
            Protocol::Default => {
                let area =
                    |errors: &Vec<f64>| mean(&errors.iter().map(|e| (1.0 - e).max(0.0)).collect::<Vec<_>>());
                mean(&self.errors.iter().filter_map(area).collect::<Vec<_>>())
            }
        }
    }

    /// The mean error over all labelled points: mmpose's EPE with length 1, and its NME (labelled points only) with
    /// a length of the face. `None` without points.
    pub fn mean_error(&self) -> Option<f64> {
        mean(&self.errors.concat())
    }
}

/// Joints of MPII.
pub const MPII_JOINTS: usize = 16;
/// The share of the diagonal of the head box that is the length of PCKh.
pub const HEAD_SHARE: f64 = 0.6;
/// Pelvis and thorax, which count in no mean.
const EXCLUDED: std::ops::Range<usize> = 6..8;

/// Collects persons of MPII. Joints in the order right ankle, knee, hip, left hip, knee, ankle, pelvis, thorax, upper neck,
/// head top, right wrist, elbow, shoulder, left shoulder, elbow, wrist.
#[derive(Debug, Clone, PartialEq)]
pub struct Pckh {
    protocol: Protocol,
    /// Per joint: error over 0.6 of the head's diagonal.
    errors: Vec<Vec<f64>>,
    samples: usize,
}

/// MPII's table as fractions; `None` where no such joint is labelled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PckhReport {
    /// Head top.
    pub head: Option<f64>,
    /// Mean of both.
    pub shoulder: Option<f64>,
    /// Mean of both.
    pub elbow: Option<f64>,
    /// Mean of both.
    pub wrist: Option<f64>,
    /// Mean of both.
    pub hip: Option<f64>,
    /// Mean of both.
    pub knee: Option<f64>,
    /// Mean of both.
    pub ankle: Option<f64>,
    /// Over 14 joints, weighted by their labels.
    pub mean: Option<f64>,
    /// The same at 0.1 (official: 0.11).
    pub mean_01: Option<f64>,
    /// All 16 joints at 0.5, pelvis and thorax too.
    pub per_joint: Vec<Option<f64>>,
    /// Persons.
    pub samples: usize,
}

impl Pckh {
    /// Without persons.
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, errors: vec![Vec::new(); MPII_JOINTS], samples: 0 }
    }

    /// Forgets all persons.
    pub fn reset(&mut self) {
        *self = Self::new(self.protocol);
    }

    /// Adds a person. Points and head corners of the labels must have the same origin (MPII's files are 1-based, so is the
    /// head box: either add 1 to the predictions or subtract 1 from the labels).
    pub fn update(
        &mut self,
        predicted: &[[f64; 2]],
        truth: &[[f64; 2]],
        labelled: &[bool],
        head: [[f64; 2]; 2],
    ) -> Result<(), PckError> {
        self.update_sized(predicted, truth, labelled, head_diagonal(head) * HEAD_SHARE)
    }

    /// Adds a person whose head size ([`HEAD_SHARE`] of the diagonal) is known.
    pub fn update_sized(
        &mut self,
        predicted: &[[f64; 2]],
        truth: &[[f64; 2]],
        labelled: &[bool],
        length: f64,
    ) -> Result<(), PckError> {
        check(predicted, truth, labelled, MPII_JOINTS)?;
        if !(length > 0.0 && length.is_finite()) {
            return Err(PckError::Length(length));
        }
        for (j, errors) in self.errors.iter_mut().enumerate().filter(|(j, _)| labelled[*j]) {
            errors.push(distance(predicted[j], truth[j]) / length);
        }
        self.samples += 1;
        Ok(())
    }

    fn per_joint(&self, threshold: f64) -> Vec<Option<f64>> {
        let share = |e: &Vec<f64>| e.iter().filter(|e| **e <= threshold).count() as f64 / e.len() as f64;
        self.errors.iter().map(|e| (!e.is_empty()).then(|| share(e))).collect()
    }

    /// The mean at a threshold: over all joints but pelvis and thorax, weighted by their labels.
    pub fn mean(&self, threshold: f64) -> Option<f64> {
        // The weights cancel: right points over labelled points.
        let counted = || (0..MPII_JOINTS).filter(|j| !EXCLUDED.contains(j)).flat_map(|j| &self.errors[j]);
        let total = counted().count();
        (total > 0).then(|| counted().filter(|e| **e <= threshold).count() as f64 / total as f64)
    }

    /// (threshold, mean) for 0, 0.01, ... 0.5. Empty without labels.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        (0..=50).map(|i| f64::from(i) * 0.01).filter_map(|t| Some((t, self.mean(t)?))).collect()
    }

    /// The table.
    pub fn compute(&self) -> PckhReport {
        let joints = self.per_joint(0.5);
        let both = |a: usize, b: usize| match (joints[a], joints[b]) {
            (Some(p), Some(q)) => Some(0.5 * (p + q)),
            (one, other) => one.or(other),
        };
        PckhReport {
            head: joints[9],
            shoulder: both(13, 12),
            elbow: both(14, 11),
            wrist: both(15, 10),
            hip: both(3, 2),
            knee: both(4, 1),
            ankle: both(5, 0),
            mean: self.mean(0.5),
            mean_01: self.mean(if self.protocol == Protocol::Official { 11.0 * 0.01 } else { 0.1 }),
            per_joint: joints,
            samples: self.samples,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: [[f64; 2]; 2] = [[0.0, 0.0], [30.0, 40.0]];

    fn person(offset: f64) -> Vec<[f64; 2]> {
        (0..MPII_JOINTS).map(|j| [j as f64 * 10.0 + offset, 5.0]).collect()
    }

    #[test]
    fn pckh_by_hand() {
        // The length is 0.6 * 50 = 30. Errors 15 (right at 0.5, to the last bit), 3.3 (0.11) and 3 (0.1).
        let all = [true; MPII_JOINTS];
        let mut m = Pckh::new(Protocol::Default);
        assert_eq!((m.compute().mean, m.compute().head, m.curve().len()), (None, None, 0));
        m.update(&person(15.0), &person(0.0), &all, HEAD).unwrap();
        assert_eq!((m.mean(0.5), m.mean(0.499)), (Some(1.0), Some(0.0)));
        let mut one = all;
        one[9] = false;
        m.update(&person(16.0), &person(0.0), &one, HEAD).unwrap();
        let r = m.compute();
        assert_eq!((r.head, r.knee, r.samples), (Some(1.0), Some(0.5), 2));
        // 14 of 27: joints 6 and 7 do not count.
        assert!((r.mean.unwrap() - 14.0 / 27.0).abs() < 1e-12);
        assert_eq!(m.curve().last(), Some(&(0.5, r.mean.unwrap())));

        let mut official = Pckh::new(Protocol::Official);
        let mut default = Pckh::new(Protocol::Default);
        for m in [&mut official, &mut default] {
            m.update(&person(3.15), &person(0.0), &all, HEAD).unwrap();
        }
        let near = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-12;
        assert!(near(official.compute().mean_01, 1.0) && near(default.compute().mean_01, 0.0));
        official.reset();
        assert_eq!(official, Pckh::new(Protocol::Official));
    }

    #[test]
    fn a_side_without_labels_is_left_out() {
        let mut m = Pckh::new(Protocol::Default);
        let flags: Vec<bool> = (0..MPII_JOINTS).map(|j| j < 3 || j == 6).collect();
        m.update(&person(0.0), &person(0.0), &flags, HEAD).unwrap();
        let r = m.compute();
        assert_eq!((r.ankle, r.hip, r.wrist, r.head), (Some(1.0), Some(1.0), None, None));
        assert_eq!(r.per_joint.iter().flatten().count(), 4);
    }

    #[test]
    fn unusable_persons_are_named() {
        let all = [true; MPII_JOINTS];
        let mut m = Pckh::new(Protocol::Default);
        let flat = [[1.0, 1.0]; 2];
        assert_eq!(m.update(&person(0.0), &person(0.0), &all, flat), Err(PckError::Length(0.0)));
        let short = m.update(&person(0.0)[..3], &person(0.0), &all, HEAD);
        assert_eq!(short, Err(PckError::Count { predicted: 3, labelled: 16, flags: 16, joints: 16 }));
        let mut broken = person(0.0);
        broken[4][1] = f64::NAN;
        assert_eq!(m.update(&broken, &person(0.0), &all, HEAD), Err(PckError::NotFinite(4)));
        let mut p = Pck::new(1, Protocol::Default);
        let zero = p.update(&[[0.0; 2]], &[[0.0; 2]], &[true], [1.0, 0.0]);
        assert_eq!(zero, Err(PckError::Length(0.0)));
        assert_eq!((p.auc(20), p.mean_error(), p.compute(0.2).mean), (None, None, None));
    }

    #[test]
    fn pck_and_auc_by_hand() {
        let mut p = Pck::new(2, Protocol::Default);
        let truth = [[0.0, 0.0], [10.0, 0.0]];
        p.update(&[[3.0, 4.0], [10.0, 0.0]], &truth, &[true, true], [10.0; 2]).unwrap();
        p.update(&[[0.0, 0.0], [99.0, 0.0]], &truth, &[true, false], [10.0; 2]).unwrap();
        assert_eq!(p.compute(0.5).per_joint, [Some(0.5), Some(1.0)]);
        let r = p.compute(0.51);
        assert_eq!((r.mean, r.pooled, r.points), (Some(1.0), Some(1.0), 3));
        assert_eq!(p.compute(0.5).mean, Some(0.75));
        assert_eq!(p.auc(20), Some(0.875));
        assert!((p.mean_error().unwrap() - 0.5 / 3.0).abs() < 1e-12);
        assert_eq!(torso_length(&truth, 0, 1), Some(10.0));
        assert_eq!((torso_length(&truth, 0, 2), box_length([9.0, 9.0, 3.0, 4.0])), (None, 4.0));
        p.reset();
        assert_eq!(p, Pck::new(2, Protocol::Default));
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_perfect_is_one(
            shifts in prop::collection::vec((-40.0..40.0f64, prop::collection::vec(any::<bool>(), 16)), 1..20),
            turn in 0usize..20,
        ) {
            let run = |shifts: &[(f64, Vec<bool>)], by: f64| {
                let (mut h, mut p) = (Pckh::new(Protocol::Official), Pck::new(16, Protocol::Official));
                for (s, flags) in shifts {
                    h.update(&person(s * by), &person(0.0), flags, HEAD).unwrap();
                    p.update(&person(s * by), &person(0.0), flags, [50.0; 2]).unwrap();
                }
                (h.compute(), p.compute(0.2), p.auc(20))
            };
            let mut turned = shifts.clone();
            turned.rotate_left(turn % shifts.len());
            prop_assert_eq!(run(&shifts, 1.0), run(&turned, 1.0));
            let (h, p, _) = run(&shifts, 0.0);
            prop_assert!(h.per_joint.iter().flatten().chain(&h.head).chain(&p.mean).all(|v| *v == 1.0));
            prop_assert!(h.mean.is_none_or(|m| m == 1.0));
        }
    }
}
