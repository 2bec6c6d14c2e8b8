//! Shuffled batches of any kind of sample, made ahead by worker threads, delivered in order.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::LoaderError;
use crate::rng::{Purpose, Rng};

/// Makes the samples of a task. A sample is a pure function of the set, the seed, the epoch and its index.
pub trait Samples: Send + Sync + 'static {
    /// What is made.
    type Sample: Send + 'static;

    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there is nothing to learn from.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks settings that belong together, before the first sample.
    fn check(&self) -> Result<(), LoaderError>;

    /// Sample `index` of `epoch` under `seed`.
    fn sample(&self, seed: u64, epoch: u64, index: usize) -> Result<Self::Sample, LoaderError>;
}

/// Where a run is: the next batch to be delivered. This is all the state a checkpoint needs of the loader.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize,
)]
pub struct Position {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Batch within the epoch, from 0.
    pub batch: u64,
}

/// How batches are formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPlan {
    /// Samples per batch.
    pub batch_size: usize,
    /// Names the order and all augmentation.
    pub seed: u64,
    /// A new order each epoch, or set order.
    pub shuffle: bool,
    /// Leave out a last batch that is not full.
    pub drop_last: bool,
    /// Worker threads; 0 makes batches when they are asked for.
    pub threads: usize,
    /// Finished or half-made batches that may wait; bounds the memory.
    pub prefetch: usize,
    /// Which part of every batch is made, and of how many: each process of several has its own. A batch that does not
    /// divide has a shorter last part.
    pub part: [usize; 2],
}

impl BatchPlan {
    /// A shuffled plan for training with one worker and four batches ahead.
    pub fn training(batch_size: usize, seed: u64) -> Self {
        Self { batch_size, seed, shuffle: true, drop_last: true, threads: 1, prefetch: 4, part: [0, 1] }
    }

    /// Set order, nothing left out.
    pub fn evaluation(batch_size: usize) -> Self {
        Self { batch_size, seed: 0, shuffle: false, drop_last: false, threads: 1, prefetch: 4, part: [0, 1] }
    }

    /// Batches in one epoch of `samples` samples.
    pub fn batches_per_epoch(&self, samples: usize) -> u64 {
        let size = self.batch_size.max(1);
        (if self.drop_last { samples / size } else { samples.div_ceil(size) }) as u64
    }

    /// The order of the samples in an epoch.
    pub fn order(&self, samples: usize, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..samples).collect();
        if self.shuffle {
            Rng::new(self.seed, Purpose::Order, epoch, 0).shuffle(&mut order);
        }
        order
    }
}

/// Samples side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<S> {
    /// Which batch this is.
    pub position: Position,
    /// Index of each sample in the set.
    pub indices: Vec<usize>,
    /// The samples.
    pub samples: Vec<S>,
}

struct State<S> {
    claimed: u64,
    delivered: u64,
    ready: BTreeMap<u64, Result<Batch<S>, LoaderError>>,
    stop: bool,
}

struct Shared<M: Samples> {
    maker: Arc<M>,
    plan: BatchPlan,
    per_epoch: u64,
    end: u64,
    order: Mutex<Option<(u64, Arc<Vec<usize>>)>>,
    state: Mutex<State<M::Sample>>,
    changed: Condvar,
}

/// An iterator over batches. Dropping it stops its threads.
pub struct Batches<M: Samples> {
    shared: Arc<Shared<M>>,
    next: u64,
    workers: Vec<JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding a lock; even so, the data stays usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<M: Samples> Batches<M> {
    /// Starts at `from` and ends before epoch `end_epoch`.
    pub fn new(maker: Arc<M>, plan: BatchPlan, from: Position, end_epoch: u64) -> Result<Self, LoaderError> {
        maker.check()?;
        let per_epoch = plan.batches_per_epoch(maker.len());
        if plan.batch_size == 0 || per_epoch == 0 {
            return Err(LoaderError::Setting(format!(
                "a batch size of {} makes no batch of {} samples",
                plan.batch_size,
                maker.len()
            )));
        }
        if from.batch > per_epoch {
            return Err(LoaderError::Setting(format!(
                "cannot start at batch {} of an epoch of {per_epoch} batches; was the set or the batch size changed?",
                from.batch
            )));
        }
        let next = from.epoch.saturating_mul(per_epoch).saturating_add(from.batch);
        let end = end_epoch.saturating_mul(per_epoch);
        let state = State { claimed: next, delivered: next, ready: BTreeMap::new(), stop: false };
        let shared = Arc::new(Shared {
            maker,
            plan,
            per_epoch,
            end,
            order: Mutex::new(None),
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let mut workers = Vec::new();
        for i in 0..plan.threads {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("hrnet-loader-{i}"));
            match thread.spawn(move || shared.work()) {
                Ok(worker) => workers.push(worker),
                // With fewer threads, or none, the batches are the same.
                Err(_) => break,
            }
        }
        Ok(Self { shared, next, workers })
    }

    /// Batches in one epoch.
    pub fn per_epoch(&self) -> u64 {
        self.shared.per_epoch
    }

    /// The batch that `next` will return.
    pub fn position(&self) -> Position {
        self.shared.position(self.next)
    }
}

impl<M: Samples> Iterator for Batches<M> {
    type Item = Result<Batch<M::Sample>, LoaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        let shared = &self.shared;
        if self.next >= shared.end {
            return None;
        }
        let ticket = self.next;
        self.next += 1;
        if self.workers.is_empty() {
            return Some(shared.produce(ticket));
        }
        let mut state = lock(&shared.state);
        loop {
            if let Some(batch) = state.ready.remove(&ticket) {
                state.delivered = ticket + 1;
                shared.changed.notify_all();
                return Some(batch);
            }
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<M: Samples> Drop for Batches<M> {
    fn drop(&mut self) {
        lock(&self.shared.state).stop = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            // A worker only ends by returning.
            let _ = worker.join();
        }
    }
}

impl<M: Samples> Shared<M> {
    fn position(&self, ticket: u64) -> Position {
        Position { epoch: ticket / self.per_epoch, batch: ticket % self.per_epoch }
    }

    fn work(&self) {
        let room = self.plan.prefetch.max(1) as u64;
        loop {
            let ticket = {
                let mut state = lock(&self.state);
                while !state.stop && state.claimed < self.end && state.claimed - state.delivered >= room {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if state.stop || state.claimed >= self.end {
                    return;
                }
                state.claimed += 1;
                state.claimed - 1
            };
            // A panic would leave the consumer waiting for ever.
            let batch = catch_unwind(AssertUnwindSafe(|| self.produce(ticket))).unwrap_or_else(|_| {
                let Position { epoch, batch } = self.position(ticket);
                Err(LoaderError::Worker { epoch, batch })
            });
            lock(&self.state).ready.insert(ticket, batch);
            self.changed.notify_all();
        }
    }

    fn order_of(&self, epoch: u64) -> Arc<Vec<usize>> {
        let mut cached = lock(&self.order);
        match &*cached {
            Some((e, order)) if *e == epoch => Arc::clone(order),
            _ => {
                let order = Arc::new(self.plan.order(self.maker.len(), epoch));
                *cached = Some((epoch, Arc::clone(&order)));
                order
            }
        }
    }

    fn produce(&self, ticket: u64) -> Result<Batch<M::Sample>, LoaderError> {
        let plan = &self.plan;
        let position = self.position(ticket);
        let order = self.order_of(position.epoch);
        let start = position.batch as usize * plan.batch_size;
        let whole = &order[start..(start + plan.batch_size).min(order.len())];
        let [part, parts] = plan.part;
        let share = whole.len().div_ceil(parts.max(1));
        let indices: Vec<usize> = whole.iter().copied().skip(part * share).take(share).collect();
        let make = |&index: &usize| self.maker.sample(plan.seed, position.epoch, index);
        let samples = indices.iter().map(make).collect::<Result<_, _>>()?;
        Ok(Batch { position, indices, samples })
    }
}
