//! Tables in text: the one place where CSV is read.
//!
//! The first line names the columns. Blanks around fields are passed over, fields in quotes may hold anything, a byte order mark is
//! passed over. Lines are those of the file, empty ones counted.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::path::Path;

use super::error::{DataError, Place};

/// A table that is read row by row.
pub struct Table<'a> {
    bytes: &'a [u8],
    reader: csv::Reader<&'a [u8]>,
    header: csv::StringRecord,
    path: &'a Path,
}

/// A row with its line, 1-based.
pub struct Row {
    /// The line that it begins on.
    pub line: u64,
    /// Its fields.
    pub fields: csv::StringRecord,
}

impl Row {
    /// A field; empty where the row has no such column.
    pub fn field(&self, column: usize) -> &str {
        self.fields.get(column).unwrap_or("")
    }

    /// The place of the row.
    pub fn place(&self) -> Place {
        Place::Line(self.line)
    }
}

impl<'a> Table<'a> {
    /// A table from memory; `path` is its name in messages. Every row must have as many fields as the first, unless `uneven`.
    pub fn new(bytes: &'a [u8], path: &'a Path, uneven: bool) -> Result<Self, DataError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new().flexible(uneven).trim(csv::Trim::All).from_reader(bytes);
        let header = reader.headers().map_err(|e| DataError::format(path, e.to_string()))?.clone();
        Ok(Self { bytes, reader, header, path })
    }

    /// The columns of a table whose first line this is.
    pub fn columns_of(line: &str) -> Vec<String> {
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).has_headers(false).from_reader(line.as_bytes());
        let first = reader.records().next().and_then(Result::ok).unwrap_or_default();
        first.iter().map(str::to_ascii_lowercase).collect()
    }

    /// The columns.
    pub fn header(&self) -> &csv::StringRecord {
        &self.header
    }

    /// The first column with one of these names, in the order of the names; capital letters do not count.
    pub fn find(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|n| self.header.iter().position(|h| h.eq_ignore_ascii_case(n)))
    }

    /// The next row.
    pub fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        let mut fields = csv::StringRecord::new();
        match self.reader.read_record(&mut fields) {
            Ok(false) => Ok(None),
            Ok(true) => {
                let line = fields.position().map_or(0, |p| first_line(self.bytes, p));
                Ok(Some(Row { line, fields }))
            }
            Err(e) => Err(DataError::format(self.path, e.to_string())),
        }
    }
}

/// The line of a record. The reader's position may lie before the second half of a CRLF, or before empty lines.
fn first_line(bytes: &[u8], position: &csv::Position) -> u64 {
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = bytes.get(start..).unwrap_or_default();
    let ends = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).filter(|&&b| b == b'\n').count();
    position.line().saturating_add(ends as u64)
}
