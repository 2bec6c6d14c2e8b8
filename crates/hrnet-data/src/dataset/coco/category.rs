//! Categories of a COCO-style file: names, lines, flip pairs.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Id, Notes, duplicate, entry, or_default};
use crate::dataset::model::{Broken, Category, DataError, PairSource, Place, Reader, Seen, short};
use crate::sets::naming;
use crate::sets::{COCO_WHOLEBODY133, PointSet};

#[derive(Deserialize)]
struct RawCategory {
    id: Id,
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    keypoints: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    skeleton: Vec<[i64; 2]>,
    flip_pairs: Option<Vec<[i64; 2]>>,
    sigmas: Option<Vec<f64>>,
}

/// The categories; points of unnamed ones are counted from the first annotation.
pub(super) struct Categories {
    pub list: Vec<Category>,
    pub index: HashMap<i64, usize>,
    named: Vec<bool>,
}

impl Categories {
    pub fn new(
        raw: &[&RawValue],
        lenient: Broken,
        reader: &mut Reader<'_>,
        notes: &mut Notes,
    ) -> Result<Self, DataError> {
        let mut out = Self { list: Vec::new(), index: HashMap::new(), named: Vec::new() };
        for (i, item) in raw.iter().enumerate() {
            let place = Place::Item { list: "categories", index: i };
            let mut odd = Vec::new();
            let result =
                category(item, reader, &place, notes, &mut odd).and_then(|c| match out.index.get(&c.id) {
                    Some(&first) => {
                        Err(duplicate(reader.path, &place, format!("category id {}", c.id), first as u64))
                    }
                    None => Ok(c),
                });
            if let Some(e) = odd.first().filter(|_| lenient == Broken::Refuse) {
                return Err(e.clone());
            }
            reader.skipped.append(&mut odd);
            // Without its categories nothing in a file can be understood, so these are never skipped.
            let category = result?;
            out.index.insert(category.id, out.list.len());
            out.named.push(!category.points.is_empty());
            out.list.push(category);
        }
        if out.list.is_empty() {
            out.index.insert(1, 0);
            out.named.push(false);
            out.list.push(Category {
                id: 1,
                name: "object".into(),
                points: Vec::new(),
                skeleton: Vec::new(),
                flip_pairs: Vec::new(),
                pairs_from: PairSource::None,
                sigmas: None,
            });
            notes.add("there are no categories: one category with id 1 is assumed", &Place::File);
        }
        Ok(out)
    }

    /// The points of a category by the number that an annotation has; false when the category has other ones.
    pub fn fits(&mut self, index: usize, count: usize) -> bool {
        let Some(category) = self.list.get_mut(index) else { return false };
        if category.points.len() == count {
            return true;
        }
        if !category.points.is_empty() {
            // The joined form of COCO-WholeBody repeats the 17 names of COCO.
            let is_body = category.points.len() == 17 && count == 133;
            if is_body {
                take(category, &COCO_WHOLEBODY133);
            }
            return is_body;
        }
        match PointSet::guess(count) {
            Some(set) => take(category, set),
            None => category.points = (0..count).map(|i| format!("point_{i}")).collect(),
        }
        true
    }

    pub fn finish(self, notes: &mut Notes) -> Vec<Category> {
        for (i, c) in self.list.iter().enumerate() {
            let place = Place::Item { list: "categories", index: i };
            if self.named.get(i) == Some(&false) && !c.points.is_empty() {
                let n = c.points.len();
                match c.pairs_from {
                    PairSource::Known(set) => {
                        notes.add(format!("no names: taken for the {n} points of {set}"), &place)
                    }
                    _ => notes.add(format!("no names for its {n} points, and no flip pairs"), &place),
                }
            } else if c.pairs_from == PairSource::None && c.points.len() > 1 {
                notes.add("no flip pairs: the names have no left and right", &place);
            }
        }
        self.list
    }
}

/// Gives a category the points of a set.
fn take(category: &mut Category, set: &'static PointSet) {
    category.points = set.names();
    category.skeleton = set.drawn_lines();
    category.flip_pairs = set.flip_pairs.to_vec();
    category.pairs_from = PairSource::Known(set.name);
}

fn category(
    item: &RawValue,
    reader: &Reader<'_>,
    place: &Place,
    notes: &mut Notes,
    odd: &mut Vec<DataError>,
) -> Result<Category, DataError> {
    let bad = |problem: String, fix| DataError::entry(reader.path, place.clone(), problem, fix);
    let raw: RawCategory = entry(item, reader.path, place)?;
    let id = raw.id.get().map_err(|e| bad(e, "ids are whole numbers"))?;
    let n = raw.keypoints.len();
    if n > reader.options.limits.max_points {
        return Err(DataError::Limit {
            path: reader.path.to_path_buf(),
            what: "points per category",
            limit: reader.options.limits.max_points as u64,
        });
    }
    let mut names = Seen::new();
    for (i, name) in raw.keypoints.iter().enumerate() {
        if let Some(first) = names.before(name, i as u64) {
            let problem = format!("points {first} and {i} are both called {:?}", short(name));
            return Err(bad(problem, "give every point its own name"));
        }
    }
    let known = PointSet::by_points(&raw.keypoints);
    let line = |&[a, b]: &[i64; 2]| -> Option<[usize; 2]> {
        let of = |v: i64| usize::try_from(v.checked_sub(1)?).ok().filter(|&i| i < n);
        Some([of(a)?, of(b)?])
    };
    let mut skeleton: Vec<[usize; 2]> = raw.skeleton.iter().filter_map(line).collect();
    if skeleton.len() != raw.skeleton.len() && n > 0 {
        let zero = raw.skeleton.iter().flatten().any(|&v| v == 0);
        let why = if zero {
            "skeleton lines are 1-based, and one names point 0"
        } else {
            "its skeleton names points beyond its list"
        };
        match known {
            Some(k) => {
                skeleton = k.drawn_lines();
                notes.add(format!("{why}: the lines of {} are used instead", k.name), place);
            }
            None => notes.add(format!("{why}: those lines are left out"), place),
        }
    } else if skeleton.is_empty()
        && let Some(k) = known
    {
        skeleton = k.drawn_lines();
    }
    let (flip_pairs, pairs_from) = match raw.flip_pairs {
        Some(pairs) => match checked_pairs(&pairs, n) {
            Ok(pairs) => (pairs, PairSource::File),
            Err(e) => {
                odd.push(bad(e, "flip_pairs are 0-based and name each point once"));
                (Vec::new(), PairSource::None)
            }
        },
        None => match known {
            Some(k) => (k.flip_pairs.to_vec(), PairSource::Known(k.name)),
            None => {
                let pairs = naming::pairs_from_names(&raw.keypoints);
                let from = if pairs.is_empty() { PairSource::None } else { PairSource::Names };
                (pairs, from)
            }
        },
    };
    let valid = |s: &Vec<f64>| s.len() == n && s.iter().all(|&v| v.is_finite() && v > 0.0);
    if raw.sigmas.as_ref().is_some_and(|s| !valid(s)) {
        odd.push(bad("sigmas are not one positive number per point".into(), "correct or remove them"));
    }
    Ok(Category {
        id,
        name: raw.name,
        points: raw.keypoints,
        skeleton,
        flip_pairs,
        pairs_from,
        sigmas: raw.sigmas.filter(valid),
    })
}

/// Pairs within range, in which no point occurs twice: an involution.
fn checked_pairs(pairs: &[[i64; 2]], n: usize) -> Result<Vec<(usize, usize)>, String> {
    let mut used = vec![false; n];
    let mut out = Vec::with_capacity(pairs.len());
    for &[a, b] in pairs {
        let mut of = |v: i64| {
            let i = usize::try_from(v)
                .ok()
                .filter(|&i| i < n)
                .ok_or(format!("flip_pairs names point {v} of {n}"))?;
            if used.get_mut(i).is_some_and(|u| std::mem::replace(u, true)) {
                return Err(format!("flip_pairs names point {v} twice"));
            }
            Ok(i)
        };
        out.push((of(a)?, of(b)?));
    }
    Ok(out)
}
