//! What the losses on heat maps share: predicted and wanted maps with the weights of their joints.

use crate::error::LossError;
use hrnet_ir::Tensor;
use hrnet_kernels::Pool;

/// An output of heat maps, and what it should have been.
pub(super) struct Heatmaps<'a> {
    pub pool: &'a Pool,
    /// The predicted maps, of `shape`.
    pub output: &'a [f32],
    /// `[n, c, h, w]`.
    pub shape: [usize; 4],
    /// The wanted maps, of the same shape.
    pub maps: &'a Tensor,
    /// `[n, joints]`; all 1 when absent.
    pub weights: Option<&'a Tensor>,
    /// Factor on the gradient.
    pub scale: f64,
}

impl Heatmaps<'_> {
    /// Pixels of a map.
    pub fn plane(&self) -> usize {
        self.shape[2] * self.shape[3]
    }

    /// Predicted and wanted values of map `index` (image by image).
    pub fn map(&self, index: usize) -> (&[f32], &[f32]) {
        let range = index * self.plane()..(index + 1) * self.plane();
        (&self.output[range.clone()], &self.maps.data()[range])
    }

    /// The weight of joint `index` (image by image): that of the target times the factor of its joint.
    pub fn weight(&self, joint_weights: &[f64], index: usize) -> f64 {
        let own = if joint_weights.is_empty() { 1.0 } else { joint_weights[index % joint_weights.len()] };
        own * self.weights.map_or(1.0, |t| f64::from(t.data()[index]))
    }

    /// Whether maps and weights fit an output with so many joints.
    pub fn check(&self, joints: usize) -> Result<(), LossError> {
        if self.maps.shape() != self.shape {
            let (wanted, found) = (self.shape.to_vec(), self.maps.shape().to_vec());
            return Err(LossError::Shape { what: "the target", wanted, found });
        }
        let wanted = [self.shape[0], joints];
        if let Some(weights) = self.weights.filter(|t| t.shape() != wanted) {
            let (wanted, found) = (wanted.to_vec(), weights.shape().to_vec());
            return Err(LossError::Shape { what: "the tensor of point weights", wanted, found });
        }
        Ok(())
    }
}

/// Whether there is no factor or a usable one for each joint.
pub(super) fn check_joint_weights(joint_weights: &[f64], joints: usize) -> Result<(), LossError> {
    let fail = |value, wanted| Err(LossError::Option { option: "joint_weights", value, wanted });
    if !joint_weights.is_empty() && joint_weights.len() != joints {
        let value = format!("{} values", joint_weights.len());
        return fail(value, format!("none or one for each of {joints} joints"));
    }
    match joint_weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
        Some(w) => fail(w.to_string(), "0 or more".into()),
        None => Ok(()),
    }
}
