//! A trained network as one file with its recipe.

use super::job::Facts;
use crate::config::TrainConfig;
use crate::error::Result;
use crate::tasks;
use hrnet_formats::{LoadOptions, Metric, Origins, Precision, Recipe, load, to_safetensors};
use hrnet_ir::sets::{ClassSet, PointSet};
use hrnet_ir::{Decoder, Model, Weights};

/// How the maps of a run are read.
pub(crate) fn decoder(config: &TrainConfig) -> Decoder {
    match config.target.decoder.decoder() {
        _ if config.target.udp => Decoder::Udp,
        // Kept as the reading that is trained by default: the maximum alone is for looking.
        Decoder::ArgMax => Decoder::ArgMaxQuarter,
        decoder => decoder,
    }
}

/// The recipe of a run.
pub(crate) fn recipe(config: &TrainConfig, model: &Model, facts: &Facts, metric: Option<Metric>) -> Recipe {
    let training = tasks::training(config.task).ok();
    let mut recipe = Recipe::for_model(model, crate::model::created_by());
    let [h, w] = config.input.size;
    recipe.input_size = (h, w);
    recipe.mean = config.input.mean.map(widen);
    recipe.std = config.input.std.map(widen);
    if config.task.is_top_down() {
        recipe.padding = config.input.padding;
        recipe.sigma = Some(config.target.sigma);
        recipe.decoder = decoder(config);
    }
    if training.is_some_and(|t| t.named_by_data) {
        recipe.names = facts.names.clone();
        recipe.flip_pairs = facts.flip_pairs.clone();
        recipe.skeleton = facts.skeleton.clone();
        recipe.outlines = Vec::new();
    }
    // Whoever trains knows: nothing of it is a guess.
    recipe.origins = Origins::default();
    (recipe.points, recipe.classes) = (None, None);
    if config.task.has_points() {
        recipe.points = PointSet::by_points(&recipe.names).map(|s| s.name.to_string());
    } else {
        recipe.classes = ClassSet::by_classes(&recipe.names).map(|s| s.name.to_string());
    }
    if training.is_some_and(|t| t.takes("target.sigma")) {
        recipe.sigma = Some(config.target.sigma);
    }
    let text = |s: &str| (!s.is_empty()).then(|| s.to_string());
    recipe.training_data = text(&config.about.training_data);
    recipe.licence = text(&config.about.terms);
    recipe.source = text(&config.about.name);
    recipe.metric = metric;
    recipe
}

/// The shortest decimal that rounds to the same f32, as f64: 0.485 and not 0.48500001430511475.
fn widen(v: f32) -> f64 {
    v.to_string().parse().unwrap_or(f64::from(v))
}

/// The bytes of the model file: weights in half precision, batch norms in single.
pub(crate) fn bytes(
    config: &TrainConfig,
    model: &Model,
    facts: &Facts,
    weights: &Weights,
    metric: Option<Metric>,
) -> Result<Vec<u8>> {
    Ok(to_safetensors(weights, Some(&recipe(config, model, facts, metric)), Precision::F16)?)
}

/// The weights as whoever opens the model file gets them: what is judged is what is kept. Weights that no file can hold, those
/// of a run that went wrong, stay as they are.
pub(crate) fn as_stored(config: &TrainConfig, model: &Model, facts: &Facts, weights: Weights) -> Weights {
    let read = |bytes: Vec<u8>| Ok(load(&bytes, &LoadOptions::default())?.weights);
    bytes(config, model, facts, &weights, None).and_then(read).unwrap_or(weights)
}
