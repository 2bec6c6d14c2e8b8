//! PNG: chunk walk, size, and pixels through the `png` crate.
//!
//! Only `IHDR`, `PLTE`, `tRNS`, `IDAT` and `IEND` reach the decoder, so text and profile bombs are never inflated and
//! animations show their default picture.

use super::{
    Format, Header, ImageError, Limits,
    bytes::{Parts, slice, u32_be},
    check_alloc, check_size, pixel_buffer,
};

const FORMAT: Format = Format::Png;
/// Deflate cannot expand more than this.
const DEFLATE_RATIO: u64 = 1032;
/// Above this number of `IDAT` chunks, chunks smaller than [`TINY_CHUNK`] on average are a time bomb, not a file.
const MANY_CHUNKS: u64 = 4096;
const TINY_CHUNK: u64 = 64;
/// Pixel data beyond what the picture can need that is passed over.
const EXTRA_DATA: u64 = 1 << 16;

fn corrupt(detail: impl Into<String>) -> ImageError {
    ImageError::Corrupt { format: FORMAT, detail: detail.into() }
}

/// Reads the chunk structure.
pub fn walk<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Header<'a>, ImageError> {
    let truncated = |detail: &str| ImageError::Truncated { format: FORMAT, detail: detail.into() };
    let head = slice(bytes, 8, 25).ok_or_else(|| truncated("the header is not complete"))?;
    let [0, 0, 0, 13, b'I', b'H', b'D', b'R', ihdr @ ..] = head else {
        return Err(corrupt("it does not start with IHDR"));
    };
    let (Some(width), Some(height), Some(&[depth, colour, ..])) =
        (u32_be(ihdr, 0), u32_be(ihdr, 4), ihdr.get(8..13).and_then(|s| <&[u8; 5]>::try_from(s).ok()))
    else {
        return Err(truncated("the header is not complete"));
    };
    let (width, height) = check_size(FORMAT, width.into(), height.into(), limits)?;
    let stored: u64 = match colour {
        0 | 3 => 1,
        2 => 3,
        4 => 2,
        6 => 4,
        _ => return Err(corrupt(format!("colour type {colour} does not exist"))),
    };
    // What `EXPAND | STRIP_16` returns: a palette or a transparent colour can add alpha.
    let pixels = (width as u64).saturating_mul(height as u64);
    let row_bits = (width as u64).saturating_mul(stored).saturating_mul(depth.into());
    let row_bytes = row_bits.div_ceil(8);
    let alloc =
        check_alloc(FORMAT, pixels.saturating_mul(4).saturating_add(row_bytes.saturating_mul(64)), limits)?;

    let mut parts = Parts::default();
    parts.keep(0, 33);
    let (mut at, mut idat_bytes, mut idat_chunks, mut others) = (33usize, 0u64, 0u64, 0usize);
    let (mut exif, mut has_transparency, mut animated, mut cut) = (None, false, false, None);
    loop {
        let Some(start) = slice(bytes, at, 8) else {
            cut = Some("the end chunk is missing".to_string());
            break;
        };
        let (len, kind) = (u32_be(start, 0).unwrap_or(0), start.get(4..8).unwrap_or_default());
        let body = at.saturating_add(8);
        let data = usize::try_from(len).ok().and_then(|n| slice(bytes, body, n));
        let end = usize::try_from(len).ok().and_then(|n| body.checked_add(n)?.checked_add(4));
        let whole = end.is_some_and(|e| e <= bytes.len());
        match kind {
            b"IDAT" => {
                idat_chunks = idat_chunks.saturating_add(1);
                idat_bytes = idat_bytes.saturating_add(len.into());
            }
            b"IEND" if whole => {
                parts.keep(at, end.unwrap_or(at));
                break;
            }
            b"eXIf" => exif = exif.or(data),
            b"tRNS" => has_transparency = true,
            // More than one frame.
            b"acTL" => animated |= data.and_then(|d| u32_be(d, 0)).is_some_and(|frames| frames > 1),
            _ => {}
        }
        if kind != b"IDAT" {
            others = others.saturating_add(1);
            if others > limits.max_segments {
                let (value, limit) = (others as u64, limits.max_segments as u64);
                return Err(ImageError::Limit { format: FORMAT, what: "the number of chunks", value, limit });
            }
        }
        let keep = matches!(kind, b"IDAT" | b"PLTE" | b"tRNS");
        let Some(end) = end.filter(|_| whole) else {
            let name: String = kind.iter().map(|b| char::from(*b).escape_default().to_string()).collect();
            cut = Some(format!("chunk {name} of {len} bytes ends after the file"));
            if keep {
                parts.keep(at, bytes.len());
            }
            break;
        };
        if keep {
            parts.keep(at, end);
        }
        at = end;
    }
    if cut.is_none() {
        if idat_chunks == 0 {
            return Err(corrupt("it has no pixel data"));
        }
        let most = idat_bytes.saturating_add(1).saturating_mul(DEFLATE_RATIO);
        if most < row_bytes.saturating_mul(height as u64) {
            return Err(corrupt(format!(
                "the header claims {width}x{height} pixels, more than {idat_bytes} bytes of data can hold"
            )));
        }
    }
    // Even stored blocks of one byte need only six times the picture; more is a decompression bomb.
    let raw = row_bytes.saturating_add(1).saturating_mul(height as u64);
    if idat_bytes > raw.saturating_mul(8).saturating_add(EXTRA_DATA) {
        return Err(corrupt(format!("{idat_bytes} bytes of data are too many for {width}x{height} pixels")));
    }
    if idat_chunks > MANY_CHUNKS && idat_bytes < idat_chunks.saturating_mul(TINY_CHUNK) {
        let (value, limit) = (idat_chunks, MANY_CHUNKS);
        return Err(ImageError::Limit {
            format: FORMAT,
            what: "the number of tiny pixel chunks",
            value,
            limit,
        });
    }
    let channels = match (colour, has_transparency) {
        (0, false) => 1,
        (0, true) | (4, _) => 2,
        (2 | 3, false) => 3,
        _ => 4,
    };
    let stream = parts.join(bytes).ok_or(ImageError::Memory { bytes: bytes.len() as u64 })?;
    Ok(Header { width, height, alloc, stream, exif, truncated: cut, channels, animated })
}

/// Decodes; of a truncated file, the rows that are there (the rest is black).
pub fn pixels(header: &Header<'_>) -> Result<Vec<u8>, ImageError> {
    let budget = usize::try_from(header.alloc).unwrap_or(usize::MAX).max(1 << 20);
    let limits = png::Limits { bytes: budget };
    let mut decoder = png::Decoder::new_with_limits(std::io::Cursor::new(&*header.stream), limits);
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(error)?;
    let (colour, _) = reader.output_color_type();
    if reader.info().size() != (u32_of(header.width), u32_of(header.height))
        || colour.samples() != header.channels
    {
        return Err(corrupt("the decoder sees another size or colour type than the header says"));
    }
    let mut buffer = pixel_buffer(header)?;
    if reader.output_buffer_size() != Some(buffer.len()) {
        return Err(corrupt("the decoder sees another size than the header says"));
    }
    match reader.next_frame(&mut buffer) {
        Ok(_) => {}
        Err(_) if header.truncated.is_some() => {}
        Err(e) => return Err(error(e)),
    }
    Ok(buffer)
}

fn u32_of(v: usize) -> u32 {
    u32::try_from(v).unwrap_or(u32::MAX)
}

fn error(e: png::DecodingError) -> ImageError {
    match e {
        png::DecodingError::IoError(_) => {
            ImageError::Truncated { format: FORMAT, detail: "the pixel data ends early".into() }
        }
        png::DecodingError::LimitsExceeded => {
            corrupt("its pixel data needs more memory than its size allows")
        }
        e => corrupt(e.to_string()),
    }
}
