//! The processes of a run: one alone, or several under `mpirun` or `srun`, each with its share of every batch.
//!
//! The first, rank 0, writes files, judges and speaks. The others decide the same things at the same steps, from what it tells
//! them. All stand at the same weights after every step, so each of them can save the run when the first is gone.

use super::Folder;
use crate::config::TrainConfig;
use crate::error::{Error, ErrorKind, Result, ensure};
use crate::stop::Stop;
use hrnet_train::reduce::Alone;
use hrnet_train::{BoxError, Checkpoints, Reduce, TapeError, TrainError, Trainer};
use std::path::Path;
use std::sync::Arc;

/// This process among those of the run.
#[derive(Debug)]
pub struct Group {
    reduce: Arc<dyn Reduce>,
    #[cfg(feature = "mpi")]
    link: Option<super::mpi::Link>,
}

/// What all ranks find out together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Differ(String);

/// Variables in which launchers tell the number of processes: Open MPI, MPICH and its kin, Slurm with PMIx.
const SIZES: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
const SLURM: [&str; 2] = ["PMIX_RANK", "SLURM_STEP_NUM_TASKS"];

/// How many processes a launcher has started with this one.
fn launched(env: impl Fn(&str) -> Option<String>) -> usize {
    let number = |name: &str| env(name)?.parse::<usize>().ok();
    let slurm = || env(SLURM[0]).and_then(|_| number(SLURM[1]));
    SIZES.into_iter().find_map(number).or_else(slurm).unwrap_or(1)
}

impl Group {
    /// Meets the other processes that a launcher has started, if any.
    /// Where there are several, listen for signals before: a launcher may ask to end from then on.
    pub fn join(stop: &Stop) -> Result<Self> {
        match Self::launched() {
            0 | 1 => Ok(Self::alone()),
            size => Self::connect(size, stop),
        }
    }

    /// How many processes a launcher has started with this one.
    pub fn launched() -> usize {
        launched(|name| std::env::var(name).ok())
    }

    fn alone() -> Self {
        Self {
            reduce: Arc::new(Alone),
            #[cfg(feature = "mpi")]
            link: None,
        }
    }

    #[cfg(not(feature = "mpi"))]
    fn connect(size: usize, _: &Stop) -> Result<Self> {
        crate::bail!(
            "started as one of {size} processes, but this hrnet was built without MPI: build it with \
             `cargo build --release --features mpi`, or start it without mpirun"
        )
    }

    #[cfg(feature = "mpi")]
    fn connect(size: usize, stop: &Stop) -> Result<Self> {
        let link = super::mpi::Link::join(size, stop.clone())?;
        let reduce = link.reduce();
        Ok(Self { reduce, link: Some(link) })
    }

    /// Number of this process.
    pub fn rank(&self) -> usize {
        self.reduce.rank()
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.reduce.size()
    }

    /// Whether this process writes and speaks.
    pub fn leads(&self) -> bool {
        self.rank() == 0
    }

    pub(super) fn reduce(&self) -> Arc<dyn Reduce> {
        self.reduce.clone()
    }

    /// Images per step of each process.
    pub(super) fn share(&self, batch: usize) -> Result<usize> {
        let size = self.size();
        ensure!(
            batch.is_multiple_of(size),
            "train.batch = {batch} does not divide among {size} processes; it is the batch of all together"
        );
        Ok(batch / size)
    }

    /// Whether the run may be saved and stopped here: not within an accumulated step whose gradients lie with several processes.
    pub(super) fn between_steps(&self, trainer: &Trainer) -> bool {
        self.size() == 1 || trainer.progress().pending == 0
    }

    /// Whether any process says so.
    pub(super) fn any(&self, own: bool) -> Result<bool, BoxError> {
        let mut count = [f64::from(u8::from(own))];
        self.reduce.sum(&mut count)?;
        Ok(count[0] > 0.0)
    }

    /// The values that the first process has.
    pub(super) fn told<const N: usize>(&self, own: [f64; N]) -> Result<[f64; N], BoxError> {
        let mut values = if self.leads() { own } else { [0.0; N] };
        self.reduce.sum(&mut values)?;
        Ok(values)
    }

    /// Waits until the first process is here.
    pub(super) fn follow(&self) -> Result<()> {
        self.told([0.0])?;
        Ok(())
    }

    /// All processes must stand at the same place: of the configuration, the data and the weights.
    /// Where they find their data is their own affair.
    pub(super) fn same_start(
        &self,
        config: &TrainConfig,
        max_steps: Option<u64>,
        per_epoch: u64,
        trainer: &Trainer,
    ) -> Result<()> {
        if self.size() == 1 {
            return Ok(());
        }
        let mut state = trainer.checkpoint();
        state.meta.config = String::new();
        let state = state.encode()?;
        let config = format!("{}{max_steps:?}", config.to_pathless_toml()?);
        let step = trainer.progress().step;
        let own = [digest(config.as_bytes()), per_epoch as f64, step as f64, digest(&state)];
        let mut all = vec![0.0; own.len() * self.size()];
        all[own.len() * self.rank()..][..own.len()].copy_from_slice(&own);
        self.reduce.sum(&mut all)?;
        let what = ["the configuration or --max-steps", "the number of batches", "the step", "the weights"];
        let (first, others) = all.split_at(own.len());
        for (rank, other) in others.chunks_exact(own.len()).enumerate() {
            for (i, what) in what.into_iter().enumerate() {
                let numbers = if i == 1 || i == 2 {
                    format!(" ({} and {})", other[i], first[i])
                } else {
                    String::new()
                };
                if other[i] != first[i] {
                    let rank = rank + 1;
                    let differ = Differ(format!(
                        "rank {rank} and rank 0 differ in {what}{numbers}: all ranks need the same configuration, data, run \
                     folder and start model, best from a shared folder"
                    ));
                    return Err(Error::from_other(ErrorKind::Invalid, differ));
                }
            }
        }
        Ok(())
    }

    /// Whether this process writes and speaks, now that something has happened.
    fn leads_now(&self) -> bool {
        #[cfg(feature = "mpi")]
        if let Some(link) = &self.link {
            return link.leads();
        }
        self.leads()
    }

    /// After an error that leaves the state of the last step intact, one process of several saves it.
    pub(super) fn rescue(
        &self,
        trainer: &Trainer,
        checkpoints: &mut Checkpoints<Folder>,
        error: &TrainError,
        out: &Path,
    ) {
        let intact = match error {
            // Observers come between steps.
            TrainError::Shared { .. } | TrainError::Source { .. } | TrainError::Observer { .. } => true,
            TrainError::Tape(error) => matches!(error, TapeError::Shared { .. }),
            _ => false,
        };
        let step = trainer.progress().step;
        if self.size() == 1 || !intact || !self.leads_now() || step == 0 {
            return;
        }
        let saved = trainer.save().map_err(Error::from).and_then(|bytes| Ok(checkpoints.save(step, &bytes)?));
        match saved {
            // Of the processes that are left only one is here, whichever it is.
            Ok(name) => log::error!("saved {}", out.join(name).display()),
            Err(error) => log::error!("step {step} could not be saved: {error:#}"),
        }
    }

    /// Ends this process's part: waits for the others, and sees to it that an error is told once, by the process that has it.
    /// `failed` is this process's own error, where it has one.
    pub fn leave(self, failed: Option<Failed<'_>>) -> Parting {
        #[cfg(feature = "mpi")]
        if self.link.is_some() {
            return self.leave_together(failed);
        }
        match failed {
            None => Parting::Well,
            Some(_) => Parting::Tell,
        }
    }

    #[cfg(feature = "mpi")]
    fn leave_together(mut self, failed: Option<Failed<'_>>) -> Parting {
        use super::mpi::{Broken, Word};
        let own = |failed: &Option<Failed>| if failed.is_some() { Parting::Tell } else { Parting::Well };
        let Some(link) = self.link.take() else { return own(&failed) };
        let (rank, broken, leads) = (self.rank(), link.broken(), link.leads());
        let Some(failed) = failed else {
            let others = link.leave(None);
            // Who failed has said so.
            return match others.iter().any(Option::is_some) {
                true => Parting::Silent(first_code(&others)),
                false => Parting::Well,
            };
        };
        let (code, silent) = (failed.code, Word { code: 1, text: String::new() });
        match broken {
            Some(Broken::Left(_)) => {
                let others = link.leave(Some(silent));
                Parting::Silent(first_code(&others))
            }
            // The same for all that are left.
            Some(Broken::Lost { .. } | Broken::Silent(_)) => {
                link.leave(Some(silent));
                if leads { Parting::Tell } else { Parting::Silent(1) }
            }
            _ => {
                let text = failed.text;
                let others = link.leave(Some(Word { code, text: text.clone() }));
                // What travelled may be cut.
                let same = |r: usize| {
                    others[r].as_ref().is_some_and(|w| !w.text.is_empty() && text.starts_with(&w.text[..]))
                };
                let count = (0..others.len()).filter(|&r| same(r)).count();
                match failed.error {
                    Some(error) if error.find::<Differ>().is_some() => {
                        if leads {
                            Parting::Tell
                        } else {
                            Parting::Silent(code)
                        }
                    }
                    _ if (0..rank).any(same) => Parting::Silent(code),
                    Some(_) if count + 1 < others.len() => Parting::TellAs(rank),
                    _ => Parting::Tell,
                }
            }
        }
    }
}

/// How this process's part of a run failed.
#[derive(Debug)]
pub struct Failed<'a> {
    /// The exit code it would end with alone.
    pub code: u8,
    /// What it would say.
    pub text: String,
    /// The error, unless it is one of usage.
    pub error: Option<&'a crate::Error>,
}

/// What a process does when all have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// Nothing failed anywhere.
    Well,
    /// It tells its own error.
    Tell,
    /// It tells its own error as that of this rank: others failed otherwise.
    TellAs(usize),
    /// Another process tells; it ends with this exit code.
    Silent(u8),
}

/// The exit code of the first process that tells its error.
#[cfg(feature = "mpi")]
fn first_code(words: &[Option<super::mpi::Word>]) -> u8 {
    words.iter().flatten().find(|word| !word.text.is_empty()).map_or(1, |word| word.code)
}

/// A checksum that an f64 holds exactly: FNV-1a over words, folded to 48 bits.
fn digest(bytes: &[u8]) -> f64 {
    let mut hash = 0xCBF2_9CE4_8422_2325u64 ^ bytes.len() as u64;
    for word in bytes.chunks(8) {
        let mut padded = [0u8; 8];
        padded[..word.len()].copy_from_slice(word);
        hash = (hash ^ u64::from_le_bytes(padded)).wrapping_mul(0x0000_0100_0000_01B3);
        // A product's low bits depend on low bits alone.
        hash ^= hash >> 29;
    }
    ((hash ^ (hash >> 48)) & ((1 << 48) - 1)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_are_seen() {
        let with = |pairs: &[(&str, &str)]| {
            launched(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()))
        };
        assert_eq!(with(&[]), 1);
        assert_eq!(with(&[("OMPI_COMM_WORLD_SIZE", "4")]), 4);
        assert_eq!(with(&[("PMI_SIZE", "2")]), 2);
        assert_eq!(with(&[("PMIX_RANK", "0"), ("SLURM_STEP_NUM_TASKS", "8")]), 8);
        // A batch script of Slurm by itself has started no ranks.
        assert_eq!(with(&[("SLURM_STEP_NUM_TASKS", "8")]), 1);
    }

    #[test]
    fn every_byte_counts_in_a_digest() {
        let bytes: Vec<u8> = (0..100).collect();
        let whole = digest(&bytes);
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 0x80;
            assert_ne!(digest(&other), whole, "byte {at}");
        }
        assert_ne!(digest(&[0; 8]), digest(&[0; 16]));
        assert_eq!(whole, digest(&bytes));
        assert!(whole < (1u64 << 48) as f64);
    }

    #[test]
    fn a_group_agrees() {
        let members: Vec<Group> = hrnet_train::reduce::threads(3)
            .into_iter()
            .map(|reduce| Group {
                reduce,
                #[cfg(feature = "mpi")]
                link: None,
            })
            .collect();
        assert_eq!(members[0].share(9).unwrap(), 3);
        let error = members[0].share(8).unwrap_err().to_string();
        assert!(error.contains("train.batch = 8") && error.contains("3 processes"), "{error}");
        std::thread::scope(|scope| {
            for group in &members {
                scope.spawn(move || {
                    let rank = group.rank();
                    assert!(!group.any(false).unwrap());
                    assert!(group.any(rank == 2).unwrap());
                    assert_eq!(group.told([rank as f64 + 5.0, 2.5]).unwrap(), [5.0, 2.5]);
                    assert!(group.told([f64::NAN]).unwrap()[0].is_nan());
                });
            }
        });
    }
}
