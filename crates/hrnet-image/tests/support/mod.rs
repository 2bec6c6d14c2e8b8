//! Makers of test files: a small JPEG encoder for any sampling, number of components, baseline or progressive; PNG chunks
//! and deflate streams by hand.
#![allow(dead_code)]

/// What to encode.
#[derive(Clone)]
pub struct Jpeg {
    pub width: u16,
    pub height: u16,
    /// Sampling factors of each component.
    pub components: Vec<(u8, u8)>,
    pub progressive: bool,
    /// Blocks between restart markers, 0 for none.
    pub restart: u16,
    /// Colour transform of the Adobe segment.
    pub adobe: Option<u8>,
    /// EXIF orientation.
    pub orientation: Option<u8>,
}

impl Jpeg {
    pub fn new(width: u16, height: u16, components: &[(u8, u8)]) -> Self {
        Self {
            width,
            height,
            components: components.to_vec(),
            progressive: false,
            restart: 0,
            adobe: None,
            orientation: None,
        }
    }

    /// A valid file with smooth blocks and some texture.
    pub fn encode(&self) -> Vec<u8> {
        let (blocks, grids) = self.blocks();
        let mut out = self.head();
        let all: Vec<usize> = (0..self.components.len()).collect();
        if !self.progressive {
            self.scan(&mut out, &all, (0, 63, 0, 0), &blocks, &grids);
        } else {
            self.scan(&mut out, &all, (0, 0, 0, 1), &blocks, &grids);
            for &c in &all {
                self.scan(&mut out, &[c], (1, 63, 0, 0), &blocks, &grids);
            }
            self.scan(&mut out, &all, (0, 0, 1, 0), &blocks, &grids);
        }
        out.extend([0xff, 0xd9]);
        out
    }

    /// Everything before the first scan.
    pub fn head(&self) -> Vec<u8> {
        let mut out = vec![0xff, 0xd8];
        if let Some(value) = self.orientation {
            let tiff =
                [b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", &[value, 0, 0, 0, 0, 0, 0][..]]
                    .concat();
            segment(&mut out, 0xe1, &tiff);
        }
        if let Some(transform) = self.adobe {
            segment(&mut out, 0xee, &[b"Adobe\0\x64\0\0\0\0", &[transform][..]].concat());
        }
        segment(&mut out, 0xdb, &[&[0][..], &[8; 64]].concat());
        segment(&mut out, if self.progressive { 0xc2 } else { 0xc0 }, &self.frame(8));
        // Every DC size has a 4-bit code, every AC symbol an 8-bit code.
        let mut dc = vec![0x00];
        dc.extend([0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        dc.extend(0..12);
        segment(&mut out, 0xc4, &dc);
        let mut ac = vec![0x10];
        ac.extend([0, 0, 0, 0, 0, 0, 0, 162, 0, 0, 0, 0, 0, 0, 0, 0]);
        ac.extend(ac_symbols());
        segment(&mut out, 0xc4, &ac);
        if self.restart > 0 {
            segment(&mut out, 0xdd, &self.restart.to_be_bytes());
        }
        out
    }

    pub fn frame(&self, precision: u8) -> Vec<u8> {
        let mut out = vec![precision];
        out.extend(self.height.to_be_bytes());
        out.extend(self.width.to_be_bytes());
        out.push(self.components.len() as u8);
        for (i, (h, v)) in self.components.iter().enumerate() {
            out.extend([i as u8 + 1, h << 4 | v, 0]);
        }
        out
    }

    /// Coefficients of each component in zig-zag order, and (blocks per row, padded rows).
    #[allow(clippy::type_complexity)]
    fn blocks(&self) -> (Vec<Vec<[i32; 64]>>, Vec<(usize, usize)>) {
        let mut rng = Rng::new(u64::from(self.width), u64::from(self.height));
        let (h_max, v_max) = self.max();
        let (mx, my) = self.mcus(h_max, v_max);
        let mut all = Vec::new();
        let mut grids = Vec::new();
        for &(h, v) in &self.components {
            let (bw, bh) = (mx * usize::from(h), my * usize::from(v));
            let mut blocks = vec![[0; 64]; bw * bh];
            for (i, block) in blocks.iter_mut().enumerate() {
                block[0] = ((i % bw) as i32 * 5 + (i / bw) as i32 * 3) % 100 - 50;
                for k in [1, 2, 5, 9] {
                    block[k] = rng.below(7) as i32 - 3;
                }
            }
            all.push(blocks);
            grids.push((bw, bh));
        }
        (all, grids)
    }

    fn max(&self) -> (usize, usize) {
        let h = self.components.iter().map(|c| c.0).max().unwrap_or(1);
        let v = self.components.iter().map(|c| c.1).max().unwrap_or(1);
        (usize::from(h), usize::from(v))
    }

    fn mcus(&self, h_max: usize, v_max: usize) -> (usize, usize) {
        (usize::from(self.width).div_ceil(8 * h_max), usize::from(self.height).div_ceil(8 * v_max))
    }

    fn scan(
        &self,
        out: &mut Vec<u8>,
        components: &[usize],
        (start, end, high, low): (u8, u8, u8, u8),
        blocks: &[Vec<[i32; 64]>],
        grids: &[(usize, usize)],
    ) {
        scan_header(out, components, (start, end, high, low));
        let (h_max, v_max) = self.max();
        let (mx, my) = self.mcus(h_max, v_max);
        // The blocks of the scan, unit by unit.
        let mut units: Vec<Vec<(usize, usize)>> = Vec::new();
        if let [c] = *components {
            let (h, v) = self.components[c];
            let bw = (usize::from(self.width) * usize::from(h)).div_ceil(8 * h_max);
            let bh = (usize::from(self.height) * usize::from(v)).div_ceil(8 * v_max);
            for y in 0..bh {
                units.extend((0..bw).map(|x| vec![(c, y * grids[c].0 + x)]));
            }
        } else {
            for y in 0..my {
                for x in 0..mx {
                    let mut unit = Vec::new();
                    for &c in components {
                        let (h, v) = (usize::from(self.components[c].0), usize::from(self.components[c].1));
                        for dy in 0..v {
                            unit.extend((0..h).map(|dx| (c, (y * v + dy) * grids[c].0 + x * h + dx)));
                        }
                    }
                    units.push(unit);
                }
            }
        }
        let mut bits = Bits::default();
        let mut previous = vec![0; self.components.len()];
        for (i, unit) in units.iter().enumerate() {
            if self.restart > 0 && i > 0 && i % usize::from(self.restart) == 0 {
                bits.flush(out);
                out.extend([0xff, 0xd0 + ((i / usize::from(self.restart) - 1) % 8) as u8]);
                previous.fill(0);
            }
            for &(c, b) in unit {
                let block = &blocks[c][b];
                if start == 0 && high > 0 {
                    bits.put(((block[0] >> low) & 1) as u32, 1);
                } else if start == 0 {
                    let value = block[0] >> low;
                    let (size, code) = magnitude(value - previous[c]);
                    previous[c] = value;
                    bits.put(size, 4);
                    bits.put(code, size);
                }
                if end > 0 {
                    let mut run = 0;
                    for k in usize::from(start.max(1))..=usize::from(end) {
                        if block[k] == 0 {
                            run += 1;
                            continue;
                        }
                        while run > 15 {
                            bits.put(ac_code(0xf0), 8);
                            run -= 16;
                        }
                        let (size, code) = magnitude(block[k]);
                        bits.put(ac_code((run << 4 | size) as u8), 8);
                        bits.put(code, size);
                        run = 0;
                    }
                    if run > 0 {
                        bits.put(ac_code(0), 8);
                    }
                }
            }
        }
        bits.flush(out);
    }
}

pub fn scan_header(out: &mut Vec<u8>, components: &[usize], (start, end, high, low): (u8, u8, u8, u8)) {
    let mut header = vec![components.len() as u8];
    for &c in components {
        header.extend([c as u8 + 1, 0]);
    }
    header.extend([start, end, high << 4 | low]);
    segment(out, 0xda, &header);
}

pub fn segment(out: &mut Vec<u8>, code: u8, payload: &[u8]) {
    out.extend([0xff, code]);
    out.extend((payload.len() as u16 + 2).to_be_bytes());
    out.extend(payload);
}

fn ac_symbols() -> Vec<u8> {
    let mut symbols = vec![0, 0xf0];
    symbols.extend((0..16).flat_map(|run| (1..=10).map(move |size| run << 4 | size)));
    symbols
}

fn ac_code(symbol: u8) -> u32 {
    ac_symbols().iter().position(|&s| s == symbol).unwrap() as u32
}

fn magnitude(v: i32) -> (u32, u32) {
    let size = 32 - v.unsigned_abs().leading_zeros();
    (size, if v < 0 { (v - 1) as u32 & ((1 << size) - 1) } else { v as u32 })
}

#[derive(Default)]
struct Bits {
    buffer: u64,
    count: u32,
    bytes: Vec<u8>,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        self.buffer = self.buffer << count | u64::from(value);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.buffer >> self.count) as u8;
            self.bytes.push(byte);
            if byte == 0xff {
                self.bytes.push(0);
            }
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        if self.count > 0 {
            let pad = 8 - self.count;
            self.put((1 << pad) - 1, pad);
        }
        out.append(&mut self.bytes);
        self.buffer = 0;
    }
}

pub const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

pub fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    out.extend((data.len() as u32).to_be_bytes());
    let start = out.len();
    out.extend(kind);
    out.extend(data);
    let crc = crc32(&out[start..]);
    out.extend(crc.to_be_bytes());
}

pub fn png_head(width: u32, height: u32, depth: u8, colour: u8, interlace: u8) -> Vec<u8> {
    let mut out = PNG_SIGNATURE.to_vec();
    let mut ihdr = width.to_be_bytes().to_vec();
    ihdr.extend(height.to_be_bytes());
    ihdr.extend([depth, colour, 0, 0, interlace]);
    chunk(&mut out, b"IHDR", &ihdr);
    out
}

/// A zlib stream of stored blocks of at most `block` bytes.
pub fn zlib_stored(data: &[u8], block: usize) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut pieces = data.chunks(block).peekable();
    while let Some(piece) = pieces.next() {
        out.push(u8::from(pieces.peek().is_none()));
        out.extend((piece.len() as u16).to_le_bytes());
        out.extend((!(piece.len() as u16)).to_le_bytes());
        out.extend(piece);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for &v in data {
        a = (a + u32::from(v)) % 65521;
        b = (b + a) % 65521;
    }
    out.extend((b << 16 | a).to_be_bytes());
    out
}

/// A zlib stream of about `len` zero bytes, 258 for every 13 bits, with a wrong checksum.
pub fn zlib_bomb(len: usize) -> Vec<u8> {
    let (mut out, mut buffer, mut count) = (vec![0x78, 0x01], 0u64, 0u32);
    let mut put = |value: u64, bits: u32, out: &mut Vec<u8>| {
        buffer |= value << count;
        count += bits;
        while count >= 8 {
            out.push(buffer as u8);
            buffer >>= 8;
            count -= 8;
        }
    };
    // Last block, fixed codes; then the literal 0 (code 00110000); codes go in from their first bit.
    put(0b011, 3, &mut out);
    put(0b0000_1100, 8, &mut out);
    for _ in 0..len / 258 {
        // Length 258 is symbol 285, code 11000101; distance 1 is code 00000.
        put(0b1010_0011, 8, &mut out);
        put(0, 5, &mut out);
    }
    put(0, 7, &mut out);
    put(0, 16, &mut out);
    out.extend([0; 4]);
    out
}

fn crc32(data: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in data {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    !crc
}

/// A filtered (type 0) picture of `row_bytes` by `height`.
pub fn raw_rows(row_bytes: usize, height: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for y in 0..height {
        out.push(0);
        out.extend((0..row_bytes).map(|x| (x * 3 + y * 5) as u8));
    }
    out
}

/// The raw bytes of an Adam7 picture with `bits` per pixel.
pub fn raw_adam7(width: usize, height: usize, bits: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (x0, y0, dx, dy) in
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    {
        let (w, h) = (width.saturating_sub(x0).div_ceil(dx), height.saturating_sub(y0).div_ceil(dy));
        if w > 0 {
            out.extend(raw_rows((w * bits).div_ceil(8), h));
        }
    }
    out
}

/// A stream of pseudo-random numbers for each (seed, index): SplitMix64 (Steele, Lea, Flood 2014).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64, index: u64) -> Self {
        let mut outer = Self(seed);
        Self(outer.next_u64() ^ Self(index).next_u64().rotate_left(17))
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..n`, but for a bias far below what a test can see.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next_u64() % n.max(1)
    }
}
