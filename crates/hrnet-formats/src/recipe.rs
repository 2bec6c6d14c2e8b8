//! `hrnet.recipe`: the facts without which weights are used wrongly, as versioned JSON inside a safetensors file.
//!
//! Coordinates: sizes are `(height, width)` in pixels of the network input; points are 0-based. Unknown fields are errors,
//! so that an older reader never drops a fact that a newer writer found important.

use crate::families;
use crate::origin::{Origin, Origins};
use hrnet_ir::{Coverage, Decoder, Head, Model, ModelError, Task, Weights};
use serde::{Deserialize, Serialize};

/// The version written and the only one read.
pub const RECIPE_VERSION: u32 = 1;
/// Longest recipe in bytes.
pub const MAX_RECIPE: usize = 4 << 20;
const MAX_SIDE: usize = 1 << 16;
const MAX_KERNEL: usize = 255;

/// Order of the colour channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// How an image or a box becomes the network input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crop {
    /// The box at the aspect of the input, enlarged by the padding, by an affine warp (top-down pose).
    BoxAffine,
    /// The square around centre and scale, enlarged by the padding (faces).
    Square,
    /// Short side to size divided by 0.875, then the centre (classification).
    CentreCrop,
    /// The whole image at its own size, padded to what the network needs (segmentation).
    Whole,
    /// Short side to the input size, longer side in proportion, both to multiples of 64 (bottom-up pose).
    ShortSide,
    /// Whole image within the input size, padded at the right and at the bottom (detection).
    Fit,
}

/// A measured figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// For example `AP`.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// The data it was measured on.
    pub set: String,
}

/// Everything needed to use a set of weights rightly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// [`RECIPE_VERSION`].
    pub version: u32,
    /// The network.
    pub model: Model,
    /// What it is for.
    pub task: Task,
    /// `(height, width)` of the input the weights were trained for.
    pub input_size: (usize, usize),
    /// Colour order of the input.
    #[serde(default)]
    pub colour: Colour,
    /// Subtracted from colours in `[0, 1]`.
    pub mean: [f64; 3],
    /// Divides after that.
    pub std: [f64; 3],
    /// How the input is cut from the image.
    pub crop: Crop,
    /// Factor on the box before it is cut.
    pub padding: f64,
    /// How outputs are read.
    pub decoder: Decoder,
    /// Standard deviation of the target peaks in heat-map pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
    /// Side of the blur kernel of the decoder in heat-map pixels, odd; by the deviation when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blur_kernel: Option<usize>,
    /// Whether the maps of the mirrored image are moved by one pixel; by the decoder when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flip_shift: Option<bool>,
    /// Name of the set of points, in the table of `hrnet_ir::sets` or not; the fields below hold even then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<String>,
    /// Name of the set of classes, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<String>,
    /// Points that change places when the image is mirrored; 0-based.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flip_pairs: Vec<[usize; 2]>,
    /// Names of points or classes; empty or one per output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Lines between points, for drawing; 0-based.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skeleton: Vec<[usize; 2]>,
    /// Chains of points, for drawing; 0-based.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outlines: Vec<Vec<usize>>,
    /// Where names and decoder come from, if not from whoever trained the network.
    #[serde(default, skip_serializing_if = "Origins::is_empty")]
    pub origins: Origins,
    /// What the weights were trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_data: Option<String>,
    /// Terms of use of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// Name of the file the weights came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The program that wrote the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
}

/// Why a recipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// Not JSON of the expected form.
    #[error("hrnet.recipe: {0}")]
    Json(#[from] serde_json::Error),
    /// Longer than any real one.
    #[error("hrnet.recipe has {0} bytes, more than {MAX_RECIPE}")]
    TooLong(usize),
    /// Written by another version.
    #[error("hrnet.recipe has version {0}, this program reads version {RECIPE_VERSION}; use a newer hrnet")]
    Version(u32),
    /// A value that makes no sense.
    #[error("hrnet.recipe: {field} = {value}: want {wanted}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is accepted.
        wanted: String,
    },
    /// The described network cannot be built.
    #[error("hrnet.recipe: {0}")]
    Model(#[from] ModelError),
    /// The tensors are not those of the described network.
    #[error("the recipe describes {model}, but {}", disagreement(coverage))]
    Disagrees {
        /// The network in the recipe.
        model: String,
        /// What differs.
        coverage: Box<Coverage>,
    },
}

fn disagreement(c: &Coverage) -> String {
    let first = |names: &[String]| names.first().map_or(String::new(), |n| format!(" (first: {n})"));
    let wrong: Vec<String> = c.wrong_shape.iter().map(|w| w.name.clone()).collect();
    format!(
        "{} of its tensors are missing{}, {} have other shapes{}, {} are unknown to it{}",
        c.missing.len(),
        first(&c.missing),
        wrong.len(),
        first(&wrong),
        c.unexpected.len(),
        first(&c.unexpected)
    )
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

impl Recipe {
    /// The defaults of the family: sizes, decoder and padding of the official configurations, ImageNet colours, and, as a guess
    /// ([`Recipe::guess`]), names and pairs of the official data set that has so many outputs.
    pub fn for_model(model: &Model, created_by: &str) -> Self {
        let preset = families::of(&model.head);
        let mut recipe = Self {
            version: RECIPE_VERSION,
            model: *model,
            task: Task::of(&model.head),
            input_size: preset.input_size,
            colour: Colour::Rgb,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            crop: preset.crop,
            padding: preset.padding,
            decoder: preset.decoder,
            sigma: preset.sigma,
            blur_kernel: None,
            flip_shift: None,
            points: None,
            classes: None,
            flip_pairs: Vec::new(),
            names: Vec::new(),
            skeleton: Vec::new(),
            outlines: Vec::new(),
            origins: Origins::default(),
            training_data: None,
            licence: None,
            metric: None,
            source: None,
            created_by: Some(created_by.to_string()),
        };
        if recipe.decoder.is_of_heatmaps() {
            recipe.origins.decoder = Some(Origin::Guess);
        }
        // A guess is made of sets that fit, so it cannot fail.
        let _ = recipe.take_guess();
        recipe
    }

    /// Parses and validates.
    pub fn from_json(json: &str) -> Result<Self, RecipeError> {
        if json.len() > MAX_RECIPE {
            return Err(RecipeError::TooLong(json.len()));
        }
        let VersionOnly { version } = serde_json::from_str(json)?;
        if version != RECIPE_VERSION {
            return Err(RecipeError::Version(version));
        }
        let mut recipe: Self = serde_json::from_str(json)?;
        // What was named when the file was written is what the file says.
        for origin in [&mut recipe.origins.names, &mut recipe.origins.decoder] {
            *origin = origin.filter(|o| *o != Origin::Named);
        }
        recipe.validate()?;
        Ok(recipe)
    }

    /// Validates and writes; the order of fields is fixed.
    pub fn to_json(&self) -> Result<String, RecipeError> {
        self.validate()?;
        Ok(serde_json::to_string(self)?)
    }

    /// Checks every field that a program would trust.
    pub fn validate(&self) -> Result<(), RecipeError> {
        let fail = |field, value: String, wanted: &str| {
            Err(RecipeError::Field { field, value, wanted: wanted.to_string() })
        };
        if self.version != RECIPE_VERSION {
            return Err(RecipeError::Version(self.version));
        }
        let (height, width) = self.input_size;
        if !(1..=MAX_SIDE).contains(&height) || !(1..=MAX_SIDE).contains(&width) {
            return fail("input_size", format!("{height}x{width}"), "1 to 65536");
        }
        if !self.mean.iter().all(|v| v.is_finite()) {
            return fail("mean", format!("{:?}", self.mean), "finite numbers");
        }
        if !self.std.iter().all(|v| v.is_finite() && *v > 0.0) {
            return fail("std", format!("{:?}", self.std), "positive numbers");
        }
        if !(self.padding.is_finite() && self.padding > 0.0) {
            return fail("padding", self.padding.to_string(), "a positive number");
        }
        if self.sigma.is_some_and(|s| !(s.is_finite() && s > 0.0)) {
            return fail("sigma", format!("{:?}", self.sigma), "a positive number");
        }
        if self.metric.as_ref().is_some_and(|m| !m.value.is_finite()) {
            return fail("metric", "not finite".into(), "a finite number");
        }
        if self.blur_kernel.is_some_and(|k| k.is_multiple_of(2) || k > MAX_KERNEL) {
            return fail("blur_kernel", format!("{:?}", self.blur_kernel), "an odd number up to 255");
        }
        let mut named = self.points.iter().chain(&self.classes);
        if let Some(name) = named.find(|n| n.is_empty() || n.len() > 200 || n.contains(char::is_control)) {
            return fail("points or classes", format!("{name:?}"), "the name of a set");
        }
        let task = Task::of(&self.model.head);
        if self.task != task {
            return fail(
                "task",
                format!("{:?}", self.task),
                &format!("{task:?}, which is what the head is for"),
            );
        }
        let (what, count) = match self.model.head {
            Head::Pyramid { .. } | Head::Features => ("outputs", 0),
            head => head.outputs(),
        };
        // UDP's combined head has three maps per point.
        let thirds = self.names.len().checked_mul(3) == Some(count);
        let combined = match self.decoder {
            Decoder::UdpCombined => count.is_multiple_of(3) && (thirds || self.names.is_empty()),
            Decoder::Udp => thirds,
            _ => false,
        };
        if !self.names.is_empty() && self.names.len() != count && !combined {
            return fail(
                "names",
                self.names.len().to_string(),
                &format!("none, or one for each of {count} {what}"),
            );
        }
        let points = match self.task.has_points() {
            true if combined && self.task == Task::Pose => count.checked_div(3).unwrap_or(0),
            true => count,
            false => 0,
        };
        let pairs = self.flip_pairs.iter().chain(&self.skeleton);
        let outlines = self.outlines.iter().flatten();
        if let Some(point) = pairs.flatten().chain(outlines).find(|&&p| p >= points) {
            return fail(
                "flip_pairs, skeleton or outlines",
                point.to_string(),
                &format!("points below {points}"),
            );
        }
        let mut seen = std::collections::HashSet::new();
        if let Some(point) = self.flip_pairs.iter().flatten().find(|&&p| !seen.insert(p)) {
            return fail("flip_pairs", point.to_string(), "every point in at most one pair");
        }
        Ok(())
    }

    /// An error when these tensors are not exactly those of the network in the recipe.
    pub fn check_weights(&self, weights: &Weights) -> Result<(), RecipeError> {
        let coverage = weights.compare(&self.model.build()?);
        if coverage.is_exact() {
            return Ok(());
        }
        Err(RecipeError::Disagrees { model: self.model.to_string(), coverage: Box::new(coverage) })
    }
}
