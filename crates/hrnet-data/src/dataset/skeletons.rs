//! Known sets of body points with their lines and mirror pairs, and pairs found in the names of unknown ones.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use crate::points::{self, PointSet};

/// A set that data files name, beside those of [`crate::points`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Name of the set.
    pub name: &'static str,
    /// Names of the points.
    pub points: &'static [&'static str],
    /// Lines, 0-based.
    pub skeleton: &'static [[usize; 2]],
    /// Mirror pairs, 0-based.
    pub flip_pairs: &'static [(usize, usize)],
}

/// CrowdPose.
pub const CROWDPOSE14: Known = Known {
    name: "crowdpose14",
    points: &[
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
        "head",
        "neck",
    ],
    skeleton: &[
        [10, 8],
        [8, 6],
        [11, 9],
        [9, 7],
        [6, 7],
        [0, 6],
        [1, 7],
        [0, 1],
        [0, 2],
        [1, 3],
        [2, 4],
        [3, 5],
        [12, 13],
        [13, 0],
        [13, 1],
    ],
    flip_pairs: &[(0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)],
};

/// AI Challenger.
pub const AIC14: Known = Known {
    name: "aic14",
    points: &[
        "right_shoulder",
        "right_elbow",
        "right_wrist",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "head_top",
        "neck",
    ],
    skeleton: &[
        [2, 1],
        [1, 0],
        [0, 13],
        [13, 3],
        [3, 4],
        [4, 5],
        [8, 7],
        [7, 6],
        [6, 9],
        [9, 10],
        [10, 11],
        [12, 13],
        [0, 6],
        [3, 9],
    ],
    flip_pairs: &[(0, 3), (1, 4), (2, 5), (6, 9), (7, 10), (8, 11)],
};

/// LSP and LSPET.
pub const LSP14: Known = Known {
    name: "lsp14",
    points: &[
        "right_ankle",
        "right_knee",
        "right_hip",
        "left_hip",
        "left_knee",
        "left_ankle",
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "neck",
        "head_top",
    ],
    skeleton: &[
        [0, 1],
        [1, 2],
        [2, 3],
        [3, 4],
        [4, 5],
        [6, 7],
        [7, 8],
        [8, 12],
        [12, 9],
        [9, 10],
        [10, 11],
        [12, 13],
        [8, 2],
        [9, 3],
    ],
    flip_pairs: &[(0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)],
};

/// AP-10K.
pub const AP10K17: Known = Known {
    name: "ap10k17",
    points: &[
        "left_eye",
        "right_eye",
        "nose",
        "neck",
        "root_of_tail",
        "left_shoulder",
        "left_elbow",
        "left_front_paw",
        "right_shoulder",
        "right_elbow",
        "right_front_paw",
        "left_hip",
        "left_knee",
        "left_back_paw",
        "right_hip",
        "right_knee",
        "right_back_paw",
    ],
    skeleton: &[
        [0, 1],
        [0, 2],
        [1, 2],
        [2, 3],
        [3, 4],
        [3, 5],
        [5, 6],
        [6, 7],
        [3, 8],
        [8, 9],
        [9, 10],
        [4, 11],
        [11, 12],
        [12, 13],
        [4, 14],
        [14, 15],
        [15, 16],
    ],
    flip_pairs: &[(0, 1), (5, 8), (6, 9), (7, 10), (11, 14), (12, 15), (13, 16)],
};

/// All of this file.
pub const ALL: [&Known; 4] = [&CROWDPOSE14, &AIC14, &LSP14, &AP10K17];

/// A name as it is compared: lower case, words joined by `_`.
pub fn normal(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.trim().chars() {
        if c.is_alphanumeric() {
            out.extend(c.to_lowercase());
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    out.trim_matches('_').to_string()
}

/// The known set with these names.
pub fn by_names(names: &[String]) -> Option<&'static Known> {
    ALL.into_iter()
        .find(|k| k.points.len() == names.len() && k.points.iter().zip(names).all(|(a, b)| *a == normal(b)))
}

/// The lines of a [`PointSet`].
pub fn lines_of(set: &PointSet) -> Vec<[usize; 2]> {
    let mut out = Vec::new();
    for o in set.outlines {
        out.extend(o.points.windows(2).filter_map(|w| <[usize; 2]>::try_from(w).ok()));
        if let (true, Some(&first), Some(&last)) = (o.closed, o.points.first(), o.points.last()) {
            out.push([last, first]);
        }
    }
    out
}

/// Mirror pairs from names: a point and the point whose name has the other side in the place of `left` or `right`,
/// of the words `l` or `r`, or of 左 or 右. In the order of the first of each pair.
pub fn pairs_from_names(names: &[String]) -> Vec<(usize, usize)> {
    let spelled: Vec<String> = names.iter().map(|n| spaced(n)).collect();
    let mut pairs = Vec::new();
    let mut taken = vec![false; names.len()];
    for (i, name) in spelled.iter().enumerate() {
        if taken.get(i) == Some(&true) {
            continue;
        }
        let found = mirrored(name).into_iter().find_map(|m| {
            spelled.iter().enumerate().position(|(j, n)| j != i && taken.get(j) == Some(&false) && *n == m)
        });
        if let Some(j) = found {
            for k in [i, j] {
                taken.get_mut(k).into_iter().for_each(|t| *t = true);
            }
            pairs.push((i.min(j), i.max(j)));
        }
    }
    pairs
}

/// Points whose name has a side, without a point of the other side.
pub fn without_other_side(names: &[String]) -> Vec<usize> {
    let paired = pairs_from_names(names);
    let alone = |i: usize| !paired.iter().any(|&(a, b)| a == i || b == i);
    let sided = |n: &str| {
        let words = spaced(n);
        words.split('_').any(|w| ["left", "right", "l", "r"].contains(&w)) || n.contains(['左', '右'])
    };
    names.iter().enumerate().filter(|(i, n)| alone(*i) && sided(n)).map(|(i, _)| i).collect()
}

/// [`normal`], with words of camel case parted: `LShoulder` is `l_shoulder`, `LeftEye` is `left_eye`.
fn spaced(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, &c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|k| chars.get(k));
        let next_is_lower = chars.get(i.saturating_add(1)).is_some_and(|n| n.is_lowercase());
        if c.is_uppercase() && before.is_some_and(|b| b.is_lowercase() || (b.is_uppercase() && next_is_lower))
        {
            out.push('_');
        }
        out.push(c);
    }
    normal(&out)
}

/// The ways to name the other side.
fn mirrored(name: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (a, b) in [("left", "right"), ("right", "left"), ("左", "右"), ("右", "左")] {
        for (at, _) in name.match_indices(a) {
            if let Some((before, after)) = name.split_at_checked(at)
                && let Some(after) = after.strip_prefix(a)
            {
                out.push(format!("{before}{b}{after}"));
            }
        }
    }
    let words: Vec<&str> = name.split('_').collect();
    for (i, w) in words.iter().enumerate() {
        let other = match *w {
            "l" => "r",
            "r" => "l",
            _ => continue,
        };
        let mut words = words.clone();
        words.get_mut(i).into_iter().for_each(|w| *w = other);
        out.push(words.join("_"));
    }
    out
}

/// The 133 points of COCO-WholeBody: body 17, feet 6, face 68, left hand 21, right hand 21.
pub struct WholeBody {
    /// Names.
    pub points: Vec<String>,
    /// Lines.
    pub skeleton: Vec<[usize; 2]>,
    /// Mirror pairs.
    pub flip_pairs: Vec<(usize, usize)>,
}

/// Builds the table of COCO-WholeBody.
#[allow(clippy::arithmetic_side_effects)] // Numbers of this table alone, below 133.
pub fn whole_body() -> WholeBody {
    const FACE: usize = 23;
    const HANDS: usize = 91;
    let mut names = points::COCO17.names();
    for side in ["left", "right"] {
        names.extend(["big_toe", "small_toe", "heel"].map(|p| format!("{side}_{p}")));
    }
    names.extend(points::FACE68.names().iter().map(|n| format!("face_{n}")));
    for side in ["left", "right"] {
        names.extend((0..21).map(|i| format!("{side}_hand_{i}")));
    }
    let mut pairs = points::COCO17.flip_pairs.to_vec();
    pairs.extend((17..20).map(|i| (i, i + 3)));
    pairs.extend(points::FACE68.flip_pairs.iter().map(|&(a, b)| (a + FACE, b + FACE)));
    pairs.extend((HANDS..HANDS + 21).map(|i| (i, i + 21)));
    let mut skeleton = lines_of(&points::COCO17);
    skeleton.extend([[15, 17], [15, 18], [15, 19], [16, 20], [16, 21], [16, 22]]);
    skeleton.extend(lines_of(&points::FACE68).iter().map(|l| l.map(|i| i + FACE)));
    for hand in [HANDS, HANDS + 21] {
        for finger in 0..5 {
            let first = hand + 1 + finger * 4;
            skeleton.push([hand, first]);
            skeleton.extend((first..first + 3).map(|i| [i, i + 1]));
        }
    }
    WholeBody { points: names, skeleton, flip_pairs: pairs }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_give_the_pairs_of_the_known_sets() {
        for known in ALL {
            let mut expected = known.flip_pairs.to_vec();
            expected.sort_unstable();
            assert_eq!(pairs_from_names(&names(known.points)), expected, "{}", known.name);
            assert!(known.skeleton.iter().flatten().all(|&i| i < known.points.len()), "{}", known.name);
        }
        assert_eq!(pairs_from_names(&points::COCO17.names()), points::COCO17.flip_pairs);
    }

    #[test]
    fn sides_in_many_spellings() {
        for (a, b) in [
            ("Left Eye", "Right Eye"),
            ("eye-left", "eye-right"),
            ("LShoulder", "RShoulder"),
            ("L_Shoulder", "r_shoulder"),
            ("lefteye", "righteye"),
            ("LeftEye", "right_eye"),
            ("medial_left_elbow", "medial_right_elbow"),
            ("左肩", "右肩"),
        ] {
            assert_eq!(pairs_from_names(&names(&["nose", a, "tail", b])), [(1, 3)], "{a} {b}");
        }
        // `bright` holds `right`, but nothing is called `bleft`; a side without its other stays alone.
        assert_eq!(pairs_from_names(&names(&["bright", "left", "left_eye", "lr"])), []);
    }

    #[test]
    fn whole_body_is_an_involution_over_133_points() {
        let w = whole_body();
        assert_eq!(w.points.len(), 133);
        let p = points::flip_permutation(133, &w.flip_pairs);
        assert!((0..133).all(|i| p[p[i]] == i));
        // Points on the axis: nose, and on the face chin, nose bridge, and the middle of nose and lips.
        assert_eq!(p.iter().enumerate().filter(|&(i, &j)| i == j).count(), 1 + 10);
        assert!(w.skeleton.iter().flatten().all(|&i| i < 133));
        let mut sorted = w.points.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), 133);
    }
}
