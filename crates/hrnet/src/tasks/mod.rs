//! The tasks: a model with its recipe, from decoded images to results. One file per task; [`Predictor`] is any of them.

pub mod bottom_up;
pub mod classification;
pub mod face;
pub mod features;
pub mod points;
pub mod pose;
pub mod segmentation;

mod row;

pub use bottom_up::BottomUp;
pub use classification::{Classifier, ClassifyOptions};
pub use features::Features;
pub use points::{BoxPredictions, Convention, Place, PointOptions, Stages, TopDown};
pub use segmentation::{MEMORY, Resize, Scores, SegmentOptions, Segmenter, WORKING, Windows};

use crate::config::sections::task_name;
use crate::error::{Result, bail, err};
use crate::model::LoadedModel;
use crate::result::{Kind, Predicted, Schema};
use crate::timing::TimeSplit;
use hrnet_data::augment::{BottomUpAugment, ClassAugment, LandmarkAugment, SegmentAugment};
use hrnet_formats::Recipe;
use hrnet_image::Image;
use hrnet_ir::Task;
use hrnet_kernels::Pool;
use hrnet_train::{Loss, loss};
use points::losses::MapLoss;
use row::Row;
pub(crate) use row::{Defaults, Training};
use serde::Serialize;
use std::sync::Arc;

/// What the library knows of a task. This is where a task is entered: the compiler asks for its row.
pub(crate) fn row(task: Task) -> &'static Row {
    match task {
        Task::Pose => &pose::TASK,
        Task::BottomUpPose => &bottom_up::TASK,
        Task::Face => &face::TASK,
        Task::Segmentation => &segmentation::TASK,
        Task::Classification => &classification::TASK,
        // Detectors are used as trunks alone so far.
        Task::Detection | Task::Features => &features::TASK,
    }
}

/// What the results of a task are; nothing where its networks have no results of their own.
pub fn kind(task: Task) -> Option<Kind> {
    row(task).predict.map(|(kind, _)| kind)
}

/// The tasks that are trained, in the order in which people are told of them.
pub(crate) const TRAINED: [Task; 5] =
    [Task::Pose, Task::BottomUpPose, Task::Segmentation, Task::Classification, Task::Face];

/// Random changes of the samples, by task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AugmentSection {
    /// Faces and persons.
    Points(LandmarkAugment),
    /// Segmentation.
    Segmentation(SegmentAugment),
    /// Classification.
    Classification(ClassAugment),
    /// Whole pictures with all their persons.
    BottomUp(BottomUpAugment),
}

/// The loss, by task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum LossSection {
    /// Heat maps.
    Maps(MapLoss),
    /// A class per pixel.
    Pixels(loss::PixelCrossEntropy),
    /// A class per picture.
    Class(loss::CrossEntropy),
    /// Heat maps and tags of a bottom-up network.
    People(loss::BottomUp),
}

impl LossSection {
    /// For the trainer.
    pub fn loss(&self) -> Loss {
        match self {
            Self::Maps(loss) => loss.loss(),
            Self::Pixels(loss) => Loss::PixelCrossEntropy(loss.clone()),
            Self::Class(loss) => Loss::CrossEntropy(*loss),
            Self::People(loss) => Loss::BottomUp(*loss),
        }
    }
}

/// How a task is trained; an error for those that are not.
pub(crate) fn training(task: Task) -> Result<&'static Training> {
    row(task).training.as_ref().ok_or_else(|| {
        let names = TRAINED.map(task_name).join(", ");
        err!("there is no training for {}; task is one of {names}", task.title())
    })
}

/// The tasks that have a key of the configuration, as text: `pose and bottom_up`.
pub(crate) fn takers(key: &str) -> String {
    let takes = |task: &Task| row(*task).training.as_ref().is_some_and(|t| t.takes(key));
    Task::ALL.into_iter().filter(takes).map(task_name).collect::<Vec<_>>().join(" and ")
}

/// Whether a key of the configuration belongs to some tasks only.
pub(crate) fn is_of_some(key: &str) -> bool {
    TRAINED.iter().any(|&task| row(task).training.as_ref().is_some_and(|t| t.takes(key)))
}

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
    TopDown(Box<TopDown>, Box<Options>),
    /// All people of an image.
    BottomUp(Box<BottomUp>),
    /// A class for every pixel.
    Segmenter(Box<Segmenter>),
    /// A class for every image.
    Classifier(Box<Classifier>),
}

impl Predictor {
    /// The predictor that a model's recipe asks for.
    pub fn new(loaded: LoadedModel, pool: Arc<Pool>, options: Options) -> Result<Self> {
        let task = loaded.recipe.task;
        match row(task).predict {
            Some((_, load)) => load(loaded, pool, options),
            None => {
                bail!("models for {} run through `hrnet run`, not through this verb", task.title())
            }
        }
    }

    /// What results stand for.
    pub fn schema(&self) -> &Schema {
        match self {
            Self::TopDown(model, _) => model.schema(),
            Self::BottomUp(model) => model.schema(),
            Self::Segmenter(model) => model.schema(),
            Self::Classifier(model) => model.schema(),
        }
    }

    /// The recipe of the model.
    pub fn recipe(&self) -> &Recipe {
        match self {
            Self::TopDown(model, _) => model.recipe(),
            Self::BottomUp(model) => model.recipe(),
            Self::Segmenter(model) => model.recipe(),
            Self::Classifier(model) => model.recipe(),
        }
    }

    /// Whether boxes mean something to this model.
    pub fn takes_boxes(&self) -> bool {
        match self {
            Self::TopDown(..) => true,
            Self::BottomUp(_) | Self::Segmenter(_) | Self::Classifier(_) => false,
        }
    }

    /// Boxes or images that run together at best.
    pub fn batch(&self) -> usize {
        match self {
            Self::TopDown(model, _) => model.batch(),
            Self::BottomUp(_) | Self::Segmenter(_) => 1,
            Self::Classifier(model) => model.batch(),
        }
    }

    /// Height and width of the heat maps of points in boxes.
    pub fn map_size(&self) -> Option<[usize; 2]> {
        match self {
            Self::TopDown(model, _) => Some(model.map_size()),
            Self::BottomUp(_) | Self::Segmenter(_) | Self::Classifier(_) => None,
        }
    }

    /// Looks at images together; one answer each, in order.
    pub fn predict(&mut self, requests: &[Request]) -> Result<Vec<Prediction>> {
        match self {
            Self::TopDown(model, options) => model.predict_requests(options, requests),
            Self::BottomUp(model) => model.predict_requests(requests),
            Self::Segmenter(model) => model.predict_requests(requests),
            Self::Classifier(model) => model.predict_requests(requests),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_with_training_are_told_of() {
        for task in Task::ALL {
            assert_eq!(row(task).training.is_some(), TRAINED.contains(&task), "{task}");
        }
    }
}
