//! A strict reader for the zip archives that `torch.save` writes (PyTorch 1.6 and later).
//!
//! Readers of zip files disagree about ambiguous archives, and that disagreement hides payloads. So anything that two
//! readers could see differently is refused: the end record is the last 22 bytes; entries are stored, not compressed;
//! local and central headers agree on name, size, method, flags and checksum; and the entries tile the file from its
//! first byte to the directory without gap or overlap.
//!
//! What PyTorch writes (seen in files of 2.15 and in the miniz sources): flags 0x0808 (data descriptor, UTF-8), zeros for
//! checksum and sizes in the local header, padding in an extra field `FB`, a 16-byte data descriptor (24 bytes with zip64),
//! and a zip64 end record even for small archives.

use crate::limits::{Limits, quote};
use crate::source::{Source, read_vec};
use std::collections::HashMap;
use std::io;

const LOCAL: u32 = 0x0403_4B50;
const CENTRAL: u32 = 0x0201_4B50;
const END: u32 = 0x0605_4B50;
const END64: u32 = 0x0606_4B50;
const LOCATOR64: u32 = 0x0706_4B50;
const DESCRIPTOR: u32 = 0x0807_4B50;
const END_SIZE: u64 = 22;
const END64_SIZE: u64 = 56;
const LOCATOR64_SIZE: u64 = 20;
const FLAG_DESCRIPTOR: u16 = 0x0008;
const FLAG_UTF8: u16 = 0x0800;
const SATURATED: u32 = u32::MAX;
/// Longest entry name; PyTorch needs a few dozen characters.
const MAX_NAME: usize = 512;

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    /// The file cannot be read.
    #[error("reading the archive: {0}")]
    Io(#[from] io::Error),
    /// The end record is not at the end: a truncated download, or data after the archive.
    #[error(
        "no zip end record in the last 22 bytes: the file is cut short, or something follows the archive; \
         download it again"
    )]
    NoEnd,
    /// Numbers of the archive contradict each other.
    #[error("the archive contradicts itself: {0}")]
    Inconsistent(String),
    /// A feature that weight files do not use.
    #[error(
        "{entry}: {feature}; weight files of PyTorch are stored without it, so save the file again with torch.save"
    )]
    Unsupported {
        /// Entry name.
        entry: String,
        /// What it uses.
        feature: String,
    },
    /// The content of an entry does not have the announced checksum.
    #[error(
        "{entry}: checksum {found:08x}, the archive says {wanted:08x}: the file is damaged, download it again"
    )]
    Checksum {
        /// Entry name.
        entry: String,
        /// Checksum in the archive.
        wanted: u32,
        /// Checksum of the data.
        found: u32,
    },
    /// More than the limits allow.
    #[error("the archive has {what} {value}, the limit is {limit}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The limit.
        limit: u64,
    },
}

/// A stored entry: a range of the file with a checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZipEntry {
    /// Full name.
    pub name: String,
    /// First byte of the data.
    pub offset: u64,
    /// Bytes of data.
    pub size: u64,
    /// CRC-32 of the data.
    pub crc: u32,
}

/// The directory of an archive whose structure has been verified (checksums are not yet).
#[derive(Debug)]
pub struct Zip {
    entries: Vec<ZipEntry>,
    by_name: HashMap<String, usize>,
}

impl Zip {
    /// Reads and verifies the structure.
    pub fn open(source: &mut impl Source, limits: &Limits) -> Result<Self, ZipError> {
        let end = End::read(source)?;
        if end.entries > limits.zip_entries {
            return Err(ZipError::Limit { what: "entries", value: end.entries, limit: limits.zip_entries });
        }
        if end.directory_size > limits.zip_directory {
            let (value, limit) = (end.directory_size, limits.zip_directory);
            return Err(ZipError::Limit { what: "directory bytes", value, limit });
        }
        let directory = read_vec(source, end.directory, end.directory_size)?;
        let mut fields = Fields { bytes: &directory };
        let mut central = Vec::new();
        for _ in 0..end.entries {
            central.push(Central::read(&mut fields)?);
        }
        if !fields.bytes.is_empty() {
            return Err(bad(format!("{} bytes after the last directory entry", fields.bytes.len())));
        }
        central.sort_by_key(|c| c.header);
        let mut entries = Vec::new();
        let mut by_name = HashMap::new();
        let mut position = 0u64;
        let mut iter = central.iter().peekable();
        while let Some(c) = iter.next() {
            if c.header != position {
                let name = quote(&c.name);
                return Err(bad(format!("entry {name} starts at byte {}, not at {position}", c.header)));
            }
            let next = iter.peek().map_or(end.directory, |n| n.header);
            let entry = c.locate(source, next)?;
            position = next;
            if by_name.insert(entry.name.clone(), entries.len()).is_some() {
                return Err(bad(format!("two entries are named {}", quote(&entry.name))));
            }
            entries.push(entry);
        }
        if position != end.directory {
            return Err(bad(format!("the directory starts at byte {}, not at {position}", end.directory)));
        }
        Ok(Self { entries, by_name })
    }

    /// Entries in file order.
    pub fn entries(&self) -> &[ZipEntry] {
        &self.entries
    }

    /// The entry of that exact name.
    pub fn get(&self, name: &str) -> Option<&ZipEntry> {
        self.entries.get(*self.by_name.get(name)?)
    }

    /// Position of that entry in [`Zip::entries`].
    pub fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

impl ZipEntry {
    /// The data, with the checksum verified.
    pub fn read(&self, source: &mut impl Source) -> Result<Vec<u8>, ZipError> {
        let data = read_vec(source, self.offset, self.size)?;
        self.check(crc32fast::hash(&data))?;
        Ok(data)
    }

    fn check(&self, found: u32) -> Result<(), ZipError> {
        if found == self.crc {
            return Ok(());
        }
        Err(ZipError::Checksum { entry: quote(&self.name), wanted: self.crc, found })
    }
}

fn bad(problem: impl Into<String>) -> ZipError {
    ZipError::Inconsistent(problem.into())
}

/// Little-endian fields taken from the front of a slice.
struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], ZipError> {
        let (head, tail) = self.bytes.split_at_checked(len).ok_or_else(|| bad("a header ends too early"))?;
        self.bytes = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ZipError> {
        let (head, tail) = self.bytes.split_first_chunk().ok_or_else(|| bad("a header ends too early"))?;
        self.bytes = tail;
        Ok(*head)
    }

    fn u16(&mut self) -> Result<u16, ZipError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, ZipError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ZipError> {
        self.array().map(u64::from_le_bytes)
    }
}

/// The end record, merged with its zip64 form.
struct End {
    entries: u64,
    directory: u64,
    directory_size: u64,
}

impl End {
    fn read(source: &mut impl Source) -> Result<Self, ZipError> {
        let at = source.size().checked_sub(END_SIZE).ok_or(ZipError::NoEnd)?;
        let bytes = read_vec(source, at, END_SIZE)?;
        let mut f = Fields { bytes: &bytes };
        if f.u32()? != END {
            return Err(ZipError::NoEnd);
        }
        let (disk, directory_disk) = (f.u16()?, f.u16()?);
        let (entries_here, entries) = (f.u16()?, f.u16()?);
        let (directory_size, directory) = (f.u32()?, f.u32()?);
        if f.u16()? != 0 {
            return Err(ZipError::NoEnd);
        }
        if disk != 0 || directory_disk != 0 || entries_here != entries {
            return Err(bad("it spans several disks"));
        }
        let small = Self {
            entries: entries.into(),
            directory: directory.into(),
            directory_size: directory_size.into(),
        };
        let saturated = entries == u16::MAX || directory_size == SATURATED || directory == SATURATED;
        let large = Self::read64(source, at)?;
        let (end, stop) = match large {
            None if saturated => return Err(bad("the zip64 end record is missing")),
            None => (small, at),
            Some((large, at64)) => {
                let agree = (entries == u16::MAX || small.entries == large.entries)
                    && (directory == SATURATED || small.directory == large.directory)
                    && (directory_size == SATURATED || small.directory_size == large.directory_size);
                if !agree {
                    return Err(bad("the two end records disagree"));
                }
                (large, at64)
            }
        };
        if end.directory.checked_add(end.directory_size) != Some(stop) {
            return Err(bad("the directory does not end where the end record begins"));
        }
        Ok(end)
    }

    /// The zip64 end record in front of the end record at `at`, with its position.
    fn read64(source: &mut impl Source, at: u64) -> Result<Option<(Self, u64)>, ZipError> {
        let Some(locator) = at.checked_sub(LOCATOR64_SIZE) else { return Ok(None) };
        let bytes = read_vec(source, locator, LOCATOR64_SIZE)?;
        let mut f = Fields { bytes: &bytes };
        if f.u32()? != LOCATOR64 {
            return Ok(None);
        }
        let (disk, offset, disks) = (f.u32()?, f.u64()?, f.u32()?);
        if disk != 0 || disks > 1 || offset.checked_add(END64_SIZE) != Some(locator) {
            return Err(bad("the zip64 locator points elsewhere than in front of itself"));
        }
        let bytes = read_vec(source, offset, END64_SIZE)?;
        let mut f = Fields { bytes: &bytes };
        if f.u32()? != END64 || f.u64()? != END64_SIZE.wrapping_sub(12) {
            return Err(bad("the zip64 end record has another form"));
        }
        let _versions = f.u32()?;
        if f.u32()? != 0 || f.u32()? != 0 {
            return Err(bad("it spans several disks"));
        }
        let (entries_here, entries) = (f.u64()?, f.u64()?);
        if entries_here != entries {
            return Err(bad("it spans several disks"));
        }
        let (directory_size, directory) = (f.u64()?, f.u64()?);
        Ok(Some((Self { entries, directory, directory_size }, offset)))
    }
}

/// One record of the central directory.
struct Central {
    name: String,
    flags: u16,
    crc: u32,
    size: u64,
    header: u64,
}

impl Central {
    fn read(f: &mut Fields) -> Result<Self, ZipError> {
        if f.u32()? != CENTRAL {
            return Err(bad("a directory entry does not begin with its signature"));
        }
        let _made_by = f.u16()?;
        let _needed = f.u16()?;
        let (flags, method) = (f.u16()?, f.u16()?);
        let _time = f.u32()?;
        let (crc, packed, size) = (f.u32()?, f.u32()?, f.u32()?);
        let (name_len, extra_len, comment_len) = (f.u16()?, f.u16()?, f.u16()?);
        let disk = f.u16()?;
        let _attributes = (f.u16()?, f.u32()?);
        let header = f.u32()?;
        let name = entry_name(f.take(name_len.into())?, flags)?;
        let extra = f.take(extra_len.into())?;
        if comment_len != 0 || disk != 0 {
            return Err(bad(format!("entry {} has a comment or lies on another disk", quote(&name))));
        }
        refuse_features(&name, flags, method)?;
        let wanted = [size == SATURATED, packed == SATURATED, header == SATURATED];
        let mut values = [u64::from(size), u64::from(packed), u64::from(header)];
        match zip64_field(&name, extra)? {
            Some(field) => {
                let mut field = Fields { bytes: field };
                for (value, wanted) in values.iter_mut().zip(wanted) {
                    if wanted {
                        *value = field.u64()?;
                    }
                }
                if !field.bytes.is_empty() {
                    return Err(bad(format!("entry {}: zip64 field of another length", quote(&name))));
                }
            }
            None if wanted.contains(&true) => {
                return Err(bad(format!("entry {}: zip64 field missing", quote(&name))));
            }
            None => {}
        }
        let [size, packed, header] = values;
        if size != packed {
            return Err(bad(format!("entry {} is stored but has two sizes", quote(&name))));
        }
        Ok(Self { name, flags, crc, size, header })
    }

    /// Checks the local header against this record and finds the data; the entry must end at `next`.
    fn locate(&self, source: &mut impl Source, next: u64) -> Result<ZipEntry, ZipError> {
        let name = quote(&self.name);
        let fail = |problem: &str| Err(bad(format!("entry {name}: {problem}")));
        let fixed = read_vec(source, self.header, 30)?;
        let mut f = Fields { bytes: &fixed };
        if f.u32()? != LOCAL {
            return fail("no local header where the directory says");
        }
        let _needed = f.u16()?;
        let (flags, method) = (f.u16()?, f.u16()?);
        let _time = f.u32()?;
        let (crc, packed, size) = (f.u32()?, f.u32()?, f.u32()?);
        let (name_len, extra_len) = (f.u16()?, f.u16()?);
        if flags != self.flags || method != 0 {
            return fail("local and central header differ in flags or method");
        }
        let variable = u64::from(name_len).saturating_add(extra_len.into());
        let data = self.header.saturating_add(30).saturating_add(variable);
        let rest = read_vec(source, self.header.saturating_add(30), variable)?;
        let mut f = Fields { bytes: &rest };
        if f.take(name_len.into())? != self.name.as_bytes() {
            return fail("local and central header differ in the name");
        }
        let extra = zip64_field(&self.name, f.bytes)?;
        let deferred = flags & FLAG_DESCRIPTOR != 0;
        let size_agrees = |field: u32| match field {
            0 if deferred => true,
            SATURATED => extra.is_some() || self.size == u64::from(SATURATED),
            other => u64::from(other) == self.size,
        };
        if !size_agrees(packed) || !size_agrees(size) || !(crc == self.crc || (deferred && crc == 0)) {
            return fail("local and central header differ in size or checksum");
        }
        if let Some(extra) = extra {
            let (values, rest) = extra.as_chunks::<8>();
            let known = |v: &[u8; 8]| {
                let v = u64::from_le_bytes(*v);
                v == self.size || v == self.header || (deferred && v == 0)
            };
            if !rest.is_empty() || values.is_empty() || values.len() > 3 || !values.iter().all(known) {
                return fail("local and central header differ in the zip64 sizes");
            }
        }
        let stop = data.checked_add(self.size).filter(|&stop| stop <= next);
        let Some(stop) = stop else { return fail("it reaches into the next entry") };
        let tail = next.saturating_sub(stop);
        let agrees = match (deferred, tail) {
            (false, 0) => true,
            (true, 16 | 24) => self.descriptor_agrees(&read_vec(source, stop, tail)?)?,
            _ => false,
        };
        if !agrees {
            return fail("what follows its data is not the data descriptor of its header");
        }
        Ok(ZipEntry { name: self.name.clone(), offset: data, size: self.size, crc: self.crc })
    }

    fn descriptor_agrees(&self, bytes: &[u8]) -> Result<bool, ZipError> {
        let mut f = Fields { bytes };
        let head = f.u32()? == DESCRIPTOR && f.u32()? == self.crc;
        let sizes = match bytes.len() {
            24 => [f.u64()?, f.u64()?],
            _ => [f.u32()?.into(), f.u32()?.into()],
        };
        Ok(head && sizes == [self.size; 2])
    }
}

fn refuse_features(name: &str, flags: u16, method: u16) -> Result<(), ZipError> {
    let feature = if flags & 0x2041 != 0 {
        "is encrypted".into()
    } else if flags & 0x0020 != 0 {
        "is patch data".into()
    } else if flags & !(FLAG_DESCRIPTOR | FLAG_UTF8) != 0 {
        format!("has unknown flags {flags:#06x}")
    } else if method != 0 {
        format!("is compressed (method {method})")
    } else {
        return Ok(());
    };
    Err(ZipError::Unsupported { entry: quote(name), feature })
}

/// An entry name: a relative path of plain components.
fn entry_name(bytes: &[u8], flags: u16) -> Result<String, ZipError> {
    let name = std::str::from_utf8(bytes).map_err(|_| bad("an entry name is not UTF-8"))?;
    if flags & FLAG_UTF8 == 0 && !name.is_ascii() {
        return Err(bad(format!("entry name {} is not ASCII and not marked as UTF-8", quote(name))));
    }
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let forbidden = |c: char| c.is_control() || c == '\\' || c == ':';
    if name.len() > MAX_NAME || name.contains(forbidden) || !name.split('/').all(plain) {
        return Err(bad(format!("entry name {} is not a plain relative path", quote(name))));
    }
    Ok(name.to_string())
}

/// The zip64 field of an extra block; at most one, and none that renames the entry.
fn zip64_field<'a>(name: &str, extra: &'a [u8]) -> Result<Option<&'a [u8]>, ZipError> {
    let mut f = Fields { bytes: extra };
    let mut found = None;
    while !f.bytes.is_empty() {
        let (id, len) = (f.u16()?, f.u16()?);
        let data = f.take(len.into())?;
        match id {
            0x0001 if found.is_some() => {
                return Err(bad(format!("entry {}: two zip64 fields", quote(name))));
            }
            0x0001 => found = Some(data),
            0x7075 | 0x6375 => {
                return Err(bad(format!("entry {}: an extra field changes its name", quote(name))));
            }
            _ => {}
        }
    }
    Ok(found)
}
