//! Encoding as PNG and JPEG.

use crate::{Format, Image, ImageError};

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
    use crate::{DecodeOptions, Limits, decode};

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
