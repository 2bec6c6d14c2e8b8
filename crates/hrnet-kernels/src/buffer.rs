//! A zero-initialised `f32` buffer whose start lies on a 64-byte boundary.
//!
//! Pixels of the blocked layout are 64 bytes: in an aligned buffer no vector load crosses a cache line.

use std::ops::{Deref, DerefMut};

/// Floats of a 64-byte line.
const LINE: usize = 16;

/// 64-byte aligned floats. Any `&[f32]` works with the kernels; this one is faster.
#[derive(Default)]
pub struct AlignedBuf {
    /// Up to 15 floats more than asked for, so that an aligned run of `len` lies inside.
    data: Vec<f32>,
    start: usize,
    len: usize,
}

/// Index of the first aligned float.
fn first(data: &[f32]) -> usize {
    data.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE - 1)
}

/// Floats from which on a buffer asks for huge pages.
const HUGE: usize = 64 << 10;

/// Asks the system for huge pages under the memory of `data`, which it has not touched yet: weights are streamed once per
/// run, and with 4 kB pages the translation misses and the hardware prefetcher's stop at every page end show. A hint: a refusal changes nothing but the speed.
#[cfg(target_os = "linux")]
fn advise_huge(data: &mut Vec<f32>) {
    const PAGE: usize = 4096;
    if data.capacity() < HUGE {
        return;
    }
    let start = data.as_mut_ptr().addr().next_multiple_of(PAGE);
    let end = (data.as_mut_ptr().addr() + data.capacity() * size_of::<f32>()) / PAGE * PAGE;
    let start = data.as_mut_ptr().with_addr(start);
    // SAFETY: whole pages inside the allocation; the advice does not change what they hold.
    unsafe { libc::madvise(start.cast(), end - start.addr(), libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise_huge(_data: &mut Vec<f32>) {}

impl AlignedBuf {
    /// `len` zeros; memory that is never written is never touched.
    pub fn zeroed(len: usize) -> AlignedBuf {
        let mut data = vec![0.0; len + LINE - 1];
        advise_huge(&mut data);
        AlignedBuf { start: first(&data), data, len }
    }

    /// `len` zeros, or the allocator's refusal.
    pub fn try_zeroed(len: usize) -> Result<AlignedBuf, std::collections::TryReserveError> {
        let mut data = Vec::new();
        let total = len.saturating_add(LINE - 1);
        data.try_reserve_exact(total)?;
        advise_huge(&mut data);
        data.resize(total, 0.0);
        Ok(AlignedBuf { start: first(&data), data, len })
    }

    /// Makes the buffer at least `len` long; the contents are kept, new floats are zero.
    pub fn grow(&mut self, len: usize) {
        if len > self.len {
            let mut grown = AlignedBuf::zeroed(len);
            grown[..self.len].copy_from_slice(self);
            *self = grown;
        }
    }
}

impl Clone for AlignedBuf {
    fn clone(&self) -> AlignedBuf {
        let mut copy = AlignedBuf::zeroed(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for AlignedBuf {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.start..self.start + self.len]
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
