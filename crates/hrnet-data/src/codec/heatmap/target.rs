//! Gaussian targets: the default and the two published rules.

/// Draws the default target: a Gaussian of height 1 over the whole map at a real-valued centre. Returns the weight: 0, and
/// an empty map, when the centre lies outside the map's area (-0.5 to side - 0.5) or is not finite; else 1.
///
/// # Panics
/// When `map` has not `height * width` elements.
pub fn encode_gaussian(centre: [f64; 2], sigma: f64, height: usize, width: usize, map: &mut [f32]) -> f32 {
    assert_eq!(map.len(), height * width, "the map has {width}x{height} pixels");
    let [x, y] = centre;
    let inside = x >= -0.5 && y >= -0.5 && x < width as f64 - 0.5 && y < height as f64 - 0.5;
    if !inside {
        map.fill(0.0);
        return 0.0;
    }
    // exp(-25) is below the resolution of f32 beside 1; cutting there keeps denormals out.
    let side = |n: usize, c: f64| -> Vec<f32> {
        let exponent = |i: usize| (i as f64 - c).powi(2) / (2.0 * sigma * sigma);
        (0..n).map(|i| if exponent(i) < 25.0 { (-exponent(i)).exp() as f32 } else { 0.0 }).collect()
    };
    let (gx, gy) = (side(width, x), side(height, y));
    for (row, gy) in map.chunks_exact_mut(width).zip(gy) {
        for (v, gx) in row.iter_mut().zip(&gx) {
            *v = gx * gy;
        }
    }
    1.0
}

/// Draws the official pose target of a joint given in input pixels, and returns its weight: `weight`, or 0 when the patch lies
/// outside the map. The centre is rounded to a pixel; the patch has radius 3 sigma; it is drawn when the weight is above 1/2.
pub fn encode_official_pose(
    joint: [f64; 2],
    weight: f32,
    strides: [f64; 2],
    sigma: f64,
    height: usize,
    width: usize,
    map: &mut [f32],
) -> f32 {
    map.fill(0.0);
    // Truncation towards zero, as int() does.
    let centre = [(joint[0] / strides[0] + 0.5).trunc(), (joint[1] / strides[1] + 0.5).trunc()];
    match patch(centre, sigma, height, width) {
        None => 0.0,
        Some(patch) => {
            if weight > 0.5 {
                patch.draw(sigma, width, map);
            }
            weight
        }
    }
}

/// Draws the official face target at a centre in heat-map pixels (0-based, already truncated to integers by the official
/// transform). With a sigma of 1.5 the peak moves by one pixel near the left and top edge, as in the original. A point with
/// `y <= 0` in the image gets no patch there: do not call this, leave the map empty; it still counts in the loss.
pub fn encode_official_face(centre: [f64; 2], sigma: f64, height: usize, width: usize, map: &mut [f32]) {
    map.fill(0.0);
    if let Some(patch) = patch(centre, sigma, height, width) {
        patch.draw(sigma, width, map);
    }
}

/// A square patch with truncated corners, and what of it is on the map.
struct Patch {
    left: i64,
    top: i64,
    columns: std::ops::Range<i64>,
    rows: std::ops::Range<i64>,
}

/// The patch from `int(c - 3 sigma)` to `int(c + 3 sigma + 1)`; `None` when it is off the map.
fn patch(centre: [f64; 2], sigma: f64, height: usize, width: usize) -> Option<Patch> {
    if centre.iter().any(|c| !c.is_finite() || c.abs() > 1e9) {
        return None;
    }
    let reach = 3.0 * sigma;
    let [left, top] = centre.map(|c| (c - reach) as i64);
    let [right, bottom] = centre.map(|c| (c + reach + 1.0) as i64);
    let (w, h) = (width as i64, height as i64);
    if left >= w || top >= h || right < 0 || bottom < 0 {
        return None;
    }
    Some(Patch { left, top, columns: left.max(0)..right.min(w), rows: top.max(0)..bottom.min(h) })
}

impl Patch {
    fn draw(&self, sigma: f64, width: usize, map: &mut [f32]) {
        // The axis is 6 sigma + 1 long; its middle index is half of that, rounded down.
        let middle = ((6.0 * sigma + 1.0) / 2.0).floor();
        for y in self.rows.clone() {
            for x in self.columns.clone() {
                let (dx, dy) = ((x - self.left) as f64 - middle, (y - self.top) as f64 - middle);
                map[y as usize * width + x as usize] =
                    (-(dx * dx + dy * dy) / (2.0 * sigma * sigma)).exp() as f32;
            }
        }
    }
}
