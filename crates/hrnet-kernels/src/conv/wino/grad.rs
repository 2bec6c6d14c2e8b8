//! Gradient of a 3x3 convolution with respect to its weights, by Winograd.
//!
//! With `Y = A^T [U . V] A`, `U = G g G^T`, `V = B^T d B` for every tile, the transposes give
//!
//! ```text
//! Z  = A dY A^T                       per tile and output channel, from the m x m pixels of dY
//! dU = sum over tiles of Z V          per position, a product of matrices whose inner length is the number of tiles
//! dg = G^T dU G                       once per (output, input)
//! ```
//!
//! F(4x4) has 36 products per tile and pair of channels where the direct sum has 144. The tiles of all images, in order, are
//! cut into strips, strips into chunks; both counts depend on the shapes alone. V and Z of a strip lie as in the forward
//! convolution, `[position][channel block][tile][16]`, so that the micro-kernel of the direct weight gradient multiplies
//! them: tiles are its pixels.
//!
//! * Few channels: a task is a chunk. It transforms strip after strip into its thread's scratch, adds to a dU there, and
//!   leaves its dg; then the chunks are added in order. Nothing but dg leaves L2.
//! * Many channels, where dU would not stay in L2: the strips of a group, as many as fit the outer cache, are transformed;
//!   then a task is (output block, input block), walks over all strips of the group, position by position, and after the
//!   last group leaves its dg. V and Z of all tiles are 2.25 times the two maps.

use super::transform;
use super::{Place, Strip, Window, WinoFns, points};
use crate::conv::grad_tile::GradStrip;
use crate::isa::Proven;
use crate::par::SharedMut;
use crate::pool::SCRATCH_FLOATS;
use crate::select::{Block, select};
use crate::simd::Simd;
use crate::table::{Body, Op};
use crate::{Algorithm, AlignedBuf, ConvDesc, Isa, LANES, Pool, Shape};
use std::sync::{Mutex, PoisonError};

/// Some consecutive tiles of the gradient of the result.
pub(crate) struct GradTiles {
    dy: *const f32,
    row: usize,
    plane: usize,
    image: usize,
    h: usize,
    w: usize,
    first: Place,
    tiles: usize,
    blocks: usize,
    z: *mut f32,
    z_step: usize,
}

/// Transforms the gradients of all tiles.
///
/// # Safety
/// Every address that the tiles describe is valid.
#[inline(always)]
pub(crate) unsafe fn gradient<S: Simd, const M: usize, const N: usize>(s: S, a: &GradTiles) {
    for block in 0..a.blocks {
        let mut place = a.first;
        for tile in 0..a.tiles {
            let Place { image, y, x } = place;
            place = place.next(M, a.h, a.w);
            let src =
                a.dy.wrapping_add(image * a.image + block * a.plane + (y + 1) * a.row + (x + 1) * LANES);
            let dst = a.z.wrapping_add((block * a.tiles + tile) * LANES);
            let window = Window { rows: M.min(a.h - y), columns: M.min(a.w - x) };
            if window.rows == M && window.columns == M {
                // SAFETY: the whole tile lies inside; Z has a cell per position, block and tile.
                unsafe { transform::gradient::<S, M, N, false>(s, src, a.row, window, dst, a.z_step) };
            } else {
                // SAFETY: as above for the rows and columns inside.
                unsafe { transform::gradient::<S, M, N, true>(s, src, a.row, window, dst, a.z_step) };
            }
        }
    }
}

/// Floats between positions that are not used, as in the forward convolution.
const SKEW: usize = LANES;
/// Floats of V and Z of a strip that is used at once: a quarter of L2.
const STRIP_FLOATS: usize = 64 << 10;
/// Tiles of the longest strip of a group.
const HEAVY_TILES: usize = 48;
/// Floats of V and Z of a group: a quarter of the outer cache.
const GROUP_FLOATS: usize = 2 << 20;
/// Floats of the largest dU that a chunk keeps for itself.
const LIGHT_FLOATS: usize = 96 << 10;
/// Chunks of a layer with few channels.
const CHUNKS: usize = 8;

/// The weight gradient of a 3x3 convolution by Winograd.
pub(crate) struct WinoGrad {
    proven: Proven,
    m: usize,
    desc: ConvDesc,
    blocks: Vec<Block>,
    fns: WinoFns,
    /// Rows of G.
    matrix: Vec<[f32; 3]>,
}

/// How the tiles are cut.
struct Cut {
    tiles: usize,
    strips: usize,
    chunks: usize,
    /// Tiles of the longest strip.
    longest: usize,
}

/// V and Z of a strip.
#[derive(Clone, Copy)]
struct Half {
    v: *const f32,
    v_step: usize,
    z: *const f32,
    z_step: usize,
    tiles: usize,
}

impl WinoGrad {
    pub(crate) fn new(isa: Isa, m: usize, desc: ConvDesc) -> WinoGrad {
        let stride = if m == 3 { 2 } else { 1 };
        assert!((desc.kernel, desc.stride, desc.padding) == (3, stride, 1), "no F({m}x{m}) for {desc:?}");
        let proven = isa.prove();
        let blocks = select(Op::weight_grad(&desc), desc.oc, isa);
        let transforms = select(Op::Winograd { m }, desc.oc, isa);
        let Body::Wino(fns) = transforms[0].kernel.body else { unreachable!("{:?}", transforms[0].kernel) };
        let matrix = points::weight_matrix(m).iter().map(|row| row.map(|v| v as f32)).collect();
        WinoGrad { proven, m, desc, blocks, fns, matrix }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self.m {
            2 => Algorithm::Wino2,
            3 => Algorithm::Wino3,
            _ => Algorithm::Wino4,
        }
    }

    pub(crate) fn kernel_name(&self) -> String {
        let kernel = self.blocks[0].kernel;
        format!("wino{0}x{0}wg_f32_{1}x{2}_{3}", self.m, kernel.depth, kernel.vectors * LANES, kernel.isa)
    }

    fn positions(&self) -> usize {
        points::window(self.m).pow(2)
    }

    fn inputs(&self) -> usize {
        self.desc.ic.div_ceil(LANES)
    }

    fn outputs(&self) -> usize {
        self.desc.oc.div_ceil(LANES)
    }

    /// Floats of dU: `[block][input block][position][16][vectors * 16]`.
    fn du_len(&self) -> usize {
        self.positions() * self.inputs() * self.outputs() * LANES * LANES
    }

    /// Where dU of an (output block, input block) begins, and floats per position.
    fn du_at(&self, block: &Block, input: usize) -> (usize, usize) {
        let cell = LANES * LANES;
        let start = (block.first * self.inputs() + input * block.kernel.vectors) * self.positions() * cell;
        (start, block.kernel.vectors * cell)
    }

    fn is_light(&self) -> bool {
        self.du_len() <= LIGHT_FLOATS
    }

    fn strip_len(&self, tiles: usize) -> usize {
        self.positions() * ((self.inputs() + self.outputs()) * tiles * LANES + 2 * SKEW)
    }

    fn cut(&self, dy: Shape) -> Cut {
        let tiles = dy.n * dy.h.div_ceil(self.m) * dy.w.div_ceil(self.m);
        let per_tile = self.positions() * (self.inputs() + self.outputs()) * LANES;
        let limit = if self.is_light() { (STRIP_FLOATS / per_tile).max(16) } else { HEAVY_TILES };
        let strips = tiles.div_ceil(limit);
        let chunks = if self.is_light() { CHUNKS.min(strips) } else { 1 };
        let strips = strips.next_multiple_of(chunks).min(tiles);
        Cut { tiles, strips, chunks, longest: tiles.div_ceil(strips) }
    }

    /// Transforms a strip into `buf`.
    fn transform(
        &self,
        cut: &Cut,
        strip: usize,
        (src, src_shape): (&[f32], Shape),
        (dy, dy_shape): (&[f32], Shape),
        buf: &mut [f32],
    ) -> Half {
        let (first, end) = (strip * cut.tiles / cut.strips, (strip + 1) * cut.tiles / cut.strips);
        let tiles = end - first;
        let v_step = self.inputs() * tiles * LANES + SKEW;
        let z_step = self.outputs() * tiles * LANES + SKEW;
        let (v, rest) = buf.split_at_mut(self.positions() * v_step);
        let z = &mut rest[..self.positions() * z_step];
        let (rows, columns) = (dy_shape.h.div_ceil(self.m), dy_shape.w.div_ceil(self.m));
        let first = Place {
            image: first / (rows * columns),
            y: first / columns % rows * self.m,
            x: first % columns * self.m,
        };
        let input = Strip {
            src: src.as_ptr(),
            src_row: src_shape.row(),
            src_plane: src_shape.plane(),
            src_image: src_shape.image(),
            dst: std::ptr::null_mut(),
            dst_row: 0,
            dst_plane: 0,
            dst_image: 0,
            residual: std::ptr::null(),
            h: dy_shape.h,
            w: dy_shape.w,
            src_h: src_shape.h + 2,
            src_w: src_shape.w + 2,
            first,
            tiles,
            channels: self.desc.ic,
            v: v.as_mut_ptr(),
            v_step,
            m: std::ptr::null_mut(),
            m_step: 0,
            relu: false,
        };
        debug_assert!(self.blocks[0].kernel.isa <= self.proven.isa());
        // SAFETY: the level was proven; the tiles lie in the source, whose length was checked, and V was cut above.
        unsafe { (self.fns.input)(&input) };
        let gradient = GradTiles {
            dy: dy.as_ptr(),
            row: dy_shape.row(),
            plane: dy_shape.plane(),
            image: dy_shape.image(),
            h: dy_shape.h,
            w: dy_shape.w,
            first,
            tiles,
            blocks: self.outputs(),
            z: z.as_mut_ptr(),
            z_step,
        };
        // SAFETY: as above, with Z.
        unsafe { (self.fns.gradient)(&gradient) };
        Half { v: v.as_ptr(), v_step, z: z.as_ptr(), z_step, tiles }
    }

    /// Adds the products of one strip and position to the dU of (output block, input block) at `du`, or writes them.
    fn multiply(&self, half: &Half, position: usize, block: &Block, input: usize, du: *mut f32, first: bool) {
        let Body::Grad(kernel) = block.kernel.body else { unreachable!("{:?}", block.kernel) };
        let strip = GradStrip {
            src: half.v.wrapping_add(position * half.v_step + input * half.tiles * LANES),
            src_row: 0,
            src_stride: 1,
            channels: (self.desc.ic - input * LANES).min(LANES),
            taps: &[0],
            dy: half.z.wrapping_add(position * half.z_step + block.first * half.tiles * LANES),
            dy_plane: half.tiles * LANES,
            dy_row: 0,
            rows: 1,
            width: half.tiles,
            part: du,
            first,
        };
        // SAFETY: the level was proven; V, Z and dU have these cells (the callers cut them by the same functions).
        unsafe { kernel(&strip) };
    }

    /// `G^T dU G` for one output block and input block: `put(output, first input channel, values)` with the 9 weights of each
    /// of up to 16 channels.
    fn finish(&self, block: &Block, input: usize, du: &[f32], mut put: impl FnMut(usize, usize, &[f32])) {
        let vectors = block.kernel.vectors;
        let position = vectors * LANES * LANES;
        let channels = (self.desc.ic - input * LANES).min(LANES);
        let mut taps = [[0.0; LANES]; 9];
        for v in 0..vectors {
            let mut rows = [[[0.0; 9]; LANES]; LANES];
            for channel in 0..channels {
                let at = (channel * vectors + v) * LANES;
                weights_of(self.proven, &self.matrix, &du[at..], position, &mut taps);
                for (lane, row) in rows.iter_mut().enumerate() {
                    row[channel] = std::array::from_fn(|tap| taps[tap][lane]);
                }
            }
            let first = (block.first + v) * LANES;
            for (lane, row) in rows[..LANES.min(self.desc.oc - first)].iter().enumerate() {
                put(first + lane, input * LANES, row[..channels].as_flattened());
            }
        }
    }

    pub(crate) fn run(
        &self,
        pool: &Pool,
        scratch: &mut AlignedBuf,
        src: &[f32],
        src_shape: Shape,
        dy: &[f32],
        dy_shape: Shape,
        dw: &mut [f32],
    ) {
        let cut = self.cut(dy_shape);
        if self.is_light() {
            self.run_light(pool, scratch, &cut, (src, src_shape), (dy, dy_shape), dw);
        } else {
            self.run_heavy(pool, scratch, &cut, (src, src_shape), (dy, dy_shape), dw);
        }
    }

    fn run_light(
        &self,
        pool: &Pool,
        scratch: &mut AlignedBuf,
        cut: &Cut,
        src: (&[f32], Shape),
        dy: (&[f32], Shape),
        dw: &mut [f32],
    ) {
        let len = dw.len();
        scratch.grow(cut.chunks * len);
        let parts = SharedMut::new(scratch);
        let du_len = self.du_len();
        assert!(du_len + self.strip_len(cut.longest) <= SCRATCH_FLOATS, "a strip of {:?}", self.desc);
        pool.run_scratch(cut.chunks, &|chunk, scratch| {
            let (du, buf) = scratch.split_at_mut(du_len);
            let base = du.as_mut_ptr();
            let begin = chunk * cut.strips / cut.chunks;
            for strip in begin..(chunk + 1) * cut.strips / cut.chunks {
                let half = self.transform(cut, strip, src, dy, buf);
                for position in 0..self.positions() {
                    for block in &self.blocks {
                        for input in 0..self.inputs() {
                            let (start, step) = self.du_at(block, input);
                            let du = base.wrapping_add(start + position * step);
                            self.multiply(&half, position, block, input, du, strip == begin);
                        }
                    }
                }
            }
            // SAFETY: each chunk is one task.
            let part = unsafe { parts.slice(chunk * len..(chunk + 1) * len) };
            for block in &self.blocks {
                for input in 0..self.inputs() {
                    let (start, step) = self.du_at(block, input);
                    let du = &du[start..start + step * self.positions()];
                    self.finish(block, input, du, |output, channel, values| {
                        let at = (output * self.desc.ic + channel) * 9;
                        part[at..at + values.len()].copy_from_slice(values);
                    });
                }
            }
        });
        let parts = &scratch[..cut.chunks * len];
        crate::par::par_chunks_uneven(pool, dw, 4096, |start, dw| {
            for part in parts.chunks_exact(len) {
                dw.iter_mut().zip(&part[start..]).for_each(|(d, &p)| *d += p);
            }
        });
    }

    fn run_heavy(
        &self,
        pool: &Pool,
        scratch: &mut AlignedBuf,
        cut: &Cut,
        src: (&[f32], Shape),
        dy: (&[f32], Shape),
        dw: &mut [f32],
    ) {
        let (du_len, strip_len) = (self.du_len(), self.strip_len(cut.longest));
        let group = (GROUP_FLOATS / strip_len).clamp(1, cut.strips);
        scratch.grow(du_len + group * strip_len);
        let (du, strips) = scratch.split_at_mut(du_len);
        let (du, strips, dw) = (SharedMut::new(du), SharedMut::new(strips), SharedMut::new(dw));
        let (inputs, pairs) = (self.inputs(), self.blocks.len() * self.inputs());
        for begin in (0..cut.strips).step_by(group) {
            let count = group.min(cut.strips - begin);
            let (start, last) = (begin == 0, begin + count == cut.strips);
            let halves: Vec<Mutex<Option<Ready>>> = (0..count).map(|_| None.into()).collect();
            pool.run(count, &|i| {
                // SAFETY: each strip is one task.
                let buf = unsafe { strips.slice(i * strip_len..(i + 1) * strip_len) };
                let half = self.transform(cut, begin + i, src, dy, buf);
                *halves[i].lock().unwrap_or_else(PoisonError::into_inner) = Some(Ready(half));
            });
            let ready =
                |half: Mutex<Option<Ready>>| half.into_inner().unwrap_or_else(PoisonError::into_inner);
            let halves: Vec<Ready> =
                halves.into_iter().map(|half| ready(half).expect("every strip was transformed")).collect();
            // Inputs run fastest: the larger Z of an output block is read again from a near cache.
            pool.run(pairs, &|pair| {
                let (block, input) = (&self.blocks[pair / inputs], pair % inputs);
                let (at, step) = self.du_at(block, input);
                // SAFETY: each pair is one task.
                let du = unsafe { du.slice(at..at + step * self.positions()) };
                for (i, Ready(half)) in halves.iter().enumerate() {
                    for (position, cell) in du.chunks_exact_mut(step).enumerate() {
                        self.multiply(half, position, block, input, cell.as_mut_ptr(), start && i == 0);
                    }
                }
                if !last {
                    return;
                }
                self.finish(block, input, du, |output, channel, values| {
                    let at = (output * self.desc.ic + channel) * 9;
                    // SAFETY: (output, input block) belongs to one pair.
                    let dw = unsafe { dw.slice(at..at + values.len()) };
                    dw.iter_mut().zip(values).for_each(|(d, &v)| *d += v);
                });
            });
        }
    }
}

/// A strip that other threads read.
struct Ready(Half);

// SAFETY: the pointers are to parts of a buffer that lives as long as the list of these, and that nobody writes after the
// strip was transformed.
unsafe impl Send for Ready {}
// SAFETY: as above.
unsafe impl Sync for Ready {}

multiversion! {
    /// `G^T dU G` for 16 output channels; position `i * n + j` begins at `du[(i * n + j) * step]`.
    fn weights_of[s](matrix: &[[f32; 3]], du: &[f32], step: usize, taps: &mut [[f32; LANES]; 9]) {
        let n = matrix.len();
        let zero = s.splat(0.0);
        let mut sums = [zero; 9];
        for (i, g) in matrix.iter().enumerate() {
            let mut row = [zero; 3];
            for (j, h) in matrix.iter().enumerate() {
                let at = (i * n + j) * step;
                let cell: &[f32; LANES] = du[at..at + LANES].try_into().expect("16 floats");
                let value = s.get(cell);
                for (kx, row) in row.iter_mut().enumerate() {
                    *row = s.mul_add(s.splat(h[kx]), value, *row);
                }
            }
            for (tap, sum) in sums.iter_mut().enumerate() {
                *sum = s.mul_add(s.splat(g[tap / 3]), row[tap % 3], *sum);
            }
        }
        for (tap, &sum) in taps.iter_mut().zip(&sums) {
            s.put(tap, sum);
        }
    }
}
