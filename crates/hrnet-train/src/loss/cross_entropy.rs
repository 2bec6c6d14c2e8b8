//! Softmax cross entropy over classes, mean over the batch: `sum_k t[k] * -log p[k]` for a target distribution `t`, which
//! is 1 at a label, or given (mixup, cutmix). PyTorch's label smoothing `s` takes `(1 - s) t + s / K` instead.

use crate::error::LossError;
use hrnet_ir::Tensor;
use serde::{Deserialize, Serialize};

/// Softmax cross entropy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossEntropy {
    /// Share of the probability spread over all classes.
    #[serde(default)]
    pub smoothing: f64,
}

impl CrossEntropy {
    pub(super) fn check(&self) -> Result<(), LossError> {
        if !(0.0..1.0).contains(&self.smoothing) {
            let (option, value) = ("smoothing", self.smoothing.to_string());
            return Err(LossError::Option { option, value, wanted: "at least 0, below 1".into() });
        }
        Ok(())
    }

    pub(super) fn labels(
        &self,
        output: &[f32],
        shape: [usize; 4],
        labels: &[usize],
        scale: f64,
        grad: &mut [f32],
    ) -> Result<f64, LossError> {
        let [n, classes, h, w] = shape;
        if (h, w) != (1, 1) || labels.len() != n {
            let (wanted, found) = (vec![n, classes, 1, 1], vec![labels.len(), classes, h, w]);
            return Err(LossError::Shape { what: "the batch of labels", wanted, found });
        }
        if let Some((image, &label)) = labels.iter().enumerate().find(|&(_, &l)| l >= classes) {
            return Err(LossError::Label { image, label, classes });
        }
        let wanted = |image: usize, class: usize| if labels[image] == class { 1.0 } else { 0.0 };
        self.evaluate(output, classes, wanted, scale, grad)
    }

    /// `shares` is `[n, classes]`, every row a distribution.
    pub(super) fn shares(
        &self,
        output: &[f32],
        shape: [usize; 4],
        shares: &Tensor,
        scale: f64,
        grad: &mut [f32],
    ) -> Result<f64, LossError> {
        let [n, classes, h, w] = shape;
        if (h, w) != (1, 1) || shares.shape() != [n, classes] {
            let (wanted, found) = (vec![n, classes], shares.shape().to_vec());
            return Err(LossError::Shape { what: "the tensor of class shares", wanted, found });
        }
        let wanted = |image: usize, class: usize| f64::from(shares.data()[image * classes + class]);
        self.evaluate(output, classes, wanted, scale, grad)
    }

    fn evaluate(
        &self,
        output: &[f32],
        classes: usize,
        wanted: impl Fn(usize, usize) -> f64,
        scale: f64,
        grad: &mut [f32],
    ) -> Result<f64, LossError> {
        self.check()?;
        let spread = self.smoothing / classes as f64;
        let n = output.len() as f64 / classes as f64;
        let mut total = 0.0;
        let rows = output.chunks_exact(classes).zip(grad.chunks_exact_mut(classes));
        for (image, (row, grad)) in rows.enumerate() {
            let max = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let sum: f64 = row.iter().map(|&v| (f64::from(v) - max).exp()).sum();
            let log_sum = max + sum.ln();
            let wanted = |k| spread + (1.0 - self.smoothing) * wanted(image, k);
            let mass: f64 = (0..classes).map(wanted).sum();
            for (k, (d, &v)) in grad.iter_mut().zip(row).enumerate() {
                let (log_p, wanted) = (f64::from(v) - log_sum, wanted(k));
                if wanted != 0.0 {
                    total -= wanted * log_p;
                }
                *d = ((mass * log_p.exp() - wanted) * scale / n) as f32;
            }
        }
        Ok(total / n)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Loss, Target, check_gradient};
    use super::*;
    use hrnet_kernels::Pool;

    #[test]
    fn value_and_gradient() {
        let plain = Loss::CrossEntropy(CrossEntropy::default());
        let mut grad = [0.0; 3];
        let target = Target::Labels(vec![1]);
        let got =
            plain.evaluate(&Pool::new(1), &[1.0, 2.0, 4.0], [1, 3, 1, 1], &target, 1.0, &mut grad).unwrap();
        let wanted = (1f64.exp() + 2f64.exp() + 4f64.exp()).ln() - 2.0;
        assert!((got - wanted).abs() < 1e-12);
        // Logits far beyond the range of exp are fine.
        let far = plain.evaluate(&Pool::new(1), &[0.0, 1000.0, 0.0], [1, 3, 1, 1], &target, 1.0, &mut grad);
        assert_eq!(far.unwrap(), 0.0);
        for smoothing in [0.0, 0.1] {
            let loss = Loss::CrossEntropy(CrossEntropy { smoothing });
            check_gradient(&loss, [3, 5, 1, 1], &Target::Labels(vec![4, 0, 2]));
        }
    }

    #[test]
    fn labels_out_of_range_are_errors() {
        let loss = Loss::CrossEntropy(CrossEntropy::default());
        let target = Target::Labels(vec![0, 3]);
        let error =
            loss.evaluate(&Pool::new(1), &[0.0; 6], [2, 3, 1, 1], &target, 1.0, &mut [0.0; 6]).unwrap_err();
        assert_eq!(error, LossError::Label { image: 1, label: 3, classes: 3 });
        assert!(error.to_string().contains("0 to 2"), "{error}");
    }
}
