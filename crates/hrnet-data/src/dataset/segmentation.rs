//! Segmentation sets: list files, pairs of folders, and label images.
//!
//! ```text
//! images/a.jpg labels/a.png            blanks or one tab between; with a tab, names may hold blanks
//! images/b.jpg                         no label: a list for prediction
//! images/c.jpg labels/c.png rev/c.png 0    further fields (LIP: the mirrored labels) are passed over
//! ```
//!
//! Label images are PNG with one number per pixel: grey of 1 to 16 bits, or palette images, of which the *index* is the label.
//! An RGB label image is refused by name: its colours need a map to numbers. Numbers become class ids by a
//! [`LabelMap`](super::label_map::LabelMap).
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::path::{Path, PathBuf};

use super::format::{Content, Fit, Format, OpenOptions, Opened, Purpose, Where};
use super::images::{Finder, Name, ends_with, files_below, label_stems};
use super::model::{
    DataError, MissingImages, Place, ReadOptions, Reader, Seen, SegSample, SegSet, ordinal, read_bytes,
    short, text,
};
use hrnet_image::Limits;
use hrnet_image::mask_png::{IdImage, decode_ids};

pub(crate) static LIST: Format = Format {
    name: "seg-list",
    aliases: &[],
    content: Content::Masks,
    recognise: |at| {
        let Some(first) = at.first_line().filter(|_| at.is_list()) else {
            return match at.is_list() {
                true => Fit::Almost("the list is empty".into()),
                false => Fit::No,
            };
        };
        let fields = first.split_whitespace().count();
        match fields <= 4 || first.contains('\t') {
            true => Fit::Loosely,
            false => Fit::Almost(format!(
                "its lines have {fields} fields; WFLW has 207, a segmentation list 2; where names hold blanks, part them by a tab"
            )),
        }
    },
    read: |path, how| Ok(read_list(path, Path::new(""), &how.read)?.into()),
    images: Where::Named(&[]),
    takes_one: false,
    has_splits: false,
    place: |sample, image| format!("{image}, entry {}", sample.id),
};

pub(crate) static FOLDERS: Format = Format {
    name: "seg-folders",
    aliases: &[],
    content: Content::Masks,
    recognise: |at| match at.is_folder {
        false => Fit::No,
        true if pair(at.path).is_some() => Fit::Surely,
        // A folder of labels, with its images named or beside it.
        true if at.wants_only(Content::Masks) => Fit::sure(folders(at.path, at.options).is_some()),
        true => Fit::No,
    },
    read: |path, how| {
        let (images, labels) = folders(path, how).ok_or_else(|| {
            let detail = "it has no images/ with labels/, masks/ or annotations/ beside it, and no folder of images was named";
            DataError::format(path, detail)
        })?;
        let set = read_folders(&images, &labels, &how.read)?;
        Ok(Opened { root: Some(images), ..set.into() })
    },
    images: Where::Found,
    takes_one: false,
    has_splits: true,
    place: |sample, image| format!("{image}, entry {}", sample.id),
};

/// The folders of images and of label images below a folder.
fn pair(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let find = |names: &[&str]| names.iter().map(|n| path.join(n)).find(|p| p.is_dir());
    let images = find(&["images", "image", "img", "imgs", "img_dir", "JPEGImages", "leftImg8bit"])?;
    let labels =
        find(&["labels", "label", "masks", "mask", "annotations", "ann_dir", "SegmentationClass", "gtFine"])?;
    holds_png(&labels).then_some((images, labels))
}

fn holds_png(folder: &Path) -> bool {
    files_below(folder).is_ok_and(|files| files.iter().any(|p| ends_with(p, &["png"])))
}

/// The folders of a path: it holds both, or it is that of the labels. A named folder of images inside of the usual one takes its
/// part of the labels; of sets with `train` and `val` in them the purpose takes its part.
fn folders(path: &Path, how: &OpenOptions) -> Option<(PathBuf, PathBuf)> {
    let given = how.images.as_deref();
    let Some((images, labels)) = pair(path) else {
        let beside = path.join("..").join("images");
        let images = given.map_or(beside, Path::to_path_buf);
        return (images.is_dir() && holds_png(path)).then(|| (images, path.to_path_buf()));
    };
    if let Some(given) = given {
        let whole = |p: &Path| std::fs::canonicalize(p).ok();
        let inside = whole(given).zip(whole(&images));
        let below = inside.and_then(|(g, i)| g.strip_prefix(i).map(Path::to_path_buf).ok());
        let labels = below.map(|b| labels.join(b)).filter(|l| l.is_dir()).unwrap_or(labels);
        return Some((given.to_path_buf(), labels));
    }
    let usual = match how.part {
        Purpose::Look => None,
        Purpose::Measure => Some("val"),
        Purpose::Train => Some("train"),
    };
    let part = how.split.as_deref().or(usual).map(|s| (images.join(s), labels.join(s)));
    Some(part.filter(|(i, l)| i.is_dir() && l.is_dir()).unwrap_or((images, labels)))
}

/// Reads a list; names are relative to `root`.
pub fn read_list(list: &Path, root: &Path, options: &ReadOptions) -> Result<SegSet, DataError> {
    parse_list(&read_bytes(list, options.limits.max_bytes)?, list, root, options)
}

/// Reads a list from memory.
pub fn parse_list(
    bytes: &[u8],
    list: &Path,
    root: &Path,
    options: &ReadOptions,
) -> Result<SegSet, DataError> {
    let mut reader = Reader::new(list, options);
    let (mut samples, mut seen) = (Vec::new(), Seen::new());
    for (i, line) in text(bytes, list)?.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        reader.count(samples.len().saturating_add(1), "images")?;
        let number = ordinal(i);
        let place = Place::Line(number);
        let fields: Vec<&str> = if line.contains('\t') {
            line.split('\t').map(str::trim).filter(|f| !f.is_empty()).collect()
        } else {
            line.split_whitespace().collect()
        };
        let result = match seen.before(fields.first().copied().unwrap_or(""), number) {
            Some(first) => {
                let what = format!("image {}", short(line));
                Err(DataError::Duplicate { path: list.to_path_buf(), place: place.clone(), what, first })
            }
            None if fields.len() > 4 => Err(DataError::entry(
                list,
                place.clone(),
                format!("it has {} fields", fields.len()),
                "give image and label; part them by a tab when names hold blanks",
            )),
            None => (|| {
                let image = reader.file(root, fields.first().copied().unwrap_or(""), &place)?;
                let label =
                    fields.get(1).map(|f| reader.named(root, &Name::of_label(f), &place)).transpose()?;
                Ok(SegSample { image, label, line: number })
            })(),
        };
        samples.extend(reader.keep(result)?);
    }
    if samples.is_empty() && reader.skipped.is_empty() {
        let fix = "write an image and its label per line";
        return Err(DataError::Empty { path: list.to_path_buf(), what: "lines", fix });
    }
    Ok(SegSet { path: list.to_path_buf(), samples, skipped: reader.skipped })
}

/// Pairs a folder of images with a folder of labels: the label has the image's name with the ending `png`, or one of the usual
/// additions ([`super::images`]: Cityscapes' `_gtFine_labelIds` for `_leftImg8bit`). Subfolders are searched.
pub fn read_folders(images: &Path, labels: &Path, options: &ReadOptions) -> Result<SegSet, DataError> {
    let files = files_below(images)?;
    let mut reader = Reader::new(images, options);
    reader.count(files.len(), "images")?;
    let finder = Finder::of_folder(labels);
    let mut samples = Vec::new();
    for (i, image) in files.into_iter().enumerate() {
        let place = Place::Item { list: "images", index: i };
        let stem = image.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let below = image.parent().and_then(|p| p.strip_prefix(images).ok()).unwrap_or(Path::new(""));
        let names: Vec<String> = label_stems(&stem)
            .iter()
            .map(|s| below.join(format!("{s}.png")).to_string_lossy().into_owned())
            .collect();
        let found = names.iter().find_map(|n| finder.find(labels, &Name::of_label(n)));
        let first = labels.join(names.first().map(String::as_str).unwrap_or_default());
        let label = match found {
            Some(label) => Some(label),
            None if options.missing == MissingImages::DoNotCheck => Some(first),
            None => {
                let looked = vec![labels.to_path_buf()];
                let name = names.join(" or ").into();
                let path = images.to_path_buf();
                reader.keep(Err(DataError::MissingFile { path, place, file: name, looked }))?
            }
        };
        if let Some(label) = label {
            samples.push(SegSample { image, label: Some(label), line: ordinal(i) });
        }
    }
    if samples.is_empty() && reader.skipped.is_empty() {
        let fix = "check the folder of the images";
        return Err(DataError::Empty { path: images.to_path_buf(), what: "images", fix });
    }
    Ok(SegSet { path: images.to_path_buf(), samples, skipped: reader.skipped })
}

/// Reads a label image.
pub fn read_labels(path: &Path, limits: &Limits) -> Result<IdImage, DataError> {
    let bytes = read_bytes(path, limits.max_file as u64)?;
    decode_ids(&bytes, limits).map_err(|e| DataError::format(path, e.to_string()))
}
