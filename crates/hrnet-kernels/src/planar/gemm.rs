//! The small products: `M[o][tile][position] = sum_c U[position][c][o] * V[c][tile][position]`.
//!
//! Vectors hold tiles, weights are broadcast. Registers, AVX-512 9 x 3: 27 accumulators, 3 vectors of V, 1
//! broadcast; 12 loads per 27 multiply-adds. AVX2 6 x 1 (a vector is two registers): 12, 2, 1. One chain of
//! multiply-adds per output, in channel order.

use super::lanes::Lanes;
use super::points::POSITIONS;
use crate::LANES;
use crate::simd::INTO_L2;

/// Floats of the positions of one vector of tiles of one channel: a cell of V or M.
pub(crate) const CELL: usize = POSITIONS * LANES;

/// Floats by which the weights are fetched into L2 ahead of use.
const AHEAD: usize = 16 << 10;

/// M of one block.
///
/// # Safety
/// `u` holds `POSITIONS * channels * OC` floats; `v` holds `channels * NV` times [`CELL`]; `m`, writable, holds
/// `OC * NV` times [`CELL`].
#[inline(always)]
pub(crate) unsafe fn products<S: Lanes, const OC: usize, const NV: usize>(
    s: S,
    channels: usize,
    u: *const f32,
    v: *const f32,
    m: *mut f32,
) {
    for position in 0..POSITIONS {
        let u = u.wrapping_add(position * channels * OC);
        let v = v.wrapping_add(position * LANES);
        let m = m.wrapping_add(position * LANES);
        let mut acc = [[s.splat(0.0); NV]; OC];
        for c in 0..channels {
            let mut tiles = [s.splat(0.0); NV];
            for k in 0..NV {
                // SAFETY: row c of this position.
                tiles[k] = unsafe { s.load(v.wrapping_add((c * NV + k) * CELL)) };
            }
            s.prefetch::<INTO_L2>(u.wrapping_add(c * OC + AHEAD));
            for o in 0..OC {
                // SAFETY: weight (c, o) of this position.
                let weight = unsafe { *u.wrapping_add(c * OC + o) };
                let weight = s.splat(weight);
                for k in 0..NV {
                    acc[o][k] = s.mul_add(weight, tiles[k], acc[o][k]);
                }
            }
        }
        for o in 0..OC {
            for k in 0..NV {
                // SAFETY: row o of this position.
                unsafe { s.store(m.wrapping_add((o * NV + k) * CELL), acc[o][k]) };
            }
        }
    }
}
