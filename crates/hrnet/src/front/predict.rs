//! A model that is ready to predict.

use super::{Builder, Image, Prediction};
use crate::error::{Context, Result, bail, err};
use crate::result::Schema;
use crate::source::check_box;
use crate::tasks::{self, Predictor, Request};
use hrnet_formats::Recipe;
use hrnet_ir::Task;
use hrnet_kernels::Pool;
use std::path::Path;
use std::sync::Arc;

/// An image with the boxes to look in; nothing for the whole image.
type Asked<'a> = (&'a Image, Option<&'a [[f64; 4]]>);

/// A model with everything needed to use it: network, weights, and what its file says of inputs and outputs.
///
/// ```
/// # fn main() -> hrnet::Result<()> {
/// # std::env::set_current_dir("../..")?;
/// let mut model = hrnet::Model::open("face68")?;
/// let photo = hrnet::Image::open("examples/astronaut.jpg")?;
/// let faces = model.predict_in(&photo, &[[170.0, 78.0, 106.0, 112.0]])?;
/// assert_eq!(faces.people()[0].points.len(), 68);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Model {
    predictor: Predictor,
    schema: Arc<Schema>,
    pool: Arc<Pool>,
}

impl Model {
    /// Opens a model with default settings: the name of a built-in one (`face68`, `pose14`, `camvid11`) or the path of any checkpoint,
    /// ours or of the official repositories, mmpose, mmseg, mmpretrain, timm.
    ///
    /// # Errors
    /// When the file cannot be read or is not understood whole; the message names what is missing, too much or of another shape.
    pub fn open(model: impl AsRef<Path>) -> Result<Self> {
        Self::builder().open(model)
    }

    /// Opens a model from the bytes of a checkpoint file.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::builder().from_bytes(bytes)
    }

    /// Settings before opening: threads, the mirrored image, scales, ...
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn new(predictor: Predictor, pool: Arc<Pool>) -> Self {
        let schema = Arc::new(predictor.schema().clone());
        Self { predictor, schema, pool }
    }

    pub(super) fn predictor_mut(&mut self) -> &mut Predictor {
        &mut self.predictor
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// What it is for.
    pub fn task(&self) -> Task {
        self.schema.task
    }

    /// Names of its points or classes, one per output.
    pub fn names(&self) -> &[String] {
        &self.schema.names
    }

    /// Names, lines between points, mirror pairs.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What its file says: input size, colours, decoder, training data, terms.
    pub fn recipe(&self) -> &Recipe {
        self.predictor.recipe()
    }

    /// Whether it looks for points in boxes, so that [`Model::predict_in`] means something.
    pub fn takes_boxes(&self) -> bool {
        self.predictor.takes_boxes()
    }

    /// What is in an image. For a model of points in boxes the whole image is the box: right for a picture that one face or person
    /// fills.
    ///
    /// # Errors
    /// When the image does not suit the network: absurdly narrow, or beyond the bounds on memory.
    pub fn predict(&mut self, image: &Image) -> Result<Prediction> {
        self.one(image, None)
    }

    /// Points in boxes `[x, y, width, height]`, pixels of the image; one person, face or animal per box, in order.
    ///
    /// # Errors
    /// When the model takes no boxes, or a box has no size or lies outside the image.
    pub fn predict_in(&mut self, image: &Image, boxes: &[[f64; 4]]) -> Result<Prediction> {
        self.one(image, Some(boxes))
    }

    /// Several images, whole; one result each, in order. They run together as far as the network does, and each result is what
    /// [`Model::predict`] gives for its image, to the bit.
    ///
    /// # Errors
    /// As [`Model::predict`]; the message names the image.
    pub fn predict_batch<I: AsRef<Image>>(&mut self, images: &[I]) -> Result<Vec<Prediction>> {
        let all: Vec<Asked> = images.iter().map(|i| (i.as_ref(), None)).collect();
        self.many(&all)
    }

    /// Boxes of several images; one result per image, in order.
    ///
    /// # Errors
    /// As [`Model::predict_in`]; the message names the image.
    pub fn predict_batch_in(&mut self, images: &[(&Image, &[[f64; 4]])]) -> Result<Vec<Prediction>> {
        let all: Vec<_> = images.iter().map(|&(image, boxes)| (image, Some(boxes))).collect();
        self.many(&all)
    }

    fn one(&mut self, image: &Image, boxes: Option<&[[f64; 4]]>) -> Result<Prediction> {
        self.many(&[(image, boxes)])?.pop().context("a result for every image")
    }

    /// The one way to the engine.
    fn many(&mut self, images: &[Asked]) -> Result<Vec<Prediction>> {
        for (image, boxes) in images {
            self.check(image, *boxes).with_context(|| image.name().to_string())?;
        }
        let requests: Vec<Request> =
            images.iter().map(|&(image, boxes)| Request { image: image.as_ref(), boxes }).collect();
        let answers = match self.predictor.predict(&requests) {
            Ok(answers) => answers,
            // One of them is the reason: each on its own tells which.
            Err(together) if requests.len() > 1 => {
                let mut each = Vec::with_capacity(requests.len());
                for (request, (image, _)) in requests.iter().zip(images) {
                    let mut only =
                        self.predictor.predict(&[*request]).with_context(|| image.name().to_string())?;
                    each.push(only.pop().ok_or_else(|| err!("{together:#}"))?);
                }
                each
            }
            Err(error) => return Err(error),
        };
        let whole = !self.takes_boxes();
        let prediction = |(&(image, boxes), answer): (&Asked, tasks::Prediction)| {
            let boxed = boxes.is_some() || whole;
            Prediction::new(self.schema.clone(), image, answer.predicted, answer.time, boxed)
        };
        Ok(images.iter().zip(answers).map(prediction).collect())
    }

    fn check(&self, image: &Image, boxes: Option<&[[f64; 4]]>) -> Result<()> {
        let Some(boxes) = boxes else { return Ok(()) };
        if !self.takes_boxes() {
            bail!(Invalid, "this model looks at whole images and takes no boxes");
        }
        let (width, height) = (image.width() as f64, image.height() as f64);
        for &[x, y, w, h] in boxes {
            check_box([x, y, w, h]).map_err(|why| err!(Invalid, "box {x},{y},{w},{h}: {why}"))?;
            if x >= width || y >= height || x + w <= 0.0 || y + h <= 0.0 {
                bail!(Invalid, "box {x},{y},{w},{h} lies outside the image of {width}x{height} pixels");
            }
        }
        Ok(())
    }
}
