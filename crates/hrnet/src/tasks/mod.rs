//! The tasks: a model with its recipe, from decoded images to results. One file per task; [`Predictor`] is any of them.

pub mod bottom_up;
pub mod classification;
pub mod face;
pub mod features;
pub mod points;
pub mod pose;
pub mod segmentation;

pub use bottom_up::BottomUp;
pub use classification::{Classifier, ClassifyOptions};
pub use features::Features;
pub use points::{BoxPredictions, Convention, Place, PointOptions, Stages, TopDown};
pub use segmentation::{MEMORY, Resize, Scores, SegmentOptions, Segmenter, WORKING, Windows};

use crate::error::{Result, bail};
use crate::model::{LoadedModel, task_name};
use crate::result::{Instance, Predicted, Schema};
use crate::timing::TimeSplit;
use hrnet_formats::{Recipe, Task};
use hrnet_image::Image;
use hrnet_kernels::Pool;
use std::sync::Arc;

/// How images are looked at, over all tasks; each reads what concerns it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Points in boxes.
    pub points: PointOptions,
    /// Move the box to the points found and look again, so many times.
    pub refine: u8,
    /// Keep what passes between the steps of points in boxes.
    pub keep_stages: bool,
    /// All people of an image.
    pub bottom_up: bottom_up::Options,
    /// A class for every pixel.
    pub segment: SegmentOptions,
    /// A class for every image.
    pub classify: ClassifyOptions,
    /// Boxes in all, where that is known before the start: the model is then loaded for just these.
    pub boxes: Option<usize>,
}

/// An image with the boxes to look in. Models that find instances themselves, and those for whole images, take no boxes.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The image.
    pub image: &'a Image,
    /// Boxes `x y w h`; nothing for the whole image.
    pub boxes: Option<&'a [[f64; 4]]>,
}

/// What was found in an image.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// The result.
    pub predicted: Predicted,
    /// Where the time went; nothing is read here. Images that ran together share it evenly.
    pub time: TimeSplit,
    /// What passed between the steps, per box, where it was asked for.
    pub stages: Vec<Stages>,
}

/// A model of any task.
#[derive(Debug)]
pub enum Predictor {
    /// Points in boxes.
    TopDown(Box<TopDown>, Options),
    /// All people of an image.
    BottomUp(Box<BottomUp>, Schema),
    /// A class for every pixel.
    Segmenter(Box<Segmenter>),
    /// A class for every image.
    Classifier(Box<Classifier>),
}

impl Predictor {
    /// The predictor that a model's recipe asks for.
    pub fn new(loaded: LoadedModel, pool: Arc<Pool>, options: Options) -> Result<Self> {
        let LoadedModel { weights, recipe, .. } = loaded;
        Ok(match recipe.task {
            Task::Face | Task::Pose => {
                let model = match options.boxes {
                    Some(boxes) => TopDown::for_boxes(weights, recipe, pool, boxes)?,
                    None => TopDown::new(weights, recipe, pool)?,
                };
                Self::TopDown(Box::new(model), options)
            }
            Task::BottomUpPose => {
                let model = BottomUp::new(weights, recipe, pool, options.bottom_up)?;
                let schema = Schema::of(model.recipe(), model.joints());
                Self::BottomUp(Box::new(model), schema)
            }
            Task::Segmentation => {
                let make = if options.boxes.is_some() { Segmenter::for_one_image } else { Segmenter::new };
                Self::Segmenter(Box::new(make(weights, recipe, pool, options.segment)?))
            }
            Task::Classification => {
                Self::Classifier(Box::new(Classifier::new(weights, recipe, pool, options.classify)?))
            }
            task => bail!("models for {} run through `hrnet run`, not through this verb", task_name(task)),
        })
    }

    /// What results stand for.
    pub fn schema(&self) -> &Schema {
        match self {
            Self::TopDown(model, _) => model.schema(),
            Self::BottomUp(_, schema) => schema,
            Self::Segmenter(model) => model.schema(),
            Self::Classifier(model) => model.schema(),
        }
    }

    /// The recipe of the model.
    pub fn recipe(&self) -> &Recipe {
        match self {
            Self::TopDown(model, _) => model.recipe(),
            Self::BottomUp(model, _) => model.recipe(),
            Self::Segmenter(model) => model.recipe(),
            Self::Classifier(model) => model.recipe(),
        }
    }

    /// Whether boxes mean something to this model.
    pub fn takes_boxes(&self) -> bool {
        matches!(self, Self::TopDown(..))
    }

    /// Boxes or images that run together at best.
    pub fn batch(&self) -> usize {
        match self {
            Self::TopDown(model, _) => model.batch(),
            Self::BottomUp(..) | Self::Segmenter(_) => 1,
            Self::Classifier(model) => model.batch(),
        }
    }

    /// Height and width of the heat maps of points in boxes.
    pub fn map_size(&self) -> Option<[usize; 2]> {
        match self {
            Self::TopDown(model, _) => Some(model.map_size()),
            _ => None,
        }
    }

    /// Looks at images together; one answer each, in order.
    pub fn predict(&mut self, requests: &[Request]) -> Result<Vec<Prediction>> {
        match self {
            Self::TopDown(model, options) => top_down(model, options, requests),
            Self::BottomUp(model, _) => requests
                .iter()
                .map(|request| {
                    let predictions = model.predict(request.image)?;
                    Ok(Prediction {
                        predicted: Predicted::Instances(predictions.people),
                        time: predictions.time,
                        stages: Vec::new(),
                    })
                })
                .collect(),
            Self::Segmenter(model) => requests
                .iter()
                .map(|request| {
                    let (mask, time) = model.predict(request.image)?;
                    Ok(Prediction { predicted: Predicted::Mask(mask), time, stages: Vec::new() })
                })
                .collect(),
            Self::Classifier(model) => {
                let images: Vec<&Image> = requests.iter().map(|a| a.image).collect();
                let (ranked, time) = model.predict(&images)?;
                let time = time / requests.len().max(1) as u32;
                let prediction =
                    |ranked| Prediction { predicted: Predicted::Classes(ranked), time, stages: Vec::new() };
                Ok(ranked.into_iter().map(prediction).collect())
            }
        }
    }
}

fn top_down(model: &mut TopDown, options: &Options, requests: &[Request]) -> Result<Vec<Prediction>> {
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
    let mut predictions = model.predict_each(&places, &options.points, options.keep_stages)?;
    for _ in 0..options.refine {
        for (place, found) in places.iter_mut().zip(&predictions.instances) {
            place.1 = refined(found, place.1);
        }
        let time = predictions.time;
        predictions = model.predict_each(&places, &options.points, options.keep_stages)?;
        predictions.time += time;
    }
    let share = predictions.time / requests.len().max(1) as u32;
    let (mut instances, mut stages) = (predictions.instances.into_iter(), predictions.stages.into_iter());
    let prediction = |boxes: Vec<[f64; 4]>| {
        // The box that was asked for, not the one a refinement moved to.
        let instances = boxes.iter().zip(&mut instances).map(|(&bbox, i)| Instance { bbox, ..i }).collect();
        let stages = stages.by_ref().take(boxes.len()).collect();
        Prediction { predicted: Predicted::Instances(instances), time: share, stages }
    };
    Ok(boxes.into_iter().map(prediction).collect())
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
