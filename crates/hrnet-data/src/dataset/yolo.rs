//! YOLO-pose: a text file per image, everything over the image's width and height.
//!
//! ```text
//! data.yaml     kpt_shape: [17, 3]   flip_idx: [0, 2, 1, ...]   names: {0: person}   kpt_names: {0: [nose, ...]}?
//! images/a.jpg, images/train/b.jpg   labels/a.txt, labels/train/b.txt
//! a.txt         class x_middle y_middle width height  x0 y0 v0  x1 y1 v1 ...       (v 0, 1, 2 as in COCO; none with [17, 2])
//! ```
//!
//! Of the YAML file the keys above are read, in block or in flow form, and nothing else of YAML. An image without a label file has
//! no objects. Sizes come from the images, so these must be there.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::path::{Path, PathBuf};

use super::classification::is_image;
use super::cvat::complete;
use super::model::{
    Category, DataError, PairSource, Place, PoseImage, PosePoint, PoseSample, PoseSet, ReadOptions, Reader,
    Visibility, ordinal, read_bytes, short, text,
};
use super::open::face_category;
use super::segmentation::files_below;
use hrnet_image::{Limits, dimensions};

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

/// Reads the keys of a YAML file; the error says what is wanted.
pub fn header(text: &str) -> Result<Header, String> {
    let value = |key: &str| yaml_value(text, key);
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
    let names = value("names").unwrap_or_else(|| vec!["object".into()]);
    let point_names = value("kpt_names").filter(|n| n.len() == points);
    Ok(Header { points, numbers, flip, names, point_names })
}

/// The words of a key's value: after the colon, and in the more indented or dashed lines below.
fn yaml_value(text: &str, key: &str) -> Option<Vec<String>> {
    let mut lines =
        text.lines().map(|l| l.split(" #").next().unwrap_or(l)).filter(|l| !l.trim_start().starts_with('#'));
    let first = lines.by_ref().find_map(|l| l.strip_prefix(key)?.trim_start().strip_prefix(':'))?;
    let mut value = first.to_string();
    for line in lines {
        if line.trim().is_empty() {
            continue;
        }
        if !line.starts_with([' ', '\t', '-', ']', '}']) {
            break;
        }
        value.push(',');
        value.push_str(line);
    }
    let word = |w: &str| {
        let w = w.trim().trim_start_matches("- ").trim();
        // Of `0: person` the name.
        let w = match w.split_once(':') {
            Some((index, name)) if index.trim().parse::<u32>().is_ok() => name.trim(),
            _ => w,
        };
        w.trim_matches(['"', '\'']).trim().to_string()
    };
    Some(value.split([',', '[', ']', '{', '}']).map(word).filter(|w| !w.is_empty()).collect())
}

/// Reads a set from its `data.yaml`, or from the folder with it; `images` replaces the folder of the images.
pub fn read(path: &Path, images: Option<&Path>, options: &ReadOptions) -> Result<PoseSet, DataError> {
    let (root, yaml) = if path.is_dir() {
        (path.to_path_buf(), find_yaml(path)?)
    } else {
        (path.parent().map(Path::to_path_buf).unwrap_or_default(), path.to_path_buf())
    };
    let bytes = read_bytes(&yaml, 1 << 20)?;
    let header = header(text(&bytes, &yaml)?).map_err(|e| DataError::format(&yaml, e))?;
    let image_root = images.map_or_else(|| root.join("images"), Path::to_path_buf);
    let files = files_below(&image_root)?;
    let mut reader = Reader::new(path, options);
    reader.count(files.len(), "images")?;
    let limits = Limits::default();
    let (mut list, mut samples) = (Vec::new(), Vec::new());
    for (index, file) in files.into_iter().enumerate() {
        let size = read_bytes(&file, limits.max_file as u64).and_then(|b| {
            dimensions(&b, &limits)
                .map_err(|e| DataError::entry(&file, Place::File, e.to_string(), "replace the image"))
        });
        let Some((w, h)) = reader.keep(size)? else { continue };
        let name = file.strip_prefix(&image_root).unwrap_or(&file);
        let label = root.join("labels").join(name).with_extension("txt");
        let image = list.len();
        let id = i64::try_from(index).unwrap_or(i64::MAX);
        list.push(PoseImage { id, file: file.clone(), size: Some([w, h]), crowd_index: None });
        if !label.is_file() {
            continue;
        }
        let bytes = read_bytes(&label, options.limits.max_bytes);
        let content = bytes.and_then(|b| text(&b, &label).map(String::from));
        let Some(content) = reader.keep(content)? else { continue };
        for (i, line) in content.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            reader.count(samples.len().saturating_add(1), "objects")?;
            let inner = Reader::new(&label, options);
            let result = object(line, image, [w, h], &header, &inner, &Place::Line(ordinal(i)));
            samples.extend(reader.keep(result)?);
        }
    }
    if list.is_empty() && reader.skipped.is_empty() {
        let fix = "YOLO's images lie in images/ beside labels/";
        return Err(DataError::Empty { path: image_root, what: "images", fix });
    }
    for (id, s) in (0i64..).zip(&mut samples) {
        s.id = id;
    }
    Ok(PoseSet {
        path: path.to_path_buf(),
        images: list,
        categories: categories(&header),
        samples,
        skipped: reader.skipped,
        notes: Vec::new(),
    })
}

fn find_yaml(folder: &Path) -> Result<PathBuf, DataError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| DataError::io(folder, &e))? {
        let path = entry.map_err(|e| DataError::io(folder, &e))?.path();
        if !is_image(&path) && path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            found.push(path);
        }
    }
    found.sort();
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
    let category: usize =
        class.parse().ok().filter(|&c| c < header.names.len()).ok_or_else(|| {
            bad(format!("the class is {:?}", short(class)), "classes are the numbers of names")
        })?;
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
