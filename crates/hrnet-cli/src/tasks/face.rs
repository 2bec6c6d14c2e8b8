//! Faces: their options, and `eval` on labelled faces, whose boxes come from the labels.

use super::Row;
use crate::cli::{Eval, Predict};
use crate::cmd::eval::{Evaluated, bar, flip, protocol};
use clap::Args;
use hrnet::error::{Context, Result, bail};
use hrnet::measure::{Measured, Unit};
use hrnet::model::LoadedModel;
use hrnet::result::{Predicted, draw_schema};
use hrnet::tasks::face::measure::{FaceOptions, FaceSet};
use hrnet::tasks::{Place, TopDown};
use hrnet::timing::TimeSplit;
use hrnet_data::draw::sheet::draw_comparison;
use hrnet_data::draw::{Person, PoseStyle};
use hrnet_data::geometry::Crop;
use hrnet_image::Image;
use hrnet_image::warp::warp_bilinear_u8;
use hrnet_kernels::Pool;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

pub(super) const TASK: Row =
    Row { about: "Points of faces in boxes", evaluate: Some(evaluate), doubt: Some(doubt) };

/// Options of `eval`.
#[derive(Debug, Args)]
pub struct FaceLabels {
    /// Split of 300W (train, common, challenge, full, test) or 300VW
    #[arg(long)]
    pub split: Option<String>,
}

/// What a face model is compared with in `eval`.
#[derive(Debug, Args)]
pub struct Baseline {
    /// Faces: training set whose mean shape is measured as a baseline
    #[arg(long, value_name = "SET")]
    pub mean_shape: Option<PathBuf>,
}

/// Below this mean score the box was probably not a face (faces in their boxes reach 0.8 to 1).
const UNSURE: f64 = 0.65;

/// A whole picture taken for a face that probably is none.
fn doubt(args: &Predict, predicted: &Predicted) -> Option<&'static str> {
    let Predicted::Instances(instances) = predicted else { return None };
    let unsure = args.refine == 0 && instances.iter().any(|i| i.score < UNSURE);
    unsure.then_some(
        "the whole image was taken as the face and the points are unsure; give the face's place with --box x,y,w,h",
    )
}

/// Side of the picture of a face.
const CELL: usize = 300;

fn evaluate(args: &Eval, loaded: LoadedModel, pool: Arc<Pool>, pictures: bool) -> Result<Evaluated> {
    let mut model = TopDown::new(loaded.weights, loaded.recipe, pool)?;
    let options = FaceOptions {
        images: args.images.as_deref(),
        split: args.labels.face.split.as_deref(),
        protocol: args.protocol.into(),
        ..FaceOptions::default()
    };
    let set = FaceSet::open(&args.data, &options)?;
    let points = model.schema().names.len();
    if set.points() != points {
        bail!("{}: {} points, the model has {points}", args.data.display(), set.points());
    }
    let (found, time) = predict_set(&mut model, &set, args)?;
    let mut measured = set.measure(found.iter().cloned().enumerate(), usize::from(args.worst_count))?;
    measured.time = time;
    measured.set("box_source", "labelled centre and scale");
    measured.set("flip", flip(args.flip));
    measured.set("decoder", model.decoder(&args.point_options()).to_string());
    measured.set("protocol", protocol(args));
    if let Some(train) = &args.baseline.mean_shape {
        let train = FaceSet::open(train, &options)?;
        baseline(&mut measured, set.mean_shape_error(&train)?);
    }
    let worst = if pictures { pictures_of(&measured, &model, &set, &found)? } else { Vec::new() };
    Ok(Evaluated { measured, worst })
}

fn baseline(measured: &mut Measured, error: f64) {
    let nme = measured.value("nme");
    measured.figure("mean_shape_nme", "NME of the mean shape", error, Unit::Share);
    if let Some(nme) = nme.filter(|&v| v > 0.0) {
        measured.figure("mean_shape_ratio", "that many times the model's", error / nme, Unit::Number);
    }
}

/// The points of every face.
fn predict_set(model: &mut TopDown, set: &FaceSet, args: &Eval) -> Result<(Vec<Vec<[f64; 2]>>, TimeSplit)> {
    let (mut found, mut time) = (Vec::with_capacity(set.len()), TimeSplit::default());
    let (how, bar) = (args.point_options(), bar(set.len())?);
    let all: Vec<usize> = (0..set.len()).collect();
    for group in all.chunks(model.batch()) {
        let started = Instant::now();
        let images: Vec<Arc<Image>> = group.iter().map(|&i| set.image(i)).collect::<Result<_>>()?;
        time.read += started.elapsed();
        let place = |i: usize| Place::of_centre(set.samples()[i].centre, set.samples()[i].scale);
        let places: Vec<(&Image, Place)> =
            images.iter().zip(group).map(|(m, &i)| (m.as_ref(), place(i))).collect();
        let predictions = model.predict_each(&places, &how, false)?;
        time += predictions.time;
        found.extend(predictions.instances.iter().map(|i| i.points.iter().map(|p| p.at).collect::<Vec<_>>()));
        bar.inc(group.len() as u64);
    }
    bar.finish_and_clear();
    Ok((found, time))
}

/// The worst faces: labels in grey under the points found.
fn pictures_of(
    measured: &Measured,
    model: &TopDown,
    set: &FaceSet,
    found: &[Vec<[f64; 2]>],
) -> Result<Vec<(Image, String)>> {
    let schema = draw_schema(model.schema());
    let style = PoseStyle { boxes: false, labels: false, radius: Some(2.0), ..PoseStyle::default() };
    let mut out = Vec::new();
    for worst in &measured.worst {
        let image = set.image(worst.index)?;
        let sample = set.samples().get(worst.index).context("a face of the set")?;
        let map = Crop::face(sample.centre, sample.scale, 1.5).to_affine(CELL, CELL);
        let mut cell = warp_bilinear_u8(&image, &map, CELL, CELL);
        let moved = |points: &[[f64; 2]]| points.iter().map(|&p| map.apply(p)).collect::<Vec<_>>();
        let (labels, points) = (moved(&sample.points), moved(&found[worst.index]));
        let person = |points| Person { points, ..Person::default() };
        draw_comparison(&mut cell, &schema, &[person(&labels)], &[person(&points)], &style);
        let name = sample.image.file_name().unwrap_or_default().to_string_lossy();
        out.push((cell, format!("{}  {name}", measured.worst_by.1.show(Some(worst.value)))));
    }
    Ok(out)
}
