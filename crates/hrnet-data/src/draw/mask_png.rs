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
