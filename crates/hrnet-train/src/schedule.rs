//! Learning rates as pure functions of the step.

use serde::{Deserialize, Serialize};

/// How the rate falls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Decay {
    /// It does not.
    #[default]
    Constant,
    /// Times `gamma` from the first step of each of these epochs on (epochs from 0).
    MultiStep {
        /// Epochs, in any order.
        epochs: Vec<u64>,
        /// The factor.
        gamma: f64,
    },
    /// Half a cosine from 1 at step 0 to `end` at the last epoch's end.
    Cosine {
        /// Length in epochs.
        epochs: u64,
        /// The final factor.
        #[serde(default)]
        end: f64,
    },
    /// `end + (1 - end) (1 - step / total)^power`, `end` afterwards.
    Poly {
        /// Length in epochs.
        epochs: u64,
        /// The exponent; 0.9 in segmentation.
        power: f64,
        /// The final factor.
        #[serde(default, skip_serializing_if = "is_zero")]
        end: f64,
    },
}

fn is_zero(v: &f64) -> bool {
    *v == 0.0
}

/// A linear rise at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warmup {
    /// Length in steps.
    pub steps: u64,
    /// Factor at step 0.
    pub start: f64,
}

/// A learning rate for every step: `base * warm-up(step) * decay(step)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The rate before factors.
    pub base: f64,
    /// The rise at the beginning.
    #[serde(default)]
    pub warmup: Option<Warmup>,
    /// The fall.
    #[serde(default)]
    pub decay: Decay,
}

impl Schedule {
    /// A constant rate.
    pub fn constant(base: f64) -> Self {
        Self { base, warmup: None, decay: Decay::Constant }
    }

    /// Checks the numbers.
    pub(crate) fn check(&self) -> Result<(), crate::TrainError> {
        let factors = |name, value: f64, most: f64, wanted| {
            if (0.0..=most).contains(&value) {
                return Ok(());
            }
            Err(crate::TrainError::Option { name, value: value.to_string(), wanted })
        };
        factors("learning rate", self.base, f64::MAX, "0 or more")?;
        if let Some(warmup) = self.warmup {
            factors("warmup.start", warmup.start, 1.0, "a factor from 0 to 1")?;
        }
        let epochs = match &self.decay {
            Decay::Constant => 1,
            Decay::MultiStep { gamma, .. } => {
                factors("decay.gamma", *gamma, f64::MAX, "0 or more")?;
                1
            }
            Decay::Cosine { epochs, end } => {
                factors("decay.end", *end, 1.0, "a factor from 0 to 1")?;
                *epochs
            }
            Decay::Poly { epochs, power, end } => {
                factors("decay.power", *power, f64::MAX, "0 or more")?;
                factors("decay.end", *end, 1.0, "a factor from 0 to 1")?;
                *epochs
            }
        };
        if epochs == 0 {
            let (name, value) = ("decay.epochs", "0".into());
            return Err(crate::TrainError::Option { name, value, wanted: "1 or more" });
        }
        Ok(())
    }

    /// The rate of step `step` (from 0) when an epoch has `steps_per_epoch` steps.
    pub fn rate(&self, step: u64, steps_per_epoch: u64) -> f64 {
        let warmup = match self.warmup {
            Some(w) if step < w.steps => w.start + (1.0 - w.start) * step as f64 / w.steps as f64,
            _ => 1.0,
        };
        self.base * warmup * self.decay.factor(step, steps_per_epoch.max(1))
    }
}

impl Decay {
    fn factor(&self, step: u64, steps_per_epoch: u64) -> f64 {
        let progress = |epochs: u64| {
            let total = epochs.saturating_mul(steps_per_epoch).max(1);
            (step as f64 / total as f64).min(1.0)
        };
        match self {
            Decay::Constant => 1.0,
            Decay::MultiStep { epochs, gamma } => {
                let epoch = step / steps_per_epoch;
                epochs.iter().filter(|&&e| e <= epoch).fold(1.0, |f, _| f * gamma)
            }
            Decay::Cosine { epochs, end } => {
                end + (1.0 - end) * 0.5 * (1.0 + (std::f64::consts::PI * progress(*epochs)).cos())
            }
            Decay::Poly { epochs, power, end } => end + (1.0 - end) * (1.0 - progress(*epochs)).powf(*power),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_at_the_corners() {
        let multi = Schedule {
            decay: Decay::MultiStep { epochs: vec![30, 50], gamma: 0.1 },
            ..Schedule::constant(1.0)
        };
        let rates: Vec<f64> = [0, 299, 300, 499, 500, 900].iter().map(|&s| multi.rate(s, 10)).collect();
        for (rate, wanted) in rates.iter().zip([1.0, 1.0, 0.1, 0.1, 0.01, 0.01]) {
            assert!((rate - wanted).abs() < 1e-15, "{rates:?}");
        }
        let cosine = Schedule { decay: Decay::Cosine { epochs: 10, end: 0.1 }, ..Schedule::constant(2.0) };
        assert_eq!(cosine.rate(0, 7), 2.0);
        assert!((cosine.rate(35, 7) - 1.1).abs() < 1e-12);
        assert!((cosine.rate(70, 7) - 0.2).abs() < 1e-12);
        assert!((cosine.rate(7000, 7) - 0.2).abs() < 1e-12);
        let poly =
            Schedule { decay: Decay::Poly { epochs: 1, power: 0.9, end: 0.0 }, ..Schedule::constant(0.01) };
        assert!((poly.rate(1, 10) - 0.01 * 0.9f64.powf(0.9)).abs() < 1e-15);
        assert_eq!(poly.rate(11, 10), 0.0);
        let warm = Schedule { warmup: Some(Warmup { steps: 4, start: 0.5 }), ..Schedule::constant(1.0) };
        let rates: Vec<f64> = (0..6).map(|s| warm.rate(s, 10)).collect();
        assert_eq!(rates, [0.5, 0.625, 0.75, 0.875, 1.0, 1.0]);
    }
}
