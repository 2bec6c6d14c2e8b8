//! A zero-initialised `f32` buffer whose start lies on a 64-byte boundary.
//!
//! Pixels of the blocked layout are 64 bytes: in an aligned buffer no vector load crosses a cache line.

use std::ops::{Deref, DerefMut};

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// 64-byte aligned floats. Any `&[f32]` works with the kernels; this one is faster.
#[derive(Clone, Default)]
pub struct AlignedBuf {
    lines: Vec<Line>,
    len: usize,
}

impl AlignedBuf {
    /// `len` zeros.
    pub fn zeroed(len: usize) -> AlignedBuf {
        AlignedBuf { lines: vec![Line([0.0; 16]); len.div_ceil(16)], len }
    }

    /// `len` zeros, or the allocator's refusal.
    pub fn try_zeroed(len: usize) -> Result<AlignedBuf, std::collections::TryReserveError> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(len.div_ceil(16))?;
        lines.resize(len.div_ceil(16), Line([0.0; 16]));
        Ok(AlignedBuf { lines, len })
    }

    /// Makes the buffer at least `len` long; the contents are kept, new floats are zero.
    pub fn grow(&mut self, len: usize) {
        if len > self.len {
            self.lines.resize(len.div_ceil(16), Line([0.0; 16]));
            self.len = len;
        }
    }
}

impl Deref for AlignedBuf {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `lines` holds at least `len` initialised floats without padding (`Line` is 16 floats, 64
        // bytes).
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast::<f32>(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; the borrow of `self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast::<f32>(), self.len) }
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuf({} floats)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_aligned_zero_and_grows() {
        let mut buf = AlignedBuf::zeroed(19);
        assert_eq!(buf.len(), 19);
        assert_eq!(buf.as_ptr() as usize % 64, 0);
        assert!(buf.iter().all(|&v| v == 0.0));
        buf[18] = 2.0;
        buf.grow(40);
        assert_eq!((buf.len(), buf[18], buf[39]), (40, 2.0, 0.0));
        buf.grow(3);
        assert_eq!(buf.len(), 40);
        assert_eq!(AlignedBuf::zeroed(0).len(), 0);
        assert_eq!(AlignedBuf::try_zeroed(5).unwrap().len(), 5);
    }
}
