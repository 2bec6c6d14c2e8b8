//! Losses and what learns how fast, as the configuration writes them.

use hrnet_train::loss::{AdaptiveWing, BottomUp, CrossEntropy, Ohkm, PixelCrossEntropy, UdpCombined};
use hrnet_train::{Freeze, HeatmapMse, Loss, Statistics};
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde::{Deserialize, Serialize};

/// The loss, by task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum LossSection {
    /// Heat maps.
    Maps(MapLoss),
    /// A class per pixel.
    Pixels(PixelCrossEntropy),
    /// A class per picture.
    Class(CrossEntropy),
    /// Heat maps and tags of a bottom-up network.
    People(BottomUp),
}

/// A loss on heat maps: `kind` says which, `heatmap_mse` when it is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum MapLoss {
    /// Squared error.
    Mse(HeatmapMse),
    /// One of the others.
    Other(OtherMapLoss),
}

/// The losses on heat maps that are named by their `kind`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum OtherMapLoss {
    /// Squared error of the hardest points of an image.
    Ohkm(Ohkm),
    /// Adaptive wing.
    AdaptiveWing(AdaptiveWing),
    /// UDP's disc and offsets: three maps per point. Pose with `target.udp` only.
    UdpCombined(UdpCombined),
}

impl MapLoss {
    /// For the trainer.
    pub fn loss(&self) -> Loss {
        match self.clone() {
            Self::Mse(loss) => Loss::HeatmapMse(loss),
            Self::Other(OtherMapLoss::Ohkm(loss)) => Loss::Ohkm(loss),
            Self::Other(OtherMapLoss::AdaptiveWing(loss)) => Loss::AdaptiveWing(loss),
            Self::Other(OtherMapLoss::UdpCombined(loss)) => Loss::UdpCombined(loss),
        }
    }

    /// Whether a point has three maps.
    pub fn is_combined(&self) -> bool {
        matches!(self, Self::Other(OtherMapLoss::UdpCombined(_)))
    }
}

impl<'de> Deserialize<'de> for MapLoss {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = toml::Table::deserialize(deserializer)?;
        fn read<T: DeserializeOwned, E: Error>(table: toml::Table) -> Result<T, E> {
            table.try_into().map_err(|e: toml::de::Error| E::custom(e.message()))
        }
        match table.get("kind").and_then(|k| k.as_str()) {
            Some("heatmap_mse") => {
                table.remove("kind");
                Ok(Self::Mse(read(table)?))
            }
            None => Ok(Self::Mse(read(table)?)),
            Some("ohkm" | "adaptive_wing" | "udp_combined") => Ok(Self::Other(read(table)?)),
            Some(other) => {
                const KNOWN: &[&str] = &["heatmap_mse", "ohkm", "adaptive_wing", "udp_combined"];
                Err(D::Error::unknown_variant(other, KNOWN))
            }
        }
    }
}

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
