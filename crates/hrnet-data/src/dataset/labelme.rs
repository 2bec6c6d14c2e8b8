//! LabelMe's JSON files, one per image: points, rectangles, polygons.
//!
//! ```text
//! { "imagePath": "a.jpg", "imageWidth": 640, "imageHeight": 480,
//!   "shapes": [ { "label": "nose", "shape_type": "point", "points": [[10.5, 20]], "group_id": 1, "flags": {"occluded": true}? },
//!               { "label": "person", "shape_type": "rectangle", "points": [[1, 2], [30, 40]], "group_id": 1 },
//!               { "label": "road", "shape_type": "polygon", "points": [[..], [..], [..], ...], "group_id": null } ] }
//! ```
//!
//! The points of a group are one sample, their labels the names of the points; a rectangle of the group is its box, and its label
//! the name of the category. Points without a group belong to one sample per image. Each label of polygons is a category of its
//! own. The order of the points is that of a known set with these names, else that of their first use. Lines and circles are
//! counted in the notes. `imageData` is passed over. Coordinates are 0-based and stay.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::categories::{complete, face_category};
use super::coco_mask::Segmentation;
use super::format::{Content, Fit, Format, Glance, Where};
use super::json::json;
use super::model::{
    Category, DataError, Place, PoseImage, PosePoint, PoseSample, PoseSet, ReadOptions, Reader, Visibility,
    read_bytes, short, text, whole,
};
use crate::sets::PointSet;
use crate::sets::naming;

#[derive(Deserialize)]
struct RawFile {
    shapes: Vec<RawShape>,
    #[serde(rename = "imagePath")]
    image: Option<String>,
    #[serde(rename = "imageWidth")]
    width: Option<f64>,
    #[serde(rename = "imageHeight")]
    height: Option<f64>,
}

#[derive(Deserialize)]
struct RawShape {
    label: String,
    #[serde(default)]
    points: Vec<[f64; 2]>,
    group_id: Option<i64>,
    shape_type: Option<String>,
    #[serde(default)]
    flags: BTreeMap<String, serde_json::Value>,
}

pub(crate) static FORMAT: Format = Format {
    name: "labelme",
    aliases: &[],
    content: Content::Points,
    recognise,
    read: |path, how| {
        // `imagePath` counts from the label file, and the program writes `../images/a.jpg`.
        let options = ReadOptions { allow_outside_root: true, ..how.read.clone() };
        Ok(read(path, &options)?.into())
    },
    images: Where::Named(&[]),
    takes_one: false,
    has_splits: false,
    place: |_, image| image.to_string(),
};

fn recognise(at: &Glance<'_>) -> Fit {
    if !at.is_folder {
        let keys = at.has_key("shapes") && (at.has_key("imagePath") || at.has_key("shape_type"));
        return Fit::sure(at.is_json('{') && keys);
    }
    let inside = at.first_file(&["json"]).and_then(|f| Glance::new(f, at.options).ok());
    inside.map_or(Fit::No, |file| recognise(&file))
}

/// Reads a folder of files, or one file. Images lie beside their files, or where the options' finder finds them.
pub fn read(path: &Path, options: &ReadOptions) -> Result<PoseSet, DataError> {
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(|e| DataError::io(path, &e))? {
            let file = entry.map_err(|e| DataError::io(path, &e))?.path();
            if file.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
                files.push(file);
            }
        }
        files.sort();
    } else {
        files.push(path.to_path_buf());
    }
    let mut reader = Reader::new(path, options);
    reader.count(files.len(), "files")?;
    let mut out = Builder::default();
    for file in &files {
        let result = read_bytes(file, options.limits.max_bytes)
            .and_then(|bytes| one(&bytes, file, out.images.len(), &mut out, options));
        let image = reader.keep(result)?;
        out.images.extend(image);
    }
    if out.images.is_empty() && reader.skipped.is_empty() {
        let fix = "give the folder that holds the .json files of LabelMe";
        return Err(DataError::Empty { path: path.to_path_buf(), what: "LabelMe files", fix });
    }
    Ok(out.finish(path, reader.skipped))
}

/// Points of a sample by name, until the names of all files are known.
#[derive(Default)]
struct Builder {
    images: Vec<PoseImage>,
    samples: Vec<(PoseSample, Vec<(usize, PosePoint)>)>,
    names: Vec<String>,
    by_name: HashMap<String, usize>,
    category: Option<String>,
    regions: Vec<String>,
    others: usize,
}

#[derive(Default)]
struct Group {
    points: Vec<(String, PosePoint)>,
    bbox: Option<(String, [f64; 4])>,
}

/// One file. Its shapes are only taken over when all of them are good.
fn one(
    bytes: &[u8],
    file: &Path,
    image: usize,
    out: &mut Builder,
    options: &ReadOptions,
) -> Result<PoseImage, DataError> {
    let reader = Reader::new(file, options);
    let raw: RawFile = json(text(bytes, file)?, file, "an object with shapes and imagePath")?;
    reader.count(raw.shapes.len(), "shapes")?;
    let mut groups: BTreeMap<Option<i64>, Group> = BTreeMap::new();
    let (mut regions, mut others) = (Vec::new(), 0usize);
    for (index, s) in raw.shapes.iter().enumerate() {
        let place = Place::Item { list: "shapes", index };
        let bad = |problem: String, fix| DataError::entry(file, place.clone(), problem, fix);
        for &[x, y] in &s.points {
            reader.coordinate(x, "x of a point", &place)?;
            reader.coordinate(y, "y of a point", &place)?;
        }
        match (s.shape_type.as_deref().unwrap_or("polygon"), s.points.as_slice()) {
            ("point", &[at]) => {
                let group = groups.entry(s.group_id).or_default();
                if group.points.iter().any(|(name, _)| *name == s.label) {
                    let problem = format!("point {:?} occurs twice in its group", short(&s.label));
                    return Err(bad(problem, "give the points of each object a group_id of their own"));
                }
                let hidden = ["occluded", "hidden"].iter().any(|k| s.flags.get(*k) == Some(&true.into()));
                let visibility = if hidden { Visibility::Hidden } else { Visibility::Visible };
                group.points.push((s.label.clone(), PosePoint { at, visibility }));
            }
            ("rectangle", &[[x0, y0], [x1, y1]]) => {
                let (left, top) = (x0.min(x1), y0.min(y1));
                let bbox = [left, top, x0.max(x1) - left, y0.max(y1) - top];
                groups.entry(s.group_id).or_default().bbox = Some((s.label.clone(), bbox));
            }
            ("polygon", corners) if corners.len() > 2 => regions.push((s.label.clone(), corners.to_vec())),
            ("circle" | "line" | "linestrip" | "mask", _) => others = others.saturating_add(1),
            (kind, points) => {
                let problem = format!("a {} has {} points", short(kind), points.len());
                return Err(bad(problem, "points have 1, rectangles 2, polygons 3 or more"));
            }
        }
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let usual = || file.with_extension("jpg").file_name().map(PathBuf::from).unwrap_or_default();
    let name = match raw.image.filter(|name| !name.is_empty()) {
        // LabelMe under Windows writes backslashes, and paths from the label to the image.
        Some(name) if options.finder.is_plain() => name.replace('\\', "/"),
        Some(name) => name,
        None => usual().to_string_lossy().into_owned(),
    };
    let image_file = reader.file(folder, &name, &Place::File)?;
    for (_, group) in groups {
        if group.points.is_empty() && group.bbox.is_none() {
            continue;
        }
        let mut points = Vec::with_capacity(group.points.len());
        for (name, point) in group.points {
            let next = out.names.len();
            let at = *out.by_name.entry(name.clone()).or_insert(next);
            if at == next {
                out.names.push(name);
            }
            points.push((at, point));
        }
        let (label, bbox) = group.bbox.unzip();
        out.category = out.category.take().or(label);
        let sample = PoseSample { image, bbox, num_keypoints: points.len(), ..PoseSample::default() };
        out.samples.push((sample, points));
    }
    for (label, corners) in regions {
        let region = out.regions.iter().position(|r| *r == label).unwrap_or_else(|| {
            out.regions.push(label);
            out.regions.len().saturating_sub(1)
        });
        let sample = PoseSample {
            image,
            category: region.saturating_add(1),
            segmentation: Some(Segmentation::Polygons(vec![corners])),
            ..PoseSample::default()
        };
        out.samples.push((sample, Vec::new()));
    }
    out.others = out.others.saturating_add(others);
    let side = |v: Option<f64>| usize::try_from(whole(v?)?).ok().filter(|&n| n > 0);
    let size = side(raw.width).zip(side(raw.height)).map(|(w, h)| [w, h]);
    Ok(PoseImage { id: i64::try_from(image).unwrap_or(i64::MAX), file: image_file, size, crowd_index: None })
}

impl Builder {
    fn finish(self, path: &Path, skipped: Vec<DataError>) -> PoseSet {
        let order = known_order(&self.names).unwrap_or_else(|| self.names.clone());
        let mut points = Category {
            name: self.category.unwrap_or_else(|| "object".into()),
            points: order.clone(),
            ..face_category(0)
        };
        complete(&mut points);
        let places: Vec<Option<usize>> = self
            .names
            .iter()
            .map(|n| order.iter().position(|o| naming::normal(o) == naming::normal(n)))
            .collect();
        let mut categories = vec![points];
        categories.extend(self.regions.into_iter().zip(2i64..).map(|(name, id)| Category {
            id,
            name,
            ..face_category(0)
        }));
        let mut samples = Vec::with_capacity(self.samples.len());
        for (id, (mut sample, named)) in (0i64..).zip(self.samples) {
            sample.id = id;
            if sample.category == 0 && !named.is_empty() {
                sample.points = vec![PosePoint::default(); order.len()];
                for (name, point) in named {
                    let slot = places.get(name).copied().flatten().and_then(|i| sample.points.get_mut(i));
                    slot.into_iter().for_each(|p| *p = point);
                }
            }
            samples.push(sample);
        }
        let notes = match self.others {
            0 => Vec::new(),
            n => vec![format!("{n} lines, circles and masks are left out")],
        };
        PoseSet { path: path.to_path_buf(), images: self.images, categories, samples, skipped, notes }
    }
}

/// The names in the order of a known set that has them all, or `point_0`, `point_1`, ... by number.
fn known_order(names: &[String]) -> Option<Vec<String>> {
    let spelled: Vec<String> = names.iter().map(|n| naming::normal(n)).collect();
    let same = |known: &[String]| known.len() >= names.len() && spelled.iter().all(|n| known.contains(n));
    // Some points of a set may occur nowhere, but not most.
    let fits =
        |known: &[String]| names.len() > 2 && same(known) && known.len() <= names.len().saturating_mul(2);
    let normal = |s: &PointSet| s.names().iter().map(|n| naming::normal(n)).collect::<Vec<_>>();
    if let Some(known) = PointSet::all().filter(|s| fits(&normal(s))).min_by_key(|s| s.count) {
        return Some(known.names());
    }
    let number = |n: &String| n.strip_prefix("point_").unwrap_or(n).parse::<usize>().ok();
    let mut numbered: Vec<(usize, &String)> =
        names.iter().map(|n| Some((number(n)?, n))).collect::<Option<_>>()?;
    numbered.sort();
    Some(numbered.into_iter().map(|(_, n)| n.clone()).collect())
}
