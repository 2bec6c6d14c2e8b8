//! Boxes per image from a file: CSV, a COCO detection or result file, or a COCO annotation file.

use crate::error::{Context, Result, bail, err};
use crate::output::{digits, ids_of_annotations};
use crate::result::FrameTime;
use hrnet_data::dataset::model::{Detections, Place, PoseSet};
use hrnet_data::dataset::open::{Content, Labels, OpenOptions, Purpose, file_name, open};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

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
    /// Reads a file: a table, a list of detections, or labels of any format with boxes.
    ///
    /// * CSV with the columns image, x, y, w, h and perhaps score and frame, in any order; others are ignored.
    /// * A list of detections with `bbox` and `file_name` or `image_id`. Ids become images by the annotation file of the
    ///   options, or else by the last number in the names of the images (000000000139.jpg is 139).
    /// * Labels (`images`, `annotations` of COCO, CVAT, YOLO, ...): their own boxes, without those of crowds.
    pub fn read(path: &Path, options: &BoxOptions) -> Result<Self> {
        let mut how = OpenOptions::wanting(Purpose::Measure, &[Content::Detections, Content::Points], None);
        how.needs_images = false;
        let set = open(path, &how)?;
        match set.labels {
            Labels::Detections(found) => Self::detections(&found, options),
            Labels::Points(labels) => Self::labels(&labels, options),
            Labels::Masks(_) | Labels::Classes(_) => bail!("{}: there are no boxes in it", path.display()),
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

    fn detections(found: &Detections, options: &BoxOptions) -> Result<Self> {
        let shown = found.path.display();
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
        for row in &found.entries {
            let place = &row.place;
            if options.category.is_some_and(|c| c != row.category_id) {
                continue;
            }
            let rect = row.bbox.with_context(|| format!("{shown}{place}: no bbox"))?;
            check_box(rect).map_err(|e| err!("{shown}{place}: {e}"))?;
            let boxed = options.keep(Boxed { rect, score: row.score, frame: row.frame });
            match (&row.file_name, row.image_id) {
                // A table names images as they are given on the command line, with or without folders.
                (Some(name), _) if matches!(place, Place::Line(_)) => {
                    boxes.by_name.entry(name.clone()).or_default().extend(boxed);
                }
                (Some(name), _) => boxes.named(name).extend(boxed),
                (None, Some(id)) => match &names {
                    None => boxes.by_number.entry(id).or_default().extend(boxed),
                    Some(names) => {
                        let name = names.get(&id).with_context(|| {
                            format!("{shown}{place}: the annotation file has no image {id}; is it of another split?")
                        })?;
                        boxes.named(name).extend(boxed);
                    }
                },
                (None, None) => bail!("{shown}{place}: neither file_name nor image_id"),
            }
        }
        Ok(boxes)
    }

    fn labels(set: &PoseSet, options: &BoxOptions) -> Result<Self> {
        let mut boxes = Self::default();
        let names: Vec<String> = set.images.iter().map(|i| file_name(&i.file)).collect();
        for name in &names {
            boxes.named(name);
        }
        for s in &set.samples {
            let id = set.categories.get(s.category).map(|c| c.id);
            if s.crowd || options.category.is_some_and(|c| id != Some(c)) {
                continue;
            }
            // A label without a size is nobody to look at.
            let Some(rect) = s.bbox.filter(|b| check_box(*b).is_ok()) else { continue };
            boxes.named(&names[s.image]).push(Boxed { rect, score: None, frame: None });
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

impl BoxOptions {
    fn keep(&self, boxed: Boxed) -> Option<Boxed> {
        let low = self.min_score.is_some_and(|least| boxed.score.is_some_and(|s| s.is_nan() || s < least));
        (!low).then_some(boxed)
    }
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
