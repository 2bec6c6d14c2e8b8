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

use std::path::Path;

use super::mat5::{self, MatArray, MatLimits};
use super::model::{
    Base, Category, DataError, PairSource, Place, PoseImage, PosePoint, PoseSample, PoseSet, ReadOptions,
    Reader, Visibility, read_bytes,
};
use super::skeletons::{Known, LSP14};

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

/// A category with the points of a known set.
pub(super) fn known_category(known: &Known) -> Category {
    Category {
        id: 1,
        name: "person".into(),
        points: known.points.iter().map(ToString::to_string).collect(),
        skeleton: known.skeleton.to_vec(),
        flip_pairs: known.flip_pairs.to_vec(),
        pairs_from: PairSource::Known(known.name),
        sigmas: None,
    }
}

/// A numeric variable of a `.mat` file.
pub(super) fn variable<'a>(
    file: &'a mat5::MatFile,
    name: &str,
    path: &Path,
) -> Result<&'a MatArray, DataError> {
    file.array(name).ok_or_else(|| {
        DataError::format(path, format!("there is no variable {name}; there are: {}", file.names()))
    })
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
    for i in 0..count {
        let place = Place::Item { list: "joints", index: i };
        let name = if extended { format!("im{:05}.jpg", i + 1) } else { format!("im{:04}.jpg", i + 1) };
        let result = reader.file(image_root, &name, &place).and_then(|file| {
            let person = joints.data.get(i * 42..(i + 1) * 42).unwrap_or_default();
            Ok((file, points(person, extended, options.base, &reader, &place)?))
        });
        let Some((file, points)) = reader.keep(result)? else { continue };
        let id = i as i64 + 1;
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
    person: &[f64],
    extended: bool,
    base: Base,
    reader: &Reader<'_>,
    place: &Place,
) -> Result<Vec<PosePoint>, DataError> {
    let get = |joint: usize, row: usize| {
        person.get(if extended { row * 14 + joint } else { joint * 3 + row }).copied().unwrap_or(f64::NAN)
    };
    let mut out = Vec::with_capacity(14);
    for joint in 0..14 {
        let visibility = match (get(joint, 2), extended) {
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
            for (k, v) in at.iter_mut().enumerate() {
                *v = reader.coordinate(get(joint, k), "a coordinate", place)? - base.offset();
            }
        }
        out.push(PosePoint { at, visibility });
    }
    Ok(out)
}
