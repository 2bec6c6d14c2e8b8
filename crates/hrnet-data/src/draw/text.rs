//! Text in pictures: ASCII and Latin-1, at any size.
//!
//! The glyphs are the public-domain bitmap fonts of X11, by way of `embedded-graphics`. Up to 20 pixels a font is drawn as it was
//! designed; above, the largest is enlarged with smooth outlines. Characters without a glyph become a question mark.

use embedded_graphics::image::GetPixel as _;
use embedded_graphics::mono_font::{MonoFont, iso_8859_1 as fonts};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::{OriginDimensions as _, Point};

use super::shape::{blend, fill_rounded};
use hrnet_image::Image;

/// How text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextStyle {
    /// Height of a line in pixels, from 6 on. Fonts exist for 6 to 10, 12 to 15, 18 and 20; other sizes take the next smaller one.
    pub size: usize,
    /// Colour.
    pub rgb: [u8; 3],
    /// Heavier strokes (from 13 pixels on).
    pub bold: bool,
}

impl TextStyle {
    /// Plain text.
    pub fn new(size: usize, rgb: [u8; 3]) -> Self {
        Self { size, rgb, bold: false }
    }

    /// The same in bold.
    pub fn bold(self) -> Self {
        Self { bold: true, ..self }
    }
}

/// Where a text lies about the point it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anchor {
    /// The point is the upper left corner of the text.
    #[default]
    Below,
    /// The point is the lower left corner.
    Above,
    /// The point is the centre.
    Centre,
}

/// The largest text that is drawn; beyond it a picture is no longer a picture.
const MAX_SIZE: usize = 512;

struct Face {
    font: &'static MonoFont<'static>,
    /// Enlargement of the font.
    scale: f64,
}

fn face(size: usize, bold: bool) -> Face {
    let size = size.clamp(6, MAX_SIZE);
    let font = match (size, bold) {
        (..8, _) => &fonts::FONT_4X6,
        (8, _) => &fonts::FONT_5X8,
        (9, _) => &fonts::FONT_6X9,
        (..12, _) => &fonts::FONT_6X10,
        (12, _) => &fonts::FONT_6X12,
        (13, false) => &fonts::FONT_7X13,
        (13, true) => &fonts::FONT_7X13_BOLD,
        (14, false) => &fonts::FONT_7X14,
        (14, true) => &fonts::FONT_7X14_BOLD,
        (..18, false) => &fonts::FONT_9X15,
        (..18, true) => &fonts::FONT_9X15_BOLD,
        (..20, false) => &fonts::FONT_9X18,
        (_, true) => &fonts::FONT_9X18_BOLD,
        _ => &fonts::FONT_10X20,
    };
    let height = font.character_size.height as f64;
    Face { font, scale: if size > 20 { size as f64 / height } else { 1.0 } }
}

/// The character that is drawn: typographic marks have a plain twin, and everything unknown is `?` in the font's table.
fn plain(c: char) -> char {
    match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{2018}' | '\u{2019}' | '\u{2032}' => '\'',
        '\u{201c}' | '\u{201d}' | '\u{2033}' => '"',
        '\u{2022}' => '\u{b7}',
        '\t' => ' ',
        c => c,
    }
}

/// Width and height of a text in pixels. Lines are parted by `\n`.
pub fn text_size(text: &str, size: usize) -> [usize; 2] {
    text_size_styled(text, size, false)
}

/// The same for bold text.
pub(super) fn text_size_styled(text: &str, size: usize, bold: bool) -> [usize; 2] {
    let face = face(size, bold);
    let widest = text.lines().map(|l| l.chars().count()).max().unwrap_or(0);
    let cell = face.font.character_size;
    let side = |cells: usize, pixels: u32| (cells as f64 * f64::from(pixels) * face.scale).ceil() as usize;
    [side(widest, cell.width), side(text.lines().count().max(1), cell.height)]
}

/// The text, shortened to `width` pixels; what was cut is marked by two dots.
pub fn fitted(text: &str, size: usize, width: usize) -> String {
    let cell = text_size("m", size)[0].max(1);
    let room = width / cell;
    if text.chars().count() <= room {
        return text.to_string();
    }
    let kept: String = text.chars().take(room.saturating_sub(2)).collect();
    if room > 2 { format!("{}..", kept.trim_end()) } else { text.chars().take(room).collect() }
}

/// How much of a text pixel is covered: that of the glyph where the font has its own size, smooth outlines where it is enlarged.
fn cover(face: &Face, glyph: Point, x: f64, y: f64) -> f32 {
    let on = |px: i32, py: i32| {
        let cell = face.font.character_size;
        let inside = (0..cell.width as i32).contains(&px) && (0..cell.height as i32).contains(&py);
        let bit = inside && face.font.image.pixel(glyph + Point::new(px, py)) == Some(BinaryColor::On);
        f64::from(u8::from(bit))
    };
    if face.scale == 1.0 {
        return on(x as i32, y as i32) as f32;
    }
    let (u, v) = ((x + 0.5) / face.scale - 0.5, (y + 0.5) / face.scale - 0.5);
    let (px, py) = (u.floor(), v.floor());
    let (fx, fy) = (u - px, v - py);
    let (px, py) = (px as i32, py as i32);
    let row = |r: i32| on(px, r) * (1.0 - fx) + on(px + 1, r) * fx;
    let value = row(py) * (1.0 - fy) + row(py + 1) * fy;
    // The outline is where half of a pixel would be covered; its slope is that of one output pixel.
    ((value - 0.5) * face.scale + 0.5).clamp(0.0, 1.0) as f32
}

/// Calls `paint` for every covered pixel within `seen` (`[x0, y0, x1, y1]`, without the last), relative to the upper left corner
/// of the text.
fn rasterise(text: &str, face: &Face, seen: [i64; 4], mut paint: impl FnMut(i64, i64, f32)) {
    let cell = face.font.character_size;
    let per_row = (face.font.image.size().width / cell.width).max(1);
    let (step_x, step_y) = (f64::from(cell.width) * face.scale, f64::from(cell.height) * face.scale);
    let (w, h) = (step_x.ceil() as i64 + 1, step_y.ceil() as i64 + 1);
    for (row, line) in text.lines().enumerate() {
        let top = (row as f64 * step_y).round() as i64;
        for (column, c) in line.chars().map(plain).enumerate() {
            let left = (column as f64 * step_x).round() as i64;
            let outside = left >= seen[2] || top >= seen[3] || left + w <= seen[0] || top + h <= seen[1];
            if c == ' ' || outside {
                continue;
            }
            let index = face.font.glyph_mapping.index(c) as u32;
            let at =
                Point::new((index % per_row * cell.width) as i32, (index / per_row * cell.height) as i32);
            for y in (seen[1] - top).max(0)..(seen[3] - top).min(h) {
                for x in (seen[0] - left).max(0)..(seen[2] - left).min(w) {
                    let c = cover(face, at, x as f64, y as f64);
                    if c > 0.0 {
                        paint(left + x, top + y, c);
                    }
                }
            }
        }
    }
}

/// The pixel nearest to a position, or `None` far away from any image.
fn nearest(at: [f64; 2]) -> Option<[i64; 2]> {
    at.iter().all(|v| v.abs() < 1e9).then(|| at.map(|v| v.round() as i64))
}

/// Draws text with its upper left corner at `at`.
pub fn draw_text(image: &mut Image, at: [f64; 2], text: &str, style: TextStyle) {
    let Some([left, top]) = nearest(at) else { return };
    let (w, h) = (image.width() as i64, image.height() as i64);
    rasterise(text, &face(style.size, style.bold), [-left, -top, w - left, h - top], |x, y, c| {
        blend(image, (left + x) as usize, (top + y) as usize, style.rgb, c);
    });
}

/// Draws text that reads upwards, with the *lower* left corner of the turned text at `at`.
pub fn draw_text_upwards(image: &mut Image, at: [f64; 2], text: &str, style: TextStyle) {
    let Some([left, bottom]) = nearest(at) else { return };
    let (w, h) = (image.width() as i64, image.height() as i64);
    rasterise(
        text,
        &face(style.size, style.bold),
        [bottom - h + 1, -left, bottom + 1, w - left],
        |x, y, c| {
            blend(image, (left + y) as usize, (bottom - x) as usize, style.rgb, c);
        },
    );
}

/// Black or white, whichever reads better on a colour.
pub fn ink_on(background: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = background.map(f32::from);
    if 0.299 * r + 0.587 * g + 0.114 * b > 140.0 { [16; 3] } else { [255; 3] }
}

/// Draws text on a box of colour `background`, moved so that it lies within the image as far as it fits. Returns the box.
pub fn draw_label(
    image: &mut Image,
    at: [f64; 2],
    anchor: Anchor,
    text: &str,
    size: usize,
    background: [u8; 3],
) -> Option<[f64; 4]> {
    nearest(at)?;
    let [w, h] = text_size(text, size);
    let pad = (size as f64 * 0.2).round().max(1.0);
    let (w, h) = (w as f64 + 2.0 * pad, h as f64 + (pad / 2.0).round());
    let (x, y) = match anchor {
        Anchor::Below => (at[0], at[1]),
        Anchor::Above => (at[0], at[1] - h),
        Anchor::Centre => (at[0] - w / 2.0, at[1] - h / 2.0),
    };
    let within = |v: f64, size: f64, side: usize| v.min(side as f64 - size).max(0.0).round();
    let (x, y) = (within(x, w, image.width()), within(y, h, image.height()));
    fill_rounded(image, [x - 0.5, y - 0.5, w, h], size as f64 * 0.2, background, 0.88);
    let style = TextStyle::new(size, ink_on(background));
    draw_text(image, [x + pad, y + (pad / 4.0).round()], text, style);
    Some([x, y, w, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    const INK: [u8; 3] = [255; 3];

    fn rows(image: &Image) -> Vec<String> {
        (0..image.height())
            .map(|y| {
                let bright = |x| if image.pixel(x, y)[0] > 127 { '#' } else { '.' };
                (0..image.width()).map(bright).collect()
            })
            .collect()
    }

    #[test]
    fn glyphs_are_those_of_the_font() {
        let mut image = Image::filled(12, 10, [0; 3]);
        draw_text(&mut image, [0.0, 0.0], "Tü", TextStyle::new(10, INK));
        assert_eq!(
            rows(&image),
            [
                "............",
                "#####..#.#..",
                "..#.........",
                "..#...#...#.",
                "..#...#...#.",
                "..#...#...#.",
                "..#...#..##.",
                "..#....##.#.",
                "............",
                "............",
            ]
        );
        let mut turned = Image::filled(10, 12, [0; 3]);
        draw_text_upwards(&mut turned, [0.0, 11.0], "Tü", TextStyle::new(10, INK));
        for y in 0..10 {
            for x in 0..12 {
                assert_eq!(turned.pixel(y, 11 - x), image.pixel(x, y));
            }
        }
    }

    #[test]
    fn sizes_follow_the_text() {
        assert_eq!(text_size("abc", 10), [18, 10]);
        assert_eq!(text_size("abc\nd", 20), [30, 40]);
        assert_eq!(text_size("abc", 60), [90, 60]);
        assert_eq!(text_size("", 13), [0, 13]);
        assert_eq!(fitted("left_shoulder", 10, 48), "left_s..");
        assert_eq!(fitted("nose", 10, 48), "nose");
        assert_eq!(fitted("nose", 10, 0), "");
        // Enlarged, the same share of the area is covered.
        let area = |size: usize| {
            let mut image = Image::filled(size * 2, size, [0; 3]);
            draw_text(&mut image, [0.0, 0.0], "HRN", TextStyle::new(size, INK));
            image.data().iter().map(|&v| f64::from(v)).sum::<f64>() / (size * size) as f64
        };
        assert!((area(80) / area(20) - 1.0).abs() < 0.1, "{} {}", area(80), area(20));
    }

    #[test]
    fn any_text_anywhere_is_harmless() {
        for text in ["", "\n\n", "\0\u{7f}\u{ffff}", "鼻 nase 😀", "–“x”…", &"x".repeat(3000)] {
            for at in [[0.0, 0.0], [-1e18, 3.0], [f64::NAN, 0.0], [5.0, f64::INFINITY], [-3.0, 4.0]] {
                for size in [0, 7, 13, 33, 100_000] {
                    let mut image = Image::filled(1, 1, [0; 3]);
                    draw_text(&mut image, at, text, TextStyle::new(size, INK).bold());
                    draw_text_upwards(&mut image, at, text, TextStyle::new(size, INK));
                    draw_label(&mut image, at, Anchor::Centre, text, size.min(64), INK);
                }
            }
        }
        // Without a glyph, a question mark.
        let drawn = |text: &str| {
            let mut image = Image::filled(10, 12, [0; 3]);
            draw_text(&mut image, [0.0, 0.0], text, TextStyle::new(12, INK));
            image
        };
        assert_eq!(drawn("鼻"), drawn("?"));
        assert_eq!(drawn("—"), drawn("-"));
        assert_ne!(drawn("é"), drawn("e"));
    }

    #[test]
    fn labels_stay_within_the_image() {
        for at in [[-50.0, -50.0], [500.0, 500.0], [50.0, 0.0]] {
            for anchor in [Anchor::Above, Anchor::Below, Anchor::Centre] {
                let mut image = Image::filled(100, 60, [0; 3]);
                let [x, y, w, h] = draw_label(&mut image, at, anchor, "0.97", 13, [0, 90, 200]).unwrap();
                assert!(x >= 0.0 && y >= 0.0 && x + w <= 100.0 && y + h <= 60.0, "{at:?}");
            }
        }
        assert_eq!((ink_on([250; 3]), ink_on([0, 0, 200])), ([16; 3], [255; 3]));
    }
}
