//! Faces: a landmark table, a V2 network, NME.

mod evaluate;

use crate::config::{AugmentSection, LossSection, TrainConfig};
use crate::error::{Result, bail};
use crate::stop::Stop;
use crate::train::job::{Facts, Job, Judge, Judged, image_options, page, short_name, worst_of};
use crate::train::source::{Source, heatmaps};
use evaluate::Evaluator;
use hrnet_data::dataset::open::Content;
use hrnet_data::draw::{Style, Tile, draw_landmarks};
use hrnet_data::geometry::Crop;
use hrnet_data::loader::{BatchPlan, LandmarkSet, Landmarks, SampleSpec, SetOptions};
use hrnet_data::sets::PointSet;
use hrnet_image::Image;
use hrnet_image::warp::warp_bilinear_u8;
use hrnet_ir::{Model, Weights};
use hrnet_kernels::Pool;
use serde_json::{Map, json};
use std::sync::Arc;

/// Side of a picture on the page of the worst faces.
const TILE: usize = 256;

pub(crate) fn open(config: &TrainConfig, pool: Arc<Pool>) -> Result<Job> {
    let (AugmentSection::Points(augment), LossSection::Maps(loss)) = (&config.augment, &config.train.loss)
    else {
        bail!("the configuration of faces has augment and loss of another task");
    };
    let table = &config.data.train;
    let options =
        SetOptions { padding: config.input.padding, images: image_options(config), ..SetOptions::default() };
    let set = crate::train::open_to_train(table, &[Content::Points], config.data.images.as_deref())?;
    let set = LandmarkSet::of(set, options)?;
    let model = config.model(set.points())?;
    let spec = map_form(config, &model)?;
    let (size, maps) = (config.input.size, [spec.heatmap.0, spec.heatmap.1]);
    let maker = Landmarks { set: Arc::new(set), augment: augment.clone(), spec };
    let plan = BatchPlan::training(config.train.batch, config.seed);
    let source = Source::new(Arc::new(maker), plan, config.train.epochs, move |samples, _| {
        heatmaps(&samples, size, maps)
    })?;
    let judge = Evaluator::open(config, &model, pool)?;
    let judge = judge.map(|evaluator| Box::new(FaceJudge(evaluator, Vec::new())) as Box<dyn Judge>);
    Ok(Job { model, facts: Facts::default(), source, loss: loss.loss().into(), judge })
}

/// Sizes of input and heat maps of a network for points.
pub(crate) fn map_form(config: &TrainConfig, model: &Model) -> Result<SampleSpec> {
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

/// The evaluator, and the points of the last measurement.
struct FaceJudge(Evaluator, Vec<Vec<[f64; 2]>>);

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

    fn measure(&mut self, weights: &Weights, stop: &Stop) -> Result<Judged> {
        let (report, found) = self.0.measure_with_points(weights, stop)?;
        self.1 = found;
        let percent = 100.0 * report.nme;
        let figures = [
            ("nme_percent", json!(percent)),
            ("auc_08", json!(report.auc_08)),
            ("failure_rate_08", json!(report.failure_rate_08)),
        ];
        Ok(Judged { percent, figures: Map::from_iter(figures.map(|(k, v)| (k.to_string(), v))) })
    }

    fn worst(&mut self, title: &str) -> Result<Option<Image>> {
        let set = self.0.set();
        let error = |i: usize, found: &[[f64; 2]]| {
            let sample = &set.samples()[i];
            let sum: f64 =
                found.iter().zip(&sample.points).map(|(p, t)| (p[0] - t[0]).hypot(p[1] - t[1])).sum();
            sum / found.len() as f64 / (200.0 * sample.scale)
        };
        let errors: Vec<f64> = self.1.iter().enumerate().map(|(i, found)| error(i, found)).collect();
        let mut tiles = Vec::new();
        for i in worst_of(&errors) {
            let map = Crop { rotation_deg: 0.0, ..set.crop(i) }.to_affine(TILE, TILE);
            let mut image = warp_bilinear_u8(&*set.image(i)?, &map, TILE, TILE);
            let at =
                |points: &[[f64; 2]]| -> Vec<[f64; 2]> { points.iter().map(|p| map.apply(*p)).collect() };
            let points = PointSet::guess(set.points());
            let plain = Style { colour: Some([255; 3]), lines: false, ..Style::default() };
            draw_landmarks(&mut image, &at(&set.samples()[i].points), None, points, &plain);
            draw_landmarks(&mut image, &at(&self.1[i]), None, points, &Style::default());
            let caption =
                format!("{}\nerror {:.3} of the face", short_name(&set.samples()[i].image), errors[i]);
            tiles.push(Tile { image, caption });
        }
        Ok(page(&tiles, [TILE, TILE], title))
    }
}
