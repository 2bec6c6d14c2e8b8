//! The one fixed thread pool.
//!
//! `Pool::run(tasks, f)` calls `f(0..tasks)`, each index once, on the workers and the calling thread. Indices
//! are handed out by one atomic counter: who computes what is free, what is computed is not.
//!
//! The gate is one 64-bit word, `epoch | open bit | workers inside`:
//!
//! 1. the caller writes the job while the gate is shut and nobody is inside, then opens it with a new epoch;
//! 2. a worker that sees an open gate with an epoch it has not served enters by compare-and-swap, works until
//!    the counter is used up, and leaves;
//! 3. the caller works too, shuts the gate, and waits until nobody is inside.
//!
//! A worker that wakes late finds the gate shut and is not waited for, so a descheduled thread costs nothing
//! (8 threads on 2 processors work). Waiting spins for some tens of microseconds, then parks; with more
//! threads than processors it parks at once.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

type Task = dyn Fn(usize) + Sync;

/// How long a waiting thread spins before it parks.
const SPIN: Duration = Duration::from_micros(40);
const INSIDE: u64 = (1 << 16) - 1;
const OPEN: u64 = 1 << 16;
const EPOCH: u64 = 1 << 17;

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
    gate: AtomicU64,
    job: UnsafeCell<Job>,
    next: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    stop: AtomicBool,
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    done: Condvar,
    spin: Duration,
}

#[derive(Clone, Copy)]
struct Job {
    tasks: usize,
    f: Option<*const Task>,
}

// SAFETY: `job` is written only by the caller that holds `turn`, while the gate is shut and nobody is inside,
// and read only by workers inside; the gate orders both. The pointer is to a `Sync` closure that outlives the
// open gate.
unsafe impl Sync for Shared {}
// SAFETY: as above; the raw pointer is the only part that is not `Send` by itself.
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
            gate: AtomicU64::new(0),
            job: UnsafeCell::new(Job { tasks: 0, f: None }),
            next: AtomicUsize::new(0),
            panic: Mutex::new(None),
            stop: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
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
            match builder.spawn(move || shared.work()) {
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
        assert!(
            !IN_TASK.with(Cell::get),
            "Pool::run called from inside a pool task: nesting is not supported"
        );
        if tasks == 0 {
            return;
        }
        if self.workers.is_empty() || tasks == 1 {
            let _mark = InTask::enter();
            (0..tasks).for_each(f);
            return;
        }
        let turn = lock(&self.turn);
        let shared = &*self.shared;
        shared.open(tasks, f);
        shared.help(tasks, f);
        shared.shut();
        let panic = lock(&shared.panic).take();
        drop(turn);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }
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
    fn open(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime changes. `run` does not return before the gate is shut and nobody is
        // inside, and workers use the pointer only while inside.
        let f = unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const Task>(f) };
        // SAFETY: the caller holds `turn`, the gate is shut and nobody is inside: no other access to `job`.
        unsafe { *self.job.get() = Job { tasks, f: Some(f) } };
        self.next.store(0, Ordering::Relaxed);
        let epoch = self.gate.load(Ordering::Relaxed) & !(EPOCH - 1);
        self.gate.store(epoch.wrapping_add(EPOCH) | OPEN, Ordering::SeqCst);
        // A worker counts itself as a sleeper before it looks at the gate for the last time, both
        // sequentially consistent with the store above: it sees the open gate or is seen here.
        let sleepers = self.sleepers.load(Ordering::SeqCst);
        if sleepers > 0 {
            drop(lock(&self.sleep));
            for _ in 0..sleepers.min(tasks - 1) {
                self.wake.notify_one();
            }
        }
    }

    /// Takes tasks until there are none left. The first panic is kept and ends the hand-out.
    fn help(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        let _mark = InTask::enter();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let task = self.next.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    break;
                }
                f(task);
            }
        }));
        if let Err(payload) = outcome {
            // No further task begins. The counter stays far below overflow: each thread adds at most one
            // more.
            self.next.store(tasks, Ordering::Relaxed);
            lock(&self.panic).get_or_insert(payload);
        }
    }

    fn shut(&self) {
        self.gate.fetch_and(!OPEN, Ordering::AcqRel);
        let empty = || self.gate.load(Ordering::Acquire) & INSIDE == 0;
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
        let begin = Instant::now();
        loop {
            for _ in 0..32 {
                if ready() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if begin.elapsed() > self.spin {
                return false;
            }
        }
    }

    /// The life of a worker.
    fn work(&self) {
        let mut served = 0;
        loop {
            let calls = |gate: u64| gate & OPEN != 0 && gate & !(EPOCH - 1) != served;
            let stop = || self.stop.load(Ordering::SeqCst);
            if !self.spin_until(|| calls(self.gate.load(Ordering::Acquire)) || stop()) {
                let mut guard = lock(&self.sleep);
                self.sleepers.fetch_add(1, Ordering::SeqCst);
                while !calls(self.gate.load(Ordering::SeqCst)) && !stop() {
                    guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
                }
                self.sleepers.fetch_sub(1, Ordering::SeqCst);
            }
            if stop() {
                return;
            }
            let mut gate = self.gate.load(Ordering::Acquire);
            while calls(gate) {
                match self.gate.compare_exchange_weak(gate, gate + 1, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => {
                        served = gate & !(EPOCH - 1);
                        self.serve();
                        break;
                    }
                    Err(seen) => gate = seen,
                }
            }
        }
    }

    /// Works on the open job from inside the gate, then leaves.
    fn serve(&self) {
        // SAFETY: inside the gate, so `job` was written before it opened and is not written until we leave.
        let job = unsafe { *self.job.get() };
        if let Some(f) = job.f {
            // SAFETY: the closure lives until `run` returns, which waits for us to leave.
            let f = unsafe { &*f };
            self.help(job.tasks, f);
        }
        let before = self.gate.fetch_sub(1, Ordering::AcqRel);
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
