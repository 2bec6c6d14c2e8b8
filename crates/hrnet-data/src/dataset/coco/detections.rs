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

use super::{Id, entry, json};
use crate::dataset::model::{DataError, Place, PoseSet, ReadOptions, Reader, read_bytes, text};

/// One entry of a detection or result file.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Image.
    pub image_id: i64,
    /// Category.
    pub category_id: i64,
    /// Score of the instance.
    pub score: f64,
    /// Box `[x, y, w, h]`.
    pub bbox: Option<[f64; 4]>,
    /// x, y and score of each point.
    pub keypoints: Vec<[f64; 3]>,
}

#[derive(Deserialize)]
struct RawDetection {
    image_id: Id,
    category_id: Option<Id>,
    score: f64,
    bbox: Option<[f64; 4]>,
    keypoints: Option<Vec<f64>>,
}

/// Detections that were read.
#[derive(Debug, Clone, PartialEq)]
pub struct Detections {
    /// In file order.
    pub entries: Vec<Detection>,
    /// Entries left out, with the reason.
    pub skipped: Vec<DataError>,
}

/// Reads a detection file such as `COCO_val2017_detections_AP_H_56_person.json`, or a result file with key points.
/// Thresholds and NMS are the recipe's, not the reader's.
pub fn read_detections(path: &Path, options: &ReadOptions) -> Result<Detections, DataError> {
    let bytes = read_bytes(path, options.limits.max_bytes)?;
    parse_detections(&bytes, path, options)
}

/// Reads a detection file from memory.
pub fn parse_detections(bytes: &[u8], path: &Path, options: &ReadOptions) -> Result<Detections, DataError> {
    let raw: Vec<&RawValue> =
        json(text(bytes, path)?, path, "a list of detections {image_id, category_id, bbox, score}")?;
    let mut reader = Reader::new(path, options);
    reader.count(raw.len(), "detections")?;
    let mut entries = Vec::with_capacity(raw.len());
    for (index, item) in raw.iter().enumerate() {
        let place = Place::Item { list: "detections", index };
        let result = detection(item, &reader, &place);
        entries.extend(reader.keep(result)?);
    }
    Ok(Detections { entries, skipped: reader.skipped })
}

fn detection(item: &RawValue, reader: &Reader<'_>, place: &Place) -> Result<Detection, DataError> {
    let bad = |problem: String, fix| DataError::entry(reader.path, place.clone(), problem, fix);
    let raw: RawDetection = entry(item, reader.path, place)?;
    let whole = "ids are whole numbers";
    let image_id = raw.image_id.get().map_err(|e| bad(e, whole))?;
    let category_id = raw.category_id.as_ref().map_or(Ok(1), Id::get).map_err(|e| bad(e, whole))?;
    let bbox = raw.bbox.map(|b| reader.bbox(b, place)).transpose()?;
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
    Ok(Detection { image_id, category_id, score: raw.score, bbox, keypoints: points.to_vec() })
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
        match index.get(&d.image_id) {
            Some(&i) => out.get_mut(i).into_iter().for_each(|list| list.push(d)),
            None => others = others.saturating_add(1),
        }
    }
    (out, others)
}
