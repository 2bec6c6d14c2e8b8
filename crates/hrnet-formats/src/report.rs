//! What loading found, changed and left out, and the errors it can end in.

use crate::detect::DetectError;
use crate::dtype::DType;
use crate::file::{Container, Ignored, ReadError};
use crate::pth::PthError;
use crate::recipe::RecipeError;
use crate::rename::{RenameError, Scheme};
use crate::safetensors::SafetensorsError;
use crate::sniff::FileKind;
use hrnet_ir::{ModelError, ShapeMismatch};
use std::fmt::{self, Write as _};

/// A number format that was converted to f32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// Format in the file.
    pub dtype: DType,
    /// Tensors in that format.
    pub tensors: usize,
    /// Values that f32 cannot hold exactly, rounded to nearest.
    pub rounded: u64,
}

/// Everything that happened between the file and the weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Kind of file.
    pub container: Option<Container>,
    /// Entry of a training checkpoint that holds the state dict; empty when the file is one.
    pub entry: String,
    /// Whose spelling the keys follow.
    pub scheme: Option<Scheme>,
    /// What was in front of the keys.
    pub prefix: String,
    /// Keys with their official names, where they differ.
    pub renamed: Vec<(String, String)>,
    /// Parameters that the file lacks by design and that were made: zero biases, batch counters.
    pub filled: Vec<String>,
    /// What is in the file and not used, with the reason.
    pub ignored: Vec<Ignored>,
    /// Parameters that the network has and the file lacks.
    pub missing: Vec<String>,
    /// Tensors that the network does not have.
    pub unexpected: Vec<String>,
    /// Tensors of another shape.
    pub wrong_shape: Vec<ShapeMismatch>,
    /// Values that were changed on purpose.
    pub repaired: Vec<String>,
    /// Number formats converted to f32.
    pub conversions: Vec<Conversion>,
    /// Choices and remarks.
    pub notes: Vec<String>,
}

/// A state dict that is not the one of the recognised network.
#[derive(Clone, Debug, PartialEq)]
pub struct Incomplete {
    /// The network.
    pub model: String,
    /// Parameters that are not in the file.
    pub missing: Vec<String>,
    /// Tensors that the network does not have.
    pub unexpected: Vec<String>,
    /// Tensors of another shape.
    pub wrong_shape: Vec<ShapeMismatch>,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, missing, unexpected, wrong_shape } = self;
        write!(
            f,
            "the tensors are not those of {model}: {} missing, {} unexpected, {} of another shape",
            missing.len(),
            unexpected.len(),
            wrong_shape.len()
        )?;
        for name in missing {
            write!(f, "\n  missing: {}", name.escape_debug())?;
        }
        for name in unexpected {
            write!(f, "\n  unexpected: {}", name.escape_debug())?;
        }
        for w in wrong_shape {
            write!(f, "\n  {}: wanted {:?}, found {:?}", w.name.escape_debug(), w.wanted, w.found)?;
        }
        Ok(())
    }
}

fn list(tensors: &[(String, usize)]) -> String {
    let mut text = String::new();
    for (name, count) in tensors {
        let _ = write!(text, "\n  {name}: {count}");
    }
    text
}

/// Why a file could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be opened or read.
    #[error("cannot read the file: {0}")]
    Io(#[from] std::io::Error),
    /// Larger than allowed.
    #[error("the file has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// Another kind of file.
    #[error("this is {}", kind.advice())]
    NotWeights {
        /// What it is.
        kind: FileKind,
    },
    /// A PyTorch file that is refused.
    #[error(transparent)]
    Pth(#[from] PthError),
    /// A safetensors file that is refused.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// Keys of no known scheme.
    #[error(transparent)]
    Rename(#[from] RenameError),
    /// No network recognised.
    #[error(transparent)]
    Detect(#[from] DetectError),
    /// The recognised network cannot be built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A bad recipe, or one that is not of these tensors.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// Tensors missing, unexpected or of another shape.
    #[error("{0}")]
    Incomplete(Box<Incomplete>),
    /// Damaged data.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// NaN or infinity.
    #[error("NaN or infinite values (tensor: count); allow them explicitly to load anyway{}", list(tensors))]
    NonFinite {
        /// Tensors with the number of such values.
        tensors: Vec<(String, usize)>,
    },
    /// Negative variances.
    #[error(
        "negative running variances (tensor: count); allow them explicitly to load anyway{}",
        list(tensors)
    )]
    NegativeVariance {
        /// Tensors with the number of such values.
        tensors: Vec<(String, usize)>,
    },
}
