//! Adaptive wing (mmpose's form): `omega ln(1 + (d / epsilon)^(alpha - g))` for an error `d` below `theta`, a straight
//! line with the same value and slope above; mean over everything. With weights, prediction and target are multiplied by
//! them first.

use super::heatmaps::Heatmaps;
use crate::error::LossError;
use crate::par;
use serde::{Deserialize, Serialize};

/// Adaptive wing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptiveWing {
    /// Exponent at a target of 0; above 2, so that the background has a smooth minimum.
    pub alpha: f64,
    /// Height.
    pub omega: f64,
    /// Scale of the errors.
    pub epsilon: f64,
    /// Where the straight line begins.
    pub theta: f64,
}

/// The published values.
impl Default for AdaptiveWing {
    fn default() -> Self {
        Self { alpha: 2.1, omega: 14.0, epsilon: 1.0, theta: 0.5 }
    }
}

impl AdaptiveWing {
    pub(super) fn check(&self) -> Result<(), LossError> {
        let options =
            [("omega", self.omega, 0.0), ("epsilon", self.epsilon, 0.0), ("theta", self.theta, 0.0)];
        for (option, value, least) in options.into_iter().chain([("alpha", self.alpha, 2.0)]) {
            if !(value.is_finite() && value > least) {
                let wanted = format!("above {least}");
                return Err(LossError::Option { option, value: value.to_string(), wanted });
            }
        }
        Ok(())
    }

    /// The loss of an error `p - g` and its derivative with respect to `p`.
    fn at(&self, p: f64, g: f64) -> (f64, f64) {
        let Self { alpha, omega, epsilon, theta } = *self;
        let (diff, power) = (p - g, alpha - g);
        let delta = diff.abs();
        if delta < theta {
            let ratio = delta / epsilon;
            let slope = omega * power * ratio.powf(power - 1.0) / (epsilon * (1.0 + ratio.powf(power)));
            return (omega * (ratio.powf(power)).ln_1p(), slope * diff.signum());
        }
        let ratio = theta / epsilon;
        let slope = omega / (1.0 + ratio.powf(power)) * power * ratio.powf(power - 1.0) / epsilon;
        let shift = theta * slope - omega * ratio.powf(power).ln_1p();
        (slope * delta - shift, slope * diff.signum())
    }

    pub(super) fn evaluate(&self, on: &Heatmaps, grad: &mut [f32]) -> Result<f64, LossError> {
        self.check()?;
        on.check(on.shape[1])?;
        let plane = on.plane();
        let share = 1.0 / on.output.len() as f64;
        let mut planes: Vec<(f64, &mut [f32])> = grad.chunks_exact_mut(plane).map(|g| (0.0, g)).collect();
        par::for_each_mut(on.pool, &mut planes, |i, (total, grad)| {
            let weight = on.weight(&[], i);
            let (output, maps) = on.map(i);
            for ((d, &p), &g) in grad.iter_mut().zip(output).zip(maps) {
                let (loss, slope) = self.at(weight * f64::from(p), weight * f64::from(g));
                *total += share * loss;
                *d = (on.scale * share * weight * slope) as f32;
            }
        });
        Ok(planes.iter().map(|(total, _)| total).sum())
    }
}
