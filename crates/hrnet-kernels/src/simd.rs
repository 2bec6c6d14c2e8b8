//! Sixteen logical f32 lanes at three levels: `[f32; 16]`, two `__m256`, one `__m512`.
//!
//! A value of one of these types is the proof that the level is there. Kernel bodies are generic over
//! [`Simd`], `#[inline(always)]`, and called from a thin `#[target_feature]` wrapper, where the intrinsics
//! inline.

use crate::LANES;

/// Into which cache [`Simd::prefetch`] fetches: x86's hints T0 and T1.
pub(crate) const INTO_L1: i32 = 3;
pub(crate) const INTO_L2: i32 = 2;

/// Arithmetic on 16 lanes, or on [`Simd::WIDTH`] of them for the half tokens.
pub(crate) trait Simd: Copy {
    /// Lanes of a value: 16, except for the half tokens, which only go where a loop over the halves is.
    const WIDTH: usize = LANES;

    /// `WIDTH` lanes.
    type V: Copy;

    fn splat(self, value: f32) -> Self::V;

    /// # Safety
    /// `p..p + WIDTH` is readable.
    unsafe fn load(self, p: *const f32) -> Self::V;

    /// # Safety
    /// `p..p + WIDTH` is writable.
    unsafe fn store(self, p: *mut f32, v: Self::V);

    /// `a * b + c`: fused on AVX2 and AVX-512, rounded twice on the portable level.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    fn add(self, a: Self::V, b: Self::V) -> Self::V;

    fn sub(self, a: Self::V, b: Self::V) -> Self::V;

    /// Product, rounded: `add(mul(a, b), c)` has the same bits on every level.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;

    /// `max(a, 0)` that lets NaN through.
    fn relu(self, a: Self::V) -> Self::V;

    /// `a` where `mask > 0`, else 0.
    fn where_positive(self, mask: Self::V, a: Self::V) -> Self::V;

    /// Brings the cache line of `p`, any address, into L1 or L2. A hint without effect on values.
    #[inline(always)]
    fn prefetch<const LEVEL: i32>(self, p: *const f32) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every x86-64 has SSE; a prefetch of an invalid address does nothing.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<LEVEL>(p.cast())
        };
        #[cfg(not(target_arch = "x86_64"))]
        let _ = p;
    }

    #[inline(always)]
    fn get(self, from: &[f32; LANES]) -> Self::V {
        const { assert!(Self::WIDTH == LANES) };
        // SAFETY: the array is readable.
        unsafe { self.load(from.as_ptr()) }
    }

    #[inline(always)]
    fn put(self, to: &mut [f32; LANES], v: Self::V) {
        const { assert!(Self::WIDTH == LANES) };
        // SAFETY: the array is writable.
        unsafe { self.store(to.as_mut_ptr(), v) }
    }
}

/// Plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Simd for Portable {
    type V = [f32; LANES];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; LANES]
    }

    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::V {
        // SAFETY: readable by the promise of the caller; an f32 array needs no more alignment than f32.
        unsafe { p.cast::<Self::V>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Self::V) {
        // SAFETY: writable by the promise of the caller; alignment as in `load`.
        unsafe { p.cast::<Self::V>().write(v) }
    }

    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, mut c: Self::V) -> Self::V {
        for lane in 0..LANES {
            c[lane] += a[lane] * b[lane];
        }
        c
    }

    #[inline(always)]
    fn add(self, mut a: Self::V, b: Self::V) -> Self::V {
        for lane in 0..LANES {
            a[lane] += b[lane];
        }
        a
    }

    #[inline(always)]
    fn sub(self, mut a: Self::V, b: Self::V) -> Self::V {
        for lane in 0..LANES {
            a[lane] -= b[lane];
        }
        a
    }

    #[inline(always)]
    fn mul(self, mut a: Self::V, b: Self::V) -> Self::V {
        for lane in 0..LANES {
            a[lane] *= b[lane];
        }
        a
    }

    #[inline(always)]
    fn relu(self, mut a: Self::V) -> Self::V {
        for lane in 0..LANES {
            a[lane] = crate::elementwise::relu_value(a[lane]);
        }
        a
    }

    #[inline(always)]
    fn where_positive(self, mask: Self::V, mut a: Self::V) -> Self::V {
        for lane in 0..LANES {
            a[lane] = if mask[lane] > 0.0 { a[lane] } else { 0.0 };
        }
        a
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    /// AVX2 and FMA are there.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(());

    /// AVX2 and FMA are there; 8 lanes, for loops with many live values: a transform of 6 x 6 needs 36.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2Half(Avx2);

    /// AVX-512 F is there.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(());

    impl Avx2 {
        /// The same proof for 8 lanes.
        #[inline(always)]
        pub(crate) fn half(self) -> Avx2Half {
            Avx2Half(self)
        }
    }

    impl Avx2 {
        /// # Safety
        /// The processor has AVX2 and FMA.
        #[inline(always)]
        pub(crate) unsafe fn assume() -> Self {
            Avx2(())
        }
    }

    impl Avx512 {
        /// # Safety
        /// The processor has AVX-512 F.
        #[inline(always)]
        pub(crate) unsafe fn assume() -> Self {
            Avx512(())
        }
    }

    impl Simd for Avx2 {
        type V = [__m256; 2];

        #[inline(always)]
        fn splat(self, value: f32) -> Self::V {
            // SAFETY: `self` proves AVX2.
            let v = unsafe { _mm256_set1_ps(value) };
            [v, v]
        }

        #[inline(always)]
        unsafe fn load(self, p: *const f32) -> Self::V {
            // SAFETY: `self` proves AVX2; readable by the promise of the caller.
            let low = unsafe { _mm256_loadu_ps(p) };
            // SAFETY: as above.
            let high = unsafe { _mm256_loadu_ps(p.wrapping_add(8)) };
            [low, high]
        }

        #[inline(always)]
        unsafe fn store(self, p: *mut f32, v: Self::V) {
            // SAFETY: `self` proves AVX2; writable by the promise of the caller.
            unsafe { _mm256_storeu_ps(p, v[0]) };
            // SAFETY: as above.
            unsafe { _mm256_storeu_ps(p.wrapping_add(8), v[1]) };
        }

        #[inline(always)]
        fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: `self` proves FMA.
            let low = unsafe { _mm256_fmadd_ps(a[0], b[0], c[0]) };
            // SAFETY: as above.
            let high = unsafe { _mm256_fmadd_ps(a[1], b[1], c[1]) };
            [low, high]
        }

        #[inline(always)]
        fn add(self, a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: `self` proves AVX2.
            let low = unsafe { _mm256_add_ps(a[0], b[0]) };
            // SAFETY: as above.
            let high = unsafe { _mm256_add_ps(a[1], b[1]) };
            [low, high]
        }

        #[inline(always)]
        fn sub(self, a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: `self` proves AVX2.
            let low = unsafe { _mm256_sub_ps(a[0], b[0]) };
            // SAFETY: as above.
            let high = unsafe { _mm256_sub_ps(a[1], b[1]) };
            [low, high]
        }

        #[inline(always)]
        fn mul(self, a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: `self` proves AVX2.
            let low = unsafe { _mm256_mul_ps(a[0], b[0]) };
            // SAFETY: as above.
            let high = unsafe { _mm256_mul_ps(a[1], b[1]) };
            [low, high]
        }

        #[inline(always)]
        fn relu(self, a: Self::V) -> Self::V {
            // The second operand wins when either is NaN.
            // SAFETY: `self` proves AVX2.
            let zero = unsafe { _mm256_setzero_ps() };
            // SAFETY: as above.
            let low = unsafe { _mm256_max_ps(zero, a[0]) };
            // SAFETY: as above.
            let high = unsafe { _mm256_max_ps(zero, a[1]) };
            [low, high]
        }

        #[inline(always)]
        fn where_positive(self, mask: Self::V, a: Self::V) -> Self::V {
            // SAFETY: `self` proves AVX2.
            let zero = unsafe { _mm256_setzero_ps() };
            // SAFETY: as above.
            let low = unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(mask[0], zero) };
            // SAFETY: as above.
            let high = unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(mask[1], zero) };
            // SAFETY: as above.
            let low = unsafe { _mm256_and_ps(low, a[0]) };
            // SAFETY: as above.
            let high = unsafe { _mm256_and_ps(high, a[1]) };
            [low, high]
        }
    }

    impl Simd for Avx2Half {
        const WIDTH: usize = 8;
        type V = __m256;

        #[inline(always)]
        fn splat(self, value: f32) -> __m256 {
            // SAFETY: `self` proves AVX2.
            unsafe { _mm256_set1_ps(value) }
        }

        #[inline(always)]
        unsafe fn load(self, p: *const f32) -> __m256 {
            // SAFETY: `self` proves AVX2; readable by the promise of the caller.
            unsafe { _mm256_loadu_ps(p) }
        }

        #[inline(always)]
        unsafe fn store(self, p: *mut f32, v: __m256) {
            // SAFETY: `self` proves AVX2; writable by the promise of the caller.
            unsafe { _mm256_storeu_ps(p, v) }
        }

        #[inline(always)]
        fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
            // SAFETY: `self` proves FMA.
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        fn add(self, a: __m256, b: __m256) -> __m256 {
            // SAFETY: `self` proves AVX2.
            unsafe { _mm256_add_ps(a, b) }
        }

        #[inline(always)]
        fn sub(self, a: __m256, b: __m256) -> __m256 {
            // SAFETY: `self` proves AVX2.
            unsafe { _mm256_sub_ps(a, b) }
        }

        #[inline(always)]
        fn mul(self, a: __m256, b: __m256) -> __m256 {
            // SAFETY: `self` proves AVX2.
            unsafe { _mm256_mul_ps(a, b) }
        }

        #[inline(always)]
        fn relu(self, a: __m256) -> __m256 {
            // SAFETY: `self` proves AVX2.
            let zero = unsafe { _mm256_setzero_ps() };
            // The second operand wins when either is NaN.
            // SAFETY: as above.
            unsafe { _mm256_max_ps(zero, a) }
        }

        #[inline(always)]
        fn where_positive(self, mask: __m256, a: __m256) -> __m256 {
            // SAFETY: `self` proves AVX2.
            let zero = unsafe { _mm256_setzero_ps() };
            // SAFETY: as above.
            let keep = unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(mask, zero) };
            // SAFETY: as above.
            unsafe { _mm256_and_ps(keep, a) }
        }
    }

    impl Simd for Avx512 {
        type V = __m512;

        #[inline(always)]
        fn splat(self, value: f32) -> __m512 {
            // SAFETY: `self` proves AVX-512 F.
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        unsafe fn load(self, p: *const f32) -> __m512 {
            // SAFETY: `self` proves AVX-512 F; readable by the promise of the caller.
            unsafe { _mm512_loadu_ps(p) }
        }

        #[inline(always)]
        unsafe fn store(self, p: *mut f32, v: __m512) {
            // SAFETY: `self` proves AVX-512 F; writable by the promise of the caller.
            unsafe { _mm512_storeu_ps(p, v) }
        }

        #[inline(always)]
        fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: `self` proves AVX-512 F.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        fn add(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: `self` proves AVX-512 F.
            unsafe { _mm512_add_ps(a, b) }
        }

        #[inline(always)]
        fn sub(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: `self` proves AVX-512 F.
            unsafe { _mm512_sub_ps(a, b) }
        }

        #[inline(always)]
        fn mul(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: `self` proves AVX-512 F.
            unsafe { _mm512_mul_ps(a, b) }
        }

        #[inline(always)]
        fn relu(self, a: __m512) -> __m512 {
            // The second operand wins when either is NaN.
            // SAFETY: `self` proves AVX-512 F.
            let zero = unsafe { _mm512_setzero_ps() };
            // SAFETY: as above.
            unsafe { _mm512_max_ps(zero, a) }
        }

        #[inline(always)]
        fn where_positive(self, mask: __m512, a: __m512) -> __m512 {
            // SAFETY: `self` proves AVX-512 F.
            let zero = unsafe { _mm512_setzero_ps() };
            // SAFETY: as above.
            let keep = unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(mask, zero) };
            // SAFETY: as above.
            unsafe { _mm512_maskz_mov_ps(keep, a) }
        }
    }
}
