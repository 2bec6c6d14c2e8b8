//! Pillow's `resize` on 8-bit images, bit for bit, and torchvision's `Resize` and `CenterCrop` on top of it.
//!
//! Half-pixel centres; the filter's support grows with the shrink factor (antialiasing); weights are normalised, then
//! rounded to 22 fraction bits; the horizontal pass comes first and is rounded to 8 bits before the vertical one. Checked
//! against bytes of Pillow 12.0.0 (`testdata/pil_resize.json`, `python/make_pil_resize.py`).
//!
//! Pillow 13.0.0 takes the vertical pass first for some sizes, which moves some values by a level. This module keeps the
//! order of all versions up to 12, under which the published figures were measured.

use crate::Image;

/// Fraction bits of a weight: 32 less 8 for the pixel and 2 for the sums of filters with negative lobes.
const PRECISION_BITS: u32 = 22;
/// The largest result, in pixels: a long thin image resized by its short side could ask for any memory.
pub const MAX_RESIZED_PIXELS: u64 = 64_000_000;

/// An interpolation of Pillow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// A triangle of half-width 1.
    #[default]
    Bilinear,
    /// Keys' cubic with a = -1/2, half-width 2.
    Bicubic,
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// Why an image is not resized.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResizeError {
    /// A side of the result is zero.
    #[error("cannot resize an image of {width}x{height} to {to_width}x{to_height}: a side is zero")]
    Empty {
        /// Width of the image.
        width: usize,
        /// Height of the image.
        height: usize,
        /// Width asked for.
        to_width: usize,
        /// Height asked for.
        to_height: usize,
    },
    /// The result is too large.
    #[error(
        "resizing an image of {width}x{height} to {to_width}x{to_height} exceeds {MAX_RESIZED_PIXELS} pixels; \
         crop the image first"
    )]
    TooLarge {
        /// Width of the image.
        width: usize,
        /// Height of the image.
        height: usize,
        /// Width asked for.
        to_width: usize,
        /// Height asked for.
        to_height: usize,
    },
}

/// Resizes to `to_width` by `to_height` as Pillow does.
pub fn resize_pil(
    image: &Image,
    to_width: usize,
    to_height: usize,
    filter: Filter,
) -> Result<Image, ResizeError> {
    let (width, height) = (image.width(), image.height());
    if to_width == 0 || to_height == 0 {
        return Err(ResizeError::Empty { width, height, to_width, to_height });
    }
    // The picture between the passes counts too.
    let pixels = |h: usize| (to_width as u64).saturating_mul(h as u64);
    if pixels(to_height).max(pixels(height)) > MAX_RESIZED_PIXELS.max((width * height) as u64) {
        return Err(ResizeError::TooLarge { width, height, to_width, to_height });
    }
    let mut middle = Image::filled(to_width, height, [0; 3]);
    let columns = weights(width, to_width, filter);
    for (row, out) in
        image.data().chunks_exact(width * 3).zip(middle.data_mut().chunks_exact_mut(to_width * 3))
    {
        for ((first, taps), out) in columns.iter().zip(out.chunks_exact_mut(3)) {
            let mut sum = [1i64 << (PRECISION_BITS - 1); 3];
            for (&tap, rgb) in taps.iter().zip(row[first * 3..].chunks_exact(3)) {
                for c in 0..3 {
                    sum[c] += i64::from(tap) * i64::from(rgb[c]);
                }
            }
            out.copy_from_slice(&sum.map(clip));
        }
    }
    let mut out = Image::filled(to_width, to_height, [0; 3]);
    let stride = to_width * 3;
    let mut sums = vec![0i64; stride];
    for ((first, taps), out) in
        weights(height, to_height, filter).iter().zip(out.data_mut().chunks_exact_mut(stride))
    {
        sums.fill(1 << (PRECISION_BITS - 1));
        for (&tap, row) in taps.iter().zip(middle.data()[first * stride..].chunks_exact(stride)) {
            for (sum, &v) in sums.iter_mut().zip(row) {
                *sum += i64::from(tap) * i64::from(v);
            }
        }
        for (out, &sum) in out.iter_mut().zip(&sums) {
            *out = clip(sum);
        }
    }
    Ok(out)
}

fn clip(sum: i64) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// For every target pixel the first source pixel and the weights from there on.
fn weights(source: usize, target: usize, filter: Filter) -> Vec<(usize, Vec<i32>)> {
    let scale = source as f64 / target as f64;
    let grow = scale.max(1.0);
    let support = filter.support() * grow;
    let unit = 1.0 / grow;
    (0..target)
        .map(|i| {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(source);
            let raw: Vec<f64> = (first..last).map(|j| filter.at((j as f64 - centre + 0.5) * unit)).collect();
            let total: f64 = raw.iter().sum();
            let fixed = |w: f64| {
                let v = w / total * f64::from(1u32 << PRECISION_BITS);
                // Truncation after adding half a unit away from zero.
                (if v < 0.0 { v - 0.5 } else { v + 0.5 }) as i32
            };
            (first, raw.into_iter().map(fixed).collect())
        })
        .collect()
}

/// torchvision's `Resize(size)`: the short side becomes `size`, the long side `int(size * long / short)`.
pub fn resize_short_side(image: &Image, size: usize, filter: Filter) -> Result<Image, ResizeError> {
    let (w, h) = (image.width(), image.height());
    let long = |long: usize, short: usize| {
        usize::try_from(size as u128 * long as u128 / short as u128).unwrap_or(usize::MAX)
    };
    let (to_w, to_h) = if w <= h { (size, long(h, w)) } else { (long(w, h), size) };
    if (to_w, to_h) == (w, h) {
        return Ok(image.clone());
    }
    resize_pil(image, to_w, to_h, filter)
}

/// torchvision's `CenterCrop`: black is added where the image is smaller; an odd rest is halved with ties to even.
pub fn centre_crop(image: &Image, width: usize, height: usize) -> Result<Image, ResizeError> {
    let (w, h) = (image.width(), image.height());
    let (to_width, to_height) = (width, height);
    if width == 0 || height == 0 {
        return Err(ResizeError::Empty { width: w, height: h, to_width, to_height });
    }
    if (width as u64).saturating_mul(height as u64) > MAX_RESIZED_PIXELS.max((w * h) as u64) {
        return Err(ResizeError::TooLarge { width: w, height: h, to_width, to_height });
    }
    // Position of the crop in the image (first) and of the image in the crop (second); one of them is 0.
    let place = |have: usize, want: usize| {
        if have >= want {
            (((have - want) as f64 / 2.0).round_ties_even() as usize, 0)
        } else {
            // Padding is split with the smaller half first; the crop then starts at 0.
            (0, (want - have) / 2)
        }
    };
    let ((x, px), (y, py)) = (place(w, width), place(h, height));
    let (nx, ny) = (w.min(width), h.min(height));
    let mut out = Image::filled(width, height, [0; 3]);
    for row in 0..ny {
        let from = ((y + row) * w + x) * 3;
        let to = ((py + row) * width + px) * 3;
        out.data_mut()[to..to + nx * 3].copy_from_slice(&image.data()[from..from + nx * 3]);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formula(w: usize, h: usize) -> Image {
        let f = |x: usize, y: usize, c: usize| ((x * 7 + y * 13 + c * 50 + (x * y) % 31 * 5) % 256) as u8;
        Image::new(w, h, (0..w * h).flat_map(|i| [0, 1, 2].map(|c| f(i % w, i / w, c))).collect()).unwrap()
    }

    #[derive(serde::Deserialize)]
    struct Case {
        source: [usize; 2],
        what: String,
        filter: Filter,
        size: [usize; 2],
        fnv: String,
        first: Vec<u8>,
    }

    fn fnv(data: &[u8]) -> String {
        let h = data
            .iter()
            .fold(0xcbf2_9ce4_8422_2325u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        format!("{h:016x}")
    }

    #[test]
    fn every_byte_is_pillows() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../testdata/pil_resize.json")).unwrap();
        assert!(cases.len() >= 20);
        for case in cases {
            let image = formula(case.source[0], case.source[1]);
            let [w, h] = case.size;
            let out = match case.what.as_str() {
                "resize" => resize_pil(&image, w, h, case.filter),
                "short_side" => resize_short_side(&image, w, case.filter),
                "crop" => centre_crop(&image, w, h),
                other => panic!("{other}"),
            }
            .unwrap();
            let n = case.first.len();
            assert_eq!(&out.data()[..n], case.first, "{:?} {} {:?}", case.source, case.what, case.size);
            assert_eq!(fnv(out.data()), case.fnv, "{:?} {} {:?}", case.source, case.what, case.size);
        }
    }

    #[test]
    fn pil_resize_known_values() {
        // Weights of a shrink by 2: the triangle 1/8 3/8 3/8 1/8; at the edges renormalised.
        let row = Image::new(4, 1, [0u8, 80, 160, 240].into_iter().flat_map(|v| [v; 3]).collect()).unwrap();
        let out = resize_pil(&row, 2, 1, Filter::Bilinear).unwrap();
        assert_eq!([out.pixel(0, 0)[0], out.pixel(1, 0)[0]], [57, 183]);
        // Enlarging is plain bilinear at half-pixel centres.
        let out = resize_pil(&row, 8, 1, Filter::Bilinear).unwrap();
        let values: Vec<u8> = (0..8).map(|x| out.pixel(x, 0)[0]).collect();
        assert_eq!(values, [0, 20, 60, 100, 140, 180, 220, 240]);
    }

    #[test]
    fn pil_resize_is_equal_to_pillow() {
        let formula =
            |x: usize, y: usize, c: usize| ((x * 7 + y * 13 + c * 50 + (x * y) % 31 * 5) % 256) as u8;
        let data = (0..37 * 53).flat_map(|i| [0, 1, 2].map(|c| formula(i % 53, i / 53, c))).collect();
        let image = Image::new(53, 37, data).unwrap();
        let goldens: [(usize, usize, &[u8]); 3] = [
            (16, 16, include_bytes!("../../testdata/pil_16x16.png")),
            (64, 64, include_bytes!("../../testdata/pil_64x64.png")),
            (29, 40, include_bytes!("../../testdata/pil_29x40.png")),
        ];
        for (w, h, png) in goldens {
            let want = crate::decode(png, &Default::default(), Default::default()).unwrap().image;
            assert_eq!(resize_pil(&image, w, h, Filter::Bilinear).unwrap().data(), want.data(), "{w}x{h}");
        }
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let thin = Image::filled(16_384, 1, [9; 3]);
        assert!(matches!(resize_short_side(&thin, 256, Filter::Bilinear), Err(ResizeError::TooLarge { .. })));
        assert!(matches!(
            resize_pil(&thin, usize::MAX, 7, Filter::Bicubic),
            Err(ResizeError::TooLarge { .. })
        ));
        assert!(matches!(resize_pil(&thin, 0, 7, Filter::Bicubic), Err(ResizeError::Empty { .. })));
        assert!(matches!(centre_crop(&thin, 7, 0), Err(ResizeError::Empty { .. })));
        assert!(matches!(centre_crop(&thin, 1 << 20, 1 << 20), Err(ResizeError::TooLarge { .. })));
        let flat = resize_pil(&Image::filled(3, 200, [7; 3]), 90, 11, Filter::Bicubic).unwrap();
        assert!(flat.data().iter().all(|&v| v == 7));
    }
}
