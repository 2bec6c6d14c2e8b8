//! A step: one kernel call. The same form serves the lowered program (`R` = value number) and the plan (`R` = place in
//! the arena), so that both are one exhaustive match away from the kernels.

/// What a step computes. `R` refers to a value.
///
/// An `addend` is summed into the result before the ReLU. A convolution can read it from anywhere; the other steps
/// need it to be the destination itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StepOp<R> {
    /// The image tensor into the blocked layout.
    Input,
    /// `act(conv(src) + bias [+ addend])`.
    Conv { layer: usize, src: R, addend: Option<R>, relu: bool },
    /// `act(conv_transpose(src) + bias)`.
    ConvTranspose { layer: usize, src: R, relu: bool },
    /// `act([addend +] replicate(src))`; factor 1 copies.
    Upsample { src: R, factor: usize, addend: Option<R>, relu: bool },
    /// `act([addend +] bilinear(src))`, to the size of the destination.
    Resize { src: R, align_corners: bool, addend: Option<R>, relu: bool },
    /// `act(addend + src)`.
    Add { src: R, addend: R, relu: bool },
    /// `max(addend, 0)` in place.
    Relu { addend: R },
    /// Channels of all sources.
    Concat { srcs: Vec<R> },
    /// Average over windows.
    AvgPool { src: R, size: usize },
    /// Maximum over windows.
    MaxPool { src: R, size: usize },
    /// Mean over the map, into a plain vector.
    GlobalAvgPool { src: R },
    /// Fully connected, plain to plain.
    Linear { layer: usize, src: R },
    /// OCR gather.
    RegionGather { scores: R, feats: R },
    /// OCR attention.
    RegionAttend { query: R, key: R, value: R, scale: f32 },
    /// Blocked to plain inside the arena.
    ToPlain { src: R },
    /// Plain to blocked inside the arena.
    ToBlocked { src: R },
    /// A result of the network: blocked or plain, into the caller's buffer `index`.
    Output { index: usize, src: R },
}

impl<R> StepOp<R> {
    /// Calls `f` on every value that is read, the addend last.
    pub(crate) fn each_read<'a>(&'a self, mut f: impl FnMut(&'a R)) {
        match self {
            StepOp::Input => {}
            StepOp::Conv { src, addend, .. }
            | StepOp::Upsample { src, addend, .. }
            | StepOp::Resize { src, addend, .. } => {
                f(src);
                addend.iter().for_each(f);
            }
            StepOp::Add { src, addend, .. } => {
                f(src);
                f(addend);
            }
            StepOp::Relu { addend: src }
            | StepOp::ConvTranspose { src, .. }
            | StepOp::AvgPool { src, .. }
            | StepOp::MaxPool { src, .. }
            | StepOp::GlobalAvgPool { src }
            | StepOp::Linear { src, .. }
            | StepOp::ToPlain { src }
            | StepOp::ToBlocked { src }
            | StepOp::Output { src, .. } => f(src),
            StepOp::Concat { srcs } => srcs.iter().for_each(f),
            StepOp::RegionGather { scores, feats } => {
                f(scores);
                f(feats);
            }
            StepOp::RegionAttend { query, key, value, .. } => {
                f(query);
                f(key);
                f(value);
            }
        }
    }

    /// The value that is summed in, if there is one.
    pub(crate) fn addend(&self) -> Option<&R> {
        match self {
            StepOp::Conv { addend, .. } | StepOp::Upsample { addend, .. } | StepOp::Resize { addend, .. } => {
                addend.as_ref()
            }
            StepOp::Add { addend, .. } | StepOp::Relu { addend } => Some(addend),
            _ => None,
        }
    }

    /// Whether `addend` can only be the destination.
    pub(crate) fn needs_addend_in_place(&self) -> bool {
        !matches!(self, StepOp::Conv { .. })
    }

    /// Whether the step reads the border of its source.
    pub(crate) fn reads_border(&self, kernel_of: impl Fn(usize) -> usize) -> bool {
        match self {
            StepOp::Conv { layer, .. } => kernel_of(*layer) > 1,
            StepOp::ConvTranspose { .. } => true,
            _ => false,
        }
    }

    /// The ReLU flag.
    pub(crate) fn relu(&self) -> bool {
        match self {
            StepOp::Conv { relu, .. }
            | StepOp::ConvTranspose { relu, .. }
            | StepOp::Upsample { relu, .. }
            | StepOp::Resize { relu, .. }
            | StepOp::Add { relu, .. } => *relu,
            StepOp::Relu { .. } => true,
            _ => false,
        }
    }

    /// The same step over other references.
    pub(crate) fn map<S>(&self, mut f: impl FnMut(&R) -> S) -> StepOp<S> {
        match *self {
            StepOp::Input => StepOp::Input,
            StepOp::Conv { layer, ref src, ref addend, relu } => {
                StepOp::Conv { layer, src: f(src), addend: addend.as_ref().map(f), relu }
            }
            StepOp::ConvTranspose { layer, ref src, relu } => {
                StepOp::ConvTranspose { layer, src: f(src), relu }
            }
            StepOp::Upsample { ref src, factor, ref addend, relu } => {
                StepOp::Upsample { src: f(src), factor, addend: addend.as_ref().map(f), relu }
            }
            StepOp::Resize { ref src, align_corners, ref addend, relu } => {
                StepOp::Resize { src: f(src), align_corners, addend: addend.as_ref().map(f), relu }
            }
            StepOp::Add { ref src, ref addend, relu } => StepOp::Add { src: f(src), addend: f(addend), relu },
            StepOp::Relu { ref addend } => StepOp::Relu { addend: f(addend) },
            StepOp::Concat { ref srcs } => StepOp::Concat { srcs: srcs.iter().map(f).collect() },
            StepOp::AvgPool { ref src, size } => StepOp::AvgPool { src: f(src), size },
            StepOp::MaxPool { ref src, size } => StepOp::MaxPool { src: f(src), size },
            StepOp::GlobalAvgPool { ref src } => StepOp::GlobalAvgPool { src: f(src) },
            StepOp::Linear { layer, ref src } => StepOp::Linear { layer, src: f(src) },
            StepOp::RegionGather { ref scores, ref feats } => {
                StepOp::RegionGather { scores: f(scores), feats: f(feats) }
            }
            StepOp::RegionAttend { ref query, ref key, ref value, scale } => {
                StepOp::RegionAttend { query: f(query), key: f(key), value: f(value), scale }
            }
            StepOp::ToPlain { ref src } => StepOp::ToPlain { src: f(src) },
            StepOp::ToBlocked { ref src } => StepOp::ToBlocked { src: f(src) },
            StepOp::Output { index, ref src } => StepOp::Output { index, src: f(src) },
        }
    }
}
