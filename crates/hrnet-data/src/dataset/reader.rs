//! How labels are read: options and limits, and the checks and the bookkeeping that all readers share.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::error::{DataError, Place, short};
use super::images::{Finder, Name, leads_out};

/// What to do when an image file is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingImages {
    /// Return its error.
    #[default]
    Refuse,
    /// Leave the entry out and report it.
    Skip,
    /// Do not look.
    DoNotCheck,
}

/// What the first pixel is called in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// (0, 0): numbers stay as they are.
    Zero,
    /// (1, 1), as in MATLAB: one is subtracted.
    One,
}

impl Base {
    /// What is subtracted.
    pub fn offset(self) -> f64 {
        match self {
            Self::Zero => 0.0,
            Self::One => 1.0,
        }
    }
}

/// What to do with a broken entry of an intact file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Broken {
    /// Return its error.
    #[default]
    Refuse,
    /// Leave it out and keep its error.
    Skip,
}

/// What a file may hold.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadLimits {
    /// Bytes of the file.
    pub max_bytes: u64,
    /// Images, samples or lines.
    pub max_entries: usize,
    /// Points per sample.
    pub max_points: usize,
    /// Absolute value of a coordinate.
    pub max_coordinate: f64,
    /// Width or height that an entry may claim.
    pub max_side: f64,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            max_bytes: 4 << 30,
            max_entries: 20_000_000,
            max_points: 10_000,
            max_coordinate: 1e6,
            max_side: 1e5,
        }
    }
}

/// How to read a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadOptions {
    /// Missing image files.
    pub missing: MissingImages,
    /// Broken entries.
    pub broken: Broken,
    /// Accept absolute names and names with `..`, which may leave the image folder.
    pub allow_outside_root: bool,
    /// Size limits.
    pub limits: ReadLimits,
    /// How images are found; by the plain name below the folder that a reader is given by default.
    pub finder: Finder,
}

/// The checks and the bookkeeping that all readers share.
pub(crate) struct Reader<'a> {
    pub path: &'a Path,
    pub options: &'a ReadOptions,
    pub skipped: Vec<DataError>,
}

impl<'a> Reader<'a> {
    pub fn new(path: &'a Path, options: &'a ReadOptions) -> Self {
        Self { path, options, skipped: Vec::new() }
    }

    /// The value; `None` when the entry is to be left out; the error when it is not.
    pub fn keep<T>(&mut self, result: Result<T, DataError>) -> Result<Option<T>, DataError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(e @ DataError::MissingFile { .. }) if self.options.missing == MissingImages::Skip => {
                self.skipped.push(e);
                Ok(None)
            }
            Err(e @ DataError::Limit { .. }) => Err(e),
            Err(e) if self.options.broken == Broken::Skip => {
                self.skipped.push(e);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// A file named by an entry: inside of `root` unless allowed, and there unless nobody wants to know.
    pub fn file(&self, root: &Path, name: &str, place: &Place) -> Result<PathBuf, DataError> {
        self.named(root, &Name::new(name), place)
    }

    /// The same for a name with its subset.
    pub fn named(&self, root: &Path, name: &Name<'_>, place: &Place) -> Result<PathBuf, DataError> {
        self.file_name(name.name, place)?;
        let finder = &self.options.finder;
        if finder.is_plain() && self.options.missing == MissingImages::DoNotCheck {
            return Ok(root.join(name.name));
        }
        if let Some(file) = finder.find(root, name) {
            return Ok(file);
        }
        let file = finder.expected(root, name);
        if self.options.missing == MissingImages::DoNotCheck || finder.is_blind() {
            return Ok(file);
        }
        Err(self.missing(name.name, file, place))
    }

    /// There is no such file.
    pub fn missing(&self, name: &str, file: PathBuf, place: &Place) -> DataError {
        let looked = self.options.finder.looked();
        let file = if looked.is_empty() { file } else { PathBuf::from(name) };
        DataError::MissingFile { path: self.path.to_path_buf(), place: place.clone(), file, looked }
    }

    fn file_name(&self, name: &str, place: &Place) -> Result<(), DataError> {
        let bad = |problem: String, fix| Err(DataError::entry(self.path, place.clone(), problem, fix));
        if name.is_empty() {
            return bad("the file name is empty".into(), "name a file");
        }
        if name.contains('\0') {
            return bad(format!("{:?} is no file name", short(name)), "name a file");
        }
        if !self.options.allow_outside_root && leads_out(name, &self.options.finder) {
            return bad(
                format!("{:?} is outside of the image folder", short(name)),
                "use names relative to the image folder, or allow others",
            );
        }
        Ok(())
    }

    /// A coordinate: finite and not absurd.
    pub fn coordinate(&self, value: f64, what: &str, place: &Place) -> Result<f64, DataError> {
        if value.is_finite() && value.abs() <= self.options.limits.max_coordinate {
            return Ok(value);
        }
        let problem =
            format!("{what} is {value}, which is no coordinate: a finite number, not absurdly large");
        Err(DataError::entry(self.path, place.clone(), problem, "correct or remove the entry"))
    }

    /// A box `[x, y, w, h]`: finite, sizes not negative.
    pub fn bbox(&self, b: [f64; 4], place: &Place) -> Result<[f64; 4], DataError> {
        for (v, what) in
            b.into_iter().zip(["x of the box", "y of the box", "width of the box", "height of the box"])
        {
            self.coordinate(v, what, place)?;
        }
        let [_, _, w, h] = b;
        if w < 0.0 || h < 0.0 {
            let problem = format!("the box {b:?} has a negative size");
            return Err(DataError::entry(
                self.path,
                place.clone(),
                problem,
                "boxes are [x, y, width, height]",
            ));
        }
        Ok(b)
    }

    /// Refuses more entries than the limit.
    pub fn count(&self, entries: usize, what: &'static str) -> Result<(), DataError> {
        let limit = self.options.limits.max_entries;
        if entries > limit {
            return Err(DataError::Limit { path: self.path.to_path_buf(), what, limit: limit as u64 });
        }
        Ok(())
    }
}

/// Tells second occurrences.
pub(crate) struct Seen<K>(HashMap<K, u64>);

impl<K: std::hash::Hash + Eq> Seen<K> {
    pub fn new() -> Self {
        Self(HashMap::new())
    }

    /// Where the thing occurred before, else remembers it.
    pub fn before(&mut self, key: K, at: u64) -> Option<u64> {
        match self.0.entry(key) {
            std::collections::hash_map::Entry::Occupied(e) => Some(*e.get()),
            std::collections::hash_map::Entry::Vacant(e) => {
                e.insert(at);
                None
            }
        }
    }
}
