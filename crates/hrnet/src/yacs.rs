//! Configurations of the official repositories (YAML, read there by yacs) as ours.
//!
//! [`Imported::read`] checks a file against the table of keys ([`keys`]), describes its network and turns the rest into a
//! [`TrainConfig`]. What has no counterpart is told in remarks, one per key.

mod convert;
pub mod keys;
mod literal;
mod network;
mod parse;
mod sections;

pub use literal::Value;

use crate::config::TrainConfig;
use crate::error::{Context, Result, bail};
use hrnet_ir::Model;
use keys::Repository;
use std::path::Path;

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum YacsError {
    /// Not YAML, or beyond a limit.
    #[error("{0}")]
    Text(String),
    /// A key or a value of the file that is not accepted.
    #[error("{problem} (line {line}, column {column})")]
    Place {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong, with the dotted path.
        problem: String,
    },
    /// A key or a value that is not accepted: of the command line, or one that contradicts another.
    #[error("{0}")]
    Setting(String),
}

/// What a file says.
#[derive(Clone, Debug)]
pub struct Imported {
    /// Whose file it is.
    pub repository: Repository,
    /// The network.
    pub model: Model,
    /// Height and width of its input.
    pub input: [usize; 2],
    /// The training run, or why we have none like it.
    pub config: Result<TrainConfig, String>,
    /// What is not taken over, or not exactly, one line each.
    pub remarks: Vec<String>,
}

impl Imported {
    /// Reads a file; `settings` are `KEY VALUE` pairs that replace its values. Relative paths of the file belong to
    /// `data_dir`, without one to the working folder.
    pub fn read(path: &Path, settings: &[String], data_dir: Option<&Path>) -> Result<Self> {
        let shown = path.display();
        let size = std::fs::metadata(path).with_context(|| format!("{shown}: cannot be read"))?.len();
        if size > parse::MAX_BYTES as u64 {
            bail!("{shown}: {size} bytes; configurations of up to {} bytes are read", parse::MAX_BYTES);
        }
        let text =
            String::from_utf8(crate::io::read(path)?).with_context(|| format!("{shown}: not a text file"))?;
        Self::parse(&text, settings, data_dir).with_context(|| format!("{shown}: not a usable configuration"))
    }

    /// The same from text.
    pub fn parse(text: &str, settings: &[String], data_dir: Option<&Path>) -> Result<Self, YacsError> {
        let pairs = literal::pairs(settings)?;
        let repository = Repository::of(&parse::name(text, &pairs)?)?;
        let mut settings = parse::settings(text, repository)?;
        for (key, value) in pairs {
            let value = keys::check(repository, &key, value).map_err(YacsError::Setting)?;
            settings.insert(key, value);
        }
        convert::convert(repository, settings, data_dir)
    }
}

/// Whether a path has the name of a YAML file.
pub fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("yaml") || e.eq_ignore_ascii_case("yml"))
}

#[cfg(test)]
mod tests;
