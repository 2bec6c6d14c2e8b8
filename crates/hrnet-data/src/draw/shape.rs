//! Shapes with smooth edges: discs, lines, rectangles, boxes.
//!
//! A pixel is covered by how far it lies inside the shape. Coordinates may be anything, not finite included.

use std::ops::Range;

use hrnet_image::Image;

pub(super) const WHITE: [u8; 3] = [255; 3];

/// The pixels of the image within the box from `low` to `high`; empty when it is outside or not finite.
pub(super) fn pixels(image: &Image, low: [f64; 2], high: [f64; 2]) -> (Range<usize>, Range<usize>) {
    let range = |axis: usize, side: usize| {
        let first = low[axis].floor().max(0.0) as usize;
        let last = (high[axis].ceil().max(-1.0) + 1.0).min(side as f64) as usize;
        first..last.max(first)
    };
    (range(0, image.width()), range(1, image.height()))
}

/// Mixes a colour into a pixel of the image.
pub(super) fn blend(image: &mut Image, x: usize, y: usize, rgb: [u8; 3], alpha: f32) {
    if alpha > 0.0 {
        let old = image.pixel(x, y);
        image.set_pixel(x, y, mix(old, rgb, alpha));
    }
}

/// `from` at 0, `to` at 1.
pub(super) fn mix(from: [u8; 3], to: [u8; 3], share: f32) -> [u8; 3] {
    let one = |c: usize| (f32::from(from[c]) + (f32::from(to[c]) - f32::from(from[c])) * share + 0.5) as u8;
    [one(0), one(1), one(2)]
}

/// Fills a disc.
pub fn disc(image: &mut Image, centre: [f64; 2], radius: f64, rgb: [u8; 3], alpha: f32) {
    ring(image, centre, radius, -1.0, rgb, alpha);
}

/// Fills the part of a disc that lies outside a smaller one.
pub fn ring(image: &mut Image, centre: [f64; 2], outer: f64, inner: f64, rgb: [u8; 3], alpha: f32) {
    let reach = outer + 1.0;
    let (columns, rows) = pixels(image, centre.map(|c| c - reach), centre.map(|c| c + reach));
    for y in rows {
        for x in columns.clone() {
            let distance = (x as f64 - centre[0]).hypot(y as f64 - centre[1]);
            let cover = (outer - distance + 0.5).clamp(0.0, 1.0) - (inner - distance + 0.5).clamp(0.0, 1.0);
            blend(image, x, y, rgb, cover as f32 * alpha);
        }
    }
}

/// Fills a rectangle `[x, y, w, h]`. Its edges lie between pixels when `x` and `y` end in a half, as all boxes of images do;
/// elsewhere the pixels of the edge are covered in part.
pub fn fill_rect(image: &mut Image, [x, y, w, h]: [f64; 4], rgb: [u8; 3], alpha: f32) {
    let (columns, rows) = pixels(image, [x - 0.5, y - 0.5], [x + w + 0.5, y + h + 0.5]);
    let cover = |at: usize, low: f64, size: f64| {
        let at = at as f64;
        ((at + 0.5).min(low + size) - (at - 0.5).max(low)).clamp(0.0, 1.0) as f32
    };
    for py in rows {
        let down = cover(py, y, h) * alpha;
        for px in columns.clone() {
            blend(image, px, py, rgb, down * cover(px, x, w));
        }
    }
}

/// Fills a rectangle with round corners.
pub fn fill_rounded(image: &mut Image, [x, y, w, h]: [f64; 4], radius: f64, rgb: [u8; 3], alpha: f32) {
    let radius = radius.min(w / 2.0).min(h / 2.0).max(0.0);
    let (columns, rows) = pixels(image, [x - 1.0, y - 1.0], [x + w + 1.0, y + h + 1.0]);
    let (cx, cy) = (x + w / 2.0, y + h / 2.0);
    for py in rows {
        for px in columns.clone() {
            let dx = (px as f64 - cx).abs() - (w / 2.0 - radius);
            let dy = (py as f64 - cy).abs() - (h / 2.0 - radius);
            let distance = dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0) - radius;
            blend(image, px, py, rgb, (0.5 - distance).clamp(0.0, 1.0) as f32 * alpha);
        }
    }
}

/// The columns of row `y` in which a line from `a` to `b` may have pixels within `reach`.
fn columns_near(a: [f64; 2], b: [f64; 2], reach: f64, y: f64, all: &Range<usize>) -> Range<usize> {
    let (mut low, mut high) = (a[0].min(b[0]), a[0].max(b[0]));
    let dy = b[1] - a[1];
    if dy.abs() > 1e-9 {
        let at = |level: f64| a[0] + ((level - a[1]) / dy).clamp(0.0, 1.0) * (b[0] - a[0]);
        let (p, q) = (at(y - reach), at(y + reach));
        (low, high) = (p.min(q), p.max(q));
    }
    let first = ((low - reach).floor().max(0.0) as usize).max(all.start);
    let last = ((high + reach).ceil().max(-1.0) + 1.0) as usize;
    first..last.min(all.end).max(first)
}

/// Calls `paint` with the cover of every pixel near a line.
fn along(
    image_part: (Range<usize>, Range<usize>),
    a: [f64; 2],
    b: [f64; 2],
    half_width: f64,
    mut paint: impl FnMut(usize, usize, f32),
) {
    let (columns, rows) = image_part;
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let length2 = (dx * dx + dy * dy).max(1e-12);
    for y in rows {
        for x in columns_near(a, b, half_width + 1.0, y as f64, &columns) {
            let (px, py) = (x as f64 - a[0], y as f64 - a[1]);
            let t = ((px * dx + py * dy) / length2).clamp(0.0, 1.0);
            let distance = (px - t * dx).hypot(py - t * dy);
            // Lines thinner than a pixel are fainter, not thinner: they would come and go.
            let value = (half_width.max(0.5) - distance + 0.5).clamp(0.0, 1.0) as f32;
            if value > 0.0 {
                paint(x, y, value * (half_width * 2.0).clamp(0.0, 1.0) as f32);
            }
        }
    }
}

/// Draws connected lines with round ends; overlapping pieces are covered once.
pub fn stroke(image: &mut Image, line: &[[f64; 2]], half_width: f64, rgb: [u8; 3], alpha: f32) {
    let reach = half_width + 1.0;
    let part = |image: &Image, points: &[[f64; 2]]| {
        let bound =
            |f: fn(f64, f64) -> f64, start: f64, axis: usize| points.iter().map(|p| p[axis]).fold(start, f);
        let low = [0, 1].map(|a| bound(f64::min, f64::INFINITY, a) - reach);
        let high = [0, 1].map(|a| bound(f64::max, f64::NEG_INFINITY, a) + reach);
        let finite = line.iter().flatten().all(|v| v.is_finite()) && reach.is_finite();
        finite.then(|| pixels(image, low, high))
    };
    if line.len() < 2 {
        return;
    }
    let Some((columns, rows)) = part(image, line) else { return };
    if let [a, b] = *line {
        along((columns, rows), a, b, half_width, |x, y, c| blend(image, x, y, rgb, c * alpha));
        return;
    }
    let (width, left, top) = (columns.len(), columns.start, rows.start);
    let mut cover = vec![0.0f32; width * rows.len()];
    for piece in line.windows(2) {
        let Some(near) = part(image, piece) else { continue };
        along(near, piece[0], piece[1], half_width, |x, y, c| {
            let slot = &mut cover[(y - top) * width + (x - left)];
            *slot = slot.max(c);
        });
    }
    for (i, &c) in cover.iter().enumerate() {
        if c > 0.0 {
            blend(image, left + i % width, top + i / width, rgb, c * alpha);
        }
    }
}

/// Draws the outline of a box `[x, y, w, h]` with a white rim.
pub fn draw_box(image: &mut Image, bbox: [f64; 4], rgb: [u8; 3], width: f64) {
    if bbox.iter().all(|v| v.is_finite()) {
        frame(image, bbox, width + 1.6, WHITE, 0.6);
        frame(image, bbox, width, rgb, 1.0);
    }
}

/// The outline of a box as four rectangles that do not overlap.
fn frame(image: &mut Image, [x, y, w, h]: [f64; 4], width: f64, rgb: [u8; 3], alpha: f32) {
    let half = width / 2.0;
    for side in [-half, h - half] {
        fill_rect(image, [x - half, y + side, w + width, width], rgb, alpha);
    }
    for side in [-half, w - half] {
        fill_rect(image, [x + side, y + half, width, h - width], rgb, alpha);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::{Style, draw_landmarks};
    use crate::sets::FACE68;

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
}
