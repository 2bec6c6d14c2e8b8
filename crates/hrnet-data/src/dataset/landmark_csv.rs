//! Landmark CSV files, the label format of HRNet-Facial-Landmark-Detection.
//!
//! ```text
//! image_name,scale,center_w,center_h,original_0_x,original_0_y,original_1_x,...
//! image_path,scale,box_size,center_w,center_h,original_0_x,...            (AFLW)
//! ```
//!
//! The first column names the image, relative to the image folder. `scale`, `center_w`, `center_h` and the optional
//! `box_size` are found by name; all other columns are points, x then y. `scale` is the face's size over 200 pixels, without
//! padding. Coordinates are pixels of the image; every number must be finite and within [`CsvLimits`].
//!
//! The same image may occur in several rows (several faces). Rows that repeat an image *and* its labels are errors.
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
use std::path::{Path, PathBuf};

use super::error::looked_in;
use super::faces::faces;
use super::format::{Content, Fit, Format, Opened, Where};
use super::images::{Finder, leads_out};
use super::model::{Broken, DataError, Place, ReadOptions, Reader};
pub use super::model::{LandmarkSample, MissingImages};
use super::table::Table;

/// A table that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct LandmarkTable {
    /// The table's file.
    pub path: PathBuf,
    /// Points per face.
    pub points: usize,
    /// The faces, in file order.
    pub samples: Vec<LandmarkSample>,
    /// Rows left out under [`MissingImages::Skip`]: line and image.
    pub skipped: Vec<(u64, PathBuf)>,
    /// Rows left out under [`Broken::Skip`], with the reason.
    pub broken: Vec<DataError>,
}

/// What a table may hold.
#[derive(Debug, Clone, PartialEq)]
pub struct CsvLimits {
    /// Bytes of the file.
    pub max_bytes: u64,
    /// Rows.
    pub max_rows: usize,
    /// Points per face.
    pub max_points: usize,
    /// Absolute value of a coordinate.
    pub max_coordinate: f64,
    /// Largest scale.
    pub max_scale: f64,
}

impl Default for CsvLimits {
    fn default() -> Self {
        Self {
            max_bytes: 1 << 30,
            max_rows: 10_000_000,
            max_points: 10_000,
            max_coordinate: 1e5,
            max_scale: 500.0,
        }
    }
}

/// How to read a table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CsvOptions {
    /// Missing image files.
    pub missing: MissingImages,
    /// Rows with a bad field, and repeated rows.
    pub broken: Broken,
    /// Accept absolute names and names with `..`, which may leave the image folder.
    pub allow_outside_root: bool,
    /// Size limits.
    pub limits: CsvLimits,
    /// How images are found.
    pub finder: Finder,
}

pub(crate) static FORMAT: Format = Format {
    name: "landmark-csv",
    aliases: &["csv", "aflw"],
    content: Content::Points,
    recognise: |at| {
        if !at.is_file(&["csv"]) {
            return Fit::No;
        }
        let names = Table::columns_of(at.text.lines().next().unwrap_or(""));
        let has = |name: &str| names.iter().any(|n| n == name);
        match has("center_w") && has("scale") {
            true => Fit::Surely,
            false => Fit::Almost(format!(
                "its columns are {:?}; a landmark table has scale and center_w, a class table has class_index",
                names.join(",").chars().take(60).collect::<String>()
            )),
        }
    },
    read: |path, how| {
        let options = CsvOptions {
            missing: how.read.missing,
            broken: how.read.broken,
            allow_outside_root: how.read.allow_outside_root,
            finder: how.read.finder.clone(),
            ..CsvOptions::default()
        };
        let table = read(path, Path::new(""), &options)?;
        let title = match table.points {
            19 => "AFLW table",
            29 => "COFW table",
            68 => "table of 68 points",
            98 => "WFLW table",
            _ => "table",
        };
        let missing = table.skipped.iter().map(|(line, image)| DataError::MissingFile {
            path: path.to_path_buf(),
            place: Place::Line(*line),
            file: image.clone(),
            looked: how.read.finder.looked(),
        });
        let skipped = missing.chain(table.broken).collect();
        let set = faces(path, table.samples, skipped, how.read.broken)?;
        Ok(Opened { title: Some(title.into()), ..set.into() })
    },
    images: Where::Named(&[]),
    takes_one: false,
    has_splits: false,
    place: |sample, image| format!("line {} ({image})", sample.id),
};

/// Why a table was refused.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The table.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The bytes are no CSV: unequal rows, bad quoting.
    #[error("{}: {detail}", path.display())]
    Format {
        /// The table.
        path: PathBuf,
        /// What and where.
        detail: String,
    },
    /// The header lacks a column or cannot be understood.
    #[error("{}, header: {detail}; wanted image_name,scale,center_w,center_h,original_0_x,original_0_y,...", path.display())]
    Header {
        /// The table.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A field is not usable.
    #[error("{}, line {line}, column {column}: {value:?} is {problem}", path.display())]
    Field {
        /// The table.
        path: PathBuf,
        /// Line, the header being line 1.
        line: u64,
        /// Name of the column.
        column: String,
        /// The field, shortened.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An image file is missing.
    #[error("{}, line {line}: there is no image {}{}; check the image folder", path.display(), image.display(), looked_in(looked))]
    MissingImage {
        /// The table.
        path: PathBuf,
        /// Line of the row.
        line: u64,
        /// The image.
        image: PathBuf,
        /// The folders that were looked in, where there were several.
        looked: Vec<PathBuf>,
    },
    /// Two rows are the same.
    #[error("{}, line {line}: image {} and its points repeat line {first}; remove one", path.display(), image.display())]
    Duplicate {
        /// The table.
        path: PathBuf,
        /// Line of the second row.
        line: u64,
        /// Line of the first row.
        first: u64,
        /// The image.
        image: PathBuf,
    },
    /// There is nothing in the table.
    #[error("{} has no rows", path.display())]
    Empty {
        /// The table.
        path: PathBuf,
    },
    /// A limit is exceeded.
    #[error("{} has more than {limit} {what}", path.display())]
    Limit {
        /// The table.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

impl From<CsvError> for DataError {
    fn from(e: CsvError) -> Self {
        match e {
            CsvError::Field { path, line, column, value, problem } => Self::Entry {
                path,
                place: Place::Line(line),
                problem: format!("column {column}: {value:?} is {problem}"),
                fix: "correct the field or remove the row",
            },
            CsvError::MissingImage { path, line, image, looked } => {
                Self::MissingFile { path, place: Place::Line(line), file: image, looked }
            }
            CsvError::Duplicate { path, line, first, image } => {
                let what = format!("image {} with these points", image.display());
                Self::Duplicate { path, place: Place::Line(line), what, first }
            }
            CsvError::Io { path, source } => Self::Io { path, reason: source.to_string() },
            CsvError::Format { path, detail } | CsvError::Header { path, detail } => {
                Self::Format { path, detail }
            }
            CsvError::Empty { path } => Self::Empty { path, what: "rows", fix: "add a row per face" },
            CsvError::Limit { path, what, limit } => Self::Limit { path, what, limit },
        }
    }
}

/// Reads a table from a file.
pub fn read(table: &Path, image_root: &Path, options: &CsvOptions) -> Result<LandmarkTable, CsvError> {
    let io = |source| CsvError::Io { path: table.to_path_buf(), source };
    let file = std::fs::File::open(table).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(options.limits.max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    parse(&bytes, table, image_root, options)
}

/// Where the known columns are.
struct Columns {
    names: Vec<String>,
    scale: usize,
    centre: [usize; 2],
    box_size: Option<usize>,
    points: Vec<[usize; 2]>,
}

/// Reads a table from memory; `table` is its name in messages.
pub fn parse(
    bytes: &[u8],
    table: &Path,
    image_root: &Path,
    options: &CsvOptions,
) -> Result<LandmarkTable, CsvError> {
    let path = || table.to_path_buf();
    let limits = &options.limits;
    if bytes.len() as u64 > limits.max_bytes {
        return Err(CsvError::Limit { path: path(), what: "bytes", limit: limits.max_bytes });
    }
    let format = |e: DataError| match e {
        DataError::Format { path, detail } => CsvError::Format { path, detail },
        e => CsvError::Format { path: path(), detail: e.to_string() },
    };
    let mut reader = Table::new(bytes, table, false).map_err(format)?;
    let columns = columns(reader.header(), table, limits)?;
    let read = ReadOptions {
        missing: options.missing,
        allow_outside_root: options.allow_outside_root,
        finder: options.finder.clone(),
        ..ReadOptions::default()
    };
    let mut samples: Vec<LandmarkSample> = Vec::new();
    let (mut skipped, mut broken) = (Vec::new(), Vec::new());
    let mut seen: HashMap<PathBuf, Vec<usize>> = HashMap::new();
    while let Some(row) = reader.next_row().map_err(format)? {
        let line = row.line;
        if samples.len() >= limits.max_rows {
            return Err(CsvError::Limit { path: path(), what: "rows", limit: limits.max_rows as u64 });
        }
        let row = Face { record: &row.fields, columns: &columns, table, line, limits };
        let read = row.sample(image_root, &read).and_then(|sample| {
            let earlier = seen.entry(sample.image.clone()).or_default();
            let same = earlier.iter().filter_map(|&i| samples.get(i)).find(|s| s.points == sample.points);
            match same.map(|s| s.line) {
                Some(first) => Err(CsvError::Duplicate { path: path(), line, first, image: sample.image }),
                None => Ok(sample),
            }
        });
        let sample = match read {
            Err(CsvError::MissingImage { image, .. }) if options.missing == MissingImages::Skip => {
                skipped.push((line, image));
                continue;
            }
            Err(e) if options.broken == Broken::Skip => {
                broken.push(e.into());
                continue;
            }
            read => read?,
        };
        seen.entry(sample.image.clone()).or_default().push(samples.len());
        samples.push(sample);
    }
    if samples.is_empty() && skipped.is_empty() && broken.is_empty() {
        return Err(CsvError::Empty { path: path() });
    }
    Ok(LandmarkTable { path: path(), points: columns.points.len(), samples, skipped, broken })
}

fn columns(header: &csv::StringRecord, table: &Path, limits: &CsvLimits) -> Result<Columns, CsvError> {
    let error = |detail: String| CsvError::Header { path: table.to_path_buf(), detail };
    let names: Vec<String> = header.iter().map(|s| short(s).to_ascii_lowercase()).collect();
    let find = |wanted: &str| {
        let mut found = names.iter().enumerate().skip(1).filter(|(_, n)| *n == wanted).map(|(i, _)| i);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(error(format!("column {wanted} occurs twice"))),
            (i, _) => Ok(i),
        }
    };
    let need = |wanted: &str| find(wanted)?.ok_or_else(|| error(format!("there is no column {wanted}")));
    let (scale, centre, box_size) =
        (need("scale")?, [need("center_w")?, need("center_h")?], find("box_size")?);
    let known = [Some(0), Some(scale), Some(centre[0]), Some(centre[1]), box_size];
    let rest: Vec<usize> = (0..names.len()).filter(|i| !known.contains(&Some(*i))).collect();
    if rest.is_empty() || !rest.len().is_multiple_of(2) {
        return Err(error(format!("{} point columns are not pairs of x and y", rest.len())));
    }
    let mut points = Vec::with_capacity(rest.len().div_ceil(2));
    for pair in rest.chunks_exact(2) {
        let &[x, y] = pair else { continue };
        let name = |i: usize| names.get(i).map_or("", String::as_str);
        if name(x).ends_with("_y") || name(y).ends_with("_x") {
            return Err(error(format!("columns {} and {} are not x and y of one point", name(x), name(y))));
        }
        points.push([x, y]);
    }
    if points.len() > limits.max_points {
        let limit = limits.max_points as u64;
        return Err(CsvError::Limit { path: table.to_path_buf(), what: "points per face", limit });
    }
    Ok(Columns { names, scale, centre, box_size, points })
}

/// A field as shown in messages.
fn short(field: &str) -> String {
    let mut s: String = field.chars().take(60).collect();
    if s.len() < field.len() {
        s.push_str("...");
    }
    s
}

/// One record and what is needed to complain about it.
struct Face<'a> {
    record: &'a csv::StringRecord,
    columns: &'a Columns,
    table: &'a Path,
    line: u64,
    limits: &'a CsvLimits,
}

impl Face<'_> {
    fn field(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or("")
    }

    fn bad(&self, column: usize, problem: &'static str) -> CsvError {
        CsvError::Field {
            path: self.table.to_path_buf(),
            line: self.line,
            column: self.columns.names.get(column).cloned().unwrap_or_default(),
            value: short(self.field(column)),
            problem,
        }
    }

    fn image_name(&self, options: &ReadOptions) -> Result<&str, CsvError> {
        let name = self.field(0);
        if name.is_empty() {
            return Err(self.bad(0, "empty; it should name an image"));
        }
        if name.contains('\0') {
            return Err(self.bad(0, "not a file name"));
        }
        if !options.allow_outside_root && leads_out(name, &options.finder) {
            return Err(self.bad(0, "outside of the image folder, which is not allowed"));
        }
        Ok(name)
    }

    /// The whole row.
    fn sample(&self, image_root: &Path, options: &ReadOptions) -> Result<LandmarkSample, CsvError> {
        let (columns, line) = (self.columns, self.line);
        let name = self.image_name(options)?;
        let reader = Reader::new(self.table, options);
        let image = reader.file(image_root, name, &Place::Line(line)).map_err(|e| match e {
            DataError::MissingFile { path, file, looked, .. } => {
                CsvError::MissingImage { path, line, image: file, looked }
            }
            DataError::Entry { .. } => self.bad(0, "no usable file name"),
            e => CsvError::Format { path: self.table.to_path_buf(), detail: e.to_string() },
        })?;
        let scale = self.positive(columns.scale)?;
        if scale > self.limits.max_scale {
            return Err(self.bad(columns.scale, "above the limit for a scale"));
        }
        let [cx, cy] = columns.centre;
        let centre = [self.coordinate(cx)?, self.coordinate(cy)?];
        let box_size = columns.box_size.map(|c| self.positive(c)).transpose()?;
        let mut points = Vec::with_capacity(columns.points.len());
        for &[x, y] in &columns.points {
            points.push([self.coordinate(x)?, self.coordinate(y)?]);
        }
        Ok(LandmarkSample { image, line, centre, scale, box_size, points })
    }

    fn number(&self, column: usize) -> Result<f64, CsvError> {
        let field = self.field(column);
        if field.is_empty() {
            return Err(self.bad(column, "empty; it should be a number"));
        }
        let value: f64 = field.parse().map_err(|_| self.bad(column, "not a number"))?;
        if value.is_finite() { Ok(value) } else { Err(self.bad(column, "not a finite number")) }
    }

    fn positive(&self, column: usize) -> Result<f64, CsvError> {
        let value = self.number(column)?;
        if value > 0.0 { Ok(value) } else { Err(self.bad(column, "not above zero")) }
    }

    fn coordinate(&self, column: usize) -> Result<f64, CsvError> {
        let value = self.number(column)?;
        if value.abs() <= self.limits.max_coordinate {
            Ok(value)
        } else {
            Err(self.bad(column, "too large for a coordinate"))
        }
    }
}
