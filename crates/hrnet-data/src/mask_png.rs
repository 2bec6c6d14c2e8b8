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

    fn read(bytes: &[u8]) -> (png::ColorType, png::BitDepth, Vec<u8>, Option<Vec<u8>>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut data = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut data).unwrap();
        let info = reader.info();
        (info.color_type, info.bit_depth, data, info.palette.as_ref().map(|p| p.to_vec()))
    }

    #[test]
    fn numbers_come_back() {
        let small = encode_ids(3, 2, &[0, 1, 2, 255, 7, 7]).unwrap();
        assert_eq!(
            read(&small),
            (png::ColorType::Grayscale, png::BitDepth::Eight, vec![0, 1, 2, 255, 7, 7], None)
        );
        let large = encode_ids(2, 1, &[1, 300]).unwrap();
        assert_eq!(
            read(&large),
            (png::ColorType::Grayscale, png::BitDepth::Sixteen, vec![0, 1, 1, 44], None)
        );
        let indexed = encode_indexed(2, 1, &[0, 2], &[[1, 2, 3], [4, 5, 6]]).unwrap();
        let table = Some(vec![1, 2, 3, 4, 5, 6, 128, 128, 128]);
        assert_eq!(read(&indexed), (png::ColorType::Indexed, png::BitDepth::Eight, vec![0, 2], table));
        assert!(encode_indexed(1, 1, &[256], &[]).is_err());
        assert!(encode_ids(2, 2, &[0; 3]).is_err());
    }
}
