//! Convolutions: forward, gradients, transposed.
//!
//! Forward, backward-data and transposed convolution are one thing here, [`TapConv`]: output phases, each
//! with a list of taps, over the micro-kernel of `taps.rs`. The weight gradient has its own (`grad_tile.rs`).
//!
//! A convolution is a job that can be cut into tasks: `tasks` says into how many, `task` computes one of them from a
//! [`Call`], any thread, any order. Tasks of a [`TapConv`] are (output block, image, phase, band of rows). How many
//! bands there are depends on the number of threads and changes no bit: an output is a fixed sequence of partial sums,
//! computed by one task.

mod backward_data;
mod forward;
pub(crate) mod grad_tile;
pub(crate) mod taps;
mod transpose;
mod weight_grad;
pub(crate) mod wino;

pub use backward_data::ConvBackwardData;
pub use forward::Conv;
pub use transpose::ConvTranspose;
pub use weight_grad::ConvWeightGrad;

use crate::isa::Proven;
use crate::par::SharedMut;
use crate::select::Block;
use crate::table::{Body, Op};
use crate::{AlignedBuf, LANES, Pool, Shape};
use taps::Strip;

/// The addend of a convolution's output.
#[derive(Clone, Copy, Debug)]
pub enum Residual<'a> {
    /// None.
    None,
    /// `dst` holds it.
    InPlace,
    /// A tensor of the shape of `dst`.
    From(&'a [f32]),
}

/// What happens to a convolution's output before it is stored: `act(conv + bias + residual)`.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// The addend.
    pub residual: Residual<'a>,
    /// ReLU or identity.
    pub relu: bool,
}

/// Kernel positions of the largest kernel (3x3; a phase of a 4x4 has 4).
const MAX_TAPS: usize = 9;
/// (Channel block, tap) pairs of one pass: 40 kB of weights for two vectors, which every tile reads again, so about L1.
/// A pass is summed on its own (two-level sums): its length must depend on the layer alone, not on the tile.
const PASS_CELLS: usize = 20;
/// Multiply-adds below which a task is not worth handing out (about 10 microseconds).
const TASK_MACS: usize = 1 << 19;

/// A kernel position: row and column of the kernel, and its bordered source pixel relative to the first
/// output's.
#[derive(Clone, Copy, Debug)]
struct Tap {
    ky: usize,
    kx: usize,
    dy: usize,
    dx: usize,
}

/// Outputs `(stride * i + y, stride * j + x)` and their taps.
#[derive(Clone, Debug)]
struct Phase {
    y: usize,
    x: usize,
    taps: Vec<Tap>,
    /// Where its packed weights begin.
    start: usize,
}

/// A convolution as taps and phases, with packed weights
/// `[phase][output block][source block][tap][source channel][vectors * 16]`.
struct TapConv {
    proven: Proven,
    op: Op,
    channels: usize,
    outputs: usize,
    src_stride: usize,
    dst_stride: usize,
    phases: Vec<Phase>,
    blocks: Vec<Block>,
    packed: AlignedBuf,
    bias: AlignedBuf,
}

/// Along one axis, for each output phase: (kernel index, bordered source offset) pairs.
type AxisPhases = Vec<Vec<(usize, usize)>>;

impl TapConv {
    /// `axis` holds, per output phase of one axis, the taps; both axes are alike.
    fn new(
        proven: Proven,
        op: Op,
        channels: usize,
        outputs: usize,
        src_stride: usize,
        axis: &AxisPhases,
        blocks: Vec<Block>,
    ) -> TapConv {
        let padded = outputs.div_ceil(LANES) * LANES;
        let mut phases = Vec::new();
        let mut start = 0;
        for (y, rows) in axis.iter().enumerate() {
            for (x, columns) in axis.iter().enumerate() {
                let taps: Vec<Tap> = rows
                    .iter()
                    .flat_map(|&(ky, dy)| columns.iter().map(move |&(kx, dx)| Tap { ky, kx, dy, dx }))
                    .collect();
                assert!(taps.len() <= MAX_TAPS);
                let count = taps.len();
                phases.push(Phase { y, x, taps, start });
                start += count * channels * padded;
            }
        }
        TapConv {
            proven,
            op,
            channels,
            outputs,
            src_stride,
            dst_stride: axis.len(),
            phases,
            blocks,
            packed: AlignedBuf::zeroed(start),
            bias: AlignedBuf::zeroed(padded),
        }
    }

    /// Fills the packed weights, on the pool where there is one. `weight[output * output_step + channel * channel_step + ky *
    /// kernel + kx]`.
    fn pack(
        &mut self,
        pool: Option<&Pool>,
        weight: &[f32],
        output_step: usize,
        channel_step: usize,
        kernel: usize,
    ) {
        let mut packed = std::mem::take(&mut self.packed);
        let blocks = self.blocks.len();
        let parts = SharedMut::new(&mut packed);
        run_on(pool, self.phases.len() * blocks, &|index| {
            let (phase, block) = (&self.phases[index / blocks], &self.blocks[index % blocks]);
            let first = block.first * LANES;
            let lanes = block.kernel.vectors * LANES;
            let used = lanes.min(self.outputs - first);
            let taps = phase.taps.len();
            let start = phase.start + first * taps * self.channels;
            // SAFETY: each (phase, block) is one task, and its weights are contiguous.
            let packed = unsafe { parts.slice(start..start + lanes * taps * self.channels) };
            let mut cells = packed.chunks_exact_mut(lanes);
            for channel_block in (0..self.channels).step_by(LANES) {
                let channels = channel_block..(channel_block + LANES).min(self.channels);
                for tap in &phase.taps {
                    let at = tap.ky * kernel + tap.kx;
                    for (channel, cell) in channels.clone().zip(&mut cells) {
                        let from = &weight[first * output_step + channel * channel_step + at..];
                        let from = from.iter().step_by(output_step);
                        cell[..used].iter_mut().zip(from).for_each(|(c, &w)| *c = w);
                    }
                }
            }
        });
        self.packed = packed;
    }

    fn set_bias(&mut self, bias: Option<&[f32]>) {
        set_bias(&mut self.bias, self.outputs, bias);
    }

    fn kernel_name(&self) -> String {
        self.blocks[0].kernel.name()
    }

    /// Into how many tasks the work on a source of this shape is cut.
    pub(crate) fn tasks(&self, src: Shape, threads: usize) -> usize {
        let (phases, blocks) = (self.phases.len(), self.blocks.len());
        let all_taps: usize = self.phases.iter().map(|phase| phase.taps.len()).sum();
        // Of one phase; the other strides are 1.
        let rows = src.h.div_ceil(self.src_stride);
        let pixels = rows * src.w.div_ceil(self.src_stride);
        let unit = pixels * self.channels * LANES * self.blocks[0].kernel.vectors * all_taps / phases;
        let units = src.n * blocks * phases;
        let task = (unit.saturating_mul(units) / (8 * threads)).max(TASK_MACS);
        let bands = if threads == 1 { 1 } else { unit.div_ceil(task).clamp(1, rows) };
        units * bands
    }

    /// Computes one task. No scratch is used; the parameter is the common form of all convolutions.
    ///
    /// # Safety
    /// `call` has buffers of its shapes, the shapes are those of this convolution, `tasks` is what
    /// [`TapConv::tasks`] gave for the source shape, `index < tasks`, and no other thread writes the outputs of this
    /// task or reads or writes them at the same time.
    pub(crate) unsafe fn task(&self, index: usize, tasks: usize, call: &Call, _scratch: &mut [f32]) {
        let Call { src_shape, dst_shape, .. } = *call;
        let (images, phases, blocks) = (src_shape.n, self.phases.len(), self.blocks.len());
        let bands = tasks / (images * blocks * phases);
        // The larger of weights and image stays in cache: it goes outside.
        let weights_outside = self.packed.len() / blocks > src_shape.image();
        let (outer, band) = (index / bands, index % bands);
        let (outer, phase) = (outer / phases, &self.phases[outer % phases]);
        let (image, block) = if weights_outside {
            (outer % images, &self.blocks[outer / images])
        } else {
            (outer / blocks, &self.blocks[outer % blocks])
        };
        if phase.y >= dst_shape.h || phase.x >= dst_shape.w {
            return;
        }
        let height = (dst_shape.h - phase.y).div_ceil(self.dst_stride);
        let width = (dst_shape.w - phase.x).div_ceil(self.dst_stride);
        let (y0, y1) = (band * height / bands, (band + 1) * height / bands);

        let taps = phase.taps.len();
        let mut offsets = [0; MAX_TAPS];
        for (offset, tap) in offsets.iter_mut().zip(&phase.taps) {
            *offset = tap.dy * src_shape.row() + tap.dx * LANES;
        }
        let first = block.first * LANES;
        let dst_at =
            dst_shape.offset(image, block.first, 1 + phase.y + y0 * self.dst_stride) + (1 + phase.x) * LANES;
        let strip = Strip {
            src: call.src.wrapping_add(image * src_shape.image() + y0 * self.src_stride * src_shape.row()),
            src_plane: src_shape.plane(),
            src_row: self.src_stride * src_shape.row(),
            src_stride: self.src_stride,
            channels: self.channels,
            taps: &offsets[..taps],
            weights: self.packed[phase.start + first * taps * self.channels..].as_ptr(),
            bias: self.bias[first..].as_ptr(),
            residual: match call.residual.is_null() {
                true => std::ptr::null(),
                false => call.residual.wrapping_add(dst_at),
            },
            dst: call.dst.wrapping_add(dst_at),
            dst_plane: dst_shape.plane(),
            dst_row: self.dst_stride * dst_shape.row(),
            dst_pixel: self.dst_stride * LANES,
            rows: y1 - y0,
            width,
            pass: (PASS_CELLS / taps.max(1)).max(1),
            relu: call.relu,
        };
        let Body::Taps(kernel) = block.kernel.body else { unreachable!("{:?}", block.kernel) };
        debug_assert!(block.kernel.isa <= self.proven.isa());
        // SAFETY: the level was proven. Every tap of every output of the phase lies in the bordered source (checked
        // per axis in the constructors), weights and bias cover the block, the caller promises the rest.
        unsafe { kernel(&strip) };
    }

    fn run(
        &self,
        pool: &Pool,
        src: &[f32],
        src_shape: Shape,
        dst: &mut [f32],
        dst_shape: Shape,
        residual: Residual<'_>,
        relu: bool,
    ) {
        assert!(
            src_shape.c == self.channels && dst_shape.c == self.outputs,
            "{}: packed for {} to {} channels, src {src_shape:?}, dst {dst_shape:?}",
            self.op,
            self.channels,
            self.outputs
        );
        let call = Call::new(src, src_shape, dst, dst_shape, residual, relu);
        let tasks = self.tasks(src_shape, pool.threads());
        pool.run_scratch(tasks, &|index, scratch| {
            // SAFETY: the call was checked, its shapes are of this convolution, every index comes once, and the
            // buffers are borrowed until `run_scratch` returns.
            unsafe { self.task(index, tasks, &call, scratch) };
        });
    }
}

/// `f(0..tasks)` on the pool, or here.
fn run_on(pool: Option<&Pool>, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
    match pool {
        Some(pool) => pool.run(tasks, f),
        None => (0..tasks).for_each(f),
    }
}

/// The buffers of one convolution, for its tasks: raw, because tasks write interleaved parts of one buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) src: *const f32,
    pub(crate) src_shape: Shape,
    pub(crate) dst: *mut f32,
    pub(crate) dst_shape: Shape,
    /// Addend with the layout of `dst`: null for none, may be `dst` itself.
    pub(crate) residual: *const f32,
    pub(crate) relu: bool,
}

// SAFETY: the pointers are used only in `task` functions, whose callers promise that the buffers outlive them and that
// tasks write disjoint parts.
unsafe impl Sync for Call {}

/// Fills a padded bias.
fn set_bias(padded: &mut [f32], outputs: usize, bias: Option<&[f32]>) {
    match bias {
        Some(bias) => {
            assert!(bias.len() == outputs, "convolution: {outputs} outputs, bias of {}", bias.len());
            padded[..outputs].copy_from_slice(bias);
        }
        None => padded.fill(0.0),
    }
}

impl Call {
    /// Checks every length.
    pub(crate) fn new(
        src: &[f32],
        src_shape: Shape,
        dst: &mut [f32],
        dst_shape: Shape,
        residual: Residual<'_>,
        relu: bool,
    ) -> Call {
        src_shape.check("convolution: src", src.len());
        dst_shape.check("convolution: dst", dst.len());
        let dst_ptr = dst.as_mut_ptr();
        let residual = match residual {
            Residual::None => std::ptr::null(),
            Residual::InPlace => dst_ptr.cast_const(),
            Residual::From(residual) => {
                dst_shape.check("convolution: residual", residual.len());
                residual.as_ptr()
            }
        };
        Call { src: src.as_ptr(), src_shape, dst: dst_ptr, dst_shape, residual, relu }
    }
}
