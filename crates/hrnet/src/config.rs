//! The training configuration: one TOML file. Paths are relative to the file's folder.
//!
//! `task` decides which keys `[data]`, `[augment]`, `[target]` and `train.loss` may hold; an unknown key is an error that names
//! the nearest known one.

mod freeze;
pub(crate) mod parse;
pub(crate) mod sections;

pub use crate::tasks::points::losses::{MapLoss, OtherMapLoss};
pub use crate::tasks::pose::config::PointMetric;
pub use crate::tasks::segmentation::config::{ClassNames, ClassWeights, SegmentHead};
pub use crate::tasks::{AugmentSection, LossSection};
pub use freeze::FreezeSection;
pub use parse::Overrides;
pub(crate) use parse::distance;
pub use sections::{AboutSection, DataSection, InputSection, ModelSection, TargetSection, TrainSection};

use crate::error::{Context, Result, bail, err};
use crate::tasks;
use hrnet_ir::{Arch, Fuse, Model, Task, zoo};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Everything a run depends on besides the data files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainConfig {
    /// What is trained.
    #[serde(with = "sections::task_key")]
    pub task: Task,
    /// Seed of initial weights, order and augmentation.
    pub seed: u64,
    /// The network.
    pub model: ModelSection,
    /// What the network sees.
    pub input: InputSection,
    /// Where the data are.
    pub data: DataSection,
    /// Random changes of the samples.
    pub augment: AugmentSection,
    /// Targets.
    pub target: TargetSection,
    /// Steps.
    pub train: TrainSection,
    /// Text for the recipe of the trained file.
    pub about: AboutSection,
}

impl TrainConfig {
    /// Reads a configuration; relative paths become relative to the working folder.
    pub fn load(path: &Path) -> Result<Self> {
        Self::load_with(path, &Overrides::default())
    }

    /// The same with settings of the command line in place of the file's.
    pub fn load_with(path: &Path, overrides: &Overrides) -> Result<Self> {
        let shown = path.display();
        let text =
            String::from_utf8(crate::io::read(path)?).with_context(|| format!("{shown}: not a text file"))?;
        let mut config = parse::config(&text, overrides)
            .with_context(|| format!("{shown}: not a usable configuration"))?;
        config.check().with_context(|| format!("{shown}: not a usable configuration"))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.paths().into_iter().filter(|p| p.is_relative()).for_each(|p| *p = folder.join(&*p));
        // A path of the command line counts from the working folder.
        if let Some(start) = &overrides.start {
            config.model.start = Some(start.clone());
        }
        Ok(config)
    }

    /// Parses and checks; paths stay as they are written.
    pub fn parse(text: &str) -> Result<Self> {
        let config = parse::config(text, &Overrides::default())?;
        config.check()?;
        Ok(config)
    }

    /// The effective configuration as TOML, defaults filled in.
    pub fn to_toml(&self) -> Result<String> {
        let mut table = toml::Table::try_from(self)?;
        // What the task has no use for is not shown, so that the text can be read again.
        let training = tasks::training(self.task)?;
        let mut keep = |name: &str| {
            let Some(section) = table.get_mut(name).and_then(|v| v.as_table_mut()) else { return };
            section.retain(|key, _| {
                !tasks::is_of_some(&format!("{name}.{key}")) || training.takes(&format!("{name}.{key}"))
            });
            if section.is_empty() {
                table.remove(name);
            }
        };
        keep("target");
        keep("input");
        Ok(toml::to_string_pretty(&table)?)
    }

    /// The same with absolute paths: what is written into the run folder can be used from anywhere.
    pub fn to_absolute_toml(&self) -> Result<String> {
        let mut config = self.clone();
        for path in config.paths() {
            *path = std::path::absolute(&*path).with_context(|| path.display().to_string())?;
        }
        config.to_toml()
    }

    /// The same without its paths: what processes that find the data at different places have in common.
    pub(crate) fn to_pathless_toml(&self) -> Result<String> {
        let mut config = self.clone();
        config.paths().into_iter().for_each(|path| *path = PathBuf::new());
        config.to_toml()
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        let data = &mut self.data;
        let mut paths = vec![&mut data.train];
        paths.extend(
            [data.val.as_mut(), data.images.as_mut(), data.val_images.as_mut(), data.leave_out.as_mut()]
                .into_iter()
                .flatten(),
        );
        if let Some(ClassNames::File(file)) = &mut data.classes {
            paths.push(file);
        }
        paths.extend(self.model.start.as_mut());
        paths
    }

    fn check(&self) -> Result<()> {
        let positive = |name: &str, ok: bool| if ok { Ok(()) } else { Err(err!("{name} must be positive")) };
        positive("train.epochs", self.train.epochs > 0)?;
        positive("train.batch", self.train.batch > 0)?;
        positive("train.checkpoint_steps", self.train.checkpoint_steps > 0)?;
        positive("train.eval_epochs", self.train.eval_epochs > 0)?;
        positive("input.padding", self.input.padding.is_finite() && self.input.padding > 0.0)?;
        positive("target.sigma", self.target.sigma.is_finite() && self.target.sigma > 0.0)?;
        positive("target.stride", self.target.stride != Some(0))?;
        positive("input.std", self.input.std.iter().all(|s| s.is_finite() && *s > 0.0))?;
        if self.train.batch > hrnet_ir::shape::MAX_BATCH {
            bail!(
                "train.batch is {}; at most {} images per step",
                self.train.batch,
                hrnet_ir::shape::MAX_BATCH
            );
        }
        positive("train.patience", self.train.patience != Some(0))?;
        if self.train.ema.is_some_and(|d| !(0.0..1.0).contains(&d)) {
            bail!("train.ema must be at least 0 and below 1");
        }
        self.check_recipe()?;
        self.data.check(self.task)?;
        self.target.check(self.task)
    }

    /// Keys of `[model]` and `[train]` that belong to some tasks.
    fn check_recipe(&self) -> Result<()> {
        let (model, train, task) = (&self.model, &self.train, sections::task_name(self.task));
        if train.accumulate == 0 {
            bail!("train.accumulate must be positive");
        }
        let training = tasks::training(self.task)?;
        if model.head != SegmentHead::Plain && !training.takes("model.head") {
            let takers = tasks::takers("model.head");
            bail!("model.head belongs to the task {takers}; task = \"{task}\" has one head");
        }
        if model.align_corners.is_some() && !training.takes("model.align_corners") {
            let takers = tasks::takers("model.align_corners");
            bail!("model.align_corners belongs to the tasks {takers}, not to {task}");
        }
        let one_kernel = !(training.wide_kernel)(self);
        match model.kernel {
            Some(1) | None => {}
            Some(3) if !one_kernel => {}
            Some(3) => bail!("model.kernel = 3: the head of this task has a kernel of 1"),
            Some(n) => bail!("model.kernel = {n}: want 1 or 3"),
        }
        if let Some(m) = model.bn_momentum.filter(|m| !(*m > 0.0 && *m <= 1.0)) {
            bail!("model.bn_momentum = {m}: want above 0, at most 1");
        }
        match &train.mix {
            Some(mix) if training.takes("train.mix") => mix.check().context("train.mix")?,
            Some(_) => {
                let takers = tasks::takers("train.mix");
                bail!("train.mix belongs to the task {takers}; task = \"{task}\" has no use for it")
            }
            None => {}
        }
        let outputs = (training.outputs)(self);
        let weights = &train.loss_weights;
        if !weights.is_empty() && weights.len() != outputs {
            bail!("train.loss_weights has {} values; the network has {outputs} outputs", weights.len());
        }
        if let Some(w) = weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
            bail!("train.loss_weights holds {w}; weights are 0 or more");
        }
        if let Some(n) = train.freeze.stages.filter(|n| *n > 4) {
            bail!("train.freeze.stages = {n}: there are 4 stages");
        }
        if let LossSection::Maps(loss) = &train.loss
            && loss.is_combined()
            && !(training.takes("target.udp") && self.target.udp)
        {
            bail!("train.loss.kind = \"udp_combined\" belongs to the task pose with target.udp = true");
        }
        Ok(())
    }

    /// Whether the network has the OCR head.
    pub fn is_ocr(&self) -> bool {
        self.model.head == SegmentHead::Ocr
    }

    /// Maps per point.
    pub fn maps_per_point(&self) -> usize {
        match &self.train.loss {
            LossSection::Maps(loss) if loss.is_combined() => 3,
            _ => 1,
        }
    }

    /// The network for a number of points or classes.
    pub fn model(&self, outputs: usize) -> Result<Model> {
        let head = (tasks::training(self.task)?.head)(self, outputs);
        Ok(Model { arch: self.arch()?, head })
    }

    fn arch(&self) -> Result<Arch> {
        let section = &self.model;
        let variant = &section.variant;
        let training = tasks::training(self.task)?;
        let family = training.family;
        let entry = zoo::find(&format!("{family} {variant}")).or_else(|| zoo::find(variant)).with_context(|| {
            format!("model.variant = '{variant}': not a known variant; try w18-small-v1, w18, w32 (hrnet info list)")
        })?;
        let align_corners = section.align_corners.unwrap_or(self.is_ocr());
        let fuse = match training.takes("model.align_corners") {
            true => Fuse::Bilinear { align_corners },
            false => Fuse::Nearest,
        };
        let mut arch = entry.model.arch.fuse(fuse).bn_momentum(section.bn_momentum.unwrap_or(0.1));
        arch.width = section.width.unwrap_or(arch.width);
        arch.depth.modules = section.modules.unwrap_or(arch.depth.modules);
        arch.depth.blocks = section.blocks.unwrap_or(arch.depth.blocks);
        Ok(arch)
    }
}

/// What `--head` of `hrnet train` may name: the tasks that are trained, and the heads of a task beside its usual one.
pub fn heads() -> Vec<&'static str> {
    let of = |task: Task| [Some(task.name()), (task == Task::Segmentation).then_some("ocr")];
    tasks::TRAINED.into_iter().flat_map(of).flatten().collect()
}
