//! OpenPose JSON, version 1.3: a file `<stem>_keypoints.json` per image.
//!
//! Persons with the 17 COCO points become BODY_25 or COCO-18: the neck is the mean of the shoulders, the middle of the hip the mean
//! of the hips, each with the lower of both scores. Feet, hands and face come from the 133 points of COCO-WholeBody and are
//! absent otherwise. 68 or 70 face points become `face_keypoints_2d`; the two pupils that 68 points lack are zeros. `0, 0, 0`
//! stands for a point that was not found.

use super::Written;
use crate::error::{Result, bail};
use crate::io;
use crate::result::{ImageResult, Instance, Predicted, Schema};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Which body points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// 25 points: with the middle of the hip and the feet.
    Body25,
    /// 18 points: COCO's 17 and the neck.
    Coco18,
}

/// Where a point of a layout comes from, by COCO's names.
#[derive(Debug, Clone, Copy)]
enum Origin {
    Point(&'static str),
    Middle(&'static str, &'static str),
}

use Origin::{Middle, Point};

const NECK: Origin = Middle("left_shoulder", "right_shoulder");
const BODY_25: [Origin; 25] = [
    Point("nose"),
    NECK,
    Point("right_shoulder"),
    Point("right_elbow"),
    Point("right_wrist"),
    Point("left_shoulder"),
    Point("left_elbow"),
    Point("left_wrist"),
    Middle("left_hip", "right_hip"),
    Point("right_hip"),
    Point("right_knee"),
    Point("right_ankle"),
    Point("left_hip"),
    Point("left_knee"),
    Point("left_ankle"),
    Point("right_eye"),
    Point("left_eye"),
    Point("right_ear"),
    Point("left_ear"),
    Point("left_big_toe"),
    Point("left_small_toe"),
    Point("left_heel"),
    Point("right_big_toe"),
    Point("right_small_toe"),
    Point("right_heel"),
];
const COCO_18: [Origin; 18] = [
    Point("nose"),
    NECK,
    Point("right_shoulder"),
    Point("right_elbow"),
    Point("right_wrist"),
    Point("left_shoulder"),
    Point("left_elbow"),
    Point("left_wrist"),
    Point("right_hip"),
    Point("right_knee"),
    Point("right_ankle"),
    Point("left_hip"),
    Point("left_knee"),
    Point("left_ankle"),
    Point("right_eye"),
    Point("left_eye"),
    Point("right_ear"),
    Point("left_ear"),
];
/// COCO-WholeBody: 17 body points, 6 of the feet, 68 of the face, 21 of each hand.
const WHOLE_BODY: usize = 133;
const FEET: [&str; 6] =
    ["left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"];
const FEET_AT: usize = 17;
const FACE_AT: usize = 23;
const LEFT_HAND_AT: usize = 91;
const RIGHT_HAND_AT: usize = 112;
const FACE_POINTS: usize = 70;

/// Writer of a folder.
pub struct Folder {
    folder: PathBuf,
    layout: Layout,
    min_score: f32,
    files: Vec<PathBuf>,
}

impl Folder {
    pub(super) fn new(folder: PathBuf, layout: Layout, min_score: f32) -> Self {
        Self { folder, layout, min_score, files: Vec::new() }
    }

    pub(super) fn add(&mut self, result: &ImageResult, schema: &Schema) -> Result<()> {
        let Predicted::Instances(instances) = &result.predicted else {
            bail!("{}: OpenPose files are made of points", result.input)
        };
        let path = self.folder.join(format!("{}_keypoints.json", result.stem));
        let text = serde_json::to_vec(&document(instances, schema, self.layout, self.min_score)?)?;
        io::write_atomic(&path, &text)?;
        self.files.push(path);
        Ok(())
    }

    pub(super) fn finish(self) -> Written {
        Written { files: self.files, notes: Vec::new() }
    }
}

/// The document of one image.
pub fn document(instances: &[Instance], schema: &Schema, layout: Layout, min_score: f32) -> Result<Value> {
    let people =
        instances.iter().map(|i| person(i, schema, layout, min_score)).collect::<Result<Vec<_>>>()?;
    Ok(json!({"version": 1.3, "people": people}))
}

fn person(instance: &Instance, schema: &Schema, layout: Layout, min_score: f32) -> Result<Value> {
    let at = |index: usize| -> [f64; 3] {
        instance.points.get(index).map_or([0.0; 3], |p| {
            let found = p.at.iter().all(|v| v.is_finite()) && p.score.is_finite() && p.score >= min_score;
            if found { [p.at[0], p.at[1], f64::from(p.score)] } else { [0.0; 3] }
        })
    };
    let count = instance.points.len();
    let run = |start: usize, len: usize| (start..start + len).flat_map(at).collect::<Vec<f64>>();
    let face = |start: usize, len: usize| {
        let mut values = run(start, len);
        values.resize(FACE_POINTS * 3, 0.0);
        values
    };
    let (mut body, mut face_points, mut left, mut right) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let whole_body = count == WHOLE_BODY;
    if count == 68 || count == FACE_POINTS {
        face_points = face(0, count);
    } else {
        let index = |name: &str| {
            let foot = FEET.iter().position(|f| *f == name).filter(|_| whole_body);
            schema.names.iter().position(|n| n == name).or(foot.map(|i| FEET_AT + i))
        };
        if index("left_shoulder").is_none() || index("right_shoulder").is_none() {
            bail!(
                "OpenPose files hold persons with COCO's point names, or 68 or 70 face points; this model has {count} points \
                 without left_shoulder and right_shoulder"
            );
        }
        let get = |name: &str| index(name).map_or([0.0; 3], at);
        let table: &[Origin] = match layout {
            Layout::Body25 => &BODY_25,
            Layout::Coco18 => &COCO_18,
        };
        body = table
            .iter()
            .flat_map(|from| match from {
                Point(name) => get(name),
                Middle(a, b) => middle(get(a), get(b)),
            })
            .collect();
        if whole_body {
            face_points = face(FACE_AT, 68);
            left = run(LEFT_HAND_AT, 21);
            right = run(RIGHT_HAND_AT, 21);
        }
    }
    let id = instance.track.map_or(-1, |t| i64::try_from(t).unwrap_or(i64::MAX));
    Ok(json!({
        "person_id": [id],
        "pose_keypoints_2d": body,
        "face_keypoints_2d": face_points,
        "hand_left_keypoints_2d": left,
        "hand_right_keypoints_2d": right,
        "pose_keypoints_3d": [],
        "face_keypoints_3d": [],
        "hand_left_keypoints_3d": [],
        "hand_right_keypoints_3d": [],
    }))
}

/// The mean of two points that are both there.
fn middle(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    if a == [0.0; 3] || b == [0.0; 3] {
        return [0.0; 3];
    }
    [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0, a[2].min(b[2])]
}
