//! The same bits: results do not depend on the number of threads, on the batch, nor on what else is in the call.
#![forbid(unsafe_code)]

mod common;

use common::{FACE, Scratch, astronaut, bytes, hrnet, values};
use hrnet_image::{Image, encode_png};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::Path;

const THREADS: [&str; 4] = ["1", "2", "3", "8"];

/// The faces of a call, without what may differ: times and where the overlay lies.
fn faces(images: &[&Path], more: &[&str], out: &Path) -> Vec<Value> {
    let mut args: Vec<OsString> = vec!["predict".into()];
    args.extend(images.iter().map(|i| i.into()));
    args.extend(["--json".into(), "--no-overlay".into(), "--out".into(), out.into()]);
    args.extend(more.iter().map(OsString::from));
    let result = common::run(args).ok().json();
    let images = result["images"].as_array().unwrap();
    assert!(!images.is_empty());
    // Every number is printed with all its digits, so equal JSON is equal bits.
    images.iter().map(|face| json!([face["points"], face["score"], face["box"]])).collect()
}

/// A picture unlike any face, of odd size.
fn other_picture(scratch: &Scratch) -> std::path::PathBuf {
    let mut image = Image::filled(301, 203, [0; 3]);
    for (i, v) in image.data_mut().iter_mut().enumerate() {
        *v = common::pick(i as u64 / 40, 256) as u8;
    }
    scratch.write("other.png", encode_png(&image).unwrap())
}

#[test]
fn predict_with_any_number_of_threads() {
    let scratch = Scratch::new();
    let (out, other) = (scratch.path("out"), other_picture(&scratch));
    for manner in [&[][..], &["--flip", "--refine", "1"]] {
        let run = |threads: &str| {
            let more = [&["--threads", threads], manner].concat();
            let with_box = [&["--box", FACE][..], &more].concat();
            [faces(&[&astronaut()], &with_box, &out), faces(&[&other], &more, &out)]
        };
        let first = run(THREADS[0]);
        for threads in &THREADS[1..] {
            assert_eq!(run(threads), first, "{threads} threads, {manner:?}");
        }
    }
}

#[test]
fn predict_alone_and_among_others() {
    let scratch = Scratch::new();
    let (out, other, photo) = (scratch.path("out"), other_picture(&scratch), astronaut());
    let alone = faces(&[&photo], &[], &out);
    let other_alone = faces(&[&other], &[], &out);
    for threads in ["1", "3"] {
        let more = ["--threads", threads];
        let together = faces(&[&other, &photo], &more, &out);
        assert_eq!(together, [&other_alone[..], &alone].concat());
        assert_eq!(faces(&[&photo, &other], &more, &out), [&alone[..], &other_alone].concat());
    }
}

#[test]
fn a_box_alone_and_in_every_place_of_a_batch() {
    let scratch = Scratch::new();
    let (out, photo) = (scratch.path("out"), astronaut());
    // Eleven boxes: one full run of the network and the rest.
    let boxes: Vec<String> =
        (0..11).map(|i| format!("{},{},{},112", 150 + 3 * i, 60 + 2 * i, 96 + i)).collect();
    let more: Vec<&str> = boxes.iter().flat_map(|b| ["--box", b]).collect();
    let together = faces(&[&photo], &more, &out);
    assert_eq!(together.len(), boxes.len());
    assert_ne!(together[0], together[1]);
    for (place, b) in boxes.iter().enumerate() {
        assert_eq!(faces(&[&photo], &["--box", b], &out)[0], together[place], "box {place}");
    }
    let threaded = [&more[..], &["--threads", "3"]].concat();
    assert_eq!(faces(&[&photo], &threaded, &out), together);
}

#[test]
fn run_with_any_number_of_threads_and_any_batch() {
    let scratch = Scratch::new();
    let files = hrnet_proof::fixtures::checkpoints();
    // An odd side for the bilinear families, multiples of 32 for the nearest ones.
    for (name, [h, w]) in [
        ("official.pth", [64, 96]),
        ("data_parallel.pth", [75, 90]),
        ("segmentation_training.pth", [61, 67]),
        ("higher_fp16_wrapper.pth", [64, 64]),
    ] {
        let model = scratch.write(name, &files[name]);
        let shape = [3, 3, h, w];
        let batch = common::npy(&scratch, "batch.npy", &shape);
        let result = |input: &Path, threads: &str| {
            let output = scratch.path("result.npy");
            hrnet!["run", &model, "--input", input, "--output", &output, "--threads", threads].ok();
            bytes(&output)
        };
        let whole = result(&batch, THREADS[0]);
        for threads in &THREADS[1..] {
            assert_eq!(result(&batch, threads), whole, "{name}, {threads} threads");
        }
        let whole = hrnet::npy::read(&scratch.write("whole.npy", whole)).unwrap();
        let (all, image) = (values(&shape), 3 * h * w);
        for i in 0..3 {
            let one = hrnet::npy::encode(&[1, 3, h, w], &all[i * image..][..image]);
            let alone = scratch.write("alone.npy", result(&scratch.write("one.npy", one), "2"));
            let alone = hrnet::npy::read(&alone).unwrap();
            let part = &whole.data()[i * alone.data().len()..][..alone.data().len()];
            let same = alone.data().iter().zip(part).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same && part.iter().any(|v| *v != 0.0), "{name}: image {i} of the batch");
        }
    }
}

#[test]
fn eval_with_any_number_of_threads() {
    let scratch = Scratch::new();
    scratch.write("images/face.jpg", bytes(&astronaut()));
    let mut table = common::table_header(68);
    for n in 0..9 {
        let labels: Vec<String> = (0..68)
            .map(|p| format!("{},{}", 180 + common::pick(p, 90), 90 + common::pick(p + n, 90)))
            .collect();
        table += &format!("face.jpg,0.5{n},223,134,{}\n", labels.join(","));
    }
    let data = scratch.write("labels.csv", table);
    let run = |threads: &str| {
        let mut result =
            hrnet!["eval", "--task", "face", "--data", &data, "--threads", threads, "--json"].ok().json();
        result.as_object_mut().unwrap().remove("time").unwrap();
        result
    };
    let first = run(THREADS[0]);
    assert_eq!(first["samples"], 9);
    for threads in &THREADS[1..] {
        assert_eq!(run(threads), first, "{threads} threads");
    }
}
