//! Forward convolution.

use super::{Epilogue, TapConv};
use crate::select::{Block, forced, select};
use crate::table::{Kernel, Op};
use crate::{ConvDesc, Isa, Pool, Shape};

/// A convolution with packed weights.
pub struct Conv {
    desc: ConvDesc,
    inner: TapConv,
}

impl Conv {
    /// Packs `weight` (`[oc][ic][k][k]`). Panics if the processor lacks `isa`, if there is no kernel for
    /// `desc`, or if a length is wrong.
    pub fn new(isa: Isa, desc: ConvDesc, weight_oihw: &[f32], bias: Option<&[f32]>) -> Conv {
        desc.check();
        let blocks = select(Op::forward(&desc), desc.oc, isa);
        Conv::with_blocks(isa, desc, blocks, weight_oihw, bias)
    }

    /// [`Conv::new`] with a given row of the table; output channels left over by its tile use other rows.
    pub fn with_kernel(
        kernel: &'static Kernel,
        desc: ConvDesc,
        weight_oihw: &[f32],
        bias: Option<&[f32]>,
    ) -> Conv {
        desc.check();
        assert!(kernel.op == Op::forward(&desc), "{kernel:?} does not compute {desc:?}");
        Conv::with_blocks(kernel.isa, desc, forced(kernel, desc.oc), weight_oihw, bias)
    }

    fn with_blocks(
        isa: Isa,
        desc: ConvDesc,
        blocks: Vec<Block>,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Conv {
        // Output y reads bordered rows y * stride + ky - padding + 1: at least 0, and at most h + 1 by the
        // output size.
        let axis = vec![(0..desc.kernel).map(|k| (k, k + 1 - desc.padding)).collect()];
        let inner =
            TapConv::new(isa.prove(), Op::forward(&desc), desc.ic, desc.oc, desc.stride, &axis, blocks);
        let mut conv = Conv { desc, inner };
        conv.repack(weight, bias);
        conv
    }

    /// Replaces the weights. Does not allocate.
    pub fn repack(&mut self, weight_oihw: &[f32], bias: Option<&[f32]>) {
        let desc = self.desc;
        assert!(
            weight_oihw.len() == desc.weight_len(),
            "{desc:?} needs {} weights, {} given",
            desc.weight_len(),
            weight_oihw.len()
        );
        self.inner.pack(weight_oihw, desc.ic * desc.taps(), desc.taps(), desc.kernel);
        self.inner.set_bias(bias);
    }

    /// The descriptor.
    pub fn desc(&self) -> ConvDesc {
        self.desc
    }

    /// The table row of the first output block.
    pub fn kernel_name(&self) -> String {
        self.inner.kernel_name()
    }

    /// Floats of packed weights.
    pub fn packed_len(&self) -> usize {
        self.inner.packed.len()
    }

    /// `dst = act(conv(src) + bias + residual)`; dst has [`ConvDesc::out`] pixels.
    pub fn run(&self, pool: &Pool, src: &[f32], src_shape: Shape, dst: &mut [f32], epilogue: Epilogue<'_>) {
        let (h, w) = self.desc.out(src_shape.h, src_shape.w);
        let dst_shape = Shape { n: src_shape.n, c: self.desc.oc, h, w };
        self.inner.run(pool, src, src_shape, dst, dst_shape, epilogue.residual, epilogue.relu);
    }
}
