//! Classification sets: a folder per class (ImageNet, torchvision's `ImageFolder`), or a table.
//!
//! Folders are classes, sorted by name in the order of their code points; a class's number is its place. For ImageNet's
//! folders (`n01440764`, ...) that is the usual order of the 1,000 classes. Images are found at any depth, by the endings that
//! torchvision accepts and this crate reads. A folder without images is an error, as there.
//!
//! ```text
//! file,class_index,...              header; the columns `file` (or `image`, `path`, `filename`) and `class_index` (or `label`,
//! tench.JPEG,0,...                  `class`, `index`) by name; `word` (or `name`, `class_name`) and `wnid` name the class
//! ```
//!
//! Symbolic links to folders are followed, but not into a folder above themselves.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::format::{Content, Fit, Format, Glance, Where};
use super::images::is_image;
use super::model::{
    ClassSample, ClassSet, DataError, Place, ReadOptions, Reader, Seen, read_bytes, short, text,
};
use super::table::Table;

pub use super::images::ENDINGS;

pub(crate) static FOLDER: Format = Format {
    name: "class-folder",
    aliases: &["image-folder", "imagefolder"],
    content: Content::Classes,
    recognise: recognise_folder,
    read: |path, how| Ok(read_folder(path, &how.read)?.into()),
    images: Where::Found,
    takes_one: false,
    has_splits: false,
    place: |sample, image| format!("{image}, entry {}", sample.id),
};

pub(crate) static TABLE: Format = Format {
    name: "class-csv",
    aliases: &[],
    content: Content::Classes,
    recognise: |at| {
        let names = Table::columns_of(at.text.lines().next().unwrap_or(""));
        let has = |list: &[&str]| names.iter().any(|n| list.contains(&n.as_str()));
        Fit::sure(at.is_file(&["csv"]) && has(&["class_index", "label", "class", "index"]))
    },
    read: |path, how| Ok(read_table(path, Path::new(""), &how.read)?.into()),
    images: Where::Named(&[]),
    takes_one: false,
    has_splits: false,
    place: |sample, image| format!("{image}, entry {}", sample.id),
};

/// Names of folders that are parts of a set of another kind.
const NO_CLASSES: [&str; 12] = [
    "annotations",
    "labels",
    "images",
    "masks",
    "label",
    "mask",
    "img_dir",
    "ann_dir",
    "leftImg8bit",
    "gtFine",
    "JPEGImages",
    "SegmentationClass",
];

/// Folders with images in them, none of which is a part of another kind of set.
fn recognise_folder(at: &Glance<'_>) -> Fit {
    let holds = |folder: &PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|e| e.path()).any(|p| is_image(&p))
    };
    match NO_CLASSES.iter().any(|n| at.has_folder(n)) {
        true => Fit::No,
        false if at.folders.iter().any(holds) => Fit::Loosely,
        // Classes in folders of their groups, where nothing else is wanted.
        false if at.wants_only(Content::Classes) && !at.folders.is_empty() => Fit::Loosely,
        false => Fit::No,
    }
}

/// Folders within folders.
const MAX_DEPTH: usize = 32;

/// Reads a folder of class folders.
pub fn read_folder(root: &Path, options: &ReadOptions) -> Result<ClassSet, DataError> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(root).map_err(|e| DataError::io(root, &e))? {
        let path = entry.map_err(|e| DataError::io(root, &e))?.path();
        if path.is_dir() {
            let name = path.file_name().and_then(|n| n.to_str());
            let name = name.ok_or_else(|| {
                DataError::format(
                    &path,
                    "the folder's name is no UTF-8; rename it, since it is the name of a class",
                )
            })?;
            folders.push((name.to_string(), path.clone()));
        }
    }
    folders.retain(|(name, _)| !name.starts_with('.'));
    folders.sort();
    if folders.is_empty() {
        let fix = "put the images of each class into a folder with its name";
        return Err(DataError::Empty { path: root.to_path_buf(), what: "class folders", fix });
    }
    let mut reader = Reader::new(root, options);
    let (mut classes, mut samples) = (Vec::with_capacity(folders.len()), Vec::new());
    for (class, (name, folder)) in folders.into_iter().enumerate() {
        let mut images = Vec::new();
        collect(&folder, 0, &mut images)?;
        reader.count(samples.len().saturating_add(images.len()), "images")?;
        if images.is_empty() {
            let fix = "remove the folder or add images; an empty class shifts no numbers only if it stays";
            let e = DataError::Empty { path: folder.clone(), what: "images", fix };
            reader.keep::<()>(Err(e))?;
        }
        samples.extend(images.into_iter().map(|image| ClassSample { image, class }));
        classes.push(name);
    }
    Ok(ClassSet { path: root.to_path_buf(), classes, samples, skipped: reader.skipped })
}

/// The images under a folder: those of a folder by name, then those of its folders by name.
fn collect(folder: &Path, depth: usize, out: &mut Vec<PathBuf>) -> Result<(), DataError> {
    if depth > MAX_DEPTH {
        return Err(DataError::format(
            folder,
            format!("folders are nested {MAX_DEPTH} deep; is there a link to itself?"),
        ));
    }
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(|e| DataError::io(folder, &e))? {
        let path = entry.map_err(|e| DataError::io(folder, &e))?.path();
        if path.is_dir() {
            folders.push(path);
        } else if is_image(&path) {
            files.push(path);
        }
    }
    files.sort();
    folders.sort();
    out.append(&mut files);
    folders.iter().try_for_each(|f| collect(f, depth.saturating_add(1), out))
}

/// Reads a table; images are relative to `image_root`.
pub fn read_table(path: &Path, image_root: &Path, options: &ReadOptions) -> Result<ClassSet, DataError> {
    let bytes = read_bytes(path, options.limits.max_bytes)?;
    parse_table(&bytes, path, image_root, options)
}

/// Reads a table from memory.
pub fn parse_table(
    bytes: &[u8],
    path: &Path,
    image_root: &Path,
    options: &ReadOptions,
) -> Result<ClassSet, DataError> {
    let mut csv = Table::new(text(bytes, path)?.as_bytes(), path, false)?;
    let need = |names: &[&str]| {
        csv.find(names).ok_or_else(|| {
            let problem = format!("there is no column {}", names.join(" or "));
            DataError::entry(path, Place::Line(1), problem, "name the columns in the first line")
        })
    };
    let file = need(&["file", "image", "path", "filename", "image_name"])?;
    let class = need(&["class_index", "label", "class", "index"])?;
    let name = csv.find(&["word", "name", "class_name", "wnid"]);
    let mut reader = Reader::new(path, options);
    let (mut samples, mut names, mut seen) = (Vec::new(), BTreeMap::<usize, String>::new(), Seen::new());
    while let Some(row) = csv.next_row()? {
        let line = row.line;
        let place = row.place();
        reader.count(samples.len().saturating_add(1), "images")?;
        let field = |i: usize| row.field(i);
        let result = (|| {
            let bad = |problem: String, fix| DataError::entry(path, place.clone(), problem, fix);
            let image = reader.file(image_root, field(file), &place)?;
            if let Some(first) = seen.before(image.clone(), line) {
                let what = format!("image {}", short(field(file)));
                return Err(DataError::Duplicate {
                    path: path.to_path_buf(),
                    place: place.clone(),
                    what,
                    first,
                });
            }
            let index: usize = field(class)
                .parse()
                .ok()
                .filter(|&i| i < options.limits.max_points.saturating_mul(100))
                .ok_or_else(|| {
                    bad(format!("the class is {:?}", short(field(class))), "classes are whole numbers from 0")
                })?;
            let label = name.map_or("", field);
            let known = names.entry(index).or_insert_with(|| label.to_string());
            if known != label {
                let problem =
                    format!("class {index} is called {:?} here and {:?} before", short(label), short(known));
                return Err(bad(problem, "give every class one name"));
            }
            Ok(ClassSample { image, class: index })
        })();
        samples.extend(reader.keep(result)?);
    }
    if samples.is_empty() && reader.skipped.is_empty() {
        return Err(DataError::Empty { path: path.to_path_buf(), what: "rows", fix: "add a row per image" });
    }
    let count = names.last_key_value().map_or(0, |(i, _)| i.saturating_add(1));
    let classes = (0..count).map(|i| names.remove(&i).unwrap_or_default()).collect();
    Ok(ClassSet { path: path.to_path_buf(), classes, samples, skipped: reader.skipped })
}
