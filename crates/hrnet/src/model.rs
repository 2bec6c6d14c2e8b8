//! Models by path, and the ones that are built in.

use crate::error::{Context, Result, bail};
use crate::tasks::{ALL, row};
use hrnet_formats::{Checkpoint, LoadOptions, LoadReport, Recipe, Task, load, load_path};
use hrnet_ir::{Model, Weights};
use std::path::Path;

/// Task and name of every built-in model.
pub fn bundled() -> impl Iterator<Item = (Task, &'static str)> {
    // The first is the one for those who name no task.
    let mut tasks = ALL;
    tasks.sort_by_key(|task| *task != Task::Face);
    tasks.into_iter().filter_map(|task| Some((task, row(task).bundled?.0)))
}

/// A task as people say it.
pub fn task_name(task: Task) -> &'static str {
    match task {
        Task::Pose => "pose",
        Task::BottomUpPose => "bottom-up pose",
        Task::Face => "faces",
        Task::Segmentation => "segmentation",
        Task::Classification => "classification",
        Task::Detection => "detection",
        Task::Features => "features",
    }
}

/// Weights with the facts to use them.
#[derive(Debug, Clone)]
pub struct LoadedModel {
    /// All parameters and buffers under official names.
    pub weights: Weights,
    /// The network.
    pub model: Model,
    /// The file's recipe, or the defaults of the family.
    pub recipe: Recipe,
    /// Whether the recipe came from the file.
    pub has_recipe: bool,
    /// What loading did.
    pub report: LoadReport,
}

impl LoadedModel {
    /// Reads any checkpoint.
    pub fn open(path: &Path, options: &LoadOptions) -> Result<Self> {
        let checkpoint = load_path(path, options).with_context(|| path.display().to_string())?;
        Ok(Self::from_checkpoint(checkpoint))
    }

    /// The built-in model of a task.
    pub fn bundled(task: Task) -> Result<Self> {
        let Some((name, bytes)) = row(task).bundled else {
            let known: Vec<String> =
                bundled().map(|(task, name)| format!("{name} ({})", task_name(task))).collect();
            bail!(
                "there is no built-in model for {}; name a checkpoint with --model (built in: {})",
                task_name(task),
                known.join(", ")
            );
        };
        let checkpoint =
            load(bytes, &LoadOptions::default()).with_context(|| format!("the built-in {name}"))?;
        Ok(Self::from_checkpoint(checkpoint))
    }

    /// The model of a path, which must be for the task if one is named; without a path the built-in model of the task, or
    /// the one for faces.
    pub fn for_task(path: Option<&Path>, task: Option<Task>) -> Result<Self> {
        let Some(path) = path else { return Self::bundled(task.unwrap_or(Task::Face)) };
        let loaded = Self::open(path, &LoadOptions::default())?;
        let found = loaded.recipe.task;
        if let Some(task) = task.filter(|&t| t != found) {
            let (found, wanted) = (task_name(found), task_name(task));
            bail!("{}: this model is for {found}, not for {wanted}", path.display());
        }
        Ok(loaded)
    }

    fn from_checkpoint(checkpoint: Checkpoint) -> Self {
        let Checkpoint { weights, model, recipe, report } = checkpoint;
        let has_recipe = recipe.is_some();
        let recipe = recipe.unwrap_or_else(|| Recipe::for_model(&model, created_by()));
        Self { weights, model, recipe, has_recipe, report }
    }
}

/// The program's name in the recipes it writes.
pub fn created_by() -> &'static str {
    concat!("hrnet ", env!("CARGO_PKG_VERSION"))
}
