//! Results as files: JSON, JSON lines, CSV, COCO results, OpenPose JSON, masks. `docs/output.md` describes every field.
//!
//! Results come in input order and go out in input order. A file appears whole when the writer is finished, or not at all; JSON
//! lines are the exception, they are for reading along and are flushed with every image. Formats with one file per image
//! ([`Format::per_image`]) write into a folder, each file whole.

mod coco;
mod csv;
pub mod json;
mod masks;
mod openpose;
mod sink;

use crate::error::{Result, bail};
use crate::result::{FrameTime, ImageResult, Kind, Schema};
use crate::timing::Timing;
use hrnet_formats::Task;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use coco::{digits, ids_of_annotations};
pub use openpose::{Layout, document as openpose_document};
pub use sink::ClosedPipe;

/// A form of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One JSON document, schema hrnet.predict/1
    Json,
    /// One JSON object per image and line, written as soon as the image is done
    Jsonl,
    /// CSV, a row per instance (or image): `NAME_x`, `NAME_y`, `NAME_score` in columns
    Csv,
    /// CSV, a row per point (or class)
    CsvLong,
    /// COCO result file, as pycocotools reads it
    Coco,
    /// OpenPose JSON, BODY_25 and 70 face points, a file per image
    Openpose,
    /// OpenPose JSON with the 18 COCO points
    Openpose18,
    /// PNG whose values are the class numbers, a file per image
    Masks,
    /// PNG with class numbers and a colour table, a file per image
    PaletteMasks,
}

impl Format {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Json,
        Self::Jsonl,
        Self::Csv,
        Self::CsvLong,
        Self::Coco,
        Self::Openpose,
        Self::Openpose18,
        Self::Masks,
        Self::PaletteMasks,
    ];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::CsvLong => "csv-long",
            Self::Coco => "coco",
            Self::Openpose => "openpose",
            Self::Openpose18 => "openpose18",
            Self::Masks => "masks",
            Self::PaletteMasks => "palette-masks",
        }
    }

    /// What it is, in a few words.
    pub fn about(self) -> &'static str {
        match self {
            Self::Json => "One JSON document, schema hrnet.predict/1",
            Self::Jsonl => "One JSON object per image and line, written as soon as the image is done",
            Self::Csv => "CSV, a row per instance (or image): `NAME_x`, `NAME_y`, `NAME_score` in columns",
            Self::CsvLong => "CSV, a row per point (or class)",
            Self::Coco => "COCO result file, as pycocotools reads it",
            Self::Openpose => "OpenPose JSON, BODY_25 and 70 face points, a file per image",
            Self::Openpose18 => "OpenPose JSON with the 18 COCO points",
            Self::Masks => "PNG whose values are the class numbers, a file per image",
            Self::PaletteMasks => "PNG with class numbers and a colour table, a file per image",
        }
    }

    /// Writes a file per image into a folder.
    pub fn per_image(self) -> bool {
        matches!(self, Self::Openpose | Self::Openpose18 | Self::Masks | Self::PaletteMasks)
    }

    /// The usual name of its file; of a format with a file per image, the end of each name.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Json => "results.json",
            Self::Jsonl => "results.jsonl",
            Self::Csv => "results.csv",
            Self::CsvLong => "points.csv",
            Self::Coco => "coco_results.json",
            Self::Openpose | Self::Openpose18 => "_keypoints.json",
            Self::Masks | Self::PaletteMasks => ".mask.png",
        }
    }

    /// Whether results of this task can be written so; the error says what can.
    pub fn check(self, task: Task) -> Result<()> {
        let kind = crate::tasks::kind(task);
        let (points, mask) = (kind == Some(Kind::Instances), kind == Some(Kind::Mask));
        let fits = match self {
            Self::Json | Self::Jsonl | Self::Csv | Self::CsvLong => true,
            Self::Coco | Self::Openpose | Self::Openpose18 => points,
            Self::Masks | Self::PaletteMasks => mask,
        };
        if !fits {
            let what = if points { "points" } else { "no points" };
            let masks = if mask { ", masks and palette-masks" } else { "" };
            let forms = if points { ", coco, openpose and openpose18" } else { masks };
            bail!(
                "results of this model have {what} and cannot be written as {}; json, jsonl, csv, csv-long{forms} can",
                self.name()
            );
        }
        Ok(())
    }
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, or the folder of a format that writes a file per image.
    Path(PathBuf),
}

impl Target {
    /// `-` is standard output.
    pub fn of(path: &Path) -> Self {
        if path == Path::new("-") { Self::Stdout } else { Self::Path(path.into()) }
    }
}

/// What formats need beyond the results.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// COCO: ids of images by file name, from an annotation file ([`ids_of_annotations`]). Without it the number in each name, if
    /// every name has one and no two are the same; else images count from 1.
    pub image_ids: Option<HashMap<String, i64>>,
    /// COCO: the category of every instance.
    pub category_id: i64,
    /// OpenPose: points with a score below this are written as 0, 0, 0, which stands for "not found".
    pub min_point_score: f32,
    /// Masks: colours by class; empty for those of PASCAL VOC.
    pub palette: Vec<[u8; 3]>,
    /// CSV of classes: columns for this many of the best.
    pub top: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { image_ids: None, category_id: 1, min_point_score: 0.0, palette: Vec::new(), top: 5 }
    }
}

/// Writes results in one format.
pub struct Writer {
    form: Form,
    schema: Schema,
}

enum Form {
    Json(json::Whole),
    Jsonl(json::Lines),
    Csv(csv::Table),
    Coco(coco::Results),
    Openpose(openpose::Folder),
    Masks(masks::Folder),
}

/// What a writer leaves behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Files, in order.
    pub files: Vec<PathBuf>,
    /// What a reader of the files should know.
    pub notes: Vec<String>,
}

impl Writer {
    /// Opens the target. Nothing stands under its name before [`Writer::finish`], but for JSON lines and folders.
    pub fn create(format: Format, to: &Target, schema: &Schema, options: &WriterOptions) -> Result<Self> {
        format.check(schema.task)?;
        let folder = || match to {
            Target::Stdout => {
                bail!("{} writes a file per image; name a folder instead of standard output", format.name())
            }
            Target::Path(path) => crate::io::create_folder(path).map(|()| path.clone()),
        };
        let form = match format {
            Format::Json => Form::Json(json::Whole::new(sink::Sink::whole(to)?, schema)),
            Format::Jsonl => Form::Jsonl(json::Lines::new(sink::Sink::streaming(to)?)),
            Format::Csv => Form::Csv(csv::Table::wide(sink::Sink::whole(to)?, schema, options.top)?),
            Format::CsvLong => Form::Csv(csv::Table::long(sink::Sink::whole(to)?, schema)?),
            Format::Coco => Form::Coco(coco::Results::new(sink::Sink::whole(to)?, options)),
            Format::Openpose => {
                Form::Openpose(openpose::Folder::new(folder()?, Layout::Body25, options.min_point_score))
            }
            Format::Openpose18 => {
                Form::Openpose(openpose::Folder::new(folder()?, Layout::Coco18, options.min_point_score))
            }
            Format::Masks => Form::Masks(masks::Folder::ids(folder()?)),
            Format::PaletteMasks => Form::Masks(masks::Folder::palette(folder()?, &options.palette)),
        };
        Ok(Self { form, schema: schema.clone() })
    }

    /// Adds the result of the next image.
    pub fn add(&mut self, result: &ImageResult) -> Result<()> {
        self.add_with(result, None)
    }

    /// Adds the result of the next image; `overlay` is the picture that was made of it, which the JSON names.
    pub fn add_with(&mut self, result: &ImageResult, overlay: Option<&Path>) -> Result<()> {
        result.predicted.check(&self.schema, &result.input)?;
        match &mut self.form {
            Form::Json(w) => w.add(result, &self.schema, overlay),
            Form::Jsonl(w) => w.add(result, &self.schema, overlay),
            Form::Csv(w) => w.add(result, &self.schema),
            Form::Coco(w) => w.add(result),
            Form::Openpose(w) => w.add(result, &self.schema),
            Form::Masks(w) => w.add(result),
        }
    }

    /// Notes an input that could not be read. JSON and JSON lines list it; the other formats have no place for it.
    pub fn failed(&mut self, input: &str, frame: Option<FrameTime>, error: &str) -> Result<()> {
        match &mut self.form {
            Form::Json(w) => {
                w.failed(input, frame, error);
                Ok(())
            }
            Form::Jsonl(w) => w.failed(input, frame, error),
            Form::Csv(_) | Form::Coco(_) | Form::Openpose(_) | Form::Masks(_) => Ok(()),
        }
    }

    /// Puts the file in place. A writer that is dropped instead leaves no file (JSON lines: what was written).
    pub fn finish(self, timing: Option<&Timing>) -> Result<Written> {
        match self.form {
            Form::Json(w) => w.finish(timing),
            Form::Jsonl(w) => w.finish(),
            Form::Csv(w) => w.finish(),
            Form::Coco(w) => w.finish(),
            Form::Openpose(w) => Ok(w.finish()),
            Form::Masks(w) => Ok(w.finish()),
        }
    }
}

#[cfg(test)]
mod tests;
