//! CSV (RFC 4180): exactly one header row, also when nothing follows. Numbers that are not finite are empty fields.

use super::Written;
use super::sink::Sink;
use crate::error::{Result, ensure};
use crate::result::{ImageResult, Instance, Mask, Predicted, Ranked, Schema};
use hrnet_formats::Task;

/// A table that is being written.
pub struct Table {
    sink: Sink,
    long: bool,
    columns: usize,
    top: usize,
}

/// Columns that every row begins with.
const FIRST: [&str; 3] = ["input", "frame", "seconds"];
/// Columns of an instance.
const INSTANCE: [&str; 7] = ["instance", "track", "box_x", "box_y", "box_w", "box_h", "score"];

fn points(task: Task) -> bool {
    matches!(task, Task::Pose | Task::BottomUpPose | Task::Face)
}

impl Table {
    /// A row per instance, image with mask, or image with classes.
    pub fn wide(sink: Sink, schema: &Schema, top: usize) -> Result<Self> {
        let top = top.clamp(1, schema.names.len().max(1));
        let mut header: Vec<String> = FIRST.map(String::from).to_vec();
        if points(schema.task) {
            header.extend(INSTANCE.map(String::from));
            for name in &schema.names {
                header.extend(["x", "y", "score"].map(|c| format!("{name}_{c}")));
            }
        } else if schema.task == Task::Segmentation {
            header.extend(["width", "height"].map(String::from));
            header.extend(schema.names.iter().map(|name| format!("{name}_pixels")));
        } else {
            for rank in 1..=top {
                header.extend(["class", "name", "probability"].map(|c| format!("{c}_{rank}")));
            }
        }
        Self::begin(sink, false, header, top)
    }

    /// A row per point or class.
    pub fn long(sink: Sink, schema: &Schema) -> Result<Self> {
        let own: &[&str] = if points(schema.task) {
            &["instance", "track", "point", "name", "x", "y", "score", "raw_x", "raw_y"]
        } else if schema.task == Task::Segmentation {
            &["class", "name", "pixels", "share"]
        } else {
            &["rank", "class", "name", "probability"]
        };
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
        let first = || {
            let (index, seconds) = match result.frame {
                Some(f) => (f.index.to_string(), number(f.seconds)),
                None => Default::default(),
            };
            vec![result.input.clone(), index, seconds]
        };
        match &result.predicted {
            Predicted::Instances(instances) => {
                for (i, instance) in instances.iter().enumerate() {
                    match self.long {
                        false => self.row([first(), wide_instance(i, instance)].concat())?,
                        true => {
                            for fields in long_instance(i, instance, schema) {
                                self.row([first(), fields].concat())?;
                            }
                        }
                    }
                }
            }
            Predicted::Mask(mask) if self.long => {
                for fields in long_mask(mask, schema) {
                    self.row([first(), fields].concat())?;
                }
            }
            Predicted::Mask(mask) => {
                let mut fields = first();
                fields.extend([mask.width.to_string(), mask.height.to_string()]);
                fields.extend(mask.histogram(schema.names.len()).iter().map(u64::to_string));
                self.row(fields)?;
            }
            Predicted::Classes(ranked) if self.long => {
                for (rank, r) in ranked.iter().enumerate() {
                    let mut fields = first();
                    fields.push((rank + 1).to_string());
                    fields.extend(class(r, schema));
                    self.row(fields)?;
                }
            }
            Predicted::Classes(ranked) => {
                let mut fields = first();
                for rank in 0..self.top {
                    fields.extend(ranked.get(rank).map_or_else(Default::default, |r| class(r, schema)));
                }
                self.row(fields)?;
            }
        }
        self.sink.flush()
    }

    /// Puts the file in place.
    pub fn finish(self) -> Result<Written> {
        Ok(Written { files: self.sink.finish()?.into_iter().collect(), notes: Vec::new() })
    }
}

/// The shortest text that reads back as the same number.
fn number(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}

fn single(value: f32) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}

fn track(instance: &Instance) -> String {
    instance.track.map_or_else(String::new, |t| t.to_string())
}

fn wide_instance(index: usize, instance: &Instance) -> Vec<String> {
    let mut fields = vec![index.to_string(), track(instance)];
    fields.extend(instance.bbox.iter().map(|&v| number(v)));
    fields.push(number(instance.score));
    for p in &instance.points {
        fields.extend([number(p.at[0]), number(p.at[1]), single(p.score)]);
    }
    fields
}

fn long_instance(index: usize, instance: &Instance, schema: &Schema) -> Vec<Vec<String>> {
    let row = |(i, p): (usize, &crate::result::Point)| {
        let raw = instance.raw.as_ref().and_then(|raw| raw.get(i));
        let [raw_x, raw_y] = raw.map_or_else(Default::default, |&[x, y]| [number(x), number(y)]);
        vec![
            index.to_string(),
            track(instance),
            i.to_string(),
            schema.names.get(i).cloned().unwrap_or_default(),
            number(p.at[0]),
            number(p.at[1]),
            single(p.score),
            raw_x,
            raw_y,
        ]
    };
    instance.points.iter().enumerate().map(row).collect()
}

fn long_mask(mask: &Mask, schema: &Schema) -> Vec<Vec<String>> {
    let counts = mask.histogram(1 << 16);
    let present = counts.iter().enumerate().filter(|(_, n)| **n > 0);
    present
        .map(|(class, &pixels)| {
            let name = schema.names.get(class).cloned().unwrap_or_default();
            let share = number(pixels as f64 / mask.classes.len() as f64);
            vec![class.to_string(), name, pixels.to_string(), share]
        })
        .collect()
}

fn class(ranked: &Ranked, schema: &Schema) -> [String; 3] {
    let name = schema.names.get(ranked.class).cloned().unwrap_or_default();
    [ranked.class.to_string(), name, single(ranked.probability)]
}
