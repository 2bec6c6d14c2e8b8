//! Transposed convolution, kernel 4, stride 2, padding 1: output 2h x 2w.
//!
//! Per axis, input i adds to output 2i - 1 + k. By output phase:
//!
//! ```text
//! o = 2m:      k = 1 -> src[m],  k = 3 -> src[m - 1]
//! o = 2m + 1:  k = 0 -> src[m + 1],  k = 2 -> src[m]
//! ```
//!
//! src[-1] and src[h] are the border, which is zero.

use super::{Call, Residual, TapConv};
use crate::select::{Block, forced, select};
use crate::table::{Kernel, Op};
use crate::{Isa, Pool, Shape};

/// A transposed convolution with packed weights.
pub struct ConvTranspose {
    ic: usize,
    oc: usize,
    inner: TapConv,
}

impl ConvTranspose {
    /// Packs `weight` (`[ic][oc][4][4]`). Panics if the processor lacks `isa` or a length is wrong.
    pub fn new(isa: Isa, ic: usize, oc: usize, weight: &[f32], bias: Option<&[f32]>) -> ConvTranspose {
        ConvTranspose::with_blocks(isa, ic, oc, select(Op::Transpose, oc, isa), weight, bias)
    }

    /// [`ConvTranspose::new`] with a given row of the table.
    pub fn with_kernel(
        kernel: &'static Kernel,
        ic: usize,
        oc: usize,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> ConvTranspose {
        assert!(kernel.op == Op::Transpose, "{kernel:?} is not a transposed convolution");
        ConvTranspose::with_blocks(kernel.isa, ic, oc, forced(kernel, oc), weight, bias)
    }

    fn with_blocks(
        isa: Isa,
        ic: usize,
        oc: usize,
        blocks: Vec<Block>,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> ConvTranspose {
        assert!(ic > 0 && oc > 0, "transposed convolution of {ic} to {oc} channels");
        let axis = vec![vec![(1, 1), (3, 0)], vec![(0, 2), (2, 1)]];
        let inner = TapConv::new(isa.prove(), Op::Transpose, ic, oc, 1, &axis, blocks);
        let mut conv = ConvTranspose { ic, oc, inner };
        conv.repack(weight, bias);
        conv
    }

    /// Replaces the weights. Does not allocate.
    pub fn repack(&mut self, weight: &[f32], bias: Option<&[f32]>) {
        let wanted = self.ic * self.oc * 16;
        assert!(
            weight.len() == wanted,
            "transposed convolution: {wanted} weights wanted, {} given",
            weight.len()
        );
        self.inner.pack(None, weight, 16, self.oc * 16, 4);
        self.inner.set_bias(bias);
    }

    /// The table row of the first output block.
    pub fn kernel_name(&self) -> String {
        self.inner.kernel_name()
    }

    /// Floats of packed weights.
    pub fn packed_len(&self) -> usize {
        self.inner.packed.len()
    }

    /// Source channels.
    pub(crate) fn channels(&self) -> usize {
        self.ic
    }

    /// The shape of the result.
    pub(crate) fn dst_shape(&self, src: Shape) -> Shape {
        Shape { n: src.n, c: self.oc, h: 2 * src.h, w: 2 * src.w }
    }

    /// Into how many tasks the work on a source of this shape is cut.
    pub(crate) fn tasks(&self, src: Shape, threads: usize) -> usize {
        self.inner.tasks(src, threads)
    }

    /// About how long it takes, in multiply-adds.
    pub(crate) fn cost(&self, src: Shape) -> u64 {
        16 * (src.n * src.h * src.w) as u64 * (self.ic * self.oc) as u64
    }

    /// Computes one task.
    ///
    /// # Safety
    /// As for [`TapConv::task`].
    pub(crate) unsafe fn task(&self, index: usize, tasks: usize, call: &Call, scratch: &mut [f32]) {
        // SAFETY: promised by the caller.
        unsafe { self.inner.task(index, tasks, call, scratch) };
    }

    /// `dst = act(conv^T(src) + bias)`; dst is twice as high and wide as src.
    pub fn run(&self, pool: &Pool, src: &[f32], src_shape: Shape, dst: &mut [f32], relu: bool) {
        let dst_shape = self.dst_shape(src_shape);
        self.inner.run(pool, src, src_shape, dst, dst_shape, Residual::None, relu);
    }
}
