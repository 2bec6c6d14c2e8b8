//! Maps of features instead of results.

mod predict;

pub use predict::Features;
