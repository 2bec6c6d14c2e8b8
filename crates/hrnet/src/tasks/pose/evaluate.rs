//! A model of poses measured on labelled persons: in their boxes, or on whole images where it finds persons itself.

use super::measure as pose;
use crate::error::{Context, Result, bail};
use crate::measure::{Measured, read_labelled};
use crate::tasks::row::WORST;
use crate::tasks::{Predictor, Request};
use crate::timing::TimeSplit;
use hrnet_data::dataset::model::{PoseSet, ReadOptions};
use hrnet_image::Limits;
use std::path::Path;

pub(crate) fn evaluate(predictor: &mut Predictor, data: &Path, images: Option<&Path>) -> Result<Measured> {
    let set: PoseSet = pose::read::open(data, images, &ReadOptions::default())?;
    let (points, labelled) = (predictor.schema().names.len(), set.common_category()?.points.len());
    if points != labelled {
        bail!(Labels, "{}: {labelled} points, the model has {points}", data.display());
    }
    let (boxed, protocol) = if let Predictor::TopDown(_, options) = predictor {
        (true, options.points.protocol)
    } else if let Predictor::BottomUp(model) = predictor {
        (false, model.options().protocol)
    } else {
        bail!("this model finds no points");
    };
    let source = if boxed { pose::BoxSource::Annotated } else { pose::BoxSource::WholeImage };
    let plan = pose::PosePlan::new(&set, source, protocol);
    if plan.is_empty() {
        bail!(Labels, "{}: there are no boxes to look in", data.display());
    }
    let (mut found, mut time) = (Vec::new(), TimeSplit::default());
    for (index, planned) in plan.iter() {
        let labelled = &set.images[index];
        let image = read_labelled(&labelled.file, labelled.size, &Limits::default())
            .with_context(|| labelled.file.display().to_string())?;
        let boxes: Vec<[f64; 4]> = planned.iter().map(|b| b.within(image.width(), image.height())).collect();
        let request = Request { image: &image, boxes: Some(&boxes) };
        let prediction = predictor.predict(&[request])?.pop().context("a result for every image")?;
        time += prediction.time;
        let crate::result::Predicted::Instances(mut instances) = prediction.predicted else {
            bail!("this model finds no points");
        };
        if boxed {
            for (instance, planned) in instances.iter_mut().zip(planned) {
                instance.score = pose::official_score(planned.score, &instance.points);
            }
        }
        found.push((index, instances));
    }
    let (h, w) = predictor.recipe().input_size;
    let how =
        pose::MeasureOptions { protocol, input: [w, h], worst: WORST, ..pose::MeasureOptions::default() };
    let mut measured = pose::measure(&set, found, &how)?;
    measured.time = time;
    measured.task = predictor.recipe().task;
    measured.set("box_source", if boxed { plan.source() } else { "none: the model finds people itself" });
    Ok(measured)
}
