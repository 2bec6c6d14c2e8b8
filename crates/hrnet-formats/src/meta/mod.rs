//! What a checkpoint says about itself beside its weights: names and mirror pairs of its points (`meta.dataset_meta`), and its
//! configuration text (`meta.cfg` of mmengine, `meta.config` of mmcv).
//!
//! All of it is data from a stranger: texts are cut to sensible lengths, indices are checked, and nothing is run.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![deny(clippy::cast_possible_truncation, clippy::panic)]

mod config;
mod python;

pub use config::ConfigFacts;

use crate::pickle::{Id, Pickle, Value};
use hrnet_ir::sets::PointSet;
use std::collections::BTreeMap;

/// Most points or classes of a data set.
const MAX_NAMES: usize = 4096;
/// Longest name.
const MAX_NAME: usize = 200;

/// What stands beside the weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    /// The data set, where the file describes it.
    pub dataset: Option<DatasetMeta>,
    /// Names of the classes (`CLASSES`, or `classes` of the data set).
    pub classes: Vec<String>,
    /// The facts of the configuration text.
    pub config: Option<ConfigFacts>,
    /// Where that text stands: `meta.cfg`, `meta.config`.
    pub config_entry: &'static str,
}

/// `meta.dataset_meta` of mmengine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatasetMeta {
    /// Name of the data set.
    pub name: Option<String>,
    /// Names of the points, in order.
    pub names: Vec<String>,
    /// Points that change places in a mirrored image.
    pub flip_pairs: Vec<[usize; 2]>,
    /// Whether the file says which points change places; `flip_pairs` may be empty by intent.
    pub has_pairs: bool,
    /// Lines between points.
    pub skeleton: Vec<[usize; 2]>,
}

impl DatasetMeta {
    /// The known set that this is: by its names, or by its name where the number of points is the same.
    pub fn set(&self) -> Option<&'static PointSet> {
        let by_name = self.name.as_deref().and_then(|n| PointSet::find(n, self.names.len()));
        by_name.filter(|s| self.agrees(s)).or_else(|| PointSet::by_points(&self.names))
    }

    /// Whether a set has the same mirror pairs, as far as the file tells its own.
    fn agrees(&self, set: &PointSet) -> bool {
        let sorted = |pairs: Vec<(usize, usize)>| {
            let mut pairs: Vec<_> = pairs.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
            pairs.sort_unstable();
            pairs
        };
        !self.has_pairs
            || sorted(set.flip_pairs.to_vec())
                == sorted(self.flip_pairs.iter().map(|&[a, b]| (a, b)).collect())
    }
}

impl Meta {
    /// Reads the entry `meta` of a checkpoint's dictionary.
    pub(crate) fn read(pickle: &Pickle, root: u32) -> Self {
        let Some(Value::Dict(meta)) = entry(pickle, root, "meta").map(|id| pickle.value(id)) else {
            return Self::default();
        };
        let mut out = Self::default();
        for (key, place) in [("cfg", "meta.cfg"), ("config", "meta.config")] {
            if let Some(text) = entry(pickle, meta, key).and_then(|id| pickle.as_str(id)) {
                (out.config, out.config_entry) = (Some(ConfigFacts::read(text)), place);
                break;
            }
        }
        if let Some(id) = entry(pickle, meta, "CLASSES") {
            out.classes = texts(pickle, id);
        }
        if let Some(Value::Dict(set)) = entry(pickle, meta, "dataset_meta").map(|id| pickle.value(id)) {
            if let Some(id) = entry(pickle, set, "classes").or_else(|| entry(pickle, set, "CLASSES")) {
                out.classes = texts(pickle, id);
            }
            out.dataset = dataset(pickle, set);
        }
        out
    }
}

fn dataset(pickle: &Pickle, set: u32) -> Option<DatasetMeta> {
    let Value::Dict(names) = pickle.value(entry(pickle, set, "keypoint_id2name")?) else { return None };
    let mut by_id = BTreeMap::new();
    for &(id, name) in pickle.dict(names).iter().take(MAX_NAMES) {
        let Value::Int(id) = pickle.value(id) else { return None };
        let name = pickle.as_str(name).filter(|n| n.len() <= MAX_NAME && !n.contains(char::is_control))?;
        by_id.insert(usize::try_from(id).ok()?, name.to_string());
    }
    let count = by_id.len();
    if count == 0 || by_id.keys().enumerate().any(|(i, &id)| i != id) {
        return None;
    }
    let names: Vec<String> = by_id.into_values().collect();
    let indices = entry(pickle, set, "flip_indices").and_then(|id| involution(pickle, id, count));
    let pairs = indices
        .as_ref()
        .map(|flip| flip.iter().enumerate().filter(|&(i, &j)| i < j).map(|(i, &j)| [i, j]).collect());
    let lines = entry(pickle, set, "skeleton_links").map(|id| elements(pickle, id)).unwrap_or_default();
    let line = |id: &Id| match *elements(pickle, *id) {
        [a, b] => Some([index(pickle, a, count)?, index(pickle, b, count)?]),
        _ => None,
    };
    let name = entry(pickle, set, "dataset_name").and_then(|id| pickle.as_str(id));
    Some(DatasetMeta {
        name: name.filter(|n| n.len() <= MAX_NAME).map(str::to_string),
        names,
        has_pairs: indices.is_some(),
        flip_pairs: pairs.unwrap_or_default(),
        skeleton: lines.iter().take(MAX_NAMES).filter_map(line).collect(),
    })
}

/// The place of every point in the mirrored image, where it is one.
fn involution(pickle: &Pickle, id: Id, count: usize) -> Option<Vec<usize>> {
    let list = elements(pickle, id);
    let flip: Vec<usize> = list.iter().map(|&id| index(pickle, id, count)).collect::<Option<_>>()?;
    let back = |i: usize| flip.get(i).and_then(|&j| flip.get(j)) == Some(&i);
    (flip.len() == count && (0..count).all(back)).then_some(flip)
}

fn index(pickle: &Pickle, id: Id, count: usize) -> Option<usize> {
    match pickle.value(id) {
        Value::Int(n) => usize::try_from(n).ok().filter(|&n| n < count),
        _ => None,
    }
}

fn entry(pickle: &Pickle, dict: u32, key: &str) -> Option<Id> {
    pickle.dict(dict).iter().rev().find(|&&(k, _)| pickle.as_str(k) == Some(key)).map(|&(_, v)| v)
}

fn elements<'a>(pickle: &'a Pickle, id: Id) -> &'a [Id] {
    match pickle.value(id) {
        Value::List(list) => pickle.list(list),
        Value::Tuple(span) => pickle.tuple(span),
        _ => &[],
    }
}

/// A list of names; empty when it holds anything else.
fn texts(pickle: &Pickle, id: Id) -> Vec<String> {
    let list = elements(pickle, id);
    let name = |&id: &Id| pickle.as_str(id).filter(|n| n.len() <= MAX_NAME && !n.contains(char::is_control));
    let names: Option<Vec<String>> =
        list.iter().take(MAX_NAMES).map(|id| name(id).map(str::to_string)).collect();
    names.unwrap_or_default()
}
