//! PNG files of one number per pixel (masks): grey values, or indexes into a colour table.
//!
//! Read as numbers, not as colours: grey of 1 to 16 bits gives its values, a palette image its indexes.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use crate::decode::png_stream;
use crate::{Format, ImageError, Limits, dimensions};

/// A picture of numbers: one per pixel, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdImage {
    /// Width.
    pub width: usize,
    /// Height.
    pub height: usize,
    /// The numbers.
    pub ids: Vec<u16>,
    /// Colours, where the image has a palette.
    pub palette: Option<Vec<[u8; 3]>>,
}

/// Reads the numbers of a PNG file held in memory; a colour picture or another format is refused.
pub fn decode_ids(bytes: &[u8], limits: &Limits) -> Result<IdImage, ImageError> {
    let corrupt = |detail: String| ImageError::Corrupt { format: Format::Png, detail };
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        // Names what the file is, or says that it is a picture of another format.
        dimensions(bytes, limits)?;
        return Err(ImageError::Unsupported {
            what: "a label image that is no PNG (JPEG would blur the numbers)".into(),
        });
    }
    let stream = png_stream(bytes, limits)?;
    let budget = usize::try_from(limits.max_alloc).unwrap_or(usize::MAX);
    let mut decoder =
        png::Decoder::new_with_limits(std::io::Cursor::new(&*stream), png::Limits { bytes: budget });
    // No expansion: palette indices and small depths stay what they are.
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|e| corrupt(e.to_string()))?;
    let (colour, depth) = reader.output_color_type();
    if !matches!(colour, png::ColorType::Grayscale | png::ColorType::Indexed) {
        let what =
            "a colour picture, not a label image with one number per pixel; map its colours to numbers";
        return Err(ImageError::Unsupported { what: what.into() });
    }
    let palette = reader.info().palette.as_deref().map(|p| p.as_chunks::<3>().0.to_vec());
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let size = reader.output_buffer_size().ok_or(ImageError::Memory { bytes: limits.max_alloc })?;
    let no_memory = |bytes: usize| ImageError::Memory { bytes: bytes as u64 };
    let mut raw = Vec::new();
    raw.try_reserve_exact(size).map_err(|_| no_memory(size))?;
    raw.resize(size, 0);
    reader.next_frame(&mut raw).map_err(|e| corrupt(e.to_string()))?;
    let mut ids = Vec::new();
    let pixels = width.saturating_mul(height);
    ids.try_reserve_exact(pixels).map_err(|_| no_memory(pixels.saturating_mul(2)))?;
    let bits = depth as usize;
    let row_bytes = width.saturating_mul(bits).div_ceil(8).max(1);
    for row in raw.chunks_exact(row_bytes).take(height) {
        match bits {
            16 => ids.extend(row.as_chunks::<2>().0.iter().map(|b| u16::from_be_bytes(*b))),
            8 => ids.extend(row.iter().map(|&b| u16::from(b))),
            // Several pixels in a byte, the first in its highest bits.
            4 => ids.extend(row.iter().flat_map(|&b| parts::<2>(b, 4)).take(width)),
            2 => ids.extend(row.iter().flat_map(|&b| parts::<4>(b, 2)).take(width)),
            _ => ids.extend(row.iter().flat_map(|&b| parts::<8>(b, 1)).take(width)),
        }
    }
    Ok(IdImage { width, height, ids, palette })
}

/// The `N` numbers of `bits` bits each that a byte holds.
fn parts<const N: usize>(byte: u8, bits: u32) -> [u16; N] {
    let mut rest = byte;
    [(); N].map(|()| {
        let top = rest.checked_shr(8u32.saturating_sub(bits)).unwrap_or(0);
        rest = rest.checked_shl(bits).unwrap_or(0);
        u16::from(top)
    })
}

/// A grey PNG whose values are the numbers of `classes`: 8 bits, or 16 bits when one is above 255.
pub fn encode_ids(width: usize, height: usize, classes: &[u16]) -> Result<Vec<u8>, ImageError> {
    let narrow: Option<Vec<u8>> = classes.iter().map(|&c| u8::try_from(c).ok()).collect();
    match narrow {
        Some(data) => write(width, height, png::ColorType::Grayscale, png::BitDepth::Eight, None, &data),
        None => {
            let data: Vec<u8> = classes.iter().flat_map(|c| c.to_be_bytes()).collect();
            write(width, height, png::ColorType::Grayscale, png::BitDepth::Sixteen, None, &data)
        }
    }
}

/// An indexed PNG: pixels are class numbers (0 to 255), `colours` the table. Classes beyond the table are grey 128.
pub fn encode_indexed(
    width: usize,
    height: usize,
    classes: &[u16],
    colours: &[[u8; 3]],
) -> Result<Vec<u8>, ImageError> {
    let data: Option<Vec<u8>> = classes.iter().map(|&c| u8::try_from(c).ok()).collect();
    let Some(data) = data else {
        let detail = "a class number is above 255; write plain numbers of 16 bits".into();
        return Err(ImageError::Encode { format: Format::Png, width, height, detail });
    };
    let highest = usize::from(data.iter().copied().max().unwrap_or(0));
    let entries = colours.len().clamp(1, 256).max(highest + 1);
    let table = (0..entries).flat_map(|i| colours.get(i).copied().unwrap_or([128; 3])).collect();
    write(width, height, png::ColorType::Indexed, png::BitDepth::Eight, Some(table), &data)
}

fn write(
    width: usize,
    height: usize,
    colour: png::ColorType,
    depth: png::BitDepth,
    table: Option<Vec<u8>>,
    data: &[u8],
) -> Result<Vec<u8>, ImageError> {
    let error = |detail: String| ImageError::Encode { format: Format::Png, width, height, detail };
    let (Ok(w), Ok(h)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(error("a side is too long".into()));
    };
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, w, h);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if let Some(table) = table {
        encoder.set_palette(table);
    }
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(data)?;
        writer.finish()
    });
    written.map_err(|e| error(e.to_string()))?;
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    use crate::{DecodeOptions, decode};

    #[test]
    fn numbers_come_back() {
        for (ids, bits) in [(&[0, 1, 2, 255, 7, 7][..], 8), (&[0, 255, 256, 65535], 16)] {
            let bytes = encode_ids(ids.len() / 2, 2, ids).unwrap();
            let read = decode_ids(&bytes, &Limits::default()).unwrap();
            assert_eq!((read.width, read.height, &read.ids[..]), (ids.len() / 2, 2, ids));
            assert_eq!((bytes[24], read.palette), (bits, None));
        }
        assert!(encode_ids(2, 2, &[0; 3]).is_err());
    }

    #[test]
    fn numbers_and_colours_come_back() {
        let ids: Vec<u16> = (0..35u16).map(|i| if i == 34 { 255 } else { i % 12 }).collect();
        let colours: Vec<[u8; 3]> = (0..11u8).map(|i| [i * 20, 255 - i * 3, i * i]).collect();
        let bytes = encode_indexed(7, 5, &ids, &colours).unwrap();
        let read = decode_ids(&bytes, &Limits::default()).unwrap();
        assert_eq!((read.width, read.height, &read.ids), (7, 5, &ids));
        let table = read.palette.unwrap();
        assert_eq!((table.len(), &table[..11], table[11]), (256, &colours[..], [128; 3]));
        // Seen as a picture, the file is in colours.
        let picture = decode(&bytes, &Limits::default(), DecodeOptions::default()).unwrap().image;
        assert_eq!(picture.pixel(3, 0), colours[3]);
        let error = encode_indexed(1, 1, &[256], &[]).unwrap_err().to_string();
        assert!(error.contains("16 bits"), "{error}");
    }
}
