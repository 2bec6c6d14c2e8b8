//! Videos, cameras, image sequences: frames one after the other, and what a model finds in them.

use super::{Image, Model, Prediction};
use crate::error::{Context, Result};
use crate::result::FrameTime;
use crate::source::{Item, Options, Sources};
use crate::track::{Follow, Smoothing, TrackOptions};
use std::path::{Path, PathBuf};

/// A video to read. Y4M and motion JPEG (bare, or in AVI) are read here; for other forms and for cameras the program `ffmpeg` must be
/// there.
///
/// ```no_run
/// # fn main() -> hrnet::Result<()> {
/// let mut model = hrnet::Model::open("face68")?;
/// let video = hrnet::Video::open("talk.mp4")?.every(5).seconds(10.0, 20.0);
/// for item in model.predict_video(video)?.track().smooth() {
///     let (frame, faces) = item?;
///     println!("{:.2} s: {:?}", frame.time.seconds, faces.people()[0].points[30].at);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Video {
    name: PathBuf,
    options: Options,
}

/// A frame of a video.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The pixels.
    pub image: Image,
    /// Its number from 0, and its seconds from the start.
    pub time: FrameTime,
    /// Which video, where several are read; from 0.
    clip: usize,
}

impl Video {
    /// A video file, a printf pattern of an image sequence (`frame_%04d.png`), a folder of frames, `camera:0`, an address with `://`.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn open(video: impl AsRef<Path>) -> Result<Self> {
        let options = Options { sequence: true, ..Options::default() };
        let name = video.as_ref().to_path_buf();
        Sources::of(std::slice::from_ref(&name), &options)?;
        Ok(Self { name, options })
    }

    /// Takes every n-th frame.
    #[must_use]
    pub fn every(mut self, n: u64) -> Self {
        self.options.every = n.max(1);
        self
    }

    /// Takes `length` seconds from `start` on.
    #[must_use]
    pub fn seconds(mut self, start: f64, length: f64) -> Self {
        self.options.start = start;
        self.options.duration = Some(length);
        self
    }

    /// Takes so many frames, after skipping.
    #[must_use]
    pub fn at_most(mut self, frames: u64) -> Self {
        self.options.max_frames = Some(frames);
        self
    }

    /// Frames per second of image sequences, and of streams that do not tell; 25 unless said.
    #[must_use]
    pub fn rate(mut self, frames_per_second: f64) -> Self {
        self.options.rate = frames_per_second;
        self
    }

    /// Begins to read; frames are decoded ahead on another thread. Dropping the iterator ends the reading.
    ///
    /// # Errors
    /// When the video is gone, or a setting makes no sense.
    pub fn frames(self) -> Result<Frames> {
        Ok(Frames { inner: Sources::of(&[self.name], &self.options)?.frames() })
    }
}

/// The frames of a [`Video`], in order. One that cannot be read is an error in its place.
pub struct Frames {
    inner: crate::source::Frames,
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Frames")
    }
}

impl Iterator for Frames {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Result<Frame>> {
        self.inner.next().map(frame)
    }
}

fn frame(item: Item) -> Result<Frame> {
    let read = item.map_err(|failed| {
        let place = failed.time.map_or_else(String::new, |t| format!(", frame {}", t.index));
        failed.error.context(format!("{}{place}", failed.input))
    })?;
    let time = read.time.unwrap_or(FrameTime { index: 0, seconds: 0.0 });
    let clip = read.clip.unwrap_or_default();
    Ok(Frame { image: Image::named(read.image, read.input, read.exif_orientation), time, clip })
}

/// What a model finds in the frames of a video, made by [`Model::predict_video`]. Each item is a frame with its result.
#[derive(Debug)]
pub struct Predictions<'a> {
    model: &'a mut Model,
    frames: Frames,
    track: Option<TrackOptions>,
    smooth: Option<Smoothing>,
    follow: Option<Follow>,
}

impl Model {
    /// Looks at every frame of a video, whole.
    ///
    /// # Errors
    /// When the video cannot be opened. What is wrong with a frame is an item.
    pub fn predict_video(&mut self, video: Video) -> Result<Predictions<'_>> {
        Ok(Predictions { frames: video.frames()?, model: self, track: None, smooth: None, follow: None })
    }
}

impl Predictions<'_> {
    /// Gives the same person or face the same number in all frames ([`crate::Instance::track`]).
    #[must_use]
    pub fn track(self) -> Self {
        self.track_by(TrackOptions::default())
    }

    /// [`Predictions::track`] with settings.
    #[must_use]
    pub fn track_by(self, options: TrackOptions) -> Self {
        Self { track: Some(options), follow: None, ..self }
    }

    /// Smooths the points over time; [`crate::Instance::raw`] keeps what the network gave. It needs the numbers of
    /// [`Predictions::track`] and gives them.
    #[must_use]
    pub fn smooth(self) -> Self {
        self.smooth_by(Smoothing::default())
    }

    /// [`Predictions::smooth`] with settings.
    #[must_use]
    pub fn smooth_by(self, options: Smoothing) -> Self {
        Self { smooth: Some(options), follow: None, ..self }
    }
}

impl Iterator for Predictions<'_> {
    type Item = Result<(Frame, Prediction)>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.frames.next()?;
        let Self { model, track, smooth, follow, .. } = self;
        let follow = follow.get_or_insert_with(|| Follow::new(track.take(), smooth.take()));
        Some(frame.and_then(|frame| {
            let place = || format!("{}, frame {}", frame.image.name(), frame.time.index);
            let mut found = model.predict(&frame.image).with_context(place)?;
            let result = found.result_mut();
            result.frame = Some(frame.time);
            follow.update(Some(frame.clip), result);
            Ok((frame, found))
        }))
    }
}
