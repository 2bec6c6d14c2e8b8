//! Golden vectors of every kind: recognised by their contents, compared, largest error against its limit.

mod network;
mod pose;
mod training;

use crate::error::{Result, bail};
use hrnet_kernels::{Isa, Pool};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which executor runs a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executor {
    /// The slow f64 reference.
    Interpreter,
    /// The fast one.
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
#[derive(Debug)]
pub struct Setup {
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
pub fn verify_file(context: &Setup, path: &Path) -> Result<Case> {
    let bytes = crate::io::read(path)?;
    let value: Value = match serde_json::from_slice(&bytes) {
        Ok(value) => value,
        Err(error) => bail!("not JSON ({error}); golden vectors are .json files"),
    };
    let first = value.as_array().and_then(|a| a.first());
    let has = |value: Option<&Value>, key: &str| value.and_then(|v| v.get(key)).is_some();
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if has(Some(&value), "grads_step0") {
        training::verify(context, &bytes)
    } else if has(Some(&value), "outputs") {
        network::verify_forward(context, &bytes)
    } else if first.is_some_and(Value::is_array) {
        network::verify_keys(&name, path, &bytes)
    } else if has(first, "affine") {
        pose::verify_crops(context, name, path, &bytes)
    } else if has(first, "heatmaps") {
        pose::verify_decode(name, path, &bytes)
    } else if has(first, "joints") && has(first, "sigma") {
        pose::verify_targets(name, &bytes)
    } else if has(first, "keep") {
        pose::verify_oks_nms(name, path, &bytes)
    } else {
        bail!(
            "not a golden vector of a kind that this version compares (forward, keys, train, pose crops, decode, targets, OKS NMS)"
        )
    }
}
