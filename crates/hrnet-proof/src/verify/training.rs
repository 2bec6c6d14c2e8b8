//! Optimiser steps of the f32 trainer against the official f64 numbers.
//!
//! Training is chaotic where batch norms see 8 values, as here: rounding puts a few activations on the other side of a
//! ReLU, which moves single gradients, and Adam turns the sign of a tiny gradient into a whole step. The official
//! PyTorch code in f32 deviates from its own f64 run like this (measured on these cases, PyTorch 2.15):
//!
//! | case | loss at steps 0, 1, 2 | worst gradient norm at step 0 |
//! |---|---|---|
//! | face W18 | 6e-7, 7e-5, 1.4e-3 | 5.0e-3 |
//! | pose W32 | 1e-7, 2.7e-3, 1.1e-2 | 4.6e-3 |
//! | classification W18-small-v1 | 2e-7, 1e-6, 4e-4 | 3e-6 |
//!
//! Ours, with AVX-512, reaches 3e-3, 2e-3 and 2e-2 at the last step and gradient norms of 1e-2, 4e-3 and 2e-3: in
//! classification one ReLU of PyTorch's run does not flip, which ours does (the portable kernels do not flip it either and
//! agree to 5e-6 there). So the first loss and the statistics have tight limits; later losses and single gradient norms
//! are held to what rounding can do, which still catches every wrong formula. `--executor interpreter` runs the f64
//! reference, which meets 1e-4 and 1e-3 everywhere; `hrnet-train`'s own tests tie the f32 trainer to it with the ReLU
//! signs of the run. A parameter whose official gradient is rounding noise (a bias in front of a batch norm) is left out.

use super::network::largest;
use super::{Case, Check, Executor, Result, Setup};
use crate::formula;
use crate::golden::{Sampled, TrainCase};
use crate::reference::{Optimizer, Reference, objective_of};
use hrnet_ir::{Net, Weights};
use hrnet_train::loss::{CITYSCAPES_WEIGHTS, CrossEntropy, PixelCrossEntropy};
use hrnet_train::{
    Batch, HeatmapLoss, HeatmapMse, Loss, Objective, OptimizerConfig, PixelLabels, Target, TrainOptions,
    Trainer,
};
use std::collections::BTreeMap;

/// Relative error of the first loss.
const LOSS_LIMIT: f64 = 1e-4;
/// Relative error of later losses: five times PyTorch's own.
const DRIFT_LIMIT: f64 = 5e-2;
/// Relative error of a gradient's norm: four times PyTorch's own.
const GRADIENT_LIMIT: f64 = 2e-2;
/// The same for the f64 reference.
const EXACT_GRADIENT_LIMIT: f64 = 1e-3;
/// Error of running statistics after the first step, relative to their scale.
const STATISTICS_LIMIT: f64 = 1e-4;
/// A gradient below this share of the norm of all gradients is rounding noise.
const NOISE: f64 = 1e-9;

pub(super) fn verify(context: &Setup, bytes: &[u8]) -> Result<Case> {
    let case = TrainCase::parse(bytes)?;
    let net = case.model()?.build()?;
    let shape: [usize; 4] = case.input_shape.clone().try_into().expect("checked when parsed");
    let [n, c, h, w] = net.shapes(shape)?[net.outputs()[0].value.index()];
    let maps = || case.target_maps(&[n, c, h, w]);
    let (objective, target, optimizer, rate): (Objective, _, _, _) = match case.family.as_str() {
        "pose" => {
            let target = Target::Heatmaps { maps: maps(), weights: Some(case.joint_weights(n, c)) };
            (
                Loss::HeatmapMse(HeatmapMse::new(HeatmapLoss::Joints)).into(),
                target,
                OptimizerConfig::adam(),
                1e-3,
            )
        }
        "face" => {
            let target = Target::Heatmaps { maps: maps(), weights: None };
            (
                Loss::HeatmapMse(HeatmapMse::new(HeatmapLoss::Mean)).into(),
                target,
                OptimizerConfig::adam(),
                1e-4,
            )
        }
        "classification" => {
            let target = Target::Labels(case.class_labels(n, c));
            (
                Loss::CrossEntropy(CrossEntropy::default()).into(),
                target,
                OptimizerConfig::sgd(0.9, true, 1e-4),
                0.05,
            )
        }
        "segmentation" | "segmentation-ocr" => {
            let shape = [n, shape[2], shape[3]];
            let target = Target::Pixels(PixelLabels { shape, ids: case.pixel_labels(shape) });
            (segmentation_loss(&case.family), target, OptimizerConfig::sgd(0.9, false, 5e-4), 0.01)
        }
        other => return Err(format!("no training recipe for the family '{other}'").into()),
    };
    let batch = Batch { input: case.input(), target };
    if context.executor == Executor::Interpreter {
        return Ok(verify_reference(&case, &net, &batch, &objective, optimizer, rate));
    }
    let mut options = TrainOptions::new(context.isa, context.pool.clone(), objective, optimizer, rate);
    options.dropout = false;
    let mut trainer = Trainer::new(&net, &formula::weights(&net, &case.salt), options, shape)?;
    let mut losses = Vec::new();
    let mut checks = Vec::new();
    for (step, wanted) in case.losses.iter().enumerate() {
        let report = trainer.step(&batch)?;
        losses.push((report.loss - wanted).abs() / wanted.abs());
        if step == 0 {
            checks.push(gradients(&trainer.gradients(), &case.grads_step0, GRADIENT_LIMIT));
            checks.push(samples("running statistics", &trainer.weights(), &case.bn_after_step0));
        }
    }
    let first = losses.first().copied().unwrap_or(f64::NAN);
    checks.insert(0, Check::new("loss of the first step, relative", first, LOSS_LIMIT));
    let name = format!("losses of all {} steps, relative", losses.len());
    checks.insert(1, Check::new(name, largest(losses.into_iter()), DRIFT_LIMIT));
    Ok(Case { name: case.case, kind: "train", checks })
}

/// Weighted cross entropy of Cityscapes; for OCR the plain one on both outputs.
fn segmentation_loss(family: &str) -> Objective {
    let plain = PixelCrossEntropy::default();
    if family == "segmentation" {
        let class_weights = CITYSCAPES_WEIGHTS.to_vec();
        return Loss::PixelCrossEntropy(PixelCrossEntropy { class_weights, ..plain }).into();
    }
    let loss = Loss::PixelCrossEntropy(PixelCrossEntropy { align_corners: true, ..plain });
    Objective::ocr(loss.clone(), loss)
}

/// The f64 reference against the same numbers, with the tight limits for everything.
fn verify_reference(
    case: &TrainCase,
    net: &Net,
    batch: &Batch,
    objective: &Objective,
    optimizer: OptimizerConfig,
    rate: f64,
) -> Case {
    let optimizer = match optimizer {
        OptimizerConfig::Sgd { momentum, nesterov, weight_decay, .. } => {
            Optimizer::Sgd { rate, momentum, nesterov, weight_decay }
        }
        _ => Optimizer::Adam { rate },
    };
    let shape = batch.input.dims4().expect("checked when parsed");
    let mut reference = Reference::new(net, &formula::weights(net, &case.salt));
    let mut losses = Vec::new();
    let mut checks = Vec::new();
    for (step, wanted) in case.losses.iter().enumerate() {
        let outputs = reference.forward(batch.input.data(), shape, None);
        let (value, grads) = objective_of(objective, &outputs, &batch.target);
        losses.push((value - wanted).abs() / wanted.abs());
        reference.backward(&grads);
        if step == 0 {
            checks.push(gradients(
                &reference.export(&reference.grads, true),
                &case.grads_step0,
                EXACT_GRADIENT_LIMIT,
            ));
        }
        reference.step(optimizer);
        if step == 0 {
            let name = "running statistics";
            checks.push(samples(name, &reference.export(&reference.params, false), &case.bn_after_step0));
        }
    }
    checks.push(samples(
        "stepped parameters",
        &reference.export(&reference.params, false),
        &case.params_after,
    ));
    let name = format!("losses of all {} steps, relative", losses.len());
    checks.insert(0, Check::new(name, largest(losses.into_iter()), LOSS_LIMIT));
    Case { name: case.case.clone(), kind: "train", checks }
}

fn gradients(ours: &Weights, golden: &BTreeMap<String, Sampled>, limit: f64) -> Check {
    let total = golden.values().filter_map(|s| s.norm).map(|n| n * n).sum::<f64>().sqrt();
    let mut worst = (0.0, "none");
    for (name, sampled) in golden {
        let Some(wanted) = sampled.norm.filter(|n| *n > NOISE * total) else { continue };
        let norm = ours
            .get(name)
            .map_or(f64::NAN, |t| t.data().iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt());
        let error = (norm - wanted).abs() / wanted;
        if error > worst.0 || error.is_nan() {
            worst = (error, name);
        }
    }
    Check::new(format!("gradient norms, worst {}", worst.1), worst.0, limit)
}

/// Sampled values, relative to the largest value of their tensor.
fn samples(what: &str, ours: &Weights, golden: &BTreeMap<String, Sampled>) -> Check {
    let mut worst = (0.0, "none");
    for (name, sampled) in golden {
        let Some(tensor) = ours.get(name) else {
            return Check::new(format!("{name} is missing"), f64::NAN, 0.0);
        };
        let scale = tensor.data().iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
        for (&i, v) in sampled.indices.iter().zip(&sampled.values) {
            let found = tensor.data().get(i).map_or(f64::NAN, |&x| f64::from(x));
            let error = (found - v).abs() / scale;
            if error > worst.0 || error.is_nan() {
                worst = (error, name);
            }
        }
    }
    Check::new(format!("{what}, worst {}", worst.1), worst.0, STATISTICS_LIMIT)
}
