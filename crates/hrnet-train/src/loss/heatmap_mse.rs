//! Squared errors of heat maps, `p` predicted, `g` wanted, over B images, J maps and H x W pixels:
//!
//! | loss | formula |
//! |---|---|
//! | joints (the official pose loss) | (1 / J) sum_j 0.5 mean_{B,H,W} (w p - w g)^2 |
//! | mean (the official face loss) | mean_{B,J,H,W} (p - g)^2, weights not read |
//! | weighted (mmpose) | mean_{B,J,H,W} w (p - g)^2 |
//!
//! `w` is the weight of the target times `joint_weights` of the joint, where given: the official pose code has a table of
//! those for COCO ([`COCO_JOINT_WEIGHTS`]), off in the published recipes.
//!
//! With `foreground = a`, every pixel's square counts `1 + a g` times: small maps are mostly background, and this keeps
//! a network from predicting nothing for its first epochs. 0 gives the formulas as they stand.

use super::heatmaps::{Heatmaps, check_joint_weights};
use crate::error::LossError;
use crate::par;
use serde::{Deserialize, Serialize};

/// Which formula.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeatmapLoss {
    /// The official pose loss.
    #[default]
    Joints,
    /// The official face loss.
    Mean,
    /// The weighted mean.
    Weighted,
}

/// Squared error of heat maps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeatmapMse {
    /// Which formula.
    pub form: HeatmapLoss,
    /// Extra weight of a pixel per unit of its target.
    #[serde(default)]
    pub foreground: f64,
    /// A factor per joint on the weights of the target; all 1 when empty. Not read by the mean form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joint_weights: Vec<f64>,
}

/// The official factors for the 17 joints of COCO.
pub const COCO_JOINT_WEIGHTS: [f64; 17] =
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.2, 1.2, 1.5, 1.5, 1.0, 1.0, 1.2, 1.2, 1.5, 1.5];

impl HeatmapMse {
    /// A formula without foreground weight.
    pub fn new(form: HeatmapLoss) -> Self {
        Self { form, foreground: 0.0, joint_weights: Vec::new() }
    }

    pub(super) fn check(&self, joints: usize) -> Result<(), LossError> {
        if !(self.foreground.is_finite() && self.foreground >= 0.0) {
            let (option, value) = ("foreground", self.foreground.to_string());
            return Err(LossError::Option { option, value, wanted: "0 or more".into() });
        }
        check_joint_weights(&self.joint_weights, joints)
    }

    pub(super) fn evaluate(&self, on: &Heatmaps, grad: &mut [f32]) -> Result<f64, LossError> {
        let [n, c, _, _] = on.shape;
        self.check(c)?;
        on.check(c)?;
        let plane = on.plane();
        let mean = 1.0 / (n * c * plane) as f64;
        let coefficient = |index: usize| -> f64 {
            let weight = on.weight(&self.joint_weights, index);
            match self.form {
                HeatmapLoss::Joints => 0.5 * weight * weight * mean,
                HeatmapLoss::Mean => mean,
                HeatmapLoss::Weighted => weight * mean,
            }
        };
        let mut planes: Vec<(f64, &mut [f32])> = grad.chunks_exact_mut(plane).map(|g| (0.0, g)).collect();
        let foreground = self.foreground as f32;
        par::for_each_mut(on.pool, &mut planes, |i, (sum, grad)| {
            let (output, maps) = on.map(i);
            let coefficient = coefficient(i);
            let factor = (2.0 * on.scale * coefficient) as f32;
            let mut total = 0.0;
            for ((d, &p), &g) in grad.iter_mut().zip(output).zip(maps) {
                let (diff, omega) = (p - g, 1.0 + foreground * g);
                *d = factor * omega * diff;
                total += f64::from(omega) * (f64::from(diff) * f64::from(diff));
            }
            *sum = coefficient * total;
        });
        Ok(planes.iter().map(|(sum, _)| sum).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Loss, Target, check_gradient};
    use super::*;
    use hrnet_ir::Tensor;
    use hrnet_kernels::Pool;
    use hrnet_proof::formula;

    #[test]
    fn formulas_and_gradients() {
        let shape = [2, 3, 2, 4];
        let maps = formula::uniform_tensor("maps", &shape, |u| u);
        let weights = formula::uniform_tensor("weights", &[2, 3], |u| if u > 0.3 { u } else { 0.0 });
        let target = Target::Heatmaps { maps: maps.clone(), weights: Some(weights.clone()) };
        let output = formula::input("output", &shape);
        let squares = |i: usize, a: f64| -> f64 {
            let (p, g) = (f64::from(output.data()[i]), f64::from(maps.data()[i]));
            (p - g).powi(2) * (1.0 + a * g)
        };
        for foreground in [0.0, 5.0] {
            for form in [HeatmapLoss::Joints, HeatmapLoss::Mean, HeatmapLoss::Weighted] {
                let loss = Loss::HeatmapMse(HeatmapMse { foreground, ..HeatmapMse::new(form) });
                let mut grad = vec![0.0; 48];
                let got =
                    loss.evaluate(&Pool::new(1), output.data(), shape, &target, 1.0, &mut grad).unwrap();
                let wanted: f64 = (0..48)
                    .map(|i| {
                        let w = f64::from(weights.data()[i / 8]);
                        squares(i, foreground) / 48.0
                            * match form {
                                HeatmapLoss::Joints => 0.5 * w * w,
                                HeatmapLoss::Mean => 1.0,
                                HeatmapLoss::Weighted => w,
                            }
                    })
                    .sum();
                assert!((got - wanted).abs() < 1e-6 * wanted, "{form:?}: {got}, wanted {wanted}");
                check_gradient(&loss, shape, &target);
            }
        }
    }

    #[test]
    fn wrong_targets_are_errors() {
        let loss = Loss::HeatmapMse(HeatmapMse::default());
        let shape = [1, 2, 2, 2];
        let mut grad = [0.0; 8];
        let mut check = |target: Target| {
            loss.evaluate(&Pool::new(1), &[0.0; 8], shape, &target, 1.0, &mut grad).unwrap_err().to_string()
        };
        let message = check(Target::Heatmaps { maps: Tensor::zeros([1, 2, 2, 3]), weights: None });
        assert!(message.contains("[1, 2, 2, 3]") && message.contains("[1, 2, 2, 2]"), "{message}");
        let weights = Some(Tensor::zeros([2]));
        let message = check(Target::Heatmaps { maps: Tensor::zeros([1, 2, 2, 2]), weights });
        assert!(message.contains("weights"), "{message}");
        assert!(check(Target::Labels(vec![0])).contains("class labels"));
    }
}
