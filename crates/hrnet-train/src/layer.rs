//! Layers with parameters, packed for the kernels.

use crate::params::Params;
use crate::plan::{Kind, Unit};
use hrnet_ir::{BatchNorm, Net};
use hrnet_kernels::{Conv, ConvBackwardData, ConvDesc, Isa};
use std::ops::Range;

/// A convolution in both directions.
pub(crate) struct ConvLayer {
    pub forward: Conv,
    /// Nothing for a convolution on the image.
    pub backward: Option<ConvBackwardData>,
    /// Which of the shared weight-gradient kernels serves it.
    pub weight_grad: usize,
    pub weight: Range<usize>,
    pub bias: Option<Range<usize>>,
}

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
    /// Values per channel in the last batch.
    pub values: usize,
}

/// A linear layer.
pub(crate) struct LinearLayer {
    pub weight: Range<usize>,
    pub bias: Range<usize>,
    pub inputs: usize,
    pub outputs: usize,
}

/// What a unit computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerId {
    None,
    Conv(usize),
    BatchNorm(usize),
    Linear(usize),
}

impl ConvLayer {
    pub fn desc(net: &Net, unit: &Unit) -> Option<ConvDesc> {
        let Kind::Conv(conv) = unit.kind else { return None };
        Some(ConvDesc {
            ic: net.nodes()[unit.sources[0]].channels,
            oc: net.nodes()[unit.out].channels,
            kernel: conv.kernel,
            stride: conv.stride,
            padding: conv.padding,
        })
    }

    pub fn new(
        isa: Isa,
        conv: &hrnet_ir::Conv,
        desc: ConvDesc,
        on_image: bool,
        params: &Params,
        weight_grad: usize,
    ) -> Self {
        let weight = params.range(conv.weight);
        let bias = conv.bias.map(|b| params.range(b));
        let w = &params.values[weight.clone()];
        let b = bias.clone().map(|b| &params.values[b]);
        let forward = Conv::new(isa, desc, w, b);
        let backward = (!on_image).then(|| ConvBackwardData::new(isa, desc, w));
        Self { forward, backward, weight_grad, weight, bias }
    }

    /// Packs the weights anew after they changed.
    pub fn repack(&mut self, values: &[f32]) {
        let weight = &values[self.weight.clone()];
        self.forward.repack(weight, self.bias.clone().map(|b| &values[b]));
        if let Some(backward) = &mut self.backward {
            backward.repack(weight);
        }
    }
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
}
