//! Check E5: the thread pool under loom, which runs every interleaving of its threads (with up to three preemptions)
//! and every value that the memory model lets an atomic load see.
//!
//! `cargo xtask nightly loom` builds this file with `--cfg loom`; otherwise it is empty.
//!
//! What runs is `src/pool.rs` itself, not a copy: this crate root stands in for `std` (`extern crate self as std`),
//! with loom's atomics, locks and threads under the paths that the pool uses. Where loom differs from the machine:
//!
//! * loom weakens sequentially consistent accesses to acquire and release, but knows fences. An access that asks for
//!   `SeqCst` is therefore surrounded by `SeqCst` fences, as compilers do on machines without such accesses.
//! * There is no time. [`std::time::Instant`] says that any wait has been too long; with one processor the pool parks
//!   at once, with many it looks at its word first ([`PROCESSORS`]). Looking early is no different from a thread that
//!   comes late, so the spinning pool has smaller models.
//! * A cell does not know why its address is taken. The pool's callers write the job and its workers read it: that is
//!   what is recorded, so that a worker that reads while a caller writes is a reported race.
//! * A condition variable does not wake without reason. The pool's waits are loops, which the models cannot tell.
#![cfg(loom)]

extern crate self as std;
extern crate std as machine;

use loom::sync::atomic::{AtomicUsize, Ordering};

/// How many processors the modelled machine has: with fewer than the threads of the pool nobody spins.
static PROCESSORS: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(1);

// The names under which the pool finds its parts.
pub use machine::{any, fmt, marker, mem, panic};

pub mod hint {
    /// Another thread has to run before this one looks again.
    pub fn spin_loop() {
        loom::thread::yield_now();
    }
}

pub mod time {
    pub use machine::time::Duration;

    /// A clock on which every wait is too long.
    #[derive(Clone, Copy)]
    pub struct Instant;

    impl Instant {
        pub fn now() -> Instant {
            Instant
        }

        pub fn elapsed(&self) -> Duration {
            Duration::MAX
        }
    }
}

pub mod sync {
    pub use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub use machine::sync::PoisonError;

    pub mod atomic {
        pub use machine::sync::atomic::Ordering;

        fn fence(order: Ordering) {
            if order == Ordering::SeqCst {
                loom::sync::atomic::fence(Ordering::SeqCst);
            }
        }

        macro_rules! atomic {
            ($name:ident, $value:ty) => {
                #[derive(Debug, Default)]
                pub struct $name(loom::sync::atomic::$name);

                impl $name {
                    pub fn new(value: $value) -> Self {
                        Self(loom::sync::atomic::$name::new(value))
                    }

                    pub fn load(&self, order: Ordering) -> $value {
                        fence(order);
                        let value = self.0.load(order);
                        fence(order);
                        value
                    }

                    pub fn store(&self, value: $value, order: Ordering) {
                        fence(order);
                        self.0.store(value, order);
                        fence(order);
                    }
                }
            };
            ($name:ident, $value:ty, $($operation:ident)*) => {
                atomic!($name, $value);

                #[allow(dead_code)] // the pool uses a part
                impl $name {
                    $(pub fn $operation(&self, value: $value, order: Ordering) -> $value {
                        fence(order);
                        let before = self.0.$operation(value, order);
                        fence(order);
                        before
                    })*

                    pub fn compare_exchange_weak(
                        &self,
                        current: $value,
                        new: $value,
                        success: Ordering,
                        failure: Ordering,
                    ) -> Result<$value, $value> {
                        fence(success);
                        let before = self.0.compare_exchange_weak(current, new, success, failure);
                        fence(success);
                        before
                    }
                }
            };
        }

        atomic!(AtomicBool, bool);
        atomic!(AtomicU64, u64, fetch_add fetch_sub fetch_and fetch_or);
        atomic!(AtomicUsize, usize, fetch_add fetch_sub fetch_and fetch_or);
    }
}

pub mod thread {
    pub use loom::thread::JoinHandle;
    use machine::num::NonZero;

    loom::thread_local! {
        static WORKER: machine::cell::Cell<bool> = machine::cell::Cell::new(false);
    }

    /// Whether this thread was started by a pool.
    pub fn is_worker() -> bool {
        WORKER.with(|flag| flag.get())
    }

    pub fn available_parallelism() -> machine::io::Result<NonZero<usize>> {
        let count = crate::PROCESSORS.load(core::sync::atomic::Ordering::Relaxed);
        NonZero::new(count).ok_or_else(|| machine::io::Error::other("no processor"))
    }

    pub struct Builder(loom::thread::Builder);

    impl Builder {
        #[allow(clippy::new_without_default)] // as in std
        pub fn new() -> Builder {
            Builder(loom::thread::Builder::new())
        }

        pub fn name(self, name: String) -> Builder {
            Builder(self.0.name(name))
        }

        pub fn spawn<T: Send + 'static>(
            self,
            f: impl FnOnce() -> T + Send + 'static,
        ) -> machine::io::Result<JoinHandle<T>> {
            self.0.spawn(move || {
                WORKER.with(|flag| flag.set(true));
                f()
            })
        }
    }
}

pub mod cell {
    pub use machine::cell::Cell;

    /// Records who touches it: see the head of this file.
    #[derive(Debug, Default)]
    pub struct UnsafeCell<T>(loom::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub fn new(value: T) -> Self {
            Self(loom::cell::UnsafeCell::new(value))
        }

        pub fn get(&self) -> *mut T {
            if crate::thread::is_worker() {
                self.0.with(|address| address.cast_mut())
            } else {
                self.0.with_mut(|address| address)
            }
        }
    }
}

/// A scratch of no size: models make thousands of pools.
pub struct AlignedBuf;

impl AlignedBuf {
    pub fn zeroed(_: usize) -> AlignedBuf {
        AlignedBuf
    }
}

impl core::ops::Deref for AlignedBuf {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &[]
    }
}

impl core::ops::DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut []
    }
}

/// The flags of the pool belong to modelled threads, not to the one thread that plays them all.
macro_rules! thread_local {
    ($(#[$meta:meta])* static $name:ident: $type:ty = const $value:block;) => {
        loom::thread_local! { $(#[$meta])* static $name: $type = $value; }
    };
}

#[path = "../src/pool.rs"]
#[allow(dead_code)] // the models use a part
mod pool;

use pool::Pool;

const THREADS_OF_THREE: usize = 3;

/// Explores a model. Machines with one processor, where waiting parks at once, unless `processors` says otherwise.
fn model(processors: usize, f: impl Fn() + Sync + Send + 'static) {
    // One at a time: the number of processors is shared.
    static TURN: machine::sync::Mutex<()> = machine::sync::Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(machine::sync::PoisonError::into_inner);
    PROCESSORS.store(processors, core::sync::atomic::Ordering::Relaxed);
    let runs = machine::sync::Arc::new(core::sync::atomic::AtomicUsize::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(3));
    let counted = machine::sync::Arc::clone(&runs);
    builder.check(move || {
        counted.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        f();
    });
    println!("{} interleavings", runs.load(core::sync::atomic::Ordering::Relaxed));
}

/// What a run lends to its tasks: a number of calls for each index, and a cell that the caller changes once the run is
/// over. A task that is still under way then, or a call that the caller does not see, is a race.
struct Lent {
    calls: Vec<AtomicUsize>,
    value: loom::cell::UnsafeCell<usize>,
}

// SAFETY: `value` is accessed through loom alone, which reports every race.
unsafe impl Sync for Lent {}

impl Lent {
    fn new(tasks: usize) -> Lent {
        Lent {
            calls: (0..tasks).map(|_| AtomicUsize::new(0)).collect(),
            value: loom::cell::UnsafeCell::new(7),
        }
    }

    fn task(&self, index: usize) {
        // SAFETY: read-only here; loom reports a write at the same time.
        self.value.with(|value| assert_eq!(unsafe { *value }, 7));
        self.calls[index].fetch_add(1, Ordering::Relaxed);
    }

    /// Every index was called `times` times, and nobody uses the loan any more.
    fn returned(&self, times: usize) {
        // SAFETY: loom reports any access at the same time.
        self.value.with_mut(|value| unsafe { *value = 0 });
        for calls in &self.calls {
            assert_eq!(calls.load(Ordering::Relaxed), times);
        }
    }
}

fn run_once(pool: &Pool, tasks: usize) {
    let lent = Lent::new(tasks);
    pool.run(tasks, &|index| lent.task(index));
    lent.returned(1);
}

#[test]
fn every_task_once_and_none_after_the_return_two_threads() {
    model(1, || {
        let pool = Pool::new(2);
        run_once(&pool, 3);
        // A second job: late workers of the first must not touch it, and its workers must see it whole.
        run_once(&pool, 2);
    });
}

#[test]
fn every_task_once_and_none_after_the_return_three_threads() {
    model(1, || {
        let pool = Pool::new(THREADS_OF_THREE);
        run_once(&pool, 2);
    });
}

#[test]
fn spinning_finds_the_same() {
    model(8, || {
        let pool = Pool::new(2);
        run_once(&pool, 2);
    });
}

/// Both tasks wait for each other, so a worker that misses its wake-up is a deadlock, which loom reports.
#[test]
fn no_wake_up_is_lost() {
    model(1, || {
        let pool = Pool::new(2);
        let arrived = sync::Mutex::new(0);
        let both = sync::Condvar::new();
        pool.run(2, &|_| {
            let mut count = arrived.lock().unwrap();
            *count += 1;
            both.notify_all();
            while *count < 2 {
                count = both.wait(count).unwrap();
            }
        });
    });
}

#[test]
fn shutting_down_an_idle_pool() {
    model(1, || drop(Pool::new(THREADS_OF_THREE)));
}

#[test]
fn two_callers_take_turns() {
    model(1, || {
        let pool = sync::Arc::new(Pool::new(2));
        let other = sync::Arc::clone(&pool);
        let caller = loom::thread::spawn(move || run_once(&other, 2));
        run_once(&pool, 2);
        caller.join().unwrap();
    });
}

/// Quiet: loom plays this many times.
fn without_messages(f: impl Fn() + Sync + Send + 'static) {
    let hook = machine::panic::take_hook();
    machine::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&"on purpose") {
            hook(info);
        }
    }));
    model(1, f);
}

#[test]
fn a_panic_reaches_the_caller_and_the_next_run_works() {
    without_messages(|| {
        let pool = Pool::new(2);
        let lent = Lent::new(2);
        let outcome = machine::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
            pool.run(2, &|index| {
                lent.task(index);
                assert!(index != 1, "on purpose");
            });
        }));
        let payload = outcome.expect_err("the panic of task 1");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"on purpose"));
        lent.returned(1);
        run_once(&pool, 2);
    });
}

/// Loom plays all threads on one, so it cannot tell which of them unwinds, and its locks take the unwinding of one for
/// the poisoning of another: dropping a pool while unwinding is a test with threads, in `tests/pool_threads.rs`.
#[test]
fn a_pool_that_is_dropped_after_a_panic_joins_its_workers() {
    without_messages(|| {
        let pool = Pool::new(2);
        let outcome = machine::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
            pool.run(2, &|_| panic!("on purpose"));
        }));
        assert!(outcome.is_err());
    });
}
