//! Training runs from outside: files, log, and that a stopped or killed run goes on to the bytes of an uninterrupted one.
#![forbid(unsafe_code)]

mod common;

use common::{Scratch, blob_config, blobs, bytes, command, hrnet, text};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Twelve pictures in batches of four: three steps per epoch.
fn start(epochs: u32, extra: &str) -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    blobs(&scratch, 12);
    let config = scratch.write("blobs.toml", blob_config(epochs, extra));
    (scratch, config)
}

fn log(out: &Path) -> Vec<Value> {
    text(&out.join("log.jsonl"))
        .lines()
        .map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{l}: {e}")))
        .collect()
}

/// What training is for, byte for byte: the two models. Checkpoints are compared by what comes out of them.
#[track_caller]
fn same_models(a: &Path, b: &Path, what: &str) {
    for name in ["last.safetensors", "best.safetensors"] {
        assert!(bytes(&a.join(name)) == bytes(&b.join(name)), "{what}: {name} differs");
    }
}

#[test]
fn a_run_leaves_its_files() {
    // Seven epochs of three steps: a line of the log at step 20 and one per judged epoch.
    let (scratch, config) = start(7, "checkpoint_steps = 8\neval_epochs = 3\nema = 0.9");
    let out = scratch.path("run");
    let ran = hrnet!["train", &config, "--out", &out, "--threads", "2", "--json"].ok();
    assert_eq!(ran.out.lines().count(), 1);
    let summary = ran.json();
    assert_eq!((&summary["steps"], &summary["finished"]), (&json!(21), &json!(true)));
    let best = summary["best_nme_percent"].as_f64().unwrap();
    let want = [
        "best.safetensors",
        "config.toml",
        "last.safetensors",
        "log.jsonl",
        "metric.png",
        "step-0000000008.ckpt",
        "step-0000000016.ckpt",
        "step-0000000021.ckpt",
        "worst.png",
    ];
    let (events, files): (Vec<_>, Vec<_>) =
        scratch.files("run").into_iter().partition(|f| f.starts_with("tensorboard/"));
    assert_eq!(files, want);
    assert!(events.len() == 1 && events[0].contains("events.out.tfevents"), "{events:?}");

    let log = log(&out);
    let steps: Vec<&Value> = log.iter().filter(|l| l["loss"].is_number()).collect();
    assert_eq!(steps.len(), 1);
    assert_eq!((&steps[0]["step"], &steps[0]["rate"]), (&json!(20), &json!(1e-3)));
    for key in ["loss", "grad_norm", "images_per_second"] {
        assert!(steps[0][key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert!(steps[0]["data_wait_seconds"].as_f64().unwrap() >= 0.0);
    let judged: Vec<&Value> = log.iter().filter(|l| l["nme_percent"].is_number()).collect();
    assert_eq!(judged.iter().map(|l| l["epoch"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 6, 7]);
    let least = judged.iter().map(|l| l["nme_percent"].as_f64().unwrap()).fold(f64::INFINITY, f64::min);
    assert_eq!(least, best);

    for name in ["last.safetensors", "best.safetensors"] {
        let info = hrnet!["info", out.join(name), "--json"].ok().json();
        assert_eq!((&info["family"], &info["points"]), (&json!("face"), &json!(5)));
        assert_eq!((&info["problems"], &info["recipe_in_file"]), (&json!([]), &json!(true)));
        assert_eq!(info["recipe"]["input_size"], json!([32, 32]));
    }
    // The model is used like any other: the judge's figure comes out of eval too, and predict takes it.
    let model = out.join("best.safetensors");
    let data = scratch.path("set/train.csv");
    let result = hrnet!["eval", "--task", "face", "--data", &data, "--model", &model, "--json"].ok().json();
    // The file holds half precision, the judge saw single.
    let nme = 100.0 * result["figures"]["nme"].as_f64().unwrap();
    assert!((nme - best).abs() < 0.05 * best, "{nme} and {best}");
    let image = scratch.path("set/images/blob0.png");
    let result =
        hrnet!["predict", &image, "--model", &model, "--out", scratch.path("p"), "--json"].ok().json();
    assert_eq!(result["points"].as_array().unwrap().len(), 5);

    // The written configuration is complete: it prints itself.
    let printed = hrnet!["train", out.join("config.toml"), "--print-config"].ok().out;
    assert_eq!(printed.trim_end(), text(&out.join("config.toml")).trim_end());
}

#[test]
fn stopped_and_resumed_is_uninterrupted() {
    let (scratch, config) = start(3, "checkpoint_steps = 2\nema = 0.9");
    let whole = scratch.path("whole");
    hrnet!["train", &config, "--out", &whole, "--threads", "2"].ok();
    let longer = bytes(&whole.join("last.safetensors"));
    // In the first epoch, at its end, at a checkpoint, in the last epoch; with other threads before and after.
    for (stop, before, after) in [("1", "1", "3"), ("3", "3", "2"), ("4", "2", "8"), ("8", "1", "1")] {
        let out = scratch.path(&format!("at-{stop}"));
        let ran =
            hrnet!["train", &config, "--out", &out, "--max-steps", stop, "--threads", before, "--json"].ok();
        let summary = ran.json();
        assert_eq!(
            (&summary["steps"], &summary["finished"]),
            (&json!(stop.parse::<u64>().unwrap()), &json!(false))
        );
        assert!(bytes(&out.join("last.safetensors")) != longer, "nothing was learned after step {stop}");
        let ran =
            hrnet!["train", &config, "--out", &out, "--resume", "auto", "--threads", after, "--json"].ok();
        assert!(ran.err.contains(&format!("(step {stop})")), "{ran:?}");
        assert_eq!((&ran.json()["steps"], &ran.json()["finished"]), (&json!(9), &json!(true)));
        same_models(&whole, &out, &format!("stopped at {stop}"));
        // All but the time that judging took.
        let judged = |out| {
            let mut lines: Vec<Value> = log(out);
            lines.retain(|l| l["nme_percent"].is_number());
            lines.iter_mut().for_each(|l| l["judge_seconds"] = Value::Null);
            lines
        };
        assert_eq!(judged(&whole), judged(&out), "stopped at {stop}");
    }
    // With less memory: the same bits.
    let small = scratch.path("small");
    hrnet!["train", &config, "--out", &small, "--recompute"].ok();
    same_models(&whole, &small, "--recompute");
    // From a checkpoint file, into another folder.
    let out = scratch.path("from-file");
    let file = scratch.path("at-4").join("step-0000000006.ckpt");
    let resume = hrnet!["train", &config, "--out", &out, "--resume", &file, "--threads", "3"].ok();
    assert!(resume.err.contains("finished after 9 steps"), "{resume:?}");
    assert!(bytes(&out.join("last.safetensors")) == longer);
}

#[test]
fn killed_and_resumed_is_uninterrupted() {
    let (scratch, config) = start(3, "checkpoint_steps = 1");
    let (whole, out) = (scratch.path("whole"), scratch.path("killed"));
    hrnet!["train", &config, "--out", &whole].ok();
    // Killed as soon as the checkpoints of some steps are there, wherever the run then is.
    for step in [1, 4] {
        let args = [
            "train".into(),
            config.clone().into(),
            "--out".into(),
            out.clone().into(),
            "--resume".into(),
            "auto".into(),
        ];
        let mut child = command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let checkpoint = out.join(format!("step-{step:010}.ckpt"));
        while child.try_wait().unwrap().is_none() && !checkpoint.exists() {
            std::thread::sleep(Duration::from_millis(2));
        }
        // It may be at its end by now, which is no harm.
        let _ = child.kill();
        child.wait().unwrap();
    }
    hrnet!["train", &config, "--out", &out, "--resume", "auto"].ok();
    same_models(&whole, &out, "killed");
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let (scratch, config) = start(2, "checkpoint_steps = 2");
    let (whole, out) = (scratch.path("whole"), scratch.path("damaged"));
    hrnet!["train", &config, "--out", &whole].ok();
    hrnet!["train", &config, "--out", &out, "--max-steps", "4"].ok();
    let newest = out.join("step-0000000004.ckpt");
    let mut content = bytes(&newest);
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&newest, &content).unwrap();
    let ran = hrnet!["train", &config, "--out", &out, "--resume", "auto"].ok();
    assert!(ran.err.contains("step-0000000004.ckpt") && ran.err.contains("(step 2)"), "{ran:?}");
    same_models(&whole, &out, "one damaged");

    // Named by hand it is an error, and so is a folder in which none is left.
    let other = scratch.path("other");
    std::fs::write(scratch.path("cut.ckpt"), &content[..middle]).unwrap();
    let cut = scratch.path("cut.ckpt");
    hrnet!["train", &config, "--out", &other, "--resume", &cut].fails(1, &["cut.ckpt"]);
    hrnet!["train", &config, "--out", &other, "--resume", scratch.path("no.ckpt")].fails(1, &["no.ckpt"]);
    assert!(scratch.files("other").is_empty(), "{:?}", scratch.files("other"));
    let all = scratch.path("all");
    std::fs::create_dir(&all).unwrap();
    std::fs::write(all.join("step-0000000004.ckpt"), &content[..middle]).unwrap();
    hrnet!["train", &config, "--out", &all, "--resume", "auto"].fails(1, &["step-0000000004.ckpt"]);
}

#[test]
fn another_run_is_not_overwritten_or_mixed() {
    let (scratch, config) = start(2, "");
    let out = scratch.path("run");
    hrnet!["train", &config, "--out", &out, "--max-steps", "2"].ok();
    let before = bytes(&out.join("last.safetensors"));
    // Without --resume the folder is taken; with it the configuration must be the same.
    hrnet!["train", &config, "--out", &out].fails(1, &["--resume auto", "--out"]);
    let other = scratch.write("other.toml", blob_config(2, "").replace("seed = 7", "seed = 8"));
    hrnet!["train", &other, "--out", &out, "--resume", "auto"].fails(1, &["seed = 7", "seed = 8"]);
    assert!(bytes(&out.join("last.safetensors")) == before);
    // More epochs are the same run, longer.
    let longer = scratch.write("longer.toml", blob_config(3, ""));
    let summary = hrnet!["train", &longer, "--out", &out, "--resume", "auto", "--json"].ok().json();
    assert_eq!((&summary["steps"], &summary["finished"]), (&json!(9), &json!(true)));
}

#[test]
fn a_run_starts_from_a_model_file() {
    let (scratch, config) = start(1, "");
    let first = scratch.path("first");
    hrnet!["train", &config, "--out", &first].ok();
    let with_start = blob_config(1, "").replace("[input]", "start = \"first/last.safetensors\"\n[input]");
    let second = scratch.write("second.toml", &with_start);
    let out = scratch.path("second");
    hrnet!["train", &second, "--out", &out].ok();
    assert!(bytes(&out.join("last.safetensors")) != bytes(&first.join("last.safetensors")));
    // A network of another kind does not fit, and that is said before anything is written.
    scratch.write("first/last.safetensors", &hrnet_proof::fixtures::checkpoints()["official.safetensors"]);
    let third = scratch.path("third");
    hrnet!["train", &second, "--out", &third].fails(1, &["first/last.safetensors", "missing"]);
    assert!(scratch.files("third").is_empty());
}
