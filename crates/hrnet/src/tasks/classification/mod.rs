//! A class for every image, measured by top-1 and top-5.

pub(crate) mod config;
pub mod measure;
pub(crate) mod predict;
pub(crate) mod train;

pub use predict::{Classifier, ClassifyOptions};

use super::row::{Row, WORST};
use super::{Options, Predictor};
use crate::error::{Result, bail};
use crate::measure::Measured;
use crate::model::LoadedModel;
use crate::result::Kind;
use hrnet_kernels::Pool;
use measure::{measure_classification, read_classes};
use std::path::Path;
use std::sync::Arc;

pub(super) const TASK: Row = Row {
    bundled: None,
    predict: Some((Kind::Classes, load)),
    evaluate: Some(evaluate),
    threshold: 0.2,
    training: Some(config::TRAINING),
};

fn load(loaded: LoadedModel, pool: Arc<Pool>, options: Options) -> Result<Predictor> {
    let model = Classifier::new(loaded.weights, loaded.recipe, pool, options.classify)?;
    Ok(Predictor::Classifier(Box::new(model)))
}

fn evaluate(predictor: &mut Predictor, data: &Path, images: Option<&Path>) -> Result<Measured> {
    let Predictor::Classifier(model) = predictor else { bail!("this model finds no classes") };
    measure_classification(model, &read_classes(data, images)?, WORST, |_| ())
}
