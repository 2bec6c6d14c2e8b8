//! Class numbers as PNG: grey values, or indexes into a colour table.

use crate::image::{Format, ImageError};

/// A grey PNG whose values are the class numbers: 8 bits, or 16 bits when one is above 255.
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
mod tests {
    use super::*;

    use crate::dataset::segmentation::decode_labels;
    use crate::draw::palette::Palette;
    use crate::image::{DecodeOptions, Limits, decode};

    #[test]
    fn numbers_come_back() {
        for (ids, bits) in [(&[0, 1, 2, 255, 7, 7][..], 8), (&[0, 255, 256, 65535], 16)] {
            let bytes = encode_ids(ids.len() / 2, 2, ids).unwrap();
            let read = decode_labels(&bytes, &Limits::default()).unwrap();
            assert_eq!((read.width, read.height, &read.ids[..]), (ids.len() / 2, 2, ids));
            assert_eq!((bytes[24], read.palette), (bits, None));
        }
        assert!(encode_ids(2, 2, &[0; 3]).is_err());
    }

    #[test]
    fn numbers_and_colours_come_back() {
        let ids: Vec<u16> = (0..35u16).map(|i| if i == 34 { 255 } else { i % 12 }).collect();
        let palette = Palette::named("camvid").unwrap();
        let bytes = encode_indexed(7, 5, &ids, palette.colours()).unwrap();
        let read = decode_labels(&bytes, &Limits::default()).unwrap();
        assert_eq!((read.width, read.height, &read.ids), (7, 5, &ids));
        let table = read.palette.unwrap();
        assert_eq!((table.len(), &table[..11], table[11]), (256, palette.colours(), [128; 3]));
        // Seen as a picture, the file is in colours.
        let picture = decode(&bytes, &Limits::default(), DecodeOptions::default()).unwrap().image;
        assert_eq!(picture.pixel(3, 0), palette.colour(3));
        let error = encode_indexed(1, 1, &[256], &[]).unwrap_err().to_string();
        assert!(error.contains("16 bits"), "{error}");
    }
}
