//! Sets of points of animals.

use super::point::{PointKind, PointSet, SigmaSource};

/// All of this file.
pub(super) const ALL: [&PointSet; 12] = [
    &AP10K17,
    &ANIMALPOSE20,
    &ANIMALKINGDOM23,
    &MACAQUE17,
    &HORSE10_22,
    &ATRW15,
    &ZEBRA9,
    &FLY32,
    &LOCUST35,
    &SUPERANIMAL_QUADRUPED39,
    &SUPERANIMAL_TOPVIEWMOUSE27,
    &SUPERANIMAL_BIRD42,
];

/// The 17 points of AP-10K.
#[rustfmt::skip]
pub const AP10K17: PointSet = PointSet {
    name: "ap10k17",
    aliases: &["ap10k"],
    kind: PointKind::Animal,
    category: "animal",
    count: 17,
    joints: &[
        "left_eye", "right_eye", "nose", "neck", "root_of_tail", "left_shoulder", "left_elbow",
        "left_front_paw", "right_shoulder", "right_elbow", "right_front_paw", "left_hip", "left_knee",
        "left_back_paw", "right_hip", "right_knee", "right_back_paw",
    ],
    also: &[
        "L_Eye", "R_Eye", "Nose", "Neck", "Root of tail", "L_Shoulder", "L_Elbow", "L_F_Paw", "R_Shoulder",
        "R_Elbow", "R_F_Paw", "L_Hip", "L_Knee", "L_B_Paw", "R_Hip", "R_Knee", "R_B_Paw",
    ],
    flip_pairs: &[(0, 1), (5, 8), (6, 9), (7, 10), (11, 14), (12, 15), (13, 16)],
    lines: &[
        [0, 1], [0, 2], [1, 2], [2, 3], [3, 4], [3, 5], [5, 6], [6, 7], [3, 8], [8, 9], [9, 10], [4, 11],
        [11, 12], [12, 13], [4, 14], [14, 15], [15, 16],
    ],
    outlines: &[],
    sigmas: &[
        0.025, 0.025, 0.026, 0.035, 0.035, 0.079, 0.072, 0.062, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089,
        0.107, 0.087, 0.089,
    ],
    sigmas_from: SigmaSource::Adapted("mmpose / AP-10K code"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/ap10k.py",
};

/// The 20 points of animalpose (`animal`).
#[rustfmt::skip]
pub const ANIMALPOSE20: PointSet = PointSet {
    name: "animalpose20",
    aliases: &["animalpose"],
    kind: PointKind::Animal,
    category: "animal",
    count: 20,
    joints: &[
        "L_Eye", "R_Eye", "L_EarBase", "R_EarBase", "Nose", "Throat", "TailBase", "Withers", "L_F_Elbow",
        "R_F_Elbow", "L_B_Elbow", "R_B_Elbow", "L_F_Knee", "R_F_Knee", "L_B_Knee", "R_B_Knee", "L_F_Paw",
        "R_F_Paw", "L_B_Paw", "R_B_Paw",
    ],
    also: &[],
    flip_pairs: &[(0, 1), (2, 3), (8, 9), (10, 11), (12, 13), (14, 15), (16, 17), (18, 19)],
    lines: &[
        [0, 1], [0, 2], [1, 3], [0, 4], [1, 4], [4, 5], [5, 7], [6, 7], [5, 8], [8, 12], [12, 16], [5, 9],
        [9, 13], [13, 17], [6, 10], [10, 14], [14, 18], [6, 11], [11, 15], [15, 19],
    ],
    outlines: &[],
    sigmas: &[
        0.025, 0.025, 0.026, 0.035, 0.035, 0.1, 0.1, 0.1, 0.107, 0.107, 0.107, 0.107, 0.087, 0.087, 0.087,
        0.087, 0.089, 0.089, 0.089, 0.089,
    ],
    sigmas_from: SigmaSource::Adapted("mmpose, adapted from COCO (the paper gives too little)"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/animalpose.py",
};

/// The 23 points of Animal Kingdom (`animal`).
#[rustfmt::skip]
pub const ANIMALKINGDOM23: PointSet = PointSet {
    name: "animalkingdom23",
    aliases: &["animal_kingdom", "ak"],
    kind: PointKind::Animal,
    category: "animal",
    count: 23,
    joints: &[
        "Head_Mid_Top", "Eye_Left", "Eye_Right", "Mouth_Front_Top", "Mouth_Back_Left", "Mouth_Back_Right",
        "Mouth_Front_Bottom", "Shoulder_Left", "Shoulder_Right", "Elbow_Left", "Elbow_Right", "Wrist_Left",
        "Wrist_Right", "Torso_Mid_Back", "Hip_Left", "Hip_Right", "Knee_Left", "Knee_Right", "Ankle_Left",
        "Ankle_Right", "Tail_Top_Back", "Tail_Mid_Back", "Tail_End_Back",
    ],
    also: &[],
    flip_pairs: &[(1, 2), (4, 5), (7, 8), (9, 10), (11, 12), (14, 15), (16, 17), (18, 19)],
    lines: &[
        [1, 0], [2, 0], [3, 4], [3, 5], [6, 4], [6, 5], [0, 13], [13, 20], [20, 21], [21, 22], [0, 7],
        [0, 8], [7, 9], [8, 10], [9, 11], [10, 12], [20, 14], [20, 15], [14, 16], [15, 17], [16, 18],
        [17, 19],
    ],
    outlines: &[],
    sigmas: &[
        0.025, 0.025, 0.025, 0.025, 0.025, 0.025, 0.025, 0.025, 0.025, 0.025, 0.025, 0.025, 0.025, 0.025,
        0.025, 0.025, 0.025, 0.025, 0.025, 0.025, 0.025, 0.025, 0.025,
    ],
    sigmas_from: SigmaSource::Adapted("mmpose: one value for all"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/ak.py",
};

/// The 17 points of macaque (`macaque`).
#[rustfmt::skip]
pub const MACAQUE17: PointSet = PointSet {
    name: "macaque17",
    aliases: &["macaque"],
    kind: PointKind::Animal,
    category: "macaque",
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
    outlines: &[],
    sigmas: &[
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087,
        0.087, 0.089, 0.089,
    ],
    sigmas_from: SigmaSource::Adapted("mmpose: COCO values"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/macaque.py",
};

/// Horse-10: one side of the animal, so nothing changes places in a mirrored image.
#[rustfmt::skip]
pub const HORSE10_22: PointSet = PointSet {
    name: "horse10_22",
    aliases: &["horse10"],
    kind: PointKind::Animal,
    category: "horse",
    count: 22,
    joints: &[
        "Nose", "Eye", "Nearknee", "Nearfrontfetlock", "Nearfrontfoot", "Offknee", "Offfrontfetlock",
        "Offfrontfoot", "Shoulder", "Midshoulder", "Elbow", "Girth", "Wither", "Nearhindhock",
        "Nearhindfetlock", "Nearhindfoot", "Hip", "Stifle", "Offhindhock", "Offhindfetlock", "Offhindfoot",
        "Ischium",
    ],
    also: &[],
    flip_pairs: &[],
    lines: &[
        [0, 1], [1, 12], [12, 16], [16, 21], [21, 17], [17, 11], [11, 10], [10, 8], [8, 9], [9, 12], [2, 3],
        [3, 4], [5, 6], [6, 7], [13, 14], [14, 15], [18, 19], [19, 20],
    ],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/horse10.py",
};

/// The 15 points of atrw (`tiger`).
#[rustfmt::skip]
pub const ATRW15: PointSet = PointSet {
    name: "atrw15",
    aliases: &["atrw"],
    kind: PointKind::Animal,
    category: "tiger",
    count: 15,
    joints: &[
        "left_ear", "right_ear", "nose", "right_shoulder", "right_front_paw", "left_shoulder",
        "left_front_paw", "right_hip", "right_knee", "right_back_paw", "left_hip", "left_knee",
        "left_back_paw", "tail", "center",
    ],
    also: &[],
    flip_pairs: &[(0, 1), (3, 5), (4, 6), (7, 10), (8, 11), (9, 12)],
    lines: &[
        [0, 2], [1, 2], [2, 14], [5, 6], [5, 14], [3, 4], [3, 14], [13, 14], [9, 8], [8, 7], [7, 13],
        [12, 11], [11, 10], [10, 13],
    ],
    outlines: &[],
    sigmas: &[
        0.0277, 0.0823, 0.0831, 0.0202, 0.0716, 0.0263, 0.0646, 0.0302, 0.044, 0.0316, 0.0333, 0.0547,
        0.0263, 0.0683, 0.0539,
    ],
    sigmas_from: SigmaSource::Published("ATRW evaluation"),
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/atrw.py",
};

/// The 9 points of zebra (`zebra`).
#[rustfmt::skip]
pub const ZEBRA9: PointSet = PointSet {
    name: "zebra9",
    aliases: &["zebra"],
    kind: PointKind::Animal,
    category: "zebra",
    count: 9,
    joints: &["snout", "head", "neck", "forelegL1", "forelegR1", "hindlegL1", "hindlegR1", "tailbase", "tailtip"],
    also: &[],
    flip_pairs: &[(3, 4), (5, 6)],
    lines: &[[1, 0], [2, 1], [3, 2], [4, 2], [5, 7], [6, 7], [7, 2], [8, 7]],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/zebra.py",
};

/// The 32 points of fly (`fly`).
#[rustfmt::skip]
pub const FLY32: PointSet = PointSet {
    name: "fly32",
    aliases: &["fly"],
    kind: PointKind::Animal,
    category: "fly",
    count: 32,
    joints: &[
        "head", "eyeL", "eyeR", "neck", "thorax", "abdomen", "forelegR1", "forelegR2", "forelegR3",
        "forelegR4", "midlegR1", "midlegR2", "midlegR3", "midlegR4", "hindlegR1", "hindlegR2", "hindlegR3",
        "hindlegR4", "forelegL1", "forelegL2", "forelegL3", "forelegL4", "midlegL1", "midlegL2", "midlegL3",
        "midlegL4", "hindlegL1", "hindlegL2", "hindlegL3", "hindlegL4", "wingL", "wingR",
    ],
    also: &[],
    flip_pairs: &[
        (1, 2), (6, 18), (7, 19), (8, 20), (9, 21), (10, 22), (11, 23), (12, 24), (13, 25), (14, 26),
        (15, 27), (16, 28), (17, 29), (30, 31),
    ],
    lines: &[
        [1, 0], [2, 0], [3, 0], [4, 3], [5, 4], [7, 6], [8, 7], [9, 8], [11, 10], [12, 11], [13, 12],
        [15, 14], [16, 15], [17, 16], [19, 18], [20, 19], [21, 20], [23, 22], [24, 23], [25, 24], [27, 26],
        [28, 27], [29, 28], [30, 3], [31, 3],
    ],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/fly.py",
};

/// The 35 points of locust (`locust`).
#[rustfmt::skip]
pub const LOCUST35: PointSet = PointSet {
    name: "locust35",
    aliases: &["locust"],
    kind: PointKind::Animal,
    category: "locust",
    count: 35,
    joints: &[
        "head", "neck", "thorax", "abdomen1", "abdomen2", "anttipL", "antbaseL", "eyeL", "forelegL1",
        "forelegL2", "forelegL3", "forelegL4", "midlegL1", "midlegL2", "midlegL3", "midlegL4", "hindlegL1",
        "hindlegL2", "hindlegL3", "hindlegL4", "anttipR", "antbaseR", "eyeR", "forelegR1", "forelegR2",
        "forelegR3", "forelegR4", "midlegR1", "midlegR2", "midlegR3", "midlegR4", "hindlegR1", "hindlegR2",
        "hindlegR3", "hindlegR4",
    ],
    also: &[],
    flip_pairs: &[
        (5, 20), (6, 21), (7, 22), (8, 23), (9, 24), (10, 25), (11, 26), (12, 27), (13, 28), (14, 29),
        (15, 30), (16, 31), (17, 32), (18, 33), (19, 34),
    ],
    lines: &[
        [1, 0], [2, 1], [3, 2], [4, 3], [6, 5], [7, 6], [9, 8], [10, 9], [11, 10], [13, 12], [14, 13],
        [15, 14], [17, 16], [18, 17], [19, 18], [21, 20], [22, 21], [24, 23], [25, 24], [26, 25], [28, 27],
        [29, 28], [30, 29], [32, 31], [33, 32], [34, 33],
    ],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "open-mmlab/mmpose@759b39c configs/_base_/datasets/locust.py",
};

/// DeepLabCut's SuperAnimal quadruped. Pairs from the names; the lines are ours, the source has none.
#[rustfmt::skip]
pub const SUPERANIMAL_QUADRUPED39: PointSet = PointSet {
    name: "superanimal_quadruped39",
    aliases: &["superanimal_quadruped", "quadruped39"],
    kind: PointKind::Animal,
    category: "quadruped",
    count: 39,
    joints: &[
        "nose", "upper_jaw", "lower_jaw", "mouth_end_right", "mouth_end_left", "right_eye", "right_earbase",
        "right_earend", "right_antler_base", "right_antler_end", "left_eye", "left_earbase", "left_earend",
        "left_antler_base", "left_antler_end", "neck_base", "neck_end", "throat_base", "throat_end",
        "back_base", "back_end", "back_middle", "tail_base", "tail_end", "front_left_thai",
        "front_left_knee", "front_left_paw", "front_right_thai", "front_right_knee", "front_right_paw",
        "back_left_paw", "back_left_thai", "back_right_thai", "back_left_knee", "back_right_knee",
        "back_right_paw", "belly_bottom", "body_middle_right", "body_middle_left",
    ],
    also: &[],
    flip_pairs: &[
        (3, 4), (5, 10), (6, 11), (7, 12), (8, 13), (9, 14), (24, 27), (25, 28), (26, 29), (30, 35),
        (31, 32), (33, 34), (37, 38),
    ],
    lines: &[
        [0, 1], [1, 2], [0, 5], [5, 6], [6, 7], [0, 10], [10, 11], [11, 12], [6, 8], [8, 9], [11, 13],
        [13, 14], [3, 2], [2, 4], [15, 16], [17, 18], [16, 19], [19, 21], [21, 20], [20, 22], [22, 23],
        [19, 24], [24, 25], [25, 26], [19, 27], [27, 28], [28, 29], [20, 31], [31, 33], [33, 30], [20, 32],
        [32, 34], [34, 35], [38, 36], [36, 37],
    ],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "DeepLabCut/DeepLabCut@2df0f46 deeplabcut/modelzoo/project_configs/superanimal_quadruped.yaml",
};

/// DeepLabCut's SuperAnimal top-view mouse. Pairs from the names; the lines are ours, the source has none.
#[rustfmt::skip]
pub const SUPERANIMAL_TOPVIEWMOUSE27: PointSet = PointSet {
    name: "superanimal_topviewmouse27",
    aliases: &["superanimal_topviewmouse"],
    kind: PointKind::Animal,
    category: "mouse",
    count: 27,
    joints: &[
        "nose", "left_ear", "right_ear", "left_ear_tip", "right_ear_tip", "left_eye", "right_eye", "neck",
        "mid_back", "mouse_center", "mid_backend", "mid_backend2", "mid_backend3", "tail_base", "tail1",
        "tail2", "tail3", "tail4", "tail5", "left_shoulder", "left_midside", "left_hip", "right_shoulder",
        "right_midside", "right_hip", "tail_end", "head_midpoint",
    ],
    also: &[],
    flip_pairs: &[(1, 2), (3, 4), (5, 6), (19, 22), (20, 23), (21, 24)],
    lines: &[
        [0, 26], [26, 7], [7, 8], [8, 9], [9, 10], [10, 11], [11, 12], [12, 13], [13, 14], [14, 15],
        [15, 16], [16, 17], [17, 18], [18, 25], [0, 5], [5, 1], [1, 3], [0, 6], [6, 2], [2, 4], [7, 19],
        [19, 20], [20, 21], [21, 13], [7, 22], [22, 23], [23, 24], [24, 13],
    ],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "DeepLabCut/DeepLabCut@2df0f46 deeplabcut/modelzoo/project_configs/superanimal_topviewmouse.yaml",
};

/// DeepLabCut's SuperAnimal bird. Pairs from the names.
#[rustfmt::skip]
pub const SUPERANIMAL_BIRD42: PointSet = PointSet {
    name: "superanimal_bird42",
    aliases: &["superanimal_bird"],
    kind: PointKind::Animal,
    category: "bird",
    count: 42,
    joints: &[
        "back", "bill", "belly", "breast", "crown", "forehead", "left_eye", "left_leg", "left_wing_tip",
        "left_wrist", "nape", "right_eye", "right_leg", "right_wing_tip", "right_wrist", "tail_tip",
        "throat", "neck", "tail_left", "tail_right", "upper_spine", "upper_half_spine", "lower_half_spine",
        "right_foot", "left_foot", "left_half_chest", "right_half_chest", "chin", "left_tibia",
        "right_tibia", "lower_spine", "upper_half_neck", "lower_half_neck", "left_chest", "right_chest",
        "upper_neck", "left_wing_shoulder", "left_wing_elbow", "right_wing_shoulder", "right_wing_elbow",
        "upper_cere", "lower_cere",
    ],
    also: &[],
    flip_pairs: &[
        (6, 11), (7, 12), (8, 13), (9, 14), (18, 19), (23, 24), (25, 26), (28, 29), (33, 34), (36, 38),
        (37, 39),
    ],
    lines: &[],
    outlines: &[],
    sigmas: &[],
    sigmas_from: SigmaSource::None,
    parts: &[],
    source: "DeepLabCut/DeepLabCut@2df0f46 deeplabcut/modelzoo/project_configs/superanimal_bird.yaml",
};
