//! Video streams that need no codec of their own: Y4M (raw frames) and motion JPEG, bare, as a multipart body or in AVI.
//!
//! Readers take any [`std::io::Read`], hold one frame at a time, and check every size against [`Limits`] before they allocate. A
//! stream that ends inside a frame gives the frames before and then an error; what comes after a reader's first error is its end.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

mod avi;
mod mjpeg;
mod source;
mod y4m;

pub use avi::Avi;
pub use mjpeg::{Jpeg, Mjpeg};
pub use y4m::{Header, Sampling, Y4m};

/// What a stream may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Width times height of a frame.
    pub max_pixels: u64,
    /// The longer side of a frame.
    pub max_side: usize,
    /// Bytes of a coded frame.
    pub max_frame: usize,
    /// Bytes between frames (multipart headers, padding) that are passed over, and bytes of a stream header.
    pub max_between: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let image = crate::Limits::default();
        let (max_pixels, max_side) = (image.max_pixels, image.max_side);
        Self { max_pixels, max_side, max_frame: 64 << 20, max_between: 1 << 20 }
    }
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// The stream cannot be read.
    #[error("the stream cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// The stream ends inside a frame.
    #[error("{format} stream is truncated: frame {frame} ends after {found} of {wanted} bytes")]
    Truncated {
        /// Name of the format.
        format: &'static str,
        /// 0-based frame.
        frame: u64,
        /// Bytes there are.
        found: usize,
        /// Bytes there should be, as far as known.
        wanted: String,
    },
    /// The stream is not what it should be.
    #[error("{format} stream is damaged at frame {frame}: {detail}")]
    Corrupt {
        /// Name of the format.
        format: &'static str,
        /// 0-based frame; 0 for the header.
        frame: u64,
        /// What is wrong.
        detail: String,
    },
    /// A form that is not read.
    #[error("this {format} stream has {what}; convert it with `ffmpeg -i <input> {fix}`")]
    Unsupported {
        /// Name of the format.
        format: &'static str,
        /// What is not read.
        what: String,
        /// Arguments of ffmpeg that make a readable one.
        fix: &'static str,
    },
    /// A limit is exceeded; nothing was allocated.
    #[error("{format} stream: {what} is {value}, above the limit of {limit}")]
    Limit {
        /// Name of the format.
        format: &'static str,
        /// Which quantity.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The limit.
        limit: u64,
    },
    /// The system refused the memory.
    #[error("no memory for a frame of {0} bytes")]
    Memory(u64),
}

/// A kind of stream, from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// YUV4MPEG2.
    Y4m,
    /// A JPEG picture; a stream if more of them follow.
    Jpeg,
    /// A multipart body; its parts should be JPEG pictures.
    Multipart,
    /// RIFF AVI.
    Avi,
    /// A video that needs a codec: MP4, Matroska, MPEG, Flash, Ogg, ASF.
    Coded,
}

/// Finds the kind of a stream from its first bytes (16 are enough); `None` for everything else.
pub fn sniff(head: &[u8]) -> Option<Kind> {
    let at = |from: usize, magic: &[u8]| head.get(from..).is_some_and(|rest| rest.starts_with(magic));
    let coded = || {
        // The brands of AVIF and HEIF are pictures.
        let picture = [&b"avif"[..], b"avis", b"hei", b"hev", b"mif1", b"msf1"].iter().any(|b| at(8, b));
        (at(4, b"ftyp") && !picture)
            || [&b"moov"[..], b"mdat", b"free", b"wide"].iter().any(|b| at(4, b))
            || at(0, b"\x1aE\xdf\xa3")
            || at(0, b"FLV\x01")
            || at(0, b"OggS")
            || at(0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")
            || at(0, b"\0\0\x01\xba")
            || at(0, b"\0\0\x01\xb3")
    };
    Some(match () {
        () if at(0, b"YUV4MPEG2 ") => Kind::Y4m,
        () if at(0, b"\xff\xd8\xff") => Kind::Jpeg,
        () if at(0, b"RIFF") && at(8, b"AVI ") => Kind::Avi,
        () if multipart(head) => Kind::Multipart,
        () if coded() => Kind::Coded,
        () => return None,
    })
}

/// `--boundary` at the start of a line, or the headers of a part or of an HTTP answer.
fn multipart(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    let starts = |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    (text.starts_with(b"--") && text.get(2).is_some_and(u8::is_ascii_graphic)) || starts(b"content-type:")
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]
mod tests;
