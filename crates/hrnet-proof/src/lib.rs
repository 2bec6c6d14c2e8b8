//! What `hrnet` is held to: golden vectors of the official code, and slow, obvious programs to compare with.
//!
//! * [`formula`]: weights and inputs that anyone can recompute from their names.
//! * [`golden`]: files with the numbers that the official code gives for them.
//! * [`mod@reference`]: a training step in f64. That of inference is `hrnet_ir::interp`.
//! * [`verify`]: compares files of every kind with what the library computes.
//! * [`fixtures`]: where tests find golden files and data.
//!
//! `hrnet verify`, `hrnet bench` and tests use this crate; what predicts and trains does not.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod fixtures;
pub mod formula;
pub mod golden;
pub mod reference;
pub mod verify;
