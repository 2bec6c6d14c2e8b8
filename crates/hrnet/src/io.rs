//! Files in and out. Output files appear whole or not at all: temporary file in the same folder, fsync, rename, fsync
//! of the folder.

mod disk;

pub use disk::{Disk, System};

use crate::error::{Context, Result, bail};
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The largest file that is read into memory.
const MAX_FILE: u64 = 8 << 30;

/// How the names of temporary files begin.
const PREFIX: &str = ".hrnet-";

/// The bytes of a regular file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let meta = std::fs::metadata(path).with_context(|| format!("{shown}: cannot be read"))?;
    if meta.is_dir() {
        bail!("{shown} is a folder; name a file in it");
    }
    if !meta.is_file() {
        bail!("{shown} is not a regular file");
    }
    if meta.len() > MAX_FILE {
        bail!("{shown} has {} bytes; files of up to {MAX_FILE} bytes are read", meta.len());
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(meta.len() as usize).with_context(|| format!("{shown}: not enough memory"))?;
    let file = File::open(path).with_context(|| format!("{shown}: cannot be opened"))?;
    file.take(MAX_FILE).read_to_end(&mut bytes).with_context(|| format!("{shown}: cannot be read"))?;
    Ok(bytes)
}

/// Writes a file whole or not at all; an existing one is replaced.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_parts(path, &[bytes])
}

/// Writes the parts one after the other into one file, whole or not at all.
pub fn write_parts(path: &Path, parts: &[&[u8]]) -> Result<()> {
    let mut staged = Staged::create(path)?;
    for part in parts {
        staged.write(part)?;
    }
    staged.finish()
}

/// A file that is being written; it stands under its name when it is finished, and vanishes when it is dropped before.
pub struct Staged<D: Disk = System> {
    disk: D,
    /// None when it is in place.
    file: Option<BufWriter<D::File>>,
    temporary: PathBuf,
    path: PathBuf,
    folder: PathBuf,
}

impl Staged {
    /// Opens a temporary file in the folder of `path`.
    pub fn create(path: &Path) -> Result<Self> {
        if path.is_dir() {
            bail!("{} is a folder; name a file to write", path.display());
        }
        Self::create_on(System, path, PREFIX)
    }
}

impl<D: Disk> Staged<D> {
    /// The same on any disk, with the first letters of the temporary file's name.
    pub fn create_on(disk: D, path: &Path, prefix: &str) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let shown = path.display();
        let folder = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
            _ => PathBuf::from("."),
        };
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let temporary = folder.join(format!("{prefix}{}-{number}", std::process::id()));
            match disk.create(&temporary) {
                Ok(file) => {
                    let (file, path) = (Some(BufWriter::new(file)), path.to_path_buf());
                    return Ok(Self { disk, file, temporary, path, folder });
                }
                // Left by a killed process of the same number, or made by one on another machine.
                Err(e) if e.kind() == ErrorKind::AlreadyExists && number < 1 << 20 => {}
                Err(e) => {
                    let place = || format!("{shown}: cannot create a file in {}", folder.display());
                    return Err(e).with_context(place);
                }
            }
        }
    }

    /// The name it will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let file = self.file.as_mut().context("the file is finished")?;
        file.write_all(bytes).with_context(|| format!("{}: cannot be written", self.path.display()))
    }

    /// Puts the file in place; an existing one is replaced. After an error nothing is tried again: what a failed flush
    /// left on the medium is unknown, and a second one would report success.
    pub fn finish(mut self) -> Result<()> {
        let shown = self.path.display();
        let file = self.file.as_mut().context("the file is finished")?;
        file.flush().with_context(|| format!("{shown}: cannot be written"))?;
        self.disk.sync(file.get_ref()).with_context(|| format!("{shown}: cannot be flushed to disk"))?;
        self.disk
            .rename(&self.temporary, &self.path)
            .with_context(|| format!("{shown}: cannot be put in place"))?;
        self.file = None;
        self.disk
            .sync_folder(&self.folder)
            .with_context(|| format!("{}: cannot be flushed to disk", self.folder.display()))
    }
}

impl<D: Disk> Drop for Staged<D> {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // Without writing what is still in the buffer.
            drop(file.into_parts());
            let _ = self.disk.remove(&self.temporary);
        }
    }
}

/// Creates a folder and its parents.
pub fn create_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("{}: cannot create this folder", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("missing/out.json");
        assert!(write_atomic(&target, b"x").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let file = dir.path().join("out.json");
        write_atomic(&file, b"old").unwrap();
        write_atomic(&file, b"new").unwrap();
        assert_eq!(read(&file).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write_atomic(dir.path(), b"x").is_err());
        assert!(read(dir.path()).unwrap_err().to_string().contains("folder"));
    }
}
