//! From the keys of published checkpoints to official names.
//!
//! The trunk has the same names everywhere; what differs is the prefix in front of it and the spelling of the heads
//! (docs/hrnet.md 5.3 and 5.4). The key `stage2.0.branches.0.0.conv1.weight`, which only an HRNet has, shows the
//! prefix; the keys beside the trunk show the library.

use crate::limits::quote;
use std::collections::HashMap;
use std::fmt;

const ANCHOR: &str = "stage2.0.branches.0.0.conv1.weight";

/// Whose spelling a file follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// The official repositories, and timm.
    Official,
    /// mmpose 1.x.
    Mmpose1,
    /// mmpose 0.x.
    Mmpose0,
    /// mmseg with the FCN head.
    MmsegFcn,
    /// mmseg with the OCR head.
    MmsegOcr,
    /// mmpretrain (mmcls).
    Mmpretrain,
    /// mmdet and the official detection fork.
    Mmdet,
    /// The official fork of maskrcnn-benchmark.
    MaskrcnnBenchmark,
    /// A trunk under `backbone.` without a head.
    Backbone,
}

impl Scheme {
    /// Whether it is one of the OpenMMLab libraries, whose defaults differ in places.
    pub fn is_openmmlab(self) -> bool {
        !matches!(self, Scheme::Official | Scheme::MaskrcnnBenchmark)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scheme::Official => "official",
            Scheme::Mmpose1 => "mmpose 1.x",
            Scheme::Mmpose0 => "mmpose 0.x",
            Scheme::MmsegFcn => "mmseg FCN",
            Scheme::MmsegOcr => "mmseg OCR",
            Scheme::Mmpretrain => "mmpretrain",
            Scheme::Mmdet => "mmdet",
            Scheme::MaskrcnnBenchmark => "maskrcnn-benchmark",
            Scheme::Backbone => "backbone",
        })
    }
}

/// What becomes of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its official name; for keys that no rule knows, the key without the prefix.
    Named(String),
    /// Known and not needed, with the reason.
    Ignored(String),
}

/// The outcome for all keys of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// Whose spelling it is.
    pub scheme: Scheme,
    /// What was in front of every key, for example `module.`.
    pub prefix: String,
    /// One fate per key, in the order of the keys.
    pub fates: Vec<Fate>,
}

/// Why keys cannot be brought to official names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenameError {
    /// No HRNet trunk.
    #[error("this is not the state dict of an HRNet: no key ends in '{ANCHOR}'; {hint}")]
    NotHrnet {
        /// What it looks like.
        hint: String,
    },
    /// More than one trunk.
    #[error("the file holds {} networks, under {}; save the wanted one alone", prefixes.len(), prefixes.join(", "))]
    Several {
        /// Their prefixes.
        prefixes: Vec<String>,
    },
    /// Two keys mean the same parameter.
    #[error("keys {first} and {second} both mean {official}; save the wanted one alone")]
    Collision {
        /// The parameter.
        official: String,
        /// One key.
        first: String,
        /// The other.
        second: String,
    },
}

/// Finds prefix and scheme and renames every key.
pub fn rename(keys: &[&str]) -> Result<Renamed, RenameError> {
    let full = trunk_prefix(keys)?;
    let (outer, library) = if let Some(outer) = full.strip_suffix("backbone.body.") {
        (outer, "backbone.body.")
    } else if let Some(outer) = full.strip_suffix("backbone.") {
        (outer, "backbone.")
    } else {
        (full, "")
    };
    let beside =
        |start: &str| keys.iter().any(|k| k.strip_prefix(outer).is_some_and(|k| k.starts_with(start)));
    let scheme = match library {
        "" => Scheme::Official,
        "backbone.body." => Scheme::MaskrcnnBenchmark,
        _ if beside("keypoint_head.") => Scheme::Mmpose0,
        _ if beside("decode_head.1.") => Scheme::MmsegOcr,
        _ if beside("decode_head.") => Scheme::MmsegFcn,
        _ if beside("neck.increase_layers.") => Scheme::Mmpretrain,
        _ if beside("neck.") => Scheme::Mmdet,
        _ if beside("head.final_layer.") => Scheme::Mmpose1,
        _ => Scheme::Backbone,
    };
    let v2 = beside("head.conv_layers.");
    let fates: Vec<Fate> = keys.iter().map(|key| fate(key, outer, library, scheme, v2)).collect();
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for (key, fate) in keys.iter().zip(&fates) {
        let Fate::Named(official) = fate else { continue };
        if let Some(first) = seen.insert(official, key) {
            let (official, first, second) = (quote(official), quote(first), quote(key));
            return Err(RenameError::Collision { official, first, second });
        }
    }
    Ok(Renamed { scheme, prefix: outer.to_string(), fates })
}

/// The prefix of the one trunk; moving averages do not count when the trunk itself is there.
fn trunk_prefix<'a>(keys: &[&'a str]) -> Result<&'a str, RenameError> {
    let mut found: Vec<&str> = keys
        .iter()
        .filter_map(|k| k.strip_suffix(ANCHOR))
        .filter(|p| p.is_empty() || p.ends_with('.'))
        .collect();
    if found.len() > 1 {
        found.retain(|p| !p.starts_with("ema") && !p.contains(".ema"));
    }
    match found.as_slice() {
        [prefix] => Ok(prefix),
        [] => Err(RenameError::NotHrnet { hint: hint(keys) }),
        several => Err(RenameError::Several { prefixes: several.iter().take(8).map(|p| quote(p)).collect() }),
    }
}

/// What a state dict without an HRNet trunk may be.
fn hint(keys: &[&str]) -> String {
    let holds = |part: &str| keys.iter().any(|k| k.contains(part));
    let ends = |part: &str| keys.iter().any(|k| k.ends_with(part));
    if holds("stage0.0.") && holds(".cross_resolution_weighting.") {
        return "it is a Lite-HRNet, another architecture, which is not supported".into();
    }
    if ends("stage2.0.branches.0.0.conv1.conv.weight") || holds("_batch_norm") {
        return "it looks like a PaddlePaddle conversion; use the conversion of timm".into();
    }
    if ends("layer1.0.conv1.weight") && holds("layer4.") {
        return "it looks like a ResNet".into();
    }
    if keys.is_empty() {
        return "it has no tensors".into();
    }
    let some: Vec<String> = keys.iter().take(3).map(|k| quote(k)).collect();
    format!("it has {} tensors, the first are {}", keys.len(), some.join(", "))
}

fn fate(key: &str, outer: &str, library: &str, scheme: Scheme, v2: bool) -> Fate {
    let ignored = |reason: &str| Fate::Ignored(reason.to_string());
    if key.starts_with("ema_") || key.starts_with("ema.") || key.contains(".ema.") || key == "n_averaged" {
        return ignored("moving average kept beside the weights");
    }
    let Some(rest) = key.strip_prefix(outer) else {
        if key.starts_with("loss.") || key.starts_with("criterion.") {
            return ignored("class weights of the training loss");
        }
        return Fate::Named(key.to_string());
    };
    if rest.starts_with("loss.") || rest.starts_with("criterion.") {
        return ignored("class weights of the training loss");
    }
    if let Some(trunk) = rest.strip_prefix(library) {
        return Fate::Named(trunk.to_string());
    }
    if rest.starts_with("data_preprocessor.") {
        return ignored("constants of the library's preprocessing");
    }
    match head(rest, scheme, v2) {
        Some(fate) => fate,
        None => Fate::Named(rest.to_string()),
    }
}

/// A key beside the trunk.
fn head(key: &str, scheme: Scheme, v2: bool) -> Option<Fate> {
    let named = |name: String| Some(Fate::Named(name));
    let swap = |table: &[(&str, &str)]| {
        let hit =
            table.iter().find_map(|(from, to)| key.strip_prefix(from).map(|tail| format!("{to}{tail}")));
        hit.map(Fate::Named)
    };
    match scheme {
        Scheme::Official | Scheme::Backbone => None,
        Scheme::Mmpose1 if key.starts_with("head.loss") => loss_of_the_head(),
        Scheme::Mmpose1 => {
            let last = if v2 { "head.3." } else { "final_layer." };
            swap(&[
                ("head.final_layer.", last),
                ("head.conv_layers.0.", "head.0."),
                ("head.conv_layers.1.", "head.1."),
            ])
        }
        Scheme::Mmpose0 => {
            let rest = key.strip_prefix("keypoint_head.")?;
            if rest.starts_with("loss") {
                return loss_of_the_head();
            }
            match rest.strip_prefix("final_layer.") {
                Some(tail) if tail.starts_with(|c: char| c.is_ascii_digit()) => named(format!("head.{tail}")),
                _ => named(rest.to_string()),
            }
        }
        Scheme::MmsegFcn if key.starts_with("auxiliary_head.") => auxiliary(),
        Scheme::MmsegFcn => swap(&[
            ("decode_head.convs.0.conv.", "last_layer.0."),
            ("decode_head.convs.0.bn.", "last_layer.1."),
            ("decode_head.conv_seg.", "last_layer.3."),
        ]),
        Scheme::MmsegOcr if key.starts_with("auxiliary_head.") => auxiliary(),
        Scheme::MmsegOcr => ocr(key).map(Fate::Named),
        Scheme::Mmpretrain => {
            if let Some(rest) = key.strip_prefix("neck.downsample_layers.") {
                let (level, tail) = rest.split_once('.')?;
                return named(format!("downsamp_modules.{level}.{}", conv_bn(tail)?));
            }
            if let Some(tail) = key.strip_prefix("neck.final_layer.") {
                return named(format!("final_layer.{}", conv_bn(tail)?));
            }
            swap(&[("neck.increase_layers.", "incre_modules."), ("head.fc.", "classifier.")])
        }
        Scheme::Mmdet => {
            let heads =
                ["rpn_head.", "roi_head.", "bbox_head.", "mask_head.", "semantic_head.", "shared_head."];
            if heads.iter().any(|h| key.starts_with(h)) {
                return detection_head();
            }
            if let Some(tail) = key.strip_prefix("neck.reduction_conv.conv.") {
                return named(format!("neck.reduction_conv.0.{tail}"));
            }
            if let Some(rest) = key.strip_prefix("neck.fpn_convs.") {
                let (level, tail) = rest.split_once(".conv.")?;
                return named(format!("neck.fpn_conv.{level}.{tail}"));
            }
            None
        }
        Scheme::MaskrcnnBenchmark => match key.strip_prefix("backbone.neck.") {
            Some(tail) => named(format!("neck.{tail}")),
            None if key.starts_with("rpn.") || key.starts_with("roi_heads.") => detection_head(),
            None => None,
        },
    }
}

fn loss_of_the_head() -> Option<Fate> {
    Some(Fate::Ignored("constants of the training loss".into()))
}

fn auxiliary() -> Option<Fate> {
    Some(Fate::Ignored("auxiliary head, used in training only".into()))
}

fn detection_head() -> Option<Fate> {
    Some(Fate::Ignored("detection head; trunk and pyramid are read".into()))
}

/// `conv.x` and `bn.x` of an OpenMMLab ConvModule as positions in a Sequential.
fn conv_bn(tail: &str) -> Option<String> {
    match tail.split_once('.')? {
        ("conv", rest) => Some(format!("0.{rest}")),
        ("bn", rest) => Some(format!("1.{rest}")),
        _ => None,
    }
}

/// The OCR head of mmseg: `decode_head.0` is the auxiliary FCN, `decode_head.1` the attention.
fn ocr(key: &str) -> Option<String> {
    if let Some(rest) = key.strip_prefix("decode_head.0.") {
        return match rest.strip_prefix("convs.0.") {
            Some(tail) => Some(format!("aux_head.{}", conv_bn(tail)?)),
            None => rest.strip_prefix("conv_seg.").map(|tail| format!("aux_head.3.{tail}")),
        };
    }
    let rest = key.strip_prefix("decode_head.1.")?;
    if let Some(tail) = rest.strip_prefix("bottleneck.") {
        return Some(format!("conv3x3_ocr.{}", conv_bn(tail)?));
    }
    if let Some(tail) = rest.strip_prefix("conv_seg.") {
        return Some(format!("cls_head.{tail}"));
    }
    let (part, tail) = rest.strip_prefix("object_context_block.")?.split_once('.')?;
    // The official blocks nest each norm one level deeper: 0, 1.0, (ReLU), 2, 3.0.
    let nested = |tail: &str, conv: &str, norm: &str| match tail.split_once('.')? {
        ("conv", rest) => Some(format!("{conv}.{rest}")),
        ("bn", rest) => Some(format!("{norm}.0.{rest}")),
        _ => None,
    };
    let block = "ocr_distri_head.object_context_block";
    match part {
        "query_project" | "key_project" => {
            let name = if part == "query_project" { "f_pixel" } else { "f_object" };
            let (index, tail) = tail.split_once('.')?;
            let place = match index {
                "0" => nested(tail, "0", "1")?,
                "1" => nested(tail, "2", "3")?,
                _ => return None,
            };
            Some(format!("{block}.{name}.{place}"))
        }
        "value_project" => Some(format!("{block}.f_down.{}", nested(tail, "0", "1")?)),
        "out_project" => Some(format!("{block}.f_up.{}", nested(tail, "0", "1")?)),
        "bottleneck" => Some(format!("ocr_distri_head.conv_bn_dropout.{}", nested(tail, "0", "1")?)),
        _ => None,
    }
}
