//! Training in f64, slow and obvious: the meaning of a training step, as `hrnet_ir::interp` is that of inference. The
//! tape of `hrnet-train` is tested against it, and it is tested itself against the official code;
//! `hrnet verify --executor interpreter` runs it.
//!
//! ReLU has a kink: an f32 forward pass puts a few of millions of values on the other side of it, and each such flip
//! changes gradients far more than rounding does. [`Reference::forward`] can therefore take the signs of another run.

mod array;
mod conv;
mod losses;
mod norm;
mod optimizer;
mod pool;
mod region;
mod resize;

pub use array::Array;
pub use losses::{loss_of, objective_of};
pub use optimizer::Optimizer;

use hrnet_ir::{Net, Op, ParamId, Weights};
use norm::Statistics;
use pool::Window;
use resize::Resize;
use std::collections::HashMap;

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
    /// Of each batch norm in the last batch, by node.
    stats: HashMap<usize, Statistics>,
    masks: Vec<Option<Vec<bool>>>,
    /// Optimiser state, two arrays per parameter, and its steps.
    pub state: [Vec<Vec<f64>>; 2],
    /// Optimiser steps done.
    pub steps: i32,
    /// Factors of dropout nodes by image and channel; nodes without drop nothing.
    pub dropped: HashMap<usize, Vec<f32>>,
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
                    conv::forward(&c, x(0), self.p(c.weight), c.bias.map(|b| self.p(b)), &mut out);
                }
                Op::ConvTranspose(c) => conv::transpose_forward(&c, x(0), self.p(c.weight), &mut out),
                Op::Linear { weight, bias } => {
                    conv::linear_forward(x(0), self.p(weight), self.p(bias), &mut out);
                }
                Op::BatchNorm(b) => {
                    let stats = Statistics::of(x(0));
                    stats.forward(b.eps, x(0), self.p(b.gamma), self.p(b.beta), &mut out);
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
                Op::UpsampleNearest { factor } => Resize::Nearest { factor }.forward(x(0), &mut out),
                Op::ResizeBilinear { align_corners } => {
                    Resize::Bilinear { align_corners }.forward(x(0), &mut out);
                }
                Op::Concat => {
                    let parts: Vec<&Array> = (0..node.inputs.len()).map(x).collect();
                    out.data = concat(&parts);
                }
                Op::GlobalAvgPool => out.data = pool::global_forward(x(0)),
                Op::AvgPool { size } => Window::Average.forward(size, x(0), &mut out),
                Op::MaxPool { size } => Window::Maximum.forward(size, x(0), &mut out),
                Op::RegionGather => region::gather_forward(x(0), x(1), &mut out),
                Op::RegionAttend { scale } => {
                    region::attend_forward(scale, [x(0), x(1), x(2)], &mut out);
                }
                Op::Dropout { .. } => {
                    out.data.clone_from(&x(0).data);
                    self.drop(i, &mut out);
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
            let dy = std::mem::take(&mut grads[i]);
            for (input, dx) in node.inputs.iter().zip(self.node_backward(i, dy)) {
                let to = &mut grads[input.index()].data;
                to.iter_mut().zip(&dx).for_each(|(t, d)| *t += d);
            }
        }
    }

    /// Sets or adds to the gradients of a node's parameters; returns those of its inputs, in order. An input that gives
    /// only a size has none.
    fn node_backward(&mut self, i: usize, mut dy: Array) -> Vec<Vec<f64>> {
        let node = &self.net.nodes()[i];
        let x = |k: usize| &self.values[node.inputs[k].index()];
        match node.op {
            Op::Input => Vec::new(),
            Op::Conv(c) => {
                let weight = &self.params[c.weight.index()];
                let dx = conv::backward(&c, x(0), weight, &dy, &mut self.grads[c.weight.index()]);
                if let Some(bias) = c.bias {
                    conv::bias_backward(&dy, &mut self.grads[bias.index()]);
                }
                vec![dx.data]
            }
            Op::ConvTranspose(c) => {
                let weight = &self.params[c.weight.index()];
                let dw = &mut self.grads[c.weight.index()];
                vec![conv::transpose_backward(&c, x(0), weight, &dy, dw).data]
            }
            Op::Linear { weight, bias } => {
                conv::bias_backward(&dy, &mut self.grads[bias.index()]);
                let dw = &mut self.grads[weight.index()];
                vec![conv::linear_backward(x(0), &self.params[weight.index()], &dy, dw).data]
            }
            Op::BatchNorm(b) => {
                let gamma = &self.params[b.gamma.index()];
                let [dx, dgamma, dbeta] = self.stats[&i].backward(b.eps, x(0), gamma, &dy);
                self.grads[b.gamma.index()] = dgamma;
                self.grads[b.beta.index()] = dbeta;
                vec![dx]
            }
            Op::Relu => {
                let mask = self.masks[i].as_ref().expect("set by the forward pass");
                vec![dy.data.iter().zip(mask).map(|(&d, &keep)| if keep { d } else { 0.0 }).collect()]
            }
            Op::Dropout { .. } => {
                self.drop(i, &mut dy);
                vec![dy.data]
            }
            Op::Add => vec![dy.data.clone(), dy.data],
            Op::UpsampleNearest { factor } => vec![Resize::Nearest { factor }.backward(x(0).shape, &dy).data],
            Op::ResizeBilinear { align_corners } => {
                vec![Resize::Bilinear { align_corners }.backward(x(0).shape, &dy).data]
            }
            Op::Concat => {
                let parts: Vec<&Array> = (0..node.inputs.len()).map(x).collect();
                concat_backward(&parts, &dy)
            }
            Op::GlobalAvgPool => vec![pool::global_backward(x(0), &dy)],
            Op::AvgPool { size } => vec![Window::Average.backward(size, x(0), &dy).data],
            Op::MaxPool { size } => vec![Window::Maximum.backward(size, x(0), &dy).data],
            Op::RegionGather => region::gather_backward(x(0), x(1), &dy).map(|dx| dx.data).into(),
            Op::RegionAttend { scale } => {
                region::attend_backward(scale, [x(0), x(1), x(2)], &dy).map(|dx| dx.data).into()
            }
        }
    }

    /// Moves the running statistics and takes an optimiser step.
    pub fn step(&mut self, optimizer: Optimizer) {
        for (i, node) in self.net.nodes().iter().enumerate() {
            if let Op::BatchNorm(b) = node.op {
                let [mean, var] =
                    self.params.get_disjoint_mut([b.mean.index(), b.var.index()]).expect("two parameters");
                self.stats[&i].commit(b.momentum, mean, var);
            }
        }
        self.steps += 1;
        let [first, second] = &mut self.state;
        for (i, _) in self.net.params().iter().enumerate().filter(|(_, p)| p.role.is_trainable()) {
            for (k, p) in self.params[i].iter_mut().enumerate() {
                optimizer.step(self.steps, p, self.grads[i][k], &mut first[i][k], &mut second[i][k]);
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

/// Values side by side along channels.
fn concat(parts: &[&Array]) -> Vec<f64> {
    let images = parts[0].shape[0];
    let mut data = Vec::new();
    for n in 0..images {
        for part in parts {
            let image = part.data.len() / images;
            data.extend_from_slice(&part.data[n * image..][..image]);
        }
    }
    data
}

/// The gradient of each part.
fn concat_backward(parts: &[&Array], dy: &Array) -> Vec<Vec<f64>> {
    let images = dy.shape[0];
    let image = dy.data.len() / images;
    let mut first = 0;
    let each = parts.iter().map(|part| {
        let size = part.data.len() / images;
        let dx = (0..images).flat_map(|n| &dy.data[n * image + first..][..size]).copied().collect();
        first += size;
        dx
    });
    each.collect()
}
