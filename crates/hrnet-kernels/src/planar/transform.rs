//! Input and output transform of 16 tiles, between the tile layout and the position-major scratch.

use super::lanes::{KEEP, Lanes};
use super::points::{POINTS, POSITIONS, TILE, input, input_ends, input_pair_a, input_pair_b, output};
use super::{COLUMNS, PlanarShape};
use crate::LANES;

/// Window of one vector of tiles of one channel into V.
///
/// # Safety
/// `src` is tile t of phase 0 of a plane with `phase` floats per phase, and t + 16 + `tw` lies inside the
/// phase; the 16 floats at `v` plus every multiple below [`POSITIONS`] of `pitch` are writable.
#[inline(always)]
pub(crate) unsafe fn input_tiles<S: Lanes>(
    s: S,
    src: *const f32,
    phase: usize,
    tw: usize,
    v: *mut f32,
    pitch: usize,
) {
    // Row by row of B^T d, two rows at a time: 12 values fit the registers, 36 do not.
    // SAFETY: promised by the caller.
    unsafe { input_rows::<S, 0>(s, src, phase, tw, v, pitch) };
    // SAFETY: as above.
    unsafe { input_rows::<S, 1>(s, src, phase, tw, v, pitch) };
    // SAFETY: as above.
    unsafe { input_rows::<S, 2>(s, src, phase, tw, v, pitch) };
}

/// Rows 0 and 5, 1 and 2, or 3 and 4.
///
/// # Safety
/// As for [`input_tiles`].
#[inline(always)]
unsafe fn input_rows<S: Lanes, const PAIR: usize>(
    s: S,
    src: *const f32,
    phase: usize,
    tw: usize,
    v: *mut f32,
    pitch: usize,
) {
    let mut rows = [[s.splat(0.0); POINTS]; 2];
    for j in 0..POINTS {
        let mut d = [s.splat(0.0); POINTS];
        for i in 0..POINTS {
            if PAIR == 0 || (1..POINTS - 1).contains(&i) {
                let at = (i % TILE * COLUMNS + j) * phase + i / TILE * tw;
                // SAFETY: a cell of the window, inside its phase.
                d[i] = unsafe { s.load(src.wrapping_add(at)) };
            }
        }
        [rows[0][j], rows[1][j]] = match PAIR {
            0 => input_ends(s, d),
            1 => input_pair_a(s, d),
            _ => input_pair_b(s, d),
        };
    }
    for k in 0..2 {
        let i = [[0, 5], [1, 2], [3, 4]][PAIR][k];
        let row = input(s, rows[k]);
        for j in 0..POINTS {
            // SAFETY: this position's 16 tiles.
            unsafe { s.store(v.wrapping_add((i * POINTS + j) * pitch), row[j]) };
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

    /// The masks of tiles `first..first + 16`.
    #[inline(always)]
    pub(crate) fn fill(&mut self, shape: PlanarShape, first: usize) {
        let (tw, tiles) = (shape.tile_columns(), shape.tiles());
        let (mut ty, mut tx) = (first / tw, first % tw);
        let (mut y, mut x) = ([0u32; LANES], [0u32; LANES]);
        for lane in 0..LANES {
            (y[lane], x[lane]) = ((ty * TILE) as u32, (tx * TILE) as u32);
            tx += 1;
            if tx == tw {
                (tx, ty) = (0, ty + 1);
            }
        }
        let (h, w) = (shape.h as u32, shape.w as u32);
        let last = ((tw - 1) * TILE) as u32;
        let keep = |keep: bool| if keep { KEEP } else { 0.0 };
        self.full = shape.h.is_multiple_of(TILE) && shape.w.is_multiple_of(TILE) && first + LANES <= tiles;
        for i in 0..TILE {
            for lane in 0..LANES {
                let row = y[lane] + (i as u32) < h;
                self.left[i][lane] = keep(row & (x[lane] > 0));
                self.right[i][lane] = keep(row & (x[lane] + 3 < w) & (x[lane] < last));
            }
            if self.full {
                continue;
            }
            for j in 0..TILE {
                for lane in 0..LANES {
                    self.pixel[i][j][lane] = keep((y[lane] + (i as u32) < h) & (x[lane] + (j as u32) < w));
                }
            }
        }
    }
}

/// Where the outputs of one vector of tiles of one channel go.
pub(crate) struct Output<'a> {
    /// M of this channel and vector.
    pub(crate) m: *const f32,
    /// Floats between positions of M.
    pub(crate) pitch: usize,
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
/// The 16 floats at `m` plus every multiple below [`POSITIONS`] of `pitch` are readable. `dst` (and
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
            m[j] = unsafe { s.load(a.m.wrapping_add((i * POINTS + j) * a.pitch)) };
        }
        rows[i] = output(s, m);
    }
    let bias = s.splat(a.bias);
    for j in 0..TILE {
        let column = output(s, [0, 1, 2, 3, 4, 5].map(|i| rows[i][j]));
        for i in 0..TILE {
            // Output (i, j) is the bordered pixel (i + 1, j + 1) of its tile.
            let row = (i + 1) % TILE * COLUMNS * a.phase + (i + 1) / TILE * a.tw;
            let at = row + (j + 1) * a.phase;
            let mut value = s.add(column[i], bias);
            if RESIDUAL {
                // SAFETY: a cell of the addend, inside its phase.
                let residual = unsafe { s.load(a.residual.wrapping_add(at)) };
                value = s.add(value, residual);
            }
            if a.relu {
                value = s.relu(value);
            }
            let pixel = if a.masks.full { value } else { s.and(value, s.get(&a.masks.pixel[i][j])) };
            // SAFETY: the cells of these tiles, inside their phase.
            unsafe { s.store(a.dst.wrapping_add(at), pixel) };
            if j == 0 {
                let copy = s.and(value, s.get(&a.masks.left[i]));
                // One tile to the left; tile -1 is the slack of the phase before.
                let at = row + (TILE + 1) * a.phase;
                // SAFETY: as above.
                unsafe { s.store(a.dst.wrapping_add(at).wrapping_sub(1), copy) };
            }
            if j == TILE - 1 {
                let copy = s.and(value, s.get(&a.masks.right[i]));
                // SAFETY: as above, one tile to the right.
                unsafe { s.store(a.dst.wrapping_add(row + 1), copy) };
            }
        }
    }
}
