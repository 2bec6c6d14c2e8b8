//! For the memory checks of other crates' tests: an allocator that counts what the current thread holds. It lives here
//! because this is the crate that may hold unsafe code.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Single blocks above this are refused, so that an unchecked size cannot hide as an untouched mapping.
const MAX_BLOCK: usize = 3 << 30;

/// The system allocator with a count per thread; use it as `#[global_allocator]` of a test binary.
#[derive(Debug)]
pub struct Counting;

/// What a piece of code allocated on its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The most bytes held at once, beyond what was held before.
    pub peak: usize,
    /// Allocations made.
    pub calls: usize,
}

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// Counts a block. Thread-local storage may be gone while a thread ends; nothing is measured then.
fn count(bytes: isize) {
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
    if bytes > 0 {
        let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
    }
}

// SAFETY: every call is passed to the system allocator unchanged, or answered with null, which callers must handle.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > MAX_BLOCK {
            return std::ptr::null_mut();
        }
        count(layout.size() as isize);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() > MAX_BLOCK {
            return std::ptr::null_mut();
        }
        count(layout.size() as isize);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the block came from one of the functions above, that is from the system allocator.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Runs `f` and says what it allocated on this thread.
pub fn measure<T>(f: impl FnOnce() -> T) -> (T, Usage) {
    let (held, calls) = (HELD.get(), CALLS.get());
    PEAK.set(held);
    let result = f();
    let peak = usize::try_from(PEAK.get() - held).unwrap_or(0);
    (result, Usage { peak, calls: CALLS.get() - calls })
}
