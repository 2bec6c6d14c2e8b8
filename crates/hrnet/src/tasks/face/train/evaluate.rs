//! The errors of a landmark model on the validation set of a run.

use crate::config::TrainConfig;
use crate::error::{Context, Result, bail};
use crate::stop::Stop;
use crate::tasks::{Place, PointOptions, TopDown};
use crate::timing::TimeSplit;
use crate::train::export::recipe;
use crate::train::job::Facts;
use hrnet_data::dataset::open::Content;
use hrnet_data::loader::{LandmarkSet, SetOptions};
use hrnet_data::metric::nme::{Nme, NmeReport, Normaliser};
use hrnet_image::Image;
use hrnet_ir::{Model, Weights};
use hrnet_kernels::Pool;
use std::sync::Arc;
use std::time::Instant;

/// Faces read at a time.
const CHUNK: usize = 32;

/// The errors of a model on every face of a set; boxes are the labelled centre and scale. Calls `seen` with each face's
/// index, image and predicted points.
fn measure(
    model: &mut TopDown,
    set: &LandmarkSet,
    normaliser: Normaliser,
    how: &PointOptions,
    stop: &Stop,
    mut seen: impl FnMut(usize, &Image, &[[f64; 2]]),
) -> Result<(Nme, TimeSplit)> {
    let mut nme = Nme::new(normaliser);
    let mut time = TimeSplit::default();
    let all: Vec<usize> = (0..set.len()).collect();
    for chunk in all.chunks(CHUNK) {
        stop.check()?;
        let started = Instant::now();
        let images: Vec<Arc<Image>> = chunk.iter().map(|&i| set.image(i)).collect::<Result<_, _>>()?;
        time.read += started.elapsed();
        let place = |i: usize| Place::of_centre(set.samples()[i].centre, set.samples()[i].scale);
        let faces: Vec<(&Image, Place)> =
            images.iter().zip(chunk).map(|(m, &i)| (m.as_ref(), place(i))).collect();
        let predictions = model.predict_each(&faces, how, false)?;
        time += predictions.time;
        for ((&i, face), image) in chunk.iter().zip(&predictions.instances).zip(&images) {
            let sample = &set.samples()[i];
            let points: Vec<[f64; 2]> = face.points.iter().map(|p| p.at).collect();
            let error = nme.update(&points, &sample.points, sample.box_size);
            error.with_context(|| format!("{} (line {})", sample.image.display(), sample.line))?;
            seen(i, image, &points);
        }
    }
    Ok((nme, time))
}

/// The judge of a training run.
pub(super) struct Evaluator {
    set: Arc<LandmarkSet>,
    config: TrainConfig,
    model: Model,
    normaliser: Normaliser,
    pool: Arc<Pool>,
}

impl Evaluator {
    /// Opens the validation set of a configuration, if it names one.
    pub fn open(config: &TrainConfig, model: &Model, pool: Arc<Pool>) -> Result<Option<Self>> {
        let Some(table) = &config.data.val else { return Ok(None) };
        let images = config.data.val_images.as_deref().or(config.data.images.as_deref());
        let set = crate::train::open_to_judge(table, &[Content::Points], images)?;
        let set = LandmarkSet::of(set, SetOptions { padding: config.input.padding, ..Default::default() })?;
        let points = set.points();
        let named = config.data.normaliser.map(|[a, b]| Normaliser::InterOcular { a, b });
        let normaliser = named.or_else(|| Normaliser::published(points)).unwrap_or(Normaliser::Diagonal);
        if points != model.head.outputs().1 {
            bail!("{}: {points} points, the training set has {}", table.display(), model.head.outputs().1);
        }
        Ok(Some(Self { set: Arc::new(set), config: config.clone(), model: *model, normaliser, pool }))
    }

    /// The faces.
    pub fn set(&self) -> &LandmarkSet {
        &self.set
    }

    /// The figures of some weights, and the points of every face.
    pub fn measure_with_points(
        &self,
        weights: &Weights,
        stop: &Stop,
    ) -> Result<(NmeReport, Vec<Vec<[f64; 2]>>)> {
        let recipe = recipe(&self.config, &self.model, &Facts::default(), None);
        let mut model = TopDown::new(weights.clone(), recipe, self.pool.clone())?;
        let mut found = Vec::with_capacity(self.set.len());
        let keep = |_: usize, _: &Image, points: &[[f64; 2]]| found.push(points.to_vec());
        let (nme, _) = measure(&mut model, &self.set, self.normaliser, &PointOptions::default(), stop, keep)?;
        Ok((nme.compute().context("the validation set is empty")?, found))
    }
}
