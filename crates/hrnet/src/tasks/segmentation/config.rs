//! The configuration of segmentation.

use super::train;
use crate::config::TrainConfig;
use crate::config::parse::Raw;
use crate::error::Result;
use crate::tasks::row::{Defaults, Training};
use crate::tasks::{AugmentSection, LossSection};
use hrnet_data::augment::SegmentAugment;
use hrnet_data::dataset::open::Content;
use hrnet_ir::Head;
use hrnet_train::loss::PixelCrossEntropy;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

pub(super) const TRAINING: Training = Training {
    defaults: Defaults { size: [384, 384], epochs: 100, batch: 8 },
    read,
    keys: &[
        "model.head",
        "model.align_corners",
        "data.classes",
        "data.numbering",
        "data.ignore",
        "data.class_weights",
        "target.stride",
    ],
    family: "seg",
    head: |config, classes| match config.model.head {
        SegmentHead::Ocr => Head::Ocr { classes },
        SegmentHead::Plain => Head::Segment { classes, kernel: config.model.kernel.unwrap_or(1) },
    },
    wide_kernel: |config| !config.is_ocr(),
    outputs: |config| if config.is_ocr() { 2 } else { 1 },
    named_by_data: true,
    labels: &[Content::Masks],
    label_map: Some(|config| Ok(train::classes(config)?.0)),
    open: train::open,
};

fn read(text: &str) -> Result<TrainConfig> {
    let raw: Raw<SegmentAugment, PixelCrossEntropy> = Raw::read(text)?;
    let augment = |a: Option<SegmentAugment>| AugmentSection::Segmentation(a.unwrap_or_default());
    raw.finish(augment, |l| LossSection::Pixels(l.unwrap_or_default()))
}

/// Heads of segmentation networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentHead {
    /// Two convolutions on the joined branches.
    #[default]
    Plain,
    /// Object-contextual representations, with an auxiliary output.
    Ocr,
}

/// Names of the classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClassNames {
    /// A text file with one name per line.
    File(PathBuf),
    /// The names.
    Names(Vec<String>),
}

/// Weights of the classes in the loss, from their share `f` of the labelled pixels, scaled to a mean of 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// All 1.
    #[default]
    None,
    /// `1 / ln(1.1 + f)`: rare classes count up to about seven times as much.
    Log,
    /// `1 / sqrt(f)`.
    Root,
    /// One by one.
    #[serde(untagged)]
    Values(Vec<f64>),
}
