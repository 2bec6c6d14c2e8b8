//! The loss of UDP's combined target (mmpose): three maps per joint, a disc and the x and y offsets to the joint.
//!
//! `(1 / J) sum_j 0.5 [mean (w c - w C)^2 + mean (w C (x - X))^2 + mean (w C (y - Y))^2]`, capitals wanted, means over
//! images and pixels: offsets count where the disc is.

use super::heatmaps::{Heatmaps, check_joint_weights};
use crate::error::LossError;
use crate::par;
use serde::{Deserialize, Serialize};

/// Squared errors of discs and offsets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UdpCombined {
    /// A factor per joint on the weights of the target; all 1 when empty.
    pub joint_weights: Vec<f64>,
}

impl UdpCombined {
    pub(super) fn check(&self, channels: usize) -> Result<(), LossError> {
        if !channels.is_multiple_of(3) {
            let wanted = "a multiple of 3: disc, x offset and y offset of every joint".into();
            return Err(LossError::Option { option: "channels", value: channels.to_string(), wanted });
        }
        check_joint_weights(&self.joint_weights, channels / 3)
    }

    pub(super) fn evaluate(&self, on: &Heatmaps, grad: &mut [f32]) -> Result<f64, LossError> {
        let [n, c, _, _] = on.shape;
        self.check(c)?;
        on.check(c / 3)?;
        let plane = on.plane();
        let share = 3.0 / (n * c * plane) as f64;
        let mut joints: Vec<(f64, &mut [f32])> = grad.chunks_exact_mut(3 * plane).map(|g| (0.0, g)).collect();
        par::for_each_mut(on.pool, &mut joints, |i, (total, grad)| {
            let weight = on.weight(&self.joint_weights, i);
            let range = i * 3 * plane..(i + 1) * 3 * plane;
            let (output, maps) = (&on.output[range.clone()], &on.maps.data()[range]);
            let disc = &maps[..plane];
            for part in 0..3 {
                let range = part * plane..(part + 1) * plane;
                let pairs = output[range.clone()].iter().zip(&maps[range.clone()]);
                for ((d, (&p, &g)), &disc) in grad[range].iter_mut().zip(pairs).zip(disc) {
                    let inside = if part == 0 { 1.0 } else { f64::from(disc) };
                    let k = share * (weight * inside).powi(2);
                    let diff = f64::from(p - g);
                    *total += 0.5 * k * diff * diff;
                    *d = (on.scale * k * diff) as f32;
                }
            }
        });
        Ok(joints.iter().map(|(total, _)| total).sum())
    }
}
