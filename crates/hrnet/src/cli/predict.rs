//! `hrnet predict` as it is typed.

use super::{Compute, Points, Protocol, Task, parse_box};
use crate::task::Find;
use clap::Args;
use std::path::PathBuf;

/// `hrnet predict`
#[derive(Debug, Args)]
pub struct Predict {
    /// Image files, folders or glob patterns
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// What to look for [default: what the model is for; without a model, faces]
    #[arg(long, value_enum)]
    pub task: Option<Task>,
    /// Model file [default: the built-in one for the task]
    #[arg(long, short)]
    pub model: Option<PathBuf>,
    /// Where the face or person is: x,y,width,height in pixels; may be repeated [default: the whole image]
    #[arg(long = "box", value_name = "X,Y,W,H", value_parser = parse_box, allow_hyphen_values = true)]
    pub boxes: Vec<[f64; 4]>,
    /// Boxes per image: a CSV with columns image,x,y,w,h
    #[arg(long = "boxes", value_name = "FILE", conflicts_with = "boxes")]
    pub boxes_file: Option<PathBuf>,
    /// Move the box to the points found and look again, this many times
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=10))]
    pub refine: u8,
    /// Ignore the EXIF orientation of photos
    #[arg(long)]
    pub ignore_orientation: bool,
    #[command(flatten)]
    pub points: Points,
    /// Average with the mirrored image (twice the time, a little steadier)
    #[arg(long)]
    pub flip: bool,
    /// Reproduce the published pre- and post-processing, quirks included
    #[arg(long, value_enum, default_value_t = Protocol::Default)]
    pub protocol: Protocol,
    /// Folder for results
    #[arg(long, short, default_value = "out")]
    pub out: PathBuf,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Write no overlay pictures
    #[arg(long)]
    pub no_overlay: bool,
    /// Write every step into this folder: crop, input tensor, heat maps, points
    #[arg(long, value_name = "DIR")]
    pub dump_stages: Option<PathBuf>,
    #[command(flatten)]
    pub compute: Compute,
}

impl Predict {
    /// How boxes are looked at.
    pub fn find(&self) -> Find {
        self.points.find(self.flip, self.protocol)
    }
}
