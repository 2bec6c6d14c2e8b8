//! What a task brings along for the rest of the library: a row of the registry in [`super::row`].

use super::{Options, Predictor};
use crate::error::Result;
use crate::model::LoadedModel;
use crate::result::Kind;
use hrnet_kernels::Pool;
use std::sync::Arc;

/// Makes the predictor of a model.
pub(crate) type Load = fn(LoadedModel, Arc<Pool>, Options) -> Result<Predictor>;

/// What the library knows of a task.
pub(crate) struct Row {
    /// The built-in model: its name and its file (docs/models.md).
    pub bundled: Option<(&'static str, &'static [u8])>,
    /// What its results are and what makes them; nothing where a network has no results of its own.
    pub predict: Option<(Kind, Load)>,
    /// Points with a lower score are drawn hollow, and lines to them left out.
    pub threshold: f32,
}
