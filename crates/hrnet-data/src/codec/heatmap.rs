//! Heat maps: Gaussian targets, and points from predicted maps. Maps are `[joints, h, w]`; points are heat-map pixels,
//! pixel centres at integers; [`crate::geometry`] maps them to the image.
//!
//! Default: a full Gaussian at the real-valued position, decoded by a weighted fit of a paraboloid to the logarithm of the
//! map about its maximum ([`SubPixel::LogQuadratic`]), which is exact on such a Gaussian and averages noise.
//! The other decoders are the published ones.

use hrnet_ir::Decoder;
use serde::{Deserialize, Serialize};

pub(crate) mod dark;
mod flip;
mod target;

pub use flip::{average, flip_maps_back, merge_flip, mirror_planes, shift_maps_right};
pub use target::{encode_gaussian, encode_official_face, encode_official_pose};

/// A decoded point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Position in heat-map pixels.
    pub x: f64,
    /// Position in heat-map pixels.
    pub y: f64,
    /// The maximum of the map.
    pub score: f32,
}

impl Peak {
    /// x and y.
    pub fn point(&self) -> [f64; 2] {
        [self.x, self.y]
    }
}

/// How a position is read off a map: a [`Decoder`] with its numbers. The serialised names are those of configurations.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubPixel {
    /// The pixel of the maximum.
    Argmax,
    /// A quarter pixel towards the larger neighbour (the official pose decoder).
    QuarterOffset,
    /// Blur, logarithm, one Newton step (DARK, Zhang et al. 2020); the kernel is 11 for a deviation of 2, 17 for 3.
    Dark {
        /// Side of the blur kernel, odd.
        kernel: usize,
    },
    /// DARK as UDP has it (Huang et al. 2020): for maps trained on [`super::udp::encode_gaussian`] targets, whose
    /// coordinates go back to the image by the inverse of [`crate::geometry::udp_affine`].
    Udp {
        /// Side of the blur kernel, odd.
        kernel: usize,
    },
    /// Least squares of `log v = c + b·p - a |p|²` over the 5 by 5 pixels about the maximum, weights `v²`.
    #[default]
    LogQuadratic,
}

impl SubPixel {
    /// The reading of a decoder of heat maps, with that blur; `None` for decoders of other outputs. UDP's three maps per point
    /// ([`super::udp::decode_combined`]) take the kernel of [`SubPixel::Udp`].
    pub fn of(decoder: Decoder, kernel: usize) -> Option<Self> {
        match decoder {
            Decoder::ArgMax => Some(Self::Argmax),
            Decoder::ArgMaxQuarter => Some(Self::QuarterOffset),
            Decoder::Dark => Some(Self::Dark { kernel }),
            Decoder::Udp | Decoder::UdpCombined => Some(Self::Udp { kernel }),
            Decoder::LogQuadratic => Some(Self::LogQuadratic),
            Decoder::Associative | Decoder::ArgMaxClass | Decoder::TopK | Decoder::None => None,
        }
    }

    /// The decoder that recipes write for it.
    pub fn decoder(self) -> Decoder {
        match self {
            Self::Argmax => Decoder::ArgMax,
            Self::QuarterOffset => Decoder::ArgMaxQuarter,
            Self::Dark { .. } => Decoder::Dark,
            Self::Udp { .. } => Decoder::Udp,
            Self::LogQuadratic => Decoder::LogQuadratic,
        }
    }
}

impl std::fmt::Display for SubPixel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Argmax => f.write_str("maximum"),
            Self::QuarterOffset => f.write_str("quarter offset"),
            Self::Dark { kernel } => write!(f, "DARK, kernel {kernel}"),
            Self::Udp { kernel } => write!(f, "UDP, kernel {kernel}"),
            Self::LogQuadratic => f.write_str("log-quadratic fit"),
        }
    }
}

/// The index and value of the first maximum; NaN never wins. An empty map or one of NaN gives index 0 and minus infinity.
pub fn argmax(map: &[f32]) -> (usize, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (i, &v) in map.iter().enumerate() {
        if v > best.1 {
            best = (i, v);
        }
    }
    best
}

/// Decodes every map of `[joints, height, width]`. A map whose maximum is not above zero decodes to (0, 0), as in the
/// official code; its score tells.
///
/// # Panics
/// When `maps` is not a whole number of maps.
pub fn decode(maps: &[f32], height: usize, width: usize, decoder: SubPixel) -> Vec<Peak> {
    let size = height * width;
    assert!(
        size > 0 && maps.len().is_multiple_of(size),
        "{} values are not maps of {width}x{height}",
        maps.len()
    );
    let taps = match decoder {
        SubPixel::Dark { kernel } | SubPixel::Udp { kernel } => dark::taps(kernel),
        _ => Vec::new(),
    };
    maps.chunks_exact(size)
        .map(|map| {
            let (index, score) = argmax(map);
            if score <= 0.0 {
                return Peak { x: 0.0, y: 0.0, score };
            }
            let (x, y) = (index % width, index / width);
            let [dx, dy] = match decoder {
                SubPixel::Argmax => [0.0; 2],
                SubPixel::QuarterOffset => quarter_offset(map, height, width, x, y),
                SubPixel::Dark { .. } => dark::classic(map, height, width, x, y, score, &taps),
                SubPixel::Udp { .. } => dark::udp(map, height, width, x, y, score, &taps),
                SubPixel::LogQuadratic => log_quadratic_offset(map, height, width, x, y)
                    .unwrap_or_else(|| quarter_offset(map, height, width, x, y)),
            };
            Peak { x: x as f64 + dx, y: y as f64 + dy, score }
        })
        .collect()
}

/// A quarter pixel towards the larger neighbour on each axis, only when 1 < x < w - 1 and 1 < y < h - 1.
fn quarter_offset(map: &[f32], height: usize, width: usize, x: usize, y: usize) -> [f64; 2] {
    if !(x > 1 && x + 1 < width && y > 1 && y + 1 < height) {
        return [0.0; 2];
    }
    towards_larger(map, width, x, y)
}

/// A quarter pixel towards the larger neighbour on each axis; (x, y) is not on the border.
fn towards_larger(map: &[f32], width: usize, x: usize, y: usize) -> [f64; 2] {
    let i = y * width + x;
    let sign = |d: f32| {
        if d > 0.0 {
            0.25
        } else if d < 0.0 {
            -0.25
        } else {
            0.0
        }
    };
    [sign(map[i + 1] - map[i - 1]), sign(map[i + width] - map[i - width])]
}

/// The official face decoder: 1-based argmax, quarter offset, + 1/2, and back to the image by the truncating inverse of the
/// face map. `scale` contains the factor 1.25. The points are integers, 1-based as in the annotation files.
pub fn decode_official_face(
    maps: &[f32],
    height: usize,
    width: usize,
    centre: [f64; 2],
    scale: f64,
) -> Option<Vec<([i64; 2], f32)>> {
    let size = height * width;
    if size == 0 || !maps.len().is_multiple_of(size) || height != width {
        return None;
    }
    let back = crate::geometry::face_transform(centre, scale, 0.0, width).inverse()?;
    let points = maps.chunks_exact(size).map(|map| {
        let (index, score) = argmax(map);
        let (x, y) = (index % width, index / width);
        let mut point = [0.0; 2];
        if score > 0.0 {
            point = [x as f64 + 1.0, y as f64 + 1.0];
            // 1-based 1 < p < side is 0-based 1 ..= side - 2.
            if x >= 1 && x + 1 < width && y >= 1 && y + 1 < height {
                let offset = towards_larger(map, width, x, y);
                point[0] += offset[0];
                point[1] += offset[1];
            }
        }
        (crate::geometry::transform_pixel(&back, point.map(|v| v + 0.5)), score)
    });
    Some(points.collect())
}

/// The vertex of the fitted paraboloid; `None` when the fit is no peak or lies more than a pixel off the maximum.
fn log_quadratic_offset(map: &[f32], height: usize, width: usize, x: usize, y: usize) -> Option<[f64; 2]> {
    const RADIUS: i64 = 2;
    let peak = f64::from(map[y * width + x]);
    // Normal equations of the unknowns (c, bx, by, a) for log v = c + bx dx + by dy - a (dx² + dy²).
    let mut m = [[0.0f64; 5]; 4];
    for dy in -RADIUS..=RADIUS {
        for dx in -RADIUS..=RADIUS {
            let (px, py) = (x as i64 + dx, y as i64 + dy);
            if px < 0 || py < 0 || px >= width as i64 || py >= height as i64 {
                continue;
            }
            let v = f64::from(map[py as usize * width + px as usize]) / peak;
            // Below this, the logarithm is all noise.
            if v.is_nan() || v <= 1e-3 {
                continue;
            }
            // Noise of equal size on v is noise of size 1 / v on log v.
            let (weight, value) = (v * v, v.ln());
            let row = [1.0, dx as f64, dy as f64, -((dx * dx + dy * dy) as f64)];
            for i in 0..4 {
                for j in 0..4 {
                    m[i][j] += weight * row[i] * row[j];
                }
                m[i][4] += weight * row[i] * value;
            }
        }
    }
    let [_, bx, by, a] = solve(m)?;
    if a.is_nan() || a <= 1e-6 {
        return None;
    }
    let offset = [bx / (2.0 * a), by / (2.0 * a)];
    offset.iter().all(|v| v.abs() <= 1.0).then_some(offset)
}

/// Solves four linear equations (rows of coefficients and right side) with pivoting.
fn solve(mut m: [[f64; 5]; 4]) -> Option<[f64; 4]> {
    for i in 0..4 {
        let pivot = (i..4).max_by(|&p, &q| m[p][i].abs().total_cmp(&m[q][i].abs()))?;
        m.swap(i, pivot);
        if m[i][i].is_nan() || m[i][i].abs() <= 1e-12 {
            return None;
        }
        for j in 0..4 {
            if j != i {
                let factor = m[j][i] / m[i][i];
                for k in i..5 {
                    m[j][k] -= factor * m[i][k];
                }
            }
        }
    }
    Some(std::array::from_fn(|i| m[i][4] / m[i][i]))
}

#[cfg(test)]
mod tests;
