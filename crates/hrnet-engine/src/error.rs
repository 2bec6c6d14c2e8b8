//! What can go wrong, before anything runs: each message names the node or tensor and says what to do.

use hrnet_ir::pass::FoldError;
use hrnet_ir::{Coverage, ShapeError};
use hrnet_kernels::Isa;
use std::fmt;

/// Why a network and its weights cannot be made ready.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// The processor lacks the wanted instruction set.
    #[error(
        "instruction set {wanted} asked for, this processor offers at most {available}; choose a lower one"
    )]
    Isa {
        /// The level asked for.
        wanted: Isa,
        /// The highest level of this processor.
        available: Isa,
    },
    /// Parameters are missing or have other shapes.
    #[error("the weights do not fit the network: {0}")]
    Weights(WeightProblems),
    /// Batch norms cannot be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// No kernel computes this.
    #[error("{node} ({op}): {problem}")]
    Unsupported {
        /// Name of the node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// What has no kernel.
        problem: String,
    },
}

/// Everything that is missing or misshapen, at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightProblems(pub Coverage);

/// Names listed before "and n more".
const LISTED: usize = 6;

impl fmt::Display for WeightProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Coverage { matched, missing, wrong_shape, unexpected } = &self.0;
        write!(f, "{matched} tensors match")?;
        let list = |f: &mut fmt::Formatter<'_>, what: &str, names: Vec<String>| {
            if names.is_empty() {
                return Ok(());
            }
            let more = names.len().saturating_sub(LISTED);
            write!(f, "; {} {what}: {}", names.len(), names[..names.len() - more].join(", "))?;
            if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
        };
        list(f, "missing", missing.clone())?;
        let shapes =
            wrong_shape.iter().map(|m| format!("{} wants {:?}, has {:?}", m.name, m.wanted, m.found));
        list(f, "of another shape", shapes.collect())?;
        list(f, "not of this network", unexpected.clone())?;
        write!(f, ". Check that the checkpoint is of this architecture, width and number of outputs")
    }
}

/// Why there is no plan for an input shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The network does not take this shape.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A feature map would not fit the address space.
    #[error("{node}: a value of shape {shape:?} is too large for this machine; use a smaller image or batch")]
    TooLarge {
        /// Name of the node.
        node: String,
        /// `[n, c, h, w]`.
        shape: [usize; 4],
    },
    /// More working memory than allowed.
    #[error(
        "input {input:?} needs {needed} bytes of working memory, the limit is {limit}; use a smaller image or batch, or \
         raise the limit"
    )]
    Limit {
        /// `[n, 3, h, w]`.
        input: [usize; 4],
        /// Bytes of the arena.
        needed: usize,
        /// [`crate::EngineOptions::memory_limit`].
        limit: usize,
    },
    /// The allocator refused.
    #[error("no memory for {bytes} bytes of working memory; use a smaller image or batch")]
    Memory {
        /// Bytes of the arena.
        bytes: usize,
    },
}

/// Buffers that do not belong to the plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// An input of another shape.
    #[error("input of shape {found:?}, the plan is for {wanted:?}; make a plan for this shape")]
    InputShape {
        /// Shape of the plan.
        wanted: [usize; 4],
        /// Shape given.
        found: Vec<usize>,
    },
    /// An input of another length.
    #[error("input of {found} values, the plan is for {wanted:?}")]
    InputLength {
        /// Shape of the plan.
        wanted: [usize; 4],
        /// Number of values given.
        found: usize,
    },
    /// Another number of output tensors.
    #[error("{found} output tensors given, the network has {wanted}; take them from Plan::output_tensors")]
    OutputCount {
        /// Outputs of the network.
        wanted: usize,
        /// Tensors given.
        found: usize,
    },
    /// An output tensor of another shape.
    #[error(
        "output '{name}' has shape {wanted:?}, the tensor given {found:?}; take it from Plan::output_tensors"
    )]
    OutputShape {
        /// Name of the output.
        name: String,
        /// Its shape.
        wanted: [usize; 4],
        /// Shape given.
        found: Vec<usize>,
    },
}
