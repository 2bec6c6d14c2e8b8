//! A class for every pixel: a V2 network, plain or with OCR, measured by mIoU.

pub mod measure;
mod predict;
pub(crate) mod train;

pub use predict::{MEMORY, Resize, Scores, SegmentOptions, Segmenter, WORKING, Windows};
