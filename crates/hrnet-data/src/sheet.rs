//! A picture of a data set: some of its images with their labels drawn, to be looked at before anything is trained.

use crate::convert::palette::Palette;
use crate::dataset::coco_mask::Segmentation;
use crate::dataset::label_map::{IGNORE, LabelMap};
use crate::dataset::model::{Category, DataError, PoseSample, PoseSet, SegSample, Visibility, extent};
use crate::dataset::open::{LabelSet, Labels};
use crate::dataset::segmentation::read_labels;
use crate::draw::{contact_sheet, disc, draw_box, resized, scale_points, stroke};
use crate::image::{Image, Limits};

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

const LEFT: [u8; 3] = [0, 130, 220];
const RIGHT: [u8; 3] = [240, 130, 0];
const MIDDLE: [u8; 3] = [0, 158, 115];
const BOX: [u8; 3] = [214, 39, 120];
const WHITE: [u8; 3] = [255; 3];

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
    let palette = Palette::voc();
    for s in &samples {
        if let Some(mask) =
            s.segmentation.as_ref().and_then(|m: &Segmentation| m.mask(image.width(), image.height()))
        {
            blend(&mut image, &palette, mask.iter().map(|&m| if m { s.category + 1 } else { 0 }));
        }
    }
    let part = cut(&image, [left, top], (right - left + 1.0) as usize, (bottom - top + 1.0) as usize);
    // Enlarged first, so that lines are fine on small images.
    let factor = (options.cell as f64 / part.width().max(part.height()) as f64).clamp(0.05, 16.0);
    let mut out = resized(&part, factor);
    let (mut labelled, mut hidden) = (0, 0);
    for s in &samples {
        if let Some([x, y, w, h]) = s.bbox.filter(|[_, _, w, h]| *w > 0.0 && *h > 0.0) {
            let [a, b] =
                [[x - left, y - top], [x + w - left, y + h - top]].map(|p| scale_points(&[p], factor)[0]);
            draw_box(&mut out, [a[0], a[1], b[0] - a[0], b[1] - a[1]], BOX, 1.2);
        }
        let moved: Vec<[f64; 2]> = s.points.iter().map(|p| [p.at[0] - left, p.at[1] - top]).collect();
        let points = scale_points(&moved, factor);
        if let Some(category) = pose.categories.get(s.category) {
            draw_sample(&mut out, s, &points, category);
        }
        labelled += s.labelled();
        hidden += s.points.iter().filter(|p| p.visibility == Visibility::Hidden).count();
    }
    let mut words = format!("{} samples, {labelled} points", samples.len());
    if hidden > 0 {
        words += &format!(", {hidden} of them hidden");
    }
    (out, words)
}

/// Lines and points; left blue, right orange, the middle green; hidden points are hollow.
fn draw_sample(image: &mut Image, sample: &PoseSample, points: &[[f64; 2]], category: &Category) {
    let colour = |i: usize| {
        let name = category.points.get(i).map_or("", String::as_str);
        let pair = category.flip_pairs.iter().find(|&&(a, b)| a == i || b == i);
        let lower = name.to_lowercase();
        match pair {
            _ if lower.contains("left") => LEFT,
            _ if lower.contains("right") => RIGHT,
            // Faces: the first of a pair lies on the image's left, which is the person's right.
            Some(&(a, _)) if a == i => RIGHT,
            Some(_) => LEFT,
            None => MIDDLE,
        }
    };
    let there = |i: usize| {
        sample.points.get(i).filter(|p| p.visibility.labelled()).and_then(|_| points.get(i)).copied()
    };
    let dense = sample.points.len() > 40;
    for &[a, b] in &category.skeleton {
        if let (Some(p), Some(q)) = (there(a), there(b)) {
            let c = if colour(a) == colour(b) { colour(a) } else { MIDDLE };
            stroke(image, &[p, q], if dense { 0.6 } else { 1.2 }, c, 0.9);
        }
    }
    for i in 0..sample.points.len() {
        let Some(p) = there(i) else { continue };
        let radius = if dense { 1.4 } else { 2.4 };
        disc(image, p, radius + 0.7, WHITE, 0.9);
        disc(image, p, radius, colour(i), 1.0);
        if sample.points.get(i).is_some_and(|p| p.visibility == Visibility::Hidden) {
            disc(image, p, radius * 0.5, WHITE, 1.0);
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

/// Lays the colours of classes over an image; 0 of an outline is nothing.
fn blend(image: &mut Image, palette: &Palette, classes: impl Iterator<Item = usize>) {
    for (rgb, class) in image.data_mut().as_chunks_mut::<3>().0.iter_mut().zip(classes) {
        if class == 0 {
            continue;
        }
        let colour = palette.colour(class);
        for (v, c) in rgb.iter_mut().zip(colour) {
            *v = u8::midpoint(*v, c);
        }
    }
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
    let palette = match &options.label_map {
        Some(map) => Palette::of_map(map),
        None => Palette::voc(),
    };
    let class = |n: u16| match &options.label_map {
        Some(map) => usize::from(map.class(n)),
        None => usize::from(n),
    };
    let mut seen = std::collections::BTreeSet::new();
    for (rgb, &n) in image.data_mut().as_chunks_mut::<3>().0.iter_mut().zip(&labels.ids) {
        let class = class(n);
        // Ignored pixels stay as they are, darker.
        let colour = if class == usize::from(IGNORE) { [0; 3] } else { palette.colour(class) };
        seen.insert(class);
        for (v, c) in rgb.iter_mut().zip(colour) {
            *v = u8::midpoint(*v, c);
        }
    }
    let names: Vec<String> = seen
        .iter()
        .map(|&c| match options.label_map.as_ref().and_then(|m| m.classes.get(c)) {
            Some(name) => (*name).to_string(),
            None if c == usize::from(IGNORE) => "ignored".into(),
            None => c.to_string(),
        })
        .collect();
    Ok((image, format!("classes {}", names.join(", "))))
}
