//! Pose results on labelled sets: which figures a set asks for, and how they come from what was found, by whatever model.
//!
//! | set | figures | by |
//! |---|---|---|
//! | COCO, AI Challenger, AP-10K, own sets with `sigmas` | AP and AR over OKS | [`ap`] |
//! | CrowdPose | AP, and AP of easy, medium and hard images | [`ap`] |
//! | MPII | PCKh at 0.5 and 0.1 in the published columns | [`correct`] |
//! | LSP, LSPET, own sets | PCK at 0.2 of the torso, per point | [`correct`] |
//!
//! AP takes any number of instances per image. PCK asks for one per labelled person: instances and persons of an image are
//! paired one to one, the pair of boxes that overlap most first, and a person without an instance has all points wrong.

pub mod ap;
pub mod correct;
pub mod plan;
pub mod read;
pub mod sigmas;

pub use plan::{BoxSource, PlannedBox, PosePlan};

use crate::error::{Context, Result, bail};
use crate::measure::Measured;
use crate::result::{Instance, Point};
use hrnet_data::codec::Protocol;
use hrnet_data::dataset::model::{PoseSample, PoseSet};
use hrnet_data::geometry::pose_box_to_centre_scale;
use hrnet_data::metric::coco::ResultRow;
use hrnet_data::metric::oks::{PoseCandidate, oks_nms, rescore, soft_oks_nms};
use hrnet_data::sets::MPII16;
use std::path::Path;
use std::str::FromStr;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Average precision and recall over OKS, as COCO.
    Ap,
    /// The same with CrowdPose's areas (0.53 of the box), and AP by the crowding of the image.
    CrowdAp,
    /// Share of points within 0.5 (and 0.1) of the head's size, as MPII.
    Pckh,
    /// Share of points within a part (0.2) of the person's torso.
    Pck,
}

impl Metric {
    /// All, in the order of the documents.
    pub const ALL: [Self; 4] = [Self::Ap, Self::CrowdAp, Self::Pckh, Self::Pck];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ap => "ap",
            Self::CrowdAp => "crowd-ap",
            Self::Pckh => "pckh",
            Self::Pck => "pck",
        }
    }

    /// What the set asks for: PCKh where the points are MPII's, PCK where they are LSP's, CrowdPose's figures where they are
    /// CrowdPose's and every image has its `crowdIndex`, AP where the OKS constants of the points are known, else PCK.
    pub fn of(set: &PoseSet) -> Self {
        let Some(first) = set.categories.first() else { return Self::Ap };
        let known = sigmas::known(&first.points);
        let crowded = !set.images.is_empty() && set.images.iter().all(|i| i.crowd_index.is_some());
        if first.points == MPII16.names() || set.samples.iter().any(|s| s.head_size.is_some()) {
            Self::Pckh
        } else if known == Some("crowdpose14") && crowded {
            Self::CrowdAp
        } else if sigmas::of(first).is_ok() && known != Some("lsp14") {
            Self::Ap
        } else {
            Self::Pck
        }
    }
}

impl FromStr for Metric {
    type Err = crate::Error;

    fn from_str(name: &str) -> Result<Self> {
        let names: Vec<&str> = Self::ALL.iter().map(|m| m.name()).collect();
        let found = Self::ALL.into_iter().find(|m| m.name() == name);
        found
            .with_context(|| format!("there is no metric {name:?} for poses; there are {}", names.join(", ")))
    }
}

/// What is done to instances of an image that are the same person.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Suppress {
    /// Nothing: bottom-up results, one box per person.
    #[default]
    None,
    /// Those more similar to a better one than the threshold are dropped. Published: 0.9.
    Oks(f64),
    /// Scores of similar ones are lowered, the best 20 stay. Published: 0.9.
    Soft(f64),
}

/// How to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasureOptions {
    /// The set's own where `None`.
    pub metric: Option<Metric>,
    /// Conventions.
    pub protocol: Protocol,
    /// Suppression of repeated persons before AP.
    pub suppress: Suppress,
    /// Width and height of the network's input, whose aspect gives the area of a crop for the suppression.
    pub input: [usize; 2],
    /// Of PCK, as a share of the torso.
    pub threshold: f64,
    /// What PCK divides by; that of the set's points where `None`.
    pub length: Option<correct::Length>,
    /// Worst persons that are named.
    pub worst: usize,
}

impl Default for MeasureOptions {
    fn default() -> Self {
        Self {
            metric: None,
            protocol: Protocol::Default,
            suppress: Suppress::None,
            input: [192, 256],
            threshold: 0.2,
            length: None,
            worst: 20,
        }
    }
}

/// The published limit above which a point counts for the score of a person.
pub const POINT_THRESHOLD: f32 = 0.2;

/// The published score of a person: the score of its box times the mean of the point scores above 0.2.
pub fn official_score(box_score: f64, points: &[Point]) -> f64 {
    let scores: Vec<f64> = points.iter().map(|p| f64::from(p.score)).collect();
    rescore(box_score, &scores, f64::from(POINT_THRESHOLD))
}

/// Suppresses repeated persons of one image. `sigmas` are per point; similarity uses the area of the padded crop about
/// [`Instance::bbox`], as published.
pub fn suppress(
    found: Vec<Instance>,
    how: Suppress,
    sigmas: &[f64],
    input: [usize; 2],
    protocol: Protocol,
) -> Vec<Instance> {
    let candidates = || -> Vec<PoseCandidate> {
        let candidate = |i: &Instance| {
            let scale = pose_box_to_centre_scale(i.bbox, input[0], input[1]).scale;
            let area = scale.map(|s| f64::from(s) * 200.0).iter().product();
            PoseCandidate { points: i.points.iter().map(|p| p.at).collect(), score: i.score, area }
        };
        found.iter().map(candidate).collect()
    };
    let kept: Vec<(usize, f64)> = match how {
        Suppress::None => return found,
        Suppress::Oks(threshold) => {
            oks_nms(&candidates(), sigmas, threshold).into_iter().map(|i| (i, found[i].score)).collect()
        }
        Suppress::Soft(threshold) => soft_oks_nms(&candidates(), sigmas, threshold, 20),
    };
    let take = |&(i, score): &(usize, f64)| {
        let score = if protocol == Protocol::Official { found[i].score } else { score };
        Instance { score, ..found[i].clone() }
    };
    kept.iter().map(take).collect()
}

/// Measures what was found: pairs of image index and instances, each image at most once, in any order. Images that do not
/// occur have nothing found.
pub fn measure(
    set: &PoseSet,
    found: impl IntoIterator<Item = (usize, Vec<Instance>)>,
    options: &MeasureOptions,
) -> Result<Measured> {
    let mut by_image: Vec<Vec<Instance>> = vec![Vec::new(); set.images.len()];
    let mut seen = vec![false; set.images.len()];
    for (image, instances) in found {
        let shown = set.path.display();
        let Some(slot) = by_image.get_mut(image) else {
            bail!("{shown} has {} images, a result is for image {image}", set.images.len())
        };
        if std::mem::replace(&mut seen[image], true) {
            bail!("{shown}: image {image} has results twice; give all its instances at once");
        }
        *slot = instances;
    }
    let metric = options.metric.unwrap_or_else(|| Metric::of(set));
    let mut measured = match metric {
        Metric::Ap | Metric::CrowdAp => ap::measure(set, by_image, metric, options)?,
        Metric::Pckh => correct::pckh(set, &by_image, options)?,
        Metric::Pck => correct::pck(set, &by_image, options)?,
    };
    if !set.skipped.is_empty() {
        measured.set("ignored", format!("{} entries of the annotation file", set.skipped.len()));
    }
    Ok(measured)
}

/// Measures a results file of any program (COCO's form: `image_id`, `category_id`, `keypoints`, `score`), without a network.
pub fn measure_file(set: &PoseSet, results: &Path, options: &MeasureOptions) -> Result<Measured> {
    let shown = results.display();
    let found = read::detections(results)
        .with_context(|| format!("{shown}: want a list of {{image_id, category_id, keypoints, score}}"))?;
    let rows = ResultRow::of(&found)?;
    let metric = options.metric.unwrap_or_else(|| Metric::of(set));
    let mut measured = match metric {
        Metric::Ap | Metric::CrowdAp if options.suppress == Suppress::None => {
            ap::measure_rows(set, &rows, metric, options).with_context(|| shown.to_string())?
        }
        _ => {
            let by_image = instances(set, &rows).with_context(|| shown.to_string())?;
            measure(
                set,
                by_image.into_iter().enumerate(),
                &MeasureOptions { metric: Some(metric), ..*options },
            )?
        }
    };
    measured.settings.insert(0, crate::measure::Setting { key: "results", value: shown.to_string() });
    Ok(measured)
}

/// The rows of a results file as instances by image.
pub fn instances(set: &PoseSet, rows: &[ResultRow]) -> Result<Vec<Vec<Instance>>> {
    let index: std::collections::HashMap<i64, usize> =
        set.images.iter().enumerate().map(|(i, image)| (image.id, i)).collect();
    let mut out = vec![Vec::new(); set.images.len()];
    for (i, row) in rows.iter().enumerate() {
        let Some(&image) = index.get(&row.image_id) else {
            bail!("result {i} is for image {}, which {} does not list", row.image_id, set.path.display())
        };
        let (triples, rest) = row.keypoints.as_chunks::<3>();
        if !rest.is_empty() {
            bail!(
                "result {i}: keypoints has {} numbers; give x, y, score of each point",
                row.keypoints.len()
            );
        }
        let points: Vec<Point> =
            triples.iter().map(|&[x, y, s]| Point { at: [x, y], score: s as f32 }).collect();
        let extent = || {
            let [x0, y0, x1, y1] =
                hrnet_data::dataset::model::extent(points.iter().map(|p| p.at)).unwrap_or_default();
            [x0, y0, x1 - x0, y1 - y0]
        };
        let bbox = row.bbox.as_deref().and_then(|b| b.try_into().ok()).unwrap_or_else(extent);
        out[image].push(Instance { bbox, score: row.score, points, track: None, raw: None });
    }
    Ok(out)
}

/// The box of a labelled person: as annotated, about the annotated centre, or the extent of the labelled points.
pub fn box_of(sample: &PoseSample) -> Option<[f64; 4]> {
    sample.frame()
}

/// Pairs of person and instance of one image, one to one: the boxes that overlap most first, of equal overlaps the first
/// person, then the first instance. Boxes that do not overlap are not paired.
pub fn pair(persons: &[[f64; 4]], found: &[Instance]) -> Vec<Option<usize>> {
    let mut overlaps = Vec::new();
    for (p, &person) in persons.iter().enumerate() {
        for (f, instance) in found.iter().enumerate() {
            let overlap = hrnet_data::metric::coco::box_iou(instance.bbox, person, false);
            if overlap > 0.0 {
                overlaps.push((overlap, p, f));
            }
        }
    }
    overlaps.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut out, mut taken) = (vec![None; persons.len()], vec![false; found.len()]);
    for (_, p, f) in overlaps {
        if out[p].is_none() && !taken[f] {
            out[p] = Some(f);
            taken[f] = true;
        }
    }
    out
}

#[cfg(test)]
mod tests;
