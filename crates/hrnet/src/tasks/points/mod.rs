//! Points of something in a box: what faces and poses have in common.

mod predict;

pub(crate) use predict::convention_of;
pub use predict::{BoxPredictions, Convention, Place, PointOptions, Stages, TopDown};
