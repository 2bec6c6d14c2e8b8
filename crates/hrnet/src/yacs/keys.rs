//! Every key of the official repositories: its type, who knows it, and what becomes of it. `docs/yacs.md` holds the same table
//! (a test compares them).

use super::{Value, YacsError};
use crate::config::distance;
use std::fmt;

/// The repository a file belongs to, by `MODEL.NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repository {
    /// deep-high-resolution-net.pytorch.
    Pose,
    /// HRNet-Facial-Landmark-Detection.
    Face,
    /// HRNet-Semantic-Segmentation, all branches; `ocr` with the OCR head.
    Segmentation {
        /// `seg_hrnet_ocr`.
        ocr: bool,
    },
    /// HRNet-Image-Classification.
    Classification,
    /// HigherHRNet-Human-Pose-Estimation.
    Higher,
}

const NAMES: [(&str, Repository); 6] = [
    ("pose_hrnet", Repository::Pose),
    ("hrnet", Repository::Face),
    ("seg_hrnet", Repository::Segmentation { ocr: false }),
    ("seg_hrnet_ocr", Repository::Segmentation { ocr: true }),
    ("cls_hrnet", Repository::Classification),
    ("pose_higher_hrnet", Repository::Higher),
];

impl Repository {
    /// By `MODEL.NAME`.
    pub fn of(name: &str) -> Result<Self, YacsError> {
        NAMES.into_iter().find(|(n, _)| *n == name).map(|(_, r)| r).ok_or_else(|| {
            let name = Value::Text(name.into());
            YacsError::Setting(format!(
                "MODEL.NAME: {name} is no network of ours; it is one of {}",
                Self::names()
            ))
        })
    }

    pub(super) fn names() -> String {
        NAMES.map(|(name, _)| name).join(", ")
    }

    fn letter(self) -> char {
        match self {
            Repository::Pose => 'P',
            Repository::Face => 'F',
            Repository::Segmentation { .. } => 'S',
            Repository::Classification => 'C',
            Repository::Higher => 'H',
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Repository::Pose => "deep-high-resolution-net.pytorch",
            Repository::Face => "HRNet-Facial-Landmark-Detection",
            Repository::Segmentation { .. } => "HRNet-Semantic-Segmentation",
            Repository::Classification => "HRNet-Image-Classification",
            Repository::Higher => "HigherHRNet-Human-Pose-Estimation",
        })
    }
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// true, false.
    Bool,
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// Text.
    Text,
    /// Whole numbers.
    Wholes,
    /// Numbers.
    Numbers,
    /// true, false, several times.
    Bools,
    /// Texts.
    Texts,
    /// A probability, or true or false.
    Share,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes there.
    To(&'static str),
    /// It is about machines, logs and debugging: results do not depend on it here.
    Idle,
    /// It is not taken over; this is said in a remark.
    Remark(&'static str),
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted path; `#` stands for 1 to 4.
    pub path: &'static str,
    /// The type.
    pub kind: Kind,
    /// P pose, F face, S segmentation, C classification, H HigherHRNet.
    pub repositories: &'static str,
    /// What becomes of it.
    pub fate: Fate,
}

/// The table.
#[rustfmt::skip]
pub const KEYS: &[Key] = {
    use Fate::*;
    use Kind::*;
    const fn key(path: &'static str, kind: Kind, repositories: &'static str, fate: Fate) -> Key {
        Key { path, kind, repositories, fate }
    }
    const UNUSED: &str = "not read by the official code for this network";
    const EVAL: &str = "given to `hrnet eval` and `hrnet predict`";
    &[
        key("OUTPUT_DIR", Text, "PFSCH", Remark("the run folder is --out")),
        key("LOG_DIR", Text, "PFSCH", Remark("logs are in the run folder, --out")),
        key("DATA_DIR", Text, "PCH", To("the beginning of relative paths, as --data-dir")),
        key("GPUS", Wholes, "PFSCH", To("train.batch (their number)")),
        key("WORKERS", Whole, "PFSCH", Idle),
        key("PRINT_FREQ", Whole, "PFSCH", Idle),
        key("AUTO_RESUME", Bool, "PFSCH", Remark("--resume auto")),
        key("PIN_MEMORY", Bool, "PFSCH", Idle),
        key("RANK", Whole, "PSCH", Idle),
        key("VERBOSE", Bool, "H", Idle),
        key("DIST_BACKEND", Text, "H", Idle),
        key("MULTIPROCESSING_DISTRIBUTED", Bool, "H", Idle),
        key("FP16.ENABLED", Bool, "H", Remark("training computes in f32")),
        key("FP16.STATIC_LOSS_SCALE", Number, "H", Idle),
        key("FP16.DYNAMIC_LOSS_SCALE", Bool, "H", Idle),
        key("CUDNN.BENCHMARK", Bool, "PFSCH", Idle),
        key("CUDNN.DETERMINISTIC", Bool, "PFSCH", Idle),
        key("CUDNN.ENABLED", Bool, "PFSCH", Idle),
        key("MODEL.NAME", Text, "PFSCH", To("task and head")),
        key("MODEL.INIT_WEIGHTS", Bool, "PFCH", To("model.init")),
        key("MODEL.PRETRAINED", Text, "PFSCH", To("model.start")),
        key("MODEL.NUM_JOINTS", Whole, "PFCH", To("the head (training takes the number from the labels)")),
        key("MODEL.NUM_CLASSES", Whole, "C", To("the head (training takes the number from the folders)")),
        key("MODEL.TAG_PER_JOINT", Bool, "PCH", Remark("tags are one per joint")),
        key("MODEL.TARGET_TYPE", Text, "PFC", To("target (a Gaussian)")),
        key("MODEL.IMAGE_SIZE", Wholes, "PFC", To("input.size (written there as height, width)")),
        key("MODEL.HEATMAP_SIZE", Wholes, "PFC", To("a quarter of input.size; anything else is an error")),
        key("MODEL.SIGMA", Number, "PFC", To("target.sigma")),
        key("MODEL.SYNC_BN", Bool, "H", Idle),
        key("MODEL.ALIGN_CORNERS", Bool, "S", To("train.loss.align_corners and model.align_corners")),
        key("MODEL.NUM_OUTPUTS", Whole, "S", To("1, with OCR 2; anything else is an error")),
        key("MODEL.OCR.MID_CHANNELS", Whole, "S", To("512; anything else is an error")),
        key("MODEL.OCR.KEY_CHANNELS", Whole, "S", To("256; anything else is an error")),
        key("MODEL.OCR.DROPOUT", Number, "S", To("0.05; anything else is an error")),
        key("MODEL.OCR.SCALE", Whole, "S", To("1; anything else is an error")),
        key("MODEL.EXTRA.PRETRAINED_LAYERS", Texts, "PFSCH", Remark("model.start takes what fits by name and shape, and reports the rest")),
        key("MODEL.EXTRA.STEM_INPLANES", Whole, "PFSCH", To("64; anything else is an error")),
        key("MODEL.EXTRA.FINAL_CONV_KERNEL", Whole, "PFSCH", To("model.kernel")),
        key("MODEL.EXTRA.WITH_HEAD", Bool, "PFSCH", To("true; anything else is an error")),
        key("MODEL.EXTRA.STAGE#.NUM_MODULES", Whole, "PFSCH", To("model.variant, model.modules")),
        key("MODEL.EXTRA.STAGE#.NUM_BRANCHES", Whole, "PFSCH", To("the number of the stage; anything else is an error")),
        key("MODEL.EXTRA.STAGE#.NUM_RANCHES", Whole, "PFSCH", To("the same (so misspelt in the official files)")),
        key("MODEL.EXTRA.STAGE#.NUM_BLOCKS", Wholes, "PFSCH", To("model.variant, model.blocks; the same on all branches")),
        key("MODEL.EXTRA.STAGE#.NUM_CHANNELS", Wholes, "PFSCH", To("model.variant, model.width; doubling from branch to branch")),
        key("MODEL.EXTRA.STAGE#.BLOCK", Text, "PFSCH", To("BOTTLENECK in stage 1, BASIC in the others; anything else is an error")),
        key("MODEL.EXTRA.STAGE#.FUSE_METHOD", Text, "PFSCH", To("SUM; anything else is an error")),
        key("MODEL.EXTRA.DECONV.NUM_DECONVS", Whole, "H", To("1; anything else is an error")),
        key("MODEL.EXTRA.DECONV.NUM_CHANNELS", Wholes, "H", To("the width; anything else is an error")),
        key("MODEL.EXTRA.DECONV.NUM_BASIC_BLOCKS", Whole, "H", To("4; anything else is an error")),
        key("MODEL.EXTRA.DECONV.KERNEL_SIZE", Wholes, "H", To("4; anything else is an error")),
        key("MODEL.EXTRA.DECONV.CAT_OUTPUT", Bools, "H", To("true; anything else is an error")),
        key("LOSS.USE_OHKM", Bool, "PC", To("train.loss.kind: ohkm")),
        key("LOSS.TOPK", Whole, "PC", To("train.loss.top of ohkm")),
        key("LOSS.USE_TARGET_WEIGHT", Bool, "PC", To("train.loss.form")),
        key("LOSS.USE_DIFFERENT_JOINTS_WEIGHT", Bool, "PC", To("target.joint_weights")),
        key("LOSS.USE_OHEM", Bool, "S", To("train.loss.ohem")),
        key("LOSS.OHEMTHRES", Number, "S", To("train.loss.ohem.threshold")),
        key("LOSS.OHEMKEEP", Whole, "S", To("train.loss.ohem.keep")),
        key("LOSS.CLASS_BALANCE", Bool, "S", Remark("not read by the official code: the weights of Cityscapes count always, other sets have none")),
        key("LOSS.BALANCE_WEIGHTS", Numbers, "S", To("train.loss_weights of OCR")),
        key("LOSS.NUM_STAGES", Whole, "H", To("2; anything else is an error")),
        key("LOSS.WITH_HEATMAPS_LOSS", Bools, "H", To("true for both outputs; anything else is an error")),
        key("LOSS.HEATMAPS_LOSS_FACTOR", Numbers, "H", To("train.loss.heatmaps and train.loss_weights")),
        key("LOSS.WITH_AE_LOSS", Bools, "H", To("true for the first output; anything else is an error")),
        key("LOSS.AE_LOSS_TYPE", Text, "H", To("exp; anything else is an error")),
        key("LOSS.PUSH_LOSS_FACTOR", Numbers, "H", To("train.loss.push")),
        key("LOSS.PULL_LOSS_FACTOR", Numbers, "H", To("train.loss.pull")),
        key("DATASET.ROOT", Text, "PFSCH", To("data.train, data.val, data.images")),
        key("DATASET.DATASET", Text, "PFSCH", To("the layout of the data; about.training_data")),
        key("DATASET.DATASET_TEST", Text, "H", Remark("data are told to `hrnet eval`")),
        key("DATASET.TRAIN_SET", Text, "PSC", To("data.train")),
        key("DATASET.TEST_SET", Text, "PSC", To("data.val")),
        key("DATASET.EXTRA_TRAIN_SET", Text, "S", Remark("one training list; train again with the other one and model.start")),
        key("DATASET.TRAINSET", Text, "F", To("data.train")),
        key("DATASET.TESTSET", Text, "F", To("data.val")),
        key("DATASET.TRAIN", Text, "H", To("data.train")),
        key("DATASET.TEST", Text, "H", To("data.val")),
        key("DATASET.NUM_CLASSES", Whole, "S", To("the head (training takes the number from the class names)")),
        key("DATASET.NUM_JOINTS", Whole, "H", To("the head, as MODEL.NUM_JOINTS")),
        key("DATASET.MAX_NUM_PEOPLE", Whole, "H", Remark("--max-people of `hrnet predict` and `hrnet eval`")),
        key("DATASET.DATA_FORMAT", Text, "PCH", Remark("the format is seen from the files; ZIP files are unpacked first")),
        key("DATASET.HYBRID_JOINTS_TYPE", Text, "PC", Remark(UNUSED)),
        key("DATASET.SELECT_DATA", Bool, "PC", Remark("all labelled persons are used")),
        key("DATASET.FLIP", Share, "PFCH", To("augment.flip_p (0.5 for true)")),
        key("DATASET.SCALE_FACTOR", Number, "PFC", To("augment.scale")),
        key("DATASET.ROT_FACTOR", Number, "PFC", To("augment.rotation_deg, augment.rotation_p 0.6")),
        key("DATASET.PROB_HALF_BODY", Number, "PC", To("augment.half_body_p")),
        key("DATASET.NUM_JOINTS_HALF_BODY", Whole, "PC", Remark("a half body is tried when more than 8 points are visible")),
        key("DATASET.COLOR_RGB", Bool, "PC", Remark("images are RGB always")),
        key("DATASET.MAX_ROTATION", Number, "H", To("augment.rotation_deg")),
        key("DATASET.MIN_SCALE", Number, "H", To("augment.scale")),
        key("DATASET.MAX_SCALE", Number, "H", To("augment.scale")),
        key("DATASET.SCALE_TYPE", Text, "H", To("short; anything else is an error")),
        key("DATASET.MAX_TRANSLATE", Number, "H", To("augment.shift: a 200th of it")),
        key("DATASET.INPUT_SIZE", Whole, "H", To("the input size")),
        key("DATASET.OUTPUT_SIZE", Wholes, "H", To("a quarter and a half of the input; anything else is an error")),
        key("DATASET.SIGMA", Number, "H", To("target.sigma")),
        key("DATASET.SCALE_AWARE_SIGMA", Bool, "H", To("false; anything else is an error")),
        key("DATASET.BASE_SIZE", Number, "H", Remark("belongs to DATASET.SCALE_AWARE_SIGMA")),
        key("DATASET.BASE_SIGMA", Number, "H", Remark("belongs to DATASET.SCALE_AWARE_SIGMA")),
        key("DATASET.INT_SIGMA", Bool, "H", Remark("belongs to DATASET.SCALE_AWARE_SIGMA")),
        key("DATASET.WITH_CENTER", Bool, "H", Remark("there is no map of centres; with true, MODEL.NUM_JOINTS counts one more")),
        key("TRAIN.LR", Number, "PFSCH", To("train.schedule.base")),
        key("TRAIN.LR_STEP", Wholes, "PFSCH", To("train.schedule.decay.epochs, one less each: the official scheduler is stepped before the epoch")),
        key("TRAIN.LR_FACTOR", Number, "PFSCH", To("train.schedule.decay.gamma")),
        key("TRAIN.OPTIMIZER", Text, "PFSCH", To("train.optimizer.kind: adam or sgd")),
        key("TRAIN.MOMENTUM", Number, "PFSCH", To("train.optimizer.momentum of sgd")),
        key("TRAIN.WD", Number, "PFSCH", To("train.optimizer.weight_decay of sgd; the official code does not pass it to Adam")),
        key("TRAIN.NESTEROV", Bool, "PFSCH", To("train.optimizer.nesterov of sgd")),
        key("TRAIN.GAMMA1", Number, "PCH", Remark(UNUSED)),
        key("TRAIN.GAMMA2", Number, "PCH", Remark(UNUSED)),
        key("TRAIN.BEGIN_EPOCH", Whole, "PFSCH", To("0; more is said in a remark")),
        key("TRAIN.END_EPOCH", Whole, "PFSCH", To("train.epochs")),
        key("TRAIN.EXTRA_EPOCH", Whole, "S", Remark("epochs on DATASET.EXTRA_TRAIN_SET")),
        key("TRAIN.EXTRA_LR", Number, "S", Remark("belongs to TRAIN.EXTRA_EPOCH")),
        key("TRAIN.RESUME", Bool, "PFSCH", Remark("--resume auto")),
        key("TRAIN.CHECKPOINT", Text, "PFCH", Remark("--resume FILE; checkpoints of ours only")),
        key("TRAIN.BATCH_SIZE_PER_GPU", Whole, "PFSC", To("train.batch, times the number of GPUS")),
        key("TRAIN.IMAGES_PER_GPU", Whole, "H", To("train.batch, times the number of GPUS")),
        key("TRAIN.SHUFFLE", Bool, "PFSCH", Remark("samples are shuffled always")),
        key("TRAIN.FREEZE_LAYERS", Text, "S", Remark("not read by the official code: nothing is frozen; train.freeze.layers freezes")),
        key("TRAIN.FREEZE_EPOCHS", Whole, "S", Remark("not read by the official code")),
        key("TRAIN.NONBACKBONE_KEYWORDS", Texts, "S", To("train.layer_rates: the layers with one of these in their names")),
        key("TRAIN.NONBACKBONE_MULT", Number, "S", To("train.layer_rates.factor")),
        key("TRAIN.IMAGE_SIZE", Wholes, "S", To("input.size (written there as height, width)")),
        key("TRAIN.BASE_SIZE", Whole, "S", Remark("pictures are scaled from their own size, not from a common long side")),
        key("TRAIN.DOWNSAMPLERATE", Whole, "S", To("target.stride")),
        key("TRAIN.FLIP", Bool, "S", To("augment.flip_p (0.5 for true)")),
        key("TRAIN.MULTI_SCALE", Bool, "S", To("augment.scale")),
        key("TRAIN.SCALE_FACTOR", Whole, "S", To("augment.scale: 0.5 to 0.5 + a tenth of it")),
        key("TRAIN.RANDOM_BRIGHTNESS", Bool, "S", Remark("augment.colour scales brightness, it adds nothing")),
        key("TRAIN.RANDOM_BRIGHTNESS_SHIFT_VALUE", Whole, "S", Remark("belongs to TRAIN.RANDOM_BRIGHTNESS")),
        key("TRAIN.IGNORE_LABEL", Whole, "S", To("train.loss.ignore")),
        key("TRAIN.NUM_SAMPLES", Whole, "S", Remark("all samples are used")),
        key("TEST.BATCH_SIZE_PER_GPU", Whole, "PFSC", Idle),
        key("TEST.IMAGES_PER_GPU", Whole, "H", Idle),
        key("TEST.FLIP_TEST", Bool, "PSCH", Remark("--flip of `hrnet eval` and `hrnet predict`")),
        key("TEST.POST_PROCESS", Bool, "PC", To("target.decoder: quarter_offset or argmax")),
        key("TEST.SHIFT_HEATMAP", Bool, "PC", Remark("--shift-heatmap of `hrnet eval` and `hrnet predict`")),
        key("TEST.USE_GT_BBOX", Bool, "PC", Remark("training judges with labelled boxes")),
        key("TEST.COCO_BBOX_FILE", Text, "PC", Remark(EVAL)),
        key("TEST.IMAGE_THRE", Number, "PC", Remark(EVAL)),
        key("TEST.NMS_THRE", Number, "PC", Remark(UNUSED)),
        key("TEST.SOFT_NMS", Bool, "PC", Remark("suppression is the plain one")),
        key("TEST.OKS_THRE", Number, "PC", Remark(EVAL)),
        key("TEST.IN_VIS_THRE", Number, "PC", Remark(EVAL)),
        key("TEST.BBOX_THRE", Number, "PC", Remark(UNUSED)),
        key("TEST.MODEL_FILE", Text, "PSCH", Remark("the model is named to `hrnet eval`")),
        key("TEST.IMAGE_SIZE", Wholes, "S", Remark(EVAL)),
        key("TEST.BASE_SIZE", Whole, "S", Remark(EVAL)),
        key("TEST.NUM_SAMPLES", Whole, "S", Remark("all samples are used")),
        key("TEST.CENTER_CROP_TEST", Bool, "S", Remark("whole pictures are judged")),
        key("TEST.MULTI_SCALE", Bool, "S", Remark("--scales of `hrnet eval` and `hrnet predict`")),
        key("TEST.SCALE_LIST", Numbers, "S", Remark("--scales of `hrnet eval` and `hrnet predict`")),
        key("TEST.OUTPUT_INDEX", Whole, "S", Remark("the last output is read")),
        key("TEST.ADJUST", Bool, "H", Remark("points are adjusted always")),
        key("TEST.REFINE", Bool, "H", Remark("missing points are filled in always")),
        key("TEST.SCALE_FACTOR", Numbers, "H", Remark("--scales of `hrnet eval` and `hrnet predict`")),
        key("TEST.DETECTION_THRESHOLD", Number, "H", Remark("--peak-threshold of `hrnet eval` and `hrnet predict`")),
        key("TEST.TAG_THRESHOLD", Number, "H", Remark("--tag-threshold of `hrnet eval` and `hrnet predict`")),
        key("TEST.USE_DETECTION_VAL", Bool, "H", Remark("peaks are ordered by their value always")),
        key("TEST.IGNORE_TOO_MUCH", Bool, "H", Remark(EVAL)),
        key("TEST.IGNORE_CENTER", Bool, "H", Remark("there is no map of centres")),
        key("TEST.NMS_KERNEL", Whole, "H", Remark("peaks are maxima of 5 x 5 pixels")),
        key("TEST.NMS_PADDING", Whole, "H", Remark("peaks are maxima of 5 x 5 pixels")),
        key("TEST.PROJECT2IMAGE", Bool, "H", Remark("maps are projected to the size of the image always")),
        key("TEST.WITH_HEATMAPS", Bools, "H", Remark("both outputs are read")),
        key("TEST.WITH_AE", Bools, "H", Remark("tags come from the first output")),
        key("TEST.LOG_PROGRESS", Bool, "H", Idle),
        key("DEBUG.DEBUG", Bool, "PSCH", Idle),
        key("DEBUG.SAVE_BATCH_IMAGES_GT", Bool, "PSCH", Idle),
        key("DEBUG.SAVE_BATCH_IMAGES_PRED", Bool, "PSCH", Idle),
        key("DEBUG.SAVE_HEATMAPS_GT", Bool, "PSCH", Idle),
        key("DEBUG.SAVE_HEATMAPS_PRED", Bool, "PSCH", Idle),
        key("DEBUG.SAVE_TAGMAPS_PRED", Bool, "H", Idle),
    ]
};

/// `STAGE2` as the table writes it.
fn general(path: &str) -> String {
    let mut path = path.to_string();
    for n in ["1", "2", "3", "4"] {
        path = path.replace(&format!("MODEL.EXTRA.STAGE{n}"), "MODEL.EXTRA.STAGE#");
    }
    path
}

/// The row of a key.
pub fn find(path: &str) -> Option<&'static Key> {
    let general = general(path);
    KEYS.iter().find(|k| k.path == general && !path.contains('#'))
}

fn of(repository: Repository) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |k| k.repositories.contains(repository.letter()))
}

/// Whether the repository has such a key or section; what is wrong otherwise.
pub(super) fn known(repository: Repository, path: &str) -> Result<(), String> {
    let wanted = general(path);
    let section = format!("{wanted}.");
    if !path.contains('#') && of(repository).any(|k| k.path == wanted || k.path.starts_with(&section)) {
        return Ok(());
    }
    let shown: String = path.chars().take(120).collect();
    Err(match nearest(repository, path) {
        Some(near) => format!("{shown}: unknown key; did you mean {near}?"),
        None if find(path).is_some() => format!("{shown}: a key of another repository, not of {repository}"),
        None => format!("{shown}: unknown key; docs/yacs.md lists those of {repository}"),
    })
}

/// The key or section of the repository that is nearest to an unknown one.
fn nearest(repository: Repository, path: &str) -> Option<String> {
    if path.len() > 120 {
        return None;
    }
    let wanted = general(path);
    let last = |p: &str| p.rsplit('.').next().unwrap_or(p).to_string();
    let known =
        of(repository).flat_map(|k| k.path.match_indices('.').map(|(i, _)| &k.path[..i]).chain([k.path]));
    let (wrong, near) = known.map(|k| (distance(&wanted, k), k)).min()?;
    // Half of the letters of its last word may be wrong; beyond that the same word in another section is the better guess.
    let near = if wrong * 2 <= last(&wanted).chars().count() {
        near
    } else {
        of(repository).map(|k| k.path).find(|k| last(k) == last(&wanted))?
    };
    let stage = path
        .split_once("STAGE")
        .and_then(|(_, rest)| rest.chars().next())
        .filter(|c| ('1'..='4').contains(c));
    Some(near.replace('#', &stage.unwrap_or('2').to_string()))
}

/// The value in the type of the key, or what is wrong.
pub(super) fn check(repository: Repository, path: &str, value: Value) -> Result<Value, String> {
    known(repository, path)?;
    let Some(key) = find(path) else {
        return match value {
            Value::Null => Ok(Value::Null),
            other => Err(format!("{path}: a section with keys is wanted, not {} ({other})", other.kind())),
        };
    };
    let wrong = |value: &Value, wanted: &str| {
        Err(format!("{path}: {wanted} is wanted, not {} ({value})", value.kind()))
    };
    let list = |value: Value, wanted: &str, one: fn(Value) -> Result<Value, Value>| {
        let items = match value {
            Value::List(items) => items,
            single => vec![single],
        };
        items.into_iter().map(one).collect::<Result<_, _>>().map(Value::List).or_else(|v| wrong(&v, wanted))
    };
    match key.kind {
        Kind::Bool => boolean(value).or_else(|v| wrong(&v, "true or false")),
        Kind::Whole => whole(value).or_else(|v| wrong(&v, "a whole number")),
        Kind::Number => number(value).or_else(|v| wrong(&v, "a number")),
        Kind::Text => text(value).or_else(|v| wrong(&v, "text")),
        Kind::Wholes => list(value, "a list of whole numbers", whole),
        Kind::Numbers => list(value, "a list of numbers", number),
        Kind::Bools => list(value, "a list of true and false", boolean),
        Kind::Texts => list(value, "a list of texts", text),
        Kind::Share => boolean(value).or_else(number).or_else(|v| wrong(&v, "true, false or a number")),
    }
}

fn boolean(value: Value) -> Result<Value, Value> {
    match value {
        Value::Bool(_) => Ok(value),
        // The words of YAML 1.1, which the official code reads.
        Value::Text(t) => match t.to_ascii_lowercase().as_str() {
            "yes" | "on" => Ok(Value::Bool(true)),
            "no" | "off" => Ok(Value::Bool(false)),
            _ => Err(Value::Text(t)),
        },
        other => Err(other),
    }
}

fn whole(value: Value) -> Result<Value, Value> {
    match value {
        Value::Int(_) => Ok(value),
        Value::Float(x) if x.fract() == 0.0 && x.abs() < 1e15 => Ok(Value::Int(x as i64)),
        other => Err(other),
    }
}

fn number(value: Value) -> Result<Value, Value> {
    match value {
        Value::Int(n) => Ok(Value::Float(n as f64)),
        Value::Float(x) if x.is_finite() => Ok(value),
        other => Err(other),
    }
}

fn text(value: Value) -> Result<Value, Value> {
    match value {
        Value::Text(_) => Ok(value),
        Value::Null => Ok(Value::Text(String::new())),
        other => Err(other),
    }
}
