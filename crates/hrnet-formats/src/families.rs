//! The families of networks, by their heads: by which tensors a file is known, what no shape tells of the trunk, and what the official
//! configurations say (docs/official.md 2 to 7).
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![deny(clippy::cast_possible_truncation, clippy::panic)]

use crate::detect::{DetectError, Shapes, dimension};
use crate::recipe::Crop;
use crate::rename::Scheme;
use hrnet_ir::sets::{ClassSet, PointSet};
use hrnet_ir::{Arch, Decoder, Fuse, Head, PyramidPool};

/// Defaults of a family.
pub(crate) struct Preset {
    pub input_size: (usize, usize),
    pub crop: Crop,
    pub padding: f64,
    pub decoder: Decoder,
    pub sigma: Option<f64>,
    /// What the number of outputs most likely means.
    pub guess: Option<Set>,
}

/// A row of the table of sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    Points(&'static PointSet),
    Classes(&'static ClassSet),
}

/// The defaults for a head.
pub(crate) fn of(head: &Head) -> Preset {
    let plain = |input_size, crop, decoder| Preset {
        input_size,
        crop,
        padding: 1.0,
        decoder,
        sigma: None,
        guess: None,
    };
    let set = |count| PointSet::guess(count).map(Set::Points);
    match *head {
        Head::Pose { joints, .. } => {
            // COCO is 256 high and 192 wide; MPII is square.
            let size = if joints == 16 { (256, 256) } else { (256, 192) };
            let preset = plain(size, Crop::BoxAffine, Decoder::ArgMaxQuarter);
            Preset { padding: 1.25, sigma: Some(2.0), guess: set(joints), ..preset }
        }
        Head::Higher { joints } => {
            let preset = plain((512, 512), Crop::ShortSide, Decoder::Associative);
            Preset { sigma: Some(2.0), guess: set(joints), ..preset }
        }
        Head::Landmark { points, .. } => {
            let preset = plain((256, 256), Crop::Square, Decoder::ArgMaxQuarter);
            let sigma = if points == 68 { 1.0 } else { 1.5 };
            Preset { padding: 1.25, sigma: Some(sigma), guess: set(points), ..preset }
        }
        Head::Segment { classes, .. } | Head::Ocr { classes } => {
            let size = match classes {
                19 => (1024, 2048),
                20 => (473, 473),
                59 | 60 => (480, 480),
                _ => (520, 520),
            };
            let guess = ClassSet::guess(classes).map(Set::Classes);
            Preset { guess, ..plain(size, Crop::Whole, Decoder::ArgMaxClass) }
        }
        Head::Classify { .. } => plain((224, 224), Crop::CentreCrop, Decoder::TopK),
        Head::Pyramid { .. } => plain((800, 1344), Crop::Fit, Decoder::None),
        Head::Features => plain((224, 224), Crop::Whole, Decoder::None),
    }
}

pub(crate) fn head(shapes: &Shapes, width: usize, notes: &mut Vec<String>) -> Result<Head, DetectError> {
    let has = |name: &str| shapes.contains_key(name);
    let dim = |name: &str, axis| dimension(shapes, name, axis);
    let mut heads = Vec::new();
    if has("cls_head.weight") || has("conv3x3_ocr.0.weight") {
        heads.push(Head::Ocr { classes: dim("cls_head.weight", 0)? });
    }
    if has("last_layer.0.weight") || has("last_layer.3.weight") {
        let last = "last_layer.3.weight";
        heads.push(Head::Segment { classes: dim(last, 0)?, kernel: dim(last, 2)? });
    }
    if has("head.0.weight") || has("head.3.weight") {
        let last = "head.3.weight";
        heads.push(Head::Landmark { points: dim(last, 0)?, kernel: dim(last, 2)? });
    }
    if has("final_layers.0.weight") || has("final_layers.1.weight") {
        heads.push(Head::Higher { joints: dim("final_layers.1.weight", 0)? });
    }
    if has("final_layer.weight") {
        let name = "final_layer.weight";
        let (joints, channels, kernel) = (dim(name, 0)?, dim(name, 1)?, dim(name, 2)?);
        let branch = (0..4u32).find(|&b| width.checked_shl(b) == Some(channels)).unwrap_or(0) as usize;
        heads.push(Head::Pose { joints, kernel, branch });
    }
    if has("classifier.weight") {
        let bias = has("downsamp_modules.0.0.bias");
        heads.push(Head::Classify { classes: dim("classifier.weight", 0)?, bias });
    }
    if has("neck.reduction_conv.0.weight") {
        let level = |i: usize| has(&format!("neck.fpn_conv.{i}.weight"));
        let levels = (0..16).take_while(|&i| level(i)).count();
        notes.push("pyramid levels: average pooling assumed, as in the official configurations".into());
        let channels = dim("neck.reduction_conv.0.weight", 0)?;
        heads.push(Head::Pyramid { channels, levels, pool: PyramidPool::Average });
    }
    match heads.as_slice() {
        [] => Ok(Head::Features),
        [head] => Ok(*head),
        several => {
            Err(DetectError::SeveralHeads { heads: several.iter().map(|h| h.family().to_string()).collect() })
        }
    }
}

/// Interpolation and momentum by family (docs/hrnet.md 3.1).
pub(crate) fn trunk(arch: Arch, head: &Head, scheme: Scheme, notes: &mut Vec<String>) -> Arch {
    let bilinear = |align_corners| Fuse::Bilinear { align_corners };
    let mm = scheme.is_openmmlab();
    let (fuse, momentum, note) = match head {
        Head::Landmark { .. } => (
            bilinear(false),
            if mm { 0.1 } else { 0.01 },
            "bilinear fusion, align_corners false, as for faces",
        ),
        Head::Segment { .. } if mm => {
            (bilinear(false), 0.1, "bilinear fusion, align_corners false, as in mmseg")
        }
        Head::Segment { classes: 150 | 171, .. } => (
            bilinear(true),
            0.1,
            "bilinear fusion, align_corners true, as in the official ADE20K and COCO-Stuff configurations; set it to false \
             for a network trained otherwise",
        ),
        Head::Segment { .. } => (
            bilinear(false),
            0.1,
            "bilinear fusion, align_corners false, as for Cityscapes, LIP, PASCAL-Context",
        ),
        Head::Ocr { .. } if mm => (bilinear(false), 0.1, "bilinear fusion, align_corners false, as in mmseg"),
        Head::Ocr { .. } => {
            (bilinear(true), 0.1, "bilinear fusion, align_corners true, as in all OCR configurations")
        }
        Head::Features => {
            (Fuse::Nearest, 0.1, "nearest fusion assumed; the trunk of faces and segmentation is bilinear")
        }
        Head::Pose { .. } | Head::Higher { .. } | Head::Classify { .. } | Head::Pyramid { .. } => {
            (Fuse::Nearest, 0.1, "nearest fusion, as in the whole family")
        }
    };
    notes.push(note.to_string());
    arch.fuse(fuse).bn_momentum(momentum)
}
