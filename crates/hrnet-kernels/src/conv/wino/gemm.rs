//! The products of Winograd: for one position, `m[tile][oc] = sum over ic of v[tile][ic] * u[ic][oc]`.
//!
//! Registers as in the direct kernel: AVX-512 12 tiles x 2 vectors (24 accumulators, 2 weights, 1 broadcast; 14 loads
//! per 24 multiply-adds). `v` is stored in cells of 16 channels, so the broadcasts of 16 consecutive channels come from
//! the same cache line of each tile.

use crate::LANES;
use crate::simd::{INTO_L2, Simd};

/// Floats by which the weights are fetched into L2 ahead of use: W32 at batch 1 on two threads takes 34.2 instead of
/// 34.8 ms (best), 35.8 instead of 39 (median). Into L1, or by 512 to 8192 floats, gave less.
const AHEAD: usize = 16384;

/// One position, one block of output channels, all tiles of a strip.
#[derive(Clone, Copy)]
pub(super) struct Product {
    /// `[ic][OCV * 16]`.
    pub(super) u: *const f32,
    /// `[channel block][tile][16]`.
    pub(super) v: *const f32,
    /// Floats between channel blocks of `v`.
    pub(super) v_block: usize,
    /// `[tile][OCV * 16]`.
    pub(super) m: *mut f32,
    pub(super) channels: usize,
    pub(super) tiles: usize,
}

/// # Safety
/// The addresses of `p` are valid for its sizes; `1 <= MAX <= 14`.
#[inline(always)]
pub(super) unsafe fn product<S: Simd, const OCV: usize, const MAX: usize>(s: S, p: &Product) {
    // Nearly equal groups: 14 tiles are 7 + 7, not 12 + 2.
    let groups = p.tiles.div_ceil(MAX);
    let (size, longer) = (p.tiles / groups, p.tiles % groups);
    let mut at = 0;
    for group in 0..groups {
        let tiles = size + usize::from(group < longer);
        let part =
            Product { v: p.v.wrapping_add(at * LANES), m: p.m.wrapping_add(at * OCV * LANES), tiles, ..*p };
        // SAFETY: a part of the tiles of `p`.
        unsafe { by_tiles::<S, OCV, MAX>(s, &part) };
        at += tiles;
    }
}

/// # Safety
/// As for [`product`], at most `MAX` tiles.
#[inline(always)]
unsafe fn by_tiles<S: Simd, const OCV: usize, const MAX: usize>(s: S, p: &Product) {
    macro_rules! instances {
        ($($tiles:literal)*) => {
            match p.tiles {
                // The guard drops the instances above MAX at compile time.
                // SAFETY: `p` has that many tiles.
                $($tiles if $tiles <= MAX => unsafe { block::<S, OCV, $tiles>(s, p) },)*
                _ => unreachable!("{} tiles in a block of {MAX}", p.tiles),
            }
        };
    }
    instances!(1 2 3 4 5 6 7 8 9 10 11 12);
}

/// # Safety
/// As for [`product`], exactly `T` tiles.
#[inline(always)]
unsafe fn block<S: Simd, const OCV: usize, const T: usize>(s: S, p: &Product) {
    let mut acc = [[s.splat(0.0); OCV]; T];
    let (mut u, mut v, mut left) = (p.u, p.v, p.channels);
    while left > 0 {
        let channels = left.min(LANES);
        for channel in 0..channels {
            let mut w = [s.splat(0.0); OCV];
            for (vector, w) in w.iter_mut().enumerate() {
                // SAFETY: `u` holds OCV * 16 floats per channel.
                *w = unsafe { s.load(u.wrapping_add(vector * LANES)) };
                s.prefetch::<INTO_L2>(u.wrapping_add(vector * LANES + AHEAD));
            }
            for (tile, acc) in acc.iter_mut().enumerate() {
                // SAFETY: channel of a tile of the strip.
                let value = unsafe { *v.wrapping_add(tile * LANES + channel) };
                let value = s.splat(value);
                for (acc, &w) in acc.iter_mut().zip(&w) {
                    *acc = s.mul_add(value, w, *acc);
                }
            }
            u = u.wrapping_add(OCV * LANES);
        }
        v = v.wrapping_add(p.v_block);
        left -= channels;
    }
    for (tile, acc) in acc.iter().enumerate() {
        for (vector, &value) in acc.iter().enumerate() {
            // SAFETY: `m` holds OCV * 16 floats per tile.
            unsafe { s.store(p.m.wrapping_add((tile * OCV + vector) * LANES), value) };
        }
    }
}
