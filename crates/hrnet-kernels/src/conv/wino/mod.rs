//! Winograd F(2x2, 3x3) and F(4x4, 3x3) for stride 1, F(3x3, 3x3) for stride 2, fused over cache-resident strips of tiles.
//!
//! ```text
//! task = (image, strip of tiles, run of output blocks)
//!   for channel block, tile of the strip:  V[position][block][tile][16] = B^T d B       from the bordered tensor
//!   for output block (OCV * 16 channels):
//!     for position:                        M[position][tile][OCV * 16]  = V[position] * U[block][position]
//!     for tile:                            dst = act(A^T M A + bias + residual)
//! ```
//!
//! A tile is `m x m` output pixels; its window of `n x n` bordered source pixels (`n = m + 2`; 7 for stride 2) starts at the
//! bordered pixel `stride * (m ty, m tx)`. Windows and tiles that stick out at the right and bottom are read as zero and not written. V and M lie
//! in the scratch of the thread and stay in L2; U is packed `[output block][position][ic][OCV * 16]`, so that a task
//! reads it as one linear stream, as often as it has strips. There are `n * n` positions.
//!
//! Where U is larger than half of L2 and all tiles fit one strip, reading U costs more than transforming the input again: then
//! tasks divide the output blocks. Which of the two is a matter of scheduling and changes no bit: per output the sum is
//! one chain over the input channels per position.
//!
//! `V` and `M` have 16 floats more per position than they need: 16 or 36 streams at a power-of-two distance would share
//! a few sets of L1.
//!
//! Measured on a Zen 4 core, GFLOP/s of the direct algorithm, AVX-512 (AVX2 within 5 % but for 32 and 48 channels, 20 %
//! less): see the table of `select.rs`. By count of vector operations, 74 % of a 32-channel F(4x4) are products, the rest
//! transforms.
//!
//! Tried without gain: dividing the output blocks among the threads of every layer with many weights (each task repeats
//! the input transform: W32 on two threads 34.8 ms instead of 33.6); F(2x2) instead of F(4x4) for 72 channels of 16 x 16
//! (face W18 29.9 instead of 29.4 ms); fetching the weights into L1.

mod gemm;
mod grad;
pub(crate) mod points;
mod transform;

use super::Call;
use crate::isa::Proven;
use crate::par::SharedMut;
use crate::pool::SCRATCH_FLOATS;
use crate::select::Block;
use crate::simd::Simd;
use crate::table::Body;
use crate::{Algorithm, AlignedBuf, ConvDesc, LANES, Pool, Shape};
use gemm::Product;
pub(crate) use grad::{GradTiles, WinoGrad, gradient};
pub(crate) use points::WeightView;
use transform::Out;

/// Pixels inside the map, at most those of a tile or window.
#[derive(Clone, Copy)]
pub(super) struct Window {
    rows: usize,
    columns: usize,
}

/// Some consecutive tiles: row by row, image by image.
pub(crate) struct Strip {
    src: *const f32,
    src_row: usize,
    src_plane: usize,
    src_image: usize,
    dst: *mut f32,
    dst_row: usize,
    dst_plane: usize,
    dst_image: usize,
    /// Layout of `dst`, or null.
    residual: *const f32,
    /// Height and width of the result.
    h: usize,
    w: usize,
    /// Height and width of the bordered source.
    src_h: usize,
    src_w: usize,
    /// The first tile.
    first: Place,
    tiles: usize,
    channels: usize,
    v: *mut f32,
    v_step: usize,
    m: *mut f32,
    m_step: usize,
    relu: bool,
}

/// One output block of a strip.
pub(crate) struct Weights {
    /// `[position][ic][OCV * 16]`.
    u: *const f32,
    /// `OCV * 16` floats.
    bias: *const f32,
    /// First vector of output channels.
    first: usize,
}

/// The compiled bodies of a row. Safety: the processor has the level, and every address that the strip and the weights
/// describe is valid.
#[derive(Clone, Copy)]
pub(crate) struct WinoFns {
    pub(crate) input: unsafe fn(&Strip),
    pub(crate) block: unsafe fn(&Strip, &Weights),
    pub(crate) gradient: unsafe fn(&GradTiles),
}

/// A tile: its image and its top left pixel.
#[derive(Clone, Copy)]
struct Place {
    image: usize,
    y: usize,
    x: usize,
}

impl Place {
    /// The next tile of a map of `h` x `w`.
    #[inline(always)]
    fn next(self, m: usize, h: usize, w: usize) -> Place {
        let Place { image, y, x } = self;
        if x + m < w {
            Place { image, y, x: x + m }
        } else if y + m < h {
            Place { image, y: y + m, x: 0 }
        } else {
            Place { image: image + 1, y: 0, x: 0 }
        }
    }
}

/// Transforms the windows of all tiles.
///
/// # Safety
/// Every address that the strip describes is valid.
#[inline(always)]
pub(crate) unsafe fn input<S: Simd, const M: usize, const N: usize>(s: S, a: &Strip) {
    let v_block = a.tiles * LANES;
    let stride = if N == 7 { 2 } else { 1 };
    for block in 0..a.channels.div_ceil(LANES) {
        let plane = a.src.wrapping_add(block * a.src_plane);
        let mut place = a.first;
        for tile in 0..a.tiles {
            let Place { image, y, x } = place;
            place = place.next(M, a.h, a.w);
            let (y, x) = (y * stride, x * stride);
            let src = plane.wrapping_add(image * a.src_image + y * a.src_row + x * LANES);
            let dst = a.v.wrapping_add(block * v_block + tile * LANES);
            let inside = (a.src_h - y, a.src_w - x);
            if inside.0 >= N && inside.1 >= N {
                // SAFETY: the whole window lies in the bordered source; V has a cell per position, block and tile.
                unsafe { transform::input::<S, N, false>(s, src, a.src_row, inside, dst, a.v_step) };
            } else {
                // SAFETY: as above for the rows and columns inside.
                unsafe { transform::input::<S, N, true>(s, src, a.src_row, inside, dst, a.v_step) };
            }
        }
    }
}

/// Products and output transform of one output block.
///
/// # Safety
/// Every address that the strip and the weights describe is valid.
#[inline(always)]
pub(crate) unsafe fn block<
    S: Simd,
    H: Simd,
    const M: usize,
    const N: usize,
    const OCV: usize,
    const MAX: usize,
>(
    s: S,
    half: H,
    a: &Strip,
    b: &Weights,
) {
    let mut p =
        Product { u: b.u, v: a.v, v_block: a.tiles * LANES, m: a.m, channels: a.channels, tiles: a.tiles };
    for _ in 0..N * N {
        // SAFETY: one position of V, U and M.
        unsafe { gemm::product::<S, OCV, MAX>(s, &p) };
        p.u = p.u.wrapping_add(a.channels * OCV * LANES);
        p.v = p.v.wrapping_add(a.v_step);
        p.m = p.m.wrapping_add(a.m_step);
    }
    let mut place = a.first;
    for tile in 0..a.tiles {
        let Place { image, y, x } = place;
        place = place.next(M, a.h, a.w);
        let window = Window { rows: M.min(a.h - y), columns: M.min(a.w - x) };
        let full = window.rows == M && window.columns == M;
        for v in 0..OCV {
            let at =
                image * a.dst_image + (b.first + v) * a.dst_plane + (y + 1) * a.dst_row + (x + 1) * LANES;
            let o = Out {
                src: a.m.wrapping_add((tile * OCV + v) * LANES),
                step: a.m_step,
                bias: b.bias.wrapping_add(v * LANES),
                residual: if a.residual.is_null() { a.residual } else { a.residual.wrapping_add(at) },
                dst: a.dst.wrapping_add(at),
                dst_row: a.dst_row,
                window,
                relu: a.relu,
            };
            if full {
                // SAFETY: the products are written; all pixels of the tile are inside dst.
                unsafe { transform::output::<H, M, N, false>(half, &o) };
            } else {
                // SAFETY: as above; the window says which pixels are inside.
                unsafe { transform::output::<H, M, N, true>(half, &o) };
            }
        }
    }
}

/// Floats of V and M that a strip should not exceed: about half of L2, the other half is for U.
const STRIP_FLOATS: usize = 160 << 10;
/// Floats of U above which tasks divide the output blocks instead of the tiles.
const HEAVY_FLOATS: usize = 128 << 10;
/// Tiles of the smallest strip, unless the map has fewer.
const MIN_TILES: usize = 12;
/// Vectors of the largest output block.
const MAX_VECTORS: usize = 3;
/// Floats between positions that are not used, see the module text.
const SKEW: usize = LANES;

/// A convolution by Winograd with transformed weights.
pub(crate) struct WinoConv {
    proven: Proven,
    m: usize,
    channels: usize,
    outputs: usize,
    blocks: Vec<Block>,
    packed: AlignedBuf,
    bias: AlignedBuf,
}

impl WinoConv {
    pub(super) fn new(proven: Proven, m: usize, desc: &ConvDesc, blocks: Vec<Block>) -> WinoConv {
        let stride = if m == 3 { 2 } else { 1 };
        assert!((desc.kernel, desc.stride, desc.padding) == (3, stride, 1), "no F({m}x{m}) for {desc:?}");
        assert!(WinoConv::fits(m, desc), "F({m}x{m}) of {desc:?} does not fit the scratch of a thread");
        let padded = desc.oc.div_ceil(LANES) * LANES;
        WinoConv {
            proven,
            m,
            channels: desc.ic,
            outputs: desc.oc,
            blocks,
            packed: AlignedBuf::zeroed(points::window(m).pow(2) * desc.ic * padded),
            bias: AlignedBuf::zeroed(padded),
        }
    }

    /// Whether the smallest strip fits the scratch.
    pub(crate) fn fits(m: usize, desc: &ConvDesc) -> bool {
        let cells = desc.ic.div_ceil(LANES) + MAX_VECTORS;
        points::window(m).pow(2) * (cells * MIN_TILES * LANES + 2 * SKEW) <= SCRATCH_FLOATS
    }

    fn positions(&self) -> usize {
        points::window(self.m).pow(2)
    }

    /// Fills the packed weights, exactly; or fast, on a pool.
    pub(super) fn pack(&mut self, pool: Option<&Pool>, weight: &[f32], view: WeightView) {
        let (positions, channels) = (self.positions(), self.channels);
        let mut packed = std::mem::take(&mut self.packed);
        let parts = SharedMut::new(&mut packed);
        super::run_on(pool, self.blocks.len(), &|index| {
            let block = &self.blocks[index];
            let lanes = block.kernel.vectors * LANES;
            let start = block.first * LANES * positions * channels;
            // SAFETY: each block is one task, and its weights are contiguous.
            let packed = unsafe { parts.slice(start..start + lanes * positions * channels) };
            let first = block.first * LANES;
            let used = lanes.min(self.outputs - first);
            let weight = &weight[first * view.output_step..];
            let exact = pool.is_none();
            points::transform_weights(self.proven, self.m, weight, view, (used, channels), packed, exact);
        });
        self.packed = packed;
    }

    pub(super) fn set_bias(&mut self, bias: Option<&[f32]>) {
        super::set_bias(&mut self.bias, self.outputs, bias);
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self.m {
            2 => Algorithm::Wino2,
            3 => Algorithm::Wino3,
            _ => Algorithm::Wino4,
        }
    }

    pub(super) fn kernel_name(&self) -> String {
        self.blocks[0].kernel.name()
    }

    pub(super) fn packed_len(&self) -> usize {
        self.packed.len()
    }

    fn tiles(&self, src: Shape) -> usize {
        let stride = if self.m == 3 { 2 } else { 1 };
        src.n * src.h.div_ceil(stride).div_ceil(self.m) * src.w.div_ceil(stride).div_ceil(self.m)
    }

    /// About how long it takes, in multiply-adds: the products, and five to six vector operations per position for each
    /// transform.
    pub(super) fn cost(&self, src: Shape) -> u64 {
        let (cells, vectors) = (self.channels.div_ceil(LANES), self.outputs.div_ceil(LANES));
        let per_position = self.channels * vectors + 6 * cells + 5 * vectors;
        (self.tiles(src) * self.positions() * per_position * LANES) as u64
    }

    /// Tiles of the longest strip.
    fn limit(&self) -> usize {
        let vectors = self.blocks.iter().map(|b| b.kernel.vectors).max().unwrap_or(1);
        let per_tile = self.positions() * (self.channels.div_ceil(LANES) + vectors) * LANES;
        (STRIP_FLOATS / per_tile).max(MIN_TILES)
    }

    /// Whether tasks divide the output blocks rather than the tiles: where one strip holds all tiles of a layer with many
    /// weights, so that each weight is read by one thread. It costs one more input transform per task.
    fn divides_outputs(&self, src: Shape) -> bool {
        self.packed.len() > HEAVY_FLOATS && self.tiles(src) <= self.limit()
    }

    /// Into how many tasks the work on a source of this shape is cut: strips, or runs of output blocks of the only strip.
    pub(super) fn tasks(&self, src: Shape, threads: usize) -> usize {
        let tiles = self.tiles(src);
        let macs = tiles * self.positions() * self.channels * self.outputs;
        let want = if threads == 1 { 1 } else { (macs / super::TASK_MACS).clamp(1, 4 * threads) };
        if self.divides_outputs(src) {
            return want.min(threads).min(self.blocks.len());
        }
        let strips = tiles.div_ceil(self.limit());
        let most = tiles.div_ceil(MIN_TILES).max(strips);
        if self.packed.len() > HEAVY_FLOATS {
            // Every strip reads all weights.
            return strips.next_multiple_of(threads).min(most);
        }
        strips.max(want).next_multiple_of(threads).min(most)
    }

    /// # Safety
    /// The pointers of `call` are valid for its shapes, `tasks` is what [`WinoConv::tasks`] gave for them, and no other task
    /// with the same index runs.
    pub(super) unsafe fn task(&self, index: usize, tasks: usize, call: &Call, scratch: &mut [f32]) {
        let (src, dst) = (call.src_shape, call.dst_shape);
        let all = self.tiles(src);
        let strips = if self.divides_outputs(src) { 1 } else { tasks };
        let groups = tasks / strips;
        let (group, strip) = (index / strips, index % strips);
        // Nearly equal strips.
        let first = strip * all / strips;
        let tiles = (strip + 1) * all / strips - first;
        if tiles == 0 {
            return;
        }
        let (rows, columns) = (dst.h.div_ceil(self.m), dst.w.div_ceil(self.m));
        let image = first / (rows * columns);
        let blocks = group * self.blocks.len() / groups..(group + 1) * self.blocks.len() / groups;
        let blocks = &self.blocks[blocks];
        let vectors = blocks.iter().map(|b| b.kernel.vectors).max().unwrap_or(1);
        let v_step = self.channels.div_ceil(LANES) * tiles * LANES + SKEW;
        let m_step = vectors * tiles * LANES + SKEW;
        let (v, rest) = scratch.split_at_mut(self.positions() * v_step);
        let m = &mut rest[..self.positions() * m_step];
        let a = Strip {
            src: call.src,
            src_row: src.row(),
            src_plane: src.plane(),
            src_image: src.image(),
            dst: call.dst,
            dst_row: dst.row(),
            dst_plane: dst.plane(),
            dst_image: dst.image(),
            residual: call.residual,
            h: dst.h,
            w: dst.w,
            src_h: src.h + 2,
            src_w: src.w + 2,
            first: Place { image, y: first / columns % rows * self.m, x: first % columns * self.m },
            tiles,
            channels: self.channels,
            v: v.as_mut_ptr(),
            v_step,
            m: m.as_mut_ptr(),
            m_step,
            relu: call.relu,
        };
        for (i, block) in blocks.iter().enumerate() {
            let Body::Wino(fns) = block.kernel.body else { unreachable!("{:?}", block.kernel) };
            debug_assert!(block.kernel.isa <= self.proven.isa());
            if i == 0 {
                // SAFETY: the level was proven; the source is valid by the promise of the caller, V was cut above.
                unsafe { (fns.input)(&a) };
            }
            let first = block.first * LANES;
            let b = Weights {
                u: self.packed[first * self.positions() * self.channels..].as_ptr(),
                bias: self.bias[first..].as_ptr(),
                first: block.first,
            };
            // SAFETY: as above; U and bias cover the block, and the tiles and blocks of other tasks are others.
            unsafe { (fns.block)(&a, &b) };
        }
    }
}
