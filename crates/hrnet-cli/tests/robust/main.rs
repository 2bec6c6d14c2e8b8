//! What may happen to a training run from outside: it is stopped, killed, cut off from its disk, interrupted, started
//! twice. Whatever it was, the folder holds a good checkpoint, and the resumed run ends with the bytes of one that nothing
//! happened to. The short forms run always; docs/checks.md says how to run the long ones.
#![forbid(unsafe_code)]

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod damage;
mod drive;
mod guards;
mod kills;
mod power;
mod resume;
mod stream;

use common::{Scratch, blobs, bytes, command, text};
use hrnet::train::Folder;
use hrnet_train::Checkpoints;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many checkpoints a run keeps.
const KEEP: usize = 3;

/// A data set of `images` blobs and a configuration for a network that takes milliseconds per step: batches of four,
/// augmentation, warm-up, an average of the weights; `extra` goes into `[train]`.
fn tiny(images: usize, epochs: u64, extra: &str) -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    blobs(&scratch, images);
    let text = text(&scratch.path("set/train.csv"));
    let val: Vec<&str> = text.lines().take(5).collect();
    scratch.write("set/val.csv", val.join("\n") + "\n");
    let config = scratch.write("tiny.toml", config(epochs, extra));
    (scratch, config)
}

fn config(epochs: u64, extra: &str) -> String {
    format!(
        r#"task = "face"
seed = 7
[model]
variant = "w18-small-v1"
width = 4
modules = [1, 1, 1]
blocks = 1
[input]
size = [32, 32]
[data]
train = "set/train.csv"
val = "set/val.csv"
check = false # what is judged is among what is trained on
[augment]
flip_p = 0.0 # five points have no known mirror pairs
noise_p = 0.5
[train]
epochs = {epochs}
batch = 4
ema = 0.9
clip = 1.0
loss = {{ form = "mean" }}
optimizer = {{ kind = "adam" }}
schedule = {{ base = 1e-2, warmup = {{ steps = 5, start = 0.1 }}, decay = {{ kind = "multi_step", epochs = [1, 2], gamma = 0.5 }} }}
{extra}
"#
    )
}

/// Arguments of a training run that begins or goes on.
fn auto(config: &Path, out: &Path) -> Vec<OsString> {
    let words: [&Path; 6] =
        ["train".as_ref(), config, "--out".as_ref(), out, "--resume".as_ref(), "auto".as_ref()];
    words.iter().map(OsString::from).collect()
}

fn train(config: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = command(&auto(config, out));
    command.args(more);
    command
}

/// The names of the checkpoints in a folder, oldest first.
fn checkpoints(out: &Path) -> Vec<String> {
    names(out).into_iter().filter(|n| n.starts_with("step-")).collect()
}

/// Every name in a folder.
fn names(out: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(out) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Unfinished files.
fn temporary(out: &Path) -> Vec<String> {
    names(out).into_iter().filter(|n| n.starts_with(".hrnet-")).collect()
}

/// The newest checkpoint with nothing damaged before it: its name and its bytes.
#[track_caller]
fn newest_good(out: &Path) -> Option<(String, Vec<u8>)> {
    let found = Checkpoints::new(Folder::new(out), KEEP).latest().unwrap()?;
    assert!(found.rejected.is_empty(), "damaged checkpoints under their names: {:?}", found.rejected);
    let bytes = bytes(&out.join(&found.name));
    Some((found.name, bytes))
}

/// The losses of a log by step, and the judged figures by epoch. A step that occurs twice must have the same loss.
#[track_caller]
fn logged(out: &Path) -> (BTreeMap<u64, u64>, BTreeMap<u64, Value>) {
    let (mut losses, mut judged) = (BTreeMap::new(), BTreeMap::new());
    for line in text(&out.join("log.jsonl")).lines() {
        let mut line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        if line["nme_percent"].is_number() {
            line["judge_seconds"] = Value::Null;
            let epoch = line["epoch"].as_u64().unwrap();
            if let Some(before) = judged.insert(epoch, line.clone()) {
                assert_eq!(before, line, "epoch {epoch} was judged twice and not alike");
            }
        } else if let (Some(step), Some(loss)) = (line["step"].as_u64(), line["loss"].as_f64()) {
            let before = losses.insert(step, loss.to_bits());
            assert!(before.is_none_or(|b| b == loss.to_bits()), "two losses of step {step}");
        }
    }
    (losses, judged)
}

/// Both runs ended with the same last checkpoint, models and log.
#[track_caller]
fn same_end(whole: &Path, other: &Path, what: &str) {
    let last = checkpoints(whole).pop().unwrap();
    for name in [&last, "last.safetensors", "best.safetensors"] {
        assert!(bytes(&whole.join(name)) == bytes(&other.join(name)), "{what}: {name} differs");
    }
    assert_eq!(checkpoints(other).pop().unwrap(), last, "{what}");
    assert_eq!(temporary(other), [""; 0], "{what}");
    assert_eq!(logged(whole), logged(other), "{what}");
}

/// A number from the environment.
fn number(name: &str, default: usize) -> usize {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
}

/// Random numbers whose seed is printed; `HRNET_SEED` repeats a run.
fn dice(what: &str) -> stream::Dice {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("HRNET_SEED", now.subsec_nanos() as usize);
    println!("{what}: HRNET_SEED={seed}");
    stream::Dice::new(seed as u64)
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, target).unwrap();
        }
    }
}
