//! The algebra of F(m x m, 3x3): interpolation points, weight transform, and the 1-D transforms in f64.
//!
//! Cook-Toom with finite points `p` and infinity. With `N(p) = product of (p - q)` over the other finite points `q`:
//!
//! ```text
//! G   row p        (1, p, p^2) / N(p)                          row inf: (0, 0, 1)
//! B^T row p        coefficients of product (x - q)             row inf: coefficients of product over all points
//! A^T row i        (p^i for every finite p), 1 for inf if i = m - 1
//! y = A^T [ (G g G^T) . (B^T d B) ] A
//! ```
//!
//! Points: 0, ±1 for m = 2, where every constant of the data transforms is 0 or ±1 and those of `G` are 1/2: exact on
//! small integers. 0, ±3/4, ±3/2 for m = 4: powers of these and their products are exactly representable, and the error
//! is as small as with ±1/sqrt 2, ±sqrt 2 (docs/kernels.md 3: half that of 0, ±1, ±2).
//!
//! Stride 2, m = 3: along one axis an output is a convolution of two taps over the even pixels plus one product with an odd
//! pixel, `y[i] = (E[i] w0 + E[i + 1] w2) + O[i] w1`. The even part is F(3, 2) with the points 0, ±1 and infinity, the odd
//! part stays as it is: 4 + 3 products for 3 outputs instead of 9, in two dimensions 49 instead of 81. All constants are 0,
//! ±1 and 1/2.

use crate::LANES;
use crate::isa::Proven;

/// Of stride 2: 7 x 7.
const MAX_POSITIONS: usize = 49;

/// Finite points, in the order of the transforms.
const POINTS2: [f64; 3] = [0.0, 1.0, -1.0];
const POINTS4: [f64; 5] = [0.0, 0.75, -0.75, 1.5, -1.5];

/// The finite points of F(m x m, 3x3).
pub(crate) fn points(m: usize) -> &'static [f64] {
    match m {
        2 => &POINTS2,
        4 => &POINTS4,
        _ => panic!("no Winograd points for F({m}x{m})"),
    }
}

/// Rows and columns of positions for `m` outputs: windows of `m + 2` pixels, or of 7 at stride 2.
pub(crate) fn window(m: usize) -> usize {
    if m == 3 { 7 } else { m + 2 }
}

/// Rows of `G`: positions x 3. `m` = 2 and 4 for stride 1, 3 for stride 2.
pub(crate) fn weight_matrix(m: usize) -> Vec<[f64; 3]> {
    if m == 3 {
        let odd = [0.0, 1.0, 0.0];
        let even = [[1.0, 0.0, 0.0], [0.5, 0.0, 0.5], [0.5, 0.0, -0.5], [0.0, 0.0, 1.0]];
        return even.into_iter().chain([odd; 3]).collect();
    }
    let points = points(m);
    let mut rows: Vec<[f64; 3]> = Vec::new();
    for &p in points {
        let n: f64 = points.iter().filter(|&&q| q != p).map(|q| p - q).product();
        rows.push([1.0 / n, p / n, p * p / n]);
    }
    rows.push([0.0, 0.0, 1.0]);
    if m == 2 {
        // The input transform takes d0 - d2 for the point 0, the other sign of the polynomial above.
        rows[0].iter_mut().for_each(|v| *v = -*v);
    }
    rows
}

/// Where the weight of (output, channel, tap) lies: `[output][channel][3][3]` of a convolution, or the same array read as
/// that of its gradient with respect to the input, with outputs and channels exchanged and the kernel turned by 180 degrees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WeightView {
    pub(crate) output_step: usize,
    pub(crate) channel_step: usize,
    pub(crate) turned: bool,
}

/// Channels that are transformed before they are written: runs of some cache lines instead of one, for positions lie far
/// apart.
const GROUP: usize = 4;
/// Vectors of the largest output block.
const MAX_VECTORS: usize = 3;

/// `G g G^T` of one output block into `packed`, `[position][channel][vectors * 16]`. The block's first output begins at
/// `weight` and has `outputs` of them; missing lanes become zero. With `exact` in f64, rounded once; else in f32, which takes
/// less than half the time (training packs in every step).
pub(crate) fn transform_weights(
    proven: Proven,
    m: usize,
    weight: &[f32],
    view: WeightView,
    (outputs, channels): (usize, usize),
    packed: &mut [f32],
    exact: bool,
) {
    let wide = weight_matrix(m);
    let mut narrow = [[0.0f32; 3]; 7];
    for (n, w) in narrow.iter_mut().zip(&wide) {
        *n = w.map(|v| v as f32);
    }
    let narrow = &narrow[..wide.len()];
    let positions = wide.len() * wide.len();
    let lanes = packed.len() / (positions * channels);
    let mut cells = [[0.0f32; LANES]; MAX_POSITIONS];
    let mut group = [[[[0.0f32; LANES]; MAX_VECTORS]; GROUP]; MAX_POSITIONS];
    for first in (0..channels).step_by(GROUP) {
        let count = GROUP.min(channels - first);
        for i in 0..count {
            for v in 0..lanes / LANES {
                let mut taps = [[0.0f32; LANES]; 9];
                for lane in 0..LANES.min(outputs - v * LANES) {
                    let at = (v * LANES + lane) * view.output_step + (first + i) * view.channel_step;
                    let kernel: &[f32; 9] = weight[at..at + 9].try_into().expect("9 weights");
                    for (tap, values) in taps.iter_mut().enumerate() {
                        values[lane] = kernel[if view.turned { 8 - tap } else { tap }];
                    }
                }
                if exact {
                    transform_cell(proven, &wide, &taps.map(|tap| tap.map(f64::from)), &mut cells);
                } else {
                    transform_cell_f32(proven, narrow, &taps, &mut cells);
                }
                for (group, cell) in group[..positions].iter_mut().zip(&cells) {
                    group[i][v] = *cell;
                }
            }
        }
        for (position, group) in group[..positions].iter().enumerate() {
            let at = (position * channels + first) * lanes;
            for (cell, group) in packed[at..at + count * lanes].chunks_exact_mut(lanes).zip(group) {
                cell.as_chunks_mut::<LANES>().0.iter_mut().zip(group).for_each(|(c, g)| *c = *g);
            }
        }
    }
}

multiversion! {
    fn transform_cell_f32[s](matrix: &[[f32; 3]], taps: &[[f32; LANES]; 9], cells: &mut [[f32; LANES]; MAX_POSITIONS]) {
        let n = matrix.len();
        let taps = taps.each_ref().map(|tap| s.get(tap));
        for (i, g) in matrix.iter().enumerate() {
            let [g0, g1, g2] = g.map(|v| s.splat(v));
            let mut row = [taps[0]; 3];
            for (x, value) in row.iter_mut().enumerate() {
                *value = s.mul_add(g2, taps[6 + x], s.mul_add(g1, taps[3 + x], s.mul(g0, taps[x])));
            }
            for (j, h) in matrix.iter().enumerate() {
                let [h0, h1, h2] = h.map(|v| s.splat(v));
                let value = s.mul_add(h2, row[2], s.mul_add(h1, row[1], s.mul(h0, row[0])));
                s.put(&mut cells[i * n + j], value);
            }
        }
    }
}

multiversion! {
    fn transform_cell(matrix: &[[f64; 3]], taps: &[[f64; LANES]; 9], cells: &mut [[f32; LANES]; MAX_POSITIONS]) {
        let n = matrix.len();
        let mut half = [[[0.0f64; LANES]; 3]; 7];
        for (row, g) in half.iter_mut().zip(matrix) {
            for (x, value) in row.iter_mut().enumerate() {
                for lane in 0..LANES {
                    value[lane] = g[0] * taps[x][lane] + g[1] * taps[3 + x][lane] + g[2] * taps[6 + x][lane];
                }
            }
        }
        for (i, row) in half[..n].iter().enumerate() {
            for (j, g) in matrix.iter().enumerate() {
                let cell = &mut cells[i * n + j];
                for lane in 0..LANES {
                    cell[lane] = (g[0] * row[0][lane] + g[1] * row[1][lane] + g[2] * row[2][lane]) as f32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of `B^T` from the points, by multiplying out the polynomials.
    fn input_matrix(m: usize) -> Vec<Vec<f64>> {
        let finite = points(m);
        let product = |leave: Option<f64>| {
            let mut poly = vec![1.0];
            for &q in finite.iter().filter(|&&q| Some(q) != leave) {
                let mut next = vec![0.0; poly.len() + 1];
                for (i, &c) in poly.iter().enumerate() {
                    next[i + 1] += c;
                    next[i] -= q * c;
                }
                poly = next;
            }
            poly.resize(m + 2, 0.0);
            poly
        };
        let mut rows: Vec<Vec<f64>> = finite.iter().map(|&p| product(Some(p))).collect();
        rows.push(product(None));
        rows
    }

    #[test]
    fn the_matrices_multiply_to_a_convolution() {
        for m in [2, 4] {
            let mut b = input_matrix(m);
            let g = weight_matrix(m);
            if m == 2 {
                // Signs as in the input transform: the point 0 and, with the output transform, infinity.
                b[0].iter_mut().for_each(|v| *v = -*v);
            }
            let weight = [0.5, -2.0, 3.0];
            let data: Vec<f64> = (0..m + 2).map(|i| ((i * 7) % 5) as f64 - 1.5).collect();
            for i in 0..m {
                let mut y = 0.0;
                for (k, (b, g)) in b.iter().zip(&g).enumerate() {
                    let at = match points(m).get(k) {
                        Some(p) => p.powi(i as i32),
                        None => f64::from(u8::from(i == m - 1)),
                    };
                    let v: f64 = b.iter().zip(&data).map(|(b, d)| b * d).sum();
                    let u: f64 = g.iter().zip(&weight).map(|(g, w)| g * w).sum();
                    y += at * v * u;
                }
                let direct: f64 = (0..3).map(|k| data[i + k] * weight[k]).sum();
                assert!((y - direct).abs() < 1e-12, "F({m}): {y} {direct}");
            }
        }
    }
}
