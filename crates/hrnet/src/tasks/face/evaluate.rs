//! A model of faces measured on labelled faces, whose boxes come from the labels.

use super::measure::{FaceOptions, FaceSet};
use crate::error::{Result, bail};
use crate::measure::Measured;
use crate::tasks::row::WORST;
use crate::tasks::{Place, PointOptions, Predictor, TopDown};
use crate::timing::TimeSplit;
use hrnet_image::Image;
use std::path::Path;
use std::sync::Arc;

pub(super) fn evaluate(predictor: &mut Predictor, data: &Path, images: Option<&Path>) -> Result<Measured> {
    let Predictor::TopDown(model, options) = predictor else { bail!("this model finds no faces in boxes") };
    faces(model, &options.points, data, images)
}

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
