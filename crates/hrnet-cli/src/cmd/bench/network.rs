//! Networks: whole runs, and with `--profile` the time of each step.

use super::shapes;
use super::stats::Times;
use super::{Measured, NETWORK_HEADER, Setup};
use crate::cli::Bench;
use crate::outcome::{Failure, Outcome};
use crate::say;
use hrnet::error::{Context, Result};
use hrnet::model::LoadedModel;
use hrnet_engine::{Engine, EngineOptions, Profile, Session};
use hrnet_ir::{Model, Weights, zoo};
use hrnet_kernels::Isa;
use hrnet_proof::formula;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// A network to measure.
struct Subject {
    /// As it was named.
    name: String,
    model: Model,
    /// Of a file; by formula otherwise.
    weights: Option<Weights>,
    /// Its usual input, height and width.
    input: [usize; 2],
}

impl Subject {
    fn open(what: &str) -> Result<Subject, Failure> {
        let path = Path::new(what);
        if path.exists() {
            let LoadedModel { model, weights, recipe, .. } = LoadedModel::open(path, &Default::default())?;
            let name =
                path.file_name().map_or_else(|| what.into(), |name| name.to_string_lossy().into_owned());
            let (h, w) = recipe.input_size;
            return Ok(Subject { name, model, weights: Some(weights), input: [h, w] });
        }
        let entry = variant(what)?;
        Ok(Subject { name: what.into(), model: entry.model, weights: None, input: entry.input })
    }

    fn sizes(&self, args: &Bench) -> Vec<[usize; 2]> {
        if args.input_size.is_empty() { vec![self.input] } else { args.input_size.clone() }
    }
}

fn variant(what: &str) -> Result<zoo::ZooEntry, Failure> {
    zoo::find(what).ok_or_else(|| {
        Failure::Usage(format!(
            "'{what}' is neither a file nor a variant; `hrnet info list` shows the published networks"
        ))
    })
}

pub(super) fn run(args: &Bench) -> Outcome {
    // A wrong name at the end should not cost the results before it.
    for what in args.what.iter().filter(|what| !Path::new(what).exists()) {
        variant(what)?;
    }
    let isas = if args.isa.is_empty() { vec![Isa::from_env()?] } else { args.isa.clone() };
    let mut setup = Setup::new(args, isas, NETWORK_HEADER)?;
    for what in &args.what {
        let subject = Subject::open(what)?;
        let net = subject.model.build()?;
        let formula = || formula::weights(&net, "");
        let weights = subject.weights.as_ref().map_or_else(formula, Weights::clone);
        for isa in setup.isas.clone() {
            let options = EngineOptions { isa, ..EngineOptions::default() };
            let engine = Engine::new(&net, weights.clone(), options)?;
            for [h, w] in subject.sizes(args) {
                for &batch in &args.batch {
                    let mut session = engine.session([usize::from(batch), 3, h, w])?;
                    measure(args, &mut setup, &subject, &mut session)?;
                }
            }
        }
    }
    setup.finish()
}

/// One session with every number of threads.
fn measure(args: &Bench, setup: &mut Setup, subject: &Subject, session: &mut Session) -> Result<()> {
    let plan = session.plan().clone();
    let [n, _, h, w] = plan.input_shape();
    let input = formula::input("bench", &plan.input_shape());
    let mut outputs = plan.output_tensors();
    for i in 0..setup.pools.len() {
        let pool = &setup.pools[i];
        for _ in 0..args.warm_up {
            session.run_into(pool, input.data(), &mut outputs)?;
        }
        let mut times = Vec::with_capacity(usize::from(args.runs));
        for _ in 0..args.runs {
            let started = Instant::now();
            session.run_into(pool, input.data(), &mut outputs)?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        let case = format!("{} {h}x{w}", subject.name);
        let measured = Measured {
            case: &case,
            kernel: "network",
            isa: plan.isa(),
            threads: pool.threads(),
            batch: n,
            macs: plan.macs(),
            times: Times::new(times),
        };
        // Further runs: timing each step makes a run a little slower.
        let mut profile = args.profile.then(|| Profile::new(&plan));
        if let Some(profile) = &mut profile {
            for _ in 0..args.runs {
                session.run_profiled(pool, input.data(), &mut outputs, profile)?;
            }
        }
        let facts = json!({"model": subject.model.to_string(), "input_size": [h, w],
            "arena_bytes": plan.arena_bytes(), "steps": plan.step_count(), "reorders": plan.reorders()});
        setup.report_network(&measured, facts);
        if let Some(profile) = profile {
            print_profile(&profile, setup.peak(plan.isa(), measured.threads), args.json);
        }
    }
    Ok(())
}

fn print_profile(profile: &Profile, peak: Option<f64>, to_stderr: bool) {
    let ms = |d: Duration| d.as_secs_f64() * 1e3 / f64::from(profile.runs.max(1));
    let of_peak = |gflops: f64| peak.map_or_else(String::new, |p| format!("{:.1} %", 100.0 * gflops / p));
    let mut text = format!(
        "\n{:<44} {:<34} {:<30} {:>9} {:>7} {:>8} {:>8}\n",
        "step", "kernel", "convolution", "ms", "share", "GFLOP/s", "of peak"
    );
    for step in &profile.steps {
        let gflops = profile.gflops(step);
        text += &format!(
            "{:<44} {:<34} {:<30} {:>9.4} {:>5.1} % {:>8} {:>8}\n",
            step.name,
            step.kernel,
            step.case.as_deref().unwrap_or_default(),
            ms(step.total),
            100.0 * profile.share(step),
            gflops.map_or_else(String::new, |g| format!("{g:.1}")),
            gflops.map_or_else(String::new, of_peak),
        );
    }
    text += "\nby kernel\n";
    let total = ms(profile.total());
    for (kernel, steps, time, macs) in profile.by_kernel() {
        let gflops = (macs > 0).then(|| 2.0 * macs as f64 / (ms(time) * 1e6));
        text += &format!(
            "{kernel:<44} {steps:>4} steps {:>9.3} ms {:>5.1} % {:>8} {:>8}\n",
            ms(time),
            100.0 * ms(time) / total,
            gflops.map_or_else(String::new, |g| format!("{g:.1}")),
            gflops.map_or_else(String::new, of_peak),
        );
    }
    text += &format!("{:<44} {:>4} steps {total:>9.3} ms\n", "all", profile.steps.len());
    // With --json the table goes to stderr: stdout holds one JSON line per result.
    if to_stderr { eprintln!("{text}") } else { say!("{text}") }
}

/// `--dump-shapes`: the convolutions of networks as a file for `--layer`.
pub(super) fn dump_shapes(args: &Bench) -> Outcome {
    for what in &args.what {
        let subject = Subject::open(what)?;
        let net = subject.model.build()?;
        for [h, w] in subject.sizes(args) {
            let entries = shapes::of_net(&net, [h, w]).with_context(|| what.clone())?;
            let title = format!("{} {h}x{w}: hrnet bench --dump-shapes", subject.name);
            say!("{}", shapes::text(&title, &entries).trim_end());
        }
    }
    Ok(())
}
