//! Convolution 3x3, stride 1, for channel counts that do not fill vectors of 16: Winograd F(4x4, 3x3) whose
//! vector dimension is the *tile*, so that 18, 36 or 72 channels waste nothing.
//!
//! ```text
//! for strip of 1..3 vectors of 16 tiles                     (a task; also a part of the output channels)
//!   for vector, for input channel                           transform.rs
//!     d[6][6]  = 36 vectors, one per place of the window
//!     V[channel][vector][position] = B^T d B
//!   for block of <= 9 output channels
//!     for position: M[o][vector][position] = sum over c of U[position][c][o] * V[c][vector][position]
//!                                                           gemm.rs: 9 x 3 accumulators
//!     for output channel, for vector                        transform.rs
//!       dst = act(A^T M A + bias + residual), 16 pixels of 16 tiles
//! ```
//!
//! # Layout
//!
//! An image channel is cut into tiles of 4x4 output pixels; tiles are numbered row by row without gaps,
//! t = ty * tw + tx. A plane has 24 *phases*, one for each place (row r = 0..4, column j = 0..6) of a tile's
//! 6x6 input window; phase (r, j) holds at t the bordered pixel (4 ty + r, 4 tx + j):
//!
//! ```text
//! [n][c][r: 4][j: 6][t]
//!
//! window row i, column j of tiles t .. t + 16  =  phase (i % 4, j), floats t + (i / 4) * tw .. + 16
//! ```
//!
//! So every input of the transform is one contiguous load whatever rows the 16 tiles lie in, and so is every
//! output. Columns 4 and 5 of a window are columns 0 and 1 of the next tile's: stored twice (phases 4, 5). The
//! alternative without the copies, 16 phases with a gap column after every row of tiles, wastes lanes: maps of
//! 64x48, 32x32, 32x24, 16x16 pixels need 13, 5, 4, 2 vectors instead of 12, 4, 3, 1.
//!
//! Zero rule: cells of the border and beyond the map are zero, in every phase, and so is the slack after the
//! last tile. The convolution needs no edge code, and writes whole vectors only: the lanes that are not pixels
//! are set to zero, and happen to be cells that must be zero. (Phase (r, 5) of the tile *before* the first
//! of a row is the border right of the row above; phase (r, 0) of the tile after the last of a row is the left
//! border of the row below.) Each cell is written by the one tile that computes its pixel: tasks never meet.
//! Cells that no tile writes (first border row, first border cell, slack) are never touched: a buffer zeroed
//! once stays valid, [`zero_planar_border`] makes it valid again.
//!
//! # Numbers
//!
//! One Zen 4 core, AVX-512, which multiplies and adds at about 118 GFLOP/s; best of many runs, 2026-11. GFLOP/s
//! count the operations of the direct algorithm.
//!
//! ```text
//! channels, map  direct  this    us: input tr.  products  output tr.  to_planar  from_planar
//! 18  64x64        65.5   294             13.3      53.6        12.9       18.7         19.3
//! 18  56x56        65.6   273             11.5      43.5        10.7       14.3         15.6
//! 18  64x48        65.5   287             10.8      40.1        10.0       13.2         13.9
//! 36  32x32        87.7   358              7.7      51.8         6.8        7.5          6.6
//! 36  28x28        87.8   274              7.5      51.7         6.7        7.6          6.7
//! 72  16x16       105.0   400              4.3      51.1         3.9        5.3          3.0
//! ```
//!
//! AVX2 on the same core: 244, 230, 247 for the first three rows. The products run at 111 to 117 GFLOP/s; 28x28
//! loses to unused lanes (49 tiles in 64), maps with a side like 14 to outputs beyond the map. Error against
//! f64, reals in [-1, 1), up to 72 channels: at most 5.1e-6 of the rms of the output, 5e-7 to 8e-7 in the mean.
//!
//! Tried and lost (18 channels, 64x48):
//!
//! * V and M as [position][channel][tile]: 36 streams; input transform 13.5 us instead of 10.7.
//! * V of 12 positions at a time, so that it stays in L1: reads the source three times; 14.9 us.
//! * Addresses left to the compiler: 36 running pointers in memory; 14.3 us (`opaque` in transform.rs).
//! * A strip of 1 or 2 vectors: equal within 3 %. The products need fewer loads with 3.

pub(crate) mod conv;
pub(crate) mod convert;
mod gemm;
mod lanes;
mod points;
mod transform;

pub(crate) use conv::PlanarCall;
pub use conv::PlanarConv;
pub use convert::{from_planar, to_planar, zero_planar_border};
pub(crate) use convert::{from_task, from_tasks, to_task, to_tasks, zero_plane};

use crate::{LANES, Shape};
use points::TILE;

/// Row phases.
const ROWS: usize = TILE;
/// Column phases.
const COLUMNS: usize = TILE + 2;
/// Phases of a plane.
const PHASES: usize = ROWS * COLUMNS;

/// Size of an activation tensor in the tile layout of `planar/mod.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlanarShape {
    /// Images.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Height in pixels, without the border.
    pub h: usize,
    /// Width in pixels, without the border.
    pub w: usize,
}

impl From<Shape> for PlanarShape {
    fn from(Shape { n, c, h, w }: Shape) -> PlanarShape {
        PlanarShape { n, c, h, w }
    }
}

impl From<PlanarShape> for Shape {
    fn from(PlanarShape { n, c, h, w }: PlanarShape) -> Shape {
        Shape { n, c, h, w }
    }
}

impl PlanarShape {
    /// Floats of the tensor.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.n * self.image()
    }

    /// [`PlanarShape::len`], or nothing if it overflows.
    pub fn checked_len(&self) -> Option<usize> {
        let tiles = self.h.div_ceil(TILE).checked_mul(self.w.div_ceil(TILE))?;
        let phase = tiles.checked_add(LANES - 1)?.checked_add(self.w)?.checked_add(2 + LANES)?;
        phase.checked_mul(PHASES)?.checked_mul(self.c)?.checked_mul(self.n)?;
        (self.len() <= isize::MAX as usize / 4).then_some(self.len())
    }

    /// Tiles along a row.
    pub(crate) fn tile_columns(&self) -> usize {
        self.w.div_ceil(TILE)
    }

    /// Rows of tiles.
    pub(crate) fn tile_rows(&self) -> usize {
        self.h.div_ceil(TILE)
    }

    /// Tiles of a plane.
    pub(crate) fn tiles(&self) -> usize {
        self.tile_rows() * self.tile_columns()
    }

    /// Vectors of 16 tiles.
    pub(crate) fn vectors(&self) -> usize {
        self.tiles().div_ceil(LANES)
    }

    /// Floats of a phase: the row of tiles below the last, the cell right of the last tile and the cell left
    /// of the next phase's first tile are inside, for whole vectors; a multiple of 16.
    pub(crate) fn phase(&self) -> usize {
        (self.vectors() * LANES + self.tile_columns() + 2).next_multiple_of(LANES)
    }

    /// Floats of a plane.
    pub(crate) fn plane(&self) -> usize {
        PHASES * self.phase()
    }

    /// Floats of an image.
    pub(crate) fn image(&self) -> usize {
        self.c * self.plane()
    }

    /// Panics unless a buffer has exactly the length of this shape.
    pub(crate) fn check(&self, what: &str, len: usize) {
        assert!(self.n > 0 && self.c > 0 && self.h > 0 && self.w > 0, "{what}: {self:?} is empty");
        let wanted =
            self.checked_len().unwrap_or_else(|| panic!("{what}: {self:?} is too large for this machine"));
        assert!(len == wanted, "{what}: {self:?} needs {wanted} floats, the buffer has {len}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let shape = PlanarShape { n: 2, c: 18, h: 64, w: 48 };
        assert_eq!((shape.tiles(), shape.vectors(), shape.phase()), (192, 12, 208));
        assert_eq!(shape.checked_len(), Some(2 * 18 * 24 * 208));
        let shape = PlanarShape { n: 1, c: 1, h: 1, w: 1 };
        assert_eq!((shape.tiles(), shape.vectors(), shape.phase()), (1, 1, 32));
        let huge = PlanarShape { n: 1 << 20, c: 1 << 20, h: 1 << 20, w: 1 << 20 };
        assert_eq!(huge.checked_len(), None);
    }
}
