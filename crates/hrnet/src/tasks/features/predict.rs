//! Features of an image at four scales from any checkpoint whose last exchange is complete: segmentation, faces, classification,
//! detection, or a bare trunk. (Top-down and bottom-up pose networks compute their highest resolution only; loading one is an
//! error that names the missing weights.)
//!
//! ```no_run
//! use hrnet::{model::LoadedModel, tasks::{ClassifyOptions, Features}};
//! use hrnet_image::{DecodeOptions, Limits, decode};
//! use std::{path::Path, sync::Arc};
//! let model = LoadedModel::open(Path::new("w18.safetensors"), &Default::default())?;
//! let pool = Arc::new(hrnet_kernels::Pool::new(2));
//! let mut features = Features::new(model.weights, model.recipe, pool, ClassifyOptions::default())?;
//! let photo = decode(&std::fs::read("photo.jpg")?, &Limits::default(), DecodeOptions::default())?.image;
//! for (map, stride) in features.of(&photo)?.iter().zip([4, 8, 16, 32]) {
//!     println!("stride {stride}: {:?}", map.shape()); // [1, 18, 56, 56], [1, 36, 28, 28], ...
//! }
//! # Ok::<(), hrnet::Error>(())
//! ```

use crate::error::{Context, Result};
use crate::runner::Runner;
use crate::tasks::classification::predict::{CentreInput, ClassifyOptions};
use hrnet_formats::Recipe;
use hrnet_image::Image;
use hrnet_ir::{Head, Model, Tensor, Weights};
use hrnet_kernels::Pool;
use std::sync::Arc;

/// The trunk of a network.
#[derive(Debug)]
pub struct Features {
    runner: Runner,
    input: CentreInput,
    channels: [usize; 4],
}

impl Features {
    /// The trunk of any model; weights of its head are left aside. The options say how an image becomes an input.
    pub fn new(weights: Weights, recipe: Recipe, pool: Arc<Pool>, options: ClassifyOptions) -> Result<Self> {
        let model = Model { head: Head::Features, ..recipe.model };
        let net = model.build()?;
        let input = CentreInput::new(&recipe, &options)?;
        let [h, w] = input.size();
        net.shapes([1, 3, h, w]).context("the input size does not suit the network")?;
        let runner = Runner::new(&net, weights, pool)
            .with_context(|| format!("the trunk of a network for {}", recipe.task.title()))?;
        Ok(Self { runner, input, channels: std::array::from_fn(|b| model.arch.channels(b)) })
    }

    /// Channels of the four maps.
    pub fn channels(&self) -> [usize; 4] {
        self.channels
    }

    /// The four maps `[1, c, h, w]` of an image at strides 4, 8, 16 and 32: short side, centre crop and normalisation as for
    /// classification.
    pub fn of(&mut self, image: &Image) -> Result<Vec<Tensor>> {
        self.of_images(&[image])
    }

    /// The maps `[n, c, h, w]` of several images.
    pub fn of_images(&mut self, images: &[&Image]) -> Result<Vec<Tensor>> {
        let input = self.input.tensor(images)?;
        self.runner.run(&input)
    }

    /// The maps of an input `[n, 3, h, w]` that was made elsewhere.
    pub fn of_input(&mut self, input: &Tensor) -> Result<Vec<Tensor>> {
        self.runner.run(input)
    }
}
