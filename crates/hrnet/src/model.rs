//! Models by path, and the ones that are built in.

use crate::error::{Context, Result, bail};
use crate::tasks::row;
use hrnet_formats::{Checkpoint, LoadOptions, LoadReport, Meta, Origin, Recipe, load, load_path};
use hrnet_ir::sets::PointSet;
use hrnet_ir::{Decoder, Model, Task, Weights};
use std::path::Path;

/// Task and name of every built-in model.
pub fn bundled() -> impl Iterator<Item = (Task, &'static str)> {
    // The first is the one for those who name no task.
    let mut tasks = Task::ALL;
    tasks.sort_by_key(|task| *task != Task::Face);
    tasks.into_iter().filter_map(|task| Some((task, row(task).bundled?.0)))
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
        Self::from_checkpoint(checkpoint).with_context(|| path.display().to_string())
    }

    /// The built-in model of a task.
    pub fn bundled(task: Task) -> Result<Self> {
        let Some((name, bytes)) = row(task).bundled else {
            let known: Vec<String> =
                bundled().map(|(task, name)| format!("{name} ({})", task.title())).collect();
            bail!(
                "there is no built-in model for {}; name a checkpoint with --model (built in: {})",
                task.title(),
                known.join(", ")
            );
        };
        Self::from_bytes(bytes).with_context(|| format!("the built-in {name}"))
    }

    /// The built-in model of this name.
    pub fn built_in(name: &str) -> Option<Result<Self>> {
        let (task, _) = bundled().find(|(_, known)| *known == name)?;
        Some(Self::bundled(task))
    }

    /// Reads a checkpoint held in memory.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::from_checkpoint(load(bytes, &LoadOptions::default())?)
    }

    /// The model of a path, which must be for the task if one is named; without a path the built-in model of the task, or
    /// the one for faces.
    pub fn for_task(path: Option<&Path>, task: Option<Task>) -> Result<Self> {
        let Some(path) = path else { return Self::bundled(task.unwrap_or(Task::Face)) };
        let loaded = Self::open(path, &LoadOptions::default())?;
        let found = loaded.recipe.task;
        if let Some(task) = task.filter(|&t| t != found) {
            let (found, wanted) = (found.title(), task.title());
            bail!("{}: this model is for {found}, not for {wanted}", path.display());
        }
        Ok(loaded)
    }

    /// Puts what the caller names in the place of what the file says or of a guess, and tells in remarks what contradicts the file
    /// and what remains a guess. A decoder is taken into the recipe where the file states none, or where `stated` says that it is
    /// how the network was trained; else the file's own stays there, with its geometry, and only the reading of the maps changes.
    pub fn name_facts(&mut self, named: &NamedFacts, stated: bool) -> Result<Vec<String>> {
        let mut remarks = Vec::new();
        if let Some(decoder) = named.decoder {
            let told = self.recipe.origins.decoder != Some(Origin::Guess);
            if told && decoder != self.recipe.decoder {
                remarks.push(format!(
                    "--decoder {decoder} instead of {}",
                    self.recipe.decoder_from(self.has_recipe)
                ));
            }
            if stated || (!told && decoder.is_unbiased()) || decoder == Decoder::UdpCombined {
                self.recipe.take_decoder(decoder)?;
            }
        }
        if let Some(name) = &named.points {
            let count = self.recipe.point_count();
            let Some(set) = PointSet::find(name, count).or_else(|| PointSet::by_name(name)) else {
                let fit: Vec<&str> = PointSet::all().filter(|s| s.count == count).map(|s| s.name).collect();
                let fit = if fit.is_empty() { "none".into() } else { fit.join(", ") };
                bail!(
                    "--points {name}: there is no such set; of {count} points there are: {fit} (all: docs/sets.md)"
                );
            };
            let told = self.recipe.origins.names != Some(Origin::Guess) && !self.recipe.names.is_empty();
            if told && self.recipe.point_set() != Some(set) {
                remarks.push(format!(
                    "--points {} instead of {}",
                    set.name,
                    self.recipe.names_from(self.has_recipe)
                ));
            }
            self.recipe.take_points(set, Origin::Named)?;
        }
        remarks.extend(self.recipe.guess());
        Ok(remarks)
    }

    fn from_checkpoint(checkpoint: Checkpoint) -> Result<Self> {
        let Checkpoint { weights, model, recipe, meta, mut report } = checkpoint;
        let has_recipe = recipe.is_some();
        let recipe = match recipe {
            Some(recipe) => recipe,
            None => recipe_of(&model, &meta)?,
        };
        report.notes.extend(remarks_on(&meta));
        Ok(Self { weights, model, recipe, has_recipe, report })
    }
}

/// What the caller says about a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedFacts {
    /// Name of the set of its points: `--points`.
    pub points: Option<String>,
    /// How its maps are read: `--decoder`.
    pub decoder: Option<Decoder>,
}

/// The recipe of a checkpoint that has none: what it says about itself, else the defaults of the family.
pub fn recipe_of(model: &Model, meta: &Meta) -> Result<Recipe> {
    Ok(Recipe::of_checkpoint(model, created_by(), meta)?)
}

/// What could not be read of a checkpoint's configuration text.
pub fn remarks_on(meta: &Meta) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(config) = &meta.config {
        let place = meta.config_entry;
        if let Some(at) = config.cut_at {
            out.push(format!("{place} breaks off at byte {at}: nothing of it is used"));
        }
        if !config.unreadable.is_empty() {
            out.push(format!("{place}: {} is no plain data and not used", config.unreadable.join(", ")));
        }
        if let (None, Some(codec)) = (config.decoder, &config.codec) {
            out.push(format!("{place}: its codec {codec:?} is not one of ours"));
        }
    }
    out
}

/// The program's name in the recipes it writes.
pub fn created_by() -> &'static str {
    concat!("hrnet ", env!("CARGO_PKG_VERSION"))
}
