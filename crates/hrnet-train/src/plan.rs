//! From the graph to units: every unit computes `out = act(f(sources) [+ addend])`, act = ReLU or identity.
//!
//! Batch norm, the residual or exchange addition behind it, and the ReLU behind that become one unit when the values
//! between have no other reader; so do upsampling and its addition. The tape runs units; the rules live here, away from
//! buffers.

use crate::error::TapeError;
use hrnet_ir::{BatchNorm, Conv, ConvTranspose, Net, Op, ParamId, Value};

/// The `f` of a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Conv(Conv),
    BatchNorm(BatchNorm),
    UpsampleNearest { factor: usize },
    ResizeBilinear { align_corners: bool },
    Identity,
    Concat,
    GlobalAvgPool,
    Linear { weight: ParamId, bias: ParamId },
    Transpose(ConvTranspose),
    AvgPool { size: usize },
    MaxPool { size: usize },
    RegionGather,
    RegionAttend { scale: f64 },
    Dropout { p: f64 },
}

impl Kind {
    /// Whether a ReLU behind it becomes a part of its unit.
    fn takes_relu(&self) -> bool {
        match self {
            Kind::Conv(_)
            | Kind::BatchNorm(_)
            | Kind::UpsampleNearest { .. }
            | Kind::ResizeBilinear { .. }
            | Kind::Identity => true,
            Kind::Concat
            | Kind::GlobalAvgPool
            | Kind::Linear { .. }
            | Kind::Transpose(_)
            | Kind::AvgPool { .. }
            | Kind::MaxPool { .. }
            | Kind::RegionGather
            | Kind::RegionAttend { .. }
            | Kind::Dropout { .. } => false,
        }
    }

    /// Whether its backward step reads only the shapes of its sources.
    pub fn is_linear(&self) -> bool {
        match self {
            Kind::UpsampleNearest { .. }
            | Kind::ResizeBilinear { .. }
            | Kind::Identity
            | Kind::Concat
            | Kind::GlobalAvgPool => true,
            Kind::Conv(_)
            | Kind::BatchNorm(_)
            | Kind::Linear { .. }
            | Kind::Transpose(_)
            | Kind::AvgPool { .. }
            | Kind::MaxPool { .. }
            | Kind::RegionGather
            | Kind::RegionAttend { .. }
            | Kind::Dropout { .. } => false,
        }
    }

    /// Whether its result is kept for its backward step even without a ReLU behind it.
    pub fn keeps_result(&self) -> bool {
        match self {
            Kind::Transpose(_)
            | Kind::AvgPool { .. }
            | Kind::MaxPool { .. }
            | Kind::RegionGather
            | Kind::RegionAttend { .. }
            | Kind::Dropout { .. } => true,
            Kind::Conv(_)
            | Kind::BatchNorm(_)
            | Kind::UpsampleNearest { .. }
            | Kind::ResizeBilinear { .. }
            | Kind::Identity
            | Kind::Concat
            | Kind::GlobalAvgPool
            | Kind::Linear { .. } => false,
        }
    }
}

/// One step of the forward pass. Values are node positions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unit {
    pub name: String,
    pub kind: Kind,
    pub sources: Vec<usize>,
    pub addend: Option<usize>,
    pub relu: bool,
    pub out: usize,
}

/// The units of a network in running order.
#[derive(Clone, Debug)]
pub(crate) struct Units {
    pub units: Vec<Unit>,
    /// How many units and outputs read each value; the size-giving input of a resize does not count.
    pub readers: Vec<usize>,
    /// Values of the network's outputs.
    pub outputs: Vec<usize>,
}

/// Turns a network into units, or names the first operation without a backward pass.
pub(crate) fn units(net: &Net) -> Result<Units, TapeError> {
    let nodes = net.nodes();
    // Dropout with p = 0 is another name of its input.
    let mut alias: Vec<usize> = (0..nodes.len()).collect();
    for (i, node) in nodes.iter().enumerate() {
        if matches!(node.op, Op::Dropout { p: 0.0 }) {
            alias[i] = alias[node.inputs[0].index()];
        }
    }
    let resolve = |v: Value| alias[v.index()];
    let mut readers = vec![0; nodes.len()];
    for node in nodes.iter().filter(|n| !matches!(n.op, Op::Dropout { p: 0.0 })) {
        let read = if matches!(node.op, Op::ResizeBilinear { .. }) { 1 } else { node.inputs.len() };
        node.inputs[..read].iter().for_each(|&v| readers[resolve(v)] += 1);
    }
    let outputs: Vec<usize> = net.outputs().iter().map(|o| resolve(o.value)).collect();
    outputs.iter().for_each(|&v| readers[v] += 1);

    let mut builder = Builder { units: Vec::new(), made_by: vec![None; nodes.len()], readers };
    for (i, node) in nodes.iter().enumerate() {
        let inputs: Vec<usize> = node.inputs.iter().map(|&v| resolve(v)).collect();
        let refuse = |op: &str| Err(TapeError::NotTrainable { node: node.name.clone(), op: op.to_string() });
        let kind = match node.op {
            Op::Input => continue,
            Op::Dropout { p: 0.0 } => continue,
            Op::Dropout { p } if !(0.0..1.0).contains(&p) => {
                return refuse(&format!("dropout with p = {p}"));
            }
            Op::Relu => {
                builder.relu(inputs[0], i, &node.name);
                continue;
            }
            Op::Add if inputs[0] == inputs[1] => return refuse("sum of a value with itself"),
            Op::Add => {
                builder.add(inputs[0], inputs[1], i, &node.name);
                continue;
            }
            Op::Conv(conv) => match (conv.kernel, conv.padding, conv.stride) {
                (1, 0, 1 | 2) | (3, 1, 1 | 2) => Kind::Conv(conv),
                (k, p, s) => return refuse(&format!("convolution with kernel {k}, padding {p}, stride {s}")),
            },
            Op::BatchNorm(bn) => Kind::BatchNorm(bn),
            Op::UpsampleNearest { factor } => Kind::UpsampleNearest { factor },
            Op::ResizeBilinear { align_corners } => Kind::ResizeBilinear { align_corners },
            Op::Concat => {
                let distinct: std::collections::HashSet<_> = inputs.iter().collect();
                if distinct.len() != inputs.len() {
                    return refuse("concatenation of a value with itself");
                }
                Kind::Concat
            }
            Op::GlobalAvgPool => Kind::GlobalAvgPool,
            Op::Linear { weight, bias } => Kind::Linear { weight, bias },
            Op::ConvTranspose(conv) if (conv.kernel, conv.stride, conv.padding) != (4, 2, 1) => {
                let (k, p, s) = (conv.kernel, conv.padding, conv.stride);
                return refuse(&format!("transposed convolution with kernel {k}, padding {p}, stride {s}"));
            }
            Op::ConvTranspose(conv) => Kind::Transpose(conv),
            Op::AvgPool { size } => Kind::AvgPool { size },
            Op::MaxPool { size } => Kind::MaxPool { size },
            Op::RegionGather => Kind::RegionGather,
            Op::RegionAttend { scale } => Kind::RegionAttend { scale },
            Op::Dropout { p } => Kind::Dropout { p },
        };
        // The second input of a resize gives the size only.
        let read = if matches!(kind, Kind::ResizeBilinear { .. }) { 1 } else { inputs.len() };
        let sources = inputs[..read].to_vec();
        builder.push(Unit { name: node.name.clone(), kind, sources, addend: None, relu: false, out: i });
    }
    let units: Vec<Unit> = builder.units.into_iter().flatten().collect();
    if let Some(dead) = units.iter().find(|u| builder.readers[u.out] == 0) {
        return Err(TapeError::Dead { node: dead.name.clone() });
    }
    Ok(Units { units, readers: builder.readers, outputs })
}

struct Builder {
    units: Vec<Option<Unit>>,
    /// The unit that makes each value.
    made_by: Vec<Option<usize>>,
    readers: Vec<usize>,
}

impl Builder {
    fn push(&mut self, unit: Unit) {
        self.made_by[unit.out] = Some(self.units.len());
        self.units.push(Some(unit));
    }

    /// Takes the unit that makes `value` out of the list, if this is the only reader and `fits` agrees.
    fn take(&mut self, value: usize, fits: impl Fn(&Unit) -> bool) -> Option<Unit> {
        let made_by = self.made_by[value]?;
        let unit = self.units[made_by].as_ref()?;
        if self.readers[value] != 1 || unit.relu || !fits(unit) {
            return None;
        }
        self.made_by[value] = None;
        self.units[made_by].take()
    }

    fn relu(&mut self, x: usize, out: usize, name: &str) {
        let unit = match self.take(x, |u| u.kind.takes_relu()) {
            Some(unit) => Unit { relu: true, out, ..unit },
            None => Unit {
                name: name.to_string(),
                kind: Kind::Identity,
                sources: vec![x],
                addend: None,
                relu: true,
                out,
            },
        };
        self.push(unit);
    }

    fn add(&mut self, a: usize, b: usize, out: usize, name: &str) {
        let fits = |u: &Unit| {
            let term = matches!(
                u.kind,
                Kind::BatchNorm(_) | Kind::UpsampleNearest { .. } | Kind::ResizeBilinear { .. }
            );
            term && u.addend.is_none()
        };
        let unit = if let Some(unit) = self.take(b, fits) {
            Unit { addend: Some(a), out, ..unit }
        } else if let Some(unit) = self.take(a, fits) {
            Unit { addend: Some(b), out, ..unit }
        } else {
            Unit {
                name: name.to_string(),
                kind: Kind::Identity,
                sources: vec![a],
                addend: Some(b),
                relu: false,
                out,
            }
        };
        self.push(unit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hrnet_ir::scope::{ConvSpec, NetBuilder};
    use hrnet_ir::{Arch, Head, Model};

    #[test]
    fn a_basic_block_is_four_units() {
        let (mut builder, x) = NetBuilder::new(0.1);
        let mut root = builder.root();
        let y = root.conv_bn("conv1", "bn1", x, ConvSpec::k3(3));
        let y = root.relu(y);
        let y = root.conv_bn("conv2", "bn2", y, ConvSpec::k3(3));
        let y = root.add("add", y, x);
        let y = root.relu(y);
        builder.output("y", y);
        let units = units(&builder.finish()).unwrap().units;
        assert_eq!(units.len(), 4);
        assert!(matches!(units[1].kind, Kind::BatchNorm(_)) && units[1].relu && units[1].addend.is_none());
        assert!(matches!(units[3].kind, Kind::BatchNorm(_)) && units[3].relu && units[3].addend == Some(0));
    }

    #[test]
    fn every_head_has_units() {
        for head in [
            Head::Ocr { classes: 3 },
            Head::Higher { joints: 3 },
            Head::Pyramid { channels: 8, levels: 3, pool: hrnet_ir::PyramidPool::Max },
            Head::Features,
        ] {
            let net = Model { arch: Arch::small_v1(), head }.build().unwrap();
            assert_eq!(units(&net).unwrap().outputs.len(), net.outputs().len(), "{head}");
        }
    }
}
