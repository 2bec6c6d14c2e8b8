//! A class for every pixel: a V2 network, plain or with OCR, measured by mIoU.

pub(crate) mod config;
pub mod measure;
mod predict;
pub(crate) mod train;

pub use predict::{MEMORY, Resize, Scores, SegmentOptions, Segmenter, WORKING, Windows};

use super::row::{Row, WORST};
use super::{Options, Predictor};
use crate::error::{Result, bail};
use crate::measure::Measured;
use crate::model::LoadedModel;
use crate::result::Kind;
use hrnet_kernels::Pool;
use measure::{SegmentationMeasure, measure_segmentation, read_masks};
use std::path::Path;
use std::sync::Arc;

pub(super) const TASK: Row = Row {
    bundled: Some(("camvid11", include_bytes!("../../../models/camvid11.safetensors"))),
    predict: Some((Kind::Mask, load)),
    evaluate: Some(evaluate),
    threshold: 0.2,
    training: Some(config::TRAINING),
};

fn load(loaded: LoadedModel, pool: Arc<Pool>, options: Options) -> Result<Predictor> {
    let make = if options.boxes.is_some() { Segmenter::for_one_image } else { Segmenter::new };
    Ok(Predictor::Segmenter(Box::new(make(loaded.weights, loaded.recipe, pool, options.segment)?)))
}

fn evaluate(predictor: &mut Predictor, data: &Path, images: Option<&Path>) -> Result<Measured> {
    let Predictor::Segmenter(model) = predictor else { bail!("this model finds no masks") };
    let set = read_masks(data, images)?;
    let how = SegmentationMeasure::new(None, &model.schema().names, None, WORST)?;
    measure_segmentation(model, &set, &how, |_| ())
}
