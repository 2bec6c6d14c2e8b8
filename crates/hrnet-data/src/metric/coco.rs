//! Average precision and recall of key points and boxes, equal to pycocotools on the same files.
//!
//! One [`Ap::update`] per image and category, in any order; [`Ap::compute`] sorts images by id. The similarity of key points
//! is OKS over the labelled points of the truth,
//!
//! ```text
//! oks = mean over points with v > 0 of exp(-d² / (2 sigma)² / area / 2)
//! ```
//!
//! and for a truth without a labelled point, d is the distance from the box made three times as wide and high (0 inside).
//! Sums and products are in pycocotools' order: an OKS such as 3/5 that meets the threshold 0.6 exactly is decided alike.
//!
//! What pycocotools does and may surprise:
//!
//! * at most [`Params::limits`] detections of an image and category count (20 for key points), the best ones;
//! * crowds, objects with `num_keypoints` 0 and objects outside the area range are ignored: what matches them counts neither
//!   as right nor as wrong. A crowd takes any number of detections. The key `ignore` of a file is not looked at;
//! * the area of a detection decides only whether it is ignored outside the range when it matches nothing. It comes from
//!   its box if the *first* result of the file has one, else from the extent of all its points, invisible ones included;
//! * of several truths of exactly the same similarity, the last is taken;
//! * precision has 2.2e-16 in its denominator, so that one right detection has 0.9999999999999998;
//! * a figure without any object to find is -1 ([`Figure::value`]); here it is `None`;
//! * **`Protocol::Official` only**: a match with the annotation of id 0 counts as wrong (pycocotools marks "no match" by 0).

mod accumulate;
mod file;

pub use file::{CrowdFigures, Dataset, FileError, ResultRow, evaluate};

use super::{Protocol, mean, numpy_sum};
use crate::sets::COCO17;
use accumulate::{Areas, Labelled, Matched, THRESHOLDS, accumulate, match_image};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Points, by OKS with these deviations (one per point).
    Keypoints(Vec<f64>),
    /// Boxes, by intersection over union; over the detection's area for crowds.
    Boxes,
}

/// How to evaluate.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// What is compared.
    pub kind: Kind,
    /// Detections per image and category, ascending. The last one limits the matching.
    pub limits: Vec<usize>,
    /// Conventions.
    pub protocol: Protocol,
}

impl Params {
    /// COCO key points: 17 points, 20 detections.
    pub fn coco_keypoints() -> Self {
        Self::keypoints(COCO17.sigmas.to_vec())
    }

    /// Key points with own deviations.
    pub fn keypoints(sigmas: Vec<f64>) -> Self {
        Self { kind: Kind::Keypoints(sigmas), limits: vec![20], protocol: Protocol::Default }
    }

    /// COCO boxes: 1, 10 and 100 detections.
    pub fn boxes() -> Self {
        Self { kind: Kind::Boxes, limits: vec![1, 10, 100], protocol: Protocol::Default }
    }

    fn areas(&self) -> &'static [Areas] {
        const ALL: Areas = Areas(0.0, 1e10);
        const SMALL: Areas = Areas(0.0, 1024.0);
        const MEDIUM: Areas = Areas(1024.0, 9216.0);
        const LARGE: Areas = Areas(9216.0, 1e10);
        match self.kind {
            Kind::Keypoints(_) => &[ALL, MEDIUM, LARGE],
            Kind::Boxes => &[ALL, SMALL, MEDIUM, LARGE],
        }
    }
}

/// A labelled object.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Annotation id. Used only by the quirk of id 0.
    pub id: i64,
    /// x, y and visibility (labelled if above 0). Empty for boxes.
    pub points: Vec<[f64; 3]>,
    /// The file's `num_keypoints`, which decides whether the object counts. Boxes do not look at it.
    pub labelled: usize,
    /// x, y, width, height.
    pub bbox: [f64; 4],
    /// Square pixels.
    pub area: f64,
    /// Whether it stands for many objects.
    pub crowd: bool,
}

/// A detected object.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Points. Empty for boxes.
    pub points: Vec<[f64; 2]>,
    /// x, y, width, height: the area for key points, where `None` stands for the extent of the points.
    pub bbox: Option<[f64; 4]>,
    /// Score.
    pub score: f64,
}

impl Detection {
    fn area(&self) -> f64 {
        if let Some(b) = self.bbox {
            return b[2] * b[3];
        }
        let extent = |axis: usize| {
            let values = || self.points.iter().map(|p| p[axis]);
            values().fold(f64::NEG_INFINITY, f64::max) - values().fold(f64::INFINITY, f64::min)
        };
        if self.points.is_empty() { 0.0 } else { extent(0) * extent(1) }
    }
}

/// Why an image cannot be added.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ApError {
    /// The image was added before.
    #[error("image {image} was added twice for category {category}; add all its objects at once")]
    Twice {
        /// Image id.
        image: i64,
        /// Category id.
        category: i64,
    },
    /// A wrong number of points.
    #[error("image {image}: an object has {found} points; the metric has deviations for {wanted}")]
    Points {
        /// Image id.
        image: i64,
        /// Points of the object.
        found: usize,
        /// Deviations.
        wanted: usize,
    },
    /// NaN or infinite.
    #[error("image {image}: {what} is not finite")]
    NotFinite {
        /// Image id.
        image: i64,
        /// What.
        what: &'static str,
    },
    /// A box metric, and a detection without a box.
    #[error("image {image}: a detection has no box")]
    NoBox {
        /// Image id.
        image: i64,
    },
}

/// The OKS of a detection with a truth, as COCO evaluates it. Zero without points.
pub fn truth_oks(truth: &Truth, points: &[[f64; 2]], sigmas: &[f64]) -> f64 {
    let any = truth.points.iter().any(|p| p[2] > 0.0);
    let b = truth.bbox;
    let (x0, x1) = (b[0] - b[2], b[0] + b[2] * 2.0);
    let (y0, y1) = (b[1] - b[3], b[1] + b[3] * 2.0);
    let area = truth.area + f64::EPSILON;
    let terms: Vec<f64> = truth
        .points
        .iter()
        .zip(points)
        .zip(sigmas)
        .filter(|((t, _), _)| !any || t[2] > 0.0)
        .map(|((t, p), sigma)| {
            let (dx, dy) = if any {
                (p[0] - t[0], p[1] - t[1])
            } else {
                let out = |low: f64, v: f64, high: f64| (low - v).max(0.0) + (v - high).max(0.0);
                (out(x0, p[0], x1), out(y0, p[1], y1))
            };
            let twice = sigma * 2.0;
            (-((dx * dx + dy * dy) / (twice * twice) / area / 2.0)).exp()
        })
        .collect();
    if terms.is_empty() { 0.0 } else { numpy_sum(&terms) / terms.len() as f64 }
}

/// Intersection over union of boxes; for a crowd over the area of `detected`.
pub fn box_iou(detected: [f64; 4], truth: [f64; 4], crowd: bool) -> f64 {
    let side =
        |i: usize| (detected[i] + detected[i + 2]).min(truth[i] + truth[i + 2]) - detected[i].max(truth[i]);
    let (w, h) = (side(0), side(1));
    if w <= 0.0 || h <= 0.0 {
        return 0.0;
    }
    let (inter, own) = (w * h, detected[2] * detected[3]);
    inter / if crowd { own } else { own + truth[2] * truth[3] - inter }
}

/// One image of one category: scores, best first, and matches per area range.
#[derive(Debug, Clone)]
struct Cell {
    scores: Vec<f64>,
    matched: Vec<Matched>,
}

/// Collects images.
#[derive(Debug, Clone)]
pub struct Ap {
    params: Params,
    cells: BTreeMap<i64, BTreeMap<i64, Cell>>,
}

/// A named figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// AP, AP50, ... as COCO prints them.
    pub name: &'static str,
    /// `None` where there was nothing to find.
    pub value: Option<f64>,
}

impl Figure {
    /// The value as pycocotools gives it: -1 for none.
    pub fn value(&self) -> f64 {
        self.value.unwrap_or(-1.0)
    }
}

/// The figures over all images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ApReport {
    /// Key points: AP, AP50, AP75, APM, APL, AR, AR50, AR75, ARM, ARL. Boxes: COCO's twelve.
    pub figures: Vec<Figure>,
    /// Images added.
    pub images: usize,
    /// AP per category id, over all areas.
    pub per_category: Vec<(i64, Option<f64>)>,
    /// Precision at recall 0, 0.01, ... 1 for the thresholds 0.50, 0.75 and the mean of all ten; the mean over categories.
    /// Empty where there was nothing to find.
    pub curves: [Vec<f64>; 3],
}

impl ApReport {
    /// The figure of a name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|f| f.name == name)?.value
    }
}

impl Ap {
    /// Without images.
    pub fn new(params: Params) -> Self {
        Self { params, cells: BTreeMap::new() }
    }

    /// How it evaluates.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Forgets all images.
    pub fn reset(&mut self) {
        self.cells.clear();
    }

    /// Adds all objects and detections of a category in an image. Images without either need not be added. Of equal scores
    /// the earlier detection comes first.
    pub fn update(
        &mut self,
        image: i64,
        category: i64,
        truths: &[Truth],
        detections: &[Detection],
    ) -> Result<(), ApError> {
        self.check(image, truths, detections)?;
        let cells = self.cells.entry(category).or_default();
        if cells.contains_key(&image) {
            return Err(ApError::Twice { image, category });
        }
        let mut order: Vec<&Detection> = detections.iter().collect();
        order.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap_or(std::cmp::Ordering::Equal));
        order.truncate(self.params.limits.last().copied().unwrap_or(usize::MAX));
        let mut similarity = Vec::with_capacity(order.len() * truths.len());
        for d in &order {
            similarity.extend(truths.iter().map(|t| match &self.params.kind {
                Kind::Keypoints(sigmas) => truth_oks(t, &d.points, sigmas),
                Kind::Boxes => box_iou(d.bbox.unwrap_or_default(), t.bbox, t.crowd),
            }));
        }
        let areas: Vec<f64> = order.iter().map(|d| d.area()).collect();
        let keypoints = matches!(self.params.kind, Kind::Keypoints(_));
        let labelled: Vec<Labelled> = truths
            .iter()
            .map(|t| Labelled {
                area: t.area,
                crowd: t.crowd,
                ignore: t.crowd || (keypoints && t.labelled == 0),
                unseen: t.id == 0 && self.params.protocol == Protocol::Official,
            })
            .collect();
        let matched =
            self.params.areas().iter().map(|r| match_image(&labelled, &areas, &similarity, *r)).collect();
        cells.insert(image, Cell { scores: order.iter().map(|d| d.score).collect(), matched });
        Ok(())
    }

    fn check(&self, image: i64, truths: &[Truth], detections: &[Detection]) -> Result<(), ApError> {
        let finite = |ok: bool, what| if ok { Ok(()) } else { Err(ApError::NotFinite { image, what }) };
        let wanted = match &self.params.kind {
            Kind::Keypoints(sigmas) => Some(sigmas.len()),
            Kind::Boxes => None,
        };
        let count = |found: usize| match wanted {
            Some(wanted) if wanted != found => Err(ApError::Points { image, found, wanted }),
            _ => Ok(()),
        };
        for t in truths {
            count(t.points.len())?;
            finite(t.points.iter().flatten().all(|v| v.is_finite()), "a labelled point")?;
            finite(t.area.is_finite() && t.bbox.iter().all(|v| v.is_finite()), "a labelled box or area")?;
        }
        for d in detections {
            count(d.points.len())?;
            finite(d.score.is_finite(), "a score")?;
            finite(d.points.iter().flatten().all(|v| v.is_finite()), "a detected point")?;
            finite(d.bbox.iter().flatten().all(|v| v.is_finite()), "a detected box")?;
            if wanted.is_none() && d.bbox.is_none() {
                return Err(ApError::NoBox { image });
            }
        }
        Ok(())
    }

    /// The figures over all images.
    pub fn compute(&self) -> ApReport {
        self.compute_where(|_| true)
    }

    /// The figures over the images that `keep` holds for.
    pub fn compute_where(&self, keep: impl Fn(i64) -> bool) -> ApReport {
        let (areas, limits) = (self.params.areas().len(), &self.params.limits);
        // Curves by [area][limit][category].
        let curves: Vec<Vec<Vec<_>>> = (0..areas)
            .map(|a| {
                limits
                    .iter()
                    .map(|&limit| {
                        self.cells
                            .values()
                            .map(|cells| {
                                let images = cells.iter().filter(|(image, _)| keep(**image));
                                accumulate(images.map(|(_, c)| (&c.scores[..], &c.matched[a])), limit)
                            })
                            .collect()
                    })
                    .collect()
            })
            .collect();
        // Values in pycocotools' order: threshold, recall level, category.
        let precision = |a: usize, m: usize, thresholds: std::ops::Range<usize>| {
            let mut values = Vec::new();
            for t in thresholds {
                for r in 0..accumulate::RECALLS {
                    values.extend(curves[a][m].iter().flatten().map(|c| c.precision[t][r]));
                }
            }
            mean(&values)
        };
        let recall = |a: usize, m: usize, thresholds: std::ops::Range<usize>| {
            let mut values = Vec::new();
            for t in thresholds {
                values.extend(curves[a][m].iter().flatten().map(|c| c.recall[t]));
            }
            mean(&values)
        };
        let (all, last) = (0..THRESHOLDS, limits.len().saturating_sub(1));
        let mut figures = Vec::new();
        let mut put = |name, value| figures.push(Figure { name, value });
        if limits.is_empty() {
            // Nothing was asked for.
        } else if matches!(self.params.kind, Kind::Keypoints(_)) {
            put("AP", precision(0, last, all.clone()));
            put("AP50", precision(0, last, 0..1));
            put("AP75", precision(0, last, 5..6));
            put("APM", precision(1, last, all.clone()));
            put("APL", precision(2, last, all.clone()));
            put("AR", recall(0, last, all.clone()));
            put("AR50", recall(0, last, 0..1));
            put("AR75", recall(0, last, 5..6));
            put("ARM", recall(1, last, all.clone()));
            put("ARL", recall(2, last, all.clone()));
        } else {
            put("AP", precision(0, last, all.clone()));
            put("AP50", precision(0, last, 0..1));
            put("AP75", precision(0, last, 5..6));
            put("APS", precision(1, last, all.clone()));
            put("APM", precision(2, last, all.clone()));
            put("APL", precision(3, last, all.clone()));
            for (m, name) in ["AR1", "AR10", "AR100"].into_iter().enumerate().take(limits.len()) {
                put(name, recall(0, m, all.clone()));
            }
            put("ARS", recall(1, last, all.clone()));
            put("ARM", recall(2, last, all.clone()));
            put("ARL", recall(3, last, all.clone()));
        }
        let whole: &[_] = curves[0].last().map_or(&[], |c| &c[..]);
        let per_category = self.cells.keys().zip(whole).map(|(id, c)| {
            let values = c.as_ref().map(|c| c.precision.concat());
            (*id, values.and_then(|v| mean(&v)))
        });
        let curve = |thresholds: std::ops::Range<usize>| {
            let at = |r: usize| {
                let values: Vec<f64> = thresholds
                    .clone()
                    .flat_map(|t| whole.iter().flatten().map(move |c| c.precision[t][r]))
                    .collect();
                mean(&values)
            };
            (0..accumulate::RECALLS).filter_map(at).collect()
        };
        let images: std::collections::BTreeSet<i64> =
            self.cells.values().flat_map(|c| c.keys().copied()).filter(|i| keep(*i)).collect();
        ApReport {
            per_category: per_category.collect(),
            curves: [curve(0..1), curve(5..6), curve(0..THRESHOLDS)],
            images: images.len(),
            figures,
        }
    }
}

#[cfg(test)]
mod tests;
