//! Faces: a landmark table, a V2 network, NME.

use super::job::{Facts, Job, Judge, Judged, image_options};
use super::source::{Source, heatmaps};
use crate::config::{AugmentSection, LossSection, TrainConfig};
use anyhow::{Result, bail};
use hrnet_data::loader::{BatchPlan, LandmarkSet, Landmarks, SampleSpec, SetOptions};
use hrnet_ir::{Model, Weights};
use hrnet_kernels::Pool;
use hrnet_train::Loss;
use serde_json::{Map, json};
use std::sync::Arc;

pub(super) fn open(config: &TrainConfig, pool: Arc<Pool>) -> Result<Job> {
    let (AugmentSection::Points(augment), LossSection::Maps(loss)) = (&config.augment, &config.train.loss)
    else {
        bail!("the configuration of faces has augment and loss of another task");
    };
    let table = &config.data.train;
    let options =
        SetOptions { padding: config.input.padding, images: image_options(config), ..SetOptions::default() };
    let set = LandmarkSet::open(table, &super::image_folder(config.data.images.as_deref(), table), options)?;
    let model = config.model(set.points())?;
    let spec = map_form(config, &model)?;
    let (size, maps) = (config.input.size, [spec.heatmap.0, spec.heatmap.1]);
    let maker = Landmarks { set: Arc::new(set), augment: augment.clone(), spec };
    let plan = BatchPlan::training(config.train.batch, config.seed);
    let source = Source::new(Arc::new(maker), plan, config.train.epochs, move |samples| {
        heatmaps(&samples, size, maps)
    })?;
    let judge = crate::face::Evaluator::open(config, &model, pool)?;
    let judge = judge.map(|evaluator| Box::new(FaceJudge(evaluator)) as Box<dyn Judge>);
    Ok(Job { model, facts: Facts::default(), source, loss: Loss::HeatmapMse(loss.clone()), judge })
}

/// Sizes of input and heat maps of a network for points.
pub(super) fn map_form(config: &TrainConfig, model: &Model) -> Result<SampleSpec> {
    let net = model.build()?;
    let [h, w] = config.input.size;
    let shapes = net.shapes([config.train.batch, 3, h, w])?;
    let [_, _, map_h, map_w] = shapes[net.outputs()[0].value.index()];
    Ok(SampleSpec {
        input: (h, w),
        heatmap: (map_h, map_w),
        sigma: config.target.sigma,
        mean: config.input.mean,
        std: config.input.std,
    })
}

struct FaceJudge(crate::face::Evaluator);

impl Judge for FaceJudge {
    fn key(&self) -> &'static str {
        "nme_percent"
    }

    fn title(&self) -> &'static str {
        "NME"
    }

    fn metric(&self) -> String {
        "NME percent, outer eye corners".into()
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn measure(&mut self, weights: &Weights) -> Result<Judged> {
        let report = self.0.measure(weights)?;
        let percent = 100.0 * report.nme;
        let figures = [
            ("nme_percent", json!(percent)),
            ("auc_08", json!(report.auc_08)),
            ("failure_rate_08", json!(report.failure_rate_08)),
        ];
        Ok(Judged { percent, figures: Map::from_iter(figures.map(|(k, v)| (k.to_string(), v))) })
    }
}
