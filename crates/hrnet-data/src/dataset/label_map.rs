//! Tables from the numbers in label images to class ids, with the names of the classes.
//!
//! | set | numbers in the file | class ids | source of the rule |
//! |---|---|---|---|
//! | [`CITYSCAPES`] | label ids 0..=33 | 19 train ids; everything else is ignored | official loader |
//! | [`CAMVID`] | 0..=10, 11 void | 11 | SegNet tutorial |
//! | [`LIP`] | 0..=19 | 20, background included; left and right swap in mirrored images | official loader |
//! | [`ADE20K`] | 0 other, 1..=150 | number less one; 0 is ignored | official loader |
//! | [`PASCAL_CONTEXT_59`] | 0 background, 1..=59 | number less one; background is ignored | official loader |
//! | [`PASCAL_CONTEXT_60`] | 0..=59 | the same, background is a class | official loader |
//! | [`COCO_STUFF`] | 0 unlabelled, 1..=182 with 11 gaps | place in the list of used ids less one; the rest is ignored | official loader |
//!
//! Ignored is [`IGNORE`] (255) in all. [`pascal_context_raw`] maps the 459 numbers of PASCAL-Context's own files.
//!
//! COCO-Stuff: the official rule keeps 0 and 182 - 11 = 171 numbers; 0 becomes -1, which is stored as 255. In files whose
//! numbers were lowered by one before (`*_labelTrainIds.png` of mmsegmentation and others) no rule is needed: [`identity`].
//!
//! Cityscapes' official code writes -1 for ignored in its table, and 255 in every configuration; license plate (-1) is 255 in
//! 8-bit files.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::borrow::Cow;

use crate::sets::{self, ClassSet};

/// The class id of pixels that count for nothing.
pub const IGNORE: u8 = 255;

/// A table from numbers to class ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    /// Name of the set.
    pub name: Cow<'static, str>,
    /// Names of the classes.
    pub classes: Cow<'static, [&'static str]>,
    /// Class id of each number; numbers beyond the table are ignored.
    pub table: Cow<'static, [u8]>,
    /// Classes that change places in a mirrored image.
    pub flip_pairs: &'static [(u8, u8)],
}

impl LabelMap {
    /// The class id of a number.
    pub fn class(&self, number: u16) -> u8 {
        self.table.get(usize::from(number)).copied().unwrap_or(IGNORE)
    }

    /// Class ids of a label image.
    pub fn map(&self, numbers: &[u16]) -> Vec<u8> {
        numbers.iter().map(|&n| self.class(n)).collect()
    }

    /// The number that is written for each class: the last that maps to it, and for [`IGNORE`] the last ignored one
    /// (`Protocol::Official` of Cityscapes' submission files).
    pub fn inverse(&self) -> [u16; 256] {
        let mut out = [u16::from(IGNORE); 256];
        for (n, &c) in (0u16..).zip(self.table.iter()) {
            out.get_mut(usize::from(c)).into_iter().for_each(|v| *v = n);
        }
        out
    }

    /// Numbers of an image that the table does not know at all: not a class, not an ignored number of the set. With their
    /// counts, most frequent first. Numbers within the table and 255 are known.
    pub fn unknown(&self, numbers: &[u16]) -> Vec<(u16, usize)> {
        let mut counts = std::collections::BTreeMap::new();
        for &n in numbers {
            if usize::from(n) >= self.table.len() && n != u16::from(IGNORE) {
                let count = counts.entry(n).or_insert(0usize);
                *count = count.saturating_add(1);
            }
        }
        let mut out: Vec<_> = counts.into_iter().collect();
        out.sort_by_key(|&(n, c)| (std::cmp::Reverse(c), n));
        out
    }
}

/// Numbers that are class ids already: 0 to `classes` - 1.
pub fn identity(classes: u8) -> LabelMap {
    LabelMap {
        name: "ids".into(),
        classes: Cow::Owned(Vec::new()),
        table: Cow::Owned((0..classes).collect()),
        flip_pairs: &[],
    }
}

/// A set by name: `cityscapes`, `camvid`, `lip`, `ade20k`, `pascal-context-59`, `pascal-context-60`, `coco-stuff`.
pub fn by_name(name: &str) -> Option<&'static LabelMap> {
    [&CITYSCAPES, &CAMVID, &LIP, &ADE20K, &PASCAL_CONTEXT_59, &PASCAL_CONTEXT_60, &COCO_STUFF]
        .into_iter()
        .find(|m| m.name == name)
}

/// The set that has these classes and stores them as their own numbers, so that its label images need no other rule: CamVid,
/// whose void (11) is then known, LIP, PASCAL-Context with its background. Upper and lower case are alike.
pub fn of_classes(names: &[String]) -> Option<&'static LabelMap> {
    [&CAMVID, &LIP, &PASCAL_CONTEXT_60].into_iter().find(|m| {
        let same = |(a, b): (&&str, &String)| a.eq_ignore_ascii_case(b);
        m.classes.len() == names.len() && m.classes.iter().zip(names).all(same)
    })
}

/// 0, 1, ..., N - 1.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)] // Runs when compiling: a slip is a build error.
const fn same<const N: usize>() -> [u8; N] {
    let mut out = [IGNORE; N];
    let mut i = 0;
    while i < N {
        out[i] = i as u8;
        i += 1;
    }
    out
}

/// One less; 0 is ignored.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // Runs when compiling: a slip is a build error.
const fn less_one<const N: usize>() -> [u8; N] {
    let mut out = same::<N>();
    let mut i = 0;
    while i < N {
        out[i] = out[i].wrapping_sub(1);
        i += 1;
    }
    out
}

/// The rule for the label images of a set.
const fn map(set: &ClassSet, table: &'static [u8]) -> LabelMap {
    LabelMap {
        name: Cow::Borrowed(set.name),
        classes: Cow::Borrowed(set.classes),
        table: Cow::Borrowed(table),
        flip_pairs: set.flip_pairs,
    }
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)] // Runs when compiling: a slip is a build error.
const CITYSCAPES_TABLE: [u8; 34] = {
    let ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33];
    let mut out = [IGNORE; 34];
    let mut i = 0;
    while i < ids.len() {
        out[ids[i]] = i as u8;
        i += 1;
    }
    out
};

/// Cityscapes, `*_labelIds.png`.
pub static CITYSCAPES: LabelMap = map(&sets::CITYSCAPES, &CITYSCAPES_TABLE);

/// Weights of the classes in the official loss.
pub const CITYSCAPES_WEIGHTS: [f32; 19] = [
    0.8373, 0.918, 0.866, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786, 1.0023, 0.9539, 0.9843, 1.1116,
    0.9037, 1.0865, 1.0955, 1.0865, 1.1529, 1.0507,
];

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // Runs when compiling: a slip is a build error.
const CAMVID_TABLE: [u8; 12] = {
    let mut out = same::<12>();
    out[11] = IGNORE;
    out
};

/// CamVid with the 11 classes of SegNet.
pub static CAMVID: LabelMap = map(&sets::CAMVID, &CAMVID_TABLE);

/// Look into Person.
pub static LIP: LabelMap = map(&sets::LIP, &same::<20>());

/// ADE20K, 150 classes.
pub static ADE20K: LabelMap = map(&sets::ADE20K, &less_one::<151>());

/// PASCAL-Context without background.
pub static PASCAL_CONTEXT_59: LabelMap = map(&sets::PASCAL_CONTEXT_59, &less_one::<60>());

/// PASCAL-Context with background as class 0.
pub static PASCAL_CONTEXT_60: LabelMap = map(&sets::PASCAL_CONTEXT_60, &same::<60>());

/// The numbers of PASCAL-Context's own 459 classes that the 60 are made of. Both lists are alphabetical, so that the
/// class of a number is its place (the official loader sorts the numbers for that).
const PASCAL_RAW: [u16; 60] = [
    0, 2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113, 115, 144,
    158, 159, 162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326, 347, 349, 354, 355,
    360, 366, 368, 397, 415, 416, 420, 424, 427, 440, 445, 454, 458,
];

/// The numbers that are kept of COCO-Stuff's 1..=182: those of things that COCO never used are missing.
const COCO_STUFF_GAPS: [usize; 11] = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91];

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // Runs when compiling: a slip is a build error.
const COCO_STUFF_TABLE: [u8; 183] = {
    let mut out = [IGNORE; 183];
    let (mut number, mut class, mut gap) = (1, 0, 0);
    while number < 183 {
        if gap < COCO_STUFF_GAPS.len() && COCO_STUFF_GAPS[gap] == number {
            gap += 1;
        } else {
            out[number] = class;
            class += 1;
        }
        number += 1;
    }
    out
};

/// COCO-Stuff, 171 classes: 80 things and 91 kinds of stuff.
pub static COCO_STUFF: LabelMap = map(&sets::COCO_STUFF, &COCO_STUFF_TABLE);

/// PASCAL-Context's own label files, whose numbers go to 459: class ids of the 60 classes, or of the 59 without background.
pub fn pascal_context_raw(background: bool) -> LabelMap {
    let mut table = vec![IGNORE; 460];
    for (class, &number) in (0u8..).zip(PASCAL_RAW.iter()) {
        let id = if background { class } else { class.wrapping_sub(1) };
        table.get_mut(usize::from(number)).into_iter().for_each(|v| *v = id);
    }
    let of = if background { &PASCAL_CONTEXT_60 } else { &PASCAL_CONTEXT_59 };
    LabelMap { table: Cow::Owned(table), ..of.clone() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tables_reach_every_class_once() {
        let raw = [pascal_context_raw(true), pascal_context_raw(false)];
        let all = [&CITYSCAPES, &CAMVID, &LIP, &ADE20K, &PASCAL_CONTEXT_59, &PASCAL_CONTEXT_60, &COCO_STUFF];
        for m in all.into_iter().chain(&raw) {
            let mut reached: Vec<u8> = m.table.iter().copied().filter(|&c| c != IGNORE).collect();
            reached.sort_unstable();
            let wanted: Vec<u8> = (0..m.classes.len()).map(|i| u8::try_from(i).unwrap()).collect();
            assert_eq!(reached, wanted, "{}", m.name);
            let mut names = m.classes.to_vec();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), m.classes.len(), "{}: a name occurs twice", m.name);
            assert_eq!(m.class(60_000), IGNORE);
        }
        for m in all {
            assert_eq!(by_name(&m.name), Some(m));
        }
        assert_eq!(by_name("ids"), None);
    }

    #[test]
    fn known_places() {
        let get = |m: &LabelMap, n: u16| m.classes.get(usize::from(m.class(n))).copied();
        assert_eq!([7, 24, 33].map(|n| get(&CITYSCAPES, n)), [Some("road"), Some("person"), Some("bicycle")]);
        assert_eq!([0, 1, 150].map(|n| get(&ADE20K, n)), [None, Some("wall"), Some("flag")]);
        assert_eq!(
            [0, 11, 12, 13, 90, 91, 92, 182].map(|n| get(&COCO_STUFF, n)),
            [
                None,
                Some("fire hydrant"),
                None,
                Some("stop sign"),
                Some("toothbrush"),
                None,
                Some("banner"),
                Some("wood"),
            ]
        );
        assert_eq!([0, 59].map(|n| get(&PASCAL_CONTEXT_60, n)), [Some("background"), Some("wood")]);
        assert_eq!([0, 1].map(|n| get(&PASCAL_CONTEXT_59, n)), [None, Some("aeroplane")]);
        assert_eq!(
            [2, 9, 115, 259, 458, 0, 1].map(|n| get(&pascal_context_raw(false), n)),
            [Some("aeroplane"), Some("bag"), Some("door"), Some("mountain"), Some("wood"), None, None,]
        );
        assert_eq!(CITYSCAPES.inverse()[18], 33);
        assert_eq!(CITYSCAPES.unknown(&[7, 255, 34, 200, 34]), [(34, 2), (200, 1)]);
        assert_eq!(identity(3).map(&[0, 2, 3, 255]), [0, 2, 255, 255]);
    }
}
