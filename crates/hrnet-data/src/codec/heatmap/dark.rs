//! Sub-pixel positions by one Newton step on the logarithm of a blurred map: DARK (Zhang et al. 2020) in its two published
//! forms, classic and UDP. All arithmetic is 64-bit.
//!
//! ```text
//! b = blur(map), rescaled so that its maximum is the map's       (zero outside the map)
//! classic: L = ln max(b, 1e-10);       steps of 2 for second differences; only where they stay inside
//! UDP:     L = ln clip(b, 1e-3, 50);   steps of 1, the border repeated; eps added to the diagonal
//! offset = - H^-1 g
//! ```

/// What lies outside the map.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Border {
    Zero,
    /// `c b | a b c`: OpenCV's default.
    Reflect101,
}

/// The taps of OpenCV's Gaussian kernel of an odd size, from the middle outwards; its deviation follows from the size.
pub(crate) fn taps(kernel: usize) -> Vec<f64> {
    let radius = kernel / 2;
    let sigma = 0.3 * (radius as f64 - 1.0) + 0.8;
    let taps: Vec<f64> = (0..=radius).map(|i| (-((i * i) as f64) / (2.0 * sigma * sigma)).exp()).collect();
    let total = taps[0] + 2.0 * taps[1..].iter().sum::<f64>();
    taps.into_iter().map(|t| t / total).collect()
}

/// One pass over a line: `out[i] = sum of taps[|d|] * at(i + d)`.
fn blur_line(line: &[f64], taps: &[f64], border: Border, padded: &mut Vec<f64>, out: &mut [f64]) {
    let (n, radius) = (line.len() as i64, taps.len() as i64 - 1);
    padded.clear();
    padded.extend((-radius..n + radius).map(|i| {
        if (0..n).contains(&i) {
            return line[i as usize];
        }
        match border {
            Border::Zero => 0.0,
            Border::Reflect101 if n == 1 => line[0],
            Border::Reflect101 => {
                let period = 2 * (n - 1);
                let i = i.rem_euclid(period);
                line[i.min(period - i) as usize]
            }
        }
    }));
    let r = radius as usize;
    for (i, out) in out.iter_mut().enumerate() {
        let mut sum = taps[0] * padded[i + r];
        for (d, tap) in taps.iter().enumerate().skip(1) {
            sum += tap * (padded[i + r - d] + padded[i + r + d]);
        }
        *out = sum;
    }
}

/// Blurs a map of rows of `width` pixels.
pub(crate) fn blur(map: &[f32], width: usize, taps: &[f64], border: Border) -> Vec<f64> {
    let height = map.len() / width;
    let mut rows: Vec<f64> = map.iter().map(|&v| f64::from(v)).collect();
    let (mut line, mut padded, mut out) = (Vec::new(), Vec::new(), vec![0.0; width.max(height)]);
    for row in rows.chunks_exact_mut(width) {
        line.clear();
        line.extend_from_slice(row);
        blur_line(&line, taps, border, &mut padded, row);
    }
    for x in 0..width {
        line.clear();
        line.extend((0..height).map(|y| rows[y * width + x]));
        blur_line(&line, taps, border, &mut padded, &mut out[..height]);
        for y in 0..height {
            rows[y * width + x] = out[y];
        }
    }
    rows
}

/// The map after modulation: blurred with zeros outside and brought back to the maximum `peak`.
fn modulate(map: &[f32], width: usize, taps: &[f64], peak: f32) -> Vec<f64> {
    let mut blurred = blur(map, width, taps, Border::Zero);
    let highest = blurred.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let factor = f64::from(peak) / highest;
    blurred.iter_mut().for_each(|v| *v *= factor);
    blurred
}

/// A step that is not finite, or leaves the map by far, is no step.
fn checked(offset: [f64; 2], limit: f64) -> [f64; 2] {
    if offset.iter().all(|v| v.is_finite() && v.abs() <= limit) { offset } else { [0.0; 2] }
}

/// Classic DARK: the offset from the maximum at (`x`, `y`), whose value is `peak`.
pub(super) fn classic(
    map: &[f32],
    height: usize,
    width: usize,
    x: usize,
    y: usize,
    peak: f32,
    taps: &[f64],
) -> [f64; 2] {
    // The second differences reach two pixels.
    if !(x > 1 && x + 2 < width && y > 1 && y + 2 < height) {
        return [0.0; 2];
    }
    let blurred = modulate(map, width, taps, peak);
    let at = |x: usize, y: usize| blurred[y * width + x].max(1e-10).ln();
    let here = at(x, y);
    let gx = 0.5 * (at(x + 1, y) - at(x - 1, y));
    let gy = 0.5 * (at(x, y + 1) - at(x, y - 1));
    let hxx = 0.25 * (at(x + 2, y) - 2.0 * here + at(x - 2, y));
    let hyy = 0.25 * (at(x, y + 2) - 2.0 * here + at(x, y - 2));
    let hxy = 0.25 * (at(x + 1, y + 1) - at(x - 1, y + 1) - at(x + 1, y - 1) + at(x - 1, y - 1));
    let det = hxx * hyy - hxy * hxy;
    if det == 0.0 {
        return [0.0; 2];
    }
    checked([-(hyy * gx - hxy * gy) / det, -(hxx * gy - hxy * gx) / det], f64::MAX)
}

/// UDP's DARK: the offset from the maximum at (`x`, `y`), whose value is `peak`.
pub(super) fn udp(
    map: &[f32],
    height: usize,
    width: usize,
    x: usize,
    y: usize,
    peak: f32,
    taps: &[f64],
) -> [f64; 2] {
    let blurred = modulate(map, width, taps, peak);
    let at = |dx: i64, dy: i64| {
        let px = (x as i64 + dx).clamp(0, width as i64 - 1) as usize;
        let py = (y as i64 + dy).clamp(0, height as i64 - 1) as usize;
        blurred[py * width + px].clamp(1e-3, 50.0).ln()
    };
    let here = at(0, 0);
    let (right, left, down, up) = (at(1, 0), at(-1, 0), at(0, 1), at(0, -1));
    let (gx, gy) = (0.5 * (right - left), 0.5 * (down - up));
    let eps = f64::from(f32::EPSILON);
    let hxx = right - 2.0 * here + left + eps;
    let hyy = down - 2.0 * here + up + eps;
    let hxy = 0.5 * (at(1, 1) - right - down + 2.0 * here - left - up + at(-1, -1));
    let det = hxx * hyy - hxy * hxy;
    checked([-(hyy * gx - hxy * gy) / det, -(hxx * gy - hxy * gx) / det], f64::MAX)
}
