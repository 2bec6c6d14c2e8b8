//! Segmentations of COCO files: polygons and run lengths, checked, and drawn into a mask.
//!
//! Run lengths count pixels column by column, from the top left, beginning with background. The compressed form packs each
//! count (from the fourth on, its difference to the count two before) into characters of 6 bits: `0x20` says that another
//! follows, and the last one's `0x10` is the sign. Source: the definition in the COCO API; restated.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use serde::Deserialize;

/// An outline or mask.
#[derive(Debug, Clone, PartialEq)]
pub enum Segmentation {
    /// Polygons, each a list of corners.
    Polygons(Vec<Vec<[f64; 2]>>),
    /// Run lengths.
    Runs {
        /// Width of the image.
        width: usize,
        /// Height of the image.
        height: usize,
        /// Background, foreground, background, ... column by column.
        counts: Vec<u32>,
    },
}

/// The forms in a file.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Raw {
    Polygons(Vec<Vec<f64>>),
    Runs { size: [u32; 2], counts: Counts },
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Counts {
    Plain(Vec<u32>),
    Packed(String),
}

impl Raw {
    /// Checks a segmentation against its image; the error says what is wrong.
    pub(super) fn check(
        self,
        image: Option<[usize; 2]>,
        max_coordinate: f64,
    ) -> Result<Segmentation, String> {
        match self {
            Self::Polygons(list) => {
                let mut out = Vec::with_capacity(list.len());
                for (i, polygon) in list.iter().enumerate() {
                    if polygon.len() < 6 || !polygon.len().is_multiple_of(2) {
                        return Err(format!(
                            "polygon {i} has {} numbers, which are not 3 or more corners",
                            polygon.len()
                        ));
                    }
                    if polygon.iter().any(|v| !v.is_finite() || v.abs() > max_coordinate) {
                        return Err(format!("polygon {i} has a corner that is no coordinate"));
                    }
                    out.push(polygon.as_chunks::<2>().0.to_vec());
                }
                Ok(Segmentation::Polygons(out))
            }
            Self::Runs { size: [height, width], counts } => {
                let counts = match counts {
                    Counts::Plain(c) => c,
                    Counts::Packed(s) => unpack(s.as_bytes()).ok_or("its packed run lengths are damaged")?,
                };
                let (width, height) = (
                    usize::try_from(width).map_err(|_| "its width is too large")?,
                    usize::try_from(height).map_err(|_| "its height is too large")?,
                );
                if image.is_some_and(|i| i != [width, height]) {
                    return Err(format!("its mask is {width}x{height}, its image is not"));
                }
                let area = (width as u64).saturating_mul(height as u64);
                let sum = counts.iter().fold(0u64, |n, &c| n.saturating_add(c.into()));
                if sum != area {
                    return Err(format!("its run lengths cover {sum} of {area} pixels"));
                }
                Ok(Segmentation::Runs { width, height, counts })
            }
        }
    }
}

/// Packed run lengths.
fn unpack(text: &[u8]) -> Option<Vec<u32>> {
    let mut out: Vec<u32> = Vec::new();
    let mut bytes = text.iter();
    while let Some(&first) = bytes.next() {
        let (mut value, mut shift, mut byte) = (0i64, 0u32, first);
        loop {
            let six = byte.checked_sub(48).filter(|&v| v < 64)?;
            value |= i64::from(six & 0x1f).checked_shl(shift)?;
            shift = shift.checked_add(5).filter(|&s| s < 60)?;
            if six & 0x20 == 0 {
                if six & 0x10 != 0 {
                    value |= (-1i64).checked_shl(shift)?;
                }
                break;
            }
            byte = *bytes.next()?;
        }
        if let Some(&two_before) = out.len().checked_sub(2).filter(|_| out.len() > 2).and_then(|i| out.get(i))
        {
            value = value.checked_add(two_before.into())?;
        }
        out.push(u32::try_from(value).ok()?);
    }
    Some(out)
}

impl Segmentation {
    /// The mask, row by row. Of polygons, the pixels whose centre lies inside by the even-odd rule, with COCO's corner
    /// coordinates: the centre of the top left pixel is (0.5, 0.5) there. `None` when run lengths are of another size.
    pub fn mask(&self, width: usize, height: usize) -> Option<Vec<bool>> {
        let area = width.checked_mul(height)?;
        let mut out = Vec::new();
        out.try_reserve_exact(area).ok()?;
        out.resize(area, false);
        match self {
            Self::Runs { width: w, height: h, counts } => {
                if (*w, *h) != (width, height) {
                    return None;
                }
                let mut at = 0usize;
                for (i, &count) in counts.iter().enumerate() {
                    let end = at.checked_add(usize::try_from(count).ok()?)?;
                    if i % 2 == 1 {
                        for k in at..end {
                            let (x, y) = (k.checked_div(height)?, k.checked_rem(height)?);
                            *out.get_mut(y.checked_mul(width)?.checked_add(x)?)? = true;
                        }
                    }
                    at = end;
                }
            }
            Self::Polygons(list) => {
                for polygon in list {
                    for (y, row) in out.chunks_exact_mut(width.max(1)).enumerate() {
                        fill_row(row, y as f64 + 0.5, polygon);
                    }
                }
            }
        }
        Some(out)
    }
}

/// Sets the pixels of a row between the crossings of a polygon.
fn fill_row(row: &mut [bool], y: f64, polygon: &[[f64; 2]]) {
    let mut crossings = Vec::new();
    let next = polygon.iter().cycle().skip(1);
    for (&[x0, y0], &[x1, y1]) in polygon.iter().zip(next) {
        if (y0 <= y) != (y1 <= y) {
            crossings.push(x0 + (y - y0) / (y1 - y0) * (x1 - x0));
        }
    }
    crossings.sort_by(f64::total_cmp);
    for &[a, b] in crossings.as_chunks::<2>().0 {
        for (x, pixel) in row.iter_mut().enumerate() {
            let centre = x as f64 + 0.5;
            *pixel |= a <= centre && centre < b;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn packed_runs_as_pycocotools_writes_them() {
        // pycocotools.mask.encode of a mask of 7x6 with rows 1..4, columns 2..5 set.
        assert_eq!(unpack(b"=33000;").as_deref(), Some([13, 3, 3, 3, 3, 3, 14].as_slice()));
        assert_eq!(unpack(b"").as_deref(), Some([].as_slice()));
        for bad in [b"P".as_slice(), b"PP", b"\x10", b"~", b"ooooooooooooooooooooooo", b"O"] {
            assert_eq!(unpack(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn masks() {
        let runs = Segmentation::Runs { width: 3, height: 2, counts: vec![1, 3, 2] };
        assert_eq!(runs.mask(3, 2).unwrap(), [false, true, false, true, true, false]);
        assert_eq!(runs.mask(2, 3), None);
        let square = Segmentation::Polygons(vec![vec![[1.0, 0.0], [3.0, 0.0], [3.0, 2.0], [1.0, 2.0]]]);
        let mask = square.mask(4, 3).unwrap();
        let set: Vec<usize> = (0..12).filter(|&i| mask[i]).collect();
        assert_eq!(set, [1, 2, 5, 6]);
    }
}
