//! Batch norms vanish into the convolutions in front of them.
//!
//! `gamma * (conv(x) + b - mean) / sqrt(var + eps) + beta` is a convolution with weight `w * s` and bias
//! `(b - mean) * s + beta`, `s = gamma / sqrt(var + eps)`; computed in f64, rounded once.

use crate::net::{BatchNorm, Net, Node, Op, Output, Param, ParamId, ParamRole, Value};
use crate::{Tensor, Weights};
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
pub fn fold_batch_norm(net: &Net, weights: &Weights) -> Result<(Net, Weights), FoldError> {
    let uses = net.use_counts();
    let mut folded = Folded { source: net, weights, params: Vec::new(), tensors: Weights::new() };
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
    let Folded { params, tensors, .. } = folded;
    Ok((Net { nodes, params, outputs, size_multiple: net.size_multiple }, tensors))
}

struct Folded<'a> {
    source: &'a Net,
    weights: &'a Weights,
    params: Vec<Param>,
    tensors: Weights,
}

impl Folded<'_> {
    fn tensor(&self, id: ParamId) -> Result<&Tensor, FoldError> {
        let param = self.source.param(id);
        match self.weights.get(&param.name) {
            Some(t) if t.shape() == param.shape => Ok(t),
            found => Err(FoldError::Weight {
                name: param.name.clone(),
                wanted: param.shape.clone(),
                found: found.map(|t| t.shape().to_vec()),
            }),
        }
    }

    fn add(&mut self, name: String, role: ParamRole, tensor: Tensor) -> ParamId {
        let id = ParamId(self.params.len() as u32);
        self.params.push(Param { name: name.clone(), shape: tensor.shape().to_vec(), role });
        self.tensors.insert(name, tensor);
        id
    }

    fn keep(&mut self, id: ParamId) -> Result<ParamId, FoldError> {
        let tensor = self.tensor(id)?.clone();
        let param = self.source.param(id);
        Ok(self.add(param.name.clone(), param.role, tensor))
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
        let values = |t: &Tensor| t.data().iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let (gamma, beta) = (values(self.tensor(bn.gamma)?), values(self.tensor(bn.beta)?));
        let (mean, var) = (values(self.tensor(bn.mean)?), values(self.tensor(bn.var)?));
        let old_bias = match bias {
            Some(b) => values(self.tensor(b)?),
            None => vec![0.0; node.channels],
        };
        let scale: Vec<f64> = gamma.iter().zip(&var).map(|(g, v)| g / (v + bn.eps).sqrt()).collect();
        let new_bias =
            (0..node.channels).map(|o| ((old_bias[o] - mean[o]) * scale[o] + beta[o]) as f32).collect();
        let mut new_weight = self.tensor(weight)?.clone();
        let inner: usize = new_weight.shape()[out_axis + 1..].iter().product();
        for (i, w) in new_weight.data_mut().iter_mut().enumerate() {
            *w = (f64::from(*w) * scale[(i / inner) % node.channels]) as f32;
        }
        let param = self.source.param(weight);
        let weight = self.add(param.name.clone(), param.role, new_weight);
        let bias = Tensor::new([node.channels], new_bias).expect("one bias per channel");
        Ok((weight, self.add(format!("{}.bias", node.name), ParamRole::Bias, bias)))
    }
}
