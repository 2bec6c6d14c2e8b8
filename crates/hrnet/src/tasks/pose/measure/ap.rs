//! AP and AR over OKS: results and labels go through [`hrnet_data::metric::coco`] as rows of files do, so that figures of a
//! run and of its written file are equal.

use super::{MeasureOptions, Metric, box_of, pair, sigmas, suppress};
use crate::error::{Result, bail};
use crate::measure::{Column, Curve, Measured, Table, Unit, Worst, WorstList};
use crate::result::Instance;
use hrnet_data::dataset::model::PoseSet;
use hrnet_data::metric::coco::{Ap, Dataset, Params, ResultRow, Truth, truth_oks};
use hrnet_formats::Task;

/// CrowdPose's area of a person, as a share of its box.
const CROWD_AREA: f64 = 0.53;

/// Measures instances by image.
pub(super) fn measure(
    set: &PoseSet,
    by_image: Vec<Vec<Instance>>,
    metric: Metric,
    options: &MeasureOptions,
) -> Result<Measured> {
    let (sigmas, _) = sigmas::of(set.common_category()?)?;
    let by_image: Vec<Vec<Instance>> = by_image
        .into_iter()
        .map(|found| suppress(found, options.suppress, &sigmas, options.input, options.protocol))
        .collect();
    measure_rows(set, &rows(set, &by_image), metric, options)
}

/// Instances as rows of a results file. An instance has the category of the labelled person it is paired with, where the set
/// has several; else the first.
pub fn rows(set: &PoseSet, by_image: &[Vec<Instance>]) -> Vec<ResultRow> {
    let first = set.categories.first().map_or(1, |c| c.id);
    let labelled = set.by_image();
    let mut rows = Vec::new();
    for (image, found) in by_image.iter().enumerate() {
        let mut category = vec![first; found.len()];
        if set.categories.len() > 1 {
            let persons: Vec<(i64, [f64; 4])> = labelled[image]
                .iter()
                .filter_map(|&s| {
                    let sample = &set.samples[s];
                    Some((set.categories.get(sample.category)?.id, box_of(sample)?))
                })
                .collect();
            let boxes: Vec<[f64; 4]> = persons.iter().map(|p| p.1).collect();
            for (person, instance) in pair(&boxes, found).into_iter().enumerate() {
                if let Some(i) = instance {
                    category[i] = persons[person].0;
                }
            }
        }
        for (instance, &category_id) in found.iter().zip(&category) {
            let points = instance.points.iter();
            rows.push(ResultRow {
                image_id: set.images[image].id,
                category_id,
                keypoints: points.flat_map(|p| [p.at[0], p.at[1], f64::from(p.score)]).collect(),
                // The published files have no box, so that areas come from the points.
                bbox: None,
                score: instance.score,
            });
        }
    }
    rows
}

/// Measures rows of a results file.
pub(super) fn measure_rows(
    set: &PoseSet,
    rows: &[ResultRow],
    metric: Metric,
    options: &MeasureOptions,
) -> Result<Measured> {
    let category = set.common_category()?;
    let (sigmas, from) = sigmas::of(category)?;
    let mut data = Dataset::from(set);
    if metric == Metric::CrowdAp {
        data = data.with_box_area(CROWD_AREA);
    }
    let params = Params { protocol: options.protocol, ..Params::keypoints(sigmas.clone()) };
    let ap = data.evaluate(rows, params)?;
    let report = ap.compute();

    let mut out = Measured::new(Task::Pose, "images");
    out.samples = set.images.len() as u64;
    out.set("metric", format!("{} over OKS", if metric == Metric::Ap { "AP" } else { "CrowdPose's AP" }));
    out.set("oks", from);
    out.set(
        "suppression",
        match options.suppress {
            super::Suppress::None => "none".to_string(),
            super::Suppress::Oks(t) => format!("OKS NMS above {t}"),
            super::Suppress::Soft(t) => format!("soft OKS NMS, {t}"),
        },
    );
    out.set("instances", rows.len().to_string());
    let crowd = if metric == Metric::CrowdAp { data.crowd_figures(&ap) } else { None };
    if metric == Metric::CrowdAp && crowd.is_none() {
        bail!("{}: CrowdPose's figures need `crowdIndex` of every image", set.path.display());
    }
    for f in crowd.as_ref().map_or(&report.figures, |c| &c.0) {
        out.figure(f.name.to_lowercase(), label(f.name, crowd.is_some()), f.value, Unit::Share);
    }
    if set.categories.len() > 1 {
        out.tables.push(categories(set, &ap));
    }
    let names = [
        ("precision_50", "OKS 0.50"),
        ("precision_75", "OKS 0.75"),
        ("precision", "mean of OKS 0.50 to 0.95"),
    ];
    for ((key, label), values) in names.into_iter().zip(&report.curves) {
        let points = values.iter().enumerate().map(|(i, &p)| [i as f64 / 100.0, p]).collect();
        let (key, label, x, y) = (key.into(), label.into(), "recall".into(), "precision".into());
        out.curves.push(Curve { key, label, x, y, points });
    }
    worst(set, rows, &sigmas, options, &mut out);
    Ok(out)
}

fn label(name: &str, crowd: bool) -> String {
    let what = match name {
        "AP" | "AR" => "OKS 0.50 to 0.95",
        "AP50" | "AR50" => "OKS 0.50",
        "AP75" | "AR75" => "OKS 0.75",
        "APE" => "easy images",
        "APM" if crowd => "medium images",
        "APH" => "hard images",
        "APM" | "ARM" => "medium persons",
        _ => "large persons",
    };
    format!("{name} ({what})")
}

fn categories(set: &PoseSet, ap: &Ap) -> Table {
    let per = ap.compute().per_category;
    let name = |id: i64| set.categories.iter().find(|c| c.id == id).map_or(String::new(), |c| c.name.clone());
    Table {
        key: "categories",
        label: "category".into(),
        rows_are: "category",
        columns: vec![Column { key: "ap", label: "AP".into(), unit: Unit::Share }],
        rows: per.into_iter().map(|(id, value)| (name(id), vec![value])).collect(),
    }
}

/// The labelled persons whose best detection is the least similar.
fn worst(set: &PoseSet, rows: &[ResultRow], sigmas: &[f64], options: &MeasureOptions, out: &mut Measured) {
    let mut by_image: std::collections::HashMap<i64, Vec<&ResultRow>> = std::collections::HashMap::new();
    for row in rows {
        by_image.entry(row.image_id).or_default().push(row);
    }
    let mut list = WorstList::new(options.worst);
    for (index, s) in set.samples.iter().enumerate() {
        if s.crowd || s.num_keypoints == 0 || s.points.len() != sigmas.len() {
            continue;
        }
        let Some(bbox) = box_of(s) else { continue };
        let truth = Truth {
            id: s.id,
            points: s.points.iter().map(|p| [p.at[0], p.at[1], f64::from(p.visibility.flag())]).collect(),
            labelled: s.num_keypoints,
            bbox,
            area: s.area.unwrap_or(bbox[2] * bbox[3]),
            crowd: false,
        };
        let image = &set.images[s.image];
        let best = by_image.get(&image.id).into_iter().flatten().map(|r| {
            let points: Vec<[f64; 2]> = r.keypoints.as_chunks::<3>().0.iter().map(|p| [p[0], p[1]]).collect();
            truth_oks(&truth, &points, sigmas)
        });
        let best = best.fold(0.0, f64::max);
        if list.takes(1.0 - best) {
            let note = format!("annotation {}", s.id);
            list.add(1.0 - best, Worst { index, value: best, image: image.file.clone(), note });
        }
    }
    out.worst_by = ("OKS of the best detection".into(), Unit::Number);
    out.worst = list.finish();
}
