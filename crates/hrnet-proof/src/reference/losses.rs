//! Losses of the reference: those of the golden training cases.

use super::array::Array;
use super::resize::Resize;
use hrnet_train::{HeatmapLoss, Loss, Objective, Target};

/// The weighted sum of the losses of all outputs, and the gradients of the outputs.
///
/// # Panics
/// As [`loss_of`].
pub fn objective_of(objective: &Objective, outputs: &[Array], target: &Target) -> (f64, Vec<Vec<f64>>) {
    let mut total = 0.0;
    let grads = objective.terms.iter().zip(outputs).map(|(term, output)| {
        let (loss, mut grad) = loss_of(&term.loss, output, target);
        total += term.weight * loss;
        grad.iter_mut().for_each(|g| *g *= term.weight);
        grad
    });
    let grads = grads.collect();
    (total, grads)
}

/// A loss and its gradient with respect to the output, in f64: squared error of heat maps without foreground and joint
/// weights, cross entropy without smoothing, cross entropy of pixels without hard mining.
///
/// # Panics
/// When the target is not of the loss's kind, and for losses that no golden case has.
pub fn loss_of(loss: &Loss, output: &Array, target: &Target) -> (f64, Vec<f64>) {
    let [n, c, h, w] = output.shape;
    match (loss, target) {
        (Loss::HeatmapMse(mse), Target::Heatmaps { maps, weights }) => {
            let count = (n * c * h * w) as f64;
            let mut sum = 0.0;
            let mut grad = Vec::with_capacity(output.data.len());
            for (i, (p, &g)) in output.data.iter().zip(maps.data()).enumerate() {
                let weight = || weights.as_ref().map_or(1.0, |t| f64::from(t.data()[i / (h * w)]));
                let k = match mse.form {
                    HeatmapLoss::Joints => 0.5 * weight(),
                    HeatmapLoss::Mean => 1.0,
                    HeatmapLoss::Weighted => weight(),
                };
                let diff = p - f64::from(g);
                sum += k * diff * diff / count;
                grad.push(2.0 * k * diff / count);
            }
            (sum, grad)
        }
        (Loss::CrossEntropy(_), Target::Labels(labels)) => {
            let mut sum = 0.0;
            let mut grad = Vec::with_capacity(output.data.len());
            for (row, &label) in output.data.chunks_exact(c).zip(labels) {
                let total: f64 = row.iter().map(|v| v.exp()).sum();
                sum -= (row[label].exp() / total).ln() / n as f64;
                let wanted = |k| if k == label { 1.0 } else { 0.0 };
                grad.extend(row.iter().enumerate().map(|(k, v)| (v.exp() / total - wanted(k)) / n as f64));
            }
            (sum, grad)
        }
        (Loss::PixelCrossEntropy(loss), Target::Pixels(labels)) => {
            let [_, height, width] = labels.shape;
            let size = height * width;
            let resize = Resize::Bilinear { align_corners: loss.align_corners };
            let mut large = Array::zeros([n, c, height, width]);
            resize.forward(output, &mut large);
            let weight = |class: usize| loss.class_weights.get(class).copied().unwrap_or(1.0);
            let counts = |id: u8| (id != loss.ignore).then_some(usize::from(id));
            let total: f64 = labels.ids.iter().filter_map(|&id| counts(id)).map(weight).sum();
            let mut sum = 0.0;
            let mut slopes = Array::zeros(large.shape);
            for (pixel, &id) in labels.ids.iter().enumerate() {
                let Some(class) = counts(id) else { continue };
                let at = |k: usize| (pixel / size * c + k) * size + pixel % size;
                let share = weight(class) / total;
                let all: f64 = (0..c).map(|k| large.data[at(k)].exp()).sum();
                sum -= share * (large.data[at(class)].exp() / all).ln();
                for k in 0..c {
                    let wanted = if k == class { 1.0 } else { 0.0 };
                    slopes.data[at(k)] = share * (large.data[at(k)].exp() / all - wanted);
                }
            }
            (sum, resize.backward(output.shape, &slopes).data)
        }
        (
            Loss::HeatmapMse(_)
            | Loss::CrossEntropy(_)
            | Loss::PixelCrossEntropy(_)
            | Loss::Ohkm(_)
            | Loss::UdpCombined(_)
            | Loss::AdaptiveWing(_)
            | Loss::BottomUp(_),
            _,
        ) => unreachable!("each case has its target"),
    }
}
