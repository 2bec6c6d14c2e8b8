//! WebP: RIFF chunk walk, and pixels through the `image` crate. Of an animation the first frame on its canvas.

use ::image::{ImageDecoder, ImageResult};

use super::{
    Format, Header, ImageError, Limits,
    bytes::{array, slice, u16_le, u32_le},
    check_alloc, check_size, pixel_buffer,
};

const FORMAT: Format = Format::WebP;

/// Reads the chunk structure.
pub fn walk<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Header<'a>, ImageError> {
    let corrupt = |detail: String| ImageError::Corrupt { format: FORMAT, detail };
    let truncated = |detail: &str| ImageError::Truncated { format: FORMAT, detail: detail.into() };
    let riff = u32_le(bytes, 4).ok_or_else(|| truncated("the header is not complete"))?;
    let riff_end = u64::from(riff).saturating_add(8);
    let mut cut = (riff_end > bytes.len() as u64)
        .then(|| format!("the file should have {riff_end} bytes, it has {}", bytes.len()));
    let (mut at, mut chunks) = (12usize, 0usize);
    let (mut canvas, mut frame, mut exif, mut alpha) = (None, None, None, false);
    let (mut animated, mut frames) = (false, 0u64);
    while (at as u64) < riff_end.min(bytes.len() as u64) {
        chunks = chunks.saturating_add(1);
        if chunks > limits.max_segments {
            let (value, limit) = (chunks as u64, limits.max_segments as u64);
            return Err(ImageError::Limit { format: FORMAT, what: "the number of chunks", value, limit });
        }
        let (Some(kind), Some(len)) = (array::<4>(bytes, at), u32_le(bytes, at.saturating_add(4))) else {
            cut = cut.or(Some("a chunk header is not complete".into()));
            break;
        };
        let body = at.saturating_add(8);
        let Ok(len) = usize::try_from(len) else { return Err(corrupt("a chunk is too long".into())) };
        match &kind {
            b"VP8X" => {
                let flags = bytes.get(body).copied().unwrap_or(0);
                animated |= flags & 2 != 0;
                alpha = flags & 0x10 != 0;
                let side = |at: usize| {
                    let [a, b, c] = array::<3>(bytes, at)?;
                    Some(u64::from(u32::from_le_bytes([a, b, c, 0])).saturating_add(1))
                };
                canvas = side(body.saturating_add(4)).zip(side(body.saturating_add(7)));
            }
            b"ANMF" if !animated => {
                return Err(corrupt("a frame of an animation in a file that is none".into()));
            }
            b"ANMF" => frames = frames.saturating_add(1),
            b"VP8 " if frame.is_none() => {
                // Frame tag (3 bytes), start code 9d 01 2a, then 14 bits of width and of height.
                if slice(bytes, body.saturating_add(3), 3).is_some_and(|s| s != b"\x9d\x01\x2a") {
                    return Err(corrupt("it has no key frame".into()));
                }
                let side = |at| u16_le(bytes, at).map(|v| u64::from(v & 0x3fff));
                frame = side(body.saturating_add(6)).zip(side(body.saturating_add(8)));
            }
            b"VP8L" if frame.is_none() => {
                let bits = u32_le(bytes, body.saturating_add(1));
                frame = bits.map(|b| {
                    (u64::from(b & 0x3fff).saturating_add(1), u64::from((b >> 14) & 0x3fff).saturating_add(1))
                });
                alpha |= bits.is_some_and(|b| b >> 28 & 1 != 0);
            }
            b"EXIF" => exif = exif.or(slice(bytes, body, len)),
            _ => {}
        }
        // Chunks are padded to an even length.
        at = body.saturating_add(len).saturating_add(len & 1);
    }
    // Some writers prefix the block as in JPEG.
    let exif = exif.map(|e| e.strip_prefix(b"Exif\0\0").unwrap_or(e));
    for (width, height) in [canvas, frame].into_iter().flatten() {
        check_size(FORMAT, width, height, limits)?;
    }
    // The frames of an animation lie on its canvas; the decoder checks that they do.
    if animated && frames > 0 {
        frame = canvas;
    }
    let animated = animated && frames > 1;
    let Some((width, height)) = frame else {
        return Err(truncated("there is no picture in it"));
    };
    if canvas.is_some_and(|c| c != (width, height)) {
        return Err(corrupt("the canvas and the picture have different sizes".into()));
    }
    let (width, height) = check_size(FORMAT, width, height, limits)?;
    // Pixels plus the decoder's own planes (VP8) or ARGB buffer (VP8L).
    let pixels = (width as u64).saturating_mul(height as u64);
    let alloc = check_alloc(FORMAT, pixels.saturating_mul(8), limits)?;
    let channels = if alpha { 4 } else { 3 };
    Ok(Header { width, height, alloc, stream: bytes.into(), exif, truncated: cut, channels, animated })
}

/// Decodes; a truncated file decodes as far as the format allows, which for WebP is usually not at all.
pub fn pixels(header: &Header<'_>) -> Result<Vec<u8>, ImageError> {
    let cursor = std::io::Cursor::new(&*header.stream);
    read(::image::codecs::webp::WebPDecoder::new(cursor), header, FORMAT, pixel_buffer(header)?)
}

/// Reads through a decoder of the `image` crate, after checking that it sees what the header walk saw.
pub fn read<D: ImageDecoder>(
    decoder: ImageResult<D>,
    header: &Header<'_>,
    format: Format,
    mut buffer: Vec<u8>,
) -> Result<Vec<u8>, ImageError> {
    let corrupt = |detail: String| match &header.truncated {
        Some(cut) => ImageError::Truncated { format, detail: cut.clone() },
        None => ImageError::Corrupt { format, detail },
    };
    let decoder = decoder.map_err(|e| corrupt(e.to_string()))?;
    let (w, h) = decoder.dimensions();
    let same = u64::from(w) == header.width as u64
        && u64::from(h) == header.height as u64
        && decoder.total_bytes() == buffer.len() as u64;
    if !same {
        return Err(corrupt("the decoder sees another size or colour type than the header says".into()));
    }
    match decoder.read_image(&mut buffer) {
        Ok(()) => Ok(buffer),
        Err(e) => Err(corrupt(e.to_string())),
    }
}
