//! Resampling through an affine map. Outside the image everything is black (0), blended in at the border.
//!
//! [`warp_bilinear_f32`] is the default: bilinear in 32.32 fixed-point coordinates (the same bits everywhere), with a
//! colour map and normalisation in the same pass. A map that shrinks more than 1.5 times first averages whole blocks of
//! `k` by `k` pixels, `k` being the rounded shrink factor, so that faces from large photos are not aliased.
//!
//! [`warp_opencv_u8`] and [`warp_opencv5_u8`] repeat OpenCV's `warpAffine(INTER_LINEAR, BORDER_CONSTANT 0)` on 8-bit images,
//! which never antialiases. Up to version 4 (checked with 4.8.1) it has coordinates with 10 fraction bits rounded to
//! 1/32 pixel and weights with 15 bits, and the first is equal to it bit for bit. Version 5 (checked with 5.0.0) computes
//! in floating point; the second is within one grey level of it. The two versions differ by up to 4 levels on photographs.

use crate::Image;

pub use crate::affine::Affine;

/// Shrinking by more than this is antialiased.
const SHRINK_THRESHOLD: f64 = 1.5;
/// Coordinates beyond this are outside of any image; it keeps fixed-point coordinates in range.
const FAR: f64 = (1u64 << 29) as f64;

/// A colour map followed by normalisation: `rgb -> clamp(matrix * (rgb, 1), 0, 255) / 255 -> (v - mean) / std`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColourMap {
    /// Rows for R, G, B over (R, G, B, 1), values in 0..255; `None` for no change.
    pub matrix: Option<[[f32; 4]; 3]>,
    /// Channel means, values in 0..1.
    pub mean: [f32; 3],
    /// Channel deviations, values in 0..1.
    pub std: [f32; 3],
}

impl ColourMap {
    /// Normalisation alone.
    pub fn normalise(mean: [f32; 3], std: [f32; 3]) -> Self {
        Self { matrix: None, mean, std }
    }

    /// Scale and offset of each channel: normalised value = `rgb * scale + offset`, for `rgb` in 0..255.
    pub fn scale_and_offset(&self) -> ([f32; 3], [f32; 3]) {
        let scale = self.std.map(|s| 1.0 / (255.0 * s));
        let offset = std::array::from_fn(|c| -self.mean[c] / self.std[c]);
        (scale, offset)
    }
}

/// Warps into `out`, `[3, h, w]`, through `to_output` (image pixels to output pixels). A map without an inverse gives a
/// black picture.
///
/// # Panics
/// When `out` has not `3 * width * height` elements.
pub fn warp_bilinear_f32(
    image: &Image,
    to_output: &Affine,
    width: usize,
    height: usize,
    colour: &ColourMap,
    out: &mut [f32],
) {
    let plane = width * height;
    assert_eq!(out.len(), 3 * plane, "the output holds 3 planes of {width}x{height}");
    let (red, rest) = out.split_at_mut(plane);
    let (green, blue) = rest.split_at_mut(plane);
    let (scale, offset) = colour.scale_and_offset();
    match colour.matrix {
        None => sample(image, to_output, width, height, |i, rgb| {
            red[i] = rgb[0] * scale[0] + offset[0];
            green[i] = rgb[1] * scale[1] + offset[1];
            blue[i] = rgb[2] * scale[2] + offset[2];
        }),
        Some(m) => sample(image, to_output, width, height, |i, [r, g, b]| {
            let mapped = m.map(|row| (row[0] * r + row[1] * g + row[2] * b + row[3]).clamp(0.0, 255.0));
            red[i] = mapped[0] * scale[0] + offset[0];
            green[i] = mapped[1] * scale[1] + offset[1];
            blue[i] = mapped[2] * scale[2] + offset[2];
        }),
    }
}

/// Bilinear without antialiasing, rounded: OpenCV 5's `warpAffine`; see the module text.
pub fn warp_opencv5_u8(image: &Image, to_output: &Affine, width: usize, height: usize) -> Image {
    let mut out = Image::filled(width, height, [0; 3]);
    if let Some(back) = to_output.inverse() {
        let data = out.data_mut();
        sample_rows(image.data(), image.width(), image.height(), &back, width, height, |i, rgb| {
            for c in 0..3 {
                data[i * 3 + c] = (rgb[c] + 0.5) as u8;
            }
        });
    }
    out
}

/// The same resampling as [`warp_bilinear_f32`] into an 8-bit image, for looking at crops.
pub fn warp_bilinear_u8(image: &Image, to_output: &Affine, width: usize, height: usize) -> Image {
    let mut out = Image::filled(width, height, [0; 3]);
    let data = out.data_mut();
    sample(image, to_output, width, height, |i, rgb| {
        for c in 0..3 {
            data[i * 3 + c] = (rgb[c] + 0.5) as u8;
        }
    });
    out
}

/// Visits every output pixel in row-major order with its RGB value in 0..255.
#[inline(always)]
fn sample(
    image: &Image,
    to_output: &Affine,
    width: usize,
    height: usize,
    mut put: impl FnMut(usize, [f32; 3]),
) {
    let Some(back) = to_output.inverse() else {
        (0..width * height).for_each(|i| put(i, [0.0; 3]));
        return;
    };
    let shrink = back.determinant().abs().sqrt();
    if shrink > SHRINK_THRESHOLD {
        let block = shrink.round().min(1e6) as usize;
        if let Some((small, map)) = shrink_region(image, &back, width, height, block) {
            return sample_rows(small.data(), small.width(), small.height(), &map, width, height, put);
        }
        (0..width * height).for_each(|i| put(i, [0.0; 3]));
        return;
    }
    sample_rows(image.data(), image.width(), image.height(), &back, width, height, put);
}

#[inline(always)]
fn sample_rows(
    data: &[u8],
    source_w: usize,
    source_h: usize,
    back: &Affine,
    width: usize,
    height: usize,
    mut put: impl FnMut(usize, [f32; 3]),
) {
    const ONE: f64 = (1u64 << 32) as f64;
    let fixed = |v: f64| (v * ONE) as i64;
    let (step_x, step_y) = (fixed(back.0[0][0]), fixed(back.0[1][0]));
    let stride = source_w * 3;
    for y in 0..height {
        let start = back.apply([0.0, y as f64]);
        let end = back.apply([width as f64, y as f64]);
        if start.iter().chain(&end).any(|v| v.is_nan() || v.abs() >= FAR) {
            (0..width).for_each(|x| put(y * width + x, [0.0; 3]));
            continue;
        }
        let (mut sx, mut sy) = (fixed(start[0]), fixed(start[1]));
        for x in 0..width {
            let (ix, iy) = (sx >> 32, sy >> 32);
            let fx = (sx as u32 >> 8) as f32 * (1.0 / (1 << 24) as f32);
            let fy = (sy as u32 >> 8) as f32 * (1.0 / (1 << 24) as f32);
            let inside = ix >= 0 && iy >= 0 && ix + 1 < source_w as i64 && iy + 1 < source_h as i64;
            let rgb = if inside {
                let i = iy as usize * stride + ix as usize * 3;
                match (data.get(i..i + 6), data.get(i + stride..i + stride + 6)) {
                    (Some(top), Some(bottom)) => std::array::from_fn(|c| {
                        let (a, b) = (f32::from(top[c]), f32::from(top[c + 3]));
                        let (p, q) = (f32::from(bottom[c]), f32::from(bottom[c + 3]));
                        let upper = a + (b - a) * fx;
                        let lower = p + (q - p) * fx;
                        upper + (lower - upper) * fy
                    }),
                    _ => [0.0; 3],
                }
            } else {
                border(data, source_w, source_h, ix, iy, fx, fy)
            };
            put(y * width + x, rgb);
            sx = sx.wrapping_add(step_x);
            sy = sy.wrapping_add(step_y);
        }
    }
}

/// A pixel with neighbours outside the image, which count as black.
#[cold]
fn border(data: &[u8], source_w: usize, source_h: usize, ix: i64, iy: i64, fx: f32, fy: f32) -> [f32; 3] {
    let (w, h) = (source_w as i64, source_h as i64);
    if ix < -1 || iy < -1 || ix >= w || iy >= h {
        return [0.0; 3];
    }
    let mut sum = [0.0; 3];
    for (dx, dy, weight) in
        [(0, 0, (1.0 - fx) * (1.0 - fy)), (1, 0, fx * (1.0 - fy)), (0, 1, (1.0 - fx) * fy), (1, 1, fx * fy)]
    {
        let (x, y) = (ix + dx, iy + dy);
        if x >= 0 && y >= 0 && x < w && y < h {
            let i = (y * w + x) as usize * 3;
            for c in 0..3 {
                sum[c] += weight * f32::from(data[i + c]);
            }
        }
    }
    sum
}

/// The part of the image under the output, averaged over blocks of `k` by `k` pixels, and the map from the output to it.
/// Blocks lie on a grid that starts at pixel 0, so the result does not depend on the part. `None` when the output sees
/// nothing of the image.
fn shrink_region(
    image: &Image,
    back: &Affine,
    width: usize,
    height: usize,
    k: usize,
) -> Option<(Image, Affine)> {
    let (w, h) = (width as f64, height as f64);
    let corners = [[-1.0, -1.0], [w, -1.0], [-1.0, h], [w, h]].map(|p| back.apply(p));
    let range = |axis: usize, side: usize| {
        let low = corners.iter().map(|c| c[axis]).fold(f64::INFINITY, f64::min);
        let high = corners.iter().map(|c| c[axis]).fold(f64::NEG_INFINITY, f64::max);
        let first = ((low.max(0.0) / k as f64) as usize).saturating_sub(1);
        let last = ((high.max(0.0) / k as f64) as usize).saturating_add(2).min(side.div_ceil(k));
        (high >= -(k as f64) && first < last).then_some((first, last))
    };
    let (x0, x1) = range(0, image.width())?;
    let (y0, y1) = range(1, image.height())?;
    let mut data = Vec::with_capacity((x1 - x0) * (y1 - y0) * 3);
    let stride = image.width() * 3;
    for by in y0..y1 {
        let rows = by * k..(by * k + k).min(image.height());
        for bx in x0..x1 {
            let columns = bx * k..(bx * k + k).min(image.width());
            let mut sum = [0u64; 3];
            for y in rows.clone() {
                let row = &image.data()[y * stride + columns.start * 3..y * stride + columns.end * 3];
                for rgb in row.chunks_exact(3) {
                    for c in 0..3 {
                        sum[c] += u64::from(rgb[c]);
                    }
                }
            }
            let n = (rows.len() * columns.len()) as u64;
            data.extend(sum.map(|s| ((s + n / 2) / n) as u8));
        }
    }
    let small = Image::new(x1 - x0, y1 - y0, data).ok()?;
    // Pixel i of the small image covers k pixels from (x0 + i) k; its centre is at (x0 + i + 1/2) k - 1/2.
    let inv = 1.0 / k as f64;
    let to_small = Affine([[inv, 0.0, 0.5 * inv - 0.5 - x0 as f64], [0.0, inv, 0.5 * inv - 0.5 - y0 as f64]]);
    Some((small, back.then(&to_small)))
}

/// The 8-bit linear warp of OpenCV up to 4; see the module text. A map without an inverse gives a black picture.
pub fn warp_opencv_u8(image: &Image, to_output: &Affine, width: usize, height: usize) -> Image {
    let mut out = Image::filled(width, height, [0; 3]);
    // OpenCV's own formula, so that the last bits agree.
    let [[a, b, c], [d, e, f]] = to_output.0;
    let det = a * e - b * d;
    let inv = if det != 0.0 { 1.0 / det } else { 0.0 };
    let (a, b, d, e) = (e * inv, -b * inv, -d * inv, a * inv);
    let (c, f) = (-a * c - b * f, -d * c - e * f);
    if det == 0.0 || !inv.is_finite() {
        return out;
    }
    // 10 fraction bits, then rounded to 5.
    let fixed = |v: f64| (v * 1024.0).round_ties_even() as i32;
    let (w, h) = (image.width() as i32, image.height() as i32);
    let data = image.data();
    let columns: Vec<(i32, i32)> = (0..width).map(|x| (fixed(a * x as f64), fixed(d * x as f64))).collect();
    for (y, row) in out.data_mut().chunks_exact_mut(width * 3).enumerate() {
        let x0 = fixed(b * y as f64 + c).wrapping_add(16);
        let y0 = fixed(e * y as f64 + f).wrapping_add(16);
        for (&(dx, dy), target) in columns.iter().zip(row.chunks_exact_mut(3)) {
            let (sx, sy) = (x0.wrapping_add(dx) >> 5, y0.wrapping_add(dy) >> 5);
            let (ix, iy, fx, fy) = (sx >> 5, sy >> 5, sx & 31, sy & 31);
            let mut sum = [0i32; 3];
            for (x, y, weight) in [
                (ix, iy, (32 - fx) * (32 - fy)),
                (ix + 1, iy, fx * (32 - fy)),
                (ix, iy + 1, (32 - fx) * fy),
                (ix + 1, iy + 1, fx * fy),
            ] {
                if x >= 0 && y >= 0 && x < w && y < h {
                    let i = (y as usize * w as usize + x as usize) * 3;
                    for c in 0..3 {
                        sum[c] += weight * 32 * i32::from(data[i + c]);
                    }
                }
            }
            for c in 0..3 {
                target[c] = ((sum[c] + (1 << 14)) >> 15) as u8;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The window of `side` pixels about `centre`, turned by `degrees`, to an output of `out` pixels.
    fn window([cx, cy]: [f64; 2], side: f64, degrees: f64, out: usize) -> Affine {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (a, middle) = (out as f64 / side, (out as f64 - 1.0) / 2.0);
        Affine([
            [a * cos, a * sin, middle - a * (cos * cx + sin * cy)],
            [-a * sin, a * cos, middle - a * (-sin * cx + cos * cy)],
        ])
    }

    fn gradient(w: usize, h: usize) -> Image {
        let data = (0..w * h).flat_map(|i| [(i % w) as u8 * 2, (i / w) as u8 * 3, 100]).collect();
        Image::new(w, h, data).unwrap()
    }

    #[test]
    fn identity_and_whole_shifts_copy_pixels() {
        let image = gradient(40, 30);
        assert_eq!(warp_bilinear_u8(&image, &Affine::IDENTITY, 40, 30), image);
        assert_eq!(warp_opencv_u8(&image, &Affine::IDENTITY, 40, 30), image);
        let shift = Affine([[1.0, 0.0, -3.0], [0.0, 1.0, -2.0]]);
        for out in [warp_bilinear_u8(&image, &shift, 40, 30), warp_opencv_u8(&image, &shift, 40, 30)] {
            assert_eq!(out.pixel(5, 7), image.pixel(8, 9));
            assert_eq!(out.pixel(39, 29), [0, 0, 0]);
        }
    }

    #[test]
    fn a_linear_picture_is_sampled_exactly() {
        let image = gradient(80, 60);
        let t = window([40.0, 30.0], 24.0, 20.0, 32);
        let back = t.inverse().unwrap();
        let mut out = vec![0.0; 3 * 32 * 32];
        let identity = ColourMap::normalise([0.0; 3], [1.0; 3]);
        warp_bilinear_f32(&image, &t, 32, 32, &identity, &mut out);
        for y in 0..32 {
            for x in 0..32 {
                let [sx, sy] = back.apply([x as f64, y as f64]);
                let i = y * 32 + x;
                assert!((f64::from(out[i]) * 255.0 - 2.0 * sx).abs() < 1e-3);
                assert!((f64::from(out[1024 + i]) * 255.0 - 3.0 * sy).abs() < 1e-3);
            }
        }
    }

    #[test]
    fn shrinking_keeps_positions_and_the_mean() {
        // A linear picture stays linear under block averages, so positions can be read off it.
        let data = (0..240 * 200).flat_map(|i| [(i % 240) as u8, (i / 240) as u8, 128]).collect();
        let image = Image::new(240, 200, data).unwrap();
        for side in [60.0, 100.0, 150.0] {
            let t = window([120.0, 100.0], side, 0.0, 20);
            let back = t.inverse().unwrap();
            let mut out = vec![0.0; 3 * 400];
            warp_bilinear_f32(&image, &t, 20, 20, &ColourMap::normalise([0.0; 3], [1.0; 3]), &mut out);
            for i in 0..400 {
                let [sx, sy] = back.apply([(i % 20) as f64, (i / 20) as f64]);
                assert!((f64::from(out[i]) * 255.0 - sx).abs() < 0.51, "{side}");
                assert!((f64::from(out[400 + i]) * 255.0 - sy).abs() < 0.51, "{side}");
            }
        }
        // A checkerboard of single pixels has the mean everywhere once shrunk eight times.
        let board: Vec<u8> =
            (0..256 * 256).flat_map(|i| [((i % 256 + i / 256) % 2 * 255) as u8; 3]).collect();
        let board = Image::new(256, 256, board).unwrap();
        let out = warp_bilinear_u8(&board, &window([127.5, 127.5], 256.0, 0.0, 32), 32, 32);
        assert!(out.data().iter().all(|v| v.abs_diff(128) <= 1));
    }

    #[test]
    fn maps_that_see_nothing_are_black() {
        let image = gradient(40, 30);
        for t in [
            Affine([[0.0; 3]; 2]),
            Affine([[f64::NAN; 3]; 2]),
            Affine([[1.0, 0.0, 1e18], [0.0, 1.0, 0.0]]),
            Affine([[0.01, 0.0, 1e6], [0.0, 0.01, -1e6]]),
            Affine([[1e-9, 0.0, -1e3], [0.0, 1e-9, 0.0]]),
            Affine([[0.2, 0.0, -100.0], [0.0, 0.2, 0.0]]),
        ] {
            let out = warp_bilinear_u8(&image, &t, 8, 8);
            assert!(out.data().iter().all(|&v| v == 0), "{t:?}");
        }
    }

    #[test]
    fn colours_are_mapped_then_clamped_then_normalised() {
        let image = Image::filled(4, 4, [100, 150, 200]);
        let matrix = Some([[0.0, 1.0, 0.0, 0.0], [2.0, 0.0, 0.0, 10.0], [0.0, 0.0, 2.0, 0.0]]);
        let colour = ColourMap { matrix, mean: [0.5; 3], std: [0.25; 3] };
        let mut out = vec![0.0; 48];
        warp_bilinear_f32(&image, &Affine::IDENTITY, 4, 4, &colour, &mut out);
        for (c, v) in [150.0, 210.0, 255.0].into_iter().enumerate() {
            assert!((out[c * 16 + 5] - (v / 255.0 - 0.5) / 0.25).abs() < 1e-5);
        }
    }
}
