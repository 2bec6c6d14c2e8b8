//! What a file is, from its first bytes; names are never trusted.

use super::{Format, ImageError, bytes::slice};

/// Pictures we name and refuse: first bytes, offset, name.
const FOREIGN: &[(&[u8], usize, &str)] = &[
    (b"GIF8", 0, "a GIF"),
    (b"II*\0", 0, "a TIFF"),
    (b"MM\0*", 0, "a TIFF"),
    (b"II+\0", 0, "a BigTIFF"),
    (b"MM\0+", 0, "a BigTIFF"),
    (b"#?RADIANCE", 0, "a Radiance HDR image"),
    (b"#?RGBE", 0, "a Radiance HDR image"),
    (b"\0\0\x01\0", 0, "a Windows icon (ICO)"),
    (b"\0\0\x02\0", 0, "a Windows cursor (CUR)"),
    (b"ftypavif", 4, "an AVIF image"),
    (b"ftypavis", 4, "an AVIF sequence"),
    (b"ftyphei", 4, "an HEIC image"),
    (b"ftyphev", 4, "an HEIC sequence"),
    (b"ftypmif1", 4, "an HEIF image"),
    (b"ftypmsf1", 4, "an HEIF sequence"),
    (b"ftyp", 4, "an MP4 video"),
    (b"\xff\x0a", 0, "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", 0, "a JPEG XL image"),
    (b"\0\0\0\x0cjP  ", 0, "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", 0, "a JPEG 2000 image"),
    (b"8BPS", 0, "a Photoshop document"),
    (b"v/1\x01", 0, "an OpenEXR image"),
    (b"DDS ", 0, "a DDS texture"),
    (b"qoif", 0, "a QOI image"),
    (b"farbfeld", 0, "a farbfeld image"),
    (b"\x8aMNG", 0, "an MNG animation"),
    (b"\x1aE\xdf\xa3", 0, "a Matroska or WebM video"),
    (b"%PDF", 0, "a PDF document"),
];

/// Files that are no pictures at all.
const OTHER: &[(&[u8], &str)] = &[
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
];

/// The format of a file, or an error that names what it is.
pub fn format(bytes: &[u8]) -> Result<Format, ImageError> {
    let starts = |magic: &[u8], at: usize| slice(bytes, at, magic.len()) == Some(magic);
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    if starts(b"\x89PNG\r\n\x1a\n", 0) {
        return Ok(Format::Png);
    }
    if starts(b"\xff\xd8\xff", 0) {
        return Ok(Format::Jpeg);
    }
    if starts(b"RIFF", 0) && starts(b"WEBP", 8) {
        return Ok(Format::WebP);
    }
    if let Some((_, _, name)) = FOREIGN.iter().find(|(magic, at, _)| starts(magic, *at)) {
        return Err(ImageError::Unsupported { what: (*name).into() });
    }
    if let Some((_, what)) = OTHER.iter().find(|(magic, _)| starts(magic, 0)) {
        return Err(ImageError::NotAnImage { what });
    }
    if let Some(error) = text(bytes) {
        return Err(error);
    }
    // After the text check: many sentences start with "BM".
    if starts(b"BM", 0) {
        return Ok(Format::Bmp);
    }
    // A file cut inside the signature.
    for (magic, format) in
        [(&b"\x89PNG\r\n\x1a\n"[..], Format::Png), (b"\xff\xd8\xff", Format::Jpeg), (b"RIFF", Format::WebP)]
    {
        if magic.starts_with(bytes) || (magic == b"RIFF" && bytes.starts_with(magic) && bytes.len() < 12) {
            return Err(ImageError::Truncated {
                format,
                detail: format!("it has only {} bytes", bytes.len()),
            });
        }
    }
    if starts(b"\x89PNG", 0) {
        let detail = "line ends were converted, as by a text-mode transfer".into();
        return Err(ImageError::Corrupt { format: Format::Png, detail });
    }
    if bytes.iter().take(4096).all(|&b| b == 0) {
        return Err(ImageError::NotAnImage { what: "a file of zero bytes" });
    }
    Err(ImageError::NotAnImage { what: "a file of unknown type" })
}

/// Names text files, which is what a failed download usually leaves.
fn text(bytes: &[u8]) -> Option<ImageError> {
    let head = bytes.get(..bytes.len().min(512))?;
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let printable = |b: &u8| matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    if !head.iter().all(printable) || !head.iter().any(u8::is_ascii_alphanumeric) {
        return None;
    }
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(e) => e.error_len().is_none(),
    };
    if !valid {
        return None;
    }
    let lower: Vec<u8> = head.iter().map(u8::to_ascii_lowercase).collect();
    let body = lower.trim_ascii_start();
    let has = |needle: &[u8]| body.windows(needle.len()).any(|w| w == needle);
    if body.starts_with(b"<svg") || (body.starts_with(b"<?xml") && has(b"<svg")) {
        return Some(ImageError::Unsupported { what: "an SVG drawing".into() });
    }
    if matches!(head, [b'P', b'1'..=b'7', b, ..] if b.is_ascii_whitespace()) {
        return Some(ImageError::Unsupported { what: "a PNM image".into() });
    }
    let what = if body.starts_with(b"<!doctype html") || has(b"<html") {
        "an HTML page (a failed download?)"
    } else if body.starts_with(b"<?xml") {
        "an XML file (a failed download?)"
    } else if matches!(body.first(), Some(b'{' | b'[')) {
        "a JSON file (a failed download?)"
    } else if body.starts_with(b"version https://git-lfs") {
        "a Git LFS pointer (run `git lfs pull`)"
    } else {
        "a text file"
    };
    Some(ImageError::NotAnImage { what })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_for_what_they_are() {
        for (bytes, want) in [
            (&b"GIF89a\x01\0"[..], "a GIF; convert"),
            (b"II*\0\x08\0\0\0", "a TIFF; convert"),
            (b"#?RADIANCE\n", "Radiance HDR"),
            (b"\0\0\x01\0\x01\0", "icon"),
            (b"\0\0\0\x1cftypavif\0\0", "AVIF"),
            (b"\0\0\0\x1cftypheic\0\0", "HEIC"),
            (b"<!DOCTYPE html><html>", "an HTML page"),
            (b"\n\n<html lang=en>", "an HTML page"),
            (b"{\"error\": 404}", "a JSON file"),
            (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
            (b"<svg xmlns='x'>", "SVG"),
            (b"P6\n2 2\n255\n", "PNM"),
            (b"BMW is a car maker", "a text file"),
            (b"", "empty"),
            (b"\0\0\0\0\0\0\0\0", "zero bytes"),
            (b"\x89PNG\r\n", "truncated"),
            (b"\x89PNG\n\x1a\n\0\0", "text-mode"),
            (b"\xff\xd8", "truncated"),
            (b"\x01\x02\x03", "unknown"),
        ] {
            let message = format(bytes).unwrap_err().to_string();
            assert!(message.contains(want), "{bytes:?}: {message}");
        }
    }
}
