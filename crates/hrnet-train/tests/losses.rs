//! Losses and their gradients against PyTorch's numbers (`python/make_loss_cases.py`).

use hrnet_ir::Tensor;
use hrnet_kernels::Pool;
use hrnet_proof::formula;
use hrnet_train::loss::{
    AdaptiveWing, BottomUp, CrossEntropy, Ohem, Ohkm, PeopleTarget, PixelCrossEntropy, TaggedJoint,
    UdpCombined,
};
use hrnet_train::{HeatmapLoss, HeatmapMse, Loss, LossError, Objective, PixelLabels, Target};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Case {
    loss: f64,
    grads: Vec<Vec<f64>>,
}

fn case(name: &str) -> Case {
    let mut cases: BTreeMap<String, Case> =
        serde_json::from_str(include_str!("../testdata/losses.json")).unwrap();
    cases.remove(name).unwrap_or_else(|| panic!("no case {name}"))
}

/// A batch of outputs by formula, `(2u - 1) * 2`, rounded as Python rounds.
fn output(name: &str, shape: &[usize]) -> Vec<f32> {
    formula::input(&format!("{name} output"), shape).into_data()
}

fn labels(name: &str, count: usize, classes: usize, ignored: usize) -> Vec<u8> {
    let hash = formula::fnv1a(&format!("{name} labels"));
    let id = |i| (formula::uniform(hash, i) * (classes + ignored) as f64) as usize;
    (0..count as u64).map(|i| if id(i) >= classes { 255 } else { id(i) as u8 }).collect()
}

/// An objective on outputs (name and shape) against a case; scaled by 3, and on one and three threads.
fn check(name: &str, objective: &Objective, outputs: &[(&str, [usize; 4])], target: &Target) {
    let wanted = case(name);
    let values: Vec<Vec<f32>> = outputs.iter().map(|(name, shape)| output(name, shape)).collect();
    let shapes: Vec<[usize; 4]> = outputs.iter().map(|(_, shape)| *shape).collect();
    let mut first: Option<Vec<Vec<f32>>> = None;
    for threads in [1, 3] {
        let mut grads: Vec<Vec<f32>> = values.iter().map(|v| vec![f32::NAN; v.len()]).collect();
        let losses =
            objective.evaluate(&Pool::new(threads), &values, &shapes, target, 3.0, &mut grads).unwrap();
        let loss = objective.total(&losses);
        let error = (loss - wanted.loss).abs() / wanted.loss.abs();
        assert!(error < 1e-6, "{name}: {loss}, PyTorch {}", wanted.loss);
        for (got, wanted) in grads.iter().zip(&wanted.grads) {
            assert_eq!(got.len(), wanted.len());
            let scale = wanted.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            for (i, (&g, w)) in got.iter().zip(wanted).enumerate() {
                let error = (f64::from(g) / 3.0 - w).abs();
                assert!(error < 2e-6 * scale, "{name}: gradient at {i} is {}, PyTorch {w}", g / 3.0);
            }
        }
        assert_eq!(*first.get_or_insert_with(|| grads.clone()), grads, "{name}: {threads} threads");
    }
}

fn pixel_labels(name: &str, shape: [usize; 3]) -> Target {
    Target::Pixels(PixelLabels { shape, ids: labels(name, shape.iter().product(), 5, 1) })
}

fn pixel_weights() -> Vec<f64> {
    let weights = formula::uniform_tensor("pixels weight", &[5], |u| 0.5 + u);
    weights.data().iter().map(|&w| f64::from(w)).collect()
}

#[test]
fn pixel_cross_entropy() {
    let shape = [2, 5, 4, 6];
    let target = pixel_labels("pixels", [2, 13, 17]);
    for (align_corners, text) in [(false, "False"), (true, "True")] {
        let loss = PixelCrossEntropy { align_corners, ..PixelCrossEntropy::default() };
        let weighted = PixelCrossEntropy { class_weights: pixel_weights(), ..loss.clone() };
        let cases =
            [(format!("pixels align {text}"), loss), (format!("pixels weighted align {text}"), weighted)];
        for (name, loss) in cases {
            check(&name, &Loss::PixelCrossEntropy(loss).into(), &[("pixels", shape)], &target);
        }
    }
    let loss = PixelCrossEntropy { class_weights: pixel_weights(), ..PixelCrossEntropy::default() };
    let same = pixel_labels("pixels same", [2, 4, 6]);
    check("pixels same size", &Loss::PixelCrossEntropy(loss).into(), &[("pixels", shape)], &same);
}

#[test]
fn hard_pixels() {
    let target = pixel_labels("pixels", [2, 13, 17]);
    for (name, threshold, keep) in [("few", 0.05, 40), ("many", 0.3, 40), ("all", 1.0, 100_000)] {
        let ohem = Some(Ohem { threshold, keep });
        let class_weights = pixel_weights();
        let loss = PixelCrossEntropy { ohem, class_weights, ..PixelCrossEntropy::default() };
        let name = format!("ohem {name}");
        check(&name, &Loss::PixelCrossEntropy(loss).into(), &[("pixels", [2, 5, 4, 6])], &target);
    }
}

#[test]
fn two_outputs_of_the_object_contextual_head() {
    let loss = PixelCrossEntropy {
        class_weights: pixel_weights(),
        align_corners: true,
        ..PixelCrossEntropy::default()
    };
    let loss = Loss::PixelCrossEntropy(loss);
    let target = pixel_labels("pixels", [2, 13, 17]);
    let shape = [2, 5, 4, 6];
    let objective = Objective::ocr(loss.clone(), loss);
    check("ocr", &objective, &[("pixels", shape), ("pixels two", shape)], &target);
    let each = Target::Each(vec![target.clone(), target]);
    check("ocr", &objective, &[("pixels", shape), ("pixels two", shape)], &each);
}

#[test]
fn pixels_without_any_label_and_wrong_labels() {
    let shape = [1, 3, 2, 2];
    let evaluate = |loss: &PixelCrossEntropy, ids: [u8; 4], output: [f32; 12]| {
        let target = Target::Pixels(PixelLabels { shape: [1, 2, 2], ids: ids.to_vec() });
        let mut grad = vec![f32::NAN; 12];
        let loss = Loss::PixelCrossEntropy(loss.clone());
        let value = loss.evaluate(&Pool::new(1), &output, shape, &target, 1.0, &mut grad)?;
        Ok::<_, LossError>((value, grad))
    };
    let plain = PixelCrossEntropy::default();
    let hard = PixelCrossEntropy { ohem: Some(Ohem { threshold: 0.9, keep: 1 }), ..plain.clone() };
    let mut spoilt = [0.5; 12];
    spoilt[3] = f32::NAN;
    for loss in [&plain, &hard] {
        assert_eq!(evaluate(loss, [255; 4], [0.5; 12]).unwrap(), (0.0, vec![0.0; 12]));
        assert!(evaluate(loss, [0, 1, 2, 1], spoilt).unwrap().0.is_nan());
    }
    let error = evaluate(&plain, [0, 1, 3, 0], [0.5; 12]).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("pixel (0, 1)") && message.contains("class 3"), "{message}");
    let weights = PixelCrossEntropy { class_weights: vec![1.0; 2], ..plain.clone() };
    let message = evaluate(&weights, [0; 4], [0.5; 12]).unwrap_err().to_string();
    assert!(message.contains("2 values") && message.contains("3 classes"), "{message}");
    let target = Target::Pixels(PixelLabels { shape: [2, 2, 2], ids: vec![0; 8] });
    let mut grad = vec![0.0; 12];
    let loss = Loss::PixelCrossEntropy(plain);
    let error = loss.evaluate(&Pool::new(1), &[0.5; 12], shape, &target, 1.0, &mut grad).unwrap_err();
    assert!(error.to_string().contains("[2, 2, 2]"), "{error}");
    let maps = Target::Heatmaps { maps: Tensor::zeros(shape), weights: None };
    let error = loss.evaluate(&Pool::new(1), &[0.5; 12], shape, &maps, 1.0, &mut grad).unwrap_err();
    assert!(error.to_string().contains("pixel labels"), "{error}");
}

fn heatmaps(name: &str, shape: [usize; 4], joints: usize, weighted: bool) -> Target {
    let maps = formula::uniform_tensor(&format!("{name} maps"), &shape, |u| u);
    let weight = |u: f64| if u > 0.3 { u } else { 0.0 };
    let weights = formula::uniform_tensor(&format!("{name} weights"), &[shape[0], joints], weight);
    Target::Heatmaps { maps, weights: weighted.then_some(weights) }
}

#[test]
fn heat_maps_with_joint_weights() {
    let (shape, target) = ([2, 4, 3, 5], heatmaps("joints", [2, 4, 3, 5], 4, true));
    let plain = HeatmapMse::new(HeatmapLoss::Joints);
    let weighted = HeatmapMse { joint_weights: vec![1.0, 1.2, 1.5, 1.0], ..plain.clone() };
    for (name, loss) in [("joints", plain), ("joints weighted", weighted)] {
        check(name, &Loss::HeatmapMse(loss).into(), &[("joints", shape)], &target);
    }
    let table = HeatmapMse { joint_weights: vec![1.0; 3], ..HeatmapMse::default() };
    let message = Loss::HeatmapMse(table).check(4).unwrap_err().to_string();
    assert!(message.contains("3 values") && message.contains("4 joints"), "{message}");
}

#[test]
fn hard_joints() {
    let (shape, target) = ([3, 17, 2, 3], heatmaps("ohkm", [3, 17, 2, 3], 17, true));
    check("ohkm", &Loss::Ohkm(Ohkm::default()).into(), &[("ohkm", shape)], &target);
    assert!(Loss::Ohkm(Ohkm { top: 18, ..Ohkm::default() }).check(17).is_err());
}

#[test]
fn discs_and_offsets() {
    let (shape, target) = ([2, 12, 3, 5], heatmaps("udp", [2, 12, 3, 5], 4, true));
    check("udp", &Loss::UdpCombined(UdpCombined::default()).into(), &[("udp", shape)], &target);
    assert!(Loss::UdpCombined(UdpCombined::default()).check(13).is_err());
}

#[test]
fn adaptive_wing() {
    let shape = [2, 4, 3, 5];
    for (name, weighted) in [("wing", false), ("wing weighted", true)] {
        let target = heatmaps("wing", shape, 4, weighted);
        check(name, &Loss::AdaptiveWing(AdaptiveWing::default()).into(), &[("wing", shape)], &target);
    }
}

#[test]
fn classes_with_smoothing_and_shares() {
    let shape = [5, 7, 1, 1];
    let ids = labels("classes", 5, 7, 0).into_iter().map(usize::from).collect();
    let mut shares = formula::uniform_tensor("classes soft", &[5, 7], |u| u);
    let hash = formula::fnv1a("classes soft");
    for (image, row) in shares.data_mut().chunks_exact_mut(7).enumerate() {
        let u: Vec<f64> = (0..7).map(|k| formula::uniform(hash, image as u64 * 7 + k)).collect();
        let sum: f64 = u.iter().sum();
        row.iter_mut().zip(&u).for_each(|(r, u)| *r = (u / sum) as f32);
    }
    let (labels, shares) = (Target::Labels(ids), Target::Shares(shares));
    let cases = [
        ("classes", 0.0, &labels),
        ("classes smoothed", 0.1, &labels),
        ("classes soft", 0.0, &shares),
        ("classes soft smoothed", 0.1, &shares),
    ];
    for (name, smoothing, target) in cases {
        check(name, &Loss::CrossEntropy(CrossEntropy { smoothing }).into(), &[("classes", shape)], target);
    }
}

#[test]
fn bottom_up_people() {
    let joint = |(joint, x, y)| TaggedJoint { joint, x, y };
    let person = |joints: &[(usize, usize, usize)]| joints.iter().copied().map(joint).collect::<Vec<_>>();
    let people = vec![
        vec![
            person(&[(0, 1, 0), (1, 2, 1), (2, 5, 3)]),
            person(&[(0, 3, 2), (2, 0, 3)]),
            person(&[(1, 4, 1)]),
        ],
        vec![person(&[(0, 1, 1), (1, 1, 2)])],
        vec![],
    ];
    let target = |name: &str, h: usize, w: usize, people: &[Vec<Vec<TaggedJoint>>]| {
        let maps = formula::uniform_tensor(&format!("{name} maps"), &[3, 3, h, w], |u| u);
        let mask = |u| if u > 0.2 { 1.0 } else { 0.0 };
        let mask = Some(formula::uniform_tensor(&format!("{name} mask"), &[3, h, w], mask));
        Target::People(PeopleTarget { maps, mask, people: people.to_vec() })
    };
    let loss = Loss::BottomUp(BottomUp::default());
    let objective = Objective::weighted([(1.0, loss.clone()), (1.0, loss)]);
    let outputs = [("higher first", [3, 6, 4, 6]), ("higher second", [3, 3, 8, 12])];
    let each = |people| {
        Target::Each(vec![target("higher first", 4, 6, people), target("higher second", 8, 12, &[])])
    };
    check("higher", &objective, &outputs, &each(&people));

    let outside = [vec![], vec![], vec![vec![joint((3, 0, 0))]]];
    let values: Vec<Vec<f32>> = outputs.iter().map(|(name, shape)| output(name, shape)).collect();
    let shapes = outputs.map(|(_, shape)| shape);
    let mut grads = values.clone();
    let error = objective.evaluate(&Pool::new(1), &values, &shapes, &each(&outside), 1.0, &mut grads);
    assert!(error.unwrap_err().to_string().contains("joint"));
}
