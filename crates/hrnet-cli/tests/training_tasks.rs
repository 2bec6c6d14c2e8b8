//! Training of persons, segmentation and classes from outside: a file of paths is enough, runs resume to the same bytes, wrong data are
//! named, and a run can be stopped.
#![forbid(unsafe_code)]

mod common;

use common::{Scratch, bytes, command, grey_png, hrnet, json_file, pick, text};
use hrnet::config::TrainConfig;
use hrnet::model::LoadedModel;
use hrnet_image::{Image, encode_png};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Pictures of 48x48 with a red left and a green right blob and a blue one between; COCO key points.
fn persons(scratch: &Scratch, count: usize) -> PathBuf {
    let (mut images, mut people) = (Vec::new(), Vec::new());
    for n in 0..count {
        let mut image = Image::filled(48, 48, [60 + (n % 8) as u8 * 10; 3]);
        let mut points = Vec::new();
        for (p, colour) in [[230, 40, 40], [40, 230, 40], [40, 40, 230]].into_iter().enumerate() {
            let at = |axis: u64| 10 + pick((n * 10 + p * 2) as u64 + axis, 28);
            let (x, y) = (at(0), at(1));
            for (dy, dx) in (0..25).map(|i| (i / 5, i % 5)) {
                image.set_pixel((x + dx - 2) as usize, (y + dy - 2) as usize, colour);
            }
            points.extend([json!(x), json!(y), json!(2)]);
        }
        scratch.write(&format!("people/images/{n}.png"), encode_png(&image).unwrap());
        images.push(json!({"id": n, "file_name": format!("{n}.png"), "width": 48, "height": 48}));
        people.push(json!({"id": n, "image_id": n, "category_id": 1, "bbox": [4, 4, 40, 40],
            "num_keypoints": 3, "area": 1600, "iscrowd": 0, "keypoints": points}));
    }
    let category = json!({"id": 1, "name": "thing", "keypoints": ["left_shoulder", "right_hip", "nose"],
        "skeleton": [[1, 3], [2, 3]], "flip_pairs": [[0, 1]]});
    let set = json!({"images": images, "annotations": people, "categories": [category]});
    scratch.write("people/all.json", set.to_string())
}

/// Pictures of 40x32 whose left half is class 0 and whose right half is class 1.
fn halves(scratch: &Scratch, count: usize) -> PathBuf {
    let mut list = String::new();
    for n in 0..count {
        let edge = 12 + pick(n as u64, 16) as usize;
        let (mut image, mut label) = (Image::filled(40, 32, [40, 60, 80]), vec![0u8; 40 * 32]);
        for (y, x) in (0..40 * 32).map(|i| (i / 40, i % 40)).filter(|(_, x)| *x >= edge) {
            image.set_pixel(x, y, [200, 180, 90]);
            label[y * 40 + x] = 1;
        }
        label[..40].fill(2);
        scratch.write(&format!("seg/{n}.png"), encode_png(&image).unwrap());
        scratch.write(&format!("seg/{n}_label.png"), grey_png(40, 32, &label));
        list += &format!("{n}.png {n}_label.png\n");
    }
    scratch.write("seg/classes.txt", "left\nright\n");
    scratch.write("seg/all.lst", list)
}

/// Two folders of pictures.
fn folders(scratch: &Scratch, count: usize) -> PathBuf {
    for n in 0..count {
        let (name, colour) = if n % 2 == 0 { ("blue", [30, 40, 220]) } else { ("red", [220, 40, 30]) };
        let mut image = Image::filled(40, 36, colour);
        image.set_pixel(n % 40, 3, [255; 3]);
        scratch.write(&format!("classes/{name}/{n}.png"), encode_png(&image).unwrap());
    }
    scratch.path("classes")
}

/// A file of paths, and a size that suits small pictures.
fn data_file(scratch: &Scratch, name: &str, set: &Path, extra: &str) -> PathBuf {
    let set = set.display();
    scratch.write(name, format!("train = '{set}'\nval = '{set}'\n{extra}\n[input]\nsize = [32, 32]\n"))
}

fn log(out: &Path) -> Vec<Value> {
    text(&out.join("log.jsonl")).lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Runs a file of paths; a stopped and resumed run, on other threads, ends with the same models.
fn trains(scratch: &Scratch, file: &Path, head: &str, figure: &str) -> Value {
    let whole = scratch.path("whole");
    let with = ["--head", head, "--arch", "w18-small", "--epochs", "3", "--batch", "4"];
    let run = |out: &Path, more: &[&str]| {
        let mut args: Vec<std::ffi::OsString> = vec!["train".into(), file.into(), "--out".into(), out.into()];
        args.extend(with.iter().chain(more).map(Into::into));
        common::run(args).ok()
    };
    let summary = run(&whole, &["--threads", "2", "--json"]).json();
    assert_eq!((&summary["steps"], &summary["finished"]), (&json!(6), &json!(true)));
    assert!(summary[format!("best_{figure}")].as_f64().unwrap() >= 0.0, "{summary}");
    let part = scratch.path("part");
    run(&part, &["--threads", "1", "--max-steps", "3"]);
    run(&part, &["--threads", "3", "--resume", "auto"]);
    for name in ["last.safetensors", "best.safetensors"] {
        assert!(bytes(&whole.join(name)) == bytes(&part.join(name)), "{name} differs");
    }
    let judged: Vec<Value> = log(&whole).into_iter().filter(|l| l[figure].is_number()).collect();
    assert_eq!(judged.len(), 3);
    for name in ["config.toml", "metric.png", "worst.png"] {
        assert!(whole.join(name).is_file(), "{name}");
    }
    // `eval` says of the file what the run said.
    let config = TrainConfig::parse(&text(&whole.join("config.toml"))).unwrap();
    let (name, metric) = match head {
        "pose" => ("pck", ["--metric", "pck"]),
        "segmentation" => ("mean_iou", ["--ignore", "2"]),
        _ => ("top1", ["--worst-count", "1"]),
    };
    let (data, model) = (config.data.val.unwrap(), whole.join("last.safetensors"));
    let ran = hrnet!["eval", "--data", &data, "--model", &model, "--json", metric[0], metric[1]].ok();
    let (said, measured) = (judged[2][figure].as_f64(), ran.json()["figures"][name].as_f64());
    assert!((said.unwrap() - 100.0 * measured.unwrap()).abs() < 1e-9, "{said:?} {measured:?}");
    // What the folder says can be run again from anywhere.
    hrnet!["train", whole.join("config.toml"), "--out", &whole, "--resume", "auto"].ok();
    hrnet!["info", whole.join("best.safetensors"), "--json"].ok().json()
}

#[test]
fn persons_from_a_file_of_paths() {
    let scratch = Scratch::new();
    let set = persons(&scratch, 8);
    let file = data_file(&scratch, "people.toml", &set, "metric = 'pck'");
    let info = trains(&scratch, &file, "pose", "pck_percent");
    assert_eq!((&info["family"], &info["points"]), (&json!("pose"), &json!(3)));
    let recipe = &info["recipe"];
    assert_eq!(recipe["names"], json!(["left_shoulder", "right_hip", "nose"]));
    assert_eq!(recipe["flip_pairs"], json!([[0, 1]]));
    assert_eq!(recipe["skeleton"], json!([[0, 2], [1, 2]]));
    assert_eq!(recipe["metric"]["set"], json!("all.json"));
}

#[test]
fn segmentation_from_a_file_of_paths() {
    let scratch = Scratch::new();
    let list = halves(&scratch, 8);
    let file = data_file(&scratch, "seg.toml", &list, "ignore = [2]\nclass_weights = 'root'");
    let info = trains(&scratch, &file, "segmentation", "miou_percent");
    assert_eq!(
        (&info["family"], &info["recipe"]["names"]),
        (&json!("segmentation"), &json!(["left", "right"]))
    );
}

#[test]
fn classes_from_a_file_of_paths() {
    let scratch = Scratch::new();
    let root = folders(&scratch, 8);
    let file = data_file(&scratch, "classes.toml", &root, "");
    let info = trains(&scratch, &file, "classification", "top1_percent");
    assert_eq!(
        (&info["family"], &info["recipe"]["names"]),
        (&json!("classification"), &json!(["blue", "red"]))
    );
}

#[test]
fn wrong_data_are_named() {
    let scratch = Scratch::new();
    let out = scratch.path("run");
    let set = persons(&scratch, 4);
    let good = text(&set);
    let file = data_file(&scratch, "people.toml", &set, "");
    // Without the check of the data, whose findings have a file of tests of their own.
    let fails = |words: &[&str]| {
        let with = ["--out", "--epochs", "1", "--batch", "4", "--skip-check"];
        hrnet!["train", &file, "--head", "pose", with[0], &out, with[1], with[2], with[3], with[4], with[5]]
            .fails(1, words);
        assert!(scratch.files("run").is_empty(), "{:?}", scratch.files("run"));
    };
    scratch.write("people/all.json", good.replacen("\"keypoints\":[", "\"keypoints\":[NaN,", 1));
    fails(&["all.json"]);
    scratch.write("people/all.json", good.replace(",2,", ",0,").replace(",2]", ",0]"));
    fails(&["none of the 4 persons"]);
    scratch.write("people/all.json", good.replace("\"0.png\"", "\"nowhere.png\""));
    fails(&["nowhere.png"]);
    let unpaired = good.replace("left_shoulder", "a").replace("right_hip", "b");
    let unpaired = unpaired.replace("\"flip_pairs\":[[0,1]],", "");
    scratch.write("people/all.json", unpaired);
    fails(&["all.json", "flip_pairs"]);
    scratch.write("people/all.json", &good);
    // A batch that normalises nothing.
    hrnet!["train", &file, "--head", "pose", "--out", &out, "--batch", "1"]
        .fails(1, &["batch norm needs more than one value"]);
    hrnet!["train", &file, "--out", &out].fails(1, &["people.toml", "--head"]);
    hrnet!["train", &file, "--out", &out, "--head", "pose", "--arch", "resnet50"].fails(1, &["resnet50"]);

    let list = halves(&scratch, 4);
    let file = data_file(&scratch, "seg.toml", &list, "");
    // The number 2 is neither a class nor ignored.
    hrnet!["train", &file, "--head", "segmentation", "--out", &out, "--skip-check"]
        .fails(1, &["0_label.png", "number 2"]);
    let file = data_file(&scratch, "seg.toml", &list, "ignore = [0, 1, 2]");
    hrnet!["train", &file, "--head", "segmentation", "--out", &out].fails(1, &["no pixel"]);
    std::fs::remove_file(scratch.path("seg/classes.txt")).unwrap();
    hrnet!["train", &file, "--head", "segmentation", "--out", &out].fails(1, &["data.classes"]);

    let root = folders(&scratch, 4);
    std::fs::create_dir(root.join("empty")).unwrap();
    let file = data_file(&scratch, "classes.toml", &root, "");
    hrnet!["train", &file, "--head", "classification", "--out", &out].fails(1, &["empty"]);
    assert!(!out.exists(), "a run that did not begin left its folder");
}

/// What README shows, on a set smaller than the batch that is the default.
#[test]
fn a_set_smaller_than_the_batch_is_the_batch() {
    let scratch = Scratch::new();
    let set = persons(&scratch, 5);
    let file = data_file(&scratch, "data.toml", &set, "");
    let out = scratch.path("run");
    let ran = hrnet!["train", &file, "--head", "pose", "--out", &out, "--epochs", "2", "--json"].ok();
    assert!(ran.err.contains("the training set has 5"), "{}", ran.err);
    assert_eq!((&ran.json()["steps"], &ran.json()["finished"]), (&json!(2), &json!(true)));
    let best = out.join("best.safetensors");
    hrnet!["eval", "--task", "pose", "--data", &set, "--model", &best].ok();
}

#[test]
fn one_image_and_a_batch_of_one_is_a_run() {
    let scratch = Scratch::new();
    let set = persons(&scratch, 1).display().to_string();
    let file =
        scratch.write("one.toml", format!("train = '{set}'\nval = '{set}'\n[input]\nsize = [64, 64]\n"));
    let out = scratch.path("run");
    let args = ["--head", "pose", "--batch", "1", "--epochs", "2", "--json"];
    let mut all: Vec<std::ffi::OsString> = vec!["train".into(), file.into(), "--out".into(), out.into()];
    all.extend(args.iter().map(Into::into));
    let summary = common::run(all).ok().json();
    assert_eq!((&summary["steps"], &summary["finished"]), (&json!(2), &json!(true)));
}

#[test]
fn a_run_without_progress_ends_early() {
    let scratch = Scratch::new();
    let root = folders(&scratch, 8);
    let root = root.display();
    let config = format!(
        "task = 'classification'\n[input]\nsize = [32, 32]\n[data]\ntrain = '{root}'\nval = '{root}'\n\
         [train]\nepochs = 50\nbatch = 4\npatience = 3\noptimizer = {{ kind = 'sgd' }}\n\
         schedule = {{ base = 0.0 }}\nema = 0.0\n"
    );
    let file = scratch.write("still.toml", config);
    let out = scratch.path("run");
    let ran = hrnet!["train", &file, "--out", &out, "--json"].ok();
    // Weights stay, but the running statistics of the batch norms do not: a new best may come late.
    let judged = log(&out).iter().filter(|l| l["top1_percent"].is_number()).count();
    assert!((4..50).contains(&judged), "{judged}");
    let stale = log(&out)
        .iter()
        .rev()
        .take_while(|l| l["best"] != json!(true))
        .filter(|l| l["best"].is_boolean())
        .count();
    assert_eq!(stale, 3, "{ran:?}");
    assert_eq!(ran.json()["finished"], json!(true));
    assert!(ran.err.contains("finished"), "{ran:?}");
}

#[test]
fn the_rate_finder_writes_a_picture_and_no_run() {
    let scratch = Scratch::new();
    let file = data_file(&scratch, "people.toml", &persons(&scratch, 8), "");
    let out = scratch.path("run");
    let ran = hrnet![
        "train",
        &file,
        "--head",
        "pose",
        "--batch",
        "4",
        "--out",
        &out,
        "--find-rate",
        "--max-steps",
        "40",
        "--json"
    ]
    .ok();
    let found = ran.json();
    let curve = found["curve"].as_array().unwrap();
    assert!((5..=40).contains(&curve.len()), "{found}");
    let rates: Vec<f64> = curve.iter().map(|p| p[0].as_f64().unwrap()).collect();
    assert!((rates[0] - 1e-6).abs() < 1e-12);
    for pair in rates.windows(2) {
        assert!((pair[1] / pair[0] - 1e6f64.powf(1.0 / 39.0)).abs() < 1e-6, "{rates:?}");
    }
    assert!(found["suggested"].as_f64().unwrap() > 1e-6, "{found}");
    assert_eq!(scratch.files("run"), ["rate.png"]);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_saves_and_ends() {
    let scratch = Scratch::new();
    let file = data_file(&scratch, "people.toml", &persons(&scratch, 8), "");
    let out = scratch.path("run");
    let whole = scratch.path("whole");
    let with = ["--head", "pose", "--batch", "4", "--epochs", "30"];
    let args = |out: &Path, more: &[&str]| {
        let mut all: Vec<std::ffi::OsString> =
            vec!["train".into(), file.clone().into(), "--out".into(), out.into()];
        all.extend(with.iter().chain(more).map(Into::into));
        all
    };
    let mut child = command(&args(&out, &[])).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // The first evaluation has been written: the run is going on.
    while child.try_wait().unwrap().is_none() && !out.join("best.safetensors").exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = child.id().to_string();
    let _ = std::process::Command::new("kill").args(["-INT", &pid]).status();
    let ended = child.wait_with_output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{err}");
    assert!(err.contains("--resume auto") || err.contains("finished after 60 steps"), "{err}");
    assert!(out.join("last.safetensors").is_file());
    common::run(args(&out, &["--resume", "auto"])).ok();
    common::run(args(&whole, &[])).ok();
    assert!(bytes(&out.join("last.safetensors")) == bytes(&whole.join("last.safetensors")));
    assert!(json_file(&scratch.path("people/all.json"))["images"].is_array());
}

/// The configuration of a short run: a file of paths with further sections.
fn recipe(scratch: &Scratch, name: &str, set: &Path, text: &str) -> PathBuf {
    let set = set.display();
    let (data, sections) = text.split_once("---").unwrap_or((text, ""));
    scratch.write(name, format!("[data]\ntrain = '{set}'\nval = '{set}'\n{data}\n{sections}\n"))
}

/// Runs to the end, and again with a stop after two steps; the models are the same.
fn runs(scratch: &Scratch, file: &Path, head: &str, more: &[&str]) -> (Value, PathBuf) {
    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
    let run = |out: &Path, last: &[&str]| {
        let mut args: Vec<std::ffi::OsString> = vec!["train".into(), file.into(), "--out".into(), out.into()];
        let fixed = ["--head", head, "--epochs", "2", "--json"];
        args.extend(fixed.iter().chain(more).chain(last).map(Into::into));
        common::run(args).ok().json()
    };
    let (whole, part) = (scratch.path(&format!("{name}-whole")), scratch.path(&format!("{name}-part")));
    let summary = run(&whole, &["--threads", "2"]);
    assert_eq!(summary["finished"], json!(true), "{name}: {summary}");
    run(&part, &["--threads", "1", "--max-steps", "2"]);
    run(&part, &["--threads", "2", "--resume", "auto"]);
    assert!(
        bytes(&whole.join("last.safetensors")) == bytes(&part.join("last.safetensors")),
        "{name} differs"
    );
    (summary, whole)
}

#[test]
fn every_loss_can_be_configured() {
    let mut kinds = std::collections::BTreeSet::new();
    let mut parse = |task: &str, more: &str| {
        let text = format!("task = '{task}'\n[data]\ntrain = 'a'\n{more}");
        let config = TrainConfig::parse(&text).unwrap();
        assert_eq!(TrainConfig::parse(&config.to_toml().unwrap()).unwrap(), config, "{text}");
        let loss = config.train.loss.loss();
        kinds.insert(serde_json::to_value(&loss).unwrap()["kind"].as_str().unwrap().to_string());
    };
    parse("pose", "");
    parse("pose", "[train.loss]\nkind = 'heatmap_mse'\nform = 'joints'");
    parse("pose", "[train.loss]\nkind = 'ohkm'\ntop = 3");
    parse("face", "[train.loss]\nkind = 'adaptive_wing'\nomega = 10.0");
    parse("pose", "[train.loss]\nkind = 'udp_combined'\n[target]\nudp = true");
    parse("segmentation", "[train.loss]\nohem = { threshold = 0.7, keep = 100 }");
    parse("classification", "[train.loss]\nsmoothing = 0.1\n[train.mix]\nmixup = 0.2\nprobability = 0.5");
    parse("bottom_up", "[train.loss]\npush = 0.01");
    // A new loss of the trainer belongs here; its `check` names them all.
    let all = [
        "heatmap_mse",
        "cross_entropy",
        "pixel_cross_entropy",
        "ohkm",
        "udp_combined",
        "adaptive_wing",
        "bottom_up",
    ];
    assert_eq!(kinds, all.map(String::from).into());
    for (task, more, words) in [
        ("pose", "[train.loss]\nkind = 'okhm'", ["okhm", "did you mean `ohkm`"]),
        ("pose", "[train.loss]\nkind = 'ohkm'\ntopp = 3", ["topp", "`top`"]),
        ("pose", "[train.loss]\nkind = 'udp_combined'", ["udp_combined", "target.udp"]),
        ("face", "[train.mix]\nmixup = 0.2", ["train.mix", "classification"]),
        ("pose", "[model]\nhead = 'ocr'", ["model.head", "segmentation"]),
        ("pose", "[train]\nloss_weights = [1.0, 1.0]", ["loss_weights", "1 output"]),
        ("pose", "[train]\naccumulate = 0", ["accumulate", "positive"]),
        ("pose", "[train.freeze]\nstages = 5", ["freeze.stages", "4 stages"]),
        ("classification", "[train.mix]\nprobability = 2.0", ["train.mix", "probability"]),
        ("bottom_up", "[target]\nudp = true", ["target", "bottom_up"]),
    ] {
        let text = format!("task = '{task}'\n[data]\ntrain = 'a'\n{more}");
        let message = format!("{:#}", TrainConfig::parse(&text).unwrap_err());
        assert!(words.iter().all(|w| message.contains(w)), "{more}: {message}");
    }
}

#[test]
fn recipes_of_persons() {
    let scratch = Scratch::new();
    let set = persons(&scratch, 8);
    let form = "metric = 'pck'---[input]\nsize = [32, 32]\n";
    for (name, text) in [
        ("ohkm", "[train.loss]\nkind = 'ohkm'\ntop = 2"),
        ("wing", "[train.loss]\nkind = 'adaptive_wing'"),
        ("combined", "[target]\nudp = true\n[train.loss]\nkind = 'udp_combined'"),
        ("rates", "[train]\nlayer_rates = [{ prefix = 'final_layer', factor = 10.0 }]"),
    ] {
        let file = recipe(&scratch, &format!("{name}.toml"), &set, &format!("{form}{text}"));
        let (summary, _) = runs(&scratch, &file, "pose", &["--batch", "4"]);
        assert!(summary["best_pck_percent"].is_number(), "{name}: {summary}");
    }
    // Three maps per point are one point of the model file.
    let combined = scratch.path("combined-whole/best.safetensors");
    let info = hrnet!["info", &combined, "--json"].ok().json();
    assert_eq!(info["recipe"]["names"].as_array().unwrap().len(), 3, "{info}");
    let image = scratch.path("people/images/0.png");
    let shown = scratch.path("shown");
    hrnet!["predict", &image, "--model", &combined, "--box", "4,4,40,40", "--out", &shown].ok();
    hrnet!["eval", "--task", "pose", "--data", &set, "--model", &combined].ok();

    // Two batches per step: 8 batches are 4 steps, and a stop between two batches of a step changes nothing.
    let file = recipe(&scratch, "accumulate.toml", &set, &format!("{form}[train]\naccumulate = 2"));
    let (summary, _) = runs(&scratch, &file, "pose", &["--batch", "2"]);
    assert_eq!(summary["steps"], json!(4));

    // What is frozen stays, the rest learns.
    let text = format!("{form}[train]\nfreeze = {{ stages = 2, statistics = 'frozen_layers' }}");
    let file = recipe(&scratch, "freeze.toml", &set, &text);
    let (_, out) = runs(&scratch, &file, "pose", &["--batch", "4"]);
    let weights = |name: &str| LoadedModel::open(&out.join(name), &Default::default()).unwrap().weights;
    let unfrozen = weights("last.safetensors");
    let plain = recipe(&scratch, "plain.toml", &set, form);
    let (_, out) = runs(&scratch, &plain, "pose", &["--batch", "4"]);
    let free = LoadedModel::open(&out.join("last.safetensors"), &Default::default()).unwrap().weights;
    let fresh = {
        let config = TrainConfig::load(&out.join("config.toml")).unwrap();
        let net = config.model(3).unwrap().build().unwrap();
        hrnet_train::init::weights(&net, config.model.init, config.seed)
    };
    let moved = |weights: &hrnet_ir::Weights, name: &str| -> f32 {
        let (a, b) = (weights.get(name).unwrap().data(), fresh.get(name).unwrap().data());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    for name in
        ["conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "stage2.0.branches.0.0.conv1.weight"]
    {
        // Files hold halves.
        assert!(moved(&unfrozen, name) < 1e-3, "{name} moved by {}", moved(&unfrozen, name));
        assert!(moved(&free, name) > moved(&unfrozen, name), "{name} did not learn");
    }
    assert!(moved(&unfrozen, "final_layer.weight") > 1e-4);
    let wrong =
        recipe(&scratch, "wrong.toml", &set, &format!("{form}[train]\nfreeze = {{ layers = ['conv9'] }}"));
    let out = scratch.path("none");
    hrnet!["train", &wrong, "--head", "pose", "--out", &out, "--batch", "4"]
        .fails(1, &["freeze.layers", "conv9"]);
}

#[test]
fn bottom_up_from_a_file_of_paths() {
    let scratch = Scratch::new();
    let set = persons(&scratch, 4);
    let file = recipe(&scratch, "people.toml", &set, "---[input]\nsize = [64, 64]\n");
    let (summary, out) = runs(&scratch, &file, "bottom-up", &["--batch", "2"]);
    assert!(summary["best_pck_percent"].is_number(), "{summary}");
    let model = out.join("best.safetensors");
    let info = hrnet!["info", &model, "--json"].ok().json();
    assert_eq!(info["recipe"]["names"], json!(["left_shoulder", "right_hip", "nose"]), "{info}");
    for name in ["metric.png", "config.toml"] {
        assert!(out.join(name).is_file(), "{name}");
    }
    let (image, shown) = (scratch.path("people/images/0.png"), scratch.path("shown"));
    hrnet!["predict", image, "--model", &model, "--out", shown].ok();
}

#[test]
fn ocr_from_a_file_of_paths() {
    let scratch = Scratch::new();
    let list = halves(&scratch, 4);
    let text = "ignore = [2]---[input]\nsize = [32, 32]\n[train]\nloss = { ohem = { keep = 50 } }\n";
    let file = recipe(&scratch, "seg.toml", &list, text);
    let (summary, out) = runs(&scratch, &file, "ocr", &["--batch", "2"]);
    assert!(summary["best_miou_percent"].is_number(), "{summary}");
    let config = TrainConfig::load(&out.join("config.toml")).unwrap();
    assert!(config.is_ocr());
    let model = out.join("best.safetensors");
    let best = summary["best_miou_percent"].as_f64().unwrap();
    hrnet![
        "predict",
        scratch.path("seg/0.png"),
        "--model",
        &model,
        "--format",
        "masks",
        "--out",
        scratch.path("masks")
    ]
    .ok();
    assert!((0.0..=100.0).contains(&best));
}

#[test]
fn recipes_of_classes() {
    let scratch = Scratch::new();
    let root = folders(&scratch, 8);
    let text = "---[input]\nsize = [32, 32]\n[train]\nloss = { smoothing = 0.1 }\n\
        [train.mix]\nmixup = 0.2\ncutmix = 1.0\nprobability = 0.9\n";
    let file = recipe(&scratch, "mix.toml", &root, text);
    let (summary, _) = runs(&scratch, &file, "classification", &["--batch", "4"]);
    assert!(summary["best_top1_percent"].is_number(), "{summary}");
    let frozen = "---[input]\nsize = [32, 32]\n[train.freeze]\nstatistics = 'running'\n";
    let file = recipe(&scratch, "frozen.toml", &root, frozen);
    runs(&scratch, &file, "classification", &["--batch", "4"]);
}
