//! Batch norm of the reference, with batch statistics.

use super::array::Array;

/// What a batch norm saw in the last batch.
#[derive(Debug)]
pub(super) struct Statistics {
    pub mean: Vec<f64>,
    /// Biased.
    pub var: Vec<f64>,
    /// Values per channel.
    pub count: usize,
}

impl Statistics {
    pub fn of(x: &Array) -> Self {
        let channels = x.shape[1];
        let (mut mean, mut var) = (vec![0.0; channels], vec![0.0; channels]);
        let count = x.shape[0] * x.size();
        for (plane, values) in x.data.chunks_exact(x.size()).enumerate() {
            mean[plane % channels] += values.iter().sum::<f64>() / count as f64;
        }
        for (plane, values) in x.data.chunks_exact(x.size()).enumerate() {
            let c = plane % channels;
            var[c] += values.iter().map(|v| (v - mean[c]).powi(2)).sum::<f64>() / count as f64;
        }
        Self { mean, var, count }
    }

    /// Moves the running statistics towards the batch; the running variance takes the unbiased one.
    pub fn commit(&self, momentum: f64, mean: &mut [f64], var: &mut [f64]) {
        let unbias = self.count as f64 / (self.count as f64 - 1.0);
        for c in 0..self.mean.len() {
            mean[c] = (1.0 - momentum) * mean[c] + momentum * self.mean[c];
            var[c] = (1.0 - momentum) * var[c] + momentum * self.var[c] * unbias;
        }
    }

    pub fn forward(&self, eps: f64, x: &Array, gamma: &[f64], beta: &[f64], out: &mut Array) {
        let size = out.size();
        for (plane, (dst, src)) in out.data.chunks_exact_mut(size).zip(x.data.chunks_exact(size)).enumerate()
        {
            let c = plane % gamma.len();
            let scale = gamma[c] / (self.var[c] + eps).sqrt();
            dst.iter_mut().zip(src).for_each(|(d, s)| *d = (s - self.mean[c]) * scale + beta[c]);
        }
    }

    /// The gradients of the source, of the scale and of the shift.
    pub fn backward(&self, eps: f64, x: &Array, gamma: &[f64], dy: &Array) -> [Vec<f64>; 3] {
        let Self { mean, var, count } = self;
        let (channels, size) = (gamma.len(), dy.size());
        let hat = |c: usize, v: f64| (v - mean[c]) / (var[c] + eps).sqrt();
        let (mut sum, mut dot) = (vec![0.0; channels], vec![0.0; channels]);
        let planes = || dy.data.chunks_exact(size).zip(x.data.chunks_exact(size)).enumerate();
        for (plane, (dy, x)) in planes() {
            let c = plane % channels;
            for (d, &v) in dy.iter().zip(x) {
                sum[c] += d;
                dot[c] += d * hat(c, v);
            }
        }
        let mut dx = Vec::with_capacity(dy.data.len());
        let n = *count as f64;
        for (plane, (dy, x)) in planes() {
            let c = plane % channels;
            let scale = gamma[c] / (var[c] + eps).sqrt();
            dx.extend(dy.iter().zip(x).map(|(d, &v)| scale * (d - sum[c] / n - hat(c, v) * dot[c] / n)));
        }
        [dx, dot, sum]
    }
}
