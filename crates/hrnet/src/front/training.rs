//! Training from a configuration.

use crate::config::TrainConfig;
use crate::error::{Error, Result, err, one_line};
use crate::stop::{Stop, Watch};
use crate::train::{Failed, Group, Parting, RunOptions, Summary, run};
use std::path::{Path, PathBuf};

/// A training run before it starts.
///
/// The configuration is that of `hrnet train` (docs/training.md of the project). What a run says goes through the `log` crate; a
/// [`Watch`] sees its steps. `best.safetensors` and `last.safetensors` of the run folder are models for [`crate::Model::open`].
///
/// ```no_run
/// # fn main() -> hrnet::Result<()> {
/// let run = hrnet::Training::from_file("face.toml")?.out("runs/face").resume(true).run()?;
/// println!("{} steps, {:?}", run.steps, run.best);
/// let model = hrnet::Model::open(run.out.join("best.safetensors"))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Training {
    config: TrainConfig,
    out: PathBuf,
    resume: Option<String>,
    threads: Option<usize>,
    max_steps: Option<u64>,
    recompute: bool,
    skip_check: bool,
    stop: Stop,
}

impl Training {
    /// A run by a TOML file; its paths count from its folder. The run folder is `runs/` and the name of the file.
    ///
    /// # Errors
    /// When the file cannot be read, or a key is unknown or makes no sense.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.file_stem().unwrap_or_default();
        Ok(Self::from_config(TrainConfig::load(path)?).out(Path::new("runs").join(name)))
    }

    /// A run by the text of such a file; its paths count from the working folder.
    ///
    /// # Errors
    /// As [`Training::from_file`].
    pub fn from_toml(text: &str) -> Result<Self> {
        Ok(Self::from_config(TrainConfig::parse(text)?))
    }

    /// A run by a configuration. The run folder is `runs/run`.
    pub fn from_config(config: TrainConfig) -> Self {
        Self {
            config,
            out: PathBuf::from("runs/run"),
            resume: None,
            threads: None,
            max_steps: None,
            recompute: false,
            skip_check: false,
            stop: Stop::new(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The configuration, to change.
    pub fn config_mut(&mut self) -> &mut TrainConfig {
        &mut self.config
    }

    /// The run folder: checkpoints, models, log, charts.
    #[must_use]
    pub fn out(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out = folder.into();
        self
    }

    /// Goes on from the newest good checkpoint of the run folder, where there is one. The bits are those of a run that was not stopped.
    #[must_use]
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume.then(|| "auto".into());
        self
    }

    /// Threads; as many as the machine has processors, unless said. The result does not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.max(1));
        self
    }

    /// Stops after so many steps in all, with a checkpoint.
    #[must_use]
    pub fn max_steps(mut self, steps: u64) -> Self {
        self.max_steps = Some(steps);
        self
    }

    /// Keeps less in memory and computes it again on the way back: the same bits, more time.
    #[must_use]
    pub fn recompute(mut self, recompute: bool) -> Self {
        self.recompute = recompute;
        self
    }

    /// Trains also on data in which the check before the run finds what ruins it.
    #[must_use]
    pub fn skip_check(mut self, skip: bool) -> Self {
        self.skip_check = skip;
        self
    }

    /// Ends the run, with a checkpoint, once somebody [asks](Stop::ask) a clone of `stop`.
    #[must_use]
    pub fn stop(mut self, stop: &Stop) -> Self {
        self.stop = stop.clone();
        self
    }

    /// Trains to the end, or until it is asked to stop.
    ///
    /// # Errors
    /// When the data or the run folder cannot be used, the data ruin a run, or a step fails.
    pub fn run(&self) -> Result<Summary> {
        self.run_with(&mut ())
    }

    /// [`Training::run`] with somebody who watches.
    ///
    /// # Errors
    /// As [`Training::run`].
    pub fn run_with(&self, watch: &mut dyn Watch) -> Result<Summary> {
        let group = Group::join(&self.stop)?;
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        let options = RunOptions {
            out: &self.out,
            resume: self.resume.as_deref(),
            threads: self.threads.unwrap_or_else(all),
            max_steps: self.max_steps,
            recompute: self.recompute,
            skip_check: self.skip_check,
            group: &group,
            stop: &self.stop,
        };
        let ended = run(&self.config, &options, watch);
        let failed = ended.as_ref().err();
        let failed = failed.map(|error| Failed { code: 1, text: one_line(error), error: Some(error) });
        match (group.leave(failed), ended) {
            (Parting::Silent(_), Ok(_)) => Err(err!(Training, "another process of the run failed")),
            (Parting::TellAs(rank), Err(error)) => Err(Error::context(error, format!("rank {rank}"))),
            (_, ended) => ended,
        }
    }
}
