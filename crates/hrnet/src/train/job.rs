//! What differs from task to task: the data, the network they ask for, the loss, the judge, the facts of the recipe.

use super::source::Source;
use crate::config::TrainConfig;
use crate::error::Result;
use crate::stop::Stop;
use crate::tasks;
use hrnet_data::dataset::model::Category;
use hrnet_data::draw::{Tile, tile_sheet};
use hrnet_data::loader::ImageOptions;
use hrnet_image::Image;
use hrnet_ir::{Model, Weights};
use hrnet_kernels::Pool;
use hrnet_train::Objective;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Everything of a run that depends on its task.
pub(crate) struct Job {
    /// The network.
    pub model: Model,
    /// What the recipe says about points or classes.
    pub facts: Facts,
    /// Where batches come from.
    pub source: Source,
    /// What is made small.
    pub loss: Objective,
    /// Who judges the weights, where there is a validation set.
    pub judge: Option<Box<dyn Judge>>,
}

/// What the data say and a recipe keeps.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// Names of points or classes; empty leaves those of the family.
    pub names: Vec<String>,
    /// Points that change places in a mirrored image.
    pub flip_pairs: Vec<[usize; 2]>,
    /// Lines for drawing.
    pub skeleton: Vec<[usize; 2]>,
}

/// A measurement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judged {
    /// The deciding figure in percent.
    pub percent: f64,
    /// Figures for the log, the deciding one among them.
    pub figures: Map<String, Value>,
}

/// Measures weights on the validation set.
pub(crate) trait Judge {
    /// Name of the deciding figure in logs: `nme_percent`.
    fn key(&self) -> &'static str;
    /// Its name for readers: `NME`.
    fn title(&self) -> &'static str;
    /// Its name in a recipe.
    fn metric(&self) -> String;
    /// Whether more is better.
    fn higher_is_better(&self) -> bool;
    /// The figures of some weights; an error once the run was asked to end.
    fn measure(&mut self, weights: &Weights, stop: &Stop) -> Result<Judged>;
    /// The worst samples of the last measurement as a page under a title.
    fn worst(&mut self, title: &str) -> Result<Option<Image>>;
}

impl Job {
    /// Opens the data of a configuration.
    pub(crate) fn open(config: &TrainConfig, pool: Arc<Pool>) -> Result<Self> {
        (tasks::training(config.task)?.open)(config, pool)
    }
}

/// What a category says of its points.
pub(crate) fn facts_of(category: &Category) -> Facts {
    Facts {
        names: category.points.clone(),
        flip_pairs: category.flip_pairs.iter().map(|&(a, b)| [a, b]).collect(),
        skeleton: category.skeleton.clone(),
    }
}

/// How the images of a set are opened.
pub(crate) fn image_options(config: &TrainConfig) -> ImageOptions {
    ImageOptions { memory_budget: config.data.memory_mb.saturating_mul(1 << 20), ..ImageOptions::default() }
}

/// Samples on a page of the worst ones.
const WORST: usize = 12;

/// The indices of the largest values, the largest first.
pub(crate) fn worst_of(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
    order.truncate(WORST);
    order
}

/// A page of samples.
pub(crate) fn page(tiles: &[Tile], cell: [usize; 2], title: &str) -> Option<Image> {
    tile_sheet(tiles, 4, cell, title)
}

/// The name of a file without its folders.
pub(crate) fn short_name(path: &std::path::Path) -> String {
    path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}
