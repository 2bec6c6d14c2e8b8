//! What the configurations of faces and poses have in common.

use super::losses::MapLoss;
use crate::config::TrainConfig;
use crate::config::parse::Raw;
use crate::error::Result;
use crate::tasks::{AugmentSection, LossSection};
use hrnet_data::augment::LandmarkAugment;
use hrnet_train::{HeatmapLoss, HeatmapMse};

pub(crate) fn read(text: &str) -> Result<TrainConfig> {
    let raw: Raw<LandmarkAugment, MapLoss> = Raw::read(text)?;
    let usual = HeatmapMse { foreground: 10.0, ..HeatmapMse::new(HeatmapLoss::Weighted) };
    let loss = |l: Option<MapLoss>| LossSection::Maps(l.unwrap_or(MapLoss::Mse(usual.clone())));
    raw.finish(|a| AugmentSection::Points(a.unwrap_or_default()), loss)
}
