//! Where names, mirror pairs and decoder of a model come from: the file, `--points` and `--decoder`, or a guess that is printed.
#![forbid(unsafe_code)]

mod common;

use common::{Scratch, astronaut, hrnet};
use hrnet_formats::{Precision, Recipe, load, to_safetensors};
use hrnet_ir::sets::{AP10K17, COCO17};
use hrnet_ir::{Arch, Depth, Head, Model};
use hrnet_proof::formula;
use std::path::{Path, PathBuf};

fn model(joints: usize) -> Model {
    let arch =
        Arch { width: 2, depth: Depth { layer1_planes: 2, ..Arch::small_v1().depth }, ..Arch::small_v1() };
    Model { arch, head: Head::Pose { joints, kernel: 1, branch: 0 } }
}

/// A model file without a recipe: nothing is said about its points.
fn silent(scratch: &Scratch, joints: usize) -> PathBuf {
    let weights = formula::weights(&model(joints).build().unwrap(), "");
    scratch.write("silent.safetensors", to_safetensors(&weights, None, Precision::F32).unwrap())
}

fn recipe(file: &Path) -> Recipe {
    load(&common::bytes(file), &Default::default()).unwrap().recipe.unwrap()
}

fn pairs(recipe: &Recipe) -> Vec<(usize, usize)> {
    recipe.flip_pairs.iter().map(|&[a, b]| (a, b)).collect()
}

const GUESS: &str = "points: coco17 (guessed from 17 outputs; name the set with --points)";

#[test]
fn a_guess_is_printed_as_one_and_stays_one() {
    let scratch = Scratch::new();
    let file = silent(&scratch, 17);
    let info = hrnet!["info", &file].ok();
    assert!(
        info.out.contains(GUESS) && info.out.contains("decoder: quarter (the default of the family"),
        "{info:?}"
    );
    let said = &hrnet!["info", &file, "--json"].ok().json()["points_and_decoder"];
    assert_eq!(
        (&said["set"], &said["from"], &said["guessed"]),
        (&"coco17".into(), &"guess".into(), &true.into())
    );

    let ran = hrnet!["predict", astronaut(), "--model", &file, "--out", scratch.path("out")].ok();
    assert!(ran.err.contains(GUESS), "{ran:?}");
    let out = scratch.path("converted.safetensors");
    let ran = hrnet!["convert", &file, &out].ok();
    assert!(ran.err.contains(GUESS) && ran.out.contains(GUESS), "{ran:?}");
    // A file that is converted on a guess does not become one that knows.
    let ran = hrnet!["predict", astronaut(), "--model", &out, "--out", scratch.path("out")].ok();
    assert!(ran.err.contains(GUESS), "{ran:?}");
    assert_eq!(pairs(&recipe(&out)), COCO17.flip_pairs);
}

#[test]
fn what_is_named_is_used_and_no_guess() {
    let scratch = Scratch::new();
    let file = silent(&scratch, 17);
    let out = scratch.path("ap10k.safetensors");
    let ran = hrnet!["convert", &file, &out, "--points", "AP-10K", "--decoder", "dark"].ok();
    assert!(!ran.err.contains("guess") && ran.out.contains("points: ap10k17 (from --points)"), "{ran:?}");
    let written = recipe(&out);
    assert_eq!(
        (written.points.as_deref(), pairs(&written).as_slice()),
        (Some("ap10k17"), AP10K17.flip_pairs)
    );
    assert_eq!((&written.names, written.decoder.name()), (&AP10K17.names(), "dark"));

    // The file says it now; another name is used, with a remark.
    let ran = hrnet!["info", &out].ok();
    assert!(ran.out.contains("points: ap10k17") && !ran.out.contains("guess"), "{ran:?}");
    let ran =
        hrnet!["predict", astronaut(), "--model", &out, "--points", "coco17", "--out", scratch.path("out")]
            .ok();
    assert!(ran.err.contains("remark: --points coco17 instead of points: ap10k17"), "{ran:?}");
    let ran =
        hrnet!["predict", astronaut(), "--model", &out, "--decoder", "quarter", "--out", scratch.path("out")]
            .ok();
    assert!(ran.err.contains("remark: --decoder quarter instead of decoder: dark"), "{ran:?}");
}

#[test]
fn sets_and_decoders_that_do_not_fit_are_errors() {
    let scratch = Scratch::new();
    let file = silent(&scratch, 17);
    let out = scratch.path("out.safetensors");
    hrnet!["convert", &file, &out, "--points", "mpii16"].fails(1, &["mpii16", "17 points"]);
    hrnet!["convert", &file, &out, "--points", "nonsense"].fails(1, &["nonsense", "ap10k17", "docs/sets.md"]);
    hrnet!["convert", &file, &out, "--decoder", "udp-combined"].fails(1, &["udp-combined", "17 outputs"]);
    hrnet!["convert", &file, &out, "--decoder", "magic"].fails(2, &["magic"]);
    assert!(!out.exists());
}

#[test]
fn udp_brings_three_maps_or_one() {
    let scratch = Scratch::new();
    let file = silent(&scratch, 51);
    let out = scratch.path("udp.safetensors");
    hrnet!["convert", &file, &out, "--points", "ap10k17", "--decoder", "udp-combined"].ok();
    let written = recipe(&out);
    assert_eq!((written.point_count(), written.names.len()), (17, 17));
    let ran = hrnet!["predict", astronaut(), "--model", &out, "--out", scratch.path("out"), "--json"].ok();
    assert_eq!(
        ran.json()["instances"].as_array().map_or(0, |i| i[0]["points"].as_array().map_or(0, Vec::len)),
        17
    );
}
