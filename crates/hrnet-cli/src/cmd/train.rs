//! `hrnet train`: a run from a configuration.

use crate::cli::Train;
use crate::outcome::{Failure, Outcome};
use crate::progress::TrainBar;
use crate::say;
use hrnet::config::{Overrides, TrainConfig};
use hrnet::error::Context;
use hrnet::error::one_line;
use hrnet::train::{Failed, Group, Parting, RunOptions, run as run_training};
use hrnet::{ErrorKind, Stop};
use std::path::PathBuf;

pub(super) fn run(args: &Train) -> Outcome {
    let stop = Stop::new();
    if Group::launched() > 1 {
        // A launcher may ask to end from the moment when the processes have met.
        crate::signals::listen(&stop)?;
    }
    let group = Group::join(&stop)?;
    if !group.leads() {
        crate::logger::hush();
    }
    let failure = train(args, &group, &stop).err();
    let parting = group.leave(failure.as_ref().map(|failure| Failed {
        code: failure.code(),
        text: failure.message().unwrap_or_default(),
        error: match failure {
            Failure::Runtime(error) => Some(error),
            Failure::Usage(_) | Failure::Check(_) | Failure::Reported(_) => None,
        },
    }));
    match (parting, failure) {
        (Parting::Well, _) | (Parting::Tell | Parting::TellAs(_), None) => Ok(()),
        (Parting::Tell, Some(failure)) => Err(failure),
        (Parting::TellAs(rank), Some(Failure::Runtime(error))) => {
            Err(Failure::Runtime(hrnet::err!("rank {rank}: {}", one_line(&error))))
        }
        (Parting::TellAs(_), Some(failure)) => Err(failure),
        (Parting::Silent(code), _) => Err(Failure::Reported(code)),
    }
}

fn train(args: &Train, group: &Group, stop: &Stop) -> Outcome {
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
        stop,
    };
    let mut bar = TrainBar::new(stop)?;
    // What the check of the data refuses ends with its own exit code.
    let refused = |e: hrnet::Error| match e.kind() {
        ErrorKind::Check => Failure::Check(format!("{}: {e}", path.display())),
        _ => Failure::Runtime(e.context(path.display())),
    };
    if args.find_rate {
        if group.size() > 1 {
            return Err(Failure::Usage("--find-rate runs in one process; start it without mpirun".into()));
        }
        let rates = hrnet::train::find_rate(&config, &options, &mut bar).map_err(refused)?;
        if args.json {
            say!("{}", serde_json::to_string(&rates)?);
        }
        return Ok(());
    }
    let summary = run_training(&config, &options, &mut bar).map_err(refused)?;
    if args.json && group.leads() {
        say!("{}", serde_json::to_string(&summary)?);
    }
    Ok(())
}
