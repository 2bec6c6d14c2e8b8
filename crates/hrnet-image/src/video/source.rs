//! Bounded reads from a stream.

use super::VideoError;
use std::io::Read;

/// Bytes asked for at a time.
const STEP: usize = 64 << 10;

/// Reads up to `wanted` bytes into `buffer`, which it empties first; fewer come only at the end of the stream. Memory grows with
/// what arrives, not with what was promised.
pub fn fill(reader: &mut impl Read, buffer: &mut Vec<u8>, wanted: usize) -> Result<usize, VideoError> {
    buffer.clear();
    while buffer.len() < wanted && more(reader, buffer, wanted.saturating_sub(buffer.len()))? {}
    Ok(buffer.len())
}

/// Appends what one read gives, at most `most` bytes; false at the end of the stream.
pub fn more(reader: &mut impl Read, buffer: &mut Vec<u8>, most: usize) -> Result<bool, VideoError> {
    let before = buffer.len();
    let step = most.min(STEP.max(before));
    let after = before.saturating_add(step);
    buffer.try_reserve(step).map_err(|_| VideoError::Memory(after as u64))?;
    buffer.resize(after, 0);
    let got = loop {
        match reader.read(buffer.get_mut(before..).unwrap_or_default()) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            other => break other,
        }
    };
    buffer.truncate(before.saturating_add(*got.as_ref().unwrap_or(&0)));
    Ok(got? > 0)
}
