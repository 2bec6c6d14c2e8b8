//! Points of a face in a box: a V2 landmark network, measured by the normalised mean error.

pub(crate) mod config;
mod evaluate;
pub mod measure;
pub(crate) mod train;

use super::points;
use super::row::Row;
use crate::result::Kind;

pub(super) const TASK: Row = Row {
    bundled: Some(("face68", include_bytes!("../../../models/face68.safetensors"))),
    predict: Some((Kind::Instances, points::load)),
    // Landmark maps have peaks even where nothing is seen; hollow points mark the least certain ones.
    evaluate: Some(evaluate::evaluate),
    threshold: 0.3,
    training: Some(config::TRAINING),
};
