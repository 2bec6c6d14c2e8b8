//! Batches for the trainer from any maker of samples. A batch is a function of seed, epoch and index, so there is no state to
//! keep.

use crate::error::{Result, bail};
use hrnet_data::loader::{BatchPlan, Batches, Position, Samples, TrainSample};
use hrnet_ir::Tensor;
use hrnet_train::{Batch, BatchSource, BoxError, Target};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Makes a batch of the samples of a place in the run.
type Collate<S> = Box<dyn Fn(Vec<S>, Position) -> Result<Batch, BoxError> + Send>;

/// Batches made ahead by the loader, restarted where the trainer asks for another place.
struct Ahead<M: Samples> {
    maker: Arc<M>,
    plan: BatchPlan,
    epochs: u64,
    ahead: Option<Batches<M>>,
    collate: Collate<M::Sample>,
    waited: Arc<AtomicU64>,
}

/// Batches of which each process makes its part.
trait Shares: BatchSource {
    fn share(&mut self, part: usize, parts: usize);
}

/// A source of any task.
pub(crate) struct Source {
    inner: Box<dyn Shares>,
    batch: usize,
    parts: usize,
    waited: Arc<AtomicU64>,
}

impl Source {
    pub(crate) fn new<M: Samples>(
        maker: Arc<M>,
        mut plan: BatchPlan,
        epochs: u64,
        collate: impl Fn(Vec<M::Sample>, Position) -> Result<Batch, BoxError> + Send + 'static,
    ) -> Result<Self> {
        maker.check()?;
        let samples = maker.len();
        if samples == 0 {
            bail!("the training set has no samples");
        }
        if plan.batch_size > samples {
            log::info!(
                "train.batch is {}, the training set has {samples}: every batch is the whole set",
                plan.batch_size
            );
            plan.batch_size = samples;
        }
        let batch = plan.batch_size;
        let waited = Arc::new(AtomicU64::new(0));
        let collate: Collate<M::Sample> = Box::new(collate);
        let inner = Box::new(Ahead { maker, plan, epochs, ahead: None, collate, waited: waited.clone() });
        Ok(Self { inner, batch, parts: 1, waited })
    }

    /// Samples of a batch, of all processes.
    pub(crate) fn batch_size(&self) -> usize {
        self.batch
    }

    /// From now on makes one part of every batch; the others are made by other processes.
    pub(crate) fn share(&mut self, part: usize, parts: usize) {
        self.inner.share(part, parts);
        self.parts = parts;
    }

    /// Microseconds that the trainer has waited for data.
    pub(crate) fn waited(&self) -> Arc<AtomicU64> {
        self.waited.clone()
    }
}

impl BatchSource for Source {
    fn batches_per_epoch(&self) -> u64 {
        self.inner.batches_per_epoch()
    }

    fn batch(&mut self, epoch: u64, index: u64) -> Result<Batch, BoxError> {
        self.inner.batch(epoch, index)
    }

    /// Where a run continues with another number of processes, its sums round differently: a checkpoint says how many.
    fn state(&self) -> String {
        if self.parts > 1 { format!("{PARTS}{}", self.parts) } else { String::new() }
    }
}

/// Begins the state of a source that several processes share.
const PARTS: &str = "processes ";

/// How many processes a state is of.
pub(crate) fn parts(state: &str) -> usize {
    state.strip_prefix(PARTS).and_then(|n| n.parse().ok()).unwrap_or(1)
}

impl<M: Samples> Shares for Ahead<M> {
    fn share(&mut self, part: usize, parts: usize) {
        self.plan.part = [part, parts];
        self.ahead = None;
    }
}

impl<M: Samples> BatchSource for Ahead<M> {
    fn batches_per_epoch(&self) -> u64 {
        self.plan.batches_per_epoch(self.maker.len())
    }

    fn batch(&mut self, epoch: u64, index: u64) -> Result<Batch, BoxError> {
        let started = Instant::now();
        let place = Position { epoch, batch: index };
        let batches = match self.ahead.take() {
            Some(batches) if batches.position() == place => batches,
            _ => Batches::new(self.maker.clone(), self.plan, place, self.epochs.max(epoch + 1))?,
        };
        let batch = self.ahead.insert(batches).next().ok_or("the loader ended before its last epoch")??;
        let batch = (self.collate)(batch.samples, place);
        self.waited.fetch_add(started.elapsed().as_micros() as u64, Ordering::Relaxed);
        batch
    }
}

/// Samples side by side: the inputs of a batch.
pub(crate) fn stack<'a>(
    inputs: impl ExactSizeIterator<Item = &'a [f32]>,
    [h, w]: [usize; 2],
) -> Result<Tensor, BoxError> {
    let n = inputs.len();
    let mut data = Vec::with_capacity(n * 3 * h * w);
    inputs.for_each(|input| data.extend_from_slice(input));
    Ok(Tensor::new([n, 3, h, w], data)?)
}

/// A batch with heat-map targets.
pub(crate) fn heatmaps(
    samples: &[TrainSample],
    size: [usize; 2],
    [map_h, map_w]: [usize; 2],
) -> Result<Batch, BoxError> {
    let input = stack(samples.iter().map(|s| &s.input[..]), size)?;
    let (n, points) = (samples.len(), samples.first().map_or(0, |s| s.weight.len()));
    let maps = samples.first().map_or(0, |s| s.target.len() / (map_h * map_w).max(1));
    let join = |part: fn(&TrainSample) -> &[f32]| -> Vec<f32> {
        samples.iter().flat_map(|s| part(s).iter().copied()).collect()
    };
    let maps = Tensor::new([n, maps, map_h, map_w], join(|s| &s.target))?;
    let weights = Some(Tensor::new([n, points], join(|s| &s.weight))?);
    Ok(Batch { input, target: Target::Heatmaps { maps, weights } })
}
