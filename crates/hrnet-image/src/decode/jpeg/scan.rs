//! The blocks of a scan: sequential, and the four kinds of a progressive one.

use super::bits::{Bits, Huffman};
use crate::jpeg_samples::Block;

/// From the order of the file to rows.
const ROWS: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Where the `k`th coefficient of the file stands in a block.
pub fn place(k: usize) -> Option<usize> {
    ROWS.get(k).map(|&at| usize::from(at))
}

#[inline(always)]
fn coefficient(block: &mut Block, k: usize) -> Option<&mut i16> {
    block.get_mut(place(k)?)
}

/// 16 bits of a value; more are in no valid file.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "wraps, as damaged data may do")]
fn wrap(value: i32) -> i16 {
    value as i16
}

/// What a scan codes of each block.
#[derive(Clone, Copy)]
pub enum Part {
    /// Everything.
    Whole,
    /// The DC value without its last `low` bits.
    DcFirst { low: u32 },
    /// A further bit of the DC value.
    DcMore { low: u32 },
    /// Coefficients `from` to `to` without their last `low` bits.
    AcFirst { from: usize, to: usize, low: u32 },
    /// A further bit of these.
    AcMore { from: usize, to: usize, low: u32 },
}

/// What is remembered from block to block, until the next restart.
#[derive(Default)]
pub struct Memory {
    /// The last DC value of each component.
    pub dc: [i32; 4],
    /// Blocks still to come without new coefficients in the band.
    pub run: u32,
}

/// The tables of a component; each is there if the scan needs it.
pub struct Tables<'a> {
    pub dc: Option<&'a Huffman>,
    pub ac: Option<&'a Huffman>,
}

/// Reads one block. Nothing where the data is no code.
#[inline(always)]
pub fn block(
    bits: &mut Bits<'_>,
    part: Part,
    tables: &Tables<'_>,
    dc: &mut i32,
    run: &mut u32,
    block: &mut Block,
) -> Option<()> {
    match part {
        Part::Whole => {
            *coefficient(block, 0)? = wrap(next_dc(bits, tables, dc)?);
            let table = tables.ac?;
            let mut k = 1usize;
            while k < 64 {
                let symbol = bits.symbol(table)?;
                let (zeros, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
                if size == 0 {
                    if zeros < 15 {
                        break;
                    }
                    k = k.wrapping_add(16);
                    continue;
                }
                k = k.wrapping_add(zeros);
                *coefficient(block, k)? = wrap(bits.value(size));
                k = k.wrapping_add(1);
            }
            // A run past the end of the block.
            (k <= 64).then_some(())
        }
        Part::DcFirst { low } => {
            let value = next_dc(bits, tables, dc)?;
            *coefficient(block, 0)? = wrap(value.wrapping_shl(low));
            Some(())
        }
        Part::DcMore { low } => {
            if bits.bits(1) == 1 {
                *coefficient(block, 0)? |= wrap(1i32.wrapping_shl(low));
            }
            Some(())
        }
        Part::AcFirst { from, to, low } => ac_first(bits, tables.ac?, run, block, (from, to, low)),
        Part::AcMore { from, to, low } => ac_more(bits, tables.ac?, run, block, (from, to, low)),
    }
}

#[inline(always)]
fn next_dc(bits: &mut Bits<'_>, tables: &Tables<'_>, dc: &mut i32) -> Option<i32> {
    let size = bits.symbol(tables.dc?)?;
    *dc = dc.wrapping_add(bits.value(u32::from(size & 15)));
    Some(*dc)
}

/// `2^n` blocks and as many more as the next `n` bits say.
fn run_of_blocks(bits: &mut Bits<'_>, n: u32) -> u32 {
    1u32.wrapping_shl(n).wrapping_add(bits.bits(n))
}

fn ac_first(
    bits: &mut Bits<'_>,
    table: &Huffman,
    run: &mut u32,
    block: &mut Block,
    (from, to, low): (usize, usize, u32),
) -> Option<()> {
    if *run > 0 {
        *run = run.wrapping_sub(1);
        return Some(());
    }
    let mut k = from;
    while k <= to {
        let symbol = bits.symbol(table)?;
        let (zeros, size) = (symbol >> 4, u32::from(symbol & 15));
        if size == 0 {
            if zeros < 15 {
                *run = run_of_blocks(bits, u32::from(zeros)).wrapping_sub(1);
                return Some(());
            }
            k = k.wrapping_add(16);
            continue;
        }
        k = k.wrapping_add(usize::from(zeros));
        if k > to {
            return None;
        }
        *coefficient(block, k)? = wrap(bits.value(size).wrapping_shl(low));
        k = k.wrapping_add(1);
    }
    (k <= to.wrapping_add(1)).then_some(())
}

fn ac_more(
    bits: &mut Bits<'_>,
    table: &Huffman,
    run: &mut u32,
    block: &mut Block,
    (from, to, low): (usize, usize, u32),
) -> Option<()> {
    let bit = wrap(1i32.wrapping_shl(low));
    let mut k = from;
    if *run == 0 {
        while k <= to {
            let symbol = bits.symbol(table)?;
            let (mut zeros, size) = (symbol >> 4, symbol & 15);
            let mut new = 0;
            match size {
                0 if zeros < 15 => {
                    *run = run_of_blocks(bits, u32::from(zeros));
                    break;
                }
                0 => {}
                1 => new = if bits.bits(1) == 1 { bit } else { bit.wrapping_neg() },
                _ => return None,
            }
            // Known coefficients on the way get their bit; the new one goes behind so many that are still zero.
            loop {
                if k > to {
                    if new != 0 {
                        return None;
                    }
                    break;
                }
                let value = coefficient(block, k)?;
                k = k.wrapping_add(1);
                if *value != 0 {
                    refine(bits, value, bit);
                } else if zeros == 0 {
                    *value = new;
                    break;
                } else {
                    zeros = zeros.wrapping_sub(1);
                }
            }
        }
    }
    if *run > 0 {
        for k in k..=to {
            let value = coefficient(block, k)?;
            if *value != 0 {
                refine(bits, value, bit);
            }
        }
        *run = run.wrapping_sub(1);
    }
    Some(())
}

/// A further bit of a value that has some.
fn refine(bits: &mut Bits<'_>, value: &mut i16, bit: i16) {
    if bits.bits(1) == 1 && *value & bit == 0 {
        *value = if *value > 0 { value.wrapping_add(bit) } else { value.wrapping_sub(bit) };
    }
}
