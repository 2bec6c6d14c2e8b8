//! Models that look at whole images: segmentation and classification.

use super::{Evaluated, bar, flip, protocol};
use crate::cli::Eval;
use hrnet::error::Result;
use hrnet::measure::{Measured, Setting, read_labelled};
use hrnet::model::LoadedModel;
use hrnet::tasks::classification::measure::{measure_classification, read_classes};
use hrnet::tasks::segmentation::measure::{SegmentationMeasure, measure_segmentation, read_masks};
use hrnet::tasks::{Classifier, Predictor, Request, Segmenter};
use hrnet_formats::Task;
use hrnet_image::{Image, Limits};
use hrnet_kernels::Pool;
use std::sync::Arc;

pub(super) fn run(args: &Eval, loaded: LoadedModel, pool: Arc<Pool>, pictures: bool) -> Result<Evaluated> {
    let options = args.task_options();
    let worst = usize::from(args.worst_count);
    let (mut measured, mut predictor) = if loaded.recipe.task == Task::Segmentation {
        let set = read_masks(&args.data, args.images.as_deref())?;
        let mut model = Segmenter::new(loaded.weights, loaded.recipe, pool, options.segment)?;
        let names = &model.schema().names;
        let how = SegmentationMeasure::new(args.label_map.as_deref(), names, args.ignore, worst)?;
        let bar = bar(set.samples.len())?;
        let measured = measure_segmentation(&mut model, &set, &how, |_| bar.inc(1))?;
        bar.finish_and_clear();
        (measured, Predictor::Segmenter(Box::new(model)))
    } else {
        let set = read_classes(&args.data, args.images.as_deref())?;
        let mut model = Classifier::new(loaded.weights, loaded.recipe, pool, options.classify)?;
        let bar = bar(set.samples.len())?;
        let measured = measure_classification(&mut model, &set, worst, |_| bar.inc(1))?;
        bar.finish_and_clear();
        (measured, Predictor::Classifier(Box::new(model)))
    };
    for (key, value) in [("flip", flip(args.flip).to_string()), ("protocol", protocol(args))] {
        if !measured.settings.iter().any(|s| s.key == key) {
            measured.settings.push(Setting { key, value });
        }
    }
    let worst = if pictures { pictures_of(&measured, &mut predictor)? } else { Vec::new() };
    Ok(Evaluated { measured, worst })
}

/// The worst images with what was found in them.
fn pictures_of(measured: &Measured, predictor: &mut Predictor) -> Result<Vec<(Image, String)>> {
    let mut out = Vec::new();
    for worst in &measured.worst {
        let image = read_labelled(&worst.image, None, &Limits::default())?;
        let predicted =
            predictor.predict(&[Request { image: &image, boxes: None }])?.swap_remove(0).predicted;
        let picture = match predicted.is_seen() {
            true => predicted.overlay(&image, predictor.schema(), true),
            false => image,
        };
        let name = worst.image.file_name().unwrap_or_default().to_string_lossy();
        let value = measured.worst_by.1.show(Some(worst.value));
        out.push((picture, format!("{value}  {name}\n{}", worst.note)));
    }
    Ok(out)
}
