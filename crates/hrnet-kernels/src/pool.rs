//! The one fixed thread pool.
//!
//! `Pool::run(tasks, f)` calls `f(0..tasks)`, each index once, on the workers and the calling thread: who computes is
//! free, what is computed is not. Indices lie in lists, one counter each. Thread t begins with list t and goes on with
//! the lists of others when its own is used up; `run` has one list for all.
//!
//! The gate is one 64-bit word, `epoch | open bit | workers inside`:
//!
//! 1. the caller writes the job while the gate is shut and nobody is inside, then opens it with a new epoch;
//! 2. a worker that sees an open gate with an epoch it has not served enters by compare-and-swap, works until
//!    the counters are used up, and leaves;
//! 3. the caller works too, shuts the gate, and waits until nobody is inside.
//!
//! A worker that wakes late finds the gate shut and is not waited for, so a descheduled thread costs nothing
//! (8 threads on 2 processors work). Waiting spins for some tens of microseconds, then parks; with more
//! threads than processors it parks at once.
//!
//! Every thread has a scratch buffer of [`SCRATCH_FLOATS`], made with the pool; the system gives it memory only where
//! it is written.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::AlignedBuf;

/// Floats of every thread's scratch buffer: 1.25 MiB.
pub const SCRATCH_FLOATS: usize = 320 << 10;

/// What a task is: its index and the scratch of the thread that runs it.
type Task = dyn Fn(usize, &mut [f32]) + Sync;

/// How long a waiting thread spins before it parks.
const SPIN: Duration = Duration::from_micros(40);
/// Looks at the word that is waited for before the clock is read for the first time, and between two readings. About a
/// microsecond: reading the clock would be a good part of a hand-off.
const LOOKS: usize = 64;
const INSIDE: u64 = (1 << 16) - 1;
const OPEN: u64 = 1 << 16;
const EPOCH: u64 = 1 << 17;
/// A counter of a list from which nothing is handed out any more. Far below overflow: each thread adds at most one.
const SPENT: usize = usize::MAX / 2;

/// A pool takes at least so many lists in one run, whatever its number of threads.
const MIN_LISTS: usize = 16;

/// A value alone on the two cache lines that processors fetch together.
#[derive(Default)]
#[repr(align(128))]
struct Padded<T>(T);

thread_local! {
    /// Set while this thread runs a task of any pool.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
}

/// A fixed set of threads. `threads() - 1` of them are workers; the thread that calls [`Pool::run`] is the
/// last one.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held for the length of one `run`: concurrent callers take turns.
    turn: Mutex<()>,
}

struct Shared {
    gate: Padded<AtomicU64>,
    job: Padded<UnsafeCell<Job>>,
    /// How many indices of each list are handed out.
    next: Box<[Padded<AtomicUsize>]>,
    /// The scratch of each thread, the caller's first.
    scratch: Box<[Padded<UnsafeCell<AlignedBuf>>]>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    panicked: AtomicBool,
    stop: AtomicBool,
    sleepers: Padded<AtomicUsize>,
    sleep: Mutex<()>,
    wake: Condvar,
    done: Condvar,
    spin: Duration,
}

/// What the threads work on. Raw: both live until the gate is shut and nobody is inside.
#[derive(Clone, Copy)]
struct Job {
    f: *const Task,
    /// List `k` is the indices `bounds[k]..bounds[k + 1]`.
    bounds: *const [usize],
}

// SAFETY: `job` is written only by the caller that holds `turn`, while the gate is shut and nobody is inside,
// and read only by workers inside; the gate orders both. Its pointers are to a `Sync` closure and to integers, both
// of which outlive the open gate. A scratch is used only by its thread; the callers' is guarded by `turn`.
unsafe impl Sync for Shared {}
// SAFETY: as above; the raw pointers are the only parts that are not `Send` by themselves.
unsafe impl Send for Shared {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Marks the thread as inside a task for its lifetime.
struct InTask;

impl InTask {
    fn enter() -> InTask {
        IN_TASK.with(|flag| flag.set(true));
        InTask
    }
}

impl Drop for InTask {
    fn drop(&mut self) {
        IN_TASK.with(|flag| flag.set(false));
    }
}

impl Pool {
    /// A pool of `threads` threads, the caller of `run` included; 0 counts as 1. One thread spawns nothing.
    pub fn new(threads: usize) -> Pool {
        let threads = threads.clamp(1, INSIDE as usize);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            gate: Padded::default(),
            job: Padded(UnsafeCell::new(Job { f: &|_: usize, _: &mut [f32]| (), bounds: &[] })),
            next: (0..threads.max(MIN_LISTS)).map(|_| Padded::default()).collect(),
            scratch: (0..threads)
                .map(|_| Padded(UnsafeCell::new(AlignedBuf::zeroed(SCRATCH_FLOATS))))
                .collect(),
            panic: Mutex::new(None),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            sleepers: Padded::default(),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            done: Condvar::new(),
            spin: if threads <= processors { SPIN } else { Duration::ZERO },
        });
        let mut workers = Vec::new();
        for index in 1..threads {
            let shared = Arc::clone(&shared);
            let builder = std::thread::Builder::new().name(format!("hrnet-{index}"));
            // A machine that refuses a thread gets a smaller pool: results do not depend on the size.
            match builder.spawn(move || shared.work(index)) {
                Ok(handle) => workers.push(handle),
                Err(_) => break,
            }
        }
        Pool { shared, workers, turn: Mutex::new(()) }
    }

    /// Threads that take part in a run, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `f(i)` once for every `i < tasks` and returns when all calls have returned.
    ///
    /// A panic in a task reaches the caller once the other running tasks are through (tasks not yet begun are
    /// dropped); the pool stays usable. Calling it from inside a task panics.
    pub fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        if self.workers.is_empty() || tasks <= 1 {
            // Without scratch, callers need not wait for each other.
            refuse_nesting();
            let _mark = InTask::enter();
            (0..tasks).for_each(f);
            return;
        }
        self.run_lists(&[0, tasks], &|index, _| f(index));
    }

    /// [`Pool::run`] with the scratch of the thread: [`SCRATCH_FLOATS`] floats that hold anything.
    pub fn run_scratch(&self, tasks: usize, f: &(dyn Fn(usize, &mut [f32]) + Sync)) {
        self.run_lists(&[0, tasks], f);
    }

    /// [`Pool::run_scratch`] over lists of indices: list `k` is `bounds[k]..bounds[k + 1]`. Thread t begins with list
    /// t, in order, then helps with the next lists. Lists more than the pool can count are joined.
    pub(crate) fn run_lists(&self, bounds: &[usize], f: &(dyn Fn(usize, &mut [f32]) + Sync)) {
        refuse_nesting();
        let (Some(&first), Some(&end)) = (bounds.first(), bounds.last()) else { return };
        assert!(bounds.is_sorted(), "lists of tasks {bounds:?}");
        if first == end {
            return;
        }
        let joined = [first, end];
        let bounds = if bounds.len() - 1 <= self.shared.next.len() { bounds } else { &joined };
        let turn = lock(&self.turn);
        let shared = &*self.shared;
        let shut_in = self.workers.is_empty() || end - first == 1;
        if shut_in {
            shared.reset(bounds);
            shared.help(0, bounds, f);
        } else {
            shared.open(bounds, f);
            shared.help(0, bounds, f);
            shared.shut();
        }
        let panic = match shared.panicked.load(Ordering::Relaxed) {
            false => None,
            true => {
                shared.panicked.store(false, Ordering::Relaxed);
                lock(&shared.panic).take()
            }
        };
        drop(turn);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }
}

fn refuse_nesting() {
    assert!(!IN_TASK.with(Cell::get), "Pool::run called from inside a pool task: nesting is not supported");
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(lock(&self.shared.sleep));
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its tasks, so it ends normally.
            let _ = worker.join();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} threads)", self.threads())
    }
}

impl Shared {
    fn reset(&self, bounds: &[usize]) {
        for next in &self.next[..bounds.len() - 1] {
            next.0.store(0, Ordering::Relaxed);
        }
    }

    fn open(&self, bounds: &[usize], f: &(dyn Fn(usize, &mut [f32]) + Sync)) {
        // SAFETY: only the lifetime changes. `run_lists` does not return before the gate is shut and nobody is
        // inside, and workers use the pointer only while inside.
        let f =
            unsafe { std::mem::transmute::<*const (dyn Fn(usize, &mut [f32]) + Sync + '_), *const Task>(f) };
        // SAFETY: the caller holds `turn`, the gate is shut and nobody is inside: no other access to `job`.
        unsafe { *self.job.0.get() = Job { f, bounds } };
        self.reset(bounds);
        let tasks = bounds[bounds.len() - 1] - bounds[0];
        let epoch = self.gate.0.load(Ordering::Relaxed) & !(EPOCH - 1);
        // A worker counts itself as a sleeper before it looks at the gate for the last time, both sequentially
        // consistent as are this store and the load: it sees the open gate or is seen here. That is why release does
        // not suffice.
        self.gate.0.store(epoch.wrapping_add(EPOCH) | OPEN, Ordering::SeqCst);
        let sleepers = self.sleepers.0.load(Ordering::SeqCst);
        if sleepers > 0 {
            drop(lock(&self.sleep));
            for _ in 0..sleepers.min(tasks - 1) {
                self.wake.notify_one();
            }
        }
    }

    /// Takes tasks until there are none left. The first panic is kept and ends the hand-out.
    fn help(&self, thread: usize, bounds: &[usize], f: &(dyn Fn(usize, &mut [f32]) + Sync)) {
        let _mark = InTask::enter();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: only this thread uses this scratch: a worker has its own, the caller's is guarded by `turn`.
            let scratch = unsafe { &mut *self.scratch[thread].0.get() };
            let lists = bounds.len() - 1;
            for turn in 0..lists {
                let list = (thread + turn) % lists;
                let (first, end) = (bounds[list], bounds[list + 1]);
                loop {
                    let taken = self.next[list].0.fetch_add(1, Ordering::Relaxed);
                    if taken >= end - first {
                        break;
                    }
                    f(first + taken, scratch);
                }
            }
        }));
        if let Err(payload) = outcome {
            // No further task begins.
            self.next.iter().for_each(|next| next.0.store(SPENT, Ordering::Relaxed));
            self.panicked.store(true, Ordering::Relaxed);
            lock(&self.panic).get_or_insert(payload);
        }
    }

    fn shut(&self) {
        self.gate.0.fetch_and(!OPEN, Ordering::AcqRel);
        let empty = || self.gate.0.load(Ordering::Acquire) & INSIDE == 0;
        if self.spin_until(empty) {
            return;
        }
        let mut guard = lock(&self.sleep);
        while !empty() {
            guard = self.done.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn spin_until(&self, ready: impl Fn() -> bool) -> bool {
        if ready() {
            return true;
        }
        if self.spin.is_zero() {
            return false;
        }
        let mut begin = None;
        loop {
            for _ in 0..LOOKS {
                std::hint::spin_loop();
                if ready() {
                    return true;
                }
            }
            if begin.get_or_insert_with(Instant::now).elapsed() > self.spin {
                return false;
            }
        }
    }

    /// The life of a worker.
    fn work(&self, thread: usize) {
        let mut served = 0;
        loop {
            let calls = |gate: u64| gate & OPEN != 0 && gate & !(EPOCH - 1) != served;
            let stop = || self.stop.load(Ordering::SeqCst);
            if !self.spin_until(|| calls(self.gate.0.load(Ordering::Acquire)) || stop()) {
                let mut guard = lock(&self.sleep);
                self.sleepers.0.fetch_add(1, Ordering::SeqCst);
                while !calls(self.gate.0.load(Ordering::SeqCst)) && !stop() {
                    guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
                }
                self.sleepers.0.fetch_sub(1, Ordering::SeqCst);
            }
            if stop() {
                return;
            }
            let mut gate = self.gate.0.load(Ordering::Acquire);
            while calls(gate) {
                match self.gate.0.compare_exchange_weak(gate, gate + 1, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => {
                        served = gate & !(EPOCH - 1);
                        self.serve(thread);
                        break;
                    }
                    Err(seen) => gate = seen,
                }
            }
        }
    }

    /// Works on the open job from inside the gate, then leaves.
    fn serve(&self, thread: usize) {
        // SAFETY: inside the gate, so `job` was written before it opened and is not written until we leave.
        let job = unsafe { *self.job.0.get() };
        // SAFETY: the closure lives until `run_lists` returns, which waits for us to leave.
        let f = unsafe { &*job.f };
        // SAFETY: as above.
        let bounds = unsafe { &*job.bounds };
        self.help(thread, bounds, f);
        let before = self.gate.0.fetch_sub(1, Ordering::AcqRel);
        if before & INSIDE == 1 && before & OPEN == 0 {
            // The caller may be parked; taking the lock means that it is either waiting or will look again.
            drop(lock(&self.sleep));
            self.done.notify_all();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn is_shareable() {
        fn check<T: Send + Sync>() {}
        check::<Pool>();
    }

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads);
            for tasks in [0, 1, 2, 3, 7, 100] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn many_tiny_runs() {
        for threads in [2, 8] {
            let pool = Pool::new(threads);
            let sum = AtomicUsize::new(0);
            for _ in 0..5000 {
                pool.run(3, &|i| {
                    sum.fetch_add(i, Ordering::Relaxed);
                });
            }
            assert_eq!(sum.load(Ordering::Relaxed), 15_000);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_stays_usable() {
        for threads in [1, 2, 8] {
            let pool = Pool::new(threads);
            for _ in 0..20 {
                let outcome =
                    catch_unwind(AssertUnwindSafe(|| pool.run(10, &|i| assert!(i != 4, "task four"))));
                let payload = outcome.unwrap_err();
                assert_eq!(payload.downcast_ref::<&str>(), Some(&"task four"));
                let sum = AtomicUsize::new(0);
                pool.run(10, &|i| {
                    sum.fetch_add(i, Ordering::Relaxed);
                });
                assert_eq!(sum.load(Ordering::Relaxed), 45);
            }
        }
    }

    #[test]
    fn lists_hand_out_every_index_once_each_in_order() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads);
            // More lists than threads, empty ones, a beginning above 0, more than the pool can count.
            let many: Vec<usize> = (0..100).collect();
            for bounds in [&[0, 5][..], &[0, 3, 3, 10, 11], &[4, 4, 9], &[7, 7], &many] {
                let (first, end) = (bounds[0], bounds[bounds.len() - 1]);
                let seen = Mutex::new(Vec::new());
                pool.run_lists(bounds, &|i, scratch| {
                    assert_eq!(scratch.len(), SCRATCH_FLOATS);
                    scratch[i] = i as f32;
                    lock(&seen).push(i);
                });
                let mut seen = seen.into_inner().unwrap();
                if threads == 1 {
                    assert!(seen.is_sorted());
                }
                seen.sort_unstable();
                assert_eq!(seen, (first..end).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_scratch_belongs_to_one_thread() {
        let pool = Pool::new(3);
        std::thread::scope(|scope| {
            for caller in 0..3 {
                let pool = &pool;
                scope.spawn(move || {
                    for _ in 0..100 {
                        pool.run_scratch(6, &|i, scratch| {
                            let mark = (caller * 10 + i) as f32;
                            scratch[..64].fill(mark);
                            std::thread::yield_now();
                            assert!(scratch[..64].iter().all(|&v| v == mark));
                        });
                    }
                });
            }
        });
    }

    #[test]
    fn nesting_is_refused_for_every_thread_count() {
        for threads in [1, 3] {
            let (pool, other) = (Pool::new(threads), Pool::new(1));
            let outcome = catch_unwind(AssertUnwindSafe(|| pool.run(4, &|_| other.run(1, &|_| ()))));
            let payload = outcome.unwrap_err();
            assert!(payload.downcast_ref::<&str>().unwrap().contains("nesting"));
            pool.run(4, &|_| ());
        }
    }

    #[test]
    fn concurrent_callers_take_turns() {
        let pool = Pool::new(3);
        let sum = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        pool.run(5, &|i| {
                            sum.fetch_add(i, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(sum.load(Ordering::Relaxed), 4 * 200 * 10);
    }

    #[test]
    fn workers_park_and_wake() {
        let pool = Pool::new(2);
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(2));
            // Both tasks wait for each other, so the worker must have woken.
            let arrived = AtomicUsize::new(0);
            pool.run(2, &|_| {
                arrived.fetch_add(1, Ordering::SeqCst);
                while arrived.load(Ordering::SeqCst) < 2 {
                    std::thread::yield_now();
                }
            });
        }
    }
}
