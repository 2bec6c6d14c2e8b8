//! Class masks over their image: overlay, borders, legend, plain colours.

use super::palette::Palette;
use super::shape::{fill_rect, mix};
use super::text::{TextStyle, draw_text, fitted, ink_on, text_size};
use hrnet_image::Image;

/// A class id for every pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask<'a> {
    width: usize,
    height: usize,
    ids: &'a [u16],
    ignore: Option<u16>,
}

impl<'a> Mask<'a> {
    /// A mask over `width * height` ids, row by row; `None` when the number does not fit.
    pub fn new(width: usize, height: usize, ids: &'a [u16]) -> Option<Self> {
        let fits = width > 0 && width.checked_mul(height) == Some(ids.len()) && !ids.is_empty();
        fits.then_some(Self { width, height, ids, ignore: None })
    }

    /// The id of pixels that belong to no class: they stay uncovered and count for nothing.
    pub fn ignoring(self, id: u16) -> Self {
        Self { ignore: Some(id), ..self }
    }

    /// Width.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The ids, row by row.
    pub fn ids(&self) -> &'a [u16] {
        self.ids
    }

    /// The class at a pixel; `None` where it is ignored.
    pub fn class(&self, x: usize, y: usize) -> Option<u16> {
        self.ids.get(y * self.width + x).copied().filter(|id| Some(*id) != self.ignore)
    }

    /// The classes that occur and their shares of the pixels that count, the largest first.
    pub fn shares(&self) -> Vec<(u16, f64)> {
        let mut counts = vec![0u64; 1 << 16];
        for &id in self.ids {
            counts[usize::from(id)] += 1;
        }
        if let Some(id) = self.ignore {
            counts[usize::from(id)] = 0;
        }
        let total: u64 = counts.iter().sum();
        let mut out: Vec<(u16, f64)> = (0..=u16::MAX)
            .zip(&counts)
            .filter(|&(_, &n)| n > 0)
            .map(|(id, &n)| (id, n as f64 / total as f64))
            .collect();
        out.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        out
    }
}

/// How an overlay looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskStyle {
    /// Opacity of the classes, 0 to 1.
    pub opacity: f32,
    /// Draw borders between classes.
    pub borders: bool,
    /// A class that is not covered, as background often is.
    pub clear: Option<u16>,
}

impl Default for MaskStyle {
    fn default() -> Self {
        Self { opacity: 0.55, borders: true, clear: None }
    }
}

/// Lays the classes over the image. A mask of another size is stretched to the image, each pixel taking the nearest id.
pub fn overlay(image: &mut Image, mask: &Mask<'_>, palette: &Palette, style: &MaskStyle) {
    let (width, height) = (image.width(), image.height());
    let columns: Vec<usize> = (0..width).map(|x| x * mask.width / width).collect();
    let row_of = |y: usize| y * mask.height / height;
    // Borders grow with the picture, so that they are seen when a large one is shrunk to a screen.
    let reach = ((width.min(height) as f64 / 900.0).round() as usize).clamp(1, 8);
    let opacity = style.opacity.clamp(0.0, 1.0);
    for y in 0..height {
        let row = row_of(y);
        let above = row_of(y.saturating_sub(reach));
        for x in 0..width {
            let class = mask.class(columns[x], row);
            let beside = columns[x.saturating_sub(reach)];
            let border =
                style.borders && (class != mask.class(columns[x], above) || class != mask.class(beside, row));
            let old = image.pixel(x, y);
            let covered = match class.filter(|c| Some(*c) != style.clear) {
                Some(c) => mix(old, palette.colour(usize::from(c)), opacity),
                None => old,
            };
            let new = if border { mix(covered, [255; 3], 0.7) } else { covered };
            image.set_pixel(x, y, new);
        }
    }
}

/// The mask in the colours of its classes; ignored pixels are black.
pub fn colours(mask: &Mask<'_>, palette: &Palette) -> Image {
    let mut out = Image::filled(mask.width, mask.height, [0; 3]);
    for (pixel, &id) in out.data_mut().chunks_exact_mut(3).zip(mask.ids) {
        if Some(id) != mask.ignore {
            pixel.copy_from_slice(&palette.colour(usize::from(id)));
        }
    }
    out
}

/// The name that is shown for a class.
fn class_name(names: &[String], class: u16) -> String {
    names.get(usize::from(class)).cloned().unwrap_or_else(|| format!("class {class}"))
}

/// A strip of `width` pixels with colour, name and share of every class that occurs.
pub fn legend(width: usize, mask: &Mask<'_>, palette: &Palette, names: &[String]) -> Image {
    let width = width.max(1);
    let size = ((width as f64 / 55.0).round() as usize).clamp(8, 96);
    let entries: Vec<(u16, String, String)> = mask
        .shares()
        .into_iter()
        .map(|(class, share)| {
            let percent = if share < 0.0005 { "<0.1%".into() } else { format!("{:.1}%", share * 100.0) };
            (class, class_name(names, class), percent)
        })
        .collect();
    let gap = size / 2 + 2;
    let swatch = size + size / 4;
    let share_width = text_size("100.0%", size)[0];
    let longest = entries.iter().map(|(_, name, _)| text_size(name, size)[0]).max().unwrap_or(0);
    let wanted = gap + swatch + gap + longest + gap + share_width + gap;
    let columns = (width / wanted.max(1)).clamp(1, entries.len().max(1));
    let column = width / columns;
    let row = size + size / 2;
    let rows = entries.len().div_ceil(columns);
    let mut out = Image::filled(width, (rows * row + gap).max(1), [24, 24, 27]);
    let room = column.saturating_sub(gap * 4 + swatch + share_width);
    for (i, (class, name, percent)) in entries.iter().enumerate() {
        // Down the columns, so that the largest classes are read first.
        let (left, top) = (i / rows.max(1) * column + gap, i % rows.max(1) * row + gap / 2 + size / 4);
        let rgb = palette.colour(usize::from(*class));
        let at = [left as f64 - 0.5, top as f64 - 0.5, swatch as f64, size as f64];
        fill_rect(&mut out, at.map(f64::round).map(|v| v - 0.5), ink_on([24; 3]), 0.35);
        fill_rect(
            &mut out,
            [left as f64 + 0.5, top as f64 + 0.5, swatch as f64 - 2.0, size as f64 - 2.0],
            rgb,
            1.0,
        );
        let text = TextStyle::new(size, [235; 3]);
        let text_left = (left + swatch + gap) as f64;
        draw_text(&mut out, [text_left, top as f64], &fitted(name, size, room), text);
        let share_left = (left + column).saturating_sub(gap * 2 + text_size(percent, size)[0]);
        draw_text(&mut out, [share_left as f64, top as f64], percent, TextStyle::new(size, [170; 3]));
    }
    out
}

/// The image with the overlay and the legend below.
pub fn overlay_with_legend(
    image: &Image,
    mask: &Mask<'_>,
    palette: &Palette,
    names: &[String],
    style: &MaskStyle,
) -> Image {
    let mut top = image.clone();
    overlay(&mut top, mask, palette, style);
    below(&top, &legend(image.width(), mask, palette, names))
}

/// Two images of one width, one below the other; of different widths, the second starts at the left.
fn below(top: &Image, bottom: &Image) -> Image {
    let mut out = Image::filled(top.width(), top.height() + bottom.height(), [24, 24, 27]);
    let row = top.width() * 3;
    out.data_mut()[..top.data().len()].copy_from_slice(top.data());
    for y in 0..bottom.height() {
        let n = bottom.width().min(top.width()) * 3;
        let from = y * bottom.width() * 3;
        let to = (top.height() + y) * row;
        out.data_mut()[to..to + n].copy_from_slice(&bottom.data()[from..from + n]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [u16; 8] = [0, 0, 1, 1, 0, 0, 7, 9];

    fn mask() -> Mask<'static> {
        Mask::new(4, 2, &IDS).unwrap().ignoring(9)
    }

    #[test]
    fn shares_count_what_is_not_ignored() {
        assert_eq!(mask().shares(), [(0, 4.0 / 7.0), (1, 2.0 / 7.0), (7, 1.0 / 7.0)]);
        assert_eq!(Mask::new(4, 2, &[9; 8]).unwrap().ignoring(9).shares(), []);
        assert_eq!(mask().class(3, 1), None);
        assert!(Mask::new(3, 2, &IDS).is_none() && Mask::new(0, 0, &[]).is_none());
        assert!(Mask::new(usize::MAX, 2, &IDS).is_none());
    }

    #[test]
    fn the_overlay_mixes_and_leaves_ignored_pixels() {
        let palette = Palette::new(vec![[200, 0, 0], [0, 200, 0]]);
        let style = MaskStyle { opacity: 0.5, borders: false, clear: Some(1) };
        let mut image = Image::filled(4, 2, [100; 3]);
        overlay(&mut image, &mask(), &palette, &style);
        assert_eq!(
            (image.pixel(0, 0), image.pixel(2, 0), image.pixel(3, 1)),
            ([150, 50, 50], [100; 3], [100; 3])
        );
        // The same mask over an image twice as large.
        let mut large = Image::filled(8, 4, [100; 3]);
        overlay(&mut large, &mask(), &palette, &style);
        assert!((0..32).all(|i| large.pixel(i % 8, i / 8) == image.pixel(i % 8 / 2, i / 16)));
        // Borders lie on the first pixel of the next class.
        let mut lined = Image::filled(4, 2, [100; 3]);
        overlay(&mut lined, &mask(), &palette, &MaskStyle { borders: true, ..style });
        assert_eq!(lined.pixel(1, 0), image.pixel(1, 0));
        assert!(lined.pixel(2, 0)[0] > 180);
        assert_eq!(colours(&mask(), &palette).pixel(3, 1), [0; 3]);
        assert_eq!(colours(&mask(), &palette).pixel(2, 0), [0, 200, 0]);
    }

    #[test]
    fn legends_hold_every_class_at_any_width() {
        let names = vec!["sky".to_string(), "鼻 <b>".repeat(40)];
        for width in [1, 7, 64, 300, 6000] {
            let strip = legend(width, &mask(), &Palette::distinct(3), &names);
            assert_eq!(strip.width(), width);
            if width >= 64 {
                for class in [0, 1, 7] {
                    let rgb = Palette::distinct(3).colour(class);
                    assert!(strip.data().chunks(3).any(|p| p == rgb), "class {class} at {width}");
                }
            }
        }
        let image = Image::filled(5, 9, [1; 3]);
        let whole = overlay_with_legend(&image, &mask(), &Palette::distinct(3), &[], &MaskStyle::default());
        assert!(whole.width() == 5 && whole.height() > 9);
    }
}
