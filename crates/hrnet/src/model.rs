//! Models by path, and the one that is built in.

use anyhow::{Context, Result};
use hrnet_formats::{Checkpoint, LoadOptions, LoadReport, Recipe, load, load_path};
use hrnet_ir::{Model, Weights};
use std::path::Path;

/// The built-in face model (see docs/models.md).
const FACE68: &[u8] = include_bytes!("../models/face68.safetensors");

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

    /// The built-in face model.
    pub fn bundled_face() -> Result<Self> {
        let checkpoint = load(FACE68, &LoadOptions::default()).context("the built-in face model")?;
        Ok(Self::from_checkpoint(checkpoint))
    }

    /// The model of a path, or the built-in face model.
    pub fn face(path: Option<&Path>) -> Result<Self> {
        path.map_or_else(Self::bundled_face, |p| Self::open(p, &LoadOptions::default()))
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
