//! Luma and chroma planes to RGB: chroma is interpolated linearly from where its samples lie, then the matrix of BT.601 or BT.709.

/// Where a subsampled chroma sample lies among the luma samples it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// On the first of them.
    First,
    /// In their middle.
    Middle,
}

/// Size of the chroma planes against luma, and where their samples lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chroma {
    /// Half the width, half the height.
    C420 {
        /// Horizontally.
        x: Site,
        /// Vertically.
        y: Site,
    },
    /// Half the width; samples on the first of two luma samples.
    C422,
    /// A quarter of the width; samples on the first of four luma samples.
    C411,
    /// Full size.
    C444,
}

impl Chroma {
    /// Chroma of full size.
    pub const FULL: Self = Self::C444;

    /// Luma samples per chroma sample, across and down.
    fn step(self) -> [usize; 2] {
        match self {
            Self::C420 { .. } => [2, 2],
            Self::C422 => [2, 1],
            Self::C411 => [4, 1],
            Self::C444 => [1, 1],
        }
    }

    fn sites(self) -> [Site; 2] {
        match self {
            Self::C420 { x, y } => [x, y],
            _ => [Site::First; 2],
        }
    }

    /// Width and height of a chroma plane.
    pub fn size(self, width: usize, height: usize) -> (usize, usize) {
        let [x, y] = self.step();
        (width.div_ceil(x), height.div_ceil(y))
    }
}

/// Coefficients between luma, chroma and RGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matrix {
    /// Standard definition.
    Bt601,
    /// High definition.
    Bt709,
}

/// Which numbers stand for black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Luma 16 to 235, chroma 16 to 240.
    Limited,
    /// 0 to 255.
    Full,
}

/// How samples become colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// The matrix.
    pub matrix: Matrix,
    /// The range.
    pub range: Range,
}

/// Sample positions and the weight of the second, for each of `n` luma positions.
fn taps(n: usize, step: usize, site: Site, samples: usize) -> Vec<(usize, usize, f32)> {
    let shift = match site {
        Site::First => 0.0,
        Site::Middle => (step as f32 - 1.0) / 2.0,
    };
    (0..n)
        .map(|i| {
            let at = ((i as f32 - shift) / step as f32).max(0.0);
            let a = (at as usize).min(samples - 1);
            (a, (a + 1).min(samples - 1), at - a as f32)
        })
        .collect()
}

/// Converts planes into `rgb`. Without chroma the picture is grey.
///
/// # Panics
/// When a buffer is smaller than its size says, or a side is 0.
pub fn planes_to_rgb(
    width: usize,
    height: usize,
    luma: &[u8],
    chroma: Option<(&[u8], &[u8], Chroma)>,
    colour: Colour,
    rgb: &mut [u8],
) {
    assert!(width > 0 && height > 0 && luma.len() >= width * height && rgb.len() >= width * height * 3);
    let (offset, luma_gain, chroma_gain) = match colour.range {
        Range::Limited => (16.0, 255.0 / 219.0, 255.0 / 224.0),
        Range::Full => (0.0, 1.0, 1.0),
    };
    let (kr, kb) = match colour.matrix {
        Matrix::Bt601 => (0.299f32, 0.114f32),
        Matrix::Bt709 => (0.2126, 0.0722),
    };
    let kg = 1.0 - kr - kb;
    let (r_v, b_u) = (2.0 * (1.0 - kr) * chroma_gain, 2.0 * (1.0 - kb) * chroma_gain);
    let (g_u, g_v) = (b_u * kb / kg, r_v * kr / kg);
    let byte = |v: f32| (v + 0.5) as u8;

    let Some((u, v, layout)) = chroma else {
        for (out, &y) in rgb.chunks_exact_mut(3).zip(&luma[..width * height]) {
            out.fill(byte((f32::from(y) - offset) * luma_gain));
        }
        return;
    };
    let ([step_x, step_y], [site_x, site_y]) = (layout.step(), layout.sites());
    let (cw, ch) = layout.size(width, height);
    assert!(u.len() >= cw * ch && v.len() >= cw * ch);
    let (across, down) = (taps(width, step_x, site_x, cw), taps(height, step_y, site_y, ch));
    // The chroma rows of an output row, blended vertically and less 128; then spread over the width.
    let (mut us, mut vs) = (vec![0.0f32; cw], vec![0.0f32; cw]);
    for (row, &(a, b, t)) in down.iter().enumerate() {
        for (out, plane) in [(&mut us, u), (&mut vs, v)] {
            let (first, second) = (&plane[a * cw..][..cw], &plane[b * cw..][..cw]);
            for ((o, &p), &q) in out.iter_mut().zip(first).zip(second) {
                let (p, q) = (f32::from(p), f32::from(q));
                *o = p + t * (q - p) - 128.0;
            }
        }
        let line = &luma[row * width..][..width];
        let out = &mut rgb[row * width * 3..][..width * 3];
        for ((out, &y), &(a, b, t)) in out.chunks_exact_mut(3).zip(line).zip(&across) {
            let y = (f32::from(y) - offset) * luma_gain;
            let u = us[a] + t * (us[b] - us[a]);
            let v = vs[a] + t * (vs[b] - vs[a]);
            out[0] = byte(y + r_v * v);
            out[1] = byte(y - g_u * u - g_v * v);
            out[2] = byte(y + b_u * u);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Colour; 4] = [
        Colour { matrix: Matrix::Bt601, range: Range::Limited },
        Colour { matrix: Matrix::Bt601, range: Range::Full },
        Colour { matrix: Matrix::Bt709, range: Range::Limited },
        Colour { matrix: Matrix::Bt709, range: Range::Full },
    ];

    fn pixel(yuv: [u8; 3], colour: Colour) -> [u8; 3] {
        let mut rgb = [0; 3];
        planes_to_rgb(1, 1, &yuv[..1], Some((&yuv[1..2], &yuv[2..], Chroma::C444)), colour, &mut rgb);
        rgb
    }

    /// The forward equations of the standards in f64.
    fn forward(rgb: [u8; 3], colour: Colour) -> [u8; 3] {
        let [r, g, b] = rgb.map(f64::from);
        let (kr, kb) = match colour.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
        };
        let y = kr * r + (1.0 - kr - kb) * g + kb * b;
        let (u, v) = ((b - y) / (2.0 - 2.0 * kb), (r - y) / (2.0 - 2.0 * kr));
        let limited = colour.range == Range::Limited;
        let (y, u, v) = if limited {
            (16.0 + y * 219.0 / 255.0, u * 224.0 / 255.0, v * 224.0 / 255.0)
        } else {
            (y, u, v)
        };
        [y, u + 128.0, v + 128.0].map(|x| x.round().clamp(0.0, 255.0) as u8)
    }

    #[test]
    fn colours_come_back() {
        assert_eq!(pixel([16, 128, 128], ALL[0]), [0; 3]);
        assert_eq!(pixel([235, 128, 128], ALL[0]), [255; 3]);
        // Red of SMPTE bars, BT.601: 81, 90, 240.
        assert_eq!(pixel([81, 90, 240], ALL[0]).map(|v| v / 2), [127, 0, 0]);
        for colour in ALL {
            for r in (0..=255).step_by(15) {
                for g in (0..=255).step_by(15) {
                    for b in (0..=255).step_by(15) {
                        let back = pixel(forward([r, g, b], colour), colour);
                        let worst = back.iter().zip([r, g, b]).map(|(x, y)| x.abs_diff(y)).max().unwrap();
                        // Half a step of luma and of chroma, at their gains.
                        let bound = if colour.range == Range::Limited { 2 } else { 1 };
                        assert!(worst <= bound, "{colour:?} {r} {g} {b}: {back:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn chroma_lies_where_its_site_is() {
        // A ramp of chroma over luma positions is linear between samples, wherever they lie.
        for (layout, shift) in [
            (Chroma::C420 { x: Site::Middle, y: Site::Middle }, 0.5),
            (Chroma::C420 { x: Site::First, y: Site::Middle }, 0.0),
            (Chroma::C422, 0.0),
            (Chroma::C411, 0.0),
            (Chroma::C444, 0.0),
        ] {
            let (w, h) = (16, 4);
            let (cw, ch) = layout.size(w, h);
            let step = w / cw;
            let u = vec![128u8; cw * ch];
            let v: Vec<u8> = (0..cw * ch).map(|i| (128 + 4 * (i % cw * step)) as u8).collect();
            let mut rgb = vec![0; w * h * 3];
            let colour = Colour { matrix: Matrix::Bt601, range: Range::Full };
            planes_to_rgb(w, h, &vec![100; w * h], Some((&u, &v, layout)), colour, &mut rgb);
            for x in step..w - step {
                let at = x as f64 - shift;
                let want = (100.0 + 1.402 * 4.0 * at).round().min(255.0);
                for y in 0..h {
                    let got = f64::from(rgb[(y * w + x) * 3]);
                    assert!((got - want).abs() <= 1.0, "{layout:?} x {x}: {got}, want {want}");
                }
            }
        }
    }

    #[test]
    fn odd_sizes_and_grey() {
        let mut rgb = vec![9; 3 * 3 * 3];
        let layout = Chroma::C420 { x: Site::Middle, y: Site::Middle };
        assert_eq!(layout.size(3, 3), (2, 2));
        let colour = Colour { matrix: Matrix::Bt709, range: Range::Full };
        planes_to_rgb(3, 3, &[50; 9], Some((&[128; 4], &[128; 4], layout)), colour, &mut rgb);
        assert_eq!(rgb, vec![50; 27]);
        planes_to_rgb(3, 3, &[16; 9], None, ALL[0], &mut rgb);
        assert_eq!(rgb, vec![0; 27]);
    }
}
