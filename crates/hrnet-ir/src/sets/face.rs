//! Sets of facial points.

use super::point::{PointKind, PointSet, SigmaSource, closed, open};

/// All of this file.
pub(super) const ALL: [&PointSet; 6] = [&WFLW98, &FACE68, &COFW29, &AFLW19, &COCO_WHOLEBODY_FACE68, &LAPA106];

/// The 98 points of WFLW.
#[rustfmt::skip]
pub const WFLW98: PointSet = PointSet {
    name: "wflw98",
    aliases: &["wflw"],
    kind: PointKind::Face,
    category: "face",
    count: 98,
    joints: &[],
    also: &[],
    flip_pairs: &[
        (0, 32), (1, 31), (2, 30), (3, 29), (4, 28), (5, 27), (6, 26), (7, 25), (8, 24), (9, 23), (10, 22),
        (11, 21), (12, 20), (13, 19), (14, 18), (15, 17), (33, 46), (34, 45), (35, 44), (36, 43), (37, 42),
        (38, 50), (39, 49), (40, 48), (41, 47), (60, 72), (61, 71), (62, 70), (63, 69), (64, 68), (65, 75),
        (66, 74), (67, 73), (55, 59), (56, 58), (76, 82), (77, 81), (78, 80), (87, 83), (86, 84), (88, 92),
        (89, 91), (95, 93), (96, 97),
    ],
    lines: &[],
    outlines: &[
        open("jaw", &[
            0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
            27, 28, 29, 30, 31, 32,
        ]),
        closed("right_brow", &[33, 34, 35, 36, 37, 38, 39, 40, 41]),
        closed("left_brow", &[42, 43, 44, 45, 46, 47, 48, 49, 50]),
        open("nose_bridge", &[51, 52, 53, 54]),
        open("nostrils", &[55, 56, 57, 58, 59]),
        closed("right_eye", &[60, 61, 62, 63, 64, 65, 66, 67]),
        closed("left_eye", &[68, 69, 70, 71, 72, 73, 74, 75]),
        closed("outer_lips", &[76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87]),
        closed("inner_lips", &[88, 89, 90, 91, 92, 93, 94, 95]),
        open("right_pupil", &[96]),
        open("left_pupil", &[97]),
    ],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/wflw.py",
};

/// The 68 points of 300-W: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67.
#[rustfmt::skip]
pub const FACE68: PointSet = PointSet {
    name: "300w68",
    aliases: &["300w", "ibug68", "face68"],
    kind: PointKind::Face,
    category: "face",
    count: 68,
    joints: &[],
    also: &[],
    flip_pairs: &[
        (0, 16), (1, 15), (2, 14), (3, 13), (4, 12), (5, 11), (6, 10), (7, 9), (17, 26), (18, 25), (19, 24),
        (20, 23), (21, 22), (31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46),
        (48, 54), (49, 53), (50, 52), (61, 63), (60, 64), (67, 65), (58, 56), (59, 55),
    ],
    lines: &[],
    outlines: &[
        open("jaw", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
        open("right_brow", &[17, 18, 19, 20, 21]),
        open("left_brow", &[22, 23, 24, 25, 26]),
        open("nose_bridge", &[27, 28, 29, 30]),
        open("nostrils", &[31, 32, 33, 34, 35]),
        closed("right_eye", &[36, 37, 38, 39, 40, 41]),
        closed("left_eye", &[42, 43, 44, 45, 46, 47]),
        closed("outer_lips", &[48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59]),
        closed("inner_lips", &[60, 61, 62, 63, 64, 65, 66, 67]),
    ],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/300w.py",
};

/// The 29 points of COFW. Lines are not drawn: the set has no agreed outline.
#[rustfmt::skip]
pub const COFW29: PointSet = PointSet {
    name: "cofw29",
    aliases: &["cofw"],
    kind: PointKind::Face,
    category: "face",
    count: 29,
    joints: &[],
    also: &[],
    flip_pairs: &[(0, 1), (4, 6), (2, 3), (5, 7), (8, 9), (10, 11), (12, 14), (16, 17), (13, 15), (18, 19), (22, 23)],
    lines: &[],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/cofw.py",
};

/// The 19 points of AFLW.
#[rustfmt::skip]
pub const AFLW19: PointSet = PointSet {
    name: "aflw19",
    aliases: &["aflw"],
    kind: PointKind::Face,
    category: "face",
    count: 19,
    joints: &[],
    also: &[],
    flip_pairs: &[(0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9), (12, 14), (15, 17)],
    lines: &[],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/aflw.py",
};

/// The facial points of COCO-WholeBody: the points of 300-W under other names.
#[rustfmt::skip]
pub const COCO_WHOLEBODY_FACE68: PointSet = PointSet {
    name: "coco_wholebody_face68",
    aliases: &["coco_wholebody_face"],
    kind: PointKind::Face,
    category: "face",
    count: 68,
    joints: &[
        "face-0", "face-1", "face-2", "face-3", "face-4", "face-5", "face-6", "face-7", "face-8", "face-9",
        "face-10", "face-11", "face-12", "face-13", "face-14", "face-15", "face-16", "face-17", "face-18",
        "face-19", "face-20", "face-21", "face-22", "face-23", "face-24", "face-25", "face-26", "face-27",
        "face-28", "face-29", "face-30", "face-31", "face-32", "face-33", "face-34", "face-35", "face-36",
        "face-37", "face-38", "face-39", "face-40", "face-41", "face-42", "face-43", "face-44", "face-45",
        "face-46", "face-47", "face-48", "face-49", "face-50", "face-51", "face-52", "face-53", "face-54",
        "face-55", "face-56", "face-57", "face-58", "face-59", "face-60", "face-61", "face-62", "face-63",
        "face-64", "face-65", "face-66", "face-67",
    ],
    also: &[],
    flip_pairs: FACE68.flip_pairs,
    lines: &[],
    outlines: FACE68.outlines,
    sigmas: &[
        0.042, 0.043, 0.044, 0.043, 0.04, 0.035, 0.031, 0.025, 0.02, 0.023, 0.029, 0.032, 0.037, 0.038,
        0.043, 0.041, 0.045, 0.013, 0.012, 0.011, 0.011, 0.012, 0.012, 0.011, 0.011, 0.013, 0.015, 0.009,
        0.007, 0.007, 0.007, 0.012, 0.009, 0.008, 0.016, 0.01, 0.017, 0.011, 0.009, 0.011, 0.009, 0.007,
        0.013, 0.008, 0.011, 0.012, 0.01, 0.034, 0.008, 0.008, 0.009, 0.008, 0.008, 0.007, 0.01, 0.008,
        0.009, 0.009, 0.009, 0.007, 0.007, 0.008, 0.011, 0.008, 0.008, 0.008, 0.01, 0.008,
    ],
    sigmas_from: SigmaSource::Published("COCO-WholeBody evaluation"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/coco_wholebody_face.py",
};

/// The 106 points of lapa (`face`).
#[rustfmt::skip]
pub const LAPA106: PointSet = PointSet {
    name: "lapa106",
    aliases: &["lapa"],
    kind: PointKind::Face,
    category: "face",
    count: 106,
    joints: &[
        "kpt-0", "kpt-1", "kpt-2", "kpt-3", "kpt-4", "kpt-5", "kpt-6", "kpt-7", "kpt-8", "kpt-9", "kpt-10",
        "kpt-11", "kpt-12", "kpt-13", "kpt-14", "kpt-15", "kpt-16", "kpt-17", "kpt-18", "kpt-19", "kpt-20",
        "kpt-21", "kpt-22", "kpt-23", "kpt-24", "kpt-25", "kpt-26", "kpt-27", "kpt-28", "kpt-29", "kpt-30",
        "kpt-31", "kpt-32", "kpt-33", "kpt-34", "kpt-35", "kpt-36", "kpt-37", "kpt-38", "kpt-39", "kpt-40",
        "kpt-41", "kpt-42", "kpt-43", "kpt-44", "kpt-45", "kpt-46", "kpt-47", "kpt-48", "kpt-49", "kpt-50",
        "kpt-51", "kpt-52", "kpt-53", "kpt-54", "kpt-55", "kpt-56", "kpt-57", "kpt-58", "kpt-59", "kpt-60",
        "kpt-61", "kpt-62", "kpt-63", "kpt-64", "kpt-65", "kpt-66", "kpt-67", "kpt-68", "kpt-69", "kpt-70",
        "kpt-71", "kpt-72", "kpt-73", "kpt-74", "kpt-75", "kpt-76", "kpt-77", "kpt-78", "kpt-79", "kpt-80",
        "kpt-81", "kpt-82", "kpt-83", "kpt-84", "kpt-85", "kpt-86", "kpt-87", "kpt-88", "kpt-89", "kpt-90",
        "kpt-91", "kpt-92", "kpt-93", "kpt-94", "kpt-95", "kpt-96", "kpt-97", "kpt-98", "kpt-99", "kpt-100",
        "kpt-101", "kpt-102", "kpt-103", "kpt-104", "kpt-105",
    ],
    also: &[],
    flip_pairs: &[
        (0, 32), (1, 31), (2, 30), (3, 29), (4, 28), (5, 27), (6, 26), (7, 25), (8, 24), (9, 23), (10, 22),
        (11, 21), (12, 20), (13, 19), (14, 18), (15, 17), (33, 46), (34, 45), (35, 44), (36, 43), (37, 42),
        (38, 50), (39, 49), (40, 48), (41, 47), (55, 65), (56, 64), (57, 63), (58, 62), (59, 61), (66, 79),
        (67, 78), (68, 77), (69, 76), (70, 75), (71, 82), (72, 81), (73, 80), (74, 83), (84, 90), (85, 89),
        (86, 88), (91, 95), (92, 94), (96, 100), (97, 99), (101, 103), (104, 105),
    ],
    lines: &[],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/lapa.py",
};
