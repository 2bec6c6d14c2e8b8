//! The losses of HigherHRNet: heat maps under a mask, and tags that group joints into people.
//!
//! * heat maps: mean over images, maps and pixels of `(p - g)^2 m`;
//! * pull: mean over the people of an image of the mean squared distance of a person's tags to their mean;
//! * push: over all pairs of people `sum exp(-(a - b)^2) / (2 n (n - 1))`, `a` and `b` their mean tags; nothing below two
//!   people.
//!
//! An output with twice as many channels as the target has maps holds the tags in its second half.

use crate::error::LossError;
use crate::par;
use hrnet_ir::Tensor;
use hrnet_kernels::Pool;
use serde::{Deserialize, Serialize};

/// A joint of a person in the pixels of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaggedJoint {
    /// Number of the joint.
    pub joint: usize,
    /// Column.
    pub x: usize,
    /// Row.
    pub y: usize,
}

/// What an output of a bottom-up network should be.
#[derive(Clone, Debug, PartialEq)]
pub struct PeopleTarget {
    /// Heat maps `[n, joints, h, w]`.
    pub maps: Tensor,
    /// `[n, h, w]`: 0 where people are not labelled, else 1.
    pub mask: Option<Tensor>,
    /// For every image, for every person, the visible joints; read only where the output has tags.
    pub people: Vec<Vec<Vec<TaggedJoint>>>,
}

/// Heat maps under a mask, push and pull.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BottomUp {
    /// Factor on the heat maps.
    pub heatmaps: f64,
    /// Factor on the distance between people.
    pub push: f64,
    /// Factor on the spread within people.
    pub pull: f64,
}

/// The official factors.
impl Default for BottomUp {
    fn default() -> Self {
        Self { heatmaps: 1.0, push: 1e-3, pull: 1e-3 }
    }
}

impl BottomUp {
    pub(super) fn check(&self) -> Result<(), LossError> {
        for (option, value) in [("heatmaps", self.heatmaps), ("push", self.push), ("pull", self.pull)] {
            if !(value.is_finite() && value >= 0.0) {
                let wanted = "0 or more".into();
                return Err(LossError::Option { option, value: value.to_string(), wanted });
            }
        }
        Ok(())
    }

    pub(super) fn evaluate(
        &self,
        pool: &Pool,
        output: &[f32],
        shape: [usize; 4],
        target: &PeopleTarget,
        scale: f64,
        grad: &mut [f32],
    ) -> Result<f64, LossError> {
        self.check()?;
        let joints = check_target(shape, target)?;
        let [n, c, h, w] = shape;
        let plane = h * w;
        let share = self.heatmaps / (n * joints * plane) as f64;
        let mut planes: Vec<(f64, &mut [f32])> = grad.chunks_exact_mut(plane).map(|g| (0.0, g)).collect();
        par::for_each_mut(pool, &mut planes, |i, (total, grad)| {
            let (image, channel) = (i / c, i % c);
            if channel >= joints {
                grad.fill(0.0);
                return;
            }
            let wanted = &target.maps.data()[(image * joints + channel) * plane..][..plane];
            let mask = target.mask.as_ref().map(|m| &m.data()[image * plane..][..plane]);
            for (k, ((d, &p), &g)) in grad.iter_mut().zip(&output[i * plane..]).zip(wanted).enumerate() {
                let m = mask.map_or(1.0, |m| f64::from(m[k]));
                let diff = f64::from(p - g);
                *total += share * m * diff * diff;
                *d = (2.0 * scale * share * m * diff) as f32;
            }
        });
        let mut loss: f64 = planes.iter().map(|(total, _)| total).sum();
        if c > joints {
            for (image, people) in target.people.iter().enumerate() {
                let first = (image * c + joints) * plane;
                let tags = first..first + joints * plane;
                let at = |j: &TaggedJoint| j.joint * plane + j.y * w + j.x;
                loss += self.group(&output[tags.clone()], people, &at, scale, n, &mut grad[tags]);
            }
        }
        Ok(loss)
    }

    /// Push and pull of one image; gradients are added.
    fn group(
        &self,
        tags: &[f32],
        people: &[Vec<TaggedJoint>],
        at: &dyn Fn(&TaggedJoint) -> usize,
        scale: f64,
        images: usize,
        grad: &mut [f32],
    ) -> f64 {
        let people: Vec<&Vec<TaggedJoint>> = people.iter().filter(|p| !p.is_empty()).collect();
        let count = people.len() as f64;
        let tag = |j: &TaggedJoint| f64::from(tags[at(j)]);
        let means: Vec<f64> =
            people.iter().map(|p| p.iter().map(tag).sum::<f64>() / p.len() as f64).collect();
        let pull = self.pull / (images as f64 * count);
        let push = self.push * 0.5 / (images as f64 * count * (count - 1.0));
        let mut loss = 0.0;
        for (k, (person, &mean)) in people.iter().zip(&means).enumerate() {
            let mut slope = 0.0;
            for (_, &other) in means.iter().enumerate().filter(|&(i, _)| i != k) {
                let near = (-(mean - other).powi(2)).exp();
                loss += push * near;
                // Each pair is met twice in the sum, once from either side.
                slope -= 4.0 * push * near * (mean - other);
            }
            let share = 1.0 / person.len() as f64;
            for joint in person.iter() {
                let diff = tag(joint) - mean;
                loss += pull * share * diff * diff;
                // The mean's own derivative drops out: deviations from a mean sum to zero.
                grad[at(joint)] += (scale * share * (2.0 * pull * diff + slope)) as f32;
            }
        }
        loss
    }
}

/// The number of joints, once everything fits.
fn check_target(shape: [usize; 4], target: &PeopleTarget) -> Result<usize, LossError> {
    let [n, c, h, w] = shape;
    let joints = target.maps.shape().get(1).copied().unwrap_or(0);
    if joints == 0 || (c != joints && c != 2 * joints) || target.maps.shape() != [n, joints, h, w] {
        let (wanted, found) = (vec![n, c, h, w], target.maps.shape().to_vec());
        return Err(LossError::Shape {
            what: "the target (with or without half the channels)",
            wanted,
            found,
        });
    }
    if let Some(mask) = target.mask.as_ref().filter(|m| m.shape() != [n, h, w]) {
        let (wanted, found) = (vec![n, h, w], mask.shape().to_vec());
        return Err(LossError::Shape { what: "the mask", wanted, found });
    }
    if c > joints {
        if target.people.len() != n {
            let (wanted, found) = (vec![n], vec![target.people.len()]);
            return Err(LossError::Shape { what: "the list of people per image", wanted, found });
        }
        let outside = |j: &&TaggedJoint| j.joint >= joints || j.x >= w || j.y >= h;
        if let Some(j) = target.people.iter().flatten().flatten().find(outside) {
            let (wanted, found) = (vec![joints, h, w], vec![j.joint, j.y, j.x]);
            return Err(LossError::Shape { what: "a joint with its row and column", wanted, found });
        }
    }
    Ok(joints)
}
