//! A step: one kernel call. The same form serves the lowered program (`R` = value number) and the plan (`R` = place in
//! the arena), so that both are one exhaustive match away from the kernels.

use hrnet_kernels::Resize;

/// What a step computes. `R` refers to a value.
///
/// An `addend` is summed into the result before the ReLU. It lies anywhere or is the destination itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StepOp<R> {
    /// The image tensor into the blocked layout.
    Input,
    /// `act(conv(src) + bias [+ addend])`.
    Conv { layer: usize, src: R, addend: Option<R>, relu: bool },
    /// `act(conv_transpose(src) + bias)`.
    ConvTranspose { layer: usize, src: R, relu: bool },
    /// `act(addend + resized sources)`, at most [`hrnet_kernels::MAX_TERMS`] of them. One source and no addend is a copy or a resize,
    /// an addend and no source a ReLU.
    Sum { terms: Vec<(R, Resize)>, addend: Option<R>, relu: bool },
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
    /// Blocked to planar.
    ToPlanar { src: R },
    /// Planar to blocked.
    FromPlanar { src: R },
    /// A result of the network: blocked or plain, into the caller's buffer `index`.
    Output { index: usize, src: R },
}

impl<R> StepOp<R> {
    /// Calls `f` on every value that is read, the addend last.
    pub(crate) fn each_read<'a>(&'a self, mut f: impl FnMut(&'a R)) {
        match self {
            StepOp::Input => {}
            StepOp::Conv { src, addend, .. } => {
                f(src);
                addend.iter().for_each(f);
            }
            StepOp::Sum { terms, addend, .. } => {
                terms.iter().for_each(|(src, _)| f(src));
                addend.iter().for_each(f);
            }
            StepOp::ConvTranspose { src, .. }
            | StepOp::AvgPool { src, .. }
            | StepOp::MaxPool { src, .. }
            | StepOp::GlobalAvgPool { src }
            | StepOp::Linear { src, .. }
            | StepOp::ToPlain { src }
            | StepOp::ToBlocked { src }
            | StepOp::ToPlanar { src }
            | StepOp::FromPlanar { src }
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
            StepOp::Conv { addend, .. } | StepOp::Sum { addend, .. } => addend.as_ref(),
            _ => None,
        }
    }

    /// Whether it can run beside others in a wave.
    pub(crate) fn is_job(&self) -> bool {
        matches!(
            self,
            StepOp::Conv { .. }
                | StepOp::ConvTranspose { .. }
                | StepOp::Sum { .. }
                | StepOp::ToPlanar { .. }
                | StepOp::FromPlanar { .. }
        )
    }

    /// Whether the step reads the border of its source.
    pub(crate) fn reads_border(&self, kernel_of: impl Fn(usize) -> usize) -> bool {
        match self {
            StepOp::Conv { layer, .. } => kernel_of(*layer) > 1,
            StepOp::ConvTranspose { .. } | StepOp::ToPlanar { .. } => true,
            _ => false,
        }
    }

    /// The ReLU flag.
    pub(crate) fn relu(&self) -> bool {
        match self {
            StepOp::Conv { relu, .. } | StepOp::ConvTranspose { relu, .. } | StepOp::Sum { relu, .. } => {
                *relu
            }
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
            StepOp::Sum { ref terms, ref addend, relu } => StepOp::Sum {
                terms: terms.iter().map(|(src, resize)| (f(src), *resize)).collect(),
                addend: addend.as_ref().map(f),
                relu,
            },
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
            StepOp::ToPlanar { ref src } => StepOp::ToPlanar { src: f(src) },
            StepOp::FromPlanar { ref src } => StepOp::FromPlanar { src: f(src) },
            StepOp::Output { index, ref src } => StepOp::Output { index, src: f(src) },
        }
    }
}
