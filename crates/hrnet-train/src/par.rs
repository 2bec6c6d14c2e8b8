//! Safe loops over the pool: disjoint mutable pieces are handed to tasks through one uncontended lock each.

use hrnet_kernels::Pool;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock; one that a panic poisoned too, because what it holds is valid at every moment.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `f(i, &mut items[i])` for every item, on any thread.
pub(crate) fn for_each_mut<T: Send>(pool: &Pool, items: &mut [T], f: impl Fn(usize, &mut T) + Sync) {
    let items: Vec<Mutex<&mut T>> = items.iter_mut().map(Mutex::new).collect();
    pool.run(items.len(), &|i| {
        // Each lock is taken once; poison would only repeat a panic that the pool already reports.
        f(i, &mut lock(&items[i]));
    });
}

/// Values per task of flat element-wise loops. Fixed, so that results do not depend on the number of threads.
pub(crate) const CHUNK: usize = 1 << 15;

/// Calls `f(offset, piece)` for fixed pieces of `data`, on any thread.
pub(crate) fn for_each_chunk(pool: &Pool, data: &mut [f32], f: impl Fn(usize, &mut [f32]) + Sync) {
    let mut chunks: Vec<&mut [f32]> = data.chunks_mut(CHUNK).collect();
    for_each_mut(pool, &mut chunks, |i, chunk| f(i * CHUNK, chunk));
}

/// The results of `f(i)` in order, computed on any thread.
pub(crate) fn map<R: Send + Default>(pool: &Pool, count: usize, f: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let mut results: Vec<R> = Vec::new();
    results.resize_with(count, R::default);
    for_each_mut(pool, &mut results, |i, r| *r = f(i));
    results
}
