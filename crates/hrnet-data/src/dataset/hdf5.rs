//! HDF5 files as MATLAB 7.3 and old-style writers make them: the part that annotation files need, read-only.
//!
//! ```text
//! superblock    at 0, 512, 1024, ...   version 0 to 3; offsets and lengths of 8 bytes
//! object        header version 1 or 2: messages, in one or more blocks
//! group         symbol table (B-tree version 1 of SNOD nodes, names in a local heap) or link messages
//! data set      messages: dataspace | datatype | layout version 3 | filter pipeline
//! chunks        B-tree version 1: key = bytes, filter mask, offsets; child = address
//! ```
//!
//! Numbers of 1 to 8 bytes and object references are read; deflate, shuffle and checksum filters are undone. Refused by
//! name: compound and variable-length types, other filters, the index structures of version 1.8 and later (dense groups,
//! layout version 4). Data is read where it lies: memory use is that of the data set asked for, not of the file.
//!
//! Why not a crate: `hdf5-pure` (127,000 lines, a release nearly every week) and `hdf5-reader` would be much the largest
//! parsers in the build, for one file format of one data set.
//!
//! Source: the "HDF5 File Format Specification" of The HDF Group; checked against files written by h5py.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::io::{Read, Seek, SeekFrom};

use super::cursor::{Cursor, Number, NumberKind};

const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";
const NOWHERE: u64 = u64::MAX;
/// Nodes and header blocks that one look-up may visit.
const MAX_VISITS: usize = 1 << 20;

/// Whether a file starts as HDF5, with or without the 512 bytes that MATLAB puts before it.
pub fn is_hdf5(bytes: &[u8]) -> bool {
    bytes.starts_with(&SIGNATURE) || bytes.get(512..520) == Some(&SIGNATURE)
}

/// Why a file was refused.
#[derive(Debug, thiserror::Error)]
pub enum Hdf5Error {
    /// The system refused to read.
    #[error("cannot read: {0}")]
    Io(#[from] std::io::Error),
    /// No superblock was found.
    #[error("this is no HDF5 file (MATLAB 7.3)")]
    NotHdf5,
    /// The file ends early or points outside of itself.
    #[error("the HDF5 file is cut off or damaged: {0} lies outside of the file")]
    Outside(&'static str),
    /// The file contradicts itself.
    #[error("the HDF5 file is damaged: {0}")]
    Corrupt(String),
    /// A part of the format that is not read.
    #[error("the HDF5 file uses {0}, which is not read; save it in MATLAB with save(..., '-v7.3')")]
    Unsupported(String),
    /// There is no such data set.
    #[error("the HDF5 file has no variable {name}; it has {names}")]
    Missing {
        /// The name asked for.
        name: String,
        /// The names that are there.
        names: String,
    },
    /// A limit is exceeded.
    #[error(
        "a data set has {bytes} bytes, above the limit of {limit}; raise the limit if the file is trusted"
    )]
    Limit {
        /// Bytes of the data set.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
}

type Result<T> = std::result::Result<T, Hdf5Error>;

fn corrupt(detail: impl Into<String>) -> Hdf5Error {
    Hdf5Error::Corrupt(detail.into())
}

fn cut(what: &'static str) -> Hdf5Error {
    Hdf5Error::Outside(what)
}

/// What an element of a data set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// A number.
    Number(Number),
    /// The address of an object, 8 bytes.
    Reference,
}

impl Element {
    fn size(self) -> usize {
        match self {
            Self::Number(n) => n.size,
            Self::Reference => 8,
        }
    }
}

#[derive(Debug, Clone)]
enum Layout {
    Compact(Vec<u8>),
    Contiguous { at: u64 },
    Chunked { tree: u64, chunk: Vec<u64> },
}

/// A data set: its shape and where its data is.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Dimensions, the last running fastest. MATLAB's dimensions in reverse order.
    pub dims: Vec<u64>,
    /// Type of the elements.
    pub element: Element,
    layout: Layout,
    /// Filters in the order of writing.
    filters: Vec<u16>,
}

/// An open file.
#[derive(Debug)]
pub struct Hdf5<R> {
    reader: R,
    len: u64,
    base: u64,
    root: u64,
    max_bytes: u64,
}

/// One message of an object header.
struct Message {
    kind: u16,
    data: Vec<u8>,
}

impl<R: Read + Seek> Hdf5<R> {
    /// Finds the superblock. `max_bytes` bounds one data set in memory.
    pub fn open(mut reader: R, max_bytes: u64) -> Result<Self> {
        let len = reader.seek(SeekFrom::End(0))?;
        let mut at = 0u64;
        loop {
            if at.checked_add(8).is_none_or(|end| end > len) {
                return Err(Hdf5Error::NotHdf5);
            }
            let mut signature = [0; 8];
            reader.seek(SeekFrom::Start(at))?;
            reader.read_exact(&mut signature)?;
            if signature == SIGNATURE {
                break;
            }
            at = if at == 0 { 512 } else { at.saturating_mul(2) };
        }
        let mut file = Self { reader, len, base: 0, root: 0, max_bytes };
        // Versions 0 and 1 have 24 or 28 bytes before the addresses, versions 2 and 3 have 12.
        let block = file.bytes(at, 96.min(len.saturating_sub(at)), "the superblock")?;
        let mut c = Cursor::new(&block);
        let bad = || cut("the superblock");
        c.take(8).ok_or_else(bad)?;
        let version = c.u8().ok_or_else(bad)?;
        let (offsets, lengths);
        match version {
            0 | 1 => {
                c.take(4).ok_or_else(bad)?;
                (offsets, lengths) = (c.u8().ok_or_else(bad)?, c.u8().ok_or_else(bad)?);
                c.take(if version == 0 { 9 } else { 13 }).ok_or_else(bad)?;
            }
            2 | 3 => {
                (offsets, lengths) = (c.u8().ok_or_else(bad)?, c.u8().ok_or_else(bad)?);
                c.take(1).ok_or_else(bad)?;
            }
            v => return Err(Hdf5Error::Unsupported(format!("superblock version {v}"))),
        }
        if (offsets, lengths) != (8, 8) {
            return Err(Hdf5Error::Unsupported(format!(
                "addresses of {offsets} and lengths of {lengths} bytes"
            )));
        }
        file.base = c.u64().ok_or_else(bad)?;
        // Free space or extension, end of file, and in old versions the driver block and the root's name.
        c.take(if version < 2 { 32 } else { 16 }).ok_or_else(bad)?;
        file.root = c.u64().ok_or_else(bad)?;
        Ok(file)
    }

    /// `len` bytes at a place of the file.
    fn bytes(&mut self, at: u64, len: u64, what: &'static str) -> Result<Vec<u8>> {
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(cut(what));
        }
        let size = usize::try_from(len).map_err(|_| cut(what))?;
        let mut out = Vec::new();
        out.try_reserve_exact(size).map_err(|_| Hdf5Error::Limit { bytes: len, limit: self.max_bytes })?;
        out.resize(size, 0);
        self.reader.seek(SeekFrom::Start(at))?;
        self.reader.read_exact(&mut out)?;
        Ok(out)
    }

    /// `len` bytes at an address, which counts from the base.
    fn block(&mut self, address: u64, len: u64, what: &'static str) -> Result<Vec<u8>> {
        let at = self.base.checked_add(address).ok_or_else(|| cut(what))?;
        self.bytes(at, len, what)
    }

    /// As much of `len` bytes as the file has.
    fn prefix(&mut self, address: u64, len: u64, what: &'static str) -> Result<Vec<u8>> {
        let at = self.base.checked_add(address).filter(|&at| at < self.len).ok_or_else(|| cut(what))?;
        self.bytes(at, len.min(self.len.saturating_sub(at)), what)
    }

    /// The messages of an object.
    fn messages(&mut self, address: u64) -> Result<Vec<Message>> {
        const WHAT: &str = "an object header";
        let head = self.prefix(address, 32, WHAT)?;
        let bad = || cut(WHAT);
        let mut blocks: Vec<(u64, u64)> = Vec::new();
        let mut c = Cursor::new(&head);
        let v2 = head.starts_with(b"OHDR");
        let mut creation_order = false;
        let start;
        if v2 {
            c.take(4).ok_or_else(bad)?;
            let version = c.u8().ok_or_else(bad)?;
            if version != 2 {
                return Err(corrupt(format!("object header of version {version}")));
            }
            let flags = c.u8().ok_or_else(bad)?;
            let mut skip = 6u64;
            if flags & 0x20 != 0 {
                c.take(16).ok_or_else(bad)?;
                skip = skip.saturating_add(16);
            }
            if flags & 0x10 != 0 {
                c.take(4).ok_or_else(bad)?;
                skip = skip.saturating_add(4);
            }
            creation_order = flags & 4 != 0;
            let (size, width) = match flags & 3 {
                0 => (u64::from(c.u8().ok_or_else(bad)?), 1),
                1 => (u64::from(c.u16().ok_or_else(bad)?), 2),
                2 => (u64::from(c.u32().ok_or_else(bad)?), 4),
                _ => (c.u64().ok_or_else(bad)?, 8),
            };
            start = address.saturating_add(skip).saturating_add(width);
            blocks.push((start, size));
        } else {
            let version = c.u8().ok_or_else(bad)?;
            if version != 1 {
                return Err(corrupt(format!("there is no object header at {address}")));
            }
            c.take(7).ok_or_else(bad)?;
            let size = c.u32().ok_or_else(bad)?;
            start = address.saturating_add(16);
            blocks.push((start, size.into()));
        }
        let mut out = Vec::new();
        let mut next = 0usize;
        while let Some(&(at, len)) = blocks.get(next) {
            next = next.saturating_add(1);
            if next > 1000 || out.len() > 10_000 {
                return Err(corrupt("an object header has too many parts"));
            }
            let bytes = self.block(at, len, WHAT)?;
            let mut c = Cursor::new(&bytes);
            if v2 && at != start {
                if c.take(4) != Some(b"OCHK") {
                    return Err(corrupt("the continuation of an object header is missing"));
                }
                // The checksum at the end is not a message.
                let end = bytes.len().saturating_sub(4);
                c = Cursor::new(bytes.get(4..end).unwrap_or_default());
            }
            loop {
                let (kind, size) = if v2 {
                    let (Some(kind), Some(size)) = (c.u8(), c.u16()) else { break };
                    if c.take(if creation_order { 3 } else { 1 }).is_none() {
                        break;
                    }
                    (u16::from(kind), size)
                } else {
                    let (Some(kind), Some(size)) = (c.u16(), c.u16()) else { break };
                    if c.take(4).is_none() {
                        break;
                    }
                    (kind, size)
                };
                let data = c.take(size.into()).ok_or_else(bad)?;
                if kind == 0x10 {
                    let mut d = Cursor::new(data);
                    blocks.push((d.u64().ok_or_else(bad)?, d.u64().ok_or_else(bad)?));
                } else {
                    out.push(Message { kind, data: data.to_vec() });
                }
            }
        }
        Ok(out)
    }

    /// Names and addresses of the objects in the root group.
    pub fn root(&mut self) -> Result<Vec<(String, u64)>> {
        let mut out = Vec::new();
        for message in self.messages(self.root)? {
            let mut c = Cursor::new(&message.data);
            match message.kind {
                0x11 => {
                    let bad = || cut("a symbol table");
                    let (tree, heap) = (c.u64().ok_or_else(bad)?, c.u64().ok_or_else(bad)?);
                    self.symbol_table(tree, heap, &mut out)?;
                }
                0x02 => {
                    let flags = message.data.get(1).copied().unwrap_or(0);
                    c.take(if flags & 1 != 0 { 10 } else { 2 });
                    if c.u64().is_some_and(|heap| heap != NOWHERE) {
                        return Err(Hdf5Error::Unsupported("a group with dense links".into()));
                    }
                }
                0x06 => out.extend(link(&message.data)),
                _ => {}
            }
        }
        Ok(out)
    }

    fn symbol_table(&mut self, tree: u64, heap: u64, out: &mut Vec<(String, u64)>) -> Result<()> {
        let bad = || cut("a group");
        let head = self.block(heap, 32, "a name heap")?;
        let mut c = Cursor::new(&head);
        if c.take(4) != Some(b"HEAP") {
            return Err(corrupt("the name heap of a group is missing"));
        }
        c.take(4).ok_or_else(bad)?;
        let size = c.u64().ok_or_else(bad)?;
        c.take(8).ok_or_else(bad)?;
        let at = c.u64().ok_or_else(bad)?;
        if size > 1 << 24 {
            return Err(corrupt("the name heap of a group is too large"));
        }
        let names = self.block(at, size, "a name heap")?;
        let mut nodes = Vec::new();
        self.leaves(tree, 0, 8, |_, child| nodes.push(child))?;
        for node in nodes {
            let head = self.block(node, 8, "a group node")?;
            let mut c = Cursor::new(&head);
            if c.take(4) != Some(b"SNOD") {
                return Err(corrupt("a node of a group is missing"));
            }
            c.take(2).ok_or_else(bad)?;
            let count = u64::from(c.u16().ok_or_else(bad)?);
            let body = self.block(node.saturating_add(8), count.saturating_mul(40), "a group node")?;
            for entry in body.chunks_exact(40) {
                let mut c = Cursor::new(entry);
                let (name, address) = (c.u64().ok_or_else(bad)?, c.u64().ok_or_else(bad)?);
                let from = usize::try_from(name).ok().and_then(|n| names.get(n..)).ok_or_else(bad)?;
                let text = from.split(|&b| b == 0).next().unwrap_or_default();
                out.push((String::from_utf8_lossy(text).into_owned(), address));
            }
        }
        Ok(())
    }

    /// Visits the children of all leaves of a B-tree of version 1, with the key before each.
    fn leaves(
        &mut self,
        tree: u64,
        kind: u8,
        key_len: usize,
        mut visit: impl FnMut(&[u8], u64),
    ) -> Result<()> {
        const WHAT: &str = "an index node";
        let bad = || cut(WHAT);
        let mut open = vec![(tree, u16::MAX)];
        let mut visits = 0usize;
        while let Some((at, above)) = open.pop() {
            visits = visits.saturating_add(1);
            if visits > MAX_VISITS {
                return Err(corrupt("an index is a circle"));
            }
            let head = self.block(at, 24, WHAT)?;
            let mut c = Cursor::new(&head);
            if c.take(4) != Some(b"TREE") || c.u8() != Some(kind) {
                return Err(corrupt("a node of an index is missing"));
            }
            let level = u16::from(c.u8().ok_or_else(bad)?);
            // Levels fall on the way down, so there is no circle that does not run into this.
            if level >= above {
                return Err(corrupt("the levels of an index do not fall"));
            }
            let used = c.u16().ok_or_else(bad)?;
            let entry = key_len.saturating_add(8);
            let body =
                self.block(at.saturating_add(24), u64::from(used).saturating_mul(entry as u64), WHAT)?;
            let mut inner = Vec::new();
            for pair in body.chunks_exact(entry) {
                let mut c = Cursor::new(pair);
                let key = c.take(key_len).ok_or_else(bad)?;
                let child = c.u64().ok_or_else(bad)?;
                if level == 0 {
                    visit(key, child);
                } else {
                    inner.push((child, level));
                }
            }
            open.extend(inner.into_iter().rev());
        }
        Ok(())
    }

    /// A data set of the root group.
    pub fn dataset(&mut self, name: &str) -> Result<Dataset> {
        let objects = self.root()?;
        match objects.iter().find(|(n, _)| n == name) {
            Some(&(_, address)) => self.dataset_at(address),
            None => {
                let names: Vec<&str> = objects.iter().map(|(n, _)| n.as_str()).collect();
                Err(Hdf5Error::Missing { name: name.into(), names: names.join(", ") })
            }
        }
    }

    /// The data set at an address, for example of a reference.
    pub fn dataset_at(&mut self, address: u64) -> Result<Dataset> {
        let (mut dims, mut element, mut layout, mut filters) = (None, None, None, Vec::new());
        for message in self.messages(address)? {
            match message.kind {
                0x01 => dims = Some(dataspace(&message.data)?),
                0x03 => element = Some(datatype(&message.data)?),
                0x08 => layout = Some(data_layout(&message.data)?),
                0x0b => filters = pipeline(&message.data)?,
                _ => {}
            }
        }
        match (dims, element, layout) {
            (Some(dims), Some(element), Some(layout)) => Ok(Dataset { dims, element, layout, filters }),
            _ => Err(corrupt("an object is no data set")),
        }
    }

    /// The raw bytes of a data set.
    fn raw(&mut self, set: &Dataset) -> Result<Vec<u8>> {
        let size = set.element.size() as u64;
        let bytes = set
            .dims
            .iter()
            .try_fold(size, |n, &d| n.checked_mul(d))
            .ok_or_else(|| corrupt("the size of a data set overflows"))?;
        if bytes > self.max_bytes {
            return Err(Hdf5Error::Limit { bytes, limit: self.max_bytes });
        }
        match &set.layout {
            Layout::Compact(data) if data.len() as u64 == bytes => Ok(data.clone()),
            Layout::Compact(_) => Err(corrupt("a compact data set has another size than it says")),
            Layout::Contiguous { at } if *at == NOWHERE => self.zeros(bytes),
            Layout::Contiguous { at } => self.block(*at, bytes, "a data set"),
            Layout::Chunked { tree, chunk } => self.chunks(set, *tree, chunk, bytes),
        }
    }

    fn zeros(&self, bytes: u64) -> Result<Vec<u8>> {
        let limit = Hdf5Error::Limit { bytes, limit: self.max_bytes };
        let Ok(n) = usize::try_from(bytes) else { return Err(limit) };
        let mut out = Vec::new();
        if out.try_reserve_exact(n).is_err() {
            return Err(limit);
        }
        out.resize(n, 0);
        Ok(out)
    }

    fn chunks(&mut self, set: &Dataset, tree: u64, chunk: &[u64], bytes: u64) -> Result<Vec<u8>> {
        let rank = set.dims.len();
        // The last number of a chunk's shape is the size of an element.
        let element = set.element.size();
        let Some((&stored, shape)) = chunk.split_last() else {
            return Err(corrupt("chunks without a shape"));
        };
        let full = chunk.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).filter(|&n| n <= self.max_bytes);
        let Some(full) =
            full.filter(|_| shape.len() == rank && stored == element as u64 && !chunk.contains(&0))
        else {
            return Err(corrupt("the chunks of a data set do not fit it"));
        };
        let mut out = self.zeros(bytes)?;
        if tree == NOWHERE || bytes == 0 {
            return Ok(out);
        }
        let key_len = rank.saturating_add(2).saturating_mul(8);
        let mut found = Vec::new();
        self.leaves(tree, 1, key_len, |key, child| found.push((key.to_vec(), child)))?;
        for (key, at) in found {
            let mut c = Cursor::new(&key);
            let bad = || cut("a chunk");
            let (len, mask) = (c.u32().ok_or_else(bad)?, c.u32().ok_or_else(bad)?);
            let mut origin = Vec::with_capacity(rank);
            for _ in 0..rank {
                origin.push(c.u64().ok_or_else(bad)?);
            }
            let packed = self.block(at, len.into(), "a chunk")?;
            let data = unfilter(packed, &set.filters, mask, element, full)?;
            place(&mut out, &set.dims, &data, shape, &origin, element);
        }
        Ok(out)
    }

    /// The numbers of a data set.
    pub fn numbers(&mut self, set: &Dataset) -> Result<Vec<f64>> {
        let Element::Number(number) = set.element else {
            return Err(corrupt("a data set holds references where numbers are wanted"));
        };
        let raw = self.raw(set)?;
        Ok(raw.chunks_exact(number.size.max(1)).map(|c| number.value(c).unwrap_or(f64::NAN)).collect())
    }

    /// The bytes of a data set of unsigned bytes.
    pub fn bytes_of(&mut self, set: &Dataset) -> Result<Vec<u8>> {
        match set.element {
            Element::Number(Number { size: 1, kind: NumberKind::Unsigned, .. }) => self.raw(set),
            _ => Err(corrupt("a data set does not hold bytes")),
        }
    }

    /// The addresses of a data set of references.
    pub fn references(&mut self, set: &Dataset) -> Result<Vec<u64>> {
        if set.element != Element::Reference {
            return Err(corrupt("a data set does not hold references"));
        }
        let raw = self.raw(set)?;
        Ok(raw.as_chunks::<8>().0.iter().map(|c| u64::from_le_bytes(*c)).collect())
    }
}

/// A hard link message: name and address.
fn link(data: &[u8]) -> Option<(String, u64)> {
    let mut c = Cursor::new(data);
    if c.u8()? != 1 {
        return None;
    }
    let flags = c.u8()?;
    let kind = if flags & 8 != 0 { c.u8()? } else { 0 };
    if flags & 4 != 0 {
        c.take(8)?;
    }
    if flags & 16 != 0 {
        c.take(1)?;
    }
    let len = match flags & 3 {
        0 => u64::from(c.u8()?),
        1 => u64::from(c.u16()?),
        2 => u64::from(c.u32()?),
        _ => c.u64()?,
    };
    let name = c.take(usize::try_from(len).ok()?)?;
    (kind == 0).then_some(())?;
    Some((String::from_utf8_lossy(name).into_owned(), c.u64()?))
}

fn dataspace(data: &[u8]) -> Result<Vec<u64>> {
    let bad = || cut("a dataspace");
    let mut c = Cursor::new(data);
    let version = c.u8().ok_or_else(bad)?;
    let rank = c.u8().ok_or_else(bad)?;
    c.take(match version {
        1 => 6,
        2 => 2,
        v => return Err(Hdf5Error::Unsupported(format!("dataspace version {v}"))),
    })
    .ok_or_else(bad)?;
    (0..rank).map(|_| c.u64().ok_or_else(bad)).collect()
}

fn datatype(data: &[u8]) -> Result<Element> {
    let bad = || cut("a datatype");
    let mut c = Cursor::new(data);
    let class = c.u8().ok_or_else(bad)? & 0x0f;
    let flags = c.u8().ok_or_else(bad)?;
    c.take(2).ok_or_else(bad)?;
    let size = usize::try_from(c.u32().ok_or_else(bad)?).map_err(|_| bad())?;
    let big_endian = flags & 1 != 0;
    let number = |kind| Element::Number(Number { size, kind, big_endian });
    match (class, size) {
        (0, 1 | 2 | 4 | 8) if flags & 8 != 0 => Ok(number(NumberKind::Signed)),
        (0, 1 | 2 | 4 | 8) => Ok(number(NumberKind::Unsigned)),
        (1, 4 | 8) if flags & 0x40 == 0 => Ok(number(NumberKind::Float)),
        (7, 8) if flags & 0x0f == 0 => Ok(Element::Reference),
        _ => Err(Hdf5Error::Unsupported(format!("elements of class {class} with {size} bytes"))),
    }
}

fn data_layout(data: &[u8]) -> Result<Layout> {
    let bad = || cut("a data layout");
    let mut c = Cursor::new(data);
    let version = c.u8().ok_or_else(bad)?;
    if version != 3 {
        return Err(Hdf5Error::Unsupported(format!("data layout version {version}")));
    }
    match c.u8().ok_or_else(bad)? {
        0 => {
            let len = c.u16().ok_or_else(bad)?;
            Ok(Layout::Compact(c.take(len.into()).ok_or_else(bad)?.to_vec()))
        }
        1 => Ok(Layout::Contiguous { at: c.u64().ok_or_else(bad)? }),
        2 => {
            let rank = c.u8().ok_or_else(bad)?;
            let tree = c.u64().ok_or_else(bad)?;
            let chunk: Result<Vec<u64>> = (0..rank).map(|_| c.u32().map(u64::from).ok_or_else(bad)).collect();
            Ok(Layout::Chunked { tree, chunk: chunk? })
        }
        v => Err(Hdf5Error::Unsupported(format!("data layout class {v}"))),
    }
}

fn pipeline(data: &[u8]) -> Result<Vec<u16>> {
    let bad = || cut("a filter pipeline");
    let mut c = Cursor::new(data);
    let version = c.u8().ok_or_else(bad)?;
    let count = c.u8().ok_or_else(bad)?;
    if version == 1 {
        c.take(6).ok_or_else(bad)?;
    }
    let mut out = Vec::new();
    for _ in 0..count {
        let id = c.u16().ok_or_else(bad)?;
        let name = if version == 1 || id >= 256 { c.u16().ok_or_else(bad)? } else { 0 };
        c.take(2).ok_or_else(bad)?;
        let values = usize::from(c.u16().ok_or_else(bad)?);
        let name = if version == 1 { name.checked_next_multiple_of(8).ok_or_else(bad)? } else { name };
        c.take(name.into()).ok_or_else(bad)?;
        c.take(values.saturating_mul(4)).ok_or_else(bad)?;
        if version == 1 && values % 2 == 1 {
            c.take(4).ok_or_else(bad)?;
        }
        out.push(id);
    }
    Ok(out)
}

/// Undoes the filters of a chunk, last first. `full` is the size of a whole chunk.
fn unfilter(mut data: Vec<u8>, filters: &[u16], mask: u32, element: usize, full: u64) -> Result<Vec<u8>> {
    for (i, &id) in filters.iter().enumerate().rev() {
        if u32::try_from(i).ok().and_then(|i| mask.checked_shr(i)).unwrap_or(0) & 1 != 0 {
            continue;
        }
        match id {
            1 => {
                let mut out = Vec::new();
                flate2::read::ZlibDecoder::new(&*data)
                    .take(full.saturating_add(1))
                    .read_to_end(&mut out)
                    .map_err(|e| corrupt(format!("a chunk does not inflate ({e})")))?;
                data = out;
            }
            2 if element > 1 => {
                let count = data.len().checked_div(element).unwrap_or(0);
                let mut out = vec![0u8; data.len()];
                let (planes, rest) =
                    data.split_at_checked(count.saturating_mul(element)).unwrap_or((&data, &[]));
                for (b, plane) in planes.chunks_exact(count.max(1)).enumerate() {
                    for (to, &v) in out.iter_mut().skip(b).step_by(element).zip(plane) {
                        *to = v;
                    }
                }
                if let Some(tail) = out.get_mut(planes.len()..) {
                    tail.copy_from_slice(rest);
                }
                data = out;
            }
            2 => {}
            3 => data.truncate(data.len().saturating_sub(4)),
            id => return Err(Hdf5Error::Unsupported(format!("filter {id}"))),
        }
    }
    if data.len() as u64 != full {
        return Err(corrupt(format!("a chunk has {} bytes instead of {full}", data.len())));
    }
    Ok(data)
}

/// Copies a chunk to its place, row by row; what lies outside of the data set is left out.
fn place(out: &mut [u8], dims: &[u64], data: &[u8], shape: &[u64], origin: &[u64], element: usize) {
    let as_usize = |v: u64| usize::try_from(v).unwrap_or(usize::MAX);
    // A scalar is one row of one element.
    let width = shape.last().map_or(1, |&w| as_usize(w));
    let row_bytes = width.saturating_mul(element);
    for (r, row) in data.chunks_exact(row_bytes.max(1)).enumerate() {
        let (mut rest, mut at, mut stride) = (r, 0usize, 1usize);
        let mut inside = true;
        for (k, ((&d, &s), &o)) in dims.iter().zip(shape).zip(origin).enumerate().rev() {
            let (d, s, o) = (as_usize(d), as_usize(s), as_usize(o));
            let i = if k.saturating_add(1) == dims.len() {
                0
            } else {
                let i = rest.checked_rem(s).unwrap_or(0);
                rest = rest.checked_div(s).unwrap_or(0);
                i
            };
            let index = o.saturating_add(i);
            inside &= index < d;
            at = at.saturating_add(index.saturating_mul(stride));
            stride = stride.saturating_mul(d);
        }
        if !inside {
            continue;
        }
        let last = dims.last().map_or(1, |&d| as_usize(d));
        let first = origin.last().map_or(0, |&o| as_usize(o));
        let fits = width.min(last.saturating_sub(first)).saturating_mul(element);
        let start = at.saturating_mul(element);
        let target = start.checked_add(fits).and_then(|end| out.get_mut(start..end));
        if let (Some(target), Some(source)) = (target, row.get(..fits)) {
            target.copy_from_slice(source);
        }
    }
}
