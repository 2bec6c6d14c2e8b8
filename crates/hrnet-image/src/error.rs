//! File formats, and why an image is refused.

use std::fmt;

/// A file format that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Portable Network Graphics; of an animation the default picture.
    Png,
    /// JPEG: baseline, extended sequential and progressive, 8 bits.
    Jpeg,
    /// WebP; of an animation the first frame.
    WebP,
    /// Windows bitmap, not run-length coded.
    Bmp,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
        })
    }
}

/// Why an image was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The file is something else, or nothing known.
    #[error("this is {what}, not an image; give a PNG, JPEG, WebP or BMP file")]
    NotAnImage {
        /// What it looks like.
        what: &'static str,
    },
    /// A picture in a form that is not read.
    #[error("this is {what}; convert it to PNG or JPEG")]
    Unsupported {
        /// The form, with an article.
        what: String,
    },
    /// A limit is exceeded; nothing was allocated.
    #[error(
        "{format} image: {what} is {value}, above the limit of {limit}; raise the limit if the file is trusted"
    )]
    Limit {
        /// The format.
        format: Format,
        /// Which quantity.
        what: &'static str,
        /// Its value in this file.
        value: u64,
        /// The limit.
        limit: u64,
    },
    /// The file is larger than the limit.
    #[error("the file has {bytes} bytes, above the limit of {limit}; raise the limit if the file is trusted")]
    FileTooLarge {
        /// Bytes of the file.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The file ends before the picture does.
    #[error(
        "{format} image is truncated: {detail}; download or copy the file again, or allow truncated files"
    )]
    Truncated {
        /// The format.
        format: Format,
        /// What is missing.
        detail: String,
    },
    /// The file contradicts itself or its format.
    #[error("{format} image is damaged: {detail}")]
    Corrupt {
        /// The format.
        format: Format,
        /// What is wrong.
        detail: String,
    },
    /// The system refused the memory.
    #[error("no memory for an image of {bytes} bytes")]
    Memory {
        /// The size of the request.
        bytes: u64,
    },
    /// A pixel buffer does not fit its size.
    #[error("an image of {width}x{height} RGB pixels cannot be made of {bytes} bytes")]
    Buffer {
        /// Width.
        width: usize,
        /// Height.
        height: usize,
        /// Bytes given.
        bytes: usize,
    },
    /// Encoding failed.
    #[error("cannot encode a {width}x{height} image as {format}: {detail}")]
    Encode {
        /// The format.
        format: Format,
        /// Width.
        width: usize,
        /// Height.
        height: usize,
        /// The encoder's message.
        detail: String,
    },
}
