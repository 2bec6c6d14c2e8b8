//! Points of a person or an animal in a box: a V1 network, measured by AP, PCK or PCKh.

pub mod measure;
pub(crate) mod train;
