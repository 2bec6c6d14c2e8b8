//! What the command line has of each task: its options, how `eval` calls it, what `predict` says of doubtful results. One file
//! per task; this one knows them all.

mod bottom_up;
mod classification;
pub(crate) mod face;
mod points;
pub(crate) mod pose;
mod segmentation;
mod whole;

use crate::cli::{Eval, Predict, Protocol, named};
use crate::cmd::eval::Evaluated;
use clap::Args;
use clap::builder::TypedValueParser;
use hrnet::error::Result;
use hrnet::model::LoadedModel;
use hrnet::result::Predicted;
use hrnet::tasks::Options;
use hrnet_ir::Task;
use hrnet_kernels::Pool;
use std::sync::{Arc, LazyLock};

/// Measures a model of the task; the last argument asks for pictures of the worst samples.
type Evaluate = fn(&Eval, LoadedModel, Arc<Pool>, bool) -> Result<Evaluated>;

/// What the command line knows of a task.
pub(crate) struct Row {
    /// What `--task` says of it.
    about: &'static str,
    /// How it is measured; tasks without results of their own are not, and are no choice of `--task`.
    pub evaluate: Option<Evaluate>,
    /// What to say of a result of a whole image that is probably wrong.
    pub doubt: Option<fn(&Predict, &Predicted) -> Option<&'static str>>,
}

/// What the command line knows of a task. The compiler asks for the row of a new one.
pub(crate) fn row(task: Task) -> &'static Row {
    match task {
        Task::Pose => &pose::TASK,
        Task::BottomUpPose => &bottom_up::TASK,
        Task::Face => &face::TASK,
        Task::Segmentation => &segmentation::TASK,
        Task::Classification => &classification::TASK,
        Task::Detection | Task::Features => {
            &Row { about: "Features of an image", evaluate: None, doubt: None }
        }
    }
}

/// The tasks of `predict` and `eval`, the one of the first built-in model first.
pub(crate) fn shown() -> impl TypedValueParser<Value = Task> {
    static SHOWN: LazyLock<Vec<Task>> = LazyLock::new(|| {
        let mut tasks = Task::ALL.to_vec();
        tasks.retain(|&task| row(task).evaluate.is_some());
        tasks.sort_by_key(|&task| task != Task::Face);
        tasks
    });
    named(&SHOWN, Task::name, |task| row(task).about)
}

/// Options of the tasks, for the verbs that predict.
#[derive(Debug, Clone, Args)]
pub(crate) struct TaskOptions {
    #[command(flatten)]
    pub points: points::Points,
    #[command(flatten)]
    pub bottom_up: bottom_up::BottomUp,
    #[command(flatten)]
    pub segmentation: segmentation::Segmentation,
    #[command(flatten)]
    pub classify: classification::Classify,
}

impl TaskOptions {
    /// The same for the library.
    pub fn options(&self, flip: bool, protocol: Protocol) -> Options {
        Options {
            points: self.points.options(flip, protocol),
            bottom_up: self.bottom_up.options(flip, protocol.into(), &self.segmentation.scales),
            segment: self.segmentation.options(flip, protocol.into()),
            classify: self.classify.options(),
            ..Options::default()
        }
    }
}

/// Options of the tasks about labels, for `eval`.
#[derive(Debug, Args)]
pub(crate) struct LabelOptions {
    #[command(flatten)]
    pub face: face::FaceLabels,
    #[command(flatten)]
    pub pose: pose::PoseLabels,
    #[command(flatten)]
    pub segmentation: segmentation::MaskLabels,
}
