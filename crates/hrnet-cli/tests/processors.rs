//! Checks D3, D2 and part of E2 with the real binary: every instruction-set level, under load, and under tools that
//! watch or stand in for the processor.
//!
//! `HRNET_WRAPPER` names a program that the binary runs under, with its arguments, such as valgrind or qemu;
//! `cargo xtask nightly valgrind` and `cargo xtask nightly qemu` set it, and `HRNET_WRAPPER_LEVEL` to the highest level
//! that the program knows. The results must be those of the bare binary at that level, bit for bit.
#![forbid(unsafe_code)]

mod common;

use common::{Scratch, blob_config, blobs, bytes, command};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// By how much two levels may differ: the largest difference relative to the rms of an output. Levels round products
/// differently (one rounding or two) and from then on add other numbers. Measured on the four networks below: up to
/// 1.7e-6; published networks have ten times their depth.
const LEVELS_DIFFER: f32 = 2e-5;

const LEVELS: [&str; 3] = ["portable", "avx2", "avx512"];

/// The levels that this processor offers, as the binary tells.
fn levels() -> Vec<&'static str> {
    LEVELS
        .into_iter()
        .filter(|level| common::finish(command(&["kernels".into()]).env("HRNET_ISA", level)).code == Some(0))
        .collect()
}

/// Inputs on disk: a network with a checkpoint, a batch, and a training set.
struct Work {
    scratch: Scratch,
    config: PathBuf,
}

/// Tiny networks of the families, with odd map sizes where the family takes them.
const NETWORKS: [(&str, [usize; 2]); 4] = [
    ("official.pth", [64, 96]),
    ("data_parallel.pth", [75, 90]),
    ("segmentation_training.pth", [61, 67]),
    ("higher_fp16_wrapper.pth", [64, 64]),
];

impl Work {
    fn new() -> Work {
        let scratch = Scratch::new();
        let files = hrnet_proof::fixtures::checkpoints();
        for (name, [h, w]) in NETWORKS {
            scratch.write(name, &files[name]);
            common::npy(&scratch, &format!("{name}.npy"), &[1, 3, h, w]);
        }
        blobs(&scratch, 4);
        // Four pictures in one batch: one step.
        let config = scratch.write("blobs.toml", blob_config(1, ""));
        Work { scratch, config }
    }

    /// One inference.
    fn infer(&self, network: &str, by: &Runner) -> Vec<u8> {
        let output = self.scratch.path("result.npy");
        let model = self.scratch.path(network);
        let input = self.scratch.path(&format!("{network}.npy"));
        by.run(&["run".as_ref(), &model, "--input".as_ref(), &input, "--output".as_ref(), &output]);
        bytes(&output)
    }

    /// One training step; the model that it leaves.
    fn train(&self, by: &Runner) -> Vec<u8> {
        let out = self.scratch.path("run");
        if out.exists() {
            std::fs::remove_dir_all(&out).unwrap();
        }
        by.run(&["train".as_ref(), &self.config, "--out".as_ref(), &out]);
        bytes(&out.join("last.safetensors"))
    }
}

/// How the binary is started.
struct Runner {
    level: Option<String>,
    wrapper: Vec<OsString>,
    threads: &'static str,
}

impl Runner {
    fn detected() -> Runner {
        Runner { level: None, wrapper: Vec::new(), threads: "2" }
    }

    fn level(level: &str) -> Runner {
        Runner { level: Some(level.into()), ..Runner::detected() }
    }

    fn run(&self, args: &[&Path]) {
        let mut args: Vec<OsString> = args.iter().map(|a| a.as_os_str().into()).collect();
        args.extend(["--threads".into(), self.threads.into()]);
        let bare = command(&args);
        let mut command = match self.wrapper.split_first() {
            None => bare,
            Some((program, more)) => {
                let mut command = Command::new(program);
                command.args(more).arg(bare.get_program()).args(&args).env("NO_COLOR", "1");
                command
            }
        };
        match &self.level {
            Some(level) => command.env("HRNET_ISA", level),
            None => command.env_remove("HRNET_ISA"),
        };
        let ran = common::finish(&mut command);
        assert_eq!(ran.code, Some(0), "{ran:#?}");
    }
}

fn floats(file: &[u8], scratch: &Scratch) -> Vec<f32> {
    hrnet::npy::read(&scratch.write("read.npy", file)).unwrap().data().to_vec()
}

#[test]
fn every_level_gives_nearly_the_same() {
    let work = Work::new();
    let levels = levels();
    assert_eq!(levels[0], "portable");
    for (network, _) in NETWORKS {
        let results: Vec<Vec<f32>> = levels
            .iter()
            .map(|level| floats(&work.infer(network, &Runner::level(level)), &work.scratch))
            .collect();
        let rms = (results[0].iter().map(|v| v * v).sum::<f32>() / results[0].len() as f32).sqrt();
        assert!(rms > 1e-3, "{network}");
        for (level, result) in levels.iter().zip(&results).skip(1) {
            let pairs = result.iter().zip(&results[0]);
            let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / rms;
            println!("{network}: {level} and portable differ by {worst:e} of the rms");
            assert!(worst <= LEVELS_DIFFER, "{network}: {level} and portable differ by {worst:e} of the rms");
            assert!(worst > 0.0, "{network}: {level} did not run: the same bits as portable");
        }
    }
    for level in levels {
        assert!(!work.train(&Runner::level(level)).is_empty());
    }
}

#[test]
fn the_highest_level_is_the_default_and_others_are_refused() {
    let work = Work::new();
    let offered = levels();
    let top = offered[offered.len() - 1];
    let (network, _) = NETWORKS[0];
    assert!(work.infer(network, &Runner::detected()) == work.infer(network, &Runner::level(top)));
    for level in LEVELS.into_iter().filter(|level| !offered.contains(level)) {
        let ran = common::finish(command(&["kernels".into()]).env("HRNET_ISA", level));
        ran.fails(1, &["HRNET_ISA", level, "offers at most"]);
    }
    for unknown in ["sse9", "AVX2", "", " avx2"] {
        let model = work.scratch.path(network);
        let args = ["info".into(), model.into()];
        // A verb that computes nothing does not look at it.
        common::finish(command(&args).env("HRNET_ISA", unknown)).ok();
        let input = work.scratch.path(&format!("{network}.npy"));
        let output = work.scratch.path("refused.npy");
        let args = ["run".into(), work.scratch.path(network).into(), "--input".into(), input.into()];
        let args = [&args[..], &["--output".into(), output.clone().into()]].concat();
        let ran = common::finish(command(&args).env("HRNET_ISA", unknown));
        ran.fails(1, &["HRNET_ISA", "portable, avx2 or avx512"]);
        assert!(!output.exists());
    }
}

/// Check D2: every process has another memory layout, and all processors are busy.
#[test]
fn the_same_bits_on_a_busy_machine() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let repeats = if std::env::var("HRNET_SWEEP").is_ok_and(|v| v == "full") { 20 } else { 4 };
    let work = Work::new();
    let by = Runner::detected();
    let quiet: Vec<Vec<u8>> = NETWORKS.iter().map(|(network, _)| work.infer(network, &by)).collect();
    let trained = work.train(&by);
    /// Ends the busy threads when an assertion fails, too.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from).min(8) {
            scope.spawn(|| {
                let mut x = 1_u64;
                while !done.load(Ordering::Relaxed) {
                    x = std::hint::black_box(x).wrapping_mul(6_364_136_223_846_793_005);
                }
            });
        }
        let _stop = Stop(&done);
        for repeat in 0..repeats {
            // Two threads, or more than there are processors.
            let by = Runner { threads: if repeat % 2 == 0 { "2" } else { "5" }, ..Runner::detected() };
            for ((network, _), quiet) in NETWORKS.iter().zip(&quiet) {
                assert!(work.infer(network, &by) == *quiet, "{network}, repeat {repeat}");
            }
            assert!(work.train(&by) == trained, "training, repeat {repeat}");
        }
    });
}

/// The same bits under the program of `HRNET_WRAPPER` as without it. Without the variable the program is `env`, which
/// shows that the test itself works.
#[test]
fn under_a_program_that_watches() {
    let words = std::env::var("HRNET_WRAPPER").unwrap_or_else(|_| "env".into());
    let wrapper: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
    // `detected` leaves the level to the binary, on a processor that has none but the portable one.
    let level = std::env::var("HRNET_WRAPPER_LEVEL").unwrap_or_else(|_| "portable".into());
    let (under, bare) = match level.as_str() {
        "detected" => (Runner::detected(), Runner::level("portable")),
        level => (Runner::level(level), Runner::level(level)),
    };
    let under = Runner { wrapper, ..under };
    let work = Work::new();
    for (network, _) in NETWORKS {
        assert!(work.infer(network, &under) == work.infer(network, &bare), "{network} under {words}");
    }
    assert!(work.train(&under) == work.train(&bare), "training under {words}");
}
