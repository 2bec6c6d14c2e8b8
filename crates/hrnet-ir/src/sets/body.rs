//! Sets of body points.

use super::point::{PointKind, PointSet, SigmaSource, closed, open};

/// All of this file.
pub(super) const ALL: [&PointSet; 15] = [
    &COCO17,
    &HALPE26,
    &POSETRACK18,
    &CROWDPOSE14,
    &MPII16,
    &AIC14,
    &JHMDB15,
    &H36M17,
    &OCHUMAN17,
    &HUMANART17,
    &HUMANART21,
    &EXLPOSE14,
    &MHP16,
    &MPI_INF_3DHP17,
    &LSP14,
];

/// The 17 body points of COCO.
#[rustfmt::skip]
pub const COCO17: PointSet = PointSet {
    name: "coco17",
    aliases: &["coco", "coco_keypoints", "coco_person", "mscoco", "coco_keypoint"],
    kind: PointKind::Body,
    category: "person",
    count: 17,
    joints: &[
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
        "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
        "right_knee", "left_ankle", "right_ankle",
    ],
    also: &[],
    flip_pairs: &[(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)],
    lines: &[
        [15, 13], [13, 11], [16, 14], [14, 12], [11, 12], [5, 11], [6, 12], [5, 6], [5, 7], [6, 8], [7, 9],
        [8, 10], [1, 2], [0, 1], [0, 2], [1, 3], [2, 4], [3, 5], [4, 6],
    ],
    outlines: &[
        open("head", &[3, 1, 0, 2, 4]),
        closed("torso", &[5, 6, 12, 11]),
        open("left_arm", &[5, 7, 9]),
        open("right_arm", &[6, 8, 10]),
        open("left_leg", &[11, 13, 15]),
        open("right_leg", &[12, 14, 16]),
    ],
    // Divided as pycocotools does it: 0.26 / 10 is not the nearest number to 0.026.
    sigmas: &[
        0.26 / 10.0, 0.25 / 10.0, 0.25 / 10.0, 0.35 / 10.0, 0.35 / 10.0, 0.79 / 10.0, 0.79 / 10.0,
        0.72 / 10.0, 0.72 / 10.0, 0.62 / 10.0, 0.62 / 10.0, 1.07 / 10.0, 1.07 / 10.0, 0.87 / 10.0,
        0.87 / 10.0, 0.89 / 10.0, 0.89 / 10.0,
    ],
    sigmas_from: SigmaSource::Published("COCO keypoint evaluation"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/coco.py",
};

/// The 26 points of halpe26 (`person`).
#[rustfmt::skip]
pub const HALPE26: PointSet = PointSet {
    name: "halpe26",
    aliases: &[],
    kind: PointKind::Body,
    category: "person",
    count: 26,
    joints: &[
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
        "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
        "right_knee", "left_ankle", "right_ankle", "head", "neck", "hip", "left_big_toe", "right_big_toe",
        "left_small_toe", "right_small_toe", "left_heel", "right_heel",
    ],
    also: &[],
    flip_pairs: &[(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16), (20, 21), (22, 23), (24, 25)],
    lines: &[
        [15, 13], [13, 11], [11, 19], [16, 14], [14, 12], [12, 19], [17, 18], [18, 19], [18, 5], [5, 7],
        [7, 9], [18, 6], [6, 8], [8, 10], [1, 2], [0, 1], [0, 2], [1, 3], [2, 4], [3, 5], [4, 6], [15, 20],
        [15, 22], [15, 24], [16, 21], [16, 23], [16, 25],
    ],
    outlines: &[],
    sigmas: &[
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087,
        0.087, 0.089, 0.089, 0.026, 0.026, 0.066, 0.079, 0.079, 0.079, 0.079, 0.079, 0.079,
    ],
    sigmas_from: SigmaSource::Adapted("mmpose (Halpe evaluation)"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/halpe26.py",
};

/// PoseTrack 2018. Its ears carry no labels.
#[rustfmt::skip]
pub const POSETRACK18: PointSet = PointSet {
    name: "posetrack18",
    aliases: &[],
    kind: PointKind::Body,
    category: "person",
    count: 17,
    joints: &[
        "nose", "head_bottom", "head_top", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
        "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
        "right_knee", "left_ankle", "right_ankle",
    ],
    also: &[],
    flip_pairs: &[(3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)],
    lines: &[
        [15, 13], [13, 11], [16, 14], [14, 12], [11, 12], [5, 11], [6, 12], [5, 6], [5, 7], [6, 8], [7, 9],
        [8, 10], [0, 1], [0, 2], [1, 5], [1, 6],
    ],
    outlines: &[],
    sigmas: &[
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087,
        0.087, 0.089, 0.089,
    ],
    sigmas_from: SigmaSource::Adapted("mmpose: COCO values for the shared joints"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/posetrack18.py",
};

/// The 14 points of CrowdPose. Its own files call the first of the middle points `head`, mmpose `top_head`.
#[rustfmt::skip]
pub const CROWDPOSE14: PointSet = PointSet {
    name: "crowdpose14",
    aliases: &["crowdpose"],
    kind: PointKind::Body,
    category: "person",
    count: 14,
    joints: &[
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "head", "neck",
    ],
    also: &[
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "top_head", "neck",
    ],
    flip_pairs: &[(0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)],
    lines: &[
        [10, 8], [8, 6], [11, 9], [9, 7], [6, 7], [0, 6], [1, 7], [0, 1], [0, 2], [1, 3], [2, 4], [3, 5],
        [12, 13], [13, 0], [13, 1],
    ],
    outlines: &[],
    sigmas: &[
        0.79 / 10.0, 0.79 / 10.0, 0.72 / 10.0, 0.72 / 10.0, 0.62 / 10.0, 0.62 / 10.0, 1.07 / 10.0,
        1.07 / 10.0, 0.87 / 10.0, 0.87 / 10.0, 0.89 / 10.0, 0.89 / 10.0, 0.79 / 10.0, 0.79 / 10.0,
    ],
    sigmas_from: SigmaSource::Published("CrowdPose evaluation"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/crowdpose.py",
};

/// The 16 body points of MPII.
#[rustfmt::skip]
pub const MPII16: PointSet = PointSet {
    name: "mpii16",
    aliases: &["mpii", "mpii_human_pose"],
    kind: PointKind::Body,
    category: "person",
    count: 16,
    joints: &[
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax",
        "upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder",
        "left_elbow", "left_wrist",
    ],
    also: &[],
    flip_pairs: &[(0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)],
    lines: &[
        [0, 1], [1, 2], [2, 6], [5, 4], [4, 3], [3, 6], [6, 7], [7, 8], [8, 9], [10, 11], [11, 12], [12, 7],
        [15, 14], [14, 13], [13, 7],
    ],
    outlines: &[
        open("torso", &[6, 7, 8, 9]),
        open("left_arm", &[7, 13, 14, 15]),
        open("right_arm", &[7, 12, 11, 10]),
        open("left_leg", &[6, 3, 4, 5]),
        open("right_leg", &[6, 2, 1, 0]),
    ],
    sigmas: &[
        0.089, 0.083, 0.107, 0.107, 0.083, 0.089, 0.026, 0.026, 0.026, 0.026, 0.062, 0.072, 0.179, 0.179,
        0.072, 0.062,
    ],
    sigmas_from: SigmaSource::Adapted("mmpose, adapted from COCO; not published by the data set"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/mpii.py",
};

/// The 14 points of AI Challenger.
#[rustfmt::skip]
pub const AIC14: PointSet = PointSet {
    name: "aic14",
    aliases: &["aic", "ai_challenger"],
    kind: PointKind::Body,
    category: "person",
    count: 14,
    joints: &[
        "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
        "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "head_top", "neck",
    ],
    also: &[],
    flip_pairs: &[(0, 3), (1, 4), (2, 5), (6, 9), (7, 10), (8, 11)],
    lines: &[
        [2, 1], [1, 0], [0, 13], [13, 3], [3, 4], [4, 5], [8, 7], [7, 6], [6, 9], [9, 10], [10, 11],
        [12, 13], [0, 6], [3, 9],
    ],
    outlines: &[],
    sigmas: &[
        0.01388152, 0.01515228, 0.01057665, 0.01417709, 0.01497891, 0.01402144, 0.03909642, 0.03686941,
        0.01981803, 0.03843971, 0.03412318, 0.02415081, 0.01291456, 0.01236173,
    ],
    sigmas_from: SigmaSource::Published("AI Challenger evaluation (delta = 2 sigma)"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/aic.py",
};

/// The 15 points of jhmdb (`person`).
#[rustfmt::skip]
pub const JHMDB15: PointSet = PointSet {
    name: "jhmdb15",
    aliases: &["jhmdb"],
    kind: PointKind::Body,
    category: "person",
    count: 15,
    joints: &[
        "neck", "belly", "head", "right_shoulder", "left_shoulder", "right_hip", "left_hip", "right_elbow",
        "left_elbow", "right_knee", "left_knee", "right_wrist", "left_wrist", "right_ankle", "left_ankle",
    ],
    also: &[],
    flip_pairs: &[(3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14)],
    lines: &[
        [13, 9], [9, 5], [5, 1], [1, 6], [6, 10], [10, 14], [1, 0], [0, 2], [0, 3], [3, 7], [7, 11], [0, 4],
        [4, 8], [8, 12],
    ],
    outlines: &[],
    sigmas: &[
        0.025, 0.107, 0.025, 0.079, 0.079, 0.107, 0.107, 0.072, 0.072, 0.087, 0.087, 0.062, 0.062, 0.089,
        0.089,
    ],
    sigmas_from: SigmaSource::Adapted("mmpose, adapted from COCO; not published by the data set"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/jhmdb.py",
};

/// The 17 points of h36m (`person`).
#[rustfmt::skip]
pub const H36M17: PointSet = PointSet {
    name: "h36m17",
    aliases: &["h36m"],
    kind: PointKind::Body,
    category: "person",
    count: 17,
    joints: &[
        "root", "right_hip", "right_knee", "right_foot", "left_hip", "left_knee", "left_foot", "spine",
        "thorax", "neck_base", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder",
        "right_elbow", "right_wrist",
    ],
    also: &[],
    flip_pairs: &[(1, 4), (2, 5), (3, 6), (11, 14), (12, 15), (13, 16)],
    lines: &[
        [0, 4], [4, 5], [5, 6], [0, 1], [1, 2], [2, 3], [0, 7], [7, 8], [8, 9], [9, 10], [8, 11], [11, 12],
        [12, 13], [8, 14], [14, 15], [15, 16],
    ],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/h36m.py",
};

/// The 17 points of ochuman (`person`).
#[rustfmt::skip]
pub const OCHUMAN17: PointSet = PointSet {
    name: "ochuman17",
    aliases: &["ochuman"],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/ochuman.py",
    ..COCO17
};

/// The 17 points of Human-Art (`person`).
#[rustfmt::skip]
pub const HUMANART17: PointSet = PointSet {
    name: "humanart17",
    aliases: &["human_art", "humanart"],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/humanart.py",
    ..COCO17
};

/// The 21 points of Human-Art (`person`).
#[rustfmt::skip]
pub const HUMANART21: PointSet = PointSet {
    name: "humanart21",
    aliases: &["human_art"],
    kind: PointKind::Body,
    category: "person",
    count: 21,
    joints: &[
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
        "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
        "right_knee", "left_ankle", "right_ankle", "left_finger", "right_finger", "left_toe", "right_toe",
    ],
    also: &[],
    flip_pairs: &[(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16), (17, 18), (19, 20)],
    lines: &[
        [15, 13], [13, 11], [16, 14], [14, 12], [11, 12], [5, 11], [6, 12], [5, 6], [5, 7], [6, 8], [7, 9],
        [8, 10], [1, 2], [0, 1], [0, 2], [1, 3], [2, 4], [3, 5], [4, 6], [15, 19], [16, 20], [9, 17],
        [10, 18],
    ],
    outlines: &[],
    sigmas: &[
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087,
        0.087, 0.089, 0.089, 0.089, 0.089, 0.089, 0.089,
    ],
    sigmas_from: SigmaSource::Adapted("mmpose"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/humanart21.py",
};

/// The 14 points of exlpose (`person`).
#[rustfmt::skip]
pub const EXLPOSE14: PointSet = PointSet {
    name: "exlpose14",
    aliases: &["exlpose"],
    kind: PointKind::Body,
    category: "person",
    count: 14,
    joints: &[
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "head", "neck",
    ],
    also: &[],
    flip_pairs: &[(0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)],
    lines: &[
        [12, 13], [13, 0], [13, 1], [0, 2], [2, 4], [1, 3], [3, 5], [13, 7], [13, 6], [7, 9], [9, 11],
        [6, 8], [8, 10],
    ],
    outlines: &[],
    sigmas: &[0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089, 0.079, 0.079],
    sigmas_from: SigmaSource::Adapted("mmpose: CrowdPose values"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/exlpose.py",
};

/// The 16 points of mhp (`person`).
#[rustfmt::skip]
pub const MHP16: PointSet = PointSet {
    name: "mhp16",
    aliases: &["mhp"],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/mhp.py",
    ..MPII16
};

/// The 17 points of mpi_inf_3dhp (`person`).
#[rustfmt::skip]
pub const MPI_INF_3DHP17: PointSet = PointSet {
    name: "mpi_inf_3dhp17",
    aliases: &["mpi_inf_3dhp"],
    kind: PointKind::Body,
    category: "person",
    count: 17,
    joints: &[
        "head_top", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
        "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
        "root", "spine", "head",
    ],
    also: &[],
    flip_pairs: &[(2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13)],
    lines: &[
        [1, 2], [2, 3], [3, 4], [1, 5], [5, 6], [6, 7], [14, 8], [8, 9], [9, 10], [14, 11], [11, 12],
        [12, 13], [0, 16], [16, 1], [1, 15], [15, 14],
    ],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/mpi_inf_3dhp.py",
};

/// The 14 points of LSP and LSPET.
#[rustfmt::skip]
pub const LSP14: PointSet = PointSet {
    name: "lsp14",
    aliases: &["lsp", "lspet", "lsp_extended"],
    kind: PointKind::Body,
    category: "person",
    count: 14,
    joints: &[
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist",
        "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top",
    ],
    also: &[],
    flip_pairs: &[(0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)],
    lines: &[
        [0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [6, 7], [7, 8], [8, 12], [12, 9], [9, 10], [10, 11],
        [12, 13], [8, 2], [9, 3],
    ],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "Johnson and Everingham, LSP readme (joint order)",
};
