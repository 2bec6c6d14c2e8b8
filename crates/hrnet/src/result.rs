//! What was found in an image: the types that every task returns and every output format, picture and metric reads.
//!
//! Points and boxes are in pixels of the original image (after its EXIF orientation, where that is honoured), x before y,
//! pixel centres at integers; boxes are `x y w h`.

use crate::timing::TimeSplit;
use hrnet_data::points::{PointSet, flip_permutation};
use hrnet_formats::{Recipe, Task};

/// What the numbers of a result stand for; one per model.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// What the model is for.
    pub task: Task,
    /// Names of the points or classes, one per output.
    pub names: Vec<String>,
    /// Lines between points, for drawing; 0-based.
    pub skeleton: Vec<[usize; 2]>,
    /// Points that change places when the image is mirrored; 0-based.
    pub flip_pairs: Vec<(usize, usize)>,
}

impl Schema {
    /// The schema of a model with so many points or classes; names that its recipe lacks are made up.
    pub fn of(recipe: &Recipe, outputs: usize) -> Self {
        let points = matches!(recipe.task, Task::Face | Task::Pose | Task::BottomUpPose);
        let named = recipe.names.len() == outputs;
        let names = match (named, points) {
            (true, _) => recipe.names.clone(),
            (false, true) => point_names(outputs),
            (false, false) => (0..outputs).map(|i| format!("class_{i}")).collect(),
        };
        let inside = |&[a, b]: &[usize; 2]| a < outputs && b < outputs;
        Self {
            task: recipe.task,
            names,
            skeleton: recipe.skeleton.iter().filter(|l| inside(l)).copied().collect(),
            flip_pairs: recipe.flip_pairs.iter().filter(|p| inside(p)).map(|&[a, b]| (a, b)).collect(),
        }
    }

    /// The known point set of this size, whose outlines the drawing uses.
    pub fn point_set(&self) -> Option<&'static PointSet> {
        PointSet::of_count(self.names.len())
    }

    /// The index of each point in the mirrored image.
    pub fn flip_permutation(&self) -> Vec<usize> {
        flip_permutation(self.names.len(), &self.flip_pairs)
    }
}

/// Names of points: those of a known set, or their numbers.
pub fn point_names(points: usize) -> Vec<String> {
    PointSet::of_count(points)
        .map_or_else(|| (0..points).map(|i| format!("point_{i}")).collect(), PointSet::names)
}

/// A point of an instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// x and y.
    pub at: [f64; 2],
    /// Maximum of its heat map; about 0 to 1.
    pub score: f32,
}

/// A person, a face, an animal.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The box that was looked in, or the extent of the points where the model finds instances itself.
    pub bbox: [f64; 4],
    /// How sure: mean score of the points, or the protocol's own rule.
    pub score: f64,
    /// One per name of the schema.
    pub points: Vec<Point>,
    /// The same id in successive frames of a video, from 1.
    pub track: Option<u64>,
    /// The points as the network gave them, where `points` are smoothed over time.
    pub raw: Option<Vec<[f64; 2]>>,
}

/// A class for every pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Index into the names of the schema, row by row.
    pub classes: Vec<u16>,
}

impl Mask {
    /// Pixels of each class.
    pub fn histogram(&self, classes: usize) -> Vec<u64> {
        let mut counts = vec![0; classes];
        for &c in &self.classes {
            if let Some(n) = counts.get_mut(usize::from(c)) {
                *n += 1;
            }
        }
        counts
    }
}

/// A class of an image with its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Index into the names of the schema.
    pub class: usize,
    /// 0 to 1.
    pub probability: f32,
}

/// What a task finds.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicted {
    /// Instances with points.
    Instances(Vec<Instance>),
    /// A class per pixel.
    Mask(Mask),
    /// The best classes, best first.
    Classes(Vec<Ranked>),
}

/// Where a frame stands in a video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameTime {
    /// From 0.
    pub index: u64,
    /// Seconds from the start.
    pub seconds: f64,
}

/// The result of one image or frame.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageResult {
    /// The input as the user named it: a file, or the video.
    pub input: String,
    /// Name for result files, unique within a call.
    pub stem: String,
    /// Which frame of a video.
    pub frame: Option<FrameTime>,
    /// Width of the image in pixels.
    pub width: usize,
    /// Height of the image in pixels.
    pub height: usize,
    /// EXIF orientation of the file, 1 to 8; it was applied unless the user asked otherwise.
    pub exif_orientation: u8,
    /// What was found.
    pub predicted: Predicted,
    /// Where the time went.
    pub time: TimeSplit,
}
