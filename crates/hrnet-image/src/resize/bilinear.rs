//! Parts of a scaled image as network input: bilinear with OpenCV's coordinates (half-pixel centres, clamped edges, no
//! antialiasing), on normalised 32-bit values, as the segmentation networks were trained. Only the part that is asked for is
//! ever made.

use crate::Image;

/// From 8-bit colours to input planes.
#[derive(Debug, Clone)]
pub struct Planes {
    /// The image's channel of each plane.
    order: [usize; 3],
    /// Normalised value of each level of each plane.
    levels: [[f32; 256]; 3],
    /// What fills the input beyond the image.
    fill: [f32; 3],
}

impl Planes {
    /// `(value / 255 - mean) / std`; `bgr` puts blue first, mean and deviation are in the order of the planes. Beyond the image
    /// lies the mean colour, or black.
    pub fn new(mean: [f32; 3], std: [f32; 3], bgr: bool, fill_black: bool) -> Self {
        let value = |c: usize, v: f32| (v / 255.0 - mean[c]) / std[c];
        Self {
            order: if bgr { [2, 1, 0] } else { [0, 1, 2] },
            levels: std::array::from_fn(|c| std::array::from_fn(|v| value(c, v as f32))),
            fill: std::array::from_fn(|c| if fill_black { value(c, 0.0) } else { 0.0 }),
        }
    }
}

/// Where an output pixel reads.
struct Tap {
    low: usize,
    high: usize,
    part: f32,
}

fn taps(from: usize, to: usize, start: usize, length: usize) -> Vec<Tap> {
    let scale = from as f64 / to as f64;
    let tap = |i: usize| {
        let s = ((i as f64 + 0.5) * scale - 0.5).max(0.0);
        let low = (s as usize).min(from - 1);
        let high = (low + 1).min(from - 1);
        let part = if high == low { 0.0 } else { (s - low as f64) as f32 };
        Tap { low, high, part }
    };
    (start..start + length).map(tap).collect()
}

/// Writes the part `[x, y, width, height]` of the image scaled to `size` (height, width) into the upper left of the input
/// `[3, input height, input width]`; the rest is filled.
///
/// # Panics
/// When the part leaves the scaled image or the input, or `out` has another length.
pub fn scaled_part(
    image: &Image,
    size: [usize; 2],
    part: [usize; 4],
    planes: &Planes,
    input: [usize; 2],
    out: &mut [f32],
) {
    let [x, y, width, height] = part;
    let ([size_h, size_w], [input_h, input_w]) = (size, input);
    assert!(x + width <= size_w && y + height <= size_h && width <= input_w && height <= input_h);
    assert_eq!(out.len(), 3 * input_h * input_w, "an input of three planes");
    let columns = taps(image.width(), size_w, x, width);
    let rows = taps(image.height(), size_h, y, height);
    let stride = image.width() * 3;
    let whole = columns.iter().chain(&rows).all(|t| t.part == 0.0);
    for (c, plane) in out.chunks_exact_mut(input_h * input_w).enumerate() {
        let (channel, levels) = (planes.order[c], &planes.levels[c]);
        let (inside, below) = plane.split_at_mut(height * input_w);
        for (row, out) in rows.iter().zip(inside.chunks_exact_mut(input_w)) {
            let (upper, lower) =
                (&image.data()[row.low * stride..][..stride], &image.data()[row.high * stride..][..stride]);
            let (out, right) = out.split_at_mut(width);
            if whole {
                let at = columns[0].low * 3 + channel;
                for (out, &v) in out.iter_mut().zip(upper[at..].iter().step_by(3)) {
                    *out = levels[usize::from(v)];
                }
            } else {
                let value = |line: &[u8], at: usize| levels[usize::from(line[at * 3 + channel])];
                for (out, t) in out.iter_mut().zip(&columns) {
                    let a = value(upper, t.low) * (1.0 - t.part) + value(upper, t.high) * t.part;
                    let b = value(lower, t.low) * (1.0 - t.part) + value(lower, t.high) * t.part;
                    *out = a * (1.0 - row.part) + b * row.part;
                }
            }
            right.fill(planes.fill[c]);
        }
        below.fill(planes.fill[c]);
    }
}

/// The image at another size, rounded to 8 bits, by the same rule. OpenCV's own 8-bit resize rounds its weights to 11 bits and
/// may differ by one level.
pub fn resize_bilinear(image: &Image, width: usize, height: usize) -> Image {
    let mut out = Image::filled(width, height, [0; 3]);
    let (columns, rows) = (taps(image.width(), width, 0, width), taps(image.height(), height, 0, height));
    let stride = image.width() * 3;
    for (row, out) in rows.iter().zip(out.data_mut().chunks_exact_mut(width * 3)) {
        let (upper, lower) =
            (&image.data()[row.low * stride..][..stride], &image.data()[row.high * stride..][..stride]);
        for (t, out) in columns.iter().zip(out.chunks_exact_mut(3)) {
            for (c, out) in out.iter_mut().enumerate() {
                let at = |line: &[u8], x: usize| f32::from(line[x * 3 + c]);
                let a = at(upper, t.low) * (1.0 - t.part) + at(upper, t.high) * t.part;
                let b = at(lower, t.low) * (1.0 - t.part) + at(lower, t.high) * t.part;
                *out = (a * (1.0 - row.part) + b * row.part).round() as u8;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(w: usize, h: usize) -> Image {
        let value = |i: usize| ((i * 37 + i / 7 * 11) % 256) as u8;
        Image::new(w, h, (0..w * h * 3).map(value).collect()).unwrap()
    }

    #[test]
    fn a_part_is_that_of_the_whole_and_the_rest_is_filled() {
        let image = picture(13, 9);
        let planes = Planes::new([0.5, 0.25, 0.75], [0.5, 0.2, 0.3], false, true);
        for size in [[9, 13], [18, 20], [5, 6]] {
            let mut whole = vec![0.0; 3 * size[0] * size[1]];
            scaled_part(&image, size, [0, 0, size[1], size[0]], &planes, size, &mut whole);
            let mut part = vec![9.0; 3 * 6 * 8];
            scaled_part(&image, size, [2, 1, 4, 3], &planes, [6, 8], &mut part);
            for c in 0..3 {
                for y in 0..6 {
                    for x in 0..8 {
                        let want = match x < 4 && y < 3 {
                            true => whole[(c * size[0] + y + 1) * size[1] + x + 2],
                            false => (0.0 - [0.5, 0.25, 0.75][c]) / [0.5, 0.2, 0.3][c],
                        };
                        assert_eq!(part[(c * 6 + y) * 8 + x], want, "{size:?} {c} {y} {x}");
                    }
                }
            }
        }
    }

    #[test]
    fn blue_first_and_doubling_by_hand() {
        let image = Image::new(2, 1, vec![0, 100, 200, 40, 140, 240]).unwrap();
        let planes = Planes::new([0.0; 3], [1.0 / 255.0; 3], true, false);
        let mut out = vec![0.0; 3 * 4];
        scaled_part(&image, [1, 4], [0, 0, 4, 1], &planes, [1, 4], &mut out);
        // Centres at 0, 1/4, 3/4 and 1 of the way.
        let want = [200.0, 210.0, 230.0, 240.0, 100.0, 110.0, 130.0, 140.0, 0.0, 10.0, 30.0, 40.0];
        for (got, want) in out.iter().zip(want) {
            assert!((got - want).abs() < 1e-3, "{out:?}");
        }
        let resized = resize_bilinear(&image, 4, 1);
        let want: Vec<u8> = vec![0, 100, 200, 10, 110, 210, 30, 130, 230, 40, 140, 240];
        assert_eq!(resized.data(), want);
        assert_eq!(resize_bilinear(&image, 2, 1), image);
    }
}
