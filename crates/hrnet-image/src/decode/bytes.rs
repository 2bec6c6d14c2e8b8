//! Bounded reads from a byte slice: out of range is `None`, never a panic.

/// `len` bytes at `at`.
pub fn slice(bytes: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(len)?)
}

/// `N` bytes at `at`.
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    slice(bytes, at, N)?.try_into().ok()
}

/// A big-endian 16-bit number.
pub fn u16_be(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// A big-endian 32-bit number.
pub fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

/// A little-endian 16-bit number.
pub fn u16_le(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

/// A little-endian 32-bit number.
pub fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

/// The parts of a file that a decoder may see. Neighbouring parts are joined.
#[derive(Default)]
pub struct Parts(Vec<std::ops::Range<usize>>);

impl Parts {
    /// Keeps a range; ranges come in file order.
    pub fn keep(&mut self, start: usize, end: usize) {
        match self.0.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => self.0.push(start..end),
        }
    }

    /// The kept bytes: borrowed when they are one piece, else a copy no longer than the file.
    pub fn join<'a>(&self, bytes: &'a [u8]) -> Option<std::borrow::Cow<'a, [u8]>> {
        if let [one] = self.0.as_slice() {
            return bytes.get(one.clone()).map(Into::into);
        }
        let mut out = Vec::new();
        let total = self.0.iter().try_fold(0usize, |n, r| n.checked_add(r.len()))?;
        out.try_reserve_exact(total).ok()?;
        for range in &self.0 {
            out.extend_from_slice(bytes.get(range.clone())?);
        }
        Some(out.into())
    }
}
