//! Detection and result files.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Id, entry, four};
use crate::dataset::format::{Content, Fit, Format, Glance, Labels, OpenOptions, Opened, Where};
use crate::dataset::json::json;
use crate::dataset::model::{
    DataError, Detection, Detections, Place, PoseSet, ReadOptions, Reader, read_bytes, text,
};

pub(crate) static FORMAT: Format = Format {
    name: "coco-results",
    aliases: &["detections", "results"],
    content: Content::Detections,
    recognise,
    read: |path, how: &OpenOptions| Ok(Opened::from(Labels::Detections(read_any(path, &how.read)?))),
    images: Where::Named(&[]),
    takes_one: false,
    has_splits: false,
    place: |sample, image| format!("{image}, entry {}", sample.id),
};

fn recognise(at: &Glance<'_>) -> Fit {
    let keys = ["score", "bbox", "box", "keypoints", "image_id", "file_name"];
    let other = ["keypoint_annotations", "joints_vis", "center"];
    let empty = at.text.trim_end().len() < 8;
    match at.is_json('[') {
        true if empty && at.wants_only(Content::Detections) => Fit::Loosely,
        true if other.iter().any(|k| at.has_key(k)) => Fit::No,
        true if keys.iter().any(|k| at.has_key(k)) => Fit::Surely,
        true => Fit::Almost("this JSON list is of no known format".into()),
        false => Fit::No,
    }
}

/// The image of an entry: its id, or its name.
#[derive(Deserialize)]
#[serde(untagged, expecting = "image_id is a whole number or a name")]
enum ImageId {
    Int(i64),
    Float(f64),
    Text(String),
}

#[derive(Deserialize)]
struct RawDetection {
    image_id: Option<ImageId>,
    #[serde(alias = "image", alias = "input")]
    file_name: Option<String>,
    category_id: Option<Id>,
    score: Option<f64>,
    #[serde(alias = "box")]
    bbox: Option<Vec<f64>>,
    keypoints: Option<Vec<f64>>,
    frame: Option<u64>,
}

/// Reads a detection file such as `COCO_val2017_detections_AP_H_56_person.json`, or a result file with key points.
/// Thresholds and NMS are the recipe's, not the reader's.
pub fn read_detections(path: &Path, options: &ReadOptions) -> Result<Detections, DataError> {
    let bytes = read_bytes(path, options.limits.max_bytes)?;
    parse_detections(&bytes, path, options)
}

/// Reads a file whose entries may have no score: boxes that people drew.
fn read_any(path: &Path, options: &ReadOptions) -> Result<Detections, DataError> {
    parse(&read_bytes(path, options.limits.max_bytes)?, path, options, false)
}

/// Reads a detection file from memory; every entry has a score.
pub fn parse_detections(bytes: &[u8], path: &Path, options: &ReadOptions) -> Result<Detections, DataError> {
    parse(bytes, path, options, true)
}

fn parse(bytes: &[u8], path: &Path, options: &ReadOptions, scored: bool) -> Result<Detections, DataError> {
    let raw: Vec<&RawValue> =
        json(text(bytes, path)?, path, "a list of detections {image_id, category_id, bbox, score}")?;
    let mut reader = Reader::new(path, options);
    reader.count(raw.len(), "detections")?;
    let mut entries = Vec::with_capacity(raw.len());
    for (index, item) in raw.iter().enumerate() {
        let place = Place::Item { list: "detections", index };
        let result = detection(item, &reader, &place).and_then(|d| match scored && d.score.is_none() {
            true => Err(DataError::entry(path, place, "there is no score", "give every entry a score")),
            false => Ok(d),
        });
        entries.extend(reader.keep(result)?);
    }
    Ok(Detections { path: path.to_path_buf(), entries, skipped: reader.skipped })
}

fn detection(item: &RawValue, reader: &Reader<'_>, place: &Place) -> Result<Detection, DataError> {
    let bad = |problem: String, fix| DataError::entry(reader.path, place.clone(), problem, fix);
    let raw: RawDetection = entry(item, reader.path, place)?;
    let whole = "ids are whole numbers";
    let (image_id, file_name) = match (raw.file_name, raw.image_id) {
        (Some(name), _) | (None, Some(ImageId::Text(name))) => (None, Some(name)),
        (None, Some(ImageId::Int(id))) => (Some(id), None),
        (None, Some(ImageId::Float(id))) => (Some(Id::Float(id).get().map_err(|e| bad(e, whole))?), None),
        (None, None) => return Err(bad("neither file_name nor image_id".into(), "name its image")),
    };
    if raw.score.is_some_and(|s| !s.is_finite()) {
        return Err(bad("the score is no number".into(), "correct or remove the entry"));
    }
    let category_id = raw.category_id.as_ref().map_or(Ok(1), Id::get).map_err(|e| bad(e, whole))?;
    let bbox = four(raw.bbox, place, reader.path)?;
    let bbox = bbox.map(|b| reader.bbox(b, place)).transpose()?;
    let numbers = raw.keypoints.unwrap_or_default();
    let (points, rest) = numbers.as_chunks::<3>();
    if !rest.is_empty() {
        let problem = format!("keypoints has {} numbers", numbers.len());
        return Err(bad(problem, "give x, y and score of each point"));
    }
    for v in numbers.iter() {
        reader.coordinate(*v, "a number of keypoints", place)?;
    }
    if bbox.is_none() && points.is_empty() {
        return Err(bad("it has neither bbox nor keypoints".into(), "give a box or points"));
    }
    Ok(Detection {
        image_id,
        file_name,
        category_id,
        score: raw.score,
        bbox,
        keypoints: points.to_vec(),
        frame: raw.frame,
        place: place.clone(),
    })
}

/// Detections by image of a set, in file order; those of other images are counted.
pub fn detections_by_image<'a>(
    set: &PoseSet,
    detections: &'a [Detection],
) -> (Vec<Vec<&'a Detection>>, usize) {
    let index: HashMap<i64, usize> = set.images.iter().enumerate().map(|(i, image)| (image.id, i)).collect();
    let mut out = vec![Vec::new(); set.images.len()];
    let mut others = 0usize;
    for d in detections {
        match d.image_id.and_then(|id| index.get(&id)) {
            Some(&i) => out.get_mut(i).into_iter().for_each(|list| list.push(d)),
            None => others = others.saturating_add(1),
        }
    }
    (out, others)
}
