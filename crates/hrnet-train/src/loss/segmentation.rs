//! Losses on pixels, as in the official segmentation code.
//!
//! | loss | formula, `l` = `-ln p[label]` at a pixel, `w` = weight of its class |
//! |---|---|
//! | cross entropy | sum of `w l` over the pixels that count / sum of `w` |
//! | OHEM | threshold = max(`p` of the `keep`-th hardest pixel, `threshold`); mean of `w l` over pixels with `p` below it |
//!
//! Logits are resized to the size of the labels first. A batch without a pixel that counts has loss 0 and no gradient
//! (PyTorch: NaN).

use super::pixels::{PixelLabels, Pixels};
use crate::error::LossError;
use hrnet_kernels::Pool;
use serde::{Deserialize, Serialize};

/// Cross entropy over pixels, with class weights and an ignored id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PixelCrossEntropy {
    /// A weight per class; all 1 when empty. [`CITYSCAPES_WEIGHTS`] are the official ones.
    pub class_weights: Vec<f64>,
    /// The id of pixels that do not count.
    pub ignore: u8,
    /// Whether logits are resized with aligned corners (the recipes with OCR, ADE20K and COCO-Stuff).
    pub align_corners: bool,
    /// Only the hardest pixels count.
    pub ohem: Option<Ohem>,
}

/// Which pixels are hard.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ohem {
    /// Pixels whose true class has a smaller probability count.
    pub threshold: f64,
    /// At least about so many of a batch count.
    pub keep: usize,
}

/// Weights of the 19 classes in the official Cityscapes recipes.
pub const CITYSCAPES_WEIGHTS: [f64; 19] = [
    0.8373, 0.918, 0.866, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786, 1.0023, 0.9539, 0.9843, 1.1116,
    0.9037, 1.0865, 1.0955, 1.0865, 1.1529, 1.0507,
];

impl Default for PixelCrossEntropy {
    fn default() -> Self {
        Self { class_weights: Vec::new(), ignore: 255, align_corners: false, ohem: None }
    }
}

/// The official configurations.
impl Default for Ohem {
    fn default() -> Self {
        Self { threshold: 0.9, keep: 131_072 }
    }
}

impl PixelCrossEntropy {
    pub(super) fn check(&self, classes: usize) -> Result<(), LossError> {
        let fail = |option, value: String, wanted| Err(LossError::Option { option, value, wanted });
        if !self.class_weights.is_empty() && self.class_weights.len() != classes {
            let value = format!("{} values", self.class_weights.len());
            return fail("class_weights", value, format!("none or one for each of {classes} classes"));
        }
        if let Some(w) = self.class_weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
            return fail("class_weights", w.to_string(), "0 or more".into());
        }
        if let Some(ohem) = self.ohem {
            if !(0.0..=1.0).contains(&ohem.threshold) {
                return fail("ohem.threshold", ohem.threshold.to_string(), "a probability".into());
            }
            if ohem.keep == 0 {
                return fail("ohem.keep", "0".into(), "1 or more".into());
            }
        }
        Ok(())
    }

    fn weight(&self, class: usize) -> f64 {
        self.class_weights.get(class).copied().unwrap_or(1.0)
    }

    /// The weight of all pixels that count. Per class first: a sum of few different numbers is exact in any order.
    pub(super) fn mass(&self, labels: &PixelLabels) -> f64 {
        let mut counts = [0u64; 256];
        labels.ids.iter().filter(|&&id| id != self.ignore).for_each(|&id| counts[usize::from(id)] += 1);
        counts.iter().enumerate().map(|(class, &n)| n as f64 * self.weight(class)).sum()
    }

    pub(super) fn evaluate(
        &self,
        pool: &Pool,
        output: &[f32],
        shape: [usize; 4],
        labels: &PixelLabels,
        scale: f64,
        grad: &mut [f32],
    ) -> Result<f64, LossError> {
        self.check(shape[1])?;
        let pixels = Pixels::new(pool, output, shape, labels, self.ignore, self.align_corners)?;
        let Some(ohem) = self.ohem else {
            let total = self.mass(labels);
            let one = if total > 0.0 { 1.0 / total } else { 0.0 };
            return Ok(pixels.weighted(|_, class| one * self.weight(class), scale, grad));
        };
        // The hardest pixel has the largest likelihood loss; probabilities are compared by their logarithms.
        let likelihoods = pixels.likelihoods();
        let mut sorted: Vec<f32> =
            (0..pixels.count()).filter(|&i| pixels.class(i).is_some()).map(|i| likelihoods[i]).collect();
        if sorted.is_empty() {
            grad.fill(0.0);
            return Ok(0.0);
        }
        let place = ohem.keep.min(sorted.len() - 1);
        let (_, at, _) = sorted.select_nth_unstable_by(place, |a, b| b.total_cmp(a));
        let least = at.min(-(ohem.threshold.ln()) as f32);
        // NaN is hard: it must be seen.
        let hard = |l: f32| l > least || l.is_nan();
        let counted = |i: usize| pixels.class(i).is_some() && hard(likelihoods[i]);
        let kept = (0..pixels.count()).filter(|&i| counted(i)).count();
        let one = if kept > 0 { 1.0 / kept as f64 } else { 0.0 };
        let share = |i: usize, class| if hard(likelihoods[i]) { one * self.weight(class) } else { 0.0 };
        Ok(pixels.weighted(share, scale, grad))
    }
}
