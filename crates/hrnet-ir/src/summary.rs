//! What a network costs: parameters, multiply-accumulates and activations per stage, without weights.

use crate::net::{Net, Node, Op, Value};
use crate::shape::ShapeError;

/// Costs of one part of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageCost {
    /// `stem`, `layer1`, `transition1`, `stage2`, ..., `head`.
    pub name: String,
    /// Trainable values.
    pub parameters: u64,
    /// Multiply-accumulates as the field counts them: convolutions and linear layers, a transposed convolution per
    /// output pixel, attention products left out.
    pub macs: u64,
    /// Multiply-accumulates that are really done: attention products included, a transposed convolution per input pixel.
    pub exact_macs: u64,
    /// Bytes in f32 of all convolution and linear outputs: what a trainer keeps.
    pub activation_bytes: u64,
}

/// Costs of a network for one input shape (of the whole batch).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// `[n, c, h, w]`.
    pub input: [usize; 4],
    /// Shape of each output with its name.
    pub outputs: Vec<(String, [usize; 4])>,
    /// Parts in order.
    pub stages: Vec<StageCost>,
    /// Sum over the parts.
    pub total: StageCost,
    /// Values of buffers (running statistics).
    pub buffers: u64,
    /// Bytes in f32 alive at the worst moment when operations run one by one and dead values are freed.
    pub peak_bytes: u64,
}

impl Summary {
    /// Costs of `net` on an input `[n, 3, h, w]`.
    pub fn new(net: &Net, input: [usize; 4]) -> Result<Self, ShapeError> {
        let shapes = net.shapes(input)?;
        let mut stages: Vec<StageCost> = Vec::new();
        for (i, node) in net.nodes().iter().enumerate().skip(1) {
            let name = stage_name(&node.name);
            let at = stages.iter().position(|s| s.name == name).unwrap_or_else(|| {
                stages.push(StageCost { name: name.to_string(), ..StageCost::default() });
                stages.len() - 1
            });
            let stage = &mut stages[at];
            stage.parameters += node_parameters(net, node);
            let exact = node_macs(node, shapes[i], |v| shapes[v.index()]);
            stage.exact_macs += exact;
            stage.macs += match node.op {
                Op::ConvTranspose(c) => exact * (c.stride * c.stride) as u64,
                Op::RegionGather | Op::RegionAttend { .. } => 0,
                _ => exact,
            };
            if matches!(node.op, Op::Conv(_) | Op::ConvTranspose(_) | Op::Linear { .. }) {
                stage.activation_bytes += bytes(shapes[i]);
            }
        }
        let mut total = StageCost { name: "total".into(), ..StageCost::default() };
        for stage in &stages {
            total.parameters += stage.parameters;
            total.macs += stage.macs;
            total.exact_macs += stage.exact_macs;
            total.activation_bytes += stage.activation_bytes;
        }
        let buffers = net.params().iter().filter(|p| !p.role.is_trainable()).map(|p| p.len() as u64).sum();
        let outputs = net.outputs().iter().map(|o| (o.name.clone(), shapes[o.value.index()])).collect();
        Ok(Self { input, outputs, stages, total, buffers, peak_bytes: peak(net, &shapes) })
    }

    /// The official repositories' "GFLOPs": multiply-accumulates divided by 2^30.
    pub fn published_gflops(&self) -> f64 {
        self.total.macs as f64 / (1u64 << 30) as f64
    }
}

fn bytes(shape: [usize; 4]) -> u64 {
    shape.iter().map(|&d| d as u64).product::<u64>() * 4
}

fn stage_name(node: &str) -> &str {
    let first = node.split(['.', '+']).next().unwrap_or(node);
    match first {
        "conv1" | "bn1" | "conv2" | "bn2" => "stem",
        s if s == "layer1" || s.starts_with("transition") => s,
        s if s.starts_with("stage") => s,
        _ => "head",
    }
}

fn node_parameters(net: &Net, node: &Node) -> u64 {
    let len = |id: crate::ParamId| net.param(id).len() as u64;
    match node.op {
        Op::Conv(c) => len(c.weight) + c.bias.map_or(0, len),
        Op::ConvTranspose(c) => len(c.weight) + c.bias.map_or(0, len),
        Op::BatchNorm(b) => len(b.gamma) + len(b.beta),
        Op::Linear { weight, bias } => len(weight) + len(bias),
        _ => 0,
    }
}

/// Multiply-accumulates that one node really does; batch norms, sums and resizes count nothing.
pub fn node_macs(node: &Node, out: [usize; 4], shape_of: impl Fn(Value) -> [usize; 4]) -> u64 {
    let product = |dims: &[usize]| dims.iter().map(|&d| d as u64).product::<u64>();
    let input = |i: usize| shape_of(node.inputs[i]);
    match node.op {
        Op::Conv(c) => product(&out) * product(&[input(0)[1], c.kernel, c.kernel]),
        Op::ConvTranspose(c) => product(&input(0)) * product(&[out[1], c.kernel, c.kernel]),
        Op::Linear { .. } => product(&[out[0], out[1], input(0)[1]]),
        Op::RegionGather => product(&input(0)) * input(1)[1] as u64,
        Op::RegionAttend { .. } => {
            let [n, c, h, w] = input(0);
            product(&[n, h, w, input(1)[2], c + input(2)[1]])
        }
        _ => 0,
    }
}

fn peak(net: &Net, shapes: &[[usize; 4]]) -> u64 {
    let mut readers = net.use_counts();
    let (mut live, mut peak) = (0, 0);
    for (i, node) in net.nodes().iter().enumerate() {
        live += bytes(shapes[i]);
        peak = peak.max(live);
        for v in &node.inputs {
            readers[v.index()] -= 1;
            if readers[v.index()] == 0 {
                live -= bytes(shapes[v.index()]);
            }
        }
    }
    peak
}
