//! COCO-style key point files, and detection and result files.
//!
//! ```text
//! { "images":      [ { "id", "file_name", "width", "height", "crowdIndex"? } ],
//!   "categories":  [ { "id", "name", "keypoints": [names], "skeleton": [[1-based pairs]], "flip_pairs"?: [[0-based]], "sigmas"? } ],
//!   "annotations": [ { "id", "image_id", "category_id", "bbox"?: [x, y, w, h], "keypoints"?: [x, y, v, ...], "num_keypoints"?,
//!                      "area"?, "iscrowd"?, "segmentation"?, "center"?, "scale"? } ] }
//! [ { "image_id", "category_id", "score", "bbox"?, "keypoints"? } ]                              (detections, results)
//! ```
//!
//! Read as they are: COCO, CrowdPose (`crowdIndex`), AP-10K (54 categories with the same points), AI Challenger, 300W, WFLW,
//! COFW and AFLW in COCO style, COCO-WholeBody (whole, or its 17 body points), and any set with own `categories`.
//!
//! * **Coordinates** are 0-based, integers at pixel centres, and stay as they are. Boxes and segments count from the image's
//!   corner in COCO's own definition, half a pixel apart; like the official code, this crate does not tell the two apart.
//! * **Names**: of the category. Where it has none (faces), the number of points decides: 19, 29, 68 and 98 are known sets.
//! * **Skeleton**: 1-based. CrowdPose's files carry the skeleton of COCO, which points beyond their 14 names: such a skeleton is
//!   replaced by the known one, or dropped, with a note.
//! * **Flip pairs**: from the file, from a known set, or from `left` and `right` in the names; see [`PairSource`](crate::dataset::model::PairSource).
//! * **Crowds** (`iscrowd`) and people without points stay in the set: metrics need them. [`official_training`] is the
//!   filter of the official loader.
//! * **`num_keypoints`** is taken from the file where it is there, since COCO's metric ignores instances by it; where it
//!   disagrees with the flags, a note says so.
//!
//! NaN and Infinity, which Python's `json` writes, are no JSON; the error points at them.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

mod annotation;
mod category;
mod detections;

pub use super::model::{Detection, Detections};
pub(crate) use detections::FORMAT as RESULTS;
pub use detections::{detections_by_image, parse_detections, read_detections};

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::format::{Content, Fit, Format, Glance, OpenOptions, Opened, Purpose, Where};
use super::json::{json, without_nan};
use super::model::{
    Broken, DataError, Place, PoseImage, PoseSet, ReadOptions, Reader, Seen, read_bytes, short, text, whole,
};
use annotation::annotation;
use category::Categories;

pub(crate) static FORMAT: Format = Format {
    name: "coco",
    aliases: &["crowdpose", "ap10k", "ap-10k", "coco-keypoints"],
    content: Content::Points,
    recognise,
    read: open,
    images: Where::Named(&[]),
    takes_one: false,
    has_splits: false,
    place: |sample, image| format!("annotation id {} ({image})", sample.id),
};

/// A COCO file may begin with any of its parts.
fn recognise(at: &Glance<'_>) -> Fit {
    let parts = ["images", "annotations", "categories", "info", "licenses"];
    match at.is_json('{') {
        false => Fit::No,
        true if parts.iter().any(|k| at.has_key(k)) => Fit::Surely,
        true => Fit::Almost("this JSON file is of no known format".into()),
    }
}

fn open(path: &Path, how: &OpenOptions) -> Result<Opened, DataError> {
    let options = CocoOptions {
        read: how.read.clone(),
        segmentation: how.segmentation,
        bad_category: how.read.broken,
        ..CocoOptions::default()
    };
    let bytes = read_bytes(path, how.read.limits.max_bytes)?;
    // Where numbers decide, NaN is an error with its place.
    let (bytes, not_numbers) = match how.purpose {
        Purpose::Look => without_nan(bytes),
        Purpose::Measure | Purpose::Train => (bytes, Vec::new()),
    };
    let set = parse(&bytes, path, Path::new(""), &options)?;
    Ok(Opened { not_numbers, ..set.into() })
}

/// A box as its file has it: four numbers; none where the list is empty.
fn four(numbers: Option<Vec<f64>>, place: &Place, path: &Path) -> Result<Option<[f64; 4]>, DataError> {
    match numbers.unwrap_or_default().as_slice() {
        [] => Ok(None),
        &[x, y, w, h] => Ok(Some([x, y, w, h])),
        other => {
            let problem = format!("invalid length {} of bbox", other.len());
            Err(DataError::entry(path, place.clone(), problem, "boxes are [x, y, width, height]"))
        }
    }
}

/// `null` where a list or a text is wanted means none.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Which points of a COCO-WholeBody file are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WholeBody {
    /// `keypoints` alone.
    #[default]
    Keypoints,
    /// `keypoints`, `foot_kpts`, `face_kpts`, `lefthand_kpts`, `righthand_kpts`: 133 points.
    Join,
}

/// How to read a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CocoOptions {
    /// What all readers have.
    pub read: ReadOptions,
    /// COCO-WholeBody.
    pub whole_body: WholeBody,
    /// Keep outlines and masks. They are not looked at otherwise.
    pub segmentation: bool,
    /// What to do with flip pairs and constants of a category that are impossible: refuse the file, or read it without them.
    pub bad_category: Broken,
}

#[derive(Deserialize)]
struct RawFile<'a> {
    #[serde(borrow)]
    images: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    annotations: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    categories: Option<Vec<&'a RawValue>>,
}

/// An id: a whole number, or one in quotes.
#[derive(Deserialize, Debug)]
#[serde(untagged, expecting = "an id is wanted: a whole number")]
enum Id {
    Int(i64),
    Float(f64),
    Text(String),
}

impl Id {
    fn get(&self) -> Result<i64, String> {
        match self {
            Self::Int(i) => Ok(*i),
            Self::Float(f) => whole(*f).ok_or_else(|| format!("{f} is no id")),
            Self::Text(s) => s.trim().parse().map_err(|_| format!("{:?} is no id", short(s))),
        }
    }
}

#[derive(Deserialize)]
struct RawImage {
    id: Id,
    file_name: Option<String>,
    width: Option<f64>,
    height: Option<f64>,
    #[serde(rename = "crowdIndex")]
    crowd_index: Option<f64>,
}

/// Reads a file; `image_root` is the folder of its `file_name`s.
pub fn read(path: &Path, image_root: &Path, options: &CocoOptions) -> Result<PoseSet, DataError> {
    let bytes = read_bytes(path, options.read.limits.max_bytes)?;
    parse(&bytes, path, image_root, options)
}

/// Reads a file from memory; `path` is its name in messages.
pub fn parse(
    bytes: &[u8],
    path: &Path,
    image_root: &Path,
    options: &CocoOptions,
) -> Result<PoseSet, DataError> {
    let text = text(bytes, path)?;
    let raw: RawFile<'_> = json(text, path, "an object with images, annotations and categories")?;
    let [raw_images, annotations, raw_categories] =
        [raw.images, raw.annotations, raw.categories].map(Option::unwrap_or_default);
    let mut reader = Reader::new(path, &options.read);
    for (n, what) in [
        (raw_images.len(), "images"),
        (annotations.len(), "annotations"),
        (raw_categories.len(), "categories"),
    ] {
        reader.count(n, what)?;
    }
    if raw_images.is_empty() {
        return Err(DataError::Empty {
            path: path.to_path_buf(),
            what: "images",
            fix: "this reader wants a COCO file with images, annotations and categories",
        });
    }
    let mut notes = Notes::default();
    let (images, image_index) = images(&raw_images, image_root, &mut reader)?;
    let mut categories = Categories::new(&raw_categories, options.bad_category, &mut reader, &mut notes)?;
    let mut samples = Vec::with_capacity(annotations.len());
    let mut ids = Seen::new();
    for (index, item) in annotations.iter().enumerate() {
        let result = annotation(
            item,
            index,
            &image_index,
            &images,
            &mut categories,
            &mut ids,
            options,
            &reader,
            &mut notes,
        );
        if let Some(Some(sample)) = reader.keep(result)? {
            samples.push(sample);
        }
    }
    let categories = categories.finish(&mut notes);
    Ok(PoseSet {
        path: path.to_path_buf(),
        images,
        categories,
        samples,
        skipped: reader.skipped,
        notes: notes.into_lines(),
    })
}

/// Odd things, counted, each with the place of the first.
#[derive(Default)]
struct Notes(BTreeMap<String, (usize, String)>);

impl Notes {
    fn add(&mut self, what: impl Into<String>, place: &Place) {
        let n = self.0.entry(what.into()).or_insert_with(|| (0, place.to_string()));
        n.0 = n.0.saturating_add(1);
    }

    fn into_lines(self) -> Vec<String> {
        let line = |(what, (n, place)): (String, (usize, String))| {
            let place = place.trim_start_matches(", ");
            if n == 1 { format!("{place}: {what}") } else { format!("{n} times, first at {place}: {what}") }
        };
        self.0.into_iter().map(line).collect()
    }
}

/// Parses one entry.
fn entry<'a, T: Deserialize<'a>>(raw: &'a RawValue, path: &Path, place: &Place) -> Result<T, DataError> {
    serde_json::from_str(raw.get()).map_err(|e| {
        let text = raw.get();
        let nested = text.contains("\"keypoints\"") && e.to_string().contains("sequence");
        let fix = if nested {
            "keypoints is one flat list: x, y, v, x, y, v, ..."
        } else {
            "correct or remove the entry"
        };
        DataError::entry(path, place.clone(), e.to_string(), fix)
    })
}

type ImageIndex = HashMap<i64, Option<usize>>;

fn images(
    raw: &[&RawValue],
    root: &Path,
    reader: &mut Reader<'_>,
) -> Result<(Vec<PoseImage>, ImageIndex), DataError> {
    let mut images = Vec::with_capacity(raw.len());
    let mut index = ImageIndex::new();
    let mut seen = Seen::new();
    for (i, item) in raw.iter().enumerate() {
        let place = Place::Item { list: "images", index: i };
        let bad = |problem: String, fix| DataError::entry(reader.path, place.clone(), problem, fix);
        let mut found_id = None;
        let result = entry::<RawImage>(item, reader.path, &place).and_then(|r| {
            let id = r.id.get().map_err(|e| bad(e, "ids are whole numbers"))?;
            if let Some(first) = seen.before(id, i as u64) {
                return Err(duplicate(reader.path, &place, format!("image id {id}"), first));
            }
            found_id = Some(id);
            let side = |v: Option<f64>| {
                let v = v.filter(|v| (1.0..=reader.options.limits.max_side).contains(v))?;
                usize::try_from(whole(v)?).ok()
            };
            let size = match (side(r.width), side(r.height)) {
                (Some(w), Some(h)) => Some([w, h]),
                _ if r.width.is_none() && r.height.is_none() => None,
                _ => {
                    let (w, h) = (r.width, r.height);
                    let problem = format!("the size {w:?} x {h:?} is no image size");
                    return Err(bad(problem, "write the size of the image file, or leave both out"));
                }
            };
            // Figures need no files, so they need no names either.
            let file = match r.file_name.as_deref() {
                None if reader.options.finder.is_blind() => root.join(id.to_string()),
                name => reader.file(root, name.unwrap_or(""), &place)?,
            };
            Ok(PoseImage { id, file, size, crowd_index: r.crowd_index })
        });
        // A left-out image stays known, so that its annotations are left out and not reported one by one.
        let kept = reader.keep(result)?;
        if let Some(id) = found_id {
            index.insert(id, kept.as_ref().map(|_| images.len()));
        }
        images.extend(kept);
    }
    Ok((images, index))
}

fn duplicate(path: &Path, place: &Place, what: String, first: u64) -> DataError {
    DataError::Duplicate { path: path.to_path_buf(), place: place.clone(), what, first }
}

/// The persons that the official loader trains on, and their boxes: no crowds, boxes clipped by its rule (an unclipped box
/// loses one pixel of width and height), area above 0, at least one coordinate of the points above 0.
/// `Protocol::Official` of training and of evaluation with annotated boxes.
pub fn official_training(set: &PoseSet) -> Vec<(usize, [f64; 4])> {
    let mut out = Vec::new();
    for (i, s) in set.samples.iter().enumerate() {
        let Some(Some([width, height])) = set.images.get(s.image).map(|i| i.size) else { continue };
        let Some([x, y, w, h]) = s.bbox.filter(|_| !s.crowd) else { continue };
        let (x1, y1) = (x.max(0.0), y.max(0.0));
        let x2 = (width as f64 - 1.0).min(x1 + (w - 1.0).max(0.0));
        let y2 = (height as f64 - 1.0).min(y1 + (h - 1.0).max(0.0));
        let points = s.points.iter().any(|p| p.visibility.labelled() && p.at.iter().any(|&v| v > 0.0));
        if s.area.is_some_and(|a| a > 0.0) && x2 >= x1 && y2 >= y1 && points {
            out.push((i, [x1, y1, x2 - x1, y2 - y1]));
        }
    }
    out
}
