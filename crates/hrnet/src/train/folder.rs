//! The run folder as the trainer's storage.

use hrnet_train::Storage;
use std::io;
use std::path::{Path, PathBuf};

/// Files in one folder, each written whole or not at all.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf() }
    }
}

impl Storage for Folder {
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        crate::io::write_atomic(&self.path.join(name), bytes).map_err(|e| io::Error::other(format!("{e:#}")))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        std::fs::read_dir(&self.path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }
}
