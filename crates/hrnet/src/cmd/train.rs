//! `hrnet train`: a run from a configuration.

use crate::cli::Train;
use crate::config::{Overrides, TrainConfig};
use crate::outcome::{Failure, Outcome};
use crate::say;
use crate::train::{Group, RunOptions, WrongData, run as run_training};
use anyhow::Context;
use std::path::PathBuf;

pub(super) fn run(args: &Train) -> Outcome {
    let group = Group::join()?;
    let outcome = train(args, &group);
    group.leave(outcome)
}

fn train(args: &Train, group: &Group) -> Outcome {
    let overrides = Overrides {
        task: args.head.clone(),
        variant: args.arch.clone(),
        start: args.start.clone(),
        epochs: args.epochs,
        batch: args.batch,
    };
    let (config, path) = match &args.cfg {
        Some(path) => (super::yacs::config(args, path)?, path),
        None => {
            let path = args.config.as_ref().context("name a configuration file")?;
            (TrainConfig::load_with(path, &overrides)?, path)
        }
    };
    if args.print_config {
        if group.leads() {
            say!("{}", config.to_toml()?.trim_end());
        }
        return Ok(());
    }
    let name = path.file_stem().map_or_else(|| "run".into(), |s| s.to_string_lossy().into_owned());
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(name));
    let options = RunOptions {
        out: &out,
        resume: args.resume.as_deref(),
        threads: args.compute.threads(),
        max_steps: args.max_steps,
        recompute: args.recompute,
        skip_check: args.skip_check,
        group,
    };
    // What the check of the data refuses ends with its own exit code.
    let refused = |e: anyhow::Error| match e.is::<WrongData>() {
        true => Failure::Check(format!("{}: {e}", path.display())),
        false => Failure::Runtime(e.context(path.display().to_string())),
    };
    if args.find_rate {
        if group.size() > 1 {
            return Err(Failure::Usage("--find-rate runs in one process; start it without mpirun".into()));
        }
        let rates = crate::train::find_rate(&config, &options).map_err(refused)?;
        if args.json {
            say!("{}", serde_json::to_string(&rates)?);
        }
        return Ok(());
    }
    let summary = run_training(&config, &options).map_err(refused)?;
    if args.json && group.leads() {
        say!("{}", serde_json::to_string(&summary)?);
    }
    Ok(())
}
