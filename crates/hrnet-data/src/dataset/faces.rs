//! Faces as a set of poses.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::categories::face_category;
use super::model::{
    Broken, DataError, LandmarkSample, Place, PoseImage, PosePoint, PoseSample, PoseSet, Visibility,
    face_centre_scale,
};

/// Faces as a set of poses: an image once however many faces it has; `id` is the face's line or number.
pub(crate) fn faces(
    path: &Path,
    samples: Vec<LandmarkSample>,
    skipped: Vec<DataError>,
    broken: Broken,
) -> Result<PoseSet, DataError> {
    let count = samples.first().map_or(0, |s| s.points.len());
    let mut out = PoseSet {
        path: path.to_path_buf(),
        images: Vec::new(),
        categories: vec![face_category(count)],
        samples: Vec::with_capacity(samples.len()),
        skipped,
        notes: Vec::new(),
    };
    let mut index: HashMap<PathBuf, usize> = HashMap::new();
    for s in samples {
        let next = out.images.len();
        let image = *index.entry(s.image.clone()).or_insert(next);
        if image == next {
            let id = i64::try_from(next).unwrap_or(i64::MAX);
            out.images.push(PoseImage { id, file: s.image, size: None, crowd_index: None });
        }
        let points: Vec<PosePoint> =
            s.points.iter().map(|&at| PosePoint { at, visibility: Visibility::Visible }).collect();
        if points.len() != count {
            let problem = format!("it has {} points, the first has {count}", points.len());
            let place = Place::Item { list: "faces", index: out.samples.len() };
            let e = DataError::entry(path, place, problem, "keep faces of another kind in another set");
            if broken == Broken::Refuse {
                return Err(e);
            }
            out.skipped.push(e);
            continue;
        }
        out.samples.push(PoseSample {
            id: i64::try_from(s.line).unwrap_or(i64::MAX),
            image,
            num_keypoints: points.len(),
            points,
            centre_scale: Some((s.centre, s.scale)),
            box_size: s.box_size,
            ..PoseSample::default()
        });
    }
    Ok(out)
}

/// The faces of a set of points whose points are all labelled, each with its index in the set; centre and scale as annotated, else
/// by the rule of the official tables. What is left out, in words.
pub fn landmark_samples(set: &PoseSet) -> (Vec<(usize, LandmarkSample)>, Vec<String>) {
    let (mut samples, mut left_out) = (Vec::new(), Vec::new());
    for (i, s) in set.samples.iter().enumerate().filter(|(_, s)| !s.crowd && !s.points.is_empty()) {
        match landmark_sample(set, s) {
            Some(sample) => samples.push((i, sample)),
            None => left_out.push(format!("annotation {}: a point is not labelled, or it has no size", s.id)),
        }
    }
    (samples, left_out)
}

fn landmark_sample(set: &PoseSet, s: &PoseSample) -> Option<LandmarkSample> {
    if s.labelled() != s.points.len() {
        return None;
    }
    let points: Vec<[f64; 2]> = s.points.iter().map(|p| p.at).collect();
    let (centre, scale) = s.centre_scale.or_else(|| face_centre_scale(&points)).filter(|c| c.1 > 0.0)?;
    let line = u64::try_from(s.id).unwrap_or(0);
    let image = set.images.get(s.image)?.file.clone();
    Some(LandmarkSample { image, line, centre, scale, box_size: s.box_size, points })
}
