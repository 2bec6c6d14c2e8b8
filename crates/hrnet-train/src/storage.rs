//! Keeping checkpoints: names, how many, and the way back to the last good one.
//!
//! The crate writes no files; the caller's [`Storage`] does, and its `write` must be atomic: after any crash the name
//! holds the old bytes or the new ones, never a part.

use crate::checkpoint::Checkpoint;
use crate::error::CheckpointError;
use std::io;

/// A place for named byte strings.
pub trait Storage {
    /// Puts `bytes` under `name`, replacing what was there, atomically and durably.
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// The bytes under `name`.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// All names, in any order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Removes `name`.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}

/// Numbered checkpoints in a storage; the newest `keep` stay.
#[derive(Clone, Debug)]
pub struct Checkpoints<S> {
    storage: S,
    keep: usize,
    /// Damaged ones that [`Checkpoints::latest`] passed over.
    damaged: Vec<String>,
}

/// A checkpoint that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Its name.
    pub name: String,
    /// Its contents.
    pub checkpoint: Checkpoint,
    /// Newer ones that could not be used, newest first, each with the reason.
    pub rejected: Vec<(String, String)>,
}

/// Why no checkpoint could be stored or found.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The storage failed.
    #[error("cannot {action} {name}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The name.
        name: String,
        /// The reason.
        source: io::Error,
    },
    /// The newest checkpoint is good but not for this program.
    #[error("{name}: {source}")]
    Refused {
        /// Its name.
        name: String,
        /// The reason.
        source: CheckpointError,
    },
    /// There are checkpoints and all are damaged.
    #[error("all {} checkpoints are damaged: {}", rejected.len(), reasons(rejected))]
    NoneGood {
        /// Names and reasons, newest first.
        rejected: Vec<(String, String)>,
    },
}

fn reasons(rejected: &[(String, String)]) -> String {
    rejected.iter().map(|(name, reason)| format!("{name} ({reason})")).collect::<Vec<_>>().join("; ")
}

const PREFIX: &str = "step-";
const SUFFIX: &str = ".ckpt";

impl<S: Storage> Checkpoints<S> {
    /// Checkpoints in `storage`, of which the newest `keep` (at least 2: the last and the one before) stay.
    pub fn new(storage: S, keep: usize) -> Self {
        Self { storage, keep: keep.max(2), damaged: Vec::new() }
    }

    /// The storage.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// The storage, to write other things beside the checkpoints; names `step-<number>.ckpt` are taken.
    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    /// Stores the checkpoint of a step, then removes the oldest beyond `keep` and the damaged ones that
    /// [`Checkpoints::latest`] met. Returns its name. Others of later steps are neither counted nor touched.
    pub fn save(&mut self, step: u64, bytes: &[u8]) -> Result<String, StorageError> {
        let name = format!("{PREFIX}{step:010}{SUFFIX}");
        // What runs left that were killed between writing and removing: one each, or they would add up.
        self.remove_old(step)?;
        let result = self.storage.write(&name, bytes);
        result.map_err(|source| StorageError::Io { action: "write", name: name.clone(), source })?;
        // Only now: until here a damaged file was all there was of its step.
        for old in std::mem::take(&mut self.damaged) {
            if old != name {
                self.remove(&old)?;
            }
        }
        self.remove_old(step)?;
        Ok(name)
    }

    /// Removes what is older than the newest `keep` up to a step. Damaged ones do not count and stay.
    fn remove_old(&mut self, step: u64) -> Result<(), StorageError> {
        let names = self.names()?.into_iter();
        let good = names.filter(|(other, name)| *other <= step && !self.damaged.contains(name));
        let old: Vec<String> = good.skip(self.keep).map(|(_, name)| name).collect();
        old.iter().try_for_each(|name| self.remove(name))
    }

    fn remove(&mut self, name: &str) -> Result<(), StorageError> {
        match self.storage.remove(name) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StorageError::Io { action: "remove", name: name.to_string(), source })
            }
            _ => Ok(()),
        }
    }

    /// The step of the newest checkpoint, good or not.
    pub fn newest(&self) -> Result<Option<u64>, StorageError> {
        Ok(self.names()?.first().map(|(step, _)| *step))
    }

    /// The newest good checkpoint, nothing if there is none at all. Damaged ones are passed over and reported; one of a
    /// newer format version is an error, because going back behind it would throw good work away.
    pub fn latest(&mut self) -> Result<Option<Loaded>, StorageError> {
        let mut rejected = Vec::new();
        self.damaged.clear();
        for (_, name) in self.names()? {
            let bytes = match self.storage.read(&name) {
                Ok(bytes) => bytes,
                // It may be there the next time.
                Err(error) => {
                    rejected.push((name, format!("cannot be read: {error}")));
                    continue;
                }
            };
            match Checkpoint::decode(&bytes) {
                Ok(checkpoint) => return Ok(Some(Loaded { name, checkpoint, rejected })),
                Err(source @ CheckpointError::Future { .. }) => {
                    return Err(StorageError::Refused { name, source });
                }
                Err(error) => {
                    self.damaged.push(name.clone());
                    rejected.push((name, error.to_string()));
                }
            }
        }
        if rejected.is_empty() { Ok(None) } else { Err(StorageError::NoneGood { rejected }) }
    }

    /// Steps and names, newest first.
    fn names(&self) -> Result<Vec<(u64, String)>, StorageError> {
        let names = self.storage.list();
        let io = |source| StorageError::Io { action: "list", name: "the checkpoints".into(), source };
        let mut names: Vec<(u64, String)> = names
            .map_err(io)?
            .into_iter()
            .filter_map(|name| {
                let step = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()?;
                Some((step, name))
            })
            .collect();
        names.sort();
        names.reverse();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Meta;
    use std::collections::BTreeMap;

    /// Names and bytes in memory; refuses writes on request.
    #[derive(Default)]
    struct Memory {
        files: BTreeMap<String, Vec<u8>>,
        full: bool,
        /// As if the process ended before each removal.
        killed: bool,
        most: usize,
    }

    impl Storage for Memory {
        fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
            if self.full {
                return Err(io::Error::other("no space left"));
            }
            self.files.insert(name.to_string(), bytes.to_vec());
            self.most = self.most.max(self.files.len());
            Ok(())
        }
        fn read(&self, name: &str) -> io::Result<Vec<u8>> {
            self.files.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
        }
        fn list(&self) -> io::Result<Vec<String>> {
            Ok(self.files.keys().cloned().collect())
        }
        fn remove(&mut self, name: &str) -> io::Result<()> {
            if self.killed {
                return Err(io::Error::other("killed"));
            }
            self.files.remove(name).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
        }
    }

    fn bytes(step: u64) -> Vec<u8> {
        Checkpoint { meta: Meta { step, ..Meta::default() }, ..Checkpoint::default() }.encode().unwrap()
    }

    #[test]
    fn the_newest_stay_and_the_last_good_one_is_found() {
        let mut checkpoints = Checkpoints::new(Memory::default(), 3);
        assert!(checkpoints.latest().unwrap().is_none());
        checkpoints.storage_mut().write("best.safetensors", b"not ours").unwrap();
        // 10 sorts behind 9 by number.
        for step in [1, 5, 9, 10] {
            checkpoints.save(step, &bytes(step)).unwrap();
        }
        let names = checkpoints.storage().list().unwrap();
        let wanted =
            ["best.safetensors", "step-0000000005.ckpt", "step-0000000009.ckpt", "step-0000000010.ckpt"];
        assert_eq!(names, wanted);
        let found = checkpoints.latest().unwrap().unwrap();
        assert_eq!((found.checkpoint.meta.step, found.rejected.len()), (10, 0));

        let newest = checkpoints.storage_mut().files.get_mut("step-0000000010.ckpt").unwrap();
        let end = newest.len() - 1;
        newest[end] ^= 1;
        let found = checkpoints.latest().unwrap().unwrap();
        assert_eq!(found.checkpoint.meta.step, 9);
        assert_eq!(found.rejected[0].0, "step-0000000010.ckpt");
        assert!(found.rejected[0].1.contains("checksum"), "{:?}", found.rejected);

        checkpoints.storage_mut().files.values_mut().for_each(|f| f.truncate(9));
        let error = checkpoints.latest().unwrap_err().to_string();
        assert!(error.contains("all 3") && error.contains("step-0000000005.ckpt"), "{error}");
    }

    #[test]
    fn damaged_ones_go_after_the_next_save_and_do_not_crowd_out_good_ones() {
        let mut checkpoints = Checkpoints::new(Memory::default(), 3);
        for step in [10, 20, 30] {
            checkpoints.save(step, &bytes(step)).unwrap();
        }
        for step in [40, 50, 60] {
            checkpoints.storage_mut().write(&format!("step-{step:010}.ckpt"), b"cut").unwrap();
        }
        let found = checkpoints.latest().unwrap().unwrap();
        assert_eq!((found.checkpoint.meta.step, found.rejected.len()), (30, 3));
        // A disk that is full keeps all of them.
        checkpoints.storage_mut().full = true;
        checkpoints.save(33, &bytes(33)).unwrap_err();
        assert_eq!(checkpoints.storage().list().unwrap().len(), 6);
        checkpoints.storage_mut().full = false;
        // 33 comes before the damaged ones by number: counted among them it would be the first to go.
        checkpoints.save(33, &bytes(33)).unwrap();
        let names = checkpoints.storage().list().unwrap();
        assert_eq!(names, ["step-0000000020.ckpt", "step-0000000030.ckpt", "step-0000000033.ckpt"]);
        assert_eq!(checkpoints.newest().unwrap(), Some(33));
        // Later ones that nobody found damaged are not ours to judge.
        checkpoints.save(5, &bytes(5)).unwrap();
        assert_eq!(checkpoints.storage().list().unwrap().len(), 4);
    }

    #[test]
    fn what_killed_runs_left_does_not_add_up() {
        let mut checkpoints = Checkpoints::new(Memory::default(), 3);
        for step in 1..20 {
            // Every other save writes and does not come to removing.
            checkpoints.storage_mut().killed = step % 2 == 0;
            let saved = checkpoints.save(step, &bytes(step));
            assert_eq!(saved.is_err(), step % 2 == 0 && step > 3, "step {step}");
            assert_eq!(checkpoints.latest().unwrap().unwrap().checkpoint.meta.step, step);
        }
        assert_eq!(checkpoints.storage().most, 4);
    }

    #[test]
    fn a_failed_write_removes_nothing() {
        let mut checkpoints = Checkpoints::new(Memory::default(), 2);
        for step in [1, 2] {
            checkpoints.save(step, &bytes(step)).unwrap();
        }
        checkpoints.storage_mut().full = true;
        let error = checkpoints.save(3, &bytes(3)).unwrap_err().to_string();
        assert!(error.contains("step-0000000003.ckpt") && error.contains("no space"), "{error}");
        assert_eq!(checkpoints.storage().list().unwrap().len(), 2);
        assert_eq!(checkpoints.latest().unwrap().unwrap().checkpoint.meta.step, 2);
    }
}
