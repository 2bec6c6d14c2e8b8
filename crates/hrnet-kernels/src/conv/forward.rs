//! Forward convolution: one type over the algorithms.

use super::wino::{WeightView, WinoConv};
use super::{Call, Epilogue, TapConv};
use crate::planar::{PlanarCall, PlanarConv};
use crate::select::{Algorithm, Block, algorithm, forced, select};
use crate::table::{Kernel, Op};
use crate::{ConvCase, ConvDesc, Isa, Pool, Shape};

/// A convolution with packed weights.
pub struct Conv {
    desc: ConvDesc,
    body: Body,
}

/// The algorithm with its packed weights.
enum Body {
    Direct(TapConv),
    Wino(WinoConv),
    Planar(PlanarConv),
}

impl Conv {
    /// The direct algorithm, whatever the map: packs `weight` (`[oc][ic][k][k]`). Panics if the processor lacks
    /// `isa`, if there is no kernel for `desc`, or if a length is wrong.
    pub fn new(isa: Isa, desc: ConvDesc, weight_oihw: &[f32], bias: Option<&[f32]>) -> Conv {
        desc.check();
        let blocks = select(Op::forward(&desc), desc.oc, isa);
        Conv::direct(isa, desc, blocks, weight_oihw, bias)
    }

    /// The algorithm that [`algorithm`] chooses for this map size. Panics as [`Conv::new`] does.
    pub fn for_map(isa: Isa, case: ConvCase, weight_oihw: &[f32], bias: Option<&[f32]>) -> Conv {
        Conv::with_algorithm(isa, case, algorithm(&case, isa), weight_oihw, bias)
    }

    /// A given algorithm. Panics as [`Conv::new`] does, and if the algorithm cannot compute `case`.
    pub fn with_algorithm(
        isa: Isa,
        case: ConvCase,
        algorithm: Algorithm,
        weight_oihw: &[f32],
        bias: Option<&[f32]>,
    ) -> Conv {
        let desc = case.desc;
        let m = match algorithm {
            Algorithm::Direct => return Conv::new(isa, desc, weight_oihw, bias),
            Algorithm::Wino2 => 2,
            Algorithm::Wino3 => 3,
            Algorithm::Wino4 => 4,
            Algorithm::Planar4 => {
                let inner = PlanarConv::new(isa, desc, weight_oihw, bias);
                return Conv { desc, body: Body::Planar(inner) };
            }
        };
        Conv::winograd(isa, m, desc, select(Op::Winograd { m }, desc.oc, isa), weight_oihw, bias)
    }

    /// [`Conv::new`] with a given row of the table; output channels left over by its tile use other rows.
    pub fn with_kernel(
        kernel: &'static Kernel,
        desc: ConvDesc,
        weight_oihw: &[f32],
        bias: Option<&[f32]>,
    ) -> Conv {
        desc.check();
        if let Op::Winograd { m } = kernel.op {
            return Conv::winograd(kernel.isa, m, desc, forced(kernel, desc.oc), weight_oihw, bias);
        }
        assert!(kernel.op == Op::forward(&desc), "{kernel:?} does not compute {desc:?}");
        Conv::direct(kernel.isa, desc, forced(kernel, desc.oc), weight_oihw, bias)
    }

    fn direct(isa: Isa, desc: ConvDesc, blocks: Vec<Block>, weight: &[f32], bias: Option<&[f32]>) -> Conv {
        // Output y reads bordered rows y * stride + ky - padding + 1: at least 0, and at most h + 1 by the
        // output size.
        let axis = vec![(0..desc.kernel).map(|k| (k, k + 1 - desc.padding)).collect()];
        let inner =
            TapConv::new(isa.prove(), Op::forward(&desc), desc.ic, desc.oc, desc.stride, &axis, blocks);
        let mut conv = Conv { desc, body: Body::Direct(inner) };
        conv.repack(weight, bias);
        conv
    }

    fn winograd(
        isa: Isa,
        m: usize,
        desc: ConvDesc,
        blocks: Vec<Block>,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Conv {
        let inner = WinoConv::new(isa.prove(), m, &desc, blocks);
        let mut conv = Conv { desc, body: Body::Wino(inner) };
        conv.repack(weight, bias);
        conv
    }

    /// Replaces the weights. Does not allocate.
    pub fn repack(&mut self, weight_oihw: &[f32], bias: Option<&[f32]>) {
        self.pack(None, weight_oihw, bias);
    }

    /// [`Conv::repack`] on several threads. Winograd transforms in f32, where `repack` does in f64.
    pub fn repack_on(&mut self, pool: &Pool, weight_oihw: &[f32], bias: Option<&[f32]>) {
        self.pack(Some(pool), weight_oihw, bias);
    }

    fn pack(&mut self, pool: Option<&Pool>, weight_oihw: &[f32], bias: Option<&[f32]>) {
        let desc = self.desc;
        desc.check_weight(weight_oihw.len());
        let (output_step, channel_step) = (desc.ic * desc.taps(), desc.taps());
        match &mut self.body {
            Body::Direct(taps) => {
                taps.pack(pool, weight_oihw, output_step, channel_step, desc.kernel);
                taps.set_bias(bias);
            }
            Body::Wino(wino) => {
                wino.pack(pool, weight_oihw, WeightView { output_step, channel_step, turned: false });
                wino.set_bias(bias);
            }
            Body::Planar(planar) => planar.repack(weight_oihw, bias),
        }
    }

    /// The descriptor.
    pub fn desc(&self) -> ConvDesc {
        self.desc
    }

    /// The algorithm it was packed for.
    pub fn algorithm(&self) -> Algorithm {
        match &self.body {
            Body::Direct(_) => Algorithm::Direct,
            Body::Wino(wino) => wino.algorithm(),
            Body::Planar(_) => Algorithm::Planar4,
        }
    }

    /// The table row of the first output block.
    pub fn kernel_name(&self) -> String {
        match &self.body {
            Body::Direct(taps) => taps.kernel_name(),
            Body::Wino(wino) => wino.kernel_name(),
            Body::Planar(planar) => planar.kernel_name(),
        }
    }

    /// Floats of packed weights.
    pub fn packed_len(&self) -> usize {
        match &self.body {
            Body::Direct(taps) => taps.packed.len(),
            Body::Wino(wino) => wino.packed_len(),
            Body::Planar(planar) => planar.packed_len(),
        }
    }

    /// The shape of the result.
    pub fn dst_shape(&self, src: Shape) -> Shape {
        let (h, w) = self.desc.out(src.h, src.w);
        Shape { n: src.n, c: self.desc.oc, h, w }
    }

    /// Into how many tasks the work on a source of this shape is cut.
    pub(crate) fn tasks(&self, src: Shape, threads: usize) -> usize {
        match &self.body {
            Body::Direct(taps) => taps.tasks(src, threads),
            Body::Wino(wino) => wino.tasks(src, threads),
            Body::Planar(planar) => planar.tasks(src.into(), threads),
        }
    }

    /// About how long it takes, in multiply-adds.
    pub(crate) fn cost(&self, src: Shape) -> u64 {
        match &self.body {
            Body::Direct(_) => src.n as u64 * self.desc.macs(src.h, src.w),
            Body::Wino(wino) => wino.cost(src),
            Body::Planar(planar) => planar.cost(src.into()),
        }
    }

    /// Computes one task.
    ///
    /// # Safety
    /// As for [`TapConv::task`].
    pub(crate) unsafe fn task(&self, index: usize, tasks: usize, call: &Call, scratch: &mut [f32]) {
        match &self.body {
            // SAFETY: promised by the caller.
            Body::Direct(taps) => unsafe { taps.task(index, tasks, call, scratch) },
            // SAFETY: promised by the caller.
            Body::Wino(wino) => unsafe { wino.task(index, tasks, call, scratch) },
            Body::Planar(planar) => {
                let call = PlanarCall {
                    src: call.src,
                    src_shape: call.src_shape.into(),
                    dst: call.dst,
                    residual: call.residual,
                    relu: call.relu,
                };
                // SAFETY: promised by the caller.
                unsafe { planar.task(index, tasks, &call, scratch) }
            }
        }
    }

    /// `dst = act(conv(src) + bias + residual)`; dst has [`ConvDesc::out`] pixels. All maps have the layout of the algorithm.
    pub fn run(&self, pool: &Pool, src: &[f32], src_shape: Shape, dst: &mut [f32], epilogue: Epilogue<'_>) {
        let desc = self.desc;
        assert!(src_shape.c == desc.ic, "packed for {desc:?}, src {src_shape:?}");
        let dst_shape = self.dst_shape(src_shape);
        if let Body::Planar(planar) = &self.body {
            return planar.run(pool, src, src_shape.into(), dst, epilogue);
        }
        let call = Call::new(src, src_shape, dst, dst_shape, epilogue.residual, epilogue.relu);
        let tasks = self.tasks(src_shape, pool.threads());
        pool.run_scratch(tasks, &|index, scratch| {
            // SAFETY: the call was checked, its shapes are of this convolution, every index comes once, and the
            // buffers are borrowed until `run_scratch` returns.
            unsafe { self.task(index, tasks, &call, scratch) };
        });
    }
}
