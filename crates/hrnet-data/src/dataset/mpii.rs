//! MPII Human Pose in the official JSON (`annot/{train,valid,test}.json`), and `gt_valid.mat` for PCKh.
//!
//! ```text
//! [ { "image", "center": [x, y], "scale": size over 200, "joints": [[x, y] * 16]?, "joints_vis": [0 or 1 * 16]? } ]
//! gt_valid.mat (version 5): headboxes_src 2 x 2 x N | jnt_missing 16 x N | pos_gt_src 16 x 2 x N | SC_BIAS
//! ```
//!
//! The source is MATLAB: coordinates are **1-based**, and points and centre are returned one less. The test list has no joints.
//! A joint with flag 0 is absent (the official loader gives it no weight); MPII's JSON does not tell hidden from seen.
//!
//! | what | official | default |
//! |---|---|---|
//! | box | [`official_centre_scale`]: centre moved down by 15 scale, scale times 1.25, before one is subtracted | the annotated centre and scale |
//! | centre.x of -1 | the centre stays as it is | no centre |
//! | PCKh | head size = 0.6 of the head box's diagonal | the same |
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::path::Path;

use serde::Deserialize;

use super::format::{Content, Fit, Format, OpenOptions, Opened, Purpose, Where};
use super::json::json;
use super::mat5::{self, MatLimits, variable};
use super::model::{
    Category, DataError, PairSource, Place, PoseImage, PosePoint, PoseSample, PoseSet, ReadOptions, Reader,
    Seen, Visibility, read_bytes, text,
};
use crate::sets::MPII16;

/// The share of the head box's diagonal that PCKh calls the head size (`SC_BIAS`).
pub const HEAD_BIAS: f64 = 0.6;

#[derive(Deserialize)]
struct Raw {
    image: String,
    center: [f64; 2],
    scale: f64,
    #[serde(default)]
    joints: Vec<[f64; 2]>,
    #[serde(default)]
    joints_vis: Vec<f64>,
}

pub(crate) static FORMAT: Format = Format {
    name: "mpii",
    aliases: &[],
    content: Content::Points,
    recognise: |at| {
        let joints = at.has_key("joints_vis") || (at.has_key("joints") && at.has_key("center"));
        // The list of the test set has no joints.
        Fit::sure(at.is_json('[') && (joints || (at.has_key("center") && at.has_key("scale"))))
    },
    read: open,
    images: Where::Named(&[]),
    takes_one: true,
    has_splits: false,
    place: |sample, image| format!("{image}, entry {}", sample.id),
};

/// With the head sizes of `gt_valid.mat` beside the file, where it is there and has as many persons: figures need them.
fn open(path: &Path, how: &OpenOptions) -> Result<Opened, DataError> {
    let mut set = read(path, Path::new(""), &how.read)?;
    let truth = path.with_file_name("gt_valid.mat");
    if how.purpose == Purpose::Measure && truth.is_file() {
        let truth = read_truth(&truth, &how.read)?;
        if truth.len() == set.samples.len().saturating_add(set.skipped.len()) {
            attach_truth(&mut set, &truth)?;
        }
    }
    Ok(set.into())
}

/// The category of the 16 points.
pub fn category() -> Category {
    Category {
        id: 1,
        name: "person".into(),
        points: MPII16.names(),
        skeleton: MPII16.drawn_lines(),
        flip_pairs: MPII16.flip_pairs.to_vec(),
        pairs_from: PairSource::Known(MPII16.name),
        sigmas: None,
    }
}

/// Reads an official JSON. A sample's id is its place in the list, on which `gt_valid.mat` depends.
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
    let raw: Vec<Raw> =
        json(text(bytes, path)?, path, "a list of {image, center, scale, joints, joints_vis}")?;
    let mut reader = Reader::new(path, options);
    reader.count(raw.len(), "persons")?;
    let (mut images, mut samples, mut index) = (Vec::new(), Vec::new(), std::collections::HashMap::new());
    let mut seen = Seen::new();
    for (i, r) in raw.iter().enumerate() {
        let place = Place::Item { list: "persons", index: i };
        // The same image has several persons, but no person twice.
        let key = (r.image.as_str(), format!("{:?}", (r.center, r.scale, &r.joints)));
        let result = match seen.before(key, i as u64) {
            Some(first) => {
                let what = format!("this person of image {}", r.image);
                Err(DataError::Duplicate { path: path.to_path_buf(), place: place.clone(), what, first })
            }
            None => reader
                .file(image_root, &r.image, &place)
                .and_then(|file| Ok((file, person(r, i, &reader, &place)?))),
        };
        let Some((file, mut sample)) = reader.keep(result)? else { continue };
        sample.image = *index.entry(r.image.as_str()).or_insert_with(|| {
            let id = images.len() as i64;
            images.push(PoseImage { id, file, size: None, crowd_index: None });
            images.len().saturating_sub(1)
        });
        samples.push(sample);
    }
    let categories = vec![category()];
    Ok(PoseSet {
        path: path.to_path_buf(),
        images,
        categories,
        samples,
        skipped: reader.skipped,
        notes: Vec::new(),
    })
}

fn person(raw: &Raw, index: usize, reader: &Reader<'_>, place: &Place) -> Result<PoseSample, DataError> {
    let bad = |problem: String, fix| DataError::entry(reader.path, place.clone(), problem, fix);
    if !(raw.joints.is_empty() && raw.joints_vis.is_empty())
        && (raw.joints.len(), raw.joints_vis.len()) != (MPII16.count, MPII16.count)
    {
        let problem = format!("it has {} joints and {} flags", raw.joints.len(), raw.joints_vis.len());
        return Err(bad(problem, "give 16 of each, or none for the test list"));
    }
    if !(raw.scale.is_finite() && raw.scale > 0.0) {
        return Err(bad(format!("scale is {}", raw.scale), "scale is the size over 200 pixels, above 0"));
    }
    let mut points = Vec::with_capacity(raw.joints.len());
    for (i, (&[x, y], &v)) in raw.joints.iter().zip(&raw.joints_vis).enumerate() {
        let visibility = match v {
            0.0 => Visibility::Absent,
            1.0 => Visibility::Visible,
            _ => return Err(bad(format!("joint {i} has the flag {v}"), "joints_vis is 0 or 1")),
        };
        let at = [reader.coordinate(x, "x of a joint", place)?, reader.coordinate(y, "y of a joint", place)?];
        let at = if visibility.labelled() { at.map(|v| v - 1.0) } else { [0.0; 2] };
        points.push(PosePoint { at, visibility });
    }
    let [x, y] = raw.center;
    let centre = [reader.coordinate(x, "center", place)?, reader.coordinate(y, "center", place)?];
    Ok(PoseSample {
        id: index as i64,
        num_keypoints: points.iter().filter(|p| p.visibility.labelled()).count(),
        points,
        centre_scale: (x != -1.0).then_some((centre.map(|v| v - 1.0), raw.scale)),
        ..PoseSample::default()
    })
}

/// The official box of a person, 0-based: centre moved down by 15 scale, scale times 1.25 (`Protocol::Official`).
pub fn official_centre_scale(sample: &PoseSample) -> Option<([f64; 2], f64)> {
    sample.centre_scale.map(|([x, y], s)| ([x, y + 15.0 * s], s * 1.25))
}

/// What `gt_valid.mat` holds of one person.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// 0.6 of the head box's diagonal.
    pub head_size: f64,
    /// Which points are missing.
    pub missing: Vec<bool>,
    /// The points, 0-based.
    pub points: Vec<[f64; 2]>,
}

/// Reads `gt_valid.mat`, in the order of `valid.json`.
pub fn read_truth(path: &Path, options: &ReadOptions) -> Result<Vec<Truth>, DataError> {
    parse_truth(&read_bytes(path, options.limits.max_bytes)?, path)
}

/// Reads `gt_valid.mat` from memory.
pub fn parse_truth(bytes: &[u8], path: &Path) -> Result<Vec<Truth>, DataError> {
    let file =
        mat5::read(bytes, &MatLimits::default()).map_err(|e| DataError::format(path, e.to_string()))?;
    let (heads, missing, points) = (
        variable(&file, "headboxes_src", path)?,
        variable(&file, "jnt_missing", path)?,
        variable(&file, "pos_gt_src", path)?,
    );
    let count = match missing.dims.as_slice() {
        [16, n] => *n,
        _ => 0,
    };
    let (head_boxes, _) = heads.data.as_chunks::<4>();
    let (absent, _) = missing.data.as_chunks::<16>();
    let (all_points, _) = points.data.as_chunks::<32>();
    let fits = |n: usize, rest: usize| n == count && rest == 0;
    if count == 0
        || !fits(head_boxes.len(), heads.data.len() % 4)
        || !fits(absent.len(), missing.data.len() % 16)
        || !fits(all_points.len(), points.data.len() % 32)
    {
        let sizes = format!("the sizes {:?}, {:?}, {:?} do not fit", heads.dims, missing.dims, points.dims);
        let fix = "headboxes_src is 2 x 2 x N, jnt_missing 16 x N, pos_gt_src 16 x 2 x N";
        return Err(DataError::entry(path, Place::Variable("jnt_missing".into()), sizes, fix));
    }
    let mut out = Vec::with_capacity(count);
    for (i, ((head, absent), p)) in head_boxes.iter().zip(absent).zip(all_points).enumerate() {
        // Columns first: x1, x2 run over the rows' corners; [[x1, y1], [x2, y2]] is stored x1, x2, y1, y2.
        let [x1, x2, y1, y2] = head;
        let (xs, ys) = p.split_at(16);
        let head_size = HEAD_BIAS * (x2 - x1).hypot(y2 - y1);
        if !(head_size.is_finite() && head_size > 0.0) {
            let problem = format!("person {i} has the head box {head:?}");
            let place = Place::Variable("headboxes_src".into());
            return Err(DataError::entry(path, place, problem, "the file is damaged; download it again"));
        }
        out.push(Truth {
            head_size,
            missing: absent.iter().map(|&v| v != 0.0).collect(),
            points: xs.iter().zip(ys).map(|(x, y)| [x - 1.0, y - 1.0]).collect(),
        });
    }
    Ok(out)
}

/// Gives each sample its head size, by its place in the list.
pub fn attach_truth(set: &mut PoseSet, truth: &[Truth]) -> Result<(), DataError> {
    let known = set.samples.len().saturating_add(set.skipped.len());
    if known != truth.len() {
        let problem = format!("it has {known} persons, the ground truth has {}", truth.len());
        return Err(DataError::entry(&set.path, Place::File, problem, "gt_valid.mat belongs to valid.json"));
    }
    for s in &mut set.samples {
        s.head_size = usize::try_from(s.id).ok().and_then(|i| truth.get(i)).map(|t| t.head_size);
    }
    Ok(())
}
