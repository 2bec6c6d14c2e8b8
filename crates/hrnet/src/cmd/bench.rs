//! `hrnet bench`: inference time of a network. One JSON line per result.

use crate::cli::Bench;
use crate::model::LoadedModel;
use crate::outcome::{Failure, Outcome};
use crate::runner::Runner;
use crate::say;
use anyhow::Result;
use hrnet_engine::{EngineOptions, Profile};
use hrnet_ir::{Model, Weights, formula, zoo};
use hrnet_kernels::Pool;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub(super) fn run(args: &Bench) -> Outcome {
    let (model, weights, default_input) = subject(&args.what)?;
    let net = model.build()?;
    let weights = weights.unwrap_or_else(|| formula::weights(&net, ""));
    let [h, w] = args.input_size.unwrap_or(default_input);
    let shape = [usize::from(args.batch), 3, h, w];
    let threads = args.compute.threads();
    let pool = Arc::new(Pool::new(threads));
    let mut runner = Runner::new(&net, weights, pool.clone())?;
    let isa = EngineOptions::from_env()?.isa;
    let session = runner.session(shape)?;
    let plan = session.plan().clone();
    let input = formula::input("bench", &shape);
    let mut outputs = plan.output_tensors();
    for _ in 0..args.warm_up {
        session.run_into(&pool, input.data(), &mut outputs)?;
    }
    let mut profile = Profile::new(&plan);
    let mut times = Vec::with_capacity(usize::from(args.runs));
    for _ in 0..args.runs {
        let started = Instant::now();
        match args.profile {
            true => session.run_profiled(&pool, input.data(), &mut outputs, &mut profile)?,
            false => session.run_into(&pool, input.data(), &mut outputs)?,
        }
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    let (median, min) = (at(0.5), times[0]);
    let gflops = 2.0 * plan.macs() as f64 / (median * 1e6);
    if args.profile {
        print_profile(&profile, args.json);
    }
    if args.json {
        say!(
            "{}",
            json!({"model": model.to_string(), "input_size": [h, w], "batch": args.batch, "threads": threads,
                "isa": isa.name(), "runs": times.len(), "median_ms": median, "min_ms": min, "p90_ms": at(0.9),
                "ms_per_image": median / f64::from(args.batch), "gflops": gflops, "macs": plan.macs(),
                "arena_bytes": plan.arena_bytes(), "steps": plan.step_count(), "reorders": plan.reorders()})
        );
    } else {
        say!("{model}, {h}x{w}, batch {}, {threads} threads, {}", args.batch, isa.name());
        say!(
            "median {median:.2} ms, min {min:.2} ms, 90 % {:.2} ms per batch; {:.2} ms per image; {gflops:.1} GFLOP/s",
            at(0.9),
            median / f64::from(args.batch)
        );
    }
    Ok(())
}

/// The network of a file or variant, its weights if it is a file, and its usual input.
fn subject(what: &str) -> Result<(Model, Option<Weights>, [usize; 2]), Failure> {
    let path = Path::new(what);
    if path.exists() {
        let loaded = LoadedModel::open(path, &Default::default())?;
        let (h, w) = loaded.recipe.input_size;
        return Ok((loaded.model, Some(loaded.weights), [h, w]));
    }
    let Some(entry) = zoo::find(what) else {
        let message = format!(
            "'{what}' is neither a file nor a variant; `hrnet info list` shows the published networks"
        );
        return Err(Failure::Usage(message));
    };
    Ok((entry.model, None, entry.input))
}

fn print_profile(profile: &Profile, to_stderr: bool) {
    let mut text = format!("{:<44} {:<30} {:>9} {:>6} {:>8}\n", "step", "kernel", "ms", "share", "GFLOP/s");
    let ms = |d: std::time::Duration| d.as_secs_f64() * 1e3 / f64::from(profile.runs.max(1));
    for step in &profile.steps {
        let gflops = profile.gflops(step).map_or_else(String::new, |g| format!("{g:.1}"));
        let share = 100.0 * profile.share(step);
        text += &format!(
            "{:<44} {:<30} {:>9.3} {share:>5.1}% {gflops:>8}\n",
            step.name,
            step.kernel,
            ms(step.total)
        );
    }
    text += "\nby kernel\n";
    for (kernel, steps, time, macs) in profile.by_kernel() {
        let gflops =
            if macs > 0 { format!("{:.1}", 2.0 * macs as f64 / (ms(time) * 1e6)) } else { String::new() };
        text += &format!("{kernel:<44} {steps:>4} steps {:>9.3} ms {gflops:>8}\n", ms(time));
    }
    // With --json the table goes to stderr: stdout ends in one JSON line.
    if to_stderr { eprintln!("{text}") } else { say!("{text}") }
}
