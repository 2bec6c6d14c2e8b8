//! The ordered name -> tensor map of a state dict, and its comparison with what a network wants.

use crate::{Net, ParamRole, Tensor};
use std::collections::HashMap;

/// Tensors under their state-dict names, in the order in which they were inserted.
///
/// Integer counters (`num_batches_tracked`) are kept as f32 scalars; they are exact up to 2^24.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    entries: Vec<(String, Tensor)>,
    index: HashMap<String, usize>,
}

impl Weights {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a tensor; returns the one it replaced.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) -> Option<Tensor> {
        let name = name.into();
        if let Some(&i) = self.index.get(&name) {
            return Some(std::mem::replace(&mut self.entries[i].1, tensor));
        }
        self.index.insert(name.clone(), self.entries.len());
        self.entries.push((name, tensor));
        None
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.index.get(name).map(|&i| &self.entries[i].1)
    }

    /// The tensor of that name, to change in place.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Tensor> {
        self.index.get(name).map(|&i| &mut self.entries[i].1)
    }

    /// Whether there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// Names and tensors in insertion order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.entries.iter().map(|(n, t)| (n.as_str(), t))
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the map has no tensors.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Compares with the parameters of `net`: everything that is missing, unexpected or of another shape, at once.
    pub fn compare(&self, net: &Net) -> Coverage {
        let mut coverage = Coverage::default();
        let mut wanted = std::collections::HashSet::new();
        for param in net.params() {
            wanted.insert(param.name.as_str());
            match self.get(&param.name) {
                None if param.role == ParamRole::BatchCount => {}
                None => coverage.missing.push(param.name.clone()),
                Some(t) if t.shape() != param.shape => coverage.wrong_shape.push(ShapeMismatch {
                    name: param.name.clone(),
                    wanted: param.shape.clone(),
                    found: t.shape().to_vec(),
                }),
                Some(_) => coverage.matched += 1,
            }
        }
        coverage.unexpected = self
            .entries
            .iter()
            .filter(|(n, _)| !wanted.contains(n.as_str()))
            .map(|(n, _)| n.clone())
            .collect();
        coverage
    }

    /// Names of tensors that hold NaN or infinity, with the number of such values.
    pub fn non_finite(&self) -> Vec<(String, usize)> {
        self.entries
            .iter()
            .filter_map(|(name, t)| {
                let bad = t.data().iter().filter(|v| !v.is_finite()).count();
                (bad > 0).then(|| (name.clone(), bad))
            })
            .collect()
    }
}

impl FromIterator<(String, Tensor)> for Weights {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(iter: I) -> Self {
        let mut weights = Weights::new();
        for (name, tensor) in iter {
            weights.insert(name, tensor);
        }
        weights
    }
}

/// A tensor whose shape is not the one the network wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeMismatch {
    /// State-dict name.
    pub name: String,
    /// The shape the network has.
    pub wanted: Vec<usize>,
    /// The shape in the file.
    pub found: Vec<usize>,
}

/// The outcome of comparing weights with a network. A missing `num_batches_tracked` does not count: nothing computes
/// with it, and files from before PyTorch 0.4.1 do not have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Parameters found with the right shape.
    pub matched: usize,
    /// Parameters the network has and the file lacks.
    pub missing: Vec<String>,
    /// Tensors the file has and the network lacks.
    pub unexpected: Vec<String>,
    /// Tensors of another shape.
    pub wrong_shape: Vec<ShapeMismatch>,
}

impl Coverage {
    /// Whether every parameter is there with its shape (unexpected tensors are allowed).
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.wrong_shape.is_empty()
    }

    /// Whether names and shapes agree exactly.
    pub fn is_exact(&self) -> bool {
        self.is_complete() && self.unexpected.is_empty()
    }
}
