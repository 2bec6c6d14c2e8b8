//! How a model is opened: the settings, and the built-in names.

use super::{FeatureModel, Model};
use crate::error::{Result, bail};
use crate::model::{LoadedModel, NamedFacts};
use crate::tasks::{Options, Predictor};
use hrnet_data::codec::Protocol;
use hrnet_data::codec::heatmap::SubPixel;
use hrnet_formats::LoadOptions;
use hrnet_ir::{Decoder, Task};
use hrnet_kernels::Pool;
use std::path::Path;
use std::sync::Arc;

/// Settings of a model, made by [`Model::builder`]. What is not set is as `hrnet predict` has it without options; a setting that the
/// model's task does not know changes nothing.
///
/// ```
/// # fn main() -> hrnet::Result<()> {
/// let mut model = hrnet::Model::builder().threads(1).flip(true).open("pose14")?;
/// assert_eq!(model.names().len(), 14);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `open`"]
pub struct Builder {
    pool: Option<Arc<Pool>>,
    threads: Option<usize>,
    task: Option<Task>,
    named: NamedFacts,
    options: Options,
}

impl Default for Builder {
    fn default() -> Self {
        let mut options = Options::default();
        // The mirrored look is a wish for every task.
        options.bottom_up.flip = false;
        Self { pool: None, threads: None, task: None, named: NamedFacts::default(), options }
    }
}

impl Builder {
    /// Threads to run on; as many as the machine has processors, unless said. Results do not depend on it.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.max(1));
        self
    }

    /// Shares the threads of another model. One network runs at a time.
    pub fn threads_of(mut self, model: &Model) -> Self {
        self.pool = Some(model.pool().clone());
        self
    }

    /// What the model must be for; opening another is an error.
    pub fn task(mut self, task: Task) -> Self {
        self.task = Some(task);
        self
    }

    /// Averages with the mirrored image: twice the time, a little steadier.
    pub fn flip(mut self, flip: bool) -> Self {
        self.options.points.flip = flip;
        self.options.bottom_up.flip = flip;
        self.options.segment.flip = flip;
        self
    }

    /// [`Protocol::Official`] reproduces the published pre- and post-processing, quirks included.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.options.points.protocol = protocol;
        self.options.bottom_up.protocol = protocol;
        self.options.segment.protocol = protocol;
        self
    }

    /// The set of the model's points, such as `coco17` or `ap10k17`, instead of what its file says or of a guess.
    pub fn points(mut self, set: impl Into<String>) -> Self {
        self.named.points = Some(set.into());
        self
    }

    /// How points are read off heat maps, instead of what the model's file says or of a guess.
    pub fn decoder(mut self, decoder: Decoder) -> Self {
        self.named.decoder = Some(decoder);
        // The published width of the blur: 11 fits the usual deviation of 2 heat-map pixels.
        self.options.points.decoder = SubPixel::of(decoder, 11);
        self
    }

    /// Points in boxes: moves the box to the points found and looks again, this many times.
    pub fn refine(mut self, times: u8) -> Self {
        self.options.refine = times;
        self
    }

    /// Sizes at which bottom-up pose and segmentation look, relative to the input size; 1 must be among several of bottom-up pose.
    pub fn scales(mut self, scales: &[f64]) -> Self {
        self.options.bottom_up.scales = scales.to_vec();
        self.options.segment.scales = scales.to_vec();
        self
    }

    /// Classification: how many classes are told; 5 unless said.
    pub fn top(mut self, classes: usize) -> Self {
        self.options.classify.top = classes;
        self
    }

    /// Segmentation: megabytes that the process may take. Larger pictures go through windows.
    pub fn memory_mb(mut self, megabytes: usize) -> Self {
        let bytes = megabytes.saturating_mul(1 << 20);
        self.options.segment.memory = bytes;
        self.options.segment.working = bytes;
        self
    }

    /// Everything else: changes the options of the tasks in place.
    ///
    /// ```
    /// let builder = hrnet::Model::builder().tune(|options| options.classify.crop_share = 0.95);
    /// ```
    pub fn tune(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    /// Opens a model: the name of a built-in one (`face68`, `pose14`, `camvid11`) or the path of any checkpoint. (`./face68` is a file.)
    ///
    /// # Errors
    /// When the file cannot be read, is not understood whole, is not for the task that was asked for, or settings do not suit it.
    pub fn open(&self, model: impl AsRef<Path>) -> Result<Model> {
        self.of(load(model.as_ref())?)
    }

    /// Opens a model from the bytes of a checkpoint file.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn from_bytes(&self, bytes: &[u8]) -> Result<Model> {
        self.of(LoadedModel::from_bytes(bytes)?)
    }

    /// A model from loaded weights and their recipe.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn of(&self, mut loaded: LoadedModel) -> Result<Model> {
        let found = loaded.recipe.task;
        if let Some(wanted) = self.task.filter(|&t| t != found) {
            bail!(Model, "this model is for {}, not for {}", found.title(), wanted.title());
        }
        let remarks = loaded.name_facts(&self.named, false)?;
        remarks.iter().for_each(|remark| log::warn!("{remark}"));
        let pool = self.pool();
        let predictor = Predictor::new(loaded, pool.clone(), self.options.clone())?;
        Ok(Model::new(predictor, pool))
    }

    /// Opens the trunk of a model for its features.
    ///
    /// # Errors
    /// As [`Builder::open`]; and for networks that compute their highest resolution only.
    pub fn open_features(&self, model: impl AsRef<Path>) -> Result<FeatureModel> {
        FeatureModel::new(load(model.as_ref())?, self.pool(), self.options.classify)
    }

    fn pool(&self) -> Arc<Pool> {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.pool.clone().unwrap_or_else(|| Arc::new(Pool::new(self.threads.unwrap_or_else(all))))
    }
}

/// A built-in model by its name, or a file.
fn load(model: &Path) -> Result<LoadedModel> {
    match model.to_str().and_then(LoadedModel::built_in) {
        Some(built_in) => built_in,
        None => LoadedModel::open(model, &LoadOptions::default()),
    }
}
