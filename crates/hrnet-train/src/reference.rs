//! Training in f64, slow and obvious: the meaning of a training step, as `hrnet_ir::interp` is that of inference. The
//! tape is tested against it, and it is tested itself against the official code; `hrnet verify --executor interpreter`
//! runs it.
//!
//! ReLU has a kink: an f32 forward pass puts a few of millions of values on the other side of it, and each such flip
//! changes gradients far more than rounding does. [`Reference::forward`] can therefore take the signs of another run.

mod extra;
mod losses;

pub use losses::{loss_of, objective_of};

use extra::Extra;
use hrnet_ir::{Net, Op, ParamId, Weights};
use std::collections::HashMap;

/// An array `[n, c, h, w]`.
#[derive(Clone, Debug, Default)]
pub struct Array {
    /// `[n, c, h, w]`.
    pub shape: [usize; 4],
    /// Row-major.
    pub data: Vec<f64>,
}

impl Array {
    /// Zeros of a shape.
    pub fn zeros(shape: [usize; 4]) -> Self {
        Self { shape, data: vec![0.0; shape.iter().product()] }
    }

    fn size(&self) -> usize {
        self.shape[2] * self.shape[3]
    }

    /// The planes with a zero border of `p` pixels.
    fn padded(&self, p: usize) -> Array {
        let [n, c, h, w] = self.shape;
        let mut out = Array::zeros([n, c, h + 2 * p, w + 2 * p]);
        let ow = w + 2 * p;
        let size = out.size();
        for (dst, src) in out.data.chunks_exact_mut(size).zip(self.data.chunks_exact(h * w)) {
            for (y, row) in src.chunks_exact(w).enumerate() {
                dst[(y + p) * ow + p..][..w].copy_from_slice(row);
            }
        }
        out
    }
}

/// Signs of the ReLU outputs of another run, by node.
pub type Masks<'a> = &'a dyn Fn(usize) -> Vec<f32>;

/// A network in training.
#[derive(Debug)]
pub struct Reference<'a> {
    net: &'a Net,
    /// Parameters and buffers in network order.
    pub params: Vec<Vec<f64>>,
    /// Gradients in the same order; those of buffers stay zero.
    pub grads: Vec<Vec<f64>>,
    values: Vec<Array>,
    /// Mean, variance (biased) and values per channel of each batch norm in the last batch, by node.
    stats: HashMap<usize, (Vec<f64>, Vec<f64>, usize)>,
    masks: Vec<Option<Vec<bool>>>,
    /// Optimiser state, two arrays per parameter, and its steps.
    pub state: [Vec<Vec<f64>>; 2],
    /// Optimiser steps done.
    pub steps: i32,
    /// Factors of dropout nodes by image and channel; nodes without drop nothing.
    pub dropped: HashMap<usize, Vec<f32>>,
}

/// An optimiser by PyTorch's formulas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Adam with PyTorch's defaults.
    Adam {
        /// Learning rate.
        rate: f64,
    },
    /// SGD with momentum.
    Sgd {
        /// Learning rate.
        rate: f64,
        /// Factor on the velocity.
        momentum: f64,
        /// Whether it looks ahead.
        nesterov: bool,
        /// Factor on the parameters that is added to their gradients.
        weight_decay: f64,
    },
}

impl<'a> Reference<'a> {
    /// A network with its weights.
    ///
    /// # Panics
    /// When a parameter is missing.
    pub fn new(net: &'a Net, weights: &Weights) -> Self {
        let params: Vec<Vec<f64>> = net
            .params()
            .iter()
            .map(|p| {
                weights
                    .get(&p.name)
                    .expect("every parameter is there")
                    .data()
                    .iter()
                    .map(|&v| f64::from(v))
                    .collect()
            })
            .collect();
        let zeros: Vec<Vec<f64>> = params.iter().map(|p| vec![0.0; p.len()]).collect();
        Self {
            net,
            params,
            grads: zeros.clone(),
            values: Vec::new(),
            stats: HashMap::new(),
            masks: Vec::new(),
            state: [zeros.clone(), zeros],
            steps: 0,
            dropped: HashMap::new(),
        }
    }

    fn p(&self, id: ParamId) -> &[f64] {
        &self.params[id.index()]
    }

    /// Runs the network in training mode; returns its outputs.
    ///
    /// # Panics
    /// When the network does not take the shape.
    pub fn forward(&mut self, input: &[f32], shape: [usize; 4], masks: Option<Masks>) -> Vec<Array> {
        let shapes = self.net.shapes(shape).expect("a shape that the network takes");
        self.values = Vec::new();
        self.masks = vec![None; shapes.len()];
        for (i, node) in self.net.nodes().iter().enumerate() {
            let mut out = Array::zeros(shapes[i]);
            let x = |k: usize| &self.values[node.inputs[k].index()];
            match node.op {
                Op::Input => out.data = input.iter().map(|&v| f64::from(v)).collect(),
                Op::Conv(c) => {
                    let bias = c.bias.map(|b| self.p(b));
                    conv(x(0), self.p(c.weight), bias, c.kernel, c.stride, c.padding, &mut out);
                }
                Op::BatchNorm(b) => {
                    let stats = statistics(x(0));
                    let (gamma, beta) = (self.p(b.gamma), self.p(b.beta));
                    let size = out.size();
                    for (plane, (dst, src)) in
                        out.data.chunks_exact_mut(size).zip(x(0).data.chunks_exact(size)).enumerate()
                    {
                        let c = plane % gamma.len();
                        let scale = gamma[c] / (stats.1[c] + b.eps).sqrt();
                        dst.iter_mut().zip(src).for_each(|(d, s)| *d = (s - stats.0[c]) * scale + beta[c]);
                    }
                    self.stats.insert(i, stats);
                }
                Op::Relu => {
                    let mask: Vec<bool> = match masks {
                        Some(masks) => masks(i).iter().map(|&y| y > 0.0).collect(),
                        None => x(0).data.iter().map(|&v| v > 0.0).collect(),
                    };
                    let kept = x(0).data.iter().zip(&mask);
                    out.data = kept.map(|(&v, &keep)| if keep { v } else { 0.0 }).collect();
                    self.masks[i] = Some(mask);
                }
                Op::Add => out.data = x(0).data.iter().zip(&x(1).data).map(|(a, b)| a + b).collect(),
                Op::UpsampleNearest { .. } | Op::ResizeBilinear { .. } => {
                    for (dst, src, weight) in resize_taps(&node.op, x(0), &out) {
                        let (so, ss) = (out.size(), x(0).size());
                        for plane in 0..out.shape[0] * out.shape[1] {
                            out.data[plane * so + dst] += weight * x(0).data[plane * ss + src];
                        }
                    }
                }
                Op::Concat => {
                    let mut data = Vec::new();
                    for n in 0..out.shape[0] {
                        for v in &node.inputs {
                            let part = &self.values[v.index()];
                            let image = part.data.len() / part.shape[0];
                            data.extend_from_slice(&part.data[n * image..][..image]);
                        }
                    }
                    out.data = data;
                }
                Op::GlobalAvgPool => {
                    let planes = x(0).data.chunks_exact(x(0).size());
                    out.data = planes.map(|p| p.iter().sum::<f64>() / p.len() as f64).collect();
                }
                Op::Linear { weight, bias } => {
                    let (inputs, outputs) = (x(0).shape[1], out.shape[1]);
                    let (weight, bias) = (self.p(weight), self.p(bias));
                    for (dst, src) in out.data.chunks_exact_mut(outputs).zip(x(0).data.chunks_exact(inputs)) {
                        for (o, d) in dst.iter_mut().enumerate() {
                            let row = &weight[o * inputs..][..inputs];
                            *d = bias[o] + row.iter().zip(src).map(|(a, b)| a * b).sum::<f64>();
                        }
                    }
                }
                Op::Dropout { .. } => {
                    out.data.clone_from(&x(0).data);
                    self.drop(i, &mut out);
                }
                ref op => {
                    let sources: Vec<&Array> = node.inputs.iter().map(|v| &self.values[v.index()]).collect();
                    extra_of(op, &self.params).forward(&sources, &mut out);
                }
            }
            self.values.push(out);
        }
        self.net.outputs().iter().map(|o| self.values[o.value.index()].clone()).collect()
    }

    fn drop(&self, node: usize, values: &mut Array) {
        if let Some(factors) = self.dropped.get(&node) {
            let size = values.size();
            for (plane, &factor) in values.data.chunks_exact_mut(size).zip(factors) {
                plane.iter_mut().for_each(|v| *v *= f64::from(factor));
            }
        }
    }

    /// Sets the gradients of all parameters from those of the outputs.
    pub fn backward(&mut self, output_grads: &[Vec<f64>]) {
        let mut grads: Vec<Array> = self.values.iter().map(|v| Array::zeros(v.shape)).collect();
        for (output, grad) in self.net.outputs().iter().zip(output_grads) {
            let to = &mut grads[output.value.index()].data;
            to.iter_mut().zip(grad).for_each(|(t, g)| *t += g);
        }
        self.grads.iter_mut().for_each(|g| g.fill(0.0));
        for (i, node) in self.net.nodes().iter().enumerate().rev() {
            let mut dy = std::mem::take(&mut grads[i]);
            let x = |k: usize| &self.values[node.inputs[k].index()];
            let mut give = |k: usize, dx: &[f64]| {
                let to = &mut grads[node.inputs[k].index()].data;
                to.iter_mut().zip(dx).for_each(|(t, d)| *t += d);
            };
            match node.op {
                Op::Input => {}
                Op::Conv(c) => {
                    let weight = &self.params[c.weight.index()];
                    let dw = &mut self.grads[c.weight.index()];
                    let dx = conv_backward(x(0), weight, c.kernel, c.stride, c.padding, &dy, dw);
                    give(0, &dx.data);
                    if let Some(bias) = c.bias {
                        let db = &mut self.grads[bias.index()];
                        let channels = db.len();
                        for (plane, values) in dy.data.chunks_exact(dy.size()).enumerate() {
                            db[plane % channels] += values.iter().sum::<f64>();
                        }
                    }
                }
                Op::BatchNorm(b) => {
                    let (mean, var, count) = &self.stats[&i];
                    let gamma = &self.params[b.gamma.index()];
                    let channels = gamma.len();
                    let size = dy.size();
                    let hat = |c: usize, v: f64| (v - mean[c]) / (var[c] + b.eps).sqrt();
                    let (mut sum, mut dot) = (vec![0.0; channels], vec![0.0; channels]);
                    let planes = || dy.data.chunks_exact(size).zip(x(0).data.chunks_exact(size)).enumerate();
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
                        let scale = gamma[c] / (var[c] + b.eps).sqrt();
                        dx.extend(
                            dy.iter().zip(x).map(|(d, &v)| scale * (d - sum[c] / n - hat(c, v) * dot[c] / n)),
                        );
                    }
                    give(0, &dx);
                    self.grads[b.gamma.index()] = dot;
                    self.grads[b.beta.index()] = sum;
                }
                Op::Relu => {
                    let mask = self.masks[i].as_ref().expect("set by the forward pass");
                    let dx: Vec<f64> =
                        dy.data.iter().zip(mask).map(|(&d, &keep)| if keep { d } else { 0.0 }).collect();
                    give(0, &dx);
                }
                Op::Dropout { .. } => {
                    self.drop(i, &mut dy);
                    give(0, &dy.data);
                }
                Op::Add => {
                    give(0, &dy.data);
                    give(1, &dy.data);
                }
                Op::UpsampleNearest { .. } | Op::ResizeBilinear { .. } => {
                    let mut dx = Array::zeros(x(0).shape);
                    for (dst, src, weight) in resize_taps(&node.op, x(0), &dy) {
                        let (so, ss) = (dy.size(), dx.size());
                        for plane in 0..dy.shape[0] * dy.shape[1] {
                            dx.data[plane * ss + src] += weight * dy.data[plane * so + dst];
                        }
                    }
                    give(0, &dx.data);
                }
                Op::Concat => {
                    let image = dy.data.len() / dy.shape[0];
                    let mut first = 0;
                    for k in 0..node.inputs.len() {
                        let part = x(k).data.len() / dy.shape[0];
                        let dx: Vec<f64> = (0..dy.shape[0])
                            .flat_map(|n| &dy.data[n * image + first..][..part])
                            .copied()
                            .collect();
                        give(k, &dx);
                        first += part;
                    }
                }
                Op::GlobalAvgPool => {
                    let size = x(0).size();
                    let dx: Vec<f64> =
                        dy.data.iter().flat_map(|&d| std::iter::repeat_n(d / size as f64, size)).collect();
                    give(0, &dx);
                }
                Op::Linear { weight, bias } => {
                    let (inputs, outputs) = (x(0).shape[1], dy.shape[1]);
                    let mut dx = vec![0.0; x(0).data.len()];
                    for n in 0..dy.shape[0] {
                        for o in 0..outputs {
                            let d = dy.data[n * outputs + o];
                            self.grads[bias.index()][o] += d;
                            for k in 0..inputs {
                                let at = o * inputs + k;
                                dx[n * inputs + k] += d * self.params[weight.index()][at];
                                self.grads[weight.index()][at] += d * x(0).data[n * inputs + k];
                            }
                        }
                    }
                    give(0, &dx);
                }
                ref op => {
                    let sources: Vec<&Array> = node.inputs.iter().map(|v| &self.values[v.index()]).collect();
                    let mut none = Vec::new();
                    let dw = match op {
                        Op::ConvTranspose(conv) => &mut self.grads[conv.weight.index()],
                        _ => &mut none,
                    };
                    let dx = extra_of(op, &self.params).backward(&sources, &dy, dw);
                    dx.iter().enumerate().for_each(|(k, dx)| give(k, &dx.data));
                }
            }
        }
    }

    /// Moves the running statistics and takes an optimiser step.
    pub fn step(&mut self, optimizer: Optimizer) {
        for (i, node) in self.net.nodes().iter().enumerate() {
            if let Op::BatchNorm(b) = node.op {
                let (mean, var, count) = &self.stats[&i];
                let unbias = *count as f64 / (*count as f64 - 1.0);
                for c in 0..mean.len() {
                    let m = b.momentum;
                    let running = &mut self.params[b.mean.index()][c];
                    *running = (1.0 - m) * *running + m * mean[c];
                    let running = &mut self.params[b.var.index()][c];
                    *running = (1.0 - m) * *running + m * var[c] * unbias;
                }
            }
        }
        self.steps += 1;
        let [first, second] = &mut self.state;
        for (i, _) in self.net.params().iter().enumerate().filter(|(_, p)| p.role.is_trainable()) {
            for (k, p) in self.params[i].iter_mut().enumerate() {
                let g = self.grads[i][k];
                let (m, v) = (&mut first[i][k], &mut second[i][k]);
                match optimizer {
                    Optimizer::Adam { rate } => {
                        *m = 0.9 * *m + 0.1 * g;
                        *v = 0.999 * *v + 0.001 * g * g;
                        let m_hat = *m / (1.0 - 0.9f64.powi(self.steps));
                        let v_hat = *v / (1.0 - 0.999f64.powi(self.steps));
                        *p -= rate * m_hat / (v_hat.sqrt() + 1e-8);
                    }
                    Optimizer::Sgd { rate, momentum, nesterov, weight_decay } => {
                        let g = g + weight_decay * *p;
                        *m = momentum * *m + g;
                        *p -= rate * if nesterov { g + momentum * *m } else { *m };
                    }
                }
            }
        }
    }

    /// One of the arrays of [`Reference`] under the names of the parameters, rounded to f32.
    pub fn export(&self, arrays: &[Vec<f64>], trainable: bool) -> Weights {
        let params = self.net.params().iter().zip(arrays);
        params
            .filter(|(p, _)| !trainable || p.role.is_trainable())
            .map(|(p, a)| {
                let data = a.iter().map(|&v| v as f32).collect();
                (p.name.clone(), hrnet_ir::Tensor::new(p.shape.clone(), data).expect("one value per element"))
            })
            .collect()
    }

    /// The gradient of a parameter.
    pub fn gradient(&self, name: &str) -> &[f64] {
        &self.grads
            [self.net.params().iter().position(|p| p.name == name).expect("a parameter of the network")]
    }

    /// A parameter or buffer.
    pub fn param(&self, name: &str) -> &[f64] {
        &self.params
            [self.net.params().iter().position(|p| p.name == name).expect("a parameter of the network")]
    }
}

fn statistics(x: &Array) -> (Vec<f64>, Vec<f64>, usize) {
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
    (mean, var, count)
}

fn conv(x: &Array, weight: &[f64], bias: Option<&[f64]>, k: usize, s: usize, p: usize, out: &mut Array) {
    let [n, oc, oh, ow] = out.shape;
    let ic = x.shape[1];
    let x = x.padded(p);
    let (size, w) = (x.size(), x.shape[3]);
    for image in 0..n {
        for o in 0..oc {
            let dst = &mut out.data[(image * oc + o) * oh * ow..][..oh * ow];
            dst.fill(bias.map_or(0.0, |b| b[o]));
            for i in 0..ic {
                let src = &x.data[(image * ic + i) * size..][..size];
                for (tap, &wt) in weight[(o * ic + i) * k * k..][..k * k].iter().enumerate() {
                    for (y, row) in dst.chunks_exact_mut(ow).enumerate() {
                        let from = &src[(y * s + tap / k) * w + tap % k..];
                        if s == 1 {
                            row.iter_mut().zip(&from[..ow]).for_each(|(d, v)| *d += wt * v);
                        } else {
                            row.iter_mut().zip(from.iter().step_by(s)).for_each(|(d, v)| *d += wt * v);
                        }
                    }
                }
            }
        }
    }
}

fn conv_backward(
    x: &Array,
    weight: &[f64],
    k: usize,
    s: usize,
    p: usize,
    dy: &Array,
    dw: &mut [f64],
) -> Array {
    let [n, oc, oh, ow] = dy.shape;
    let ic = x.shape[1];
    let shape = x.shape;
    let x = x.padded(p);
    let mut dx = Array::zeros(x.shape);
    let (size, w) = (x.size(), x.shape[3]);
    for image in 0..n {
        for o in 0..oc {
            let grad = &dy.data[(image * oc + o) * oh * ow..][..oh * ow];
            for i in 0..ic {
                let plane = (image * ic + i) * size;
                for tap in 0..k * k {
                    let at = (o * ic + i) * k * k + tap;
                    let mut sum = 0.0;
                    for (y, row) in grad.chunks_exact(ow).enumerate() {
                        let start = plane + (y * s + tap / k) * w + tap % k;
                        if s == 1 {
                            let src = &x.data[start..start + ow];
                            sum += row.iter().zip(src).map(|(d, v)| d * v).sum::<f64>();
                            let dst = &mut dx.data[start..start + ow];
                            dst.iter_mut().zip(row).for_each(|(t, d)| *t += weight[at] * d);
                        } else {
                            for (column, d) in row.iter().enumerate() {
                                sum += d * x.data[start + column * s];
                                dx.data[start + column * s] += weight[at] * d;
                            }
                        }
                    }
                    dw[at] += sum;
                }
            }
        }
    }
    let mut cropped = Array::zeros(shape);
    let [_, _, h, width] = shape;
    for (dst, src) in cropped.data.chunks_exact_mut(h * width).zip(dx.data.chunks_exact(size)) {
        for (y, row) in dst.chunks_exact_mut(width).enumerate() {
            row.copy_from_slice(&src[(y + p) * w + p..][..width]);
        }
    }
    cropped
}

/// (destination pixel, source pixel, weight) of a resize or an upsampling.
fn resize_taps(op: &Op, x: &Array, out: &Array) -> Vec<(usize, usize, f64)> {
    let ([_, _, h, w], [_, _, oh, ow]) = (x.shape, out.shape);
    let axis = |size: usize, out: usize| -> Vec<[(usize, f64); 2]> {
        (0..out)
            .map(|o| {
                let pos = match *op {
                    Op::UpsampleNearest { factor } => (o / factor) as f64,
                    Op::ResizeBilinear { align_corners: true } if out > 1 => {
                        o as f64 * (size - 1) as f64 / (out - 1) as f64
                    }
                    Op::ResizeBilinear { align_corners: true } => 0.0,
                    _ => ((o as f64 + 0.5) * size as f64 / out as f64 - 0.5).max(0.0),
                };
                let low = (pos as usize).min(size - 1);
                let weight = pos - low as f64;
                [(low, 1.0 - weight), ((low + 1).min(size - 1), weight)]
            })
            .collect()
    };
    let (ys, xs) = (axis(h, oh), axis(w, ow));
    let mut taps = Vec::new();
    for (oy, y) in ys.iter().enumerate() {
        for (ox, x) in xs.iter().enumerate() {
            for &(sy, wy) in y {
                for &(sx, wx) in x {
                    if wy * wx != 0.0 {
                        taps.push((oy * ow + ox, sy * w + sx, wy * wx));
                    }
                }
            }
        }
    }
    taps
}

/// The rarer operations. A transposed convolution in training has no bias.
fn extra_of<'a>(op: &Op, params: &'a [Vec<f64>]) -> Extra<'a> {
    match *op {
        Op::ConvTranspose(hrnet_ir::ConvTranspose { weight, kernel, stride, padding, .. }) => {
            Extra::Transpose { weight: &params[weight.index()], kernel, stride, padding }
        }
        Op::AvgPool { size } => Extra::AvgPool { size },
        Op::MaxPool { size } => Extra::MaxPool { size },
        Op::RegionGather => Extra::Gather,
        Op::RegionAttend { scale } => Extra::Attend { scale },
        ref op => unreachable!("{op:?} is handled before"),
    }
}
