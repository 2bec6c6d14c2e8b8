#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod front;
mod stop;

// What a program meets beyond the front door.
// The configuration of a training run: what `Training` holds.
pub mod config;
// Figures on labelled data: what `Model::evaluate` gives.
pub mod measure;
// Weights with their recipe: what `Builder::of` takes.
pub mod model;
// Results as CSV, COCO, OpenPose, JSON lines, masks.
pub mod output;
// What was found, as plain types.
pub mod result;
// Inputs of every kind, many at a time: folders, patterns, lists, streams; boxes from files.
pub mod source;
// The tasks one by one, with all their options: what `Builder::tune` changes.
pub mod tasks;
// Ids over frames, smoothing: what `Predictions::track_by` takes.
pub mod track;
// Training by hand: what `Training` calls, with resuming from a file and several processes.
pub mod train;

// Parts that the command line shares with the library. They promise nothing to others.
#[doc(hidden)]
pub mod error;
#[doc(hidden)]
pub mod io;
#[doc(hidden)]
pub mod npy;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod runner;
#[doc(hidden)]
pub mod timing;
#[doc(hidden)]
pub mod yacs;

pub use error::{Error, ErrorKind, Result};
pub use front::{
    Builder, FeatureMap, FeatureModel, Frame, Frames, Image, Model, NamedClass, NamedPoint, Prediction,
    Predictions, Training, Video,
};
pub use hrnet_data::codec::Protocol;
pub use hrnet_image::{Exif, Limits};
pub use hrnet_ir::{Decoder, Task};
pub use measure::Measured;
pub use result::{FrameTime, Instance, Mask, Point, Predicted, Schema};
pub use stop::{Interrupted, Stop, Watch};
pub use timing::TimeSplit;
pub use train::Summary;
