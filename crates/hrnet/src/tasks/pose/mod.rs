//! Points of a person or an animal in a box: a V1 network, measured by AP, PCK or PCKh.

pub(crate) mod config;
pub(super) mod evaluate;
pub mod measure;
pub(crate) mod train;

use super::points;
use super::row::Row;
use crate::result::Kind;

pub(super) const TASK: Row = Row {
    bundled: Some(("pose14", include_bytes!("../../../models/pose14.safetensors"))),
    predict: Some((Kind::Instances, points::load)),
    evaluate: Some(evaluate::evaluate),
    threshold: 0.2,
    training: Some(config::TRAINING),
};
