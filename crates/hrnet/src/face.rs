//! Landmark models judged on labelled faces, and written as one file with their recipe.

mod evaluate;
mod export;

pub use evaluate::{Evaluator, measure};
pub use export::export;
