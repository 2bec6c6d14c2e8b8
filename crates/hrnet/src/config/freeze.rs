//! What does not learn, as the configuration writes it.

use hrnet_train::{Freeze, Statistics};
use serde::{Deserialize, Serialize};

/// What does not learn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FreezeSection {
    /// The stem and so many stages, from the input on, stay as they are; 1 is the stem and stage 1. Nothing when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<usize>,
    /// Further layers that stay: beginnings of dotted names such as `stage2` or `stage4.2.fuse_layers`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// What batch norms normalise by: `batch`, `frozen_layers` (those of frozen layers by their running statistics) or
    /// `running` (all of them by those).
    pub statistics: Statistics,
}

impl FreezeSection {
    /// For the trainer.
    pub fn freeze(&self) -> Freeze {
        let mut layers = Vec::new();
        if let Some(stages) = self.stages {
            layers.extend(["conv1", "bn1", "conv2", "bn2"].map(String::from));
            for stage in 1..=stages {
                match stage {
                    1 => layers.push("layer1".to_string()),
                    _ => layers.extend([format!("transition{}", stage - 1), format!("stage{stage}")]),
                }
            }
        }
        layers.extend(self.layers.iter().cloned());
        Freeze { layers, statistics: self.statistics }
    }
}
