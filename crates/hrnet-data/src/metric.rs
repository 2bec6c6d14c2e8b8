//! Metrics: reset, update with one sample, compute.

pub mod nme;
pub mod oks;
