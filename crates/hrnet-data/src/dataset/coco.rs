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
//! * **Flip pairs**: from the file, from a known set, or from `left` and `right` in the names; see [`PairSource`].
//! * **Crowds** (`iscrowd`) and people without points stay in the set: metrics need them. [`official_training`] is the
//!   filter of the official loader.
//! * **`num_keypoints`** is taken from the file where it is there, since COCO's metric ignores instances by it; where it
//!   disagrees with the flags, a note says so.
//!
//! NaN and Infinity, which Python's `json` writes, are no JSON; the error points at them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::coco_mask;
use super::model::{
    Category, DataError, PairSource, Place, PoseImage, PosePoint, PoseSample, PoseSet, ReadOptions, Reader,
    Seen, Visibility, read_bytes, short, text,
};
use super::skeletons;
use crate::points::PointSet;

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
}

#[derive(Deserialize)]
struct RawFile<'a> {
    #[serde(borrow)]
    images: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    annotations: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    categories: Vec<&'a RawValue>,
}

/// An id: a whole number, or one in quotes.
#[derive(Deserialize, Debug)]
#[serde(untagged)]
enum Id {
    Int(i64),
    Float(f64),
    Text(String),
}

impl Id {
    fn get(&self) -> Result<i64, String> {
        match self {
            Self::Int(i) => Ok(*i),
            // 2^53: beyond it a float is no exact id.
            Self::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => Ok(*f as i64),
            Self::Float(f) => Err(format!("{f} is no id")),
            Self::Text(s) => s.trim().parse().map_err(|_| format!("{:?} is no id", short(s))),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Number(f64),
}

#[derive(Deserialize)]
struct RawImage {
    id: Id,
    file_name: String,
    width: Option<f64>,
    height: Option<f64>,
    #[serde(rename = "crowdIndex")]
    crowd_index: Option<f64>,
}

#[derive(Deserialize)]
struct RawCategory {
    id: Id,
    #[serde(default)]
    name: String,
    #[serde(default)]
    keypoints: Vec<String>,
    #[serde(default)]
    skeleton: Vec<[i64; 2]>,
    flip_pairs: Option<Vec<[i64; 2]>>,
    sigmas: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct RawAnnotation<'a> {
    id: Option<Id>,
    image_id: Id,
    category_id: Option<Id>,
    bbox: Option<[f64; 4]>,
    keypoints: Option<Vec<f64>>,
    num_keypoints: Option<f64>,
    area: Option<f64>,
    iscrowd: Option<Flag>,
    #[serde(borrow)]
    segmentation: Option<&'a RawValue>,
    center: Option<[f64; 2]>,
    scale: Option<f64>,
    foot_kpts: Option<Vec<f64>>,
    face_kpts: Option<Vec<f64>>,
    lefthand_kpts: Option<Vec<f64>>,
    righthand_kpts: Option<Vec<f64>>,
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
    let mut reader = Reader::new(path, &options.read);
    for (n, what) in [
        (raw.images.len(), "images"),
        (raw.annotations.len(), "annotations"),
        (raw.categories.len(), "categories"),
    ] {
        reader.count(n, what)?;
    }
    if raw.images.is_empty() {
        return Err(DataError::Empty {
            path: path.to_path_buf(),
            what: "images",
            fix: "this reader wants a COCO file with images, annotations and categories",
        });
    }
    let mut notes = Notes::default();
    let (images, image_index) = images(&raw.images, image_root, &mut reader)?;
    let mut categories = Categories::new(&raw.categories, &mut reader, &mut notes)?;
    let mut samples = Vec::with_capacity(raw.annotations.len());
    let mut ids = Seen::new();
    for (index, item) in raw.annotations.iter().enumerate() {
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
        self.0.entry(what.into()).or_insert_with(|| (0, place.to_string())).0 += 1;
    }

    fn into_lines(self) -> Vec<String> {
        let line = |(what, (n, place)): (String, (usize, String))| {
            let place = place.trim_start_matches(", ");
            if n == 1 { format!("{place}: {what}") } else { format!("{n} times, first at {place}: {what}") }
        };
        self.0.into_iter().map(line).collect()
    }
}

/// Parses a document. A bad token is shown.
pub(super) fn json<'a, T: Deserialize<'a>>(text: &'a str, path: &Path, wanted: &str) -> Result<T, DataError> {
    serde_json::from_str(text).map_err(|e| {
        let line = text.split('\n').nth(e.line().saturating_sub(1)).unwrap_or("");
        let near: String = line
            .get(floor_boundary(line, e.column().saturating_sub(10))..)
            .unwrap_or("")
            .chars()
            .take(24)
            .collect();
        let fix = if e.is_eof() {
            "the file is cut off; copy or download it again"
        } else if ["NaN", "Infinity", "nan", "inf"].iter().any(|w| near.contains(w)) {
            "NaN and Infinity are no JSON; remove the entry or write numbers"
        } else {
            "correct the file there"
        };
        DataError::format(path, format!("{e}, near {near:?}; wanted {wanted}; {fix}"))
    })
}

fn floor_boundary(s: &str, mut at: usize) -> usize {
    at = at.min(s.len());
    while !s.is_char_boundary(at) {
        at -= 1;
    }
    at
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
            let side = |v: f64| v.fract() == 0.0 && (1.0..=reader.options.limits.max_side).contains(&v);
            let size = match (r.width, r.height) {
                (Some(w), Some(h)) if side(w) && side(h) => Some([w as usize, h as usize]),
                (None, None) => None,
                (w, h) => {
                    let problem = format!("the size {w:?} x {h:?} is no image size");
                    return Err(bad(problem, "write the size of the image file, or leave both out"));
                }
            };
            let file = reader.file(root, &r.file_name, &place)?;
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

/// The categories; points of unnamed ones are counted from the first annotation.
struct Categories {
    list: Vec<Category>,
    index: HashMap<i64, usize>,
    named: Vec<bool>,
}

impl Categories {
    fn new(raw: &[&RawValue], reader: &mut Reader<'_>, notes: &mut Notes) -> Result<Self, DataError> {
        let mut out = Self { list: Vec::new(), index: HashMap::new(), named: Vec::new() };
        for (i, item) in raw.iter().enumerate() {
            let place = Place::Item { list: "categories", index: i };
            let result = category(item, reader, &place, notes).and_then(|c| match out.index.get(&c.id) {
                Some(&first) => {
                    Err(duplicate(reader.path, &place, format!("category id {}", c.id), first as u64))
                }
                None => Ok(c),
            });
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
    fn fits(&mut self, index: usize, count: usize) -> bool {
        let Some(category) = self.list.get_mut(index) else { return false };
        if category.points.len() == count {
            return true;
        }
        if !category.points.is_empty() {
            // The joined form of COCO-WholeBody repeats the 17 names of COCO.
            let is_body = category.points.len() == 17 && count == 133;
            if is_body {
                let w = skeletons::whole_body();
                (category.points, category.skeleton, category.flip_pairs) =
                    (w.points, w.skeleton, w.flip_pairs);
                category.pairs_from = PairSource::Known("coco_wholebody133");
            }
            return is_body;
        }
        match PointSet::of_count(count).filter(|s| s.count == count) {
            Some(set) => {
                category.points = set.names();
                category.skeleton = skeletons::lines_of(set);
                category.flip_pairs = set.flip_pairs.to_vec();
                category.pairs_from = PairSource::Known(set.name);
            }
            None => category.points = (0..count).map(|i| format!("point_{i}")).collect(),
        }
        true
    }

    fn finish(self, notes: &mut Notes) -> Vec<Category> {
        for (i, c) in self.list.iter().enumerate() {
            let place = Place::Item { list: "categories", index: i };
            if !self.named[i] && !c.points.is_empty() {
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

fn category(
    item: &RawValue,
    reader: &Reader<'_>,
    place: &Place,
    notes: &mut Notes,
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
    let known = skeletons::by_names(&raw.keypoints);
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
                skeleton = k.skeleton.to_vec();
                notes.add(format!("{why}: the lines of {} are used instead", k.name), place);
            }
            None => notes.add(format!("{why}: those lines are left out"), place),
        }
    } else if skeleton.is_empty()
        && let Some(k) = known
    {
        skeleton = k.skeleton.to_vec();
    }
    let (flip_pairs, pairs_from) = match raw.flip_pairs {
        Some(pairs) => (
            checked_pairs(&pairs, n)
                .map_err(|e| bad(e, "flip_pairs are 0-based and name each point once"))?,
            PairSource::File,
        ),
        None => match known {
            Some(k) => (k.flip_pairs.to_vec(), PairSource::Known(k.name)),
            None => {
                let pairs = skeletons::pairs_from_names(&raw.keypoints);
                let from = if pairs.is_empty() { PairSource::None } else { PairSource::Names };
                (pairs, from)
            }
        },
    };
    if raw.sigmas.as_ref().is_some_and(|s| s.len() != n || s.iter().any(|&v| !(v.is_finite() && v > 0.0))) {
        return Err(bad("sigmas are not one positive number per point".into(), "correct or remove them"));
    }
    Ok(Category {
        id,
        name: raw.name,
        points: raw.keypoints,
        skeleton,
        flip_pairs,
        pairs_from,
        sigmas: raw.sigmas,
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
            if std::mem::replace(&mut used[i], true) {
                return Err(format!("flip_pairs names point {v} twice"));
            }
            Ok(i)
        };
        out.push((of(a)?, of(b)?));
    }
    Ok(out)
}

fn annotation(
    item: &RawValue,
    index: usize,
    image_index: &ImageIndex,
    images: &[PoseImage],
    categories: &mut Categories,
    ids: &mut Seen<i64>,
    options: &CocoOptions,
    reader: &Reader<'_>,
    notes: &mut Notes,
) -> Result<Option<PoseSample>, DataError> {
    let place = Place::Item { list: "annotations", index };
    let bad = |problem: String, fix| DataError::entry(reader.path, place.clone(), problem, fix);
    let raw: RawAnnotation<'_> = entry(item, reader.path, &place)?;
    let whole = "ids are whole numbers";
    let id = raw.id.as_ref().map_or(Ok(index as i64), Id::get).map_err(|e| bad(e, whole))?;
    if raw.id.is_some()
        && let Some(first) = ids.before(id, index as u64)
    {
        return Err(duplicate(reader.path, &place, format!("annotation id {id}"), first));
    }
    let image_id = raw.image_id.get().map_err(|e| bad(e, whole))?;
    let image = match image_index.get(&image_id) {
        Some(Some(i)) => *i,
        Some(None) => {
            notes.add("left out with its image", &place);
            return Ok(None);
        }
        None => {
            return Err(bad(
                format!("there is no image with id {image_id}"),
                "correct image_id or add the image",
            ));
        }
    };
    let category_id = raw.category_id.as_ref().map_or(Ok(1), Id::get).map_err(|e| bad(e, whole))?;
    let category = *categories.index.get(&category_id).ok_or_else(|| {
        bad(format!("there is no category with id {category_id}"), "correct category_id or add it")
    })?;
    let bbox = raw.bbox.map(|b| reader.bbox(b, &place)).transpose()?;
    if let Some(area) = raw.area
        && !(area.is_finite() && area >= 0.0)
    {
        return Err(bad(format!("the area is {area}"), "areas are square pixels, not below 0"));
    }
    let mut numbers = raw.keypoints.unwrap_or_default();
    if options.whole_body == WholeBody::Join && numbers.len() == 51 {
        let parts =
            [(raw.foot_kpts, 18), (raw.face_kpts, 204), (raw.lefthand_kpts, 63), (raw.righthand_kpts, 63)];
        for (part, wanted) in parts {
            let part = part.unwrap_or_default();
            if part.len() != wanted {
                let problem =
                    format!("a part of the whole body has {} numbers instead of {wanted}", part.len());
                return Err(bad(problem, "give foot_kpts, face_kpts, lefthand_kpts and righthand_kpts"));
            }
            numbers.extend(part);
        }
    }
    let points = points(&numbers, reader, &place, notes)?;
    if !points.is_empty() && !categories.fits(category, points.len()) {
        let named = categories.list.get(category).map_or(0, |c| c.points.len());
        let problem = format!("keypoints has {} numbers, its category has {named} points", numbers.len());
        return Err(bad(problem, "give x, y, v for every point of the category; absent points are 0, 0, 0"));
    }
    let labelled = points.iter().filter(|p| p.visibility.labelled()).count();
    let num_keypoints = match raw.num_keypoints {
        Some(n) if n.fract() == 0.0 && (0.0..1e9).contains(&n) => {
            if n as usize != labelled && !numbers.is_empty() {
                notes.add(
                    "num_keypoints is not the number of points with v > 0; kept, since COCO's metric uses it",
                    &place,
                );
            }
            n as usize
        }
        Some(n) => return Err(bad(format!("num_keypoints is {n}"), "write the number of points with v > 0")),
        None => labelled,
    };
    let crowd = match raw.iscrowd {
        None => false,
        Some(Flag::Bool(b)) => b,
        Some(Flag::Number(0.0)) => false,
        Some(Flag::Number(1.0)) => true,
        Some(Flag::Number(n)) => return Err(bad(format!("iscrowd is {n}"), "iscrowd is 0 or 1")),
    };
    let centre_scale = match (raw.center, raw.scale) {
        (Some([x, y]), Some(scale)) => {
            let centre = [reader.coordinate(x, "center", &place)?, reader.coordinate(y, "center", &place)?];
            if !(scale.is_finite() && scale > 0.0) {
                return Err(bad(format!("scale is {scale}"), "scale is the size over 200 pixels, above 0"));
            }
            Some((centre, scale))
        }
        _ => None,
    };
    let segmentation = match raw.segmentation.filter(|s| options.segmentation && s.get() != "null") {
        None => None,
        Some(s) => {
            let size = images.get(image).and_then(|i| i.size);
            let raw: coco_mask::Raw = serde_json::from_str(s.get()).map_err(|_| {
                bad(
                    "segmentation is neither polygons nor run lengths".into(),
                    "give [[x, y, ...]] or {size, counts}",
                )
            })?;
            let limit = reader.options.limits.max_coordinate;
            Some(raw.check(size, limit).map_err(|e| {
                bad(format!("segmentation: {e}"), "correct the outline, or leave segmentation out")
            })?)
        }
    };
    Ok(Some(PoseSample {
        id,
        image,
        category,
        bbox,
        points,
        num_keypoints,
        area: raw.area,
        crowd,
        head_size: None,
        centre_scale,
        segmentation,
    }))
}

/// Points from x, y, v. COCO-WholeBody labels some hands by machine and writes a confidence for v.
fn points(
    numbers: &[f64],
    reader: &Reader<'_>,
    place: &Place,
    notes: &mut Notes,
) -> Result<Vec<PosePoint>, DataError> {
    let (triples, rest) = numbers.as_chunks::<3>();
    if !rest.is_empty() {
        let problem = format!("keypoints has {} numbers, which are not x, y, v of each point", numbers.len());
        return Err(DataError::entry(reader.path, place.clone(), problem, "give three numbers per point"));
    }
    let mut out = Vec::with_capacity(triples.len());
    for (i, &[x, y, v]) in triples.iter().enumerate() {
        let visibility = match v {
            0.0 => Visibility::Absent,
            1.0 => Visibility::Hidden,
            2.0 => Visibility::Visible,
            _ if numbers.len() == 399 && v > 0.0 && v < 2.0 => {
                notes.add("v is a confidence, not 0, 1 or 2; the point counts as hidden", place);
                Visibility::Hidden
            }
            _ => {
                let problem = format!("point {i} has the flag {v}");
                return Err(DataError::entry(reader.path, place.clone(), problem, "v is 0, 1 or 2"));
            }
        };
        let at = [reader.coordinate(x, "x of a point", place)?, reader.coordinate(y, "y of a point", place)?];
        out.push(PosePoint { at: if visibility.labelled() { at } else { [0.0; 2] }, visibility });
    }
    Ok(out)
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
    let mut others = 0;
    for d in detections {
        match index.get(&d.image_id) {
            Some(&i) => out[i].push(d),
            None => others += 1,
        }
    }
    (out, others)
}
