//! Segmentation: a list of images and labels, a V2 network, mIoU.

use crate::config::{AugmentSection, ClassNames, ClassWeights, LossSection, TrainConfig};
use crate::error::{Context, Result, bail};
use crate::stop::Stop;
use crate::tasks::{SegmentOptions, Segmenter};
use crate::train::export::recipe;
use crate::train::job::{Facts, Job, Judge, Judged, image_options, page, short_name, worst_of};
use crate::train::source::{Source, stack};
use hrnet_data::augment::SegmentAugment;
use hrnet_data::dataset::label_map::{self as numbering, IGNORE, LabelMap};
use hrnet_data::dataset::open::Content;
use hrnet_data::draw::Tile;
use hrnet_data::draw::mask::{Mask, MaskStyle, overlay};
use hrnet_data::draw::palette::Palette;
use hrnet_data::loader::{BatchPlan, Samples, SegmentSample, SegmentSpec, Segments};
use hrnet_data::metric::segmentation::Confusion;
use hrnet_formats::Recipe;
use hrnet_image::Image;
use hrnet_ir::Weights;
use hrnet_kernels::Pool;
use hrnet_train::loss::{PixelCrossEntropy, PixelLabels};
use hrnet_train::{Batch, BoxError, Loss, Objective, Target};
use serde_json::{Map, json};
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

pub(crate) fn open(config: &TrainConfig, pool: Arc<Pool>) -> Result<Job> {
    let (AugmentSection::Segmentation(augment), LossSection::Pixels(loss)) =
        (&config.augment, &config.train.loss)
    else {
        bail!("the configuration of segmentation has augment and loss of another task");
    };
    let list = &config.data.train;
    let (map, names) = classes(config)?;
    let set =
        crate::train::open_to_train(list, &[Content::Masks], config.data.images.as_deref())?.into_masks()?;
    let model = config.model(names.len())?;
    let spec = SegmentSpec {
        input: (config.input.size[0], config.input.size[1]),
        mean: config.input.mean,
        std: config.input.std,
    };
    let maker = Segments::open(set, map.clone(), image_options(config), augment.clone(), spec)?;
    let counts = maker.class_pixels(names.len())?;
    if counts.iter().all(|&n| n == 0) {
        bail!("{}: no pixel of the label images belongs to a class", list.display());
    }
    for (name, _) in names.iter().zip(&counts).filter(|(_, n)| **n == 0) {
        log::info!("warning: {}: no pixel is labelled {name}; it cannot be learned", list.display());
    }
    let mut loss = loss.clone();
    if config.data.class_weights != ClassWeights::None {
        loss.class_weights = weights(&config.data.class_weights, &counts)?;
    }
    let (size, stride) = (config.input.size, config.target.stride.unwrap_or(1));
    let plan = BatchPlan::training(config.train.batch, config.seed);
    let source = Source::new(Arc::new(maker), plan, config.train.epochs, move |samples, _| {
        collate(&samples, size, stride)
    })?;
    let facts = Facts { names: names.clone(), ..Facts::default() };
    let judge = match &config.data.val {
        None => None,
        Some(val) => {
            let images = config.data.val_images.as_deref().or(config.data.images.as_deref());
            let set = crate::train::open_to_judge(val, &[Content::Masks], images)?.into_masks()?;
            let set = Segments::open(set, map, image_options(config), SegmentAugment::none(), spec)?;
            let recipe = recipe(config, &model, &facts, None);
            let judge = SegmentJudge { set, recipe, names: names.clone(), pool, last: Vec::new() };
            Some(Box::new(judge) as Box<dyn Judge>)
        }
    };
    let loss = objective(config, loss);
    Ok(Job { model, facts, source, loss, judge })
}

/// The loss on the output; with OCR also on the auxiliary one, whose pixels all count (the official rule).
fn objective(config: &TrainConfig, loss: PixelCrossEntropy) -> Objective {
    let weights = &config.train.loss_weights;
    if !config.is_ocr() {
        let weight = weights.first().copied().unwrap_or(1.0);
        return Objective::weighted([(weight, Loss::PixelCrossEntropy(loss))]);
    }
    let aux = PixelCrossEntropy { ohem: None, ..loss.clone() };
    let [aux, main] = [aux, loss].map(Loss::PixelCrossEntropy);
    match weights[..] {
        [a, b] => Objective::weighted([(a, aux), (b, main)]),
        _ => Objective::ocr(aux, main),
    }
}

/// The table from numbers to classes, and the names of the classes.
pub(crate) fn classes(config: &TrainConfig) -> Result<(LabelMap, Vec<String>)> {
    let data = &config.data;
    if let Some(name) = &data.numbering {
        let map = numbering::by_name(name).with_context(|| {
            format!(
                "data.numbering = \"{name}\" is not known; try cityscapes, camvid, lip, ade20k, pascal-context-59, \
                 pascal-context-60 or coco-stuff, or name the classes with data.classes"
            )
        })?;
        let names = map.classes.iter().map(ToString::to_string).collect();
        return Ok((map.clone(), names));
    }
    let beside = data.train.parent().unwrap_or(Path::new("")).join("classes.txt");
    let names: Vec<String> = match &data.classes {
        Some(ClassNames::Names(names)) => names.clone(),
        Some(ClassNames::File(file)) => lines(file)?,
        None if beside.is_file() => lines(&beside)?,
        None => bail!(
            "the classes are not known: name them in order with data.classes, put a classes.txt beside {}, \
             or name a numbering with data.numbering",
            data.train.display()
        ),
    };
    if !(1..=usize::from(IGNORE)).contains(&names.len()) {
        bail!("{} classes are named; 1 to 255 are possible", names.len());
    }
    let last = data.ignore.iter().copied().max().map_or(0, |n| usize::from(n) + 1);
    let table = (0..names.len().max(last))
        .map(|n| match u8::try_from(n) {
            Ok(class) if n < names.len() && !data.ignore.contains(&u16::from(class)) => class,
            _ => IGNORE,
        })
        .collect();
    let map = LabelMap {
        name: "data.classes".into(),
        classes: Cow::Borrowed(&[]),
        table: Cow::Owned(table),
        flip_pairs: &[],
    };
    Ok((map, names))
}

fn lines(file: &Path) -> Result<Vec<String>> {
    let shown = file.display();
    let text =
        String::from_utf8(crate::io::read(file)?).with_context(|| format!("{shown}: not a text file"))?;
    Ok(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_string).collect())
}

/// Weights of the classes from their pixels.
fn weights(rule: &ClassWeights, counts: &[u64]) -> Result<Vec<f64>> {
    let total = counts.iter().sum::<u64>() as f64;
    let raw: Vec<f64> = match rule {
        ClassWeights::None => return Ok(Vec::new()),
        ClassWeights::Values(values) if values.len() == counts.len() => return Ok(values.clone()),
        ClassWeights::Values(values) => {
            bail!("data.class_weights has {} values for {} classes", values.len(), counts.len())
        }
        // A class without pixels takes no part in the loss, so its weight is of no account.
        ClassWeights::Log => counts.iter().map(|&n| 1.0 / (1.1 + n as f64 / total).ln()).collect(),
        ClassWeights::Root => counts.iter().map(|&n| (total / (n as f64).max(1.0)).sqrt()).collect(),
    };
    let used: Vec<f64> = raw.iter().zip(counts).filter(|(_, n)| **n > 0).map(|(w, _)| *w).collect();
    let mean = used.iter().sum::<f64>() / used.len() as f64;
    Ok(raw.iter().zip(counts).map(|(w, n)| if *n > 0 { w / mean } else { 1.0 }).collect())
}

/// A batch; of the labels every `stride`-th pixel on both axes, the one nearest to the middle of its block.
fn collate(samples: &[SegmentSample], [h, w]: [usize; 2], stride: usize) -> Result<Batch, BoxError> {
    let input = stack(samples.iter().map(|s| &s.input[..]), [h, w])?;
    let (rows, columns) = (h.div_ceil(stride), w.div_ceil(stride));
    let mut ids = Vec::with_capacity(samples.len() * rows * columns);
    for sample in samples {
        for y in 0..rows {
            let row = &sample.labels[(y * stride + stride / 2).min(h - 1) * w..][..w];
            ids.extend((0..columns).map(|x| row[(x * stride + stride / 2).min(w - 1)]));
        }
    }
    let shape = [samples.len(), rows, columns];
    Ok(Batch { input, target: Target::Pixels(PixelLabels { shape, ids }) })
}

/// Judges whole pictures, by the code of `hrnet eval`.
struct SegmentJudge {
    set: Segments,
    recipe: Recipe,
    names: Vec<String>,
    pool: Arc<Pool>,
    /// Classes found in the last measurement, and the share of wrong pixels.
    last: Vec<(Vec<u8>, f64)>,
}

impl Judge for SegmentJudge {
    fn key(&self) -> &'static str {
        "miou_percent"
    }

    fn title(&self) -> &'static str {
        "mIoU"
    }

    fn metric(&self) -> String {
        "mIoU percent".into()
    }

    fn higher_is_better(&self) -> bool {
        true
    }

    fn measure(&mut self, weights: &Weights, stop: &Stop) -> Result<Judged> {
        let options = SegmentOptions::default();
        let mut model = Segmenter::new(weights.clone(), self.recipe.clone(), self.pool.clone(), options)?;
        self.last.clear();
        let mut confusion = Confusion::new(self.names.len(), Some(i64::from(IGNORE)));
        for i in 0..self.set.len() {
            stop.check()?;
            let (image, labels) = (self.set.image(i)?, self.set.labels(i)?);
            let seen = model.predict(&image)?.0.classes;
            confusion
                .update(&seen, &labels.classes)
                .with_context(|| self.set.file(i).display().to_string())?;
            let counted = labels.classes.iter().filter(|&&c| c != IGNORE).count();
            let pairs = seen.iter().zip(&labels.classes);
            let wrong = pairs.filter(|(s, l)| **l != IGNORE && **s != u16::from(**l)).count();
            let found = seen.iter().map(|&c| u8::try_from(c).unwrap_or(IGNORE)).collect();
            self.last.push((found, wrong as f64 / counted.max(1) as f64));
        }
        let report = confusion.compute(hrnet_data::metric::Protocol::Default);
        let miou = 100.0 * report.mean_iou.context("the validation set has no labelled pixel")?;
        let classes: Map<_, _> = self
            .names
            .iter()
            .zip(&report.iou)
            .map(|(n, v)| (n.clone(), json!(v.map(|v| 100.0 * v))))
            .collect();
        let figures = [
            ("miou_percent", json!(miou)),
            ("pixel_accuracy_percent", json!(report.pixel_accuracy.map(|v| 100.0 * v))),
            ("iou_percent", json!(classes)),
        ];
        Ok(Judged { percent: miou, figures: Map::from_iter(figures.map(|(k, v)| (k.to_string(), v))) })
    }

    fn worst(&mut self, title: &str) -> Result<Option<Image>> {
        let errors: Vec<f64> = self.last.iter().map(|l| l.1).collect();
        let palette = Palette::distinct(self.names.len());
        let mut tiles = Vec::new();
        for i in worst_of(&errors) {
            let (image, labels) = (self.set.image(i)?, self.set.labels(i)?);
            let (w, h) = (image.width(), image.height());
            // What was found above what is labelled.
            let mut both = Image::filled(w, 2 * h, [0; 3]);
            for (part, classes) in [&self.last[i].0, &labels.classes].into_iter().enumerate() {
                let mut shown = Image::clone(&image);
                let ids: Vec<u16> = classes.iter().map(|&c| u16::from(c)).collect();
                let mask = Mask::new(w, h, &ids).context("a class per pixel")?.ignoring(u16::from(IGNORE));
                overlay(&mut shown, &mask, &palette, &MaskStyle::default());
                let from = part * h * w * 3;
                both.data_mut()[from..from + h * w * 3].copy_from_slice(shown.data());
            }
            let caption = format!("{}\n{:.1} % wrong", short_name(self.set.file(i)), 100.0 * errors[i]);
            tiles.push(Tile { image: both, caption });
        }
        Ok(page(&tiles, [320, 480], title))
    }
}
