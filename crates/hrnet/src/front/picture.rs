//! A picture in memory that knows its name.

use crate::error::{Context, Result, bail};
use crate::io;
use hrnet_image::{DecodeOptions, Exif, Image as Pixels, Limits, decode, encode_jpeg, encode_png};
use std::path::Path;

/// Quality of the JPEG files that [`Image::save`] writes.
const QUALITY: u8 = 92;

/// A picture: 8-bit RGB, row by row, at least one pixel.
///
/// Coordinates of results are pixels of it, x before y, with the centres of pixels at integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pixels: Pixels,
    name: String,
    orientation: u8,
}

impl Image {
    /// Reads a JPEG, PNG, WebP or BMP file. A photo is turned upright as its EXIF orientation says.
    ///
    /// # Errors
    /// When the file cannot be read, is no such picture, is cut, or is beyond the default [`Limits`].
    ///
    /// ```
    /// # fn main() -> hrnet::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("green.png");
    /// hrnet::Image::from_rgb(2, 1, vec![0, 200, 0, 0, 200, 0])?.save(&path)?;
    /// let image = hrnet::Image::open(&path)?;
    /// assert_eq!((image.width(), image.height()), (2, 1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Exif::Honour, &Limits::default())
    }

    /// [`Image::open`] with other limits, or with the pixels as they are stored.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn open_with(path: impl AsRef<Path>, exif: Exif, limits: &Limits) -> Result<Self> {
        let path = path.as_ref();
        let mut image =
            Self::decode_with(&io::read(path)?, exif, limits).with_context(|| path.display().to_string())?;
        image.name = path.to_string_lossy().into_owned();
        Ok(image)
    }

    /// Decodes a picture file held in memory, turned upright.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        Self::decode_with(bytes, Exif::Honour, &Limits::default())
    }

    /// [`Image::decode`] with other limits, or with the pixels as they are stored.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn decode_with(bytes: &[u8], exif: Exif, limits: &Limits) -> Result<Self> {
        let decoded = decode(bytes, limits, DecodeOptions { exif, ..DecodeOptions::default() })?;
        Ok(Self::named(decoded.image, "image".into(), decoded.orientation_applied as u8 + 1))
    }

    /// A picture of `width * height` RGB triples, row by row.
    ///
    /// # Errors
    /// When there are not so many bytes, or none.
    pub fn from_rgb(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self> {
        Ok(Pixels::new(width, height, rgb)?.into())
    }

    pub(super) fn named(pixels: Pixels, name: String, orientation: u8) -> Self {
        Self { pixels, name, orientation }
    }

    /// The same picture under another name.
    #[must_use]
    pub fn with_name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Writes a PNG or JPEG file, by the ending of its name. It appears whole or not at all.
    ///
    /// # Errors
    /// When the name ends otherwise, or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let bytes = match ending.as_str() {
            "png" => self.to_png()?,
            "jpg" | "jpeg" => encode_jpeg(&self.pixels, QUALITY)?,
            _ => bail!(Image, "{}: pictures are written as .png or .jpg", path.display()),
        };
        io::write_atomic(path, &bytes)
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    /// When a side is too long for the format.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        Ok(encode_png(&self.pixels)?)
    }

    /// Pixels per row.
    pub fn width(&self) -> usize {
        self.pixels.width()
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.pixels.height()
    }

    /// RGB triples, row by row.
    pub fn rgb(&self) -> &[u8] {
        self.pixels.data()
    }

    /// RGB triples, row by row, to change in place.
    pub fn rgb_mut(&mut self) -> &mut [u8] {
        self.pixels.data_mut()
    }

    /// The file it was read from, or the name it was given; `image` for others.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The EXIF orientation that was applied when it was read, 1 to 8; 1 where nothing was turned.
    pub fn exif_orientation(&self) -> u8 {
        self.orientation
    }

    /// The pixels for the functions of `hrnet-image`.
    pub fn into_pixels(self) -> Pixels {
        self.pixels
    }
}

impl AsRef<Pixels> for Image {
    fn as_ref(&self) -> &Pixels {
        &self.pixels
    }
}

impl AsRef<Self> for Image {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl From<Pixels> for Image {
    fn from(pixels: Pixels) -> Self {
        Self::named(pixels, "image".into(), 1)
    }
}
