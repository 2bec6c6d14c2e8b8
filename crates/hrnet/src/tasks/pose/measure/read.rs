//! Pose sets and results of poses, through the one door for labels.

use crate::error::{Context, Result};
use hrnet_data::dataset::model::{Detections, PoseSet, ReadOptions};
use hrnet_data::dataset::open::{self as door, Content, Labels, OpenOptions, Purpose};
use std::path::Path;

/// Reads a set of any format of points with its images; see [`hrnet_data::dataset::images`] for where these are looked for.
pub fn open(path: &Path, images: Option<&Path>, read: &ReadOptions) -> Result<PoseSet> {
    let how = OpenOptions {
        read: read.clone(),
        ..OpenOptions::wanting(Purpose::Measure, &[Content::Points], images)
    };
    Ok(door::open(path, &how)?.into_points()?)
}

/// The labels of a set alone: for results of another program no image is needed.
pub fn labels(path: &Path) -> Result<PoseSet> {
    let how = OpenOptions {
        needs_images: false,
        ..OpenOptions::wanting(Purpose::Measure, &[Content::Points], None)
    };
    Ok(door::open(path, &how)?.into_points()?)
}

/// Reads a file of detections or results.
pub fn detections(path: &Path) -> Result<Detections> {
    let how = OpenOptions {
        needs_images: false,
        ..OpenOptions::wanting(Purpose::Measure, &[Content::Detections], None)
    };
    match door::open(path, &how)?.labels {
        Labels::Detections(found) => Ok(found),
        Labels::Points(_) | Labels::Masks(_) | Labels::Classes(_) => {
            None.with_context(|| format!("{}: labels, not results of a program", path.display()))
        }
    }
}
