//! Which parameters learn, and how fast: frozen layers, frozen batch norms, rates by layer.
//!
//! A prefix is one or more whole parts of a dotted name: `stage2`, `stage4.2.fuse_layers`, `bn1.weight`. One that no
//! parameter has is an error: it would be a typing mistake that trains the wrong thing.

use crate::error::TrainError;
use crate::params::Params;
use serde::{Deserialize, Serialize};

/// How batch norms behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistics {
    /// All normalise by the batch and move their running statistics.
    #[default]
    Batch,
    /// Those of frozen layers normalise by their running statistics and leave them; the others as before.
    FrozenLayers,
    /// All normalise by their running statistics and leave them; scale and shift still learn (the detectors' `norm_eval`).
    Running,
}

/// What does not learn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Freeze {
    /// Prefixes of parameters that stay as they are.
    pub layers: Vec<String>,
    /// What batch norms use.
    pub statistics: Statistics,
}

/// A factor on the learning rate of some layers. Where several fit, the longest prefix counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerRate {
    /// Which parameters.
    pub prefix: String,
    /// The factor.
    pub factor: f64,
}

/// Whether `name` is `prefix` or below it.
pub(crate) fn below(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Freeze {
    /// Whether a parameter stays as it is.
    pub fn holds(&self, name: &str) -> bool {
        self.layers.iter().any(|prefix| below(name, prefix))
    }
}

/// The factor on the rate of a parameter: 0 where it is frozen.
pub(crate) fn factor(name: &str, freeze: &Freeze, rates: &[LayerRate]) -> f64 {
    if freeze.holds(name) {
        return 0.0;
    }
    let fitting = rates.iter().filter(|r| below(name, &r.prefix));
    fitting.max_by_key(|r| r.prefix.len()).map_or(1.0, |r| r.factor)
}

/// Checks prefixes and factors.
pub(crate) fn check(params: &Params, freeze: &Freeze, rates: &[LayerRate]) -> Result<(), TrainError> {
    let prefixes = freeze.layers.iter().map(|p| ("freeze.layers", p));
    for (option, prefix) in prefixes.chain(rates.iter().map(|r| ("layer_rates", &r.prefix))) {
        if !params.trainable().any(|slot| below(&slot.name, prefix)) {
            let mut known: Vec<&str> = params.trainable().filter_map(|s| s.name.split('.').next()).collect();
            known.dedup();
            let (prefix, known) = (prefix.clone(), known.join(", "));
            return Err(TrainError::Prefix { option, prefix, known });
        }
    }
    if let Some(rate) = rates.iter().find(|r| !(r.factor.is_finite() && r.factor >= 0.0)) {
        let (name, value) = ("layer_rates.factor", rate.factor.to_string());
        return Err(TrainError::Option { name, value, wanted: "0 or more" });
    }
    if params.trainable().all(|slot| factor(&slot.name, freeze, rates) == 0.0) {
        let (name, value) = ("freeze.layers", freeze.layers.join(", "));
        return Err(TrainError::Option { name, value, wanted: "some parameters left to train" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_parts_and_the_longest_prefix() {
        let freeze = Freeze { layers: vec!["conv1".into(), "stage2.0".into()], ..Freeze::default() };
        assert!(freeze.holds("conv1.weight") && freeze.holds("stage2.0.branches.0.0.conv1.weight"));
        assert!(!freeze.holds("conv10.weight") && !freeze.holds("stage2.1.x") && !freeze.holds("a.conv1"));
        let rate = |prefix: &str, factor| LayerRate { prefix: prefix.into(), factor };
        let rates = [rate("head", 10.0), rate("head.3", 2.0)];
        let of = |name| factor(name, &freeze, &rates);
        assert_eq!((of("head.0.weight"), of("head.3.bias"), of("bn1.bias")), (10.0, 2.0, 1.0));
        assert_eq!(of("conv1.weight"), 0.0);
    }
}
