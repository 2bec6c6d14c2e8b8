//! Which kernel serves which convolution: a pure function of operation, channels and level.
//!
//! Never of batch size, thread count or position in the batch. The map size does not enter either: rows are
//! cut into nearly equal pixel blocks whatever their width, and all tiles of a level give the same bits.

use crate::conv::wino::WinoConv;
use crate::table::{Kernel, Op, kernels};
use crate::{ConvCase, Isa, LANES};

/// How a forward convolution is computed. Algorithms differ in their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Multiply-adds over the kernel positions.
    Direct,
    /// Winograd F(2x2, 3x3).
    Wino2,
    /// Winograd F(4x4, 3x3).
    Wino4,
}

/// The algorithm for a convolution on a map of this size: a function of the case and the level alone, never of batch,
/// threads or batch position.
pub fn algorithm(case: &ConvCase, _isa: Isa) -> Algorithm {
    let desc = &case.desc;
    if (desc.kernel, desc.stride) != (3, 1) || desc.ic < 8 || desc.oc < 8 {
        return Algorithm::Direct;
    }
    let tiles4 = case.ih.div_ceil(4) * case.iw.div_ceil(4);
    if tiles4 >= 24 && WinoConv::fits(4, desc) {
        Algorithm::Wino4
    } else if WinoConv::fits(2, desc) {
        Algorithm::Wino2
    } else {
        Algorithm::Direct
    }
}

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
