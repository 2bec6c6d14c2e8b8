//! A laid-out chart as a picture on white.

use super::super::shape::{disc, fill_rect, mix, stroke};
use super::super::text::{TextStyle, draw_text, draw_text_upwards, text_size_styled};
use super::scene::{Align, Ink, Mark, Scene};
use hrnet_image::Image;

const PAPER: [u8; 3] = [255; 3];
const TEXT: [u8; 3] = [24, 28, 34];

/// Scene coordinates lie on the edges of pixels, those of images on their centres.
fn pixel([x, y]: [f64; 2]) -> [f64; 2] {
    [x - 0.5, y - 0.5]
}

fn rgb(ink: Ink) -> [u8; 3] {
    match ink {
        Ink::Text => TEXT,
        Ink::Rgb(rgb) => rgb,
    }
}

pub fn draw(scene: &Scene) -> Image {
    let mut image = Image::filled(scene.width.max(1), scene.height.max(1), PAPER);
    for mark in &scene.marks {
        match mark {
            Mark::Rect { at: [x, y, w, h], ink, alpha } => {
                fill_rect(&mut image, [x - 0.5, y - 0.5, *w, *h], rgb(*ink), *alpha as f32);
            }
            Mark::Line { points, width, ink, alpha, dashed } => {
                let straight =
                    points.len() == 2 && (points[0][0] == points[1][0] || points[0][1] == points[1][1]);
                if straight && !dashed {
                    ruled(&mut image, points[0], points[1], *width, rgb(*ink), *alpha as f32);
                    continue;
                }
                let points: Vec<[f64; 2]> = points.iter().copied().map(pixel).collect();
                let pieces = if *dashed { dashes(&points, 6.0, 5.0) } else { vec![points] };
                for piece in pieces {
                    stroke(&mut image, &piece, width / 2.0, rgb(*ink), *alpha as f32);
                }
            }
            Mark::Dot { at, radius, ink } => disc(&mut image, pixel(*at), *radius, rgb(*ink), 1.0),
            Mark::Text { at, text, size, align, upwards, bold, ink, alpha } => {
                let colour = mix(PAPER, rgb(*ink), *alpha as f32);
                let style = TextStyle { size: *size, rgb: colour, bold: *bold };
                let [w, h] = text_size_styled(text, *size, *bold).map(|v| v as f64);
                let back = match align {
                    Align::Start => 0.0,
                    Align::Middle => w / 2.0,
                    Align::End => w,
                };
                if *upwards {
                    let at = [at[0] - h / 2.0, at[1] + back - 1.0];
                    draw_text_upwards(&mut image, at, text, style);
                } else {
                    draw_text(&mut image, [at[0] - back, at[1] - h / 2.0], text, style);
                }
            }
        }
    }
    image
}

/// A line along an axis, moved to whole pixels: crisp.
fn ruled(image: &mut Image, a: [f64; 2], b: [f64; 2], width: f64, rgb: [u8; 3], alpha: f32) {
    let thick = width.round().max(1.0);
    let across = if a[1] == b[1] { 1 } else { 0 };
    let mut at = [a[0].min(b[0]), a[1].min(b[1])];
    let mut size = [(a[0] - b[0]).abs(), (a[1] - b[1]).abs()];
    at[across] = (at[across] - thick / 2.0).round();
    size[across] = thick;
    fill_rect(image, [at[0] - 0.5, at[1] - 0.5, size[0], size[1]], rgb, alpha);
}

/// A line cut into pieces of length `on` with gaps of length `off`.
fn dashes(points: &[[f64; 2]], on: f64, off: f64) -> Vec<Vec<[f64; 2]>> {
    let mut out = Vec::new();
    let (mut drawing, mut left) = (true, on);
    let mut piece: Vec<[f64; 2]> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let (mut a, b) = (pair[0], pair[1]);
        loop {
            let length = (b[0] - a[0]).hypot(b[1] - a[1]);
            if length <= left || !length.is_finite() {
                left -= length;
                piece.push(b);
                break;
            }
            let t = left / length;
            a = [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])];
            piece.push(a);
            let done = std::mem::replace(&mut piece, vec![a]);
            if drawing {
                out.push(done);
            }
            drawing = !drawing;
            left = if drawing { on } else { off };
        }
    }
    if drawing && piece.len() > 1 {
        out.push(piece);
    }
    out
}
