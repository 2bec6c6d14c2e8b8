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

use super::classification::is_image;
use super::model::{
    DataError, Place, ReadOptions, Reader, Seen, SegSample, SegSet, ordinal, read_bytes, short, text,
};
use hrnet_image::Limits;
use hrnet_image::mask_png::{IdImage, decode_ids};

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
                let label = fields.get(1).map(|f| reader.file(root, f, &place)).transpose()?;
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

/// Pairs a folder of images with a folder of labels: the label has the image's name without ending, plus `label_suffix`
/// (`_gtFine_labelIds` for Cityscapes), after `image_suffix` (`_leftImg8bit`) was taken off. Subfolders are searched.
pub fn read_folders(
    images: &Path,
    labels: &Path,
    image_suffix: &str,
    label_suffix: &str,
    options: &ReadOptions,
) -> Result<SegSet, DataError> {
    let mut files = Vec::new();
    walk(images, 0, &mut files)?;
    let mut reader = Reader::new(images, options);
    reader.count(files.len(), "images")?;
    let mut samples = Vec::new();
    for (i, image) in files.into_iter().enumerate() {
        let place = Place::Item { list: "images", index: i };
        let stem = image.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(stem) = stem.strip_suffix(image_suffix) else { continue };
        let below = image.parent().and_then(|p| p.strip_prefix(images).ok()).unwrap_or(Path::new(""));
        let name = below.join(format!("{stem}{label_suffix}.png"));
        let result = reader.file(labels, &name.to_string_lossy(), &place);
        if let Some(label) = reader.keep(result)? {
            samples.push(SegSample { image, label: Some(label), line: ordinal(i) });
        }
    }
    if samples.is_empty() && reader.skipped.is_empty() {
        let fix = "check the folder and the suffix of the images' names";
        return Err(DataError::Empty { path: images.to_path_buf(), what: "images", fix });
    }
    Ok(SegSet { path: images.to_path_buf(), samples, skipped: reader.skipped })
}

/// The image files below a folder, by name.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut out = Vec::new();
    walk(folder, 0, &mut out)?;
    Ok(out)
}

fn walk(folder: &Path, depth: usize, out: &mut Vec<PathBuf>) -> Result<(), DataError> {
    if depth > 32 {
        return Err(DataError::format(folder, "folders are nested 32 deep; is there a link to itself?"));
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| DataError::io(folder, &e))? {
        entries.push(entry.map_err(|e| DataError::io(folder, &e))?.path());
    }
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, depth.saturating_add(1), out)?;
        } else if is_image(&path) {
            out.push(path);
        }
    }
    Ok(())
}

/// Reads a label image.
pub fn read_labels(path: &Path, limits: &Limits) -> Result<IdImage, DataError> {
    let bytes = read_bytes(path, limits.max_file as u64)?;
    decode_ids(&bytes, limits).map_err(|e| DataError::format(path, e.to_string()))
}
