//! What a task brings along for the rest of the library: a row of the registry in [`super::row`].

use super::{Options, Predictor};
use crate::config::TrainConfig;
use crate::error::Result;
use crate::measure::Measured;
use crate::model::LoadedModel;
use crate::result;
use crate::train::job::Job;
use hrnet_data::dataset::label_map::LabelMap;
use hrnet_data::dataset::open::Content;
use hrnet_ir::Head;
use hrnet_kernels::Pool;
use std::path::Path;
use std::sync::Arc;

/// Makes the predictor of a model.
pub(crate) type Load = fn(LoadedModel, Arc<Pool>, Options) -> Result<Predictor>;

/// Measures a model on labelled images as is usual for the task: the labels, and the folder of the images where it is named.
pub(crate) type Evaluate = fn(&mut Predictor, &Path, Option<&Path>) -> Result<Measured>;

/// Samples that [`Measured::worst`] lists.
pub(super) const WORST: usize = 20;

/// What the library knows of a task.
pub(crate) struct Row {
    /// The built-in model: its name and its file (docs/models.md).
    pub bundled: Option<(&'static str, &'static [u8])>,
    /// What its results are and what makes them; nothing where a network has no results of its own.
    pub predict: Option<(result::Kind, Load)>,
    /// How it is measured.
    pub evaluate: Option<Evaluate>,
    /// Points with a lower score are drawn hollow, and lines to them left out.
    pub threshold: f32,
    /// How it is trained, if it is.
    pub training: Option<Training>,
}

/// What training knows of a task.
pub(crate) struct Training {
    /// What a configuration need not say.
    pub defaults: Defaults,
    /// Reads the text of a configuration.
    pub read: fn(&str) -> Result<TrainConfig>,
    /// The keys that not all tasks have, with their sections: `data.torso`. Others of them are refused.
    pub keys: &'static [&'static str],
    /// The family of networks in the zoo from which `model.variant` is taken.
    pub family: &'static str,
    /// The head for a number of points or classes.
    pub head: fn(&TrainConfig, usize) -> Head,
    /// Whether the last convolution may have a kernel of 3.
    pub wide_kernel: fn(&TrainConfig) -> bool,
    /// Outputs of the network, each of which has a loss.
    pub outputs: fn(&TrainConfig) -> usize,
    /// Whether the recipe takes names, pairs and lines from the data, not from the family.
    pub named_by_data: bool,
    /// What its label files hold.
    pub labels: &'static [Content],
    /// What the numbers of label images mean.
    pub label_map: Option<fn(&TrainConfig) -> Result<LabelMap>>,
    /// Opens the data.
    pub open: fn(&TrainConfig, Arc<Pool>) -> Result<Job>,
}

/// What a configuration need not say.
#[derive(Clone, Copy)]
pub(crate) struct Defaults {
    /// Height and width of the input.
    pub size: [usize; 2],
    /// Passes over the training set.
    pub epochs: u64,
    /// Images per step.
    pub batch: usize,
}

impl Training {
    /// Whether it has a key that not all tasks have.
    pub fn takes(&self, key: &str) -> bool {
        self.keys.contains(&key)
    }
}
