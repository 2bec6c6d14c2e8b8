//! What names of points say, from the table of sets: which set they are, which of them are left and right.

pub use crate::sets::naming::{normal, pairs_from_names, without_other_side};
