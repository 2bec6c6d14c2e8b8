//! Gradient of a convolution with respect to its weights.
//!
//! The sum runs over all pixels of all images. Images are cut into strips of a few rows that fit L1; the
//! strips are dealt in order into chunks, whose number depends on the shape only. A task is (output block,
//! input block, chunk): it sums its strips into a partial buffer of its own, one strip after another. Then,
//! per (output block, input block), the partial buffers are added in chunk order and scattered into dw.
//!
//! 3x3 kernels may go through Winograd instead (`wino/grad.rs`).

use super::grad_tile::GradStrip;
use super::wino::WinoGrad;
use crate::isa::Proven;
use crate::par::SharedMut;
use crate::select::{Algorithm, Block, forced, select, weight_grad_algorithm};
use crate::table::{Body, Kernel, Op};
use crate::{AlignedBuf, ConvCase, ConvDesc, Isa, LANES, Pool, Shape};

/// Bytes of source and gradient rows that a strip keeps in L1.
const STRIP_BYTES: usize = 20 * 1024;
/// Tasks that a layer is cut into, images permitting.
const TASKS: usize = 16;

/// The weight gradient of a convolution.
pub struct ConvWeightGrad {
    desc: ConvDesc,
    body: GradBody,
}

enum GradBody {
    Direct(DirectGrad),
    Wino(WinoGrad),
}

impl ConvWeightGrad {
    /// The direct algorithm. Panics if the processor lacks `isa` or if there is no kernel for `desc`.
    pub fn new(isa: Isa, desc: ConvDesc) -> ConvWeightGrad {
        desc.check();
        let blocks = select(Op::weight_grad(&desc), desc.oc, isa);
        ConvWeightGrad { desc, body: GradBody::Direct(DirectGrad { proven: isa.prove(), desc, blocks }) }
    }

    /// The algorithm that [`weight_grad_algorithm`] chooses for this map size. Panics as [`ConvWeightGrad::new`] does.
    pub fn for_map(isa: Isa, case: ConvCase) -> ConvWeightGrad {
        ConvWeightGrad::with_algorithm(isa, case.desc, weight_grad_algorithm(&case, isa))
    }

    /// A given algorithm: direct, or Winograd for 3x3. Panics if it cannot compute `desc`.
    pub fn with_algorithm(isa: Isa, desc: ConvDesc, algorithm: Algorithm) -> ConvWeightGrad {
        let m = match algorithm {
            Algorithm::Direct => return ConvWeightGrad::new(isa, desc),
            Algorithm::Wino2 => 2,
            Algorithm::Wino3 => 3,
            Algorithm::Wino4 => 4,
            Algorithm::Planar4 => panic!("no weight gradient {algorithm:?}"),
        };
        desc.check();
        ConvWeightGrad { desc, body: GradBody::Wino(WinoGrad::new(isa, m, desc)) }
    }

    /// [`ConvWeightGrad::new`] with a given row of the table.
    pub fn with_kernel(kernel: &'static Kernel, desc: ConvDesc) -> ConvWeightGrad {
        desc.check();
        assert!(kernel.op == Op::weight_grad(&desc), "{kernel:?} does not compute {desc:?}");
        let (proven, blocks) = (kernel.isa.prove(), forced(kernel, desc.oc));
        ConvWeightGrad { desc, body: GradBody::Direct(DirectGrad { proven, desc, blocks }) }
    }

    /// The descriptor of the forward convolution.
    pub fn desc(&self) -> ConvDesc {
        self.desc
    }

    /// How it is computed.
    pub fn algorithm(&self) -> Algorithm {
        match &self.body {
            GradBody::Direct(_) => Algorithm::Direct,
            GradBody::Wino(wino) => wino.algorithm(),
        }
    }

    /// The table row of the first output block.
    pub fn kernel_name(&self) -> String {
        match &self.body {
            GradBody::Direct(direct) => direct.blocks[0].kernel.name(),
            GradBody::Wino(wino) => wino.kernel_name(),
        }
    }

    /// `dw += sum over images and pixels of dy x src`, dw as `[oc][ic][k][k]`. `scratch` grows as needed and may serve any
    /// convolution next.
    pub fn run(
        &self,
        pool: &Pool,
        scratch: &mut AlignedBuf,
        src: &[f32],
        src_shape: Shape,
        dy: &[f32],
        dw_oihw: &mut [f32],
    ) {
        let desc = self.desc;
        let (h, w) = desc.out(src_shape.h, src_shape.w);
        let dy_shape = Shape { n: src_shape.n, c: desc.oc, h, w };
        assert!(src_shape.c == desc.ic, "{desc:?}: src {src_shape:?}");
        src_shape.check("weight gradient: src", src.len());
        dy_shape.check("weight gradient: dy", dy.len());
        assert!(
            dw_oihw.len() == desc.weight_len(),
            "{desc:?} needs {} weights, dw has {}",
            desc.weight_len(),
            dw_oihw.len()
        );
        match &self.body {
            GradBody::Direct(direct) => direct.run(pool, scratch, src, src_shape, dy, dy_shape, dw_oihw),
            GradBody::Wino(wino) => wino.run(pool, scratch, src, src_shape, dy, dy_shape, dw_oihw),
        }
    }
}

/// Multiply-adds over the kernel positions.
struct DirectGrad {
    proven: Proven,
    desc: ConvDesc,
    blocks: Vec<Block>,
}

/// How the sum over images and rows is cut: a function of the shapes only.
struct Cut {
    rows: usize,
    per_image: usize,
    strips: usize,
    chunks: usize,
}

impl DirectGrad {
    fn cut(&self, src: Shape, dy: Shape) -> Cut {
        let vectors = self.blocks[0].kernel.vectors;
        let row = (self.desc.stride * src.row() + vectors * dy.row()) * 4;
        let rows = (STRIP_BYTES.saturating_sub(2 * src.row() * 4) / row).clamp(1, dy.h);
        let per_image = dy.h.div_ceil(rows);
        let strips = src.n * per_image;
        let pairs = self.blocks.len() * self.desc.ic.div_ceil(LANES);
        Cut { rows, per_image, strips, chunks: TASKS.div_ceil(pairs).clamp(1, strips) }
    }

    fn run(
        &self,
        pool: &Pool,
        scratch: &mut AlignedBuf,
        src: &[f32],
        src_shape: Shape,
        dy: &[f32],
        dy_shape: Shape,
        dw_oihw: &mut [f32],
    ) {
        let desc = self.desc;
        let (h, w) = (dy_shape.h, dy_shape.w);
        let cut = self.cut(src_shape, dy_shape);
        let taps = desc.taps();
        let inputs = desc.ic.div_ceil(LANES);
        let widest = self.blocks.iter().map(|block| block.kernel.vectors).max().unwrap_or(1);
        let part_len = taps * LANES * widest * LANES;
        let pairs = self.blocks.len() * inputs;
        scratch.grow(pairs * cut.chunks * part_len);
        let scratch = SharedMut::new(scratch);
        let blocks = &self.blocks;

        let mut offsets = [0; super::MAX_TAPS];
        for (tap, offset) in offsets[..taps].iter_mut().enumerate() {
            let (ky, kx) = (tap / desc.kernel, tap % desc.kernel);
            *offset = (ky + 1 - desc.padding) * src_shape.row() + (kx + 1 - desc.padding) * LANES;
        }
        // Pairs run fastest: tasks of one chunk read the same images.
        pool.run(pairs * cut.chunks, &|task| {
            let (chunk, pair) = (task / pairs, task % pairs);
            let (block, input) = (&blocks[pair / inputs], pair % inputs);
            let Body::Grad(kernel) = block.kernel.body else { unreachable!("{:?}", block.kernel) };
            debug_assert!(block.kernel.isa <= self.proven.isa());
            let start = (pair * cut.chunks + chunk) * part_len;
            // SAFETY: each (pair, chunk) is one task.
            let part = unsafe { scratch.slice(start..start + part_len) };
            part.fill(0.0);
            for strip in chunk * cut.strips / cut.chunks..(chunk + 1) * cut.strips / cut.chunks {
                let (image, y0) = (strip / cut.per_image, strip % cut.per_image * cut.rows);
                let strip = GradStrip {
                    src: src[src_shape.offset(image, input, y0 * desc.stride)..].as_ptr(),
                    src_row: desc.stride * src_shape.row(),
                    src_stride: desc.stride,
                    channels: src_shape.lanes(input),
                    taps: &offsets[..taps],
                    dy: dy[dy_shape.offset(image, block.first, y0 + 1) + LANES..].as_ptr(),
                    dy_plane: dy_shape.plane(),
                    dy_row: dy_shape.row(),
                    rows: cut.rows.min(h - y0),
                    width: w,
                    part: part.as_mut_ptr(),
                    first: false,
                };
                // SAFETY: the level was proven; every tap of every output row lies in the bordered source;
                // the block's channel blocks exist in dy; `part` is this task's own and long enough.
                unsafe { kernel(&strip) };
            }
        });

        let dw = SharedMut::new(dw_oihw);
        pool.run(pairs, &|pair| {
            let (block, input) = (&blocks[pair / inputs], pair % inputs);
            let start = pair * cut.chunks * part_len;
            // SAFETY: each pair is one task, and its parts are contiguous.
            let parts = unsafe { scratch.slice(start..start + cut.chunks * part_len) };
            let (total, others) = parts.split_at_mut(part_len);
            for other in others.chunks_exact(part_len) {
                total.iter_mut().zip(other).for_each(|(t, &o)| *t += o);
            }
            let lanes = block.kernel.vectors * LANES;
            let channels = src_shape.lanes(input);
            for lane in 0..lanes.min(desc.oc - block.first * LANES) {
                let output = block.first * LANES + lane;
                let from = (output * desc.ic + input * LANES) * taps;
                // SAFETY: (output, input block) belongs to one pair.
                let dw = unsafe { dw.slice(from..from + channels * taps) };
                for (channel, dw) in dw.chunks_exact_mut(taps).enumerate() {
                    for (tap, dw) in dw.iter_mut().enumerate() {
                        *dw += total[(tap * LANES + channel) * lanes + lane];
                    }
                }
            }
        });
    }
}
