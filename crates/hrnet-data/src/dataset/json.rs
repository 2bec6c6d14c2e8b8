//! Documents of JSON: errors that show the place, and the words of Python that are no JSON.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::path::Path;

use serde::Deserialize;

use super::error::DataError;

/// Parses a document. A bad token is shown.
pub(crate) fn json<'a, T: Deserialize<'a>>(text: &'a str, path: &Path, wanted: &str) -> Result<T, DataError> {
    serde_json::from_str(text).map_err(|e| {
        let line = text.split('\n').nth(e.line().saturating_sub(1)).unwrap_or("");
        let near: String = line
            .get(floor_boundary(line, e.column().saturating_sub(10))..)
            .unwrap_or("")
            .chars()
            .take(24)
            .collect();
        let fix = if e.is_eof() {
            "the file is cut off; copy or download it again"
        } else if ["NaN", "Infinity", "nan", "inf"].iter().any(|w| near.contains(w)) {
            "NaN and Infinity are no JSON; remove the entry or write numbers"
        } else {
            "correct the file there"
        };
        DataError::format(path, format!("{e}, near {near:?}; wanted {wanted}; {fix}"))
    })
}

fn floor_boundary(s: &str, mut at: usize) -> usize {
    at = at.min(s.len());
    while !s.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    at
}

/// Python's `json` writes NaN and Infinity. Puts `null` in their place, outside of strings, and tells the lines.
pub(crate) fn without_nan(bytes: Vec<u8>) -> (Vec<u8>, Vec<u64>) {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut out = Vec::new();
    let mut lines = Vec::new();
    let (mut rest, mut line, mut in_string) = (bytes.as_slice(), 1u64, false);
    while let Some((&b, after)) = rest.split_first() {
        if !in_string && let Some(after) = WORDS.iter().find_map(|w| rest.strip_prefix(*w)) {
            out.extend_from_slice(b"null");
            lines.push(line);
            rest = after;
            continue;
        }
        out.push(b);
        rest = after;
        match b {
            b'"' => in_string = !in_string,
            b'\n' => line = line.saturating_add(1),
            b'\\' if in_string => {
                if let Some((&escaped, after)) = rest.split_first() {
                    out.push(escaped);
                    rest = after;
                }
            }
            _ => {}
        }
    }
    if lines.is_empty() { (bytes, lines) } else { (out, lines) }
}
