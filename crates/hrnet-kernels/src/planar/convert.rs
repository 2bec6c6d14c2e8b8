//! Between the blocked layout (`layout.rs`) and the tile layout.
//!
//! ```text
//! for vector of 16 tiles, for phase (r, j)
//!   offsets = the 16 cells (4 ty + r, 4 tx + j) of the bordered map
//!   for 4 channels: 16 quarter cells <-> 4 vectors of 16 tiles          lanes.rs
//! ```
//!
//! Cells of consecutive tiles lie 4 pixels apart, so the split into phases costs nothing. Channels are moved
//! by four: 18 channels cost 5 transpositions, not 8.

use super::lanes::{Job, Lanes, Offsets, QUAD, on_level};
use super::points::TILE;
use super::{COLUMNS, PHASES, PlanarShape, ROWS};
use crate::isa::Proven;
use crate::par::par_chunks;
use crate::{Isa, LANES, Pool, Shape};

/// Vectors of tiles (of 16 channels) per task: about 100 KiB.
const GROUP: usize = 4;

/// Copies the blocked layout into the tile layout. Writes every float of `dst`.
pub fn to_planar(isa: Isa, pool: &Pool, src: &[f32], shape: Shape, dst: &mut [f32]) {
    let planar = PlanarShape::from(shape);
    shape.check("to_planar: src", src.len());
    planar.check("to_planar: dst", dst.len());
    let (proven, ends) = (isa.prove(), Ends(src.as_ptr(), dst.as_mut_ptr()));
    let ends = &ends;
    pool.run(to_tasks(planar), &|index| {
        // SAFETY: the lengths were checked; `src` is borrowed, and each task writes its own vectors.
        unsafe { to_task(proven, index, ends.0, ends.1, planar) };
    });
}

/// Copies the tile layout into the blocked layout. Writes the interior, unused lanes included (zero); leaves
/// the border.
pub fn from_planar(isa: Isa, pool: &Pool, src: &[f32], shape: Shape, dst: &mut [f32]) {
    let planar = PlanarShape::from(shape);
    planar.check("from_planar: src", src.len());
    shape.check("from_planar: dst", dst.len());
    let (proven, ends) = (isa.prove(), Ends(src.as_ptr(), dst.as_mut_ptr()));
    let ends = &ends;
    pool.run(from_tasks(planar), &|index| {
        // SAFETY: the lengths were checked; `src` is borrowed, and each task writes its own pixels.
        unsafe { from_task(proven, index, ends.0, ends.1, planar) };
    });
}

/// Sets the cells that no kernel writes to zero and leaves the rest: then a buffer that served another shape
/// obeys the zero rule after the next kernel that writes it.
pub fn zero_planar_border(pool: &Pool, buf: &mut [f32], shape: PlanarShape) {
    shape.check("zero_planar_border: buf", buf.len());
    par_chunks(pool, buf, shape.plane(), |_, plane| {
        // SAFETY: a whole plane, exclusively.
        unsafe { zero_plane(plane.as_mut_ptr(), shape) };
    });
}

/// [`zero_planar_border`] of one plane; touches no cell that a convolution writes.
///
/// # Safety
/// `plane` is the beginning of a plane of `shape`, and no other thread uses the cells that no convolution writes.
pub(crate) unsafe fn zero_plane(plane: *mut f32, shape: PlanarShape) {
    let (phase, tiles) = (shape.phase(), shape.vectors() * LANES);
    let zero = |from: usize, to: usize| {
        // SAFETY: cells of the plane.
        unsafe { plane.wrapping_add(from).write_bytes(0, to - from) };
    };
    for index in 0..PHASES {
        let (r, j) = (index / COLUMNS, index % COLUMNS);
        // Tile 0 writes the first row of pixels at row phase 1: row phase 0 begins one row of tiles later.
        let row = if r == 0 { shape.tile_columns() } else { 0 };
        let (first, end) = match j {
            0 => (row + 1, row + 1 + tiles),
            5 => (row.saturating_sub(1), row + tiles - 1),
            _ => (row, row + tiles),
        };
        zero(index * phase, index * phase + first);
        zero(index * phase + end, (index + 1) * phase);
    }
}

/// Source and destination of a conversion.
struct Ends(*const f32, *mut f32);

// SAFETY: the source is only read, and tasks write disjoint parts of the destination.
unsafe impl Sync for Ends {}

/// Tasks of [`to_task`].
pub(crate) fn to_tasks(shape: PlanarShape) -> usize {
    shape.n * shape.c.div_ceil(LANES) * (shape.phase() / LANES).div_ceil(GROUP)
}

/// Tasks of [`from_task`].
pub(crate) fn from_tasks(shape: PlanarShape) -> usize {
    shape.n * shape.c.div_ceil(LANES) * shape.vectors().div_ceil(GROUP)
}

/// Some vectors of tiles of one channel block of one image.
struct Part {
    shape: PlanarShape,
    /// The block's plane in the blocked layout.
    blocked: usize,
    /// The block's first plane in the tile layout.
    planar: usize,
    /// Channels of the block.
    channels: usize,
    first: usize,
    end: usize,
}

impl Part {
    fn new(shape: PlanarShape, index: usize, vectors: usize) -> Part {
        let groups = vectors.div_ceil(GROUP);
        let (plane, group) = (index / groups, index % groups);
        let of_blocked = Shape::from(shape);
        let (n, cb) = (plane / of_blocked.blocks(), plane % of_blocked.blocks());
        Part {
            shape,
            blocked: of_blocked.offset(n, cb, 0),
            planar: n * shape.image() + cb * LANES * shape.plane(),
            channels: of_blocked.lanes(cb),
            first: group * GROUP,
            end: ((group + 1) * GROUP).min(vectors),
        }
    }
}

/// Rows and columns of 16 consecutive tiles.
fn places(tile: usize, columns: usize) -> [(usize, usize); LANES] {
    let (mut ty, mut tx) = (tile / columns, tile % columns);
    std::array::from_fn(|_| {
        let place = (ty, tx);
        tx += 1;
        if tx == columns {
            (tx, ty) = (0, ty + 1);
        }
        place
    })
}

/// Offsets of the first cells of the tiles' windows in a bordered map of width w.
fn first_cells(places: &[(usize, usize); LANES], w: usize) -> Offsets {
    places.map(|(ty, tx)| (ty * TILE * (w + 2) + tx * TILE) * LANES)
}

/// One task of [`to_planar`].
///
/// # Safety
/// The processor has the level; `index < to_tasks(shape)`; `src` holds the blocked shape and nobody writes it;
/// `dst` holds `shape` and nobody but the other tasks touches it.
pub(crate) unsafe fn to_task(
    proven: Proven,
    index: usize,
    src: *const f32,
    dst: *mut f32,
    shape: PlanarShape,
) {
    let part = Part::new(shape, index, shape.phase() / LANES);
    let src = src.wrapping_add(part.blocked);
    let dst = dst.wrapping_add(part.planar);
    on_level(proven, ToVectors { src, dst, part: &part });
}

/// One task of [`from_planar`].
///
/// # Safety
/// As for [`to_task`], with the layouts exchanged and [`from_tasks`].
pub(crate) unsafe fn from_task(
    proven: Proven,
    index: usize,
    src: *const f32,
    dst: *mut f32,
    shape: PlanarShape,
) {
    let part = Part::new(shape, index, shape.vectors());
    let src = src.wrapping_add(part.planar);
    let dst = dst.wrapping_add(part.blocked);
    on_level(proven, FromVectors { src, dst, part: &part });
}

/// `src` and `dst` begin at the part's planes and cover them.
struct ToVectors<'a> {
    src: *const f32,
    dst: *mut f32,
    part: &'a Part,
}

impl Job for ToVectors<'_> {
    type Result = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let ToVectors { src, dst, part } = self;
        let PlanarShape { h, w, .. } = part.shape;
        let (phase, plane) = (part.shape.phase(), part.shape.plane());
        for vector in part.first..part.end {
            let places = places(vector * LANES, part.shape.tile_columns());
            let first = first_cells(&places, w);
            // All windows lie in the bordered map.
            let inner = w.is_multiple_of(TILE) && places[LANES - 1].0 * TILE + ROWS <= h + 2;
            for r in 0..ROWS {
                let empty = places[0].0 * TILE + r > h;
                for j in 0..COLUMNS {
                    let (mut offsets, mut shift) = (first, (r * (w + 2) + j) * LANES);
                    if !inner {
                        shift = 0;
                        for lane in 0..LANES {
                            let (y, x) = (places[lane].0 * TILE + r, places[lane].1 * TILE + j);
                            // What is not in the bordered map is zero, as its first cell is.
                            offsets[lane] = if y <= h && x <= w { (y * (w + 2) + x) * LANES } else { 0 };
                        }
                    }
                    let src = src.wrapping_add(shift);
                    let dst = dst.wrapping_add((r * COLUMNS + j) * phase + vector * LANES);
                    for quad in (0..part.channels).step_by(QUAD) {
                        let mut v = [s.splat(0.0); QUAD];
                        if !empty {
                            // SAFETY: four channels of cells of this plane.
                            v = unsafe { s.load_quads(src.wrapping_add(quad), &offsets) };
                        }
                        for k in 0..QUAD {
                            if quad + k < part.channels {
                                // SAFETY: 16 floats of this phase of this channel's plane.
                                unsafe { s.store(dst.wrapping_add((quad + k) * plane), v[k]) };
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `src` and `dst` begin at the part's planes and cover them.
struct FromVectors<'a> {
    src: *const f32,
    dst: *mut f32,
    part: &'a Part,
}

impl Job for FromVectors<'_> {
    type Result = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let FromVectors { src, dst, part } = self;
        const { assert!(PHASES == ROWS * COLUMNS) };
        let PlanarShape { h, w, .. } = part.shape;
        let (phase, plane) = (part.shape.phase(), part.shape.plane());
        for vector in part.first..part.end {
            let places = places(vector * LANES, part.shape.tile_columns());
            let first = first_cells(&places, w);
            // All outputs are pixels.
            let inner = w.is_multiple_of(TILE) && (places[LANES - 1].0 + 1) * TILE <= h;
            for i in 0..TILE {
                for j in 0..TILE {
                    let (mut offsets, mut shift) = (first, ((i + 1) * (w + 2) + j + 1) * LANES);
                    if !inner {
                        shift = 0;
                        for lane in 0..LANES {
                            let (y, x) = (places[lane].0 * TILE + i, places[lane].1 * TILE + j);
                            let inside = y < h && x < w;
                            offsets[lane] = if inside { ((y + 1) * (w + 2) + x + 1) * LANES } else { 0 };
                        }
                    }
                    let dst = dst.wrapping_add(shift);
                    let row = (i + 1) % TILE * COLUMNS * phase + (i + 1) / TILE * part.shape.tile_columns();
                    let src = src.wrapping_add(row + (j + 1) * phase + vector * LANES);
                    for quad in (0..LANES).step_by(QUAD) {
                        let mut v = [s.splat(0.0); QUAD];
                        for k in 0..QUAD {
                            if quad + k < part.channels {
                                // SAFETY: 16 floats of this phase of this channel's plane.
                                v[k] = unsafe { s.load(src.wrapping_add((quad + k) * plane)) };
                            }
                        }
                        let dst = dst.wrapping_add(quad);
                        if inner {
                            // SAFETY: four channels of interior cells of this plane, this task's own.
                            unsafe { s.store_quads(dst, &offsets, v) };
                            continue;
                        }
                        let mut cells = [0.0f32; LANES * QUAD];
                        let packed: Offsets = std::array::from_fn(|lane| lane * QUAD);
                        // SAFETY: 16 cells of 4 floats in a local array.
                        unsafe { s.store_quads(cells.as_mut_ptr(), &packed, v) };
                        for (cell, &offset) in cells.as_chunks::<QUAD>().0.iter().zip(&offsets) {
                            if offset > 0 {
                                // SAFETY: as above; offset 0, a border cell, marks a lane that is no pixel.
                                unsafe { dst.wrapping_add(offset).cast::<[f32; QUAD]>().write(*cell) };
                            }
                        }
                    }
                }
            }
        }
    }
}
