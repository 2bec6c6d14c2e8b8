//! Training on the CPU: tape, losses, optimisers, schedules, trainer, checkpoints.
//!
//! The crate trains the same [`hrnet_ir::Net`] that the engine runs, from weights under the same names. It knows no
//! data sets: a [`Batch`] is an input `[n, 3, h, w]` with a [`Target`]. It writes no files: a checkpoint is bytes, and
//! the caller's [`Storage`] keeps them.
//!
//! * [`tape`]: forward in training mode and the reverse walk.
//! * [`loss`], [`optim`], [`schedule`]: the formulas, equal to PyTorch's step for step.
//! * [`trainer`]: the loop, from a [`BatchSource`] to an [`Observer`].
//! * [`mod@reference`]: the same step in f64, slow and obvious.
//! * [`checkpoint`]: everything a run needs to go on bit for bit.
//!
//! Determinism: for one ISA level the same seed and the same batches give the same bits, whatever the number of threads.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod checkpoint;
mod error;
pub mod init;
pub mod loss;
mod memory;
mod ops;
pub mod optim;
mod par;
mod params;
mod plan;
pub mod reference;
pub mod schedule;
pub mod storage;
pub mod tape;
pub mod trainer;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use error::TrainError;
pub use init::Init;
pub use loss::{HeatmapLoss, HeatmapMse, Loss, LossError, Objective, PixelLabels, Target, Term};
pub use optim::{Ema, OptimizerConfig};
pub use schedule::{Decay, Schedule, Warmup};
pub use storage::{Checkpoints, Loaded, Storage};
pub use tape::{Tape, TapeError};
pub use trainer::{
    Batch, BatchSource, BoxError, Control, FitEnd, Observer, SkipReason, StepReport, TrainOptions, Trainer,
};
