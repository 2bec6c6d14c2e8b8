//! The training configuration: one TOML file. Paths are relative to the file's folder.

use anyhow::{Context, Result, bail};
use hrnet_data::augment::LandmarkAugment;
use hrnet_data::codec::heatmap::Decoder;
use hrnet_ir::{Fuse, Head, Model, zoo};
use hrnet_train::{HeatmapMse, Init, OptimizerConfig, Schedule};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Everything a run depends on besides the data files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// What is trained.
    pub task: Task,
    /// Seed of initial weights, order and augmentation.
    #[serde(default = "one")]
    pub seed: u64,
    /// The network.
    pub model: ModelSection,
    /// What the network sees.
    #[serde(default)]
    pub input: InputSection,
    /// Where the data are.
    pub data: DataSection,
    /// Random changes of the samples.
    #[serde(default)]
    pub augment: LandmarkAugment,
    /// Target maps.
    #[serde(default)]
    pub target: TargetSection,
    /// Steps.
    pub train: TrainSection,
    /// Text for the recipe of the trained file.
    #[serde(default)]
    pub about: AboutSection,
}

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A V2 landmark network.
    Face,
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// `w18-small-v1`, `w18`, `w32`, ...
    pub variant: String,
    /// A model file whose weights the run starts from (all of them must fit).
    #[serde(default)]
    pub start: Option<PathBuf>,
    /// Rule for the initial weights otherwise.
    #[serde(default)]
    pub init: Init,
}

/// What the network sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputSection {
    /// Height and width.
    pub size: [usize; 2],
    /// Side of the crop over the longer side of the face box.
    pub padding: f64,
    /// Mean of RGB in 0..1.
    pub mean: [f32; 3],
    /// Deviation of RGB in 0..1.
    pub std: [f32; 3],
}

impl Default for InputSection {
    fn default() -> Self {
        Self { size: [256, 256], padding: 1.25, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
    }
}

/// Where the data are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// Training CSV.
    pub train: PathBuf,
    /// Validation CSV: judged after epochs, never trained on.
    #[serde(default)]
    pub val: Option<PathBuf>,
    /// Folder of the images [default: `images` beside the CSV].
    #[serde(default)]
    pub images: Option<PathBuf>,
    /// 0-based points whose distance normalises the error [default: the outer eye corners of a known point set].
    #[serde(default)]
    pub normaliser: Option<[usize; 2]>,
    /// Megabytes of decoded images kept in memory.
    #[serde(default = "budget")]
    pub memory_mb: usize,
}

/// Target maps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetSection {
    /// Deviation of the Gaussian in heat-map pixels.
    pub sigma: f64,
    /// How points are read off the maps.
    pub decoder: Decoder,
}

impl Default for TargetSection {
    fn default() -> Self {
        Self { sigma: 1.5, decoder: Decoder::LogQuadratic }
    }
}

/// Steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSection {
    /// Passes over the training set.
    pub epochs: u64,
    /// Images per step.
    pub batch: usize,
    /// Squared error of the maps.
    pub loss: HeatmapMse,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// The learning rate.
    pub schedule: Schedule,
    /// Decay of the averaged weights that are judged and exported.
    #[serde(default)]
    pub ema: Option<f64>,
    /// Largest gradient norm.
    #[serde(default)]
    pub clip: Option<f64>,
    /// Steps between checkpoints.
    #[serde(default = "checkpoint_steps")]
    pub checkpoint_steps: u64,
    /// Epochs between evaluations.
    #[serde(default = "one")]
    pub eval_epochs: u64,
}

/// Text for the recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AboutSection {
    /// Name of the model.
    pub name: String,
    /// What it was trained on.
    pub training_data: String,
    /// Terms of use.
    pub terms: String,
}

fn one() -> u64 {
    1
}
fn budget() -> usize {
    2048
}
fn checkpoint_steps() -> u64 {
    200
}

impl TrainConfig {
    /// Reads a configuration; relative paths become relative to the working folder.
    pub fn load(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text =
            String::from_utf8(crate::io::read(path)?).with_context(|| format!("{shown}: not a text file"))?;
        let mut config =
            Self::parse(&text).with_context(|| format!("{shown}: not a usable configuration"))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let paths = [Some(&mut config.data.train), config.data.val.as_mut(), config.data.images.as_mut()];
        for p in paths.into_iter().flatten().chain(config.model.start.as_mut()) {
            if p.is_relative() {
                *p = folder.join(&*p);
            }
        }
        Ok(config)
    }

    /// Parses and checks; paths stay as they are written.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    /// The effective configuration as TOML, defaults filled in.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string_pretty(self)?)
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
        positive("input.std", self.input.std.iter().all(|s| s.is_finite() && *s > 0.0))?;
        if self.train.batch > hrnet_ir::shape::MAX_BATCH {
            bail!(
                "train.batch is {}; at most {} images per step",
                self.train.batch,
                hrnet_ir::shape::MAX_BATCH
            );
        }
        if self.train.ema.is_some_and(|d| !(0.0..1.0).contains(&d)) {
            bail!("train.ema must be at least 0 and below 1");
        }
        Ok(())
    }

    /// The network for a number of points.
    pub fn model(&self, points: usize) -> Result<Model> {
        let variant = &self.model.variant;
        let entry = zoo::find(&format!("face {variant}")).or_else(|| zoo::find(variant)).with_context(|| {
            format!("model.variant = '{variant}': not a known variant; try w18-small-v1, w18, w32 (hrnet info list)")
        })?;
        let arch = entry.model.arch.fuse(Fuse::Bilinear { align_corners: false }).bn_momentum(0.1);
        Ok(Model { arch, head: Head::Landmark { points, kernel: 1 } })
    }
}
