//! What an HRNet is: the network description, its weights, its meaning.
//!
//! * [`Model`] = [`Arch`] (trunk) + [`Head`]: a few numbers from which [`Model::build`] makes a [`Net`].
//! * [`Net`]: nodes over the closed set [`Op`], and parameters under their official state-dict names. No weights.
//! * [`Weights`]: tensors by name, from a checkpoint.
//! * [`sets`]: the one table of published sets of points and classes.
//! * [`interp`]: the slow, obvious executor that defines what every operation means.
//! * [`summary`]: parameters, multiply-accumulates and activations, without weights.
//!
//! ```
//! use hrnet_ir::{Arch, Head, Model};
//! let model = Model { arch: Arch::new(32), head: Head::Pose { joints: 17, kernel: 1, branch: 0 } };
//! let net = model.build()?;
//! assert_eq!(net.parameter_count(), 28_536_113);
//! assert_eq!(net.params()[0].name, "conv1.weight");
//! let shapes = net.shapes([1, 3, 256, 192])?;
//! assert_eq!(shapes[net.outputs()[0].value.index()], [1, 17, 64, 48]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate opens no file and holds no unsafe code; the only threads are the short-lived ones of [`par`].
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod arch;
mod backbone;
mod decoder;
mod heads;
pub mod interp;
mod net;
pub mod par;
pub mod pass;
pub mod scope;
pub mod sets;
pub mod shape;
pub mod summary;
mod task;
mod tensor;
mod verify;
mod weights;
pub mod zoo;

pub use arch::{
    Arch, Depth, Exchange, Fuse, MAX_OUTPUTS, MAX_REPEAT, MAX_WIDTH, Model, ModelError, Resolutions,
};
pub use decoder::Decoder;
pub use heads::{Head, PyramidPool};
pub use net::{BatchNorm, Conv, ConvTranspose, Net, Node, Op, Output, Param, ParamId, ParamRole, Value};
pub use shape::ShapeError;
pub use task::Task;
pub use tensor::{Tensor, TensorError, element_count};
pub use verify::{VerifyError, verify};
pub use weights::{Coverage, ShapeMismatch, Weights};

/// The example of README.md.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
