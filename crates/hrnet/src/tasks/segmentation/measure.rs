//! Measuring segmentation: mIoU, pixel and mean accuracy, a figure per class, the confusion, the worst images.
//!
//! Labels are PNG files with a number per pixel; a [`LabelMap`] turns numbers into classes. A number that the map does not
//! know is an error that names the file and the number, since it silently ruins the figures.

use crate::error::{Context, Result, bail};
use crate::measure::{Column, ConfusionMatrix, Failed, Measured, Table, Unit, Worst, WorstList};
use crate::tasks::{Resize, SegmentOptions, Segmenter, Windows};
use hrnet_data::codec::Protocol;
use hrnet_data::dataset::label_map::{self, IGNORE, LabelMap};
use hrnet_data::dataset::model::{SegSample, SegSet};
use hrnet_data::dataset::open::{Content, OpenOptions, Purpose, open};
use hrnet_data::dataset::segmentation::read_labels;
use hrnet_data::metric::segmentation::{Confusion, SegmentationReport};
use hrnet_formats::Task;
use hrnet_image::{Image, Limits};
use std::path::Path;
use std::time::Instant;

/// Opens labelled images: a list (names relative to `images`, or found from the list), a folder with images and labels, or a folder
/// of labels beside which `images` lie.
pub fn read_masks(data: &Path, images: Option<&Path>) -> Result<SegSet> {
    let how = OpenOptions::wanting(Purpose::Measure, &[Content::Masks], images);
    Ok(open(data, &how)?.into_masks()?)
}

/// How labels are read and what is kept.
#[derive(Clone, Debug)]
pub struct SegmentationMeasure {
    /// From numbers to classes.
    pub map: LabelMap,
    /// A further number that counts for nothing.
    pub ignore: Option<u16>,
    /// Worst images to keep.
    pub worst: usize,
}

impl SegmentationMeasure {
    /// With the map of a set by name. Without a name it is that of the set whose classes the model has, where its files hold class
    /// numbers (CamVid, LIP, PASCAL-Context with background); else numbers are classes from 0 and 255 is ignored.
    pub fn new(set: Option<&str>, names: &[String], ignore: Option<u16>, worst: usize) -> Result<Self> {
        let classes = names.len();
        let map = match set {
            Some(name) => label_map::by_name(name)
                .with_context(|| {
                    format!(
                        "'{name}' is no known set; use cityscapes, camvid, lip, ade20k, pascal-context-59, \
                         pascal-context-60 or coco-stuff"
                    )
                })?
                .clone(),
            None if let Some(map) = label_map::of_classes(names) => map.clone(),
            None => {
                let classes = u8::try_from(classes).ok().filter(|&c| c < IGNORE);
                label_map::identity(classes.context("label images hold at most 254 classes without a map")?)
            }
        };
        let used = map.table.iter().filter(|&&c| c != IGNORE).max().map_or(0, |&c| usize::from(c) + 1);
        if used != classes {
            bail!("the labels of {} have {used} classes, the model has {classes}", map.name);
        }
        Ok(Self { map, ignore, worst })
    }

    fn classes(&self, path: &Path, image: &Image) -> Result<Vec<u8>> {
        let labels = read_labels(path, &Limits::default())?;
        if (labels.width, labels.height) != (image.width(), image.height()) {
            bail!(
                "{}: the labels are {}x{}, the image is {}x{}",
                path.display(),
                labels.width,
                labels.height,
                image.width(),
                image.height()
            );
        }
        let unknown = self.map.unknown(&labels.ids).into_iter().find(|u| Some(u.0) != self.ignore);
        if let Some((number, pixels)) = unknown {
            bail!(
                "{}: {pixels} pixels have the number {number}, which is no label of {}; name the right set, or a number \
                 to ignore",
                path.display(),
                self.map.name
            );
        }
        let class = |&n: &u16| if Some(n) == self.ignore { IGNORE } else { self.map.class(n) };
        Ok(labels.ids.iter().map(class).collect())
    }
}

/// Measures a model on every image of a set that has labels. `seen` is called after each image with its index. An image that
/// cannot be measured is listed with its reason; the figures are over the rest.
pub fn measure_segmentation(
    model: &mut Segmenter,
    set: &SegSet,
    how: &SegmentationMeasure,
    mut seen: impl FnMut(usize),
) -> Result<Measured> {
    let names = model.schema().names.clone();
    let protocol = model.options().protocol;
    let mut out = Measured::new(Task::Segmentation, "images");
    let mut total = Confusion::new(names.len(), Some(i64::from(IGNORE)));
    let mut worst = WorstList::new(how.worst);
    for (index, sample) in set.samples.iter().enumerate() {
        match one(model, sample, how, &mut out) {
            Ok(Some(counts)) => {
                total.merge(&counts)?;
                out.samples += 1;
                let report = counts.compute(Protocol::Default);
                if let Some(iou) = report.mean_iou {
                    let note = confused(&counts, &names);
                    worst.add(-iou, Worst { index, value: iou, image: sample.image.clone(), note });
                }
            }
            Ok(None) => {}
            Err(e) => {
                let error = crate::error::one_line(&e);
                out.failed.push(Failed { image: sample.image.clone(), error });
            }
        }
        seen(index);
    }
    if out.samples == 0 {
        match out.failed.first() {
            Some(f) => bail!("no image could be measured; the first: {}: {}", f.image.display(), f.error),
            None => bail!("{}: no image has labels", set.path.display()),
        }
    }
    settings(&mut out, model.options(), how);
    figures(&mut out, &total.compute(protocol), &total, &names);
    out.worst_by = ("mean IoU of the image".into(), Unit::Share);
    out.worst = worst.finish();
    Ok(out)
}

/// The confusion of one image; nothing for one without labels.
fn one(
    model: &mut Segmenter,
    sample: &SegSample,
    how: &SegmentationMeasure,
    out: &mut Measured,
) -> Result<Option<Confusion>> {
    let Some(label) = &sample.label else { return Ok(None) };
    let started = Instant::now();
    let image = crate::measure::read_labelled(&sample.image, None, &Limits::default())?;
    let labels = how.classes(label, &image)?;
    out.time.read += started.elapsed();
    let (mask, time) = model.predict(&image)?;
    out.time += time;
    let started = Instant::now();
    let mut counts = Confusion::new(model.schema().names.len(), Some(i64::from(IGNORE)));
    counts.update(&mask.classes, &labels)?;
    out.time.post += started.elapsed();
    Ok(Some(counts))
}

/// The largest confusions in words.
fn confused(counts: &Confusion, names: &[String]) -> String {
    let name = |i: usize| names.get(i).map_or("?", String::as_str);
    let most = counts.confused(2);
    let told: Vec<String> =
        most.iter().map(|&(l, p, n)| format!("{} taken for {} ({n} pixels)", name(l), name(p))).collect();
    told.join(", ")
}

fn settings(out: &mut Measured, options: &SegmentOptions, how: &SegmentationMeasure) {
    let official = options.protocol == Protocol::Official;
    out.set("protocol", if official { "official" } else { "default" });
    out.set(
        "input",
        match options.windows {
            Windows::Auto if official => "published rule for whole images and windows".to_string(),
            Windows::Auto => "whole image, windows where it does not fit into memory".to_string(),
            Windows::Whole => "whole image".to_string(),
            Windows::Sliding { size, overlap } => {
                format!("windows of {}x{}, overlapping by {}x{}", size[0], size[1], overlap[0], overlap[1])
            }
        },
    );
    let size = |[h, w]: [usize; 2]| format!("{h}x{w}");
    out.set(
        "resize",
        match options.resize {
            Resize::Auto => "by the model's set".to_string(),
            Resize::Keep => "none".to_string(),
            Resize::Short(side) => format!("short side {side}"),
            Resize::Long(side) => format!("long side {side}"),
            Resize::Fixed(s) => size(s),
        },
    );
    out.set("scales", options.scales.iter().map(f64::to_string).collect::<Vec<_>>().join(", "));
    out.set("flip", if options.flip { "averaged with the mirrored image" } else { "no" });
    let fused = match (options.scales.len(), official) {
        (1, _) => "best score",
        (_, true) => "sum of exponentials over scales",
        (_, false) => "mean probability over scales",
    };
    out.set("decoder", fused);
    let further = how.ignore.map_or(String::new(), |n| format!(" and the number {n}"));
    out.set("labels", format!("{}, ignored are those without a class{further}", how.map.name));
    let rule = match official {
        true => "mean over all classes; one that never occurs counts as 0",
        false => "mean over the classes that occur",
    };
    out.set("metric", format!("IoU over the pixels of all images, {rule}"));
}

fn figures(out: &mut Measured, report: &SegmentationReport, counts: &Confusion, names: &[String]) {
    out.figure("mean_iou", "mean IoU", report.mean_iou, Unit::Share);
    out.figure("pixel_accuracy", "pixel accuracy", report.pixel_accuracy, Unit::Share);
    out.figure("mean_accuracy", "mean accuracy", report.mean_accuracy, Unit::Share);
    out.figure("weighted_iou", "IoU weighted by pixels", report.weighted_iou, Unit::Share);
    out.figure("pixels", "pixels", report.pixels as f64, Unit::Count);
    let column = |key, label: &str, unit| Column { key, label: label.into(), unit };
    let labelled = |c: usize| counts.counts()[c * names.len()..(c + 1) * names.len()].iter().sum::<u64>();
    let row = |(c, name): (usize, &String)| {
        (name.clone(), vec![report.iou[c], report.accuracy[c], Some(labelled(c) as f64)])
    };
    out.tables.push(Table {
        key: "classes",
        label: "class".into(),
        rows_are: "class",
        columns: vec![
            column("iou", "IoU", Unit::Share),
            column("accuracy", "accuracy", Unit::Share),
            column("pixels", "pixels", Unit::Count),
        ],
        rows: names.iter().enumerate().map(row).collect(),
    });
    let counts = counts.counts().to_vec();
    out.confusion = Some(ConfusionMatrix { names: names.to_vec(), counts_are: "pixels", counts });
}
