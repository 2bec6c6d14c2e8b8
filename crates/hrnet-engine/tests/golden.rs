//! The engine against the official outputs: sampled errors within four times those of PyTorch's own f32 run.

use hrnet_engine::{Engine, EngineOptions};
use hrnet_kernels::Pool;
use hrnet_proof::fixtures::{FORWARD_CASES, read_fixture};
use hrnet_proof::formula;
use hrnet_proof::golden::ForwardCase;

/// Allowed multiple of PyTorch's largest error over the whole output; measured: at most 1.3.
const ALLOWED: f64 = 4.0;

fn check(names: &[&str]) {
    let pool = Pool::new(2);
    let mut misses = Vec::new();
    for name in names {
        let case = ForwardCase::parse(&read_fixture(&format!("forward/{name}.json"))).unwrap();
        let net = case.model().unwrap().build().unwrap();
        let weights = formula::weights(&net, &case.salt);
        let engine = Engine::new(&net, weights.clone(), EngineOptions::default()).unwrap();
        let input = case.input();
        let outputs = engine.session(input.dims4().unwrap()).unwrap().run(&pool, &input).unwrap();
        assert_eq!(outputs.len(), case.outputs.len(), "{name}");
        for (ours, golden) in outputs.iter().zip(&case.outputs) {
            // Logits are [n, c, 1, 1] here and [n, c] in the file.
            assert_eq!(ours.shape()[..golden.shape.len()], golden.shape, "{name}");
            assert!(ours.data().iter().all(|v| v.is_finite()), "{name}");
            let samples = golden.indices.iter().zip(&golden.values);
            let error = samples.fold(0.0f64, |m, (&i, v)| m.max((f64::from(ours.data()[i]) - v).abs()));
            let ratio = error / golden.torch_f32_max_abs_err;
            println!("{name} {}: {ratio:.2} times PyTorch's error", golden.name);
            if ratio > ALLOWED {
                misses.push(format!("{name} {}: {ratio:.2}", golden.name));
            }
        }
    }
    assert!(misses.is_empty(), "errors in units of PyTorch's: {misses:?}");
}

fn cases(prefix: &str) -> Vec<&'static str> {
    FORWARD_CASES.into_iter().filter(|name| name.starts_with(prefix)).collect()
}

#[test]
fn classification() {
    check(&cases("cls_"));
}

#[test]
fn faces() {
    check(&cases("face_"));
}

#[test]
fn poses() {
    check(&cases("pose_"));
    check(&cases("higher_"));
}

#[test]
fn segmentation() {
    check(&cases("seg_"));
}
