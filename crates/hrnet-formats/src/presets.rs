//! What the official configurations say about each family and data set (docs/official.md 2 to 7).

use crate::recipe::Crop;
use hrnet_ir::sets::{ClassSet, PointSet};
use hrnet_ir::{Decoder, Head};

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
