//! PCKh and PCK: the share of labelled points that lie within a part of the head's or the torso's length.
//!
//! **Torso** (PCK): from the left shoulder to the right hip, as for LSP; where one of them is not labelled, from the right
//! shoulder to the left hip; persons with neither are left out and counted. Sets whose points have no such names are
//! measured by the longer side of the box. A training run that judges itself by PCK calls [`length_of`] too.

use super::{MeasureOptions, box_of, pair};
use crate::error::{Context, Result, bail};
use crate::measure::{Column, Curve, Measured, Table, Unit, Worst, WorstList};
use crate::result::Instance;
use hrnet_data::dataset::model::{Category, PoseSample, PoseSet};
use hrnet_data::metric::pck::{Pck, Pckh, box_length, torso_length};
use hrnet_data::sets::naming::normal;
use hrnet_formats::Task;

/// Points of persons without an instance are wrong by so many lengths.
const NOWHERE: f64 = 1e9;

/// What errors are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Left shoulder to right hip, or right shoulder to left hip.
    Torso {
        /// Left shoulder and right hip.
        first: [usize; 2],
        /// Right shoulder and left hip, where `first` is not labelled.
        second: Option<[usize; 2]>,
    },
    /// The longer side of the box.
    Box,
}

impl Length {
    /// The torso where the points have shoulders and hips, else the box.
    pub fn of(category: &Category) -> Self {
        let find = |name: &str| category.points.iter().position(|p| normal(p) == name);
        let names = ["left_shoulder", "right_hip", "right_shoulder", "left_hip"].map(find);
        match names {
            [Some(a), Some(b), Some(c), Some(d)] => Self::Torso { first: [a, b], second: Some([c, d]) },
            _ => Self::Box,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Torso { second: Some(_), .. } => {
                "torso: left shoulder to right hip, else right shoulder to left hip"
            }
            Self::Torso { .. } => "torso: the two points that the configuration names",
            Self::Box => "longer side of the box",
        }
    }
}

/// The length of a person, the same for `eval` and for training; `None` where its torso is not labelled or has no size.
pub fn length_of(sample: &PoseSample, length: Length) -> Option<f64> {
    let points: Vec<[f64; 2]> = sample.points.iter().map(|p| p.at).collect();
    let labelled = |i: usize| sample.points.get(i).is_some_and(|p| p.visibility.labelled());
    let found = match length {
        Length::Torso { first, second } => std::iter::once(first)
            .chain(second)
            .find(|&[a, b]| labelled(a) && labelled(b))
            .and_then(|[a, b]| torso_length(&points, a, b)),
        Length::Box => box_of(sample).map(box_length),
    };
    found.filter(|l| *l > 0.0 && l.is_finite())
}

/// A labelled person and the points found for it.
struct Judged<'a> {
    index: usize,
    sample: &'a PoseSample,
    points: Option<Vec<[f64; 2]>>,
}

/// Persons with labels, each with its instance.
fn judged<'a>(set: &'a PoseSet, by_image: &[Vec<Instance>]) -> Result<Vec<Judged<'a>>> {
    let mut out = Vec::with_capacity(set.samples.len());
    for (image, samples) in set.by_image().iter().enumerate() {
        let persons: Vec<usize> = samples
            .iter()
            .copied()
            .filter(|&s| !set.samples[s].crowd && set.samples[s].labelled() > 0)
            .collect();
        let boxes: Vec<[f64; 4]> =
            persons.iter().map(|&s| box_of(&set.samples[s]).unwrap_or_default()).collect();
        for (&index, found) in persons.iter().zip(pair(&boxes, &by_image[image])) {
            let sample = &set.samples[index];
            let points: Option<Vec<[f64; 2]>> =
                found.map(|f| by_image[image][f].points.iter().map(|p| p.at).collect());
            if let Some(points) = points.as_ref().filter(|p| p.len() != sample.points.len()) {
                let (found, wanted) = (points.len(), sample.points.len());
                bail!("{}: {found} points were found, the set has {wanted}", set.path.display());
            }
            out.push(Judged { index, sample, points });
        }
    }
    Ok(out)
}

impl Judged<'_> {
    fn truth(&self) -> (Vec<[f64; 2]>, Vec<bool>) {
        let points = self.sample.points.iter();
        points.map(|p| (p.at, p.visibility.labelled())).unzip()
    }

    /// The points found, or places that are wrong at any threshold.
    fn predicted(&self, length: f64) -> Vec<[f64; 2]> {
        let nowhere = || self.sample.points.iter().map(|p| [p.at[0] + NOWHERE * length, p.at[1]]).collect();
        self.points.clone().unwrap_or_else(nowhere)
    }

    /// Mean error of the labelled points over the length.
    fn error(&self, length: f64) -> f64 {
        let Some(points) = &self.points else { return f64::INFINITY };
        let (truth, labelled) = self.truth();
        let errors = points.iter().zip(&truth).zip(&labelled).filter(|p| *p.1);
        let errors: Vec<f64> = errors.map(|((p, t), _)| (p[0] - t[0]).hypot(p[1] - t[1]) / length).collect();
        errors.iter().sum::<f64>() / errors.len() as f64
    }
}

/// MPII's table.
pub(super) fn pckh(set: &PoseSet, by_image: &[Vec<Instance>], options: &MeasureOptions) -> Result<Measured> {
    let mut metric = Pckh::new(options.protocol);
    let mut out = Measured::new(Task::Pose, "persons");
    let mut list = WorstList::new(options.worst);
    let mut missed = 0;
    for person in judged(set, by_image)? {
        let place = || format!("{}: person {}", set.path.display(), person.sample.id);
        let head = person.sample.head_size.with_context(|| {
            format!("{} has no head size: put gt_valid.mat beside valid.json, which it belongs to", place())
        })?;
        let (truth, labelled) = person.truth();
        metric.update_sized(&person.predicted(head), &truth, &labelled, head).with_context(place)?;
        missed += usize::from(person.points.is_none());
        note_worst(&mut list, set, &person, head);
    }
    let report = metric.compute();
    out.samples = report.samples as u64;
    out.set("metric", "PCKh: points within half of the head's size (0.6 of the head box's diagonal)");
    out.set("persons_not_found", missed.to_string());
    for (key, label, value) in [
        ("head", "Head", report.head),
        ("shoulder", "Shoulder", report.shoulder),
        ("elbow", "Elbow", report.elbow),
        ("wrist", "Wrist", report.wrist),
        ("hip", "Hip", report.hip),
        ("knee", "Knee", report.knee),
        ("ankle", "Ankle", report.ankle),
        ("mean", "Mean", report.mean),
        ("mean_0_1", "Mean@0.1", report.mean_01),
    ] {
        out.figure(key, label, value, Unit::Share);
    }
    let names = set.common_category()?.points.clone();
    out.tables.push(points_table("PCKh@0.5", names.into_iter().zip(report.per_joint.iter().copied())));
    let (key, label) = ("pckh".to_string(), "PCKh, mean".to_string());
    let points = metric.curve().into_iter().map(|(t, v)| [t, v]).collect();
    out.curves.push(Curve {
        key,
        label,
        x: "threshold, head sizes".into(),
        y: "share of points".into(),
        points,
    });
    out.worst_by = ("mean error over the head's size".into(), Unit::Number);
    out.worst = list.finish();
    Ok(out)
}

/// PCK per point, over all points, and as a curve.
pub(super) fn pck(set: &PoseSet, by_image: &[Vec<Instance>], options: &MeasureOptions) -> Result<Measured> {
    let category = set.common_category()?;
    let length = options.length.unwrap_or_else(|| Length::of(category));
    let mut metric = Pck::new(category.points.len(), options.protocol);
    let mut list = WorstList::new(options.worst);
    let (mut persons, mut missed, mut unsized_persons) = (0u64, 0, 0);
    for person in judged(set, by_image)? {
        let Some(size) = length_of(person.sample, length) else {
            unsized_persons += 1;
            continue;
        };
        let (truth, labelled) = person.truth();
        let place = || format!("{}: person {}", set.path.display(), person.sample.id);
        metric.update(&person.predicted(size), &truth, &labelled, [size; 2]).with_context(place)?;
        persons += 1;
        missed += usize::from(person.points.is_none());
        note_worst(&mut list, set, &person, size);
    }
    let at = options.threshold;
    let report = metric.compute(at);
    let mut out = Measured::new(Task::Pose, "persons");
    out.samples = persons;
    out.set("metric", format!("PCK at {at}: points nearer than {at} of a length of the person"));
    out.set("length", length.words());
    out.set("persons_not_found", missed.to_string());
    out.set("persons_without_length", unsized_persons.to_string());
    out.figure("pck", format!("PCK@{at}, mean of points"), report.mean, Unit::Share);
    out.figure("pck_all_points", format!("PCK@{at}, all points"), report.pooled, Unit::Share);
    out.figure("pck_0_1", "PCK@0.1, mean of points", metric.compute(0.1).mean, Unit::Share);
    out.figure("pck_0_5", "PCK@0.5, mean of points", metric.compute(0.5).mean, Unit::Share);
    out.figure("auc", "area under PCK, 0 to 1", metric.auc(20), Unit::Number);
    let per_point = category.points.iter().cloned().zip(report.per_joint.iter().copied());
    out.tables.push(points_table(&format!("PCK@{at}"), per_point));
    out.tables.push(groups_table(&format!("PCK@{at}"), category, &report.per_joint));
    let values = (0..=50).filter_map(|i| {
        let t = f64::from(i) * 0.01;
        Some([t, metric.compute(t).mean?])
    });
    out.curves.push(Curve {
        key: "pck".into(),
        label: "PCK, mean of points".into(),
        x: "threshold, lengths of the person".into(),
        y: "share of points".into(),
        points: values.collect(),
    });
    out.worst_by = ("mean error over the length".into(), Unit::Number);
    out.worst = list.finish();
    Ok(out)
}

fn note_worst(list: &mut WorstList, set: &PoseSet, person: &Judged<'_>, length: f64) {
    let error = person.error(length);
    if list.takes(error) {
        let image = set.images[person.sample.image].file.clone();
        let found = if person.points.is_some() { "" } else { ", not found" };
        let note = format!("annotation {}{found}", person.sample.id);
        list.add(error, Worst { index: person.index, value: error, image, note });
    }
}

fn points_table(label: &str, rows: impl Iterator<Item = (String, Option<f64>)>) -> Table {
    table("points", "point", label, rows)
}

fn table(
    key: &'static str,
    rows_are: &'static str,
    label: &str,
    rows: impl Iterator<Item = (String, Option<f64>)>,
) -> Table {
    Table {
        key,
        label: rows_are.into(),
        rows_are,
        columns: vec![Column { key: "pck", label: label.into(), unit: Unit::Share }],
        rows: rows.map(|(name, v)| (name, vec![v])).collect(),
    }
}

/// The mean of left and right of each kind of point.
fn groups_table(label: &str, category: &Category, per_point: &[Option<f64>]) -> Table {
    let mut groups: Vec<(String, Vec<f64>)> = Vec::new();
    for (name, value) in category.points.iter().zip(per_point) {
        let name = normal(name);
        let kind = name.trim_start_matches("left_").trim_start_matches("right_").to_string();
        let at = groups.iter().position(|g| g.0 == kind).unwrap_or(groups.len());
        if at == groups.len() {
            groups.push((kind, Vec::new()));
        }
        groups[at].1.extend(value);
    }
    let mean = |v: &[f64]| (!v.is_empty()).then(|| v.iter().sum::<f64>() / v.len() as f64);
    table("groups", "group", label, groups.into_iter().map(|(name, v)| (name, mean(&v))))
}
