//! Bounded little- and big-endian reads from a slice: out of range is `None`, never a panic.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

/// A place in a slice that moves as it is read.
#[derive(Clone)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    big_endian: bool,
}

impl<'a> Cursor<'a> {
    /// Little-endian, at the start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, big_endian: false }
    }

    /// The same with another byte order.
    pub fn with_order(bytes: &'a [u8], big_endian: bool) -> Self {
        Self { bytes, at: 0, big_endian }
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let part = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(part)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut out: [u8; N] = self.take(N)?.try_into().ok()?;
        if self.big_endian {
            out.reverse();
        }
        Some(out)
    }

    /// Moves to the next multiple of `unit` from the start; past the end stays at the end.
    pub fn align(&mut self, unit: usize) {
        self.at = self.at.checked_next_multiple_of(unit).unwrap_or(self.bytes.len()).min(self.bytes.len());
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(u8::from_le_bytes)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// How a number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// Bytes: 1, 2, 4 or 8.
    pub size: usize,
    /// Two's complement, unsigned or IEEE 754.
    pub kind: NumberKind,
    /// Byte order.
    pub big_endian: bool,
}

/// The kinds of [`Number`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberKind {
    /// Two's complement.
    Signed,
    /// Unsigned.
    Unsigned,
    /// IEEE 754, 4 or 8 bytes.
    Float,
}

impl Number {
    /// The value of one number; `None` when the length is wrong or the kind has no such size.
    pub fn value(self, bytes: &[u8]) -> Option<f64> {
        let mut raw = [0u8; 8];
        let part = raw.get_mut(..self.size)?;
        part.copy_from_slice(bytes.get(..self.size)?);
        if self.big_endian {
            part.reverse();
        }
        let unsigned = u64::from_le_bytes(raw);
        let unused = u32::try_from(self.size.checked_mul(8)?).ok().and_then(|n| 64u32.checked_sub(n))?;
        Some(match (self.kind, self.size) {
            (NumberKind::Unsigned, 1 | 2 | 4 | 8) => unsigned as f64,
            (NumberKind::Signed, 1 | 2 | 4 | 8) => {
                unsigned.wrapping_shl(unused).cast_signed().wrapping_shr(unused) as f64
            }
            (NumberKind::Float, 4) => f64::from(f32::from_bits(u32::try_from(unsigned).ok()?)),
            (NumberKind::Float, 8) => f64::from_bits(unsigned),
            _ => return None,
        })
    }
}
