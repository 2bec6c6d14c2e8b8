//! Golden vectors of every kind: recognised by their contents, compared, largest error against its limit.
//!
//! This crate opens no file itself: [`Files`] reads, with the limits and the messages of its caller.

mod network;
mod pose;
mod training;

use hrnet_ir::Tensor;
use hrnet_kernels::{Isa, Pool};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An error of any kind.
type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, BoxError>;

/// Why a file cannot be compared: it cannot be read, is no golden vector, or contradicts itself or the network.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct VerifyError(#[from] BoxError);

/// A reason with what it follows from.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Because {
    what: String,
    source: BoxError,
}

/// Says before an error what was wanted.
fn because<E: Into<BoxError>>(what: impl Into<String>) -> impl FnOnce(E) -> BoxError {
    move |source| Because { what: what.into(), source: source.into() }.into()
}

/// An error of this text, unless something holds.
fn ensure(holds: bool, text: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(text().into()) }
}

/// How the files of a comparison are read.
pub trait Files {
    /// The bytes of a file. The error names it.
    fn bytes(&self, path: &Path) -> std::result::Result<Vec<u8>, BoxError>;

    /// The array of a `.npy` file. The error names it.
    fn array(&self, path: &Path) -> std::result::Result<Tensor, BoxError>;
}

/// What runs a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executor {
    /// The slow f64 reference.
    Interpreter,
    /// The fast one: the engine, and the f32 trainer.
    Engine,
}

impl Executor {
    /// Both.
    pub const ALL: &[Self] = &[Self::Interpreter, Self::Engine];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interpreter => "interpreter",
            Self::Engine => "engine",
        }
    }

    /// What it is, in a few words.
    pub fn about(self) -> &'static str {
        match self {
            Self::Interpreter => "The slow f64 reference",
            Self::Engine => "The fast one",
        }
    }
}

/// What the comparison runs on.
pub struct Setup<'a> {
    /// Reads golden files and what they name.
    pub files: &'a dyn Files,
    /// What runs the forward cases.
    pub executor: Executor,
    /// Instruction set of the engine and the trainer.
    pub isa: Isa,
    /// Their threads.
    pub pool: Arc<Pool>,
    /// Folder of the images that crop files name.
    pub images: Option<PathBuf>,
}

/// One compared quantity.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What was compared.
    pub what: String,
    /// The largest error.
    pub error: f64,
    /// The limit it must not exceed.
    pub limit: f64,
}

impl Check {
    /// A comparison of numbers.
    pub fn new(what: impl Into<String>, error: f64, limit: f64) -> Self {
        Self { what: what.into(), error, limit }
    }

    /// A count of differences that must be zero.
    pub fn count(what: impl Into<String>, differences: usize) -> Self {
        Self::new(what, differences as f64, 0.0)
    }

    /// Whether the error is within the limit; NaN is not.
    pub fn passes(&self) -> bool {
        self.error <= self.limit
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let sign = if self.passes() { "<=" } else { "> " };
        format!("{:<44} {:>10.3e} {sign} {:.3e}", self.what, self.error, self.limit)
    }

    /// The same as JSON; an error that is not finite is null.
    pub fn json(&self) -> Value {
        json!({"what": self.what, "error": self.error, "limit": self.limit, "ok": self.passes()})
    }
}

/// A compared file.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Name of the case.
    pub name: String,
    /// `forward`, `keys`, `train`, `pose crops`, `pose decode` or `pose targets`.
    pub kind: &'static str,
    /// What was compared.
    pub checks: Vec<Check>,
}

/// Compares one file.
pub fn verify_file(context: &Setup, path: &Path) -> std::result::Result<Case, VerifyError> {
    Ok(compare(context, path)?)
}

fn compare(context: &Setup, path: &Path) -> Result<Case> {
    let bytes = context.files.bytes(path)?;
    let not_json = |error| format!("not JSON ({error}); golden vectors are .json files");
    let value: Value = serde_json::from_slice(&bytes).map_err(not_json)?;
    let first = value.as_array().and_then(|a| a.first());
    let has = |value: Option<&Value>, key: &str| value.and_then(|v| v.get(key)).is_some();
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if has(Some(&value), "grads_step0") {
        training::verify(context, &bytes)
    } else if has(Some(&value), "outputs") {
        network::verify_forward(context, &bytes)
    } else if first.is_some_and(Value::is_array) {
        network::verify_keys(context, &name, path, &bytes)
    } else if has(first, "affine") {
        pose::verify_crops(context, name, path, &bytes)
    } else if has(first, "heatmaps") {
        pose::verify_decode(context, name, path, &bytes)
    } else if has(first, "joints") && has(first, "sigma") {
        pose::verify_targets(name, &bytes)
    } else if has(first, "keep") {
        pose::verify_oks_nms(context, name, path, &bytes)
    } else {
        Err(
            "not a golden vector of a kind that this version compares (forward, keys, train, pose crops, decode, targets, OKS NMS)"
                .into(),
        )
    }
}
