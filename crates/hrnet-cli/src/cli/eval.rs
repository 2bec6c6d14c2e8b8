//! `hrnet eval` as it is typed.

use super::{Compute, Protocol};
use crate::tasks::{LabelOptions, TaskOptions, face, shown};
use clap::Args;
use hrnet::tasks::{Options, PointOptions};
use hrnet_ir::Task;
use std::path::PathBuf;

/// `hrnet eval`
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct Eval {
    /// Labels: annotation file, table, list, or folder
    #[arg(long)]
    pub data: PathBuf,
    /// Folder of the images [default: where the set has them]
    #[arg(long)]
    pub images: Option<PathBuf>,
    /// What to measure [default: what the model is for]
    #[arg(long, value_parser = shown())]
    pub task: Option<Task>,
    /// Model file [default: the built-in one for the task]
    #[arg(long, short)]
    pub model: Option<PathBuf>,
    /// Measure the poses of a COCO results file of any program, and run no network
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub results: Option<PathBuf>,
    #[command(flatten)]
    pub labels: LabelOptions,
    #[command(flatten)]
    pub own: TaskOptions,
    /// Average with the mirrored image
    #[arg(long)]
    pub flip: bool,
    /// Reproduce the published pre- and post-processing, quirks included
    #[arg(long, value_enum, default_value_t = Protocol::Default)]
    pub protocol: Protocol,
    #[command(flatten)]
    pub baseline: face::Baseline,
    /// Number of worst samples to show
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=400))]
    pub worst_count: u16,
    /// Write a picture of the worst samples into this file (PNG)
    #[arg(long, value_name = "FILE")]
    pub worst: Option<PathBuf>,
    /// Write a report into this file: one HTML page with figures, curves, tables, worst samples
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub compute: Compute,
}

const HELP: &str = "\
Examples:
  hrnet eval --data val.csv                                             faces of a landmark table
  hrnet eval --task pose --data person_keypoints_val2017.json --images val2017 --model pose_w32.pth --flip
  hrnet eval --data list/cityscapes/val.lst --images data/cityscapes --label-map cityscapes --model seg.pth
  hrnet eval --data imagenet/val --model cls.pth --report report.html
  hrnet eval --data person_keypoints_val2017.json --results results.json";

impl Eval {
    /// How points in boxes are predicted.
    pub fn point_options(&self) -> PointOptions {
        self.own.points.options(self.flip, self.protocol)
    }

    /// How results are predicted.
    pub fn task_options(&self) -> Options {
        self.own.options(self.flip, self.protocol)
    }
}
