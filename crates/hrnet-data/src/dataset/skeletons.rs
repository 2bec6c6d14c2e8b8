//! What names of points say, from the table of sets: which set they are, which of them are left and right.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![deny(clippy::cast_possible_truncation, clippy::panic)]

pub use crate::sets::naming::{normal, pairs_from_names, without_other_side};
