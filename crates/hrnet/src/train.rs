//! Training runs: the run folder, batches from a data set, progress and log.

mod data_check;
pub(crate) mod export;
mod folder;
mod follower;
mod group;
pub(crate) mod job;
mod kept;
#[cfg(feature = "mpi")]
mod mpi;
mod observer;
mod plots;
mod rate;
pub(crate) mod source;
mod start;
mod tensorboard;

pub use data_check::WrongData;
pub use group::{Failed, Group, Parting};
pub use rate::{Rates, find as find_rate};

use crate::config::TrainConfig;
use crate::error::{Context, Result, bail};
use crate::stop::{Stop, Watch};
pub use folder::{Folder, Lock};
use follower::Follower;
use hrnet_data::dataset::open::{Content, LabelSet, OpenOptions, Purpose, open};
use hrnet_kernels::{Isa, Pool};
use hrnet_train::{BatchSource, Checkpoint, Checkpoints, FitEnd, TrainError, TrainOptions, Trainer};
use job::Job;
use observer::{Progress, Run};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many checkpoints of a run stay.
const KEEP: usize = 3;

/// What a run is started with besides its configuration.
#[derive(Debug)]
pub struct RunOptions<'a> {
    /// The run folder.
    pub out: &'a Path,
    /// `auto`, or a checkpoint file.
    pub resume: Option<&'a str>,
    /// Threads of the trainer.
    pub threads: usize,
    /// Stop after so many steps in all.
    pub max_steps: Option<u64>,
    /// Keep the inputs of blocks alone and compute the rest again on the way back: less memory, the same bits.
    pub recompute: bool,
    /// Train on data whose check finds what ruins a run.
    pub skip_check: bool,
    /// The processes of the run.
    pub group: &'a Group,
    /// Who wishes that the run ends sets it.
    pub stop: &'a Stop,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Summary {
    /// The run folder.
    pub out: PathBuf,
    /// Optimiser steps done in all.
    pub steps: u64,
    /// Whether all epochs are done.
    pub finished: bool,
    /// The best figure by its name, `best_nme_percent` for faces, where a validation set is named.
    #[serde(flatten)]
    pub best: serde_json::Map<String, serde_json::Value>,
}

/// Trains until the configured number of epochs is done. A run that fails before it has anything to keep leaves no folder.
pub fn run(config: &TrainConfig, options: &RunOptions, watch: &mut dyn Watch) -> Result<Summary> {
    let new = options.group.leads() && !options.out.exists();
    let ended = train(config, options, watch);
    if new && ended.is_err() {
        // Fails where the folder holds something.
        let _ = std::fs::remove_dir(options.out);
    }
    ended
}

fn train(config: &TrainConfig, options: &RunOptions, watch: &mut dyn Watch) -> Result<Summary> {
    let isa = Isa::from_env()?;
    let pool = Arc::new(Pool::new(options.threads));
    crate::io::create_folder(options.out)?;
    let folder = Folder::new(options.out);
    let group = options.group;
    // One process writes for all, and finds what is wrong for all: the others come after it.
    let _lock = group.leads().then(|| Lock::take(options.out)).transpose()?;
    if group.leads() {
        folder.clear().with_context(|| format!("{}: cannot be cleared up", options.out.display()))?;
    }
    let mut checkpoints = Checkpoints::new(folder, KEEP);
    let (mut resumed, mut checked) = (None, None);
    if group.leads() {
        resumed = resume_from(&mut checkpoints, options)?;
        if config.data.check && !options.skip_check {
            checked = data_check::before(config, resumed.as_ref().map(|_| options.out))?;
        }
    }
    group.follow()?;
    if !group.leads() {
        resumed = resume_from(&mut checkpoints, options)?;
    }
    let config_text = config.to_toml()?;
    let Job { model, facts, mut source, loss, judge } = Job::open(config, pool.clone())?;
    let batch = group.share(source.batch_size())?;
    let net = model.build()?;
    source.share(group.rank(), group.size());
    let [h, w] = config.input.size;
    let input = [batch, 3, h, w];
    net.shapes(input)?;
    let per_epoch = source.batches_per_epoch();

    let set_up = || {
        let base =
            TrainOptions::new(isa, pool.clone(), loss, config.train.optimizer, config.train.schedule.base);
        TrainOptions {
            batches_per_epoch: per_epoch,
            recompute: options.recompute,
            reduce: group.reduce(),
            config: config_text.clone(),
            ..configured(config, base)
        }
    };
    let mut trainer = match &resumed {
        Some(checkpoint) => {
            check_same_run(&checkpoint.meta.config, &config_text)?;
            warn_of_other_bits(checkpoint, isa, group);
            Trainer::resume(&net, checkpoint, set_up())?
        }
        None => {
            let weights = start::weights(config, &model, &net)?;
            Trainer::new(&net, &weights, set_up(), input)?
        }
    };
    group.same_start(config, options.max_steps, per_epoch, &trainer)?;
    // The loop would do one step before it asks.
    let done = options.max_steps.is_some_and(|max| trainer.progress().step >= max);
    if !group.leads() {
        let higher = judge.as_ref().is_some_and(|j| j.higher_is_better());
        let mut follower = Follower::new(group, options.stop, options.max_steps, higher, &trainer)?;
        if done {
            return Ok(follower.finish(&trainer));
        }
        return match trainer.fit(&mut source, config.train.epochs, &mut follower) {
            Ok(_) => Ok(follower.finish(&trainer)),
            Err(error) => {
                follower.note(&mut trainer)?;
                group.rescue(&trainer, &mut checkpoints, &error, options.out);
                Err(error.into())
            }
        };
    }
    // Not before: until the first step there is nothing to save, and a signal may end the process as usual. Not later: it would leave
    // half a file.
    watch.begins()?;
    checkpoints.storage().put("config.toml", config.to_absolute_toml()?.as_bytes())?;

    log::info!(
        "{model}: {} parameters, {per_epoch} steps per epoch, {} epochs{}, run folder {}",
        net.parameter_count(),
        config.train.epochs,
        if group.size() > 1 { format!(", {} processes", group.size()) } else { String::new() },
        options.out.display()
    );
    let run = Run { config, model, facts, per_epoch, judge };
    let mut observer = Progress::new(run, options, watch, &mut checkpoints, &trainer)?;
    observer.waited = source.waited();
    if let Some(checked) = &checked {
        observer.write_log(checked.line())?;
    }
    if done {
        return observer.finish(&mut trainer, FitEnd::Stopped);
    }
    match trainer.fit(&mut source, config.train.epochs, &mut observer) {
        Ok(end) => observer.finish(&mut trainer, end),
        Err(_) if observer.interrupted => observer.finish(&mut trainer, FitEnd::Stopped),
        // The weights are good, whatever is wrong with a picture.
        Err(e @ (TrainError::Source { .. } | TrainError::Observer { .. })) if group.size() == 1 => {
            Err(observer.rescue(&mut trainer, e.into()))
        }
        Err(error) => {
            observer.note(&mut trainer)?;
            drop(observer);
            group.rescue(&trainer, &mut checkpoints, &error, options.out);
            Err(error.into())
        }
    }
}

/// What the configuration says about steps.
fn configured(config: &TrainConfig, base: TrainOptions) -> TrainOptions {
    let train = &config.train;
    TrainOptions {
        schedule: train.schedule.clone(),
        seed: config.seed,
        ema: train.ema,
        clip_norm: train.clip,
        accumulate: train.accumulate,
        freeze: train.freeze.freeze(),
        layer_rates: train.layer_rates.clone(),
        ..base
    }
}

/// Says where a resumed run cannot go on with the bits it began with.
fn warn_of_other_bits(checkpoint: &Checkpoint, isa: Isa, group: &Group) {
    if checkpoint.meta.isa != isa.name() {
        let (before, now) = (&checkpoint.meta.isa, isa.name());
        log::info!(
            "warning: the run began with {before} kernels and goes on with {now}: the bits will differ"
        );
    }
    let (before, now) = (source::parts(&checkpoint.meta.source_state), group.size());
    if before != now {
        let many = |n| if n == 1 { "1 process".into() } else { format!("{n} processes") };
        log::info!("warning: the run was on {} and goes on with {now}: the bits will differ", many(before));
    }
}

fn resume_from(checkpoints: &mut Checkpoints<Folder>, options: &RunOptions) -> Result<Option<Checkpoint>> {
    let mut latest =
        || checkpoints.latest().with_context(|| format!("{}: cannot resume", options.out.display()));
    match options.resume {
        None => {
            if latest().map(|l| l.is_some()).unwrap_or(true) {
                let out = options.out.display();
                bail!(
                    "{out} already holds checkpoints; continue with --resume auto or name another folder with --out"
                );
            }
            Ok(None)
        }
        Some("auto") => {
            let Some(loaded) = latest()? else {
                log::info!("{}: no checkpoint yet, starting from the beginning", options.out.display());
                return Ok(None);
            };
            for (name, reason) in &loaded.rejected {
                log::info!("passed over {name}: {reason}");
            }
            log::info!("resuming from {} (step {})", loaded.name, loaded.checkpoint.meta.step);
            Ok(Some(loaded.checkpoint))
        }
        Some(file) => {
            let bytes = crate::io::read(Path::new(file))?;
            let checkpoint = Checkpoint::decode(&bytes);
            let checkpoint = checkpoint.with_context(|| format!("{file}: not a usable checkpoint"))?;
            let (step, out) = (checkpoint.meta.step, options.out.display());
            match checkpoints.newest()? {
                // A later `--resume auto` would go on from the newer one, of another run perhaps.
                Some(newest) if newest > step => bail!(
                    "{file} is of step {step} and {out} holds a checkpoint of step {newest}; move the newer ones away \
                     or name another folder with --out"
                ),
                _ => Ok(Some(checkpoint)),
            }
        }
    }
}

/// A run goes on with the configuration it began with; only its length and bookkeeping may change.
fn check_same_run(before: &str, now: &str) -> Result<()> {
    let free = [
        "epochs",
        "checkpoint_steps",
        "eval_epochs",
        "memory_mb",
        "check",
        "train",
        "val",
        "images",
        "val_images",
        "leave_out",
        "start",
    ];
    let lines = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|l| !free.contains(&l.split('=').next().unwrap_or_default().trim()))
            .map(str::to_string)
            .collect()
    };
    let (before, now) = (lines(before), lines(now));
    for (old, new) in before.iter().zip(&now) {
        if old != new {
            bail!(
                "the checkpoint was made with `{old}`, the configuration says `{new}`; use another --out for a new run"
            );
        }
    }
    if before.len() != now.len() {
        bail!("the checkpoint was made with another configuration; use another --out for a new run");
    }
    Ok(())
}

/// Opens labels that are learned from.
pub(crate) fn open_to_train(
    path: &Path,
    want: &'static [Content],
    images: Option<&Path>,
) -> Result<LabelSet> {
    Ok(open(path, &OpenOptions::wanting(Purpose::Train, want, images))?)
}

/// Opens labels by which a run is judged.
pub(crate) fn open_to_judge(
    path: &Path,
    want: &'static [Content],
    images: Option<&Path>,
) -> Result<LabelSet> {
    Ok(open(path, &OpenOptions::wanting(Purpose::Measure, want, images))?)
}
