//! What was found in an image: the types that every task returns and every output format, picture and metric reads. One file per
//! kind of result; it says how the kind is checked, written, drawn and told, and [`Predicted`] and [`Kind`] choose among them.
//!
//! Points and boxes are in pixels of the original image (after its EXIF orientation, where that is honoured), x before y,
//! pixel centres at integers; boxes are `x y w h`.

mod classes;
mod instances;
mod mask;

pub use classes::Ranked;
pub use instances::{Instance, Point, draw_instances, draw_schema, style};
pub use mask::{Mask, palette};

use crate::error::Result;
use crate::timing::TimeSplit;
use hrnet_data::sets::{ClassSet, PointSet, flip_permutation};
use hrnet_formats::Recipe;
use hrnet_image::Image;
use hrnet_ir::Task;
use serde_json::{Map, Value};

/// What the numbers of a result stand for; one per model.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// What the model is for.
    pub task: Task,
    /// The known set of the points: as the recipe names it, or by its names.
    pub set: Option<&'static PointSet>,
    /// The known set of the classes, where the recipe names it.
    pub classes: Option<&'static ClassSet>,
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
        let names = match crate::tasks::kind(recipe.task) {
            _ if recipe.names.len() == outputs => recipe.names.clone(),
            Some(Kind::Instances) => (0..outputs).map(|i| format!("point_{i}")).collect(),
            Some(Kind::Mask | Kind::Classes) | None => (0..outputs).map(|i| format!("class_{i}")).collect(),
        };
        let inside = |&[a, b]: &[usize; 2]| a < outputs && b < outputs;
        Self {
            task: recipe.task,
            set: recipe.point_set(),
            classes: recipe
                .classes
                .as_deref()
                .and_then(ClassSet::by_name)
                .filter(|c| c.classes.len() == outputs),
            names,
            skeleton: recipe.skeleton.iter().filter(|l| inside(l)).copied().collect(),
            flip_pairs: recipe.flip_pairs.iter().filter(|p| inside(p)).map(|&[a, b]| (a, b)).collect(),
        }
    }

    /// The known point set, whose outlines the drawing uses.
    pub fn point_set(&self) -> Option<&'static PointSet> {
        self.set.or_else(|| PointSet::by_points(&self.names)).filter(|_| self.task.has_points())
    }

    /// The known class set, whose colours the drawing uses.
    pub fn class_set(&self) -> Option<&'static ClassSet> {
        self.classes.or_else(|| ClassSet::by_classes(&self.names)).filter(|_| !self.task.has_points())
    }

    /// The index of each point in the mirrored image.
    pub fn flip_permutation(&self) -> Vec<usize> {
        flip_permutation(self.names.len(), &self.flip_pairs)
    }
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

/// A kind of result; one per arm of [`Predicted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Instances with points.
    Instances,
    /// A class per pixel.
    Mask,
    /// The best classes.
    Classes,
}

impl Kind {
    /// Columns of the CSV with a row per instance, image with mask, or image with classes; of classes `top`.
    pub(crate) fn wide_columns(self, schema: &Schema, top: usize) -> Vec<String> {
        match self {
            Self::Instances => instances::wide_columns(schema),
            Self::Mask => mask::wide_columns(schema),
            Self::Classes => classes::wide_columns(top),
        }
    }

    /// Columns of the CSV with a row per point or class.
    pub(crate) fn long_columns(self) -> &'static [&'static str] {
        match self {
            Self::Instances => instances::LONG_COLUMNS,
            Self::Mask => mask::LONG_COLUMNS,
            Self::Classes => classes::LONG_COLUMNS,
        }
    }
}

impl Predicted {
    /// The instances; empty for other kinds.
    pub fn instances(&self) -> &[Instance] {
        if let Self::Instances(found) = self { found } else { &[] }
    }

    /// The mask, if that is what it is.
    pub fn mask(&self) -> Option<&Mask> {
        if let Self::Mask(found) = self { Some(found) } else { None }
    }

    /// Number and share of each class, the largest first: probabilities of the image's classes, or parts of its pixels. Empty where
    /// there are no classes.
    pub fn shares(&self, classes: usize) -> Vec<(usize, f64)> {
        match self {
            Self::Instances(_) => Vec::new(),
            Self::Mask(found) => found.shares(classes),
            Self::Classes(found) => found.iter().map(|r| (r.class, f64::from(r.probability))).collect(),
        }
    }

    /// An error where it does not fit the schema: it must not become a file with shifted columns.
    pub(crate) fn check(&self, schema: &Schema, input: &str) -> Result<()> {
        match self {
            Self::Instances(found) => instances::check(found, schema, input),
            Self::Mask(found) => found.check(input),
            Self::Classes(found) => classes::check(found, schema, input),
        }
    }

    /// The entries of the JSON document: one per instance, or one with the mask or the classes.
    pub(crate) fn json_entries(&self, schema: &Schema) -> Vec<Map<String, Value>> {
        match self {
            Self::Instances(found) => found.iter().map(|i| i.json(schema)).collect(),
            Self::Mask(_) | Self::Classes(_) => vec![Map::from_iter([self.json_whole(schema)])],
        }
    }

    /// All of it under one key, as JSON lines have it.
    pub(crate) fn json_whole(&self, schema: &Schema) -> (String, Value) {
        let (key, value) = match self {
            Self::Instances(found) => ("instances", found.iter().map(|i| i.json(schema)).collect()),
            Self::Mask(found) => ("mask", found.json(schema)),
            Self::Classes(found) => ("classes", classes::json(found, schema)),
        };
        (key.into(), value)
    }

    /// Its entries in number.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Instances(found) => found.len(),
            Self::Mask(_) | Self::Classes(_) => 1,
        }
    }

    /// Its rows in the CSV of [`Kind::wide_columns`].
    pub(crate) fn wide_rows(&self, schema: &Schema, top: usize) -> Vec<Vec<String>> {
        match self {
            Self::Instances(found) => instances::wide_rows(found),
            Self::Mask(found) => vec![found.wide_row(schema)],
            Self::Classes(found) => vec![classes::wide_row(found, schema, top)],
        }
    }

    /// Its rows in the CSV of [`Kind::long_columns`].
    pub(crate) fn long_rows(&self, schema: &Schema) -> Vec<Vec<String>> {
        match self {
            Self::Instances(found) => instances::long_rows(found, schema),
            Self::Mask(found) => found.long_rows(schema),
            Self::Classes(found) => classes::long_rows(found, schema),
        }
    }

    /// The image with what was found in it. `boxed` draws the boxes and their scores, which say nothing where the whole image
    /// was the box.
    pub fn overlay(&self, image: &Image, schema: &Schema, boxed: bool) -> Image {
        match self {
            Self::Instances(found) => instances::overlay(image, schema, found, boxed),
            Self::Mask(found) => found.overlay(image, schema),
            Self::Classes(found) => classes::overlay(image, schema, found),
        }
    }

    /// Whether a picture of the worst samples needs it drawn, or its caption tells all.
    pub fn is_seen(&self) -> bool {
        match self {
            Self::Instances(_) | Self::Mask(_) => true,
            Self::Classes(_) => false,
        }
    }

    /// What an overlay is called, before its ending.
    pub fn overlay_name(&self) -> &'static str {
        match self {
            Self::Instances(_) => "points",
            Self::Mask(_) => "overlay",
            Self::Classes(_) => "classes",
        }
    }

    /// What was found, for people; a line each.
    pub fn lines(&self, schema: &Schema) -> Vec<String> {
        match self {
            Self::Instances(found) => instances::lines(found),
            Self::Mask(found) => vec![found.line(schema)],
            Self::Classes(found) => vec![classes::line(found, schema)],
        }
    }
}

/// The shortest text that reads back as the same number; nothing for one that is not finite.
pub(crate) fn number(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}

fn single(value: f32) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
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
