//! Y4M (YUV4MPEG2): a text header, then raw frames.
//!
//! 8 bits a sample; 4:2:0 in the three placements of chroma, 4:1:1, 4:2:2, 4:4:4 (with alpha, which is dropped) and grey. The
//! header tells the range in `XCOLORRANGE`, limited when absent. It does not tell the matrix: frames of 720 rows or more, or more
//! than 1024 pixels wide, are taken as BT.709, smaller ones as BT.601, unless [`Y4m::with_colour`] says otherwise.

use super::source::{fill, more};
use super::{Limits, VideoError};
use crate::Image;
use crate::yuv::{Chroma, Colour, Matrix, Range, Site, planes_to_rgb};
use std::io::Read;

const FORMAT: &str = "Y4M";
const MAGIC: &[u8] = b"YUV4MPEG2 ";
/// Longest line of a header.
const LINE: usize = 4096;
const FIX: &str = "-pix_fmt yuv420p -f yuv4mpegpipe out.y4m";

/// Planes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// Two chroma planes.
    Colour(Chroma),
    /// Two chroma planes of full size and alpha.
    Alpha,
    /// Luma only.
    Grey,
}

/// What a stream says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Frames per second; `None` when the stream does not tell.
    pub rate: Option<f64>,
    /// Planes.
    pub sampling: Sampling,
    /// How samples become colours.
    pub colour: Colour,
}

/// Reads frames.
#[derive(Debug)]
pub struct Y4m<R> {
    reader: R,
    header: Header,
    /// Bytes of the luma plane, of a chroma plane, of a frame.
    sizes: [usize; 3],
    frame: Vec<u8>,
    next: u64,
    ended: bool,
}

fn corrupt(frame: u64, detail: impl Into<String>) -> VideoError {
    VideoError::Corrupt { format: FORMAT, frame, detail: detail.into() }
}

/// A line without its end; `None` at the end of the stream. Reads no byte beyond it.
fn line(reader: &mut impl Read, frame: u64) -> Result<Option<Vec<u8>>, VideoError> {
    let mut text = Vec::new();
    loop {
        let before = text.len();
        if !more(reader, &mut text, 1)? {
            return match before {
                0 => Ok(None),
                found => {
                    Err(VideoError::Truncated { format: FORMAT, frame, found, wanted: "its header's".into() })
                }
            };
        }
        if text.last() == Some(&b'\n') {
            text.pop();
            return Ok(Some(text));
        }
        if text.len() >= LINE {
            return Err(corrupt(frame, format!("a header line is longer than {LINE} bytes")));
        }
    }
}

impl<R: Read> Y4m<R> {
    /// Reads the header. The reader should be buffered.
    pub fn new(mut reader: R, limits: &Limits) -> Result<Self, VideoError> {
        let Some(text) = line(&mut reader, 0)? else {
            return Err(corrupt(0, "the stream is empty"));
        };
        let header = header(&text, limits)?;
        let (w, h) = (header.width, header.height);
        let luma = w.saturating_mul(h);
        let (chroma, count) = match header.sampling {
            Sampling::Grey => (0, 0),
            Sampling::Alpha => (luma, 3),
            Sampling::Colour(c) => {
                let (cw, ch) = c.size(w, h);
                (cw.saturating_mul(ch), 2)
            }
        };
        let whole = luma.saturating_add(chroma.saturating_mul(count));
        Ok(Self { reader, header, sizes: [luma, chroma, whole], frame: Vec::new(), next: 0, ended: false })
    }

    /// What the stream says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Takes the samples as these colours, whatever the header says.
    #[must_use]
    pub fn with_colour(mut self, colour: Colour) -> Self {
        self.header.colour = colour;
        self
    }

    /// The next frame; `None` at the end.
    pub fn next_frame(&mut self) -> Result<Option<Image>, VideoError> {
        if !self.read_frame()? {
            return Ok(None);
        }
        let (w, h) = (self.header.width, self.header.height);
        let [luma, chroma, _] = self.sizes;
        let y = self.frame.get(..luma).unwrap_or_default();
        let u = self.frame.get(luma..luma.saturating_add(chroma)).unwrap_or_default();
        let v_at = luma.saturating_add(chroma);
        let v = self.frame.get(v_at..v_at.saturating_add(chroma)).unwrap_or_default();
        let planes = match self.header.sampling {
            Sampling::Grey => None,
            Sampling::Alpha => Some((u, v, Chroma::FULL)),
            Sampling::Colour(c) => Some((u, v, c)),
        };
        let bytes = luma.saturating_mul(3);
        let mut rgb = Vec::new();
        rgb.try_reserve_exact(bytes).map_err(|_| VideoError::Memory(bytes as u64))?;
        rgb.resize(bytes, 0);
        planes_to_rgb(w, h, y, planes, self.header.colour, &mut rgb);
        Image::new(w, h, rgb).map(Some).map_err(|e| corrupt(self.next.saturating_sub(1), e.to_string()))
    }

    /// Passes over the next frame without converting it; false at the end.
    pub fn skip_frame(&mut self) -> Result<bool, VideoError> {
        self.read_frame()
    }

    fn read_frame(&mut self) -> Result<bool, VideoError> {
        if self.ended {
            return Ok(false);
        }
        // Whatever happens below other than success ends the stream.
        self.ended = true;
        let Some(text) = line(&mut self.reader, self.next)? else { return Ok(false) };
        if text != b"FRAME" && !text.starts_with(b"FRAME ") {
            return Err(corrupt(self.next, "FRAME is missing where the frame should begin"));
        }
        let wanted = self.sizes[2];
        let found = fill(&mut self.reader, &mut self.frame, wanted)?;
        if found < wanted {
            let wanted = wanted.to_string();
            return Err(VideoError::Truncated { format: FORMAT, frame: self.next, found, wanted });
        }
        self.next = self.next.saturating_add(1);
        self.ended = false;
        Ok(true)
    }
}

fn header(text: &[u8], limits: &Limits) -> Result<Header, VideoError> {
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let Some(rest) = text.strip_prefix(MAGIC) else {
        return Err(corrupt(0, "it does not begin with YUV4MPEG2"));
    };
    let rest = std::str::from_utf8(rest).map_err(|_| corrupt(0, "the header is not text"))?;
    let (mut width, mut height, mut rate, mut planes, mut range) =
        (None, None, None, "420jpeg", Range::Limited);
    for field in rest.split_ascii_whitespace() {
        let mut chars = field.chars();
        let (key, value) = (chars.next().unwrap_or(' '), chars.as_str());
        let side = || value.parse::<u64>().map_err(|_| corrupt(0, format!("'{field}' is not a size")));
        match key {
            'W' => width = Some(side()?),
            'H' => height = Some(side()?),
            'F' => rate = fraction(value),
            'C' => planes = value,
            'X' if value.eq_ignore_ascii_case("COLORRANGE=FULL") => range = Range::Full,
            _ => {}
        }
    }
    let (Some(width), Some(height)) = (width, height) else {
        return Err(corrupt(0, "the header tells no width and height"));
    };
    if width == 0 || height == 0 {
        return Err(corrupt(0, format!("its size is {width}x{height}")));
    }
    let check = |what, value: u64, limit: u64| match value > limit {
        true => Err(VideoError::Limit { format: FORMAT, what, value, limit }),
        false => Ok(()),
    };
    check("the longer side", width.max(height), limits.max_side as u64)?;
    check("the number of pixels", width.saturating_mul(height), limits.max_pixels)?;
    let (Ok(width), Ok(height)) = (usize::try_from(width), usize::try_from(height)) else {
        return Err(VideoError::Memory(width.saturating_mul(height)));
    };
    let sampling = match planes {
        "420jpeg" | "420" => Sampling::Colour(Chroma::C420 { x: Site::Middle, y: Site::Middle }),
        "420mpeg2" => Sampling::Colour(Chroma::C420 { x: Site::First, y: Site::Middle }),
        "420paldv" => Sampling::Colour(Chroma::C420 { x: Site::First, y: Site::First }),
        "411" => Sampling::Colour(Chroma::C411),
        "422" => Sampling::Colour(Chroma::C422),
        "444" => Sampling::Colour(Chroma::FULL),
        "444alpha" => Sampling::Alpha,
        "mono" => Sampling::Grey,
        other => {
            let shown: String =
                other.chars().take(20).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
            return Err(VideoError::Unsupported {
                format: FORMAT,
                what: format!(
                    "samples of the form '{shown}' (8 bits in 420jpeg, 420mpeg2, 420paldv, 411, 422, 444, 444alpha or mono are read)"
                ),
                fix: FIX,
            });
        }
    };
    let matrix = if height >= 720 || width > 1024 { Matrix::Bt709 } else { Matrix::Bt601 };
    Ok(Header { width, height, rate, sampling, colour: Colour { matrix, range } })
}

/// Frames per second of `30000:1001`; `None` of `0:0` and of what makes no sense.
fn fraction(text: &str) -> Option<f64> {
    let (a, b) = text.split_once(':')?;
    let (a, b) = (a.parse::<u32>().ok()?, b.parse::<u32>().ok()?);
    (a > 0 && b > 0).then(|| f64::from(a) / f64::from(b))
}
