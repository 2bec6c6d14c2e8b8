//! Persons, faces, animals: boxes with points.

use super::{Schema, number, single};
use crate::error::{Result, bail};
use hrnet_data::draw::{self, Person, PoseStyle, draw_people};
use hrnet_image::Image;
use serde_json::{Map, Value, json};

/// A point of an instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// x and y.
    pub at: [f64; 2],
    /// Maximum of its heat map; about 0 to 1.
    pub score: f32,
}

/// A person, a face, an animal.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The box that was looked in, or the extent of the points where the model finds instances itself.
    pub bbox: [f64; 4],
    /// How sure: mean score of the points, or the protocol's own rule.
    pub score: f64,
    /// One per name of the schema.
    pub points: Vec<Point>,
    /// The same id in successive frames of a video, from 1.
    pub track: Option<u64>,
    /// The points as the network gave them, where `points` are smoothed over time.
    pub raw: Option<Vec<[f64; 2]>>,
}

impl Instance {
    pub(super) fn json(&self, schema: &Schema) -> Map<String, Value> {
        let points: Vec<Value> = self
            .points
            .iter()
            .enumerate()
            .map(|(i, p)| {
                let mut point =
                    json!({"name": schema.names.get(i), "x": p.at[0], "y": p.at[1], "score": p.score});
                if let Some([x, y]) = self.raw.as_ref().and_then(|raw| raw.get(i)) {
                    point["raw_x"] = json!(x);
                    point["raw_y"] = json!(y);
                }
                point
            })
            .collect();
        let mut object = Map::new();
        object.insert("box".into(), json!(self.bbox));
        object.insert("score".into(), json!(self.score));
        object.insert("track".into(), json!(self.track));
        object.insert("points".into(), json!(points));
        object
    }
}

pub(super) fn check(found: &[Instance], schema: &Schema, input: &str) -> Result<()> {
    let names = schema.names.len();
    for (i, instance) in found.iter().enumerate() {
        let raw = instance.raw.as_ref().map_or(names, Vec::len);
        if instance.points.len() != names || raw != names {
            let found = instance.points.len();
            bail!("{input}: instance {i} has {found} points ({raw} unsmoothed), the model has {names}");
        }
    }
    Ok(())
}

/// Columns of an instance.
const INSTANCE: [&str; 7] = ["instance", "track", "box_x", "box_y", "box_w", "box_h", "score"];
/// Columns of a point.
pub(super) const LONG_COLUMNS: &[&str] =
    &["instance", "track", "point", "name", "x", "y", "score", "raw_x", "raw_y"];

pub(super) fn wide_columns(schema: &Schema) -> Vec<String> {
    let mut header = INSTANCE.map(String::from).to_vec();
    for name in &schema.names {
        header.extend(["x", "y", "score"].map(|c| format!("{name}_{c}")));
    }
    header
}

fn track(instance: &Instance) -> String {
    instance.track.map_or_else(String::new, |t| t.to_string())
}

pub(super) fn wide_rows(found: &[Instance]) -> Vec<Vec<String>> {
    let row = |(index, instance): (usize, &Instance)| {
        let mut fields = vec![index.to_string(), track(instance)];
        fields.extend(instance.bbox.iter().map(|&v| number(v)));
        fields.push(number(instance.score));
        for p in &instance.points {
            fields.extend([number(p.at[0]), number(p.at[1]), single(p.score)]);
        }
        fields
    };
    found.iter().enumerate().map(row).collect()
}

pub(super) fn long_rows(found: &[Instance], schema: &Schema) -> Vec<Vec<String>> {
    found.iter().enumerate().flat_map(|(index, instance)| long(index, instance, schema)).collect()
}

fn long(index: usize, instance: &Instance, schema: &Schema) -> Vec<Vec<String>> {
    let row = |(i, p): (usize, &Point)| {
        let raw = instance.raw.as_ref().and_then(|raw| raw.get(i));
        let [raw_x, raw_y] = raw.map_or_else(Default::default, |&[x, y]| [number(x), number(y)]);
        vec![
            index.to_string(),
            track(instance),
            i.to_string(),
            schema.names.get(i).cloned().unwrap_or_default(),
            number(p.at[0]),
            number(p.at[1]),
            single(p.score),
            raw_x,
            raw_y,
        ]
    };
    instance.points.iter().enumerate().map(row).collect()
}

pub(super) fn lines(found: &[Instance]) -> Vec<String> {
    if found.is_empty() {
        return vec!["nobody found".into()];
    }
    let line = |i: &Instance| {
        let [x, y, w, h] = i.bbox;
        let (points, score) = (i.points.len(), i.score);
        format!("{points} points in box {x:.0},{y:.0},{w:.0},{h:.0}, mean score {score:.2}")
    };
    found.iter().map(line).collect()
}

pub(super) fn overlay(image: &Image, schema: &Schema, found: &[Instance], boxed: bool) -> Image {
    let mut picture = image.clone();
    draw_instances(&mut picture, schema, found, &style(schema, boxed));
    picture
}

/// The names, lines and pairs as the drawing wants them.
pub fn draw_schema(schema: &Schema) -> draw::Schema<'_> {
    draw::Schema {
        names: (&schema.names[..]).into(),
        skeleton: (&schema.skeleton[..]).into(),
        flip_pairs: (&schema.flip_pairs[..]).into(),
        set: schema.point_set().filter(|s| s.is_face()),
    }
}

/// How instances of a task are drawn.
pub fn style(schema: &Schema, boxed: bool) -> PoseStyle {
    let threshold = crate::tasks::row(schema.task).threshold;
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
