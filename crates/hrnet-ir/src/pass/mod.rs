//! Passes: pure functions from a network and its weights to another network and its weights.

mod fold_bn;
pub use fold_bn::{FoldError, fold_batch_norm};
