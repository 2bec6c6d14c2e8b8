//! Overlays for people to look at: points, outlines, boxes, contact sheets.
//!
//! Shapes are drawn by distance: a pixel is covered by how far it lies inside the shape, so edges are smooth at any size.
//! Sizes follow the drawn face or body. Points are coloured discs in a white ring, so they show on any background.

use crate::geometry::{Affine, Crop, warp_bilinear_u8};
use crate::image::Image;
use crate::points::PointSet;

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

const WHITE: [u8; 3] = [255; 3];

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

/// The pixels of the image within the box from `low` to `high`; empty when it is outside or not finite.
fn pixels(image: &Image, low: [f64; 2], high: [f64; 2]) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
    let range = |axis: usize, side: usize| {
        let first = low[axis].floor().max(0.0) as usize;
        let last = (high[axis].ceil().max(-1.0) + 1.0).min(side as f64) as usize;
        first..last.max(first)
    };
    (range(0, image.width()), range(1, image.height()))
}

fn blend(image: &mut Image, x: usize, y: usize, rgb: [u8; 3], alpha: f32) {
    if alpha > 0.0 {
        let old = image.pixel(x, y);
        let mix =
            |c: usize| (f32::from(old[c]) + (f32::from(rgb[c]) - f32::from(old[c])) * alpha + 0.5) as u8;
        image.set_pixel(x, y, [mix(0), mix(1), mix(2)]);
    }
}

/// Fills a disc.
pub fn disc(image: &mut Image, centre: [f64; 2], radius: f64, rgb: [u8; 3], alpha: f32) {
    let reach = radius + 1.0;
    let (columns, rows) = pixels(image, centre.map(|c| c - reach), centre.map(|c| c + reach));
    for y in rows {
        for x in columns.clone() {
            let distance = (x as f64 - centre[0]).hypot(y as f64 - centre[1]);
            let cover = (radius - distance + 0.5).clamp(0.0, 1.0) as f32;
            blend(image, x, y, rgb, cover * alpha);
        }
    }
}

/// Draws connected lines with round ends; overlapping pieces are covered once.
pub fn stroke(image: &mut Image, line: &[[f64; 2]], half_width: f64, rgb: [u8; 3], alpha: f32) {
    let reach = half_width + 1.0;
    let bound = |f: fn(f64, f64) -> f64, start: f64, axis: usize| line.iter().map(|p| p[axis]).fold(start, f);
    let low = [0, 1].map(|a| bound(f64::min, f64::INFINITY, a) - reach);
    let high = [0, 1].map(|a| bound(f64::max, f64::NEG_INFINITY, a) + reach);
    if line.len() < 2 || !low.iter().chain(&high).all(|v| v.is_finite()) {
        return;
    }
    let (columns, rows) = pixels(image, low, high);
    let (width, left, top) = (columns.len(), columns.start, rows.start);
    let mut cover = vec![0.0f32; width * rows.len()];
    for piece in line.windows(2) {
        let (a, b) = (piece[0], piece[1]);
        let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
        let length2 = (dx * dx + dy * dy).max(1e-12);
        let low = [a[0].min(b[0]) - reach, a[1].min(b[1]) - reach];
        let high = [a[0].max(b[0]) + reach, a[1].max(b[1]) + reach];
        let (part_columns, part_rows) = pixels(image, low, high);
        for y in part_rows {
            for x in part_columns.clone() {
                let (px, py) = (x as f64 - a[0], y as f64 - a[1]);
                let t = ((px * dx + py * dy) / length2).clamp(0.0, 1.0);
                let distance = (px - t * dx).hypot(py - t * dy);
                let value = (half_width - distance + 0.5).clamp(0.0, 1.0) as f32;
                let slot = &mut cover[(y - top) * width + (x - left)];
                *slot = slot.max(value);
            }
        }
    }
    for (i, &c) in cover.iter().enumerate() {
        if c > 0.0 {
            blend(image, left + i % width, top + i / width, rgb, c * alpha);
        }
    }
}

/// Draws the outline of a box `[x, y, w, h]` with a white rim.
pub fn draw_box(image: &mut Image, [x, y, w, h]: [f64; 4], rgb: [u8; 3], width: f64) {
    let line = [[x, y], [x + w, y], [x + w, y + h], [x, y + h], [x, y]];
    stroke(image, &line, width * 0.5 + 0.8, WHITE, 0.6);
    stroke(image, &line, width * 0.5, rgb, 1.0);
}

/// Enlarges a small image, so that an overlay on it has room, or shrinks a large one. Points move with [`scale_points`].
pub fn resized(image: &Image, factor: f64) -> Image {
    let side = |n: usize| ((n as f64 * factor).round().max(1.0)) as usize;
    let (w, h) = (side(image.width()), side(image.height()));
    fit(image, w, h, [0; 3])
}

/// Points of an image as points of [`resized`].
pub fn scale_points(points: &[[f64; 2]], factor: f64) -> Vec<[f64; 2]> {
    points.iter().map(|p| p.map(|v| (v + 0.5) * factor - 0.5)).collect()
}

/// The whole image, as large as fits into `width` by `height`, on a background.
fn fit(image: &Image, width: usize, height: usize, background: [u8; 3]) -> Image {
    let (w, h) = (image.width() as f64, image.height() as f64);
    let scale = (width as f64 / w).min(height as f64 / h);
    let (in_w, in_h) = ((w * scale).round().max(1.0) as usize, (h * scale).round().max(1.0) as usize);
    // Beyond its border the image is continued by its edge pixels; otherwise black would be blended in.
    let to_output: Affine = Crop::new([(w - 1.0) / 2.0, (h - 1.0) / 2.0], w, h).to_affine(in_w, in_h);
    let inner = warp_bilinear_u8(&padded(image), &shifted(&to_output), in_w, in_h);
    let mut out = Image::filled(width, height, background);
    let (left, top) = ((width - in_w.min(width)) / 2, (height - in_h.min(height)) / 2);
    for y in 0..in_h.min(height) {
        for x in 0..in_w.min(width) {
            out.set_pixel(left + x, top + y, inner.pixel(x, y));
        }
    }
    out
}

/// The image with its border repeated once.
fn padded(image: &Image) -> Image {
    let (w, h) = (image.width(), image.height());
    let mut out = Image::filled(w + 2, h + 2, [0; 3]);
    for y in 0..h + 2 {
        for x in 0..w + 2 {
            out.set_pixel(x, y, image.pixel(x.saturating_sub(1).min(w - 1), y.saturating_sub(1).min(h - 1)));
        }
    }
    out
}

/// A map of an image as a map of its padded copy.
fn shifted(map: &Affine) -> Affine {
    Affine([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]]).then(map)
}

/// Lays images out in rows of `columns`, each scaled into a square cell of `cell` pixels; for pages of worst cases.
pub fn contact_sheet(images: &[Image], columns: usize, cell: usize) -> Option<Image> {
    const GAP: usize = 6;
    const BACKGROUND: [u8; 3] = [24, 24, 27];
    if images.is_empty() || columns == 0 || cell == 0 {
        return None;
    }
    let columns = columns.min(images.len());
    let rows = images.len().div_ceil(columns);
    let side = |n: usize| n.checked_mul(cell.checked_add(GAP)?)?.checked_add(GAP);
    let (w, h) = (side(columns)?, side(rows)?);
    w.checked_mul(h)?.checked_mul(3)?;
    let mut sheet = Image::filled(w, h, BACKGROUND);
    for (i, image) in images.iter().enumerate() {
        let tile = fit(image, cell, cell, BACKGROUND);
        let (left, top) = (GAP + i % columns * (cell + GAP), GAP + i / columns * (cell + GAP));
        for y in 0..cell {
            for x in 0..cell {
                sheet.set_pixel(left + x, top + y, tile.pixel(x, y));
            }
        }
    }
    Some(sheet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::FACE68;

    #[test]
    fn shapes_cover_what_they_should() {
        let mut image = Image::filled(40, 30, [0; 3]);
        disc(&mut image, [10.0, 10.0], 4.0, [200, 0, 0], 1.0);
        assert_eq!(
            (image.pixel(10, 10), image.pixel(13, 10), image.pixel(16, 10)),
            ([200, 0, 0], [200, 0, 0], [0; 3])
        );
        assert_eq!(image.pixel(14, 10), [100, 0, 0]);
        // The covered area is that of the disc.
        let area: f64 = image.data().iter().step_by(3).map(|&v| f64::from(v) / 200.0).sum();
        assert!((area - std::f64::consts::PI * 16.0).abs() < 0.6, "{area}");

        let mut image = Image::filled(40, 30, [0; 3]);
        stroke(&mut image, &[[5.0, 15.0], [30.0, 15.0], [30.0, 5.0]], 1.5, [100; 3], 0.5);
        // The corner is covered once.
        assert_eq!(
            (image.pixel(20, 15), image.pixel(30, 15), image.pixel(30, 8)),
            ([50; 3], [50; 3], [50; 3])
        );
        assert_eq!(image.pixel(10, 10), [0; 3]);
    }

    #[test]
    fn drawing_outside_or_with_odd_numbers_is_harmless() {
        let clean = Image::filled(20, 20, [9; 3]);
        let mut image = clean.clone();
        for p in [[-50.0, 5.0], [500.0, 500.0], [f64::NAN, 1.0], [1.0, f64::INFINITY], [1e300, -1e300]] {
            disc(&mut image, p, 3.0, [1; 3], 1.0);
            stroke(&mut image, &[p, [p[0] + 5.0, p[1]]], 2.0, [1; 3], 1.0);
            draw_box(&mut image, [p[0], p[1], 5.0, 5.0], [1; 3], 2.0);
            draw_landmarks(&mut image, &[p; 3], None, None, &Style::default());
        }
        stroke(&mut image, &[], 2.0, [1; 3], 1.0);
        draw_landmarks(&mut image, &[], None, Some(&FACE68), &Style::default());
        assert_eq!(image, clean);
    }

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

    #[test]
    fn resizing_and_sheets_keep_flat_pictures_flat() {
        let image = Image::filled(30, 20, [50, 60, 70]);
        let big = resized(&image, 3.0);
        assert_eq!((big.width(), big.height()), (90, 60));
        assert!(big.data().chunks(3).all(|p| p == [50, 60, 70]));
        assert_eq!(scale_points(&[[0.0, 9.5]], 2.0), [[0.5, 19.5]]);
        let sheet = contact_sheet(&vec![image; 5], 3, 40).unwrap();
        assert_eq!((sheet.width(), sheet.height()), (6 + 3 * 46, 6 + 2 * 46));
        assert_eq!(sheet.pixel(26, 26), [50, 60, 70]);
        assert_eq!(contact_sheet(&[], 3, 40), None);
    }
}
