//! The bits of a scan, and Huffman codes.

/// Bits that one look into the table decides.
const LOOK: u32 = 9;

/// The codes of a table.
#[derive(Clone)]
pub struct Huffman {
    /// By the next bits: length and symbol of a code, length 0 for a longer one.
    short: [(u8, u8); 1 << LOOK],
    /// By length: the first code behind those of this length, left-aligned in 16 bits; where their symbols begin, less
    /// their first code.
    long: [(u32, i32); 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// From the number of codes of each length and the symbols. Nothing where they are no code.
    pub fn new(counts: [u8; 16], symbols: &[u8]) -> Option<Self> {
        let total: usize = counts.iter().map(|&n| usize::from(n)).sum();
        if total > 256 || total != symbols.len() {
            return None;
        }
        let mut table = Self { short: [(0, 0); 1 << LOOK], long: [(0, 0); 17], symbols: symbols.to_vec() };
        let (mut code, mut next) = (0u32, 0usize);
        for (len, &count) in (1u32..).zip(&counts) {
            let first = code;
            for _ in 0..count {
                let symbol = *symbols.get(next)?;
                if len <= LOOK {
                    let spare = LOOK.wrapping_sub(len);
                    let from = code.wrapping_shl(spare) as usize;
                    let slots = table.short.get_mut(from..from.checked_add(1usize.wrapping_shl(spare))?)?;
                    slots.fill((u8::try_from(len).ok()?, symbol));
                }
                code = code.wrapping_add(1);
                next = next.wrapping_add(1);
            }
            if code > 1u32.wrapping_shl(len) {
                return None;
            }
            let before = i32::try_from(next.checked_sub(usize::from(count))?).ok()?;
            let limit = code.wrapping_shl(16u32.wrapping_sub(len));
            *table.long.get_mut(len as usize)? = (limit, before.wrapping_sub(i32::try_from(first).ok()?));
            code = code.wrapping_shl(1);
        }
        Some(table)
    }

    /// Whether every symbol is the size of a DC difference.
    pub fn is_dc(&self) -> bool {
        self.symbols.iter().all(|&s| s <= 15)
    }
}

/// Reads the coded data of a scan. Behind its end and at a restart marker it gives zeros, and [`Bits::overrun`] tells.
pub struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, from the highest on.
    buffer: u64,
    count: u32,
    /// How many of them are not in the data.
    made_up: u32,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, buffer: 0, count: 0, made_up: 0 }
    }

    /// At least 32 bits afterwards.
    #[inline(always)]
    fn refill(&mut self) {
        if self.count < 32 {
            let next = self.data.get(self.at..).and_then(|rest| rest.first_chunk::<4>());
            match next {
                Some(&bytes) if bytes.iter().all(|&b| b != 0xff) => {
                    let value = u64::from(u32::from_be_bytes(bytes));
                    self.buffer |= value.wrapping_shl(32u32.wrapping_sub(self.count));
                    self.count = self.count.wrapping_add(32);
                    self.at = self.at.wrapping_add(4);
                }
                _ => self.refill_slowly(),
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn refill_slowly(&mut self) {
        while self.count <= 56 {
            let value = match (self.data.get(self.at), self.data.get(self.at.wrapping_add(1))) {
                (Some(0xff), Some(0)) => {
                    self.at = self.at.wrapping_add(2);
                    0xff
                }
                (None, _) | (Some(0xff), _) => {
                    self.made_up = self.made_up.wrapping_add(8);
                    0
                }
                (Some(&byte), _) => {
                    self.at = self.at.wrapping_add(1);
                    byte
                }
            };
            self.buffer |= u64::from(value).wrapping_shl(56u32.wrapping_sub(self.count));
            self.count = self.count.wrapping_add(8);
        }
    }

    #[inline(always)]
    fn drop_bits(&mut self, n: u32) {
        self.buffer = self.buffer.wrapping_shl(n);
        self.count = self.count.wrapping_sub(n);
    }

    /// The next symbol; nothing where no code begins like this. Leaves at least 16 bits.
    #[inline(always)]
    pub fn symbol(&mut self, table: &Huffman) -> Option<u8> {
        self.refill();
        #[allow(clippy::cast_possible_truncation, reason = "nine bits are left")]
        let at = self.buffer.wrapping_shr(64 - LOOK) as usize;
        let &(len, symbol) = table.short.get(at)?;
        if len > 0 {
            self.drop_bits(u32::from(len));
            return Some(symbol);
        }
        self.long_symbol(table)
    }

    #[inline(never)]
    fn long_symbol(&mut self, table: &Huffman) -> Option<u8> {
        let ahead = u32::try_from(self.buffer.wrapping_shr(48)).ok()?;
        for (len, &(limit, offset)) in (0u32..).zip(&table.long).filter(|&(len, _)| len > LOOK) {
            if ahead < limit {
                let code = i32::try_from(ahead.wrapping_shr(16u32.wrapping_sub(len))).ok()?;
                self.drop_bits(len);
                let at = usize::try_from(code.wrapping_add(offset)).ok()?;
                return table.symbols.get(at).copied();
            }
        }
        None
    }

    /// The next `n` bits, at most 16, right behind a symbol.
    #[inline(always)]
    fn after_symbol(&mut self, n: u32) -> u32 {
        // A shift by 64 is none: an `n` of 0 takes two.
        #[allow(clippy::cast_possible_truncation, reason = "at most 16 bits are left")]
        let value = self.buffer.wrapping_shr(1).wrapping_shr(63u32.wrapping_sub(n)) as u32;
        self.drop_bits(n);
        value
    }

    /// The value of `size` bits behind a symbol: those that begin with 0 are negative.
    #[inline(always)]
    pub fn value(&mut self, size: u32) -> i32 {
        let bits = self.after_symbol(size);
        let half = 1u32.wrapping_shl(size).wrapping_shr(1);
        let below = if bits < half { 1u32.wrapping_shl(size).wrapping_sub(1) } else { 0 };
        (bits.wrapping_sub(below)).cast_signed()
    }

    /// The next `n` bits, at most 16.
    #[inline(always)]
    pub fn bits(&mut self, n: u32) -> u32 {
        self.refill();
        self.after_symbol(n)
    }

    /// More was read than is there.
    #[inline(always)]
    pub fn overrun(&self) -> bool {
        self.made_up > self.count
    }

    /// Goes behind the next restart marker and gives its number; nothing where there is none.
    pub fn restart(&mut self) -> Option<u8> {
        // The buffer never holds what is behind a marker.
        (self.buffer, self.count, self.made_up) = (0, 0, 0);
        loop {
            let rest = self.data.get(self.at..)?;
            self.at = self.at.checked_add(rest.iter().position(|&b| b == 0xff)?)?;
            let code = *self.data.get(self.at.checked_add(1)?)?;
            self.at = self.at.checked_add(if code == 0xff { 1 } else { 2 })?;
            if let 0xd0..=0xd7 = code {
                return Some(code & 7);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Lengths 2, 3, 3, 12: codes 00, 010, 011, 100000000000.
    fn table() -> Option<Huffman> {
        let mut counts = [0; 16];
        (counts[1], counts[2], counts[11]) = (1, 2, 1);
        Huffman::new(counts, &[5, 6, 7, 8])
    }

    #[test]
    fn codes_of_all_lengths() {
        let table = table().unwrap();
        // 00 010 011 100000000000 101..., with a stuffed byte behind.
        let data = [0b0001_0011, 0b1000_0000, 0b0000_1010, 0xff, 0x00, 0xff, 0xd3, 0xff, 0xd4];
        let mut bits = Bits::new(&data);
        assert_eq!([0; 4].map(|_| bits.symbol(&table)), [5, 6, 7, 8].map(Some));
        assert_eq!(bits.bits(4), 0b1010);
        assert_eq!(bits.symbol(&table), None);
        assert_eq!(bits.bits(8), 0xff);
        assert!(!bits.overrun());
        assert_eq!(bits.bits(1), 0);
        assert!(bits.overrun());
        assert_eq!([0; 3].map(|_| bits.restart()), [Some(3), Some(4), None]);
    }

    #[test]
    fn values_have_signs() {
        let mut bits = Bits::new(&[0b1010_0110, 0b0000_0000]);
        bits.refill();
        assert_eq!([3, 2, 0, 2, 1].map(|n| bits.value(n)), [5, -3, 0, 3, -1]);
        let long = [0x7f, 0xfe, 0x80, 0x00];
        let mut bits = Bits::new(&long);
        bits.refill();
        assert_eq!(bits.value(15), -16384);
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let mut counts = [0; 16];
        counts[0] = 3;
        assert!(Huffman::new(counts, &[1, 2, 3]).is_none());
        counts[0] = 2;
        assert!(Huffman::new(counts, &[1, 2, 3]).is_none());
        assert!(Huffman::new(counts, &[1, 2]).is_some());
        assert!(Huffman::new([255; 16], &[0; 4080]).is_none());
        assert!(table().unwrap().is_dc());
        counts[0] = 1;
        assert!(!Huffman::new(counts, &[16]).unwrap().is_dc());
    }
}
