//! Times one network: `cargo run --release -p hrnet-bench --bin time_net -- pose_w32 256 192 2 10` (name of the
//! zoo, height, width, threads, runs; `profile` at the end lists the kernels).
#![forbid(unsafe_code)]

use hrnet_engine::{Engine, EngineOptions, Profile, Session};
use hrnet_ir::zoo;
use hrnet_kernels::Pool;
use hrnet_proof::formula;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| args.get(i).map_or(Ok(default), |a| a.parse());
    let name = args.first().map_or("pose_w32", String::as_str);
    let (height, width) = (number(1, 256)?, number(2, 192)?);
    let (threads, runs) = (number(3, 2)?, number(4, 10)?);
    let entry = zoo::find(name).ok_or_else(|| format!("no network '{name}'"))?;
    let net = entry.model.build()?;
    let weights = formula::weights(&net, "");
    let shape = [1, 3, height, width];
    let start = Instant::now();
    let engine = Engine::new(&net, weights, EngineOptions { threads, ..EngineOptions::from_env()? })?;
    let folded = start.elapsed().as_secs_f64() * 1e3;
    let plan = engine.into_plan(shape)?;
    let planned = start.elapsed().as_secs_f64() * 1e3 - folded;
    let mut session = Session::new(&plan)?;
    let (pool, input) = (Pool::new(threads), formula::input("x", &shape));
    let (mut outputs, mut profile) = (plan.output_tensors(), Profile::new(&plan));
    session.run_into(&pool, input.data(), &mut outputs)?;
    let mut times = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        session.run_into(&pool, input.data(), &mut outputs)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let (median, best) = (times[times.len() / 2], times[0]);
    let gflops = 2e-6 * plan.macs() as f64 / median;
    println!("{} {height}x{width}, {threads} threads, isa {}", entry.model, plan.isa());
    println!(
        "median {median:.2} ms, best {best:.2} ms, {gflops:.0} GFLOP/s, arena {} kB",
        plan.arena_bytes() / 1024
    );
    println!(
        "{} steps in {} waves, {} borders cleared, {} reorders, folded in {folded:.0} ms, packed in {planned:.0} ms",
        plan.step_count(),
        plan.wave_count(),
        plan.cleared_borders(),
        plan.reorders()
    );
    if args.last().is_some_and(|a| a == "profile") {
        for _ in 0..runs {
            session.run_profiled(&pool, input.data(), &mut outputs, &mut profile)?;
        }
        let total = profile.total().as_secs_f64();
        for (kernel, steps, time, macs) in profile.by_kernel() {
            let seconds = time.as_secs_f64();
            let rate = 2e-9 * macs as f64 * runs as f64 / seconds;
            let (share, ms) = (100.0 * seconds / total, 1e3 * seconds / runs as f64);
            println!("{kernel:32} {steps:4} steps {ms:8.3} ms {share:5.1} % {rate:7.1} GFLOP/s");
        }
    }
    Ok(())
}
