//! What the official configurations say about each family and data set (`reference/hrnet.md` 3 and 6).

use crate::recipe::{Crop, Decoder, Task};
use hrnet_ir::Head;

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

const COCO_NAMES: [&str; 17] = [
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
];
const COCO_FLIP: [[usize; 2]; 8] = [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12], [13, 14], [15, 16]];
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
const MPII_NAMES: [&str; 16] = [
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "pelvis",
    "thorax",
    "upper_neck",
    "head_top",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
];
const MPII_FLIP: [[usize; 2]; 6] = [[0, 5], [1, 4], [2, 3], [10, 15], [11, 14], [12, 13]];
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
/// 1-based, as published.
const FACE_300W: [[usize; 2]; 29] = [
    [1, 17],
    [2, 16],
    [3, 15],
    [4, 14],
    [5, 13],
    [6, 12],
    [7, 11],
    [8, 10],
    [18, 27],
    [19, 26],
    [20, 25],
    [21, 24],
    [22, 23],
    [32, 36],
    [33, 35],
    [37, 46],
    [38, 45],
    [39, 44],
    [40, 43],
    [41, 48],
    [42, 47],
    [49, 55],
    [50, 54],
    [51, 53],
    [62, 64],
    [61, 65],
    [68, 66],
    [59, 57],
    [60, 56],
];
/// 1-based, as published.
const FACE_AFLW: [[usize; 2]; 8] = [[1, 6], [2, 5], [3, 4], [7, 12], [8, 11], [9, 10], [13, 15], [16, 18]];
/// 1-based, as published.
const FACE_COFW: [[usize; 2]; 11] =
    [[1, 2], [5, 7], [3, 4], [6, 8], [9, 10], [11, 12], [13, 15], [17, 18], [14, 16], [19, 20], [23, 24]];
/// 0-based, as published, without the 16 pairs of the jaw line.
const FACE_WFLW: [[usize; 2]; 28] = [
    [33, 46],
    [34, 45],
    [35, 44],
    [36, 43],
    [37, 42],
    [38, 50],
    [39, 49],
    [40, 48],
    [41, 47],
    [60, 72],
    [61, 71],
    [62, 70],
    [63, 69],
    [64, 68],
    [65, 75],
    [66, 74],
    [67, 73],
    [55, 59],
    [56, 58],
    [76, 82],
    [77, 81],
    [78, 80],
    [87, 83],
    [86, 84],
    [88, 92],
    [89, 91],
    [95, 93],
    [96, 97],
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

fn from_one(pairs: &[[usize; 2]]) -> Vec<[usize; 2]> {
    pairs.iter().map(|p| p.map(|i| i - 1)).collect()
}

fn chain(from: usize, to: usize) -> Vec<usize> {
    (from..=to).collect()
}

/// Outlines of the 68-point scheme: jaw, brows, nose, eyes, lips.
fn outlines_68() -> Vec<Vec<usize>> {
    let ring = |from, to| chain(from, to).into_iter().chain([from]).collect();
    vec![
        chain(0, 16),
        chain(17, 21),
        chain(22, 26),
        chain(27, 30),
        chain(31, 35),
        ring(36, 41),
        ring(42, 47),
        ring(48, 59),
        ring(60, 67),
    ]
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
            let (flip_pairs, outlines) = match points {
                68 => (from_one(&FACE_300W), outlines_68()),
                98 => {
                    let jaw = (0..16).map(|i| [i, 32 - i]);
                    (jaw.chain(FACE_WFLW).collect(), Vec::new())
                }
                29 => (from_one(&FACE_COFW), Vec::new()),
                19 => (from_one(&FACE_AFLW), Vec::new()),
                _ => (Vec::new(), Vec::new()),
            };
            Preset { padding: 1.25, sigma: Some(sigma), flip_pairs, outlines, ..preset }
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
    let (names, flip_pairs, skeleton) = match joints {
        17 => (strings(&COCO_NAMES), COCO_FLIP.to_vec(), COCO_SKELETON.to_vec()),
        16 => (strings(&MPII_NAMES), MPII_FLIP.to_vec(), MPII_SKELETON.to_vec()),
        _ => (Vec::new(), Vec::new(), Vec::new()),
    };
    Preset { names, flip_pairs, skeleton, ..preset }
}
