//! Targets and predictions: encode and decode side by side.

pub mod heatmap;
