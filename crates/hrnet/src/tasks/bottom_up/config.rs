//! The configuration of bottom-up pose.

use super::train;
use crate::config::parse::Raw;
use crate::config::{TargetSection, TrainConfig};
use crate::error::Result;
use crate::tasks::row::{Defaults, Training};
use crate::tasks::{AugmentSection, LossSection};
use hrnet_data::augment::BottomUpAugment;
use hrnet_data::dataset::open::Content;
use hrnet_ir::Head;
use hrnet_train::loss::BottomUp;

pub(super) const TRAINING: Training = Training {
    defaults: Defaults { size: [512, 512], epochs: 100, batch: 8 },
    read,
    keys: &["data.leave_out", "target.sigma"],
    family: "pose",
    head: |_, joints| Head::Higher { joints },
    wide_kernel: |_| false,
    outputs: |_| 2,
    named_by_data: true,
    labels: &[Content::Points],
    label_map: None,
    open: train::open,
};

fn read(text: &str) -> Result<TrainConfig> {
    let mut raw: Raw<BottomUpAugment, BottomUp> = Raw::read(text)?;
    // The published deviation.
    raw.usual_target(TargetSection { sigma: 2.0, ..TargetSection::default() });
    let augment = |a: Option<BottomUpAugment>| AugmentSection::BottomUp(a.unwrap_or_default());
    raw.finish(augment, |l| LossSection::People(l.unwrap_or_default()))
}
