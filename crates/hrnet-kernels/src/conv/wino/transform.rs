//! Data transforms of Winograd tiles, vectorised over the lanes of a channel block.
//!
//! Both use the even and odd parts of the polynomials: for the points ±p the two rows are `e ± p o`.
//!
//! ```text
//! input, 6 points, a = 3/4, b = 3/2          12 operations per row or column
//!   t0 = a²b² d0 - (a²+b²) d2 + d4           t5 = a²b² d1 - (a²+b²) d3 + d5
//!   t1, t2 = (d4 - b² d2) ± a (d3 - b² d1)   t3, t4 = (d4 - a² d2) ± b (d3 - a² d1)
//! output, 4 of 6                             12 operations
//!   y0 = m0 + (m1+m2) + (m3+m4)              y1 = a (m1-m2) + b (m3-m4)
//!   y2 = a² (m1+m2) + b² (m3+m4)             y3 = a³ (m1-m2) + b³ (m3-m4) + m5
//! stride 2, 7 points: F(3, 2) on the even pixels (4 additions), the odd ones as they are
//!   t0..t3 = d0 - d4, d2 + d4, d4 - d2, d2 - d6          t4..t6 = d1, d3, d5
//!   y0, y1, y2 = m0 + (m1+m2) + m4, (m1-m2) + m5, (m1+m2) - m3 + m6
//! ```

use super::Window;
use crate::LANES;
use crate::simd::Simd;

const A: f32 = 0.75;
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;

#[inline(always)]
fn input_1d<S: Simd, const N: usize>(s: S, d: [S::V; N]) -> [S::V; N] {
    let mut t = d;
    if N == 4 {
        t[0] = s.sub(d[0], d[2]);
        t[1] = s.add(d[1], d[2]);
        t[2] = s.sub(d[2], d[1]);
        t[3] = s.sub(d[1], d[3]);
    } else if N == 7 {
        t[0] = s.sub(d[0], d[4]);
        t[1] = s.add(d[2], d[4]);
        t[2] = s.sub(d[4], d[2]);
        t[3] = s.sub(d[2], d[6]);
        (t[4], t[5], t[6]) = (d[1], d[3], d[5]);
    } else {
        let (product, sum) = (s.splat(A2 * B2), s.splat(-(A2 + B2)));
        t[0] = s.mul_add(product, d[0], s.mul_add(sum, d[2], d[4]));
        t[5] = s.mul_add(product, d[1], s.mul_add(sum, d[3], d[5]));
        let square = s.splat(-B2);
        let (e, o) = (s.mul_add(square, d[2], d[4]), s.mul_add(square, d[1], d[3]));
        t[1] = s.mul_add(s.splat(A), o, e);
        t[2] = s.mul_add(s.splat(-A), o, e);
        let square = s.splat(-A2);
        let (e, o) = (s.mul_add(square, d[2], d[4]), s.mul_add(square, d[1], d[3]));
        t[3] = s.mul_add(s.splat(B), o, e);
        t[4] = s.mul_add(s.splat(-B), o, e);
    }
    t
}

#[inline(always)]
fn output_1d<S: Simd, const M: usize, const N: usize>(s: S, m: [S::V; N]) -> [S::V; M] {
    let mut y = [m[0]; M];
    if M == 2 {
        y[0] = s.add(s.add(m[0], m[1]), m[2]);
        y[1] = s.sub(s.sub(m[1], m[2]), m[3]);
    } else if M == 3 {
        let (e, o) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        y[0] = s.add(s.add(m[0], e), m[4]);
        y[1] = s.add(o, m[5]);
        y[2] = s.add(s.sub(e, m[3]), m[6]);
    } else {
        let (e1, o1) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (e2, o2) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        y[0] = s.add(s.add(m[0], e1), e2);
        y[1] = s.mul_add(s.splat(B), o2, s.mul(s.splat(A), o1));
        y[2] = s.mul_add(s.splat(B2), e2, s.mul(s.splat(A2), e1));
        y[3] = s.mul_add(s.splat(B2 * B), o2, s.mul_add(s.splat(A2 * A), o1, m[5]));
    }
    y
}

/// The transpose of [`output_1d`].
#[inline(always)]
fn gradient_1d<S: Simd, const M: usize, const N: usize>(s: S, y: [S::V; M]) -> [S::V; N] {
    let mut z = [y[0]; N];
    if M == 2 {
        z[1] = s.add(y[0], y[1]);
        z[2] = s.sub(y[0], y[1]);
        z[3] = s.sub(s.splat(0.0), y[1]);
    } else if M == 3 {
        let e = s.add(y[0], y[2]);
        z[1] = s.add(e, y[1]);
        z[2] = s.sub(e, y[1]);
        z[3] = s.sub(s.splat(0.0), y[2]);
        (z[5], z[6]) = (y[1], y[2]);
    } else {
        let (e, o) = (s.mul_add(s.splat(A2), y[2], y[0]), s.mul_add(s.splat(A2), y[3], y[1]));
        z[1] = s.mul_add(s.splat(A), o, e);
        z[2] = s.mul_add(s.splat(-A), o, e);
        let (e, o) = (s.mul_add(s.splat(B2), y[2], y[0]), s.mul_add(s.splat(B2), y[3], y[1]));
        z[3] = s.mul_add(s.splat(B), o, e);
        z[4] = s.mul_add(s.splat(-B), o, e);
        z[5] = y[3];
    }
    z
}

/// Transforms the `M x M` pixels of the gradient of one tile and one channel block into `N * N` cells at distance `step`.
///
/// # Safety
/// The first `rows` x `columns` pixels of the tile are readable; `dst + (N * N - 1) * step` and 16 floats from there are
/// writable.
#[inline(always)]
pub(super) unsafe fn gradient<S: Simd, const M: usize, const N: usize, const EDGE: bool>(
    s: S,
    src: *const f32,
    src_row: usize,
    window: Window,
    dst: *mut f32,
    step: usize,
) {
    for part in (0..LANES).step_by(S::WIDTH) {
        let mut t = [[s.splat(0.0); N]; M];
        for i in 0..M {
            let mut y = [s.splat(0.0); M];
            for (j, value) in y.iter_mut().enumerate() {
                if !EDGE || (i < window.rows && j < window.columns) {
                    // SAFETY: a pixel of the tile.
                    *value = unsafe { s.load(src.wrapping_add(i * src_row + j * LANES + part)) };
                }
            }
            t[i] = gradient_1d(s, y);
        }
        for j in 0..N {
            let mut column = [t[0][j]; M];
            for i in 1..M {
                column[i] = t[i][j];
            }
            let column: [S::V; N] = gradient_1d(s, column);
            for (i, &value) in column.iter().enumerate() {
                // SAFETY: cell `i * N + j` of the destination.
                unsafe { s.store(dst.wrapping_add((i * N + j) * step + part), value) };
            }
        }
    }
}

/// Transforms the `N x N` window of one tile and one channel block into `N * N` cells at distance `step`.
///
/// # Safety
/// The first `rows` x `columns` pixels of the window are readable; `dst + (N * N - 1) * step` and 16 floats from there
/// are writable.
#[inline(always)]
pub(super) unsafe fn input<S: Simd, const N: usize, const EDGE: bool>(
    s: S,
    src: *const f32,
    src_row: usize,
    (rows, columns): (usize, usize),
    dst: *mut f32,
    step: usize,
) {
    for part in (0..LANES).step_by(S::WIDTH) {
        let mut t = [[s.splat(0.0); N]; N];
        for i in 0..N {
            let mut d = [s.splat(0.0); N];
            for (j, value) in d.iter_mut().enumerate() {
                if !EDGE || (i < rows && j < columns) {
                    // SAFETY: a pixel of the window.
                    *value = unsafe { s.load(src.wrapping_add(i * src_row + j * LANES + part)) };
                }
            }
            t[i] = input_1d(s, d);
        }
        for j in 0..N {
            let mut column = [t[0][j]; N];
            for i in 1..N {
                column[i] = t[i][j];
            }
            let column = input_1d(s, column);
            for (i, &value) in column.iter().enumerate() {
                // SAFETY: cell `i * N + j` of the destination.
                unsafe { s.store(dst.wrapping_add((i * N + j) * step + part), value) };
            }
        }
    }
}

/// What the output transform of one tile and one vector of output channels needs.
pub(super) struct Out {
    /// First of `N * N` cells at distance `step`.
    pub(super) src: *const f32,
    pub(super) step: usize,
    /// 16 floats.
    pub(super) bias: *const f32,
    /// Layout and position of `dst`, or null.
    pub(super) residual: *const f32,
    pub(super) dst: *mut f32,
    pub(super) dst_row: usize,
    pub(super) window: Window,
    pub(super) relu: bool,
}

/// Transforms `N * N` cells into the `M x M` pixels of a tile, with the epilogue.
///
/// # Safety
/// The addresses of `o` are valid for the window's rows and columns.
#[inline(always)]
pub(super) unsafe fn output<S: Simd, const M: usize, const N: usize, const EDGE: bool>(s: S, o: &Out) {
    for part in (0..LANES).step_by(S::WIDTH) {
        let mut t = [[s.splat(0.0); N]; M];
        for j in 0..N {
            let mut column = [s.splat(0.0); N];
            for (i, value) in column.iter_mut().enumerate() {
                // SAFETY: cell `i * N + j` of the products.
                *value = unsafe { s.load(o.src.wrapping_add((i * N + j) * o.step + part)) };
            }
            let column: [S::V; M] = output_1d(s, column);
            for i in 0..M {
                t[i][j] = column[i];
            }
        }
        // SAFETY: `bias` holds 16 floats.
        let bias = unsafe { s.load(o.bias.wrapping_add(part)) };
        for (i, row) in t.iter().enumerate() {
            let row: [S::V; M] = output_1d(s, *row);
            for (j, &value) in row.iter().enumerate() {
                if EDGE && (i >= o.window.rows || j >= o.window.columns) {
                    continue;
                }
                let at = i * o.dst_row + j * LANES + part;
                let mut value = s.add(value, bias);
                if !o.residual.is_null() {
                    // SAFETY: an output pixel of this tile, in the layout of dst.
                    let residual = unsafe { s.load(o.residual.wrapping_add(at)) };
                    value = s.add(value, residual);
                }
                if o.relu {
                    value = s.relu(value);
                }
                // SAFETY: an output pixel of this tile.
                unsafe { s.store(o.dst.wrapping_add(at), value) };
            }
        }
    }
}
