//! CSV (RFC 4180): exactly one header row, also when nothing follows. Numbers that are not finite are empty fields.

use super::Written;
use super::sink::Sink;
use crate::error::{Result, ensure};
use crate::result::{ImageResult, Kind, Schema, number};

/// A table that is being written.
pub struct Table {
    sink: Sink,
    long: bool,
    columns: usize,
    top: usize,
}

/// Columns that every row begins with.
const FIRST: [&str; 3] = ["input", "frame", "seconds"];
impl Table {
    /// A row per instance, image with mask, or image with classes.
    pub fn wide(sink: Sink, schema: &Schema, top: usize) -> Result<Self> {
        let top = top.clamp(1, schema.names.len().max(1));
        let own =
            crate::tasks::kind(schema.task).map_or_else(Vec::new, |kind| kind.wide_columns(schema, top));
        Self::begin(sink, false, FIRST.map(String::from).into_iter().chain(own).collect(), top)
    }

    /// A row per point or class.
    pub fn long(sink: Sink, schema: &Schema) -> Result<Self> {
        let own = crate::tasks::kind(schema.task).map_or(&[][..], Kind::long_columns);
        Self::begin(sink, true, FIRST.iter().chain(own).map(|c| c.to_string()).collect(), 0)
    }

    fn begin(sink: Sink, long: bool, header: Vec<String>, top: usize) -> Result<Self> {
        let mut table = Self { sink, long, columns: header.len(), top };
        table.row(header)?;
        Ok(table)
    }

    fn row(&mut self, fields: Vec<String>) -> Result<()> {
        ensure!(
            fields.len() == self.columns,
            "a row of {} fields in a table of {} columns",
            fields.len(),
            self.columns
        );
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        writer.write_record(&fields)?;
        let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
        self.sink.write(&bytes)
    }

    /// Adds the rows of an image.
    pub fn add(&mut self, result: &ImageResult, schema: &Schema) -> Result<()> {
        let (index, seconds) = match result.frame {
            Some(f) => (f.index.to_string(), number(f.seconds)),
            None => Default::default(),
        };
        let first = [result.input.clone(), index, seconds];
        let rows = match self.long {
            true => result.predicted.long_rows(schema),
            false => result.predicted.wide_rows(schema, self.top),
        };
        for own in rows {
            self.row(first.iter().cloned().chain(own).collect())?;
        }
        self.sink.flush()
    }

    /// Puts the file in place.
    pub fn finish(self) -> Result<Written> {
        Ok(Written { files: self.sink.finish()?.into_iter().collect(), notes: Vec::new() })
    }
}
