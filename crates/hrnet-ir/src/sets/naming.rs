//! What names of points say: how they are compared, which of them are left and right.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

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

/// The name of a set as it is compared: letters and digits alone, lower case. `AP-10K` and `ap10k` are one.
pub fn squeezed(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
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

#[cfg(test)]
mod tests {
    use super::super::{AIC14, AP10K17, COCO17, CROWDPOSE14, LSP14};
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_give_the_pairs_of_the_known_sets() {
        for known in [CROWDPOSE14, AIC14, LSP14, AP10K17, COCO17] {
            let mut expected = known.flip_pairs.to_vec();
            expected.sort_unstable();
            assert_eq!(pairs_from_names(&known.names()), expected, "{}", known.name);
        }
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
}
