//! A class for an image: Pillow's resize of the short side, the centre, the network, the best classes.
//!
//! | weights | short side | crop | filter |
//! |---|---|---|---|
//! | official, 224 | 224 / 0.875 = 256 | 224 | bilinear |
//! | timm `ms_aug`, SSLD at 224 | 224 / 0.95 = 235 | 224 | bilinear |
//! | SSLD as tested at 288 | 288 | 288 | bilinear |
//!
//! The short side is `floor(size / crop share)`. A recipe does not hold the share, so that 0.875 is the default and
//! [`ClassifyOptions`] has the rest. Results do not depend on how many images run together.

use crate::error::{Context, Result, bail};
use crate::result::{Predicted, Ranked, Schema};
use crate::runner::Runner;
use crate::tasks::{Prediction, Request};
use crate::timing::TimeSplit;
use hrnet_data::codec::classification::top_k;
use hrnet_formats::{Colour, Recipe, Task};
use hrnet_image::Image;
use hrnet_image::resize::{Filter, Planes, centre_crop, resize_short_side, scaled_part};
use hrnet_ir::{Head, Tensor, Weights};
use hrnet_kernels::Pool;
use std::sync::Arc;
use std::time::Instant;

/// Most images per run of the network.
const BATCH: usize = 8;

/// How images are looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassifyOptions {
    /// Height and width of the input [default: the recipe's].
    pub size: Option<[usize; 2]>,
    /// Side of the crop over the short side of the resized image.
    pub crop_share: f64,
    /// The resize.
    pub filter: Filter,
    /// How many classes are wanted.
    pub top: usize,
}

impl Default for ClassifyOptions {
    fn default() -> Self {
        Self { size: None, crop_share: 0.875, filter: Filter::Bilinear, top: 5 }
    }
}

/// The input of a network: short side, centre, normalised.
#[derive(Clone, Debug)]
pub(crate) struct CentreInput {
    size: [usize; 2],
    short: usize,
    filter: Filter,
    planes: Planes,
}

impl CentreInput {
    pub(crate) fn new(recipe: &Recipe, options: &ClassifyOptions) -> Result<Self> {
        let size = options.size.unwrap_or([recipe.input_size.0, recipe.input_size.1]);
        let share = options.crop_share;
        if !share.is_finite() || share <= 0.0 || share > 1.0 {
            bail!("a crop share of {share}: it is above 0 and at most 1");
        }
        let short = (size[0].max(size[1]) as f64 / share).floor();
        if size.contains(&0) || short > hrnet_ir::shape::MAX_SIDE as f64 {
            bail!("an input of {}x{} pixels", size[1], size[0]);
        }
        let (mean, std) = (recipe.mean.map(|v| v as f32), recipe.std.map(|v| v as f32));
        let planes = Planes::new(mean, std, recipe.colour == Colour::Bgr, false);
        Ok(Self { size, short: short as usize, filter: options.filter, planes })
    }

    pub(crate) fn size(&self) -> [usize; 2] {
        self.size
    }

    fn text(&self) -> String {
        let [h, w] = self.size;
        let filter = match self.filter {
            Filter::Bilinear => "bilinear",
            Filter::Bicubic => "bicubic",
        };
        format!("short side {}, {filter}, centre {w}x{h}", self.short)
    }

    /// The crop as 8-bit picture.
    pub(crate) fn crop(&self, image: &Image) -> Result<Image> {
        let [h, w] = self.size;
        Ok(centre_crop(&resize_short_side(image, self.short, self.filter)?, w, h)?)
    }

    fn fill(&self, image: &Image, out: &mut [f32]) -> Result<()> {
        let [h, w] = self.size;
        scaled_part(&self.crop(image)?, self.size, [0, 0, w, h], &self.planes, self.size, out);
        Ok(())
    }

    /// `[n, 3, h, w]`.
    pub(crate) fn tensor(&self, images: &[&Image]) -> Result<Tensor> {
        let [h, w] = self.size;
        let mut tensor = Tensor::zeros([images.len(), 3, h, w]);
        for (image, out) in images.iter().zip(tensor.data_mut().chunks_exact_mut(3 * h * w)) {
            self.fill(image, out)?;
        }
        Ok(tensor)
    }
}

/// A classification model with everything needed to use it.
#[derive(Debug)]
pub struct Classifier {
    runner: Runner,
    recipe: Recipe,
    schema: Schema,
    input: CentreInput,
    top: usize,
}

impl Classifier {
    /// A model from weights and their recipe.
    pub fn new(weights: Weights, recipe: Recipe, pool: Arc<Pool>, options: ClassifyOptions) -> Result<Self> {
        let Head::Classify { classes, .. } = recipe.model.head else {
            bail!("this is a model for {}, not for classification", recipe.task.title());
        };
        if recipe.task != Task::Classification {
            bail!("the recipe says {}, the network classifies", recipe.task.title());
        }
        let input = CentreInput::new(&recipe, &options)?;
        let net = recipe.model.build()?;
        let [h, w] = input.size();
        net.shapes([1, 3, h, w]).context("the input size does not suit the network")?;
        let runner = Runner::new(&net, weights, pool)?;
        Ok(Self { runner, schema: Schema::of(&recipe, classes), recipe, input, top: options.top })
    }

    /// What the classes are called.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// What an image becomes, in words.
    pub fn input_text(&self) -> String {
        self.input.text()
    }

    /// Images that run together at best.
    pub fn batch(&self) -> usize {
        BATCH
    }

    /// The best classes of each image, best first; nothing is read here.
    pub fn predict(&mut self, images: &[&Image]) -> Result<(Vec<Vec<Ranked>>, TimeSplit)> {
        let (logits, mut time) = self.logits(images)?;
        let started = Instant::now();
        let rank = |logits: &Vec<f32>| {
            let found = top_k(logits, self.top).into_iter();
            found.map(|r| Ranked { class: r.class, probability: r.probability }).collect()
        };
        let found = logits.iter().map(rank).collect();
        time.post += started.elapsed();
        Ok((found, time))
    }

    pub(crate) fn predict_requests(&mut self, requests: &[Request]) -> Result<Vec<Prediction>> {
        let images: Vec<&Image> = requests.iter().map(|r| r.image).collect();
        let (ranked, time) = self.predict(&images)?;
        let time = time / requests.len().max(1) as u32;
        let of = |ranked| Prediction { predicted: Predicted::Classes(ranked), time, stages: Vec::new() };
        Ok(ranked.into_iter().map(of).collect())
    }

    /// The scores of all classes for each image.
    pub fn logits(&mut self, images: &[&Image]) -> Result<(Vec<Vec<f32>>, TimeSplit)> {
        let mut time = TimeSplit::default();
        let mut all = Vec::with_capacity(images.len());
        for group in images.chunks(BATCH) {
            let started = Instant::now();
            let input = self.input.tensor(group)?;
            time.pre += started.elapsed();
            let started = Instant::now();
            let logits = self.runner.run(&input)?.pop().context("a network without outputs")?;
            time.network += started.elapsed();
            all.extend(logits.data().chunks_exact(self.schema.names.len()).map(<[f32]>::to_vec));
        }
        Ok((all, time))
    }
}
