//! Files in and out. Output files appear whole or not at all: temporary file in the same folder, fsync, rename, fsync
//! of the folder.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// The largest file that is read into memory.
const MAX_FILE: u64 = 8 << 30;

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
pub struct Staged {
    file: BufWriter<tempfile::NamedTempFile>,
    path: PathBuf,
    folder: PathBuf,
}

impl Staged {
    /// Opens a temporary file in the folder of `path`.
    pub fn create(path: &Path) -> Result<Self> {
        let shown = path.display();
        let folder = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
            _ => PathBuf::from("."),
        };
        if path.is_dir() {
            bail!("{shown} is a folder; name a file to write");
        }
        let file = tempfile::Builder::new()
            .prefix(".hrnet-")
            .tempfile_in(&folder)
            .with_context(|| format!("{shown}: cannot create a file in {}", folder.display()))?;
        Ok(Self { file: BufWriter::new(file), path: path.to_path_buf(), folder })
    }

    /// The name it will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).with_context(|| format!("{}: cannot be written", self.path.display()))
    }

    /// Puts the file in place; an existing one is replaced.
    pub fn finish(self) -> Result<()> {
        let shown = self.path.display();
        let file = self
            .file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)
            .with_context(|| format!("{shown}: cannot be written"))?;
        set_default_mode(file.as_file());
        file.as_file().sync_all().with_context(|| format!("{shown}: cannot be flushed to disk"))?;
        file.persist(&self.path)
            .map_err(|e| e.error)
            .with_context(|| format!("{shown}: cannot be put in place"))?;
        sync_folder(&self.folder)
            .with_context(|| format!("{}: cannot be flushed to disk", self.folder.display()))
    }
}

/// Creates a folder and its parents.
pub fn create_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("{}: cannot create this folder", path.display()))
}

/// Temporary files are private; results get the usual permissions instead.
#[cfg(unix)]
fn set_default_mode(file: &File) {
    use std::os::unix::fs::PermissionsExt;
    // A file system without permissions refuses this, which does no harm.
    let _ = file.set_permissions(std::fs::Permissions::from_mode(0o644));
}

#[cfg(not(unix))]
fn set_default_mode(_: &File) {}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
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
