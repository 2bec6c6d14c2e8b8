//! What a point set is, and the table of all that are known.
//!
//! Indices are 0-based. Left and right are the person's.

use super::{animal, body, face, fashion, hand, naming, whole_body};

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

/// What a set describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointKind {
    /// The body of a person.
    Body,
    /// Body, feet, face and hands.
    WholeBody,
    /// A face.
    Face,
    /// One hand or two.
    Hand,
    /// An animal.
    Animal,
    /// A piece of clothing.
    Fashion,
}

impl PointKind {
    /// Its name in listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::WholeBody => "whole body",
            Self::Face => "face",
            Self::Hand => "hand",
            Self::Animal => "animal",
            Self::Fashion => "fashion",
        }
    }
}

/// Whose the constants of OKS are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigmaSource {
    /// The set has none.
    None,
    /// The authors of the data set, or its evaluation.
    Published(&'static str),
    /// Others took them over from another set: no score with them is an official one.
    Adapted(&'static str),
}

/// A named set of points.
#[derive(Debug, Clone, Copy)]
pub struct PointSet {
    /// Name of the set; unique.
    pub name: &'static str,
    /// Other names of it: those of its data set. Two sets of one data set share one.
    pub aliases: &'static [&'static str],
    /// What it describes.
    pub kind: PointKind,
    /// Whose points they are, as a category of a data set.
    pub category: &'static str,
    /// Number of points.
    pub count: usize,
    /// Names of the points; empty where they are named after their region.
    pub joints: &'static [&'static str],
    /// Other names of the points, in the same order, by which the set is recognised too; may be empty.
    pub also: &'static [&'static str],
    /// Points that change places in a mirrored image. All others keep their index.
    pub flip_pairs: &'static [(usize, usize)],
    /// Lines between points, as the data set has them; may be empty.
    pub lines: &'static [[usize; 2]],
    /// Chains and rings of points by region; where there are any, they are drawn instead of the lines.
    pub outlines: &'static [Outline],
    /// Constants of OKS, one per point, over the square root of the area; may be empty.
    pub sigmas: &'static [f64],
    /// Whose those constants are.
    pub sigmas_from: SigmaSource,
    /// Parts of the set: name, first and last index.
    pub parts: &'static [(&'static str, usize, usize)],
    /// Where these facts come from.
    pub source: &'static str,
}

/// Names are unique in the table.
impl PartialEq for PointSet {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for PointSet {}

/// Files of the table, in the order in which sets are looked for.
const FILES: [&[&PointSet]; 6] =
    [&body::ALL, &whole_body::ALL, &face::ALL, &hand::ALL, &animal::ALL, &fashion::ALL];

impl PointSet {
    /// All known sets.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        FILES.into_iter().flatten().copied()
    }

    /// The set of that name, or of that name of a data set; upper and lower case, `-` and `_` are alike. `None` for a name that two sets
    /// of different size share: see [`PointSet::find`].
    pub fn by_name(name: &str) -> Option<&'static Self> {
        let mut found = Self::called(name);
        match (found.next(), found.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        }
    }

    /// [`PointSet::by_name`] among the sets of `count` points.
    pub fn find(name: &str, count: usize) -> Option<&'static Self> {
        Self::called(name).find(|s| s.count == count)
    }

    /// The sets that a name can mean: the one set of that name, or those with that alias.
    fn called(name: &str) -> impl Iterator<Item = &'static Self> {
        let wanted = naming::squeezed(name);
        let same = move |other: &str| naming::squeezed(other) == wanted;
        let own = Self::all().any(|s| same(s.name));
        Self::all().filter(move |s| match own {
            true => same(s.name),
            false => s.aliases.iter().any(|a| same(a)),
        })
    }

    /// The set with these names of points, in this order. Of sets with the same names the first of the table.
    pub fn by_points<T: AsRef<str>>(names: &[T]) -> Option<&'static Self> {
        let mut same_size = Self::all().filter(|s| s.count == names.len()).peekable();
        same_size.peek()?;
        let names: Vec<String> = names.iter().map(|n| naming::normal(n.as_ref())).collect();
        same_size.find(|s| {
            let own = |i: usize, n: &String| match s.joints.get(i) {
                Some(joint) => naming::normal(joint) == *n,
                None => s.point_name(i) == *n,
            };
            let also = s.also.len() == names.len();
            let nameless = s.joints.is_empty() && s.outlines.is_empty();
            !nameless && names.iter().enumerate().all(|(i, n)| own(i, n))
                || also && s.also.iter().zip(&names).all(|(a, n)| naming::normal(a) == *n)
        })
    }

    /// What a number of points most likely means: one of the six sets of the official configurations. A guess, to be called
    /// one: other sets have as many points (AP-10K has 17, as COCO).
    pub fn guess(count: usize) -> Option<&'static Self> {
        use {body::*, face::*};
        [&MPII16, &COCO17, &AFLW19, &COFW29, &FACE68, &WFLW98].into_iter().find(|s| s.count == count)
    }

    /// The index that each point has in the mirrored image.
    pub fn flip_permutation(&self) -> Vec<usize> {
        flip_permutation(self.count, self.flip_pairs)
    }

    /// The name of a point: its own, or for faces that of its region and its place in it.
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

    /// The lines that are drawn: along the outlines where there are any, else the set's own.
    pub fn drawn_lines(&self) -> Vec<[usize; 2]> {
        if self.outlines.is_empty() {
            return self.lines.to_vec();
        }
        let mut out = Vec::new();
        for o in self.outlines {
            out.extend(o.points.windows(2).filter_map(|w| <[usize; 2]>::try_from(w).ok()));
            if let (true, Some(&first), Some(&last)) = (o.closed, o.points.first(), o.points.last()) {
                out.push([last, first]);
            }
        }
        out
    }

    /// Whether it is drawn by region, as faces are.
    pub fn is_face(&self) -> bool {
        self.kind == PointKind::Face
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

pub(super) const fn open(name: &'static str, points: &'static [usize]) -> Outline {
    Outline { name, points, closed: false }
}

pub(super) const fn closed(name: &'static str, points: &'static [usize]) -> Outline {
    Outline { name, points, closed: true }
}

#[cfg(test)]
mod tests {
    use super::super::naming::{normal, pairs_from_names, squeezed};
    use super::super::{
        AFLW19, AP10K17, COCO_WHOLEBODY133, COCO17, COFW29, FACE68, HUMANART21, MACAQUE17, MPII16, WFLW98,
    };
    use super::*;

    #[test]
    fn every_row_is_consistent() {
        for s in PointSet::all() {
            assert!(s.joints.is_empty() || s.joints.len() == s.count, "{}: names", s.name);
            assert!(s.also.is_empty() || s.also.len() == s.count, "{}: other names", s.name);
            assert!(s.sigmas.is_empty() || s.sigmas.len() == s.count, "{}: sigmas", s.name);
            assert_eq!(s.sigmas.is_empty(), s.sigmas_from == SigmaSource::None, "{}", s.name);
            assert!(s.sigmas.iter().all(|v| v.is_finite() && *v > 0.0), "{}", s.name);
            let lines = s.lines.iter().chain(&s.drawn_lines()).flatten().copied().collect::<Vec<_>>();
            assert!(lines.iter().all(|&i| i < s.count), "{}: lines", s.name);
            assert!(s.lines.iter().all(|[a, b]| a != b), "{}: lines", s.name);
            assert!(s.parts.iter().all(|&(_, a, b)| a <= b && b < s.count), "{}: parts", s.name);
            let covered: usize = s.parts.iter().map(|&(_, a, b)| b - a + 1).sum();
            assert!(s.parts.is_empty() || covered == s.count, "{}: parts", s.name);
            assert!(!s.source.is_empty() && !s.category.is_empty(), "{}", s.name);
            assert_eq!(normal(s.name), s.name);
            assert!(s.aliases.iter().all(|a| normal(a) == *a), "{}", s.name);
        }
    }

    #[test]
    fn names_of_sets_are_unique() {
        let all: Vec<_> = PointSet::all().collect();
        for (i, a) in all.iter().enumerate() {
            for b in &all[..i] {
                assert_ne!(a.name, b.name);
                let has = |s: &PointSet, name: &str| s.aliases.iter().any(|a| squeezed(a) == squeezed(name));
                assert!(!has(a, b.name) && !has(b, a.name), "{} {}", a.name, b.name);
                // An alias that two sets share is told apart by the number of points.
                let shared = a.aliases.iter().any(|x| has(b, x));
                assert!(!shared || a.count != b.count, "{} {}", a.name, b.name);
            }
            assert_eq!(PointSet::by_name(a.name), Some(*a));
            assert!(a.aliases.iter().all(|x| PointSet::find(x, a.count) == Some(*a)), "{}", a.name);
        }
        assert_eq!(PointSet::by_name("AP-10K"), Some(&AP10K17));
        assert_eq!(PointSet::by_name("Human-Art"), None);
        assert_eq!(PointSet::find("Human-Art", 21), Some(&HUMANART21));
        assert_eq!((PointSet::by_name("nonsense"), PointSet::find("coco", 16)), (None, None));
    }

    #[test]
    fn names_of_points_tell_the_set() {
        for s in PointSet::all() {
            let found = PointSet::by_points(&s.names());
            // Sets with the same points are one here; sets without names are not recognised.
            let same = |f: &PointSet| f.names() == s.names() && f.flip_pairs == s.flip_pairs;
            let nameless = s.joints.is_empty() && s.outlines.is_empty();
            assert!(found.map_or(nameless, same), "{}: {found:?}", s.name);
        }
        let spelled: Vec<String> =
            COCO17.names().iter().map(|n| n.to_uppercase().replace('_', " ")).collect();
        assert_eq!(PointSet::by_points(&spelled), Some(&COCO17));
        assert_eq!(PointSet::by_points(AP10K17.also), Some(&AP10K17));
        assert_eq!(PointSet::by_points(COCO_WHOLEBODY133.also), Some(&COCO_WHOLEBODY133));
        // The macaque's points have the names of COCO's, in the same order.
        assert_eq!(PointSet::by_points(MACAQUE17.joints), Some(&COCO17));
        assert_eq!(PointSet::by_points::<&str>(&[]), None);
    }

    #[test]
    fn flipping_is_an_involution_that_names_each_point_once() {
        for set in PointSet::all() {
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
    fn names_with_sides_agree_with_the_pairs() {
        for set in PointSet::all().filter(|s| !s.joints.is_empty()) {
            let mut pairs: Vec<_> = set.flip_pairs.iter().map(|&(a, b)| (a.min(b), a.max(b))).collect();
            pairs.sort_unstable();
            // Points of regions of a face are numbered along the region, so their names do not mirror.
            let in_face = |i: usize| set.parts.iter().any(|&(n, a, b)| n == "face" && (a..=b).contains(&i));
            for pair in pairs_from_names(&set.names()).into_iter().filter(|p| !in_face(p.0)) {
                assert!(pairs.contains(&pair), "{}: {pair:?}", set.name);
            }
        }
    }

    #[test]
    fn outlines_mirror_onto_outlines() {
        // As sets of undirected lines, left and right are mirror images of each other.
        for set in [FACE68, WFLW98, COCO17, MPII16, COCO_WHOLEBODY133] {
            let permutation = set.flip_permutation();
            let lines: Vec<_> = set.drawn_lines().iter().map(|&[a, b]| (a.min(b), a.max(b))).collect();
            for &(a, b) in &lines {
                let (fa, fb) = (permutation[a], permutation[b]);
                assert!(lines.contains(&(fa.min(fb), fa.max(fb))), "{}: {a}-{b}", set.name);
            }
        }
    }

    #[test]
    fn names_are_unique_and_complete() {
        for set in PointSet::all() {
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

    #[test]
    fn guesses_are_the_sets_of_the_official_configurations() {
        for set in [FACE68, WFLW98, COFW29, AFLW19, COCO17, MPII16] {
            assert_eq!(PointSet::guess(set.count), Some(&set));
        }
        assert_eq!((PointSet::guess(14), PointSet::guess(133), PointSet::guess(0)), (None, None, None));
    }

    #[test]
    fn whole_body_is_body_feet_face_and_hands() {
        let w = COCO_WHOLEBODY133;
        let p = w.flip_permutation();
        // Points on the axis: nose, and on the face chin, nose bridge, and the middle of nose and lips.
        assert_eq!(p.iter().enumerate().filter(|&(i, &j)| i == j).count(), 1 + 10);
        assert_eq!(w.names()[..17], COCO17.names());
        let face: Vec<String> = FACE68.names().iter().map(|n| format!("face_{n}")).collect();
        assert_eq!(w.names()[23..91], face);
        assert!(FACE68.flip_pairs.iter().all(|&(a, b)| w.flip_pairs.contains(&(a + 23, b + 23))));
    }
}
