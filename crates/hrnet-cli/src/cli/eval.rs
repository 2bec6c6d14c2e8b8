//! `hrnet eval` as it is typed.

use super::segmentation::Segmentation;
use super::{BottomUp, Classify, Compute, Points, Protocol, tasks};
use clap::Args;
use hrnet::tasks::pose::measure::Metric;
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
    #[arg(long, value_parser = tasks())]
    pub task: Option<Task>,
    /// Model file [default: the built-in one for the task]
    #[arg(long, short)]
    pub model: Option<PathBuf>,
    /// Measure the poses of a COCO results file of any program, and run no network
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub results: Option<PathBuf>,
    /// Split of 300W (train, common, challenge, full, test) or 300VW
    #[arg(long)]
    pub split: Option<String>,
    /// Poses: ap, crowd-ap, pckh or pck [default: by the set]
    #[arg(long)]
    pub metric: Option<Metric>,
    /// Poses: boxes from a COCO detection file [default: labelled boxes]
    #[arg(long, value_name = "FILE")]
    pub detections: Option<PathBuf>,
    /// Poses: detections below this score are left out
    #[arg(long, value_name = "SCORE", default_value_t = 0.0, requires = "detections")]
    pub box_threshold: f64,
    /// Poses: look at whole images instead of boxes
    #[arg(long, conflicts_with = "detections")]
    pub whole_image: bool,
    /// Poses from detections: drop persons more alike than this [default: 0.9]
    #[arg(long, value_name = "OKS")]
    pub nms: Option<f64>,
    /// Poses from detections: lower the scores of alike persons instead
    #[arg(long)]
    pub soft_nms: bool,
    /// Segmentation: numbers of the labels, such as cityscapes, ade20k [default: the model's classes from 0; CamVid's and LIP's
    /// own for a model with their classes]
    #[arg(long, value_name = "SET")]
    pub label_map: Option<String>,
    /// Segmentation: a label number that does not count
    #[arg(long, value_name = "N")]
    pub ignore: Option<u16>,
    #[command(flatten)]
    pub points: Points,
    #[command(flatten)]
    pub bottom_up: BottomUp,
    #[command(flatten)]
    pub segmentation: Segmentation,
    #[command(flatten)]
    pub classify: Classify,
    /// Average with the mirrored image
    #[arg(long)]
    pub flip: bool,
    /// Reproduce the published pre- and post-processing, quirks included
    #[arg(long, value_enum, default_value_t = Protocol::Default)]
    pub protocol: Protocol,
    /// Faces: training set whose mean shape is measured as a baseline
    #[arg(long, value_name = "SET")]
    pub mean_shape: Option<PathBuf>,
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
    /// How boxes are looked at.
    pub fn point_options(&self) -> PointOptions {
        self.points.options(self.flip, self.protocol)
    }

    /// How images are looked at.
    pub fn task_options(&self) -> Options {
        let protocol = self.protocol.into();
        Options {
            points: self.point_options(),
            bottom_up: self.bottom_up.options(self.flip, protocol, &self.segmentation.scales),
            segment: self.segmentation.options(self.flip, protocol),
            classify: self.classify.options(),
            ..Options::default()
        }
    }
}
