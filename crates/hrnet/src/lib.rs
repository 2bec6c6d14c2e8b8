//! High-resolution networks: points, masks and classes from images.
//!
//! The library behind the `hrnet` binary. The parts are crates of their own: `hrnet-ir` (what a network is),
//! `hrnet-formats` (weight files), `hrnet-engine` (inference), `hrnet-train`, `hrnet-data` (images, geometry, codecs,
//! metrics). This crate joins them and owns all IO policy.
#![forbid(unsafe_code)]

pub mod cli;
pub mod cmd;
pub mod config;
pub mod io;
pub mod measure;
pub mod model;
pub mod npy;
pub mod out;
pub mod outcome;
pub mod output;
pub mod report;
pub mod result;
pub mod runner;
pub mod source;
pub mod task;
pub mod timing;
pub mod track;
pub mod train;
pub mod view;
pub mod yacs;
