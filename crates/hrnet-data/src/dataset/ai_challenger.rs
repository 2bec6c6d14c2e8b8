//! AI Challenger key points in their own JSON (`keypoint_train_annotations_20170909.json`).
//!
//! ```text
//! [ { "image_id": "name without .jpg", "human_annotations": {"human1": [x1, y1, x2, y2], ...},
//!     "keypoint_annotations": {"human1": [x, y, v] * 14, ...} } ]
//! ```
//!
//! v is 1 visible, 2 hidden, 3 absent: not COCO's order. Boxes are corners. Coordinates are taken as 0-based, which the set does
//! not document. Area is the box's, as converters write it. COCO-style copies are read by [`super::coco`].
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::format::{Content, Fit, Format, Where};
use super::json::json;
use super::model::{
    Category, DataError, Place, PoseImage, PosePoint, PoseSample, PoseSet, ReadOptions, Reader, Seen,
    Visibility, read_bytes, text,
};
use crate::sets::AIC14;

#[derive(Deserialize)]
struct Raw {
    image_id: String,
    human_annotations: BTreeMap<String, [f64; 4]>,
    keypoint_annotations: BTreeMap<String, Vec<f64>>,
}

pub(crate) static FORMAT: Format = Format {
    name: "ai-challenger",
    aliases: &["aic"],
    content: Content::Points,
    recognise: |at| Fit::sure(at.is_json('[') && at.has_key("keypoint_annotations")),
    read: |path, how| Ok(read(path, Path::new(""), &how.read)?.into()),
    images: Where::Named(&[]),
    takes_one: false,
    has_splits: false,
    place: |sample, image| format!("{image}, entry {}", sample.id),
};

/// The category of the 14 points.
pub fn category() -> Category {
    super::categories::known_category(&AIC14)
}

/// Reads a file; images are `<image_root>/<image_id>.jpg`.
pub fn read(path: &Path, image_root: &Path, options: &ReadOptions) -> Result<PoseSet, DataError> {
    parse(&read_bytes(path, options.limits.max_bytes)?, path, image_root, options)
}

/// Reads a file from memory.
pub fn parse(
    bytes: &[u8],
    path: &Path,
    image_root: &Path,
    options: &ReadOptions,
) -> Result<PoseSet, DataError> {
    let raw: Vec<Raw> =
        json(text(bytes, path)?, path, "a list of {image_id, human_annotations, keypoint_annotations}")?;
    let mut reader = Reader::new(path, options);
    reader.count(raw.len(), "images")?;
    let (mut images, mut samples, mut seen) = (Vec::new(), Vec::new(), Seen::new());
    for (index, r) in raw.iter().enumerate() {
        let place = Place::Item { list: "images", index };
        let result = match seen.before(r.image_id.as_str(), index as u64) {
            Some(first) => {
                let what = format!("image {}", r.image_id);
                Err(DataError::Duplicate { path: path.to_path_buf(), place: place.clone(), what, first })
            }
            None => reader.file(image_root, &format!("{}.jpg", r.image_id), &place),
        };
        let Some(file) = reader.keep(result)? else { continue };
        let image = images.len();
        images.push(PoseImage { id: index as i64, file, size: None, crowd_index: None });
        for (name, numbers) in &r.keypoint_annotations {
            let result = person(name, numbers, r, image, samples.len(), &reader, &place);
            samples.extend(reader.keep(result)?);
        }
    }
    let categories = vec![category()];
    Ok(PoseSet {
        path: path.to_path_buf(),
        images,
        categories,
        samples,
        skipped: reader.skipped,
        notes: Vec::new(),
    })
}

fn person(
    name: &str,
    numbers: &[f64],
    raw: &Raw,
    image: usize,
    id: usize,
    reader: &Reader<'_>,
    place: &Place,
) -> Result<PoseSample, DataError> {
    let bad = |problem: String, fix| DataError::entry(reader.path, place.clone(), problem, fix);
    let (triples, rest) = numbers.as_chunks::<3>();
    if triples.len() != AIC14.count || !rest.is_empty() {
        return Err(bad(format!("{name} has {} numbers", numbers.len()), "give x, y, v of 14 points"));
    }
    let mut points = Vec::with_capacity(triples.len());
    for &[x, y, v] in triples {
        let at = [reader.coordinate(x, "x of a point", place)?, reader.coordinate(y, "y of a point", place)?];
        let (at, visibility) = match v {
            1.0 => (at, Visibility::Visible),
            2.0 => (at, Visibility::Hidden),
            // 0 occurs in later copies for the same thing.
            3.0 | 0.0 => ([0.0; 2], Visibility::Absent),
            _ => return Err(bad(format!("{name} has the flag {v}"), "v is 1 visible, 2 hidden or 3 absent")),
        };
        points.push(PosePoint { at, visibility });
    }
    let &[x1, y1, x2, y2] = raw
        .human_annotations
        .get(name)
        .ok_or_else(|| bad(format!("{name} has points but no box"), "add it to human_annotations"))?;
    let bbox = reader.bbox([x1, y1, x2 - x1, y2 - y1], place)?;
    Ok(PoseSample {
        id: id as i64,
        image,
        num_keypoints: points.iter().filter(|p| p.visibility.labelled()).count(),
        points,
        area: Some(bbox[2] * bbox[3]),
        bbox: Some(bbox),
        ..PoseSample::default()
    })
}
