//! What the outputs of a network should have been.

use super::bottom_up::PeopleTarget;
use super::pixels::PixelLabels;
use hrnet_ir::Tensor;

/// What the output should have been.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Heat maps `[n, maps, h, w]`, with weights `[n, maps]` where points count differently (`[n, joints]` for the three
    /// maps per joint of UDP).
    Heatmaps {
        /// The wanted maps.
        maps: Tensor,
        /// The weight of every map; all 1 when absent.
        weights: Option<Tensor>,
    },
    /// The class of every image.
    Labels(Vec<usize>),
    /// A distribution over the classes for every image, `[n, classes]`: labels after mixup or cutmix.
    Shares(Tensor),
    /// Heat maps, mask and people of a bottom-up network, for one output.
    People(PeopleTarget),
    /// The class of every pixel.
    Pixels(PixelLabels),
    /// One target per output; any other target serves all outputs.
    Each(Vec<Target>),
}

impl Target {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Target::Heatmaps { .. } => "heat maps",
            Target::Labels(_) => "class labels",
            Target::Shares(_) => "class shares",
            Target::People(_) => "people",
            Target::Pixels(_) => "pixel labels",
            Target::Each(_) => "one target per output",
        }
    }
}
