//! Online hard keypoint mining of the official pose code: of every image only the joints with the largest errors count.
//!
//! `mean over images of (1 / top) * sum over the top joints of 0.5 mean_{H,W} (w p - w g)^2`

use super::heatmaps::{Heatmaps, check_joint_weights};
use crate::error::LossError;
use crate::par;
use serde::{Deserialize, Serialize};

/// Squared error of the hardest joints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ohkm {
    /// How many joints of an image count.
    pub top: usize,
    /// A factor per joint on the weights of the target; all 1 when empty.
    pub joint_weights: Vec<f64>,
}

/// The eight joints of the official code.
impl Default for Ohkm {
    fn default() -> Self {
        Self { top: 8, joint_weights: Vec::new() }
    }
}

impl Ohkm {
    pub(super) fn check(&self, joints: usize) -> Result<(), LossError> {
        check_joint_weights(&self.joint_weights, joints)?;
        if self.top == 0 || self.top > joints {
            let wanted = format!("1 to {joints}, the number of joints");
            return Err(LossError::Option { option: "top", value: self.top.to_string(), wanted });
        }
        Ok(())
    }

    pub(super) fn evaluate(&self, on: &Heatmaps, grad: &mut [f32]) -> Result<f64, LossError> {
        let [n, joints, _, _] = on.shape;
        self.check(joints)?;
        on.check(joints)?;
        let plane = on.plane();
        let weight = |i: usize| on.weight(&self.joint_weights, i);
        let mut errors = vec![0.0; n * joints];
        par::for_each_mut(on.pool, &mut errors, |i, error| {
            let (p, g) = on.map(i);
            let sum: f64 = p.iter().zip(g).map(|(p, g)| f64::from(p - g) * f64::from(p - g)).sum();
            *error = 0.5 * weight(i) * weight(i) * sum / plane as f64;
        });
        let share = 1.0 / (self.top * n) as f64;
        let mut hard = vec![false; n * joints];
        let mut total = 0.0;
        for (errors, hard) in errors.chunks_exact(joints).zip(hard.chunks_exact_mut(joints)) {
            // NaN first, so that it is seen; of equal errors the first joint.
            let mut order: Vec<usize> = (0..joints).collect();
            order.sort_by(|&a, &b| errors[b].total_cmp(&errors[a]));
            for &joint in &order[..self.top] {
                hard[joint] = true;
                total += share * errors[joint];
            }
        }
        let mut planes: Vec<&mut [f32]> = grad.chunks_exact_mut(plane).collect();
        par::for_each_mut(on.pool, &mut planes, |i, grad| {
            let factor = (on.scale * share * weight(i) * weight(i) / plane as f64) as f32;
            let (p, g) = on.map(i);
            for ((d, p), g) in grad.iter_mut().zip(p).zip(g) {
                *d = if hard[i] { factor * (p - g) } else { 0.0 };
            }
        });
        Ok(total)
    }
}
