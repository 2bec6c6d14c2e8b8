//! Targets and predictions: encode and decode side by side.

use serde::{Deserialize, Serialize};

pub mod bottom_up;
pub mod classification;
pub mod heatmap;
mod resample;
pub mod segmentation;
pub mod udp;

/// Which of two behaviours is wanted where the published code and what is right differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// What is right.
    #[default]
    Default,
    /// What the published code does, quirks included.
    Official,
}
