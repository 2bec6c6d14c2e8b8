//! YOLO-pose: a text file per image, everything over the image's width and height.
//!
//! ```text
//! data.yaml     kpt_shape: [17, 3]   flip_idx: [0, 2, 1, ...]   names: {0: person}   kpt_names: {0: [nose, ...]}?
//! images/a.jpg, images/train/b.jpg   labels/a.txt, labels/train/b.txt
//! a.txt         class x_middle y_middle width height  x0 y0 v0  x1 y1 v1 ...       (v 0, 1, 2 as in COCO; none with [17, 2])
//! ```
//!
//! The images are those of `train`, `val` and `test` of the YAML file (folders or lists, from `path` or from the folder of the
//! file), else those in `images/`, else those in `train/images/`, `valid/images/` and `test/images/`. Training reads `train`,
//! evaluation `val`, looking all of them. An image without a label file has no objects. Numbers are over the size that the
//! image is shown with, after its EXIF orientation; so the images must be there.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::path::{Path, PathBuf};

use super::categories::{complete, face_category};
use super::format::{Content, Fit, Format, Glance, OpenOptions, Opened, Purpose, Where};
use super::images::{Finder, Name, ends_with, files_below};
use super::model::{
    Category, DataError, PairSource, Place, PoseImage, PosePoint, PoseSample, PoseSet, Reader, Seen,
    Visibility, ordinal, read_bytes, short, text, whole,
};
use super::yaml::{self, Value};
use hrnet_image::{Limits, shown_size};

/// What the YAML file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Points per object.
    pub points: usize,
    /// Numbers per point, 2 or 3.
    pub numbers: usize,
    /// Index of each point in the mirrored image.
    pub flip: Option<Vec<usize>>,
    /// Names of the classes.
    pub names: Vec<String>,
    /// Names of the points, where given.
    pub point_names: Option<Vec<String>>,
}

pub(crate) static FORMAT: Format = Format {
    name: "yolo-pose",
    aliases: &["yolo"],
    content: Content::Points,
    recognise,
    read: open,
    images: Where::Found,
    takes_one: false,
    has_splits: true,
    place: |sample, image| format!("{image}, entry {}", sample.id),
};

fn recognise(at: &Glance<'_>) -> Fit {
    if !at.is_folder {
        return Fit::sure(at.is_file(&["yaml", "yml"]));
    }
    // Roboflow keeps the labels of each part beside its images.
    let labels = at.has_folder("labels") || at.folders.iter().any(|f| f.join("labels").is_dir());
    Fit::sure(at.first_file(&["yaml", "yml"]).is_some() && labels)
}

/// Reads the keys of a YAML file; the error says what is wanted.
pub fn header(yaml: &Value) -> Result<Header, String> {
    let value = |key: &str| yaml.get(key).and_then(Value::texts);
    let shape = value("kpt_shape").ok_or("there is no kpt_shape; write kpt_shape: [17, 3]")?;
    let number = |s: &String| s.parse::<usize>().ok();
    let (points, numbers) = match shape.iter().map(number).collect::<Option<Vec<_>>>().as_deref() {
        Some(&[points @ 1..=10_000, numbers @ (2 | 3)]) => (points, numbers),
        _ => return Err(format!("kpt_shape is {shape:?}; write [number of points, 2 or 3]")),
    };
    let flip = match value("flip_idx").filter(|v| !v.is_empty()) {
        None => None,
        Some(list) => {
            let flip = list.iter().map(number).collect::<Option<Vec<_>>>();
            let good = |f: &Vec<usize>| {
                f.len() == points && f.iter().enumerate().all(|(i, &j)| f.get(j) == Some(&i))
            };
            let fix = "flip_idx is no list of every point's index in the mirrored image, there and back";
            Some(flip.filter(good).ok_or(fix)?)
        }
    };
    let names = value("names").filter(|n| !n.is_empty()).unwrap_or_else(|| vec!["object".into()]);
    Ok(Header { points, numbers, flip, names, point_names: point_names(yaml, points) })
}

/// `kpt_names`: a list, or one list per class, of which the first is taken.
fn point_names(yaml: &Value, points: usize) -> Option<Vec<String>> {
    let names = yaml.get("kpt_names")?;
    let first = match names {
        Value::Map(entries) => entries.first().map(|(_, v)| v),
        Value::List(list) => list.first(),
        _ => None,
    };
    let lists = [Some(names), first].into_iter().flatten().filter_map(Value::texts);
    lists.into_iter().find(|n| n.len() == points)
}

/// Where the images of a set are.
struct Places {
    /// Folders and lists of images with what they are called.
    parts: Vec<(String, PathBuf)>,
    /// The folder that names of images are relative to.
    root: PathBuf,
    notes: Vec<String>,
}

/// The folders of `train`, `val` and `test`: from `path`, from the folder of the file, and there without a leading `../`, as
/// Roboflow writes it; else `images`; else the folders that Roboflow makes.
fn places(yaml: &Value, folder: &Path, how: &OpenOptions) -> Result<Places, DataError> {
    if let Some(given) = &how.images {
        return Ok(Places {
            parts: vec![(String::new(), given.clone())],
            root: given.clone(),
            notes: Vec::new(),
        });
    }
    let mut bases = Vec::new();
    bases.extend(yaml.get("path").and_then(Value::text).map(|p| folder.join(p)));
    bases.push(folder.to_path_buf());
    let find = |entry: &str| {
        let bare = entry.trim_start_matches("./").trim_start_matches("../");
        let names = [entry, bare];
        let mut all = bases.iter().flat_map(|b| names.map(|n| b.join(n)));
        all.find(|p| p.exists())
    };
    let (mut parts, mut absent) = (Vec::new(), Vec::new());
    for key in ["train", "val", "test"] {
        for entry in yaml.get(key).and_then(Value::texts).unwrap_or_default() {
            match find(&entry) {
                Some(at) => parts.push((key.to_string(), at)),
                None => absent.push(format!("{key}: {entry}")),
            }
        }
    }
    if parts.is_empty() {
        let whole = folder.join("images");
        if whole.is_dir() {
            parts.push((String::new(), whole));
        } else {
            for (key, name) in [("train", "train"), ("val", "valid"), ("val", "val"), ("test", "test")] {
                let at = folder.join(name).join("images");
                parts.extend(at.is_dir().then(|| (key.to_string(), at)));
            }
        }
    }
    let usual = match how.part {
        Purpose::Look => None,
        Purpose::Measure => Some("val"),
        Purpose::Train => Some("train"),
    };
    let split = how.split.as_deref().map(|s| if s == "valid" { "val" } else { s });
    match split {
        Some(split) => parts.retain(|(key, _)| key == split),
        None if parts.iter().any(|(key, _)| Some(key.as_str()) == usual) => {
            parts.retain(|(key, _)| Some(key.as_str()) == usual);
        }
        None => {}
    }
    if parts.is_empty() {
        let what = if absent.is_empty() { String::new() } else { format!(" ({})", absent.join(", ")) };
        let detail = format!(
            "its images are not found{what}; train and val are folders from path or from the folder of this file, else images/"
        );
        return Err(DataError::format(folder, detail));
    }
    let mut notes = Vec::new();
    if !absent.is_empty() {
        notes.push(format!("not there: {}", absent.join(", ")));
    }
    let mut keys: Vec<&str> = parts.iter().map(|(k, _)| k.as_str()).collect();
    keys.dedup();
    if keys.len() > 1 {
        notes.push(format!(
            "{} are read together; --images with one of their folders reads it alone",
            keys.join(" and ")
        ));
    }
    let images = folder.join("images");
    let all_in = |root: &Path| parts.iter().all(|(_, p)| p.is_dir() && p.starts_with(root));
    let root = match parts.as_slice() {
        _ if all_in(&images) => images,
        [(_, one)] if one.is_dir() => one.clone(),
        _ => folder.to_path_buf(),
    };
    Ok(Places { parts, root, notes })
}

/// The images of a part: those below a folder, or those that a list names.
fn images_of(part: &Path, folder: &Path, reader: &mut Reader<'_>) -> Result<Vec<PathBuf>, DataError> {
    if part.is_dir() {
        return files_below(part);
    }
    let bytes = read_bytes(part, reader.options.limits.max_bytes)?;
    let finder = Finder::new(part, None, &[]);
    let mut out = Vec::new();
    for (i, line) in text(&bytes, part)?.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let name = Name::new(line.trim());
        let found = finder.find(folder, &name).ok_or_else(|| DataError::MissingFile {
            path: part.to_path_buf(),
            place: Place::Line(ordinal(i)),
            file: PathBuf::from(name.name),
            looked: finder.looked(),
        });
        out.extend(reader.keep(found)?);
    }
    Ok(out)
}

/// The label file of an image: `labels` in place of the last `images` of its path, else of a folder beside the images, else beside
/// the image.
fn label_of(image: &Path, image_root: &Path, folder: &Path) -> PathBuf {
    let parts: Vec<_> = image.components().collect();
    let last = parts.iter().rposition(|c| c.as_os_str() == "images");
    if let Some(last) = last {
        let swapped = |(i, c): (usize, &std::path::Component<'_>)| match i == last {
            true => PathBuf::from("labels"),
            false => PathBuf::from(c.as_os_str()),
        };
        let label = parts.iter().enumerate().map(swapped).collect::<PathBuf>().with_extension("txt");
        if label.is_file() {
            return label;
        }
    }
    let name = image.strip_prefix(image_root).unwrap_or(image);
    let beside = folder.join("labels").join(name).with_extension("txt");
    if beside.is_file() || !image.with_extension("txt").is_file() {
        return beside;
    }
    image.with_extension("txt")
}

/// Reads a set from its `data.yaml`, or from the folder with it.
fn open(path: &Path, how: &OpenOptions) -> Result<Opened, DataError> {
    let options = &how.read;
    let (folder, yaml) = if path.is_dir() {
        (path.to_path_buf(), find_yaml(path)?)
    } else {
        (path.parent().map(Path::to_path_buf).unwrap_or_default(), path.to_path_buf())
    };
    let bytes = read_bytes(&yaml, yaml::MAX_BYTES as u64)?;
    let document = yaml::parse(text(&bytes, &yaml)?, &yaml)?;
    let header = header(&document).map_err(|e| DataError::format(&yaml, e))?;
    let places = places(&document, &folder, how)?;
    let mut reader = Reader::new(path, options);
    let mut files: Vec<PathBuf> = Vec::new();
    let mut seen = Seen::new();
    for (_, part) in &places.parts {
        for file in images_of(part, &folder, &mut reader)? {
            if seen.before(file.clone(), 0).is_none() {
                files.push(file);
            }
        }
    }
    reader.count(files.len(), "images")?;
    let limits = Limits::default();
    let (mut list, mut samples) = (Vec::new(), Vec::new());
    for (index, file) in files.into_iter().enumerate() {
        let size = read_bytes(&file, limits.max_file as u64).and_then(|b| {
            shown_size(&b, &limits)
                .map_err(|e| DataError::entry(&file, Place::File, e.to_string(), "replace the image"))
        });
        let Some(size) = reader.keep(size)? else { continue };
        let label = label_of(&file, &places.root, &folder);
        let image = list.len();
        let id = i64::try_from(index).unwrap_or(i64::MAX);
        list.push(PoseImage { id, file: file.clone(), size: Some(size), crowd_index: None });
        if !label.is_file() {
            continue;
        }
        let bytes = read_bytes(&label, options.limits.max_bytes);
        let content = bytes.and_then(|b| text(&b, &label).map(String::from));
        let Some(content) = reader.keep(content)? else { continue };
        for (i, line) in content.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            reader.count(samples.len().saturating_add(1), "objects")?;
            let inner = Reader::new(&label, options);
            let result = object(line, image, size, &header, &inner, &Place::Line(ordinal(i)));
            samples.extend(reader.keep(result)?);
        }
    }
    if list.is_empty() && reader.skipped.is_empty() {
        let fix = "YOLO's images lie in images/ beside labels/, or where train and val of data.yaml say";
        return Err(DataError::Empty { path: places.root, what: "images", fix });
    }
    for (id, s) in (0i64..).zip(&mut samples) {
        s.id = id;
    }
    let set = PoseSet {
        path: path.to_path_buf(),
        images: list,
        categories: categories(&header),
        samples,
        skipped: reader.skipped,
        notes: places.notes,
    };
    Ok(Opened { root: Some(places.root), ..set.into() })
}

fn find_yaml(folder: &Path) -> Result<PathBuf, DataError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| DataError::io(folder, &e))? {
        let path = entry.map_err(|e| DataError::io(folder, &e))?.path();
        if ends_with(&path, &["yaml", "yml"]) {
            found.push(path);
        }
    }
    // Of several that which is called data.yaml.
    found.sort_by_key(|p| (p.file_stem().is_none_or(|s| s != "data"), p.clone()));
    let fix = "YOLO's data.yaml says how many points there are";
    found.into_iter().next().ok_or(DataError::Empty { path: folder.to_path_buf(), what: "data.yaml", fix })
}

fn categories(header: &Header) -> Vec<Category> {
    let known = crate::sets::COCO17.names();
    let names = match &header.point_names {
        Some(names) => names.clone(),
        None if header.points == known.len() => known,
        None => face_category(header.points).points,
    };
    let pairs = header.flip.as_ref().map(|flip| {
        flip.iter().enumerate().filter(|&(i, &j)| i < j).map(|(i, &j)| (i, j)).collect::<Vec<_>>()
    });
    let one = |(id, name): (i64, &String)| {
        let mut c = Category { id, name: name.clone(), points: names.clone(), ..face_category(0) };
        complete(&mut c);
        if let Some(pairs) = &pairs {
            (c.flip_pairs, c.pairs_from) = (pairs.clone(), PairSource::File);
        }
        c
    };
    (0i64..).zip(&header.names).map(one).collect()
}

/// A class; programs that write all numbers alike write `0.000000`.
fn class_number(field: &str) -> Option<usize> {
    let float = || whole(field.parse().ok()?).and_then(|n| usize::try_from(n).ok());
    field.parse().ok().or_else(float)
}

fn object(
    line: &str,
    image: usize,
    [w, h]: [usize; 2],
    header: &Header,
    reader: &Reader<'_>,
    place: &Place,
) -> Result<PoseSample, DataError> {
    let bad = |problem: String, fix| DataError::entry(reader.path, place.clone(), problem, fix);
    let fields: Vec<&str> = line.split_whitespace().collect();
    let wanted = header.points.saturating_mul(header.numbers).saturating_add(5);
    let (Some((class, rest)), true) = (fields.split_first(), fields.len() == wanted) else {
        let problem = format!("it has {} numbers instead of {wanted}", fields.len());
        return Err(bad(problem, "write class, box and every point as kpt_shape says"));
    };
    let category: usize = class_number(class)
        .filter(|&c| c < header.names.len())
        .ok_or_else(|| bad(format!("the class is {:?}", short(class)), "classes are the numbers of names"))?;
    let mut numbers = Vec::with_capacity(rest.len());
    for f in rest {
        let v: f64 = f.parse().map_err(|_| bad(format!("{:?} is no number", short(f)), "write a number"))?;
        numbers.push(reader.coordinate(v, "a number", place)?);
    }
    let (w, h) = (w as f64, h as f64);
    let (bbox, points) = numbers.split_at(numbers.len().min(4));
    let &[x, y, bw, bh] = bbox else { return Err(bad("there is no box".into(), "write the box")) };
    let bbox = reader.bbox([(x - bw / 2.0) * w, (y - bh / 2.0) * h, bw * w, bh * h], place)?;
    let mut out = Vec::with_capacity(header.points);
    for point in points.chunks_exact(header.numbers) {
        let (x, y, v) = match *point {
            [x, y, v] => (x, y, v),
            [x, y] => (x, y, if x == 0.0 && y == 0.0 { 0.0 } else { 2.0 }),
            _ => continue,
        };
        let visibility = match v {
            0.0 => Visibility::Absent,
            1.0 => Visibility::Hidden,
            2.0 => Visibility::Visible,
            _ => return Err(bad(format!("a point has the flag {v}"), "v is 0, 1 or 2")),
        };
        out.push(PosePoint { at: if visibility.labelled() { [x * w, y * h] } else { [0.0; 2] }, visibility });
    }
    Ok(PoseSample {
        image,
        category,
        bbox: Some(bbox),
        num_keypoints: out.iter().filter(|p| p.visibility.labelled()).count(),
        points: out,
        ..PoseSample::default()
    })
}
