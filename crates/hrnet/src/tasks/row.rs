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
    /// How points are drawn.
    pub drawing: Drawing,
}

/// How points are drawn.
#[derive(Clone, Copy)]
pub(crate) struct Drawing {
    /// Points with a lower score are hollow, and lines to them are left out.
    pub threshold: f32,
    /// Whether the outlines of a known point set are drawn.
    pub outlines: bool,
}

impl Drawing {
    /// Of persons, and where there are no points.
    pub const USUAL: Self = Self { threshold: 0.2, outlines: false };
}
