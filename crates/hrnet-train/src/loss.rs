//! Losses: a number and its gradient with respect to an output.
//!
//! Sums run in f64 over fixed pieces in a fixed order; neither depends on the number of threads.

mod bottom_up;
mod cross_entropy;
mod heatmap_mse;
mod heatmaps;
mod objective;
mod ohkm;
mod pixels;
mod segmentation;
mod target;
mod udp;
mod wing;

pub use bottom_up::{BottomUp, PeopleTarget, TaggedJoint};
pub use cross_entropy::CrossEntropy;
pub use heatmap_mse::{COCO_JOINT_WEIGHTS, HeatmapLoss, HeatmapMse};
pub use objective::{Objective, Term};
pub use ohkm::Ohkm;
pub use pixels::PixelLabels;
pub use segmentation::{CITYSCAPES_WEIGHTS, Ohem, PixelCrossEntropy};
pub use target::Target;
pub use udp::UdpCombined;
pub use wing::AdaptiveWing;

use crate::error::LossError;
use heatmaps::Heatmaps;
use hrnet_ir::Tensor;
use hrnet_kernels::Pool;
use serde::{Deserialize, Serialize};

/// A loss on one output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Loss {
    /// Squared error of heat maps.
    HeatmapMse(HeatmapMse),
    /// Classification.
    CrossEntropy(CrossEntropy),
    /// Segmentation.
    PixelCrossEntropy(PixelCrossEntropy),
    /// Squared error of the hardest joints.
    Ohkm(Ohkm),
    /// UDP's discs and offsets.
    UdpCombined(UdpCombined),
    /// Adaptive wing on heat maps.
    AdaptiveWing(AdaptiveWing),
    /// Bottom-up pose: heat maps under a mask, and tags.
    BottomUp(BottomUp),
}

impl Loss {
    /// Whether its options fit an output with so many channels.
    pub fn check(&self, channels: usize) -> Result<(), LossError> {
        match self {
            Loss::PixelCrossEntropy(loss) => loss.check(channels),
            Loss::HeatmapMse(loss) => loss.check(channels),
            Loss::CrossEntropy(loss) => loss.check(),
            Loss::Ohkm(loss) => loss.check(channels),
            Loss::UdpCombined(loss) => loss.check(channels),
            Loss::AdaptiveWing(loss) => loss.check(),
            Loss::BottomUp(loss) => loss.check(),
        }
    }

    /// How much counts in a target: the loss of a batch in parts of equal size is the mean of theirs with these weights. That is the
    /// weight of the labelled pixels for cross entropy, and 1 for losses that divide by the size of the batch. OHEM divides by the pixels
    /// that it keeps, which the target does not tell: 1 too.
    pub fn mass(&self, target: &Target) -> f64 {
        match (self, target) {
            (Loss::PixelCrossEntropy(loss), Target::Pixels(labels)) if loss.ohem.is_none() => {
                loss.mass(labels)
            }
            _ => 1.0,
        }
    }

    /// The loss of `output` `[n, c, h, w]`; `grad` is overwritten with `scale` times its gradient.
    pub fn evaluate<'a>(
        &self,
        pool: &'a Pool,
        output: &'a [f32],
        shape: [usize; 4],
        target: &'a Target,
        scale: f64,
        grad: &mut [f32],
    ) -> Result<f64, LossError> {
        let heatmaps = |maps, weights: &'a Option<Tensor>| Heatmaps {
            pool,
            output,
            shape,
            maps,
            weights: weights.as_ref(),
            scale,
        };
        let kind = |loss, wanted| Err(LossError::Kind { loss, wanted, found: target.kind() });
        match (self, target) {
            (Loss::HeatmapMse(loss), Target::Heatmaps { maps, weights }) => {
                loss.evaluate(&heatmaps(maps, weights), grad)
            }
            (Loss::Ohkm(loss), Target::Heatmaps { maps, weights }) => {
                loss.evaluate(&heatmaps(maps, weights), grad)
            }
            (Loss::UdpCombined(loss), Target::Heatmaps { maps, weights }) => {
                loss.evaluate(&heatmaps(maps, weights), grad)
            }
            (Loss::AdaptiveWing(loss), Target::Heatmaps { maps, weights }) => {
                loss.evaluate(&heatmaps(maps, weights), grad)
            }
            (Loss::BottomUp(loss), Target::People(people)) => {
                loss.evaluate(pool, output, shape, people, scale, grad)
            }
            (Loss::CrossEntropy(loss), Target::Labels(labels)) => {
                loss.labels(output, shape, labels, scale, grad)
            }
            (Loss::CrossEntropy(loss), Target::Shares(shares)) => {
                loss.shares(output, shape, shares, scale, grad)
            }
            (Loss::PixelCrossEntropy(loss), Target::Pixels(labels)) => {
                loss.evaluate(pool, output, shape, labels, scale, grad)
            }
            (Loss::HeatmapMse(_), _) => kind("heatmap_mse", "heat maps"),
            (Loss::Ohkm(_), _) => kind("ohkm", "heat maps"),
            (Loss::UdpCombined(_), _) => kind("udp_combined", "heat maps"),
            (Loss::AdaptiveWing(_), _) => kind("adaptive_wing", "heat maps"),
            (Loss::BottomUp(_), _) => kind("bottom_up", "people"),
            (Loss::CrossEntropy(_), _) => kind("cross_entropy", "class labels or shares"),
            (Loss::PixelCrossEntropy(_), _) => kind("pixel_cross_entropy", "pixel labels"),
        }
    }
}

#[cfg(test)]
pub(crate) fn check_gradient(loss: &Loss, shape: [usize; 4], target: &Target) {
    use hrnet_proof::formula;
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
