//! The Winograd algorithm F(4x4, 3x3) as numbers: points, 1-D transforms, weight transform.
//!
//! With points `p_0 .. p_4` and infinity, `y = A^T [(G g) * (B^T d)]` computes 4 outputs of a filter of 3
//! from 6 inputs with 6 products. For finite points, with `N_k = prod_{l != k} (p_k - p_l)`:
//!
//! ```text
//! A^T[i][k] = p_k^i               A^T[i][inf] = (i == 3)
//! G[k][j]   = p_k^j / N_k         G[inf][j]   = (j == 2)
//! B^T[k]    = coefficients of prod_{l != k} (x - p_l)        B^T[inf] = those of prod_l (x - p_l)
//! ```
//!
//! (Toom-Cook; Lavin and Gray, arXiv 1509.09308; points as in Barabasz et al., arXiv 1803.10986.) With 0, +-a,
//! +-b the rows of a pair share an even and an odd part:
//!
//! ```text
//! v0    = a^2 b^2 d0 - (a^2 + b^2) d2 + d4          y0 = m0 + (m1 + m2)     + (m3 + m4)
//! v1,v2 = (d4 - b^2 d2) +- a (d3 - b^2 d1)          y1 =      (m1 - m2) a   + (m3 - m4) b
//! v3,v4 = (d4 - a^2 d2) +- b (d3 - a^2 d1)          y2 =      (m1 + m2) a^2 + (m3 + m4) b^2
//! v5    = a^2 b^2 d1 - (a^2 + b^2) d3 + d5          y3 =      (m1 - m2) a^3 + (m3 - m4) b^3 + m5
//! ```
//!
//! a = 1/sqrt(2), b = sqrt(2): then a^2 b^2 = 1 and both transforms are half multiplications and half plain
//! additions, which processors with separate addition pipes run side by side (8 + 6 and 6 + 6 operations).
//! The squares are exact; a and b are rounded. The exactly representable 0.75 and 1.5 err as much (relative
//! error 7.3e-7 against 7.1e-7 at 64 channels) and need two more multiplications per transform; Lavin's 1 and 2
//! err twice as much.

use super::lanes::Lanes;

/// Products per axis.
pub(crate) const POINTS: usize = 6;
/// Products per tile.
pub(crate) const POSITIONS: usize = POINTS * POINTS;
/// Rows of positions in the order of the scratch: the two rows of a pair share most of their work.
pub(crate) const ROW_ORDER: [usize; POINTS] = [0, 5, 1, 2, 3, 4];
/// Outputs per axis.
pub(crate) const TILE: usize = 4;

const A: f64 = std::f64::consts::FRAC_1_SQRT_2;
const B: f64 = std::f64::consts::SQRT_2;
const A2: f64 = 0.5;
const B2: f64 = 2.0;

/// Rows 0 and 5 of `B^T d`.
#[inline(always)]
pub(crate) fn input_ends<S: Lanes>(s: S, d: [S::V; POINTS]) -> [S::V; 2] {
    let both = s.splat(-(A2 + B2) as f32);
    [s.mul_add(d[2], both, s.add(d[0], d[4])), s.mul_add(d[3], both, s.add(d[1], d[5]))]
}

/// Rows 1 and 2 of `B^T d`; `d[0]` and `d[5]` do not matter.
#[inline(always)]
pub(crate) fn input_pair_a<S: Lanes>(s: S, d: [S::V; POINTS]) -> [S::V; 2] {
    let other = s.splat(-B2 as f32);
    let even = s.mul_add(d[2], other, d[4]);
    let odd = s.mul(s.mul_add(d[1], other, d[3]), s.splat(A as f32));
    [s.add(even, odd), s.sub(even, odd)]
}

/// Rows 3 and 4 of `B^T d`; `d[0]` and `d[5]` do not matter.
#[inline(always)]
pub(crate) fn input_pair_b<S: Lanes>(s: S, d: [S::V; POINTS]) -> [S::V; 2] {
    let other = s.splat(-A2 as f32);
    let even = s.mul_add(d[2], other, d[4]);
    let odd = s.mul(s.mul_add(d[1], other, d[3]), s.splat(B as f32));
    [s.add(even, odd), s.sub(even, odd)]
}

/// `B^T d`.
#[inline(always)]
pub(crate) fn input<S: Lanes>(s: S, d: [S::V; POINTS]) -> [S::V; POINTS] {
    let [first, last] = input_ends(s, d);
    let [v1, v2] = input_pair_a(s, d);
    let [v3, v4] = input_pair_b(s, d);
    [first, v1, v2, v3, v4, last]
}

/// `A^T m`.
#[inline(always)]
pub(crate) fn output<S: Lanes>(s: S, m: [S::V; POINTS]) -> [S::V; TILE] {
    let (sum_a, sum_b) = (s.add(m[1], m[2]), s.add(m[3], m[4]));
    let (diff_a, diff_b) = (s.sub(m[1], m[2]), s.sub(m[3], m[4]));
    [
        s.add(m[0], s.add(sum_a, sum_b)),
        s.mul_add(diff_a, s.splat(A as f32), s.mul(diff_b, s.splat(B as f32))),
        s.mul_add(sum_a, s.splat(A2 as f32), s.mul(sum_b, s.splat(B2 as f32))),
        s.mul_add(diff_a, s.splat((A2 * A) as f32), s.mul_add(diff_b, s.splat((B2 * B) as f32), m[5])),
    ]
}

/// `G g G^T` of one 3x3 filter, in f64, rounded once; rows in [`ROW_ORDER`].
pub(crate) fn weights(filter: &[f32]) -> [f32; POSITIONS] {
    let g = g_matrix();
    let mut out = [0.0; POSITIONS];
    for (i, row) in ROW_ORDER.into_iter().enumerate() {
        let gi = &g[row];
        for (j, gj) in g.iter().enumerate() {
            let mut sum = 0.0;
            for y in 0..3 {
                for x in 0..3 {
                    sum += gi[y] * gj[x] * f64::from(filter[y * 3 + x]);
                }
            }
            out[i * POINTS + j] = sum as f32;
        }
    }
    out
}

fn g_matrix() -> [[f64; 3]; POINTS] {
    let points = [0.0, A, -A, B, -B];
    let mut g = [[0.0; 3]; POINTS];
    for (k, &p) in points.iter().enumerate() {
        let norm: f64 = points.iter().filter(|&&other| other != p).map(|other| p - other).product();
        g[k] = [1.0 / norm, p / norm, p * p / norm];
    }
    g[POINTS - 1] = [0.0, 0.0, 1.0];
    g
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Portable, Simd};

    /// The three transforms together are a 2-D correlation.
    #[test]
    fn transforms_compute_a_correlation() {
        let d: Vec<f32> = (0..36).map(|i| ((i * 29 + 7) % 23) as f32 - 11.0).collect();
        let filter: Vec<f32> = (0..9).map(|i| ((i * 5) % 9) as f32 - 4.0).collect();
        let u = weights(&filter);
        let s = Portable;
        let mut v = [[0.0; 16]; POSITIONS];
        for (v, &d) in v.iter_mut().zip(&d) {
            *v = [d; 16];
        }
        let axis =
            |v: &mut [[f32; 16]], step: usize, start: usize, f: &dyn Fn([[f32; 16]; 6]) -> Vec<[f32; 16]>| {
                let line: [[f32; 16]; 6] = std::array::from_fn(|k| v[start + k * step]);
                for (k, value) in f(line).into_iter().enumerate() {
                    v[start + k * step] = value;
                }
            };
        for line in 0..6 {
            axis(&mut v, 6, line, &|d| input(s, d).to_vec());
        }
        for line in 0..6 {
            axis(&mut v, 1, line * 6, &|d| input(s, d).to_vec());
        }
        for (i, row) in ROW_ORDER.into_iter().enumerate() {
            for j in 0..6 {
                v[row * 6 + j] = s.mul(v[row * 6 + j], [u[i * 6 + j]; 16]);
            }
        }
        for line in 0..6 {
            axis(&mut v, 6, line, &|m| output(s, m).to_vec());
        }
        for line in 0..6 {
            axis(&mut v, 1, line * 6, &|m| output(s, m).to_vec());
        }
        for y in 0..4 {
            for x in 0..4 {
                let want: f32 = (0..9).map(|k| d[(y + k / 3) * 6 + x + k % 3] * filter[k]).sum();
                let got = v[y * 6 + x][3];
                assert!((got - want).abs() < 1e-3, "{y} {x}: {got}, {want}");
            }
        }
    }
}
