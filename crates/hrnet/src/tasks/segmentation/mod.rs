//! A class for every pixel: a V2 network, plain or with OCR, measured by mIoU.

pub(crate) mod config;
pub mod measure;
mod predict;
pub(crate) mod train;

pub use predict::{MEMORY, Resize, Scores, SegmentOptions, Segmenter, WORKING, Windows};

use super::row::Row;
use super::{Options, Predictor};
use crate::error::Result;
use crate::model::LoadedModel;
use crate::result::Kind;
use hrnet_kernels::Pool;
use std::sync::Arc;

pub(super) const TASK: Row = Row {
    bundled: Some(("camvid11", include_bytes!("../../../models/camvid11.safetensors"))),
    predict: Some((Kind::Mask, load)),
    threshold: 0.2,
    training: Some(config::TRAINING),
};

fn load(loaded: LoadedModel, pool: Arc<Pool>, options: Options) -> Result<Predictor> {
    let make = if options.boxes.is_some() { Segmenter::for_one_image } else { Segmenter::new };
    Ok(Predictor::Segmenter(Box::new(make(loaded.weights, loaded.recipe, pool, options.segment)?)))
}
