//! Buffers that touch an unreadable page: an access past either end is a fault, not a wrong number.

/// Where the buffer lies in its mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The last float is followed by an unreadable page.
    End,
    /// The first float follows an unreadable page.
    Start,
}

#[cfg(all(target_os = "linux", not(miri)))]
mod imp {
    use super::Side;
    use std::ffi::c_void;
    use std::ops::{Deref, DerefMut};

    unsafe extern "C" {
        fn mmap(addr: *mut c_void, len: usize, prot: i32, flags: i32, fd: i32, offset: i64) -> *mut c_void;
        fn mprotect(addr: *mut c_void, len: usize, prot: i32) -> i32;
        fn munmap(addr: *mut c_void, len: usize) -> i32;
    }

    const PAGE: usize = 4096;
    const READ_WRITE: i32 = 1 | 2;
    const PRIVATE_ANONYMOUS: i32 = 2 | 0x20;

    /// Floats between two unreadable pages.
    pub struct Guarded {
        map: *mut c_void,
        bytes: usize,
        data: *mut f32,
        len: usize,
    }

    impl Guarded {
        pub fn new(from: &[f32], side: Side) -> Guarded {
            let body = (from.len() * 4).next_multiple_of(PAGE);
            let bytes = body + 2 * PAGE;
            // SAFETY: a new private anonymous mapping.
            let map = unsafe { mmap(std::ptr::null_mut(), bytes, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0) };
            assert!(map as isize != -1, "mmap failed");
            for page in [map, map.wrapping_byte_add(PAGE + body)] {
                // SAFETY: a whole page of the mapping that nothing points into.
                let rc = unsafe { mprotect(page, PAGE, 0) };
                assert_eq!(rc, 0, "mprotect failed");
            }
            let skip = if side == Side::End { body - from.len() * 4 } else { 0 };
            let data = map.wrapping_byte_add(PAGE + skip).cast::<f32>();
            let mut buf = Guarded { map, bytes, data, len: from.len() };
            buf.copy_from_slice(from);
            buf
        }

        /// From now on a write is a fault.
        pub fn read_only(self) -> Guarded {
            let body = self.bytes - 2 * PAGE;
            // SAFETY: the readable pages of our mapping.
            let rc = unsafe { mprotect(self.map.wrapping_byte_add(PAGE), body, 1) };
            assert_eq!(rc, 0, "mprotect failed");
            self
        }
    }

    impl Deref for Guarded {
        type Target = [f32];
        fn deref(&self) -> &[f32] {
            // SAFETY: `len` initialised floats inside the mapping.
            unsafe { std::slice::from_raw_parts(self.data, self.len) }
        }
    }

    impl DerefMut for Guarded {
        fn deref_mut(&mut self) -> &mut [f32] {
            // SAFETY: as above, borrowed exclusively.
            unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
        }
    }

    impl Drop for Guarded {
        fn drop(&mut self) {
            // SAFETY: our own mapping, unmapped once.
            let rc = unsafe { munmap(self.map, self.bytes) };
            assert_eq!(rc, 0, "munmap failed");
        }
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
mod imp {
    use super::Side;

    /// Elsewhere a plain copy: the comparisons still run, the guard pages do not.
    pub struct Guarded(Vec<f32>);

    impl Guarded {
        pub fn new(from: &[f32], _: Side) -> Guarded {
            Guarded(from.to_vec())
        }
        pub fn read_only(self) -> Guarded {
            self
        }
    }

    impl std::ops::Deref for Guarded {
        type Target = [f32];
        fn deref(&self) -> &[f32] {
            &self.0
        }
    }

    impl std::ops::DerefMut for Guarded {
        fn deref_mut(&mut self) -> &mut [f32] {
            &mut self.0
        }
    }
}

pub use imp::Guarded;
