//! Points of a face in a box: a V2 landmark network, measured by the normalised mean error.

pub mod measure;
pub(crate) mod train;
