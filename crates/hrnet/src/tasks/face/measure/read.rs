//! The faces of a set of any format, through the one door for labels.

use super::{FaceOptions, Part};
use crate::error::Result;
use hrnet_data::codec::Protocol;
use hrnet_data::dataset::faces::landmark_samples;
use hrnet_data::dataset::model::{Base, LandmarkSample};
use hrnet_data::dataset::open::{self as door, Content, Kind, LabelSet, Labels, OpenOptions, Purpose};
use std::collections::HashMap;
use std::path::Path;

/// What a path holds.
pub(super) struct Opened {
    pub name: String,
    pub samples: Vec<LandmarkSample>,
    /// The set, for its images.
    pub set: LabelSet,
    /// The image of each face in the set, and its size where the labels say it.
    pub images: Vec<(usize, Option<[usize; 2]>)>,
    pub parts: Vec<Part>,
    pub skipped: Vec<String>,
}

pub(super) fn open(path: &Path, options: &FaceOptions<'_>) -> Result<Opened> {
    let how = OpenOptions {
        split: options.split.map(String::from),
        // The official code starts from the numbers of the file.
        base: (options.protocol == Protocol::Official).then_some(Base::Zero),
        read: options.read.clone(),
        ..OpenOptions::wanting(Purpose::Measure, &[Content::Points], options.images)
    };
    let set = door::open(path, &how)?;
    let mut skipped: Vec<String> = set.skipped().iter().map(ToString::to_string).collect();
    let (mut samples, mut images, mut name) = (Vec::new(), Vec::new(), set.title.clone());
    let mut place: HashMap<usize, usize> = HashMap::new();
    if let Labels::Points(pose) = &set.labels {
        let points = pose.common_category()?.points.len();
        if set.kind == Kind::Coco {
            name = format!("{points} points in COCO's form");
        }
        let (faces, left_out) = landmark_samples(pose);
        skipped.splice(0..0, left_out);
        for (index, face) in faces {
            place.insert(index, samples.len());
            let image = pose.samples[index].image;
            images.push((image, pose.images[image].size));
            samples.push(face);
        }
    }
    let part = |p: &door::Part| Part {
        name: p.name.clone(),
        faces: p.samples.iter().filter_map(|i| place.get(i).copied()).collect(),
    };
    let parts = set.parts.iter().map(part).collect();
    Ok(Opened { name, samples, set, images, parts, skipped })
}
