//! Which kernel serves which convolution: a pure function of operation, channels and level.
//!
//! Never of batch size, thread count or position in the batch. The map size does not enter either: rows are
//! cut into nearly equal pixel blocks whatever their width, and all tiles of a level give the same bits.

use crate::conv::wino::WinoConv;
use crate::table::{Kernel, Op, kernels};
use crate::{ConvCase, ConvDesc, Isa, LANES, MapLayout, PlanarConv};

/// How a forward convolution is computed. Algorithms differ in their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Multiply-adds over the kernel positions.
    Direct,
    /// Winograd F(2x2, 3x3).
    Wino2,
    /// Winograd F(3x3, 3x3) at stride 2.
    Wino3,
    /// Winograd F(4x4, 3x3).
    Wino4,
    /// Winograd F(4x4, 3x3) with tiles as lanes, on [`MapLayout::Planar`] maps.
    Planar4,
}

impl Algorithm {
    /// The layout of source, addend and result.
    pub fn layout(self) -> MapLayout {
        if self == Algorithm::Planar4 { MapLayout::Planar } else { MapLayout::Blocked }
    }

    /// Floats of the packed weights of a convolution.
    pub fn packed_floats(self, desc: &ConvDesc) -> usize {
        let (positions, outputs) = match self {
            Algorithm::Direct => (desc.kernel * desc.kernel, desc.oc.next_multiple_of(LANES)),
            Algorithm::Wino2 => (16, desc.oc.next_multiple_of(LANES)),
            Algorithm::Wino3 => (49, desc.oc.next_multiple_of(LANES)),
            Algorithm::Wino4 => (36, desc.oc.next_multiple_of(LANES)),
            Algorithm::Planar4 => (36, desc.oc),
        };
        positions * desc.ic * outputs
    }
}

/// The algorithm for a convolution on a map of this size: a function of the case and the level alone, never of batch,
/// threads or batch position.
///
/// The transformed weights of Winograd are 1.8 (F2), 4 (F4) and 5.4 times (F3, stride 2) those of the layer, and a network
/// streams them from memory once per run. So each needs enough tiles to pay for them:
///
/// | rule | measured (Zen 4, one core, GFLOP/s of the direct algorithm: direct / F2 / F4 or F3) |
/// |---|---|
/// | F4 from 24 tiles on | 64 ch 64x48: 114 / 236 / 394; 32 ch 64x48: 117 / 213 / 344; 64 ch 32x24: 117 / 237 / 394 |
/// | F4 from 12 tiles on with at most 1 MiB of weights | 64 ch 14x14: 109 / 226 / 299; 72 ch 16x16: 103 / 206 / 342 |
/// | else F2 | 128 ch 16x12 in cache: 117 / 250 / 429, streamed: 110 / 210 / 288; 256 ch 8x6 streamed: 100 / 174 / 150 |
/// | F3 from 48 tiles on | 64 to 64 128x96: 100 / - / 150; 32 to 64 64x48: 117 / - / 155; 64 to 128 32x24: 118 / - / 156 |
/// | tiles as lanes instead of channels where F4 would leave more lanes empty | F4 with channels against tiles as lanes: 18 ch 64x64 128 / 211; 36 ch 32x32 219 / 285; 72 ch 16x16 342 / 359 |
///
/// F4 for more weights and few tiles is faster too when its weights are in a cache, but then W32 takes 2.8 times the
/// memory of its weights.
pub fn algorithm(case: &ConvCase, _isa: Isa) -> Algorithm {
    let desc = &case.desc;
    let (h, w) = desc.out(case.ih, case.iw);
    let tiles = |m: usize| h.div_ceil(m) * w.div_ceil(m);
    if desc.kernel != 3 || desc.ic < MIN_CHANNELS || desc.oc < MIN_CHANNELS {
        return Algorithm::Direct;
    }
    if desc.stride == 2 {
        let pays = tiles(3) >= 48 && WinoConv::fits(3, desc);
        return if pays { Algorithm::Wino3 } else { Algorithm::Direct };
    }
    let light = 36 * desc.ic * desc.oc <= LIGHT_FLOATS;
    if tiles(4) >= 24 || (tiles(4) >= 12 && light) {
        // Lanes that work, in percent.
        let share = |of: usize| 100 * of / of.next_multiple_of(LANES);
        let fuller = share(tiles(4)) > share(desc.oc) + 8;
        // A wide source costs more to convert than the lanes bring (256 to 18 channels 64x64 inside face W18: 178 and the conversions, against 187).
        if fuller && desc.ic <= 2 * desc.oc && PlanarConv::supports(desc, h, w) {
            return Algorithm::Planar4;
        }
        if WinoConv::fits(4, desc) {
            return Algorithm::Wino4;
        }
    }
    if WinoConv::fits(2, desc) { Algorithm::Wino2 } else { Algorithm::Direct }
}

/// The algorithm of the gradient with respect to the input, for the convolution of a training step: packed anew in every
/// step, on blocked maps. A function of the case and the level alone.
pub fn backward_algorithm(case: &ConvCase, isa: Isa) -> Algorithm {
    let desc = case.desc;
    if desc.stride == 2 {
        return Algorithm::Direct;
    }
    let turned = ConvDesc { ic: desc.oc, oc: desc.ic, ..desc };
    training_algorithm(&ConvCase { desc: turned, ..*case }, isa)
}

/// The algorithm of the forward convolution of a training step: packed anew in every step, on blocked maps. The weights are
/// in a cache, having just been packed, and serve a batch: F4 where it saves enough products. A function of the
/// case and the level alone.
///
/// | measured (Zen 4, one core, batch 8, GFLOP/s of the direct algorithm) | direct | F2 | F4 |
/// |---|---|---|---|
/// | 128 ch 16x12 | 115 | 246 | 358 |
/// | 256 ch 8x6 | 112 | 232 | 309 |
/// | 144 ch 8x8 | 114 | 250 | 435 |
pub fn training_algorithm(case: &ConvCase, isa: Isa) -> Algorithm {
    let desc = &case.desc;
    let wide = desc.ic >= MIN_CHANNELS && desc.oc >= MIN_CHANNELS;
    if desc.kernel != 3 || desc.stride != 1 || !wide {
        return match algorithm(case, isa) {
            Algorithm::Wino3 => Algorithm::Wino3,
            _ => Algorithm::Direct,
        };
    }
    let products = |m: usize| (m + 2) * (m + 2) * case.ih.div_ceil(m) * case.iw.div_ceil(m);
    if products(4) + PACKING <= products(2) && WinoConv::fits(4, desc) {
        Algorithm::Wino4
    } else if WinoConv::fits(2, desc) {
        Algorithm::Wino2
    } else {
        Algorithm::Direct
    }
}

/// What packing for F4 rather than for F2 costs, in products per image of a batch of 8: 256 channels of 8x6 take 2.9 ms with
/// F4 and 2.4 with F2, packing included.
const PACKING: usize = 100;

/// The algorithm of the gradient with respect to the weights: a function of the case and the level alone.
///
/// | measured (Zen 4, one core, batch 8, GFLOP/s of the direct algorithm) | direct | F2 | F4 or F3 |
/// |---|---|---|---|
/// | 32 ch 64x48 | 110 | 200 | 298 |
/// | 64 ch 32x24 | 113 | 164 | 278 |
/// | 256 ch 8x6 | 86 | 128 | 155 |
/// | 18 ch 64x64 | 62 | 97 | 129 |
/// | 64 to 64 ch 128x96, stride 2 | 93 | - | 62 |
pub fn weight_grad_algorithm(case: &ConvCase, _isa: Isa) -> Algorithm {
    let desc = &case.desc;
    if desc.kernel != 3 || desc.ic < MIN_CHANNELS || desc.oc < MIN_CHANNELS {
        return Algorithm::Direct;
    }
    if desc.stride == 2 { Algorithm::Direct } else { Algorithm::Wino4 }
}

/// Floats of transformed weights that stay in a cache.
const LIGHT_FLOATS: usize = 256 << 10;

/// Channels below which the transforms cost more than they save.
const MIN_CHANNELS: usize = 8;

/// A run of output vectors served by one kernel.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    /// First vector of 16 output channels.
    pub(crate) first: usize,
    /// The row; its `vectors` is the length of the run.
    pub(crate) kernel: &'static Kernel,
}

fn find(op: Op, isa: Isa, vectors: usize) -> Option<&'static Kernel> {
    kernels().iter().find(|k| k.op == op && k.isa == isa && k.vectors == vectors)
}

/// Cuts `oc` output channels into blocks. Pairs of vectors where there are any, and a triple at the end when
/// the number of vectors is odd: a lone vector has the most loads per multiply-add.
pub(crate) fn select(op: Op, oc: usize, isa: Isa) -> Vec<Block> {
    let vectors = oc.div_ceil(LANES);
    let mut blocks = Vec::new();
    let mut first = 0;
    while first < vectors {
        let want = match vectors - first {
            1 => 1,
            3 => 3,
            _ => 2,
        };
        let kernel = (1..=want).rev().find_map(|v| find(op, isa, v));
        let kernel = kernel.unwrap_or_else(|| panic!("no {op} kernel for level {isa}"));
        blocks.push(Block { first, kernel });
        first += kernel.vectors;
    }
    blocks
}

/// Blocks of `kernel` as far as they go; the rest by [`select`]. For tests and benches that want a given row.
pub(crate) fn forced(kernel: &'static Kernel, oc: usize) -> Vec<Block> {
    let vectors = oc.div_ceil(LANES);
    let whole = vectors / kernel.vectors;
    let mut blocks: Vec<Block> = (0..whole).map(|i| Block { first: i * kernel.vectors, kernel }).collect();
    let done = whole * kernel.vectors;
    let rest = select(kernel.op, (vectors - done) * LANES, kernel.isa);
    blocks.extend(rest.into_iter().map(|b| Block { first: b.first + done, ..b }));
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(oc: usize, isa: Isa) -> Vec<usize> {
        let op = Op::Forward { kernel: 3, stride: 1 };
        select(op, oc, isa).iter().map(|b| b.kernel.vectors).collect()
    }

    #[test]
    fn the_choice_as_a_table() {
        if cfg!(target_arch = "x86_64") {
            for (oc, blocks) in [
                (1, vec![1]),
                (16, vec![1]),
                (17, vec![2]),
                (32, vec![2]),
                (48, vec![3]),
                (64, vec![2, 2]),
                (72, vec![2, 3]),
                (96, vec![2, 2, 2]),
                (144, vec![2, 2, 2, 3]),
            ] {
                assert_eq!(cut(oc, Isa::Avx512), blocks, "{oc}");
            }
            assert_eq!(cut(48, Isa::Avx2), vec![1, 1, 1]);
        }
        assert_eq!(cut(33, Isa::Portable), vec![1, 1, 1]);
    }

    #[test]
    fn packed_floats_are_those_of_the_packed_convolution() {
        for (ic, oc, kernel, stride, algorithm) in [
            (20, 33, 1, 1, Algorithm::Direct),
            (9, 18, 3, 2, Algorithm::Direct),
            (17, 33, 3, 1, Algorithm::Wino2),
            (17, 33, 3, 2, Algorithm::Wino3),
            (17, 33, 3, 1, Algorithm::Wino4),
            (18, 18, 3, 1, Algorithm::Planar4),
        ] {
            let desc = ConvDesc { ic, oc, kernel, stride, padding: kernel / 2 };
            let case = ConvCase { desc, ih: 32, iw: 32 };
            let weight = vec![0.5; oc * ic * kernel * kernel];
            let conv = crate::Conv::with_algorithm(Isa::detect(), case, algorithm, &weight, None);
            assert_eq!(conv.packed_len(), algorithm.packed_floats(&desc), "{algorithm:?} {desc:?}");
        }
    }

    #[test]
    fn blocks_cover_every_vector_once() {
        for kernel in kernels() {
            for oc in [1, 16, 17, 33, 64, 80, 96, 112, 256] {
                for blocks in [select(kernel.op, oc, kernel.isa), forced(kernel, oc)] {
                    let mut next = 0;
                    for block in &blocks {
                        assert_eq!(block.first, next);
                        next += block.kernel.vectors;
                    }
                    assert_eq!(next, oc.div_ceil(LANES), "{kernel:?} oc {oc}");
                }
            }
        }
    }
}
