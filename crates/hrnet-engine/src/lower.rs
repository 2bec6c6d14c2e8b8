//! From the folded network to steps, by named rules. Nothing here depends on the input shape.
//!
//! * **bias**: folding has put every batch norm into weight and bias of its convolution.
//! * **relu**: a ReLU moves into the step in front of it when nothing else reads the value before the ReLU.
//! * **residual**: a sum is flattened into its terms. A convolution that only the sum reads adds the others in its
//!   epilogue: the first convolution takes the first plain term, every further one the sum so far.
//! * **exchange**: the other terms, plain, up-sampled and resized, are added in one step (at most four at a time).
//! * **dropout** is the identity.
//!
//! The order of additions is therefore: convolutions (the first with the first plain term), other plain terms, resized
//! terms. Convolutions come in the order of the length of the private chain of convolutions in front of them, so that the
//! chain of sums does not wait for the longest of these before it begins; otherwise each kind keeps the order of the
//! network. All that depends on the network alone, hence so do the bits.
//!
//! Steps follow the order of the network, except that a value with one reader, unless it is a sum, comes just before that
//! reader. The order in which they run is made from that by `waves.rs`.

use crate::error::EngineError;
use crate::step::StepOp;
use hrnet_ir::{Net, Op, ParamId};
use hrnet_kernels::{MAX_TERMS, Resize};

/// Number of a value of the program.
pub(crate) type Id = usize;

/// One step and the value it makes (none for an output).
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Node of the folded network that it is named and counted after.
    pub(crate) node: usize,
    pub(crate) op: StepOp<Id>,
    pub(crate) dst: Option<Id>,
}

/// A layer with parameters, in the order of its steps.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LayerDef {
    Conv { node: usize, conv: hrnet_ir::Conv },
    ConvTranspose { node: usize, conv: hrnet_ir::ConvTranspose },
    Linear { node: usize, weight: ParamId, bias: ParamId },
}

impl LayerDef {
    /// Kernel size.
    pub(crate) fn kernel(&self) -> usize {
        match self {
            LayerDef::Conv { conv, .. } => conv.kernel,
            LayerDef::ConvTranspose { conv, .. } => conv.kernel,
            LayerDef::Linear { .. } => 1,
        }
    }

    /// The parameters: weight, bias.
    pub(crate) fn params(&self) -> (ParamId, Option<ParamId>) {
        match *self {
            LayerDef::Conv { conv, .. } => (conv.weight, conv.bias),
            LayerDef::ConvTranspose { conv, .. } => (conv.weight, conv.bias),
            LayerDef::Linear { weight, bias, .. } => (weight, Some(bias)),
        }
    }
}

/// The steps of a network.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) steps: Vec<Step>,
    /// For each value, the node of the folded network whose shape it has.
    pub(crate) values: Vec<usize>,
    pub(crate) layers: Vec<LayerDef>,
}

impl Program {
    pub(crate) fn value(&mut self, node: usize) -> Id {
        self.values.push(node);
        self.values.len() - 1
    }
}

/// The largest number of inputs of a concatenation: the run loop keeps them on the stack.
pub(crate) const MAX_CONCAT: usize = 8;

/// Lowers a network without batch norms.
pub(crate) fn lower(net: &Net) -> Result<Program, EngineError> {
    let mut lowering = Lowering::new(net);
    for node in (0..net.nodes().len()).filter(|&i| lowering.is_anchor(i)).collect::<Vec<_>>() {
        lowering.value(node)?;
        for (index, output) in net.outputs().iter().enumerate() {
            if lowering.alias[output.value.index()] == node {
                let src = lowering.value(node)?;
                lowering.program.steps.push(Step { node, op: StepOp::Output { index, src }, dst: None });
            }
        }
    }
    Ok(lowering.program)
}

struct Lowering<'a> {
    net: &'a Net,
    /// The node that computes the value of each node: another one for dropout.
    alias: Vec<usize>,
    /// Data readers of each node, dropout looked through; outputs count as one more.
    uses: Vec<usize>,
    /// Whether the value is a result.
    is_output: Vec<bool>,
    done: Vec<Option<Id>>,
    program: Program,
}

/// The terms of a flattened sum, each kind in the order of the network.
#[derive(Default)]
struct Terms {
    convs: Vec<usize>,
    plain: Vec<usize>,
    resized: Vec<usize>,
}

impl<'a> Lowering<'a> {
    fn new(net: &'a Net) -> Self {
        let nodes = net.nodes();
        let mut alias: Vec<usize> = Vec::with_capacity(nodes.len());
        for (i, node) in nodes.iter().enumerate() {
            alias.push(match node.op {
                Op::Dropout { .. } => alias[node.inputs[0].index()],
                _ => i,
            });
        }
        let mut is_output = vec![false; nodes.len()];
        net.outputs().iter().for_each(|o| is_output[alias[o.value.index()]] = true);
        let mut uses: Vec<usize> = is_output.iter().map(|&o| usize::from(o)).collect();
        let mut lowering = Self {
            net,
            alias,
            uses: Vec::new(),
            is_output,
            done: vec![None; nodes.len()],
            program: Program::default(),
        };
        // Only what a result needs counts as a reader.
        let mut wanted = lowering.is_output.clone();
        for i in (0..nodes.len()).rev().filter(|&i| lowering.alias[i] == i) {
            if wanted[i] {
                for input in lowering.inputs(i) {
                    wanted[input] = true;
                    uses[input] += 1;
                }
            }
        }
        lowering.uses = uses;
        lowering
    }

    /// Nodes whose values a node reads; the second input of a resize lends only its size.
    fn inputs(&self, node: usize) -> Vec<usize> {
        let node = &self.net.nodes()[node];
        let count = if matches!(node.op, Op::ResizeBilinear { .. }) { 1 } else { node.inputs.len() };
        node.inputs[..count].iter().map(|v| self.alias[v.index()]).collect()
    }

    fn op(&self, node: usize) -> Op {
        self.net.nodes()[node].op
    }

    /// A value that exactly one step reads.
    fn is_private(&self, node: usize) -> bool {
        self.uses[node] == 1 && !self.is_output[node]
    }

    fn terms(&self, add: usize) -> Terms {
        let mut terms = Terms::default();
        let mut stack: Vec<usize> = self.inputs(add).into_iter().rev().collect();
        while let Some(node) = stack.pop() {
            match self.op(node) {
                Op::Add if self.is_private(node) => stack.extend(self.inputs(node).into_iter().rev()),
                Op::Conv(_) if self.is_private(node) => terms.convs.push(node),
                Op::UpsampleNearest { .. } | Op::ResizeBilinear { .. } if self.is_private(node) => {
                    terms.resized.push(node);
                }
                _ => terms.plain.push(node),
            }
        }
        terms.convs.sort_by_key(|&conv| self.chain(conv));
        terms
    }

    /// Convolutions in front of a node that only it waits for.
    fn chain(&self, node: usize) -> usize {
        let mut length = 0;
        let mut node = self.inputs(node)[0];
        while self.is_private(node) && matches!(self.op(node), Op::Conv(_) | Op::Relu) {
            length += usize::from(matches!(self.op(node), Op::Conv(_)));
            node = self.inputs(node)[0];
        }
        length
    }

    /// Nodes that are computed at their turn, not just before their reader: values with several readers, results, and
    /// sums (so that the sums of one exchange stay together).
    fn is_anchor(&self, node: usize) -> bool {
        let reader = |node: usize| {
            (node + 1..self.alias.len()).find(|&r| self.alias[r] == r && self.inputs(r).contains(&node))
        };
        let is_sum = match self.op(node) {
            Op::Relu => {
                matches!(self.op(self.inputs(node)[0]), Op::Add) && self.is_private(self.inputs(node)[0])
            }
            Op::Add => !reader(node).is_some_and(|r| matches!(self.op(r), Op::Add | Op::Relu)),
            _ => false,
        };
        self.uses[node] > 0 && (!self.is_private(node) || is_sum)
    }

    /// The value of a node, computed now if it is not there yet.
    fn value(&mut self, node: usize) -> Result<Id, EngineError> {
        if let Some(id) = self.done[node] {
            return Ok(id);
        }
        let id = match self.op(node) {
            Op::Relu => {
                let before = self.inputs(node)[0];
                let fuses = matches!(
                    self.op(before),
                    Op::Conv(_)
                        | Op::ConvTranspose(_)
                        | Op::Add
                        | Op::UpsampleNearest { .. }
                        | Op::ResizeBilinear { .. }
                );
                if fuses && self.is_private(before) {
                    self.compute(before, true)?
                } else {
                    let addend = Some(self.value(before)?);
                    self.push(node, StepOp::Sum { terms: Vec::new(), addend, relu: true })
                }
            }
            _ => self.compute(node, false)?,
        };
        self.done[node] = Some(id);
        Ok(id)
    }

    fn push(&mut self, node: usize, op: StepOp<Id>) -> Id {
        let dst = self.program.value(node);
        self.program.steps.push(Step { node, op, dst: Some(dst) });
        dst
    }

    fn compute(&mut self, node: usize, relu: bool) -> Result<Id, EngineError> {
        let inputs = self.inputs(node);
        let op = match self.op(node) {
            Op::Conv(_) => return self.conv(node, None, relu),
            Op::UpsampleNearest { .. } | Op::ResizeBilinear { .. } => {
                let term = self.term(node)?;
                StepOp::Sum { terms: vec![term], addend: None, relu }
            }
            Op::Add => return self.sum(node, relu),
            Op::Input => StepOp::Input,
            Op::ConvTranspose(conv) => {
                let src = self.value(inputs[0])?;
                let layer = self.layer(LayerDef::ConvTranspose { node, conv });
                StepOp::ConvTranspose { layer, src, relu }
            }
            Op::Concat => {
                if inputs.len() > MAX_CONCAT {
                    return Err(
                        self.unsupported(node, format!("{} inputs, at most {MAX_CONCAT}", inputs.len()))
                    );
                }
                let srcs = inputs.into_iter().map(|i| self.value(i)).collect::<Result<_, _>>()?;
                StepOp::Concat { srcs }
            }
            Op::AvgPool { size } => StepOp::AvgPool { src: self.value(inputs[0])?, size },
            Op::MaxPool { size } => StepOp::MaxPool { src: self.value(inputs[0])?, size },
            Op::GlobalAvgPool => StepOp::GlobalAvgPool { src: self.value(inputs[0])? },
            Op::Linear { weight, bias } => {
                let src = self.value(inputs[0])?;
                StepOp::Linear { layer: self.layer(LayerDef::Linear { node, weight, bias }), src }
            }
            Op::RegionGather => {
                let (scores, feats) = (self.value(inputs[0])?, self.value(inputs[1])?);
                StepOp::RegionGather { scores, feats }
            }
            Op::RegionAttend { scale } => StepOp::RegionAttend {
                query: self.value(inputs[0])?,
                key: self.value(inputs[1])?,
                value: self.value(inputs[2])?,
                scale: scale as f32,
            },
            Op::Relu => unreachable!("computed by value()"),
            Op::Dropout { .. } => unreachable!("looked through by alias"),
            Op::BatchNorm(_) => return Err(self.unsupported(node, "batch norms are folded before".into())),
        };
        Ok(self.push(node, op))
    }

    fn unsupported(&self, node: usize, problem: String) -> EngineError {
        let node = &self.net.nodes()[node];
        EngineError::Unsupported { node: node.name.clone(), op: node.op.name(), problem }
    }

    fn layer(&mut self, layer: LayerDef) -> usize {
        self.program.layers.push(layer);
        self.program.layers.len() - 1
    }

    fn conv(&mut self, node: usize, addend: Option<Id>, relu: bool) -> Result<Id, EngineError> {
        let Op::Conv(conv) = self.op(node) else { unreachable!("only called for convolutions") };
        let src = self.value(self.inputs(node)[0])?;
        let layer = self.layer(LayerDef::Conv { node, conv });
        Ok(self.push(node, StepOp::Conv { layer, src, addend, relu }))
    }

    /// A resize as the term of a sum.
    fn term(&mut self, node: usize) -> Result<(Id, Resize), EngineError> {
        let src = self.value(self.inputs(node)[0])?;
        Ok(match self.op(node) {
            Op::UpsampleNearest { factor } => (src, Resize::Nearest { factor }),
            Op::ResizeBilinear { align_corners } => (src, Resize::Bilinear { align_corners }),
            other => unreachable!("only called for resizes, not {}", other.name()),
        })
    }

    fn sum(&mut self, add: usize, relu: bool) -> Result<Id, EngineError> {
        let terms = self.terms(add);
        let mut plain = terms.plain.into_iter();
        let (mut left, mut sum) = (terms.convs.len() + plain.len() + terms.resized.len(), None);
        for node in terms.convs {
            // The convolution's own input first: its chain may be long, and the plain term should not wait for it.
            self.value(self.inputs(node)[0])?;
            let addend = match sum {
                Some(sum) => Some(sum),
                None => match plain.next() {
                    Some(term) => {
                        left -= 1;
                        Some(self.value(term)?)
                    }
                    None => None,
                },
            };
            left -= 1;
            sum = Some(self.conv(node, addend, relu && left == 0)?);
        }
        let mut rest = Vec::new();
        for node in plain {
            match sum {
                None => sum = Some(self.value(node)?),
                Some(_) => rest.push((self.value(node)?, Resize::Nearest { factor: 1 })),
            }
        }
        for node in terms.resized {
            rest.push(self.term(node)?);
        }
        let groups = rest.len().div_ceil(MAX_TERMS);
        for (i, terms) in rest.chunks(MAX_TERMS).enumerate() {
            let (terms, relu) = (terms.to_vec(), relu && i + 1 == groups);
            sum = Some(self.push(add, StepOp::Sum { terms, addend: sum, relu }));
        }
        Ok(sum.expect("a sum has two terms"))
    }
}
