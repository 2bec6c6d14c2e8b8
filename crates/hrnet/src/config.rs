//! The training configuration: one TOML file. Paths are relative to the file's folder.
//!
//! `task` decides which keys `[data]`, `[augment]`, `[target]` and `train.loss` may hold; an unknown key is an error that names
//! the nearest known one.

mod parse;
mod sections;

pub use parse::Overrides;
pub use sections::{
    AboutSection, AugmentSection, ClassNames, ClassWeights, DataSection, InputSection, LossSection,
    ModelSection, PointMetric, TargetSection, Task, TrainSection,
};

use anyhow::{Context, Result, bail};
use hrnet_ir::{Arch, Fuse, Head, Model, zoo};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Everything a run depends on besides the data files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainConfig {
    /// What is trained.
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
        if !self.task.has_points() {
            table.remove("target");
            if let (Task::Segmentation, Some(stride)) = (self.task, self.target.stride) {
                table.insert(
                    "target".into(),
                    toml::Table::from_iter([("stride".into(), (stride as i64).into())]).into(),
                );
            }
            if let Some(input) = table.get_mut("input").and_then(|v| v.as_table_mut()) {
                input.remove("padding");
            }
        }
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
        let positive =
            |name: &str, ok: bool| if ok { Ok(()) } else { Err(anyhow::anyhow!("{name} must be positive")) };
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
        self.data.check(self.task)?;
        self.target.check(self.task)
    }

    /// The network for a number of points or classes.
    pub fn model(&self, outputs: usize) -> Result<Model> {
        let head = match self.task {
            Task::Face => Head::Landmark { points: outputs, kernel: 1 },
            Task::Pose => Head::Pose { joints: outputs, kernel: 1, branch: 0 },
            Task::Segmentation => Head::Segment { classes: outputs, kernel: 1 },
            Task::Classification => Head::Classify { classes: outputs, bias: true },
        };
        Ok(Model { arch: self.arch()?, head })
    }

    fn arch(&self) -> Result<Arch> {
        let section = &self.model;
        let variant = &section.variant;
        let family = match self.task {
            Task::Face => "face",
            Task::Pose => "pose",
            Task::Segmentation => "seg",
            Task::Classification => "cls",
        };
        let entry = zoo::find(&format!("{family} {variant}")).or_else(|| zoo::find(variant)).with_context(|| {
            format!("model.variant = '{variant}': not a known variant; try w18-small-v1, w18, w32 (hrnet info list)")
        })?;
        let fuse = match self.task {
            Task::Face | Task::Segmentation => Fuse::Bilinear { align_corners: false },
            Task::Pose | Task::Classification => Fuse::Nearest,
        };
        let mut arch = entry.model.arch.fuse(fuse).bn_momentum(0.1);
        arch.width = section.width.unwrap_or(arch.width);
        arch.depth.modules = section.modules.unwrap_or(arch.depth.modules);
        arch.depth.blocks = section.blocks.unwrap_or(arch.depth.blocks);
        Ok(arch)
    }
}
