//! Stopped after every step and resumed: the uninterrupted run, bit for bit. In one process with the real loader for every
//! batch, in the middle of epochs and of accumulated steps; with the binary for some steps, for all with
//! `HRNET_RESUME=all`.

use crate::common::{Scratch, blobs, bytes};
use crate::{checkpoints, logged, same_end, tiny, train};
use hrnet_data::augment::LandmarkAugment;
use hrnet_data::loader::{BatchPlan, Batches, LandmarkSet, Landmarks, Position, SampleSpec, SetOptions};
use hrnet_ir::{Arch, Depth, Fuse, Head, Model, Net, Tensor};
use hrnet_kernels::{Isa, Pool};
use hrnet_train::{
    Batch, BatchSource, BoxError, Checkpoint, Control, Decay, HeatmapLoss, HeatmapMse, Init, Loss, Observer,
    OptimizerConfig, Schedule, StepReport, Target, TrainOptions, Trainer, Warmup, init,
};
use std::sync::Arc;

const STEPS: usize = 40;
const EPOCH: usize = 16;
const BATCH: usize = 3;
const SIZE: usize = 32;
const MAP: usize = 8;

fn net() -> Net {
    let depth = Depth { layer1_planes: 4, layer1_blocks: 1, modules: [1, 1, 1], blocks: 1 };
    let arch = Arch { width: 4, depth, ..Arch::new(4) }.fuse(Fuse::Bilinear { align_corners: false });
    Model { arch, head: Head::Landmark { points: 5, kernel: 1 } }.build().unwrap()
}

fn options(optimizer: OptimizerConfig, threads: usize) -> TrainOptions {
    let loss = Loss::HeatmapMse(HeatmapMse::new(HeatmapLoss::Mean));
    TrainOptions {
        schedule: Schedule {
            base: 0.01,
            warmup: Some(Warmup { steps: 7, start: 0.1 }),
            decay: Decay::MultiStep { epochs: vec![1, 2], gamma: 0.5 },
        },
        ema: Some(0.9),
        clip_norm: Some(1.0),
        accumulate: 2,
        seed: 11,
        ..TrainOptions::new(Isa::from_env().unwrap(), Arc::new(Pool::new(threads)), loss, optimizer, 0.01)
    }
}

/// The product's loader as a source.
struct Fed {
    maker: Arc<Landmarks>,
    plan: BatchPlan,
    ahead: Option<Batches<Landmarks>>,
}

impl BatchSource for Fed {
    fn batches_per_epoch(&self) -> u64 {
        self.plan.batches_per_epoch(self.maker.set.len())
    }

    fn batch(&mut self, epoch: u64, index: u64) -> Result<Batch, BoxError> {
        if self.ahead.is_none() {
            let place = Position { epoch, batch: index };
            self.ahead = Some(Batches::new(self.maker.clone(), self.plan, place, 9)?);
        }
        let batch = self.ahead.as_mut().unwrap().next().unwrap()?;
        assert_eq!(batch.position, Position { epoch, batch: index });
        let join = |part: fn(&hrnet_data::loader::TrainSample) -> &[f32]| -> Vec<f32> {
            batch.samples.iter().flat_map(|s| part(s).to_vec()).collect()
        };
        Ok(Batch {
            input: Tensor::new([BATCH, 3, SIZE, SIZE], join(|s| &s.input))?,
            target: Target::Heatmaps {
                maps: Tensor::new([BATCH, 5, MAP, MAP], join(|s| &s.target))?,
                weights: Some(Tensor::new([BATCH, 5], join(|s| &s.weight))?),
            },
        })
    }
}

/// Notes every loss and the best one, and takes a checkpoint after every batch.
#[derive(Default)]
struct Watch {
    stop_after: usize,
    losses: Vec<u64>,
    epochs: Vec<(u64, usize)>,
    saved: Vec<Vec<u8>>,
    save: bool,
}

impl Observer for Watch {
    fn after_step(&mut self, trainer: &mut Trainer, report: &StepReport) -> Result<Control, BoxError> {
        self.losses.push(report.loss.to_bits());
        trainer.note_metric(report.loss, false);
        if self.save {
            self.saved.push(trainer.save()?);
        }
        Ok(if self.losses.len() == self.stop_after { Control::Stop } else { Control::Continue })
    }

    fn after_epoch(&mut self, _: &mut Trainer, epoch: u64) -> Result<Control, BoxError> {
        self.epochs.push((epoch, self.losses.len()));
        Ok(Control::Continue)
    }
}

fn every_batch(optimizer: OptimizerConfig) {
    let scratch = Scratch::new();
    let table = blobs(&scratch, EPOCH * BATCH);
    let set = LandmarkSet::open(&table, &scratch.path("set/images"), SetOptions::default()).unwrap();
    let augment = LandmarkAugment { flip_p: 0.0, noise_p: 0.5, erase_p: 0.5, ..LandmarkAugment::default() };
    let spec =
        SampleSpec { input: (SIZE, SIZE), heatmap: (MAP, MAP), sigma: 1.0, mean: [0.5; 3], std: [0.2; 3] };
    let maker = Arc::new(Landmarks { set: Arc::new(set), augment, spec });
    let source = |threads| {
        let plan = BatchPlan { threads, ..BatchPlan::training(BATCH, 3) };
        Fed { maker: maker.clone(), plan, ahead: None }
    };
    let net = net();
    let fresh = || {
        let weights = init::weights(&net, Init::He, 5);
        Trainer::new(&net, &weights, options(optimizer, 2), [BATCH, 3, SIZE, SIZE]).unwrap()
    };
    let mut whole = fresh();
    let mut plain = Watch { stop_after: STEPS, ..Watch::default() };
    whole.fit(&mut source(1), 9, &mut plain).unwrap();
    let wanted = whole.save().unwrap();
    assert_eq!(plain.epochs, [(0, EPOCH), (1, 2 * EPOCH)]);

    // Saving is no event of the run.
    let mut watch = Watch { stop_after: STEPS, save: true, ..Watch::default() };
    fresh().fit(&mut source(4), 9, &mut watch).unwrap();
    assert_eq!(watch.losses, plain.losses);
    assert!(watch.saved[STEPS - 1] == wanted, "taking checkpoints changes the run");

    let mut pending = 0;
    for k in 1..STEPS {
        let file = &watch.saved[k - 1];
        let checkpoint = Checkpoint::decode(file).unwrap();
        pending += usize::from(checkpoint.meta.pending > 0);
        let threads = [1, 2, 3][k % 3];
        let mut second = Trainer::resume(&net, &checkpoint, options(optimizer, threads)).unwrap();
        assert!(second.save().unwrap() == *file, "resumed at {k} it saves something else");
        let mut rest = Watch { stop_after: STEPS - k, ..Watch::default() };
        second.fit(&mut source([1, 2, 4, 0][k % 4]), 9, &mut rest).unwrap();
        assert_eq!(rest.losses, plain.losses[k..], "losses after a resume at {k}");
        let epochs: Vec<_> =
            plain.epochs.iter().filter(|(_, at)| *at >= k).map(|&(e, at)| (e, at - k)).collect();
        assert_eq!(rest.epochs, epochs, "ends of epochs after a resume at {k}");
        assert!(second.save().unwrap() == wanted, "resumed at {k}: other bits at the end");
    }
    assert_eq!(pending, STEPS / 2, "half of the stops lie within an accumulated step");
}

#[test]
fn adam_from_every_batch() {
    every_batch(OptimizerConfig::adam());
}

#[test]
fn momentum_from_every_batch() {
    every_batch(OptimizerConfig::sgd(0.9, true, 1e-4));
}

#[test]
fn the_binary_from_some_steps() {
    // Two epochs and a half: sixteen steps each.
    let (scratch, config) = tiny(64, 3, "checkpoint_steps = 7\neval_epochs = 1");
    let whole = scratch.path("whole");
    let last = STEPS.to_string();
    crate::common::finish(&mut train(&config, &whole, &["--max-steps", &last])).ok();
    assert_eq!(logged(&whole).0.keys().copied().collect::<Vec<_>>(), [20, 40]);
    let steps: Vec<usize> = match std::env::var("HRNET_RESUME").as_deref() {
        Ok("all") => (1..STEPS).collect(),
        _ => vec![1, 16, 27],
    };
    for k in steps {
        let out = scratch.path(&format!("at-{k}"));
        let stop = k.to_string();
        let first =
            crate::common::finish(&mut train(&config, &out, &["--max-steps", &stop, "--threads", "1"])).ok();
        assert!(first.err.contains(&format!("stopped at step {k}")), "{first:?}");
        crate::common::finish(&mut train(&config, &out, &["--max-steps", &last, "--threads", "3"])).ok();
        same_end(&whole, &out, &format!("stopped at {k}"));
    }
    // There is nothing left to do: the run stays where it is.
    let again = crate::common::finish(&mut train(&config, &whole, &["--max-steps", &last])).ok();
    assert!(again.err.contains("stopped at step 40"), "{again:?}");
    assert_eq!(checkpoints(&whole).len(), crate::KEEP);
    assert!(!bytes(&whole.join("log.jsonl")).is_empty());
}
