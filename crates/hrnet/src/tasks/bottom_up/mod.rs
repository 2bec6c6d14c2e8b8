//! The points of all persons of an image, without boxes: HigherHRNet.

mod predict;
pub(crate) mod train;

pub use predict::{BottomUp, Options, Persons};
