//! From the coefficients of a JPEG file to RGB rows, with the arithmetic of libjpeg's defaults: the accurate integer
//! inverse transform, triangle-filtered colour planes, 16-bit fixed-point colours. OpenCV, Pillow and the published models'
//! training saw these pixels, so a decoder that rounds differently is a (small) change of every input.
//!
//! Nothing here reads a file: sizes come from the decoder, which has checked them.

/// One block of coefficients, row by row.
pub type Block = [i16; 64];

const PASS1: i32 = 2;
const BITS: i32 = 13;

/// One dimension of the transform on eight values, times 2^13 (times sqrt(8)), after Loeffler, Ligtenberg and Moschytz.
/// Products wrap, which only values beyond those of any encoder do.
#[inline(always)]
fn transform(v: [i32; 8]) -> [i32; 8] {
    let mul = i32::wrapping_mul;
    let add = i32::wrapping_add;
    let sub = i32::wrapping_sub;
    // Even part.
    let z = mul(add(v[2], v[6]), 4433);
    let (e2, e3) = (add(z, mul(v[6], -15137)), add(z, mul(v[2], 6270)));
    let (e0, e1) = (add(v[0], v[4]).wrapping_shl(BITS as u32), sub(v[0], v[4]).wrapping_shl(BITS as u32));
    let (a0, a1, a2, a3) = (add(e0, e3), add(e1, e2), sub(e1, e2), sub(e0, e3));
    // Odd part.
    let (z3, z4) = (add(v[7], v[3]), add(v[5], v[1]));
    let z5 = mul(add(z3, z4), 9633);
    let (z1, z2) = (mul(add(v[7], v[1]), -7373), mul(add(v[5], v[3]), -20995));
    let (z3, z4) = (add(mul(z3, -16069), z5), add(mul(z4, -3196), z5));
    let b0 = add(mul(v[7], 2446), add(z1, z3));
    let b1 = add(mul(v[5], 16819), add(z2, z4));
    let b2 = add(mul(v[3], 25172), add(z2, z3));
    let b3 = add(mul(v[1], 12299), add(z1, z4));
    [add(a0, b3), add(a1, b2), add(a2, b1), add(a3, b0), sub(a3, b0), sub(a2, b1), sub(a1, b2), sub(a0, b3)]
}

/// The samples of a block, written at the start of eight rows of `stride` samples.
///
/// # Panics
/// When `out` does not hold seven rows and eight samples.
pub fn inverse_dct(block: &Block, quant: &[u16; 64], out: &mut [u8], stride: usize) {
    if block[1..].iter().all(|&c| c == 0) {
        // All samples are the same; both passes only round.
        let dc = i32::from(block[0]).wrapping_mul(i32::from(quant[0]));
        let value = ((dc.wrapping_add(4)) >> 3).saturating_add(128).clamp(0, 255) as u8;
        for row in out.chunks_mut(stride).take(8) {
            row[..8].fill(value);
        }
        return;
    }
    let mut work = [[0i32; 8]; 8];
    for x in 0..8 {
        let column: [i32; 8] =
            std::array::from_fn(|y| i32::from(block[y * 8 + x]).wrapping_mul(i32::from(quant[y * 8 + x])));
        if column[1..].iter().all(|&c| c == 0) {
            let dc = column[0].wrapping_shl(PASS1 as u32);
            work.iter_mut().for_each(|row| row[x] = dc);
            continue;
        }
        let shift = BITS - PASS1;
        for (row, v) in work.iter_mut().zip(transform(column)) {
            row[x] = v.wrapping_add(1 << (shift - 1)) >> shift;
        }
    }
    for (row, to) in work.iter().zip(out.chunks_mut(stride)) {
        let shift = BITS + PASS1 + 3;
        for (to, v) in to[..8].iter_mut().zip(transform(*row)) {
            *to = ((v.wrapping_add(1 << (shift - 1)) >> shift) + 128).clamp(0, 255) as u8;
        }
    }
}

/// The samples of one component, in whole blocks.
#[derive(Debug, Default)]
pub struct Plane {
    /// Samples from one row to the next.
    pub stride: usize,
    /// Samples of a row that belong to the picture.
    pub width: usize,
    /// Rows that belong to the picture.
    pub height: usize,
    /// How often a sample counts, horizontally and vertically.
    pub expand: (usize, usize),
    /// The samples.
    pub samples: Vec<u8>,
}

impl Plane {
    fn row(&self, y: usize) -> &[u8] {
        &self.samples[y * self.stride..][..self.width]
    }

    /// Row `y` of the picture, at least as wide as it. Doubled columns are interpolated, and doubled rows too unless
    /// columns are quadrupled; other planes repeat their samples.
    fn expanded(&self, y: usize, out: &mut [u8], sums: &mut Vec<i32>) {
        let (h, v) = self.expand;
        let own = y / v;
        let near = self.row(own);
        match self.expand {
            (1, 1) => out[..self.width].copy_from_slice(near),
            (2, 1) if self.width > 2 => {
                let n = self.width;
                (out[0], out[2 * n - 1]) = (near[0], near[n - 1]);
                let doubled = &mut out[1..2 * n - 1];
                for (to, pair) in doubled.chunks_exact_mut(2).zip(near.windows(2)) {
                    let (a, b) = (u32::from(pair[0]), u32::from(pair[1]));
                    to[0] = ((3 * a + b + 2) >> 2) as u8;
                    to[1] = ((3 * b + a + 1) >> 2) as u8;
                }
            }
            (1, 2) => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                let far = self.row(self.far(y));
                for ((to, &a), &b) in out.iter_mut().zip(near).zip(far) {
                    *to = ((3 * u32::from(a) + u32::from(b) + bias) >> 2) as u8;
                }
            }
            (2, 2) if self.width > 2 => {
                let n = self.width;
                let far = self.row(self.far(y));
                sums.clear();
                sums.extend(near.iter().zip(far).map(|(&a, &b)| 3 * i32::from(a) + i32::from(b)));
                out[0] = ((4 * sums[0] + 8) >> 4) as u8;
                out[2 * n - 1] = ((4 * sums[n - 1] + 7) >> 4) as u8;
                for (to, pair) in out[1..2 * n - 1].chunks_exact_mut(2).zip(sums.windows(2)) {
                    to[0] = ((3 * pair[0] + pair[1] + 7) >> 4) as u8;
                    to[1] = ((3 * pair[1] + pair[0] + 8) >> 4) as u8;
                }
            }
            _ => {
                for (to, &a) in out.chunks_mut(h).zip(near) {
                    to.fill(a);
                }
            }
        }
    }

    /// The other row that a doubled row is made of; at the border, the row itself.
    fn far(&self, y: usize) -> usize {
        let own = y / 2;
        if y.is_multiple_of(2) { own.saturating_sub(1) } else { (own + 1).min(self.height - 1) }
    }
}

/// What the components are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// One component.
    Grey,
    /// Three, as they are.
    Rgb,
    /// Luma and two differences.
    YCbCr,
    /// Four inks, inverted, as Adobe's programs store them.
    Cmyk,
    /// The first three of the four inks as luma and two differences.
    Ycck,
}

/// The rows of a picture: grey or RGB.
///
/// # Panics
/// When the planes do not cover `width`.
pub fn rows(planes: &[Plane], colours: Colours, width: usize, out: &mut [u8]) {
    // Repetition and doubling go past the picture's width by less than this.
    let room = planes.iter().map(|p| p.width * p.expand.0).max().unwrap_or(0).max(width);
    let mut lines = vec![vec![0u8; room]; planes.len()];
    let mut sums = Vec::new();
    let channels = if colours == Colours::Grey { 1 } else { 3 };
    for (y, out) in out.chunks_exact_mut(width * channels).enumerate() {
        for (plane, line) in planes.iter().zip(&mut lines) {
            plane.expanded(y, line, &mut sums);
        }
        match (colours, lines.as_mut_slice()) {
            (Colours::Grey, [grey, ..]) => out.copy_from_slice(&grey[..width]),
            (Colours::Rgb, [r, g, b, ..]) => interleave(out, r, g, b),
            (Colours::YCbCr, [y, cb, cr, ..]) => {
                to_rgb(&mut y[..width], &mut cb[..width], &mut cr[..width]);
                interleave(out, y, cb, cr);
            }
            (Colours::Cmyk, [c, m, y, k]) => {
                inks_to_rgb([c, m, y], k);
                interleave(out, c, m, y);
            }
            (Colours::Ycck, [y, cb, cr, k]) => {
                to_rgb(y, cb, cr);
                for line in [&mut *y, cb, cr] {
                    line.iter_mut().for_each(|v| *v = 255 - *v);
                }
                inks_to_rgb([y, cb, cr], k);
                interleave(out, y, cb, cr);
            }
            _ => unreachable!("as many planes as the colours need"),
        }
    }
}

fn interleave(out: &mut [u8], r: &[u8], g: &[u8], b: &[u8]) {
    for (((to, &r), &g), &b) in out.chunks_exact_mut(3).zip(r).zip(g).zip(b) {
        to.copy_from_slice(&[r, g, b]);
    }
}

/// In place. The factors are those of 16-bit fixed point less whole numbers, so that they fit into 16 bits: the same results as
/// 91881, 22554, 46802 and 116130, and vector instructions.
fn to_rgb(y: &mut [u8], cb: &mut [u8], cr: &mut [u8]) {
    for ((y, cb), cr) in y.iter_mut().zip(cb).zip(cr) {
        let (luma, b, r) = (i32::from(*y), i32::from(*cb) - 128, i32::from(*cr) - 128);
        let half = 1 << 15;
        let red = luma + r + ((26345 * r + half) >> 16);
        let green = luma - r + ((18734 * r - 22554 * b + half) >> 16);
        let blue = luma + 2 * b + ((half - 14942 * b) >> 16);
        *y = red.clamp(0, 255) as u8;
        *cb = green.clamp(0, 255) as u8;
        *cr = blue.clamp(0, 255) as u8;
    }
}

/// Inverted inks on the paper, as OpenCV does it.
fn inks_to_rgb(inks: [&mut [u8]; 3], black: &[u8]) {
    for ink in inks {
        for (v, &k) in ink.iter_mut().zip(black) {
            let k = u32::from(k);
            *v = (k - (((255 - u32::from(*v)) * k) >> 8)) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_the_published_factors() {
        let fixed = |v: i32| v.clamp(0, 255) as u8;
        for cb in 0..=255u8 {
            for cr in 0..=255u8 {
                for luma in [0u8, 1, 77, 128, 200, 255] {
                    let (mut y, mut u, mut v) = ([luma], [cb], [cr]);
                    to_rgb(&mut y, &mut u, &mut v);
                    let (b, r, luma) = (i32::from(cb) - 128, i32::from(cr) - 128, i32::from(luma));
                    let want = [
                        fixed(luma + ((91881 * r + 32768) >> 16)),
                        fixed(luma + ((-22554 * b - 46802 * r + 32768) >> 16)),
                        fixed(luma + ((116130 * b + 32768) >> 16)),
                    ];
                    assert_eq!([y[0], u[0], v[0]], want, "{luma} {cb} {cr}");
                }
            }
        }
    }

    #[test]
    fn the_transform_is_the_exact_one_rounded() {
        // One coefficient at a time, and the shortcuts against the long way.
        let quant = std::array::from_fn(|i| 1 + i as u16 % 7);
        let mut out = [0u8; 64];
        for k in 0..64 {
            for value in [-90i16, -3, 1, 55, 120] {
                let mut block = [0i16; 64];
                block[0] = 40;
                block[k] = value;
                inverse_dct(&block, &quant, &mut out, 8);
                for (i, &got) in out.iter().enumerate() {
                    let (x, y) = ((i % 8) as f64, (i / 8) as f64);
                    let term = |k: usize| {
                        let (u, v) = ((k % 8) as f64, (k / 8) as f64);
                        let scale = |f: f64| if f == 0.0 { 0.5f64.sqrt() } else { 1.0 };
                        let wave = |p: f64, f: f64| ((2.0 * p + 1.0) * f * std::f64::consts::PI / 16.0).cos();
                        0.25 * scale(u)
                            * scale(v)
                            * wave(x, u)
                            * wave(y, v)
                            * f64::from(block[k])
                            * f64::from(quant[k])
                    };
                    let want = (128.0 + (0..64).map(term).sum::<f64>()).clamp(0.0, 255.0);
                    assert!((f64::from(got) - want).abs() < 0.56, "{k} {value} at {i}: {got}, {want}");
                }
            }
        }
    }

    #[test]
    fn planes_are_doubled_with_a_triangle() {
        let mut plane = Plane { stride: 8, width: 4, height: 2, expand: (2, 2), samples: vec![0; 16] };
        plane.samples[..4].copy_from_slice(&[10, 20, 40, 80]);
        plane.samples[8..12].copy_from_slice(&[30, 20, 0, 200]);
        let (mut out, mut sums) = ([0u8; 8], Vec::new());
        let mut row = |plane: &Plane, y| {
            plane.expanded(y, &mut out, &mut sums);
            out
        };
        assert_eq!(row(&plane, 0), [10, 12, 18, 25, 35, 50, 70, 80]);
        // Three parts of the nearer row: sums 60, 80, 120, 440.
        assert_eq!(row(&plane, 1), [15, 16, 19, 22, 28, 50, 90, 110]);
        assert_eq!(row(&plane, 3), [30, 27, 23, 15, 5, 50, 150, 200]);
        plane.expand = (1, 2);
        assert_eq!(row(&plane, 1)[..4], [15, 20, 30, 110]);
        plane.expand = (4, 1);
        plane.width = 2;
        assert_eq!(row(&plane, 0), [10, 10, 10, 10, 20, 20, 20, 20]);
    }
}
