//! Training runs: the run folder, batches from a data set, progress and log.

mod folder;
mod observer;
mod source;

use crate::config::TrainConfig;
use anyhow::{Context, Result, bail};
use folder::Folder;
use hrnet_data::loader::{BatchPlan, LandmarkSet, SampleSpec, SetOptions};
use hrnet_ir::Model;
use hrnet_kernels::{Isa, Pool};
use hrnet_train::{Checkpoint, Checkpoints, Loss, TrainOptions, Trainer};
use observer::Progress;
use source::LandmarkBatches;
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
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Summary {
    /// The run folder.
    pub out: PathBuf,
    /// Optimiser steps done in all.
    pub steps: u64,
    /// Whether all epochs are done.
    pub finished: bool,
    /// Best NME in percent, where a validation set is named.
    pub best_nme_percent: Option<f64>,
}

/// Trains until the configured number of epochs is done.
pub fn run(config: &TrainConfig, options: &RunOptions) -> Result<Summary> {
    let isa = Isa::from_env()?;
    let pool = Arc::new(Pool::new(options.threads));
    crate::io::create_folder(options.out)?;
    let mut checkpoints = Checkpoints::new(Folder::new(options.out), KEEP);
    let resumed = resume_from(&checkpoints, options)?;
    let config_text = config.to_toml()?;

    let train = open_set(config, &config.data.train)?;
    let points = train.points();
    let model = config.model(points)?;
    let net = model.build()?;
    let batch = config.train.batch;
    let [h, w] = config.input.size;
    let input = [batch, 3, h, w];
    let shapes = net.shapes(input)?;
    let [_, _, map_h, map_w] = shapes[net.outputs()[0].value.index()];
    let spec = SampleSpec {
        input: (h, w),
        heatmap: (map_h, map_w),
        sigma: config.target.sigma,
        mean: config.input.mean,
        std: config.input.std,
    };
    let train = Arc::new(train);
    let plan = BatchPlan::training(batch, config.seed, config.augment.clone(), spec);
    train.check(&plan.augment, &plan.spec)?;
    let per_epoch = plan.batches_per_epoch(train.len());
    if per_epoch == 0 {
        bail!("{} training images make no batch of {batch}; lower train.batch", train.len());
    }

    let mut train_options = TrainOptions::new(
        isa,
        pool.clone(),
        Loss::HeatmapMse(config.train.loss.clone()),
        config.train.optimizer,
        config.train.schedule.base,
    );
    train_options.schedule = config.train.schedule.clone();
    train_options.batches_per_epoch = per_epoch;
    train_options.seed = config.seed;
    train_options.ema = config.train.ema;
    train_options.clip_norm = config.train.clip;
    train_options.config = config_text.clone();
    let mut trainer = match &resumed {
        Some(checkpoint) => {
            check_same_run(&checkpoint.meta.config, &config_text)?;
            if checkpoint.meta.isa != isa.name() {
                let (before, now) = (&checkpoint.meta.isa, isa.name());
                eprintln!(
                    "warning: the run began with {before} kernels and goes on with {now}: the bits will differ"
                );
            }
            Trainer::resume(&net, checkpoint, train_options)?
        }
        None => {
            let weights = initial_weights(config, &model)?;
            Trainer::new(&net, &weights, train_options, input)?
        }
    };
    crate::io::write_atomic(&options.out.join("config.toml"), config_text.as_bytes())?;

    let evaluator = crate::face::Evaluator::open(config, &model, pool.clone())?;
    let mut source = LandmarkBatches::new(train, plan, config.train.epochs);
    eprintln!(
        "{model}: {} parameters, {per_epoch} steps per epoch, {} epochs, run folder {}",
        net.parameter_count(),
        config.train.epochs,
        options.out.display()
    );
    let done = trainer.progress();
    let mut observer = Progress::new(config, &model, options, per_epoch, &mut checkpoints, evaluator, done)?;
    let end = trainer.fit(&mut source, config.train.epochs, &mut observer)?;
    observer.finish(&mut trainer, end)
}

fn resume_from(checkpoints: &Checkpoints<Folder>, options: &RunOptions) -> Result<Option<Checkpoint>> {
    let latest = || checkpoints.latest().with_context(|| format!("{}: cannot resume", options.out.display()));
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
                eprintln!("{}: no checkpoint yet, starting from the beginning", options.out.display());
                return Ok(None);
            };
            for (name, reason) in &loaded.rejected {
                eprintln!("passed over {name}: {reason}");
            }
            eprintln!("resuming from {} (step {})", loaded.name, loaded.checkpoint.meta.step);
            Ok(Some(loaded.checkpoint))
        }
        Some(file) => {
            let bytes = crate::io::read(Path::new(file))?;
            Ok(Some(Checkpoint::decode(&bytes).with_context(|| format!("{file}: not a usable checkpoint"))?))
        }
    }
}

/// A run goes on with the configuration it began with; only its length and bookkeeping may change.
fn check_same_run(before: &str, now: &str) -> Result<()> {
    let free = ["epochs", "checkpoint_steps", "eval_epochs", "memory_mb", "train", "val", "images", "start"];
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

fn open_set(config: &TrainConfig, table: &Path) -> Result<LandmarkSet> {
    let options = SetOptions {
        padding: config.input.padding,
        memory_budget: config.data.memory_mb.saturating_mul(1 << 20),
        ..SetOptions::default()
    };
    Ok(LandmarkSet::open(table, &image_folder(config.data.images.as_deref(), table), options)?)
}

/// The images of a table: the named folder, or `images` beside the table.
pub fn image_folder(named: Option<&Path>, table: &Path) -> PathBuf {
    named.map_or_else(|| table.parent().unwrap_or(Path::new("")).join("images"), Path::to_path_buf)
}

fn initial_weights(config: &TrainConfig, model: &Model) -> Result<hrnet_ir::Weights> {
    let net = model.build()?;
    let Some(start) = &config.model.start else {
        return Ok(hrnet_train::init::weights(&net, config.model.init, config.seed));
    };
    let loaded = crate::model::LoadedModel::open(start, &Default::default())?;
    let coverage = loaded.weights.compare(&net);
    if !coverage.is_complete() {
        bail!(
            "{}: does not fit {model}: {} parameters missing, {} of another shape",
            start.display(),
            coverage.missing.len(),
            coverage.wrong_shape.len()
        );
    }
    Ok(loaded.weights)
}
