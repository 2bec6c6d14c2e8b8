//! COCO annotation and result files for evaluation.
//!
//! Files are read by the one reader of COCO ([`crate::dataset::coco`]); a result of another category is left out, one of an unknown
//! image is an error.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use super::{Ap, ApError, ApReport, Detection, Figure, Kind, Params, Truth};
use crate::dataset::coco::{self, CocoOptions, parse_detections};
use crate::dataset::images::Finder;
use crate::dataset::model::{DataError, Detections, PoseSample, PoseSet, ReadOptions};
use crate::metric::Protocol;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// Why files cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The labels or results cannot be read.
    #[error(transparent)]
    Labels(#[from] DataError),
    /// A result names an image that the annotations do not have.
    #[error(
        "result {row} is for image {image}, which the annotation file does not list; is it of another split?"
    )]
    UnknownImage {
        /// 0-based row.
        row: usize,
        /// Image id.
        image: i64,
    },
    /// A list of numbers has a wrong length.
    #[error("{what} {row}: `{key}` has {found} numbers, wanted {wanted}")]
    Length {
        /// Annotation or result.
        what: &'static str,
        /// Annotation id, or 0-based row of the results.
        row: i64,
        /// Which key.
        key: &'static str,
        /// Numbers found.
        found: usize,
        /// Numbers wanted.
        wanted: usize,
    },
    /// The objects of an image are unusable.
    #[error(transparent)]
    Ap(#[from] ApError),
}

#[derive(Debug, Clone)]
struct ImageRow {
    id: i64,
    crowd_index: Option<f64>,
}

#[derive(Debug, Clone)]
struct CategoryRow {
    id: i64,
}

#[derive(Debug, Clone)]
struct AnnotationRow {
    id: i64,
    image_id: i64,
    category_id: i64,
    bbox: Vec<f64>,
    area: Option<f64>,
    iscrowd: bool,
    keypoints: Vec<f64>,
    num_keypoints: Option<usize>,
}

/// A row of a result file, as pycocotools reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultRow {
    /// Image id of the annotation file.
    pub image_id: i64,
    /// Category id of the annotation file.
    pub category_id: i64,
    /// x, y and score per point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keypoints: Vec<f64>,
    /// x, y, width, height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bbox: Option<Vec<f64>>,
    /// Score of the object.
    pub score: f64,
}

impl ResultRow {
    /// The rows of a file that was read. Each must have the id of an image and a score.
    pub fn of(found: &Detections) -> Result<Vec<Self>, DataError> {
        let row = |d: &crate::dataset::model::Detection| {
            let bad = |problem: &str, fix| DataError::entry(&found.path, d.place.clone(), problem, fix);
            Ok(Self {
                image_id: d
                    .image_id
                    .ok_or_else(|| bad("there is no image_id", "give the id of its image"))?,
                category_id: d.category_id,
                keypoints: d.keypoints.iter().flatten().copied().collect(),
                bbox: d.bbox.map(Vec::from),
                score: d
                    .score
                    .ok_or_else(|| bad("there is no score", "figures need a score of every entry"))?,
            })
        };
        found.entries.iter().map(row).collect()
    }
}

/// The part of an annotation file that evaluation needs.
#[derive(Debug, Clone)]
pub struct Dataset {
    images: Vec<ImageRow>,
    annotations: Vec<AnnotationRow>,
    categories: Option<Vec<CategoryRow>>,
    /// Area of an object as a share of its box, instead of `area`. CrowdPose: 0.53.
    box_area: Option<f64>,
}

/// Reads both files and evaluates.
pub fn evaluate(annotations: &[u8], results: &[u8], params: Params) -> Result<ApReport, FileError> {
    let found = parse_detections(results, Path::new("results"), &ReadOptions::default())?;
    let rows = ResultRow::of(&found)?;
    Ok(Dataset::from_json(annotations)?.evaluate(&rows, params)?.compute())
}

fn four(values: &[f64], what: &'static str, row: i64) -> Result<[f64; 4], FileError> {
    let length = FileError::Length { what, row, key: "bbox", found: values.len(), wanted: 4 };
    values.try_into().map_err(|_| length)
}

fn triples(values: &[f64], points: usize, what: &'static str, row: i64) -> Result<Vec<[f64; 3]>, FileError> {
    let (triples, rest) = values.as_chunks::<3>();
    if triples.len() != points || !rest.is_empty() {
        let (found, wanted) = (values.len(), points.saturating_mul(3));
        return Err(FileError::Length { what, row, key: "keypoints", found, wanted });
    }
    Ok(triples.to_vec())
}

/// Truths and detections of one image and category.
type Group = (Vec<Truth>, Vec<Detection>);

impl From<&PoseSet> for Dataset {
    /// The labels of a set that was read. Entries that the reader left out are missing here too.
    fn from(set: &PoseSet) -> Self {
        let id_of = |image: usize| set.images.get(image).map(|i| i.id);
        let annotation = |s: &PoseSample| {
            Some(AnnotationRow {
                id: s.id,
                image_id: id_of(s.image)?,
                category_id: set.categories.get(s.category)?.id,
                bbox: s.box_or_extent().unwrap_or_default().to_vec(),
                area: s.area,
                iscrowd: s.crowd,
                keypoints: s
                    .points
                    .iter()
                    .flat_map(|p| [p.at[0], p.at[1], f64::from(p.visibility.flag())])
                    .collect(),
                num_keypoints: Some(s.num_keypoints),
            })
        };
        Self {
            images: set.images.iter().map(|i| ImageRow { id: i.id, crowd_index: i.crowd_index }).collect(),
            annotations: set.samples.iter().filter_map(annotation).collect(),
            categories: Some(set.categories.iter().map(|c| CategoryRow { id: c.id }).collect()),
            box_area: None,
        }
    }
}

impl Dataset {
    /// Reads an annotation file from memory; images are not needed.
    pub fn from_json(bytes: &[u8]) -> Result<Self, FileError> {
        let path = Path::new("annotations");
        let read = ReadOptions { finder: Finder::without_images(path, None), ..ReadOptions::default() };
        let set = coco::parse(bytes, path, Path::new(""), &CocoOptions { read, ..CocoOptions::default() })?;
        Ok(Self::from(&set))
    }

    /// Takes `share` of each box as the area of the object. CrowdPose's tools use 0.53.
    #[must_use]
    pub fn with_box_area(mut self, share: f64) -> Self {
        self.box_area = Some(share);
        self
    }

    fn truth(&self, a: &AnnotationRow, points: Option<usize>) -> Result<Truth, FileError> {
        let bbox = four(&a.bbox, "annotation", a.id)?;
        let points = match points {
            None => Vec::new(),
            Some(n) if a.keypoints.is_empty() => vec![[0.0; 3]; n],
            Some(n) => triples(&a.keypoints, n, "annotation", a.id)?,
        };
        let labelled = a.num_keypoints.unwrap_or_else(|| points.iter().filter(|p| p[2] > 0.0).count());
        let area = match self.box_area {
            Some(share) => bbox[2] * bbox[3] * share,
            None => a.area.unwrap_or(bbox[2] * bbox[3]),
        };
        Ok(Truth { id: a.id, points, labelled, bbox, area, crowd: a.iscrowd })
    }

    /// Groups truths and results by image and adds all.
    pub fn evaluate(&self, rows: &[ResultRow], params: Params) -> Result<Ap, FileError> {
        let images: HashSet<i64> = self.images.iter().map(|i| i.id).collect();
        let categories: HashSet<i64> = match &self.categories {
            Some(categories) => categories.iter().map(|c| c.id).collect(),
            None => self.annotations.iter().map(|a| a.category_id).collect(),
        };
        let points = match &params.kind {
            Kind::Keypoints(sigmas) => Some(sigmas.len()),
            Kind::Boxes => None,
        };
        let mut groups: BTreeMap<(i64, i64), Group> = BTreeMap::new();
        for a in &self.annotations {
            if images.contains(&a.image_id) && categories.contains(&a.category_id) {
                groups.entry((a.category_id, a.image_id)).or_default().0.push(self.truth(a, points)?);
            }
        }
        // pycocotools looks at the first row only to decide where areas come from.
        let boxes = rows.first().and_then(|r| r.bbox.as_ref()).is_some_and(|b| !b.is_empty());
        for (row, r) in rows.iter().enumerate() {
            if !images.contains(&r.image_id) {
                return Err(FileError::UnknownImage { row, image: r.image_id });
            }
            if !categories.contains(&r.category_id) {
                continue;
            }
            let number = i64::try_from(row).unwrap_or(i64::MAX);
            let points = match points {
                None => Vec::new(),
                Some(n) => triples(&r.keypoints, n, "result", number)?,
            };
            let own = r.bbox.as_deref().filter(|b| !b.is_empty() && (boxes || points.is_empty()));
            let bbox = own.map(|b| four(b, "result", number)).transpose()?;
            let points = points.iter().map(|p| [p[0], p[1]]).collect();
            let detection = Detection { points, bbox, score: r.score };
            groups.entry((r.category_id, r.image_id)).or_default().1.push(detection);
        }
        let mut ap = Ap::new(params);
        for ((category, image), (truths, detections)) in &groups {
            ap.update(*image, *category, truths, detections)?;
        }
        Ok(ap)
    }

    /// CrowdPose's figures, in its order: AP, AP50, AP75, AR, AR50, AR75, and AP over images with a `crowdIndex` below 0.2
    /// (easy), below 0.8 (medium) and above (hard). `None` if an image has no `crowdIndex`. Official: the last three are
    /// rounded to four digits, as crowdposetools prints them.
    pub fn crowd_figures(&self, ap: &Ap) -> Option<CrowdFigures> {
        let index: BTreeMap<i64, f64> =
            self.images.iter().map(|i| Some((i.id, i.crowd_index?))).collect::<Option<_>>()?;
        let whole = ap.compute();
        let mut figures = Vec::new();
        for name in ["AP", "AP50", "AP75", "AR", "AR50", "AR75"] {
            figures.push(Figure { name, value: whole.get(name) });
        }
        for (name, low, high) in
            [("APE", f64::NEG_INFINITY, 0.2), ("APM", 0.2, 0.8), ("APH", 0.8, f64::INFINITY)]
        {
            let inside = |image: i64| index.get(&image).is_some_and(|&c| c >= low && c < high);
            let mut value = ap.compute_where(inside).get("AP");
            if ap.params().protocol == Protocol::Official {
                value = value.map(|v| (v * 1e4).round_ties_even() / 1e4);
            }
            figures.push(Figure { name, value });
        }
        Some(CrowdFigures(figures))
    }
}

/// Nine figures; see [`Dataset::crowd_figures`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrowdFigures(pub Vec<Figure>);
