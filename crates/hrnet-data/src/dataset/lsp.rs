//! Leeds Sports Pose and its extended training set: `joints.mat` (version 5) beside `images/`.
//!
//! | set | `joints` | third row or column | images |
//! |---|---|---|---|
//! | LSP | 3 x 14 x 2,000 | 1 = hidden (the place is labelled) | `im0001.jpg` |
//! | LSPET | 14 x 3 x 10,000 | 1 = labelled, 0 = absent | `im00001.jpg` |
//!
//! Whether coordinates are 0- or 1-based is not documented; they are returned unchanged unless [`LspOptions::base`] says
//! otherwise. Points are person-centric; a known share of LSPET's labels is wrong (crowd work, by its authors' own account).
//! There are no boxes, no areas and no head sizes: PCK is normalised by the torso. The extent of the points is the box.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::path::Path;

use super::categories::known_category;
use super::format::{Content, Fit, Format, Where};
use super::mat5::{self, MatLimits, variable};
use super::model::{
    Base, DataError, Place, PoseImage, PosePoint, PoseSample, PoseSet, ReadOptions, Reader, Visibility,
    ordinal, read_bytes,
};
use crate::sets::LSP14;

pub(crate) static FORMAT: Format = Format {
    name: "lsp",
    aliases: &["lspet"],
    content: Content::Points,
    recognise: |at| Fit::sure(at.is_file(&["mat"]) && !super::hdf5::is_hdf5(&at.head)),
    read: |path, how| {
        let base = how.base.unwrap_or(LspOptions::default().base);
        Ok(read(path, Path::new(""), &LspOptions { read: how.read.clone(), base })?.into())
    },
    images: Where::Named(&[]),
    takes_one: false,
    has_splits: false,
    place: |sample, image| format!("{image}, entry {}", sample.id),
};

/// How to read a file.
#[derive(Debug, Clone, PartialEq)]
pub struct LspOptions {
    /// What all readers have.
    pub read: ReadOptions,
    /// The name of the first pixel.
    pub base: Base,
}

impl Default for LspOptions {
    fn default() -> Self {
        Self { read: ReadOptions::default(), base: Base::Zero }
    }
}

/// Reads `joints.mat` of LSP or LSPET; which one it is, the order of its dimensions tells.
pub fn read(path: &Path, image_root: &Path, options: &LspOptions) -> Result<PoseSet, DataError> {
    let bytes = read_bytes(path, options.read.limits.max_bytes)?;
    parse(&bytes, path, image_root, options)
}

/// Reads a file from memory.
pub fn parse(
    bytes: &[u8],
    path: &Path,
    image_root: &Path,
    options: &LspOptions,
) -> Result<PoseSet, DataError> {
    let file =
        mat5::read(bytes, &MatLimits::default()).map_err(|e| DataError::format(path, e.to_string()))?;
    let joints = variable(&file, "joints", path)?;
    let (extended, count) = match *joints.dims.as_slice() {
        [14, 3, n] => (true, n),
        [14, 3] => (true, 1),
        [3, 14, n] => (false, n),
        [3, 14] => (false, 1),
        ref dims => {
            let problem = format!("it has the size {dims:?}");
            let fix = "LSP is 3 x 14 x images, LSPET 14 x 3 x images";
            return Err(DataError::entry(path, Place::Variable("joints".into()), problem, fix));
        }
    };
    let mut reader = Reader::new(path, &options.read);
    reader.count(count, "images")?;
    let (mut images, mut samples) = (Vec::new(), Vec::new());
    let (persons, _) = joints.data.as_chunks::<42>();
    if persons.len() != count {
        let problem = format!("it has {} numbers for {count} images", joints.data.len());
        let fix = "the file is damaged; download it again";
        return Err(DataError::entry(path, Place::Variable("joints".into()), problem, fix));
    }
    for (i, person) in persons.iter().enumerate() {
        let place = Place::Item { list: "joints", index: i };
        let name =
            if extended { format!("im{:05}.jpg", ordinal(i)) } else { format!("im{:04}.jpg", ordinal(i)) };
        let result = reader
            .file(image_root, &name, &place)
            .and_then(|file| Ok((file, points(person, extended, options.base, &reader, &place)?)));
        let Some((file, points)) = reader.keep(result)? else { continue };
        let id = i64::try_from(ordinal(i)).unwrap_or(i64::MAX);
        samples.push(PoseSample {
            id,
            image: images.len(),
            num_keypoints: points.iter().filter(|p| p.visibility.labelled()).count(),
            points,
            ..PoseSample::default()
        });
        images.push(PoseImage { id, file, size: None, crowd_index: None });
    }
    Ok(PoseSet {
        path: path.to_path_buf(),
        images,
        categories: vec![known_category(&LSP14)],
        samples,
        skipped: reader.skipped,
        notes: Vec::new(),
    })
}

/// One person: 42 numbers, by columns.
fn points(
    person: &[f64; 42],
    extended: bool,
    base: Base,
    reader: &Reader<'_>,
    place: &Place,
) -> Result<Vec<PosePoint>, DataError> {
    let mut out = Vec::with_capacity(14);
    // LSPET: all x, all y, all flags. LSP: x, y and flag of each joint.
    let [xs, ys, flags] = person.as_chunks::<14>().0 else { return Ok(out) };
    for joint in 0..14 {
        let [x, y, flag] = if extended {
            [xs, ys, flags].map(|row| row.get(joint).copied().unwrap_or(f64::NAN))
        } else {
            person.as_chunks::<3>().0.get(joint).copied().unwrap_or([f64::NAN; 3])
        };
        let visibility = match (flag, extended) {
            (0.0, true) => Visibility::Absent,
            (1.0, true) | (0.0, false) => Visibility::Visible,
            (1.0, false) => Visibility::Hidden,
            (v, _) => {
                let problem = format!("point {joint} has the flag {v}");
                return Err(DataError::entry(
                    reader.path,
                    place.clone(),
                    problem,
                    "the third value is 0 or 1",
                ));
            }
        };
        let mut at = [0.0; 2];
        if visibility.labelled() {
            for (v, raw) in at.iter_mut().zip([x, y]) {
                *v = reader.coordinate(raw, "a coordinate", place)? - base.offset();
            }
        }
        out.push(PosePoint { at, visibility });
    }
    Ok(out)
}
