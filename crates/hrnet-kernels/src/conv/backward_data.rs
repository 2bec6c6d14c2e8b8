//! Gradient of a convolution with respect to its input: `dx = conv^T(dy)`.
//!
//! Per axis, `dx[i] = sum over k of w[k] * dy[(i + padding - k) / stride]` where the division is exact.
//! Stride 1 is a convolution with flipped weights. Stride 2 splits into the even and the odd rows and columns
//! of dx, four phases without zero insertion:
//!
//! ```text
//! k3 p1, i = 2m:      k = 1 -> dy[m]
//!        i = 2m + 1:  k = 0 -> dy[m + 1],  k = 2 -> dy[m]
//! k1 p0, i = 2m:      k = 0 -> dy[m];      i = 2m + 1: nothing
//! ```
//!
//! dy[m + 1] past the last row is the border, which is zero.

use super::{AxisPhases, Residual, TapConv};
use crate::select::{Block, forced, select};
use crate::table::{Kernel, Op};
use crate::{ConvDesc, Isa, Pool, Shape};

/// A convolution's transpose with packed weights.
pub struct ConvBackwardData {
    desc: ConvDesc,
    inner: TapConv,
}

fn axis(desc: &ConvDesc) -> AxisPhases {
    (0..desc.stride)
        .map(|phase| {
            (0..desc.kernel)
                .filter(|k| (phase + desc.padding + 2 * desc.stride - k).is_multiple_of(desc.stride))
                // Bordered offset of dy[(phase + padding - k) / stride], which is at least -1.
                .map(|k| (k, (phase + desc.padding + desc.stride - k) / desc.stride))
                .collect()
        })
        .collect()
}

impl ConvBackwardData {
    /// Packs `weight` (`[oc][ic][k][k]`, as for the forward convolution). Panics as [`crate::Conv::new`]
    /// does.
    pub fn new(isa: Isa, desc: ConvDesc, weight_oihw: &[f32]) -> ConvBackwardData {
        desc.check();
        let blocks = select(Op::backward_data(&desc), desc.ic, isa);
        ConvBackwardData::with_blocks(isa, desc, blocks, weight_oihw)
    }

    /// [`ConvBackwardData::new`] with a given row of the table.
    pub fn with_kernel(kernel: &'static Kernel, desc: ConvDesc, weight_oihw: &[f32]) -> ConvBackwardData {
        desc.check();
        assert!(kernel.op == Op::backward_data(&desc), "{kernel:?} does not compute {desc:?}");
        ConvBackwardData::with_blocks(kernel.isa, desc, forced(kernel, desc.ic), weight_oihw)
    }

    fn with_blocks(isa: Isa, desc: ConvDesc, blocks: Vec<Block>, weight: &[f32]) -> ConvBackwardData {
        let op = Op::backward_data(&desc);
        let inner = TapConv::new(isa.prove(), op, desc.oc, desc.ic, 1, &axis(&desc), blocks);
        let mut conv = ConvBackwardData { desc, inner };
        conv.repack(weight);
        conv
    }

    /// Replaces the weights. Does not allocate.
    pub fn repack(&mut self, weight_oihw: &[f32]) {
        let desc = self.desc;
        assert!(
            weight_oihw.len() == desc.weight_len(),
            "{desc:?} needs {} weights, {} given",
            desc.weight_len(),
            weight_oihw.len()
        );
        self.inner.pack(weight_oihw, desc.taps(), desc.ic * desc.taps(), desc.kernel);
    }

    /// The descriptor of the forward convolution.
    pub fn desc(&self) -> ConvDesc {
        self.desc
    }

    /// The table row of the first block.
    pub fn kernel_name(&self) -> String {
        self.inner.kernel_name()
    }

    /// `dx (+)= conv^T(dy)`; `src_shape` is the shape of dx.
    pub fn run(&self, pool: &Pool, dy: &[f32], src_shape: Shape, dx: &mut [f32], accumulate: bool) {
        let (h, w) = self.desc.out(src_shape.h, src_shape.w);
        let dy_shape = Shape { n: src_shape.n, c: self.desc.oc, h, w };
        let residual = if accumulate { Residual::InPlace } else { Residual::None };
        self.inner.run(pool, dy, dy_shape, dx, src_shape, residual, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_as_drawn_above() {
        let desc = |kernel, stride| ConvDesc { ic: 1, oc: 1, kernel, stride, padding: kernel / 2 };
        assert_eq!(axis(&desc(3, 1)), [vec![(0, 2), (1, 1), (2, 0)]]);
        assert_eq!(axis(&desc(3, 2)), [vec![(1, 1)], vec![(0, 2), (2, 1)]]);
        assert_eq!(axis(&desc(1, 1)), [vec![(0, 1)]]);
        assert_eq!(axis(&desc(1, 2)), [vec![(0, 1)], vec![]]);
    }
}
