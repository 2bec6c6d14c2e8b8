//! BMP: header walk, and pixels through the `image` crate. Run-length coded bitmaps are refused by name.

use ::image::ImageDecoder as _;

use super::{
    Format, Header, ImageError, Limits,
    bytes::{u16_le, u32_le},
    check_alloc, check_size, pixel_buffer,
};

const FORMAT: Format = Format::Bmp;

/// Reads the two headers.
pub fn walk<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Header<'a>, ImageError> {
    let short = || ImageError::Truncated { format: FORMAT, detail: "the header is not complete".into() };
    let corrupt = |detail: String| ImageError::Corrupt { format: FORMAT, detail };
    let offset = u32_le(bytes, 10).ok_or_else(short)?;
    let header = u32_le(bytes, 14).ok_or_else(short)?;
    let (width, height, bits, compression);
    if header == 12 {
        width = i32::from(u16_le(bytes, 18).ok_or_else(short)?);
        height = i32::from(u16_le(bytes, 20).ok_or_else(short)?);
        bits = u16_le(bytes, 24).ok_or_else(short)?;
        compression = 0;
    } else if (40..=256).contains(&header) {
        width = u32_le(bytes, 18).ok_or_else(short)?.cast_signed();
        height = u32_le(bytes, 22).ok_or_else(short)?.cast_signed();
        bits = u16_le(bytes, 28).ok_or_else(short)?;
        compression = u32_le(bytes, 30).ok_or_else(short)?;
    } else {
        return Err(corrupt(format!("a header of {header} bytes does not exist")));
    }
    match compression {
        0 | 3 => {}
        1 | 2 => return Err(ImageError::Unsupported { what: "a run-length coded BMP".into() }),
        c => return Err(ImageError::Unsupported { what: format!("a BMP with compression {c}") }),
    }
    if width < 0 {
        return Err(corrupt(format!("its width is {width}")));
    }
    // A negative height means rows from the top.
    let (width, height) =
        check_size(FORMAT, width.unsigned_abs().into(), height.unsigned_abs().into(), limits)?;
    let row = (width as u64).saturating_mul(bits.into()).div_ceil(32).saturating_mul(4);
    let need = row.saturating_mul(height as u64).saturating_add(offset.into());
    let truncated = (need > bytes.len() as u64)
        .then(|| format!("{need} bytes are needed for {width}x{height} pixels, there are {}", bytes.len()));
    let pixels = (width as u64).saturating_mul(height as u64);
    let alloc = check_alloc(FORMAT, pixels.saturating_mul(4), limits)?;
    // The decoder tells the number of samples only after it has read masks and palette.
    let decoder =
        ::image::codecs::bmp::BmpDecoder::new(std::io::Cursor::new(bytes)).map_err(|e| match &truncated {
            Some(detail) => ImageError::Truncated { format: FORMAT, detail: detail.clone() },
            None => corrupt(e.to_string()),
        })?;
    let channels = usize::from(decoder.color_type().channel_count());
    Ok(Header {
        width,
        height,
        alloc,
        stream: bytes.into(),
        exif: None,
        truncated,
        channels,
        animated: false,
    })
}

/// Decodes; of a truncated file, the rows that are there.
pub fn pixels(header: &Header<'_>) -> Result<Vec<u8>, ImageError> {
    super::webp::read(
        ::image::codecs::bmp::BmpDecoder::new(std::io::Cursor::new(&*header.stream)),
        header,
        FORMAT,
        pixel_buffer(header)?,
    )
}
