//! The training run as the table of a TOML file, and what in it is only near to the official run.

use super::convert::Facts;
use super::keys::Repository;
use super::network::{bounded, fail};
use super::{Value as Setting, YacsError};
use hrnet_data::augment::{BottomUpAugment, ClassAugment, ColourJitter, LandmarkAugment, SegmentAugment};
use hrnet_ir::{Depth, Fuse, Head, Model};
use hrnet_train::loss::{CITYSCAPES_WEIGHTS, COCO_JOINT_WEIGHTS};
use std::path::Path;
use toml::{Table, Value};

/// The whole file.
pub(super) fn table(
    facts: &Facts,
    model: &Model,
    input: [usize; 2],
    remarks: &mut Vec<String>,
) -> Result<Table, YacsError> {
    let task = match facts.repository {
        Repository::Pose => "pose",
        Repository::Higher => "bottom_up",
        Repository::Face => "face",
        Repository::Segmentation { .. } => "segmentation",
        Repository::Classification => "classification",
    };
    let mut file = Table::new();
    file.insert("task".into(), task.into());
    file.insert("model".into(), network(facts, model).into());
    file.insert("input".into(), one("size", input.iter().map(|&n| whole(n)).collect::<Vec<_>>()).into());
    file.insert("data".into(), data(facts, model, remarks).into());
    file.insert("augment".into(), augment(facts, remarks));
    let target = target(facts, model, remarks)?;
    if !target.is_empty() {
        file.insert("target".into(), target.into());
    }
    file.insert("train".into(), train(facts, model, remarks)?.into());
    let set = facts.text("DATASET.DATASET");
    if !set.is_empty() {
        file.insert("about".into(), one("training_data", set).into());
    }
    Ok(file)
}

fn one(key: &str, value: impl Into<Value>) -> Table {
    Table::from_iter([(key.to_string(), value.into())])
}

fn whole(n: usize) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

fn network(facts: &Facts, model: &Model) -> Table {
    let (arch, depth) = (model.arch, model.arch.depth);
    let (variant, known, width) = match (depth.layer1_planes, depth.layer1_blocks) {
        (32, 1) => ("w18-small-v1".to_string(), Depth::SMALL_V1, 16),
        (64, 2) => ("w18-small-v2".to_string(), Depth::SMALL_V2, 18),
        _ => (format!("w{}", arch.width), Depth::FULL, arch.width),
    };
    let mut table = one("variant", variant);
    if arch.width != width {
        table.insert("width".into(), whole(arch.width));
    }
    if depth.modules != known.modules {
        table.insert("modules".into(), depth.modules.map(whole).to_vec().into());
    }
    if depth.blocks != known.blocks {
        table.insert("blocks".into(), whole(depth.blocks));
    }
    match model.head {
        Head::Ocr { .. } => {
            table.insert("head".into(), "ocr".into());
        }
        Head::Pose { kernel: 3, .. } | Head::Landmark { kernel: 3, .. } | Head::Segment { kernel: 3, .. } => {
            table.insert("kernel".into(), 3.into());
        }
        _ => {}
    }
    if let Fuse::Bilinear { align_corners } = arch.fuse {
        table.insert("align_corners".into(), align_corners.into());
    }
    if arch.bn_momentum != 0.1 {
        table.insert("bn_momentum".into(), arch.bn_momentum.into());
    }
    let init = match facts.repository {
        Repository::Pose | Repository::Higher => "pose",
        Repository::Face | Repository::Segmentation { .. } => "face",
        Repository::Classification => "classification",
    };
    table.insert("init".into(), init.into());
    let start = facts.text("MODEL.PRETRAINED");
    if !start.is_empty() && facts.bool("MODEL.INIT_WEIGHTS", true) {
        table.insert("start".into(), shown(&facts.path(start)));
    }
    table
}

/// A path in the configuration, with the slashes of every system.
fn shown(path: &Path) -> Value {
    path.to_string_lossy().into_owned().into()
}

fn data(facts: &Facts, model: &Model, remarks: &mut Vec<String>) -> Table {
    let root = facts.path(facts.text("DATASET.ROOT"));
    let set = facts.text("DATASET.DATASET").to_ascii_lowercase();
    let name = |key: &str, default: &str| match facts.text(key) {
        "" => default.to_string(),
        name => name.to_string(),
    };
    let mut table = Table::new();
    let mut put = |key: &str, value: Value| {
        table.insert(key.into(), value);
    };
    match facts.repository {
        Repository::Pose | Repository::Higher => {
            let (train, val) = match facts.repository {
                Repository::Higher => (name("DATASET.TRAIN", "train2017"), name("DATASET.TEST", "val2017")),
                _ => (name("DATASET.TRAIN_SET", "train"), name("DATASET.TEST_SET", "valid")),
            };
            if matches!(set.as_str(), "coco" | "coco_kpt") {
                for (key, images, part) in [("train", "images", &train), ("val", "val_images", &val)] {
                    put(key, shown(&root.join(format!("annotations/person_keypoints_{part}.json"))));
                    put(images, shown(&root.join("images").join(part)));
                }
            } else {
                for (key, part) in [("train", &train), ("val", &val)] {
                    put(key, shown(&root.join(format!("annot/{part}.json"))));
                }
                put("images", shown(&root.join("images")));
                put("val_images", shown(&root.join("images")));
                remarks.push(format!(
                    "DATASET.DATASET = '{set}': labels are read in COCO's form; `hrnet data convert` writes it"
                ));
            }
        }
        Repository::Face => {
            for (key, from) in [("train", "DATASET.TRAINSET"), ("val", "DATASET.TESTSET")] {
                let file = facts.text(from);
                if !file.is_empty() {
                    put(key, shown(&facts.path(file)));
                }
                if file.ends_with(".mat") || file.ends_with(".hdf5") || set == "cofw" {
                    remarks.push(format!("{from}: labels of COFW are MATLAB files; give a landmark CSV"));
                }
            }
            put("images", shown(&root));
            put("val_images", shown(&root));
        }
        Repository::Segmentation { .. } => {
            put("train", shown(&root.join(name("DATASET.TRAIN_SET", "list/cityscapes/train.lst"))));
            put("val", shown(&root.join(name("DATASET.TEST_SET", "list/cityscapes/val.lst"))));
            put("images", shown(&root));
            put("val_images", shown(&root));
            let (_, classes) = model.head.outputs();
            let numbering = match (set.as_str(), classes) {
                ("cityscapes" | "lip" | "ade20k", _) => Some(set.clone()),
                ("cocostuff", _) => Some("coco-stuff".into()),
                ("pascal_ctx", 59 | 60) => Some(format!("pascal-context-{classes}")),
                _ => None,
            };
            match numbering {
                Some(numbering) => put("numbering", numbering.into()),
                None => remarks.push(format!("DATASET.DATASET = '{set}': name the classes in data.classes")),
            }
        }
        Repository::Classification => {
            put("train", shown(&root.join(name("DATASET.TRAIN_SET", "train"))));
            put("val", shown(&root.join(name("DATASET.TEST_SET", "valid"))));
        }
    }
    // A file without a training set can still be completed by hand.
    if !table.contains_key("train") {
        remarks.push("no training set is named; write it into data.train".into());
        table.insert("train".into(), "train.csv".into());
    }
    table
}

fn augment(facts: &Facts, remarks: &mut Vec<String>) -> Value {
    let to_value = |v: Result<Value, toml::ser::Error>| v.unwrap_or_else(|_| Table::new().into());
    let flip = |key: &str| if facts.bool(key, true) { facts.number(key, 0.5) } else { 0.0 };
    match facts.repository {
        Repository::Higher => {
            let most = facts.number("DATASET.MAX_TRANSLATE", 40.0);
            to_value(Value::try_from(BottomUpAugment {
                scale: [facts.number("DATASET.MIN_SCALE", 0.75), facts.number("DATASET.MAX_SCALE", 1.5)],
                rotation_deg: facts.number("DATASET.MAX_ROTATION", 30.0),
                // The published shift is so many pixels per 200 of the window.
                shift: most / 200.0,
                flip_p: flip("DATASET.FLIP"),
                ..BottomUpAugment::none()
            }))
        }
        Repository::Pose | Repository::Face => {
            let (range, angle) =
                (facts.number("DATASET.SCALE_FACTOR", 0.25), facts.number("DATASET.ROT_FACTOR", 30.0));
            let half_body_p = facts.number("DATASET.PROB_HALF_BODY", 0.0).max(0.0);
            if facts.repository == Repository::Pose {
                remarks.push(format!(
                    "augment: scale and rotation are drawn evenly within 1 ± {range} and ± {angle} degrees; the official \
                     code draws them from a normal distribution of this deviation, cut at 1 ± {range} and ± {} degrees",
                    2.0 * angle
                ));
            }
            to_value(Value::try_from(LandmarkAugment {
                scale: [1.0 - range, 1.0 + range],
                rotation_deg: angle,
                rotation_p: 0.6,
                flip_p: flip("DATASET.FLIP"),
                half_body_p,
                ..LandmarkAugment::none()
            }))
        }
        Repository::Segmentation { .. } => {
            let most = 0.5 + facts.whole("TRAIN.SCALE_FACTOR", 16) as f64 / 10.0;
            let multi = facts.bool("TRAIN.MULTI_SCALE", true);
            if multi {
                remarks.push(format!(
                    "augment.scale: drawn evenly in its logarithm from 0.5 to {most}; the official code draws tenths evenly"
                ));
            }
            to_value(Value::try_from(SegmentAugment {
                scale: if multi { [0.5, most] } else { [1.0, 1.0] },
                flip_p: flip("TRAIN.FLIP"),
                ..SegmentAugment::none()
            }))
        }
        Repository::Classification => to_value(Value::try_from(ClassAugment {
            area: [0.08, 1.0],
            ratio: [0.75, 4.0 / 3.0],
            flip_p: 0.5,
            erase_p: 0.0,
            colour: ColourJitter::NONE,
            ..ClassAugment::default()
        })),
    }
}

fn target(facts: &Facts, model: &Model, remarks: &mut Vec<String>) -> Result<Table, YacsError> {
    let mut table = Table::new();
    match facts.repository {
        Repository::Pose | Repository::Face => {
            let kind = facts.text("MODEL.TARGET_TYPE");
            if !kind.is_empty() && !kind.eq_ignore_ascii_case("gaussian") {
                return Err(fail("MODEL.TARGET_TYPE", kind, "gaussian; other targets are not trained"));
            }
            let pose = facts.repository == Repository::Pose;
            table.insert("sigma".into(), facts.number("MODEL.SIGMA", if pose { 2.0 } else { 1.5 }).into());
            // The face code moves every point by a quarter pixel, the pose code where it is asked to.
            let quarter = !pose || facts.bool("TEST.POST_PROCESS", false);
            table.insert("decoder".into(), if quarter { "quarter_offset" } else { "argmax" }.into());
            if pose && facts.bool("LOSS.USE_DIFFERENT_JOINTS_WEIGHT", false) {
                let (_, joints) = model.head.outputs();
                if joints == COCO_JOINT_WEIGHTS.len() {
                    table.insert("joint_weights".into(), COCO_JOINT_WEIGHTS.to_vec().into());
                } else {
                    remarks.push(format!(
                        "LOSS.USE_DIFFERENT_JOINTS_WEIGHT: there are weights for 17 joints, not for {joints}; all count 1"
                    ));
                }
            }
        }
        Repository::Segmentation { .. } => {
            let stride = bounded("TRAIN.DOWNSAMPLERATE", facts.whole("TRAIN.DOWNSAMPLERATE", 1), 64)?;
            if stride > 1 {
                table.insert("stride".into(), whole(stride));
            }
        }
        Repository::Higher => {
            facts.only("DATASET.SCALE_TYPE", "short")?;
            facts.only_bool("DATASET.SCALE_AWARE_SIGMA", false)?;
            table.insert("sigma".into(), facts.number("DATASET.SIGMA", 2.0).into());
        }
        _ => {}
    }
    Ok(table)
}

fn train(facts: &Facts, model: &Model, remarks: &mut Vec<String>) -> Result<Table, YacsError> {
    let face = facts.repository == Repository::Face;
    let segmentation = matches!(facts.repository, Repository::Segmentation { .. });
    let end = match facts.repository {
        Repository::Face => 60,
        Repository::Segmentation { .. } => 484,
        Repository::Higher => 300,
        _ => 140,
    };
    let epochs = bounded("TRAIN.END_EPOCH", facts.whole("TRAIN.END_EPOCH", end), 1 << 20)?;
    if facts.whole("TRAIN.BEGIN_EPOCH", 0) != 0 {
        remarks.push("TRAIN.BEGIN_EPOCH: a run begins at 0; --resume continues one".into());
    }
    let gpus = facts.wholes("GPUS").map_or(1, |list| list.len().max(1));
    let default = if face { 16 } else { 32 };
    let key = match facts.repository {
        Repository::Higher => "TRAIN.IMAGES_PER_GPU",
        _ => "TRAIN.BATCH_SIZE_PER_GPU",
    };
    let each = bounded(key, facts.whole(key, default), hrnet_ir::shape::MAX_BATCH)?;
    let mut table = Table::new();
    table.insert("epochs".into(), whole(epochs));
    table.insert("batch".into(), whole(each * gpus));
    if gpus > 1 {
        remarks.push(format!(
            "train.batch = {}: {each} on each of {gpus} GPUs; with another batch, scale train.schedule.base alike",
            each * gpus
        ));
    }
    table.insert("loss".into(), loss(facts, model, remarks)?.into());
    if let Some(weights) = loss_weights(facts, model)? {
        table.insert("loss_weights".into(), weights.to_vec().into());
    }
    let rates = layer_rates(facts, model);
    if !rates.is_empty() {
        table.insert("layer_rates".into(), rates.into());
    }
    table.insert("optimizer".into(), optimizer(facts, remarks)?.into());
    let base = match (face, segmentation) {
        (true, _) => 1e-4,
        (_, true) => 1e-2,
        _ => 1e-3,
    };
    let mut schedule = one("base", facts.number("TRAIN.LR", base));
    let decay = if segmentation {
        // The steps of the file are not read by the official code.
        let poly = [("kind", "poly".into()), ("epochs", whole(epochs)), ("power", 0.9.into())];
        Table::from_iter(poly.map(|(k, v)| (k.to_string(), v)))
    } else {
        steps(facts, epochs, face)
    };
    schedule.insert("decay".into(), decay.into());
    table.insert("schedule".into(), schedule.into());
    Ok(table)
}

/// Factors of the outputs, where a network has two.
fn loss_weights(facts: &Facts, model: &Model) -> Result<Option<[f64; 2]>, YacsError> {
    let key = match model.head {
        Head::Ocr { .. } => "LOSS.BALANCE_WEIGHTS",
        Head::Higher { .. } => "LOSS.HEATMAPS_LOSS_FACTOR",
        _ => return Ok(None),
    };
    let Some(list) = facts.numbers(key) else { return Ok(None) };
    let &[first, second] = &list[..] else { return Err(fail(key, &format!("{list:?}"), "two numbers")) };
    Ok(Some(match model.head {
        // The first one is in the loss.
        Head::Higher { .. } if first > 0.0 => [1.0, second / first],
        Head::Higher { .. } => return Err(fail(key, &format!("{list:?}"), "a first factor above 0")),
        _ => [first, second],
    }))
}

/// The layers with one of the keywords in their names, by the first part of the name where that has it.
fn layer_rates(facts: &Facts, model: &Model) -> Vec<Value> {
    let words = facts.texts("TRAIN.NONBACKBONE_KEYWORDS");
    let Ok(net) = model.build() else { return Vec::new() };
    let factor = facts.number("TRAIN.NONBACKBONE_MULT", 10.0);
    let mut prefixes: Vec<String> = Vec::new();
    for param in net.params().iter().filter(|p| p.role.is_trainable()) {
        let name = param.name.as_str();
        let has = |part: &str| words.iter().any(|w| part.contains(w.as_str()));
        let first = name.split('.').next().unwrap_or(name);
        let prefix = if has(first) { first } else { name };
        if has(name) && prefixes.last().is_none_or(|last| last != prefix) {
            prefixes.push(prefix.to_string());
        }
    }
    prefixes.dedup();
    let row = |prefix: String| {
        let mut row = one("prefix", prefix);
        row.insert("factor".into(), factor.into());
        row.into()
    };
    prefixes.into_iter().map(row).collect()
}

/// The official scheduler is stepped once when it is made and then before each epoch: a step at 170 acts from the epoch on that
/// is counted as 169 from 0.
fn steps(facts: &Facts, epochs: usize, face: bool) -> Table {
    let list = facts.wholes("TRAIN.LR_STEP").unwrap_or(if face { vec![30, 50] } else { vec![90, 110] });
    let at: Vec<Value> = match facts.settings.get("TRAIN.LR_STEP") {
        _ if list.is_empty() => Vec::new(),
        _ => list.iter().filter(|&&e| e > 0).map(|&e| Value::Integer(e - 1)).take(epochs).collect(),
    };
    let mut table = one("kind", "multi_step");
    table.insert("epochs".into(), at.into());
    table.insert("gamma".into(), facts.number("TRAIN.LR_FACTOR", 0.1).into());
    table
}

fn loss(facts: &Facts, model: &Model, remarks: &mut Vec<String>) -> Result<Table, YacsError> {
    let mut table = Table::new();
    match facts.repository {
        Repository::Higher => {
            facts.only_whole("LOSS.NUM_STAGES", 2)?;
            facts.only_bool("LOSS.WITH_HEATMAPS_LOSS", true)?;
            facts.only("LOSS.AE_LOSS_TYPE", "exp")?;
            let tags = facts.settings.get("LOSS.WITH_AE_LOSS");
            let wanted = Setting::List(vec![Setting::Bool(true), Setting::Bool(false)]);
            if let Some(tags) = tags.filter(|t| **t != wanted) {
                return Err(fail("LOSS.WITH_AE_LOSS", &tags.to_string(), "(True, False)"));
            }
            for (key, name, usual) in [
                ("LOSS.HEATMAPS_LOSS_FACTOR", "heatmaps", 1.0),
                ("LOSS.PUSH_LOSS_FACTOR", "push", 1e-3),
                ("LOSS.PULL_LOSS_FACTOR", "pull", 1e-3),
            ] {
                let first = facts.numbers(key).and_then(|list| list.first().copied());
                table.insert(name.into(), first.unwrap_or(usual).into());
            }
        }
        Repository::Pose if facts.bool("LOSS.USE_OHKM", false) => {
            let (_, joints) = model.head.outputs();
            let top = bounded("LOSS.TOPK", facts.whole("LOSS.TOPK", 8), joints)?;
            table.insert("kind".into(), "ohkm".into());
            table.insert("top".into(), whole(top));
            if !facts.bool("LOSS.USE_TARGET_WEIGHT", true) {
                remarks.push(
                    "LOSS.USE_TARGET_WEIGHT = false: points without labels count for nothing with OHKM"
                        .into(),
                );
            }
        }
        Repository::Pose => {
            let weighted = facts.bool("LOSS.USE_TARGET_WEIGHT", true);
            table.insert("form".into(), if weighted { "joints" } else { "mean" }.into());
            if !weighted {
                remarks
                    .push("LOSS.USE_TARGET_WEIGHT = false: the mean form is twice the official loss".into());
            }
        }
        Repository::Face => {
            table.insert("form".into(), "mean".into());
        }
        Repository::Segmentation { .. } => {
            let ignore = facts.whole("TRAIN.IGNORE_LABEL", -1);
            if ignore < 0 {
                remarks.push(format!("TRAIN.IGNORE_LABEL = {ignore}: pixels without a class have 255 here"));
            }
            let ignore = if ignore < 0 { 255 } else { ignore };
            if ignore > 255 {
                return Err(fail("TRAIN.IGNORE_LABEL", &ignore.to_string(), "at most 255"));
            }
            table.insert("ignore".into(), ignore.into());
            table.insert("align_corners".into(), facts.align_corners().into());
            if facts.text("DATASET.DATASET").eq_ignore_ascii_case("cityscapes")
                && facts.whole("DATASET.NUM_CLASSES", 19) == 19
            {
                table.insert("class_weights".into(), CITYSCAPES_WEIGHTS.to_vec().into());
            }
            if facts.bool("LOSS.USE_OHEM", false) {
                let keep = bounded("LOSS.OHEMKEEP", facts.whole("LOSS.OHEMKEEP", 100_000), 1 << 32)?;
                let mut ohem = one("threshold", facts.number("LOSS.OHEMTHRES", 0.9));
                ohem.insert("keep".into(), whole(keep));
                table.insert("ohem".into(), ohem.into());
            }
        }
        Repository::Classification => {}
    }
    Ok(table)
}

fn optimizer(facts: &Facts, remarks: &mut Vec<String>) -> Result<Table, YacsError> {
    let segmentation = matches!(facts.repository, Repository::Segmentation { .. });
    let face = facts.repository == Repository::Face;
    let kind = match facts.text("TRAIN.OPTIMIZER") {
        "" if segmentation => "sgd",
        "" => "adam",
        kind => kind,
    };
    let decay = facts.number("TRAIN.WD", if face { 0.0 } else { 1e-4 });
    let mut table = one("kind", kind);
    match kind {
        "adam" => {
            if decay != 0.0 {
                remarks.push(format!(
                    "TRAIN.WD = {decay}: 0, because the official code does not pass it to Adam"
                ));
            }
        }
        "sgd" => {
            table.insert(
                "momentum".into(),
                facts.number("TRAIN.MOMENTUM", if face { 0.0 } else { 0.9 }).into(),
            );
            table.insert("nesterov".into(), facts.bool("TRAIN.NESTEROV", false).into());
            table.insert("weight_decay".into(), decay.into());
        }
        other => return Err(fail("TRAIN.OPTIMIZER", other, "adam or sgd")),
    }
    Ok(table)
}
