//! `hrnet eval` as it is typed.

use super::{Compute, Points, Protocol, Task};
use crate::task::Find;
use clap::Args;
use std::path::PathBuf;

/// `hrnet eval`
#[derive(Debug, Args)]
pub struct Eval {
    /// What to measure [default: what the model is for]
    #[arg(long, value_enum)]
    pub task: Option<Task>,
    /// Labels: annotation file, list, or folder
    #[arg(long)]
    pub data: PathBuf,
    /// Folder of the images [default: `images` beside the labels]
    #[arg(long)]
    pub images: Option<PathBuf>,
    /// Model file [default: the built-in one for the task]
    #[arg(long, short)]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    pub points: Points,
    /// Average with the mirrored image
    #[arg(long)]
    pub flip: bool,
    /// Reproduce the published pre- and post-processing, quirks included
    #[arg(long, value_enum, default_value_t = Protocol::Default)]
    pub protocol: Protocol,
    /// Training CSV whose mean shape is measured as a baseline (faces)
    #[arg(long, value_name = "CSV")]
    pub mean_shape: Option<PathBuf>,
    /// Write a picture of the worst images into this file (PNG)
    #[arg(long, value_name = "FILE")]
    pub worst: Option<PathBuf>,
    /// Write a report into this file: one HTML page with figures, curves, tables, worst cases
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub compute: Compute,
}

impl Eval {
    /// How boxes are looked at.
    pub fn find(&self) -> Find {
        self.points.find(self.flip, self.protocol)
    }
}
