//! What the official configurations say about each family and data set (docs/official.md 2 to 7).

use crate::recipe::{Crop, Decoder, Task};
use hrnet_ir::Head;
use hrnet_ir::points::{Outline, PointSet};

/// Defaults of a family.
pub(crate) struct Preset {
    pub task: Task,
    pub input_size: (usize, usize),
    pub crop: Crop,
    pub padding: f64,
    pub decoder: Decoder,
    pub sigma: Option<f64>,
    pub flip_pairs: Vec<[usize; 2]>,
    pub names: Vec<String>,
    pub skeleton: Vec<[usize; 2]>,
    pub outlines: Vec<Vec<usize>>,
}

const COCO_SKELETON: [[usize; 2]; 19] = [
    [15, 13],
    [13, 11],
    [16, 14],
    [14, 12],
    [11, 12],
    [5, 11],
    [6, 12],
    [5, 6],
    [5, 7],
    [6, 8],
    [7, 9],
    [8, 10],
    [1, 2],
    [0, 1],
    [0, 2],
    [1, 3],
    [2, 4],
    [3, 5],
    [4, 6],
];
const MPII_SKELETON: [[usize; 2]; 15] = [
    [0, 1],
    [1, 2],
    [2, 6],
    [5, 4],
    [4, 3],
    [3, 6],
    [6, 7],
    [7, 8],
    [8, 9],
    [10, 11],
    [11, 12],
    [12, 7],
    [15, 14],
    [14, 13],
    [13, 7],
];
const CITYSCAPES: [&str; 19] = [
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
];

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// The defaults for a head.
pub(crate) fn of(head: &Head) -> Preset {
    let plain = |task, input_size, crop, decoder| Preset {
        task,
        input_size,
        crop,
        padding: 1.0,
        decoder,
        sigma: None,
        flip_pairs: Vec::new(),
        names: Vec::new(),
        skeleton: Vec::new(),
        outlines: Vec::new(),
    };
    match *head {
        Head::Pose { joints, .. } => {
            // COCO is 256 high and 192 wide; MPII is square.
            let size = if joints == 16 { (256, 256) } else { (256, 192) };
            let preset = plain(Task::Pose, size, Crop::BoxAffine, Decoder::ArgMaxQuarter);
            body(Preset { padding: 1.25, sigma: Some(2.0), ..preset }, joints)
        }
        Head::Higher { joints } => {
            let preset = plain(Task::BottomUpPose, (512, 512), Crop::ShortSide, Decoder::Associative);
            body(Preset { sigma: Some(2.0), ..preset }, joints)
        }
        Head::Landmark { points, .. } => {
            let preset = plain(Task::Face, (256, 256), Crop::Square, Decoder::ArgMaxQuarter);
            let sigma = if points == 68 { 1.0 } else { 1.5 };
            named(Preset { padding: 1.25, sigma: Some(sigma), ..preset }, points)
        }
        Head::Segment { classes, .. } | Head::Ocr { classes } => {
            let (size, names) = match classes {
                19 => ((1024, 2048), strings(&CITYSCAPES)),
                20 => ((473, 473), Vec::new()),
                59 | 60 => ((480, 480), Vec::new()),
                _ => ((520, 520), Vec::new()),
            };
            Preset { names, ..plain(Task::Segmentation, size, Crop::Whole, Decoder::ArgMaxClass) }
        }
        Head::Classify { .. } => plain(Task::Classification, (224, 224), Crop::CentreCrop, Decoder::TopK),
        Head::Pyramid { .. } => plain(Task::Detection, (800, 1344), Crop::Fit, Decoder::None),
        Head::Features => plain(Task::Features, (224, 224), Crop::Whole, Decoder::None),
    }
}

fn body(preset: Preset, joints: usize) -> Preset {
    let skeleton = match joints {
        17 => COCO_SKELETON.to_vec(),
        16 => MPII_SKELETON.to_vec(),
        _ => Vec::new(),
    };
    Preset { skeleton, ..named(preset, joints) }
}

/// With the names, pairs and outlines of the point set of that size, if there is one.
fn named(preset: Preset, points: usize) -> Preset {
    let Some(set) = PointSet::of_count(points) else { return preset };
    let flip_pairs = set.flip_pairs.iter().map(|&(a, b)| [a, b]).collect();
    let ring = |o: &Outline| o.points.iter().chain(o.points.first().filter(|_| o.closed)).copied().collect();
    Preset { names: set.names(), flip_pairs, outlines: set.outlines.iter().map(ring).collect(), ..preset }
}
