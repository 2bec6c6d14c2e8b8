//! The sections of the configuration.

use super::FreezeSection;
use crate::error::{Result, bail};
use crate::tasks::pose::config::PointMetric;
use crate::tasks::segmentation::config::{ClassNames, ClassWeights, SegmentHead};
use crate::tasks::{self, LossSection};
use hrnet_data::codec::heatmap::SubPixel;
use hrnet_ir::Task;
use hrnet_train::mix::Mix;
use hrnet_train::{Init, LayerRate, OptimizerConfig, Schedule};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The name of a task in configurations.
pub(crate) fn task_name(task: Task) -> String {
    task.name().replace('-', "_")
}

/// `task = "..."` of a configuration.
pub(super) mod task_key {
    use super::{Task, task_name};
    use crate::tasks::TRAINED;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(task: &Task, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&task_name(*task))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Task, D::Error> {
        let name = String::deserialize(from)?;
        TRAINED.into_iter().find(|&task| task_name(task) == name).ok_or_else(|| {
            let known: Vec<String> = TRAINED.map(|task| format!("`{}`", task_name(task))).to_vec();
            D::Error::custom(format_args!("unknown variant `{name}`, expected one of {}", known.join(", ")))
        })
    }
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// `w18-small-v1`, `w18`, `w32`, ...
    #[serde(default = "variant")]
    pub variant: String,
    /// Another number of channels on the top branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Other numbers of modules in stages 2, 3 and 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modules: Option<[usize; 3]>,
    /// Another number of blocks per branch and module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<usize>,
    /// A model file whose weights the run starts from. What fits by name and shape is taken, and the rest is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// Segmentation: the head.
    #[serde(default, skip_serializing_if = "is_default")]
    pub head: SegmentHead,
    /// Kernel of the last convolution, 1 or 3 [default: 1].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<usize>,
    /// Face, segmentation: whether branches are brought to one size with aligned corners [default: false; with OCR true].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub align_corners: Option<bool>,
    /// Share of a batch in the running statistics of batch norms [default: 0.1].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bn_momentum: Option<f64>,
    /// Rule for the initial weights otherwise.
    #[serde(default)]
    pub init: Init,
}

fn variant() -> String {
    "w18-small-v1".into()
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            variant: variant(),
            width: None,
            modules: None,
            blocks: None,
            start: None,
            head: SegmentHead::Plain,
            kernel: None,
            align_corners: None,
            bn_momentum: None,
            init: Init::default(),
        }
    }
}

/// What the network sees.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InputSection {
    /// Height and width.
    pub size: [usize; 2],
    /// Side of the crop over the side of the box (points only).
    pub padding: f64,
    /// Mean of RGB in 0..1.
    pub mean: [f32; 3],
    /// Deviation of RGB in 0..1.
    pub std: [f32; 3],
}

/// Where the data are. Which keys a task takes is said beside them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// Training set. Face: landmark CSV. Pose: COCO key point JSON. Segmentation: list of images and labels.
    /// Classification: folder of class folders, or CSV.
    pub train: PathBuf,
    /// Validation set: judged after epochs, never trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val: Option<PathBuf>,
    /// Folder of the images [default: `images` beside the file or beside its folder, else the file's folder].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// Folder of the validation images [default: as for `images`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_images: Option<PathBuf>,
    /// Face: 0-based points whose distance normalises the error [default: the outer eye corners of a known point set].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normaliser: Option<[usize; 2]>,
    /// Pose: 0-based points whose distance is the torso [default: left shoulder and right hip, else right shoulder and left hip].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torso: Option<[usize; 2]>,
    /// Pose: what decides [default: ap for the 17 points of COCO, else pck].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<PointMetric>,
    /// Pose: a CSV whose column `image_id` names images that are not learned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave_out: Option<PathBuf>,
    /// Segmentation: names of the classes, in the order of their numbers [default: `classes.txt` beside the list].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<ClassNames>,
    /// Segmentation: a known numbering instead (`cityscapes`, `camvid`, `ade20k`, ...).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbering: Option<String>,
    /// Segmentation: numbers that are not learned; 255 is one always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<u16>,
    /// Segmentation: how much each class counts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub class_weights: ClassWeights,
    /// Whether a run begins with `hrnet data check`.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub check: bool,
    /// Megabytes of decoded images kept in memory.
    #[serde(default = "budget")]
    pub memory_mb: usize,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_one(value: &u32) -> bool {
    *value == 1
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

fn budget() -> usize {
    2048
}

impl DataSection {
    /// Only the keys of the task may be there.
    pub(super) fn check(&self, task: Task) -> Result<()> {
        let keys = [
            ("data.normaliser", self.normaliser.is_some()),
            ("data.torso", self.torso.is_some()),
            ("data.metric", self.metric.is_some()),
            ("data.leave_out", self.leave_out.is_some()),
            ("data.classes", self.classes.is_some()),
            ("data.numbering", self.numbering.is_some()),
            ("data.ignore", !self.ignore.is_empty()),
            ("data.class_weights", self.class_weights != ClassWeights::None),
        ];
        let training = tasks::training(task)?;
        match keys.into_iter().find(|&(key, used)| used && !training.takes(key)) {
            Some((key, _)) => bail!(
                "{key} belongs to the task {}; task = \"{}\" has no use for it",
                tasks::takers(key),
                task_name(task)
            ),
            None => Ok(()),
        }
    }
}

/// Targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetSection {
    /// Deviation of the Gaussian in heat-map pixels.
    pub sigma: f64,
    /// How points are read off the maps.
    pub decoder: SubPixel,
    /// Pose: sizes measured between pixel centres, and the decoder of UDP.
    #[serde(skip_serializing_if = "is_default")]
    pub udp: bool,
    /// Pose: weight of each point in the loss; all 1 when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub joint_weights: Vec<f32>,
    /// Segmentation: the loss looks at every so many-th pixel of the labels on each axis [default: 1]. 4 is the resolution of
    /// the network's output and the cheapest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
}

impl Default for TargetSection {
    fn default() -> Self {
        Self {
            sigma: 1.5,
            decoder: SubPixel::LogQuadratic,
            udp: false,
            joint_weights: Vec::new(),
            stride: None,
        }
    }
}

impl TargetSection {
    pub(super) fn check(&self, task: Task) -> Result<()> {
        let training = tasks::training(task)?;
        let mut points = Self { stride: None, ..self.clone() };
        if training.takes("target.sigma") {
            points.sigma = Self::default().sigma;
        }
        if !training.takes("target.decoder") && points != Self::default() {
            bail!(
                "target.sigma, decoder, udp and joint_weights are for points in boxes (sigma for bottom_up too); \
                 task = \"{}\" has none",
                task_name(task)
            );
        }
        if !training.takes("target.stride") && self.stride.is_some() {
            bail!("target.stride belongs to the task {}", tasks::takers("target.stride"));
        }
        if !training.takes("target.udp") && (self.udp || !self.joint_weights.is_empty()) {
            bail!("target.udp and target.joint_weights belong to the task {}", tasks::takers("target.udp"));
        }
        if let Some(w) = self.joint_weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
            bail!("target.joint_weights holds {w}; weights are 0 or more");
        }
        Ok(())
    }
}

/// Steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainSection {
    /// Passes over the training set.
    pub epochs: u64,
    /// Images per step.
    pub batch: usize,
    /// What is made small.
    pub loss: LossSection,
    /// A factor on the loss of each output [default: OCR 0.4 on the auxiliary output, 1 on the other; HigherHRNet 1 and 1].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub loss_weights: Vec<f64>,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// The learning rate.
    pub schedule: Schedule,
    /// Decay of the averaged weights that are judged and exported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Largest gradient norm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Batches per step of the optimiser; their losses are averaged.
    #[serde(skip_serializing_if = "is_one")]
    pub accumulate: u32,
    /// Classification: mixed pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mix: Option<Mix>,
    /// What does not learn.
    #[serde(skip_serializing_if = "is_default")]
    pub freeze: FreezeSection,
    /// Factors on the learning rates of some layers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layer_rates: Vec<LayerRate>,
    /// Steps between checkpoints.
    pub checkpoint_steps: u64,
    /// Epochs between evaluations.
    pub eval_epochs: u64,
    /// The run ends after so many evaluations in a row that are no new best.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
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
