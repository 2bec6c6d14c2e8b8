//! What the data sets have in common: samples of each task, reading options, limits, errors.
//!
//! Points and boxes are `f64`, in pixels of the original image, pixel centres at integers. A box is `[x, y, w, h]`.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::collections::HashMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

pub use super::landmark_csv::{LandmarkSample, MissingImages};

/// Whether a point is labelled, and seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Visibility {
    /// No label: the coordinates mean nothing (COCO `v = 0`).
    #[default]
    Absent,
    /// Labelled but hidden (COCO `v = 1`).
    Hidden,
    /// Labelled and seen (COCO `v = 2`).
    Visible,
}

impl Visibility {
    /// COCO's flag.
    pub fn flag(self) -> u8 {
        match self {
            Self::Absent => 0,
            Self::Hidden => 1,
            Self::Visible => 2,
        }
    }

    /// Whether there is a label.
    pub fn labelled(self) -> bool {
        self != Self::Absent
    }
}

/// One point of a pose.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PosePoint {
    /// x, y; (0, 0) where absent.
    pub at: [f64; 2],
    /// Its label.
    pub visibility: Visibility,
}

/// One person or animal in one image.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PoseSample {
    /// Id in the file, or the entry's number where the format has none.
    pub id: i64,
    /// Index in [`PoseSet::images`].
    pub image: usize,
    /// Index in [`PoseSet::categories`].
    pub category: usize,
    /// Box `[x, y, w, h]` as annotated.
    pub bbox: Option<[f64; 4]>,
    /// The points in the order of the category; empty when there are no labels at all.
    pub points: Vec<PosePoint>,
    /// The annotated count of labelled points; 0 makes COCO's metric ignore the instance.
    pub num_keypoints: usize,
    /// Area of the segment in square pixels.
    pub area: Option<f64>,
    /// A group that is not labelled one by one.
    pub crowd: bool,
    /// The size that normalises PCKh: 0.6 of the head box's diagonal.
    pub head_size: Option<f64>,
    /// Annotated centre, and size over 200 pixels without padding.
    pub centre_scale: Option<([f64; 2], f64)>,
    /// The outline or mask, where the file has one and it was asked for.
    pub segmentation: Option<super::coco_mask::Segmentation>,
}

impl PoseSample {
    /// Points with a label.
    pub fn labelled(&self) -> usize {
        self.points.iter().filter(|p| p.visibility.labelled()).count()
    }

    /// The box as annotated, or the extent of the labelled points.
    pub fn box_or_extent(&self) -> Option<[f64; 4]> {
        self.bbox.or_else(|| {
            extent(self.points.iter().filter(|p| p.visibility.labelled()).map(|p| p.at))
                .map(|[x0, y0, x1, y1]| [x0, y0, x1 - x0, y1 - y0])
        })
    }
}

/// Least and greatest x and y: `[x0, y0, x1, y1]`.
pub fn extent(points: impl IntoIterator<Item = [f64; 2]>) -> Option<[f64; 4]> {
    points.into_iter().fold(None, |e: Option<[f64; 4]>, [x, y]| {
        let [x0, y0, x1, y1] = e.unwrap_or([x, y, x, y]);
        Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)])
    })
}

/// The face box rule of the official CSV files: whole pixels outwards, centre and larger side over 200.
///
/// Checked against the 300W and WFLW entries of mmpose's sample files, which repeat the CSVs.
pub fn face_centre_scale(points: &[[f64; 2]]) -> Option<([f64; 2], f64)> {
    let [x0, y0, x1, y1] = extent(points.iter().copied())?;
    let (x0, y0, x1, y1) = (x0.floor(), y0.floor(), x1.ceil(), y1.ceil());
    Some(([(x0 + x1) / 2.0, (y0 + y1) / 2.0], (x1 - x0).max(y1 - y0) / 200.0))
}

/// One image of a pose set.
#[derive(Debug, Clone, PartialEq)]
pub struct PoseImage {
    /// Id in the file, or its number.
    pub id: i64,
    /// The image file.
    pub file: PathBuf,
    /// Width and height as the file says.
    pub size: Option<[usize; 2]>,
    /// CrowdPose's measure of crowding, 0 to 1.
    pub crowd_index: Option<f64>,
}

/// Where the flip pairs of a category come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairSource {
    /// `flip_pairs` in the file.
    File,
    /// A known set with these names, or this many unnamed points.
    Known(&'static str),
    /// `left` and `right` in the names.
    Names,
    /// Nothing tells them: no pairs, every point maps to itself. Do not flip before looking at it.
    None,
}

/// What is labelled: names, lines, mirror pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Category {
    /// Id in the file.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Names of the points.
    pub points: Vec<String>,
    /// Lines for drawing, 0-based.
    pub skeleton: Vec<[usize; 2]>,
    /// Points that change places in a mirrored image, 0-based.
    pub flip_pairs: Vec<(usize, usize)>,
    /// Where the pairs come from.
    pub pairs_from: PairSource,
    /// OKS constants per point, where the file has them.
    pub sigmas: Option<Vec<f64>>,
}

impl Category {
    /// The index of each point in the mirrored image.
    pub fn flip_permutation(&self) -> Vec<usize> {
        crate::sets::flip_permutation(self.points.len(), &self.flip_pairs)
    }
}

/// A pose set that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct PoseSet {
    /// The annotation file.
    pub path: PathBuf,
    /// The images, in file order, those without samples included.
    pub images: Vec<PoseImage>,
    /// The categories, in file order.
    pub categories: Vec<Category>,
    /// The samples, in file order.
    pub samples: Vec<PoseSample>,
    /// Entries that were left out, with the reason.
    pub skipped: Vec<DataError>,
    /// Odd things that were put right or passed over, in words.
    pub notes: Vec<String>,
}

impl PoseSet {
    /// The one category of the set, or the first when all have the same points (AP-10K's 54 animals).
    pub fn common_category(&self) -> Result<&Category, DataError> {
        let first = self.categories.first().ok_or_else(|| DataError::Empty {
            path: self.path.clone(),
            what: "categories",
            fix: "add a category with the names of the points",
        })?;
        match self.categories.iter().position(|c| c.points != first.points) {
            None => Ok(first),
            Some(i) => Err(DataError::entry(
                &self.path,
                Place::Item { list: "categories", index: i },
                "it has other points than the first category",
                "split the file by category, or choose one",
            )),
        }
    }

    /// Indices of the samples of each image.
    pub fn by_image(&self) -> Vec<Vec<usize>> {
        let mut out = vec![Vec::new(); self.images.len()];
        for (i, s) in self.samples.iter().enumerate() {
            if let Some(list) = out.get_mut(s.image) {
                list.push(i);
            }
        }
        out
    }
}

/// One image and its label image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegSample {
    /// The image.
    pub image: PathBuf,
    /// Its labels; `None` in lists for prediction.
    pub label: Option<PathBuf>,
    /// Line of the list, 1-based; the number of the pair where there is no list.
    pub line: u64,
}

/// A segmentation set that was read.
#[derive(Debug)]
pub struct SegSet {
    /// The list or folder.
    pub path: PathBuf,
    /// Pairs in list order.
    pub samples: Vec<SegSample>,
    /// Lines left out, with the reason.
    pub skipped: Vec<DataError>,
}

/// One image and its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassSample {
    /// The image.
    pub image: PathBuf,
    /// Index in [`ClassSet::classes`].
    pub class: usize,
}

/// A classification set that was read.
#[derive(Debug)]
pub struct ClassSet {
    /// The folder or table.
    pub path: PathBuf,
    /// Names of the classes, by index. Where a table leaves an index out, its name is empty.
    pub classes: Vec<String>,
    /// The images.
    pub samples: Vec<ClassSample>,
    /// Entries left out, with the reason.
    pub skipped: Vec<DataError>,
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
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
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
    #[error("{}{place}: there is no file {}; check the image folder", path.display(), file.display())]
    MissingFile {
        /// The annotation file.
        path: PathBuf,
        /// The entry.
        place: Place,
        /// The file.
        file: PathBuf,
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

    pub(super) fn io(path: &Path, e: &std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), reason: e.to_string() }
    }
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
pub(super) fn text<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a str, DataError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes.iter().take(e.valid_up_to()).filter(|&&b| b == b'\n').count();
        DataError::entry(path, Place::Line(ordinal(line)), "it is no UTF-8 text", "save the file as UTF-8")
    })
}

/// The number that people give to a line or an entry: the first is 1.
pub(super) fn ordinal(index: usize) -> u64 {
    (index as u64).saturating_add(1)
}

/// A number that JSON wrote as a float and that is whole; beyond 2^53 a float is no exact number.
pub(super) fn whole(v: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation)] // Whole and within the range of i64.
    (v.fract() == 0.0 && v.abs() < 9e15).then_some(v as i64)
}

/// A field as shown in messages.
pub(super) fn short(field: &str) -> String {
    let mut s: String = field.chars().take(60).collect();
    if s.len() < field.len() {
        s.push_str("...");
    }
    s
}

/// The checks and the bookkeeping that all readers share.
pub(super) struct Reader<'a> {
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
        let bad = |problem: String, fix| Err(DataError::entry(self.path, place.clone(), problem, fix));
        if name.is_empty() {
            return bad("the file name is empty".into(), "name a file");
        }
        if name.contains('\0') {
            return bad(format!("{:?} is no file name", short(name)), "name a file");
        }
        // Backslashes are separators in lists that were made under Windows.
        let inside = |p: &Path| p.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        let ok = inside(Path::new(name)) && inside(Path::new(&name.replace('\\', "/")));
        if !ok && !self.options.allow_outside_root {
            return bad(
                format!("{:?} is outside of the image folder", short(name)),
                "use names relative to the image folder, or allow others",
            );
        }
        let file = root.join(name);
        if self.options.missing != MissingImages::DoNotCheck && !file.is_file() {
            return Err(DataError::MissingFile { path: self.path.to_path_buf(), place: place.clone(), file });
        }
        Ok(file)
    }

    /// A coordinate: finite and not absurd.
    pub fn coordinate(&self, value: f64, what: &str, place: &Place) -> Result<f64, DataError> {
        if value.is_finite() && value.abs() <= self.options.limits.max_coordinate {
            return Ok(value);
        }
        let problem = format!("{what} is {value}, which is no coordinate");
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
pub(super) struct Seen<K>(HashMap<K, u64>);

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
