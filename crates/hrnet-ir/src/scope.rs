//! Building a network: dotted names are pushed as the code descends, so that names are the official ones by
//! construction. Registration (the order of the state dict) and use (the order of the graph) may differ, as they do in
//! the official modules; hence layers are declared first and applied when their input exists.

use crate::net::{BatchNorm, Conv, ConvTranspose, Net, Node, Op, Output, Param, ParamId, ParamRole, Value};

/// Epsilon of every batch norm of the family.
const BN_EPS: f64 = 1e-5;

/// A network under construction.
#[derive(Debug)]
pub struct NetBuilder {
    net: Net,
    bn_momentum: f64,
}

/// Geometry of a convolution to declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvSpec {
    /// Output channels.
    pub out: usize,
    /// Kernel size; the padding keeps the size at stride 1.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Whether it has a bias.
    pub bias: bool,
}

impl ConvSpec {
    /// 1x1, no bias.
    pub fn k1(out: usize) -> Self {
        Self { out, kernel: 1, stride: 1, bias: false }
    }

    /// 3x3, padding 1, no bias.
    pub fn k3(out: usize) -> Self {
        Self { out, kernel: 3, stride: 1, bias: false }
    }

    /// The same with another stride.
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// The same with or without a bias.
    pub fn bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }
}

/// A declared layer: parameters are registered, the graph is not touched yet.
#[derive(Clone, Debug)]
pub struct Layer {
    name: String,
    op: Op,
    inputs: usize,
    channels: usize,
}

impl NetBuilder {
    /// An empty network with its image input, and the batch-norm momentum of the family.
    pub fn new(bn_momentum: f64) -> (Self, Value) {
        let input = Node { name: "input".into(), op: Op::Input, inputs: Vec::new(), channels: 3 };
        let net = Net { nodes: vec![input], params: Vec::new(), outputs: Vec::new(), size_multiple: 1 };
        (Self { net, bn_momentum }, Value(0))
    }

    /// The outermost scope.
    pub fn root(&mut self) -> Scope<'_> {
        Scope { builder: self, path: String::new() }
    }

    /// Adds a result.
    pub fn output(&mut self, name: &str, value: Value) {
        self.net.outputs.push(Output { name: name.into(), value });
    }

    /// Input sizes must be multiples of this.
    pub fn require_multiple(&mut self, multiple: usize) {
        self.net.size_multiple = self.net.size_multiple.max(multiple);
    }

    /// The finished network.
    pub fn finish(self) -> Net {
        self.net
    }

    fn push(&mut self, name: String, op: Op, inputs: Vec<Value>, channels: usize) -> Value {
        let value = Value(u32::try_from(self.net.nodes.len()).expect("fewer than 2^32 nodes"));
        self.net.nodes.push(Node { name, op, inputs, channels });
        value
    }

    fn param(&mut self, name: String, shape: Vec<usize>, role: ParamRole) -> ParamId {
        let id = ParamId(u32::try_from(self.net.params.len()).expect("fewer than 2^32 parameters"));
        self.net.params.push(Param { name, shape, role });
        id
    }
}

/// A place in the dotted name tree.
#[derive(Debug)]
pub struct Scope<'a> {
    builder: &'a mut NetBuilder,
    path: String,
}

impl Scope<'_> {
    /// The scope `name` below this one; `name` may hold dots.
    pub fn at(&mut self, name: impl std::fmt::Display) -> Scope<'_> {
        let path = self.join(&name.to_string());
        Scope { builder: self.builder, path }
    }

    /// Channels of a value.
    pub fn channels(&self, value: Value) -> usize {
        self.builder.net.node(value).channels
    }

    fn join(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) }
    }

    /// Registers a convolution that reads `inputs` channels.
    pub fn declare_conv(&mut self, name: &str, inputs: usize, spec: ConvSpec) -> Layer {
        let name = self.join(name);
        let ConvSpec { out, kernel, stride, bias } = spec;
        let shape = vec![out, inputs, kernel, kernel];
        let weight = self.builder.param(format!("{name}.weight"), shape, ParamRole::ConvWeight);
        let bias = bias.then(|| self.builder.param(format!("{name}.bias"), vec![out], ParamRole::Bias));
        let op = Op::Conv(Conv { weight, bias, kernel, stride, padding: kernel / 2 });
        Layer { name, op, inputs, channels: out }
    }

    /// Registers a 4x4 stride-2 transposed convolution that doubles height and width, no bias.
    pub fn declare_conv_transpose(&mut self, name: &str, inputs: usize, out: usize) -> Layer {
        let name = self.join(name);
        let shape = vec![inputs, out, 4, 4];
        let weight = self.builder.param(format!("{name}.weight"), shape, ParamRole::ConvTransposeWeight);
        let op = Op::ConvTranspose(ConvTranspose { weight, bias: None, kernel: 4, stride: 2, padding: 1 });
        Layer { name, op, inputs, channels: out }
    }

    /// Registers a batch norm.
    pub fn declare_bn(&mut self, name: &str, channels: usize) -> Layer {
        let name = self.join(name);
        let builder = &mut *self.builder;
        let mut param =
            |suffix: &str, shape: Vec<usize>, role| builder.param(format!("{name}.{suffix}"), shape, role);
        let (gamma, beta) = (
            param("weight", vec![channels], ParamRole::Gamma),
            param("bias", vec![channels], ParamRole::Beta),
        );
        let mean = param("running_mean", vec![channels], ParamRole::RunningMean);
        let var = param("running_var", vec![channels], ParamRole::RunningVar);
        let count = param("num_batches_tracked", Vec::new(), ParamRole::BatchCount);
        let momentum = builder.bn_momentum;
        let op = Op::BatchNorm(BatchNorm { gamma, beta, mean, var, count, eps: BN_EPS, momentum });
        Layer { name, op, inputs: channels, channels }
    }

    /// Registers a linear layer.
    pub fn declare_linear(&mut self, name: &str, inputs: usize, out: usize) -> Layer {
        let name = self.join(name);
        let weight = self.builder.param(format!("{name}.weight"), vec![out, inputs], ParamRole::LinearWeight);
        let bias = self.builder.param(format!("{name}.bias"), vec![out], ParamRole::Bias);
        Layer { name, op: Op::Linear { weight, bias }, inputs, channels: out }
    }

    /// Puts a declared layer into the graph.
    ///
    /// # Panics
    /// When the channels do not fit: an error in the description, not in any input.
    pub fn apply(&mut self, layer: &Layer, x: Value) -> Value {
        assert_eq!(self.channels(x), layer.inputs, "input channels of {}", layer.name);
        self.builder.push(layer.name.clone(), layer.op, vec![x], layer.channels)
    }

    /// Declares a convolution and applies it.
    pub fn conv(&mut self, name: &str, x: Value, spec: ConvSpec) -> Value {
        let layer = self.declare_conv(name, self.channels(x), spec);
        self.apply(&layer, x)
    }

    /// Declares a batch norm and applies it.
    pub fn bn(&mut self, name: &str, x: Value) -> Value {
        let layer = self.declare_bn(name, self.channels(x));
        self.apply(&layer, x)
    }

    /// Declares a convolution and a batch norm and applies them.
    pub fn conv_bn(&mut self, conv: &str, bn: &str, x: Value, spec: ConvSpec) -> Value {
        let y = self.conv(conv, x, spec);
        self.bn(bn, y)
    }

    /// An operation without parameters on values of one scope.
    pub fn op(&mut self, name: &str, op: Op, inputs: &[Value], channels: usize) -> Value {
        let name = self.join(name);
        self.builder.push(name, op, inputs.to_vec(), channels)
    }

    /// `max(x, 0)`, named after the value it acts on.
    pub fn relu(&mut self, x: Value) -> Value {
        let name = format!("{}+relu", self.builder.net.node(x).name);
        let channels = self.channels(x);
        self.builder.push(name, Op::Relu, vec![x], channels)
    }

    /// `a + b`.
    pub fn add(&mut self, name: &str, a: Value, b: Value) -> Value {
        let channels = self.channels(a);
        self.op(name, Op::Add, &[a, b], channels)
    }

    /// Bilinear resize of `x` to the size of `like`.
    pub fn resize_like(&mut self, name: &str, x: Value, like: Value, align_corners: bool) -> Value {
        let channels = self.channels(x);
        self.op(name, Op::ResizeBilinear { align_corners }, &[x, like], channels)
    }

    /// Channels of all values, in order.
    pub fn concat(&mut self, name: &str, values: &[Value]) -> Value {
        let channels = values.iter().map(|&v| self.channels(v)).sum();
        self.op(name, Op::Concat, values, channels)
    }
}
