//! Work on many tensors by a few threads: loading, folding. Short-lived threads of the standard library; the kernels have
//! a pool of their own.

use std::sync::{Mutex, PoisonError};

/// Beyond this the memory is busy, not the processor.
const MOST: usize = 8;
/// A thread starts in some 30 microseconds; moving this many bytes takes about 1 millisecond.
const BYTES_PER_THREAD: usize = 8 << 20;

/// How many threads pay off for work that passes over `bytes` bytes of memory; at least 1.
pub fn threads(bytes: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(bytes / BYTES_PER_THREAD).clamp(1, MOST)
}

/// Calls `work` once for each item, on one thread per state, this one included. Items start in order; which thread takes
/// which is open, so the result of an item must not depend on the state. A thread that cannot be started is done without.
pub fn for_each<T: Send, S: Send>(items: Vec<T>, states: &mut [S], work: impl Fn(T, &mut S) + Sync) {
    let Some((first, others)) = states.split_first_mut() else { return };
    if others.is_empty() {
        return items.into_iter().for_each(|item| work(item, first));
    }
    let queue = Mutex::new(items.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let drain = |state: &mut S| {
        while let Some(item) = next() {
            work(item, state);
        }
    };
    std::thread::scope(|scope| {
        for state in others {
            let drain = &drain;
            if std::thread::Builder::new().spawn_scoped(scope, move || drain(state)).is_err() {
                break;
            }
        }
        drain(first);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_once_whatever_the_threads() {
        for threads in [1, 2, 5, 64] {
            let mut done = [0u32; 40];
            let mut states = vec![0u32; threads];
            for_each(done.iter_mut().collect(), &mut states, |item, state| {
                *item += 1;
                *state += 1;
            });
            assert!(done.iter().all(|&d| d == 1));
            assert_eq!(states.iter().sum::<u32>(), 40);
        }
        assert_eq!(threads(0), 1);
        assert!((1..=MOST).contains(&threads(usize::MAX)));
    }
}
