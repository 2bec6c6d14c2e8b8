//! The configuration of classification.

use super::train;
use crate::config::TrainConfig;
use crate::config::parse::Raw;
use crate::error::Result;
use crate::tasks::row::{Defaults, Training};
use crate::tasks::{AugmentSection, LossSection};
use hrnet_data::augment::ClassAugment;
use hrnet_data::dataset::open::Content;
use hrnet_ir::Head;
use hrnet_train::loss::CrossEntropy;

pub(super) const TRAINING: Training = Training {
    defaults: Defaults { size: [224, 224], epochs: 60, batch: 32 },
    read,
    keys: &["train.mix"],
    family: "cls",
    head: |_, classes| Head::Classify { classes, bias: true },
    wide_kernel: |_| false,
    outputs: |_| 1,
    named_by_data: true,
    labels: &[Content::Classes],
    label_map: None,
    open: train::open,
};

fn read(text: &str) -> Result<TrainConfig> {
    let raw: Raw<ClassAugment, CrossEntropy> = Raw::read(text)?;
    let augment = |a: Option<ClassAugment>| AugmentSection::Classification(a.unwrap_or_default());
    raw.finish(augment, |l| LossSection::Class(l.unwrap_or_default()))
}
