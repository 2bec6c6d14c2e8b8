//! A class for every image, measured by top-1 and top-5.

pub mod measure;
pub(crate) mod predict;
pub(crate) mod train;

pub use predict::{Classifier, ClassifyOptions};
