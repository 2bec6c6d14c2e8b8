//! Milliseconds per image of a training step with Adam, where they go, and the peak memory of the process.
//!
//! `cargo run --release -p hrnet-bench --bin time_step -- [case] [threads] [steps] [profile] [recompute]`; cases: `pose-w32`,
//! `face-w18`, `seg-w18-small`, `small-128`, `small-192`. With `serve`, a step is run for every line read and its seconds
//! are printed: `bench/peers/train_step.py` alternates it with PyTorch.
#![forbid(unsafe_code)]

use hrnet_ir::{Arch, Fuse, Head, Model};
use hrnet_kernels::{Isa, Pool};
use hrnet_proof::formula;
use hrnet_train::{
    Batch, HeatmapLoss, HeatmapMse, Init, Loss, OptimizerConfig, Target, TrainOptions, Trainer, init,
};
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

struct Case {
    model: Model,
    shape: [usize; 4],
    /// Channels of the output, at a quarter of the input's size; the loss is the mean squared error everywhere.
    outputs: usize,
}

fn case(name: &str) -> Option<Case> {
    let bilinear = Fuse::Bilinear { align_corners: false };
    let landmark = |points| Head::Landmark { points, kernel: 1 };
    let heat = |arch, head, outputs, shape| Some(Case { model: Model { arch, head }, shape, outputs });
    match name {
        "pose-w32" => {
            heat(Arch::new(32), Head::Pose { joints: 17, kernel: 1, branch: 0 }, 17, [8, 3, 256, 192])
        }
        "face-w18" => heat(Arch::new(18).fuse(bilinear), landmark(68), 68, [8, 3, 256, 256]),
        "small-128" => heat(Arch::small_v1().fuse(bilinear), landmark(68), 68, [32, 3, 128, 128]),
        "small-192" => heat(Arch::small_v1().fuse(bilinear), landmark(14), 14, [16, 3, 256, 192]),
        "seg-w18-small" => {
            let head = Head::Segment { classes: 11, kernel: 1 };
            heat(Arch::small_v1().fuse(bilinear), head, 11, [4, 3, 352, 480])
        }
        _ => None,
    }
}

/// The most memory this process has held, in MiB.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default| args.get(i).map_or(Ok(default), |a| a.parse::<usize>());
    let name = args.first().map_or("small-128", String::as_str);
    let flag = |name: &str| args.iter().any(|a| a == name);
    let (threads, steps) = (number(1, 2)?, number(2, 4)?);
    let Case { model, shape, outputs } = case(name).ok_or_else(|| format!("no case {name}"))?;
    let net = model.build()?;
    let [n, _, h, w] = shape;
    let maps = formula::uniform_tensor("maps", &[n, outputs, h / 4, w / 4], |u| u.powi(20));
    let loss = Loss::HeatmapMse(HeatmapMse::new(HeatmapLoss::Mean));
    let target = Target::Heatmaps { maps, weights: None };
    let isa = Isa::from_env()?;
    let pool = Arc::new(Pool::new(threads));
    let recompute = flag("recompute");
    let options =
        TrainOptions { recompute, ..TrainOptions::new(isa, pool, loss, OptimizerConfig::adam(), 1e-3) };
    let mut trainer = Trainer::new(&net, &init::weights(&net, Init::He, 1), options, shape)?;
    let batch = Batch { input: formula::input("input", &shape), target };
    if flag("serve") {
        for line in std::io::stdin().lines() {
            line?;
            let start = Instant::now();
            let report = trainer.step(&batch)?;
            let seconds = start.elapsed().as_secs_f64();
            println!("{seconds:.5} {:.6} {:.1}", report.loss, peak_memory());
            std::io::stdout().flush()?;
        }
        return Ok(());
    }
    println!(
        "{} parameters, {:.0} MiB of buffers, {} threads, {}",
        net.parameter_count(),
        trainer.tape().buffer_bytes() as f64 / f64::from(1 << 20),
        threads,
        isa.name()
    );
    let mut times = Vec::new();
    for step in 0..steps {
        if step == 1 && flag("profile") {
            trainer.set_profile(true);
        }
        let start = Instant::now();
        let report = trainer.step(&batch)?;
        let ms = start.elapsed().as_secs_f64() * 1e3;
        times.push(ms);
        println!("step {step}: {ms:.0} ms, {:.2} ms per image, loss {:.5}", ms / n as f64, report.loss);
    }
    let costs = trainer.tape().profile();
    let measured = (steps - 1).max(1) as f64;
    let total: f64 = costs.iter().map(|c| c.time.as_secs_f64() * 1e3).sum::<f64>() / measured;
    for cost in costs.iter().take(60) {
        let ms = cost.time.as_secs_f64() * 1e3 / measured;
        let (direction, count) = (format!("{:?}", cost.direction), cost.count / measured as u64);
        println!("{ms:8.2} ms {:5.1} %  {count:4} x {direction:8} {}", 100.0 * ms / total, cost.operation);
    }
    if !costs.is_empty() {
        let mut groups = std::collections::BTreeMap::<String, f64>::new();
        for cost in &costs {
            let kind = cost.operation.split(' ').next().unwrap_or_default();
            *groups.entry(format!("{:?} {kind}", cost.direction)).or_default() +=
                cost.time.as_secs_f64() * 1e3 / measured;
        }
        for (kind, ms) in groups {
            println!("{ms:8.2} ms  {kind}");
        }
        println!("{total:8.2} ms in operations of the network");
    }
    println!("peak memory {:.0} MiB", peak_memory());
    Ok(())
}
