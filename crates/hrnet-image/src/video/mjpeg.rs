//! Motion JPEG: pictures one after the other, with anything but a picture between them (nothing, or the headers of a multipart
//! body).
//!
//! The end of a picture is found by its markers: segments are passed over by their lengths, so that a thumbnail in them ends
//! nothing, and coded data ends at the first marker that is no restart.

use super::source::more;
use super::{Limits, VideoError};
use std::io::Read;

const FORMAT: &str = "motion JPEG";
/// Bytes read at a time.
const STEP: usize = 64 << 10;

/// Reads pictures.
#[derive(Debug)]
pub struct Mjpeg<R> {
    reader: R,
    limits: Limits,
    /// Bytes that were read and not yet given out.
    buffer: Vec<u8>,
    next: u64,
    ended: bool,
}

/// A picture of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Jpeg {
    /// From its first marker to its last.
    Whole(Vec<u8>),
    /// The stream ended inside it.
    Cut(Vec<u8>),
}

/// Where the search for the end of a picture stands.
enum At {
    /// Before a marker.
    Marker,
    /// In coded data.
    Coded,
}

impl<R: Read> Mjpeg<R> {
    /// Begins at the start of a stream.
    pub fn new(reader: R, limits: &Limits) -> Self {
        Self { reader, limits: limits.clone(), buffer: Vec::new(), next: 0, ended: false }
    }

    fn more(&mut self) -> Result<bool, VideoError> {
        more(&mut self.reader, &mut self.buffer, STEP)
    }

    /// The next picture; `None` at the end. A stream that ends inside a picture gives [`Jpeg::Cut`] and is at its end.
    pub fn next_jpeg(&mut self) -> Result<Option<Jpeg>, VideoError> {
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        if !self.find_start()? {
            if self.next == 0 {
                let detail = "no JPEG picture in it".into();
                return Err(VideoError::Corrupt { format: FORMAT, frame: 0, detail });
            }
            return Ok(None);
        }
        let end = self.find_end()?;
        self.next = self.next.saturating_add(1);
        let Some(end) = end else { return Ok(Some(Jpeg::Cut(std::mem::take(&mut self.buffer)))) };
        let rest = self.buffer.split_off(end.min(self.buffer.len()));
        self.ended = false;
        Ok(Some(Jpeg::Whole(std::mem::replace(&mut self.buffer, rest))))
    }

    /// Whether another picture begins; reads as far as needed.
    pub fn has_more(&mut self) -> Result<bool, VideoError> {
        Ok(!self.ended && self.find_start()?)
    }

    /// Drops what stands before the next picture; false when there is none.
    fn find_start(&mut self) -> Result<bool, VideoError> {
        let mut passed = 0usize;
        loop {
            let found = self.buffer.windows(3).position(|w| w == b"\xff\xd8\xff");
            // A marker may lie across the end of what is there.
            let drop = found.unwrap_or(self.buffer.len().saturating_sub(2));
            self.buffer.drain(..drop);
            passed = passed.saturating_add(drop);
            if passed > self.limits.max_between {
                let (value, limit) = (passed as u64, self.limits.max_between as u64);
                return Err(VideoError::Limit {
                    format: FORMAT,
                    what: "the number of bytes that are no picture",
                    value,
                    limit,
                });
            }
            if found.is_some() {
                return Ok(true);
            }
            if !self.more()? {
                return Ok(false);
            }
        }
    }

    /// The end of the picture at the start of the buffer; `None` when the stream ends first.
    fn find_end(&mut self) -> Result<Option<usize>, VideoError> {
        let (mut at, mut state) = (2usize, At::Marker);
        loop {
            // One step from `at`, if its bytes are there.
            let byte = |i: usize| self.buffer.get(at.saturating_add(i)).copied();
            let step: Option<usize> = match state {
                At::Coded => match self.buffer.get(at..).and_then(|b| b.iter().position(|&b| b == 0xff)) {
                    // Nothing up to the end: go there and wait for more.
                    None => {
                        at = self.buffer.len();
                        None
                    }
                    Some(skip) => {
                        at = at.saturating_add(skip);
                        match self.buffer.get(at.saturating_add(1)) {
                            None => None,
                            Some(0 | 0xd0..=0xd7) => Some(2),
                            Some(_) => {
                                state = At::Marker;
                                Some(0)
                            }
                        }
                    }
                },
                At::Marker => match (byte(0), byte(1)) {
                    (Some(0xff), Some(0xd9)) => return Ok(Some(at.saturating_add(2))),
                    // A picture that begins anew inside another: the first one had no end.
                    (Some(0xff), Some(0xd8)) => return Ok(Some(at)),
                    (Some(0xff), Some(0xff)) => Some(1),
                    (Some(0xff), Some(0x01 | 0xd0..=0xd7)) => Some(2),
                    (Some(0xff), Some(code)) => match (byte(2), byte(3)) {
                        (Some(high), Some(low)) => {
                            if code == 0xda {
                                state = At::Coded;
                            }
                            Some(usize::from(u16::from_be_bytes([high, low])).max(2).saturating_add(2))
                        }
                        _ => None,
                    },
                    // The second byte of the marker is not there yet.
                    (Some(0xff), None) => None,
                    // Decoders pass over bytes between segments; so does this.
                    (Some(_), _) => Some(1),
                    _ => None,
                },
            };
            match step {
                Some(step) => at = at.saturating_add(step),
                None => {
                    if self.buffer.len() > self.limits.max_frame {
                        let (value, limit) = (self.buffer.len() as u64, self.limits.max_frame as u64);
                        return Err(VideoError::Limit {
                            format: FORMAT,
                            what: "the number of bytes of a picture",
                            value,
                            limit,
                        });
                    }
                    if !self.more()? {
                        return Ok(None);
                    }
                }
            }
        }
    }
}
