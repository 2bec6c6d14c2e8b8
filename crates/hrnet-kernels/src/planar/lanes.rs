//! What the planar kernels need beyond [`Simd`]: bit masks, and the transposition between cells of channels
//! and vectors of tiles.
//!
//! ```text
//! cells      16 addresses of 4 channels each        vectors    4 vectors of 16 cells, one per channel
//!   0: a0 a1 a2 a3                                     a0 b0 c0 d0 ...
//!   1: b0 b1 b2 b3                            <->      a1 b1 c1 d1 ...
//!   2: c0 c1 c2 c3                                     a2 b2 c2 d2 ...
//!   ...                                                a3 b3 c3 d3 ...
//! ```
//!
//! Every 128-bit part q of register m holds cell 4q + m; a 4x4 transposition inside the parts does the rest,
//! and is its own inverse: 8 shuffles per 64 values.

use crate::isa::Proven;
use crate::simd::{Portable, Simd};
use crate::{Isa, LANES};

/// Channels that are transposed together.
pub(crate) const QUAD: usize = 4;

/// All bits set: keeps a lane in [`Lanes::and`].
pub(crate) const KEEP: f32 = f32::from_bits(u32::MAX);

/// Offsets of 16 cells, in floats.
pub(crate) type Offsets = [usize; LANES];

/// A computation with one body for every level. `run` must be `#[inline(always)]`.
pub(crate) trait Job {
    type Result;
    fn run<S: Lanes>(self, s: S) -> Self::Result;
}

/// Runs the job compiled for a level.
pub(crate) fn on_level<J: Job>(proven: Proven, job: J) -> J::Result {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2<J: Job>(job: J) -> J::Result {
        // SAFETY: this function runs only where the level is there.
        job.run(unsafe { crate::simd::Avx2::assume() })
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
    fn avx512<J: Job>(job: J) -> J::Result {
        // SAFETY: this function runs only where the level is there.
        job.run(unsafe { crate::simd::Avx512::assume() })
    }

    match proven.isa() {
        // SAFETY: the level was proven on this processor.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { avx512(job) },
        // SAFETY: the level was proven on this processor.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { avx2(job) },
        _ => job.run(Portable),
    }
}

pub(crate) trait Lanes: Simd {
    /// The register tile of the products: output channels, at most 9.
    const BLOCK: usize;

    /// The register tile of the products: vectors of tiles, at most 3.
    const VECTORS: usize;

    /// Bitwise and.
    fn and(self, a: Self::V, mask: Self::V) -> Self::V;

    /// Vector k = float k of every cell.
    ///
    /// # Safety
    /// Four floats from `base + offset` on are readable, for every offset.
    unsafe fn load_quads(self, base: *const f32, offsets: &Offsets) -> [Self::V; QUAD];

    /// The inverse of [`Lanes::load_quads`].
    ///
    /// # Safety
    /// Four floats from `base + offset` on are writable, for every offset.
    unsafe fn store_quads(self, base: *mut f32, offsets: &Offsets, v: [Self::V; QUAD]);
}

impl Lanes for Portable {
    const BLOCK: usize = 3;
    const VECTORS: usize = 1;

    #[inline(always)]
    fn and(self, mut a: Self::V, mask: Self::V) -> Self::V {
        for lane in 0..LANES {
            a[lane] = f32::from_bits(a[lane].to_bits() & mask[lane].to_bits());
        }
        a
    }

    #[inline(always)]
    unsafe fn load_quads(self, base: *const f32, offsets: &Offsets) -> [Self::V; QUAD] {
        let mut v = [[0.0; LANES]; QUAD];
        for (lane, &offset) in offsets.iter().enumerate() {
            // SAFETY: promised by the caller.
            let cell = unsafe { base.wrapping_add(offset).cast::<[f32; QUAD]>().read() };
            for k in 0..QUAD {
                v[k][lane] = cell[k];
            }
        }
        v
    }

    #[inline(always)]
    unsafe fn store_quads(self, base: *mut f32, offsets: &Offsets, v: [Self::V; QUAD]) {
        for (lane, &offset) in offsets.iter().enumerate() {
            let cell: [f32; QUAD] = std::array::from_fn(|k| v[k][lane]);
            // SAFETY: promised by the caller.
            unsafe { base.wrapping_add(offset).cast::<[f32; QUAD]>().write(cell) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lanes, Offsets, QUAD};
    use crate::simd::{Avx2, Avx512};
    use std::arch::x86_64::*;

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn and256(a: [__m256; 2], mask: [__m256; 2]) -> [__m256; 2] {
        [_mm256_and_ps(a[0], mask[0]), _mm256_and_ps(a[1], mask[1])]
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn transpose256(m: [__m256; 4]) -> [__m256; 4] {
        let (low, high) = (_mm256_unpacklo_ps(m[0], m[1]), _mm256_unpackhi_ps(m[0], m[1]));
        let (low2, high2) = (_mm256_unpacklo_ps(m[2], m[3]), _mm256_unpackhi_ps(m[2], m[3]));
        [
            _mm256_shuffle_ps::<0b01_00_01_00>(low, low2),
            _mm256_shuffle_ps::<0b11_10_11_10>(low, low2),
            _mm256_shuffle_ps::<0b01_00_01_00>(high, high2),
            _mm256_shuffle_ps::<0b11_10_11_10>(high, high2),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn join256(parts: [__m128; 2]) -> __m256 {
        _mm256_set_m128(parts[1], parts[0])
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn split256(v: __m256) -> [__m128; 2] {
        [_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v)]
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn and512(a: __m512, mask: __m512) -> __m512 {
        _mm512_and_ps(a, mask)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn transpose512(m: [__m512; 4]) -> [__m512; 4] {
        let (low, high) = (_mm512_unpacklo_ps(m[0], m[1]), _mm512_unpackhi_ps(m[0], m[1]));
        let (low2, high2) = (_mm512_unpacklo_ps(m[2], m[3]), _mm512_unpackhi_ps(m[2], m[3]));
        [
            _mm512_shuffle_ps::<0b01_00_01_00>(low, low2),
            _mm512_shuffle_ps::<0b11_10_11_10>(low, low2),
            _mm512_shuffle_ps::<0b01_00_01_00>(high, high2),
            _mm512_shuffle_ps::<0b11_10_11_10>(high, high2),
        ]
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn join512(parts: [__m128; 4]) -> __m512 {
        let v = _mm512_castps128_ps512(parts[0]);
        let v = _mm512_insertf32x4::<1>(v, parts[1]);
        let v = _mm512_insertf32x4::<2>(v, parts[2]);
        _mm512_insertf32x4::<3>(v, parts[3])
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn split512(v: __m512) -> [__m128; 4] {
        [
            _mm512_castps512_ps128(v),
            _mm512_extractf32x4_ps::<1>(v),
            _mm512_extractf32x4_ps::<2>(v),
            _mm512_extractf32x4_ps::<3>(v),
        ]
    }

    /// # Safety
    /// Four floats are readable.
    #[inline(always)]
    unsafe fn load4(p: *const f32) -> __m128 {
        // SAFETY: promised by the caller; SSE is part of x86_64.
        unsafe { _mm_loadu_ps(p) }
    }

    /// # Safety
    /// Four floats are writable.
    #[inline(always)]
    unsafe fn store4(p: *mut f32, v: __m128) {
        // SAFETY: promised by the caller; SSE is part of x86_64.
        unsafe { _mm_storeu_ps(p, v) }
    }

    impl Lanes for Avx2 {
        const BLOCK: usize = 6;
        const VECTORS: usize = 1;

        #[inline(always)]
        fn and(self, a: Self::V, mask: Self::V) -> Self::V {
            // SAFETY: `self` proves AVX2.
            unsafe { and256(a, mask) }
        }

        #[inline(always)]
        unsafe fn load_quads(self, base: *const f32, offsets: &Offsets) -> [Self::V; QUAD] {
            let halves = [0, 8].map(|half| {
                let m = [0, 1, 2, 3].map(|m| {
                    let parts = [0, 4].map(|q| {
                        // SAFETY: promised by the caller.
                        unsafe { load4(base.wrapping_add(offsets[half + q + m])) }
                    });
                    // SAFETY: `self` proves AVX2.
                    unsafe { join256(parts) }
                });
                // SAFETY: `self` proves AVX2.
                unsafe { transpose256(m) }
            });
            [0, 1, 2, 3].map(|k| [halves[0][k], halves[1][k]])
        }

        #[inline(always)]
        unsafe fn store_quads(self, base: *mut f32, offsets: &Offsets, v: [Self::V; QUAD]) {
            for half in 0..2 {
                // SAFETY: `self` proves AVX2.
                let m = unsafe { transpose256(v.map(|v| v[half])) };
                for (k, &m) in m.iter().enumerate() {
                    // SAFETY: `self` proves AVX2.
                    let parts = unsafe { split256(m) };
                    for (q, &part) in parts.iter().enumerate() {
                        // SAFETY: promised by the caller.
                        unsafe { store4(base.wrapping_add(offsets[half * 8 + q * 4 + k]), part) };
                    }
                }
            }
        }
    }

    impl Lanes for Avx512 {
        const BLOCK: usize = 9;
        const VECTORS: usize = 3;

        #[inline(always)]
        fn and(self, a: Self::V, mask: Self::V) -> Self::V {
            // SAFETY: `self` proves AVX-512; the wrappers of this level enable DQ too (`Isa::Avx512`).
            unsafe { and512(a, mask) }
        }

        #[inline(always)]
        unsafe fn load_quads(self, base: *const f32, offsets: &Offsets) -> [Self::V; QUAD] {
            let m = [0, 1, 2, 3].map(|m| {
                let parts = [0, 4, 8, 12].map(|q| {
                    // SAFETY: promised by the caller.
                    unsafe { load4(base.wrapping_add(offsets[q + m])) }
                });
                // SAFETY: `self` proves AVX-512.
                unsafe { join512(parts) }
            });
            // SAFETY: `self` proves AVX-512.
            unsafe { transpose512(m) }
        }

        #[inline(always)]
        unsafe fn store_quads(self, base: *mut f32, offsets: &Offsets, v: [Self::V; QUAD]) {
            // SAFETY: `self` proves AVX-512.
            let m = unsafe { transpose512(v) };
            for (k, &m) in m.iter().enumerate() {
                // SAFETY: `self` proves AVX-512.
                let parts = unsafe { split512(m) };
                for (q, &part) in parts.iter().enumerate() {
                    // SAFETY: promised by the caller.
                    unsafe { store4(base.wrapping_add(offsets[q * 4 + k]), part) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<S: Lanes>(s: S) {
        let cells: Vec<f32> = (0..16 * 7).map(|i| i as f32).collect();
        let offsets: Offsets = std::array::from_fn(|lane| (lane * 5 % 16) * 7 + 2);
        // SAFETY: every offset is at most 15 * 7 + 2, of 112 floats.
        let v = unsafe { s.load_quads(cells.as_ptr(), &offsets) };
        for (k, &v) in v.iter().enumerate() {
            let mut lanes = [0.0; LANES];
            s.put(&mut lanes, v);
            assert_eq!(lanes, offsets.map(|offset| (offset + k) as f32));
        }
        let mut back = vec![0.0; cells.len()];
        // SAFETY: as above.
        unsafe { s.store_quads(back.as_mut_ptr(), &offsets, v) };
        for (i, &value) in back.iter().enumerate() {
            assert_eq!(value, if (2..6).contains(&(i % 7)) { i as f32 } else { 0.0 });
        }
        let mut lanes = [KEEP; LANES];
        lanes[5] = 0.0;
        let masked = s.and(s.splat(-3.5), s.get(&lanes));
        s.put(&mut lanes, masked);
        assert!(lanes.iter().enumerate().all(|(lane, &v)| v == if lane == 5 { 0.0 } else { -3.5 }));
    }

    #[test]
    fn quads_and_masks_on_every_level() {
        check(Portable);
        #[cfg(target_arch = "x86_64")]
        {
            if crate::Isa::detect() >= crate::Isa::Avx2 {
                // SAFETY: just detected.
                check(unsafe { crate::simd::Avx2::assume() });
            }
            if crate::Isa::detect() >= crate::Isa::Avx512 {
                // SAFETY: just detected.
                check(unsafe { crate::simd::Avx512::assume() });
            }
        }
    }
}
