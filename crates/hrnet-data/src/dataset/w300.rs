//! 300W: folders of images with a `.pts` beside each, and lists of them.
//!
//! ```text
//! afw/*.jpg   helen/{trainset,testset}/*.jpg   lfpw/{trainset,testset}/*.png   ibug/*.jpg   300W/{01_Indoor,02_Outdoor}/*.png
//! ```
//!
//! | split | folders | faces |
//! |---|---|---|
//! | train | afw, helen/trainset, lfpw/trainset | 3,148 |
//! | common | helen/testset, lfpw/testset | 554 |
//! | challenge | ibug | 135 |
//! | full (valid) | common and challenge | 689 |
//! | test | 300W/01_Indoor, 300W/02_Outdoor | 600 |
//!
//! 68 points, 1-based ([`Base::One`]; [`Base::Zero`] gives the numbers that the official CSV repeats). Centre and scale by
//! [`face_centre_scale`]. Mirrored copies of training images (`*_mirror.pts`) are left out.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::path::{Path, PathBuf};

use super::faces::faces;
use super::format::{Content, Fit, Format, Glance, OpenOptions, Opened, Part, Purpose, Where};
use super::images::{beside, ends_with, is_image};
use super::model::{
    Base, DataError, LandmarkSample, Place, ReadOptions, Reader, face_centre_scale, ordinal, read_bytes, text,
};
use super::pts;

pub(crate) static FORMAT: Format = Format {
    name: "pts",
    aliases: &["300w"],
    content: Content::Points,
    recognise,
    read: open,
    images: Where::Found,
    takes_one: true,
    has_splits: true,
    place: |_, image| image.to_string(),
};

/// The folders of 300W, one of which is enough to know it.
const FOLDERS: [&str; 6] = ["helen", "lfpw", "ibug", "afw", "300W", "01_Indoor"];

fn recognise(at: &Glance<'_>) -> Fit {
    if at.is_folder {
        let holds = |f: &PathBuf| pts_files(f).is_ok_and(|files| !files.is_empty());
        return match at.first_file(&["pts"]) {
            Some(_) => Fit::Surely,
            None if FOLDERS.iter().any(|f| at.has_folder(f)) => Fit::Surely,
            None if at.folders.iter().any(holds) => Fit::Surely,
            None => Fit::No,
        };
    }
    if at.is_file(&["pts"]) {
        return Fit::Surely;
    }
    // A list of images is one of faces only where faces are wanted.
    match at.first_line().map(Path::new).filter(|_| at.is_list()) {
        Some(first) if ends_with(first, &["pts"]) => Fit::Surely,
        Some(first) if is_image(first) && at.wants_only(Content::Points) => Fit::Loosely,
        _ => Fit::No,
    }
}

fn open(path: &Path, how: &OpenOptions) -> Result<Opened, DataError> {
    let options = |points| PtsOptions { read: how.read.clone(), base: how.base.unwrap_or(Base::One), points };
    let broken = how.read.broken;
    if !path.is_dir() {
        if let Some(split) = &how.split {
            let detail = format!("a list has no split {split:?}; give the list of the split");
            return Err(DataError::format(path, detail));
        }
        let set = match ends_with(path, &["pts"]) {
            true => read_one(path, &options(None))?,
            false => {
                let folder = path.parent().unwrap_or(Path::new(""));
                read_list(path, how.images.as_deref().unwrap_or(folder), &options(None))?
            }
        };
        let title = Some("list of .pts files".into());
        return Ok(Opened { title, ..faces(path, set.samples, set.skipped, broken)?.into() });
    }
    let no_split = |split: &str| {
        let detail =
            format!("it is not the folder of 300W, so it has no split {split:?}; give the file of the split");
        DataError::format(path, detail)
    };
    let is_300w = FOLDERS.iter().any(|f| path.join(f).is_dir());
    if let Some(split) = how.split.as_deref().filter(|_| !is_300w) {
        return Err(no_split(split));
    }
    if !is_300w || (how.part == Purpose::Look && how.split.is_none()) {
        let set = read_tree(path, &options(None))?;
        let title = Some("folder of .pts files".into());
        return Ok(Opened { title, ..faces(path, set.samples, set.skipped, broken)?.into() });
    }
    let name = how.split.as_deref().unwrap_or(match how.part {
        Purpose::Train => "train",
        Purpose::Look | Purpose::Measure => "full",
    });
    let split = match name {
        "train" => Split::Train,
        "common" => Split::Common,
        "challenge" => Split::Challenge,
        "full" | "valid" | "val" => Split::Full,
        "test" => Split::Test,
        _ => {
            let detail =
                format!("300W has no split {name:?}; there are train, common, challenge, full and test");
            return Err(DataError::format(path, detail));
        }
    };
    let title = Some(format!("300W {name}"));
    let read = |split| read_split(path, split, &options(Some(68)));
    if split != Split::Full {
        let set = read(split)?;
        return Ok(Opened { title, ..faces(path, set.samples, set.skipped, broken)?.into() });
    }
    let (common, challenge) = (read(Split::Common)?, read(Split::Challenge)?);
    let n = common.samples.len();
    let set = faces(
        path,
        [common.samples, challenge.samples].concat(),
        [common.skipped, challenge.skipped].concat(),
        broken,
    )?;
    let parts = vec![
        Part { name: "common".into(), samples: (0..n).collect() },
        Part { name: "challenge".into(), samples: (n..set.samples.len()).collect() },
    ];
    Ok(Opened { title, parts, ..set.into() })
}

/// A part of the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// 3,148 faces.
    Train,
    /// 554 faces.
    Common,
    /// 135 faces.
    Challenge,
    /// Common and challenge, 689 faces: the validation set of the official code.
    Full,
    /// 600 faces.
    Test,
}

impl Split {
    /// The folders of a part; of each entry the first that exists is taken.
    pub fn folders(self) -> Vec<&'static [&'static str]> {
        const HELEN: &[&str] = &["helen/testset"];
        const LFPW: &[&str] = &["lfpw/testset"];
        const IBUG: &[&str] = &["ibug"];
        match self {
            Self::Train => vec![&["afw"], &["helen/trainset"], &["lfpw/trainset"]],
            Self::Common => vec![HELEN, LFPW],
            Self::Challenge => vec![IBUG],
            Self::Full => vec![HELEN, LFPW, IBUG],
            Self::Test => {
                vec![
                    &["300W/01_Indoor", "Test/01_Indoor", "01_Indoor"],
                    &["300W/02_Outdoor", "Test/02_Outdoor", "02_Outdoor"],
                ]
            }
        }
    }
}

/// How to read the set.
#[derive(Debug, Clone, PartialEq)]
pub struct PtsOptions {
    /// What all readers have.
    pub read: ReadOptions,
    /// The name of the first pixel.
    pub base: Base,
    /// Points that every face must have.
    pub points: Option<usize>,
}

impl Default for PtsOptions {
    fn default() -> Self {
        Self { read: ReadOptions::default(), base: Base::One, points: Some(68) }
    }
}

/// Faces that were read.
#[derive(Debug, Clone, PartialEq)]
pub struct PtsSet {
    /// The faces; `line` is the number of the face in the list or folder.
    pub samples: Vec<LandmarkSample>,
    /// Files left out, with the reason.
    pub skipped: Vec<DataError>,
}

/// Reads a part of 300W from the folder that holds `helen`, `lfpw`, ...
pub fn read_split(root: &Path, split: Split, options: &PtsOptions) -> Result<PtsSet, DataError> {
    let mut files = Vec::new();
    for choices in split.folders() {
        let folder = choices.iter().map(|c| root.join(c)).find(|p| p.is_dir());
        let Some(folder) = folder else {
            let first = choices.first().copied().unwrap_or_default();
            return Err(DataError::Io {
                path: root.join(first),
                reason: "there is no such folder; give the folder that holds helen, lfpw, afw, ibug and 300W"
                    .into(),
            });
        };
        files.extend(pts_files(&folder)?);
    }
    read_files(root, &files, options)
}

/// Reads every `.pts` file of a folder, by name.
pub fn read_folder(folder: &Path, options: &PtsOptions) -> Result<PtsSet, DataError> {
    read_files(folder, &pts_files(folder)?, options)
}

/// Reads every `.pts` file below a folder, down to four folders deep.
pub fn read_tree(folder: &Path, options: &PtsOptions) -> Result<PtsSet, DataError> {
    let (mut files, mut level) = (Vec::new(), vec![folder.to_path_buf()]);
    for _ in 0..5 {
        let mut below = Vec::new();
        for folder in level {
            files.extend(pts_files(&folder)?);
            for entry in std::fs::read_dir(&folder).map_err(|e| DataError::io(&folder, &e))? {
                below.push(entry.map_err(|e| DataError::io(&folder, &e))?.path());
            }
        }
        below.retain(|p| p.is_dir());
        below.sort();
        level = below;
    }
    files.sort();
    read_files(folder, &files, options)
}

/// Reads one `.pts` file with its image.
pub fn read_one(file: &Path, options: &PtsOptions) -> Result<PtsSet, DataError> {
    read_files(file, &[file.to_path_buf()], options)
}

/// Reads the faces of a list: one image or `.pts` file per line, relative to `root`; empty lines and `#` are passed over.
pub fn read_list(list: &Path, root: &Path, options: &PtsOptions) -> Result<PtsSet, DataError> {
    let bytes = read_bytes(list, options.read.limits.max_bytes)?;
    let mut reader = Reader::new(list, &options.read);
    let mut samples = Vec::new();
    for (i, line) in text(&bytes, list)?.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        reader.count(samples.len().saturating_add(1), "faces")?;
        let line_number = ordinal(i);
        let place = Place::Line(line_number);
        let name = Path::new(line).with_extension("pts");
        let result = reader
            .file(root, &name.to_string_lossy(), &place)
            .and_then(|pts| face(&pts, line_number, &reader, &place, options));
        samples.extend(reader.keep(result)?);
    }
    finish(list, samples, reader)
}

fn read_files(root: &Path, files: &[PathBuf], options: &PtsOptions) -> Result<PtsSet, DataError> {
    let mut reader = Reader::new(root, &options.read);
    reader.count(files.len(), "faces")?;
    let mut samples = Vec::with_capacity(files.len());
    for (i, file) in files.iter().enumerate() {
        let place = Place::Item { list: "faces", index: i };
        let result = face(file, ordinal(i), &reader, &place, options);
        samples.extend(reader.keep(result)?);
    }
    finish(root, samples, reader)
}

fn finish(path: &Path, samples: Vec<LandmarkSample>, reader: Reader<'_>) -> Result<PtsSet, DataError> {
    if samples.is_empty() && reader.skipped.is_empty() {
        let fix = "give a folder with .pts files beside their images, or a list of them";
        return Err(DataError::Empty { path: path.to_path_buf(), what: "faces", fix });
    }
    Ok(PtsSet { samples, skipped: reader.skipped })
}

/// The `.pts` files of a folder, sorted by name.
pub(super) fn pts_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| DataError::io(folder, &e))? {
        let path = entry.map_err(|e| DataError::io(folder, &e))?.path();
        let mirror = path.file_stem().is_some_and(|s| s.to_string_lossy().ends_with("_mirror"));
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("pts")) && !mirror {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

fn face(
    pts: &Path,
    number: u64,
    reader: &Reader<'_>,
    place: &Place,
    options: &PtsOptions,
) -> Result<LandmarkSample, DataError> {
    let points = pts::read(pts, options.base, &options.read.limits)?;
    let image = match beside(pts) {
        Some(image) => image,
        None if options.read.missing == super::model::MissingImages::DoNotCheck => pts.with_extension("jpg"),
        None => {
            let file = pts.with_extension("jpg");
            return Err(reader.missing(&file.to_string_lossy(), file.clone(), place));
        }
    };
    face_sample(image, number, points, options.points, pts)
}

/// A face with its box from its points.
pub(super) fn face_sample(
    image: PathBuf,
    line: u64,
    points: Vec<[f64; 2]>,
    wanted: Option<usize>,
    path: &Path,
) -> Result<LandmarkSample, DataError> {
    if wanted.is_some_and(|n| n != points.len()) {
        let detail =
            format!("it has {} points instead of {}; remove the file", points.len(), wanted.unwrap_or(0));
        return Err(DataError::format(path, detail));
    }
    match face_centre_scale(&points).filter(|&(_, s)| s > 0.0) {
        Some((centre, scale)) => Ok(LandmarkSample { image, line, centre, scale, box_size: None, points }),
        None => Err(DataError::format(path, "all points are at one place; remove the file")),
    }
}
