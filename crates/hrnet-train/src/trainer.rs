//! The loop, top to bottom: batch, forward, loss, backward, optimiser, running statistics, average.
//!
//! Everything that the next step depends on is a field that a checkpoint holds. A step with a non-finite loss or
//! gradient leaves no trace but a counter; several in a row end the run.

use crate::checkpoint::{Checkpoint, Meta};
use crate::dropout::Draw;
use crate::error::{BoxError, CheckpointError, TapeError, TrainError};
use crate::freeze::{self, Freeze, LayerRate, Statistics};
use crate::loss::{Objective, Target};
use crate::optim::{Ema, Optimizer, OptimizerConfig};
use crate::par;
use crate::reduce::{Alone, Reduce};
use crate::schedule::Schedule;
use crate::tape::Tape;
use hrnet_ir::{Net, Tensor, Weights};
use hrnet_kernels::{Isa, Pool};
use std::sync::Arc;

/// A batch to learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Normalised images, `[n, 3, h, w]`.
    pub input: Tensor,
    /// What the network should say.
    pub target: Target,
}

/// Where batches come from. A batch must be a function of epoch and index (and of a seed that the source holds), or
/// the source must carry its state through [`BatchSource::state`]: only then is a resumed run the uninterrupted one.
pub trait BatchSource {
    /// Batches in an epoch.
    fn batches_per_epoch(&self) -> u64;

    /// Batch `index` of epoch `epoch`, both from 0.
    fn batch(&mut self, epoch: u64, index: u64) -> Result<Batch, BoxError>;

    /// State for the checkpoint, where the source has any.
    fn state(&self) -> String {
        String::new()
    }

    /// Takes the state of a checkpoint back.
    fn restore(&mut self, _state: &str) -> Result<(), BoxError> {
        Ok(())
    }
}

/// What the loop does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Return; a later `fit` goes on from here.
    Stop,
}

/// Sees every step: progress, logs, evaluation, checkpoints.
pub trait Observer {
    /// After each batch.
    fn after_step(&mut self, trainer: &mut Trainer, report: &StepReport) -> Result<Control, BoxError> {
        let _ = (trainer, report);
        Ok(Control::Continue)
    }

    /// After each epoch, counted from 0.
    fn after_epoch(&mut self, trainer: &mut Trainer, epoch: u64) -> Result<Control, BoxError> {
        let _ = (trainer, epoch);
        Ok(Control::Continue)
    }
}

/// How a run of the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FitEnd {
    /// All epochs are done.
    Finished,
    /// The observer stopped it.
    Stopped,
}

/// How to train.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Instruction set of the kernels.
    pub isa: Isa,
    /// Threads.
    pub pool: Arc<Pool>,
    /// The losses on the network's outputs.
    pub loss: Objective,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// Learning rates; a step of the schedule is one batch.
    pub schedule: Schedule,
    /// Batches in an epoch, for the schedule; [`Trainer::fit`] takes it from its source.
    pub batches_per_epoch: u64,
    /// Seed of dropout; recorded in checkpoints, for the batch source too.
    pub seed: u64,
    /// Decay of an average of the weights.
    pub ema: Option<f64>,
    /// Largest gradient norm; gradients above it are scaled down as by PyTorch's `clip_grad_norm_`.
    pub clip_norm: Option<f64>,
    /// Batches per optimiser step; their losses are averaged.
    pub accumulate: u32,
    /// Keep only the inputs of chains of layers and compute what is inside again in the backward pass: less memory, more
    /// time, the same bits.
    pub recompute: bool,
    /// Which layers and statistics do not learn.
    pub freeze: Freeze,
    /// Factors on the learning rates of some layers.
    pub layer_rates: Vec<LayerRate>,
    /// Whether the network's dropout drops.
    pub dropout: bool,
    /// The other processes that train on shares of the same batches.
    pub reduce: Arc<dyn Reduce>,
    /// Whether batch norms take their statistics over all processes.
    pub sync_batch_norm: bool,
    /// So many non-finite steps in a row are an error.
    pub max_bad_steps: u32,
    /// The configuration as text, recorded in checkpoints.
    pub config: String,
}

impl TrainOptions {
    /// Options with a constant rate, one batch per step, no average, no clipping.
    pub fn new(
        isa: Isa,
        pool: Arc<Pool>,
        loss: impl Into<Objective>,
        optimizer: OptimizerConfig,
        rate: f64,
    ) -> Self {
        Self {
            isa,
            pool,
            loss: loss.into(),
            optimizer,
            schedule: Schedule::constant(rate),
            batches_per_epoch: 1,
            seed: 0,
            ema: None,
            clip_norm: None,
            accumulate: 1,
            recompute: false,
            freeze: Freeze::default(),
            layer_rates: Vec::new(),
            dropout: true,
            reduce: Arc::new(Alone),
            sync_batch_norm: true,
            max_bad_steps: 10,
            config: String::new(),
        }
    }

    fn check(&self) -> Result<(), TrainError> {
        let fail = |name, value: String, wanted| Err(TrainError::Option { name, value, wanted });
        self.optimizer.check()?;
        self.schedule.check()?;
        if let Some(decay) = self.ema.filter(|d| !(0.0..1.0).contains(d)) {
            return fail("ema", decay.to_string(), "at least 0, below 1");
        }
        if let Some(norm) = self.clip_norm.filter(|n| n.is_nan() || *n <= 0.0) {
            return fail("clip_norm", norm.to_string(), "above 0");
        }
        if self.accumulate == 0 {
            return fail("accumulate", "0".into(), "1 or more");
        }
        if self.max_bad_steps == 0 {
            return fail("max_bad_steps", "0".into(), "1 or more");
        }
        Ok(())
    }
}

/// Why a step changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// The loss was NaN or infinite.
    Loss,
    /// The gradient was NaN or infinite.
    Gradient,
}

impl std::fmt::Display for SkipReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SkipReason::Loss => "the loss is not finite",
            SkipReason::Gradient => "the gradient is not finite",
        })
    }
}

/// What a batch did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Optimiser steps done, this one included.
    pub step: u64,
    /// Epoch of the batch, from 0.
    pub epoch: u64,
    /// Position of the batch in its epoch, from 0.
    pub index: u64,
    /// Its loss.
    pub loss: f64,
    /// Norm of the gradient before clipping, where an optimiser step was due.
    pub grad_norm: Option<f64>,
    /// The learning rate.
    pub rate: f64,
    /// Whether the parameters changed.
    pub updated: bool,
    /// Why they did not, if something was wrong.
    pub skipped: Option<SkipReason>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Optimiser steps done.
    pub step: u64,
    /// Epoch of the next batch.
    pub epoch: u64,
    /// The next batch within its epoch.
    pub index: u64,
    /// Epochs that the observer has seen end.
    pub epochs_reported: u64,
    /// Batches in the gradients so far, below `accumulate`.
    pub pending: u32,
    /// Steps skipped in all.
    pub skipped: u64,
    /// Steps skipped since the last good one.
    pub bad_in_a_row: u32,
}

/// A network in training.
#[derive(Debug)]
pub struct Trainer {
    tape: Tape,
    options: TrainOptions,
    optimizer: Optimizer,
    ema: Option<Ema>,
    progress: Progress,
    best: Option<f64>,
    source_state: String,
    observer_state: String,
    /// Values of each output and their gradients.
    outputs: Vec<Vec<f32>>,
    output_grads: Vec<Vec<f32>>,
    losses: Vec<f64>,
}

impl Trainer {
    /// A trainer from initial weights for batches of shape `[n, 3, h, w]`.
    pub fn new(
        net: &Net,
        weights: &Weights,
        options: TrainOptions,
        input: [usize; 4],
    ) -> Result<Self, TrainError> {
        options.check()?;
        let (isa, pool) = (options.isa, options.pool.clone());
        let mut tape = Tape::with_memory(net, weights, isa, pool, input, options.recompute)?;
        options.loss.check(net)?;
        freeze::check(&tape.params, &options.freeze, &options.layer_rates)?;
        tape.freeze_statistics(|name| match options.freeze.statistics {
            Statistics::Batch => false,
            Statistics::FrozenLayers => options.freeze.holds(name),
            Statistics::Running => true,
        });
        if options.reduce.size() > 1 {
            tape.share(options.reduce.clone(), options.sync_batch_norm);
        }
        let optimizer =
            Optimizer::new(options.optimizer, &tape.params, &options.freeze, &options.layer_rates);
        let ema = options.ema.map(|decay| Ema::new(decay, &tape.params));
        Ok(Self {
            tape,
            options,
            optimizer,
            ema,
            progress: Progress::default(),
            best: None,
            source_state: String::new(),
            observer_state: String::new(),
            outputs: vec![Vec::new(); net.outputs().len()],
            output_grads: vec![Vec::new(); net.outputs().len()],
            losses: Vec::new(),
        })
    }

    /// A trainer that goes on where a checkpoint was taken. Options may differ in rate, loss, seed and threads; the
    /// optimiser must be of the same kind. The average starts anew when the checkpoint has none.
    pub fn resume(net: &Net, checkpoint: &Checkpoint, options: TrainOptions) -> Result<Self, TrainError> {
        let meta = &checkpoint.meta;
        let mut trainer = Self::new(net, &checkpoint.weights, options, meta.input)?;
        let config = trainer.options.optimizer;
        if meta.optimizer != config.name() {
            let (wanted, found) = (config.name().to_string(), meta.optimizer.clone());
            return Err(CheckpointError::Optimizer { wanted, found }.into());
        }
        let params = &trainer.tape.params;
        let read = |group: &str, weights: &Weights, all: bool| -> Result<(Vec<f32>, Vec<f32>), TrainError> {
            let (mut values, mut buffers) = (Vec::new(), Vec::new());
            for slot in &params.slots {
                let home = match slot.role.is_trainable() {
                    true => &mut values,
                    false if all => &mut buffers,
                    false => continue,
                };
                match weights.get(&slot.name) {
                    Some(t) if t.shape() == slot.shape => home.extend_from_slice(t.data()),
                    _ => {
                        let name = format!("{group}/{}", slot.name);
                        return Err(CheckpointError::Tensor { name }.into());
                    }
                }
            }
            Ok((values, buffers))
        };
        for (i, name) in config.state_names().iter().enumerate() {
            let group = checkpoint.optimizer.iter().find(|(n, _)| n == name).map(|(_, w)| w);
            let group = group.ok_or_else(|| CheckpointError::Tensor { name: format!("optimizer.{name}") })?;
            trainer.optimizer.state[i] = read(&format!("optimizer.{name}"), group, false)?.0;
        }
        trainer.optimizer.steps = meta.optimizer_steps;
        if let (Some(ema), Some(weights)) = (&mut trainer.ema, &checkpoint.ema) {
            (ema.values, ema.buffers) = read("ema", weights, true)?;
            ema.updates = meta.ema_updates;
        }
        let gradients = checkpoint.gradients.as_ref().map(|g| read("gradient", g, false)).transpose()?;
        match gradients {
            Some((grads, _)) => trainer.tape.params.grads = grads,
            None if meta.pending > 0 => {
                return Err(CheckpointError::Tensor { name: "gradient/*".into() }.into());
            }
            None => {}
        }
        trainer.progress = Progress {
            step: meta.step,
            epoch: meta.epoch,
            index: meta.index,
            epochs_reported: meta.epochs_reported,
            pending: meta.pending,
            skipped: meta.skipped,
            bad_in_a_row: meta.bad_in_a_row,
        };
        trainer.options.batches_per_epoch = meta.batches_per_epoch;
        trainer.best = meta.best.map(f64::from_bits);
        trainer.source_state = meta.source_state.clone();
        trainer.observer_state = meta.observer_state.clone();
        Ok(trainer)
    }

    /// Learns from the batches of a source until `epochs` epochs are done, from wherever the run stands.
    pub fn fit(
        &mut self,
        source: &mut dyn BatchSource,
        epochs: u64,
        observer: &mut dyn Observer,
    ) -> Result<FitEnd, TrainError> {
        let place = |p: &Progress| (p.epoch, p.index);
        if !self.source_state.is_empty() {
            let (epoch, index) = place(&self.progress);
            let restored = source.restore(&self.source_state);
            restored.map_err(|source| TrainError::Source { epoch, index, source })?;
        }
        loop {
            while self.progress.epochs_reported < self.progress.epoch {
                let epoch = self.progress.epochs_reported;
                let control = observer.after_epoch(self, epoch);
                let step = self.progress.step;
                let control = control.map_err(|source| TrainError::Observer { step, source })?;
                // An end of an epoch that failed comes again after a resume.
                self.progress.epochs_reported = epoch + 1;
                if control == Control::Stop {
                    return Ok(FitEnd::Stopped);
                }
            }
            let (epoch, index) = place(&self.progress);
            if epoch >= epochs {
                return Ok(FitEnd::Finished);
            }
            self.options.batches_per_epoch = source.batches_per_epoch();
            if self.options.batches_per_epoch == 0 {
                return Err(TrainError::NoBatches { epoch });
            }
            let batch =
                source.batch(epoch, index).map_err(|source| TrainError::Source { epoch, index, source })?;
            self.source_state = source.state();
            let report = self.step(&batch)?;
            let control = observer.after_step(self, &report);
            let step = self.progress.step;
            if control.map_err(|source| TrainError::Observer { step, source })? == Control::Stop {
                return Ok(FitEnd::Stopped);
            }
        }
    }

    /// Learns from one batch. When an exchange with other processes fails, the trainer stands where it stood before.
    pub fn step(&mut self, batch: &Batch) -> Result<StepReport, TrainError> {
        let before = self.progress;
        let report = self.attempt(batch);
        if matches!(report, Err(TrainError::Shared { .. } | TrainError::Tape(TapeError::Shared { .. }))) {
            self.progress = before;
        }
        report
    }

    fn attempt(&mut self, batch: &Batch) -> Result<StepReport, TrainError> {
        let input = batch.input.dims4().ok_or_else(|| TapeError::Length {
            what: "input",
            shape: self.tape.input_shape(),
            wanted: self.tape.input_shape().iter().product(),
            found: batch.input.len(),
        })?;
        self.tape.set_input_shape(input)?;
        let Progress { epoch, index, .. } = self.progress;
        let per_epoch = self.options.batches_per_epoch.max(1);
        let rate =
            self.options.schedule.rate(epoch.saturating_mul(per_epoch).saturating_add(index), per_epoch);
        if self.progress.pending == 0 {
            self.tape.zero_gradients();
        }

        let first_image = (self.options.reduce.rank() as u64).wrapping_mul(input[0] as u64);
        let draw = Draw { seed: self.options.seed, epoch, index, first_image };
        self.tape.set_draw(self.options.dropout.then_some(draw));
        self.tape.forward(batch.input.data())?;
        let mut shapes = Vec::with_capacity(self.outputs.len());
        for (i, (output, grad)) in self.outputs.iter_mut().zip(&mut self.output_grads).enumerate() {
            let shape = self.tape.output_shape(i);
            let len = shape.iter().product();
            output.resize(len, 0.0);
            grad.resize(len, 0.0);
            self.tape.read_output(i, output)?;
            shapes.push(shape);
        }
        let pool = self.options.pool.clone();
        // Every process has its share of the batch.
        let size = self.options.reduce.size() as f64;
        let scale = 1.0 / (f64::from(self.options.accumulate) * size);
        let (outputs, grads, target) = (&self.outputs, &mut self.output_grads, &batch.target);
        self.losses = self.options.loss.evaluate(&pool, outputs, &shapes, target, scale, grads)?;
        self.share_losses(&batch.target)?;
        let loss = self.options.loss.total(&self.losses);
        let mut report = StepReport {
            step: self.progress.step,
            epoch,
            index,
            loss,
            grad_norm: None,
            rate,
            updated: false,
            skipped: None,
        };
        self.advance();
        if !loss.is_finite() {
            return self.skip(report, SkipReason::Loss);
        }
        let grads: Vec<&[f32]> = self.output_grads.iter().map(Vec::as_slice).collect();
        if self.progress.pending + 1 < self.options.accumulate {
            self.tape.backward(&grads)?;
        } else {
            self.tape.backward_and_send(&grads)?;
            self.tape.params.clear_gradients(|name| self.options.freeze.holds(name));
        }
        self.progress.pending += 1;
        if self.progress.pending < self.options.accumulate {
            self.tape.commit_statistics();
            return Ok(report);
        }

        let norm = self.gradient_norm();
        report.grad_norm = Some(norm);
        if !norm.is_finite() {
            return self.skip(report, SkipReason::Gradient);
        }
        if let Some(max) = self.options.clip_norm {
            let factor = max / (norm + 1e-6);
            if factor < 1.0 {
                let factor = factor as f32;
                par::for_each_chunk(&pool, &mut self.tape.params.grads, |_, chunk| {
                    chunk.iter_mut().for_each(|g| *g *= factor);
                });
            }
        }
        let params = &mut self.tape.params;
        self.optimizer.step(&pool, &mut params.values, &params.grads, rate);
        self.tape.repack();
        self.tape.commit_statistics();
        if let Some(ema) = &mut self.ema {
            ema.update(&pool, &self.tape.params);
        }
        self.progress.pending = 0;
        self.progress.bad_in_a_row = 0;
        self.progress.step += 1;
        report.step = self.progress.step;
        report.updated = true;
        Ok(report)
    }

    /// The losses of the whole batch from those of the shares, and gradients to match. A loss that is a mean over what counts in its
    /// share (pixels with a label) weighs as much as there is of it.
    fn share_losses(&mut self, target: &Target) -> Result<(), TrainError> {
        let reduce = &self.options.reduce;
        let size = reduce.size() as f64;
        if size == 1.0 {
            return Ok(());
        }
        let own = self.options.loss.masses(target);
        let mut sums: Vec<f64> = self.losses.iter().zip(&own).map(|(loss, mass)| loss * mass).collect();
        sums.extend(&own);
        reduce.sum(&mut sums).map_err(|source| TrainError::Shared { step: self.progress.step, source })?;
        let (losses, masses) = sums.split_at(own.len());
        for (i, loss) in self.losses.iter_mut().enumerate() {
            let mass = if masses[i] > 0.0 { masses[i] } else { 1.0 };
            *loss = losses[i] / mass;
            let factor = (own[i] * size / mass) as f32;
            if factor != 1.0 {
                let pool = &self.options.pool;
                par::for_each_chunk(pool, &mut self.output_grads[i], |_, chunk| {
                    chunk.iter_mut().for_each(|g| *g *= factor);
                });
            }
        }
        Ok(())
    }

    fn advance(&mut self) {
        self.progress.index += 1;
        if self.progress.index >= self.options.batches_per_epoch.max(1) {
            self.progress.index = 0;
            self.progress.epoch += 1;
        }
    }

    fn skip(&mut self, mut report: StepReport, reason: SkipReason) -> Result<StepReport, TrainError> {
        let progress = &mut self.progress;
        progress.pending = 0;
        progress.skipped += 1;
        progress.bad_in_a_row += 1;
        if progress.bad_in_a_row >= self.options.max_bad_steps {
            let (step, in_a_row) = (progress.step, progress.bad_in_a_row);
            return Err(TrainError::Diverged { step, reason: reason.to_string(), in_a_row });
        }
        report.skipped = Some(reason);
        Ok(report)
    }

    /// The Euclidean norm of all gradients: an f64 sum per fixed piece, merged in order.
    fn gradient_norm(&self) -> f64 {
        let grads = &self.tape.params.grads;
        let pieces: Vec<&[f32]> = grads.chunks(par::CHUNK).collect();
        let sums = par::map(&self.options.pool, pieces.len(), |i| {
            // Eight running sums: one would wait for the addition before it.
            let mut sums = [0.0f64; 8];
            for chunk in pieces[i].chunks(8) {
                chunk.iter().zip(&mut sums).for_each(|(&g, sum)| *sum += f64::from(g) * f64::from(g));
            }
            sums.iter().sum::<f64>()
        });
        sums.iter().sum::<f64>().sqrt()
    }

    /// Everything needed to go on bit for bit, as one file.
    pub fn save(&self) -> Result<Vec<u8>, CheckpointError> {
        if self.options.reduce.size() > 1 && self.progress.pending > 0 {
            let why = "in the middle of an accumulated step the gradients are spread over several processes";
            return Err(CheckpointError::Encode(why.into()));
        }
        self.checkpoint().encode()
    }

    /// The same before it is encoded.
    pub fn checkpoint(&self) -> Checkpoint {
        let p = &self.progress;
        let params = &self.tape.params;
        let names = self.options.optimizer.state_names();
        Checkpoint {
            meta: Meta {
                config: self.options.config.clone(),
                seed: self.options.seed,
                isa: self.options.isa.name().to_string(),
                input: self.tape.input_shape(),
                optimizer: self.options.optimizer.name().to_string(),
                optimizer_steps: self.optimizer.steps,
                ema_updates: self.ema.as_ref().map_or(0, |e| e.updates),
                step: p.step,
                epoch: p.epoch,
                index: p.index,
                epochs_reported: p.epochs_reported,
                batches_per_epoch: self.options.batches_per_epoch,
                pending: p.pending,
                skipped: p.skipped,
                bad_in_a_row: p.bad_in_a_row,
                best: self.best.map(f64::to_bits),
                source_state: self.source_state.clone(),
                observer_state: self.observer_state.clone(),
            },
            weights: self.weights(),
            optimizer: names
                .iter()
                .zip(&self.optimizer.state)
                .map(|(name, state)| (name.to_string(), params.export_trainable(state)))
                .collect(),
            ema: self.ema_weights(),
            gradients: (p.pending > 0).then(|| params.export_trainable(&params.grads)),
        }
    }

    /// Parameters and buffers, ready for the engine.
    pub fn weights(&self) -> Weights {
        self.tape.weights()
    }

    /// Their average, if one is kept.
    pub fn ema_weights(&self) -> Option<Weights> {
        self.ema.as_ref().map(|ema| self.tape.params.export(&ema.values, &ema.buffers))
    }

    /// The gradients of the last step, after clipping.
    pub fn gradients(&self) -> Weights {
        self.tape.gradients()
    }

    /// The losses of the outputs in the last batch, before their weights.
    pub fn losses(&self) -> &[f64] {
        &self.losses
    }

    /// Where the run stands.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// The options; `batches_per_epoch` is that of the source.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// The tape, for its shapes and its memory use.
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// Begins to measure the time of every operation, or ends it; [`Tape::profile`] has the sums.
    pub fn set_profile(&mut self, on: bool) {
        self.tape.set_profile(on);
    }

    /// The best metric so far.
    pub fn best(&self) -> Option<f64> {
        self.best
    }

    /// What the observer put into the checkpoint.
    pub fn observer_state(&self) -> &str {
        &self.observer_state
    }

    /// State of the observer for the next checkpoint: sums over several steps, counts of evaluations.
    pub fn set_observer_state(&mut self, state: String) {
        self.observer_state = state;
    }

    /// Notes a metric; true when it is the best so far. NaN never is.
    pub fn note_metric(&mut self, value: f64, higher_is_better: bool) -> bool {
        let better = match self.best {
            None => !value.is_nan(),
            Some(best) if higher_is_better => value > best,
            Some(best) => value < best,
        };
        if better {
            self.best = Some(value);
        }
        better
    }
}
