//! Memory that a piece of code held at its peak, counted by the allocator of the test binary.

pub use hrnet_kernels::counting_alloc::Counting;
use hrnet_kernels::counting_alloc::measure;

/// Runs `f` and returns its result with the most bytes that it held at once on this thread.
pub fn peak<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let (result, usage) = measure(f);
    (result, usage.peak)
}
