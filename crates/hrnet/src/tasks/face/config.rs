//! The configuration of faces.

use super::train;
use crate::tasks::points;
use crate::tasks::row::{Defaults, Training};
use hrnet_data::dataset::open::Content;
use hrnet_ir::Head;

pub(super) const TRAINING: Training = Training {
    defaults: Defaults { size: [256, 256], epochs: 60, batch: 16 },
    read: points::config::read,
    keys: &["model.align_corners", "input.padding", "data.normaliser", "target.sigma", "target.decoder"],
    family: "face",
    head: |config, points| Head::Landmark { points, kernel: config.model.kernel.unwrap_or(1) },
    wide_kernel: |_| true,
    outputs: |_| 1,
    named_by_data: false,
    labels: &[Content::Points],
    label_map: None,
    open: train::open,
};
