//! Losses: a number and its gradient with respect to an output.
//!
//! Sums run in f64 over fixed pieces in a fixed order; neither depends on the number of threads.

mod cross_entropy;
mod heatmap_mse;

pub use cross_entropy::CrossEntropy;
pub use heatmap_mse::{HeatmapLoss, HeatmapMse};

use hrnet_ir::Tensor;
use hrnet_kernels::Pool;
use serde::{Deserialize, Serialize};

/// What the output should have been.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Heat maps `[n, maps, h, w]`, with weights `[n, maps]` where points count differently.
    Heatmaps {
        /// The wanted maps.
        maps: Tensor,
        /// The weight of every map; all 1 when absent.
        weights: Option<Tensor>,
    },
    /// The class of every image.
    Labels(Vec<usize>),
}

/// A loss on one output.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Loss {
    /// Squared error of heat maps.
    HeatmapMse(HeatmapMse),
    /// Classification.
    CrossEntropy(CrossEntropy),
}

/// A target that does not fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LossError {
    /// Another kind of target.
    #[error("the loss {loss} wants {wanted}, the batch has {found}")]
    Kind {
        /// Name of the loss.
        loss: &'static str,
        /// The kind it wants.
        wanted: &'static str,
        /// The kind it got.
        found: &'static str,
    },
    /// A tensor of another shape.
    #[error("{what} has shape {found:?}, the output needs {wanted:?}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// The shape that fits the output.
        wanted: Vec<usize>,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// A class that the network does not have.
    #[error("image {image} of the batch has class {label}, the network has {classes} classes (0 to {})", classes - 1)]
    Label {
        /// Position in the batch.
        image: usize,
        /// The class.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
}

impl Target {
    fn kind(&self) -> &'static str {
        match self {
            Target::Heatmaps { .. } => "heat maps",
            Target::Labels(_) => "class labels",
        }
    }
}

impl Loss {
    /// The loss of `output` `[n, c, h, w]`; `grad` is overwritten with `scale` times its gradient.
    pub fn evaluate(
        &self,
        pool: &Pool,
        output: &[f32],
        shape: [usize; 4],
        target: &Target,
        scale: f64,
        grad: &mut [f32],
    ) -> Result<f64, LossError> {
        let kind = |loss, wanted| Err(LossError::Kind { loss, wanted, found: target.kind() });
        match (self, target) {
            (Loss::HeatmapMse(loss), Target::Heatmaps { maps, weights }) => {
                loss.evaluate(pool, output, shape, maps, weights.as_ref(), scale, grad)
            }
            (Loss::CrossEntropy(loss), Target::Labels(labels)) => {
                loss.evaluate(output, shape, labels, scale, grad)
            }
            (Loss::HeatmapMse(_), _) => kind("heatmap_mse", "heat maps"),
            (Loss::CrossEntropy(_), _) => kind("cross_entropy", "class labels"),
        }
    }
}

#[cfg(test)]
pub(crate) fn check_gradient(loss: Loss, shape: [usize; 4], target: &Target) {
    use hrnet_ir::formula;
    let pool = Pool::new(2);
    let mut output = formula::input("output", &shape);
    let mut grad = vec![f32::NAN; output.len()];
    let mut unused = grad.clone();
    loss.evaluate(&pool, output.data(), shape, target, 3.0, &mut grad).unwrap();
    for i in 0..output.len() {
        let old = output.data()[i];
        let step = 1.0 / 64.0;
        let mut at = |x: f32| {
            output.data_mut()[i] = x;
            loss.evaluate(&pool, output.data(), shape, target, 1.0, &mut unused).unwrap()
        };
        let numeric = 3.0 * (at(old + step) - at(old - step)) / f64::from((old + step) - (old - step));
        output.data_mut()[i] = old;
        let (got, scale) = (f64::from(grad[i]), 1.0 / output.len() as f64);
        assert!(
            (got - numeric).abs() < 1e-3 * (numeric.abs() + scale),
            "{loss:?} at {i}: {got}, numeric {numeric}"
        );
    }
}
