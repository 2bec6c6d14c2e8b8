//! Guard rails: signals, a second trainer, a clock that runs backwards, folders that cannot be written, checkpoints of the
//! future, losses that are not finite. `HRNET_SIGNALS=20` is the long form of the signals.

use crate::common::{bytes, finish, text};
use crate::{auto, checkpoints, config, dice, logged, newest_good, number, same_end, temporary, tiny, train};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// The longest that a run of the tiny network may take to save and end. Ten seconds are the promise; a machine that runs
/// many tests at once gets more.
fn patience() -> Duration {
    Duration::from_secs(number("HRNET_PATIENCE", 60) as u64)
}

fn signal(child: &Child, name: &str) {
    // It may have ended by itself.
    let _ = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(child.id().to_string())
        .stderr(Stdio::null())
        .status();
}

fn start(config: &Path, out: &Path, err: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_hrnet"))
        .args(auto(config, out))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(err).unwrap())
        .spawn()
        .unwrap()
}

/// Waits until something holds; the child must be alive until then.
#[track_caller]
fn wait_for(child: &mut Child, err: &Path, what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none() && started.elapsed() < patience(), "{what}: {ended:?} {}", text(err));
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The exit code, nothing for a signal.
#[track_caller]
fn end(child: &mut Child) -> Option<i32> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if started.elapsed() > patience() {
            let _ = child.kill();
            panic!("it did not end within {:?}", patience());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn signals_at_random_times() {
    let (scratch, config) = tiny(60, 4, "checkpoint_steps = 1000\neval_epochs = 1");
    let whole = scratch.path("whole");
    let started = Instant::now();
    finish(&mut train(&config, &whole, &[])).ok();
    let took = started.elapsed().as_millis() as u64;
    let wanted = number("HRNET_SIGNALS", 4);
    let mut dice = dice("signals");
    let (mut sent, mut saved, mut early, mut runs) = (0, 0, 0, 0);
    let mut slowest = Duration::ZERO;
    while sent < wanted {
        let out = scratch.path(&format!("run-{runs}"));
        let err = scratch.path("stderr");
        runs += 1;
        loop {
            let mut child = start(&config, &out, &err);
            if sent < wanted {
                std::thread::sleep(Duration::from_millis(dice.below(took / 2)));
                if child.try_wait().unwrap().is_none() {
                    signal(&child, ["TERM", "INT"][sent % 2]);
                    sent += 1;
                }
            }
            let asked = Instant::now();
            let code = end(&mut child);
            slowest = slowest.max(asked.elapsed());
            let said = text(&err);
            assert!(!said.contains("panicked") && !said.contains("error:"), "{said}");
            assert_eq!(temporary(&out), [""; 0], "{said}");
            match code {
                Some(0) if said.contains("stopped at step") => {
                    // It says where, and exactly that is in the folder.
                    let (name, _) = newest_good(&out).unwrap();
                    let step: u64 = name[5..15].parse().unwrap();
                    assert!(said.contains(&format!("stopped at step {step};")), "{name}: {said}");
                    saved += 1;
                }
                Some(0) => break,
                // Before the first step there is nothing to save.
                None => {
                    assert!(
                        !said.contains("steps per epoch") || !out.join("log.jsonl").exists() || {
                            // Within a moment of the first step the log may be there already.
                            logged(&out).0.is_empty()
                        }
                    );
                    early += 1;
                }
                Some(code) => panic!("exit code {code}: {said}"),
            }
        }
        same_end(&whole, &out, "after signals");
    }
    println!(
        "{sent} signals in {runs} runs: {saved} runs saved and ended, {early} had not begun; the slowest end took {} ms",
        slowest.as_millis()
    );
}

#[test]
fn a_signal_while_judging_and_a_second_one() {
    // One step, then an evaluation of many pictures, which nobody wants to wait for.
    let (scratch, config) = tiny(200, 3, "checkpoint_steps = 1\neval_epochs = 1");
    let all = bytes(&scratch.path("set/train.csv"));
    std::fs::rename(scratch.path("set/val.csv"), scratch.path("set/train.csv")).unwrap();
    scratch.write("set/val.csv", all);
    let (whole, out, err) = (scratch.path("whole"), scratch.path("run"), scratch.path("stderr"));
    finish(&mut train(&config, &whole, &[])).ok();
    let mut child = start(&config, &out, &err);
    let first = out.join("step-0000000001.ckpt");
    wait_for(&mut child, &err, "the first step", || first.exists());
    signal(&child, "TERM");
    assert_eq!(end(&mut child), Some(0), "{}", text(&err));
    println!("judged before the signal: {:?}", logged(&out).1.len());
    assert!(text(&err).contains("stopped at step "), "{}", text(&err));
    finish(&mut train(&config, &out, &[])).ok();
    same_end(&whole, &out, "interrupted while judging");

    // Two different signals while it is held: the second one ends it without more ado.
    let out = scratch.path("two");
    let mut child = start(&config, &out, &err);
    let first = out.join("step-0000000001.ckpt");
    wait_for(&mut child, &err, "the first step", || first.exists());
    for name in ["STOP", "TERM", "INT", "CONT"] {
        signal(&child, name);
    }
    assert_eq!(end(&mut child), Some(130), "{}", text(&err));
    finish(&mut train(&config, &out, &[])).ok();
    same_end(&whole, &out, "ended by a second signal");
}

#[test]
fn one_trainer_per_folder() {
    let (scratch, config) = tiny(12, 2000, "checkpoint_steps = 1\neval_epochs = 5000");
    let (out, err) = (scratch.path("run"), scratch.path("stderr"));
    let mut child = start(&config, &out, &err);
    wait_for(&mut child, &err, "the first step", || !checkpoints(&out).is_empty());
    // Held, so that the folder does not change while it is looked at.
    signal(&child, "STOP");
    let before = crate::names(&out);
    let id = format!("process {}", child.id());
    finish(&mut train(&config, &out, &[])).fails(1, &["another run", &id, "--out"]);
    assert_eq!(crate::names(&out), before, "the refused run changed the folder");
    // Killed, it leaves its lock behind, which stops nobody.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(out.join("run.lock").exists());
    let step: u64 = newest_good(&out).unwrap().0[5..15].parse().unwrap();
    let more = (step + 2).to_string();
    let ran = finish(&mut train(&config, &out, &["--max-steps", &more])).ok();
    assert!(ran.err.contains(&format!("(step {step})")), "{ran:?}");
    assert!(!out.join("run.lock").exists() && temporary(&out).is_empty(), "{:?}", crate::names(&out));
}

#[test]
fn the_clock_does_not_matter() {
    let (scratch, config) = tiny(12, 2, "checkpoint_steps = 1\neval_epochs = 1");
    let (whole, out) = (scratch.path("whole"), scratch.path("run"));
    finish(&mut train(&config, &whole, &[])).ok();
    finish(&mut train(&config, &out, &["--max-steps", "4"])).ok();
    // The newest checkpoint looks oldest, the oldest one comes from the future, and so does all else.
    for (i, name) in checkpoints(&out).iter().rev().enumerate() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(i as u64 * 3_000_000_000);
        std::fs::File::options().write(true).open(out.join(name)).unwrap().set_modified(time).unwrap();
    }
    let ran = finish(&mut train(&config, &out, &[])).ok();
    assert!(ran.err.contains("(step 4)"), "{ran:?}");
    same_end(&whole, &out, "with another clock");
}

#[cfg(unix)]
#[test]
fn folders_that_cannot_be_written() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let (scratch, config) = tiny(12, 1, "");
    // Under a file there is no folder.
    scratch.write("file", "x");
    let out = scratch.path("file/run");
    finish(&mut train(&config, &out, &[])).fails(1, &["file/run", "cannot create this folder"]);

    let out = scratch.path("run");
    finish(&mut train(&config, &out, &["--max-steps", "2"])).ok();
    let before: Vec<_> = checkpoints(&out).iter().map(|n| bytes(&out.join(n))).collect();
    let mode =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(&out, 0o555);
    let mut command = train(&config, &out, &[]);
    let root = std::fs::write(out.join("probe"), "x").is_ok();
    if root {
        // Permissions do not bind the superuser: the run gets another user, where it then can read what it needs.
        std::fs::remove_file(out.join("probe")).unwrap();
        mode(&scratch.path(""), 0o755);
        command.uid(65534).gid(65534);
        let mut probe = Command::new(env!("CARGO_BIN_EXE_hrnet"));
        if !probe.arg("--version").uid(65534).gid(65534).output().is_ok_and(|o| o.status.success()) {
            hrnet_proof::fixtures::left_out("another user cannot start the binary");
            mode(&out, 0o755);
            return;
        }
    }
    finish(&mut command).fails(1, &["run: cannot write into this run folder", "ermission denied"]);
    mode(&out, 0o755);
    let after: Vec<_> = checkpoints(&out).iter().map(|n| bytes(&out.join(n))).collect();
    assert!(after == before);
    finish(&mut train(&config, &out, &[])).ok();
}

/// CRC-32, bit by bit.
fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| (c >> 1) ^ (0xedb8_8320 & (c & 1).wrapping_neg()))
    })
}

#[test]
fn a_checkpoint_of_the_future_is_not_passed_over() {
    let (scratch, config) = tiny(12, 1, "checkpoint_steps = 1");
    let out = scratch.path("run");
    finish(&mut train(&config, &out, &["--max-steps", "2"])).ok();
    let path = out.join("step-0000000002.ckpt");
    let mut file = bytes(&path);
    let size = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&file[8..8 + size]).unwrap();
    let key = b"hrnet.checkpoint.version\\\":";
    let at = file.windows(key.len()).position(|w| w == key).unwrap() + key.len();
    assert_eq!(file[at], b'2');
    file[at] = b'9';
    let crc = crc32(&file[..8 + size]).to_le_bytes();
    let place = 8 + size + header["header.crc32"]["data_offsets"][0].as_u64().unwrap() as usize;
    file[place..place + 4].copy_from_slice(&crc);
    std::fs::write(&path, &file).unwrap();
    let words = ["step-0000000002.ckpt", "format version 9", "newer hrnet", "intact"];
    finish(&mut train(&config, &out, &[])).fails(1, &words);
    crate::common::hrnet!["info", &path].fails(1, &["format version 9"]);
    assert!(bytes(&path) == file);
    // Who wants the older one says so, and is told what stands in the way.
    let older = out.join("step-0000000001.ckpt").into_os_string().into_string().unwrap();
    let mut command = crate::common::command(&[
        "train".into(),
        config.into(),
        "--out".into(),
        out.into(),
        "--resume".into(),
        older.into(),
    ]);
    finish(&mut command).fails(1, &["step 1", "step 2", "move the newer ones away"]);
}

#[test]
fn a_run_that_explodes_leaves_its_good_checkpoints() {
    // From the second epoch on the rate is 1e30 times as large.
    let (scratch, _) = tiny(12, 40, "");
    let steep = config(40, "checkpoint_steps = 1\neval_epochs = 100")
        .replace("epochs = [1, 2], gamma = 0.5", "epochs = [1], gamma = 1e36")
        .replace("clip = 1.0\n", "")
        .replace("ema = 0.9\n", "")
        .replace("kind = \"adam\"", "kind = \"sgd\"");
    let steep = scratch.write("steep.toml", steep);
    let out = scratch.path("run");
    let ran = finish(&mut train(&steep, &out, &[])).fails(1, &["not finite", "learning rate", "10"]);
    let skipped = text(&out.join("log.jsonl")).lines().filter(|l| l.contains("skipped")).count();
    assert!(skipped >= 9, "{skipped} skipped steps in the log: {ran:?}");
    // The bad steps left nothing in the folder: the newest checkpoint is the last good step.
    let (name, file) = newest_good(&out).unwrap();
    let meta = hrnet_train::Checkpoint::decode(&file).unwrap();
    assert!(name.contains(&format!("{:010}", meta.meta.step)) && meta.meta.step >= 3, "{name}");
    assert_eq!((meta.meta.skipped, meta.meta.bad_in_a_row), (0, 0));
    let values = meta.weights.iter().flat_map(|(_, t)| t.data());
    assert!(values.into_iter().all(|v| v.is_finite()), "{name} holds values that are not finite");
    // Gone on from there it comes to the same end, and the checkpoint is still the same.
    finish(&mut train(&steep, &out, &[])).fails(1, &["not finite"]);
    assert!(newest_good(&out).unwrap() == (name, file));
}
