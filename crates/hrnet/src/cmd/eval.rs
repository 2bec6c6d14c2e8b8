//! `hrnet eval`: a model measured on labelled images.

use crate::cli::{Eval, Protocol};
use crate::face::measure;
use crate::model::LoadedModel;
use crate::outcome::{Failure, Outcome};
use crate::say;
use crate::task::TopDown;
use crate::timing::TimeSplit;
use anyhow::{Context, Result};
use hrnet_data::draw::{Style, contact_sheet, draw_landmarks};
use hrnet_data::geometry::{Crop, warp_bilinear_u8};
use hrnet_data::image::{Image, encode_png};
use hrnet_data::loader::{ImageOptions, LandmarkSet, SetOptions};
use hrnet_data::metric::nme::{MeanShape, Nme, NmeReport, Normaliser};
use hrnet_kernels::Pool;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// Faces on the picture of the worst, per row and in all.
const WORST_COLUMNS: usize = 5;
const WORST: usize = 20;
/// Side of a face on it.
const WORST_CELL: usize = 256;

pub(super) fn run(args: &Eval) -> Outcome {
    face(args)
}

fn face(args: &Eval) -> Outcome {
    let loaded = LoadedModel::for_task(args.model.as_deref(), args.task.map(Into::into))?;
    let padding = loaded.recipe.padding;
    let pool = Arc::new(Pool::new(args.compute.threads()));
    let mut model = TopDown::new(loaded.weights, loaded.recipe, pool)?;
    let set = open(&args.data, args.images.as_deref(), padding)?;
    let points = model.schema().names.len();
    if set.points() != points {
        let (table, found) = (args.data.display(), set.points());
        return Err(Failure::Runtime(anyhow::anyhow!("{table}: {found} points, the model has {points}")));
    }
    let normaliser = Normaliser::published(points).unwrap_or(Normaliser::Diagonal);
    let how = args.find();
    let mut predictions = Vec::with_capacity(set.len());
    let (nme, time) =
        measure(&mut model, &set, normaliser, &how, |_, _, points| predictions.push(points.to_vec()))?;
    let report = nme.compute().with_context(|| format!("{}: no faces", args.data.display()))?;
    let baseline = match &args.mean_shape {
        Some(table) => Some(mean_shape_error(table, args.images.as_deref(), padding, &set, normaliser)?),
        None => None,
    };
    if let Some(path) = &args.worst {
        let sheet = worst_sheet(&model, &set, &nme, &predictions)?;
        crate::io::write_atomic(path, &encode_png(&sheet)?)?;
    }
    if args.json {
        say!("{}", to_json(args, &report, &time, baseline));
    } else {
        print_report(args, &report, &time, baseline);
    }
    Ok(())
}

fn open(table: &Path, images: Option<&Path>, padding: f64) -> Result<LandmarkSet> {
    let images = crate::train::image_folder(images, table);
    Ok(LandmarkSet::open(
        table,
        &images,
        SetOptions {
            padding,
            images: ImageOptions { memory_budget: 0, ..Default::default() },
            ..SetOptions::default()
        },
    )?)
}

/// The error of predicting the mean of the training shapes everywhere.
fn mean_shape_error(
    table: &Path,
    images: Option<&Path>,
    padding: f64,
    set: &LandmarkSet,
    normaliser: Normaliser,
) -> Result<f64> {
    let train = open(table, images, padding)?;
    let shape = MeanShape::fit(train.samples().iter().map(|s| (s.centre, s.scale, s.points.as_slice())));
    let shape = shape.with_context(|| format!("{}: no faces", table.display()))?;
    let mut nme = Nme::new(normaliser);
    for s in set.samples() {
        nme.update(&shape.place(s.centre, s.scale), &s.points, s.box_size)?;
    }
    nme.mean().context("no faces")
}

/// The faces with the largest errors, each with the labels in grey under the predictions.
fn worst_sheet(
    model: &TopDown,
    set: &LandmarkSet,
    nme: &Nme,
    predictions: &[Vec<[f64; 2]>],
) -> Result<Image> {
    let mut cells = Vec::new();
    for index in nme.worst(WORST) {
        let image = set.image(index)?;
        let sample = &set.samples()[index];
        let map = Crop::face(sample.centre, sample.scale, 1.5).to_affine(WORST_CELL, WORST_CELL);
        let mut cell = warp_bilinear_u8(&image, &map, WORST_CELL, WORST_CELL);
        let moved = |points: &[[f64; 2]]| points.iter().map(|&p| map.apply(p)).collect::<Vec<_>>();
        let labels = Style { colour: Some([150; 3]), radius: Some(1.6), ..Style::default() };
        draw_landmarks(&mut cell, &moved(&sample.points), None, model.schema().point_set(), &labels);
        let found = Style { radius: Some(1.6), ..Style::default() };
        draw_landmarks(&mut cell, &moved(&predictions[index]), None, model.schema().point_set(), &found);
        cells.push(cell);
    }
    contact_sheet(&cells, WORST_COLUMNS, WORST_CELL).context("no faces to show")
}

fn to_json(args: &Eval, report: &NmeReport, time: &TimeSplit, baseline: Option<f64>) -> serde_json::Value {
    let time: serde_json::Map<String, serde_json::Value> =
        time.parts().iter().map(|&(k, v)| (format!("{k}_seconds"), json!(v.as_secs_f64()))).collect();
    json!({
        "task": "face",
        "data": args.data,
        "model": args.model.as_ref().map_or_else(|| "built-in".into(), |m| m.display().to_string()),
        "images": report.images,
        "nme_percent": 100.0 * report.nme,
        "nme_median_percent": 100.0 * report.median,
        "normaliser": report.normaliser.to_string(),
        "failure_rate": report.failure_rate_08,
        "failure_rate_08": report.failure_rate_08,
        "failure_rate_10": report.failure_rate_10,
        "auc": report.auc_08,
        "auc_08": report.auc_08,
        "auc_10": report.auc_10,
        "mean_shape_nme_percent": baseline.map(|b| 100.0 * b),
        "boxes": "labelled centre and scale",
        "flip": args.flip,
        "protocol": if args.protocol == Protocol::Official { "official" } else { "default" },
        "time": time,
    })
}

fn print_report(args: &Eval, report: &NmeReport, time: &TimeSplit, baseline: Option<f64>) {
    say!("{} faces of {}, boxes from the labels", report.images, args.data.display());
    say!("NME           {:.3} %  (divided by the {})", 100.0 * report.nme, report.normaliser);
    say!("median        {:.3} %", 100.0 * report.median);
    say!(
        "failure rate  {:.2} % above 8 %, {:.2} % above 10 %",
        100.0 * report.failure_rate_08,
        100.0 * report.failure_rate_10
    );
    say!("AUC           {:.4} up to 8 %, {:.4} up to 10 %", report.auc_08, report.auc_10);
    if let Some(baseline) = baseline {
        let ratio = baseline / report.nme;
        say!("mean shape    {:.3} %  ({ratio:.1} times the model's error)", 100.0 * baseline);
    }
    let split: Vec<String> =
        time.parts().iter().map(|(k, v)| format!("{k} {:.2} s", v.as_secs_f64())).collect();
    say!("time          {}", split.join(", "));
}
