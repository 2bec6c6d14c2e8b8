//! What a model found in an image.

use super::Image;
use crate::error::{Context, Result};
use crate::io;
use crate::output::json;
use crate::result::{FrameTime, ImageResult, Instance, Mask, Predicted, Schema, palette};
use crate::timing::TimeSplit;
use hrnet_image::mask_png::encode_indexed;
use hrnet_ir::Task;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// What was found in an image, with what its numbers stand for.
///
/// Points and boxes are in pixels of the image, x before y, pixel centres at integers; boxes are `x y width height`.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    schema: Arc<Schema>,
    result: ImageResult,
    boxed: bool,
}

/// A point with its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NamedPoint<'a> {
    /// Such as `left_elbow`.
    pub name: &'a str,
    /// Pixels from the left, with a fraction.
    pub x: f64,
    /// Pixels from the top, with a fraction.
    pub y: f64,
    /// Maximum of its heat map; about 0 to 1.
    pub score: f32,
}

/// A class with its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NamedClass<'a> {
    /// Such as `goldfish`.
    pub name: &'a str,
    /// Its number, from 0.
    pub class: usize,
    /// Of an image: the probability, 0 to 1. Of a mask: the share of the pixels, 0 to 1.
    pub share: f64,
}

impl Prediction {
    pub(super) fn new(
        schema: Arc<Schema>,
        image: &Image,
        predicted: Predicted,
        time: TimeSplit,
        boxed: bool,
    ) -> Self {
        let stem = Path::new(image.name()).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let result = ImageResult {
            input: image.name().to_string(),
            stem,
            frame: None,
            width: image.width(),
            height: image.height(),
            exif_orientation: image.exif_orientation(),
            predicted,
            time,
        };
        Self { schema, result, boxed }
    }

    pub(super) fn result_mut(&mut self) -> &mut ImageResult {
        &mut self.result
    }

    /// What the model is for.
    pub fn task(&self) -> Task {
        self.schema.task
    }

    /// Names of the model's points or classes.
    pub fn names(&self) -> &[String] {
        &self.schema.names
    }

    /// Names, lines between points, mirror pairs.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Width and height of the image in pixels.
    pub fn size(&self) -> [usize; 2] {
        [self.result.width, self.result.height]
    }

    /// Of a frame of a video, its place in it.
    pub fn frame(&self) -> Option<FrameTime> {
        self.result.frame
    }

    /// What was found, for a `match` over all kinds of results.
    pub fn predicted(&self) -> &Predicted {
        &self.result.predicted
    }

    /// Persons, faces, animals: one per box, in the order of the boxes, or those that the model found itself. Empty for models of other
    /// tasks.
    pub fn people(&self) -> &[Instance] {
        self.result.predicted.instances()
    }

    /// All points with their names, person after person; `people` has them apart.
    pub fn points(&self) -> impl Iterator<Item = NamedPoint<'_>> {
        self.people().iter().flat_map(|person| self.points_of(person))
    }

    /// The points of one of the [`Prediction::people`] with their names.
    pub fn points_of<'a>(&'a self, person: &'a Instance) -> impl Iterator<Item = NamedPoint<'a>> {
        person.points.iter().zip(&self.schema.names).map(|(point, name)| NamedPoint {
            name,
            x: point.at[0],
            y: point.at[1],
            score: point.score,
        })
    }

    /// A class per pixel, of the image's size, from models for segmentation.
    pub fn mask(&self) -> Option<&Mask> {
        self.result.predicted.mask()
    }

    /// Classification: the best classes, best first, with their probabilities. Segmentation: every class that occurs, most pixels
    /// first, with its share. Empty for models of points.
    pub fn classes(&self) -> Vec<NamedClass<'_>> {
        let named = |class: usize, share: f64| NamedClass {
            name: self.schema.names.get(class).map_or("?", String::as_str),
            class,
            share,
        };
        self.result.predicted.shares(self.schema.names.len()).into_iter().map(|(c, s)| named(c, s)).collect()
    }

    /// The image with what was found drawn into it: points with their lines, the mask with a legend, the best classes. `image` is the one
    /// that was looked at.
    pub fn draw(&self, image: &Image) -> Image {
        let picture = self.result.predicted.overlay(image.as_ref(), &self.schema, self.boxed);
        Image::from(picture).with_name(image.name())
    }

    /// Writes the mask as a PNG file with a colour table: the values are the numbers of the classes, the colours those that their data
    /// set publishes.
    ///
    /// # Errors
    /// When there is no mask, or the file cannot be written.
    pub fn save_mask(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let mask = self.mask().with_context(|| format!("{}: there is no mask to write", path.display()))?;
        let palette = palette(&self.schema);
        let png = encode_indexed(mask.width, mask.height, &mask.classes, palette.colours())
            .with_context(|| path.display().to_string())?;
        io::write_atomic(path, &png)
    }

    /// The document that `hrnet predict` writes for an image, schema `hrnet.predict/1`.
    pub fn to_json(&self) -> Value {
        json::document(&self.result, &self.schema, None)
    }

    /// The result as the writers of [`crate::output`] take it: CSV, COCO, OpenPose, masks.
    pub fn as_result(&self) -> &ImageResult {
        &self.result
    }

    /// Where the time went.
    pub fn time(&self) -> TimeSplit {
        self.result.time
    }
}
