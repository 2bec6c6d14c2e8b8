//! MATLAB files of version 5 to 7: numeric arrays, read-only.
//!
//! ```text
//! 128 bytes     text (116), subsystem offset (8), version 0x0100, "IM" (little-endian) or "MI" (big-endian)
//! element       type u32, bytes u32, data, padded to 8        or, small: bytes u16, type u16 in one u32, data (4)
//! compressed    type 15: a zlib stream that holds one element
//! matrix        type 14: elements  flags (class in the low byte) | dimensions i32 | name i8 | numbers [| imaginary]
//! ```
//!
//! Numbers are stored in the smallest type that holds them, whatever the class of the array, column by column. Cells,
//! structs and objects are passed over; their names are kept. Source: the "MAT-File Format" document of MathWorks, checked
//! against files written by scipy.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::io::Read;

use std::path::Path;

use super::cursor::{Cursor, Number, NumberKind};
use super::error::DataError;

const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// A numeric array.
#[derive(Debug, Clone, PartialEq)]
pub struct MatArray {
    /// Name of the variable.
    pub name: String,
    /// Dimensions.
    pub dims: Vec<usize>,
    /// The numbers, the first dimension running fastest.
    pub data: Vec<f64>,
}

impl MatArray {
    /// The element at 0-based indices, one per dimension.
    pub fn at(&self, index: &[usize]) -> Option<f64> {
        if index.len() != self.dims.len() {
            return None;
        }
        let mut flat = 0usize;
        for (&i, &d) in index.iter().zip(&self.dims).rev() {
            if i >= d {
                return None;
            }
            flat = flat.checked_mul(d)?.checked_add(i)?;
        }
        self.data.get(flat).copied()
    }
}

/// A numeric variable of a `.mat` file.
pub(crate) fn variable<'a>(file: &'a MatFile, name: &str, path: &Path) -> Result<&'a MatArray, DataError> {
    file.array(name).ok_or_else(|| {
        DataError::format(path, format!("there is no variable {name}; there are: {}", file.names()))
    })
}

/// What a file may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatLimits {
    /// Variables.
    pub max_variables: usize,
    /// Bytes of all variables after inflating.
    pub max_bytes: u64,
}

impl Default for MatLimits {
    fn default() -> Self {
        Self { max_variables: 1000, max_bytes: 1 << 30 }
    }
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MatFile {
    /// Numeric variables, in file order.
    pub arrays: Vec<MatArray>,
    /// Names of the variables that are no numeric arrays.
    pub others: Vec<String>,
}

impl MatFile {
    /// A variable by name.
    pub fn array(&self, name: &str) -> Option<&MatArray> {
        self.arrays.iter().find(|a| a.name == name)
    }

    /// The names of all variables, for messages.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self
            .arrays
            .iter()
            .map(|a| a.name.as_str())
            .chain(self.others.iter().map(String::as_str))
            .collect();
        names.join(", ")
    }
}

/// Why a file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatError {
    /// The file is an HDF5 file.
    #[error("this is a MATLAB 7.3 file (HDF5), not version 5 to 7; save it in MATLAB with save(..., '-v7')")]
    Hdf5,
    /// The file is something else.
    #[error("this is no MATLAB file of version 5 to 7")]
    NotMat,
    /// The file ends within an element.
    #[error("the file ends within {0}; download or copy it again")]
    Truncated(&'static str),
    /// The file contradicts itself.
    #[error("the MATLAB file is damaged: {0}")]
    Corrupt(String),
    /// A limit is exceeded.
    #[error("the MATLAB file has more than {limit} {what}; raise the limit if the file is trusted")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

fn corrupt(detail: impl Into<String>) -> MatError {
    MatError::Corrupt(detail.into())
}

struct Element<'a> {
    kind: u32,
    data: &'a [u8],
}

/// The next element, its padding passed over.
fn element<'a>(cursor: &mut Cursor<'a>) -> Result<Element<'a>, MatError> {
    let cut = MatError::Truncated("an element");
    let first = cursor.u32().ok_or(cut.clone())?;
    let small = first >> 16;
    if small != 0 {
        let data = cursor.take(4).ok_or(cut)?;
        let len = usize::try_from(small).unwrap_or(usize::MAX);
        let data = data.get(..len).ok_or_else(|| corrupt("a small element has more than 4 bytes"))?;
        return Ok(Element { kind: first & 0xffff, data });
    }
    let len = cursor.u32().and_then(|n| usize::try_from(n).ok()).ok_or(cut.clone())?;
    let data = cursor.take(len).ok_or(cut)?;
    if first != COMPRESSED {
        cursor.align(8);
    }
    Ok(Element { kind: first, data })
}

fn number(kind: u32, big_endian: bool) -> Option<Number> {
    let (size, kind) = match kind {
        1 => (1, NumberKind::Signed),
        2 | 16 => (1, NumberKind::Unsigned),
        3 => (2, NumberKind::Signed),
        4 | 17 => (2, NumberKind::Unsigned),
        5 => (4, NumberKind::Signed),
        6 | 18 => (4, NumberKind::Unsigned),
        7 => (4, NumberKind::Float),
        9 => (8, NumberKind::Float),
        12 => (8, NumberKind::Signed),
        13 => (8, NumberKind::Unsigned),
        _ => return None,
    };
    Some(Number { size, kind, big_endian })
}

/// Reads a file from memory.
pub fn read(bytes: &[u8], limits: &MatLimits) -> Result<MatFile, MatError> {
    if super::hdf5::is_hdf5(bytes) {
        return Err(MatError::Hdf5);
    }
    let big_endian = match bytes.get(124..128) {
        Some([0, 1, b'I', b'M']) => false,
        Some([1, 0, b'M', b'I']) => true,
        _ => return Err(MatError::NotMat),
    };
    let mut out = MatFile::default();
    let mut budget = limits.max_bytes;
    let mut cursor = Cursor::with_order(bytes.get(128..).unwrap_or_default(), big_endian);
    let mut variables = 0usize;
    while cursor.left() > 0 {
        variables = variables.saturating_add(1);
        if variables > limits.max_variables {
            return Err(MatError::Limit { what: "variables", limit: limits.max_variables as u64 });
        }
        let outer = element(&mut cursor)?;
        match outer.kind {
            MATRIX => matrix(outer.data, big_endian, &mut budget, limits, &mut out)?,
            COMPRESSED => {
                let mut inflated = Vec::new();
                let mut stream = flate2::read::ZlibDecoder::new(outer.data).take(budget.saturating_add(1));
                stream
                    .read_to_end(&mut inflated)
                    .map_err(|e| corrupt(format!("a compressed variable does not inflate ({e})")))?;
                spend(&mut budget, inflated.len(), limits)?;
                let inner = element(&mut Cursor::with_order(&inflated, big_endian))?;
                if inner.kind != MATRIX {
                    return Err(corrupt(format!("a compressed variable has type {}", inner.kind)));
                }
                matrix(inner.data, big_endian, &mut budget, limits, &mut out)?;
            }
            _ => {}
        }
    }
    Ok(out)
}

fn spend(budget: &mut u64, bytes: usize, limits: &MatLimits) -> Result<(), MatError> {
    let limit = MatError::Limit { what: "bytes of data", limit: limits.max_bytes };
    *budget = budget.checked_sub(bytes as u64).ok_or(limit)?;
    Ok(())
}

fn matrix(
    data: &[u8],
    big_endian: bool,
    budget: &mut u64,
    limits: &MatLimits,
    out: &mut MatFile,
) -> Result<(), MatError> {
    if data.is_empty() {
        return Ok(());
    }
    let mut cursor = Cursor::with_order(data, big_endian);
    let flags = element(&mut cursor)?;
    let class =
        Cursor::with_order(flags.data, big_endian).u32().ok_or_else(|| corrupt("array without a class"))?;
    // 17 is an opaque object, which has no dimensions.
    let class = class & 0xff;
    if class == 17 {
        out.others.push("(object)".into());
        return Ok(());
    }
    let sizes = element(&mut cursor)?;
    let mut dims = Vec::new();
    let mut reader = Cursor::with_order(sizes.data, big_endian);
    while let Some(d) = reader.u32() {
        if dims.len() >= 32 {
            return Err(corrupt("an array has more than 32 dimensions"));
        }
        dims.push(
            usize::try_from(d.cast_signed()).map_err(|_| corrupt("an array has a negative dimension"))?,
        );
    }
    let name = String::from_utf8_lossy(element(&mut cursor)?.data).into_owned();
    // 6 to 15: double, single, and the integers.
    if !(6..=15).contains(&class) {
        out.others.push(name);
        return Ok(());
    }
    let real = element(&mut cursor)?;
    let format = number(real.kind, big_endian)
        .ok_or_else(|| corrupt(format!("variable {name} has numbers of type {}", real.kind)))?;
    let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if count.and_then(|n| n.checked_mul(format.size)) != Some(real.data.len()) {
        return Err(corrupt(format!("variable {name} of size {dims:?} has {} bytes", real.data.len())));
    }
    spend(budget, count.unwrap_or(0).saturating_mul(8), limits)?;
    let data = real.data.chunks_exact(format.size).map(|c| format.value(c).unwrap_or(f64::NAN)).collect();
    out.arrays.push(MatArray { name, dims, data });
    Ok(())
}
