//! Categories that follow from a count or from names, for formats that say less than COCO.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use super::model::{Category, PairSource};
use crate::sets::PointSet;
use crate::sets::naming;

/// The category of a face with so many points.
pub(crate) fn face_category(count: usize) -> Category {
    let set = PointSet::guess(count).filter(|s| s.is_face());
    Category {
        id: 1,
        name: "face".into(),
        points: match set {
            Some(set) => set.names(),
            None => (0..count).map(|i| format!("point_{i}")).collect(),
        },
        skeleton: set.map(PointSet::drawn_lines).unwrap_or_default(),
        flip_pairs: set.map(|s| s.flip_pairs.to_vec()).unwrap_or_default(),
        pairs_from: set.map_or(PairSource::None, |s| PairSource::Known(s.name)),
        sigmas: None,
    }
}

/// A category with the points of a known set.
pub(crate) fn known_category(known: &PointSet) -> Category {
    Category {
        id: 1,
        name: known.category.into(),
        points: known.names(),
        skeleton: known.drawn_lines(),
        flip_pairs: known.flip_pairs.to_vec(),
        pairs_from: PairSource::Known(known.name),
        sigmas: None,
    }
}

/// Gives a category that has only names its lines and mirror pairs, as far as the names tell them.
pub(crate) fn complete(c: &mut Category) {
    if let PairSource::Known(_) = c.pairs_from {
        return;
    }
    if let Some(known) = PointSet::by_points(&c.points) {
        c.skeleton = known.drawn_lines();
        c.flip_pairs = known.flip_pairs.to_vec();
        c.pairs_from = PairSource::Known(known.name);
    } else {
        let face = face_category(c.points.len());
        if face.points == c.points && !face.flip_pairs.is_empty() {
            (c.skeleton, c.flip_pairs, c.pairs_from) = (face.skeleton, face.flip_pairs, face.pairs_from);
            return;
        }
        c.flip_pairs = naming::pairs_from_names(&c.points);
        c.pairs_from = if c.flip_pairs.is_empty() { PairSource::None } else { PairSource::Names };
    }
}
