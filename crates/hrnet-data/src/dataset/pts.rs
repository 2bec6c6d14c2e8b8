//! `.pts` files of iBUG: one face, its points one per line.
//!
//! ```text
//! version: 1
//! n_points: 68
//! {
//! 268.000 398.882
//! ...
//! }
//! ```
//!
//! Made with MATLAB: coordinates are 1-based ([`Base::One`] is the usual choice). Blanks, empty lines, a BOM, CRLF, and
//! capital letters in the two keys are accepted; anything else that is not of this form is an error with its line.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::path::Path;

use super::model::{Base, DataError, Place, ReadLimits, ordinal, read_bytes, short, text};

/// Reads a file.
pub fn read(path: &Path, base: Base, limits: &ReadLimits) -> Result<Vec<[f64; 2]>, DataError> {
    // One point takes at most some 50 characters.
    let most = (limits.max_points as u64).saturating_mul(256).saturating_add(4096);
    parse(&read_bytes(path, limits.max_bytes.min(most))?, path, base, limits)
}

/// Reads a file from memory.
pub fn parse(bytes: &[u8], path: &Path, base: Base, limits: &ReadLimits) -> Result<Vec<[f64; 2]>, DataError> {
    let text = text(bytes, path)?;
    let bad = |line: u64, problem: String, fix| DataError::entry(path, Place::Line(line), problem, fix);
    let mut wanted = None;
    let mut lines =
        text.lines().enumerate().map(|(i, l)| (ordinal(i), l.trim())).filter(|(_, l)| !l.is_empty());
    loop {
        let Some((n, line)) = lines.next() else {
            return Err(DataError::format(
                path,
                "there is no {; a .pts file has version, n_points and { points }",
            ));
        };
        if line == "{" {
            break;
        }
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        match key.trim().to_ascii_lowercase().as_str() {
            "version" => {}
            "n_points" => {
                let count: usize = value.trim().parse().map_err(|_| {
                    bad(n, format!("n_points is {:?}", short(value.trim())), "write a whole number")
                })?;
                if count > limits.max_points {
                    let limit = limits.max_points as u64;
                    return Err(DataError::Limit { path: path.to_path_buf(), what: "points", limit });
                }
                wanted = Some(count);
            }
            _ => return Err(bad(n, format!("{:?} is no line of a .pts file", short(line)), "remove it")),
        }
    }
    let mut points = Vec::new();
    loop {
        let Some((n, line)) = lines.next() else {
            let problem = format!("the file ends after {} points, without }}", points.len());
            return Err(DataError::format(path, format!("{problem}; copy or download it again")));
        };
        if line == "}" {
            break;
        }
        let mut fields = line.split_whitespace();
        let (Some(x), Some(y), None) = (fields.next(), fields.next(), fields.next()) else {
            return Err(bad(n, format!("{:?} is not x and y", short(line)), "give two numbers"));
        };
        let coordinate = |s: &str| {
            let v: f64 =
                s.parse().map_err(|_| bad(n, format!("{:?} is no number", short(s)), "write a number"))?;
            if v.is_finite() && v.abs() <= limits.max_coordinate {
                Ok(v - base.offset())
            } else {
                Err(bad(n, format!("{v} is no coordinate"), "correct the point or remove the file"))
            }
        };
        points.push([coordinate(x)?, coordinate(y)?]);
        if points.len() > limits.max_points {
            let limit = limits.max_points as u64;
            return Err(DataError::Limit { path: path.to_path_buf(), what: "points", limit });
        }
    }
    match wanted {
        Some(n) if n != points.len() => Err(DataError::format(
            path,
            format!("n_points is {n}, but there are {} points; correct one", points.len()),
        )),
        _ if points.is_empty() => {
            Err(DataError::Empty { path: path.to_path_buf(), what: "points", fix: "remove the file" })
        }
        _ => Ok(points),
    }
}
