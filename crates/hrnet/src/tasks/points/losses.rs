//! Losses on heat maps, as the configuration writes them.

use hrnet_train::loss::{AdaptiveWing, Ohkm, UdpCombined};
use hrnet_train::{HeatmapMse, Loss};
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde::{Deserialize, Serialize};

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
