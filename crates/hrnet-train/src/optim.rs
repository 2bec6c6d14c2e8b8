//! Optimisers over flat parameter arrays, equal to PyTorch's step for step, and an average of the weights.
//!
//! Scalars are computed in f64 and element-wise arithmetic in f32, in PyTorch's order of operations.

mod adam;
mod sgd;

use crate::freeze::{self, Freeze, LayerRate};
use crate::par;
use crate::params::Params;
use hrnet_ir::ParamRole;
use hrnet_kernels::Pool;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Which optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// Stochastic gradient descent.
    Sgd {
        /// Factor on the velocity.
        #[serde(default)]
        momentum: f64,
        /// Nesterov's look-ahead.
        #[serde(default)]
        nesterov: bool,
        /// Factor on the parameters that is added to their gradients.
        #[serde(default)]
        weight_decay: f64,
        /// Leave biases and batch norms out of the decay. PyTorch's single group does not.
        #[serde(default)]
        decay_weights_only: bool,
    },
    /// Adam; the decay is added to the gradients.
    Adam {
        /// Decay rates of the two moments.
        #[serde(default = "betas")]
        betas: (f64, f64),
        /// Added to the denominator.
        #[serde(default = "eps")]
        eps: f64,
        /// Factor on the parameters that is added to their gradients.
        #[serde(default)]
        weight_decay: f64,
        /// Leave biases and batch norms out of the decay.
        #[serde(default)]
        decay_weights_only: bool,
    },
    /// Adam with decoupled decay.
    AdamW {
        /// Decay rates of the two moments.
        #[serde(default = "betas")]
        betas: (f64, f64),
        /// Added to the denominator.
        #[serde(default = "eps")]
        eps: f64,
        /// The share of a parameter that is taken off, times the learning rate.
        weight_decay: f64,
        /// Leave biases and batch norms out of the decay.
        #[serde(default)]
        decay_weights_only: bool,
    },
}

fn betas() -> (f64, f64) {
    (0.9, 0.999)
}
fn eps() -> f64 {
    1e-8
}

impl OptimizerConfig {
    /// Adam with PyTorch's defaults.
    pub fn adam() -> Self {
        Self::Adam { betas: betas(), eps: eps(), weight_decay: 0.0, decay_weights_only: false }
    }

    /// AdamW with PyTorch's defaults but for the decay.
    pub fn adam_w(weight_decay: f64) -> Self {
        Self::AdamW { betas: betas(), eps: eps(), weight_decay, decay_weights_only: false }
    }

    /// SGD.
    pub fn sgd(momentum: f64, nesterov: bool, weight_decay: f64) -> Self {
        Self::Sgd { momentum, nesterov, weight_decay, decay_weights_only: false }
    }

    /// Its name in checkpoints.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd { .. } => "sgd",
            Self::Adam { .. } => "adam",
            Self::AdamW { .. } => "adam_w",
        }
    }

    /// Names of its state arrays.
    pub(crate) fn state_names(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd { momentum: 0.0, .. } => &[],
            Self::Sgd { .. } => &["momentum_buffer"],
            Self::Adam { .. } | Self::AdamW { .. } => &["exp_avg", "exp_avg_sq"],
        }
    }

    fn decay(&self) -> (f64, bool) {
        match *self {
            Self::Sgd { weight_decay, decay_weights_only, .. }
            | Self::Adam { weight_decay, decay_weights_only, .. }
            | Self::AdamW { weight_decay, decay_weights_only, .. } => (weight_decay, decay_weights_only),
        }
    }

    pub(crate) fn check(&self) -> Result<(), crate::TrainError> {
        let fail = |name, value: f64, wanted| {
            Err(crate::TrainError::Option { name, value: value.to_string(), wanted })
        };
        let (decay, _) = self.decay();
        if !(decay >= 0.0 && decay.is_finite()) {
            return fail("weight_decay", decay, "0 or more");
        }
        match *self {
            Self::Sgd { momentum, nesterov, .. } => {
                if !(0.0..1.0).contains(&momentum) {
                    return fail("momentum", momentum, "at least 0, below 1");
                }
                if nesterov && momentum == 0.0 {
                    return fail("momentum", momentum, "above 0 with nesterov");
                }
            }
            Self::Adam { betas, eps, .. } | Self::AdamW { betas, eps, .. } => {
                for beta in [betas.0, betas.1] {
                    if !(0.0..1.0).contains(&beta) {
                        return fail("betas", beta, "at least 0, below 1");
                    }
                }
                if !(eps >= 0.0 && eps.is_finite()) {
                    return fail("eps", eps, "0 or more");
                }
            }
        }
        Ok(())
    }
}

/// A run of parameters with one decay, small enough for one task.
#[derive(Clone, Debug)]
struct Piece {
    range: Range<usize>,
    weight_decay: f64,
    /// Factor on the learning rate; 0 leaves the parameters as they are.
    rate: f64,
}

/// An optimiser with its state.
#[derive(Clone, Debug)]
pub(crate) struct Optimizer {
    pub config: OptimizerConfig,
    /// Steps done.
    pub steps: u64,
    /// One array per entry of [`OptimizerConfig::state_names`], in the layout of the parameters.
    pub state: Vec<Vec<f32>>,
    pieces: Vec<Piece>,
}

impl Optimizer {
    pub fn new(config: OptimizerConfig, params: &Params, freeze: &Freeze, rates: &[LayerRate]) -> Self {
        let (decay, weights_only) = config.decay();
        let mut pieces = Vec::new();
        for slot in params.trainable() {
            let decays = match slot.role {
                ParamRole::ConvWeight | ParamRole::ConvTransposeWeight | ParamRole::LinearWeight => true,
                _ => !weights_only,
            };
            let weight_decay = if decays { decay } else { 0.0 };
            let rate = freeze::factor(&slot.name, freeze, rates);
            let mut start = slot.range.start;
            while start < slot.range.end {
                let end = (start + par::CHUNK).min(slot.range.end);
                pieces.push(Piece { range: start..end, weight_decay, rate });
                start = end;
            }
        }
        let state = config.state_names().iter().map(|_| vec![0.0; params.values.len()]).collect();
        Self { config, steps: 0, state, pieces }
    }

    /// Changes the parameters by one step along `grads`.
    pub fn step(&mut self, pool: &Pool, values: &mut [f32], grads: &[f32], rate: f64) {
        self.steps += 1;
        let config = self.config;
        match config {
            OptimizerConfig::Sgd { momentum, nesterov, .. } => {
                let no_state = &mut Vec::new();
                let buffer = self.state.first_mut().unwrap_or(no_state);
                let mut work = split(&self.pieces, values, [buffer]);
                par::for_each_mut(pool, &mut work, |i, (values, [buffer])| {
                    let piece = &self.pieces[i];
                    if piece.rate == 0.0 {
                        return;
                    }
                    let (grads, rate) = (&grads[piece.range.clone()], rate * piece.rate);
                    sgd::update(values, grads, buffer, rate, momentum, nesterov, piece.weight_decay);
                });
            }
            OptimizerConfig::Adam { betas, eps, .. } | OptimizerConfig::AdamW { betas, eps, .. } => {
                let decoupled = matches!(config, OptimizerConfig::AdamW { .. });
                let steps = self.steps;
                let [first, second] = &mut self.state[..] else { unreachable!("Adam has two state arrays") };
                let mut work = split(&self.pieces, values, [first, second]);
                par::for_each_mut(pool, &mut work, |i, (values, [first, second])| {
                    let piece = &self.pieces[i];
                    if piece.rate == 0.0 {
                        return;
                    }
                    let grads = &grads[piece.range.clone()];
                    let rate = rate * piece.rate;
                    let scalars = adam::Scalars::new(rate, betas, eps, steps, decoupled);
                    adam::update(values, grads, first, second, &scalars, piece.weight_decay);
                });
            }
        }
    }
}

/// The pieces of the parameters with those of the state arrays; an empty state array gives empty pieces.
fn split<'a, const N: usize>(
    pieces: &[Piece],
    values: &'a mut [f32],
    state: [&'a mut Vec<f32>; N],
) -> Vec<(&'a mut [f32], [&'a mut [f32]; N])> {
    let mut values = values;
    let mut state = state.map(|s| &mut s[..]);
    pieces
        .iter()
        .map(|piece| {
            let len = piece.range.len();
            let value = values.split_off_mut(..len).expect("pieces cover the parameters");
            let parts =
                state.each_mut().map(|s| s.split_off_mut(..len.min(s.len())).expect("within the array"));
            (value, parts)
        })
        .collect()
}

/// An exponential moving average of parameters and running statistics.
///
/// After update `t` (from 0): `average += (1 - d) (current - average)` with `d = min(decay, (1 + t) / (10 + t))`, so
/// that the first steps do not drag the initial weights along.
#[derive(Clone, Debug, PartialEq)]
pub struct Ema {
    pub(crate) decay: f64,
    pub(crate) updates: u64,
    pub(crate) values: Vec<f32>,
    pub(crate) buffers: Vec<f32>,
}

impl Ema {
    pub(crate) fn new(decay: f64, params: &Params) -> Self {
        Self { decay, updates: 0, values: params.values.clone(), buffers: params.buffers.clone() }
    }

    pub(crate) fn update(&mut self, pool: &Pool, params: &Params) {
        let t = self.updates as f64;
        let share = (1.0 - self.decay.min((1.0 + t) / (10.0 + t))) as f32;
        self.updates += 1;
        let blend = |average: &mut [f32], current: &[f32]| {
            average.iter_mut().zip(current).for_each(|(a, &c)| *a += share * (c - *a));
        };
        par::for_each_chunk(pool, &mut self.values, |start, chunk| {
            blend(chunk, &params.values[start..start + chunk.len()]);
        });
        for slot in params.slots.iter().filter(|s| !s.role.is_trainable()) {
            let (average, current) =
                (&mut self.buffers[slot.range.clone()], &params.buffers[slot.range.clone()]);
            match slot.role {
                ParamRole::BatchCount => average.copy_from_slice(current),
                _ => blend(average, current),
            }
        }
    }

    /// The decay it approaches.
    pub fn decay(&self) -> f64 {
        self.decay
    }
}
