//! High-resolution networks: points, masks and classes from images.
//!
//! The parts are crates of their own: `hrnet-ir` (what a network is), `hrnet-formats` (weight files), `hrnet-engine` (inference),
//! `hrnet-train`, `hrnet-data` (labels, geometry, codecs, metrics). This crate joins them and owns all IO policy.
#![forbid(unsafe_code)]

pub mod config;
pub mod error;
pub mod io;
pub mod measure;
pub mod model;
pub mod npy;
pub mod output;
pub mod report;
pub mod result;
pub mod runner;
pub mod source;
mod stop;
pub mod tasks;
pub mod timing;
pub mod track;
pub mod train;
pub mod yacs;

pub use error::{Error, ErrorKind, Result};
pub use stop::{Interrupted, Stop, Watch};
