//! Pose: COCO key points, a V1 network, PCK and AP on the labelled boxes.

use super::face::map_form;
use super::job::{Job, Judge, Judged, facts_of, image_options, page, short_name, worst_of};
use super::source::{Source, heatmaps};
use crate::config::{AugmentSection, LossSection, PointMetric, TrainConfig};
use crate::measure::pose::correct::{Length, length_of};
use crate::runner::Runner;
use anyhow::{Context, Result, bail};
use hrnet_data::augment::LandmarkAugment;
use hrnet_data::codec::heatmap::{self, Decoder};
use hrnet_data::codec::udp;
use hrnet_data::dataset::coco::{self, CocoOptions};
use hrnet_data::dataset::model::{Category, PoseSample, PoseSet};
use hrnet_data::draw::{Person, PoseStyle, Schema, Tile, draw_people};
use hrnet_data::geometry::warp_bilinear_u8;
use hrnet_data::image::Image;
use hrnet_data::loader::{BatchPlan, PoseSpec, Poses, Samples, pose_window};
use hrnet_data::metric::Protocol;
use hrnet_data::metric::coco::{Ap, Detection, Params, Truth};
use hrnet_data::metric::pck::{Pck, PckReport};
use hrnet_ir::{Model, Net, Tensor, Weights};
use hrnet_kernels::Pool;
use serde_json::{Map, json};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Persons per run of the network while judging.
const BATCH: usize = 20;
/// Side of a picture on the page of the worst persons.
const TILE: usize = 256;
/// UDP's published kernel.
const UDP_KERNEL: usize = 11;
/// A point is right within this share of the person's length.
const PCK_THRESHOLD: f64 = 0.2;

pub(super) fn open(config: &TrainConfig, pool: Arc<Pool>) -> Result<Job> {
    let (AugmentSection::Points(augment), LossSection::Maps(loss)) = (&config.augment, &config.train.loss)
    else {
        bail!("the configuration of persons has augment and loss of another task");
    };
    let mut set = read(&config.data.train, config.data.images.as_deref())?;
    if let Some(list) = &config.data.leave_out {
        leave_out(&mut set, list)?;
    }
    let category = set.common_category()?.clone();
    let model = config.model(category.points.len())?;
    let spec = PoseSpec {
        form: map_form(config, &model)?,
        padding: config.input.padding,
        udp: config.target.udp,
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

fn read(file: &Path, images: Option<&Path>) -> Result<PoseSet> {
    let set = coco::read(file, &image_root(file, images), &CocoOptions::default())?;
    set.notes.iter().take(5).for_each(|note| crate::remark!("{}: {note}", file.display()));
    Ok(set)
}

/// The images of an annotation file: the named folder, `images` beside the file or beside its folder, the file's folder.
pub(super) fn image_root(file: &Path, named: Option<&Path>) -> PathBuf {
    if let Some(folder) = named {
        return folder.to_path_buf();
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let candidates = [folder.join("images"), folder.join("../images")];
    candidates.into_iter().find(|c| c.is_dir()).unwrap_or_else(|| folder.to_path_buf())
}

/// Drops the persons of the images that a CSV names in its column `image_id`.
pub(super) fn leave_out(set: &mut PoseSet, list: &Path) -> Result<()> {
    let shown = list.display();
    let text =
        String::from_utf8(crate::io::read(list)?).with_context(|| format!("{shown}: not a text file"))?;
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let column = header.split(',').position(|c| c.trim() == "image_id");
    let column = column.with_context(|| format!("{shown}: the header has no column image_id"))?;
    let mut ids = HashSet::new();
    for (i, line) in lines.enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let field = line.split(',').nth(column).unwrap_or_default().trim();
        let id: i64 = field
            .parse()
            .ok()
            .with_context(|| format!("{shown}, line {}: '{field}' is no image id", i + 2))?;
        ids.insert(id);
    }
    let before = set.samples.len();
    let images: Vec<i64> = set.images.iter().map(|i| i.id).collect();
    set.samples.retain(|s| images.get(s.image).is_none_or(|id| !ids.contains(id)));
    crate::remark!("{} of {before} persons left out by {shown}", before - set.samples.len());
    Ok(())
}

/// Judges by persons in their labelled boxes.
struct PoseJudge {
    set: Poses,
    net: Net,
    decoder: Decoder,
    length: Length,
    sigmas: Vec<f64>,
    metric: PointMetric,
    pool: Arc<Pool>,
    /// Points of the last measurement.
    last: Vec<Vec<heatmap::Peak>>,
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
        let set = read(val, images)?;
        let category = set.common_category()?.clone();
        if category.points != trained.points {
            bail!("{}: its points have other names than those of the training set", val.display());
        }
        if let Some(bad) = config.data.torso.iter().flatten().find(|&&p| p >= category.points.len()) {
            bail!("data.torso names point {bad}; there are {} points", category.points.len());
        }
        let named = config.data.torso.map(|first| Length::Torso { first, second: None });
        let length = named.unwrap_or_else(|| Length::of(&category));
        let is_coco = category.points.len() == 17 && category.points[0] == "nose";
        let metric = config.data.metric.unwrap_or(match is_coco || length == Length::Box {
            true => PointMetric::Ap,
            false => PointMetric::Pck,
        });
        let sigmas = match (&category.sigmas, is_coco) {
            (Some(sigmas), _) => sigmas.clone(),
            (None, true) => hrnet_data::metric::oks::COCO_SIGMAS.to_vec(),
            // The middle of COCO's, for points that nobody has measured.
            (None, false) => vec![0.075; category.points.len()],
        };
        let decoder = match config.target.udp {
            true => Decoder::Udp { kernel: UDP_KERNEL },
            false => config.target.decoder,
        };
        let set = Poses::open(set, image_options(config), LandmarkAugment::none(), spec)?;
        Ok(Self { set, net: model.build()?, decoder, length, sigmas, metric, pool, last: Vec::new() })
    }

    /// Points and scores of every person.
    fn predict(&self, weights: &Weights) -> Result<Vec<Vec<heatmap::Peak>>> {
        let mut runner = Runner::new(&self.net, weights.clone(), self.pool.clone())?;
        let form = &self.set.spec().form;
        let (h, w) = form.input;
        let combined = self.set.spec().combined;
        let maps = self.set.category().points.len() * if combined { 3 } else { 1 };
        let size = maps * form.heatmap.0 * form.heatmap.1;
        let mut all = Vec::with_capacity(self.set.len());
        let indices: Vec<usize> = (0..self.set.len()).collect();
        for chunk in indices.chunks(BATCH) {
            super::interrupt::check()?;
            let samples = chunk.iter().map(|&i| self.set.sample(0, 0, i)).collect::<Result<Vec<_>, _>>()?;
            let data = samples.iter().flat_map(|s| s.input.iter().copied()).collect();
            let maps = runner.run(&Tensor::new([chunk.len(), 3, h, w], data)?)?.swap_remove(0);
            for (sample, maps) in samples.iter().zip(maps.data().chunks_exact(size)) {
                let back =
                    sample.to_input.then(&self.set.to_heatmap()).inverse().context("the box has no size")?;
                let (map_h, map_w) = form.heatmap;
                let mut peaks = match combined {
                    true => udp::decode_combined(maps, map_h, map_w, UDP_KERNEL, udp::RADIUS_FACTOR),
                    false => heatmap::decode(maps, map_h, map_w, self.decoder),
                };
                for peak in &mut peaks {
                    [peak.x, peak.y] = back.apply(peak.point());
                }
                all.push(peaks);
            }
        }
        Ok(all)
    }

    /// PCK at 0.2 of the person's length: mean over points, pooled, and per point. Persons without a length are left out.
    fn pck(&self, peaks: &[Vec<heatmap::Peak>]) -> Result<PckReport> {
        let mut pck = Pck::new(self.set.category().points.len(), Protocol::Default);
        for (i, peaks) in peaks.iter().enumerate() {
            let (person, _) = self.set.person(i);
            let (truth, labelled) = truth_of(person);
            let Some(length) = length_of(person, self.length) else { continue };
            let predicted: Vec<[f64; 2]> = peaks.iter().map(heatmap::Peak::point).collect();
            pck.update(&predicted, &truth, &labelled, [length; 2])
                .with_context(|| self.set.file(i).display().to_string())?;
        }
        Ok(pck.compute(PCK_THRESHOLD))
    }

    fn ap(&self, peaks: &[Vec<heatmap::Peak>]) -> Result<Option<f64>> {
        let mut ap = Ap::new(Params::keypoints(self.sigmas.clone()));
        let mut by_image: BTreeMap<usize, (Vec<Truth>, Vec<Detection>)> = BTreeMap::new();
        for (i, peaks) in peaks.iter().enumerate() {
            let (person, bbox) = self.set.person(i);
            let (truth, labelled) = truth_of(person);
            let points =
                truth.iter().zip(&labelled).map(|(p, l)| [p[0], p[1], f64::from(u8::from(*l))]).collect();
            let entry = by_image.entry(person.image).or_default();
            entry.0.push(Truth {
                id: person.id,
                points,
                labelled: person.num_keypoints,
                bbox,
                area: person.area.unwrap_or(bbox[2] * bbox[3]),
                crowd: false,
            });
            let score = peaks.iter().map(|p| f64::from(p.score)).sum::<f64>() / peaks.len().max(1) as f64;
            entry.1.push(Detection {
                points: peaks.iter().map(heatmap::Peak::point).collect(),
                bbox: Some(bbox),
                score,
            });
        }
        for (image, (truths, detections)) in &by_image {
            ap.update(*image as i64, 1, truths, detections)?;
        }
        Ok(ap.compute().get("AP"))
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
        match self.metric {
            PointMetric::Pck => format!("PCK@0.2 percent ({}), labelled boxes", self.length.words()),
            PointMetric::Ap => "AP percent, labelled boxes".into(),
        }
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn measure(&mut self, weights: &Weights) -> Result<Judged> {
        let peaks = self.predict(weights)?;
        let (pck, ap) = (self.pck(&peaks)?, self.ap(&peaks)?);
        let percent = |v: Option<f64>| v.map(|v| 100.0 * v);
        let (mean, pooled) = (pck.mean, pck.pooled);
        let value = match self.metric {
            PointMetric::Pck => mean,
            PointMetric::Ap => ap,
        };
        let value = value.context("the validation set has nothing to measure")?;
        let mut figures = Map::new();
        figures.insert("pck_percent".into(), json!(percent(mean)));
        figures.insert("pck_pooled_percent".into(), json!(percent(pooled)));
        figures.insert("ap_percent".into(), json!(percent(ap)));
        let joints: Vec<Option<f64>> = pck.per_joint.iter().map(|&v| percent(v)).collect();
        figures.insert("pck_joints_percent".into(), json!(joints));
        self.last = peaks;
        Ok(Judged { percent: 100.0 * value, figures })
    }

    fn worst(&mut self, title: &str) -> Result<Option<Image>> {
        let errors: Vec<f64> = self.last.iter().enumerate().map(|(i, peaks)| self.error(i, peaks)).collect();
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
            let found: Vec<[f64; 2]> = self.last[i].iter().map(|p| map.apply(p.point())).collect();
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
    fn error(&self, index: usize, peaks: &[heatmap::Peak]) -> f64 {
        let (person, bbox) = self.set.person(index);
        let (truth, labelled) = truth_of(person);
        let errors: Vec<f64> = peaks
            .iter()
            .zip(truth.iter().zip(&labelled))
            .filter(|(_, (_, l))| **l)
            .map(|(p, (t, _))| (p.x - t[0]).hypot(p.y - t[1]) / bbox[2].max(bbox[3]))
            .collect();
        errors.iter().sum::<f64>() / errors.len().max(1) as f64
    }
}
