//! A class for every image, measured by top-1 and top-5.

pub(crate) mod config;
pub mod measure;
pub(crate) mod predict;
pub(crate) mod train;

pub use predict::{Classifier, ClassifyOptions};

use super::row::Row;
use super::{Options, Predictor};
use crate::error::Result;
use crate::model::LoadedModel;
use crate::result::Kind;
use hrnet_kernels::Pool;
use std::sync::Arc;

pub(super) const TASK: Row = Row {
    bundled: None,
    predict: Some((Kind::Classes, load)),
    threshold: 0.2,
    training: Some(config::TRAINING),
};

fn load(loaded: LoadedModel, pool: Arc<Pool>, options: Options) -> Result<Predictor> {
    let model = Classifier::new(loaded.weights, loaded.recipe, pool, options.classify)?;
    Ok(Predictor::Classifier(Box::new(model)))
}
