//! Training on the CPU: tape, losses, optimisers, schedules, trainer, checkpoints.
//!
//! The crate trains the same [`hrnet_ir::Net`] that the engine runs, from weights under the same names. It knows no
//! data sets: a [`Batch`] is an input `[n, 3, h, w]` with a [`Target`]. It writes no files: a checkpoint is bytes, and
//! the caller's [`Storage`] keeps them.
//!
//! * [`tape`]: forward in training mode and the reverse walk.
//! * [`loss`], [`optim`], [`schedule`]: the formulas, equal to PyTorch's step for step.
//! * [`freeze`]: what does not learn, and rates by layer. [`mod@adapt`]: weights of one network as the start of another.
//! * [`mix`]: mixup and cutmix. [`dropout`]: which channels are dropped.
//! * [`reduce`]: the hook for training on several processes.
//! * [`trainer`]: the loop, from a [`BatchSource`] to an [`Observer`].
//! * [`checkpoint`]: everything a run needs to go on bit for bit.
//!
//! Determinism: for one ISA level the same seed and the same batches give the same bits, whatever the number of threads.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod adapt;
pub mod checkpoint;
pub mod dropout;
mod error;
pub mod freeze;
pub mod init;
pub mod loss;
mod memory;
pub mod mix;
mod ops;
pub mod optim;
mod par;
mod params;
mod plan;
pub mod reduce;
pub mod schedule;
pub mod storage;
pub mod tape;
pub mod trainer;

pub use adapt::{AdaptError, Adaptation, adapt};
pub use checkpoint::Checkpoint;
pub use error::{BoxError, CheckpointError, LossError, TapeError, TrainError};
pub use freeze::{Freeze, LayerRate, Statistics};
pub use init::Init;
pub use loss::{HeatmapLoss, HeatmapMse, Loss, Objective, PixelLabels, Target, Term};
pub use optim::{Ema, OptimizerConfig};
pub use reduce::Reduce;
pub use schedule::{Decay, Schedule, Warmup};
pub use storage::{Checkpoints, Loaded, Storage};
pub use tape::Tape;
pub use trainer::{
    Batch, BatchSource, Control, FitEnd, Observer, SkipReason, StepReport, TrainOptions, Trainer,
};
