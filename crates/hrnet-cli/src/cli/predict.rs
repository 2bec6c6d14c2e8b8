//! `hrnet predict` as it is typed.

use super::{Compute, Protocol, named, parse_box};
use crate::tasks::{TaskOptions, shown};
use clap::Args;
use clap::builder::TypedValueParser;
use hrnet::output::Format;
use hrnet::source::{self, BoxOptions};
use hrnet::tasks::Options;
use hrnet::track::{Follow, Likeness, Smoothing, TrackOptions};
use hrnet_image::Exif;
use hrnet_ir::Task;
use std::path::PathBuf;

/// `hrnet predict`
#[derive(Debug, Args)]
pub struct Predict {
    /// Image files, folders, patterns, lists (@list.txt), videos, camera:0, addresses, - for standard input
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// What to look for [default: what the model is for; without a model, faces]
    #[arg(long, value_parser = shown())]
    pub task: Option<Task>,
    /// Model file [default: the built-in one for the task]
    #[arg(long, short)]
    pub model: Option<PathBuf>,
    /// Where the face or person is: x,y,width,height in pixels; may be repeated [default: the whole image]
    #[arg(long = "box", value_name = "X,Y,W,H", value_parser = parse_box, allow_hyphen_values = true)]
    pub boxes: Vec<[f64; 4]>,
    /// Boxes per image: a CSV with columns image,x,y,w,h, or a COCO detection file (then --annotations names the images)
    #[arg(long = "boxes", value_name = "FILE", conflicts_with = "boxes")]
    pub boxes_file: Option<PathBuf>,
    /// Detections of --boxes below this score are left out
    #[arg(long, value_name = "SCORE", requires = "boxes_file", default_value_t = 0.0)]
    pub box_threshold: f64,
    /// COCO annotation file that gives the ids of images by name
    #[arg(long, value_name = "FILE")]
    pub annotations: Option<PathBuf>,
    /// Move the box to the points found and look again, this many times
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=10))]
    pub refine: u8,
    #[command(flatten)]
    pub source: Reading,
    #[command(flatten)]
    pub own: TaskOptions,
    /// Average with the mirrored image (twice the time, a little steadier)
    #[arg(long)]
    pub flip: bool,
    /// Reproduce the published pre- and post-processing, quirks included
    #[arg(long, value_enum, default_value_t = Protocol::Default)]
    pub protocol: Protocol,
    /// Folder for results
    #[arg(long, short, default_value = "out")]
    pub out: PathBuf,
    /// Result files in the folder, separated by commas [default: a JSON file beside each picture; for videos jsonl]
    #[arg(long = "format", value_name = "FORMAT,..", value_parser = formats(), value_delimiter = ',')]
    pub formats: Vec<Format>,
    /// Print JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Write no overlay pictures
    #[arg(long)]
    pub no_overlay: bool,
    /// Write overlay pictures where they are not the default: with --format, and of every frame of a video
    #[arg(long, conflicts_with = "no_overlay")]
    pub overlay: bool,
    /// Write the overlays as one motion JPEG file
    #[arg(long, value_name = "FILE.mjpeg")]
    pub overlay_video: Option<PathBuf>,
    /// Write a sheet of all heat maps for each box
    #[arg(long)]
    pub heat_maps: bool,
    /// Give instances of a video ids that stay: by the points (oks) or the boxes (iou)
    #[arg(long, value_name = "oks|iou", value_parser = likenesses(), num_args = 0..=1, default_missing_value = "oks")]
    pub track: Option<Likeness>,
    /// Smooth the points of a video over time (one-euro filter); the result keeps the raw ones too
    #[arg(long)]
    pub smooth: bool,
    /// Write every step into this folder: crop, input tensor, heat maps, points
    #[arg(long, value_name = "DIR")]
    pub dump_stages: Option<PathBuf>,
    #[command(flatten)]
    pub compute: Compute,
}

fn formats() -> impl TypedValueParser<Value = Format> {
    named(Format::ALL, Format::name, Format::about)
}

fn likenesses() -> impl TypedValueParser<Value = Likeness> {
    named(Likeness::ALL, Likeness::name, Likeness::about)
}

impl Predict {
    /// How the boxes file is read.
    pub fn box_options(&self) -> BoxOptions {
        let min_score = (self.box_threshold > 0.0).then_some(self.box_threshold);
        BoxOptions { annotations: self.annotations.clone(), category: None, min_score }
    }

    /// Tracking and smoothing.
    pub fn follow(&self) -> Follow {
        let track = self.track.map(|by| TrackOptions { by, ..TrackOptions::default() });
        Follow::new(track, self.smooth.then(Smoothing::default))
    }

    /// How results are predicted.
    pub fn task_options(&self) -> Options {
        Options {
            refine: self.refine,
            keep_stages: self.dump_stages.is_some() || self.heat_maps,
            ..self.own.options(self.flip, self.protocol)
        }
    }
}

/// How images and videos are read.
#[derive(Debug, Clone, Args)]
pub struct Reading {
    /// Ignore the EXIF orientation of photos
    #[arg(long)]
    pub ignore_orientation: bool,
    /// Folders with all folders in them
    #[arg(long)]
    pub recursive: bool,
    /// The images of a folder or pattern are the frames of one video
    #[arg(long)]
    pub sequence: bool,
    /// Frames per second of image sequences
    #[arg(long, value_name = "FPS", default_value_t = 25.0)]
    pub rate: f64,
    /// Of a video every n-th frame
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub every: u64,
    /// Of a video what comes at this second or later
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    pub start: f64,
    /// Of a video so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<f64>,
    /// Of a video so many frames
    #[arg(long, value_name = "N")]
    pub max_frames: Option<u64>,
}

impl Reading {
    /// The same for the reader.
    pub fn options(&self) -> source::Options {
        source::Options {
            exif: if self.ignore_orientation { Exif::Ignore } else { Exif::Honour },
            recursive: self.recursive,
            sequence: self.sequence,
            rate: self.rate,
            every: self.every,
            start: self.start,
            duration: self.duration,
            max_frames: self.max_frames,
            ..source::Options::default()
        }
    }
}
