//! A class for every pixel.

use super::{Schema, number};
use crate::error::{Result, bail};
use hrnet_data::draw::mask::{self, MaskStyle, overlay_with_legend};
use hrnet_data::draw::palette::Palette;
use hrnet_image::Image;
use serde_json::{Value, json};

/// A class for every pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Index into the names of the schema, row by row.
    pub classes: Vec<u16>,
}

impl Mask {
    /// Pixels of each class.
    pub fn histogram(&self, classes: usize) -> Vec<u64> {
        let mut counts = vec![0; classes];
        for &c in &self.classes {
            if let Some(n) = counts.get_mut(usize::from(c)) {
                *n += 1;
            }
        }
        counts
    }

    pub(super) fn shares(&self, classes: usize) -> Vec<(usize, f64)> {
        let counts = self.histogram(classes);
        let present = counts.iter().enumerate().filter(|&(_, &n)| n > 0);
        let mut shares: Vec<(usize, f64)> =
            present.map(|(class, &n)| (class, n as f64 / self.classes.len() as f64)).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        shares
    }

    pub(super) fn check(&self, input: &str) -> Result<()> {
        if self.width.checked_mul(self.height) != Some(self.classes.len()) {
            let (width, height, pixels) = (self.width, self.height, self.classes.len());
            bail!("{input}: a mask of {width}x{height} has {pixels} pixels");
        }
        Ok(())
    }

    pub(super) fn json(&self, schema: &Schema) -> Value {
        let classes: Vec<Value> = self
            .histogram(1 << 16)
            .into_iter()
            .enumerate()
            .filter(|&(_, pixels)| pixels > 0)
            .map(|(class, pixels)| {
                let share = pixels as f64 / self.classes.len() as f64;
                json!({"class": class, "name": schema.names.get(class), "pixels": pixels, "share": share})
            })
            .collect();
        json!({"width": self.width, "height": self.height, "classes": classes})
    }

    pub(super) fn wide_row(&self, schema: &Schema) -> Vec<String> {
        let mut fields = vec![self.width.to_string(), self.height.to_string()];
        fields.extend(self.histogram(schema.names.len()).iter().map(u64::to_string));
        fields
    }

    pub(super) fn long_rows(&self, schema: &Schema) -> Vec<Vec<String>> {
        let counts = self.histogram(1 << 16);
        let present = counts.iter().enumerate().filter(|(_, n)| **n > 0);
        present
            .map(|(class, &pixels)| {
                let name = schema.names.get(class).cloned().unwrap_or_default();
                let share = number(pixels as f64 / self.classes.len() as f64);
                vec![class.to_string(), name, pixels.to_string(), share]
            })
            .collect()
    }

    pub(super) fn overlay(&self, image: &Image, schema: &Schema) -> Image {
        let (colours, style) = (palette(schema), MaskStyle::default());
        match mask::Mask::new(self.width, self.height, &self.classes) {
            Some(mask) => overlay_with_legend(image, &mask, &colours, &schema.names, &style),
            None => image.clone(),
        }
    }

    pub(super) fn line(&self, schema: &Schema) -> String {
        let name = |class: usize| schema.names.get(class).map_or("?", String::as_str);
        let total = self.classes.len().max(1) as f64;
        let mut shares: Vec<(usize, u64)> =
            self.histogram(schema.names.len()).into_iter().enumerate().collect();
        shares.retain(|s| s.1 > 0);
        shares.sort_by_key(|s| std::cmp::Reverse(s.1));
        let parts: Vec<String> = shares
            .iter()
            .take(4)
            .map(|&(class, n)| format!("{} {:.0} %", name(class), 100.0 * n as f64 / total))
            .collect();
        format!("{} classes, most of it {}", shares.len(), parts.join(", "))
    }
}

/// Columns of a class.
pub(super) const LONG_COLUMNS: &[&str] = &["class", "name", "pixels", "share"];

pub(super) fn wide_columns(schema: &Schema) -> Vec<String> {
    let mut header = ["width", "height"].map(String::from).to_vec();
    header.extend(schema.names.iter().map(|name| format!("{name}_pixels")));
    header
}

/// The colours of the classes: those that their set publishes, where they are of a known one.
pub fn palette(schema: &Schema) -> Palette {
    schema.class_set().map_or_else(|| Palette::distinct(schema.names.len()), Palette::of_set)
}
