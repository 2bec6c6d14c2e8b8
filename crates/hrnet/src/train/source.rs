//! Landmark batches for the trainer. A batch is a function of seed, epoch and index, so there is no state to keep.

use hrnet_data::loader::{BatchPlan, Batches, LandmarkSet, Position};
use hrnet_ir::Tensor;
use hrnet_train::{Batch, BatchSource, BoxError, Target};
use std::sync::Arc;

/// Batches made ahead by the loader, restarted where the trainer asks for another place.
pub(super) struct LandmarkBatches {
    set: Arc<LandmarkSet>,
    plan: BatchPlan,
    epochs: u64,
    ahead: Option<Batches>,
}

impl LandmarkBatches {
    pub(super) fn new(set: Arc<LandmarkSet>, plan: BatchPlan, epochs: u64) -> Self {
        Self { set, plan, epochs, ahead: None }
    }
}

impl BatchSource for LandmarkBatches {
    fn batches_per_epoch(&self) -> u64 {
        self.plan.batches_per_epoch(self.set.len())
    }

    fn batch(&mut self, epoch: u64, index: u64) -> Result<Batch, BoxError> {
        let place = Position { epoch, batch: index };
        let batches = match self.ahead.take() {
            Some(batches) if batches.position() == place => batches,
            _ => Batches::new(self.set.clone(), self.plan.clone(), place, self.epochs.max(epoch + 1))?,
        };
        let batch = self.ahead.insert(batches).next().ok_or("the loader ended before its last epoch")??;
        let (n, points, spec) = (batch.indices.len(), self.set.points(), self.plan.spec);
        let input = Tensor::new([n, 3, spec.input.0, spec.input.1], batch.input)?;
        let maps = Tensor::new([n, points, spec.heatmap.0, spec.heatmap.1], batch.target)?;
        let weights = Some(Tensor::new([n, points], batch.weight)?);
        Ok(Batch { input, target: Target::Heatmaps { maps, weights } })
    }
}
