//! Batch norm with batch statistics, an optional addition and ReLU behind it.

use super::ctx::{Ctx, Grads, Phase};
use crate::params::Params;
use hrnet_ir::BatchNorm;
use hrnet_kernels as k;
use std::ops::Range;

/// A batch norm with the statistics of the last batch.
pub(crate) struct BnLayer {
    pub spec: BatchNorm,
    pub gamma: Range<usize>,
    pub beta: Range<usize>,
    pub running_mean: Range<usize>,
    pub running_var: Range<usize>,
    pub count: Range<usize>,
    pub mean: Vec<f32>,
    pub var: Vec<f32>,
    pub inv_std: Vec<f32>,
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
    /// Values per channel in the last batch, over all processes.
    pub values: usize,
    /// Normalises by the running statistics and leaves them.
    pub frozen: bool,
}

impl BnLayer {
    pub fn new(spec: &BatchNorm, params: &Params) -> Self {
        let gamma = params.range(spec.gamma);
        let zeros = vec![0.0; gamma.len()];
        Self {
            spec: *spec,
            gamma,
            beta: params.range(spec.beta),
            running_mean: params.range(spec.mean),
            running_var: params.range(spec.var),
            count: params.range(spec.count),
            mean: zeros.clone(),
            var: zeros.clone(),
            inv_std: zeros.clone(),
            scale: zeros.clone(),
            shift: zeros,
            values: 0,
            frozen: false,
        }
    }

    /// Scale and shift from the batch statistics, which use the biased variance.
    pub fn prepare(&mut self, values: &[f32]) {
        let (gamma, beta) = (&values[self.gamma.clone()], &values[self.beta.clone()]);
        for c in 0..self.mean.len() {
            let inv_std = 1.0 / (f64::from(self.var[c]) + self.spec.eps).sqrt();
            let scale = f64::from(gamma[c]) * inv_std;
            self.inv_std[c] = inv_std as f32;
            self.scale[c] = scale as f32;
            self.shift[c] = (f64::from(beta[c]) - f64::from(self.mean[c]) * scale) as f32;
        }
    }

    /// Moves the running statistics towards the last batch; the running variance takes the unbiased one, as in PyTorch.
    pub fn commit(&self, buffers: &mut [f32]) {
        if self.frozen {
            return;
        }
        let m = self.spec.momentum;
        let blend = |running: &mut f32, batch: f64| {
            *running = ((1.0 - m) * f64::from(*running) + m * batch) as f32;
        };
        for (running, &mean) in buffers[self.running_mean.clone()].iter_mut().zip(&self.mean) {
            blend(running, f64::from(mean));
        }
        let unbias = self.values as f64 / (self.values as f64 - 1.0);
        for (running, &var) in buffers[self.running_var.clone()].iter_mut().zip(&self.var) {
            blend(running, f64::from(var) * unbias);
        }
        buffers[self.count.start] += 1.0;
    }

    pub fn forward(&mut self, ctx: &Ctx, params: &Params, dst: &mut [f32]) {
        let (isa, pool, unit, shape) = (ctx.isa, ctx.pool, ctx.unit, ctx.out_shape());
        if ctx.phase == Phase::Forward {
            self.values = shape.n * shape.h * shape.w;
            if self.frozen {
                self.mean.copy_from_slice(&params.buffers[self.running_mean.clone()]);
                self.var.copy_from_slice(&params.buffers[self.running_var.clone()]);
            } else {
                k::bn_stats(isa, pool, ctx.x(), shape, &mut self.mean, &mut self.var);
                self.share_statistics(ctx);
            }
            self.prepare(&params.values);
        }
        let residual = unit.addend.map(|v| ctx.value(v));
        k::bn_apply(isa, pool, ctx.x(), shape, &self.scale, &self.shift, residual, unit.relu, dst);
    }

    /// Mean and variance over all processes.
    fn share_statistics(&mut self, ctx: &Ctx) {
        let Some(shared) = ctx.mode.statistics() else { return };
        let own = self.values as f64;
        let mut sums = vec![own];
        for (&mean, &var) in self.mean.iter().zip(&self.var) {
            let mean = f64::from(mean);
            sums.extend([own * mean, own * (f64::from(var) + mean * mean)]);
        }
        ctx.mode.note(shared.sum(&mut sums));
        let count = sums[0];
        self.values = count as usize;
        for (c, pair) in sums[1..].chunks_exact(2).enumerate() {
            let mean = pair[0] / count;
            let var = pair[1] / count - mean * mean;
            self.mean[c] = mean as f32;
            self.var[c] = if var < 0.0 { 0.0 } else { var as f32 };
        }
    }

    pub fn backward(&self, ctx: &Ctx, params: &mut Params, dy: &[f32], grads: &mut Grads) {
        let (isa, pool) = (ctx.isa, ctx.pool);
        let y = ctx.unit.relu.then(|| ctx.value(ctx.unit.out));
        let gradient = k::BnGradient { dy, y, x: ctx.x(), shape: ctx.out_shape(), mean: &self.mean };
        let mut sums = gradient.sums(isa, pool);
        let ranges = [self.gamma.clone(), self.beta.clone()];
        let [dgamma, dbeta] = params.grads.get_disjoint_mut(ranges).expect("parameters do not overlap");
        k::bn_parameter_gradients(&sums, &self.inv_std, dgamma, dbeta);
        if self.frozen {
            // Running statistics do not depend on the batch.
            sums.fill([0.0; 2]);
        } else if let Some(shared) = ctx.mode.statistics() {
            ctx.mode.note(shared.sum(sums.as_flattened_mut()));
        }
        let gamma = &params.values[self.gamma.clone()];
        let factors = k::bn_factors(&sums, self.values, &self.inv_std, gamma);
        let Grads { sources, addend } = grads;
        let dresidual = addend.as_mut().map(|(buf, accumulate)| (&mut buf[..], *accumulate));
        let (dx, accumulate) = sources[0].as_mut().expect("batch norms do not read the image");
        gradient.apply(isa, pool, &factors, (dx, *accumulate), dresidual);
    }
}
