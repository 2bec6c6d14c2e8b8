//! Points of a person or a face in a box: crop, network, decoding.
//!
//! ```text
//! box or centre and size -> padded window -> crop (affine warp, normalised) -> network (and its mirrored twin)
//!   -> heat maps -> sub-pixel peaks -> image
//! ```
//!
//! Three conventions relate heat-map pixels, input pixels and the image. They must be those of the training:
//!
//! | [`Convention`] | input pixel of heat-map pixel `i` at stride `s` | mirrored maps | recipes |
//! |---|---|---|---|
//! | `Centres` | `(i + 1/2) s - 1/2`: areas are aligned | fit as they are | faces; poses decoded by `log_quadratic` |
//! | `Corners` | `s i`, the official pose code | moved by one pixel, as published | poses decoded by `arg_max_quarter`, `dark` |
//! | `Unbiased` | `i (in - 1) / (map - 1)`, UDP | fit as they are | poses decoded by `udp` |
//!
//! [`Protocol::Official`] differs from the default in the crop (8-bit fixed-point warp without antialiasing; PIL's resize for
//! faces), the decoder (a quarter pixel, unless the recipe says DARK or UDP), and for faces in whole-pixel, 1-based results.

use crate::error::{Context, Result, bail};
use crate::result::{Instance, Point, Predicted, Schema};
use crate::runner::Runner;
use crate::tasks::{Options, Prediction, Request};
use crate::timing::TimeSplit;
use hrnet_data::codec::heatmap::{self, SubPixel};
use hrnet_data::codec::{Protocol, udp};
pub use hrnet_data::geometry::Convention;
use hrnet_data::geometry::{
    Crop, CropRule, crop_face_official, input_to_heatmap, pose_affine, pose_box_to_centre_scale, to_tensor,
    udp_affine,
};
use hrnet_formats::{self as formats, Recipe};
use hrnet_image::Image;
use hrnet_image::warp::{Affine, ColourMap, warp_bilinear_f32, warp_opencv_u8};
use hrnet_ir::{Decoder, Net, Task, Tensor, Weights};
use hrnet_kernels::Pool;
use std::sync::Arc;
use std::time::Instant;

/// Most boxes per run of the network.
const BATCH: usize = 8;

/// How a box is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PointOptions {
    /// Average with the mirrored crop.
    pub flip: bool,
    /// Published crop and decoding, quirks included.
    pub protocol: Protocol,
    /// Instead of the recipe's decoder.
    pub decoder: Option<SubPixel>,
    /// Move the maps of the mirrored crop by one pixel, or not; by the convention when `None`.
    pub shift: Option<bool>,
}

/// Where someone is: middle and size in image pixels, before padding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Middle.
    pub centre: [f64; 2],
    /// Width and height.
    pub size: [f64; 2],
}

impl Place {
    /// The place of a box `x, y, w, h`.
    pub fn of_box([x, y, w, h]: [f64; 4]) -> Self {
        Self { centre: [x + w / 2.0, y + h / 2.0], size: [w, h] }
    }

    /// The place of a centre and the longer side over 200, as landmark files have it.
    pub fn of_centre(centre: [f64; 2], scale: f64) -> Self {
        Self { centre, size: [200.0 * scale; 2] }
    }

    /// The box `x, y, w, h`.
    pub fn to_box(self) -> [f64; 4] {
        let ([cx, cy], [w, h]) = (self.centre, self.size);
        [cx - w / 2.0, cy - h / 2.0, w, h]
    }
}

/// What passed between the steps for one box, for `--dump-stages` and heat-map sheets.
#[derive(Clone, Debug)]
pub struct Stages {
    /// From image pixels to input pixels.
    pub to_input: Affine,
    /// `[3, h, w]`.
    pub input: Vec<f32>,
    /// `[maps, h, w]`, after a flip test.
    pub heatmaps: Vec<f32>,
}

/// Instances with the time each part took.
#[derive(Clone, Debug, Default)]
pub struct BoxPredictions {
    /// One per place.
    pub instances: Vec<Instance>,
    /// What passed between the steps, where it was asked for.
    pub stages: Vec<Stages>,
    /// Where the time went; nothing is read here.
    pub time: TimeSplit,
}

/// A model of points in boxes with everything needed to use it.
#[derive(Debug)]
pub struct TopDown {
    runner: Runner,
    recipe: Recipe,
    schema: Schema,
    /// The recipe's decoder.
    decoder: SubPixel,
    convention: Convention,
    /// Three maps per point: disc and offsets of UDP.
    combined: bool,
    flip: Vec<usize>,
    /// Height and width of the heat maps.
    maps: [usize; 2],
    /// Boxes per run of the network.
    batch: usize,
}

impl TopDown {
    /// A model from weights and their recipe, for any number of boxes at a time.
    pub fn new(weights: Weights, recipe: Recipe, pool: Arc<Pool>) -> Result<Self> {
        Self::with(recipe, BATCH, |net| Runner::new(net, weights, pool))
    }

    /// A model for multiples of this number of boxes at a time, ready to run; the process holds the weights once.
    pub fn for_boxes(weights: Weights, recipe: Recipe, pool: Arc<Pool>, boxes: usize) -> Result<Self> {
        let batch = (1..=BATCH).rev().find(|&batch| boxes.max(1).is_multiple_of(batch)).unwrap_or(1);
        let (h, w) = recipe.input_size;
        Self::with(recipe, batch, |net| Runner::for_shape(net, weights, pool, [batch, 3, h, w]))
    }

    fn with(recipe: Recipe, batch: usize, runner: impl FnOnce(&Net) -> Result<Runner>) -> Result<Self> {
        if !recipe.task.is_top_down() {
            bail!("this is a model for {}, not for points in boxes", recipe.task.title());
        }
        let net = recipe.model.build()?;
        let (h, w) = recipe.input_size;
        let shapes = net.shapes([1, 3, h, w])?;
        let [_, maps, map_h, map_w] = shapes[net.outputs()[0].value.index()];
        let decoder = decoder_of(&recipe);
        let points = recipe.point_count();
        let combined = matches!(decoder, SubPixel::Udp { .. }) && points != maps;
        let schema = Schema::of(&recipe, points);
        let convention = convention_of(recipe.task, recipe.decoder);
        let (runner, flip) = (runner(&net)?, schema.flip_permutation());
        Ok(Self { runner, schema, decoder, convention, combined, flip, maps: [map_h, map_w], recipe, batch })
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Names, lines, pairs.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Boxes per run of the network.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Height and width of the heat maps.
    pub fn map_size(&self) -> [usize; 2] {
        self.maps
    }

    /// How maps and image relate.
    pub fn convention(&self) -> Convention {
        self.convention
    }

    /// The decoder that is used for these options.
    pub fn decoder(&self, how: &PointOptions) -> SubPixel {
        let published = match (how.protocol, self.decoder) {
            (Protocol::Official, SubPixel::LogQuadratic) => SubPixel::QuarterOffset,
            (_, decoder) => decoder,
        };
        how.decoder.unwrap_or(published)
    }

    /// Finds the points at every place of an image.
    pub fn predict(
        &mut self,
        image: &Image,
        places: &[Place],
        how: &PointOptions,
        keep: bool,
    ) -> Result<BoxPredictions> {
        let pairs: Vec<(&Image, Place)> = places.iter().map(|&p| (image, p)).collect();
        self.predict_each(&pairs, how, keep)
    }

    /// Finds the points at places of several images.
    pub fn predict_each(
        &mut self,
        places: &[(&Image, Place)],
        how: &PointOptions,
        keep: bool,
    ) -> Result<BoxPredictions> {
        let mut predictions = BoxPredictions::default();
        for group in places.chunks(self.batch) {
            self.predict_group(group, how, keep, &mut predictions)?;
        }
        Ok(predictions)
    }

    /// Predicts for images with their boxes, with refinement.
    pub(crate) fn predict_requests(
        &mut self,
        options: &Options,
        requests: &[Request],
    ) -> Result<Vec<Prediction>> {
        let whole: Vec<[f64; 4]> =
            requests.iter().map(|a| [0.0, 0.0, a.image.width() as f64, a.image.height() as f64]).collect();
        let boxes: Vec<Vec<[f64; 4]>> = requests
            .iter()
            .zip(whole)
            .map(|(request, whole)| request.boxes.map_or_else(|| vec![whole], <[[f64; 4]]>::to_vec))
            .collect();
        let mut places: Vec<(&Image, Place)> = Vec::new();
        for (request, boxes) in requests.iter().zip(&boxes) {
            places.extend(boxes.iter().map(|&b| (request.image, Place::of_box(b))));
        }
        let mut predictions = self.predict_each(&places, &options.points, options.keep_stages)?;
        for _ in 0..options.refine {
            for (place, found) in places.iter_mut().zip(&predictions.instances) {
                place.1 = refined(found, place.1);
            }
            let time = predictions.time;
            predictions = self.predict_each(&places, &options.points, options.keep_stages)?;
            predictions.time += time;
        }
        let share = predictions.time / requests.len().max(1) as u32;
        let (mut instances, mut stages) = (predictions.instances.into_iter(), predictions.stages.into_iter());
        let prediction = |boxes: Vec<[f64; 4]>| {
            // The box that was asked for, not the one a refinement moved to.
            let instances =
                boxes.iter().zip(&mut instances).map(|(&bbox, i)| Instance { bbox, ..i }).collect();
            let stages = stages.by_ref().take(boxes.len()).collect();
            Prediction { predicted: Predicted::Instances(instances), time: share, stages }
        };
        Ok(boxes.into_iter().map(prediction).collect())
    }

    fn predict_group(
        &mut self,
        group: &[(&Image, Place)],
        how: &PointOptions,
        keep: bool,
        predictions: &mut BoxPredictions,
    ) -> Result<()> {
        let (h, w) = self.recipe.input_size;
        let started = Instant::now();
        let mut data = vec![0.0; group.len() * 3 * h * w];
        let mut to_input: Vec<Affine> = Vec::with_capacity(group.len());
        for ((image, place), input) in group.iter().zip(data.chunks_exact_mut(3 * h * w)) {
            to_input.push(self.crop(image, *place, how, input)?);
        }
        let input = Tensor::new([group.len(), 3, h, w], data)?;
        predictions.time.pre += started.elapsed();

        let started = Instant::now();
        let mut maps = self.runner.run(&input)?.swap_remove(0);
        let mirrored = match how.flip {
            false => None,
            true => {
                let mut mirrored = input.clone();
                heatmap::mirror_planes(mirrored.data_mut(), w);
                Some(self.runner.run(&mirrored)?.swap_remove(0))
            }
        };
        predictions.time.network += started.elapsed();

        let started = Instant::now();
        let size = maps.len() / group.len();
        if let Some(mirrored) = mirrored {
            for (maps, other) in
                maps.data_mut().chunks_exact_mut(size).zip(mirrored.data().chunks_exact(size))
            {
                self.merge_flip(maps, other.to_vec(), how);
            }
        }
        for (i, maps) in maps.data().chunks_exact(size).enumerate() {
            predictions.instances.push(self.decode(maps, &to_input[i], group[i].1, how)?);
            if keep {
                let input = input.data()[i * 3 * h * w..][..3 * h * w].to_vec();
                predictions.stages.push(Stages { to_input: to_input[i], input, heatmaps: maps.to_vec() });
            }
        }
        predictions.time.post += started.elapsed();
        Ok(())
    }

    fn merge_flip(&self, maps: &mut [f32], mirrored: Vec<f32>, how: &PointOptions) {
        let [h, w] = self.maps;
        if self.combined {
            udp::merge_flip_combined(maps, mirrored, h, w, &self.flip);
        } else {
            let shift =
                how.shift.or(self.recipe.flip_shift).unwrap_or(self.convention == Convention::Corners);
            heatmap::merge_flip(maps, mirrored, h, w, &self.flip, shift);
        }
    }

    /// Centre and scale as the official code computes them, with this model's padding.
    fn rule(&self, place: Place) -> CropRule {
        let (h, w) = self.recipe.input_size;
        let rule = pose_box_to_centre_scale(place.to_box(), w, h);
        // The published factor is 1.25; another padding is relative to it.
        let factor = (self.recipe.padding / 1.25) as f32;
        CropRule { scale: rule.scale.map(|s| s * factor), ..rule }
    }

    /// The map of the window to an output of `w` by `h` pixels in the model's convention.
    fn window(&self, place: Place, w: usize, h: usize) -> Result<Affine> {
        let rule = self.rule(place);
        let size = rule.scale.map(|s| f64::from(s) * 200.0);
        let map = match self.convention {
            Convention::Corners => pose_affine(&rule, 0.0, w, h),
            Convention::Unbiased => udp_affine(place.centre, size, 0.0, w, h),
            Convention::Centres => {
                let crop = match self.recipe.crop {
                    formats::Crop::BoxAffine => Crop::new(place.centre, size[0], size[1]),
                    _ => {
                        let side = place.size[0].max(place.size[1]);
                        Crop::face(place.centre, side / 200.0, self.recipe.padding)
                    }
                };
                Some(crop.to_affine(w, h))
            }
        };
        map.context("the box has no size")
    }

    /// Writes the normalised crop and returns the map from image to input pixels.
    fn crop(&self, image: &Image, place: Place, how: &PointOptions, input: &mut [f32]) -> Result<Affine> {
        let (h, w) = self.recipe.input_size;
        let (mean, std) = (self.recipe.mean.map(|v| v as f32), self.recipe.std.map(|v| v as f32));
        let to_input = self.window(place, w, h)?;
        // The task is face or pose: `with` refuses others.
        match how.protocol {
            Protocol::Default => {
                warp_bilinear_f32(image, &to_input, w, h, &ColourMap::normalise(mean, std), input);
            }
            Protocol::Official if self.recipe.task == Task::Face => {
                if h != w {
                    bail!("the official protocol of faces needs a square input, this model has {h}x{w}");
                }
                let cropped = crop_face_official(image, place.centre, self.face_scale(place), w, true);
                let cropped =
                    cropped.context("the box is too small or outside the image for the official crop")?;
                input.copy_from_slice(to_tensor(&cropped, mean, std).data());
            }
            Protocol::Official => {
                input.copy_from_slice(to_tensor(&warp_opencv_u8(image, &to_input, w, h), mean, std).data());
            }
        }
        if self.recipe.colour == formats::Colour::Bgr {
            let (red, rest) = input.split_at_mut(h * w);
            red.swap_with_slice(&mut rest[h * w..]);
        }
        Ok(to_input)
    }

    /// The padded scale of the face code.
    fn face_scale(&self, place: Place) -> f64 {
        place.size[0].max(place.size[1]) / 200.0 * self.recipe.padding
    }

    fn decode(&self, maps: &[f32], to_input: &Affine, place: Place, how: &PointOptions) -> Result<Instance> {
        let [mh, mw] = self.maps;
        if how.protocol == Protocol::Official && self.recipe.task == Task::Face {
            let points = heatmap::decode_official_face(maps, mh, mw, place.centre, self.face_scale(place));
            let points = points.context("the official decoder needs square heat maps")?;
            let found = points.iter().map(|p| Point { at: p.0.map(|v| v as f64), score: p.1 });
            return Ok(instance(place, found.collect()));
        }
        let (h, w) = self.recipe.input_size;
        let to_map = match self.convention {
            Convention::Centres => {
                to_input.then(&input_to_heatmap([w as f64 / mw as f64, h as f64 / mh as f64]))
            }
            _ => self.window(place, mw, mh)?,
        };
        let back = to_map.inverse().context("the box has no size")?;
        let decoder = self.decoder(how);
        let peaks = match (self.combined, decoder) {
            (true, SubPixel::Udp { kernel }) => {
                udp::decode_combined(maps, mh, mw, kernel, udp::RADIUS_FACTOR)
            }
            (true, _) => bail!("a model with UDP's combined head has one decoder, udp"),
            (false, decoder) => heatmap::decode(maps, mh, mw, decoder),
        };
        let found = peaks.iter().map(|p| Point { at: back.apply(p.point()), score: p.score });
        Ok(instance(place, found.collect()))
    }
}

fn instance(place: Place, points: Vec<Point>) -> Instance {
    let score = points.iter().map(|p| f64::from(p.score)).sum::<f64>() / points.len().max(1) as f64;
    Instance { bbox: place.to_box(), score, points, track: None, raw: None }
}

/// The box of the points found, unless they are degenerate.
fn refined(found: &Instance, before: Place) -> Place {
    let extent = |axis: usize| {
        let values = found.points.iter().map(|p| p.at[axis]);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        (low, high - low)
    };
    let ((x, w), (y, h)) = (extent(0), extent(1));
    let (now, was) = (w.max(h), before.size[0].max(before.size[1]));
    if now > 0.2 * was && now < 2.0 * was { Place::of_box([x, y, w, h]) } else { before }
}

/// The convention of a model by what it is for and how its maps are read.
pub(crate) fn convention_of(task: Task, decoder: Decoder) -> Convention {
    match (task, decoder) {
        (Task::Face, _) | (_, Decoder::LogQuadratic) => Convention::Centres,
        (_, Decoder::Udp | Decoder::UdpCombined) => Convention::Unbiased,
        (_, Decoder::ArgMax | Decoder::ArgMaxQuarter | Decoder::Dark) => Convention::Corners,
        (_, Decoder::Associative | Decoder::ArgMaxClass | Decoder::TopK | Decoder::None) => {
            Convention::Corners
        }
    }
}

/// The decoder that a recipe names, with its blur or the published one for its deviation.
fn decoder_of(recipe: &Recipe) -> SubPixel {
    // 11 for a deviation of 2, 17 for 3 (docs/official.md 2.7).
    let published = if recipe.sigma.is_some_and(|s| s >= 2.5) { 17 } else { 11 };
    let kernel = recipe.blur_kernel.unwrap_or(published);
    match recipe.decoder {
        // Faces know UDP's decoder only as DARK: their crops are areas.
        Decoder::Udp if recipe.task == Task::Face => SubPixel::Dark { kernel },
        decoder => SubPixel::of(decoder, kernel).unwrap_or(SubPixel::QuarterOffset),
    }
}
