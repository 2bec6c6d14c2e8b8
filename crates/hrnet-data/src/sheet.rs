//! A picture of a data set: some of its images with their labels drawn, to be looked at before anything is trained.

use std::collections::BTreeSet;

use crate::dataset::coco_mask::Segmentation;
use crate::dataset::label_map::{IGNORE, LabelMap};
use crate::dataset::model::{DataError, PairSource, PoseSample, PoseSet, SegSample, Visibility, extent};
use crate::dataset::open::{LabelSet, Labels};
use crate::dataset::segmentation::read_labels;
use crate::draw::mask::{Mask, MaskStyle, overlay};
use crate::draw::palette::Palette;
use crate::draw::{Person, PoseStyle, Schema, contact_sheet, draw_people, resized, scale_points};
use crate::sets::PointSet;
use hrnet_image::{Image, Limits};

/// What is drawn.
#[derive(Debug, Clone)]
pub struct SheetOptions {
    /// Images, evenly spread over the set.
    pub count: usize,
    /// Side of a tile.
    pub cell: usize,
    /// Whole images, not the part with the labels.
    pub whole: bool,
    /// Meaning of the numbers of label images.
    pub label_map: Option<LabelMap>,
    /// What an image may ask for.
    pub limits: Limits,
}

impl Default for SheetOptions {
    fn default() -> Self {
        Self { count: 12, cell: 320, whole: false, label_map: None, limits: Limits::default() }
    }
}

/// What a tile shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Name of the image.
    pub image: String,
    /// Its labels in words.
    pub labels: String,
    /// Why it could not be drawn; such a tile is grey.
    pub error: Option<String>,
}

/// Outlines and classes over an image.
const MASKS: MaskStyle = MaskStyle { opacity: 0.5, borders: true, clear: None };

/// Draws some images of a set, and says what each tile shows.
pub fn sheet(set: &LabelSet, options: &SheetOptions) -> Result<(Image, Vec<Tile>), DataError> {
    let by_image = set.samples_by_image();
    let labelled: Vec<usize> = (0..by_image.len())
        .filter(|&i| match &set.labels {
            Labels::Points(pose) => {
                by_image.get(i).is_some_and(|l| l.iter().any(|&s| pose.samples.get(s).is_some_and(drawable)))
            }
            _ => true,
        })
        .collect();
    if labelled.is_empty() {
        let fix = "hrnet data check says what is wrong with it";
        return Err(DataError::Empty { path: set.path.clone(), what: "labelled images", fix });
    }
    let count = options.count.clamp(1, labelled.len());
    let (mut images, mut tiles) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for k in 0..count {
        let Some(&index) = labelled.get(k * labelled.len() / count) else { continue };
        let samples = by_image.get(index).map_or(&[][..], Vec::as_slice);
        let (image, labels, error) = match tile(set, index, samples, options) {
            Ok((image, labels)) => (image, labels, None),
            Err(e) => (Image::filled(8, 8, [90; 3]), String::new(), Some(e.to_string())),
        };
        images.push(image);
        tiles.push(Tile { image: set.image_name(index), labels, error });
    }
    let columns = (1..).find(|c| c * c >= count).unwrap_or(4).max(4.min(count));
    let sheet = contact_sheet(&images, columns, options.cell);
    let sheet = sheet.ok_or_else(|| DataError::format(&set.path, "the picture would be too large"))?;
    Ok((sheet, tiles))
}

fn drawable(sample: &PoseSample) -> bool {
    sample.labelled() > 0
        || sample.segmentation.is_some()
        || sample.bbox.is_some_and(|[_, _, w, h]| w > 0.0 && h > 0.0)
}

fn tile(
    set: &LabelSet,
    index: usize,
    samples: &[usize],
    options: &SheetOptions,
) -> Result<(Image, String), DataError> {
    let image = set.image(index, &options.limits)?;
    match &set.labels {
        Labels::Points(pose) => Ok(points_tile(image, pose, samples, options)),
        Labels::Masks(masks) => match masks.samples.get(index) {
            Some(sample) => mask_tile(image, sample, options),
            None => Ok((image, String::new())),
        },
        Labels::Classes(classes) => {
            let class = classes.samples.get(index).map_or(0, |s| s.class);
            let name = classes.classes.get(class).map_or("", String::as_str);
            Ok((image, format!("class {class} {name}").trim().to_string()))
        }
        Labels::Detections(_) => Ok((image, String::new())),
    }
}

fn points_tile(image: Image, pose: &PoseSet, samples: &[usize], options: &SheetOptions) -> (Image, String) {
    let samples: Vec<&PoseSample> = samples.iter().filter_map(|&i| pose.samples.get(i)).collect();
    let (iw, ih) = (image.width() as f64, image.height() as f64);
    let corners = samples.iter().flat_map(|s| {
        let b = s.box_or_extent().filter(|[_, _, w, h]| *w > 0.0 && *h > 0.0);
        b.into_iter().flat_map(|[x, y, w, h]| [[x, y], [x + w, y + h]])
    });
    let all = extent(corners).filter(|_| !options.whole);
    // The labels with a margin of a fifth, as whole pixels within the image.
    let [left, top, right, bottom] = match all {
        Some([x0, y0, x1, y1]) => {
            let margin = ((x1 - x0).max(y1 - y0) * 0.2).max(8.0);
            let clamp = |v: f64, most: f64| v.clamp(0.0, most);
            [
                clamp((x0 - margin).floor(), iw - 1.0),
                clamp((y0 - margin).floor(), ih - 1.0),
                clamp((x1 + margin).ceil(), iw - 1.0),
                clamp((y1 + margin).ceil(), ih - 1.0),
            ]
        }
        None => [0.0, 0.0, iw - 1.0, ih - 1.0],
    };
    let mut image = image;
    for s in &samples {
        let mask = s.segmentation.as_ref().and_then(|m: &Segmentation| m.mask(image.width(), image.height()));
        let Some(mask) = mask else { continue };
        let class = u16::try_from(s.category + 1).unwrap_or(u16::MAX);
        let ids: Vec<u16> = mask.iter().map(|&inside| if inside { class } else { 0 }).collect();
        if let Some(mask) = Mask::new(image.width(), image.height(), &ids) {
            overlay(&mut image, &mask, &Palette::voc(256), &MaskStyle { clear: Some(0), ..MASKS });
        }
    }
    let part = cut(&image, [left, top], (right - left + 1.0) as usize, (bottom - top + 1.0) as usize);
    // Enlarged first, so that lines are fine on small images.
    let factor = (options.cell as f64 / part.width().max(part.height()) as f64).clamp(0.05, 16.0);
    let mut out = resized(&part, factor);
    let (mut labelled, mut hidden) = (0, 0);
    let moved = |p: [f64; 2]| scale_points(&[[p[0] - left, p[1] - top]], factor)[0];
    for (category, labels) in pose.categories.iter().enumerate() {
        let samples = samples.iter().filter(|s| s.category == category);
        let drawn: Vec<Drawn> = samples.map(|s| Drawn::new(s, moved)).collect();
        let people: Vec<Person<'_>> = drawn
            .iter()
            .map(|d| Person { points: &d.points, scores: Some(&d.scores), bbox: d.bbox, ..Person::default() })
            .collect();
        let mut schema = Schema::of_category(labels);
        // Sets of faces whose points have no names of their own are told by the pairs.
        let named = PointSet::by_points(&labels.points).or_else(|| match labels.pairs_from {
            PairSource::Known(name) => PointSet::by_name(name),
            _ => None,
        });
        schema.set = named.filter(|s| s.is_face());
        draw_people(&mut out, &schema, &people, &PoseStyle { labels: false, ..PoseStyle::default() });
    }
    for s in &samples {
        labelled += s.labelled();
        hidden += s.points.iter().filter(|p| p.visibility == Visibility::Hidden).count();
    }
    let mut words = format!("{} samples, {labelled} points", samples.len());
    if hidden > 0 {
        words += &format!(", {hidden} of them hidden");
    }
    (out, words)
}

/// A sample in pixels of its tile. Hidden points have no score, so that they are drawn hollow.
struct Drawn {
    points: Vec<[f64; 2]>,
    scores: Vec<f32>,
    bbox: Option<[f64; 4]>,
}

impl Drawn {
    fn new(sample: &PoseSample, moved: impl Fn([f64; 2]) -> [f64; 2]) -> Self {
        let points = sample.points.iter();
        let bbox = sample.bbox.filter(|[_, _, w, h]| *w > 0.0 && *h > 0.0).map(|[x, y, w, h]| {
            let ([left, top], [right, bottom]) = (moved([x, y]), moved([x + w, y + h]));
            [left, top, right - left, bottom - top]
        });
        Self {
            points: points
                .clone()
                .map(|p| if p.visibility.labelled() { moved(p.at) } else { [f64::NAN; 2] })
                .collect(),
            scores: points.map(|p| if p.visibility == Visibility::Hidden { 0.0 } else { 1.0 }).collect(),
            bbox,
        }
    }
}

fn cut(image: &Image, [left, top]: [f64; 2], width: usize, height: usize) -> Image {
    let (left, top) = (left as usize, top as usize);
    let mut out = Image::filled(width.max(1), height.max(1), [0; 3]);
    for y in 0..height.min(image.height().saturating_sub(top)) {
        for x in 0..width.min(image.width().saturating_sub(left)) {
            out.set_pixel(x, y, image.pixel(left + x, top + y));
        }
    }
    out
}

fn mask_tile(
    mut image: Image,
    sample: &SegSample,
    options: &SheetOptions,
) -> Result<(Image, String), DataError> {
    let Some(label) = &sample.label else { return Ok((image, "no label".into())) };
    let labels = read_labels(label, &options.limits)?;
    if [labels.width, labels.height] != [image.width(), image.height()] {
        let (w, h, iw, ih) = (labels.width, labels.height, image.width(), image.height());
        return Err(DataError::format(label, format!("the label is {w}x{h}, the image {iw}x{ih}")));
    }
    let map = options.label_map.as_ref();
    let ids: Vec<u16> = match map {
        Some(map) => labels.ids.iter().map(|&n| u16::from(map.class(n))).collect(),
        None => labels.ids,
    };
    let seen: BTreeSet<usize> = ids.iter().map(|&c| usize::from(c)).collect();
    let palette = map.and_then(|m| Palette::named(&m.name)).unwrap_or_else(|| Palette::voc(256));
    if let Some(mask) = Mask::new(labels.width, labels.height, &ids) {
        overlay(&mut image, &mask, &palette, &MASKS);
    }
    let names: Vec<String> = seen
        .iter()
        .map(|&c| match map.and_then(|m| m.classes.get(c)) {
            Some(name) => (*name).to_string(),
            None if c == usize::from(IGNORE) => "ignored".into(),
            None => c.to_string(),
        })
        .collect();
    Ok((image, format!("classes {}", names.join(", "))))
}
