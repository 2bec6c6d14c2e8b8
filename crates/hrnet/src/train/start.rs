//! The weights a run starts from.

use crate::config::TrainConfig;
use crate::error::{Result, bail};
use hrnet_ir::{Model, Net, Weights};

/// Initial weights by rule; where the configuration names a model file, those of its tensors that fit by name and shape
/// take their place.
pub(super) fn weights(config: &TrainConfig, model: &Model, net: &Net) -> Result<Weights> {
    let fresh = hrnet_train::init::weights(net, config.model.init, config.seed);
    let Some(start) = &config.model.start else { return Ok(fresh) };
    let loaded = crate::model::LoadedModel::open(start, &Default::default())?;
    let (mut taken, mut other_shape, mut left) = (0usize, Vec::new(), Vec::new());
    let weights: Weights = fresh
        .iter()
        .map(|(name, tensor)| {
            let found = match loaded.weights.get(name) {
                Some(t) if t.shape() == tensor.shape() => {
                    taken += 1;
                    t.clone()
                }
                Some(_) => {
                    other_shape.push(name.to_string());
                    tensor.clone()
                }
                None => {
                    left.push(name.to_string());
                    tensor.clone()
                }
            };
            (name.to_string(), found)
        })
        .collect();
    let all = taken + other_shape.len() + left.len();
    if taken * 2 < all {
        bail!(
            "{}: does not fit {model}: of {all} tensors {} are missing in it and {} have another shape",
            start.display(),
            left.len(),
            other_shape.len()
        );
    }
    let first = other_shape.first().or(left.first());
    log::info!(
        "started from {}: {taken} of {all} tensors, {} new{}",
        start.display(),
        all - taken,
        first.map_or(String::new(), |name| format!(" (first: {name})"))
    );
    Ok(weights)
}
