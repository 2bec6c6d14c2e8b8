//! Models that look at whole images, through the binary: bottom-up pose and classification, with small networks whose weights
//! are a formula. `predict` must say what the library says, number for number, and `eval` what a plain count says.
#![forbid(unsafe_code)]

mod common;

use common::{Scratch, bytes, hrnet, json_file};
use hrnet::result::Instance;
use hrnet::tasks::bottom_up::{BottomUp, Options};
use hrnet::tasks::{Classifier, ClassifyOptions};
use hrnet_formats::{Precision, Recipe, to_safetensors};
use hrnet_image::{Image, decode, encode_png};
use hrnet_ir::{Arch, Head, Model, Weights};
use hrnet_kernels::Pool;
use hrnet_proof::formula;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn picture(seed: usize, width: usize, height: usize) -> Image {
    let wave = |i: usize| {
        let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
        let v = 100.0 + 80.0 * ((x * (seed + 1)) as f64 / 23.0 + c as f64 * (1.0 + seed as f64)).sin();
        (v + 70.0 * ((y * (seed % 5 + 1)) as f64 / 13.0).cos()).clamp(0.0, 255.0) as u8
    };
    Image::new(width, height, (0..width * height * 3).map(wave).collect()).unwrap()
}

/// A model file, and what is in it.
fn model(scratch: &Scratch, head: Head, size: usize, names: &[&str]) -> (PathBuf, Weights, Recipe) {
    let model = Model { arch: Arch { width: 4, ..Arch::small_v1() }, head };
    let mut weights = formula::weights(&model.build().unwrap(), "");
    // The scores of formula weights are nearly alike: the last layer is made to tell classes apart.
    for name in ["classifier.weight", "classifier.bias"] {
        if let Some(mut last) = weights.get(name).cloned() {
            last.data_mut().iter_mut().for_each(|v| *v *= 40.0);
            weights.insert(name, last);
        }
    }
    let mut recipe = Recipe::for_model(&model, "test");
    recipe.input_size = (size, size);
    if !names.is_empty() {
        recipe.names = names.iter().map(ToString::to_string).collect();
    }
    let file = to_safetensors(&weights, Some(&recipe), Precision::F32).unwrap();
    (scratch.write("model.safetensors", file), weights, recipe)
}

fn pool() -> Arc<Pool> {
    Arc::new(Pool::new(2))
}

fn library(path: &Path, weights: &Weights, recipe: &Recipe, options: Options) -> Vec<Instance> {
    let image = decode(&bytes(path), &Default::default(), Default::default()).unwrap().image;
    let mut model = BottomUp::new(weights.clone(), recipe.clone(), pool(), options).unwrap();
    model.predict(&image).unwrap().people
}

/// The persons of an image in a document of `predict`, as `[x, y, score]` per point, and the score of the person.
fn people(document: &Value, input: &str) -> Vec<(Vec<[f64; 3]>, f64)> {
    let entries = document["images"].as_array().unwrap().iter().filter(|i| i["input"] == input);
    let point = |p: &Value| ["x", "y", "score"].map(|k| p[k].as_f64().unwrap_or(f64::NAN));
    entries
        .map(|i| (i["points"].as_array().unwrap().iter().map(point).collect(), i["score"].as_f64().unwrap()))
        .collect()
}

#[test]
fn bottom_up_persons_are_those_of_the_library() {
    let scratch = Scratch::new();
    let (file, weights, recipe) = model(&scratch, Head::Higher { joints: 17 }, 64, &[]);
    let inputs: Vec<PathBuf> = [(1, 80, 64), (2, 64, 100)]
        .map(|(n, w, h)| scratch.write(&format!("photos/{n}.png"), encode_png(&picture(n, w, h)).unwrap()))
        .to_vec();
    for (arguments, options) in [
        (&["--max-people", "9"][..], Options { flip: false, max_people: 9, ..Options::default() }),
        (&["--flip", "--max-people", "4"], Options { flip: true, max_people: 4, ..Options::default() }),
    ] {
        let out = scratch.path("out");
        let mut all = vec!["predict".into(), scratch.path("photos").into(), "--model".into()];
        all.extend([file.clone().into(), "--out".into(), out.into(), "--json".into()]);
        all.extend(arguments.iter().map(Into::into));
        let document = common::run(all).ok().json();
        assert_eq!((&document["task"], &document["failed"]), (&json!("bottom_up_pose"), &json!([])));
        assert_eq!(document["names"].as_array().unwrap().len(), 17);
        for input in &inputs {
            let want = library(input, &weights, &recipe, options.clone());
            let got = people(&document, &input.to_string_lossy());
            assert!(!want.is_empty() && want.len() == got.len(), "{} {}", want.len(), got.len());
            for (want, (points, score)) in want.iter().zip(&got) {
                assert_eq!(want.score, *score);
                for (want, &[x, y, s]) in want.points.iter().zip(points) {
                    let missing = want.at.iter().any(|v| v.is_nan());
                    assert!(missing && x.is_nan() || want.at == [x, y], "{want:?} {x} {y}");
                    assert_eq!(want.score, s as f32);
                }
            }
        }
    }
    assert_eq!(scratch.files("out").len(), 4, "{:?}", scratch.files("out"));
}

/// A COCO file whose persons are these, moved to the right.
fn labels(people: &[(Vec<[f64; 3]>, f64)], names: &[String], moved: f64) -> Value {
    let person = |(id, (points, _)): (usize, &(Vec<[f64; 3]>, f64))| {
        let there = |p: &&[f64; 3]| p[0].is_finite() && p[2] > 0.0;
        let span = |axis: usize| {
            let values = points.iter().filter(there).map(|p| p[axis]);
            let [low, high] = [f64::INFINITY, f64::NEG_INFINITY];
            values.fold([low, high], |[a, b], v| [a.min(v), b.max(v)])
        };
        let ([x0, x1], [y0, y1]) = (span(0), span(1));
        let area = (x1 - x0).max(1.0) * (y1 - y0).max(1.0);
        let point = |p: &[f64; 3]| match there(&p) {
            true => [p[0] + moved, p[1], 2.0],
            false => [0.0; 3],
        };
        json!({
            "id": id + 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": area,
            "bbox": [x0 + moved, y0, x1 - x0, y1 - y0],
            "num_keypoints": points.iter().filter(there).count(),
            "keypoints": points.iter().flat_map(point).collect::<Vec<f64>>(),
        })
    };
    json!({
        "images": [{ "id": 1, "file_name": "1.png", "width": 80, "height": 64 }],
        "categories": [{ "id": 1, "name": "person", "keypoints": names, "skeleton": [] }],
        "annotations": people.iter().enumerate().map(person).collect::<Vec<Value>>(),
    })
}

#[test]
fn eval_of_bottom_up_persons_finds_them_where_they_are() {
    let scratch = Scratch::new();
    let (file, ..) = model(&scratch, Head::Higher { joints: 17 }, 64, &[]);
    let photo = scratch.write("1.png", encode_png(&picture(1, 80, 64)).unwrap());
    let ran = hrnet![
        "predict",
        &photo,
        "--model",
        &file,
        "--out",
        scratch.path("out"),
        "--json",
        "--max-people",
        "5"
    ];
    let document = ran.ok().json();
    let found = people(&document, &photo.to_string_lossy());
    assert!(!found.is_empty());
    let names: Vec<String> = serde_json::from_value(document["names"].clone()).unwrap();
    let figure = |moved: f64| {
        let data = scratch.write("labels.json", labels(&found, &names, moved).to_string());
        let report = scratch.path("report.html");
        let ran = hrnet![
            "eval",
            "--data",
            &data,
            "--images",
            scratch.path("."),
            "--model",
            &file,
            "--max-people",
            "5",
            "--metric",
            "ap",
            "--report",
            &report,
            "--json"
        ];
        let result = ran.ok().json();
        assert_eq!((&result["schema"], &result["task"]), (&json!("hrnet.eval/1"), &json!("bottom_up_pose")));
        assert!(common::text(&report).contains("<svg"));
        result["figures"]["ap"].as_f64().unwrap_or_else(|| panic!("{result}"))
    };
    assert_eq!(figure(0.0), 1.0);
    // Eighty pixels away nothing is found.
    assert_eq!(figure(80.0), 0.0);
}

#[test]
fn classes_are_those_of_the_library() {
    let scratch = Scratch::new();
    let names = ["ant", "bee", "cat", "dog", "emu"];
    let (file, weights, recipe) = model(&scratch, Head::Classify { classes: 5, bias: true }, 64, &names);
    let mut model = Classifier::new(weights, recipe, pool(), ClassifyOptions::default()).unwrap();
    let mut best = Vec::new();
    for n in 0..6 {
        let image = picture(n, 70 + 9 * n, 90);
        let photo = scratch.write(&format!("photos/{n}.png"), encode_png(&image).unwrap());
        let want = model.predict(&[&image]).unwrap().0.swap_remove(0);
        let out = scratch.path("out");
        let ran = hrnet!["predict", &photo, "--model", &file, "--out", &out, "--json", "--top", "3"];
        let document = ran.ok().json();
        assert_eq!(document["task"], json!("classification"));
        let got = document["classes"].as_array().unwrap_or_else(|| panic!("{document}"));
        assert_eq!(got.len(), 3);
        for (want, got) in want.iter().zip(got) {
            assert_eq!(got["class"], json!(want.class));
            assert_eq!(got["name"], json!(names[want.class]));
            assert_eq!(got["probability"].as_f64().unwrap() as f32, want.probability);
        }
        let file = json_file(&out.join(format!("{n}.json")));
        assert_eq!(file["images"][0]["classes"], document["classes"]);
        best.push(want.iter().map(|r| r.class).collect::<Vec<_>>());
    }

    // Every second image lies in the folder of its best class, the others in that of their second.
    for (n, ranked) in best.iter().enumerate() {
        let class = names[ranked[n % 2]];
        scratch.write(&format!("set/{class}/{n}.png"), bytes(&scratch.path(&format!("photos/{n}.png"))));
    }
    let ran = hrnet!["eval", "--data", scratch.path("set"), "--model", &file, "--json"].ok();
    let result = ran.json();
    assert_eq!((&result["task"], &result["samples"]), (&json!("classification"), &json!(6)));
    assert_eq!((&result["figures"]["top1"], &result["figures"]["top5"]), (&json!(0.5), &json!(1.0)));
}

/// A checkpoint without a recipe is described by a configuration of the official repositories, which must fit.
#[test]
fn convert_takes_the_recipe_from_a_configuration() {
    let scratch = Scratch::new();
    let yaml = common::text(&hrnet_proof::fixtures::repository().join("testdata/yacs/classification.yaml"));
    let model = Model { arch: Arch::small_v1(), head: Head::Classify { classes: 1000, bias: true } };
    let weights = formula::weights(&model.build().unwrap(), "");
    let bare = scratch.write("bare.safetensors", to_safetensors(&weights, None, Precision::F16).unwrap());
    let out = scratch.path("model.safetensors");

    let size = yaml.replace("IMAGE_SIZE: [224, 224]", "IMAGE_SIZE: [192, 160]");
    let cfg = scratch.write("size.yaml", size);
    hrnet!["convert", &bare, &out, "--cfg", &cfg].ok();
    let document = hrnet!["info", &out, "--json"].ok().json();
    assert!(document.to_string().contains("[160,192]"), "{document}");
    std::fs::remove_file(&out).unwrap();

    for (text, words) in [
        (yaml.replace("[16, 32", "[18, 36").replace("64", "72").replace("128", "144"), "W18"),
        (yaml.replace("NUM_CHANNELS", "NUM_CHANNEL"), "NUM_CHANNELS"),
    ] {
        let cfg = scratch.write("other.yaml", text);
        hrnet!["convert", &bare, &out, "--cfg", &cfg].fails(1, &["other.yaml", words]);
        assert!(!out.exists());
    }
}
