//! `kill -9` at random times, again and again. `HRNET_KILLS=100` is the long form.

use crate::common::{bytes, finish};
use crate::{KEEP, auto, checkpoints, dice, newest_good, number, same_end, temporary, tiny, train};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const STEPS: u64 = 60;

fn step_of(name: &str) -> u64 {
    name.trim_start_matches("step-").trim_end_matches(".ckpt").parse().unwrap()
}

/// The step that a run said it goes on from; 0 for a beginning, nothing where it was killed before it said so.
fn resumed_at(err: &str) -> Option<u64> {
    if err.contains("starting from the beginning") {
        return Some(0);
    }
    let line = err.lines().find(|l| l.starts_with("resuming from "))?;
    line.split("(step ").nth(1)?.trim_end_matches(')').parse().ok()
}

/// How a run that was killed stood.
fn check(out: &Path, err: &str, before: u64, seed: u64) -> u64 {
    assert!(
        !err.contains("error:") && !err.contains("panicked") && !err.contains("passed over"),
        "{seed}: {err}"
    );
    if let Some(step) = resumed_at(err) {
        assert_eq!(step, before, "it went on from another step than that of the newest file: {err}");
    }
    let all = checkpoints(out);
    assert!(all.len() <= KEEP + 1, "{all:?}");
    assert!(temporary(out).len() <= 1, "{:?}", temporary(out));
    let Some(newest) = all.last() else { return 0 };
    // What stands under the newest name is whole.
    assert_eq!(newest_good(out).unwrap().0, *newest);
    assert!(step_of(newest) >= before, "{all:?} after step {before}");
    step_of(newest)
}

#[test]
fn killed_again_and_again_it_ends_as_if_nothing_had_happened() {
    let (scratch, config) = tiny(60, 4, "checkpoint_steps = 1\neval_epochs = 2");
    let whole = scratch.path("whole");
    let started = Instant::now();
    finish(&mut train(&config, &whole, &[])).ok();
    assert_eq!(checkpoints(&whole).last().unwrap(), &format!("step-{STEPS:010}.ckpt"));
    // On a slow machine 400 ms may be less than a start takes.
    let longest = (started.elapsed().as_millis() as u64 / 2).max(400);
    let wanted = number("HRNET_KILLS", 8);
    let mut dice = dice("kills");
    let (mut kills, mut while_saving, mut runs, mut started_over) = (0, 0, 0, 0);
    while kills < wanted {
        let out = scratch.path(&format!("killed-{runs}"));
        let mut step = 0;
        runs += 1;
        loop {
            let log = scratch.path("stderr");
            let file = std::fs::File::create(&log).unwrap();
            let mut child = Command::new(env!("CARGO_BIN_EXE_hrnet"))
                .args(auto(&config, &out))
                .stdout(Stdio::null())
                .stderr(file)
                .spawn()
                .unwrap();
            if kills < wanted {
                std::thread::sleep(Duration::from_millis(5 + dice.below(longest - 5)));
                child.kill().unwrap();
            }
            let status = child.wait().unwrap();
            let err = crate::common::text(&log);
            let before = step;
            step = check(&out, &err, before, longest);
            if status.success() {
                break;
            }
            assert!(status.code().is_none(), "{status}: {err}");
            kills += 1;
            while_saving += temporary(&out).len();
            started_over += usize::from(step == before);
        }
        same_end(&whole, &out, &format!("after {kills} kills"));
        assert_eq!(checkpoints(&out).len(), KEEP);
        assert!(!out.join("run.lock").exists());
        assert!(bytes(&out.join("config.toml")) == bytes(&whole.join("config.toml")));
    }
    println!(
        "{kills} kills within {longest} ms in {runs} runs of {STEPS} steps: {while_saving} left an unfinished file, \
         {started_over} came before the next step was saved"
    );
}
