//! Sets of points of one or two hands.

use super::point::{PointKind, PointSet, SigmaSource};

/// All of this file.
pub(super) const ALL: [&PointSet; 7] = [
    &COCO_WHOLEBODY_HAND21,
    &ONEHAND10K21,
    &RHD21,
    &FREIHAND21,
    &PANOPTIC_HAND21,
    &INTERHAND21,
    &INTERHAND42,
];

/// The 21 points of coco_wholebody_hand (`hand`).
#[rustfmt::skip]
pub const COCO_WHOLEBODY_HAND21: PointSet = PointSet {
    name: "coco_wholebody_hand21",
    aliases: &["coco_wholebody_hand"],
    kind: PointKind::Hand,
    category: "hand",
    count: 21,
    joints: ONEHAND10K21.joints,
    also: &[],
    flip_pairs: &[],
    lines: ONEHAND10K21.lines,
    outlines: &[],
    sigmas: &[
        0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024, 0.022, 0.026, 0.017,
        0.021, 0.021, 0.032, 0.02, 0.019, 0.022, 0.031,
    ],
    sigmas_from: SigmaSource::Published("COCO-WholeBody evaluation"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/coco_wholebody_hand.py",
};

/// The 21 points of onehand10k (`hand`).
#[rustfmt::skip]
pub const ONEHAND10K21: PointSet = PointSet {
    name: "onehand10k21",
    aliases: &["onehand10k"],
    kind: PointKind::Hand,
    category: "hand",
    count: 21,
    joints: &[
        "wrist", "thumb1", "thumb2", "thumb3", "thumb4", "forefinger1", "forefinger2", "forefinger3",
        "forefinger4", "middle_finger1", "middle_finger2", "middle_finger3", "middle_finger4",
        "ring_finger1", "ring_finger2", "ring_finger3", "ring_finger4", "pinky_finger1", "pinky_finger2",
        "pinky_finger3", "pinky_finger4",
    ],
    also: &[],
    flip_pairs: &[],
    lines: &[
        [0, 1], [1, 2], [2, 3], [3, 4], [0, 5], [5, 6], [6, 7], [7, 8], [0, 9], [9, 10], [10, 11], [11, 12],
        [0, 13], [13, 14], [14, 15], [15, 16], [0, 17], [17, 18], [18, 19], [19, 20],
    ],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/onehand10k.py",
};

/// The 21 points of rhd2d (`hand`).
#[rustfmt::skip]
pub const RHD21: PointSet = PointSet {
    name: "rhd21",
    aliases: &["rhd2d", "rhd"],
    kind: PointKind::Hand,
    category: "hand",
    count: 21,
    joints: &[
        "wrist", "thumb4", "thumb3", "thumb2", "thumb1", "forefinger4", "forefinger3", "forefinger2",
        "forefinger1", "middle_finger4", "middle_finger3", "middle_finger2", "middle_finger1",
        "ring_finger4", "ring_finger3", "ring_finger2", "ring_finger1", "pinky_finger4", "pinky_finger3",
        "pinky_finger2", "pinky_finger1",
    ],
    also: &[],
    flip_pairs: &[],
    lines: &[
        [0, 4], [4, 3], [3, 2], [2, 1], [0, 8], [8, 7], [7, 6], [6, 5], [0, 12], [12, 11], [11, 10], [10, 9],
        [0, 16], [16, 15], [15, 14], [14, 13], [0, 20], [20, 19], [19, 18], [18, 17],
    ],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/rhd2d.py",
};

/// The 21 points of freihand (`hand`).
#[rustfmt::skip]
pub const FREIHAND21: PointSet = PointSet {
    name: "freihand21",
    aliases: &["freihand"],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/freihand2d.py",
    ..ONEHAND10K21
};

/// The 21 points of panoptic_hand2d (`hand`).
#[rustfmt::skip]
pub const PANOPTIC_HAND21: PointSet = PointSet {
    name: "panoptic_hand21",
    aliases: &["panoptic_hand2d", "panoptic_hand"],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/panoptic_hand2d.py",
    ..ONEHAND10K21
};

/// The 21 points of interhand2d (`hand`).
#[rustfmt::skip]
pub const INTERHAND21: PointSet = PointSet {
    name: "interhand21",
    aliases: &["interhand2d", "interhand"],
    kind: PointKind::Hand,
    category: "hand",
    count: 21,
    joints: &[
        "thumb4", "thumb3", "thumb2", "thumb1", "forefinger4", "forefinger3", "forefinger2", "forefinger1",
        "middle_finger4", "middle_finger3", "middle_finger2", "middle_finger1", "ring_finger4",
        "ring_finger3", "ring_finger2", "ring_finger1", "pinky_finger4", "pinky_finger3", "pinky_finger2",
        "pinky_finger1", "wrist",
    ],
    also: &[],
    flip_pairs: &[],
    lines: &[
        [20, 3], [3, 2], [2, 1], [1, 0], [20, 7], [7, 6], [6, 5], [5, 4], [20, 11], [11, 10], [10, 9],
        [9, 8], [20, 15], [15, 14], [14, 13], [13, 12], [20, 19], [19, 18], [18, 17], [17, 16],
    ],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/interhand2d.py",
};

/// The 42 points of interhand3d (`hands`).
#[rustfmt::skip]
pub const INTERHAND42: PointSet = PointSet {
    name: "interhand42",
    aliases: &["interhand3d"],
    kind: PointKind::Hand,
    category: "hands",
    count: 42,
    joints: &[
        "right_thumb4", "right_thumb3", "right_thumb2", "right_thumb1", "right_forefinger4",
        "right_forefinger3", "right_forefinger2", "right_forefinger1", "right_middle_finger4",
        "right_middle_finger3", "right_middle_finger2", "right_middle_finger1", "right_ring_finger4",
        "right_ring_finger3", "right_ring_finger2", "right_ring_finger1", "right_pinky_finger4",
        "right_pinky_finger3", "right_pinky_finger2", "right_pinky_finger1", "right_wrist", "left_thumb4",
        "left_thumb3", "left_thumb2", "left_thumb1", "left_forefinger4", "left_forefinger3",
        "left_forefinger2", "left_forefinger1", "left_middle_finger4", "left_middle_finger3",
        "left_middle_finger2", "left_middle_finger1", "left_ring_finger4", "left_ring_finger3",
        "left_ring_finger2", "left_ring_finger1", "left_pinky_finger4", "left_pinky_finger3",
        "left_pinky_finger2", "left_pinky_finger1", "left_wrist",
    ],
    also: &[],
    flip_pairs: &[
        (0, 21), (1, 22), (2, 23), (3, 24), (4, 25), (5, 26), (6, 27), (7, 28), (8, 29), (9, 30), (10, 31),
        (11, 32), (12, 33), (13, 34), (14, 35), (15, 36), (16, 37), (17, 38), (18, 39), (19, 40), (20, 41),
    ],
    lines: &[
        [20, 3], [3, 2], [2, 1], [1, 0], [20, 7], [7, 6], [6, 5], [5, 4], [20, 11], [11, 10], [10, 9],
        [9, 8], [20, 15], [15, 14], [14, 13], [13, 12], [20, 19], [19, 18], [18, 17], [17, 16], [41, 24],
        [24, 23], [23, 22], [22, 21], [41, 28], [28, 27], [27, 26], [26, 25], [41, 32], [32, 31], [31, 30],
        [30, 29], [41, 36], [36, 35], [35, 34], [34, 33], [41, 40], [40, 39], [39, 38], [38, 37],
    ],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[("right", 0, 20), ("left", 21, 41)],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/interhand3d.py",
};
