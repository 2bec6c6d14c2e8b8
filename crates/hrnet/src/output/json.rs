//! JSON: one document (`hrnet.predict/1`), or an object per line.

use super::Written;
use super::sink::Sink;
use crate::error::Result;
use crate::result::{FrameTime, ImageResult, Schema};
use crate::timing::Timing;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Name and version of the form. Fields are added within a version; a field that changes or goes makes a new one.
pub const SCHEMA: &str = "hrnet.predict/1";

/// What is said of every image.
fn image_fields(result: &ImageResult) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("input".into(), json!(result.input));
    object.insert("stem".into(), json!(result.stem));
    insert_frame(&mut object, result.frame);
    object.insert("width".into(), json!(result.width));
    object.insert("height".into(), json!(result.height));
    object.insert("exif_orientation".into(), json!(result.exif_orientation));
    object
}

fn insert_frame(object: &mut Map<String, Value>, frame: Option<FrameTime>) {
    object.insert("frame".into(), json!(frame.map(|f| f.index)));
    object.insert("seconds".into(), json!(frame.map(|f| f.seconds)));
}

fn ending(object: &mut Map<String, Value>, result: &ImageResult, overlay: Option<&Path>) {
    object.insert("overlay".into(), json!(overlay));
    object.insert("timings".into(), Value::Object(result.time.json_ms()));
}

/// The entries of `images` that an image gives: one per instance, or one with its mask or classes.
pub fn entries(result: &ImageResult, schema: &Schema, overlay: Option<&Path>) -> Vec<Value> {
    let entry = |fields: Map<String, Value>| {
        let mut object = image_fields(result);
        object.extend(fields);
        ending(&mut object, result, overlay);
        Value::Object(object)
    };
    result.predicted.json_entries(schema).into_iter().map(entry).collect()
}

/// The document of one image, for a file beside its picture.
pub fn document(result: &ImageResult, schema: &Schema, overlay: Option<&Path>) -> Value {
    json!({
        "schema": SCHEMA,
        "task": schema.task,
        "names": schema.names,
        "images": entries(result, schema, overlay),
        "inputs": [input(result)],
    })
}

/// The object of one image as JSON lines have it: all its instances in one.
pub fn line(result: &ImageResult, schema: &Schema, overlay: Option<&Path>) -> Value {
    let mut object = Map::from_iter([("schema".to_string(), json!(SCHEMA))]);
    object.extend(image_fields(result));
    object.extend([result.predicted.json_whole(schema)]);
    ending(&mut object, result, overlay);
    Value::Object(object)
}

/// An input that failed.
pub fn failure(input: &str, frame: Option<FrameTime>, error: &str) -> Value {
    let mut object = Map::from_iter([("input".to_string(), json!(input))]);
    if frame.is_some() {
        insert_frame(&mut object, frame);
    }
    object.insert("error".into(), json!(error));
    Value::Object(object)
}

/// An input that was read, with the number of its entries: so that an image in which nothing was found is seen too.
fn input(result: &ImageResult) -> Value {
    let mut object = image_fields(result);
    object.insert("count".into(), json!(result.predicted.count()));
    Value::Object(object)
}

/// Writer of the whole document. The entries wait in memory until the end.
pub struct Whole {
    sink: Sink,
    task: Value,
    names: Value,
    images: Vec<Value>,
    inputs: Vec<Value>,
    failed: Vec<Value>,
}

impl Whole {
    pub(super) fn new(sink: Sink, schema: &Schema) -> Self {
        let (task, names) = (json!(schema.task), json!(schema.names));
        Self { sink, task, names, images: Vec::new(), inputs: Vec::new(), failed: Vec::new() }
    }

    pub(super) fn add(
        &mut self,
        result: &ImageResult,
        schema: &Schema,
        overlay: Option<&Path>,
    ) -> Result<()> {
        self.images.extend(entries(result, schema, overlay));
        self.inputs.push(input(result));
        Ok(())
    }

    pub(super) fn failed(&mut self, input: &str, frame: Option<FrameTime>, error: &str) {
        self.failed.push(failure(input, frame, error));
    }

    fn value(self, timing: Option<&Timing>) -> (Sink, Value) {
        // One entry: its fields also stand at the top level, for scripts that look at one image at a time.
        let mut object = match self.images.as_slice() {
            [Value::Object(only)] => only.clone(),
            _ => Map::new(),
        };
        object.insert("schema".into(), json!(SCHEMA));
        object.insert("task".into(), self.task);
        object.insert("names".into(), self.names);
        object.insert("images".into(), Value::Array(self.images));
        object.insert("inputs".into(), Value::Array(self.inputs));
        object.insert("failed".into(), Value::Array(self.failed));
        object.insert("timing".into(), timing.map_or(Value::Null, Timing::json));
        (self.sink, Value::Object(object))
    }

    pub(super) fn finish(self, timing: Option<&Timing>) -> Result<Written> {
        let (mut sink, value) = self.value(timing);
        let mut text = serde_json::to_vec(&value)?;
        text.push(b'\n');
        sink.write(&text)?;
        Ok(Written { files: sink.finish()?.into_iter().collect(), notes: Vec::new() })
    }
}

/// Writer of lines.
pub struct Lines {
    sink: Sink,
}

impl Lines {
    pub(super) fn new(sink: Sink) -> Self {
        Self { sink }
    }

    fn put(&mut self, value: &Value) -> Result<()> {
        let mut text = serde_json::to_vec(value)?;
        text.push(b'\n');
        self.sink.write(&text)?;
        self.sink.flush()
    }

    pub(super) fn add(
        &mut self,
        result: &ImageResult,
        schema: &Schema,
        overlay: Option<&Path>,
    ) -> Result<()> {
        self.put(&line(result, schema, overlay))
    }

    pub(super) fn failed(&mut self, input: &str, frame: Option<FrameTime>, error: &str) -> Result<()> {
        let mut value = failure(input, frame, error);
        value["schema"] = json!(SCHEMA);
        self.put(&value)
    }

    pub(super) fn finish(self) -> Result<Written> {
        Ok(Written { files: self.sink.finish()?.into_iter().collect(), notes: Vec::new() })
    }
}
