//! Decoding of images under limits.
//!
//! [`decode`] reads the size from the header with its own code and checks every limit before a decoder allocates
//! anything. It then hands the decoder a copy of the file without metadata (text, colour profiles, thumbnails, animation
//! frames are never parsed and never inflated), so a decoder only sees pixel data whose amount fits the claimed size.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

mod bmp;
mod bytes;
mod exif;
mod jpeg;
mod png;
mod sniff;
mod webp;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::image::to_rgb;
use crate::{Format, Image, ImageError};

pub use exif::Orientation;

/// What a file may ask for. Every limit is checked before the memory is allocated or the time is spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub max_file: usize,
    /// Width times height.
    pub max_pixels: u64,
    /// The longer side.
    pub max_side: usize,
    /// Bytes that decoding may hold at once, estimated from the header: pixels, and coefficients of progressive files.
    pub max_alloc: u64,
    /// Scans of a JPEG file; honest progressive files have about ten.
    pub jpeg_max_scans: usize,
    /// Scans times pixels of a JPEG file, a bound on its decoding time.
    pub jpeg_max_scan_pixels: u64,
    /// Metadata and table segments (JPEG), chunks other than pixel data (PNG, WebP).
    pub max_segments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_file: 256 << 20,
            max_pixels: 64_000_000,
            max_side: 16_384,
            max_alloc: 512 << 20,
            jpeg_max_scans: 100,
            jpeg_max_scan_pixels: 1 << 30,
            max_segments: 4096,
        }
    }
}

/// What to do with the orientation a camera stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exif {
    /// Turn the pixels upright.
    #[default]
    Honour,
    /// Keep the pixels as stored, as the official code does.
    Ignore,
}

/// What to do with a file that ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Truncated {
    /// Return [`ImageError::Truncated`].
    #[default]
    Refuse,
    /// Return what could be decoded and set [`Decoded::truncated`].
    Accept,
}

/// Choices of [`decode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DecodeOptions {
    /// Orientation handling.
    pub exif: Exif,
    /// Truncation handling.
    pub truncated: Truncated,
}

/// A decoded image and what happened on the way.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The pixels.
    pub image: Image,
    /// The format of the file, found from its content.
    pub format: Format,
    /// The orientation that was applied; [`Orientation::Upright`] when there was nothing to do or EXIF is ignored.
    pub orientation_applied: Orientation,
    /// The file ended early and part of the picture is missing. Only with [`Truncated::Accept`].
    pub truncated: bool,
    /// The file is an animation; the picture is its first frame, or the default picture of a PNG.
    pub animated: bool,
}

/// What the header walk of a format found. The decoder gets `stream` and nothing else.
struct Header<'a> {
    width: usize,
    height: usize,
    /// Bytes that decoding holds at once, without `stream`.
    alloc: u64,
    /// The file without metadata.
    stream: Cow<'a, [u8]>,
    exif: Option<&'a [u8]>,
    /// The walk reached the end of the file before the end of the picture.
    truncated: Option<String>,
    /// Samples per pixel that the decoder is asked for.
    channels: usize,
    /// There are more pictures than the first.
    animated: bool,
}

/// Decodes an image file held in memory, under limits that are checked before anything is allocated.
///
/// A file that ends early is [`ImageError::Truncated`] unless [`Truncated::Accept`] asks for what there is, and then
/// [`Decoded::truncated`] says so. It is never a silent half picture.
///
/// Colours: grey is repeated to three channels; alpha is dropped, not composited; 16-bit samples keep their high byte
/// (as libpng's `strip_16` and OpenCV do); CMYK JPEG files written by Adobe software are converted, other CMYK files are
/// refused; colour profiles are ignored.
pub fn decode(bytes: &[u8], limits: &Limits, options: DecodeOptions) -> Result<Decoded, ImageError> {
    let format = sniff::format(bytes)?;
    if bytes.len() > limits.max_file {
        return Err(ImageError::FileTooLarge { bytes: bytes.len(), limit: limits.max_file });
    }
    // A panic of a decoder is its bug; it must not end a server or a training run.
    catch_unwind(AssertUnwindSafe(|| decode_as(format, bytes, limits, options)))
        .unwrap_or_else(|_| Err(ImageError::Corrupt { format, detail: "the decoder failed".into() }))
}

/// Reads the header and checks it against the limits.
fn walk<'a>(format: Format, bytes: &'a [u8], limits: &Limits) -> Result<Header<'a>, ImageError> {
    match format {
        Format::Png => png::walk(bytes, limits),
        Format::Jpeg => jpeg::walk(bytes, limits),
        Format::WebP => webp::walk(bytes, limits),
        Format::Bmp => bmp::walk(bytes, limits),
    }
}

fn decode_as(
    format: Format,
    bytes: &[u8],
    limits: &Limits,
    options: DecodeOptions,
) -> Result<Decoded, ImageError> {
    let header = walk(format, bytes, limits)?;
    let lenient = options.truncated == Truncated::Accept;
    if let Some(detail) = &header.truncated
        && !lenient
    {
        return Err(ImageError::Truncated { format, detail: detail.clone() });
    }
    let (width, height, truncated, animated) =
        (header.width, header.height, header.truncated.is_some(), header.animated);
    let pixels = match format {
        Format::Png => png::pixels(&header)?,
        Format::Jpeg => jpeg::pixels(&header)?,
        Format::WebP => webp::pixels(&header)?,
        Format::Bmp => bmp::pixels(&header)?,
    };
    let mut image = Image::new(width, height, to_rgb(pixels, header.channels))?;
    let mut orientation_applied = Orientation::Upright;
    if options.exif == Exif::Honour
        && let Some(o) = header.exif.and_then(exif::orientation)
    {
        drop(header);
        image = o.apply(image)?;
        orientation_applied = o;
    }
    Ok(Decoded { image, format, orientation_applied, truncated, animated })
}

/// The size of an image from its header alone, as stored (before orientation).
pub fn dimensions(bytes: &[u8], limits: &Limits) -> Result<(usize, usize), ImageError> {
    let format = sniff::format(bytes)?;
    let header = walk(format, bytes, limits)?;
    Ok((header.width, header.height))
}

/// The size of an image as it is shown, from its header alone: after its EXIF orientation. What labels and people mean by its size.
pub fn shown_size(bytes: &[u8], limits: &Limits) -> Result<[usize; 2], ImageError> {
    let format = sniff::format(bytes)?;
    let header = walk(format, bytes, limits)?;
    let stored = [header.width, header.height];
    let turned = header.exif.and_then(exif::orientation).is_some_and(Orientation::swaps_sides);
    Ok(if turned { [stored[1], stored[0]] } else { stored })
}

/// A whole PNG file after the checks of its header and structure, without metadata: for label images, whose numbers must not
/// become colours.
pub(crate) fn png_stream<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>, ImageError> {
    if bytes.len() > limits.max_file {
        return Err(ImageError::FileTooLarge { bytes: bytes.len(), limit: limits.max_file });
    }
    let header = png::walk(bytes, limits)?;
    match header.truncated {
        Some(detail) => Err(ImageError::Truncated { format: Format::Png, detail }),
        None => Ok(header.stream),
    }
}

/// Checks the size of an image against the limits; the header walks call this before anything is allocated.
fn check_size(
    format: Format,
    width: u64,
    height: u64,
    limits: &Limits,
) -> Result<(usize, usize), ImageError> {
    if width == 0 || height == 0 {
        return Err(ImageError::Corrupt { format, detail: format!("its size is {width}x{height}") });
    }
    let limit = |what, value: u64, limit: u64| {
        if value > limit { Err(ImageError::Limit { format, what, value, limit }) } else { Ok(()) }
    };
    limit("the longer side", width.max(height), limits.max_side as u64)?;
    limit("the number of pixels", width.saturating_mul(height), limits.max_pixels)?;
    match (usize::try_from(width), usize::try_from(height)) {
        (Ok(w), Ok(h)) => Ok((w, h)),
        _ => Err(ImageError::Memory { bytes: width.saturating_mul(height) }),
    }
}

/// Checks the memory that decoding needs.
fn check_alloc(format: Format, bytes: u64, limits: &Limits) -> Result<u64, ImageError> {
    if bytes > limits.max_alloc {
        let what = "the memory for decoding";
        return Err(ImageError::Limit { format, what, value: bytes, limit: limits.max_alloc });
    }
    Ok(bytes)
}

/// A zeroed pixel buffer of `width * height * channels` bytes with room for `width * height * 3`.
fn pixel_buffer(header: &Header<'_>) -> Result<Vec<u8>, ImageError> {
    let pixels = header.width.checked_mul(header.height);
    let sizes =
        pixels.and_then(|n| Some((n.checked_mul(header.channels)?, n.checked_mul(header.channels.max(3))?)));
    let Some((len, room)) = sizes else { return Err(ImageError::Memory { bytes: header.alloc }) };
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(room).map_err(|_| ImageError::Memory { bytes: room as u64 })?;
    buffer.resize(len, 0);
    Ok(buffer)
}
