//! The decoder: tables, scans, and the picture behind them. What it decodes has passed the marker walk and its limits.

use super::bits::{Bits, Huffman};
use super::scan::{Memory, Part, Tables, block, place};
use super::{next_marker, scan_end, standard};
use crate::decode::bytes::{slice, u16_be};
use crate::jpeg_samples::{Block, Colours, Plane, inverse_dct};

/// What is wrong with a file.
#[derive(Debug)]
pub enum Fault {
    /// The coded data ends early.
    Short(String),
    /// It contradicts itself.
    Damaged(String),
    /// A form that is not read.
    Unsupported(&'static str),
    /// The system refused so many bytes.
    Memory(usize),
}

fn damaged<T>(detail: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Damaged(detail.into()))
}

/// A picture before its rows are made.
pub struct Picture {
    pub planes: Vec<Plane>,
    pub colours: Colours,
    pub width: usize,
    pub height: usize,
}

struct Component {
    id: u8,
    h: usize,
    v: usize,
    quant_id: u8,
    /// As it was at the first scan.
    quant: Option<Box<[u16; 64]>>,
    /// Blocks of a row and rows of blocks, padding included.
    grid: (usize, usize),
    /// The same without the padding of whole units.
    own: (usize, usize),
    plane: Plane,
    /// Of progressive files.
    blocks: Vec<Block>,
    /// The DC values have come.
    seen: bool,
}

#[derive(Default)]
struct Decoder {
    quants: [Option<Box<[u16; 64]>>; 4],
    dc: [Option<Box<Huffman>>; 4],
    ac: [Option<Box<Huffman>>; 4],
    restart: usize,
    jfif: bool,
    adobe: Option<u8>,
    progressive: bool,
    width: usize,
    height: usize,
    /// The largest sampling factors.
    most: (usize, usize),
    components: Vec<Component>,
}

/// A vector of `n` equal values, if the system has the memory.
fn filled<T: Clone>(n: usize, value: T) -> Result<Vec<T>, Fault> {
    let mut out = Vec::new();
    let refused = |_| Fault::Memory(n.saturating_mul(size_of::<T>()));
    out.try_reserve_exact(n).map_err(refused)?;
    out.resize(n, value);
    Ok(out)
}

/// Decodes. Where the data ends early or is damaged, a lenient caller gets what is there.
pub fn picture(stream: &[u8], lenient: bool) -> Result<Picture, Fault> {
    let mut decoder = Decoder::default();
    let mut fault = decoder.segments(stream).err();
    if fault.is_none() && decoder.components.iter().any(|c| !c.seen) {
        fault = Some(Fault::Short("a component has no coded data".into()));
    }
    match fault {
        Some(fault) if !lenient || decoder.components.is_empty() => Err(fault),
        _ => decoder.finish(),
    }
}

impl Decoder {
    fn segments(&mut self, stream: &[u8]) -> Result<(), Fault> {
        let mut at = 2usize;
        while let Some((start, code)) = next_marker(stream, at) {
            let body = start.saturating_add(2);
            match code {
                0xd9 => return Ok(()),
                0x01 | 0xd0..=0xd8 => {
                    at = body;
                    continue;
                }
                _ => {}
            }
            let len = usize::from(u16_be(stream, body).unwrap_or(0));
            let Some(payload) = slice(stream, body.saturating_add(2), len.saturating_sub(2)) else {
                return Err(Fault::Short("a segment is not complete".into()));
            };
            at = body.saturating_add(len.max(2));
            match code {
                0xc0..=0xc2 => self.frame(code, payload)?,
                0xc4 => self.huffman(payload)?,
                0xdb => self.quantisation(payload)?,
                0xdd => self.restart = u16_be(payload, 0).map_or(0, usize::from),
                0xe0 => self.jfif |= payload.starts_with(b"JFIF\0") && payload.len() >= 12,
                0xee if payload.starts_with(b"Adobe") && payload.len() >= 12 => {
                    self.adobe = payload.get(11).copied();
                }
                0xda => {
                    let end = scan_end(stream, at);
                    let data = stream.get(at..end).unwrap_or(&[]);
                    self.scan(payload, data)?;
                    at = end;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn quantisation(&mut self, mut rest: &[u8]) -> Result<(), Fault> {
        while let Some((&kind, values)) = rest.split_first() {
            let bytes = if kind >> 4 == 0 { 64 } else { 128 };
            let (Some(slot), Some(values), true) =
                (self.quants.get_mut(usize::from(kind & 15)), slice(values, 0, bytes), kind < 0x20)
            else {
                return damaged("a quantisation table is not complete");
            };
            let mut table = Box::new([0u16; 64]);
            for k in 0..64 {
                let value = if bytes == 64 {
                    values.get(k).map(|&v| u16::from(v))
                } else {
                    u16_be(values, k.saturating_mul(2))
                };
                if let (Some(value), Some(to)) = (value, place(k).and_then(|at| table.get_mut(at))) {
                    *to = value;
                }
            }
            *slot = Some(table);
            rest = rest.get(bytes.saturating_add(1)..).unwrap_or(&[]);
        }
        Ok(())
    }

    fn huffman(&mut self, mut rest: &[u8]) -> Result<(), Fault> {
        while let Some((&kind, values)) = rest.split_first() {
            let bad = || Fault::Damaged("a Huffman table is none".into());
            let counts = values.first_chunk::<16>().ok_or_else(bad)?;
            let total = counts.iter().fold(0usize, |n, &c| n.saturating_add(c.into()));
            let symbols = slice(values, 16, total).ok_or_else(bad)?;
            let table = Box::new(Huffman::new(*counts, symbols).ok_or_else(bad)?);
            let tables = match kind >> 4 {
                0 if table.is_dc() => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(bad()),
            };
            *tables.get_mut(usize::from(kind & 15)).ok_or_else(bad)? = Some(table);
            rest = rest.get(total.saturating_add(17)..).unwrap_or(&[]);
        }
        Ok(())
    }

    fn frame(&mut self, code: u8, payload: &[u8]) -> Result<(), Fault> {
        let (Some(height), Some(width), Some(table)) =
            (u16_be(payload, 1), u16_be(payload, 3), payload.get(6..))
        else {
            return damaged("the frame header is too short");
        };
        (self.progressive, self.width, self.height) = (code == 0xc2, width.into(), height.into());
        let factors = |hv: u8| (usize::from(hv >> 4), usize::from(hv & 15));
        let entries: Vec<[u8; 3]> = table.chunks_exact(3).filter_map(|c| c.first_chunk().copied()).collect();
        let most = |side: fn((usize, usize)) -> usize| {
            entries.iter().map(|&[_, hv, _]| side(factors(hv))).max().unwrap_or(1).max(1)
        };
        let (h_max, v_max) = (most(|f| f.0), most(|f| f.1));
        self.most = (h_max, v_max);
        let units = |side: usize, max: usize| side.div_ceil(max.saturating_mul(8));
        let (units_x, units_y) = (units(self.width, h_max), units(self.height, v_max));
        for [id, hv, quant_id] in entries {
            let (h, v) = factors(hv);
            if self.components.iter().any(|c| c.id == id) {
                return damaged("two components have the same number");
            }
            let (Some((expand_h, 0)), Some((expand_v, 0))) = (divide(h_max, h), divide(v_max, v)) else {
                return Err(Fault::Unsupported("a JPEG whose components have sizes that are no multiples"));
            };
            let part = |side: usize, f: usize, max: usize| side.saturating_mul(f).div_ceil(max);
            let (w, rows) = (part(self.width, h, h_max), part(self.height, v, v_max));
            let grid = (units_x.saturating_mul(h), units_y.saturating_mul(v));
            let count = grid.0.saturating_mul(grid.1);
            let mut plane = Plane {
                stride: grid.0.saturating_mul(8),
                width: w,
                height: rows,
                expand: (expand_h, expand_v),
                samples: Vec::new(),
            };
            let mut blocks = Vec::new();
            if self.progressive {
                blocks = filled(count, [0i16; 64])?;
            } else {
                // What no data fills is grey.
                plane.samples = filled(count.saturating_mul(64), 128)?;
            }
            let own = (w.div_ceil(8), rows.div_ceil(8));
            let quant = None;
            self.components.push(Component {
                id,
                h,
                v,
                quant_id,
                quant,
                grid,
                own,
                plane,
                blocks,
                seen: false,
            });
        }
        Ok(())
    }

    fn scan(&mut self, header: &[u8], data: &[u8]) -> Result<(), Fault> {
        let count = header.first().copied().map_or(0, usize::from);
        let entries = slice(header, 1, count.saturating_mul(2));
        let tail = header.get(count.saturating_mul(2).saturating_add(1)..).and_then(|t| t.first_chunk::<3>());
        let (Some(entries), Some(&[from, to, bits])) = (entries, tail) else {
            return damaged("a scan header is too short");
        };
        let part = self.part(count, (from, to, bits))?;
        let mut chosen = Vec::with_capacity(count);
        for entry in entries.chunks_exact(2) {
            let &[id, tables] = entry else { continue };
            let Some(index) = self.components.iter().position(|c| c.id == id) else {
                return damaged(format!("a scan names component {id}, which is not there"));
            };
            if chosen.iter().any(|&(other, _)| other == index) {
                return damaged("a scan names a component twice");
            }
            chosen.push((index, tables));
        }
        if chosen.is_empty() {
            return damaged("a scan has no components");
        }
        let progressive = self.progressive;
        let mut scan = Scan { bits: Bits::new(data), part, memory: Memory::default(), tables: Vec::new() };
        for &(index, tables) in &chosen {
            let table = |of: &[Option<Box<Huffman>>; 4], id: u8, dc: bool| {
                let id = usize::from(id);
                of.get(id).and_then(Option::as_deref).cloned().or_else(|| standard::table(dc, id))
            };
            scan.tables.push((table(&self.dc, tables >> 4, true), table(&self.ac, tables & 15, false)));
            let Some(component) = self.components.get_mut(index) else { continue };
            if component.quant.is_none() {
                component.quant = self.quants.get(usize::from(component.quant_id)).cloned().flatten();
            }
            if component.quant.is_none() {
                return damaged("a quantisation table is missing");
            }
            if matches!(part, Part::Whole | Part::DcFirst { .. }) {
                component.seen = true;
            } else if !component.seen {
                return damaged("a scan refines what has not come");
            }
        }
        if let (Part::Whole | Part::DcFirst { .. }, true) = (part, scan.tables.iter().any(|t| t.0.is_none()))
        {
            return damaged("a Huffman table is missing");
        }
        if let (Part::Whole | Part::AcFirst { .. } | Part::AcMore { .. }, true) =
            (part, scan.tables.iter().any(|t| t.1.is_none()))
        {
            return damaged("a Huffman table is missing");
        }
        let restart = self.restart;
        let (units_x, units_y) = match chosen.as_slice() {
            &[(one, _)] => self.components.get(one).map_or((0, 0), |c| c.own),
            _ => {
                let units = |c: &Component| (c.grid.0.checked_div(c.h), c.grid.1.checked_div(c.v));
                match self.components.first().map(units) {
                    Some((Some(x), Some(y))) => (x, y),
                    _ => (0, 0),
                }
            }
        };
        let single = chosen.len() == 1;
        let (mut left, mut number) = (restart, 0u8);
        for y in 0..units_y {
            for x in 0..units_x {
                if restart > 0 && left == 0 {
                    match scan.bits.restart() {
                        Some(found) if found == number => {}
                        Some(_) => return damaged("restart markers are out of order: a part is missing"),
                        None => return Err(Fault::Short("a restart marker is missing".into())),
                    }
                    scan.memory = Memory::default();
                    (left, number) = (restart, number.wrapping_add(1) & 7);
                }
                left = left.wrapping_sub(1);
                for (slot, &(index, _)) in chosen.iter().enumerate() {
                    let Some(component) = self.components.get_mut(index) else { continue };
                    let (h, v) = if single { (1, 1) } else { (component.h, component.v) };
                    for dy in 0..v {
                        for dx in 0..h {
                            let at = (x.wrapping_mul(h).wrapping_add(dx), y.wrapping_mul(v).wrapping_add(dy));
                            scan.block(slot, component, at, progressive)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// What a scan codes, from its header.
    fn part(&self, count: usize, (from, to, bits): (u8, u8, u8)) -> Result<Part, Fault> {
        if !self.progressive {
            return Ok(Part::Whole);
        }
        let (high, low) = (bits >> 4, u32::from(bits & 15));
        let more = high > 0;
        let (from, to) = (usize::from(from), usize::from(to));
        if low > 13 || (more && u32::from(high) != low.wrapping_add(1)) || to > 63 {
            return damaged("a progressive scan says what cannot be");
        }
        match (from, to) {
            (0, 0) if more => Ok(Part::DcMore { low }),
            (0, 0) => Ok(Part::DcFirst { low }),
            _ if from == 0 || from > to || count != 1 => damaged("a progressive scan says what cannot be"),
            _ if more => Ok(Part::AcMore { from, to, low }),
            _ => Ok(Part::AcFirst { from, to, low }),
        }
    }

    fn finish(mut self) -> Result<Picture, Fault> {
        for component in self.components.iter_mut().filter(|_| self.progressive) {
            let blocks = std::mem::take(&mut component.blocks);
            component.plane.samples = filled(blocks.len().saturating_mul(64), 128)?;
            let Some(quant) = &component.quant else { continue };
            let (stride, columns) = (component.plane.stride, component.grid.0);
            let rows = component.plane.samples.chunks_mut(stride.saturating_mul(8).max(1));
            for (row, blocks) in rows.zip(blocks.chunks(columns.max(1))) {
                for (x, block) in blocks.iter().enumerate() {
                    if let Some(out) = row.get_mut(x.saturating_mul(8)..) {
                        inverse_dct(block, quant, out, stride);
                    }
                }
            }
        }
        let ids: Vec<u8> = self.components.iter().map(|c| c.id).collect();
        let colours = match (ids.as_slice(), self.adobe) {
            ([_], _) => Colours::Grey,
            ([_, _, _], _) if self.jfif => Colours::YCbCr,
            ([_, _, _], Some(0)) => Colours::Rgb,
            (b"RGB", None) => Colours::Rgb,
            ([_, _, _], _) => Colours::YCbCr,
            ([_, _, _, _], Some(0)) => Colours::Cmyk,
            ([_, _, _, _], _) => Colours::Ycck,
            _ => return Err(Fault::Unsupported("a JPEG with so many components")),
        };
        let planes = self.components.into_iter().map(|c| c.plane).collect();
        Ok(Picture { planes, colours, width: self.width, height: self.height })
    }
}

/// Quotient and rest.
fn divide(a: usize, b: usize) -> Option<(usize, usize)> {
    Some((a.checked_div(b)?, a.checked_rem(b)?))
}

struct Scan<'a> {
    bits: Bits<'a>,
    part: Part,
    memory: Memory,
    tables: Vec<(Option<Huffman>, Option<Huffman>)>,
}

impl Scan<'_> {
    #[inline(always)]
    fn block(
        &mut self,
        slot: usize,
        component: &mut Component,
        (x, y): (usize, usize),
        progressive: bool,
    ) -> Result<(), Fault> {
        let (Some((dc_table, ac_table)), Some(dc)) = (self.tables.get(slot), self.memory.dc.get_mut(slot))
        else {
            return damaged("a scan has too many components");
        };
        let tables = Tables { dc: dc_table.as_ref(), ac: ac_table.as_ref() };
        let (bits, run) = (&mut self.bits, &mut self.memory.run);
        let mut own: Block = [0; 64];
        let target = if progressive {
            let at = y.wrapping_mul(component.grid.0).wrapping_add(x);
            component.blocks.get_mut(at).unwrap_or(&mut own)
        } else {
            &mut own
        };
        let good = block(bits, self.part, &tables, dc, run, target);
        if bits.overrun() {
            return Err(Fault::Short("the coded data ends early".into()));
        }
        if good.is_none() {
            return damaged("the coded data is none");
        }
        if !progressive && let Some(quant) = &component.quant {
            let stride = component.plane.stride;
            let at = y.wrapping_mul(stride).wrapping_add(x).wrapping_mul(8);
            if let Some(out) = component.plane.samples.get_mut(at..) {
                inverse_dct(&own, quant, out, stride);
            }
        }
        Ok(())
    }
}
