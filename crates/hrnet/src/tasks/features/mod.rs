//! Maps of features instead of results.

mod predict;

pub use predict::Features;

use super::row::Row;

pub(super) const TASK: Row =
    Row { bundled: None, predict: None, evaluate: None, threshold: 0.2, training: None };
