//! A prediction holds the weights about once: the most memory of the whole process against the size of the weights.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod common;

use common::{FACE, Scratch, astronaut, hrnet, npy};
use hrnet_formats::{Precision, Recipe, to_safetensors};
use hrnet_ir::{Arch, Fuse, Head, Model};
use hrnet_proof::formula;
use serde_json::Value;
use std::path::PathBuf;

/// The bound of the project, in sizes of the f32 weights.
const TIMES: f64 = 2.5;

/// A checkpoint by formula and the bytes of its parameters in f32.
fn checkpoint(scratch: &Scratch, name: &str, model: &Model, precision: Precision) -> (PathBuf, f64) {
    let net = model.build().unwrap();
    let recipe = Recipe::for_model(model, "test");
    let bytes = to_safetensors(&formula::weights(&net, ""), Some(&recipe), precision).unwrap();
    (scratch.write(name, bytes), 4.0 * net.parameter_count() as f64)
}

#[track_caller]
fn within(result: &Value, weights: f64) {
    let peak = result["timing"]["peak_memory_bytes"].as_f64().unwrap_or_else(|| panic!("{result}"));
    assert!(peak > weights, "{peak} bytes cannot hold {weights} bytes of weights: what was measured?");
    assert!(peak <= TIMES * weights, "{peak} bytes are {:.2} times the weights", peak / weights);
}

#[test]
fn predict_holds_a_large_model_about_once() {
    let scratch = Scratch::new();
    let arch = Arch::new(32).fuse(Fuse::Bilinear { align_corners: false });
    let model = Model { arch, head: Head::Landmark { points: 68, kernel: 1 } };
    for (name, precision) in [("f32.safetensors", Precision::F32), ("f16.safetensors", Precision::F16)] {
        let (file, weights) = checkpoint(&scratch, name, &model, precision);
        let out = scratch.path("out");
        let result = hrnet![
            "predict",
            astronaut(),
            "--model",
            file,
            "--box",
            FACE,
            "--no-overlay",
            "--threads",
            "2",
            "--json",
            "--out",
            out
        ];
        within(&result.ok().json(), weights);
    }
}

#[test]
fn run_holds_a_pose_network_about_once() {
    let scratch = Scratch::new();
    let model = Model { arch: Arch::new(32), head: Head::Pose { joints: 17, kernel: 1, branch: 0 } };
    let (file, weights) = checkpoint(&scratch, "pose.safetensors", &model, Precision::F32);
    let input = npy(&scratch, "in.npy", &[1, 3, 256, 192]);
    let output = scratch.path("out.npy");
    let result = hrnet!["run", file, "--input", input, "--output", output, "--threads", "2", "--json"];
    within(&result.ok().json(), weights);
}
