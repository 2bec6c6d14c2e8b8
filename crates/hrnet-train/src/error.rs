//! What can go wrong while training. Nothing here depends on another module of the crate.

use hrnet_ir::ShapeError;

/// An error of a batch source, an observer or an exchange between processes.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

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

/// Why a network cannot be trained.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TapeError {
    /// An operation without a backward pass.
    #[error("{node}: {op} is not trainable yet")]
    NotTrainable {
        /// Name of the node.
        node: String,
        /// What it computes.
        op: String,
    },
    /// A part of the network that no output depends on would never get a gradient.
    #[error("{node}: no output depends on it, so it cannot be trained")]
    Dead {
        /// Name of the node.
        node: String,
    },
    /// Batch statistics of a single value.
    #[error("{node}: batch norm needs more than one value per channel; use a larger batch or a larger image")]
    OneValue {
        /// Name of the node.
        node: String,
    },
    /// Weights that do not fit the network.
    #[error(
        "the weights do not fit the network: {missing} missing, {wrong} of another shape, first: {names}"
    )]
    Weights {
        /// Parameters that are absent.
        missing: usize,
        /// Parameters of another shape.
        wrong: usize,
        /// The first few names.
        names: String,
    },
    /// The input shape does not fit the network.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Buffers do not fit into memory.
    #[error("cannot allocate {bytes} bytes for activations and gradients; use a smaller batch or image")]
    Memory {
        /// What all buffers need.
        bytes: u64,
    },
    /// The values that a backward pass needs are gone.
    #[error("a tape that computes values again keeps them for one backward pass; run forward first")]
    Spent,
    /// The other processes of the run did not answer.
    #[error("another process of the run: {reason}")]
    Shared {
        /// What went wrong.
        reason: String,
    },
    /// A slice of another length than the tape's shapes say.
    #[error("{what}: {wanted} values wanted for shape {shape:?}, {found} found")]
    Length {
        /// What the slice is.
        what: &'static str,
        /// The shape it must have.
        shape: [usize; 4],
        /// The product of that shape.
        wanted: usize,
        /// The length of the slice.
        found: usize,
    },
}

/// A target that does not fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LossError {
    /// Another kind of target.
    #[error("the loss {loss} wants {wanted}, the batch has {found}")]
    Kind {
        /// Name of the loss.
        loss: &'static str,
        /// The kind it wants.
        wanted: &'static str,
        /// The kind it got.
        found: &'static str,
    },
    /// A tensor of another shape.
    #[error("{what} has shape {found:?}, the output needs {wanted:?}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// The shape that fits the output.
        wanted: Vec<usize>,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// A class that the network does not have.
    #[error("image {image} of the batch has class {label}, the network has {classes} classes (0 to {})", classes - 1)]
    Label {
        /// Position in the batch.
        image: usize,
        /// The class.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A class of a pixel that the network does not have.
    #[error(
        "image {image} of the batch, pixel ({x}, {y}): class {label}, but the network has {classes} classes (0 to {}) \
         and {ignore} is ignored; check the label map", classes - 1
    )]
    PixelLabel {
        /// Position in the batch.
        image: usize,
        /// Column of the pixel.
        x: usize,
        /// Row of the pixel.
        y: usize,
        /// The class.
        label: u8,
        /// Number of classes.
        classes: usize,
        /// The id that is ignored.
        ignore: u8,
    },
    /// A value of a loss's configuration.
    #[error("{option} = {value}: want {wanted}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is accepted.
        wanted: String,
    },
    /// Losses and outputs differ in number.
    #[error(
        "{losses} losses for a network with {outputs} outputs ({names}); give one loss per output, in that order"
    )]
    Outputs {
        /// Losses of the objective.
        losses: usize,
        /// Outputs of the network.
        outputs: usize,
        /// Their names.
        names: String,
    },
}

/// Why a checkpoint cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a checkpoint, or a damaged one.
    #[error("not a checkpoint, or a damaged one: {0}")]
    Malformed(String),
    /// A checksum does not match.
    #[error("damaged: the checksum of {part} does not match")]
    Checksum {
        /// A tensor or the header.
        part: String,
    },
    /// Written by a newer version of this program.
    #[error(
        "format version {found}, this program reads up to {supported}; use a newer hrnet, the file is intact"
    )]
    Future {
        /// Version of the file.
        found: u32,
        /// Newest known version.
        supported: u32,
    },
    /// A tensor that the network or the optimiser needs is absent or has another shape.
    #[error("tensor {name} is missing or has another shape than the network wants")]
    Tensor {
        /// Its name in the file.
        name: String,
    },
    /// State of another optimiser.
    #[error("the checkpoint has the state of {found}, the run is configured for {wanted}")]
    Optimizer {
        /// The configured one.
        wanted: String,
        /// The one in the file.
        found: String,
    },
    /// The writer refused.
    #[error("cannot encode the checkpoint: {0}")]
    Encode(String),
}
