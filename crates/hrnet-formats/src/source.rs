//! Positioned reads from bytes or from a file. Parsers see nothing else of the outside world.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![deny(clippy::cast_possible_truncation, clippy::panic)]

use std::io::{self, Read, Seek, SeekFrom};

/// Something of known size that can be read at any position.
pub trait Source {
    /// Size in bytes.
    fn size(&self) -> u64;
    /// Fills `buffer` from `offset`; an error when the source ends before.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl Source for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| short())?;
        let end = start.checked_add(buffer.len()).ok_or_else(short)?;
        buffer.copy_from_slice(self.get(start..end).ok_or_else(short)?);
        Ok(())
    }
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
