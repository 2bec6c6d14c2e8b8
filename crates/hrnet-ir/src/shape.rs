//! The output shape of each operation: the only place for stride and padding arithmetic.

use crate::net::{Net, Node, Op};

/// Largest height or width accepted; keeps all later products far from overflow.
pub const MAX_SIDE: usize = 1 << 16;
/// Largest batch accepted.
pub const MAX_BATCH: usize = 1 << 12;

/// Why a network cannot take an input of some shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Not three channels, or a size of zero, or absurdly large.
    #[error(
        "input shape {0:?}: want [n, 3, height, width] with 1 <= n <= {MAX_BATCH} and sides from 1 to {MAX_SIDE}"
    )]
    Input([usize; 4]),
    /// Nearest fusion needs sizes that survive five halvings.
    #[error(
        "input {height}x{width} (height x width): this network upsamples by repeating pixels and needs multiples of \
         {multiple}; pad or resize the image to {padded_height}x{padded_width}"
    )]
    Multiple {
        /// Input height.
        height: usize,
        /// Input width.
        width: usize,
        /// Sizes must be multiples of this.
        multiple: usize,
        /// The next height that fits.
        padded_height: usize,
        /// The next width that fits.
        padded_width: usize,
    },
    /// The input is too small for a pooling window.
    #[error("{node}: a map of {height}x{width} is smaller than its window of {size}; use a larger image")]
    TooSmall {
        /// Name of the node.
        node: String,
        /// Height it reads.
        height: usize,
        /// Width it reads.
        width: usize,
        /// Window size.
        size: usize,
    },
    /// Two inputs that must agree do not; an error of the description.
    #[error("{node} ({op}): input shapes {shapes:?} do not fit together")]
    Mismatch {
        /// Name of the node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// Shapes of its inputs.
        shapes: Vec<[usize; 4]>,
    },
}

/// Output size of a convolution along one axis.
pub fn conv_out(size: usize, kernel: usize, stride: usize, padding: usize) -> usize {
    (size + 2 * padding).saturating_sub(kernel) / stride + 1
}

/// The next multiple of `multiple` at or above `size`.
pub fn pad_to_multiple(size: usize, multiple: usize) -> usize {
    size.div_ceil(multiple) * multiple
}

pub(crate) fn infer(net: &Net, input: [usize; 4]) -> Result<Vec<[usize; 4]>, ShapeError> {
    let [n, c, h, w] = input;
    let side_ok = |s: usize| (1..=MAX_SIDE).contains(&s);
    if c != 3 || n == 0 || n > MAX_BATCH || !side_ok(h) || !side_ok(w) {
        return Err(ShapeError::Input(input));
    }
    let multiple = net.size_multiple();
    if !h.is_multiple_of(multiple) || !w.is_multiple_of(multiple) {
        let (padded_height, padded_width) = (pad_to_multiple(h, multiple), pad_to_multiple(w, multiple));
        return Err(ShapeError::Multiple { height: h, width: w, multiple, padded_height, padded_width });
    }
    let mut shapes: Vec<[usize; 4]> = Vec::with_capacity(net.nodes().len());
    for node in net.nodes() {
        let inputs: Vec<[usize; 4]> = node.inputs.iter().map(|v| shapes[v.index()]).collect();
        shapes.push(node_shape(node, &inputs, input)?);
    }
    Ok(shapes)
}

fn node_shape(node: &Node, inputs: &[[usize; 4]], input: [usize; 4]) -> Result<[usize; 4], ShapeError> {
    let channels = node.channels;
    let mismatch =
        || ShapeError::Mismatch { node: node.name.clone(), op: node.op.name(), shapes: inputs.to_vec() };
    let same_size = |wanted: [usize; 4]| inputs.iter().all(|s| s[0] == wanted[0] && s[2..] == wanted[2..]);
    let Some(&first) = inputs.first() else { return Ok(input) };
    let [n, c, h, w] = first;
    let shape = match node.op {
        Op::Input => input,
        Op::Conv(conv) => {
            let out = |size| conv_out(size, conv.kernel, conv.stride, conv.padding);
            [n, channels, out(h), out(w)]
        }
        Op::ConvTranspose(conv) => {
            let out = |size: usize| (size - 1) * conv.stride + conv.kernel - 2 * conv.padding;
            [n, channels, out(h), out(w)]
        }
        Op::BatchNorm(_) | Op::Relu | Op::Dropout { .. } => first,
        Op::Add => {
            if inputs.iter().any(|&s| s != first) {
                return Err(mismatch());
            }
            first
        }
        Op::UpsampleNearest { factor } => [n, c, h * factor, w * factor],
        Op::ResizeBilinear { .. } => {
            let like = inputs[1];
            [n, c, like[2], like[3]]
        }
        Op::Concat => {
            if !same_size(first) {
                return Err(mismatch());
            }
            [n, channels, h, w]
        }
        Op::AvgPool { size } | Op::MaxPool { size } => {
            if h < size || w < size {
                return Err(ShapeError::TooSmall { node: node.name.clone(), height: h, width: w, size });
            }
            [n, c, h / size, w / size]
        }
        Op::GlobalAvgPool => [n, c, 1, 1],
        Op::Linear { .. } => [n, channels, 1, 1],
        Op::RegionGather => {
            if !same_size(first) {
                return Err(mismatch());
            }
            [n, inputs[1][1], c, 1]
        }
        Op::RegionAttend { .. } => {
            let (key, value) = (inputs[1], inputs[2]);
            if key[1] != c || key[2..] != value[2..] {
                return Err(mismatch());
            }
            [n, value[1], h, w]
        }
    };
    Ok(shape)
}
