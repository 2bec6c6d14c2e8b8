//! JPEG: marker walk, size, and pixels, equal to those of libjpeg-turbo with its defaults (which are OpenCV's and Pillow's).
//!
//! The walk visits every marker of the file: it finds the frame header, counts scans and coded bytes, and knows whether the
//! end marker is there. Only tables, frame and scan headers, the coded data and the two segments that change colours
//! (`APP0`, `APP14`) reach the decoder.

mod bits;
mod decode;
mod scan;
mod standard;

use crate::jpeg_samples::{self, Colours};
use decode::Fault;

use super::{
    Format, Header, ImageError, Limits,
    bytes::{Parts, slice, u16_be},
    check_alloc, check_size, pixel_buffer,
};

const FORMAT: Format = Format::Jpeg;

fn corrupt(detail: impl Into<String>) -> ImageError {
    ImageError::Corrupt { format: FORMAT, detail: detail.into() }
}

fn limit(what: &'static str, value: u64, limit: u64) -> Result<(), ImageError> {
    if value > limit { Err(ImageError::Limit { format: FORMAT, what, value, limit }) } else { Ok(()) }
}

/// The frame header: what `SOFn` says.
struct Frame {
    width: usize,
    height: usize,
    progressive: bool,
    components: usize,
    /// 8x8 blocks of all components, padding included.
    blocks: u64,
    /// Blocks that must be coded at least, padding excluded.
    coded_blocks: u64,
}

/// Reads the marker structure.
pub fn walk<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Header<'a>, ImageError> {
    let mut parts = Parts::default();
    parts.keep(0, 2);
    let (mut at, mut segments, mut scans) = (2usize, 0usize, 0usize);
    let mut entropy_bytes = 0u64;
    let (mut frame, mut exif, mut adobe): (Option<Frame>, Option<&[u8]>, bool) = (None, None, false);
    let cut = loop {
        // Markers may be preceded by fill bytes. Other bytes between segments are skipped, as all decoders do.
        let Some(found) = next_marker(bytes, at) else { break Some("the end marker is missing") };
        let (start, code) = found;
        let body = start.saturating_add(2);
        match code {
            0xd9 => {
                parts.keep(start, body);
                break None;
            }
            // Stand-alone markers outside of a scan mean nothing.
            0x01 | 0xd0..=0xd8 => {
                at = body;
                continue;
            }
            _ => {}
        }
        segments = segments.saturating_add(1);
        limit("the number of segments", segments as u64, limits.max_segments as u64)?;
        let Some(len) = u16_be(bytes, body) else { break Some("a segment is not complete") };
        if len < 2 {
            return Err(corrupt(format!("a segment has length {len}")));
        }
        let Some(payload) = slice(bytes, body.saturating_add(2), usize::from(len).saturating_sub(2)) else {
            break Some("a segment is not complete");
        };
        let end = body.saturating_add(usize::from(len));
        at = end;
        let keep = match code {
            0xc0..=0xc2 => {
                if frame.is_some() {
                    return Err(corrupt("it has two frame headers"));
                }
                let header = frame_header(code, payload, limits)?;
                frame = Some(header);
                true
            }
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let what = match code {
                    0xc3 => "a lossless JPEG",
                    0xc9..=0xcb => "an arithmetic-coded JPEG",
                    _ => "a hierarchical JPEG",
                };
                return Err(ImageError::Unsupported { what: what.into() });
            }
            // Huffman tables, quantisation tables, restart interval.
            0xc4 | 0xdb | 0xdd => true,
            0xe0 => true,
            0xe1 => {
                exif = exif.or(payload.strip_prefix(b"Exif\0\0"));
                false
            }
            0xee => {
                adobe |= payload.starts_with(b"Adobe");
                true
            }
            0xda => {
                let Some(frame) = &frame else { return Err(corrupt("a scan comes before the frame header")) };
                scans = scans.saturating_add(1);
                limit("the number of scans", scans as u64, limits.jpeg_max_scans as u64)?;
                let pixels = (frame.width as u64).saturating_mul(frame.height as u64);
                let work = pixels.saturating_mul(scans as u64);
                limit("the number of scans times pixels", work, limits.jpeg_max_scan_pixels)?;
                let data_end = scan_end(bytes, end);
                entropy_bytes = entropy_bytes.saturating_add(data_end.saturating_sub(end) as u64);
                at = data_end;
                true
            }
            _ => false,
        };
        if keep {
            parts.keep(start, at);
        }
    };
    let Some(frame) = frame else {
        let detail = cut.unwrap_or("there is no frame header").to_string();
        return Err(match cut {
            Some(_) => ImageError::Truncated { format: FORMAT, detail },
            None => corrupt(detail),
        });
    };
    if scans == 0 && cut.is_none() {
        return Err(corrupt("it has no pixel data"));
    }
    // A Huffman code has at least one bit: two codes a block (DC, AC) in sequential files, one in the first progressive scan.
    let least_bits = frame.coded_blocks.saturating_mul(if frame.progressive { 1 } else { 2 });
    if cut.is_none() && entropy_bytes.saturating_mul(8) < least_bits {
        return Err(ImageError::Truncated {
            format: FORMAT,
            detail: format!(
                "{entropy_bytes} bytes of data cannot hold {}x{} pixels, though the end marker is there",
                frame.width, frame.height
            ),
        });
    }
    let channels = match frame.components {
        1 => 1,
        3 => 3,
        4 if adobe => 3,
        4 => {
            return Err(ImageError::Unsupported {
                what: "a CMYK JPEG without the Adobe colour marker".into(),
            });
        }
        n => return Err(ImageError::Unsupported { what: format!("a JPEG with {n} components") }),
    };
    // One byte a sample, padding included; the coefficients of progressive files (16 bits each) go before the rows come.
    let samples = frame.blocks.saturating_mul(64);
    let coefficients = if frame.progressive { frame.blocks.saturating_mul(128) } else { 0 };
    let pixels = (frame.width as u64).saturating_mul(frame.height as u64);
    let alloc =
        check_alloc(FORMAT, samples.saturating_add(coefficients.max(pixels.saturating_mul(3))), limits)?;
    let stream = parts.join(bytes).ok_or(ImageError::Memory { bytes: bytes.len() as u64 })?;
    let (width, height) = (frame.width, frame.height);
    Ok(Header {
        width,
        height,
        alloc,
        stream,
        exif,
        truncated: cut.map(Into::into),
        channels,
        animated: false,
    })
}

/// The next marker at or after `from`: its position and code.
fn next_marker(bytes: &[u8], from: usize) -> Option<(usize, u8)> {
    let mut at = from;
    loop {
        at = at.checked_add(bytes.get(at..)?.iter().position(|&b| b == 0xff)?)?;
        match bytes.get(at.checked_add(1)?)? {
            0xff => at = at.checked_add(1)?,
            0 => at = at.checked_add(2)?,
            &code => return Some((at, code)),
        }
    }
}

/// The end of the coded data that starts at `from`: the next marker other than a restart.
fn scan_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some((start, code)) = next_marker(bytes, at) {
        match code {
            0xd0..=0xd7 => at = start.saturating_add(2),
            _ => return start,
        }
    }
    bytes.len()
}

fn frame_header(code: u8, payload: &[u8], limits: &Limits) -> Result<Frame, ImageError> {
    let (Some(&precision), Some(height), Some(width), Some(&components)) =
        (payload.first(), u16_be(payload, 1), u16_be(payload, 3), payload.get(5))
    else {
        return Err(corrupt("the frame header is too short"));
    };
    if precision != 8 {
        return Err(ImageError::Unsupported { what: format!("a JPEG with {precision} bits a sample") });
    }
    if height == 0 {
        return Err(ImageError::Unsupported {
            what: "a JPEG whose height comes after the picture (DNL)".into(),
        });
    }
    let (width, height) = check_size(FORMAT, width.into(), height.into(), limits)?;
    let Some(table) = slice(payload, 6, usize::from(components).saturating_mul(3)) else {
        return Err(corrupt("the frame header is too short"));
    };
    let factors: Vec<(u64, u64)> = table
        .chunks_exact(3)
        .filter_map(|c| c.get(1))
        .map(|hv| (u64::from(hv >> 4), u64::from(hv & 15)))
        .collect();
    if factors.is_empty() || factors.iter().any(|&(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v)) {
        return Err(corrupt("a sampling factor is not 1 to 4"));
    }
    let h_max = factors.iter().map(|f| f.0).max().unwrap_or(1);
    let v_max = factors.iter().map(|f| f.1).max().unwrap_or(1);
    let units = |side: usize, max: u64| (side as u64).div_ceil(max.saturating_mul(8));
    let mcus = units(width, h_max).saturating_mul(units(height, v_max));
    let per_mcu = factors.iter().fold(0u64, |n, (h, v)| n.saturating_add(h.saturating_mul(*v)));
    let side_blocks =
        |side: usize, f: u64, max: u64| (side as u64).saturating_mul(f).div_ceil(max.saturating_mul(8));
    let coded_blocks = factors.iter().fold(0u64, |n, &(h, v)| {
        n.saturating_add(side_blocks(width, h, h_max).saturating_mul(side_blocks(height, v, v_max)))
    });
    Ok(Frame {
        width,
        height,
        progressive: code == 0xc2,
        components: usize::from(components),
        blocks: mcus.saturating_mul(per_mcu),
        coded_blocks,
    })
}

/// Decodes; of a truncated file, the part that is there.
pub fn pixels(header: &Header<'_>) -> Result<Vec<u8>, ImageError> {
    let error = |fault: Fault| match (&header.truncated, fault) {
        (_, Fault::Unsupported(what)) => ImageError::Unsupported { what: what.into() },
        (_, Fault::Memory(bytes)) => ImageError::Memory { bytes: bytes as u64 },
        (Some(cut), _) => ImageError::Truncated { format: FORMAT, detail: cut.clone() },
        (None, Fault::Short(detail)) => ImageError::Truncated { format: FORMAT, detail },
        (None, Fault::Damaged(detail)) => corrupt(detail),
    };
    let picture = decode::picture(&header.stream, header.truncated.is_some()).map_err(error)?;
    if (picture.width, picture.height) != (header.width, header.height) {
        return Err(corrupt("the decoder sees another size than the header says"));
    }
    if (picture.colours == Colours::Grey) != (header.channels == 1) {
        return Err(corrupt("the decoder sees another colour type than the header says"));
    }
    let mut buffer = pixel_buffer(header)?;
    jpeg_samples::rows(&picture.planes, picture.colours, picture.width, &mut buffer);
    Ok(buffer)
}
