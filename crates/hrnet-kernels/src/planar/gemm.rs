//! The 36 small products: `M[position][o][tile] = sum_c U[position][c][o] * V[position][c][tile]`.
//!
//! Vectors hold tiles, weights are broadcast. Registers, AVX-512 9 x 3: 27 accumulators, 3 vectors of V, 1
//! broadcast; 12 loads per 27 multiply-adds. AVX2 6 x 1 (a vector is two registers): 12, 2, 1. One chain of
//! multiply-adds per output, in channel order.

use super::lanes::Lanes;
use super::points::POSITIONS;
use crate::LANES;

/// Floats between the positions of V or M with `rows` rows of `vectors` vectors. The 16 extra floats keep the
/// 36 streams from meeting in one cache set.
pub(crate) fn pitch(rows: usize, vectors: usize) -> usize {
    (rows * vectors + 1) * LANES
}

/// # Safety
/// `u` holds `POSITIONS * channels * OC` floats; `v` and `m` hold [`POSITIONS`] times [`pitch`] of `channels`
/// and of `OC`, with `NV` vectors; `m` is writable.
#[inline(always)]
pub(crate) unsafe fn products<S: Lanes, const OC: usize, const NV: usize>(
    s: S,
    channels: usize,
    u: *const f32,
    v: *const f32,
    m: *mut f32,
) {
    let (v_pitch, m_pitch) = (pitch(channels, NV), pitch(OC, NV));
    for position in 0..POSITIONS {
        let u = u.wrapping_add(position * channels * OC);
        let v = v.wrapping_add(position * v_pitch);
        let m = m.wrapping_add(position * m_pitch);
        let mut acc = [[s.splat(0.0); NV]; OC];
        for c in 0..channels {
            let mut tiles = [s.splat(0.0); NV];
            for k in 0..NV {
                // SAFETY: row c of this position.
                tiles[k] = unsafe { s.load(v.wrapping_add((c * NV + k) * LANES)) };
            }
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
                unsafe { s.store(m.wrapping_add((o * NV + k) * LANES), acc[o][k]) };
            }
        }
    }
}
