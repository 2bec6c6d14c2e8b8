//! Class masks as files that other programs read: indexed PNG (a number per pixel and a colour table) and number PNG.

use super::mask::Mask;
use super::palette::Palette;
use crate::image::{Format, ImageError};

/// An indexed PNG: the pixel is the class id, the colour table holds the palette. Most viewers show colours, and readers of
/// labels the ids. At most 256 different ids (0 to 255).
pub fn encode_palette_png(mask: &Mask<'_>, palette: &Palette) -> Result<Vec<u8>, ImageError> {
    let ids =
        bytes(mask).ok_or_else(|| error(mask, "an id is above 255; write numbers of 16 bits".into()))?;
    let highest = usize::from(ids.iter().copied().max().unwrap_or(0));
    let listed = palette.colours().len().clamp(1, 256);
    let table: Vec<u8> = (0..listed.max(highest + 1)).flat_map(|c| palette.colour(c)).collect();
    encode(mask, |encoder| {
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(table);
        ids
    })
}

/// A grey PNG whose values are the ids: 8 bits, or 16 bits when an id is above 255.
pub fn encode_id_png(mask: &Mask<'_>) -> Result<Vec<u8>, ImageError> {
    encode(mask, |encoder| {
        encoder.set_color(png::ColorType::Grayscale);
        match bytes(mask) {
            Some(ids) => {
                encoder.set_depth(png::BitDepth::Eight);
                ids
            }
            None => {
                encoder.set_depth(png::BitDepth::Sixteen);
                mask.ids().iter().flat_map(|id| id.to_be_bytes()).collect()
            }
        }
    })
}

/// The ids as bytes, when all fit.
fn bytes(mask: &Mask<'_>) -> Option<Vec<u8>> {
    mask.ids().iter().map(|&id| u8::try_from(id).ok()).collect()
}

fn error(mask: &Mask<'_>, detail: String) -> ImageError {
    ImageError::Encode { format: Format::Png, width: mask.width(), height: mask.height(), detail }
}

fn encode(
    mask: &Mask<'_>,
    prepare: impl FnOnce(&mut png::Encoder<'_, &mut Vec<u8>>) -> Vec<u8>,
) -> Result<Vec<u8>, ImageError> {
    let (Ok(width), Ok(height)) = (u32::try_from(mask.width()), u32::try_from(mask.height())) else {
        return Err(error(mask, "a side is too long".into()));
    };
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    let data = prepare(&mut encoder);
    let written = (|| {
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&data)?;
        writer.finish()
    })();
    written.map_err(|e| error(mask, e.to_string()))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::segmentation::decode_labels;
    use crate::image::{DecodeOptions, Limits, decode};

    #[test]
    fn numbers_and_colours_are_read_back() {
        let ids: Vec<u16> = (0..35u16).map(|i| if i == 34 { 255 } else { i % 12 }).collect();
        let mask = Mask::new(7, 5, &ids).unwrap();
        let palette = Palette::named("camvid").unwrap();
        let bytes = encode_palette_png(&mask, &palette).unwrap();
        let read = decode_labels(&bytes, &Limits::default()).unwrap();
        assert_eq!((read.width, read.height, &read.ids), (7, 5, &ids));
        let table = read.palette.unwrap();
        assert_eq!((table.len(), &table[..11]), (256, palette.colours()));
        // Seen as a picture, the file is in colours.
        let picture = decode(&bytes, &Limits::default(), DecodeOptions::default()).unwrap().image;
        assert_eq!(picture.pixel(3, 0), palette.colour(3));
        let read = decode_labels(&encode_id_png(&mask).unwrap(), &Limits::default()).unwrap();
        assert_eq!((read.ids, read.palette), (ids, None));
    }

    #[test]
    fn large_numbers_take_16_bits_and_no_colours() {
        let ids = [0, 255, 256, 65535];
        let mask = Mask::new(2, 2, &ids).unwrap();
        assert_eq!(decode_labels(&encode_id_png(&mask).unwrap(), &Limits::default()).unwrap().ids, ids);
        let error = encode_palette_png(&mask, &Palette::voc(256)).unwrap_err().to_string();
        assert!(error.contains("16 bits"), "{error}");
    }
}
