//! What is wrong with a file of labels, where in it, and what to do; reading its bytes and its text.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::io::Read;
use std::path::{Path, PathBuf};

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// The file as a whole.
    #[default]
    File,
    /// A line, 1-based.
    Line(u64),
    /// An element of a list, 0-based.
    Item {
        /// The list.
        list: &'static str,
        /// Its index.
        index: usize,
    },
    /// A variable of a MATLAB file.
    Variable(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File => Ok(()),
            Self::Line(n) => write!(f, ", line {n}"),
            Self::Item { list, index } => write!(f, ", {list}[{index}]"),
            Self::Variable(name) => write!(f, ", variable {name}"),
        }
    }
}

/// Why a file or an entry was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// The file or folder cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// The file as a whole is not of its format.
    #[error("{}: {detail}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What and where, and what to do.
        detail: String,
    },
    /// An entry is broken.
    #[error("{}{place}: {problem}; {fix}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: Place,
        /// What is wrong.
        problem: String,
        /// What to do.
        fix: &'static str,
    },
    /// An image or label file is missing.
    #[error("{}{place}: there is no file {}{}; check the image folder", path.display(), file.display(), looked_in(looked))]
    MissingFile {
        /// The annotation file.
        path: PathBuf,
        /// The entry.
        place: Place,
        /// The file.
        file: PathBuf,
        /// The folders that were looked in, where there were several.
        looked: Vec<PathBuf>,
    },
    /// Two entries are the same thing.
    #[error("{}{place}: {what} occurs before, at {first}; remove or rename one", path.display())]
    Duplicate {
        /// The annotation file.
        path: PathBuf,
        /// The second entry.
        place: Place,
        /// Which thing.
        what: String,
        /// The first entry: its line or index.
        first: u64,
    },
    /// Nothing is there.
    #[error("{} has no {what}; {fix}", path.display())]
    Empty {
        /// File or folder.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
        /// What to do.
        fix: &'static str,
    },
    /// A limit is exceeded.
    #[error("{} has more than {limit} {what}; raise the limit if the file is trusted", path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

impl DataError {
    /// A broken entry.
    pub fn entry(path: &Path, place: Place, problem: impl Into<String>, fix: &'static str) -> Self {
        Self::Entry { path: path.to_path_buf(), place, problem: problem.into(), fix }
    }

    pub(crate) fn format(path: &Path, detail: impl Into<String>) -> Self {
        Self::Format { path: path.to_path_buf(), detail: detail.into() }
    }

    pub(crate) fn io(path: &Path, e: &std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), reason: e.to_string() }
    }
}

/// The last part of a path, for messages.
pub fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_else(|| path.display().to_string())
}

/// Folders for a message.
pub(crate) fn looked_in(folders: &[PathBuf]) -> String {
    let shown = |p: &PathBuf| match p.as_os_str().is_empty() {
        true => ".".to_string(),
        false => p.display().to_string(),
    };
    let mut names: Vec<String> = folders.iter().take(6).map(shown).collect();
    if folders.len() > names.len() {
        names.push("...".into());
    }
    if names.is_empty() { String::new() } else { format!("; looked in {}", names.join(", ")) }
}

/// Reads a file, at most `max_bytes`.
pub(crate) fn read_bytes(path: &Path, max_bytes: u64) -> Result<Vec<u8>, DataError> {
    let file = std::fs::File::open(path).map_err(|e| DataError::io(path, &e))?;
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| DataError::io(path, &e))?;
    if bytes.len() as u64 > max_bytes {
        return Err(DataError::Limit { path: path.to_path_buf(), what: "bytes", limit: max_bytes });
    }
    Ok(bytes)
}

/// The text of a file, without a byte order mark.
pub(crate) fn text<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a str, DataError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes.iter().take(e.valid_up_to()).filter(|&&b| b == b'\n').count();
        DataError::entry(path, Place::Line(ordinal(line)), "it is no UTF-8 text", "save the file as UTF-8")
    })
}

/// The number that people give to a line or an entry: the first is 1.
pub(crate) fn ordinal(index: usize) -> u64 {
    (index as u64).saturating_add(1)
}

/// A number that JSON wrote as a float and that is whole; beyond 2^53 a float is no exact number.
pub(crate) fn whole(v: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation)] // Whole and within the range of i64.
    (v.fract() == 0.0 && v.abs() < 9e15).then_some(v as i64)
}

/// A field as shown in messages.
pub(crate) fn short(field: &str) -> String {
    let mut s: String = field.chars().take(60).collect();
    if s.len() < field.len() {
        s.push_str("...");
    }
    s
}
