//! Landmarks of faces: points and the outlines of their regions.
//!
//! Sizes follow the drawn face. Points are coloured discs in a white ring, so they show on any background.

use super::shape::{WHITE, disc, stroke};
use crate::sets::PointSet;
use hrnet_image::Image;

/// How points and lines look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    /// Radius of a point in pixels; from the extent of the points when `None`.
    pub radius: Option<f64>,
    /// Draw the outlines of the point set.
    pub lines: bool,
    /// Draw the points.
    pub points: bool,
    /// One colour for everything, instead of one per region.
    pub colour: Option<[u8; 3]>,
    /// Opacity of the lines, 0 to 1.
    pub line_opacity: f32,
    /// Points with a score below this are drawn hollow.
    pub hollow_below: f32,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            radius: None,
            lines: true,
            points: true,
            colour: None,
            line_opacity: 0.8,
            hollow_below: f32::NEG_INFINITY,
        }
    }
}

/// Region colours: distinct for most kinds of colour vision (after Okabe and Ito), dark enough for a white ring.
const PALETTE: [[u8; 3]; 6] =
    [[0, 130, 220], [240, 130, 0], [0, 158, 115], [214, 39, 120], [213, 60, 0], [130, 90, 220]];

/// The colour of a region: mirrored regions share one.
fn region_colour(name: &str, index: usize) -> [u8; 3] {
    let stem = name.strip_prefix("left_").or_else(|| name.strip_prefix("right_")).unwrap_or(name);
    let fixed = match stem {
        "jaw" | "arm" => 0,
        "brow" | "leg" => 1,
        "nose_bridge" | "nostrils" | "torso" => 2,
        "eye" | "pupil" | "head" => 3,
        "outer_lips" => 4,
        "inner_lips" => 5,
        _ => index % PALETTE.len(),
    };
    PALETTE[fixed]
}

/// Draws points, and the outlines of `set` when it has as many points. Points that are not finite are left out. `scores`, when
/// given, decide which points are hollow.
pub fn draw_landmarks(
    image: &mut Image,
    points: &[[f64; 2]],
    scores: Option<&[f32]>,
    set: Option<&PointSet>,
    style: &Style,
) {
    let finite = |p: &[f64; 2]| p[0].is_finite() && p[1].is_finite();
    let radius = style.radius.unwrap_or_else(|| default_radius(points)).max(0.5);
    let set = set.filter(|s| s.count == points.len());
    let mut colours = vec![style.colour.unwrap_or(PALETTE[0]); points.len()];
    if let Some(set) = set {
        for (i, outline) in set.outlines.iter().enumerate() {
            let colour = style.colour.unwrap_or_else(|| region_colour(outline.name, i));
            for &p in outline.points {
                colours[p] = colour;
            }
            if style.lines {
                let mut line: Vec<[f64; 2]> =
                    outline.points.iter().map(|&p| points[p]).filter(finite).collect();
                if outline.closed && line.len() > 2 {
                    line.push(line[0]);
                }
                // A light, wider line below keeps the colour visible on dark and busy ground.
                stroke(image, &line, radius * 0.65 + 0.6, WHITE, style.line_opacity * 0.45);
                stroke(image, &line, (radius * 0.4).max(0.5), colour, style.line_opacity);
            }
        }
    }
    if style.points {
        for (i, p) in points.iter().enumerate().filter(|(_, p)| finite(p)) {
            let hollow = scores.and_then(|s| s.get(i)).is_some_and(|&s| s < style.hollow_below);
            disc(image, *p, radius + (radius * 0.35).max(0.4), WHITE, 0.9);
            disc(image, *p, radius, colours[i], 1.0);
            if hollow {
                disc(image, *p, radius * 0.55, WHITE, 1.0);
            }
        }
    }
}

/// A point radius that suits the extent of the points.
fn default_radius(points: &[[f64; 2]]) -> f64 {
    let extent = |axis: usize| {
        let values = points.iter().map(|p| p[axis]).filter(|v| v.is_finite());
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        (high - low).max(0.0)
    };
    if points.is_empty() { 1.0 } else { (extent(0).max(extent(1)) * 0.0095).clamp(1.2, 40.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sets::FACE68;

    #[test]
    fn every_point_of_a_face_is_visible() {
        let points: Vec<[f64; 2]> =
            (0..68).map(|i| [20.0 + (i % 10) as f64 * 20.0, 20.0 + (i / 10) as f64 * 20.0]).collect();
        for background in [[0; 3], [255; 3], [128, 60, 60]] {
            let mut image = Image::filled(240, 180, background);
            draw_landmarks(&mut image, &points, None, Some(&FACE68), &Style::default());
            for p in &points {
                let seen = image.pixel(p[0] as usize, p[1] as usize);
                let difference: u32 = (0..3).map(|c| u32::from(seen[c].abs_diff(background[c]))).sum();
                assert!(difference > 80, "{p:?} {seen:?}");
            }
        }
        let mut image = Image::filled(240, 180, [0; 3]);
        let style = Style { hollow_below: 0.5, ..Style::default() };
        draw_landmarks(&mut image, &points[..1], Some(&[0.2]), None, &Style { radius: Some(5.0), ..style });
        assert_eq!(image.pixel(20, 20), WHITE);
    }
}
