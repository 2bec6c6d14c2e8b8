//! Whole runs of a tiny network: resumed runs and any number of threads give the bits of the plain run; bad steps leave
//! no trace; a network learns.

use hrnet_ir::{Arch, Depth, Fuse, Head, Model, Net, Tensor, Weights};
use hrnet_kernels::{Isa, Pool};
use hrnet_train::init::CounterRng;
use hrnet_train::{
    Batch, BatchSource, BoxError, Checkpoint, CheckpointError, Control, Decay, FitEnd, HeatmapLoss,
    HeatmapMse, Init, Loss, Observer, OptimizerConfig, Schedule, SkipReason, StepReport, Target, TrainError,
    TrainOptions, Trainer, Warmup, init,
};
use std::sync::Arc;

const BATCHES: u64 = 5;
const POINTS: usize = 3;

fn net() -> Net {
    let depth = Depth { layer1_planes: 4, layer1_blocks: 1, modules: [1, 1, 1], blocks: 1 };
    let arch = Arch { width: 4, depth, ..Arch::new(4) }.fuse(Fuse::Bilinear { align_corners: false });
    Model { arch, head: Head::Landmark { points: POINTS, kernel: 1 } }.build().unwrap()
}

fn options(threads: usize, optimizer: OptimizerConfig) -> TrainOptions {
    let isa = Isa::from_env().unwrap();
    let loss = Loss::HeatmapMse(HeatmapMse { foreground: 4.0, ..HeatmapMse::new(HeatmapLoss::Mean) });
    TrainOptions {
        schedule: Schedule {
            base: 0.01,
            warmup: Some(Warmup { steps: 3, start: 0.1 }),
            decay: Decay::MultiStep { epochs: vec![1, 2], gamma: 0.5 },
        },
        ema: Some(0.9),
        clip_norm: Some(1.0),
        batches_per_epoch: BATCHES,
        seed: 11,
        config: "tiny".into(),
        ..TrainOptions::new(isa, Arc::new(Pool::new(threads)), loss, optimizer, 0.01)
    }
}

/// Random images with a bright dot per point. `draws` is hidden state that a resumed run must get back.
struct Dots {
    seed: u64,
    draws: u64,
}

impl Dots {
    fn new() -> Self {
        Self { seed: 11, draws: 0 }
    }
}

impl BatchSource for Dots {
    fn batches_per_epoch(&self) -> u64 {
        BATCHES
    }

    fn batch(&mut self, epoch: u64, index: u64) -> Result<Batch, BoxError> {
        let (n, side, map) = (3, 32, 8);
        let rng = CounterRng::new(self.seed, &format!("{epoch}/{index}/{}", self.draws));
        self.draws += 1;
        let mut input = Tensor::zeros([n, 3, side, side]);
        let mut maps = Tensor::zeros([n, POINTS, map, map]);
        for i in 0..n * POINTS {
            let (x, y) = (rng.bits(2 * i as u64) as usize % map, rng.bits(2 * i as u64 + 1) as usize % map);
            maps.data_mut()[(i * map + y) * map + x] = 1.0;
            for dy in 0..4 {
                for dx in 0..4 {
                    // Point p is bright in colour p.
                    input.data_mut()[(i * side + 4 * y + dy) * side + 4 * x + dx] = 2.0;
                }
            }
        }
        Ok(Batch { input, target: Target::Heatmaps { maps, weights: None } })
    }

    fn state(&self) -> String {
        self.draws.to_string()
    }

    fn restore(&mut self, state: &str) -> Result<(), BoxError> {
        self.draws = state.parse()?;
        Ok(())
    }
}

/// Records losses and metrics, stops after a number of batches.
struct Log {
    stop_after: usize,
    losses: Vec<u64>,
    epochs: Vec<u64>,
}

impl Log {
    fn new(stop_after: usize) -> Self {
        Self { stop_after, losses: Vec::new(), epochs: Vec::new() }
    }
}

impl Observer for Log {
    fn after_step(&mut self, trainer: &mut Trainer, report: &StepReport) -> Result<Control, BoxError> {
        self.losses.push(report.loss.to_bits());
        trainer.note_metric(report.loss, false);
        Ok(if self.losses.len() == self.stop_after { Control::Stop } else { Control::Continue })
    }

    fn after_epoch(&mut self, _: &mut Trainer, epoch: u64) -> Result<Control, BoxError> {
        self.epochs.push(epoch);
        Ok(Control::Continue)
    }
}

fn new_trainer(options: TrainOptions) -> Trainer {
    let net = net();
    Trainer::new(&net, &init::weights(&net, Init::He, 5), options, [3, 3, 32, 32]).unwrap()
}

fn resume_everywhere(options: impl Fn() -> TrainOptions) {
    let total = 12;
    let mut whole = new_trainer(options());
    let mut whole_log = Log::new(total);
    assert_eq!(whole.fit(&mut Dots::new(), 9, &mut whole_log).unwrap(), FitEnd::Stopped);
    let wanted = whole.save().unwrap();
    for k in 1..total {
        let mut first = new_trainer(options());
        let mut log = Log::new(k);
        first.fit(&mut Dots::new(), 9, &mut log).unwrap();
        let file = first.save().unwrap();
        drop(first);
        let checkpoint = Checkpoint::decode(&file).unwrap();
        let mut second = Trainer::resume(&net(), &checkpoint, options()).unwrap();
        assert_eq!(second.save().unwrap(), file, "a resumed run saves what it was resumed from");
        log.stop_after = total;
        second.fit(&mut Dots::new(), 9, &mut log).unwrap();
        assert_eq!(log.losses, whole_log.losses, "losses after resuming at batch {k}");
        assert_eq!(log.epochs, whole_log.epochs, "epochs reported after resuming at batch {k}");
        assert!(second.save().unwrap() == wanted, "resumed at batch {k}: other bits at the end");
    }
    let best = whole_log.losses.iter().map(|&b| f64::from_bits(b)).fold(f64::MAX, f64::min);
    assert_eq!(whole.best(), Some(best));
}

#[test]
fn adam_resumes_from_every_batch() {
    resume_everywhere(|| options(2, OptimizerConfig::adam()));
}

#[test]
fn sgd_with_two_batches_per_step_resumes_from_every_batch() {
    let sgd = OptimizerConfig::sgd(0.9, true, 1e-4);
    resume_everywhere(|| TrainOptions { accumulate: 2, ..options(1, sgd) });
}

#[test]
fn bits_do_not_depend_on_threads() {
    let run = |threads| {
        let mut trainer = new_trainer(options(threads, OptimizerConfig::adam_w(0.01)));
        trainer.fit(&mut Dots::new(), 9, &mut Log::new(4)).unwrap();
        trainer.save().unwrap()
    };
    let one = run(1);
    for threads in [2, 3, 8] {
        assert!(run(threads) == one, "{threads} threads: other bits than 1");
    }
}

fn bits(weights: &Weights) -> Vec<u32> {
    weights.iter().flat_map(|(_, t)| t.data().iter().map(|v| v.to_bits()).collect::<Vec<_>>()).collect()
}

#[test]
fn a_bad_step_is_skipped_without_a_trace_and_ten_in_a_row_end_the_run() {
    let mut trainer = new_trainer(options(2, OptimizerConfig::adam()));
    let good = Dots::new().batch(0, 0).unwrap();
    trainer.step(&good).unwrap();
    let before = trainer.checkpoint();
    let mut bad = good.clone();
    bad.input.data_mut()[100] = f32::NAN;
    let report = trainer.step(&bad).unwrap();
    assert_eq!((report.skipped, report.updated), (Some(SkipReason::Loss), false));
    // A finite loss whose gradient overflows.
    let mut steep = good.clone();
    let Target::Heatmaps { maps, .. } = &mut steep.target else { unreachable!() };
    maps.data_mut().fill(-1e30);
    let report = trainer.step(&steep).unwrap();
    assert!(report.loss.is_finite() && report.skipped == Some(SkipReason::Gradient), "{report:?}");
    let after = trainer.checkpoint();
    assert_eq!(
        bits(&after.weights),
        bits(&before.weights),
        "parameters and running statistics are untouched"
    );
    assert_eq!(bits(after.ema.as_ref().unwrap()), bits(before.ema.as_ref().unwrap()));
    assert_eq!(after.optimizer, before.optimizer);
    assert_eq!((after.meta.step, after.meta.skipped, after.meta.bad_in_a_row), (1, 2, 2));
    assert!(trainer.step(&good).unwrap().updated);
    assert_eq!(trainer.progress().bad_in_a_row, 0);
    for _ in 0..9 {
        trainer.step(&bad).unwrap();
    }
    let error = trainer.step(&bad).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { in_a_row: 10, .. }), "{error}");
    assert!(error.to_string().contains("learning rate"), "{error}");
}

#[test]
fn clipping_scales_the_gradient_to_the_bound() {
    let norm =
        |w: &Weights| w.iter().flat_map(|(_, t)| t.data()).map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let batch = Dots::new().batch(0, 0).unwrap();
    let mut free = new_trainer(TrainOptions { clip_norm: None, ..options(1, OptimizerConfig::adam()) });
    let full = free.step(&batch).unwrap().grad_norm.unwrap();
    assert!((norm(&free.gradients()) - full).abs() < 1e-6 * full);
    let bound = full / 3.0;
    let clip_norm = Some(bound);
    let mut clipped = new_trainer(TrainOptions { clip_norm, ..options(1, OptimizerConfig::adam()) });
    assert_eq!(clipped.step(&batch).unwrap().grad_norm, Some(full));
    assert!((norm(&clipped.gradients()) - bound).abs() < 1e-4 * bound);
}

#[test]
fn two_accumulated_batches_give_the_mean_gradient() {
    // Batch norm sees each batch by itself, so two equal batches must give the gradient of one.
    let batch = Dots::new().batch(0, 0).unwrap();
    let plain = || TrainOptions { clip_norm: None, ..options(1, OptimizerConfig::adam()) };
    let mut one = new_trainer(plain());
    one.step(&batch).unwrap();
    let mut two = new_trainer(TrainOptions { accumulate: 2, ..plain() });
    let first = two.step(&batch).unwrap();
    assert!(!first.updated && first.grad_norm.is_none() && first.step == 0);
    assert!(two.step(&batch).unwrap().updated);
    for ((name, a), (_, b)) in one.gradients().iter().zip(two.gradients().iter()) {
        let scale = a.data().iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for (x, y) in a.data().iter().zip(b.data()) {
            assert!((x - y).abs() <= 1e-5 * scale, "{name}: {x} {y}");
        }
    }
}

#[test]
fn a_tiny_network_finds_the_dots() {
    let schedule = Schedule::constant(0.01);
    let mut trainer =
        new_trainer(TrainOptions { schedule, ema: None, ..options(2, OptimizerConfig::adam()) });
    let mut log = Log::new(150);
    trainer.fit(&mut Dots::new(), 100, &mut log).unwrap();
    let mean = |losses: &[u64]| losses.iter().map(|&b| f64::from_bits(b)).sum::<f64>() / losses.len() as f64;
    let (start, end) = (mean(&log.losses[..5]), mean(&log.losses[145..]));
    println!("loss {start} to {end}");
    assert!(end < 0.3 * start, "loss went from {start} to {end}");
}

#[test]
fn the_average_follows_and_its_statistics_too() {
    let mut trainer = new_trainer(options(1, OptimizerConfig::adam()));
    let start = trainer.weights();
    trainer.fit(&mut Dots::new(), 9, &mut Log::new(3)).unwrap();
    let (now, average) = (trainer.weights(), trainer.ema_weights().unwrap());
    // Updates 0, 1, 2 with decays 1/10, 2/11, 3/12: the initial weights keep their product.
    let kept = 0.1 * (2.0 / 11.0) * 0.25;
    for name in ["bn1.running_mean", "conv1.weight"] {
        let get = |w: &Weights| f64::from(w.get(name).unwrap().data()[0]);
        let (s, n, a) = (get(&start), get(&now), get(&average));
        assert!(a != n && a != s && (a - n).abs() < (s - n).abs() * (1.0 - kept), "{name}: {s} {n} {a}");
    }
    let count = |w: &Weights| w.get("bn1.num_batches_tracked").unwrap().data()[0];
    assert_eq!((count(&now), count(&average)), (3.0, 3.0));
}

#[test]
fn misuse_is_an_error_that_says_what_to_do() {
    let net = net();
    let weights = init::weights(&net, Init::He, 5);
    let shape = [3, 3, 32, 32];
    let build = |options, weights: &Weights, shape| Trainer::new(&net, weights, options, shape).map(|_| ());
    let good = || options(1, OptimizerConfig::adam());
    let message = |r: Result<(), TrainError>| r.unwrap_err().to_string();
    assert!(message(build(TrainOptions { accumulate: 0, ..good() }, &weights, shape)).contains("accumulate"));
    assert!(message(build(TrainOptions { ema: Some(1.0), ..good() }, &weights, shape)).contains("ema"));
    let sgd = OptimizerConfig::sgd(0.0, true, 0.0);
    assert!(message(build(options(1, sgd), &weights, shape)).contains("momentum"));
    assert!(message(build(good(), &Weights::new(), shape)).contains("missing"));
    assert!(message(build(good(), &weights, [1, 3, 32, 32])).contains("more than one value"));
    assert!(message(build(good(), &weights, [2, 4, 32, 32])).contains("[2, 4, 32, 32]"));
    assert!(message(build(good(), &weights, [4096, 3, 65536, 65536])).contains("allocate"));

    let mut trainer = new_trainer(good());
    let mut batch = Dots::new().batch(0, 0).unwrap();
    batch.target = Target::Labels(vec![0, 1, 2]);
    assert!(trainer.step(&batch).unwrap_err().to_string().contains("class labels"));
    let checkpoint = trainer.checkpoint();
    let other = Trainer::resume(&net, &checkpoint, options(1, OptimizerConfig::sgd(0.9, false, 0.0)));
    assert!(matches!(other, Err(TrainError::Checkpoint(CheckpointError::Optimizer { .. }))));
}

#[test]
fn the_input_shape_may_change_between_steps() {
    let mut trainer = new_trainer(options(2, OptimizerConfig::adam()));
    let batch = Dots::new().batch(0, 0).unwrap();
    let small = Batch {
        input: Tensor::new([2, 3, 32, 32], batch.input.data()[..2 * 3 * 32 * 32].to_vec()).unwrap(),
        target: Target::Heatmaps { maps: Tensor::zeros([2, POINTS, 8, 8]), weights: None },
    };
    for batch in [&batch, &small, &batch] {
        assert!(trainer.step(batch).unwrap().updated);
    }
}
