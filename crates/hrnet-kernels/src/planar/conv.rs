//! The convolution: packing, cutting into tasks, and the strip that a task computes.

use super::gemm::{CELL, products};
use super::lanes::{Job, Lanes, on_level};
use super::points::{POSITIONS, weights};
use super::transform::{Masks, Output, input_rows, output_tiles};
use super::{PHASES, PlanarShape};
use crate::isa::Proven;
use crate::simd::INTO_L1;
use crate::{AlignedBuf, ConvDesc, Epilogue, Isa, LANES, Pool, Residual};

/// Scratch of a task, in floats: 1.25 MiB.
const SCRATCH_FLOATS: usize = 327_680;
/// V and M of a strip should leave room in L2 for the weights and activations that stream by.
const STRIP_FLOATS: usize = 98_304;
/// Height and width up to which the masks are exact.
const MAX_SIDE: usize = 1 << 22;
/// Vectors of tiles in the longest strip.
const MAX_VECTORS: usize = 3;
/// Output channels in the widest block.
const MAX_BLOCK: usize = 9;

/// Vectors of tiles and output channels of the largest register tile of a level.
struct RegisterTile;

impl Job for RegisterTile {
    type Result = (usize, usize);

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) -> (usize, usize) {
        const { assert!(S::VECTORS <= MAX_VECTORS && S::BLOCK <= MAX_BLOCK) };
        (S::VECTORS, S::BLOCK)
    }
}

/// Some of the output channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    first: usize,
    len: usize,
}

/// Nearly equal blocks: 20 channels are 7 + 7 + 6.
fn blocks(oc: usize, longest: usize) -> Vec<Block> {
    let count = oc.div_ceil(longest);
    let (size, longer) = (oc / count, oc % count);
    let mut first = 0;
    let next = |index: usize| {
        let len = size + usize::from(index < longer);
        first += len;
        Block { first: first - len, len }
    };
    (0..count).map(next).collect()
}

/// Scratch floats of a strip: V, M of one block, and the way to the next 64-byte boundary.
fn strip_floats(ic: usize, block: usize, vectors: usize) -> usize {
    vectors * (ic + block) * CELL + LANES
}

/// One call of a convolution. All shapes are those of the descriptor; the buffers are in the tile layout.
#[derive(Clone, Copy)]
pub(crate) struct PlanarCall {
    pub(crate) src: *const f32,
    pub(crate) src_shape: PlanarShape,
    pub(crate) dst: *mut f32,
    /// Null for none; may equal `dst`.
    pub(crate) residual: *const f32,
    pub(crate) relu: bool,
}

// SAFETY: the pointers are used by `PlanarConv::task` only, whose caller promises that they are valid and that
// tasks of one call may run at the same time.
unsafe impl Sync for PlanarCall {}

/// A 3x3 convolution of stride 1 in the tile layout, Winograd F(4x4, 3x3), with packed weights
/// `[block][position][input channel][output channel of the block]`.
pub struct PlanarConv {
    desc: ConvDesc,
    proven: Proven,
    vectors: usize,
    blocks: Vec<Block>,
    packed: AlignedBuf,
    bias: AlignedBuf,
}

/// What a task computes: some vectors of tiles of one image, some blocks of output channels.
struct Strip<'a> {
    conv: &'a PlanarConv,
    call: &'a PlanarCall,
    image: usize,
    /// First vector of tiles, and how many.
    first: usize,
    vectors: usize,
    blocks: &'a [Block],
}

impl PlanarConv {
    /// Whether there is a kernel: 3x3 of stride 1 on a map that is not empty, with few enough input channels
    /// (about 500) for the scratch of a task.
    pub fn supports(desc: &ConvDesc, h: usize, w: usize) -> bool {
        (desc.kernel, desc.stride, desc.padding) == (3, 1, 1)
            && desc.ic > 0
            && desc.oc > 0
            && (1..=MAX_SIDE).contains(&h)
            && (1..=MAX_SIDE).contains(&w)
            && desc.ic < SCRATCH_FLOATS
            && strip_floats(desc.ic, MAX_BLOCK, 1) <= SCRATCH_FLOATS
    }

    /// Packs `weight` (`[oc][ic][3][3]`). Panics if the processor lacks `isa`, if the descriptor is not
    /// supported, or if a length is wrong.
    pub fn new(isa: Isa, desc: ConvDesc, weight_oihw: &[f32], bias: Option<&[f32]>) -> PlanarConv {
        assert!(PlanarConv::supports(&desc, 1, 1), "planar convolution: no kernel for {desc:?}");
        let proven = isa.prove();
        let (widest, longest) = on_level(proven, RegisterTile);
        let fits = |&vectors: &usize| strip_floats(desc.ic, longest, vectors) <= STRIP_FLOATS;
        let mut conv = PlanarConv {
            desc,
            proven,
            vectors: (1..=widest).rev().find(fits).unwrap_or(1),
            blocks: blocks(desc.oc, longest),
            packed: AlignedBuf::zeroed(POSITIONS * desc.ic * desc.oc),
            bias: AlignedBuf::zeroed(desc.oc),
        };
        conv.repack(weight_oihw, bias);
        conv
    }

    /// Replaces the weights. Does not allocate.
    pub fn repack(&mut self, weight_oihw: &[f32], bias: Option<&[f32]>) {
        let desc = self.desc;
        desc.check_weight(weight_oihw.len());
        for block in &self.blocks {
            let start = block.first * POSITIONS * desc.ic;
            let packed = &mut self.packed[start..start + block.len * POSITIONS * desc.ic];
            for o in 0..block.len {
                for c in 0..desc.ic {
                    let at = ((block.first + o) * desc.ic + c) * 9;
                    let filter = weights(&weight_oihw[at..at + 9]);
                    for (position, &value) in filter.iter().enumerate() {
                        packed[(position * desc.ic + c) * block.len + o] = value;
                    }
                }
            }
        }
        match bias {
            Some(bias) => {
                assert!(bias.len() == desc.oc, "{desc:?}: bias of {}", bias.len());
                self.bias.copy_from_slice(bias);
            }
            None => self.bias.fill(0.0),
        }
    }

    /// The descriptor.
    pub fn desc(&self) -> ConvDesc {
        self.desc
    }

    /// `op_dtype_tile_isa`, the tile being tiles x output channels of the register block.
    pub fn kernel_name(&self) -> String {
        let (tiles, channels) = (self.vectors * LANES, self.blocks[0].len);
        format!("planar4x4_f32_{tiles}x{channels}_{}", self.proven.isa())
    }

    /// Floats of packed weights.
    pub fn packed_len(&self) -> usize {
        self.packed.len()
    }

    /// `dst = act(conv(src) + bias + residual)`. All buffers are in the tile layout, and `dst` obeys its zero
    /// rule (`zero_planar_border`).
    pub fn run(&self, pool: &Pool, src: &[f32], shape: PlanarShape, dst: &mut [f32], epilogue: Epilogue<'_>) {
        let dst_shape = PlanarShape { c: self.desc.oc, ..shape };
        shape.check("planar convolution: src", src.len());
        dst_shape.check("planar convolution: dst", dst.len());
        let supported = shape.c == self.desc.ic && PlanarConv::supports(&self.desc, shape.h, shape.w);
        assert!(supported, "planar convolution: {:?} of src {shape:?}", self.desc);
        let residual = match epilogue.residual {
            Residual::None => std::ptr::null(),
            Residual::InPlace => dst.as_ptr(),
            Residual::From(residual) => {
                dst_shape.check("planar convolution: residual", residual.len());
                residual.as_ptr()
            }
        };
        let call = PlanarCall {
            src: src.as_ptr(),
            src_shape: shape,
            dst: dst.as_mut_ptr(),
            residual,
            relu: epilogue.relu,
        };
        let tasks = self.tasks(shape, pool.threads());
        let call = &call;
        pool.run_scratch(tasks, &|index, scratch| {
            // SAFETY: the lengths were checked, `src` and `residual` are borrowed and `dst` exclusively.
            unsafe { self.task(index, tasks, call, scratch) };
        });
    }

    /// About how long it takes, in multiply-adds: the products, and six vector operations per position for each transform.
    pub(crate) fn cost(&self, src: PlanarShape) -> u64 {
        let per_position = self.desc.ic * self.desc.oc + 6 * (self.desc.ic + self.desc.oc);
        (src.n * src.vectors() * LANES * POSITIONS * per_position) as u64
    }

    /// How many tasks a call is best cut into: strips of the longest length, or so many more that the threads
    /// get equal shares; if there are more threads than vectors of tiles, strips of one vector that share the
    /// output channels out and repeat the input transform.
    pub(crate) fn tasks(&self, src: PlanarShape, threads: usize) -> usize {
        let vectors = src.vectors();
        let wanted = threads.div_ceil(src.n);
        if wanted > vectors {
            return src.n * vectors * wanted.div_ceil(vectors).min(self.blocks.len());
        }
        src.n * vectors.div_ceil(self.vectors).next_multiple_of(wanted).min(vectors)
    }

    /// Strips of an image, and parts of a strip, when there are `tasks` in all.
    fn cut(src: PlanarShape, tasks: usize) -> (usize, usize) {
        let (of_image, vectors) = (tasks / src.n, src.vectors());
        if of_image <= vectors { (of_image, 1) } else { (vectors, of_image / vectors) }
    }

    /// Computes task `index` of `tasks`, the number that [`PlanarConv::tasks`] gave for the shape and any
    /// number of threads.
    ///
    /// # Safety
    /// `src` holds `src_shape`, `dst` and `residual` (if not null) the same with the output channels;
    /// nobody writes `src`, and nobody but the other tasks of this call touches `dst` (or a `residual` that is
    /// not `dst`, to write it).
    pub(crate) unsafe fn task(&self, index: usize, tasks: usize, call: &PlanarCall, scratch: &mut [f32]) {
        let (strips, parts) = PlanarConv::cut(call.src_shape, tasks);
        let (strip, part) = (index / parts, index % parts);
        let (image, strip) = (strip / strips, strip % strips);
        let share = |part: usize, parts: usize, of: usize| part * of / parts;
        let vectors = call.src_shape.vectors();
        let first = share(strip, strips, vectors);
        let count = self.blocks.len();
        let strip = Strip {
            conv: self,
            call,
            image,
            first,
            vectors: share(strip + 1, strips, vectors) - first,
            blocks: &self.blocks[share(part, parts, count)..share(part + 1, parts, count)],
        };
        // The shares lie inside the shape, and those of two tasks are disjoint.
        on_level(self.proven, Compute { strip: &strip, scratch });
    }
}

/// A strip and its scratch: the buffers of the call hold its shapes, and no other task writes the cells of the
/// strip.
struct Compute<'a> {
    strip: &'a Strip<'a>,
    scratch: &'a mut [f32],
}

impl Job for Compute<'_> {
    type Result = ();

    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        let Compute { strip: a, scratch } = self;
        let Strip { conv, call, .. } = *a;
        let ic = conv.desc.ic;
        let shape = call.src_shape;
        let needed = strip_floats(ic, conv.blocks[0].len, a.vectors);
        assert!(
            needed <= scratch.len(),
            "planar convolution: scratch of {needed} floats, {} given",
            scratch.len()
        );
        let skip = scratch.as_ptr().align_offset(64).min(LANES);
        let v = scratch.as_mut_ptr().wrapping_add(skip);
        let m = v.wrapping_add(ic * a.vectors * CELL);

        let (tw, phase, plane) = (shape.tile_columns(), shape.phase(), shape.plane());
        let tile = a.first * LANES;
        let src = call.src.wrapping_add(a.image * shape.image() + tile);
        let mut masks = [Masks::NONE; MAX_VECTORS];
        for (k, masks) in masks[..a.vectors].iter_mut().enumerate() {
            masks.fill(s, shape, tile + k * LANES);
        }
        // Phases lie 1 to 2 kB apart, which no hardware prefetcher follows: a plane is fetched while the one before it is at work.
        let fetch = |plane: *const f32| {
            for cell in 0..PHASES {
                for k in 0..a.vectors {
                    s.prefetch::<INTO_L1>(plane.wrapping_add(cell * phase + k * LANES));
                }
            }
        };
        for c in 0..ic {
            if c + 1 < ic {
                fetch(src.wrapping_add((c + 1) * plane));
            }
            for k in 0..a.vectors {
                let src = src.wrapping_add(c * plane + k * LANES);
                let v = v.wrapping_add((c * a.vectors + k) * CELL);
                // SAFETY: vector k of the strip, inside the plane of channel c; V has room for it.
                unsafe { input_rows::<S, 0>(s, src, phase, tw, v) };
                // SAFETY: as above.
                unsafe { input_rows::<S, 1>(s, src, phase, tw, v.wrapping_add(CELL / 3)) };
                // SAFETY: as above.
                unsafe { input_rows::<S, 2>(s, src, phase, tw, v.wrapping_add(2 * CELL / 3)) };
            }
        }
        for block in a.blocks {
            let u = conv.packed[block.first * POSITIONS * ic..].as_ptr();
            let plane_of = |channel: usize| (a.image * conv.desc.oc + channel) * plane + tile;
            let fetch_out = |channel: usize| {
                fetch(call.dst.wrapping_add(plane_of(channel)));
                if !call.residual.is_null() {
                    fetch(call.residual.wrapping_add(plane_of(channel)));
                }
            };
            fetch_out(block.first);
            // SAFETY: the packed weights of this block, V filled above, and room for M behind V.
            unsafe { by_block(s, block.len, a.vectors, ic, u, v, m) };
            for o in 0..block.len {
                let channel = block.first + o;
                if o + 1 < block.len {
                    fetch_out(channel + 1);
                }
                let at = plane_of(channel);
                for k in 0..a.vectors {
                    let at = at + k * LANES;
                    let mut out = Output {
                        m: m.wrapping_add((o * a.vectors + k) * CELL),
                        bias: conv.bias[channel],
                        residual: std::ptr::null(),
                        dst: call.dst.wrapping_add(at),
                        phase,
                        tw,
                        relu: call.relu,
                        masks: &masks[k],
                    };
                    if call.residual.is_null() {
                        // SAFETY: M filled above; the cells of vector k of this channel are this task's.
                        unsafe { output_tiles::<S, false>(s, &out) };
                    } else {
                        out.residual = call.residual.wrapping_add(at);
                        // SAFETY: as above.
                        unsafe { output_tiles::<S, true>(s, &out) };
                    }
                }
            }
        }
    }
}

/// [`products`] for the sizes at hand.
///
/// # Safety
/// As for [`products`], with `oc` and `vectors` at most those of the level and at least 1.
#[inline(always)]
unsafe fn by_block<S: Lanes>(
    s: S,
    oc: usize,
    vectors: usize,
    ic: usize,
    u: *const f32,
    v: *const f32,
    m: *mut f32,
) {
    macro_rules! instances {
        ($($o:literal)*) => {
            match (oc, vectors) {
                // The guards drop the instances above the level's tile at compile time.
                // SAFETY: promised by the caller.
                $(($o, 1) if $o <= S::BLOCK => unsafe { products::<S, $o, 1>(s, ic, u, v, m) },
                // SAFETY: as above.
                ($o, 2) if $o <= S::BLOCK && S::VECTORS >= 2 => unsafe { products::<S, $o, 2>(s, ic, u, v, m) },
                // SAFETY: as above.
                ($o, 3) if $o <= S::BLOCK && S::VECTORS >= 3 => unsafe { products::<S, $o, 3>(s, ic, u, v, m) },)*
                _ => unreachable!("{oc} channels x {vectors} vectors, more than the tile of the level"),
            }
        };
    }
    instances!(1 2 3 4 5 6 7 8 9);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_the_channels() {
        for oc in 1..100 {
            let blocks = blocks(oc, 9);
            assert_eq!(blocks[0].first, 0);
            assert!(blocks.windows(2).all(|pair| pair[0].first + pair[0].len == pair[1].first));
            assert_eq!(blocks.last().map(|last| last.first + last.len), Some(oc));
            assert!(blocks.iter().all(|block| block.len <= blocks[0].len && block.len > 0));
        }
        assert_eq!(blocks(18, 9).len(), 2);
    }

    #[test]
    fn what_is_supported() {
        let desc = ConvDesc { ic: 18, oc: 18, kernel: 3, stride: 1, padding: 1 };
        assert!(PlanarConv::supports(&desc, 1, 1));
        assert!(PlanarConv::supports(&ConvDesc { ic: 500, ..desc }, 1, 1));
        assert!(!PlanarConv::supports(&ConvDesc { ic: 700, ..desc }, 1, 1));
        assert!(!PlanarConv::supports(&ConvDesc { ic: usize::MAX, ..desc }, 1, 1));
        assert!(!PlanarConv::supports(&ConvDesc { stride: 2, ..desc }, 1, 1));
        assert!(!PlanarConv::supports(&desc, 0, 4));
        assert!(!PlanarConv::supports(&desc, 4, MAX_SIDE + 1));
    }
}
