//! Pose: COCO key points, a V1 network, PCK and AP on the labelled boxes.

use crate::config::{AugmentSection, LossSection, PointMetric, TrainConfig};
use crate::error::{Context, Result, bail};
use crate::measure::Measured;
use crate::result::{Instance, Point};
use crate::stop::Stop;
use crate::tasks::face::train::map_form;
use crate::tasks::pose::measure::correct::Length;
use crate::tasks::pose::measure::{MeasureOptions, Metric, box_of, measure, official_score, sigmas};
use crate::tasks::{Place, PointOptions, TopDown};
use crate::train::export::recipe;
use crate::train::job::{Job, Judge, Judged, facts_of, image_options, page, short_name, worst_of};
use crate::train::source::{Source, heatmaps};
use hrnet_data::augment::LandmarkAugment;
use hrnet_data::dataset::model::{Category, PoseSample, PoseSet};
use hrnet_data::dataset::open::Content;
use hrnet_data::dataset::table::Table;
use hrnet_data::draw::{Person, PoseStyle, Schema, Tile, draw_people};
use hrnet_data::loader::{BatchPlan, PoseSpec, Poses, Samples, pose_window};
use hrnet_formats::Recipe;
use hrnet_image::Image;
use hrnet_image::warp::warp_bilinear_u8;
use hrnet_ir::{Model, Weights};
use hrnet_kernels::Pool;
use serde_json::{Map, json};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// Side of a picture on the page of the worst persons.
const TILE: usize = 256;

pub(crate) fn open(config: &TrainConfig, pool: Arc<Pool>) -> Result<Job> {
    let (AugmentSection::Points(augment), LossSection::Maps(loss)) = (&config.augment, &config.train.loss)
    else {
        bail!("the configuration of persons has augment and loss of another task");
    };
    let mut set =
        crate::train::open_to_train(&config.data.train, &[Content::Points], config.data.images.as_deref())?
            .into_points()?;
    say_notes(&set);
    if let Some(list) = &config.data.leave_out {
        leave_out(&mut set, list)?;
    }
    let category = set.common_category()?.clone();
    let model = config.model(category.points.len())?;
    let spec = PoseSpec {
        form: map_form(config, &model)?,
        padding: config.input.padding,
        convention: crate::tasks::points::convention_of(
            hrnet_ir::Task::Pose,
            crate::train::export::decoder(config),
        ),
        combined: loss.is_combined(),
        joint_weights: config.target.joint_weights.clone(),
    };
    let maker = Poses::open(set, image_options(config), augment.clone(), spec.clone())?;
    let (size, maps) = (config.input.size, [spec.form.heatmap.0, spec.form.heatmap.1]);
    let plan = BatchPlan::training(config.train.batch, config.seed);
    let source = Source::new(Arc::new(maker), plan, config.train.epochs, move |samples, _| {
        heatmaps(&samples, size, maps)
    })?;
    let judge = match &config.data.val {
        Some(val) => {
            Some(Box::new(PoseJudge::open(config, val, &model, &category, spec, pool)?) as Box<dyn Judge>)
        }
        None => None,
    };
    let facts = facts_of(&category);
    Ok(Job { model, facts, source, loss: loss.loss().into(), judge })
}

/// What a reader found odd.
pub(crate) fn say_notes(set: &PoseSet) {
    set.notes.iter().take(5).for_each(|note| log::info!("{}: {note}", set.path.display()));
}

/// Drops the persons of the images that a CSV names in its column `image_id`.
pub(crate) fn leave_out(set: &mut PoseSet, list: &Path) -> Result<()> {
    let shown = list.display();
    let bytes = crate::io::read(list)?;
    let mut table = Table::new(&bytes, list, true)?;
    let column = table.find(&["image_id"]);
    let column = column.with_context(|| format!("{shown}: the header has no column image_id"))?;
    let mut ids = HashSet::new();
    while let Some(row) = table.next_row()? {
        let field = row.field(column);
        let id: i64 = field
            .parse()
            .ok()
            .with_context(|| format!("{shown}, line {}: '{field}' is no image id", row.line))?;
        ids.insert(id);
    }
    let before = set.samples.len();
    let images: Vec<i64> = set.images.iter().map(|i| i.id).collect();
    set.samples.retain(|s| images.get(s.image).is_none_or(|id| !ids.contains(id)));
    log::info!("{} of {before} persons left out by {shown}", before - set.samples.len());
    Ok(())
}

/// Judges by persons in their labelled boxes, by the code of `hrnet eval`.
struct PoseJudge {
    set: Poses,
    recipe: Recipe,
    /// The deciding one.
    metric: PointMetric,
    /// What PCK divides by, where the configuration says it.
    length: Option<Length>,
    pool: Arc<Pool>,
    /// Points of the last measurement.
    last: Vec<Vec<Point>>,
}

impl PoseJudge {
    fn open(
        config: &TrainConfig,
        val: &Path,
        model: &Model,
        trained: &Category,
        spec: PoseSpec,
        pool: Arc<Pool>,
    ) -> Result<Self> {
        let images = config.data.val_images.as_deref().or(config.data.images.as_deref());
        let mut set = crate::train::open_to_judge(val, &[Content::Points], images)?.into_points()?;
        say_notes(&set);
        let category = set.common_category()?.clone();
        if category.points != trained.points {
            bail!("{}: its points have other names than those of the training set", val.display());
        }
        if let Some(bad) = config.data.torso.iter().flatten().find(|&&p| p >= category.points.len()) {
            bail!("data.torso names point {bad}; there are {} points", category.points.len());
        }
        let length = config.data.torso.map(|first| Length::Torso { first, second: None });
        let is_coco = category.points.len() == 17 && category.points[0] == "nose";
        let by_box = length.unwrap_or_else(|| Length::of(&category)) == Length::Box;
        let metric = config.data.metric.unwrap_or(match is_coco || by_box {
            true => PointMetric::Ap,
            false => PointMetric::Pck,
        });
        if sigmas::of(&category).is_err() {
            // The middle of COCO's, for points that nobody has measured.
            set.categories.iter_mut().for_each(|c| c.sigmas = Some(vec![0.075; category.points.len()]));
        }
        let recipe = recipe(config, model, &facts_of(trained), None);
        let set = Poses::open(set, image_options(config), LandmarkAugment::none(), spec)?;
        Ok(Self { set, recipe, metric, length, pool, last: Vec::new() })
    }

    /// Every person with its index.
    fn predict(&self, weights: &Weights, stop: &Stop) -> Result<Vec<Instance>> {
        let mut model = TopDown::new(weights.clone(), self.recipe.clone(), self.pool.clone())?;
        let mut all = Vec::with_capacity(self.set.len());
        let indices: Vec<usize> = (0..self.set.len()).collect();
        for chunk in indices.chunks(model.batch()) {
            stop.check()?;
            let images = chunk.iter().map(|&i| self.set.image(i)).collect::<Result<Vec<_>, _>>()?;
            let place = |i: usize| {
                let (person, bbox) = self.set.person(i);
                Place::of_box(box_of(person).unwrap_or(bbox))
            };
            let places: Vec<(&Image, Place)> =
                images.iter().zip(chunk).map(|(image, &i)| (&**image, place(i))).collect();
            all.extend(model.predict_each(&places, &PointOptions::default(), false)?.instances);
        }
        Ok(all)
    }

    /// The figures of a metric.
    fn figures(&self, found: &[Instance], metric: Metric) -> Result<Measured> {
        let mut by_image: BTreeMap<usize, Vec<Instance>> = BTreeMap::new();
        for (i, instance) in found.iter().enumerate() {
            let score = official_score(1.0, &instance.points);
            let instance = Instance { score, ..instance.clone() };
            by_image.entry(self.set.person(i).0.image).or_default().push(instance);
        }
        let how = MeasureOptions {
            metric: Some(metric),
            length: self.length,
            worst: 0,
            ..MeasureOptions::default()
        };
        measure(self.set.set(), by_image, &how)
    }
}

/// Points and whether they are labelled.
fn truth_of(person: &PoseSample) -> (Vec<[f64; 2]>, Vec<bool>) {
    person.points.iter().map(|p| (p.at, p.visibility.labelled())).unzip()
}

impl Judge for PoseJudge {
    fn key(&self) -> &'static str {
        match self.metric {
            PointMetric::Pck => "pck_percent",
            PointMetric::Ap => "ap_percent",
        }
    }

    fn title(&self) -> &'static str {
        match self.metric {
            PointMetric::Pck => "PCK@0.2",
            PointMetric::Ap => "AP",
        }
    }

    fn metric(&self) -> String {
        let length = self.length.unwrap_or_else(|| Length::of(self.set.category()));
        match self.metric {
            PointMetric::Pck => format!("PCK@0.2 percent ({}), labelled boxes", length.words()),
            PointMetric::Ap => "AP percent, labelled boxes".into(),
        }
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn measure(&mut self, weights: &Weights, stop: &Stop) -> Result<Judged> {
        let found = self.predict(weights, stop)?;
        let (pck, ap) = (self.figures(&found, Metric::Pck)?, self.figures(&found, Metric::Ap)?);
        let percent = |v: Option<f64>| v.map(|v| 100.0 * v);
        let value = match self.metric {
            PointMetric::Pck => pck.value("pck"),
            PointMetric::Ap => ap.value("ap"),
        };
        let value = value.context("the validation set has nothing to measure")?;
        let mut figures = Map::new();
        figures.insert("pck_percent".into(), json!(percent(pck.value("pck"))));
        figures.insert("pck_pooled_percent".into(), json!(percent(pck.value("pck_all_points"))));
        figures.insert("ap_percent".into(), json!(percent(ap.value("ap"))));
        let rows = pck.tables.iter().find(|t| t.key == "points").map_or(&[][..], |t| &t.rows);
        let joints: Vec<Option<f64>> =
            rows.iter().map(|(_, v)| percent(v.first().copied().flatten())).collect();
        figures.insert("pck_joints_percent".into(), json!(joints));
        self.last = found.into_iter().map(|f| f.points).collect();
        Ok(Judged { percent: 100.0 * value, figures })
    }

    fn worst(&mut self, title: &str) -> Result<Option<Image>> {
        let errors: Vec<f64> = self.last.iter().enumerate().map(|(i, found)| self.error(i, found)).collect();
        let schema = Schema::of_category(self.set.category());
        let style = PoseStyle { threshold: 0.0, labels: false, boxes: false, ..PoseStyle::default() };
        let mut tiles = Vec::new();
        for i in worst_of(&errors) {
            let (person, bbox) = self.set.person(i);
            let window = pose_window(bbox, [1, 1], self.set.spec().padding);
            let map = window.to_affine(TILE, TILE);
            let mut image = warp_bilinear_u8(&*self.set.image(i)?, &map, TILE, TILE);
            let (truth, labelled) = truth_of(person);
            let truth: Vec<[f64; 2]> = truth
                .iter()
                .zip(&labelled)
                .map(|(p, l)| if *l { map.apply(*p) } else { [f64::NAN; 2] })
                .collect();
            let found: Vec<[f64; 2]> = self.last[i].iter().map(|p| map.apply(p.at)).collect();
            let plain = PoseStyle { colour: Some([255; 3]), opacity: 0.6, ..style };
            let drawn = |points| Person { points, scores: None, bbox: None, label: None, id: None };
            draw_people(&mut image, &schema, &[drawn(&truth)], &plain);
            draw_people(&mut image, &schema, &[drawn(&found)], &style);
            let caption = format!("{}\nerror {:.2} of the box", short_name(self.set.file(i)), errors[i]);
            tiles.push(Tile { image, caption });
        }
        Ok(page(&tiles, [TILE, TILE], title))
    }
}

impl PoseJudge {
    /// Mean error of a person over the longer side of the box.
    fn error(&self, index: usize, found: &[Point]) -> f64 {
        let (person, bbox) = self.set.person(index);
        let (truth, labelled) = truth_of(person);
        let errors: Vec<f64> = found
            .iter()
            .zip(truth.iter().zip(&labelled))
            .filter(|(_, (_, l))| **l)
            .map(|(p, (t, _))| (p.at[0] - t[0]).hypot(p.at[1] - t[1]) / bbox[2].max(bbox[3]))
            .collect();
        errors.iter().sum::<f64>() / errors.len().max(1) as f64
    }
}
