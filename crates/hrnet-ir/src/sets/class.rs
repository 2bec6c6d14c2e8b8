//! What a class set is, and the table of all that are known.

use super::naming::{normal, squeezed};
use super::{scene, street};

/// The colours of classes in drawings and palette images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassColours {
    /// The set's own, one per class.
    Own(&'static [[u8; 3]]),
    /// Those of PASCAL VOC, dealt out from the bits of the class id: see [`voc_colour`].
    Bits,
}

/// A named set of classes, in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassSet {
    /// Name of the set; unique.
    pub name: &'static str,
    /// Other names of it.
    pub aliases: &'static [&'static str],
    /// Names of the classes.
    pub classes: &'static [&'static str],
    /// Their colours.
    pub colours: ClassColours,
    /// Classes that change places in a mirrored image.
    pub flip_pairs: &'static [(u8, u8)],
    /// Where these facts come from.
    pub source: &'static str,
}

impl ClassSet {
    /// All known sets.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        [
            &street::CITYSCAPES,
            &street::CAMVID,
            &street::LIP,
            &scene::ADE20K,
            &scene::VOC21,
            &scene::PASCAL_CONTEXT_59,
            &scene::PASCAL_CONTEXT_60,
            &scene::COCO_STUFF,
        ]
        .into_iter()
    }

    /// The set of that name or alias; upper and lower case, `-` and `_` are alike.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        let wanted = squeezed(name);
        Self::all().find(|s| squeezed(s.name) == wanted || s.aliases.iter().any(|a| squeezed(a) == wanted))
    }

    /// The set with these classes, in this order; upper and lower case, spaces and `-` are alike.
    pub fn by_classes<T: AsRef<str>>(names: &[T]) -> Option<&'static Self> {
        let same = |a: &str, b: &T| a == b.as_ref() || normal(a) == normal(b.as_ref());
        let fits = |s: &&Self| {
            s.classes.len() == names.len() && s.classes.iter().zip(names).all(|(a, b)| same(a, b))
        };
        Self::all().find(fits)
    }

    /// What a number of classes most likely means: one of the sets of the official configurations. A guess, to be called one.
    pub fn guess(count: usize) -> Option<&'static Self> {
        use {scene::*, street::*};
        [&CITYSCAPES, &LIP, &ADE20K, &PASCAL_CONTEXT_59, &PASCAL_CONTEXT_60, &COCO_STUFF]
            .into_iter()
            .find(|s| s.classes.len() == count)
    }

    /// The names of the classes, in order.
    pub fn names(&self) -> Vec<String> {
        self.classes.iter().map(ToString::to_string).collect()
    }
}

/// The colour that PASCAL VOC gives a class: the bits of the number, dealt out to red, green and blue from the highest bit down.
/// 0 is black, 255, for pixels to ignore, (224, 224, 192).
pub fn voc_colour(class: usize) -> [u8; 3] {
    let mut rgb = [0u8; 3];
    let mut rest = class;
    for shift in (0..8).rev() {
        for (c, channel) in rgb.iter_mut().enumerate() {
            *channel |= u8::from(rest >> c & 1 == 1) << shift;
        }
        rest >>= 3;
    }
    rgb
}

/// Colours written as hexadecimal numbers.
pub(super) const fn rgb<const N: usize>(numbers: [u32; N]) -> [[u8; 3]; N] {
    let mut out = [[0; 3]; N];
    let mut i = 0;
    while i < N {
        let [_, r, g, b] = numbers[i].to_be_bytes();
        out[i] = [r, g, b];
        i += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_consistent() {
        let all: Vec<_> = ClassSet::all().collect();
        for (i, s) in all.iter().enumerate() {
            let mut names = s.names();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), s.classes.len(), "{}: a name occurs twice", s.name);
            if let ClassColours::Own(colours) = s.colours {
                assert_eq!(colours.len(), s.classes.len(), "{}: colours", s.name);
            }
            assert!(s.flip_pairs.iter().all(|&(a, b)| usize::from(a.max(b)) < s.classes.len() && a != b));
            assert_eq!(ClassSet::by_name(s.name), Some(*s));
            assert_eq!(ClassSet::by_classes(s.classes), Some(*s));
            for a in s.aliases {
                assert_eq!((ClassSet::by_name(a), normal(a).as_str()), (Some(*s), *a), "{a}");
            }
            assert!(all[..i].iter().all(|o| o.name != s.name));
        }
    }

    #[test]
    fn known_facts() {
        assert_eq!(ClassSet::by_name("Cityscapes").unwrap().classes[13], "car");
        assert_eq!(ClassSet::by_name("PASCAL Context 59").unwrap().classes[0], "aeroplane");
        let shouted: Vec<String> =
            street::LIP.names().iter().map(|n| n.to_uppercase().replace(' ', "-")).collect();
        assert_eq!(ClassSet::by_classes(&shouted), Some(&street::LIP));
        assert_eq!(ClassSet::guess(150).unwrap().name, "ade20k");
        assert_eq!((ClassSet::guess(11), ClassSet::guess(21), ClassSet::by_name("pets")), (None, None, None));
        assert_eq!((voc_colour(1), voc_colour(255)), ([128, 0, 0], [224, 224, 192]));
    }
}
