//! Where images come from: files, folders, patterns, lists, standard input, videos, cameras.
//!
//! [`Sources::of`] says what the arguments name; [`Sources::frames`] gives the images one after the other, in input order, decoded
//! ahead on other threads. What cannot be read is an item too ([`Failed`]), tied to its input, so that a run over a folder goes
//! on and lists it. `docs/video.md` says what is read without `ffmpeg` and what with it.

mod ahead;
mod boxes;
mod ffmpeg;
mod inputs;
mod stream;

use crate::error::Result;
use crate::result::FrameTime;
use hrnet_image::{Exif, Image, Limits};
use std::path::PathBuf;
use std::time::Duration;

pub use ahead::Frames;
pub use boxes::{BoxOptions, Boxed, Boxes, check_box};
pub use ffmpeg::{Ffmpeg, WITHOUT as WITHOUT_FFMPEG};
pub use inputs::{Input, Kind, Sources};

/// How inputs are read.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether photos and videos are turned as their files ask.
    pub exif: Exif,
    /// Folders with all folders in them.
    pub recursive: bool,
    /// A folder inside those that is not searched: the pictures of an earlier run are no input.
    pub leave_out: Option<PathBuf>,
    /// The images of a folder, pattern or list are the frames of one video.
    pub sequence: bool,
    /// Frames per second of image sequences, and of streams that do not tell.
    pub rate: f64,
    /// Of a video every n-th frame, from the first that is wanted.
    pub every: u64,
    /// Of a video what comes at this second or later.
    pub start: f64,
    /// Of a video so many seconds.
    pub duration: Option<f64>,
    /// Of a video so many frames, after skipping.
    pub max_frames: Option<u64>,
    /// Limits of an image; of a frame, too.
    pub limits: Limits,
    /// Images that are decoded before they are wanted; 0 decodes each when it is wanted, on the same thread.
    pub ahead: usize,
    /// The program that reads what is not read here.
    pub ffmpeg: Ffmpeg,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            exif: Exif::Honour,
            recursive: false,
            leave_out: None,
            sequence: false,
            rate: 25.0,
            every: 1,
            start: 0.0,
            duration: None,
            max_frames: None,
            limits: Limits::default(),
            ahead: 2,
            ffmpeg: Ffmpeg::default(),
        }
    }
}

/// An image, ready to be looked at.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The input as the user named it, or the file that a folder, pattern or list led to; for a video the video.
    pub input: String,
    /// Name for result files, unique within a call.
    pub stem: String,
    /// Which frame of a video.
    pub time: Option<FrameTime>,
    /// Which video of the call, from 0; its frames belong together. Tracking begins anew with each.
    pub clip: Option<usize>,
    /// The pixels.
    pub image: Image,
    /// EXIF orientation that was applied, 1 to 8.
    pub exif_orientation: u8,
    /// Reading and decoding.
    pub read: Duration,
    /// What the user should know, such as "an animation; this is its first frame".
    pub notes: Vec<&'static str>,
}

/// An input, or a frame of it, that could not be read.
#[derive(Debug)]
pub struct Failed {
    /// As [`Frame::input`].
    pub input: String,
    /// Which frame, where it is one frame of a video.
    pub time: Option<FrameTime>,
    /// Why.
    pub error: crate::Error,
}

/// An item of a run.
pub type Item = std::result::Result<Frame, Failed>;

/// All images that the arguments name; files of images only, no videos. For commands that want a list of files.
pub fn expand(arguments: &[PathBuf]) -> Result<Vec<PathBuf>> {
    inputs::files(arguments, &Options::default())
}

#[cfg(test)]
mod tests;
