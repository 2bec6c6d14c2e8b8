//! The configuration of poses.

use super::train;
use crate::tasks::points;
use crate::tasks::row::{Defaults, Training};
use hrnet_data::dataset::open::Content;
use hrnet_ir::Head;
use serde::{Deserialize, Serialize};

pub(super) const TRAINING: Training = Training {
    defaults: Defaults { size: [256, 192], epochs: 60, batch: 16 },
    read: points::config::read,
    keys: &[
        "input.padding",
        "data.torso",
        "data.metric",
        "data.leave_out",
        "target.sigma",
        "target.decoder",
        "target.udp",
        "target.joint_weights",
    ],
    family: "pose",
    head: |config, points| Head::Pose {
        joints: points * config.maps_per_point(),
        kernel: config.model.kernel.unwrap_or(1),
        branch: 0,
    },
    wide_kernel: |_| true,
    outputs: |_| 1,
    named_by_data: true,
    labels: &[Content::Points],
    label_map: None,
    open: train::open,
};

/// The figure that decides which model is the best one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointMetric {
    /// Share of points within 0.2 of the torso, of the longer side of the box where points have no such names.
    Pck,
    /// COCO's average precision on the labelled boxes.
    Ap,
}
