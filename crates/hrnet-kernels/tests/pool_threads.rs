//! Check E5, the part that needs real threads: many short lives of pools, and pools dropped by an unwinding thread. The
//! interleavings are explored in `pool_model.rs`.

use hrnet_kernels::Pool;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

const THREADS: [usize; 4] = [1, 2, 3, 8];

/// The deliberate panics of this file are not printed.
fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"on purpose") {
                hook(info);
            }
        }));
    });
}

#[test]
fn a_pool_dropped_while_unwinding_joins_its_workers() {
    quiet();
    for threads in THREADS {
        for round in 0..100 {
            let begun = AtomicUsize::new(0);
            let ended = AtomicUsize::new(0);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let pool = Pool::new(threads);
                pool.run(16, &|index| {
                    begun.fetch_add(1, Ordering::Relaxed);
                    if index == round % 16 {
                        panic!("on purpose");
                    }
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }));
            assert!(outcome.is_err());
            // Everything that began has ended, but for the task that panicked.
            assert_eq!(begun.into_inner(), ended.into_inner() + 1, "{threads} threads");
        }
    }
}

#[test]
fn all_tasks_may_panic() {
    quiet();
    for threads in THREADS {
        let pool = Pool::new(threads);
        for _ in 0..100 {
            let outcome = catch_unwind(AssertUnwindSafe(|| pool.run(16, &|_| panic!("on purpose"))));
            assert!(outcome.is_err());
            let count = AtomicUsize::new(0);
            pool.run(16, &|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.into_inner(), 16);
        }
    }
}

#[test]
fn many_short_lives() {
    for round in 0..300 {
        let pool = Pool::new(1 + round % 5);
        let count = AtomicUsize::new(0);
        for tasks in 0..round % 4 {
            pool.run(tasks, &|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(count.into_inner(), (0..round % 4).sum::<usize>());
    }
}
