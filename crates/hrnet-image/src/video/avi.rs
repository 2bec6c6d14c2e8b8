//! AVI with motion JPEG: RIFF chunks in file order, lists entered, indexes ignored. Other codecs are refused by name.

use super::source::fill;
use super::{Limits, VideoError};
use std::io::Read;

const FORMAT: &str = "AVI";
const FIX: &str = "-c:v mjpeg -q:v 2 out.avi";
/// Codes under which motion JPEG goes.
const MJPEG: [&[u8; 4]; 6] = [b"MJPG", b"mjpg", b"AVRn", b"dmb1", b"jpeg", b"JPEG"];

/// Reads coded frames.
#[derive(Debug)]
pub struct Avi<R> {
    reader: R,
    limits: Limits,
    /// Streams seen so far.
    streams: u32,
    /// Number of the video stream.
    video: Option<u32>,
    rate: Option<f64>,
    buffer: Vec<u8>,
    next: u64,
    ended: bool,
    /// The chunk before had an odd length: a byte of padding follows.
    padding: bool,
    /// The first frame, read while the headers were.
    first: Option<Vec<u8>>,
}

fn corrupt(frame: u64, detail: impl Into<String>) -> VideoError {
    VideoError::Corrupt { format: FORMAT, frame, detail: detail.into() }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

impl<R: Read> Avi<R> {
    /// Reads the headers up to the first frame. The reader should be buffered.
    pub fn new(reader: R, limits: &Limits) -> Result<Self, VideoError> {
        let mut this = Self {
            reader,
            limits: limits.clone(),
            streams: 0,
            video: None,
            rate: None,
            buffer: Vec::new(),
            next: 0,
            ended: false,
            padding: false,
            first: None,
        };
        let found = fill(&mut this.reader, &mut this.buffer, 12)?;
        if found < 12 {
            return Err(this.truncated(found, "12"));
        }
        if !this.buffer.starts_with(b"RIFF") || this.buffer.get(8..12) != Some(&b"AVI "[..]) {
            return Err(corrupt(0, "it does not begin with RIFF and AVI"));
        }
        this.first = this.chunk()?;
        match this.first {
            Some(_) => Ok(this),
            None => Err(corrupt(0, "no video frame in it")),
        }
    }

    /// Frames per second.
    pub fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// The next frame, a JPEG file; `None` at the end. An empty one repeats the frame before it.
    pub fn next_jpeg(&mut self) -> Result<Option<Vec<u8>>, VideoError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        let frame = self.chunk()?;
        self.ended = frame.is_none();
        Ok(frame)
    }

    fn truncated(&self, found: usize, wanted: impl Into<String>) -> VideoError {
        VideoError::Truncated { format: FORMAT, frame: self.next, found, wanted: wanted.into() }
    }

    /// Reads chunks up to the next video frame.
    fn chunk(&mut self) -> Result<Option<Vec<u8>>, VideoError> {
        loop {
            if std::mem::take(&mut self.padding) {
                fill(&mut self.reader, &mut self.buffer, 1)?;
            }
            let found = fill(&mut self.reader, &mut self.buffer, 8)?;
            if found == 0 {
                return Ok(None);
            }
            let (Some(kind), Some(size)) =
                (self.buffer.first_chunk::<4>().copied(), u32_at(&self.buffer, 4).filter(|_| found == 8))
            else {
                return Err(self.truncated(found, "8"));
            };
            if matches!(&kind, b"LIST" | b"RIFF") {
                // Enter it: its members are chunks as well.
                let found = fill(&mut self.reader, &mut self.buffer, 4)?;
                if found < 4 {
                    return Err(self.truncated(found, "4"));
                }
                continue;
            }
            self.padding = size % 2 == 1;
            match &kind {
                b"strh" => {
                    let header = self.body(size)?;
                    self.stream(&header)?;
                }
                [a, b, b'd', b'c' | b'b'] if a.is_ascii_digit() && b.is_ascii_digit() => {
                    let number = u32::from(a.saturating_sub(b'0'))
                        .saturating_mul(10)
                        .saturating_add(u32::from(b.saturating_sub(b'0')));
                    if Some(number) == self.video {
                        let frame = self.body(size)?;
                        self.next = self.next.saturating_add(1);
                        return Ok(Some(frame));
                    }
                    self.pass(size)?;
                }
                _ => self.pass(size)?,
            }
        }
    }

    fn body(&mut self, size: u32) -> Result<Vec<u8>, VideoError> {
        let (value, limit) = (u64::from(size), self.limits.max_frame as u64);
        if value > limit {
            return Err(VideoError::Limit {
                format: FORMAT,
                what: "the number of bytes of a frame",
                value,
                limit,
            });
        }
        let wanted = usize::try_from(size).unwrap_or(usize::MAX);
        let mut body = Vec::new();
        let found = fill(&mut self.reader, &mut body, wanted)?;
        match found == wanted {
            true => Ok(body),
            false => Err(self.truncated(found, wanted.to_string())),
        }
    }

    /// Reads over a chunk. One that ends with the file (an index) is no loss.
    fn pass(&mut self, size: u32) -> Result<(), VideoError> {
        std::io::copy(&mut self.reader.by_ref().take(size.into()), &mut std::io::sink())?;
        Ok(())
    }

    fn stream(&mut self, header: &[u8]) -> Result<(), VideoError> {
        let number = self.streams;
        self.streams = self.streams.saturating_add(1);
        if self.video.is_some() || !header.starts_with(b"vids") {
            return Ok(());
        }
        let codec = header.get(4..8).unwrap_or_default();
        if !MJPEG.iter().any(|code| codec == *code) {
            let shown = codec.escape_ascii().to_string();
            return Err(VideoError::Unsupported {
                format: FORMAT,
                what: format!("the codec '{shown}'"),
                fix: FIX,
            });
        }
        if let (Some(scale), Some(rate)) = (u32_at(header, 20), u32_at(header, 24))
            && scale > 0
            && rate > 0
        {
            self.rate = Some(f64::from(rate) / f64::from(scale));
        }
        self.video = Some(number);
        Ok(())
    }
}
