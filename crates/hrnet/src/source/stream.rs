//! The frames of one input, one after the other, not yet decoded.

use super::ffmpeg::{Handle, Pipe, Query};
use super::{Kind, Options};
use crate::error::{Context, Result, bail};
use crate::io;
use hrnet_image::Image;
use hrnet_image::video::{self, Avi, Jpeg, Mjpeg, Y4m};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

/// A frame as its source gives it.
pub enum Raw {
    /// Pixels.
    Image(Image),
    /// An image file in memory.
    Bytes(Vec<u8>),
    /// An image file.
    File(PathBuf),
}

type Source = BufReader<Box<dyn Read + Send>>;

/// An open input.
pub enum Stream {
    /// One image; not a video.
    Still(Option<Raw>),
    Sequence(VecDeque<(u64, PathBuf)>),
    Y4m(Y4m<Source>),
    Mjpeg {
        frames: Mjpeg<Source>,
        first: Option<Vec<u8>>,
    },
    /// The last frame stands for empty ones after it.
    Avi {
        frames: Avi<Source>,
        last: Vec<u8>,
    },
    Ffmpeg(Box<Pipe>),
}

fn file(path: &Path) -> Result<Source> {
    let file = File::open(path).with_context(|| format!("{}: cannot be opened", path.display()))?;
    Ok(BufReader::with_capacity(1 << 16, Box::new(file)))
}

fn limits(options: &Options) -> video::Limits {
    let (max_pixels, max_side) = (options.limits.max_pixels, options.limits.max_side);
    video::Limits { max_pixels, max_side, ..video::Limits::default() }
}

impl Stream {
    /// Opens an input. `handle` gets the program that it starts, if any.
    pub fn open(kind: &Kind, options: &Options, handle: &Handle) -> Result<Self> {
        let limits = limits(options);
        Ok(match kind {
            Kind::Image(path) => Self::Still(Some(Raw::File(path.clone()))),
            Kind::Sequence(frames) => Self::Sequence(frames.iter().cloned().collect()),
            Kind::Y4m(path) => Self::Y4m(Y4m::new(file(path)?, &limits)?),
            Kind::Mjpeg(path) => Self::Mjpeg { frames: Mjpeg::new(file(path)?, &limits), first: None },
            Kind::Avi(path) => match Avi::new(file(path)?, &limits) {
                Ok(frames) => Self::Avi { frames, last: Vec::new() },
                Err(video::VideoError::Unsupported { .. }) => {
                    let input = ["-i".to_string(), super::ffmpeg::file(path)];
                    Self::ffmpeg(&input, options, handle)?
                }
                Err(e) => return Err(e.into()),
            },
            Kind::Stdin => Self::stdin(std::io::stdin(), options)?,
            Kind::Ffmpeg(input) => Self::ffmpeg(input, options, handle)?,
        })
    }

    fn ffmpeg(input: &[String], options: &Options, handle: &Handle) -> Result<Self> {
        let Options { exif, start, duration, ref limits, .. } = *options;
        let query = Query { input, exif, start, duration, limits };
        Ok(Self::Ffmpeg(Box::new(options.ffmpeg.open(&query, handle)?)))
    }

    /// What comes through standard input, from its first bytes.
    pub fn stdin(mut reader: impl Read + Send + 'static, options: &Options) -> Result<Self> {
        let mut head = Vec::new();
        reader.by_ref().take(16).read_to_end(&mut head).context("standard input cannot be read")?;
        if head.is_empty() {
            bail!("standard input is empty");
        }
        let kind = video::sniff(&head);
        let whole: Box<dyn Read + Send> = Box::new(Cursor::new(head).chain(reader));
        let mut source = BufReader::with_capacity(1 << 16, whole);
        let limits = limits(options);
        match kind {
            Some(video::Kind::Y4m) => Ok(Self::Y4m(Y4m::new(source, &limits)?)),
            Some(video::Kind::Avi) => Ok(Self::Avi { frames: Avi::new(source, &limits)?, last: Vec::new() }),
            Some(video::Kind::Multipart) => {
                Ok(Self::Mjpeg { frames: Mjpeg::new(source, &limits), first: None })
            }
            Some(video::Kind::Jpeg) => {
                // One picture is a photo; with a second one behind it, it is a stream.
                let mut frames = Mjpeg::new(source, &limits);
                match frames.next_jpeg()? {
                    Some(Jpeg::Whole(first)) => match frames.has_more() {
                        Ok(true) => Ok(Self::Mjpeg { frames, first: Some(first) }),
                        // A photo with much behind it is a photo.
                        Ok(false) | Err(_) => Ok(Self::Still(Some(Raw::Bytes(first)))),
                    },
                    Some(Jpeg::Cut(first)) => Ok(Self::Still(Some(Raw::Bytes(first)))),
                    None => bail!("standard input is empty"),
                }
            }
            Some(video::Kind::Coded) => bail!(
                "this is a coded video, which cannot be read through standard input; name the file, or pipe frames: \
                 ffmpeg -i <input> -f yuv4mpegpipe - | hrnet predict -"
            ),
            None => {
                let mut bytes = Vec::new();
                let most = options.limits.max_file as u64 + 1;
                source
                    .by_ref()
                    .take(most)
                    .read_to_end(&mut bytes)
                    .context("standard input cannot be read")?;
                Ok(Self::Still(Some(Raw::Bytes(bytes))))
            }
        }
    }

    /// Whether its images follow one another in time.
    pub fn is_video(&self) -> bool {
        !matches!(self, Self::Still(_))
    }

    /// Frames per second, where it tells.
    pub fn rate(&self) -> Option<f64> {
        match self {
            Self::Y4m(frames) => frames.header().rate,
            Self::Avi { frames, .. } => frames.rate(),
            Self::Ffmpeg(pipe) => pipe.rate(),
            Self::Still(_) | Self::Sequence(_) | Self::Mjpeg { .. } => None,
        }
    }

    /// The number of its first frame: above 0 where it was told to begin later.
    pub fn first(&self) -> u64 {
        match self {
            Self::Ffmpeg(pipe) => pipe.first,
            _ => 0,
        }
    }

    /// The number of the next frame, where that is not one more than that of the last.
    pub fn next_index(&self) -> Option<u64> {
        match self {
            Self::Sequence(frames) => frames.front().map(|f| f.0),
            _ => None,
        }
    }

    /// The next frame; `None` at the end.
    pub fn next_raw(&mut self) -> Result<Option<Raw>> {
        Ok(match self {
            Self::Still(raw) => raw.take(),
            Self::Sequence(frames) => frames.pop_front().map(|(_, path)| Raw::File(path)),
            Self::Y4m(frames) => frames.next_frame()?.map(Raw::Image),
            Self::Mjpeg { frames, first } => match first.take() {
                Some(bytes) => Some(Raw::Bytes(bytes)),
                // A cut one is decoded too: the decoder's message says what is missing.
                None => frames.next_jpeg()?.map(|(Jpeg::Whole(bytes) | Jpeg::Cut(bytes))| Raw::Bytes(bytes)),
            },
            Self::Avi { frames, last } => frames.next_jpeg()?.map(|bytes| {
                if !bytes.is_empty() {
                    *last = bytes;
                }
                Raw::Bytes(last.clone())
            }),
            Self::Ffmpeg(pipe) => pipe.next_frame()?.map(Raw::Image),
        })
    }

    /// Passes over a frame; false at the end.
    pub fn skip(&mut self) -> Result<bool> {
        match self {
            Self::Y4m(frames) => Ok(frames.skip_frame()?),
            Self::Ffmpeg(pipe) => pipe.skip_frame(),
            _ => Ok(self.next_raw()?.is_some()),
        }
    }
}

/// Reads the bytes of a frame that is a file.
pub fn bytes(path: &Path) -> Result<Vec<u8>> {
    io::read(path)
}
