//! The heads: branch values in, outputs out. One head per file.

mod classify;
mod higher;
mod ocr;
mod pose;
mod pyramid;
mod v2;

use crate::arch::{Arch, MAX_OUTPUTS, MAX_WIDTH};
use crate::backbone::LastExchange;
use crate::net::Value;
use crate::scope::NetBuilder;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How the levels of the V2p pyramid are made from its first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PyramidPool {
    /// Average pooling (the default of the official detectors).
    #[default]
    Average,
    /// Maximum pooling.
    Max,
}

fn one() -> usize {
    1
}
fn yes() -> bool {
    true
}

/// What reads the branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Head {
    /// V1: one convolution on one branch; output `heatmaps [n, joints, h/4, w/4]` for branch 0.
    Pose {
        /// Number of heat maps.
        joints: usize,
        /// 1 or 3 (`FINAL_CONV_KERNEL`).
        #[serde(default = "one")]
        kernel: usize,
        /// The branch that is read; 0 in all published checkpoints.
        #[serde(default)]
        branch: usize,
    },
    /// V2 for landmarks: all branches joined at stride 4; output `heatmaps [n, points, h/4, w/4]`.
    Landmark {
        /// Number of heat maps.
        points: usize,
        /// 1 or 3.
        #[serde(default = "one")]
        kernel: usize,
    },
    /// V2 for segmentation: the same head under another name; output `logits [n, classes, h/4, w/4]`.
    Segment {
        /// Number of classes.
        classes: usize,
        /// 1 or 3.
        #[serde(default = "one")]
        kernel: usize,
    },
    /// Object-contextual representations; outputs `aux` and `logits [n, classes, h/4, w/4]`.
    Ocr {
        /// Number of classes.
        classes: usize,
    },
    /// Classification; output `logits [n, classes, 1, 1]`.
    Classify {
        /// Number of classes.
        classes: usize,
        /// Biases of the convolutions in the head (absent in the SSLD checkpoints).
        #[serde(default = "yes")]
        bias: bool,
    },
    /// HigherHRNet; outputs `heatmaps_and_tags [n, 2*joints, h/4, w/4]` and `heatmaps [n, joints, h/2, w/2]`.
    Higher {
        /// Number of joints.
        joints: usize,
    },
    /// V2p: the pyramid neck of the detectors; outputs `p2`, `p3`, ... at strides 4, 8, ...
    Pyramid {
        /// Channels of each level.
        channels: usize,
        /// Number of levels.
        levels: usize,
        /// How the levels are made.
        #[serde(default)]
        pool: PyramidPool,
    },
    /// No head: outputs `branch0` to `branch3`.
    Features,
}

impl Head {
    /// The family as users name it.
    pub fn family(&self) -> &'static str {
        match self {
            Head::Pose { .. } => "pose",
            Head::Landmark { .. } => "face",
            Head::Segment { .. } => "segmentation",
            Head::Ocr { .. } => "segmentation-ocr",
            Head::Classify { .. } => "classification",
            Head::Higher { .. } => "bottom-up pose",
            Head::Pyramid { .. } => "detection",
            Head::Features => "features",
        }
    }

    /// The paper's name of the representation.
    pub fn representation(&self) -> &'static str {
        match self {
            Head::Pose { .. } | Head::Higher { .. } => "V1",
            Head::Landmark { .. } | Head::Segment { .. } | Head::Ocr { .. } => "V2",
            Head::Classify { .. } => "classification",
            Head::Pyramid { .. } => "V2p",
            Head::Features => "trunk",
        }
    }

    /// What is counted (points or classes) and how many there are.
    pub fn outputs(&self) -> (&'static str, usize) {
        match *self {
            Head::Pose { joints, .. } | Head::Higher { joints } => ("points", joints),
            Head::Landmark { points, .. } => ("points", points),
            Head::Segment { classes, .. } | Head::Ocr { classes } | Head::Classify { classes, .. } => {
                ("classes", classes)
            }
            Head::Pyramid { levels, .. } => ("levels", levels),
            Head::Features => ("branches", 4),
        }
    }

    /// The one branch that is read, so that the last exchange computes no other; nothing where all are read.
    pub fn only_branch(&self) -> Option<usize> {
        match *self {
            Head::Pose { branch, .. } => Some(branch),
            Head::Higher { .. } => Some(0),
            Head::Landmark { .. }
            | Head::Segment { .. }
            | Head::Ocr { .. }
            | Head::Classify { .. }
            | Head::Pyramid { .. }
            | Head::Features => None,
        }
    }

    pub(crate) fn last_exchange(&self) -> LastExchange {
        self.only_branch().map_or(LastExchange::All, LastExchange::Only)
    }

    pub(crate) fn ranges(&self) -> Vec<(&'static str, usize, usize)> {
        let outputs = |field, value| (field, value, MAX_OUTPUTS);
        match *self {
            Head::Pose { joints, kernel, branch } => {
                vec![
                    outputs("joints", joints),
                    ("kernel (1 or 3)", odd_kernel(kernel), 3),
                    ("branch + 1", branch + 1, 4),
                ]
            }
            Head::Landmark { points, kernel } => {
                vec![outputs("points", points), ("kernel (1 or 3)", odd_kernel(kernel), 3)]
            }
            Head::Segment { classes, kernel } => {
                vec![outputs("classes", classes), ("kernel (1 or 3)", odd_kernel(kernel), 3)]
            }
            Head::Ocr { classes } | Head::Classify { classes, .. } => vec![outputs("classes", classes)],
            Head::Higher { joints } => vec![outputs("joints", joints)],
            Head::Pyramid { channels, levels, .. } => {
                vec![("channels", channels, MAX_WIDTH), ("levels", levels, 6)]
            }
            Head::Features => Vec::new(),
        }
    }

    pub(crate) fn build(&self, builder: &mut NetBuilder, arch: &Arch, branches: &[Value]) {
        match *self {
            Head::Pose { joints, kernel, .. } => pose::build(builder, branches[0], joints, kernel),
            Head::Landmark { points, kernel } => {
                v2::build(builder, arch, branches, "head", "heatmaps", points, kernel)
            }
            Head::Segment { classes, kernel } => {
                v2::build(builder, arch, branches, "last_layer", "logits", classes, kernel)
            }
            Head::Ocr { classes } => ocr::build(builder, arch, branches, classes),
            Head::Classify { classes, bias } => classify::build(builder, branches, classes, bias),
            Head::Higher { joints } => higher::build(builder, branches[0], joints),
            Head::Pyramid { channels, levels, pool } => {
                pyramid::build(builder, branches, channels, levels, pool)
            }
            Head::Features => {
                for (b, &x) in branches.iter().enumerate() {
                    builder.output(&format!("branch{b}"), x);
                }
            }
        }
    }
}

/// The kernel itself when it is 1 or 3, else 0, which no range accepts.
fn odd_kernel(kernel: usize) -> usize {
    if kernel == 1 || kernel == 3 { kernel } else { 0 }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, count) = self.outputs();
        write!(f, "{} ({}, {count} {what})", self.family(), self.representation())
    }
}
