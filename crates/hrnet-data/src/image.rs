//! Decoding and encoding of images under limits.
//!
//! [`decode`] reads the size from the header with its own code and checks every limit before a decoder allocates
//! anything. It then hands the decoder a copy of the file without metadata (text, colour profiles, thumbnails, animation
//! frames are never parsed and never inflated), so a decoder only sees pixel data whose amount fits the claimed size.
//!
//! A file that ends early is [`ImageError::Truncated`] unless [`Truncated::Accept`] asks for what there is, and then
//! [`Decoded::truncated`] says so. It is never a silent half picture.
//!
//! Colours: grey is repeated to three channels; alpha is dropped, not composited; 16-bit samples keep their high byte
//! (as libpng's `strip_16` and OpenCV do); CMYK JPEG files written by Adobe software are converted, other CMYK files are
//! refused; colour profiles are ignored.

mod bmp;
mod bytes;
mod exif;
mod jpeg;
mod png;
mod sniff;
mod webp;

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use exif::Orientation;

/// An 8-bit RGB image, row-major, without padding between rows.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl Image {
    /// An image over `data`, which holds `width * height` RGB triples.
    pub fn new(width: usize, height: usize, data: Vec<u8>) -> Result<Self, ImageError> {
        match width.checked_mul(height).and_then(|n| n.checked_mul(3)) {
            Some(n) if n == data.len() && n > 0 => Ok(Self { width, height, data }),
            _ => Err(ImageError::Buffer { width, height, bytes: data.len() }),
        }
    }

    /// An image of one colour.
    ///
    /// # Panics
    /// When a side is zero or the size overflows; sizes that come from a file are checked by [`decode`].
    pub fn filled(width: usize, height: usize, rgb: [u8; 3]) -> Self {
        assert!(width > 0 && height > 0, "an image has at least one pixel");
        let pixels = width.checked_mul(height).expect("image size overflows");
        Self { width, height, data: rgb.repeat(pixels) }
    }

    /// Pixels per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// RGB triples, row-major.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// RGB triples, row-major, to change in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The pixels without the size.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// The colour at (`x`, `y`).
    ///
    /// # Panics
    /// When the position is outside the image.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        assert!(x < self.width && y < self.height, "({x}, {y}) is outside {}x{}", self.width, self.height);
        let i = (y * self.width + x) * 3;
        [self.data[i], self.data[i + 1], self.data[i + 2]]
    }

    /// Sets the colour at (`x`, `y`).
    ///
    /// # Panics
    /// When the position is outside the image.
    pub fn set_pixel(&mut self, x: usize, y: usize, rgb: [u8; 3]) {
        assert!(x < self.width && y < self.height, "({x}, {y}) is outside {}x{}", self.width, self.height);
        let i = (y * self.width + x) * 3;
        self.data[i..i + 3].copy_from_slice(&rgb);
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({}x{})", self.width, self.height)
    }
}

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

/// Decodes an image file held in memory.
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

/// Turns 1 to 4 samples a pixel into RGB within the same buffer.
fn to_rgb(mut data: Vec<u8>, channels: usize) -> Vec<u8> {
    let pixels = data.len() / channels.max(1);
    match channels {
        1 => {
            data.resize(pixels * 3, 0);
            for i in (0..pixels).rev() {
                let v = data[i];
                data[i * 3..i * 3 + 3].fill(v);
            }
        }
        2 => {
            data.resize(pixels * 3, 0);
            for i in (0..pixels).rev() {
                let v = data[i * 2];
                data[i * 3..i * 3 + 3].fill(v);
            }
        }
        4 => {
            for i in 1..pixels {
                data.copy_within(i * 4..i * 4 + 3, i * 3);
            }
            data.truncate(pixels * 3);
        }
        _ => {}
    }
    data
}

/// Encodes as PNG.
pub fn encode_png(image: &Image) -> Result<Vec<u8>, ImageError> {
    use ::image::ImageEncoder as _;
    let mut out = Vec::new();
    let encoder = ::image::codecs::png::PngEncoder::new(&mut out);
    write(image, Format::Png, |w, h| {
        encoder.write_image(image.data(), w, h, ::image::ExtendedColorType::Rgb8)
    })?;
    Ok(out)
}

/// Encodes as JPEG with `quality` from 1 to 100.
pub fn encode_jpeg(image: &Image, quality: u8) -> Result<Vec<u8>, ImageError> {
    let mut out = Vec::new();
    let mut encoder = ::image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, quality.clamp(1, 100));
    write(image, Format::Jpeg, |w, h| encoder.encode(image.data(), w, h, ::image::ExtendedColorType::Rgb8))?;
    Ok(out)
}

fn write(
    image: &Image,
    format: Format,
    encode: impl FnOnce(u32, u32) -> ::image::ImageResult<()>,
) -> Result<(), ImageError> {
    let (width, height) = (image.width(), image.height());
    let error = |detail: String| ImageError::Encode { format, width, height, detail };
    match (u32::try_from(width), u32::try_from(height)) {
        (Ok(w), Ok(h)) => encode(w, h).map_err(|e| error(e.to_string())),
        _ => Err(error("a side is too long".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_become_rgb_in_place() {
        assert_eq!(to_rgb(vec![1, 2], 1), [1, 1, 1, 2, 2, 2]);
        assert_eq!(to_rgb(vec![1, 9, 2, 9], 2), [1, 1, 1, 2, 2, 2]);
        assert_eq!(to_rgb(vec![1, 2, 3, 9, 4, 5, 6, 9], 4), [1, 2, 3, 4, 5, 6]);
        assert_eq!(to_rgb(vec![1, 2, 3], 3), [1, 2, 3]);
    }

    #[test]
    fn an_image_needs_its_bytes() {
        assert!(Image::new(2, 1, vec![0; 6]).is_ok());
        for (w, h, n) in [(2, 1, 5), (0, 1, 0), (usize::MAX, 2, 6)] {
            assert!(matches!(Image::new(w, h, vec![0; n]), Err(ImageError::Buffer { .. })));
        }
    }

    #[test]
    fn png_round_trip_is_exact_and_jpeg_is_near() {
        let data: Vec<u8> = (0..37 * 23 * 3).map(|i| (i * 7 % 251) as u8).collect();
        let image = Image::new(37, 23, data).unwrap();
        let png = decode(&encode_png(&image).unwrap(), &Limits::default(), DecodeOptions::default()).unwrap();
        assert_eq!((png.format, &png.image, png.truncated), (Format::Png, &image, false));

        let smooth: Vec<u8> =
            (0..64 * 48).flat_map(|i| [(i % 64 * 3) as u8, (i / 64 * 4) as u8, 90]).collect();
        let smooth = Image::new(64, 48, smooth).unwrap();
        let bytes = encode_jpeg(&smooth, 95).unwrap();
        let jpeg = decode(&bytes, &Limits::default(), DecodeOptions::default()).unwrap();
        let worst = smooth.data().iter().zip(jpeg.image.data()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(jpeg.format == Format::Jpeg && worst <= 8, "{worst}");
    }
}
