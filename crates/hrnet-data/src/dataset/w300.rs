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

use super::model::{
    Base, DataError, LandmarkSample, Place, ReadOptions, Reader, face_centre_scale, ordinal, read_bytes, text,
};
use super::pts;

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
    let image = ["jpg", "png", "jpeg", "JPG", "PNG", "JPEG"]
        .iter()
        .map(|e| pts.with_extension(e))
        .find(|p| p.is_file());
    let image = match image {
        Some(image) => image,
        None if options.read.missing == super::model::MissingImages::DoNotCheck => pts.with_extension("jpg"),
        None => {
            let file = pts.with_extension("jpg");
            return Err(DataError::MissingFile {
                path: reader.path.to_path_buf(),
                place: place.clone(),
                file,
            });
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
