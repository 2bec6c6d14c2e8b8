//! CVAT's XML ("CVAT for images 1.1"): points and skeletons.
//!
//! ```text
//! <annotations><meta>... <label><name>person</name><type>skeleton</type></label>
//!                        <label><name>nose</name><type>points</type><parent>person</parent></label> ...</meta>
//!   <image id="0" name="a.jpg" subset="train"? width="640" height="480">
//!     <skeleton label="person" group_id="1"?> <points label="nose" outside="0" occluded="0" points="10.00,20.00"/> ... </skeleton>
//!     <points label="face" occluded="0" points="1.00,2.00;3.00,4.00"/>
//!     <box label="person" group_id="1" xtl="1" ytl="2" xbr="30" ybr="40"/>
//!   </image></annotations>
//! ```
//!
//! A label with a skeleton is a category, its points in the order of the labels that name it as their parent, or of their first
//! use. A `points` shape is a sample too; all shapes of a label have the same number of points. `outside` is absent, `occluded` hidden.
//! A box belongs to the shape of its group. Other shapes are counted in the notes. Coordinates are 0-based and stay.
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

use roxmltree::{Document, Node, ParsingOptions};

use super::categories::{complete, face_category};
use super::format::{Content, Fit, Format, Where};
use super::images::Name;
use super::model::{
    Category, DataError, Place, PoseImage, PosePoint, PoseSample, PoseSet, ReadOptions, Reader, Visibility,
    read_bytes, short, text,
};

pub(crate) static FORMAT: Format = Format {
    name: "cvat",
    aliases: &[],
    content: Content::Points,
    recognise: |at| match at.is_folder {
        false if at.is_file(&["xml"]) || at.text.starts_with('<') => Fit::Surely,
        _ => Fit::No,
    },
    read: |path, how| Ok(read(path, Path::new(""), &how.read)?.into()),
    images: Where::Named(&[]),
    takes_one: false,
    has_splits: false,
    place: |sample, image| format!("{image}, entry {}", sample.id),
};

/// Nodes of a document; a COCO-sized set has some ten million.
const MAX_NODES: u32 = 50_000_000;

/// Reads a file; `image_root` is the folder of its names.
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
    let limits = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text(bytes, path)?, limits)
        .map_err(|e| DataError::format(path, format!("{e}; export it again as \"CVAT for images 1.1\"")))?;
    let root = document.root_element();
    if root.tag_name().name() != "annotations" {
        let detail =
            format!("its root is <{}>; a CVAT file has <annotations>", short(root.tag_name().name()));
        return Err(DataError::format(path, detail));
    }
    let mut reader = Reader::new(path, options);
    let mut categories = Categories::new(root);
    let (mut images, mut samples, mut others) = (Vec::new(), Vec::new(), 0usize);
    for (index, node) in root.children().filter(|n| n.has_tag_name("image")).enumerate() {
        reader.count(index.saturating_add(1), "images")?;
        let place = Place::Item { list: "image", index };
        let result = image(node, index, image_root, &reader, &place);
        let Some(image) = reader.keep(result)? else { continue };
        let at = images.len();
        images.push(image);
        let mut boxes: HashMap<&str, [f64; 4]> = HashMap::new();
        let mut found: Vec<(Option<&str>, PoseSample)> = Vec::new();
        for shape in node.children().filter(Node::is_element) {
            match shape.tag_name().name() {
                "skeleton" | "points" => {
                    let id = samples.len().saturating_add(found.len());
                    let result = sample(shape, at, id, &mut categories, &reader, &place);
                    found.extend(reader.keep(result)?.map(|s| (shape.attribute("group_id"), s)));
                }
                "box" => {
                    let result = corners(shape, &reader, &place);
                    match (shape.attribute("group_id"), reader.keep(result)?) {
                        (Some(group), Some(b)) => _ = boxes.insert(group, b),
                        (None, Some(_)) => others = others.saturating_add(1),
                        _ => {}
                    }
                }
                "tag" => {}
                _ => others = others.saturating_add(1),
            }
        }
        for (group, mut sample) in found {
            sample.bbox = group.and_then(|g| boxes.get(g)).copied();
            samples.push(sample);
        }
    }
    if images.is_empty() && reader.skipped.is_empty() {
        let fix = "export the task as \"CVAT for images 1.1\"; videos have another form";
        return Err(DataError::Empty { path: path.to_path_buf(), what: "images", fix });
    }
    let categories = categories.finish();
    // Points that a category gained after a sample was read are absent in it.
    for s in &mut samples {
        let n = categories.get(s.category).map_or(0, |c| c.points.len());
        s.points.resize(n, PosePoint::default());
    }
    let notes = match others {
        0 => Vec::new(),
        n => vec![format!(
            "{n} shapes are neither points nor skeletons nor boxes of their group, and are left out"
        )],
    };
    Ok(PoseSet { path: path.to_path_buf(), images, categories, samples, skipped: reader.skipped, notes })
}

fn image(
    node: Node<'_, '_>,
    index: usize,
    root: &Path,
    reader: &Reader<'_>,
    place: &Place,
) -> Result<PoseImage, DataError> {
    // Projects keep the images of each subset in a folder of its name.
    let name = Name { subset: node.attribute("subset"), ..Name::new(node.attribute("name").unwrap_or("")) };
    let file = reader.named(root, &name, place)?;
    let side = |name: &str| {
        node.attribute(name)
            .and_then(|v| v.parse::<usize>().ok())
            .filter(|&v| v > 0 && v as f64 <= reader.options.limits.max_side)
    };
    let size = side("width").zip(side("height")).map(|(w, h)| [w, h]);
    let id = node.attribute("id").and_then(|v| v.parse().ok());
    let id = id.unwrap_or_else(|| i64::try_from(index).unwrap_or(i64::MAX));
    Ok(PoseImage { id, file, size, crowd_index: None })
}

fn number(node: Node<'_, '_>, name: &str, reader: &Reader<'_>, place: &Place) -> Result<f64, DataError> {
    let raw = node.attribute(name).unwrap_or("");
    let v: f64 = raw.trim().parse().map_err(|_| {
        let problem = format!("{name} of a {} is {:?}", node.tag_name().name(), short(raw));
        DataError::entry(reader.path, place.clone(), problem, "write a number")
    })?;
    reader.coordinate(v, name, place)
}

fn corners(node: Node<'_, '_>, reader: &Reader<'_>, place: &Place) -> Result<[f64; 4], DataError> {
    let get = |name: &str| number(node, name, reader, place);
    let [x0, y0, x1, y1] = [get("xtl")?, get("ytl")?, get("xbr")?, get("ybr")?];
    reader.bbox([x0, y0, x1 - x0, y1 - y0], place)
}

/// The coordinates of a `points` element.
fn coordinates(node: Node<'_, '_>, reader: &Reader<'_>, place: &Place) -> Result<Vec<[f64; 2]>, DataError> {
    let raw = node.attribute("points").unwrap_or("");
    let mut out = Vec::new();
    for pair in raw.split(';').filter(|p| !p.trim().is_empty()) {
        let parse = |s: &str| s.trim().parse::<f64>().ok();
        let at = pair.split_once(',').and_then(|(x, y)| Some([parse(x)?, parse(y)?]));
        let [x, y] = at.ok_or_else(|| {
            let problem = format!("{:?} is not x,y", short(pair));
            DataError::entry(reader.path, place.clone(), problem, "points are x,y;x,y;...")
        })?;
        out.push([reader.coordinate(x, "x", place)?, reader.coordinate(y, "y", place)?]);
        if out.len() > reader.options.limits.max_points {
            let limit = reader.options.limits.max_points as u64;
            return Err(DataError::Limit {
                path: reader.path.to_path_buf(),
                what: "points per shape",
                limit,
            });
        }
    }
    Ok(out)
}

fn sample(
    shape: Node<'_, '_>,
    image: usize,
    id: usize,
    categories: &mut Categories,
    reader: &Reader<'_>,
    place: &Place,
) -> Result<PoseSample, DataError> {
    let bad = |problem: String, fix| DataError::entry(reader.path, place.clone(), problem, fix);
    let label = shape.attribute("label").unwrap_or("");
    let flag = |n: Node<'_, '_>, name: &str| n.attribute(name) == Some("1");
    let seen = |n: Node<'_, '_>| match (flag(n, "outside"), flag(n, "occluded")) {
        (true, _) => Visibility::Absent,
        (_, true) => Visibility::Hidden,
        _ => Visibility::Visible,
    };
    let put = |at: [f64; 2], visibility: Visibility| PosePoint {
        at: if visibility.labelled() { at } else { [0.0; 2] },
        visibility,
    };
    let mut points: Vec<PosePoint> = Vec::new();
    let category = if shape.has_tag_name("skeleton") {
        let category = categories.index(label, true);
        for joint in shape.children().filter(|n| n.has_tag_name("points")) {
            let name = joint.attribute("label").unwrap_or("");
            let at = coordinates(joint, reader, place)?;
            let &[at] = at.as_slice() else {
                return Err(bad(
                    format!("{:?} has {} points", short(name), at.len()),
                    "a joint is one point",
                ));
            };
            let index = categories.point(category, name).ok_or_else(|| {
                bad(format!("{:?} is a joint too many", short(name)), "name the joints as in the label")
            })?;
            if points.len() <= index {
                points.resize(index.saturating_add(1), PosePoint::default());
            }
            points.get_mut(index).into_iter().for_each(|p| *p = put(at, seen(joint)));
        }
        category
    } else {
        let category = categories.index(label, false);
        let visibility = seen(shape);
        points.extend(coordinates(shape, reader, place)?.into_iter().map(|at| put(at, visibility)));
        if !categories.fits(category, points.len()) {
            let problem =
                format!("{:?} has {} points here and another number before", short(label), points.len());
            return Err(bad(problem, "give all shapes of a label the same points"));
        }
        category
    };
    Ok(PoseSample {
        id: i64::try_from(id).unwrap_or(i64::MAX),
        image,
        category,
        num_keypoints: points.iter().filter(|p| p.visibility.labelled()).count(),
        points,
        ..PoseSample::default()
    })
}

/// Categories as they are met.
struct Categories {
    list: Vec<Category>,
    by_name: HashMap<(String, bool), usize>,
    /// Whether a category's points are known from the labels, so that no more may come.
    closed: Vec<bool>,
}

impl Categories {
    /// Those of the labels in the head of the file.
    fn new(root: Node<'_, '_>) -> Self {
        let mut out = Self { list: Vec::new(), by_name: HashMap::new(), closed: Vec::new() };
        let child = |n: Node<'_, '_>, tag: &str| {
            n.children().find(|c| c.has_tag_name(tag)).and_then(|c| c.text()).map(str::trim).map(String::from)
        };
        let labels: Vec<_> = root
            .children()
            .filter(|n| n.has_tag_name("meta"))
            .flat_map(|m| m.descendants())
            .filter(|n| n.has_tag_name("label"))
            .collect();
        for label in &labels {
            if let (Some(parent), Some(name)) = (child(*label, "parent"), child(*label, "name")) {
                let category = out.index(&parent, true);
                out.point(category, &name);
            }
        }
        out.closed.fill(true);
        out
    }

    fn index(&mut self, name: &str, skeleton: bool) -> usize {
        let next = self.list.len();
        let index = *self.by_name.entry((name.to_string(), skeleton)).or_insert(next);
        if index == next {
            self.list.push(Category {
                id: i64::try_from(next).unwrap_or(i64::MAX).saturating_add(1),
                name: name.to_string(),
                ..face_category(0)
            });
            self.closed.push(false);
        }
        index
    }

    /// The place of a joint; a new one is added.
    fn point(&mut self, category: usize, name: &str) -> Option<usize> {
        let c = self.list.get_mut(category)?;
        if let Some(i) = c.points.iter().position(|p| p == name) {
            return Some(i);
        }
        if self.closed.get(category) == Some(&true) || c.points.len() >= 10_000 {
            return None;
        }
        c.points.push(name.to_string());
        c.points.len().checked_sub(1)
    }

    /// Whether a shape of so many points is of the category; the first decides.
    fn fits(&mut self, category: usize, count: usize) -> bool {
        let Some(c) = self.list.get_mut(category) else { return false };
        if c.points.is_empty() && count > 0 {
            let known = face_category(count);
            (c.points, c.skeleton, c.flip_pairs, c.pairs_from) =
                (known.points, known.skeleton, known.flip_pairs, known.pairs_from);
        }
        c.points.len() == count
    }

    /// Lines and mirror pairs by the names.
    fn finish(mut self) -> Vec<Category> {
        self.list.iter_mut().for_each(complete);
        self.list
    }
}
