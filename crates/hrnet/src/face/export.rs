//! A trained network as one file with its recipe.

use crate::config::TrainConfig;
use anyhow::Result;
use hrnet_data::codec::heatmap::Decoder;
use hrnet_formats::{self as formats, Metric, Precision, Recipe, to_safetensors};
use hrnet_ir::{Model, Weights};

/// The recipe of a run.
pub(super) fn recipe_for(config: &TrainConfig, model: &Model, nme_percent: Option<f64>) -> Recipe {
    let mut recipe = Recipe::for_model(model, crate::model::created_by());
    let [h, w] = config.input.size;
    recipe.input_size = (h, w);
    recipe.mean = config.input.mean.map(widen);
    recipe.std = config.input.std.map(widen);
    recipe.padding = config.input.padding;
    recipe.sigma = Some(config.target.sigma);
    recipe.decoder = match config.target.decoder {
        Decoder::LogQuadratic => formats::Decoder::LogQuadratic,
        Decoder::Dark { .. } => formats::Decoder::Dark,
        Decoder::Udp { .. } => formats::Decoder::Udp,
        Decoder::Argmax | Decoder::QuarterOffset => formats::Decoder::ArgMaxQuarter,
    };
    let text = |s: &str| (!s.is_empty()).then(|| s.to_string());
    recipe.training_data = text(&config.about.training_data);
    recipe.licence = text(&config.about.terms);
    recipe.source = text(&config.about.name);
    recipe.metric = nme_percent.zip(config.data.val.as_ref()).map(|(value, set)| Metric {
        name: "NME percent, outer eye corners".into(),
        value,
        set: set.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
    });
    recipe
}

/// The shortest decimal that rounds to the same f32, as f64: 0.485 and not 0.48500001430511475.
fn widen(v: f32) -> f64 {
    v.to_string().parse().unwrap_or(f64::from(v))
}

/// The bytes of the model file: weights in half precision, batch norms in single.
pub fn export(
    config: &TrainConfig,
    model: &Model,
    weights: &Weights,
    nme_percent: Option<f64>,
) -> Result<Vec<u8>> {
    Ok(to_safetensors(weights, Some(&recipe_for(config, model, nme_percent)), Precision::F16)?)
}
