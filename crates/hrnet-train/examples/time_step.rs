//! Milliseconds per image of a training step: W18-small-v1, V2 landmark head, 128x128, batch 32, Adam.
//!
//! `cargo run --release -p hrnet-train --example time_step -- [threads] [batch] [steps]`

use hrnet_ir::{Arch, Fuse, Head, Model, formula};
use hrnet_kernels::{Isa, Pool};
use hrnet_train::{
    Batch, HeatmapLoss, HeatmapMse, Init, Loss, OptimizerConfig, Target, TrainOptions, Trainer, init,
};
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).map(|a| a.parse::<usize>());
    let mut next = |default| args.next().unwrap_or(Ok(default));
    let (threads, batch, steps) = (next(2)?, next(32)?, next(4)?);
    let (side, points) = (128, 68);
    let arch = Arch::small_v1().fuse(Fuse::Bilinear { align_corners: false });
    let net = Model { arch, head: Head::Landmark { points, kernel: 1 } }.build()?;
    let loss = Loss::HeatmapMse(HeatmapMse::new(HeatmapLoss::Mean));
    let isa = Isa::from_env()?;
    let options = TrainOptions::new(isa, Arc::new(Pool::new(threads)), loss, OptimizerConfig::adam(), 1e-3);
    let shape = [batch, 3, side, side];
    let mut trainer = Trainer::new(&net, &init::weights(&net, Init::He, 1), options, shape)?;
    let batch = Batch {
        input: formula::input("input", &shape),
        target: Target::Heatmaps {
            maps: formula::uniform_tensor("maps", &[batch, points, side / 4, side / 4], |u| u.powi(20)),
            weights: None,
        },
    };
    println!(
        "{} parameters, {:.0} MiB of buffers, {} threads, {}",
        net.parameter_count(),
        trainer.tape().buffer_bytes() as f64 / f64::from(1 << 20),
        threads,
        isa.name()
    );
    for step in 0..steps {
        let start = Instant::now();
        let report = trainer.step(&batch)?;
        let ms = start.elapsed().as_secs_f64() * 1e3;
        println!(
            "step {step}: {ms:.0} ms, {:.2} ms per image, loss {:.5}",
            ms / shape[0] as f64,
            report.loss
        );
    }
    Ok(())
}
