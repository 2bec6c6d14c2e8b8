//! Data sets: find, read, validate. One file per label format.

pub mod landmark_csv;
