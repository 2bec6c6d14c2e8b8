//! The width rule, three depth recipes and the per-task facts that distinguish the networks of the family.

use crate::backbone;
use crate::heads::Head;
use crate::net::Net;
use crate::scope::NetBuilder;
use crate::verify::{VerifyError, verify};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How often each part of the trunk repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Depth {
    /// Bottleneck width of stage 1; its output has four times as many channels.
    pub layer1_planes: usize,
    /// Bottlenecks in stage 1.
    pub layer1_blocks: usize,
    /// Exchange modules in stages 2, 3 and 4.
    pub modules: [usize; 3],
    /// Basic blocks per branch and module.
    pub blocks: usize,
}

impl Depth {
    /// W18 to W64.
    pub const FULL: Self = Self { layer1_planes: 64, layer1_blocks: 4, modules: [1, 4, 3], blocks: 4 };
    /// W18-small-v1 (whose width is 16).
    pub const SMALL_V1: Self = Self { layer1_planes: 32, layer1_blocks: 1, modules: [1, 1, 1], blocks: 2 };
    /// W18-small-v2.
    pub const SMALL_V2: Self = Self { layer1_planes: 64, layer1_blocks: 2, modules: [1, 3, 2], blocks: 2 };
}

/// How low-resolution terms are brought to the size of a higher branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fuse {
    /// Pixels repeated; sizes must be multiples of 32 (pose, classification, detection, HigherHRNet).
    Nearest,
    /// Bilinear to the size of the branch, any size (faces, segmentation).
    Bilinear {
        /// PyTorch's `align_corners`.
        align_corners: bool,
    },
}

impl Fuse {
    /// `align_corners` of the resizes in front of a V2 head.
    pub fn head_align_corners(self) -> bool {
        matches!(self, Fuse::Bilinear { align_corners: true })
    }
}

/// Which modules exchange between the branches (the ablation of the paper's table on exchange units).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exchange {
    /// Every module: 8 exchanges in the full networks. All published checkpoints.
    #[default]
    Every,
    /// The last module of each stage: 3.
    StageEnds,
    /// The last module of stage 4 only: 1.
    Final,
}

/// When the low-resolution branches begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolutions {
    /// Stage s has s branches. All published checkpoints.
    #[default]
    Gradual,
    /// All four from stage 2 on (72.5 AP against 73.4 in the paper).
    FromStart,
}

/// The trunk of a network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arch {
    /// Channels C of the top branch; branch b has `C * 2^b`.
    pub width: usize,
    /// Repeats.
    pub depth: Depth,
    /// Interpolation in the exchange.
    pub fuse: Fuse,
    /// Share of a new batch in the running statistics.
    pub bn_momentum: f64,
    /// Ablation: which modules exchange.
    #[serde(default)]
    pub exchange: Exchange,
    /// Ablation: when the branches begin.
    #[serde(default)]
    pub resolutions: Resolutions,
}

/// The largest width accepted: far above any published one, and small enough that no product overflows.
pub const MAX_WIDTH: usize = 4096;
/// The largest number of points or classes accepted.
pub const MAX_OUTPUTS: usize = 1 << 20;
/// The largest repeat accepted anywhere in the trunk.
pub const MAX_REPEAT: usize = 64;

impl Arch {
    /// A trunk of full depth with nearest fusion and batch-norm momentum 0.1, as in human pose and classification.
    pub fn new(width: usize) -> Self {
        Self {
            width,
            depth: Depth::FULL,
            fuse: Fuse::Nearest,
            bn_momentum: 0.1,
            exchange: Exchange::Every,
            resolutions: Resolutions::Gradual,
        }
    }

    /// W18-small-v1.
    pub fn small_v1() -> Self {
        Self { depth: Depth::SMALL_V1, ..Self::new(16) }
    }

    /// W18-small-v2.
    pub fn small_v2() -> Self {
        Self { depth: Depth::SMALL_V2, ..Self::new(18) }
    }

    /// The same trunk with another fusion.
    pub fn fuse(self, fuse: Fuse) -> Self {
        Self { fuse, ..self }
    }

    /// The same trunk with another batch-norm momentum.
    pub fn bn_momentum(self, bn_momentum: f64) -> Self {
        Self { bn_momentum, ..self }
    }

    /// Channels of branch `branch`.
    pub fn channels(&self, branch: usize) -> usize {
        self.width << branch
    }

    /// Branches of stage 2, 3 or 4.
    pub fn branches(&self, stage: usize) -> usize {
        match self.resolutions {
            Resolutions::Gradual => stage,
            Resolutions::FromStart => 4,
        }
    }

    /// Whether module `module` of stage `stage` (2 to 4) exchanges.
    pub fn exchanges(&self, stage: usize, module: usize) -> bool {
        let last = module + 1 == self.depth.modules[stage - 2];
        match self.exchange {
            Exchange::Every => true,
            Exchange::StageEnds => last,
            Exchange::Final => last && stage == 4,
        }
    }

    /// The name the field uses: `W32`, `W18-small-v1`, or a width with its repeats where they are not a known recipe.
    pub fn variant(&self) -> String {
        match (self.depth, self.width) {
            (Depth::SMALL_V1, 16) => "W18-small-v1".into(),
            (Depth::SMALL_V2, 18) => "W18-small-v2".into(),
            (Depth::FULL, w) => format!("W{w}"),
            (Depth::SMALL_V1, w) => format!("W{w}-depth-small-v1"),
            (Depth::SMALL_V2, w) => format!("W{w}-depth-small-v2"),
            (d, w) => format!(
                "W{w}-l{}x{}-m{}-{}-{}-b{}",
                d.layer1_planes, d.layer1_blocks, d.modules[0], d.modules[1], d.modules[2], d.blocks
            ),
        }
    }
}

/// A trunk with its head: everything needed to describe a network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The trunk.
    pub arch: Arch,
    /// The head.
    pub head: Head,
}

/// A description that cannot be a network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// A number out of range.
    #[error("{field} = {value}: want {wanted}")]
    Range {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is accepted.
        wanted: String,
    },
    /// The built network breaks the grammar: an error in this crate.
    #[error("the description is inconsistent: {0}")]
    Verify(#[from] VerifyError),
}

impl Model {
    /// The network of this description.
    pub fn build(&self) -> Result<Net, ModelError> {
        self.check()?;
        let (mut builder, image) = NetBuilder::new(self.arch.bn_momentum);
        let branches = backbone::build(&mut builder, &self.arch, image, self.head.last_exchange());
        self.head.build(&mut builder, &self.arch, &branches);
        let net = builder.finish();
        verify(&net)?;
        Ok(net)
    }

    fn check(&self) -> Result<(), ModelError> {
        let a = &self.arch;
        let range = |field, value: usize, max: usize| {
            if (1..=max).contains(&value) {
                Ok(())
            } else {
                Err(ModelError::Range { field, value: value.to_string(), wanted: format!("1 to {max}") })
            }
        };
        range("width", a.width, MAX_WIDTH)?;
        range("layer1_planes", a.depth.layer1_planes, MAX_WIDTH)?;
        range("layer1_blocks", a.depth.layer1_blocks, MAX_REPEAT)?;
        range("blocks", a.depth.blocks, MAX_REPEAT)?;
        for modules in a.depth.modules {
            range("modules", modules, MAX_REPEAT)?;
        }
        if !(a.bn_momentum > 0.0 && a.bn_momentum <= 1.0) {
            let wanted = "above 0, at most 1".into();
            return Err(ModelError::Range { field: "bn_momentum", value: a.bn_momentum.to_string(), wanted });
        }
        for (field, value, max) in self.head.ranges() {
            range(field, value, max)?;
        }
        Ok(())
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HRNet-{} {}", self.arch.variant(), self.head)
    }
}
