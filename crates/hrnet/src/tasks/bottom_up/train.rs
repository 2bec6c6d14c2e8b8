//! Bottom-up pose: COCO key points with all persons of a picture, HigherHRNet, judged as `hrnet eval` judges.

use crate::config::{AugmentSection, LossSection, TrainConfig};
use crate::error::{Context, Result, bail};
use crate::measure::{Measured, Unit};
use crate::result::Instance;
use crate::stop::Stop;
use crate::tasks::bottom_up::{BottomUp as Finder, Options};
use crate::tasks::pose::measure::{MeasureOptions, Metric, measure};
use crate::tasks::pose::train::{leave_out, say_notes};
use crate::train::export::recipe;
use crate::train::job::{Job, Judge, Judged, facts_of, image_options, page, short_name};
use crate::train::source::{Source, stack};
use hrnet_data::augment::BottomUpAugment;
use hrnet_data::dataset::model::PoseSet;
use hrnet_data::dataset::open::{Content, OpenOptions, Purpose, open as open_labels};
use hrnet_data::draw::{Person, PoseStyle, Schema, Tile, draw_people};
use hrnet_data::geometry::Crop;
use hrnet_data::loader::{BatchPlan, Images, People, PeopleSample, SampleSpec};
use hrnet_formats::Recipe;
use hrnet_image::Image;
use hrnet_image::warp::warp_bilinear_u8;
use hrnet_ir::{Tensor, Weights};
use hrnet_kernels::Pool;
use hrnet_train::loss::{PeopleTarget, TaggedJoint};
use hrnet_train::{Batch, BoxError, Loss, Objective, Target};
use serde_json::{Map, json};
use std::path::Path;
use std::sync::Arc;

/// Longer side of a picture on the page of the worst ones.
const TILE: usize = 320;

pub(crate) fn open(config: &TrainConfig, pool: Arc<Pool>) -> Result<Job> {
    let (AugmentSection::BottomUp(augment), LossSection::People(loss)) =
        (&config.augment, &config.train.loss)
    else {
        bail!("the configuration of bottom-up pose has augment and loss of another task");
    };
    let mut set = read(&config.data.train, Purpose::Train, config.data.images.as_deref())?;
    if let Some(list) = &config.data.leave_out {
        leave_out(&mut set, list)?;
    }
    let category = set.common_category()?.clone();
    let model = config.model(category.points.len())?;
    let (size, sigma) = (config.input.size, config.target.sigma);
    let spec = SampleSpec {
        input: (size[0], size[1]),
        heatmap: (size[0] / 4, size[1] / 4),
        sigma,
        mean: config.input.mean,
        std: config.input.std,
    };
    let maker = People::open(set, image_options(config), augment.clone(), spec)?;
    let plan = BatchPlan::training(config.train.batch, config.seed);
    let joints = category.points.len();
    let source = Source::new(Arc::new(maker), plan, config.train.epochs, move |samples, _| {
        collate(&samples, size, joints)
    })?;
    let weights = match config.train.loss_weights[..] {
        [low, high] => [low, high],
        _ => [1.0; 2],
    };
    let loss = Objective::weighted(weights.map(|w| (w, Loss::BottomUp(*loss))));
    let facts = facts_of(&category);
    let judge = match &config.data.val {
        None => None,
        Some(val) => {
            let images = config.data.val_images.as_deref().or(config.data.images.as_deref());
            let set = read(val, Purpose::Measure, images)?;
            if set.common_category()?.points != category.points {
                bail!("{}: its points have other names than those of the training set", val.display());
            }
            let recipe = recipe(config, &model, &facts, None);
            Some(Box::new(PeopleJudge::new(config, set, recipe, pool)?) as Box<dyn Judge>)
        }
    };
    Ok(Job { model, facts, source, loss, judge })
}

/// With outlines: they say where persons without labels are.
fn read(file: &Path, purpose: Purpose, images: Option<&Path>) -> Result<PoseSet> {
    let how = OpenOptions { segmentation: true, ..OpenOptions::wanting(purpose, &[Content::Points], images) };
    let set = open_labels(file, &how)?.into_points()?;
    say_notes(&set);
    Ok(set)
}

fn collate(samples: &[PeopleSample], size: [usize; 2], joints: usize) -> Result<Batch, BoxError> {
    let input = stack(samples.iter().map(|s| &s.input[..]), size)?;
    let n = samples.len();
    let people = |sample: &PeopleSample| -> Vec<Vec<TaggedJoint>> {
        let joint = |&(joint, x, y): &(usize, usize, usize)| TaggedJoint { joint, x, y };
        sample.people.iter().map(|person| person.iter().map(joint).collect()).collect()
    };
    let target = |output: usize| -> Result<Target, BoxError> {
        let [h, w] = samples.first().map_or([0, 0], |s| s.outputs[output].size);
        let maps = samples.iter().flat_map(|s| s.outputs[output].maps.iter().copied()).collect();
        let mask = samples.iter().flat_map(|s| s.outputs[output].mask.iter().copied()).collect();
        Ok(Target::People(PeopleTarget {
            maps: Tensor::new([n, joints, h, w], maps)?,
            mask: Some(Tensor::new([n, h, w], mask)?),
            people: samples.iter().map(people).collect(),
        }))
    };
    Ok(Batch { input, target: Target::Each(vec![target(0)?, target(1)?]) })
}

/// Judges whole pictures, without a flip test.
struct PeopleJudge {
    set: PoseSet,
    /// Picture of the set of each measured one, and their images.
    chosen: Vec<usize>,
    images: Images,
    recipe: Recipe,
    metric: Metric,
    pool: Arc<Pool>,
    /// The last measurement.
    last: Option<(Measured, Vec<Vec<Instance>>)>,
}

impl PeopleJudge {
    fn new(config: &TrainConfig, set: PoseSet, recipe: Recipe, pool: Arc<Pool>) -> Result<Self> {
        // The same pictures as those that are learned from: without labels there is nothing to measure.
        let spec = SampleSpec::square(64, 16, config.target.sigma);
        let usable = People::open(set, image_options(config), BottomUpAugment::none(), spec)?;
        let (set, chosen, images) = usable.into_parts();
        let metric = Metric::of(&set);
        Ok(Self { set, chosen, images, recipe, metric, pool, last: None })
    }

    fn is_ap(&self) -> bool {
        matches!(self.metric, Metric::Ap | Metric::CrowdAp)
    }
}

impl Judge for PeopleJudge {
    fn key(&self) -> &'static str {
        if self.is_ap() { "ap_percent" } else { "pck_percent" }
    }

    fn title(&self) -> &'static str {
        if self.is_ap() { "AP" } else { "PCK" }
    }

    fn metric(&self) -> String {
        format!("{} percent, whole pictures", self.title())
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn measure(&mut self, weights: &Weights, stop: &Stop) -> Result<Judged> {
        let options = Options { flip: false, ..Options::default() };
        let mut finder = Finder::new(weights.clone(), self.recipe.clone(), self.pool.clone(), options)?;
        let mut found = Vec::with_capacity(self.chosen.len());
        for (i, &image) in self.chosen.iter().enumerate() {
            stop.check()?;
            found.push((image, finder.predict(&*self.images.get(i)?)?.people));
        }
        let how = MeasureOptions { metric: Some(self.metric), ..MeasureOptions::default() };
        let measured = measure(&self.set, found.iter().cloned(), &how)?;
        let first = measured.figures.first().and_then(|f| f.value);
        let value = first.context("the validation set has nothing to measure")?;
        let mut figures = Map::new();
        figures.insert(self.key().into(), json!(100.0 * value));
        for f in measured.figures.iter().skip(1).filter(|f| f.unit == Unit::Share) {
            figures.insert(format!("{}_percent", f.key), json!(f.value.map(|v| 100.0 * v)));
        }
        let persons: usize = found.iter().map(|f| f.1.len()).sum();
        figures.insert("persons_found".into(), json!(persons));
        self.last = Some((measured, found.into_iter().map(|f| f.1).collect()));
        Ok(Judged { percent: 100.0 * value, figures })
    }

    fn worst(&mut self, title: &str) -> Result<Option<Image>> {
        let Some((measured, found)) = &self.last else { return Ok(None) };
        let schema = Schema::of_category(self.set.common_category()?);
        let style = PoseStyle { threshold: 0.0, labels: false, boxes: false, ..PoseStyle::default() };
        let mut tiles: Vec<Tile> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for worst in &measured.worst {
            let at = self.chosen.iter().position(|&i| self.set.images[i].file == worst.image);
            let Some(at) = at.filter(|at| seen.insert(*at)) else { continue };
            let image = self.images.get(at)?;
            let (w, h) = (image.width() as f64, image.height() as f64);
            let scale = TILE as f64 / w.max(h);
            let [out_w, out_h] = [w, h].map(|v| ((v * scale) as usize).max(1));
            let map = Crop::new([(w - 1.0) / 2.0, (h - 1.0) / 2.0], w, h).to_affine(out_w, out_h);
            let mut picture = warp_bilinear_u8(&image, &map, out_w, out_h);
            for person in &found[at] {
                let points: Vec<[f64; 2]> = person
                    .points
                    .iter()
                    .map(|p| if p.score > 0.0 { map.apply(p.at) } else { [f64::NAN; 2] })
                    .collect();
                let drawn = Person { points: &points, scores: None, bbox: None, label: None, id: None };
                draw_people(&mut picture, &schema, &[drawn], &style);
            }
            let caption = format!("{}\n{} found", short_name(&worst.image), found[at].len());
            tiles.push(Tile { image: picture, caption });
            if tiles.len() == 12 {
                break;
            }
        }
        Ok(page(&tiles, [TILE, TILE], title))
    }
}
