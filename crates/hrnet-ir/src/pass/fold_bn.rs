//! Batch norms vanish into the convolutions in front of them.
//!
//! `gamma * (conv(x) + b - mean) / sqrt(var + eps) + beta` is a convolution with weight `w * s` and bias
//! `(b - mean) * s + beta`, `s = gamma / sqrt(var + eps)`; computed in f64, rounded once.
//!
//! The weights come by value and are scaled where they lie: no tensor is copied, so the pass needs memory for the new
//! biases only. Scaling is bound by memory and done by a few threads; each element is computed on its own, so that the
//! result does not depend on their number.

use crate::net::{BatchNorm, Net, Node, Op, Output, Param, ParamId, ParamRole, Value};
use crate::{Tensor, Weights, par};
use std::collections::HashMap;

/// Why batch norms could not be folded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// A parameter is absent or has another shape.
    #[error("{name}: wanted {wanted:?}, found {found:?}")]
    Weight {
        /// State-dict name.
        name: String,
        /// Shape in the network.
        wanted: Vec<usize>,
        /// Shape in the weights, if it is there.
        found: Option<Vec<usize>>,
    },
    /// The batch norm does not follow a convolution that only it reads.
    #[error("{node}: this batch norm does not follow a convolution of its own and cannot be folded")]
    NotAfterConv {
        /// Name of the node.
        node: String,
    },
}

/// The network without batch norms. A convolution that had one gains a bias (`<conv>.bias`); all other names stay.
/// Tensors that the network does not read are dropped.
pub fn fold_batch_norm(net: &Net, weights: Weights) -> Result<(Net, Weights), FoldError> {
    let uses = net.use_counts();
    let mut folded = Folded { source: net, weights, params: Vec::new(), entries: Vec::new() };
    let mut bn_of: HashMap<usize, BatchNorm> = HashMap::new();
    for node in net.nodes() {
        let Op::BatchNorm(bn) = node.op else { continue };
        let conv = node.inputs[0];
        let is_conv = matches!(net.node(conv).op, Op::Conv(_) | Op::ConvTranspose(_));
        if !is_conv || uses[conv.index()] != 1 {
            return Err(FoldError::NotAfterConv { node: node.name.clone() });
        }
        bn_of.insert(conv.index(), bn);
    }
    let mut nodes: Vec<Node> = Vec::new();
    let mut map: Vec<Value> = Vec::with_capacity(net.nodes().len());
    for (i, node) in net.nodes().iter().enumerate() {
        if matches!(node.op, Op::BatchNorm(_)) {
            map.push(map[node.inputs[0].index()]);
            continue;
        }
        let op = folded.op(node, bn_of.get(&i))?;
        map.push(Value(nodes.len() as u32));
        let inputs = node.inputs.iter().map(|v| map[v.index()]).collect();
        nodes.push(Node { name: node.name.clone(), op, inputs, channels: node.channels });
    }
    let outputs =
        net.outputs.iter().map(|o| Output { name: o.name.clone(), value: map[o.value.index()] }).collect();
    let Folded { params, mut entries, .. } = folded;
    let bytes = entries.iter().map(|e| 4 * e.tensor.len()).sum();
    scale_all(&mut entries, par::threads(bytes));
    let tensors = params.iter().map(|p| p.name.clone()).zip(entries.into_iter().map(|e| e.tensor)).collect();
    Ok((Net { nodes, params, outputs, size_multiple: net.size_multiple }, tensors))
}

/// A tensor of the new network, and what is still to be done to it.
struct Entry {
    tensor: Tensor,
    scale: Option<Scale>,
}

/// A factor for each output channel.
struct Scale {
    factors: Vec<f64>,
    /// Weights of one channel that lie together.
    inner: usize,
}

fn scale_all(entries: &mut [Entry], threads: usize) {
    let work: Vec<(&mut Tensor, &Scale)> =
        entries.iter_mut().filter_map(|e| Some((&mut e.tensor, e.scale.as_ref()?))).collect();
    par::for_each(work, &mut vec![(); threads], |(tensor, scale), ()| {
        if scale.inner == 0 || scale.factors.is_empty() {
            return;
        }
        let runs = tensor.data_mut().chunks_exact_mut(scale.inner);
        for (run, &factor) in runs.zip(scale.factors.iter().cycle()) {
            for w in run {
                *w = (f64::from(*w) * factor) as f32;
            }
        }
    });
}

struct Folded<'a> {
    source: &'a Net,
    weights: Weights,
    params: Vec<Param>,
    /// One for each of `params`.
    entries: Vec<Entry>,
}

impl Folded<'_> {
    fn check(&self, id: ParamId, found: Option<&Tensor>) -> Result<(), FoldError> {
        let param = self.source.param(id);
        if found.is_some_and(|t| t.shape() == param.shape) {
            return Ok(());
        }
        let found = found.map(|t| t.shape().to_vec());
        Err(FoldError::Weight { name: param.name.clone(), wanted: param.shape.clone(), found })
    }

    /// The tensor itself, which leaves the source: each belongs to one node.
    fn take(&mut self, id: ParamId) -> Result<Tensor, FoldError> {
        let tensor = self.weights.remove(&self.source.param(id).name);
        self.check(id, tensor.as_ref())?;
        Ok(tensor.expect("checked"))
    }

    /// The few values of a norm or a bias.
    fn values(&self, id: ParamId) -> Result<Vec<f64>, FoldError> {
        let tensor = self.weights.get(&self.source.param(id).name);
        self.check(id, tensor)?;
        Ok(tensor.expect("checked").data().iter().map(|&v| f64::from(v)).collect())
    }

    fn add(&mut self, name: String, role: ParamRole, tensor: Tensor, scale: Option<Scale>) -> ParamId {
        let id = ParamId(self.params.len() as u32);
        self.params.push(Param { name, shape: tensor.shape().to_vec(), role });
        self.entries.push(Entry { tensor, scale });
        id
    }

    fn keep(&mut self, id: ParamId) -> Result<ParamId, FoldError> {
        let tensor = self.take(id)?;
        let param = self.source.param(id);
        Ok(self.add(param.name.clone(), param.role, tensor, None))
    }

    fn op(&mut self, node: &Node, bn: Option<&BatchNorm>) -> Result<Op, FoldError> {
        Ok(match (node.op, bn) {
            (Op::Conv(conv), None) => {
                let weight = self.keep(conv.weight)?;
                let bias = conv.bias.map(|b| self.keep(b)).transpose()?;
                Op::Conv(crate::Conv { weight, bias, ..conv })
            }
            (Op::Conv(conv), Some(bn)) => {
                let (weight, bias) = self.fold(node, conv.weight, conv.bias, bn, 0)?;
                Op::Conv(crate::Conv { weight, bias: Some(bias), ..conv })
            }
            (Op::ConvTranspose(conv), Some(bn)) => {
                let (weight, bias) = self.fold(node, conv.weight, conv.bias, bn, 1)?;
                Op::ConvTranspose(crate::ConvTranspose { weight, bias: Some(bias), ..conv })
            }
            (Op::ConvTranspose(conv), None) => {
                let weight = self.keep(conv.weight)?;
                let bias = conv.bias.map(|b| self.keep(b)).transpose()?;
                Op::ConvTranspose(crate::ConvTranspose { weight, bias, ..conv })
            }
            (Op::Linear { weight, bias }, _) => {
                Op::Linear { weight: self.keep(weight)?, bias: self.keep(bias)? }
            }
            (op, _) => op,
        })
    }

    /// `out_axis` is the axis of the output channels in the weight: 0, or 1 for a transposed convolution.
    fn fold(
        &mut self,
        node: &Node,
        weight: ParamId,
        bias: Option<ParamId>,
        bn: &BatchNorm,
        out_axis: usize,
    ) -> Result<(ParamId, ParamId), FoldError> {
        let (gamma, beta) = (self.values(bn.gamma)?, self.values(bn.beta)?);
        let (mean, var) = (self.values(bn.mean)?, self.values(bn.var)?);
        let old_bias = match bias {
            Some(b) => self.values(b)?,
            None => vec![0.0; node.channels],
        };
        let factors: Vec<f64> = gamma.iter().zip(&var).map(|(g, v)| g / (v + bn.eps).sqrt()).collect();
        let new_bias =
            (0..node.channels).map(|o| ((old_bias[o] - mean[o]) * factors[o] + beta[o]) as f32).collect();
        let tensor = self.take(weight)?;
        let inner = tensor.shape()[out_axis + 1..].iter().product();
        let param = self.source.param(weight);
        let weight = self.add(param.name.clone(), param.role, tensor, Some(Scale { factors, inner }));
        let bias = Tensor::new([node.channels], new_bias).expect("one bias per channel");
        Ok((weight, self.add(format!("{}.bias", node.name), ParamRole::Bias, bias, None)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values with both signs, different from place to place.
    fn values(shape: &[usize]) -> Tensor {
        let data = (0..shape.iter().product::<usize>()).map(|i| ((i * 37 + 11) % 101) as f32 / 25.0 - 2.0);
        Tensor::new(shape.to_vec(), data.collect()).unwrap()
    }

    #[test]
    fn scaling_is_the_formula_for_any_number_of_threads() {
        let shapes: [(&[usize], usize); 4] =
            [(&[3, 2, 3, 3], 0), (&[5, 7, 1, 1], 0), (&[4, 3, 4, 4], 1), (&[3, 0, 1, 1], 0)];
        for threads in [1, 2, 3] {
            let mut entries = Vec::new();
            let mut wanted = Vec::new();
            for (shape, axis) in shapes {
                let tensor = values(shape);
                let channels = shape[axis];
                let factors: Vec<f64> = (0..channels).map(|c| 0.3 + c as f64 / 7.0).collect();
                let inner: usize = shape[axis + 1..].iter().product();
                wanted.push(
                    (0..tensor.len())
                        .map(|i| (f64::from(tensor.data()[i]) * factors[i / inner % channels]) as f32)
                        .collect::<Vec<_>>(),
                );
                entries.push(Entry { tensor, scale: Some(Scale { factors, inner }) });
            }
            scale_all(&mut entries, threads);
            for (entry, wanted) in entries.iter().zip(&wanted) {
                assert_eq!(entry.tensor.data(), wanted, "{:?}", entry.tensor);
            }
        }
    }

    #[test]
    fn tensors_move_and_problems_are_named() {
        let arch = crate::Arch { width: 2, ..crate::Arch::small_v1() };
        let model = crate::Model { arch, head: crate::Head::Pose { joints: 3, kernel: 1, branch: 0 } };
        let net = model.build().unwrap();
        let weights: Weights = net
            .params()
            .iter()
            .map(|p| (p.name.clone(), Tensor::new(p.shape.clone(), vec![0.5; p.len()]).unwrap()))
            .collect();
        let at = |w: &Weights| w.get("conv2.weight").unwrap().data().as_ptr();
        let place = at(&weights);
        let mut without = weights.clone();
        without.remove("conv2.weight");
        let mut other = weights.clone();
        other.insert("bn1.running_var", Tensor::zeros([3]));
        let (folded, tensors) = fold_batch_norm(&net, weights).unwrap();
        assert_eq!(at(&tensors), place, "the convolution weights are not copied");
        assert!(tensors.compare(&folded).is_exact());
        let error = fold_batch_norm(&net, without).unwrap_err().to_string();
        assert!(error.contains("conv2.weight") && error.contains("None"), "{error}");
        let error = fold_batch_norm(&net, other).unwrap_err().to_string();
        assert!(error.contains("bn1.running_var") && error.contains("[3]"), "{error}");
    }
}
