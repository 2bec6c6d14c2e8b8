//! Poses: their options, and `eval` of boxes, of whole images, of a results file.

use super::Row;
use crate::cli::Eval;
use crate::cmd::eval::{Evaluated, bar, flip, protocol};
use clap::Args;
use hrnet::error::{Context, Result, bail};
use hrnet::measure::{Measured, read_labelled};
use hrnet::model::LoadedModel;
use hrnet::result::Instance;
use hrnet::result::{draw_schema, style};
use hrnet::tasks::pose::measure::read::{detections, labels, open};
use hrnet::tasks::pose::measure::{
    BoxSource, MeasureOptions, Metric, PlannedBox, PosePlan, Suppress, measure, measure_file, official_score,
};
use hrnet::tasks::{Prediction, Predictor, Request};
use hrnet::timing::TimeSplit;
use hrnet_data::dataset::model::{PoseSet, ReadOptions};
use hrnet_data::draw::Person;
use hrnet_data::draw::sheet::draw_comparison;
use hrnet_data::geometry::Crop;
use hrnet_image::warp::warp_bilinear_u8;
use hrnet_image::{Image, Limits};
use hrnet_kernels::Pool;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

pub(super) const TASK: Row =
    Row { about: "Points of people or animals in boxes", evaluate: Some(evaluate), doubt: None };

/// Options of `eval`.
#[derive(Debug, Args)]
pub struct PoseLabels {
    /// Poses: ap, crowd-ap, pckh or pck [default: by the set]
    #[arg(long)]
    pub metric: Option<Metric>,
    /// Poses: boxes from a COCO detection file [default: labelled boxes]
    #[arg(long, value_name = "FILE")]
    pub detections: Option<PathBuf>,
    /// Poses: detections below this score are left out
    #[arg(long, value_name = "SCORE", default_value_t = 0.0, requires = "detections")]
    pub box_threshold: f64,
    /// Poses: look at whole images instead of boxes
    #[arg(long, conflicts_with = "detections")]
    pub whole_image: bool,
    /// Poses from detections: drop persons more alike than this [default: 0.9]
    #[arg(long, value_name = "OKS")]
    pub nms: Option<f64>,
    /// Poses from detections: lower the scores of alike persons instead
    #[arg(long)]
    pub soft_nms: bool,
}

/// The published threshold of both suppressions.
const NMS: f64 = 0.9;
/// Side of the picture of a person.
const CELL: usize = 360;

pub(crate) fn of_results(args: &Eval, results: &Path) -> Result<Evaluated> {
    let set = labels(&args.data)?;
    Ok(Evaluated { measured: measure_file(&set, results, &options(args, None))?, worst: Vec::new() })
}

pub(super) fn evaluate(
    args: &Eval,
    loaded: LoadedModel,
    pool: Arc<Pool>,
    pictures: bool,
) -> Result<Evaluated> {
    let set = open(&args.data, args.images.as_deref(), &ReadOptions::default())?;
    let input = loaded.recipe.input_size;
    let mut predictor = Predictor::new(loaded, pool, args.task_options())?;
    let (wanted, labelled) = (predictor.schema().names.len(), set.common_category()?.points.len());
    if wanted != labelled {
        bail!("{}: {labelled} points, the model has {wanted}", args.data.display());
    }
    let found = match &args.labels.pose.detections {
        Some(file) => detections(file)?.entries,
        None => Vec::new(),
    };
    let source =
        match (&args.labels.pose.detections, args.labels.pose.whole_image || !predictor.takes_boxes()) {
            (Some(_), _) => BoxSource::Detections {
                entries: &found,
                least: args.labels.pose.box_threshold,
                category: Some(1),
            },
            (None, true) => BoxSource::WholeImage,
            (None, false) => BoxSource::Annotated,
        };
    let plan = PosePlan::new(&set, source, args.protocol.into());
    if plan.is_empty() {
        bail!("{}: there are no boxes to look in", args.data.display());
    }
    let (instances, time) = predict_set(&mut predictor, &set, &plan)?;
    let mut measured = measure(&set, instances.iter().cloned(), &options(args, Some(input)))?;
    measured.time = time;
    measured.task = predictor.recipe().task;
    let boxes = if predictor.takes_boxes() { plan.source() } else { "none: the model finds people itself" };
    measured.set("box_source", boxes);
    measured.set("flip", flip(args.flip));
    if let Predictor::TopDown(model, _) = &predictor {
        measured.set("decoder", model.decoder(&args.point_options()).to_string());
    }
    measured.set("protocol", protocol(args));
    let worst = if pictures { pictures_of(&measured, &predictor, &set, &instances)? } else { Vec::new() };
    Ok(Evaluated { measured, worst })
}

fn options(args: &Eval, input: Option<(usize, usize)>) -> MeasureOptions {
    let default = MeasureOptions::default();
    let suppress = match (args.labels.pose.nms, args.labels.pose.soft_nms) {
        (threshold, true) => Suppress::Soft(threshold.unwrap_or(NMS)),
        (Some(threshold), false) => Suppress::Oks(threshold),
        // Boxes of a detector overlap; labels do not.
        (None, false) if args.labels.pose.detections.is_some() => Suppress::Oks(NMS),
        (None, false) => Suppress::None,
    };
    MeasureOptions {
        metric: args.labels.pose.metric,
        protocol: args.protocol.into(),
        suppress,
        input: input.map_or(default.input, |(h, w)| [w, h]),
        worst: usize::from(args.worst_count),
        ..default
    }
}

/// Instances by index of the image, for every image that has boxes.
type Instances = Vec<(usize, Vec<Instance>)>;

fn predict_set(predictor: &mut Predictor, set: &PoseSet, plan: &PosePlan) -> Result<(Instances, TimeSplit)> {
    let (mut out, mut time) = (Vec::new(), TimeSplit::default());
    let bar = bar(plan.iter().count())?;
    let mut waiting: Vec<(usize, Image, &[PlannedBox])> = Vec::new();
    let mut images = plan.iter().peekable();
    while let Some((index, planned)) = images.next() {
        let started = Instant::now();
        waiting.push((index, read(set, index)?, planned));
        time.read += started.elapsed();
        let boxes: usize = waiting.iter().map(|w| w.2.len()).sum();
        if boxes >= predictor.batch() || images.peek().is_none() {
            time += group(predictor, &waiting, &mut out)?;
            bar.inc(waiting.len() as u64);
            waiting.clear();
        }
    }
    bar.finish_and_clear();
    Ok((out, time))
}

/// Looks at images together.
fn group(
    predictor: &mut Predictor,
    waiting: &[(usize, Image, &[PlannedBox])],
    out: &mut Instances,
) -> Result<TimeSplit> {
    let takes_boxes = predictor.takes_boxes();
    let boxes: Vec<Vec<[f64; 4]>> = waiting
        .iter()
        .map(|(_, image, planned)| planned.iter().map(|b| b.within(image.width(), image.height())).collect())
        .collect();
    let requests: Vec<Request> =
        waiting.iter().zip(&boxes).map(|((_, image, _), b)| Request { image, boxes: Some(b) }).collect();
    let mut time = TimeSplit::default();
    for ((index, _, planned), Prediction { predicted, time: part, .. }) in
        waiting.iter().zip(predictor.predict(&requests)?)
    {
        time += part;
        let hrnet::result::Predicted::Instances(mut instances) = predicted else {
            bail!("not a model of points")
        };
        if takes_boxes {
            for (instance, planned) in instances.iter_mut().zip(*planned) {
                instance.score = official_score(planned.score, &instance.points);
            }
        }
        out.push((*index, instances));
    }
    Ok(time)
}

/// The worst persons: labels in grey under the points found.
fn pictures_of(
    measured: &Measured,
    predictor: &Predictor,
    set: &PoseSet,
    found: &Instances,
) -> Result<Vec<(Image, String)>> {
    let schema = draw_schema(predictor.schema());
    let style = style(predictor.schema(), false);
    let mut out = Vec::new();
    for worst in &measured.worst {
        let sample = set.samples.get(worst.index).context("a person of the set")?;
        let mut picture = read(set, sample.image)?;
        let label: Vec<[f64; 2]> = sample
            .points
            .iter()
            .map(|p| if p.visibility.labelled() { p.at } else { [f64::NAN; 2] })
            .collect();
        let instances = found.iter().find(|f| f.0 == sample.image).map_or(&[][..], |f| &f.1);
        let split: Vec<(Vec<[f64; 2]>, Vec<f32>)> =
            instances.iter().map(|i| i.points.iter().map(|p| (p.at, p.score)).unzip()).collect();
        let people: Vec<Person> = split
            .iter()
            .map(|(points, scores)| Person { points, scores: Some(scores), ..Person::default() })
            .collect();
        let labelled = Person { points: &label, ..Person::default() };
        draw_comparison(&mut picture, &schema, &[labelled], &people, &style);
        let name = worst.image.file_name().unwrap_or_default().to_string_lossy();
        let value = measured.worst_by.1.show(Some(worst.value));
        out.push((about(&picture, sample), format!("{value}  {name}\n{}", worst.note)));
    }
    Ok(out)
}

/// The part of a picture about a person.
fn about(picture: &Image, sample: &hrnet_data::dataset::model::PoseSample) -> Image {
    let Some([x, y, w, h]) = sample.box_or_extent() else { return picture.clone() };
    let map = Crop::square_about_box([x, y, w.max(16.0), h.max(16.0)], 1.4).to_affine(CELL, CELL);
    warp_bilinear_u8(picture, &map, CELL, CELL)
}

fn read(set: &PoseSet, index: usize) -> Result<Image> {
    let image = &set.images[index];
    read_labelled(&image.file, image.size, &Limits::default())
        .with_context(|| image.file.display().to_string())
}
