//! Heat maps over the crop they were computed from, all maps of a person on one sheet.

use super::colour;
use super::shape::{disc, mix, ring};
use super::sheet::{Tile, resized, tile_sheet};
use hrnet_image::Image;

/// Maps of one person, `[count, height, width]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeatMaps<'a> {
    maps: &'a [f32],
    width: usize,
    height: usize,
}

impl<'a> HeatMaps<'a> {
    /// Maps of `height` by `width` values; `None` when the values are no whole number of maps.
    pub fn new(maps: &'a [f32], height: usize, width: usize) -> Option<Self> {
        let one = height.checked_mul(width)?;
        (one > 0 && !maps.is_empty() && maps.len().is_multiple_of(one)).then_some(Self {
            maps,
            width,
            height,
        })
    }

    /// Number of maps.
    pub fn count(&self) -> usize {
        self.maps.len() / (self.width * self.height)
    }

    fn map(&self, index: usize) -> &'a [f32] {
        let one = self.width * self.height;
        &self.maps[index * one..(index + 1) * one]
    }
}

/// The colour of a heat of 0 to 1: lightness rises evenly from near black over violet, red and orange to pale yellow. The map is
/// generated: a path of rising lightness through OKLCh.
pub fn heat_colour(value: f32) -> [u8; 3] {
    colour::heat(f64::from(value))
}

/// The largest value of a map and where it is; values that are not numbers are passed over.
fn peak(map: &[f32], width: usize) -> Option<(f32, [usize; 2])> {
    let best = map
        .iter()
        .enumerate()
        .filter(|(_, v)| v.is_finite())
        .max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)))?;
    Some((*best.1, [best.0 % width, best.0 / width]))
}

/// One map over the crop. `full` is the value that is drawn brightest. The crop is seen where the map is near zero.
pub fn heat_overlay(crop: &Image, map: &[f32], height: usize, width: usize, full: f32) -> Option<Image> {
    if width == 0 || height == 0 || width.checked_mul(height) != Some(map.len()) {
        return None;
    }
    let table: Vec<[u8; 3]> = (0..256).map(|i| heat_colour(i as f32 / 255.0)).collect();
    let full = if full.is_finite() && full > 0.0 { full } else { 1.0 };
    let mut out = crop.clone();
    // Map pixels and crop pixels share their outer edges.
    let (sx, sy) = (width as f64 / crop.width() as f64, height as f64 / crop.height() as f64);
    let near = |v: f64, side: usize| {
        let v = v.clamp(0.0, (side - 1) as f64);
        let low = v.floor() as usize;
        (low, (low + 1).min(side - 1), (v - v.floor()) as f32)
    };
    let value = |i: usize| if map[i].is_finite() { map[i] } else { 0.0 };
    for y in 0..crop.height() {
        let (y0, y1, fy) = near((y as f64 + 0.5) * sy - 0.5, height);
        for x in 0..crop.width() {
            let (x0, x1, fx) = near((x as f64 + 0.5) * sx - 0.5, width);
            let top = value(y0 * width + x0) * (1.0 - fx) + value(y0 * width + x1) * fx;
            let bottom = value(y1 * width + x0) * (1.0 - fx) + value(y1 * width + x1) * fx;
            let v = ((top * (1.0 - fy) + bottom * fy) / full).clamp(0.0, 1.0);
            let old = out.pixel(x, y);
            let [r, g, b] = old.map(f32::from);
            let grey = (0.299 * r + 0.587 * g + 0.114 * b) * 0.55;
            let dim = mix(old, [grey as u8; 3], 0.75);
            let dim = mix(dim, [0; 3], 0.25);
            out.set_pixel(x, y, mix(dim, table[(v * 255.0) as usize], v.sqrt().min(0.95)));
        }
    }
    Some(out)
}

/// All maps of a person over its crop, each with its name and its peak's value; the peak is marked by a ring. All maps are drawn to
/// one scale, so that a weak map looks weak: the largest peak is brightest, or 1 when none reaches a tenth of it.
///
/// `cell` is the longer side of a tile in pixels. `None` when there is nothing to draw.
pub fn heat_sheet(
    crop: &Image,
    maps: &HeatMaps<'_>,
    names: &[String],
    title: &str,
    cell: usize,
) -> Option<Image> {
    if cell == 0 {
        return None;
    }
    let peaks: Vec<Option<(f32, [usize; 2])>> =
        (0..maps.count()).map(|i| peak(maps.map(i), maps.width)).collect();
    let largest = peaks.iter().flatten().map(|p| p.0).fold(0.0f32, f32::max);
    let full = if largest > 0.1 { largest } else { 1.0 };
    let base = resized(crop, cell as f64 / crop.width().max(crop.height()) as f64);
    let mut tiles = Vec::with_capacity(maps.count());
    for (i, peak) in peaks.iter().enumerate() {
        let mut image = heat_overlay(&base, maps.map(i), maps.height, maps.width, full)?;
        let name = names.get(i).cloned().unwrap_or_else(|| format!("map {i}"));
        let caption = match peak {
            Some((score, [x, y])) => {
                let scale =
                    |v: usize, from: usize, to: usize| (v as f64 + 0.5) / from as f64 * to as f64 - 0.5;
                let at = [scale(*x, maps.width, image.width()), scale(*y, maps.height, image.height())];
                let radius = (cell as f64 / 32.0).max(2.0);
                ring(&mut image, at, radius + 0.9, radius - 0.9, [255; 3], 0.9);
                disc(&mut image, at, 0.9, [255; 3], 0.9);
                format!("{name}\n{score:.2}")
            }
            None => format!("{name}\nno number"),
        };
        tiles.push(Tile { image, caption });
    }
    let (w, h) = (base.width() as f64, base.height() as f64);
    // A sheet of about 3:2.
    let columns = ((tiles.len() as f64 * 1.5 * h / w).sqrt().round() as usize).clamp(1, tiles.len());
    tile_sheet(&tiles, columns, [base.width(), base.height()], title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warmer_is_lighter() {
        let grey = |v: f32| {
            let [r, g, b] = heat_colour(v).map(f32::from);
            0.299 * r + 0.587 * g + 0.114 * b
        };
        let levels: Vec<f32> = (0..=10).map(|i| grey(i as f32 / 10.0)).collect();
        assert!(levels.windows(2).all(|w| w[1] > w[0]), "{levels:?}");
        assert!(levels[0] < 20.0 && levels[10] > 220.0);
        assert_eq!(heat_colour(f32::NAN), heat_colour(0.0));
        assert_eq!(heat_colour(7.0), heat_colour(1.0));
    }

    #[test]
    fn the_peak_is_bright_where_it_is() {
        let mut map = vec![0.0; 16 * 12];
        map[4 * 12 + 9] = 0.8;
        map[0] = f32::NAN;
        let crop = Image::filled(48, 64, [120; 3]);
        let drawn = heat_overlay(&crop, &map, 16, 12, 0.8).unwrap();
        assert!(drawn.pixel(38, 18)[0] > 200 && drawn.pixel(5, 50)[0] < 80);
        assert_eq!(peak(&map, 12), Some((0.8, [9, 4])));
        assert_eq!(peak(&[f32::NAN; 4], 2), None);
        assert!(heat_overlay(&crop, &map, 16, 11, 0.8).is_none());
    }

    #[test]
    fn sheets_of_any_maps() {
        let crop = Image::filled(48, 64, [120; 3]);
        for values in [vec![0.5; 17 * 12], vec![f32::NAN; 12], vec![-1.0; 24]] {
            let maps = HeatMaps::new(&values, 4, 3).unwrap();
            let sheet = heat_sheet(&crop, &maps, &["nose".into()], "sheet", 40).unwrap();
            assert!(sheet.width() > 30 && sheet.height() > 40);
            heat_sheet(&Image::filled(1, 1, [0; 3]), &maps, &[], "", 1).unwrap();
        }
        assert!(HeatMaps::new(&[0.0; 13], 4, 3).is_none() && HeatMaps::new(&[], 4, 3).is_none());
        assert!(HeatMaps::new(&[0.0; 13], 0, 3).is_none());
    }
}
