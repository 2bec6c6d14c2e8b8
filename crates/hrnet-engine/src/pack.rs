//! Parameters in the form that the kernels read: packed once per network, weights and instruction set, shared by all
//! plans.

use crate::error::{EngineError, WeightProblems};
use crate::layout::{self, Layout};
use crate::lower::{self, LayerDef, Program};
use hrnet_ir::pass::fold_batch_norm;
use hrnet_ir::{Net, ParamId, Weights};
use hrnet_kernels::{Conv, ConvDesc, ConvTranspose, Isa};

/// A layer with its packed parameters.
pub(crate) enum Layer {
    Conv(Conv),
    ConvTranspose(ConvTranspose),
    Linear { weight: Vec<f32>, bias: Vec<f32>, inputs: usize, outputs: usize },
}

/// What all plans of a network share.
pub(crate) struct Packed {
    pub(crate) isa: Isa,
    /// Without batch norms.
    pub(crate) net: Net,
    pub(crate) program: Program,
    /// Layout of each value.
    pub(crate) layouts: Vec<Layout>,
    pub(crate) layers: Vec<Layer>,
}

impl Packed {
    pub(crate) fn new(net: &Net, weights: Weights, isa: Isa) -> Result<Self, EngineError> {
        let available = Isa::detect();
        if isa > available {
            return Err(EngineError::Isa { wanted: isa, available });
        }
        let coverage = weights.compare(net);
        if !coverage.is_complete() {
            return Err(EngineError::Weights(WeightProblems(coverage)));
        }
        let (net, weights) = fold_batch_norm(net, weights)?;
        let mut program = lower::lower(&net)?;
        let mut layouts = layout::assign(&mut program);
        lower::resolve_in_place(&mut program);
        // Temporaries of accumulation are feature maps.
        layouts.resize(program.values.len(), Layout::Blocked);
        let mut source = Source { net: &net, weights, isa };
        let layers = program.layers.iter().map(|def| source.layer(def)).collect::<Result<_, _>>()?;
        Ok(Self { isa, net, program, layouts, layers })
    }

    /// Kernel size of a layer.
    pub(crate) fn kernel_of(&self, layer: usize) -> usize {
        match &self.layers[layer] {
            Layer::Conv(conv) => conv.desc().kernel,
            Layer::ConvTranspose(_) => 4,
            Layer::Linear { .. } => 1,
        }
    }
}

struct Source<'a> {
    net: &'a Net,
    weights: Weights,
    isa: Isa,
}

impl Source<'_> {
    /// The values of a parameter, which are dropped when it is packed: each belongs to one layer.
    fn data(&mut self, id: ParamId) -> Vec<f32> {
        let name = &self.net.param(id).name;
        self.weights.remove(name).expect("folding keeps every parameter").into_data()
    }

    fn unsupported(&self, node: usize, problem: String) -> EngineError {
        let node = &self.net.nodes()[node];
        EngineError::Unsupported { node: node.name.clone(), op: node.op.name(), problem }
    }

    fn layer(&mut self, def: &LayerDef) -> Result<Layer, EngineError> {
        let channels = |node: usize| {
            let node = &self.net.nodes()[node];
            (self.net.node(node.inputs[0]).channels, node.channels)
        };
        Ok(match *def {
            LayerDef::Conv { node, conv } => {
                let (ic, oc) = channels(node);
                let (kernel, stride, padding) = (conv.kernel, conv.stride, conv.padding);
                if !matches!((kernel, padding), (1, 0) | (3, 1)) || !matches!(stride, 1 | 2) {
                    let problem = format!(
                        "no kernel for size {kernel}, stride {stride}, padding {padding}: only 1x1 without padding and 3x3 \
                         with padding 1, stride 1 or 2"
                    );
                    return Err(self.unsupported(node, problem));
                }
                let desc = ConvDesc { ic, oc, kernel, stride, padding };
                let bias = conv.bias.map(|b| self.data(b));
                Layer::Conv(Conv::new(self.isa, desc, &self.data(conv.weight), bias.as_deref()))
            }
            LayerDef::ConvTranspose { node, conv } => {
                let (inputs, outputs) = channels(node);
                if (conv.kernel, conv.stride, conv.padding) != (4, 2, 1) {
                    let problem = format!(
                        "no kernel for size {}, stride {}, padding {}: only 4x4 with stride 2 and padding 1",
                        conv.kernel, conv.stride, conv.padding
                    );
                    return Err(self.unsupported(node, problem));
                }
                let bias = conv.bias.map(|b| self.data(b));
                let weight = self.data(conv.weight);
                Layer::ConvTranspose(ConvTranspose::new(self.isa, inputs, outputs, &weight, bias.as_deref()))
            }
            LayerDef::Linear { node, weight, bias } => {
                let (inputs, outputs) = channels(node);
                let (weight, bias) = (self.data(weight), self.data(bias));
                Layer::Linear { weight, bias, inputs, outputs }
            }
        })
    }
}
