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
//!
//! At stride 1 a 3x3 may go through Winograd: the convolution with turned weights, outputs and channels exchanged.

use super::wino::{WeightView, WinoConv};
use super::{AxisPhases, Call, Residual, TapConv};
use crate::select::{Algorithm, Block, backward_algorithm, forced, select};
use crate::table::{Kernel, Op};
use crate::{ConvCase, ConvDesc, Isa, Pool, Shape};

/// A convolution's transpose with packed weights.
pub struct ConvBackwardData {
    desc: ConvDesc,
    body: Body,
}

enum Body {
    Direct(TapConv),
    Wino(WinoConv),
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

    /// The algorithm that [`backward_algorithm`] chooses for this map size. Panics as [`crate::Conv::new`] does.
    pub fn for_map(isa: Isa, case: ConvCase, weight_oihw: &[f32]) -> ConvBackwardData {
        ConvBackwardData::with_algorithm(isa, case.desc, backward_algorithm(&case, isa), weight_oihw)
    }

    /// A given algorithm: direct, or Winograd F(2x2) or F(4x4) for 3x3 at stride 1. Panics as [`crate::Conv::new`] does, and
    /// if the algorithm cannot compute `desc`.
    pub fn with_algorithm(
        isa: Isa,
        desc: ConvDesc,
        algorithm: Algorithm,
        weight_oihw: &[f32],
    ) -> ConvBackwardData {
        let m = match algorithm {
            Algorithm::Direct => return ConvBackwardData::new(isa, desc, weight_oihw),
            Algorithm::Wino2 => 2,
            Algorithm::Wino4 => 4,
            Algorithm::Wino3 | Algorithm::Planar4 => panic!("no backward {algorithm:?} for {desc:?}"),
        };
        let blocks = select(Op::Winograd { m }, desc.ic, isa);
        ConvBackwardData::winograd(isa, m, desc, blocks, weight_oihw)
    }

    /// [`ConvBackwardData::new`] with a given row of the table.
    pub fn with_kernel(kernel: &'static Kernel, desc: ConvDesc, weight_oihw: &[f32]) -> ConvBackwardData {
        desc.check();
        let blocks = forced(kernel, desc.ic);
        if let Op::Winograd { m } = kernel.op {
            return ConvBackwardData::winograd(kernel.isa, m, desc, blocks, weight_oihw);
        }
        assert!(kernel.op == Op::backward_data(&desc), "{kernel:?} does not compute {desc:?}");
        ConvBackwardData::with_blocks(kernel.isa, desc, blocks, weight_oihw)
    }

    fn with_blocks(isa: Isa, desc: ConvDesc, blocks: Vec<Block>, weight: &[f32]) -> ConvBackwardData {
        let op = Op::backward_data(&desc);
        let inner = TapConv::new(isa.prove(), op, desc.oc, desc.ic, 1, &axis(&desc), blocks);
        let mut conv = ConvBackwardData { desc, body: Body::Direct(inner) };
        conv.repack(weight);
        conv
    }

    fn winograd(isa: Isa, m: usize, desc: ConvDesc, blocks: Vec<Block>, weight: &[f32]) -> ConvBackwardData {
        desc.check();
        assert!(m != 3 && desc.stride == 1, "no backward F({m}x{m}) for {desc:?}");
        let turned = ConvDesc { ic: desc.oc, oc: desc.ic, ..desc };
        let inner = WinoConv::new(isa.prove(), m, &turned, blocks);
        let mut conv = ConvBackwardData { desc, body: Body::Wino(inner) };
        conv.repack(weight);
        conv
    }

    /// Replaces the weights. Does not allocate.
    pub fn repack(&mut self, weight_oihw: &[f32]) {
        self.pack(None, weight_oihw);
    }

    /// [`ConvBackwardData::repack`] on several threads. Winograd transforms in f32, where `repack` does in f64.
    pub fn repack_on(&mut self, pool: &Pool, weight_oihw: &[f32]) {
        self.pack(Some(pool), weight_oihw);
    }

    fn pack(&mut self, pool: Option<&Pool>, weight_oihw: &[f32]) {
        let desc = self.desc;
        assert!(
            weight_oihw.len() == desc.weight_len(),
            "{desc:?} needs {} weights, {} given",
            desc.weight_len(),
            weight_oihw.len()
        );
        let (output_step, channel_step) = (desc.taps(), desc.ic * desc.taps());
        match &mut self.body {
            Body::Direct(taps) => taps.pack(pool, weight_oihw, output_step, channel_step, desc.kernel),
            Body::Wino(wino) => {
                wino.pack(pool, weight_oihw, WeightView { output_step, channel_step, turned: true });
            }
        }
    }

    /// The descriptor of the forward convolution.
    pub fn desc(&self) -> ConvDesc {
        self.desc
    }

    /// The algorithm it was packed for.
    pub fn algorithm(&self) -> Algorithm {
        match &self.body {
            Body::Direct(_) => Algorithm::Direct,
            Body::Wino(wino) => wino.algorithm(),
        }
    }

    /// The table row of the first block.
    pub fn kernel_name(&self) -> String {
        match &self.body {
            Body::Direct(taps) => taps.kernel_name(),
            Body::Wino(wino) => wino.kernel_name(),
        }
    }

    /// `dx (+)= conv^T(dy)`; `src_shape` is the shape of dx.
    pub fn run(&self, pool: &Pool, dy: &[f32], src_shape: Shape, dx: &mut [f32], accumulate: bool) {
        let desc = self.desc;
        let (h, w) = desc.out(src_shape.h, src_shape.w);
        let dy_shape = Shape { n: src_shape.n, c: desc.oc, h, w };
        let residual = if accumulate { Residual::InPlace } else { Residual::None };
        let wino = match &self.body {
            Body::Direct(taps) => return taps.run(pool, dy, dy_shape, dx, src_shape, residual, false),
            Body::Wino(wino) => wino,
        };
        assert!(src_shape.c == desc.ic, "backward of {desc:?}, dx {src_shape:?}");
        let call = Call::new(dy, dy_shape, dx, src_shape, residual, false);
        let tasks = wino.tasks(dy_shape, pool.threads());
        pool.run_scratch(tasks, &|index, scratch| {
            // SAFETY: the call was checked, its shapes are of this convolution, every index comes once, and the
            // buffers are borrowed until `run_scratch` returns.
            unsafe { wino.task(index, tasks, &call, scratch) };
        });
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
