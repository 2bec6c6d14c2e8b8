//! The ordered name -> tensor map of a state dict, and its comparison with what a network wants.

use crate::{Net, ParamRole, Tensor};
use std::collections::HashMap;

/// Tensors under their state-dict names, in the order in which they were inserted.
///
/// Integer counters (`num_batches_tracked`) are kept as f32 scalars; they are exact up to 2^24.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    /// In order of insertion; removed entries leave a hole, so that the others keep their place.
    entries: Vec<Option<(String, Tensor)>>,
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
        if let Some(place) = self.get_mut(&name) {
            return Some(std::mem::replace(place, tensor));
        }
        self.index.insert(name.clone(), self.entries.len());
        self.entries.push(Some((name, tensor)));
        None
    }

    /// Takes the tensor of that name out, to own it without a copy; the order of the others stays.
    pub fn remove(&mut self, name: &str) -> Option<Tensor> {
        let i = self.index.remove(name)?;
        self.entries[i].take().map(|(_, tensor)| tensor)
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        let &i = self.index.get(name)?;
        self.entries[i].as_ref().map(|(_, tensor)| tensor)
    }

    /// The tensor of that name, to change in place.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Tensor> {
        let &i = self.index.get(name)?;
        self.entries[i].as_mut().map(|(_, tensor)| tensor)
    }

    /// Whether there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// Names and tensors in insertion order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.entries.iter().flatten().map(|(n, t)| (n.as_str(), t))
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether the map has no tensors.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
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
        coverage.unexpected =
            self.iter().filter(|(n, _)| !wanted.contains(n)).map(|(n, _)| n.to_string()).collect();
        coverage
    }

    /// Names of tensors that hold NaN or infinity, with the number of such values.
    pub fn non_finite(&self) -> Vec<(String, usize)> {
        self.iter()
            .filter_map(|(name, t)| {
                let bad = t.data().iter().filter(|v| !v.is_finite()).count();
                (bad > 0).then(|| (name.to_string(), bad))
            })
            .collect()
    }
}

/// The same tensors under the same names in the same order.
impl PartialEq for Weights {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl IntoIterator for Weights {
    type Item = (String, Tensor);
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Option<(String, Tensor)>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter().flatten()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removing_keeps_order_and_names() {
        let names = ["a", "b", "c", "d"];
        let all: Weights = names.iter().map(|n| (n.to_string(), Tensor::scalar(1.0))).collect();
        let mut some = all.clone();
        assert_eq!(some.remove("b"), Some(Tensor::scalar(1.0)));
        assert_eq!((some.remove("b"), some.get("b"), some.len()), (None, None, 3));
        assert_ne!(some, all);
        assert_eq!(some.iter().map(|(n, _)| n).collect::<String>(), "acd");
        some.insert("b", Tensor::scalar(1.0));
        let order: String = some.clone().into_iter().map(|(n, _)| n).collect();
        assert_eq!(order, "acdb");
        assert_ne!(some, all, "another order");
        assert_eq!(
            some.clone(),
            ["a", "c", "d", "b"].map(|n| (n.into(), Tensor::scalar(1.0))).into_iter().collect()
        );
        assert!(some.contains("b") && !some.is_empty());
    }
}
