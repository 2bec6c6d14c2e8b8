//! Pages of pictures: scaling, contact sheets, captions.

use super::skeleton::{Person, PoseStyle, Schema, draw_people};
use super::text::{TextStyle, draw_text, fitted, text_size};
use crate::geometry::Crop;
use hrnet_image::Image;
use hrnet_image::warp::{Affine, warp_bilinear_u8};

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

/// A picture with words below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// The picture.
    pub image: Image,
    /// Lines parted by `\n`; what does not fit is cut.
    pub caption: String,
}

const PAGE: [u8; 3] = [24, 24, 27];

/// Lays pictures with captions out in rows, each scaled into a cell of `cell` (width, height) pixels, under a title (which may be
/// empty). `None` when there is nothing to lay out or the page would be too large.
pub fn tile_sheet(tiles: &[Tile], columns: usize, cell: [usize; 2], title: &str) -> Option<Image> {
    let [cell_w, cell_h] = cell;
    if tiles.is_empty() || columns == 0 || cell_w == 0 || cell_h == 0 {
        return None;
    }
    let columns = columns.min(tiles.len());
    let rows = tiles.len().div_ceil(columns);
    let size = (cell_w / 16).clamp(8, 40);
    let gap = (size / 2).max(4);
    let lines = tiles.iter().map(|t| t.caption.lines().count()).max().unwrap_or(0);
    let line = text_size("m", size)[1];
    let caption = if lines == 0 { 0 } else { lines * line + gap / 2 };
    let title_size = size * 3 / 2;
    let head = if title.is_empty() { 0 } else { text_size(title, title_size)[1] + gap };
    let w = cell_w.checked_add(gap)?.checked_mul(columns)?.checked_add(gap)?;
    let h = cell_h.checked_add(gap + caption)?.checked_mul(rows)?.checked_add(gap + head)?;
    w.checked_mul(h)?.checked_mul(3)?;
    let mut sheet = Image::filled(w, h, PAGE);
    let heading = TextStyle::new(title_size, [245; 3]).bold();
    draw_text(&mut sheet, [gap as f64, gap as f64], &fitted(title, title_size, w - 2 * gap), heading);
    for (i, tile) in tiles.iter().enumerate() {
        let left = gap + i % columns * (cell_w + gap);
        let top = gap + head + i / columns * (cell_h + gap + caption);
        paste(&mut sheet, &fit(&tile.image, cell_w, cell_h, [12, 12, 14]), left, top);
        for (n, text) in tile.caption.lines().enumerate() {
            let at = [left as f64, (top + cell_h + gap / 4 + n * line) as f64];
            let grey = if n == 0 { 235 } else { 165 };
            draw_text(&mut sheet, at, &fitted(text, size, cell_w), TextStyle::new(size, [grey; 3]));
        }
    }
    Some(sheet)
}

/// Copies a picture that lies within the page.
fn paste(page: &mut Image, image: &Image, left: usize, top: usize) {
    let (n, stride) = (image.width() * 3, page.width() * 3);
    for (y, row) in image.data().chunks_exact(n).enumerate() {
        let at = (top + y) * stride + left * 3;
        page.data_mut()[at..at + n].copy_from_slice(row);
    }
}

/// A person as labelled (grey and white, below) and as predicted (in colours, above).
pub fn draw_comparison(
    image: &mut Image,
    schema: &Schema<'_>,
    labelled: &[Person<'_>],
    predicted: &[Person<'_>],
    style: &PoseStyle,
) {
    let below = PoseStyle { colour: Some([205; 3]), boxes: false, labels: false, names: false, ..*style };
    draw_people(image, schema, labelled, &PoseStyle { opacity: style.opacity * 0.85, ..below });
    draw_people(image, schema, predicted, style);
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn tiles_lie_in_rows_with_room_for_words() {
        let tile =
            |rgb| Tile { image: Image::filled(20, 20, rgb), caption: "a name that is too long\n0.5".into() };
        let tiles: Vec<Tile> = (0..5).map(|i| tile([200, i * 40, 0])).collect();
        let page = tile_sheet(&tiles, 3, [64, 64], "Worst").unwrap();
        let bare = tile_sheet(&tiles, 3, [64, 64], "").unwrap();
        assert!(page.height() > bare.height() && page.width() == bare.width());
        for i in 0..5u8 {
            let count = bare.data().chunks(3).filter(|p| *p == [200, i * 40, 0]).count();
            assert_eq!(count, 64 * 64, "tile {i}");
        }
        assert_eq!(tile_sheet(&tiles, 0, [64, 64], ""), None);
        assert_eq!(tile_sheet(&[], 3, [64, 64], ""), None);
        assert_eq!(tile_sheet(&tiles, 3, [usize::MAX, 2], ""), None);
    }

    #[test]
    fn predictions_lie_over_labels() {
        let schema = Schema::default();
        let person = |points| Person { points, ..Person::default() };
        let mut image = Image::filled(60, 60, [0; 3]);
        let style = PoseStyle { radius: Some(4.0), ..PoseStyle::default() };
        draw_comparison(
            &mut image,
            &schema,
            &[person(&[[15.0, 30.0], [45.0, 30.0]])],
            &[person(&[[45.0, 30.0]])],
            &style,
        );
        let [r, g, b] = image.pixel(15, 30);
        assert!(r == g && g == b && r > 150);
        assert_eq!(image.pixel(45, 30), crate::draw::skeleton::Side::Middle.colour());
    }
}
