//! Input and output transform of 16 tiles, between the tile layout and the scratch of a strip.

use super::lanes::{KEEP, Lanes};
use super::points::{
    POINTS, POSITIONS, ROW_ORDER, TILE, input, input_ends, input_pair_a, input_pair_b, output,
};
use super::{COLUMNS, PlanarShape};
use crate::LANES;

/// Hides where a value comes from. Otherwise the compiler sees the loops around a transform, keeps one running
/// pointer per stream, 36 of them, in memory, and spends as much time on them as on the transform. With it,
/// addresses are computed from a few registers.
#[inline(always)]
fn opaque<T>(value: T) -> T {
    std::hint::black_box(value)
}

/// Rows `ROW_ORDER[2 * PAIR ..][.. 2]` of `B^T d B` of one vector of tiles of one channel. Two rows at a time:
/// their 12 values fit the registers, 36 do not.
///
/// # Safety
/// `src` is tile t of phase 0 of a plane with `phase` floats per phase, and t + 16 + `tw` lies inside the
/// phase; `2 * POINTS` vectors at `v` are writable.
#[inline(always)]
pub(crate) unsafe fn input_rows<S: Lanes, const PAIR: usize>(
    s: S,
    src: *const f32,
    phase: usize,
    tw: usize,
    v: *mut f32,
) {
    let (src, phase) = (opaque(src), opaque(phase));
    let mut rows = [[s.splat(0.0); POINTS]; 2];
    for j in 0..POINTS {
        let mut d = [s.splat(0.0); POINTS];
        for i in 0..POINTS {
            if PAIR == 0 || (1..POINTS - 1).contains(&i) {
                let row = src.wrapping_add(i % TILE * COLUMNS * phase + i / TILE * tw);
                // SAFETY: a cell of the window, inside its phase.
                d[i] = unsafe { s.load(row.wrapping_add(j * phase)) };
            }
        }
        [rows[0][j], rows[1][j]] = match PAIR {
            0 => input_ends(s, d),
            1 => input_pair_a(s, d),
            _ => input_pair_b(s, d),
        };
    }
    for k in 0..2 {
        let row = input(s, rows[k]);
        for j in 0..POINTS {
            // SAFETY: one of the 12 positions.
            unsafe { s.store(v.wrapping_add((k * POINTS + j) * LANES), row[j]) };
        }
    }
}

/// Which lanes of a vector of tiles are pixels, as bit masks.
pub(crate) struct Masks {
    /// Output row i, column j.
    pub(crate) pixel: [[[f32; LANES]; TILE]; TILE],
    /// Row i of column 0, where its copy belongs to the tile on the left (phase 5).
    pub(crate) left: [[f32; LANES]; TILE],
    /// Row i of column 3, where its copy belongs to the tile on the right (phase 0).
    pub(crate) right: [[f32; LANES]; TILE],
    /// Every pixel is there: `pixel` keeps all.
    pub(crate) full: bool,
}

impl Masks {
    pub(crate) const NONE: Masks = Masks {
        pixel: [[[0.0; LANES]; TILE]; TILE],
        left: [[0.0; LANES]; TILE],
        right: [[0.0; LANES]; TILE],
        full: false,
    };

    /// The masks of tiles `first..first + 16`. Pixel coordinates are f32, exact up to `MAX_SIDE`, because
    /// that is the vector comparison at hand.
    #[inline(always)]
    pub(crate) fn fill<S: Lanes>(&mut self, s: S, shape: PlanarShape, first: usize) {
        let (tw, tiles) = (shape.tile_columns(), shape.tiles());
        let (mut ty, mut tx) = (first / tw, first % tw);
        let (mut y, mut x) = ([0.0; LANES], [0.0; LANES]);
        for lane in 0..LANES {
            (y[lane], x[lane]) = ((ty * TILE) as f32, (tx * TILE) as f32);
            tx += 1;
            if tx == tw {
                (tx, ty) = (0, ty + 1);
            }
        }
        let (y, x) = (s.get(&y), s.get(&x));
        // All bits where the coordinate is below the limit.
        let below = |v: S::V, limit: usize| s.where_positive(s.sub(s.splat(limit as f32), v), s.splat(KEEP));
        self.full = shape.h.is_multiple_of(TILE) && shape.w.is_multiple_of(TILE) && first + LANES <= tiles;
        let not_first = s.where_positive(x, s.splat(KEEP));
        let not_last = below(x, (tw - 1) * TILE);
        for i in 0..TILE {
            let row = below(s.add(y, s.splat(i as f32)), shape.h);
            for j in 0..TILE {
                let pixel = s.and(row, below(s.add(x, s.splat(j as f32)), shape.w));
                if j == 0 {
                    s.put(&mut self.left[i], s.and(pixel, not_first));
                }
                if j == TILE - 1 {
                    s.put(&mut self.right[i], s.and(pixel, not_last));
                }
                s.put(&mut self.pixel[i][j], pixel);
            }
        }
    }
}

/// Where the outputs of one vector of tiles of one channel go.
pub(crate) struct Output<'a> {
    /// M of this channel and vector.
    pub(crate) m: *const f32,
    pub(crate) bias: f32,
    /// Tile t of phase 0 of the plane of the addend, if there is one.
    pub(crate) residual: *const f32,
    /// Tile t of phase 0 of the plane.
    pub(crate) dst: *mut f32,
    pub(crate) phase: usize,
    pub(crate) tw: usize,
    pub(crate) relu: bool,
    pub(crate) masks: &'a Masks,
}

/// `dst = act(A^T M A + bias + residual)`.
///
/// # Safety
/// A cell of M at `m` is readable. `dst` (and
/// `residual`, if `RESIDUAL`) is tile t of phase 0 of a plane, and t + 17 + `tw` lies inside the phase; nobody
/// else touches the cells of these tiles.
#[inline(always)]
pub(crate) unsafe fn output_tiles<S: Lanes, const RESIDUAL: bool>(s: S, a: &Output) {
    const { assert!(POSITIONS == POINTS * POINTS) };
    let mut rows = [[s.splat(0.0); TILE]; POINTS];
    for i in 0..POINTS {
        let mut m = [s.splat(0.0); POINTS];
        for j in 0..POINTS {
            // SAFETY: this position's 16 tiles.
            m[j] = unsafe { s.load(a.m.wrapping_add((i * POINTS + j) * LANES)) };
        }
        rows[ROW_ORDER[i]] = output(s, m);
    }
    let bias = s.splat(a.bias);
    let (dst, residual, phase, tw) = (opaque(a.dst), opaque(a.residual), opaque(a.phase), a.tw);
    for j in 0..TILE {
        let column = output(s, [0, 1, 2, 3, 4, 5].map(|i| rows[i][j]));
        for i in 0..TILE {
            // Output (i, j) is the bordered pixel (i + 1, j + 1) of its tile.
            let row = (i + 1) % TILE * COLUMNS * phase + (i + 1) / TILE * tw;
            let at = (j + 1) * phase;
            let mut value = s.add(column[i], bias);
            if RESIDUAL {
                // SAFETY: a cell of the addend, inside its phase.
                let residual = unsafe { s.load(residual.wrapping_add(row).wrapping_add(at)) };
                value = s.add(value, residual);
            }
            if a.relu {
                value = s.relu(value);
            }
            let pixel = if a.masks.full { value } else { s.and(value, s.get(&a.masks.pixel[i][j])) };
            // SAFETY: the cells of these tiles, inside their phase.
            unsafe { s.store(dst.wrapping_add(row).wrapping_add(at), pixel) };
            if j == 0 {
                let copy = s.and(value, s.get(&a.masks.left[i]));
                // One tile to the left; tile -1 is the slack of the phase before.
                let at = (TILE + 1) * phase;
                // SAFETY: as above.
                unsafe { s.store(dst.wrapping_add(row).wrapping_add(at).wrapping_sub(1), copy) };
            }
            if j == TILE - 1 {
                let copy = s.and(value, s.get(&a.masks.right[i]));
                // SAFETY: as above, one tile to the right.
                unsafe { s.store(dst.wrapping_add(row).wrapping_add(1), copy) };
            }
        }
    }
}
