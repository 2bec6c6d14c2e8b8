//! The run folder: the trainer's storage, and the one process that may write it.

use crate::error::{Context, Result, bail};
use crate::io::{Disk, Staged, System};
use hrnet_train::Storage;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// How the names of a run's temporary files begin. Those of other programs that write here are not ours to clear away.
const PREFIX: &str = ".hrnet-run-";
const LOCK: &str = "run.lock";

/// Files in one folder, each written whole or not at all.
#[derive(Debug)]
pub struct Folder<D = System> {
    path: PathBuf,
    disk: D,
}

impl Folder {
    /// A folder that exists.
    pub fn new(path: &Path) -> Self {
        Self::on(System, path)
    }
}

impl<D: Disk + Copy> Folder<D> {
    /// The same on any disk.
    pub fn on(disk: D, path: &Path) -> Self {
        Self { path: path.to_path_buf(), disk }
    }

    /// Removes the unfinished files of a run that was killed, and returns their number. Only whoever holds the
    /// [`Lock`] may do it.
    pub fn clear(&self) -> io::Result<usize> {
        let mut count = 0;
        for name in self.disk.list(&self.path)? {
            if name.to_string_lossy().starts_with(PREFIX) {
                self.disk.remove(&self.path.join(name))?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Puts a file into the folder.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut staged = Staged::create_on(self.disk, &self.path.join(name), PREFIX)?;
        staged.write(bytes)?;
        staged.finish()
    }
}

impl<D: Disk + Copy> Storage for Folder<D> {
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(name, bytes).map_err(|e| io::Error::other(format!("{e:#}")))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.disk.read(&self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = self.disk.list(&self.path)?;
        Ok(names.into_iter().map(|name| name.to_string_lossy().into_owned()).collect())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.disk.remove(&self.path.join(name))
    }
}

/// The right to train in a folder. The operating system takes it from a process that ends in whatever way, so a file that
/// was left behind stops nobody.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes it, or says who has it.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK);
        let shown = folder.display();
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .with_context(|| format!("{shown}: cannot write into this run folder"))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut text = String::new();
                    let _ = file.take(32).read_to_string(&mut text);
                    let who = text.trim().parse::<u32>().map(|id| format!(" (process {id})"));
                    bail!(
                        "{shown}: another run{} is training in this folder; wait for its end or name another folder \
                         with --out",
                        who.unwrap_or_default()
                    );
                }
                Err(TryLockError::Error(e)) => {
                    log::info!(
                        "warning: {shown}: this file system has no locks ({e}); make sure that no other run trains here"
                    );
                    return Ok(Self { path, _file: file });
                }
            }
            // Its last owner may have removed the file between our opening and our lock.
            if is_at(&file, &path)? {
                // For the message above alone; a disk too full for it is full for the first checkpoint too.
                let _ = file.rewind().and_then(|()| file.set_len(0));
                let _ = writeln!(file, "{}", std::process::id());
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While the lock is still held: nobody else can have taken this file for theirs.
        if cfg!(unix) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let open = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((open.dev(), open.ino()) == (named.dev(), named.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_at_a_time_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        let error = Lock::take(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())) && error.contains("--out"),
            "{error}"
        );
        drop(first);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        // What a killed process leaves is a file that nobody holds.
        std::fs::write(dir.path().join(LOCK), "12345678\n").unwrap();
        let second = Lock::take(dir.path()).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join(LOCK)).unwrap(),
            format!("{}\n", std::process::id())
        );
        drop(second);
    }

    #[test]
    fn unfinished_files_are_cleared_and_those_of_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".hrnet-run-77-0", ".hrnet-run-77-1", ".hrnet-77-0", "step-0000000001.ckpt"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let mut folder = Folder::new(dir.path());
        assert_eq!(folder.clear().unwrap(), 2);
        folder.write("a", b"1").unwrap();
        let mut names = folder.list().unwrap();
        names.sort();
        assert_eq!(names, [".hrnet-77-0", "a", "step-0000000001.ckpt"]);
    }
}
