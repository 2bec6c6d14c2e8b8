//! Persons and animals: points, lines between them, box and label, for any set of points.
//!
//! The left side has one hue, the right another, the middle a third. Lines of weak points are thinner and fainter. Where several
//! persons are drawn, each has a rim, a box and a label in a colour of its own.

use std::borrow::Cow;

use super::colour::accent;
use super::landmarks::{Style, draw_landmarks};
use super::shape::{WHITE, disc, draw_box, ring, stroke};
use super::text::{Anchor, draw_label};
use crate::dataset::model::Category;
use crate::sets::PointSet;
use crate::sets::naming::pairs_from_names;
use hrnet_image::Image;

/// What the points are and how they hang together. Anything may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema<'a> {
    /// Names of the points.
    pub names: Cow<'a, [String]>,
    /// Lines between points, 0-based. Lines to points that do not exist are not drawn.
    pub skeleton: Cow<'a, [[usize; 2]]>,
    /// Points that change places in a mirrored image. Which of two is the left one is read from the names.
    pub flip_pairs: Cow<'a, [(usize, usize)]>,
    /// The set, where it is known by name. A set of regions (faces) is drawn by region.
    pub set: Option<&'a PointSet>,
}

impl<'a> Schema<'a> {
    /// The schema of a category of a data set.
    pub fn of_category(category: &'a Category) -> Self {
        Self {
            names: Cow::Borrowed(&category.points),
            skeleton: Cow::Borrowed(&category.skeleton),
            flip_pairs: Cow::Borrowed(&category.flip_pairs),
            set: None,
        }
    }

    /// The schema of a point set.
    pub fn of_set(set: &'a PointSet) -> Self {
        Self {
            names: Cow::Owned(set.names()),
            skeleton: Cow::Owned(set.drawn_lines()),
            flip_pairs: Cow::Borrowed(set.flip_pairs),
            set: Some(set),
        }
    }

    /// A schema of names alone: pairs from their sides, no lines.
    pub fn of_names(names: &'a [String]) -> Self {
        Self {
            names: Cow::Borrowed(names),
            flip_pairs: Cow::Owned(pairs_from_names(names)),
            ..Self::default()
        }
    }

    /// The side of each of `count` points: from the names; where they say nothing, the first of a pair counts as left.
    pub fn sides(&self, count: usize) -> Vec<Side> {
        let mut sides: Vec<Side> =
            (0..count).map(|i| self.names.get(i).map_or(Side::Middle, |n| side_of_name(n))).collect();
        for &(a, b) in self.flip_pairs.iter().filter(|(a, b)| a.max(b) < &count && a != b) {
            (sides[a], sides[b]) = match (sides[a], sides[b]) {
                (Side::Middle, Side::Middle) | (Side::Left, _) | (_, Side::Right) => {
                    (Side::Left, Side::Right)
                }
                _ => (Side::Right, Side::Left),
            };
        }
        sides
    }
}

/// The side of the body, as the person has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Left.
    Left,
    /// Right.
    Right,
    /// Neither.
    Middle,
}

impl Side {
    /// The colour of the side.
    pub fn colour(self) -> [u8; 3] {
        match self {
            Self::Left => [0, 152, 255],
            Self::Right => [255, 106, 0],
            Self::Middle => [40, 200, 90],
        }
    }

    /// The side of a line between points of two sides.
    fn of_line(a: Self, b: Self) -> Self {
        match (a, b) {
            (Self::Middle, other) | (other, Self::Middle) => other,
            (a, b) if a == b => a,
            _ => Self::Middle,
        }
    }
}

/// The side that a name speaks of: the word `left` or `right`, `l` or `r`, or 左 or 右.
fn side_of_name(name: &str) -> Side {
    let lower = name.to_lowercase();
    let word = |w: &str| lower.split(|c: char| !c.is_alphanumeric()).any(|part| part == w);
    let starts = |w: &str| lower.starts_with(w);
    if word("left") || word("l") || starts("left") || lower.contains('左') {
        Side::Left
    } else if word("right") || word("r") || starts("right") || lower.contains('右') {
        Side::Right
    } else {
        Side::Middle
    }
}

/// One person, animal or face.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Person<'a> {
    /// The points; those that are not finite are missing.
    pub points: &'a [[f64; 2]],
    /// Their scores.
    pub scores: Option<&'a [f32]>,
    /// The box `[x, y, w, h]`.
    pub bbox: Option<[f64; 4]>,
    /// What is written beside the box: name, score, track.
    pub label: Option<&'a str>,
    /// The number that chooses the person's own colour; the place in the list when absent. Give the track id for video.
    pub id: Option<u64>,
}

/// What becomes of points under the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weak {
    /// Drawn hollow, their lines faint.
    #[default]
    Hollow,
    /// Left out with their lines.
    LeaveOut,
}

/// How persons look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoseStyle {
    /// Points with a score below this are weak.
    pub threshold: f32,
    /// What becomes of weak points.
    pub weak: Weak,
    /// Draw the lines.
    pub lines: bool,
    /// Draw the points.
    pub points: bool,
    /// Draw the boxes.
    pub boxes: bool,
    /// Write the labels.
    pub labels: bool,
    /// Write the name of each point beside it.
    pub names: bool,
    /// Radius of a point; from the size of the person when `None`.
    pub radius: Option<f64>,
    /// Opacity of everything, 0 to 1.
    pub opacity: f32,
    /// One colour for everything, instead of those of the sides.
    pub colour: Option<[u8; 3]>,
}

impl Default for PoseStyle {
    fn default() -> Self {
        Self {
            threshold: 0.2,
            weak: Weak::Hollow,
            lines: true,
            points: true,
            boxes: true,
            labels: true,
            names: false,
            radius: None,
            opacity: 1.0,
            colour: None,
        }
    }
}

/// Draws persons: boxes first, then lines and points, labels last, so that nothing covers a label.
pub fn draw_people(image: &mut Image, schema: &Schema<'_>, people: &[Person<'_>], style: &PoseStyle) {
    let colour_of = |i: usize, p: &Person<'_>| accent(p.id.map_or(i, |id| (id % 64) as usize));
    let unit = picture_unit(image);
    if style.boxes {
        for (i, person) in people.iter().enumerate() {
            if let Some(bbox) = person.bbox {
                draw_box(image, bbox, colour_of(i, person), (unit * 1.6).round().max(1.0));
            }
        }
    }
    for (i, person) in people.iter().enumerate() {
        let rim = if people.len() > 1 && style.colour.is_none() { colour_of(i, person) } else { WHITE };
        draw_points(image, schema, person, style, rim);
    }
    if style.labels {
        for (i, person) in people.iter().enumerate() {
            let Some((label, at)) = person.label.zip(label_place(person)) else { continue };
            let size = ((unit * 13.0).round() as usize).clamp(8, 160);
            draw_label(image, at, Anchor::Above, label, size, colour_of(i, person));
        }
    }
}

/// A length that grows with the picture: 1 at 640 pixels, slower than the side, so that small pictures are not covered.
fn picture_unit(image: &Image) -> f64 {
    let side = image.width().max(image.height()) as f64;
    (side / 640.0).powf(0.8).max(0.5)
}

/// Above the box, or above the points where there is no box.
fn label_place(person: &Person<'_>) -> Option<[f64; 2]> {
    let [x, y, ..] = match person.bbox {
        Some(bbox) => bbox,
        None => crate::dataset::model::extent(person.points.iter().copied().filter(finite))?,
    };
    Some([x, y - 1.0])
}

fn finite(p: &[f64; 2]) -> bool {
    p[0].is_finite() && p[1].is_finite()
}

/// The size of a person in pixels: the longer side of its points or, where few points are there, of its box.
fn extent(person: &Person<'_>, scores_at_least: f32) -> f64 {
    let strong = person.points.iter().enumerate().filter(|(i, p)| {
        finite(p) && person.scores.and_then(|s| s.get(*i)).is_none_or(|&s| s >= scores_at_least)
    });
    let points = crate::dataset::model::extent(strong.map(|(_, p)| *p))
        .map_or(0.0, |[x0, y0, x1, y1]| (x1 - x0).max(y1 - y0));
    let bbox = person.bbox.map_or(0.0, |[x0, y0, x1, y1]| (x1 - x0).max(y1 - y0));
    let bbox = if bbox.is_finite() { bbox } else { 0.0 };
    points.max(bbox * 0.7)
}

fn draw_points(image: &mut Image, schema: &Schema<'_>, person: &Person<'_>, style: &PoseStyle, rim: [u8; 3]) {
    let points = person.points;
    if let Some(set) = schema.set.filter(|s| s.is_face() && s.count == points.len()) {
        let below = if style.weak == Weak::Hollow { style.threshold } else { f32::NEG_INFINITY };
        let face = Style {
            radius: style.radius,
            lines: style.lines,
            points: style.points,
            colour: style.colour,
            line_opacity: 0.8 * style.opacity,
            hollow_below: below,
        };
        let strong: Vec<[f64; 2]> = (0..points.len())
            .map(|i| if left_out(person, style, i) { [f64::NAN; 2] } else { points[i] })
            .collect();
        draw_landmarks(image, &strong, person.scores, Some(set), &face);
        return;
    }
    let size = extent(person, style.threshold);
    let radius = style.radius.unwrap_or((size * 0.0125).clamp(1.1, 60.0)).max(0.5);
    let sides = schema.sides(points.len());
    let colour = |side: Side| style.colour.unwrap_or(side.colour());
    let score = |i: usize| person.scores.and_then(|s| s.get(i)).copied().unwrap_or(1.0);
    if style.lines {
        // Rims of all lines first: a rim never covers a line.
        for rims in [true, false] {
            for &[a, b] in schema.skeleton.iter() {
                let seen = |i: usize| points.get(i).is_some_and(finite) && !left_out(person, style, i);
                if !seen(a) || !seen(b) || a == b {
                    continue;
                }
                let trust = confidence(score(a).min(score(b)), style.threshold);
                let half = (radius * (0.35 + 0.4 * f64::from(trust))).max(0.45);
                let alpha = style.opacity * (0.35 + 0.6 * trust);
                if rims {
                    stroke(image, &[points[a], points[b]], half + (radius * 0.22).max(0.4), rim, alpha * 0.6);
                } else {
                    let side = Side::of_line(sides[a], sides[b]);
                    stroke(image, &[points[a], points[b]], half, colour(side), alpha);
                }
            }
        }
    }
    for (i, p) in points.iter().enumerate() {
        if !finite(p) || left_out(person, style, i) {
            continue;
        }
        let colour = colour(sides[i]);
        if style.points {
            let edge = (radius * 0.3).max(0.4);
            if score(i) < style.threshold {
                disc(image, *p, radius + edge, WHITE, 0.5 * style.opacity);
                ring(image, *p, radius + edge * 0.5, radius * 0.55, colour, style.opacity);
            } else {
                disc(image, *p, radius + edge, WHITE, 0.95 * style.opacity);
                disc(image, *p, radius, colour, style.opacity);
            }
        }
        if let (true, Some(name)) = (style.names, schema.names.get(i)) {
            let text = ((size * 0.035).round() as usize).clamp(8, 60);
            let beside = [p[0] + radius * 1.8, p[1] - text as f64 * 0.6];
            draw_label(image, beside, Anchor::Below, name, text, colour);
        }
    }
}

fn left_out(person: &Person<'_>, style: &PoseStyle, index: usize) -> bool {
    let score = person.scores.and_then(|s| s.get(index)).copied().unwrap_or(1.0);
    style.weak == Weak::LeaveOut && (score < style.threshold || score.is_nan())
}

/// 0 at the threshold and below, 1 where a heat map is as sure as it gets.
fn confidence(score: f32, threshold: f32) -> f32 {
    let full = (threshold + 0.5).max(0.7);
    let value = (score - threshold) / (full - threshold).max(1e-6);
    if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sets::{AP10K17, COCO17, FACE68, LSP14, PointSet};

    const BOTH: [[f64; 2]; 2] = [[20.0, 30.0], [80.0, 30.0]];

    fn pair(names: [&str; 2]) -> Schema<'static> {
        Schema {
            names: Cow::Owned(names.map(String::from).to_vec()),
            skeleton: Cow::Owned(vec![[0, 1], [1, 9], [0, 0]]),
            flip_pairs: Cow::Owned(vec![(0, 1), (4, 9), (1, 1)]),
            set: None,
        }
    }

    fn style() -> PoseStyle {
        PoseStyle { radius: Some(4.0), ..PoseStyle::default() }
    }

    #[test]
    fn sides_come_from_names_and_pairs() {
        use Side::{Left, Middle, Right};
        let side = |name: &str| side_of_name(name);
        assert_eq!(
            ["left_knee", "LEye", "knee_l", "leftKnee", "左肘"].map(side),
            [Left, Middle, Left, Left, Left]
        );
        assert_eq!(["right knee", "nose", "r.knee", "clavicle"].map(side), [Right, Middle, Right, Middle]);
        // One name of a pair is enough; without names the first is left.
        assert_eq!(pair(["x", "left_y"]).sides(2), [Right, Left]);
        assert_eq!(pair(["x", "y"]).sides(2), [Left, Right]);
        for known in PointSet::all() {
            let sides = Schema::of_set(known).sides(known.count);
            for &(a, b) in known.flip_pairs {
                assert!(sides[a] != sides[b] && sides[a] != Middle, "{} {a} {b}", known.name);
            }
        }
    }

    #[test]
    fn points_and_lines_have_the_colours_of_their_sides() {
        let schema = pair(["left_a", "right_a"]);
        let mut image = Image::filled(100, 60, [0; 3]);
        let person = Person { points: &BOTH, scores: Some(&[1.0, 1.0]), ..Person::default() };
        draw_people(&mut image, &schema, &[person], &style());
        assert_eq!(image.pixel(20, 30), Side::Left.colour());
        assert_eq!(image.pixel(80, 30), Side::Right.colour());
        let [r, g, b] = image.pixel(50, 30);
        assert!(g > 150 && r < 120 && b < 140, "{r} {g} {b}");
        // Both sides' colours are unlike each other on any channel but one.
        assert_ne!(Side::Left.colour(), Side::Right.colour());
    }

    #[test]
    fn weak_points_are_hollow_or_left_out() {
        let schema = pair(["left_a", "right_a"]);
        let person = Person { points: &BOTH, scores: Some(&[0.9, 0.1]), ..Person::default() };
        let mut image = Image::filled(100, 60, [0; 3]);
        draw_people(&mut image, &schema, &[person], &PoseStyle { lines: false, ..style() });
        assert_eq!(image.pixel(20, 30), Side::Left.colour());
        // The middle of a hollow point is not its colour, its ring is.
        assert_ne!(image.pixel(80, 30), Side::Right.colour());
        assert_eq!(image.pixel(83, 30), Side::Right.colour());
        let mut image = Image::filled(100, 60, [0; 3]);
        draw_people(&mut image, &schema, &[person], &PoseStyle { weak: Weak::LeaveOut, ..style() });
        assert_eq!((image.pixel(80, 30), image.pixel(50, 30)), ([0; 3], [0; 3]));
        let nan = Person { scores: Some(&[f32::NAN, 0.9]), ..person };
        draw_people(&mut image, &schema, &[nan], &style());
    }

    #[test]
    fn persons_differ_by_number() {
        let schema = pair(["left_a", "right_a"]);
        let at = |id| {
            let mut image = Image::filled(100, 60, [0; 3]);
            let bbox = Some([10.0, 10.0, 80.0, 40.0]);
            let person = Person { points: &BOTH, bbox, id: Some(id), ..Person::default() };
            draw_people(&mut image, &schema, &[person], &style());
            image.pixel(10, 25)
        };
        assert_ne!(at(0), at(1));
        assert_eq!(at(3), at(3 + 64));
    }

    #[test]
    fn odd_numbers_and_sizes_are_harmless() {
        let odd = [f64::NAN, f64::INFINITY, -1e300, 1e300, -7.0, 0.4, 1e7];
        let points: Vec<[f64; 2]> = (0..17).map(|i| [odd[i % 7], odd[(i * 3 + 1) % 7]]).collect();
        let scores: Vec<f32> = (0..17).map(|i| odd[i % 7] as f32).collect();
        for (w, h) in [(1, 1), (3, 200), (64, 64)] {
            let mut image = Image::filled(w, h, [9; 3]);
            for schema in [
                Schema::of_set(&COCO17),
                Schema::of_set(&FACE68),
                Schema::of_set(&AP10K17),
                Schema::default(),
            ] {
                for bbox in odd.map(|v| Some([v, 1.0, v, v])) {
                    let person = Person {
                        points: &points,
                        scores: Some(&scores),
                        bbox,
                        label: Some("鼻 0.1"),
                        id: Some(u64::MAX),
                    };
                    let style = PoseStyle { names: true, ..PoseStyle::default() };
                    draw_people(&mut image, &schema, &[person, Person::default()], &style);
                    let few = Person { points: &points[..2], scores: Some(&[]), ..person };
                    draw_people(&mut image, &schema, &[few], &style);
                }
            }
        }
        let names = vec!["left_x".to_string(), "right_x".to_string()];
        assert_eq!(Schema::of_names(&names).flip_pairs.to_vec(), [(0, 1)]);
        assert_eq!(Schema::of_set(&LSP14).names.len(), 14);
    }
}
