//! The one EXIF field that changes pixels: tag 0x0112, orientation, in the first image directory of a TIFF block.

use super::{
    Image, ImageError,
    bytes::{u16_be, u16_le, u32_be, u32_le},
};

/// How stored pixels must be turned to be upright; the EXIF values 1 to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Orientation {
    /// 1: nothing to do.
    #[default]
    Upright,
    /// 2: mirror left and right.
    MirrorHorizontal,
    /// 3: half a turn.
    Rotate180,
    /// 4: mirror top and bottom.
    MirrorVertical,
    /// 5: swap x and y.
    Transpose,
    /// 6: a quarter turn clockwise.
    Rotate90,
    /// 7: swap x and y about the other diagonal.
    Transverse,
    /// 8: a quarter turn anticlockwise.
    Rotate270,
}

impl Orientation {
    /// The orientation of an EXIF value; `None` when it is not 1 to 8.
    pub fn from_exif(value: u16) -> Option<Self> {
        Some(match value {
            1 => Self::Upright,
            2 => Self::MirrorHorizontal,
            3 => Self::Rotate180,
            4 => Self::MirrorVertical,
            5 => Self::Transpose,
            6 => Self::Rotate90,
            7 => Self::Transverse,
            8 => Self::Rotate270,
            _ => return None,
        })
    }

    /// Whether width and height change places.
    pub fn swaps_sides(self) -> bool {
        matches!(self, Self::Transpose | Self::Rotate90 | Self::Transverse | Self::Rotate270)
    }

    /// Turns the pixels.
    pub fn apply(self, image: Image) -> Result<Image, ImageError> {
        if self == Self::Upright {
            return Ok(image);
        }
        let (w, h) = (image.width(), image.height());
        let (out_w, out_h) = if self.swaps_sides() { (h, w) } else { (w, h) };
        let mut out = Vec::new();
        let bytes = image.data().len();
        out.try_reserve_exact(bytes).map_err(|_| ImageError::Memory { bytes: bytes as u64 })?;
        let (right, bottom) = (w.saturating_sub(1), h.saturating_sub(1));
        for y in 0..out_h {
            for x in 0..out_w {
                // The stored pixel that comes to (x, y).
                let (sx, sy) = match self {
                    Self::Upright => (x, y),
                    Self::MirrorHorizontal => (right.saturating_sub(x), y),
                    Self::Rotate180 => (right.saturating_sub(x), bottom.saturating_sub(y)),
                    Self::MirrorVertical => (x, bottom.saturating_sub(y)),
                    Self::Transpose => (y, x),
                    Self::Rotate90 => (y, bottom.saturating_sub(x)),
                    Self::Transverse => (right.saturating_sub(y), bottom.saturating_sub(x)),
                    Self::Rotate270 => (right.saturating_sub(y), x),
                };
                out.extend_from_slice(&image.pixel(sx, sy));
            }
        }
        Image::new(out_w, out_h, out)
    }
}

/// The orientation in a TIFF block (EXIF data without the `Exif\0\0` prefix). Anything odd is `None`.
pub fn orientation(tiff: &[u8]) -> Option<Orientation> {
    let little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let u16_at = |at| if little { u16_le(tiff, at) } else { u16_be(tiff, at) };
    let u32_at = |at| if little { u32_le(tiff, at) } else { u32_be(tiff, at) };
    let directory = usize::try_from(u32_at(4)?).ok()?;
    let count = u16_at(directory)?;
    for i in 0..usize::from(count) {
        let entry = i.checked_mul(12)?.checked_add(directory)?.checked_add(2)?;
        if u16_at(entry)? == 0x0112 {
            // Type 3 is a 16-bit number, stored in the first half of the value field.
            let is_short = u16_at(entry.checked_add(2)?)? == 3 && u32_at(entry.checked_add(4)?)? == 1;
            return if is_short { Orientation::from_exif(u16_at(entry.checked_add(8)?)?) } else { None };
        }
    }
    None
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;

    fn tiff(value: u16, little: bool) -> Vec<u8> {
        let n16 = |v: u16| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let n32 = |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let mut out = if little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
        out.extend(n32(8));
        out.extend(n16(2));
        for (tag, value) in [(0x010f, 7), (0x0112, value)] {
            out.extend(n16(tag));
            out.extend(n16(3));
            out.extend(n32(1));
            out.extend(n16(value));
            out.extend([0, 0]);
        }
        out
    }

    #[test]
    fn reads_both_byte_orders_and_survives_any_cut() {
        for little in [true, false] {
            for value in 0..12 {
                assert_eq!(orientation(&tiff(value, little)), Orientation::from_exif(value));
            }
            let whole = tiff(6, little);
            for cut in 0..whole.len() {
                assert!(orientation(&whole[..cut]).is_none() || cut >= whole.len() - 2);
            }
        }
        assert_eq!(orientation(b"II*\0\xff\xff\xff\xff"), None);
    }

    #[test]
    fn turns_follow_the_exif_drawing() {
        // The letter-like pattern of 3x2 pixels: a b c / d e f.
        let stored = Image::new(3, 2, (0..6).flat_map(|i| [b'a' + i; 3]).collect()).unwrap();
        let want =
            ["abc/def", "cba/fed", "fed/cba", "def/abc", "ad/be/cf", "da/eb/fc", "fc/eb/da", "cf/be/ad"];
        for (i, want) in want.iter().enumerate() {
            let o = Orientation::from_exif(i as u16 + 1).unwrap();
            let image = o.apply(stored.clone()).unwrap();
            let rows: Vec<String> = (0..image.height())
                .map(|y| (0..image.width()).map(|x| image.pixel(x, y)[0] as char).collect())
                .collect();
            assert_eq!(rows.join("/"), *want, "{o:?}");
        }
    }
}
