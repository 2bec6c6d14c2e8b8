//! The grammar of a network, checked after building and after each pass.

use crate::net::{Net, Op, ParamId, ParamRole};
use std::collections::HashSet;

/// A broken rule of the grammar: an error in a description or a pass, never in user input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{node}: {problem}")]
pub struct VerifyError {
    /// Name of the node or parameter.
    pub node: String,
    /// What is wrong.
    pub problem: String,
}

/// Checks arity, order, unique names, channel counts, parameter shapes and that every parameter has one reader.
pub fn verify(net: &Net) -> Result<(), VerifyError> {
    let fail = |node: &str, problem: String| Err(VerifyError { node: node.to_string(), problem });
    let mut names = HashSet::new();
    for param in net.params() {
        if !names.insert(param.name.as_str()) {
            return fail(&param.name, "parameter name used twice".into());
        }
    }
    let mut readers = vec![0usize; net.params().len()];
    let mut node_names = HashSet::new();
    for (i, node) in net.nodes().iter().enumerate() {
        if !node_names.insert(node.name.as_str()) {
            return fail(&node.name, "node name used twice".into());
        }
        if let Some(v) = node.inputs.iter().find(|v| v.index() >= i) {
            return fail(&node.name, format!("reads node {} which comes later", v.index()));
        }
        let arity = match node.op {
            Op::Input => 0..=0,
            Op::Add | Op::ResizeBilinear { .. } | Op::RegionGather => 2..=2,
            Op::RegionAttend { .. } => 3..=3,
            Op::Concat => 1..=usize::MAX,
            _ => 1..=1,
        };
        if !arity.contains(&node.inputs.len()) {
            return fail(&node.name, format!("{} inputs for {}", node.inputs.len(), node.op.name()));
        }
        if matches!(node.op, Op::Input) != (i == 0) {
            return fail(&node.name, "the input is the first node and the only one of its kind".into());
        }
        let inputs: Vec<usize> = node.inputs.iter().map(|&v| net.node(v).channels).collect();
        for (id, role, shape) in wanted_params(&node.op, &inputs, node.channels) {
            readers[id.index()] += 1;
            let param = net.param(id);
            if param.role != role || param.shape != shape {
                return fail(&node.name, format!("{} is {:?}, wanted {shape:?}", param.name, param.shape));
            }
        }
        let channels = match node.op {
            Op::Add if inputs[0] != inputs[1] => return fail(&node.name, "adds unequal channels".into()),
            Op::Concat => inputs.iter().sum(),
            Op::BatchNorm(_) | Op::Relu | Op::Add | Op::Dropout { .. } => inputs[0],
            Op::UpsampleNearest { .. } | Op::ResizeBilinear { .. } => inputs[0],
            Op::AvgPool { .. } | Op::MaxPool { .. } | Op::GlobalAvgPool => inputs[0],
            Op::RegionGather => inputs[1],
            Op::RegionAttend { .. } => inputs[2],
            Op::Input | Op::Conv(_) | Op::ConvTranspose(_) | Op::Linear { .. } => node.channels,
        };
        if channels != node.channels || channels == 0 {
            return fail(&node.name, format!("has {} channels, its inputs give {channels}", node.channels));
        }
    }
    if let Some(i) = readers.iter().position(|&r| r != 1) {
        return fail(&net.params()[i].name, format!("parameter with {} readers", readers[i]));
    }
    match net.outputs() {
        [] => fail("network", "no outputs".into()),
        _ => Ok(()),
    }
}

fn wanted_params(op: &Op, inputs: &[usize], out: usize) -> Vec<(ParamId, ParamRole, Vec<usize>)> {
    match *op {
        Op::Conv(c) => {
            let mut wanted =
                vec![(c.weight, ParamRole::ConvWeight, vec![out, inputs[0], c.kernel, c.kernel])];
            wanted.extend(c.bias.map(|b| (b, ParamRole::Bias, vec![out])));
            wanted
        }
        Op::ConvTranspose(c) => {
            let shape = vec![inputs[0], out, c.kernel, c.kernel];
            let mut wanted = vec![(c.weight, ParamRole::ConvTransposeWeight, shape)];
            wanted.extend(c.bias.map(|b| (b, ParamRole::Bias, vec![out])));
            wanted
        }
        Op::BatchNorm(b) => vec![
            (b.gamma, ParamRole::Gamma, vec![out]),
            (b.beta, ParamRole::Beta, vec![out]),
            (b.mean, ParamRole::RunningMean, vec![out]),
            (b.var, ParamRole::RunningVar, vec![out]),
            (b.count, ParamRole::BatchCount, vec![]),
        ],
        Op::Linear { weight, bias } => {
            vec![(weight, ParamRole::LinearWeight, vec![out, inputs[0]]), (bias, ParamRole::Bias, vec![out])]
        }
        _ => Vec::new(),
    }
}
