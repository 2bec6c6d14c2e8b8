//! COCO result files: `[{"image_id", "category_id", "keypoints": [x, y, score, ...], "score"}, ...]`.
//!
//! No `bbox`: pycocotools would take areas from it, where the official evaluation takes them from the points.

use super::sink::Sink;
use super::{WriterOptions, Written};
use crate::error::{Context, Result, bail};
use crate::result::{ImageResult, Predicted};
use hrnet_data::dataset::open::{Content, OpenOptions, Purpose, file_name, open};
use hrnet_data::metric::coco::ResultRow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Collects rows; ids are decided when all names are known.
pub struct Results {
    sink: Sink,
    ids: Option<HashMap<String, i64>>,
    category: i64,
    /// Input, number in its name.
    images: Vec<(String, Option<i64>)>,
    /// `image_id` is an index into `images` until the end.
    rows: Vec<ResultRow>,
    not_finite: usize,
}

impl Results {
    pub(super) fn new(sink: Sink, options: &WriterOptions) -> Self {
        let (ids, category) = (options.image_ids.clone(), options.category_id);
        Self { sink, ids, category, images: Vec::new(), rows: Vec::new(), not_finite: 0 }
    }

    pub(super) fn add(&mut self, result: &ImageResult) -> Result<()> {
        let Predicted::Instances(instances) = &result.predicted else {
            bail!("{}: COCO results are made of points", result.input)
        };
        if let Some(ids) = &self.ids
            && id_of(ids, &result.input).is_none()
        {
            bail!("{}: the annotation file lists no image of this name, so it has no id", result.input);
        }
        let place = self.images.len() as i64;
        // A frame of a video is known by its number, an image by the number in its name.
        self.images.push((result.input.clone(), digits(&result.stem)));
        for instance in instances {
            let mut keypoints = Vec::with_capacity(instance.points.len() * 3);
            for p in &instance.points {
                // JSON has no NaN and pycocotools no null: a point without a place has score 0.
                let finite = p.at.iter().all(|v| v.is_finite()) && p.score.is_finite();
                self.not_finite += usize::from(!finite);
                match finite {
                    true => keypoints.extend([p.at[0], p.at[1], f64::from(p.score)]),
                    false => keypoints.extend([0.0; 3]),
                }
            }
            let score = if instance.score.is_finite() { instance.score } else { 0.0 };
            let category_id = self.category;
            self.rows.push(ResultRow { image_id: place, category_id, keypoints, bbox: None, score });
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Written> {
        let mut notes = Vec::new();
        let ids: Vec<i64> = match &self.ids {
            Some(ids) => self.images.iter().filter_map(|(name, _)| id_of(ids, name)).collect(),
            None => {
                let numbers: Option<Vec<i64>> = self.images.iter().map(|(_, n)| *n).collect();
                let unique = |n: &Vec<i64>| n.iter().collect::<HashSet<_>>().len() == n.len();
                match numbers.filter(unique) {
                    Some(numbers) => {
                        notes.push("COCO image ids are the numbers in the image names".into());
                        numbers
                    }
                    None => {
                        notes.push(
                            "COCO image ids count from 1 in input order: not every name has a number of its own; \
                             give the annotation file for its ids"
                                .into(),
                        );
                        (1..=self.images.len() as i64).collect()
                    }
                }
            }
        };
        for row in &mut self.rows {
            let place = usize::try_from(row.image_id).unwrap_or(usize::MAX);
            row.image_id = *ids.get(place).context("an image without an id")?;
        }
        if self.not_finite > 0 {
            notes.push(format!(
                "{} points without a place were written as 0, 0 with score 0",
                self.not_finite
            ));
        }
        let mut text = serde_json::to_vec(&self.rows)?;
        text.push(b'\n');
        self.sink.write(&text)?;
        Ok(Written { files: self.sink.finish()?.into_iter().collect(), notes })
    }
}

fn id_of(ids: &HashMap<String, i64>, input: &str) -> Option<i64> {
    let name = Path::new(input).file_name().map(|n| n.to_string_lossy());
    ids.get(input).or_else(|| ids.get(name?.as_ref())).copied()
}

/// The last run of digits of a name as a number: 42 of `COCO_val2014_000000000042`.
pub fn digits(stem: &str) -> Option<i64> {
    let end = stem.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = stem[..end].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |i| i + 1);
    // A character before the digits may have more than one byte.
    stem.get(start..end)
        .unwrap_or_else(|| stem[..end].trim_start_matches(|c: char| !c.is_ascii_digit()))
        .parse()
        .ok()
}

/// Ids of the images of a COCO annotation file, by `file_name` and by its last part.
pub fn ids_of_annotations(path: &Path) -> Result<HashMap<String, i64>> {
    let shown = path.display();
    let mut how = OpenOptions::wanting(Purpose::Look, &[Content::Points], None);
    how.needs_images = false;
    let set = open(path, &how)?;
    let root = set.image_root.clone();
    let set = set.into_points()?;
    let mut ids = HashMap::new();
    let mut short: HashMap<String, Option<i64>> = HashMap::new();
    for image in &set.images {
        let last = file_name(&image.file);
        let name = image.file.strip_prefix(&root).unwrap_or(&image.file).to_string_lossy().into_owned();
        // A last part that two images share names neither.
        short.entry(last).and_modify(|id| *id = id.filter(|&id| id == image.id)).or_insert(Some(image.id));
        if ids.insert(name.clone(), image.id).is_some_and(|other| other != image.id) {
            bail!("{shown}: two images are called {name}");
        }
    }
    for (name, id) in short {
        if let Some(id) = id {
            ids.entry(name).or_insert(id);
        }
    }
    Ok(ids)
}
