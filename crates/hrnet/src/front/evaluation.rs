//! A model measured on labelled images, as `hrnet eval` does without options.

use super::Model;
use crate::error::{Context, Result, bail};
use crate::measure::{Measured, read_labelled};
use crate::tasks::classification::measure::{measure_classification, read_classes};
use crate::tasks::face::measure::{FaceOptions, FaceSet};
use crate::tasks::pose::measure as pose;
use crate::tasks::segmentation::measure::{SegmentationMeasure, measure_segmentation, read_masks};
use crate::tasks::{Place, PointOptions, Predictor, Request, TopDown};
use crate::timing::TimeSplit;
use hrnet_data::dataset::model::{PoseSet, ReadOptions};
use hrnet_image::{Image, Limits};
use hrnet_ir::Task;
use std::path::Path;
use std::sync::Arc;

impl Model {
    /// Measures the model on labelled images: AP or PCK for poses, the normalised mean error for faces, mIoU for segmentation, top-1 and
    /// top-5 for classification. `data` is what `hrnet eval --data` takes; images lie where the labels say, or as is usual for their
    /// format. Boxes come from the labels.
    ///
    /// # Errors
    /// When the labels cannot be read, or are not of the model's points or classes. Images that cannot be read are listed in
    /// [`Measured::failed`], where the task can do without them.
    ///
    /// ```no_run
    /// # fn main() -> hrnet::Result<()> {
    /// let measured = hrnet::Model::open("pose14")?.evaluate("annotations/val.json")?;
    /// println!("{}", measured.lines().join("\n"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn evaluate(&mut self, data: impl AsRef<Path>) -> Result<Measured> {
        self.evaluate_in(data, None)
    }

    /// [`Model::evaluate`] with the folder of the images.
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    pub fn evaluate_in(&mut self, data: impl AsRef<Path>, images: Option<&Path>) -> Result<Measured> {
        let (data, task) = (data.as_ref(), self.task());
        match self.predictor_mut() {
            Predictor::TopDown(model, options) if task == Task::Face => {
                faces(model, &options.points, data, images)
            }
            predictor @ (Predictor::TopDown(..) | Predictor::BottomUp(_)) => persons(predictor, data, images),
            Predictor::Segmenter(model) => {
                let set = read_masks(data, images)?;
                let how = SegmentationMeasure::new(None, &model.schema().names, None, WORST)?;
                measure_segmentation(model, &set, &how, |_| ())
            }
            Predictor::Classifier(model) => {
                measure_classification(model, &read_classes(data, images)?, WORST, |_| ())
            }
        }
    }
}

/// Samples that [`Measured::worst`] lists.
const WORST: usize = 20;

fn faces(model: &mut TopDown, how: &PointOptions, data: &Path, images: Option<&Path>) -> Result<Measured> {
    let options = FaceOptions { images, protocol: how.protocol, ..FaceOptions::default() };
    let set = FaceSet::open(data, &options)?;
    let points = model.schema().names.len();
    if set.points() != points {
        bail!(Labels, "{}: {} points, the model has {points}", data.display(), set.points());
    }
    let (mut found, mut time) = (Vec::with_capacity(set.len()), TimeSplit::default());
    let all: Vec<usize> = (0..set.len()).collect();
    for group in all.chunks(model.batch()) {
        let pictures: Vec<Arc<Image>> = group.iter().map(|&i| set.image(i)).collect::<Result<_>>()?;
        let place = |i: usize| Place::of_centre(set.samples()[i].centre, set.samples()[i].scale);
        let places: Vec<(&Image, Place)> =
            pictures.iter().zip(group).map(|(m, &i)| (m.as_ref(), place(i))).collect();
        let predictions = model.predict_each(&places, how, false)?;
        time += predictions.time;
        found.extend(predictions.instances.iter().map(|i| i.points.iter().map(|p| p.at).collect::<Vec<_>>()));
    }
    let mut measured = set.measure(found.into_iter().enumerate(), WORST)?;
    measured.time = time;
    measured.set("box_source", "labelled centre and scale");
    measured.set("decoder", model.decoder(how).to_string());
    Ok(measured)
}

fn persons(predictor: &mut Predictor, data: &Path, images: Option<&Path>) -> Result<Measured> {
    let set: PoseSet = pose::read::open(data, images, &ReadOptions::default())?;
    let (points, labelled) = (predictor.schema().names.len(), set.common_category()?.points.len());
    if points != labelled {
        bail!(Labels, "{}: {labelled} points, the model has {points}", data.display());
    }
    let (boxed, protocol) = match predictor {
        Predictor::TopDown(_, options) => (true, options.points.protocol),
        Predictor::BottomUp(model) => (false, model.options().protocol),
        Predictor::Segmenter(_) | Predictor::Classifier(_) => bail!("this model finds no points"),
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
