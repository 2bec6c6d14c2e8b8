//! Positioned reads from bytes or from a file. Parsers see nothing else of the outside world.
//!
//! A file is read, not mapped: a mapped file that another program cuts short ends this one with a signal, a read gives an
//! error. Positioned reads have no cursor, so that several threads can read one file at once.

use std::io::{self, Read, Seek, SeekFrom};

/// Something of known size that can be read at any position.
pub trait Source {
    /// Size in bytes.
    fn size(&self) -> u64;
    /// Fills `buffer` from `offset`; an error when the source ends before.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// The same for several threads at once, where there is no cursor.
    fn shared(&self) -> Option<&dyn SharedSource> {
        None
    }
}

/// A source without a cursor.
pub trait SharedSource: Sync {
    /// Fills `buffer` from `offset`; an error when the source ends before.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl Source for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        SharedSource::read_at(self, offset, buffer)
    }

    fn shared(&self) -> Option<&dyn SharedSource> {
        Some(self)
    }
}

impl SharedSource for &[u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| short())?;
        let end = start.checked_add(buffer.len()).ok_or_else(short)?;
        buffer.copy_from_slice(self.get(start..end).ok_or_else(short)?);
        Ok(())
    }
}

/// A regular file whose size was taken once; one that shrinks later gives an error.
#[cfg(any(unix, windows))]
#[derive(Debug)]
pub struct PositionedFile {
    file: std::fs::File,
    size: u64,
}

#[cfg(any(unix, windows))]
impl PositionedFile {
    /// Takes the size of the file.
    pub fn new(file: std::fs::File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

#[cfg(any(unix, windows))]
impl Source for PositionedFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        SharedSource::read_at(self, offset, buffer)
    }

    fn shared(&self) -> Option<&dyn SharedSource> {
        Some(self)
    }
}

#[cfg(any(unix, windows))]
impl SharedSource for PositionedFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        offset.checked_add(buffer.len() as u64).filter(|&e| e <= self.size).ok_or_else(short)?;
        read_exact_at(&self.file, buffer, offset)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &std::fs::File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &std::fs::File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset) {
            Ok(0) => return Err(short()),
            Ok(read) => {
                buffer = buffer.get_mut(read..).unwrap_or_default();
                offset = offset.saturating_add(read as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A reader whose size was taken once; a file that shrinks later gives an error, not a fault.
#[derive(Debug)]
pub struct Stream<R> {
    reader: R,
    size: u64,
    at: u64,
}

impl<R: Read + Seek> Stream<R> {
    /// Takes the size of the reader.
    pub fn new(mut reader: R) -> io::Result<Self> {
        let size = reader.seek(SeekFrom::End(0))?;
        Ok(Self { reader, size, at: size })
    }
}

impl<R: Read + Seek> Source for Stream<R> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|&e| e <= self.size).ok_or_else(short)?;
        if self.at != offset {
            self.reader.seek(SeekFrom::Start(offset))?;
        }
        // Unknown position until the read has succeeded.
        self.at = u64::MAX;
        self.reader.read_exact(buffer)?;
        self.at = end;
        Ok(())
    }
}

fn short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends before the announced data")
}

/// `len` bytes from `offset` as a vector; the bound is checked before the allocation.
pub(crate) fn read_vec(source: &mut impl Source, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    if offset.checked_add(len).is_none_or(|end| end > source.size()) {
        return Err(short());
    }
    let len = usize::try_from(len).map_err(|_| short())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    bytes.resize(len, 0);
    source.read_at(offset, &mut bytes)?;
    Ok(bytes)
}
