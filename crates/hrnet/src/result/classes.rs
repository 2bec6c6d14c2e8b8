//! The best classes of an image.

use super::{Schema, single};
use crate::error::{Result, bail};
use hrnet_data::draw::{Anchor, draw_label, text_size};
use hrnet_image::Image;
use serde_json::{Value, json};

/// A class of an image with its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Index into the names of the schema.
    pub class: usize,
    /// 0 to 1.
    pub probability: f32,
}

impl Ranked {
    /// Number, name and probability.
    fn fields(&self, schema: &Schema) -> [String; 3] {
        let name = schema.names.get(self.class).cloned().unwrap_or_default();
        [self.class.to_string(), name, single(self.probability)]
    }
}

pub(super) fn check(found: &[Ranked], schema: &Schema, input: &str) -> Result<()> {
    let names = schema.names.len();
    if let Some(r) = found.iter().find(|r| r.class >= names) {
        bail!("{input}: class {} of a model with {names} classes", r.class);
    }
    Ok(())
}

pub(super) fn json(found: &[Ranked], schema: &Schema) -> Value {
    found
        .iter()
        .map(|r| json!({"class": r.class, "name": schema.names.get(r.class), "probability": r.probability}))
        .collect()
}

/// Columns of a class.
pub(super) const LONG_COLUMNS: &[&str] = &["rank", "class", "name", "probability"];

pub(super) fn wide_columns(top: usize) -> Vec<String> {
    (1..=top).flat_map(|rank| ["class", "name", "probability"].map(|c| format!("{c}_{rank}"))).collect()
}

pub(super) fn wide_row(found: &[Ranked], schema: &Schema, top: usize) -> Vec<String> {
    let fields = |rank| found.get(rank).map_or_else(Default::default, |r: &Ranked| r.fields(schema));
    (0..top).flat_map(fields).collect()
}

pub(super) fn long_rows(found: &[Ranked], schema: &Schema) -> Vec<Vec<String>> {
    let row = |(rank, r): (usize, &Ranked)| {
        let mut fields = vec![(rank + 1).to_string()];
        fields.extend(r.fields(schema));
        fields
    };
    found.iter().enumerate().map(row).collect()
}

pub(super) fn line(found: &[Ranked], schema: &Schema) -> String {
    let name = |class: usize| schema.names.get(class).map_or("?", String::as_str);
    let parts: Vec<String> =
        found.iter().map(|r| format!("{} {:.1} %", name(r.class), 100.0 * r.probability)).collect();
    parts.join(", ")
}

pub(super) fn overlay(image: &Image, schema: &Schema, ranked: &[Ranked]) -> Image {
    let mut picture = image.clone();
    draw(&mut picture, schema, ranked);
    picture
}

/// Writes the best classes into the upper left corner.
fn draw(picture: &mut Image, schema: &Schema, ranked: &[Ranked]) {
    let size = (picture.width().min(picture.height()) / 18).clamp(9, 64);
    let line = text_size("m", size)[1] as f64 * 1.3;
    for (i, r) in ranked.iter().enumerate() {
        let name = schema.names.get(r.class).map_or("?", String::as_str);
        let text = format!("{:5.1} %  {name}", 100.0 * r.probability);
        let at = [size as f64 * 0.4, size as f64 * 0.4 + i as f64 * line];
        let colour = if i == 0 { [20, 90, 50] } else { [50, 50, 54] };
        draw_label(picture, at, Anchor::Below, &text, size, colour);
    }
}
