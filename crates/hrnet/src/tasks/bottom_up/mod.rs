//! The points of all persons of an image, without boxes: HigherHRNet.

pub(crate) mod config;
mod predict;
pub(crate) mod train;

pub use predict::{BottomUp, Options, Persons};

use super::Predictor;
use super::row::Row;
use crate::error::Result;
use crate::model::LoadedModel;
use crate::result::Kind;
use hrnet_kernels::Pool;
use std::sync::Arc;

pub(super) const TASK: Row = Row {
    bundled: None,
    predict: Some((Kind::Instances, load)),
    evaluate: Some(super::pose::evaluate::evaluate),
    threshold: 0.2,
    training: Some(config::TRAINING),
};

fn load(loaded: LoadedModel, pool: Arc<Pool>, options: super::Options) -> Result<Predictor> {
    let model = BottomUp::new(loaded.weights, loaded.recipe, pool, options.bottom_up)?;
    Ok(Predictor::BottomUp(Box::new(model)))
}
