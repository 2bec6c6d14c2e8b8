//! Training on several processes, from outside: `mpirun` starts the binary. Built with the feature `mpi` alone.
//!
//! One thread per rank, on any number of cores. The launcher waits a second between asking processes to end and killing them; nothing
//! here depends on that being enough, except where a test says so and makes it longer.
#![forbid(unsafe_code)]

mod common;

use common::{Scratch, blob_config, blobs, bytes, hrnet, text};
use hrnet_ir::Weights;
use hrnet_train::Checkpoint;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `mpirun` with the binary and arguments.
fn launch(ranks: usize, options: &[&str], args: Vec<OsString>) -> Command {
    let mut command = Command::new("mpirun");
    let count = ranks.to_string();
    command.args(["-np", &count, "--oversubscribe", "--bind-to", "none", "--tag-output"]).args(options);
    command.arg(env!("CARGO_BIN_EXE_hrnet")).args(args);
    // Open MPI refuses to run as root otherwise, as in a container.
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command.env("NO_COLOR", "1").env("RUST_BACKTRACE", "1");
    command
}

/// A run of several ranks, one thread each.
macro_rules! ranks {
    ($count:expr, $($arg:expr),* $(,)?) => {
        finish(launch($count, &[], vec![$(OsString::from($arg)),*, "--threads".into(), "1".into()]))
    };
}

#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn finish(mut command: Command) -> Ran {
    let output = command.output().expect("mpirun starts");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ran = Ran { code: output.status.code(), out: text(output.stdout), err: whole(&text(output.stderr)) };
    assert!(!ran.err.contains("panicked"), "{ran:#?}");
    ran
}

/// The launcher tags every piece that a process writes; a line keeps its first tag.
fn whole(text: &str) -> String {
    let line = |line: &str| match line.split_once("<stderr>:") {
        Some((rank, rest)) => format!("{rank}<stderr>:{}\n", rest.replace(&format!("{rank}<stderr>:"), "")),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

impl Ran {
    #[track_caller]
    fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Not 0, and exactly one error line of the ranks, from this rank, with these words.
    #[track_caller]
    fn fails(self, rank: usize, words: &[&str]) -> Self {
        assert_ne!(self.code, Some(0), "{self:#?}");
        let errors: Vec<&str> = self.err.lines().filter(|l| l.contains("<stderr>:error:")).collect();
        assert_eq!(errors.len(), 1, "{self:#?}");
        let (from, message) = errors[0].split_once("<stderr>:").unwrap();
        assert!(from.ends_with(&format!(",{rank}]")), "{self:#?}");
        for word in words {
            assert!(message.contains(word), "'{word}' is not in the error: {self:#?}");
        }
        self
    }

    /// The JSON line of the first rank.
    #[track_caller]
    fn json(&self) -> Value {
        let lines: Vec<&str> =
            self.out.lines().filter_map(|l| l.split_once("<stdout>:")).map(|l| l.1).collect();
        assert_eq!(lines.len(), 1, "{self:#?}");
        serde_json::from_str(lines[0]).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}

/// Twelve pictures in batches of four: three steps per epoch.
fn start(epochs: u32, extra: &str) -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    blobs(&scratch, 12);
    let config = scratch.write("blobs.toml", blob_config(epochs, extra));
    (scratch, config)
}

fn checkpoint(folder: &Path, step: u64) -> Checkpoint {
    let path = folder.join(format!("step-{step:010}.ckpt"));
    Checkpoint::decode(&bytes(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The largest difference of two sets of weights, over the scale of each tensor.
fn difference(a: &Weights, b: &Weights) -> (f64, String) {
    let mut worst = (0.0, String::new());
    for (name, a) in a.iter() {
        let b = b.get(name).unwrap();
        let scale = a.data().iter().fold(1e-3f32, |m, v| m.max(v.abs()));
        let error = a.data().iter().zip(b.data()).fold(0.0f32, |m, (x, y)| m.max((x - y).abs())) / scale;
        if f64::from(error) > worst.0 {
            worst = (f64::from(error), name.to_string());
        }
    }
    worst
}

fn losses(out: &Path, key: &str) -> Vec<f64> {
    let lines = text(&out.join("log.jsonl"));
    let lines = lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    lines.filter_map(|l| l[key].as_f64()).collect()
}

/// The same samples, augmentation included, the same batch norms, the same figures: but for rounding, the number of processes does
/// not show. And two processes give the same bits each time.
#[test]
fn two_processes_train_as_one_and_repeat_themselves() {
    let (scratch, config) = start(2, "checkpoint_steps = 2\nema = 0.9\npatience = 9");
    // Plain steps against the gradient: Adam would make a step of the same size of a gradient that is rounding alone. And large enough
    // that no batch norm sees four values only, as at 32x32: dividing by their spread would make rounding large.
    let sgd = text(&config)
        .replace(r#"{ kind = "adam" }"#, r#"{ kind = "sgd", momentum = 0.9 }"#)
        .replace("[32, 32]", "[96, 96]");
    let config = scratch.write("blobs.toml", sgd);
    let one = scratch.path("one");
    let alone = hrnet!["train", &config, "--out", &one, "--threads", "1", "--json"].ok();
    let mut runs = Vec::new();
    for name in ["two", "again"] {
        let out = scratch.path(name);
        let ran = ranks!(2, "train", &config, "--out", &out, "--json").ok();
        assert_eq!((&ran.json()["steps"], &ran.json()["finished"]), (&json!(6), &json!(true)));
        assert!(ran.err.contains("2 processes"), "{ran:#?}");
        runs.push(out);
    }
    for name in ["last.safetensors", "best.safetensors", "step-0000000006.ckpt"] {
        assert!(bytes(&runs[0].join(name)) == bytes(&runs[1].join(name)), "{name} differs from run to run");
    }
    let (a, b) = (checkpoint(&one, 6), checkpoint(&runs[0], 6));
    let worst = difference(&a.weights, &b.weights);
    println!("worst difference after 6 steps: {worst:?} of the tensor's scale");
    assert!(worst.0 < 1e-3, "{worst:?}");
    let best = alone.json()["best_nme_percent"].as_f64().unwrap();
    let figures = (losses(&one, "nme_percent"), losses(&runs[0], "nme_percent"));
    assert_eq!((figures.0.len(), figures.1.len()), (2, 2));
    for (a, b) in figures.0.iter().zip(&figures.1) {
        assert!((a - b).abs() < 0.02 * best, "{figures:?}");
    }
    // Every rank knows the best figure: it is in the state that all must share.
    assert!(b.meta.best.is_some());
}

/// A run that was stopped goes on to the same bits; with another number of processes it goes on and says so.
#[test]
fn stopped_and_resumed_is_uninterrupted() {
    let (scratch, config) = start(2, "checkpoint_steps = 2\nema = 0.9");
    let (whole, out) = (scratch.path("whole"), scratch.path("out"));
    ranks!(2, "train", &config, "--out", &whole).ok();
    ranks!(2, "train", &config, "--out", &out, "--max-steps", "4").ok();
    let other = scratch.path("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::copy(out.join("step-0000000004.ckpt"), other.join("step-0000000004.ckpt")).unwrap();
    let ran = ranks!(2, "train", &config, "--out", &out, "--resume", "auto").ok();
    assert!(!ran.err.contains("the bits will differ"), "{ran:#?}");
    for name in ["last.safetensors", "best.safetensors"] {
        assert!(bytes(&whole.join(name)) == bytes(&out.join(name)), "{name} differs");
    }
    let ran = hrnet!["train", &config, "--out", &other, "--resume", "auto", "--threads", "1"].ok();
    assert!(ran.err.contains("the run was on 2 processes and goes on with 1"), "{ran:#?}");
    assert_eq!(checkpoint(&other, 6).meta.step, 6);
}

/// What is wrong for all is told once.
#[test]
fn an_error_of_all_ranks_is_told_once() {
    let (scratch, config) = start(3, "checkpoint_steps = 100");
    let out = scratch.path("out");
    // The same error on all ranks is told once, without a rank.
    let missing = scratch.path("missing.toml");
    let ran = ranks!(2, "train", &missing, "--out", &out).fails(0, &["missing.toml"]);
    assert!(!ran.err.contains("error: rank"), "{ran:#?}");
    let odd = scratch.write("odd.toml", text(&config).replace("batch = 4", "batch = 5"));
    ranks!(2, "train", &odd, "--out", scratch.path("odd")).fails(0, &["train.batch = 5", "2 processes"]);
    let error = ranks!(2, "train", &config, "--out", scratch.path("rate"), "--find-rate");
    error.fails(0, &["--find-rate"]);
}

/// What one rank cannot read ends all, with its message, and what was learned is kept.
#[test]
fn an_error_of_one_rank_ends_all() {
    // Each rank has a copy of the data; later that of rank 1 breaks.
    let lasting = || {
        let (scratch, config) = start(4000, "checkpoint_steps = 2\neval_epochs = 4000");
        let config = scratch.write("blobs.toml", text(&config).replace("[data]", "[data]\nmemory_mb = 0"));
        (scratch, config)
    };
    let ((scratch, config), (copy, copied)) = (lasting(), lasting());
    let out = scratch.path("out");
    let args = |config: &Path| -> Vec<OsString> {
        let one = ["--threads".into(), "1".into()];
        [vec!["train".into(), config.into(), "--out".into(), out.clone().into()], one.to_vec()].concat()
    };
    let mut command = launch(1, &[], args(&config));
    command.args([":", "-np", "1", env!("CARGO_BIN_EXE_hrnet")]).args(args(&copied));
    let child = begin(command, &out);
    for n in 0..12 {
        copy.write(&format!("set/images/blob{n}.png"), b"not a picture");
    }
    let ran = end(child).fails(1, &["rank 1: ", "epoch", ".png"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(ran.err.contains(&format!("step-{:010}.ckpt", newest(&out))), "{ran:#?}");
}

/// What the first rank alone looks at: the data, and whether the folder is free.
#[test]
fn a_refusal_of_the_first_rank_ends_all() {
    let (scratch, config) = start(2, "checkpoint_steps = 2");
    let out = scratch.path("out");
    std::fs::create_dir(&out).unwrap();
    let lock = hrnet::train::Lock::take(&out).unwrap();
    ranks!(2, "train", &config, "--out", &out).fails(0, &["another run (process"]);
    drop(lock);

    scratch.write("set/images/blob3.png", b"not a picture");
    let ran = ranks!(2, "train", &config, "--out", &out);
    let of = |start: &str| ran.err.lines().filter(|l| l.contains(&format!("<stderr>:{start}"))).count();
    assert_eq!((ran.code, of("check failed: "), of("error: ")), (Some(3), 1, 0), "{ran:#?}");
    assert_eq!(scratch.files("out"), Vec::<String>::new());
}

/// The end of a run may lie within an accumulated step: no checkpoint of it, but the model.
#[test]
fn a_run_may_end_within_an_accumulated_step() {
    let (scratch, config) = start(1, "checkpoint_steps = 1\naccumulate = 2");
    let out = scratch.path("out");
    let ran = ranks!(2, "train", &config, "--out", &out, "--json").ok();
    assert_eq!((&ran.json()["steps"], &ran.json()["finished"]), (&json!(1), &json!(true)));
    assert!(ran.err.contains("no checkpoint of the end"), "{ran:#?}");
    assert_eq!(newest(&out), 1);
    assert!(out.join("last.safetensors").exists());
    // From the last one it goes on, over the end.
    let longer = scratch.write("longer.toml", text(&config).replace("epochs = 1", "epochs = 2"));
    let ran = ranks!(2, "train", &longer, "--out", &out, "--resume", "auto", "--json").ok();
    assert_eq!(ran.json()["steps"], json!(3));
}

/// Ranks that would not train the same network are told so before the first step.
#[test]
fn ranks_that_differ_are_refused() {
    let (scratch, config) = start(2, "checkpoint_steps = 2");
    let other = scratch.write("other.toml", text(&config).replace("seed = 7", "seed = 8"));
    let out = scratch.path("out");
    let mut command =
        launch(1, &[], vec!["train".into(), config.clone().into(), "--out".into(), out.clone().into()]);
    command.args([":", "-np", "1", env!("CARGO_BIN_EXE_hrnet"), "train"]).arg(&other).arg("--out").arg(&out);
    finish(command).fails(0, &["rank 1 and rank 0 differ in the configuration"]);

    // One finds a checkpoint, the other does not.
    ranks!(2, "train", &config, "--out", &out, "--max-steps", "2").ok();
    let empty = scratch.path("empty");
    let args = |out: &Path| -> Vec<OsString> {
        vec![
            "train".into(),
            config.clone().into(),
            "--out".into(),
            out.into(),
            "--resume".into(),
            "auto".into(),
        ]
    };
    let mut command = launch(1, &[], args(&out));
    command.args([":", "-np", "1", env!("CARGO_BIN_EXE_hrnet")]).args(args(&empty));
    finish(command).fails(0, &["rank 1 and rank 0 differ in the step (0 and 2)"]);
}

/// A run that has begun; returns when the first checkpoint is there.
fn begin(mut command: Command, out: &Path) -> Child {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mpirun starts");
    while !out.join("step-0000000002.ckpt").exists() {
        if child.try_wait().unwrap().is_some() {
            panic!("the run ended: {:#?}", end(child));
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child
}

/// Two ranks with ten seconds of grace on each side of the launcher's signals, so that a busy machine is no reason to fail.
fn begin_two(config: &Path, out: &Path) -> (Child, Vec<u32>) {
    let args = ["train".into(), config.into(), "--out".into(), out.into(), "--threads".into(), "1".into()];
    let child = begin(launch(2, &["--mca", "odls_base_sigkill_timeout", "10"], args.to_vec()), out);
    let ranks = ranks_of(child.id());
    assert_eq!(ranks.len(), 2, "mpirun has two children");
    (child, ranks)
}

/// The ranks under a launcher, in their order.
fn ranks_of(launcher: u32) -> Vec<u32> {
    let children = text(&PathBuf::from(format!("/proc/{launcher}/task/{launcher}/children")));
    let ranks = children.split_whitespace().map(|p| p.parse().unwrap());
    let mut found: Vec<(String, u32)> = ranks
        .filter_map(|process: u32| {
            let environment = bytes(&PathBuf::from(format!("/proc/{process}/environ")));
            let environment = String::from_utf8_lossy(&environment).into_owned();
            let rank = environment
                .split('\0')
                .find_map(|e| e.strip_prefix("OMPI_COMM_WORLD_RANK=").map(String::from))?;
            Some((rank, process))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, process)| process).collect()
}

fn end(mut child: Child) -> Ran {
    let mut err = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        err += &(line.unwrap() + "\n");
    }
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    let ran = Ran { code: child.wait().unwrap().code(), out, err: whole(&err) };
    assert!(!ran.err.contains("panicked"), "{ran:#?}");
    ran
}

fn kill(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// The newest step of which there is a checkpoint.
fn newest(out: &Path) -> u64 {
    let names =
        std::fs::read_dir(out).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    let steps = names.filter_map(|n| n.strip_prefix("step-")?.strip_suffix(".ckpt")?.parse().ok());
    steps.max().expect("there is a checkpoint")
}

/// After the run was cut, it goes on and ends at the bits of one that was not.
fn goes_on(config: &Path, out: &Path, whole: &Path, what: &str) {
    let ran = ranks!(2, "train", config, "--out", out, "--resume", "auto").ok();
    assert!(ran.err.contains("resuming from"), "{ran:#?}");
    assert!(bytes(&whole.join("last.safetensors")) == bytes(&out.join("last.safetensors")), "{what}");
    // With the losses of the log and the evaluations, whichever rank has saved them.
    let (a, b) = (checkpoint(whole, newest(whole)), checkpoint(out, newest(out)));
    assert_eq!(a.meta.observer_state, b.meta.observer_state, "{what}");
    assert!(a == b, "{what}");
}

/// Killed with no chance to say a word: the others find out, one of them saves and says what to do.
#[test]
fn a_lost_rank_ends_the_run_with_a_checkpoint() {
    // So many epochs that the run is under way when the blow falls; the length may change on the way.
    let (scratch, config) = start(4000, "checkpoint_steps = 2\neval_epochs = 4000");
    let short = scratch.write("short.toml", text(&config).replace("epochs = 4000", "epochs = 1"));
    let whole = scratch.path("whole");
    for victim in [1, 0] {
        let out = scratch.path(&format!("lost-{victim}"));
        let (child, ranks) = begin_two(&config, &out);
        kill("-KILL", ranks[victim]);
        let ran = end(child)
            .fails(1 - victim, &[&format!("rank {victim} (process {}", ranks[victim]), "--resume auto"]);
        assert_eq!(ran.code, Some(137), "{ran:#?}");
        let last = newest(&out);
        assert!(ran.err.contains(&format!("step-{last:010}.ckpt")), "step {last} was saved last: {ran:#?}");
        let longer = (last / 3 + 1).to_string();
        let config =
            scratch.write("longer.toml", text(&short).replace("epochs = 1", &format!("epochs = {longer}")));
        let _ = std::fs::remove_dir_all(&whole);
        ranks!(2, "train", &config, "--out", &whole).ok();
        goes_on(&config, &out, &whole, &format!("rank {victim} killed after step {last}"));
    }
}

/// Asked to end, by either signal, the run saves.
#[test]
fn a_signal_to_the_launcher_saves() {
    let (scratch, config) = start(4000, "checkpoint_steps = 2\neval_epochs = 4000");
    for signal in ["-TERM", "-INT", "-USR1"] {
        let out = scratch.path(&format!("asked{signal}"));
        let (child, _) = begin_two(&config, &out);
        kill(signal, child.id());
        let ran = end(child);
        let last = newest(&out);
        assert!(ran.err.contains(&format!("stopped at step {last};")), "{ran:#?}");
        if signal == "-USR1" {
            assert_eq!(ran.code, Some(0), "{ran:#?}");
        }
        assert_eq!(checkpoint(&out, last).meta.step, last);
    }
}
