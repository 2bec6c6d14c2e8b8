//! The library says what the command line says, to the bit; and the program that README.md shows does, built from an empty crate.

mod common;

use common::{Scratch, hrnet};
use hrnet::{Image, Model, Prediction};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn picture(name: &str) -> PathBuf {
    root().join("examples").join(name)
}

/// Without what differs from run to run.
fn settled(mut entries: Value) -> Value {
    for entry in entries.as_array_mut().unwrap() {
        assert!(entry.as_object_mut().unwrap().remove("timings").is_some());
    }
    entries
}

/// The entries of a prediction are those that a run of the command line has printed.
#[track_caller]
fn same(found: &Prediction, ran: &Value) {
    let own = found.to_json();
    assert_eq!(own["names"], ran["names"]);
    let (own, ran) = (settled(own["images"].clone()), settled(ran["images"].clone()));
    assert!(!own.as_array().unwrap().is_empty());
    assert_eq!(own, ran);
}

#[test]
fn faces_in_boxes() {
    let scratch = Scratch::new();
    let photo = picture("astronaut.jpg");
    let ran = hrnet![
        "predict",
        &photo,
        "--box",
        "170,78,106,112",
        "--box",
        "160,70,120,130",
        "--json",
        "--no-overlay",
        "--out",
        scratch.path("out")
    ]
    .ok()
    .json();
    let image = Image::open(&photo).unwrap();
    let boxes = [[170.0, 78.0, 106.0, 112.0], [160.0, 70.0, 120.0, 130.0]];
    let found = Model::open("face68").unwrap().predict_in(&image, &boxes).unwrap();
    same(&found, &ran);
    assert_eq!((found.people().len(), found.points().count()), (2, 136));
}

#[test]
fn a_whole_image_with_the_mirrored_one() {
    let scratch = Scratch::new();
    let photo = picture("camera.jpg");
    let out = scratch.path("out");
    let ran = hrnet!["predict", &photo, "--task", "pose", "--flip", "--json", "--out", &out].ok().json();
    let image = Image::open(&photo).unwrap();
    let found = Model::builder().flip(true).threads(1).open("pose14").unwrap().predict(&image).unwrap();
    let mut ran = ran;
    // The library does not know what was written.
    ran["images"].as_array_mut().unwrap().iter_mut().for_each(|i| i["overlay"] = Value::Null);
    same(&found, &ran);
    let drawn = Image::open(out.join("camera.points.png")).unwrap();
    assert_eq!(found.draw(&image).rgb(), drawn.rgb());
}

#[test]
fn a_mask() {
    let scratch = Scratch::new();
    let photo = picture("camera.jpg");
    let out = scratch.path("out");
    let ran = hrnet!["predict", &photo, "--task", "segmentation", "--json", "--no-overlay", "--out", &out]
        .ok()
        .json();
    let found = Model::open("camvid11").unwrap().predict(&Image::open(&photo).unwrap()).unwrap();
    same(&found, &ran);
    let own = scratch.path("own.png");
    found.save_mask(&own).unwrap();
    assert_eq!(std::fs::read(own).unwrap(), std::fs::read(out.join("camera.mask.png")).unwrap());
    let shares: f64 = found.classes().iter().map(|c| c.share).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
}

/// The program of README.md: the block of Rust that holds `fn main`.
fn shown_program() -> String {
    let page = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = page.split_once("```rust\n").expect("README.md shows a Rust program");
    rest.split_once("```").unwrap().0.to_string()
}

/// How this workspace is built without optimisation flags of its own: slow code would make the run, not the check, long.
fn profiles() -> String {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut wanted = false;
    let lines = manifest.lines().filter(|line| {
        if line.starts_with('[') {
            wanted = line.starts_with("[profile.dev");
        }
        wanted
    });
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_program_of_ten_lines_from_an_empty_crate() {
    let program = shown_program();
    assert!(program.contains("fn main"), "{program}");
    let lines = program.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 10, "{lines} lines:\n{program}");

    let scratch = Scratch::new();
    let library = root().join("crates/hrnet");
    scratch.write(
        "Cargo.toml",
        format!(
            "[package]\nname = 'pose'\nedition = '2024'\n[dependencies]\nhrnet = {{ path = '{}' }}\n{}",
            library.display(),
            profiles()
        ),
    );
    scratch.write("src/main.rs", program);
    // The versions that this workspace has, which are there without a network.
    std::fs::copy(root().join("Cargo.lock"), scratch.path("Cargo.lock")).unwrap();
    std::fs::copy(picture("astronaut.jpg"), scratch.path("photo.jpg")).unwrap();

    // Beside the binary: what the workspace has built of other people's crates is used again.
    let target = Path::new(env!("CARGO_BIN_EXE_hrnet")).ancestors().nth(2).unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["run", "--offline", "--quiet"])
        .current_dir(scratch.path(""))
        .env("CARGO_TARGET_DIR", target)
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&built.stdout), String::from_utf8_lossy(&built.stderr));
    assert!(built.status.success(), "{err}");

    let out_folder = scratch.path("out");
    let ran = hrnet!["predict", scratch.path("photo.jpg"), "--task", "pose", "--json", "--out", &out_folder]
        .ok()
        .json();
    let points = ran["images"][0]["points"].as_array().unwrap();
    let wanted: Vec<String> = points
        .iter()
        .map(|p| {
            let number = |key: &str| p[key].as_f64().unwrap();
            let name = p["name"].as_str().unwrap();
            format!("{name} {:.2} {:.2} {:.3}", number("x"), number("y"), number("score"))
        })
        .collect();
    assert_eq!(wanted.len(), 14);
    assert_eq!(out.lines().collect::<Vec<_>>(), wanted);
    let drawn = Image::open(scratch.path("pose.png")).unwrap();
    let shown = Image::open(out_folder.join("photo.points.png")).unwrap();
    assert_eq!(drawn.rgb(), shown.rgb());
}
