//! The network: a small append-only graph over a closed set of operations, with parameters recorded by name.

use crate::shape::{self, ShapeError};

/// The output of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub(crate) u32);

impl Value {
    /// Position of the node in [`Net::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A parameter of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(pub(crate) u32);

impl ParamId {
    /// Position of the parameter in [`Net::params`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a parameter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamRole {
    /// Weight of a convolution, `[out, in, k, k]`.
    ConvWeight,
    /// Weight of a transposed convolution, `[in, out, k, k]`.
    ConvTransposeWeight,
    /// Weight of a linear layer, `[out, in]`.
    LinearWeight,
    /// Bias of a convolution or linear layer.
    Bias,
    /// Batch-norm scale.
    Gamma,
    /// Batch-norm shift.
    Beta,
    /// Batch-norm running mean (a buffer).
    RunningMean,
    /// Batch-norm running variance (a buffer).
    RunningVar,
    /// Batch-norm `num_batches_tracked` (a buffer without influence on any result).
    BatchCount,
}

impl ParamRole {
    /// Whether an optimiser changes it; the others are buffers.
    pub fn is_trainable(self) -> bool {
        !matches!(self, Self::RunningMean | Self::RunningVar | Self::BatchCount)
    }
}

/// A named parameter or buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// The official state-dict name.
    pub name: String,
    /// Its shape in the state dict.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: ParamRole,
}

impl Param {
    /// The number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A square convolution with equal stride and zero padding in both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv {
    /// `[out, in, k, k]`.
    pub weight: ParamId,
    /// `[out]`.
    pub bias: Option<ParamId>,
    /// Kernel size k.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Zero padding on each side.
    pub padding: usize,
}

/// A square transposed convolution; output size `(n - 1) * stride - 2 * padding + kernel`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvTranspose {
    /// `[in, out, k, k]`.
    pub weight: ParamId,
    /// `[out]`; only after batch-norm folding.
    pub bias: Option<ParamId>,
    /// Kernel size k.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Padding taken off each side of the output.
    pub padding: usize,
}

/// Batch normalisation over `n, h, w`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Scale.
    pub gamma: ParamId,
    /// Shift.
    pub beta: ParamId,
    /// Running mean.
    pub mean: ParamId,
    /// Running variance (unbiased, as PyTorch keeps it).
    pub var: ParamId,
    /// Number of training batches seen.
    pub count: ParamId,
    /// Added to the variance.
    pub eps: f64,
    /// Share of the new batch in the running statistics.
    pub momentum: f64,
}

/// Everything an HRNet computes with. The set is closed: each executor is one exhaustive match over it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// The image tensor `[n, 3, h, w]`.
    Input,
    /// Convolution.
    Conv(Conv),
    /// Transposed convolution.
    ConvTranspose(ConvTranspose),
    /// Batch normalisation.
    BatchNorm(BatchNorm),
    /// `max(x, 0)`.
    Relu,
    /// Sum of two values of one shape.
    Add,
    /// Each pixel repeated `factor` times in both directions (PyTorch nearest by an integer factor).
    UpsampleNearest {
        /// The integer factor.
        factor: usize,
    },
    /// Bilinear resize of the first input to the height and width of the second, whose values are not read.
    ResizeBilinear {
        /// PyTorch's `align_corners`.
        align_corners: bool,
    },
    /// Channels of all inputs, in order.
    Concat,
    /// Average over windows of `size x size`, stride `size`, incomplete windows dropped.
    AvgPool {
        /// Window and stride.
        size: usize,
    },
    /// Maximum over windows of `size x size`, stride `size`, incomplete windows dropped.
    MaxPool {
        /// Window and stride.
        size: usize,
    },
    /// Mean over `h, w`: `[n, c, h, w] -> [n, c, 1, 1]`.
    GlobalAvgPool,
    /// Fully connected layer: `[n, c, 1, 1] -> [n, out, 1, 1]`.
    Linear {
        /// `[out, in]`.
        weight: ParamId,
        /// `[out]`.
        bias: ParamId,
    },
    /// OCR gather: inputs scores `[n, k, h, w]` and features `[n, c, h, w]`; softmax of every score map over its
    /// positions, then the weighted mean of the features: `[n, c, k, 1]`.
    RegionGather,
    /// OCR attention: inputs query `[n, c, h, w]`, key `[n, c, k, 1]`, value `[n, d, k, 1]`; softmax over `k` of
    /// `scale * query . key`, then the weighted sum of the values: `[n, d, h, w]`.
    RegionAttend {
        /// Factor on the dot products.
        scale: f64,
    },
    /// Dropout of whole channels in training; the identity in inference.
    Dropout {
        /// Probability of dropping a channel.
        p: f64,
    },
}

impl Op {
    /// A short lower-case name.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input => "input",
            Op::Conv(_) => "conv",
            Op::ConvTranspose(_) => "conv_transpose",
            Op::BatchNorm(_) => "batch_norm",
            Op::Relu => "relu",
            Op::Add => "add",
            Op::UpsampleNearest { .. } => "upsample_nearest",
            Op::ResizeBilinear { .. } => "resize_bilinear",
            Op::Concat => "concat",
            Op::AvgPool { .. } => "avg_pool",
            Op::MaxPool { .. } => "max_pool",
            Op::GlobalAvgPool => "global_avg_pool",
            Op::Linear { .. } => "linear",
            Op::RegionGather => "region_gather",
            Op::RegionAttend { .. } => "region_attend",
            Op::Dropout { .. } => "dropout",
        }
    }
}

/// One operation of the graph. Its inputs come before it in [`Net::nodes`].
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Dotted name: the official module name where the module has parameters.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// What it reads.
    pub inputs: Vec<Value>,
    /// Channels of the output.
    pub channels: usize,
}

/// A named result of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What it is, for example `heatmaps`.
    pub name: String,
    /// Its value.
    pub value: Value,
}

/// A network: names and structure, never weights. Portable; what depends on a machine is made from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Net {
    pub(crate) nodes: Vec<Node>,
    pub(crate) params: Vec<Param>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) size_multiple: usize,
}

impl Net {
    /// The operations in an order in which they can run.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Parameters and buffers in state-dict order.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// The results in order.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The node that makes a value.
    pub fn node(&self, value: Value) -> &Node {
        &self.nodes[value.index()]
    }

    /// A parameter by id.
    pub fn param(&self, id: ParamId) -> &Param {
        &self.params[id.index()]
    }

    /// Input height and width must be multiples of this (32 with nearest fusion, 1 otherwise).
    pub fn size_multiple(&self) -> usize {
        self.size_multiple
    }

    /// Trainable values, as the field counts parameters.
    pub fn parameter_count(&self) -> u64 {
        self.params.iter().filter(|p| p.role.is_trainable()).map(|p| p.len() as u64).sum()
    }

    /// The shape `[n, c, h, w]` of every value for an input shape.
    pub fn shapes(&self, input: [usize; 4]) -> Result<Vec<[usize; 4]>, ShapeError> {
        shape::infer(self, input)
    }

    /// How often each value is read; outputs count as one more reader.
    pub fn use_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.nodes.len()];
        for node in &self.nodes {
            for v in &node.inputs {
                counts[v.index()] += 1;
            }
        }
        for o in &self.outputs {
            counts[o.value.index()] += 1;
        }
        counts
    }
}
