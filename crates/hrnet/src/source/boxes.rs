//! Boxes per image from a file: CSV, a COCO detection or result file, or a COCO annotation file.

use crate::error::{Context, Result, bail, err};
use crate::io;
use crate::output::{digits, ids_of_annotations};
use crate::result::FrameTime;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Columns of a CSV with the names that are understood.
const IMAGE: [&str; 5] = ["image", "image_name", "file", "file_name", "input"];

/// A box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boxed {
    /// `x y w h`.
    pub rect: [f64; 4],
    /// How sure the detector is.
    pub score: Option<f64>,
    /// The frame of a video that it belongs to; without one it belongs to every frame.
    pub frame: Option<u64>,
}

/// What of a file counts.
#[derive(Debug, Clone, Default)]
pub struct BoxOptions {
    /// Annotation file that tells which image an id of a detection file is.
    pub annotations: Option<PathBuf>,
    /// Only this category of a COCO file.
    pub category: Option<i64>,
    /// Only boxes with this score or a higher one; boxes without a score count.
    pub min_score: Option<f64>,
}

/// Boxes by image.
#[derive(Debug, Clone, Default)]
pub struct Boxes {
    by_name: HashMap<String, Vec<Boxed>>,
    /// Boxes of a detection file without names, by image id; looked up by the number in the file name.
    by_number: HashMap<i64, Vec<Boxed>>,
}

impl Boxes {
    /// Reads a file: JSON where it begins with a bracket, else CSV.
    ///
    /// * CSV with the columns image, x, y, w, h and perhaps score and frame, in any order; others are ignored.
    /// * A list of detections with `bbox` and `file_name` or `image_id`. Ids become images by the annotation file of the
    ///   options, or else by the last number in the names of the images (000000000139.jpg is 139).
    /// * An annotation file (`images`, `annotations`): its own boxes, without those of crowds.
    pub fn read(path: &Path, options: &BoxOptions) -> Result<Self> {
        let shown = path.display();
        let text =
            String::from_utf8(io::read(path)?).ok().with_context(|| format!("{shown}: not a text file"))?;
        let text = text.trim_start_matches('\u{feff}');
        match text.trim_start().chars().next() {
            Some('[') => Self::detections(text, options).with_context(|| shown.to_string()),
            Some('{') => Self::annotations(text, options).with_context(|| shown.to_string()),
            _ => Self::csv(text, &shown.to_string(), options),
        }
    }

    /// The boxes of an image or frame; `None` when the file does not name the image at all.
    pub fn of(&self, input: &str, frame: Option<FrameTime>) -> Option<Vec<Boxed>> {
        let path = Path::new(input);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let named = self.by_name.get(input).or_else(|| self.by_name.get(name.as_ref()));
        let all = named.or_else(|| self.by_number.get(&digits(&stem)?))?;
        let here = |b: &&Boxed| b.frame.is_none() || b.frame == frame.map(|f| f.index);
        Some(all.iter().filter(here).copied().collect())
    }

    /// Number of boxes.
    pub fn len(&self) -> usize {
        self.by_name.values().chain(self.by_number.values()).map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn csv(text: &str, shown: &str, options: &BoxOptions) -> Result<Self> {
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
        let header: Vec<String> =
            reader.headers().with_context(|| shown.to_string())?.iter().map(str::to_lowercase).collect();
        if header.is_empty() {
            bail!("{shown}: empty; want a CSV with columns image,x,y,w,h");
        }
        let find = |wanted: &[&str]| header.iter().position(|n| wanted.contains(&n.as_str()));
        let column = |wanted: &[&str]| {
            find(wanted).with_context(|| {
                format!(
                    "{shown}: no column '{}'; the first line must name the columns image,x,y,w,h",
                    wanted[0]
                )
            })
        };
        let image = column(&IMAGE)?;
        let places = [
            column(&["x", "box_x"])?,
            column(&["y", "box_y"])?,
            column(&["w", "width", "box_w"])?,
            column(&["h", "height", "box_h"])?,
        ];
        let (score, frame) = (find(&["score"]), find(&["frame"]));
        let mut boxes = Self::default();
        for record in reader.records() {
            let record = record.with_context(|| shown.to_string())?;
            let place = record.position().map_or(0, csv::Position::byte);
            let field = |i: usize| {
                record
                    .get(i)
                    .with_context(|| format!("{shown}, line {}: too few columns", line_of(text, place)))
            };
            let number = |i: usize| -> Result<f64> {
                let field = field(i)?;
                field.parse().ok().with_context(|| {
                    format!("{shown}, line {}: '{field}' is no number", line_of(text, place))
                })
            };
            let mut rect = [0.0; 4];
            for (v, &place) in rect.iter_mut().zip(&places) {
                *v = number(place)?;
            }
            check_box(rect).map_err(|e| err!("{shown}, line {}: {e}", line_of(text, place)))?;
            let filled = |i: &usize| record.get(*i).is_some_and(|t| !t.is_empty());
            let score = score.filter(filled).map(number).transpose()?;
            let frame = match frame.filter(filled) {
                None => None,
                Some(i) => {
                    let field = field(i)?;
                    Some(field.parse::<u64>().ok().with_context(|| {
                        format!(
                            "{shown}, line {}: '{field}' is no frame number; frames count from 0",
                            line_of(text, place)
                        )
                    })?)
                }
            };
            let list = boxes.by_name.entry(field(image)?.to_string()).or_default();
            list.extend(options.keep(Boxed { rect, score, frame }));
        }
        Ok(boxes)
    }

    fn detections(text: &str, options: &BoxOptions) -> Result<Self> {
        let rows: Vec<Row> = serde_json::from_str(text)
            .context("not a list of detections with bbox, score and image_id or file_name")?;
        let names: Option<HashMap<i64, String>> = match &options.annotations {
            None => None,
            Some(path) => {
                let ids = ids_of_annotations(path)?;
                // Of the two names of an image the longer one is the whole.
                let mut names: HashMap<i64, String> = HashMap::new();
                for (name, id) in ids {
                    let known = names.entry(id).or_default();
                    if name.len() > known.len() {
                        *known = name;
                    }
                }
                Some(names)
            }
        };
        let mut boxes = Self::default();
        for (index, row) in rows.into_iter().enumerate() {
            if options.category.is_some_and(|c| row.category_id.is_some_and(|own| own != c)) {
                continue;
            }
            let rect = row.bbox.with_context(|| format!("detection {index}: no bbox"))?;
            check_box(rect).map_err(|e| err!("detection {index}: {e}"))?;
            let boxed = options.keep(Boxed { rect, score: row.score, frame: row.frame });
            match (row.file_name, row.image_id) {
                (Some(name), _) | (None, Some(Id::Text(name))) => boxes.named(&name).extend(boxed),
                (None, Some(Id::Number(id))) => match &names {
                    None => boxes.by_number.entry(id).or_default().extend(boxed),
                    Some(names) => {
                        let name = names.get(&id).with_context(|| {
                            format!("detection {index}: the annotation file has no image {id}; is it of another split?")
                        })?;
                        boxes.named(name).extend(boxed);
                    }
                },
                (None, None) => bail!("detection {index}: neither file_name nor image_id"),
            }
        }
        Ok(boxes)
    }

    fn annotations(text: &str, options: &BoxOptions) -> Result<Self> {
        let file: Annotated = serde_json::from_str(text)
            .context("not a COCO annotation file (wants images and annotations) or a list of detections")?;
        let mut boxes = Self::default();
        let names: HashMap<i64, String> = file.images.into_iter().map(|i| (i.id, i.file_name)).collect();
        for name in names.values() {
            boxes.named(name);
        }
        for a in file.annotations {
            let other = options.category.is_some_and(|c| c != a.category_id);
            if other || a.iscrowd != 0 {
                continue;
            }
            // A label without a size is nobody to look at.
            let Some(rect) = a.bbox.filter(|b| check_box(*b).is_ok()) else { continue };
            let name = names
                .get(&a.image_id)
                .with_context(|| format!("annotation {}: no image {} in this file", a.id, a.image_id))?;
            boxes.named(name).push(Boxed { rect, score: None, frame: None });
        }
        Ok(boxes)
    }

    /// The list of an image by its whole name; a name in a folder is found by its last part as well.
    fn named(&mut self, name: &str) -> &mut Vec<Boxed> {
        let last = Path::new(name)
            .file_name()
            .map_or_else(|| name.to_string(), |n| n.to_string_lossy().into_owned());
        self.by_name.entry(last).or_default()
    }
}

/// The line of a record, from the place where the reader began to look for it: empty lines may come first.
fn line_of(text: &str, byte: u64) -> usize {
    let at = usize::try_from(byte).unwrap_or(usize::MAX).min(text.len());
    let (before, rest) = text.as_bytes().split_at(at);
    let empty = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
    1 + before.iter().chain(empty).filter(|b| **b == b'\n').count()
}

impl BoxOptions {
    fn keep(&self, boxed: Boxed) -> Option<Boxed> {
        let low = self.min_score.is_some_and(|least| boxed.score.is_some_and(|s| s.is_nan() || s < least));
        (!low).then_some(boxed)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Number(i64),
    Text(String),
}

#[derive(Deserialize)]
struct Row {
    #[serde(alias = "image", alias = "input")]
    file_name: Option<String>,
    image_id: Option<Id>,
    category_id: Option<i64>,
    #[serde(alias = "box")]
    bbox: Option<[f64; 4]>,
    score: Option<f64>,
    frame: Option<u64>,
}

#[derive(Deserialize)]
struct ImageRow {
    id: i64,
    file_name: String,
}

#[derive(Deserialize)]
struct AnnotationRow {
    #[serde(default)]
    id: i64,
    image_id: i64,
    #[serde(default)]
    category_id: i64,
    bbox: Option<[f64; 4]>,
    #[serde(default)]
    iscrowd: u8,
}

#[derive(Deserialize)]
struct Annotated {
    images: Vec<ImageRow>,
    annotations: Vec<AnnotationRow>,
}

/// A box must be finite, not absurd, and have a size.
pub fn check_box(b: [f64; 4]) -> Result<(), String> {
    if b.iter().any(|v| !v.is_finite() || v.abs() > 1e6) {
        return Err("numbers must be finite and below a million pixels".into());
    }
    if b[2] < 1.0 || b[3] < 1.0 {
        return Err(format!(
            "the box is {} x {} pixels; it needs a width and a height of at least 1",
            b[2], b[3]
        ));
    }
    Ok(())
}
