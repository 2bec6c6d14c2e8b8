//! Point sets: names, flip pairs, and the lines that connect the points for drawing.
//!
//! Indices are 0-based. Left and right are the person's.

/// A region of a point set, with its own colour in drawings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// Name of the region.
    pub name: &'static str,
    /// The points, in drawing order.
    pub points: &'static [usize],
    /// Whether the last point connects to the first.
    pub closed: bool,
}

/// A named set of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointSet {
    /// Name of the set.
    pub name: &'static str,
    /// Number of points.
    pub count: usize,
    /// Names of the points; empty where they are named after their region.
    pub joints: &'static [&'static str],
    /// Points that change places in a mirrored image. All others keep their index.
    pub flip_pairs: &'static [(usize, usize)],
    /// Lines for drawing; may be empty.
    pub outlines: &'static [Outline],
}

impl PointSet {
    /// The index that each point has in the mirrored image.
    pub fn flip_permutation(&self) -> Vec<usize> {
        flip_permutation(self.count, self.flip_pairs)
    }

    /// The name of a point: of its region and its place in it for faces, of the joint for bodies.
    pub fn point_name(&self, index: usize) -> String {
        if let Some(name) = self.joints.get(index) {
            return (*name).to_string();
        }
        for outline in self.outlines {
            if let Some(i) = outline.points.iter().position(|&p| p == index) {
                return format!("{}_{i}", outline.name);
            }
        }
        format!("point_{index}")
    }

    /// The names of all points, in order.
    pub fn names(&self) -> Vec<String> {
        (0..self.count).map(|i| self.point_name(i)).collect()
    }

    /// The set with a number of points that only one set has: 16, 17, 19, 29, 68 or 98.
    pub fn of_count(count: usize) -> Option<&'static Self> {
        [&MPII16, &COCO17, &AFLW19, &COFW29, &FACE68, &WFLW98].into_iter().find(|s| s.count == count)
    }
}

/// The index of each point in the mirrored image, from pairs. Pairs with an index out of range are left out.
pub fn flip_permutation(count: usize, pairs: &[(usize, usize)]) -> Vec<usize> {
    let mut permutation: Vec<usize> = (0..count).collect();
    for &(a, b) in pairs {
        if a < count && b < count {
            permutation.swap(a, b);
        }
    }
    permutation
}

const fn open(name: &'static str, points: &'static [usize]) -> Outline {
    Outline { name, points, closed: false }
}

const fn closed(name: &'static str, points: &'static [usize]) -> Outline {
    Outline { name, points, closed: true }
}

/// The 68 points of 300-W: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, mouth 48-67.
pub const FACE68: PointSet = PointSet {
    name: "300w68",
    count: 68,
    joints: &[],
    flip_pairs: &[
        (0, 16),
        (1, 15),
        (2, 14),
        (3, 13),
        (4, 12),
        (5, 11),
        (6, 10),
        (7, 9),
        (17, 26),
        (18, 25),
        (19, 24),
        (20, 23),
        (21, 22),
        (31, 35),
        (32, 34),
        (36, 45),
        (37, 44),
        (38, 43),
        (39, 42),
        (40, 47),
        (41, 46),
        (48, 54),
        (49, 53),
        (50, 52),
        (61, 63),
        (60, 64),
        (67, 65),
        (58, 56),
        (59, 55),
    ],
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
};

/// The 98 points of WFLW.
pub const WFLW98: PointSet = PointSet {
    name: "wflw98",
    count: 98,
    joints: &[],
    flip_pairs: &[
        (0, 32),
        (1, 31),
        (2, 30),
        (3, 29),
        (4, 28),
        (5, 27),
        (6, 26),
        (7, 25),
        (8, 24),
        (9, 23),
        (10, 22),
        (11, 21),
        (12, 20),
        (13, 19),
        (14, 18),
        (15, 17),
        (33, 46),
        (34, 45),
        (35, 44),
        (36, 43),
        (37, 42),
        (38, 50),
        (39, 49),
        (40, 48),
        (41, 47),
        (60, 72),
        (61, 71),
        (62, 70),
        (63, 69),
        (64, 68),
        (65, 75),
        (66, 74),
        (67, 73),
        (55, 59),
        (56, 58),
        (76, 82),
        (77, 81),
        (78, 80),
        (87, 83),
        (86, 84),
        (88, 92),
        (89, 91),
        (95, 93),
        (96, 97),
    ],
    outlines: &[
        open(
            "jaw",
            &[
                0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
                26, 27, 28, 29, 30, 31, 32,
            ],
        ),
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
};

/// The 29 points of COFW. Lines are not drawn: the set has no agreed outline.
pub const COFW29: PointSet = PointSet {
    name: "cofw29",
    count: 29,
    joints: &[],
    flip_pairs: &[
        (0, 1),
        (4, 6),
        (2, 3),
        (5, 7),
        (8, 9),
        (10, 11),
        (12, 14),
        (16, 17),
        (13, 15),
        (18, 19),
        (22, 23),
    ],
    outlines: &[],
};

/// The 19 points of AFLW.
pub const AFLW19: PointSet = PointSet {
    name: "aflw19",
    count: 19,
    joints: &[],
    flip_pairs: &[(0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9), (12, 14), (15, 17)],
    outlines: &[],
};

const COCO17_NAMES: [&str; 17] = [
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

/// The 17 body points of COCO.
pub const COCO17: PointSet = PointSet {
    name: "coco17",
    count: 17,
    joints: &COCO17_NAMES,
    flip_pairs: &[(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)],
    outlines: &[
        open("head", &[3, 1, 0, 2, 4]),
        closed("torso", &[5, 6, 12, 11]),
        open("left_arm", &[5, 7, 9]),
        open("right_arm", &[6, 8, 10]),
        open("left_leg", &[11, 13, 15]),
        open("right_leg", &[12, 14, 16]),
    ],
};

const MPII16_NAMES: [&str; 16] = [
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

/// The 16 body points of MPII.
pub const MPII16: PointSet = PointSet {
    name: "mpii16",
    count: 16,
    joints: &MPII16_NAMES,
    flip_pairs: &[(0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)],
    outlines: &[
        open("torso", &[6, 7, 8, 9]),
        open("left_arm", &[7, 13, 14, 15]),
        open("right_arm", &[7, 12, 11, 10]),
        open("left_leg", &[6, 3, 4, 5]),
        open("right_leg", &[6, 2, 1, 0]),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [PointSet; 6] = [FACE68, WFLW98, COFW29, AFLW19, COCO17, MPII16];

    #[test]
    fn flipping_is_an_involution_that_names_each_point_once() {
        for set in ALL {
            let permutation = set.flip_permutation();
            let mut seen: Vec<usize> = set.flip_pairs.iter().flat_map(|&(a, b)| [a, b]).collect();
            assert!(seen.iter().all(|&i| i < set.count), "{}", set.name);
            let n = seen.len();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), n, "{}: a point is in two pairs", set.name);
            assert!((0..set.count).all(|i| permutation[permutation[i]] == i), "{}", set.name);
        }
    }

    #[test]
    fn outlines_mirror_onto_outlines() {
        // As sets of undirected lines, left and right are mirror images of each other.
        for set in [FACE68, WFLW98, COCO17, MPII16] {
            let permutation = set.flip_permutation();
            let mut lines = Vec::new();
            for o in set.outlines {
                for w in o.points.windows(2) {
                    lines.push((w[0].min(w[1]), w[0].max(w[1])));
                }
                if o.closed {
                    let (a, b) = (o.points[0], o.points[o.points.len() - 1]);
                    lines.push((a.min(b), a.max(b)));
                }
            }
            for &(a, b) in &lines {
                let (fa, fb) = (permutation[a], permutation[b]);
                assert!(lines.contains(&(fa.min(fb), fa.max(fb))), "{}: {a}-{b}", set.name);
            }
        }
    }

    #[test]
    fn names_are_unique_and_complete() {
        for set in ALL {
            let mut names = set.names();
            assert_eq!(names.len(), set.count);
            names.sort();
            names.dedup();
            assert_eq!(names.len(), set.count, "{}", set.name);
        }
        assert_eq!(FACE68.point_name(0), "jaw_0");
        assert_eq!(FACE68.point_name(45), "left_eye_3");
        assert_eq!(COCO17.point_name(9), "left_wrist");
    }
}
