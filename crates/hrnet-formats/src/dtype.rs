//! Number formats of stored tensors and their conversion to f32.
//!
//! f16, bf16, bool and integers of up to 16 bits convert exactly. f64 and wider integers are rounded to the nearest f32
//! (ties to even); the number of values that changed is counted and reported.

use half::bf16;
use std::fmt;

/// How the elements of a stored tensor are coded, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE double.
    F64,
    /// IEEE single.
    F32,
    /// IEEE half.
    F16,
    /// The upper half of a single.
    BF16,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 8 bits.
    U8,
    /// One byte, 0 or 1.
    Bool,
}

impl DType {
    /// Bytes of one element.
    pub fn size(self) -> u64 {
        match self {
            DType::F64 | DType::I64 => 8,
            DType::F32 | DType::I32 => 4,
            DType::F16 | DType::BF16 | DType::I16 => 2,
            DType::I8 | DType::U8 | DType::Bool => 1,
        }
    }

    /// Appends the values of `bytes`, whose length is a multiple of the element size, to `out`. Returns how many values
    /// were rounded.
    pub(crate) fn decode(self, bytes: &[u8], out: &mut Vec<f32>) -> u64 {
        match self {
            DType::F32 => extend(bytes, out, f32::from_le_bytes),
            DType::F16 => extend(bytes, out, |b| half(u16::from_le_bytes(b))),
            DType::BF16 => extend(bytes, out, |b| bf16::from_le_bytes(b).to_f32()),
            DType::I16 => extend(bytes, out, |b| f32::from(i16::from_le_bytes(b))),
            DType::I8 => extend(bytes, out, |b| f32::from(i8::from_le_bytes(b))),
            DType::U8 => extend(bytes, out, |b: [u8; 1]| f32::from(u8::from_le_bytes(b))),
            DType::Bool => {
                extend(bytes, out, |b: [u8; 1]| if u8::from_le_bytes(b) == 0 { 0.0 } else { 1.0 });
            }
            DType::F64 => return counted(bytes, out, |b| rounded(f64::from_le_bytes(b))),
            DType::I64 => return counted(bytes, out, |b| rounded_integer(i64::from_le_bytes(b))),
            DType::I32 => return counted(bytes, out, |b| rounded_integer(i32::from_le_bytes(b).into())),
        }
        0
    }
}

fn extend<const N: usize>(bytes: &[u8], out: &mut Vec<f32>, value: impl Fn([u8; N]) -> f32) {
    out.extend(bytes.as_chunks::<N>().0.iter().map(|&b| value(b)));
}

fn counted<const N: usize>(bytes: &[u8], out: &mut Vec<f32>, value: impl Fn([u8; N]) -> (f32, bool)) -> u64 {
    let mut inexact = 0u64;
    out.extend(bytes.as_chunks::<N>().0.iter().map(|&b| {
        let (value, changed) = value(b);
        inexact = inexact.saturating_add(changed.into());
        value
    }));
    inexact
}

/// A half as f32, exactly; NaN becomes quiet. Selections instead of branches, so that the compiler makes vectors of it: the
/// published crate converts one value at a time where the processor was not named when it was compiled.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    // Exponent and mantissa in the places of f32. The exponents differ by 112 in bias.
    let shifted = u32::from(bits & 0x7FFF) << 13;
    let normal = shifted.wrapping_add(112 << 23);
    // Infinity and NaN have all exponent bits.
    let quiet = if shifted > 0x0F80_0000 { 0x0040_0000 } else { 0 };
    let special = shifted | 0x7F80_0000 | quiet;
    // A denormal half is its mantissa times 2^-24; f32 subtracts that exactly from 2^-14.
    let denormal = (f32::from_bits(shifted.wrapping_add(113 << 23)) - f32::from_bits(113 << 23)).to_bits();
    let magnitude = if shifted >= 0x0F80_0000 { special } else { normal };
    f32::from_bits(sign | if shifted < 0x0080_0000 { denormal } else { magnitude })
}

/// Nearest f32, and whether it differs. NaN stays NaN and counts as unchanged.
#[allow(clippy::cast_possible_truncation)] // rounding is the purpose; `as` rounds to nearest even
fn rounded(value: f64) -> (f32, bool) {
    let single = value as f32;
    (single, !value.is_nan() && f64::from(single) != value)
}

fn rounded_integer(value: i64) -> (f32, bool) {
    let single = value as f32;
    (single, i128::from(value) != exact_integer(single))
}

/// The integer that an f32 of integral value stands for.
#[allow(clippy::cast_possible_truncation)] // |value| <= 2^63, far inside i128
fn exact_integer(value: f32) -> i128 {
    value as i128
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F64 => "f64",
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::I64 => "i64",
            DType::I32 => "i32",
            DType::I16 => "i16",
            DType::I8 => "i8",
            DType::U8 => "u8",
            DType::Bool => "bool",
        })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_half_is_exact() {
        for bits in 0..=u16::MAX {
            let (wanted, found) = (half::f16::from_bits(bits).to_f32(), super::half(bits));
            assert_eq!(wanted.to_bits(), found.to_bits(), "{bits:#06x}");
        }
    }
}
