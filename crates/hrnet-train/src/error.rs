//! What can go wrong while training.

use crate::checkpoint::CheckpointError;
use crate::loss::LossError;
use crate::tape::TapeError;
use crate::trainer::BoxError;

/// Why training could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The network, its weights or the input cannot be trained with.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// The target does not fit the loss or the output.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// A checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// An option out of range.
    #[error("option {name} = {value}: want {wanted}")]
    Option {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is accepted.
        wanted: &'static str,
    },
    /// A prefix that no parameter has.
    #[error("{option}: no parameter is named '{prefix}' or '{prefix}.*'; the network has {known}")]
    Prefix {
        /// The option.
        option: &'static str,
        /// The prefix.
        prefix: String,
        /// First parts of the names that exist.
        known: String,
    },
    /// The other processes of the run did not answer.
    #[error("step {step}: the exchange with the other processes failed: {source}")]
    Shared {
        /// Steps done.
        step: u64,
        /// The reason.
        source: BoxError,
    },
    /// Too many bad steps in a row.
    #[error(
        "step {step}: {reason}; bad steps in a row: {in_a_row}; the parameters are those before the first of them. \
         Lower the learning rate, lengthen the warm-up, clip gradients, or look for broken images or labels"
    )]
    Diverged {
        /// Steps done, skipped ones included.
        step: u64,
        /// What was found in the last one.
        reason: String,
        /// How many steps in a row were skipped.
        in_a_row: u32,
    },
    /// The batch source failed.
    #[error("epoch {epoch}, batch {index}: cannot make the batch: {source}")]
    Source {
        /// Epoch from 0.
        epoch: u64,
        /// Batch within the epoch from 0.
        index: u64,
        /// The reason.
        source: BoxError,
    },
    /// The batch source has no batches.
    #[error("epoch {epoch}: the batch source has no batches; a data set smaller than one batch gives none")]
    NoBatches {
        /// Epoch from 0.
        epoch: u64,
    },
    /// The observer failed.
    #[error("step {step}: {source}")]
    Observer {
        /// Steps done.
        step: u64,
        /// The reason.
        source: BoxError,
    },
}
