//! Points of something in a box: what faces and poses have in common.

pub(crate) mod config;
pub(crate) mod losses;
mod predict;
pub mod show;

pub(crate) use predict::convention_of;
pub use predict::{BoxPredictions, Convention, Place, PointOptions, Stages, TopDown};

use super::{Options, Predictor};
use crate::error::Result;
use crate::model::LoadedModel;
use hrnet_kernels::Pool;
use std::sync::Arc;

/// The predictor of faces and poses.
pub(super) fn load(loaded: LoadedModel, pool: Arc<Pool>, options: Options) -> Result<Predictor> {
    let LoadedModel { weights, recipe, .. } = loaded;
    let model = match options.boxes {
        Some(boxes) => TopDown::for_boxes(weights, recipe, pool, boxes)?,
        None => TopDown::new(weights, recipe, pool)?,
    };
    Ok(Predictor::TopDown(Box::new(model), Box::new(options)))
}
