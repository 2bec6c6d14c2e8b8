//! Unbiased data processing (UDP, Huang et al. 2020): targets of its two heads, and the decoder of the offset head.
//!
//! Points are heat-map pixels in UDP's measure: input coordinates divided by `(in - 1) / (map - 1)`
//! ([`input_to_heatmap`]). The Gaussian head is decoded by [`super::heatmap::SubPixel::Udp`].
//!
//! The combined head has three maps per joint, `[joints, 3, h, w]`: a disc of radius `r = factor * max(w, h)` about the
//! joint, and the offsets `dx / r`, `dy / r` to it.

use super::heatmap::{Peak, argmax, dark};
use hrnet_image::warp::Affine;

/// The published radius of the disc over the longer side of the map.
pub const RADIUS_FACTOR: f64 = 0.054_687_5;

/// From input pixels to heat-map pixels in UDP's measure; sizes are (width, height). `None` when a side has fewer than 2 pixels.
pub fn input_to_heatmap(input: [usize; 2], heatmap: [usize; 2]) -> Option<Affine> {
    if input.iter().chain(&heatmap).any(|&n| n < 2) {
        return None;
    }
    let [sx, sy] = [0, 1].map(|i| (heatmap[i] - 1) as f64 / (input[i] - 1) as f64);
    Some(Affine([[sx, 0.0, 0.0], [0.0, sy, 0.0]]))
}

/// Draws a Gaussian centred at the real-valued `centre` on the patch of radius `3 sigma` about the rounded pixel. Returns the
/// weight: 0 and an empty map when the patch is off the map or the centre is not finite, else 1.
///
/// # Panics
/// When `map` has not `height * width` elements.
pub fn encode_gaussian(centre: [f64; 2], sigma: f64, height: usize, width: usize, map: &mut [f32]) -> f32 {
    assert_eq!(map.len(), height * width, "the map has {width}x{height} pixels");
    map.fill(0.0);
    if centre.iter().any(|c| !c.is_finite() || c.abs() > 1e9) {
        return 0.0;
    }
    let middle = centre.map(|c| (c + 0.5).trunc());
    let low = middle.map(|m| (m - 3.0 * sigma) as i64);
    let high = middle.map(|m| (m + 3.0 * sigma + 1.0) as i64);
    let (w, h) = (width as i64, height as i64);
    if low[0] >= w || low[1] >= h || high[0] < 0 || high[1] < 0 {
        return 0.0;
    }
    for y in low[1].max(0)..high[1].min(h) {
        for x in low[0].max(0)..high[0].min(w) {
            let d = (x as f64 - centre[0]).powi(2) + (y as f64 - centre[1]).powi(2);
            map[y as usize * width + x as usize] = (-d / (2.0 * sigma * sigma)).exp() as f32;
        }
    }
    1.0
}

/// Draws the three maps of the combined head: disc, x offset, y offset. The offsets fill the whole map, as published; the loss
/// weighs them by the disc. Returns the weight: 0 and empty maps when the centre is not finite, else 1.
///
/// # Panics
/// When `maps` has not `3 * height * width` elements.
pub fn encode_combined(
    centre: [f64; 2],
    radius_factor: f64,
    height: usize,
    width: usize,
    maps: &mut [f32],
) -> f32 {
    let size = height * width;
    assert_eq!(maps.len(), 3 * size, "three maps of {width}x{height}");
    if centre.iter().any(|c| !c.is_finite()) {
        maps.fill(0.0);
        return 0.0;
    }
    let radius = radius_factor * width.max(height) as f64;
    for y in 0..height {
        for x in 0..width {
            let (dx, dy) = ((centre[0] - x as f64) / radius, (centre[1] - y as f64) / radius);
            let i = y * width + x;
            maps[i] = if dx * dx + dy * dy <= 1.0 { 1.0 } else { 0.0 };
            maps[size + i] = dx as f32;
            maps[2 * size + i] = dy as f32;
        }
    }
    1.0
}

/// Decodes the combined head `[joints, 3, h, w]`: blur of the disc map with a kernel of `2 kernel + 1` and of the offset maps
/// with `kernel` (11 as published; border mirrored), maximum of the disc, plus the offset there. The score is the maximum of the blurred
/// disc. A joint whose maximum is not above zero decodes to (0, 0).
///
/// # Panics
/// When `maps` is not a whole number of triples of maps.
pub fn decode_combined(
    maps: &[f32],
    height: usize,
    width: usize,
    kernel: usize,
    radius_factor: f64,
) -> Vec<Peak> {
    let size = height * width;
    assert!(
        size > 0 && maps.len().is_multiple_of(3 * size),
        "{} values are not triples of {width}x{height} maps",
        maps.len()
    );
    let radius = radius_factor * width.max(height) as f64;
    let (disc_taps, offset_taps) = (dark::taps(2 * kernel + 1), dark::taps(kernel));
    maps.chunks_exact(3 * size)
        .map(|triple| {
            let blur = |i: usize, taps: &[f64]| {
                dark::blur(&triple[i * size..(i + 1) * size], width, taps, dark::Border::Reflect101)
            };
            let disc: Vec<f32> = blur(0, &disc_taps).into_iter().map(|v| v as f32).collect();
            let (index, score) = argmax(&disc);
            if score <= 0.0 {
                return Peak { x: 0.0, y: 0.0, score };
            }
            let offset = [1, 2].map(|i| blur(i, &offset_taps)[index] * radius);
            let [dx, dy] = if offset.iter().all(|v| v.is_finite()) { offset } else { [0.0; 2] };
            Peak { x: (index % width) as f64 + dx, y: (index / width) as f64 + dy, score }
        })
        .collect()
}

/// The flip test of the combined head: brings the maps of the mirrored input back, changes the sign of the x offsets, averages.
/// There is no shift by a pixel.
///
/// # Panics
/// When a length does not fit.
pub fn merge_flip_combined(
    maps: &mut [f32],
    mut flipped: Vec<f32>,
    height: usize,
    width: usize,
    permutation: &[usize],
) {
    let triples: Vec<usize> = permutation.iter().flat_map(|&j| [3 * j, 3 * j + 1, 3 * j + 2]).collect();
    super::heatmap::flip_maps_back(&mut flipped, height, width, &triples);
    let size = height * width;
    for triple in flipped.chunks_exact_mut(3 * size) {
        triple[size..2 * size].iter_mut().for_each(|v| *v = -*v);
    }
    super::heatmap::average(maps, &flipped);
}

#[cfg(test)]
mod tests;
