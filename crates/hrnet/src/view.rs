//! Results as pictures: the image with what was found in it.

use crate::result::{Instance, Predicted, Ranked, Schema};
use crate::tasks::Stages;
use hrnet_data::draw::heat::{HeatMaps, heat_sheet};
use hrnet_data::draw::mask::{Mask, MaskStyle, overlay_with_legend};
use hrnet_data::draw::palette::Palette;
use hrnet_data::draw::{self, Anchor, Person, PoseStyle, draw_label, draw_people, text_size};
use hrnet_formats::{Recipe, Task};
use hrnet_image::Image;

/// Longer side of a tile of a heat-map sheet.
const HEAT_CELL: usize = 224;

/// The names, lines and pairs as the drawing wants them.
pub fn draw_schema(schema: &Schema) -> draw::Schema<'_> {
    draw::Schema {
        names: (&schema.names[..]).into(),
        skeleton: (&schema.skeleton[..]).into(),
        flip_pairs: (&schema.flip_pairs[..]).into(),
        set: schema.point_set().filter(|_| schema.task == Task::Face),
    }
}

/// The colours of the classes: those that a data set publishes where the names are its own.
pub fn palette(names: &[String]) -> Palette {
    let has = |name: &str| names.iter().any(|n| n.eq_ignore_ascii_case(name));
    let known = match names.len() {
        19 if has("rider") && has("terrain") => Palette::named("cityscapes"),
        11 if has("pavement") && has("bicyclist") => Palette::named("camvid"),
        20 if has("upper-clothes") => Palette::named("lip"),
        150 => Palette::named("ade20k"),
        _ => None,
    };
    known.unwrap_or_else(|| Palette::distinct(names.len()))
}

/// The image with what was found in it. `boxed` draws the boxes and their scores, which say nothing where the whole image was
/// the box.
pub fn overlay(image: &Image, schema: &Schema, predicted: &Predicted, boxed: bool) -> Image {
    match predicted {
        Predicted::Instances(instances) => {
            let mut picture = image.clone();
            draw_instances(&mut picture, schema, instances, &style(schema, boxed));
            picture
        }
        Predicted::Mask(mask) => {
            let colours = palette(&schema.names);
            let style = MaskStyle::default();
            match Mask::new(mask.width, mask.height, &mask.classes) {
                Some(mask) => overlay_with_legend(image, &mask, &colours, &schema.names, &style),
                None => image.clone(),
            }
        }
        Predicted::Classes(ranked) => {
            let mut picture = image.clone();
            draw_classes(&mut picture, schema, ranked);
            picture
        }
    }
}

/// How instances of a task are drawn.
pub fn style(schema: &Schema, boxed: bool) -> PoseStyle {
    // Landmark maps have peaks even where nothing is seen; hollow points mark the least certain ones.
    let threshold = if schema.task == Task::Face { 0.3 } else { 0.2 };
    PoseStyle { threshold, boxes: boxed, labels: boxed, ..PoseStyle::default() }
}

/// Draws instances into a picture.
pub fn draw_instances(picture: &mut Image, schema: &Schema, instances: &[Instance], style: &PoseStyle) {
    let split: Vec<(Vec<[f64; 2]>, Vec<f32>, String)> = instances
        .iter()
        .map(|i| {
            let (points, scores) = i.points.iter().map(|p| (p.at, p.score)).unzip();
            let label = match i.track {
                Some(track) => format!("{track}  {:.2}", i.score),
                None => format!("{:.2}", i.score),
            };
            (points, scores, label)
        })
        .collect();
    let people: Vec<Person> = instances
        .iter()
        .zip(&split)
        .map(|(i, (points, scores, label))| Person {
            points,
            scores: Some(scores),
            bbox: Some(i.bbox),
            label: Some(label),
            id: i.track,
        })
        .collect();
    draw_people(picture, &draw_schema(schema), &people, style);
}

/// Writes the best classes into the upper left corner.
fn draw_classes(picture: &mut Image, schema: &Schema, ranked: &[Ranked]) {
    let size = (picture.width().min(picture.height()) / 18).clamp(9, 64);
    let line = text_size("m", size)[1] as f64 * 1.3;
    for (i, r) in ranked.iter().enumerate() {
        let name = schema.names.get(r.class).map_or("?", String::as_str);
        let text = format!("{:5.1} %  {name}", 100.0 * r.probability);
        let at = [size as f64 * 0.4, size as f64 * 0.4 + i as f64 * line];
        let colour = if i == 0 { [20, 90, 50] } else { [50, 50, 54] };
        draw_label(picture, at, Anchor::Below, &text, size, colour);
    }
}

/// All heat maps of a box over its crop.
pub fn heat_maps(stages: &Stages, recipe: &Recipe, schema: &Schema, maps: [usize; 2]) -> Option<Image> {
    let [height, width] = maps;
    let maps = HeatMaps::new(&stages.heatmaps, height, width)?;
    heat_sheet(&crop_image(stages, recipe), &maps, &schema.names, "", HEAT_CELL)
}

/// The network's input as a picture.
pub fn crop_image(stages: &Stages, recipe: &Recipe) -> Image {
    let (h, w) = recipe.input_size;
    let mut crop = Image::filled(w, h, [0; 3]);
    for (i, rgb) in crop.data_mut().chunks_exact_mut(3).enumerate() {
        for (c, v) in rgb.iter_mut().enumerate() {
            let value = f64::from(stages.input[c * h * w + i]) * recipe.std[c] + recipe.mean[c];
            *v = (value * 255.0).round().clamp(0.0, 255.0) as u8;
        }
    }
    crop
}
