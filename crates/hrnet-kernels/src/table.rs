//! Every convolution kernel is a row of one table: tests, benches, plan text and selection iterate the rows.
//!
//! A row's name is `op_dtype_tile_isa`, tile = pixels x output channels (weight gradient: input x output channels;
//! Winograd: tiles x output channels), as in `conv3x3s1_f32_12x32_avx512`. Suffixes of the operation: `bd` backward-data, `wg` weight
//! gradient.

use std::fmt;
use std::sync::LazyLock;

use crate::conv::grad_tile::{GradFn, GradStrip, grad};
use crate::conv::taps::{Strip, StripFn, strip};
use crate::conv::wino::{self, WinoFns};
use crate::simd::Portable;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::{ConvDesc, Isa, LANES};

/// What a kernel computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Convolution.
    Forward {
        /// Kernel size, 1 or 3.
        kernel: usize,
        /// Stride, 1 or 2.
        stride: usize,
    },
    /// Gradient with respect to the input.
    BackwardData {
        /// Kernel size, 1 or 3.
        kernel: usize,
        /// Stride, 1 or 2.
        stride: usize,
    },
    /// Gradient with respect to the weights.
    WeightGrad {
        /// Kernel size, 1 or 3.
        kernel: usize,
        /// Stride, 1 or 2.
        stride: usize,
    },
    /// Transposed convolution, kernel 4, stride 2, padding 1.
    Transpose,
    /// Convolution 3x3 by Winograd F(m x m, 3x3).
    Winograd {
        /// Output pixels of a tile, each way: 2 or 4 at stride 1, 3 at stride 2.
        m: usize,
    },
}

impl Op {
    /// All operations.
    pub fn all() -> Vec<Op> {
        let shapes = [(1, 1), (1, 2), (3, 1), (3, 2)];
        let mut ops: Vec<Op> = Vec::new();
        ops.extend(shapes.map(|(kernel, stride)| Op::Forward { kernel, stride }));
        ops.extend(shapes.map(|(kernel, stride)| Op::BackwardData { kernel, stride }));
        ops.extend(shapes.map(|(kernel, stride)| Op::WeightGrad { kernel, stride }));
        ops.push(Op::Transpose);
        ops.extend([2, 3, 4].map(|m| Op::Winograd { m }));
        ops
    }

    pub(crate) fn forward(desc: &ConvDesc) -> Op {
        Op::Forward { kernel: desc.kernel, stride: desc.stride }
    }

    pub(crate) fn backward_data(desc: &ConvDesc) -> Op {
        Op::BackwardData { kernel: desc.kernel, stride: desc.stride }
    }

    pub(crate) fn weight_grad(desc: &ConvDesc) -> Op {
        Op::WeightGrad { kernel: desc.kernel, stride: desc.stride }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Forward { kernel, stride } => write!(f, "conv{kernel}x{kernel}s{stride}"),
            Op::BackwardData { kernel, stride } => write!(f, "conv{kernel}x{kernel}s{stride}bd"),
            Op::WeightGrad { kernel, stride } => write!(f, "conv{kernel}x{kernel}s{stride}wg"),
            Op::Transpose => f.write_str("deconv4x4s2"),
            Op::Winograd { m: 3 } => f.write_str("wino3x3s2"),
            Op::Winograd { m } => write!(f, "wino{m}x{m}"),
        }
    }
}

/// The compiled body of a row.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    Taps(StripFn),
    Grad(GradFn),
    Wino(WinoFns),
}

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// What it computes.
    pub op: Op,
    /// The level it needs.
    pub isa: Isa,
    /// The other side of the register tile: pixels, or input channels for a weight gradient.
    pub depth: usize,
    /// Vectors of 16 output channels in the register tile.
    pub vectors: usize,
    pub(crate) body: Body,
}

impl Kernel {
    /// `op_dtype_tile_isa`.
    pub fn name(&self) -> String {
        format!("{}_f32_{}x{}_{}", self.op, self.depth, self.vectors * LANES, self.isa)
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// # Safety
/// Every address that the strip describes is valid.
unsafe fn strip_portable<const OCV: usize, const MAX: usize>(a: &Strip) {
    // SAFETY: promised by the caller.
    unsafe { strip::<_, OCV, MAX>(Portable, a) }
}

/// # Safety
/// The processor has AVX2 and FMA; every address that the strip describes is valid.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn strip_avx2<const OCV: usize, const MAX: usize>(a: &Strip) {
    // SAFETY: this function runs only where the level is there.
    let s = unsafe { Avx2::assume() };
    // SAFETY: promised by the caller.
    unsafe { strip::<_, OCV, MAX>(s, a) }
}

/// # Safety
/// The processor has AVX-512 F; every address that the strip describes is valid.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
unsafe fn strip_avx512<const OCV: usize, const MAX: usize>(a: &Strip) {
    // SAFETY: this function runs only where the level is there.
    let s = unsafe { Avx512::assume() };
    // SAFETY: promised by the caller.
    unsafe { strip::<_, OCV, MAX>(s, a) }
}

/// # Safety
/// Every address that the strip describes is valid.
unsafe fn grad_portable<const OCV: usize, const MAX: usize>(a: &GradStrip) {
    // SAFETY: promised by the caller.
    unsafe { grad::<_, OCV, MAX>(Portable, a) }
}

/// # Safety
/// The processor has AVX2 and FMA; every address that the strip describes is valid.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn grad_avx2<const OCV: usize, const MAX: usize>(a: &GradStrip) {
    // SAFETY: this function runs only where the level is there.
    let s = unsafe { Avx2::assume() };
    // SAFETY: promised by the caller.
    unsafe { grad::<_, OCV, MAX>(s, a) }
}

/// # Safety
/// The processor has AVX-512 F; every address that the strip describes is valid.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
unsafe fn grad_avx512<const OCV: usize, const MAX: usize>(a: &GradStrip) {
    // SAFETY: this function runs only where the level is there.
    let s = unsafe { Avx512::assume() };
    // SAFETY: promised by the caller.
    unsafe { grad::<_, OCV, MAX>(s, a) }
}

/// The bodies of Winograd `F(M x M, 3x3)` with windows of `N x N`, for one level.
macro_rules! winograd {
    ($name:ident, $(#[$meta:meta])*, |$s:ident| $full:expr, $half:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            /// # Safety
            /// The processor has the level; every address that the strip describes is valid.
            $(#[$meta])*
            unsafe fn input<const M: usize, const N: usize>(a: &wino::Strip) {
                let $s = $full;
                let half = $half;
                // SAFETY: promised by the caller.
                unsafe { wino::input::<_, M, N>(half, a) }
            }

            /// # Safety
            /// The processor has the level; every address that the strip and the weights describe is valid.
            $(#[$meta])*
            unsafe fn block<const M: usize, const N: usize, const OCV: usize, const MAX: usize>(
                a: &wino::Strip,
                b: &wino::Weights,
            ) {
                let $s = $full;
                let half = $half;
                // SAFETY: promised by the caller.
                unsafe { wino::block::<_, _, M, N, OCV, MAX>($s, half, a, b) }
            }

            /// # Safety
            /// The processor has the level; every address that the tiles describe is valid.
            $(#[$meta])*
            unsafe fn gradient<const M: usize, const N: usize>(a: &wino::GradTiles) {
                let $s = $full;
                let half = $half;
                // SAFETY: promised by the caller.
                unsafe { wino::gradient::<_, M, N>(half, a) }
            }

            pub(super) const fn fns<const M: usize, const N: usize, const OCV: usize, const MAX: usize>() -> Body {
                Body::Wino(WinoFns {
                    input: input::<M, N>,
                    block: block::<M, N, OCV, MAX>,
                    gradient: gradient::<M, N>,
                })
            }
        }
    };
}

winograd!(wino_portable, , |s| Portable, s);
#[cfg(target_arch = "x86_64")]
winograd!(
    wino_avx2,
    #[target_feature(enable = "avx2,fma")],
    // SAFETY: these functions run only where the level is there.
    |s| unsafe { Avx2::assume() },
    s.half()
);
#[cfg(target_arch = "x86_64")]
winograd!(
    wino_avx512,
    #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")],
    // SAFETY: these functions run only where the level is there.
    |s| unsafe { Avx512::assume() },
    s
);

/// A register tile: level, vectors, depth, body.
type Tile = (Isa, usize, usize, Body);

/// Register tiles of the direct kernel, best level first; within a level any order.
const TAPS: &[Tile] = &[
    #[cfg(target_arch = "x86_64")]
    (Isa::Avx512, 1, 12, Body::Taps(strip_avx512::<1, 12>)),
    #[cfg(target_arch = "x86_64")]
    (Isa::Avx512, 2, 12, Body::Taps(strip_avx512::<2, 12>)),
    #[cfg(target_arch = "x86_64")]
    (Isa::Avx512, 3, 8, Body::Taps(strip_avx512::<3, 8>)),
    #[cfg(target_arch = "x86_64")]
    (Isa::Avx2, 1, 6, Body::Taps(strip_avx2::<1, 6>)),
    (Isa::Portable, 1, 2, Body::Taps(strip_portable::<1, 2>)),
];

/// Register tiles of the weight gradient.
const GRADS: &[Tile] = &[
    #[cfg(target_arch = "x86_64")]
    (Isa::Avx512, 1, 16, Body::Grad(grad_avx512::<1, 16>)),
    #[cfg(target_arch = "x86_64")]
    (Isa::Avx512, 2, 8, Body::Grad(grad_avx512::<2, 8>)),
    #[cfg(target_arch = "x86_64")]
    (Isa::Avx512, 3, 8, Body::Grad(grad_avx512::<3, 8>)),
    #[cfg(target_arch = "x86_64")]
    (Isa::Avx2, 1, 6, Body::Grad(grad_avx2::<1, 6>)),
    (Isa::Portable, 1, 2, Body::Grad(grad_portable::<1, 2>)),
];

/// Register tiles of Winograd.
macro_rules! winograd_tiles {
    ($m:literal, $n:literal) => {
        &[
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, 1, 12, wino_avx512::fns::<$m, $n, 1, 12>()),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, 2, 12, wino_avx512::fns::<$m, $n, 2, 12>()),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, 3, 8, wino_avx512::fns::<$m, $n, 3, 8>()),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, 1, 6, wino_avx2::fns::<$m, $n, 1, 6>()),
            (Isa::Portable, 1, 2, wino_portable::fns::<$m, $n, 1, 2>()),
        ]
    };
}
const WINO2: &[Tile] = winograd_tiles!(2, 4);
const WINO3: &[Tile] = winograd_tiles!(3, 7);
const WINO4: &[Tile] = winograd_tiles!(4, 6);

static KERNELS: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    let rows = |op: Op| {
        let tiles = match op {
            Op::WeightGrad { .. } => GRADS,
            Op::Winograd { m: 2 } => WINO2,
            Op::Winograd { m: 3 } => WINO3,
            Op::Winograd { .. } => WINO4,
            _ => TAPS,
        };
        tiles.iter().map(move |&(isa, vectors, depth, body)| Kernel { op, isa, depth, vectors, body })
    };
    Op::all().into_iter().flat_map(rows).collect()
});

/// The table: every kernel of every level that was compiled in, available on this processor or not.
pub fn kernels() -> &'static [Kernel] {
    &KERNELS
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_follow_the_grammar() {
        let names: Vec<String> = kernels().iter().map(Kernel::name).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        for name in &names {
            assert_eq!(name.split('_').count(), 4, "{name}");
        }
        assert!(names.contains(&"conv3x3s1_f32_2x16_portable".to_string()));
        if cfg!(target_arch = "x86_64") {
            assert!(names.contains(&"conv3x3s1_f32_12x32_avx512".to_string()));
            assert!(names.contains(&"deconv4x4s2_f32_6x16_avx2".to_string()));
        }
    }
}
