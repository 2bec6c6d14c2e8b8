//! Bottom-up pose: its options. Its labels are those of poses, so that `eval` is theirs.

use super::{Row, pose};
use clap::Args;
use hrnet::tasks::bottom_up;
use hrnet_data::codec;

pub(super) const TASK: Row =
    Row { about: "Points of all people in an image", evaluate: Some(pose::evaluate), doubt: None };

/// Options of bottom-up pose. Scales and flip are those of the other tasks.
#[derive(Debug, Clone, Args)]
pub struct BottomUp {
    /// Bottom-up pose: short side of the input in pixels [default: the model's]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(64..=4096))]
    pub short_side: Option<u16>,
    /// Bottom-up pose: a peak of a heat map must be above this
    #[arg(long, value_name = "SCORE", default_value_t = 0.1)]
    pub peak_threshold: f32,
    /// Bottom-up pose: a peak joins a person when its tag is nearer than this
    #[arg(long, value_name = "DISTANCE", default_value_t = 1.0)]
    pub tag_threshold: f64,
    /// Bottom-up pose: most persons of an image
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_people: u16,
    /// Bottom-up pose: persons with a lower score are left out
    #[arg(long, value_name = "SCORE", default_value_t = 0.0)]
    pub min_score: f64,
}

impl BottomUp {
    pub fn options(&self, flip: bool, protocol: codec::Protocol, scales: &[f64]) -> bottom_up::Options {
        bottom_up::Options {
            protocol,
            flip,
            scales: if scales.is_empty() { vec![1.0] } else { scales.to_vec() },
            input: self.short_side.map(usize::from),
            detection_threshold: self.peak_threshold,
            tag_threshold: self.tag_threshold,
            max_people: usize::from(self.max_people),
            min_score: self.min_score,
            ..bottom_up::Options::default()
        }
    }
}
