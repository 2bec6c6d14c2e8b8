//! Parameters, gradients and buffers of a network, each kind in one flat array in state-dict order.
//!
//! One array makes an optimiser a single loop; the network's names and shapes come back on export.

use crate::error::TapeError;
use hrnet_ir::{Net, ParamId, ParamRole, Tensor, Weights};
use std::ops::Range;

/// Where a parameter lies: in `values` and `grads` when trainable, else in `buffers`.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub name: String,
    pub shape: Vec<usize>,
    pub role: ParamRole,
    pub range: Range<usize>,
}

/// All parameters of a network.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    pub slots: Vec<Slot>,
    pub values: Vec<f32>,
    pub grads: Vec<f32>,
    pub buffers: Vec<f32>,
}

impl Params {
    /// Takes the parameters of `net` from `weights`. A missing `num_batches_tracked` is zero.
    pub fn new(net: &Net, weights: &Weights) -> Result<Self, TapeError> {
        let coverage = weights.compare(net);
        if !coverage.is_complete() {
            let mut names = coverage.missing;
            let missing = names.len();
            names.extend(coverage.wrong_shape.iter().map(|m| m.name.clone()));
            let wrong = names.len() - missing;
            names.truncate(5);
            return Err(TapeError::Weights { missing, wrong, names: names.join(", ") });
        }
        let mut params =
            Self { slots: Vec::new(), values: Vec::new(), grads: Vec::new(), buffers: Vec::new() };
        for param in net.params() {
            let home = match param.role.is_trainable() {
                true => &mut params.values,
                false => &mut params.buffers,
            };
            let start = home.len();
            match weights.get(&param.name) {
                Some(tensor) => home.extend_from_slice(tensor.data()),
                None => home.resize(start + param.len(), 0.0),
            }
            params.slots.push(Slot {
                name: param.name.clone(),
                shape: param.shape.clone(),
                role: param.role,
                range: start..home.len(),
            });
        }
        params.grads = vec![0.0; params.values.len()];
        Ok(params)
    }

    pub fn range(&self, id: ParamId) -> Range<usize> {
        self.slots[id.index()].range.clone()
    }

    /// Slots that an optimiser changes, in order; their ranges cover `values`.
    pub fn trainable(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|s| s.role.is_trainable())
    }

    /// Sets the gradients of some parameters to zero.
    pub fn clear_gradients(&mut self, which: impl Fn(&str) -> bool) {
        for slot in self.slots.iter().filter(|s| s.role.is_trainable() && which(&s.name)) {
            self.grads[slot.range.clone()].fill(0.0);
        }
    }

    /// Everything under its state-dict name, from arrays in the layout of `values` and `buffers`.
    pub fn export(&self, values: &[f32], buffers: &[f32]) -> Weights {
        self.slots
            .iter()
            .map(|slot| {
                let home = if slot.role.is_trainable() { values } else { buffers };
                (slot.name.clone(), slot.tensor(home))
            })
            .collect()
    }

    /// The trainable entries of an array in the layout of `values`.
    pub fn export_trainable(&self, values: &[f32]) -> Weights {
        self.trainable().map(|slot| (slot.name.clone(), slot.tensor(values))).collect()
    }
}

impl Slot {
    fn tensor(&self, home: &[f32]) -> Tensor {
        Tensor::new(self.shape.clone(), home[self.range.clone()].to_vec())
            .expect("slots have their shape's length")
    }
}
