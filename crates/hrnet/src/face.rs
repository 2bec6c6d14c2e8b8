//! Faces: box -> crop -> network -> heat maps -> points, for `predict`, `eval` and the judge of a training run.
//!
//! One owner of each step: geometry and decoding are `hrnet-data`'s, the facts are the recipe's.

mod evaluate;
mod export;

pub use evaluate::{Evaluator, measure};
pub use export::export;

use crate::runner::Runner;
use crate::timing::TimeSplit;
use anyhow::{Context, Result, bail};
use hrnet_data::codec::heatmap::{self, Decoder};
use hrnet_data::geometry::{
    Affine, ColourMap, Crop, crop_face_official, input_to_heatmap, to_tensor, warp_bilinear_f32,
};
use hrnet_data::image::Image;
use hrnet_data::points::{PointSet, flip_permutation};
use hrnet_formats::{self as formats, Recipe, Task};
use hrnet_ir::{Net, Tensor, Weights};
use hrnet_kernels::Pool;
use std::sync::Arc;
use std::time::Instant;

/// Most faces per run of the network.
const BATCH: usize = 8;

/// A landmark model with everything needed to use it.
#[derive(Debug)]
pub struct FaceModel {
    runner: Runner,
    recipe: Recipe,
    decoder: Decoder,
    flip: Vec<usize>,
    /// Height and width of the heat maps.
    maps: [usize; 2],
    /// Faces per run of the network.
    batch: usize,
}

/// How a face is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Average with the mirrored crop.
    pub flip: bool,
    /// Published crop and decoding, quirks included.
    pub official: bool,
}

/// Where a face is: the middle and the longer side over 200, as in the landmark files, before padding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Middle in image pixels.
    pub centre: [f64; 2],
    /// Longer side over 200.
    pub scale: f64,
}

impl Place {
    /// The place of a box `x, y, w, h`.
    pub fn of_box([x, y, w, h]: [f64; 4]) -> Self {
        Self { centre: [x + w / 2.0, y + h / 2.0], scale: w.max(h) / 200.0 }
    }
}

/// Points of one face.
#[derive(Clone, Debug, PartialEq)]
pub struct Face {
    /// x and y in image pixels.
    pub points: Vec<[f64; 2]>,
    /// Maximum of each heat map.
    pub scores: Vec<f32>,
}

/// What passed between the steps for one face, for `--dump-stages`.
#[derive(Clone, Debug)]
pub struct Stages {
    /// From image pixels to input pixels.
    pub to_input: Affine,
    /// `[3, h, w]`.
    pub input: Vec<f32>,
    /// `[points, h/4, w/4]`.
    pub heatmaps: Vec<f32>,
}

/// Faces with the time each part took.
#[derive(Clone, Debug, Default)]
pub struct Looked {
    /// One per place.
    pub faces: Vec<Face>,
    /// What passed between the steps, where it was asked for.
    pub stages: Vec<Stages>,
    /// Where the time went; nothing is read here.
    pub time: TimeSplit,
}

impl FaceModel {
    /// A model from weights and their recipe, for any number of faces at a time.
    pub fn new(weights: Weights, recipe: Recipe, pool: Arc<Pool>) -> Result<Self> {
        Self::with(recipe, BATCH, |net| Runner::new(net, weights, pool))
    }

    /// A model for multiples of this number of faces at a time, ready to run; the process holds the weights once.
    pub fn for_faces(weights: Weights, recipe: Recipe, pool: Arc<Pool>, faces: usize) -> Result<Self> {
        let batch = (1..=BATCH).rev().find(|&batch| faces.max(1).is_multiple_of(batch)).unwrap_or(1);
        let (h, w) = recipe.input_size;
        Self::with(recipe, batch, |net| Runner::for_shape(net, weights, pool, [batch, 3, h, w]))
    }

    fn with(recipe: Recipe, batch: usize, runner: impl FnOnce(&Net) -> Result<Runner>) -> Result<Self> {
        if recipe.task != Task::Face {
            bail!(
                "this is a model for {:?}, not for faces; other tasks run through `hrnet run`",
                recipe.task
            );
        }
        let net = recipe.model.build()?;
        let (h, w) = recipe.input_size;
        let shapes = net.shapes([1, 3, h, w])?;
        let [_, points, map_h, map_w] = shapes[net.outputs()[0].value.index()];
        let pairs: Vec<(usize, usize)> = recipe.flip_pairs.iter().map(|&[a, b]| (a, b)).collect();
        let decoder = match recipe.decoder {
            formats::Decoder::LogQuadratic => Decoder::LogQuadratic,
            formats::Decoder::Dark | formats::Decoder::Udp => Decoder::Dark { kernel: 11 },
            _ => Decoder::QuarterOffset,
        };
        let (runner, flip) = (runner(&net)?, flip_permutation(points, &pairs));
        Ok(Self { runner, flip, decoder, maps: [map_h, map_w], recipe, batch })
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Name of every point.
    pub fn names(&self) -> Vec<String> {
        match self.recipe.names.is_empty() {
            true => crate::train::point_names(self.flip.len()),
            false => self.recipe.names.clone(),
        }
    }

    /// The point set that the drawing knows, if it is one.
    pub fn point_set(&self) -> Option<&'static PointSet> {
        PointSet::of_count(self.flip.len())
    }

    /// Finds the points at every place of an image.
    pub fn look(&mut self, image: &Image, places: &[Place], how: Look, keep_stages: bool) -> Result<Looked> {
        let pairs: Vec<(&Image, Place)> = places.iter().map(|&p| (image, p)).collect();
        self.look_at(&pairs, how, keep_stages)
    }

    /// Finds the points of faces in several images.
    pub fn look_at(&mut self, faces: &[(&Image, Place)], how: Look, keep_stages: bool) -> Result<Looked> {
        let mut looked = Looked::default();
        for group in faces.chunks(self.batch) {
            self.look_group(group, how, keep_stages, &mut looked)?;
        }
        Ok(looked)
    }

    fn look_group(
        &mut self,
        group: &[(&Image, Place)],
        how: Look,
        keep_stages: bool,
        looked: &mut Looked,
    ) -> Result<()> {
        let (h, w) = self.recipe.input_size;
        let started = Instant::now();
        let mut data = vec![0.0; group.len() * 3 * h * w];
        let mut maps_to: Vec<Affine> = Vec::with_capacity(group.len());
        for ((image, place), input) in group.iter().zip(data.chunks_exact_mut(3 * h * w)) {
            maps_to.push(self.crop(image, *place, how, input)?);
        }
        let input = Tensor::new([group.len(), 3, h, w], data)?;
        looked.time.pre += started.elapsed();

        let started = Instant::now();
        let mut maps = self.runner.run(&input)?.swap_remove(0);
        if how.flip {
            let mut mirrored = input.clone();
            heatmap::mirror_planes(mirrored.data_mut(), w);
            let mut other = self.runner.run(&mirrored)?.swap_remove(0);
            let [mh, mw] = self.maps;
            for image in other.data_mut().chunks_exact_mut(self.flip.len() * mh * mw) {
                heatmap::flip_maps_back(image, mh, mw, &self.flip);
            }
            heatmap::average(maps.data_mut(), other.data());
        }
        looked.time.network += started.elapsed();

        let started = Instant::now();
        let size = self.flip.len() * self.maps[0] * self.maps[1];
        for (i, maps) in maps.data().chunks_exact(size).enumerate() {
            looked.faces.push(self.decode(maps, &maps_to[i], group[i].1, how)?);
            if keep_stages {
                let input = input.data()[i * 3 * h * w..][..3 * h * w].to_vec();
                looked.stages.push(Stages { to_input: maps_to[i], input, heatmaps: maps.to_vec() });
            }
        }
        looked.time.post += started.elapsed();
        Ok(())
    }

    /// Writes the normalised crop and returns the map from image to input pixels.
    fn crop(&self, image: &Image, place: Place, how: Look, input: &mut [f32]) -> Result<Affine> {
        let (h, w) = self.recipe.input_size;
        let (mean, std) = (self.recipe.mean.map(|v| v as f32), self.recipe.std.map(|v| v as f32));
        let crop = Crop::face(place.centre, place.scale, self.recipe.padding);
        let to_input = crop.to_affine(w, h);
        if how.official {
            if h != w {
                bail!("the official protocol needs a square input, this model has {h}x{w}");
            }
            let scale = place.scale * self.recipe.padding;
            let cropped = crop_face_official(image, place.centre, scale, w, true);
            let cropped =
                cropped.context("the box is too small or outside the image for the official crop")?;
            input.copy_from_slice(to_tensor(&cropped, mean, std).data());
        } else {
            warp_bilinear_f32(image, &to_input, w, h, &ColourMap::normalise(mean, std), input);
        }
        Ok(to_input)
    }

    fn decode(&self, maps: &[f32], to_input: &Affine, place: Place, how: Look) -> Result<Face> {
        let [mh, mw] = self.maps;
        if how.official {
            let scale = place.scale * self.recipe.padding;
            let points = heatmap::decode_official_face(maps, mh, mw, place.centre, scale);
            let points = points.context("the official decoder needs square heat maps")?;
            let scores = points.iter().map(|p| p.1).collect();
            return Ok(Face { points: points.iter().map(|p| p.0.map(|v| v as f64)).collect(), scores });
        }
        let (h, w) = self.recipe.input_size;
        let strides = [w as f64 / mw as f64, h as f64 / mh as f64];
        let back = to_input.then(&input_to_heatmap(strides)).inverse().context("the box has no size")?;
        let peaks = heatmap::decode(maps, mh, mw, self.decoder);
        let points = peaks.iter().map(|p| back.apply(p.point())).collect();
        Ok(Face { points, scores: peaks.iter().map(|p| p.score).collect() })
    }
}
