//! Every system call of a save fails once, or is the last one of the process. With strace, where it works, on the binary:
//! the calls of one save always, of a whole run with `HRNET_CALLS=all`. Without it on a disk in memory.

use crate::common::{Ran, Scratch, bytes, finish};
use crate::drive::{Drive, Faults};
use crate::power::file;
use crate::{auto, checkpoints, copy_folder, newest_good, temporary, tiny, train};
use hrnet::train::Folder;
use hrnet_train::{Checkpoints, Storage};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;

#[test]
fn every_operation_of_a_save_fails_once() {
    let run = Path::new("run");
    let good = |drive: &Drive| -> Vec<u8> {
        let found = Checkpoints::new(Folder::on(drive, run), 2).latest().unwrap().unwrap();
        assert!(found.rejected.is_empty(), "{:?}", found.rejected);
        found.checkpoint.encode().unwrap()
    };
    let mut cases = 0;
    for (code, stays) in [(EIO, false), (ENOSPC, false), (EDQUOT, false), (ENOSPC, true)] {
        for at in 0.. {
            let drive = Drive::default();
            let mut checkpoints = Checkpoints::new(Folder::on(&drive, run), 2);
            for step in 1..3 {
                checkpoints.save(step, &file(step, 0.0)).unwrap();
            }
            // In pieces, so that a later part of the file fails too.
            drive.set_faults(Faults {
                fail: Some((at, code)),
                stays,
                short: Some(6000),
                ..Faults::default()
            });
            let saved = checkpoints.save(3, &file(3, 0.0));
            let operations = drive.history().len();
            drive.set_faults(Faults::default());
            if at >= operations {
                saved.unwrap();
                break;
            }
            cases += 1;
            let error = saved.expect_err("an error that is not told").to_string();
            assert!(error.contains("step-00000000") || error.contains("the checkpoints"), "{error}");
            let now = good(&drive);
            assert!(now == file(2, 0.0) || now == file(3, 0.0), "operation {at}: neither old nor new");
            for step in [1, 2] {
                // The one before is never lost to a failing save; 1 may be gone when 3 is there.
                let stays = step == 2 || now == file(2, 0.0);
                let name = format!("step-{step:010}.ckpt");
                assert!(!stays || checkpoints.storage().read(&name).unwrap() == file(step, 0.0), "{name}");
            }
            // The next start clears up and goes on.
            Folder::on(&drive, run).clear().unwrap();
            checkpoints.save(3, &file(3, 0.0)).unwrap();
            assert!(good(&drive) == file(3, 0.0));
            assert!(drive.files().len() <= 3, "{:?}", drive.files().keys());
        }
    }
    println!("{cases} failing operations");
    assert!(cases > 30, "{cases}");
}

/// Whether system calls can be watched and changed here.
fn strace_works(scratch: &Scratch) -> bool {
    let out = scratch.path("probe");
    let mut probe = Command::new("strace");
    let probe = probe.args(["-f", "-qq", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1", "-o"]);
    let works = probe.arg(out).arg("true").status().is_ok_and(|status| status.success());
    if !works {
        hrnet_proof::fixtures::left_out("needs strace, which does not work here");
    }
    works
}

/// The calls that change files or names.
const CALLS: &str =
    "openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat";

/// A call of the main thread on something in the run folder.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    /// Which of the main thread's calls of this name, from 1.
    number: usize,
    line: String,
}

fn under_strace(config: &Path, out: &Path, trace: &Path, inject: Option<&str>) -> Ran {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-qq", "-s", "0", "-e"]).arg(format!("trace={CALLS}")).arg("-o").arg(trace);
    if let Some(inject) = inject {
        strace.arg("-e").arg(format!("inject={inject}"));
    }
    strace.arg(env!("CARGO_BIN_EXE_hrnet")).args(auto(config, out)).args(["--max-steps", "5"]);
    strace.env("RUST_BACKTRACE", "1").env("NO_COLOR", "1");
    finish(&mut strace)
}

/// What a trace says about the main thread, which is the one that saves.
fn calls(trace: &Path, out: &Path) -> Vec<Call> {
    let text = crate::common::text(trace);
    let main = text.split_whitespace().next().unwrap().to_string();
    let folder = out.to_string_lossy();
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(&main).map(str::trim_start) else { continue };
        let Some((name, _)) = rest.split_once('(') else { continue };
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        let number = counts.entry(name.to_string()).or_default();
        *number += 1;
        if rest.contains(&*folder) {
            found.push(Call { name: name.to_string(), number: *number, line: rest.to_string() });
        }
    }
    found
}

/// A run of three steps with a checkpoint each, and the uninterrupted one of five.
fn prepared() -> (Scratch, PathBuf, PathBuf, PathBuf) {
    let (scratch, config) = tiny(12, 2, "checkpoint_steps = 1\neval_epochs = 9");
    let (whole, base) = (scratch.path("whole"), scratch.path("base"));
    // Every checkpoint of the uninterrupted run, to compare with.
    for steps in ["3", "5"] {
        finish(&mut train(&config, &whole, &["--max-steps", steps])).ok();
        if steps == "3" {
            copy_folder(&whole, &base);
        }
    }
    (scratch, config, whole, base)
}

#[test]
fn every_system_call_of_a_save_fails_once() {
    let (scratch, config, whole, base) = prepared();
    if !strace_works(&scratch) {
        return;
    }
    let wanted: BTreeMap<String, Vec<u8>> = [&base, &whole]
        .into_iter()
        .flat_map(|folder| checkpoints(folder).into_iter().map(|n| (n.clone(), bytes(&folder.join(n)))))
        .collect();
    let out = scratch.path("run");
    let again = || {
        let _ = std::fs::remove_dir_all(&out);
        copy_folder(&base, &out);
    };
    let trace = scratch.path("trace");
    again();
    under_strace(&config, &out, &trace, None).ok();
    let found = calls(&trace, &out);
    order_of_a_save(&found);
    // The save of step 4: from its temporary file to the removal of step 1.
    let renamed =
        found.iter().position(|c| c.name.starts_with("rename") && c.line.contains("step-0000000004"));
    let renamed = renamed.expect("the save of step 4");
    let begin = found[..renamed].iter().rposition(|c| c.name == "openat").unwrap();
    let end = found.iter().position(|c| c.name.starts_with("unlink") && c.line.contains("step-0000000001"));
    let all = std::env::var("HRNET_CALLS").as_deref() == Ok("all");
    let (chosen, errors): (&[Call], &[&str]) = match all {
        true => (&found, &["EIO", "ENOSPC", "EDQUOT"]),
        false => (&found[begin..=end.expect("step 1 is removed")], &[]),
    };
    let (mut killed, mut refused, mut told) = (0, 0, 0);
    let (mut old, mut new) = (0, 0);
    for (i, call) in chosen.iter().enumerate() {
        let kind = ["EIO", "ENOSPC", "EDQUOT"][i % 3];
        let errors = if errors.is_empty() { vec![kind] } else { errors.to_vec() };
        let faults = errors.iter().map(|e| format!("error={e}")).chain(["signal=KILL".to_string()]);
        for fault in faults {
            again();
            let inject = format!("{}:{fault}:when={}", call.name, call.number);
            let ran = under_strace(&config, &out, &trace, Some(&inject));
            let what = format!("{inject} at {}", call.line);
            if fault.starts_with("signal") {
                killed += 1;
                assert!(ran.code.is_none() || ran.code == Some(137), "{what}: {ran:#?}");
            } else {
                refused += 1;
                // Either it is told or nothing depends on it.
                assert!(matches!(ran.code, Some(0 | 1)), "{what}: {ran:#?}");
                told += usize::from(ran.code == Some(1));
                assert_eq!(ran.code == Some(1), ran.errors().len() == 1, "{what}: {ran:#?}");
                if let [error] = ran.errors()[..] {
                    let name = ["run", "json", "event", "step-", "safetensors", "toml", "png"];
                    assert!(name.iter().any(|n| error.contains(n)), "{what}: {error}");
                    assert!(error.contains("os error"), "{what}: {error}");
                }
                assert_eq!(temporary(&out), [""; 0], "{what}");
            }
            let (name, found) = newest_good(&out).unwrap_or_else(|| panic!("{what}: no checkpoint"));
            assert!(name.as_str() >= "step-0000000003.ckpt", "{what}: {name} after step 3");
            assert!(found == wanted[&name], "{what}: {name} is another one");
            let left = checkpoints(&out);
            assert!((3..=4).contains(&left.len()), "{what}: {left:?}");
            if name.contains("0003") {
                old += 1
            } else {
                new += 1
            }
            // The next start goes on to the same end. Without that for most cases of the short form, to save time.
            if all || i % 4 == 0 {
                finish(&mut train(&config, &out, &["--max-steps", "5"])).ok();
                let last = "step-0000000005.ckpt";
                assert!(bytes(&out.join(last)) == wanted[last], "{what}");
                assert!(
                    bytes(&out.join("last.safetensors")) == bytes(&whole.join("last.safetensors")),
                    "{what}"
                );
                assert_eq!(temporary(&out), [""; 0], "{what}");
            }
        }
    }
    println!(
        "{} calls: killed at {killed}, refused {refused}, of which {told} ended the run; found the checkpoint before the \
         save {old} times, a new one {new} times",
        chosen.len()
    );
}

/// The contents are safe before they get their name, and the name before the save returns.
fn order_of_a_save(found: &[Call]) {
    let mut saves = 0;
    for (i, rename) in found.iter().enumerate().filter(|(_, c)| c.name.starts_with("rename")) {
        let temporary = rename.line.split('"').nth(1).expect("the old name");
        let before: Vec<&Call> = found[..i].iter().rev().take_while(|c| c.line.contains(temporary)).collect();
        assert_eq!(before[0].name, "fsync", "before {}: {}", rename.line, before[0].line);
        assert!(before.iter().any(|c| c.name == "write"), "{before:?}");
        let after = &found[i + 1..i + 3];
        assert!(after[0].name == "openat" && after[0].line.contains("O_RDONLY"), "{after:?}");
        assert!(after[1].name == "fsync" && !after[1].line.contains(".hrnet"), "{after:?}");
        saves += usize::from(rename.line.contains("step-"));
    }
    assert_eq!(saves, 2, "steps 4 and 5 are saved");
}

/// A file system that is really full: `HRNET_FULL_DISK=DIR` names a small one, a tmpfs for example, that may be filled up.
#[test]
fn a_full_disk() {
    let Some(disk) = std::env::var_os("HRNET_FULL_DISK").map(PathBuf::from) else {
        hrnet_proof::fixtures::by_hand("HRNET_FULL_DISK", "a small file system that may be filled up");
        return;
    };
    let (scratch, config, whole, base) = prepared();
    let out = disk.join("run");
    let filler = disk.join("filler");
    let size = bytes(&base.join("step-0000000003.ckpt")).len();
    let mut told = 0;
    // From no room at all to room for everything, in steps of less than a checkpoint.
    for sixth in 0..40 {
        let _ = std::fs::remove_dir_all(&out);
        let _ = std::fs::remove_file(&filler);
        copy_folder(&base, &out);
        fill(&filler, size * sixth / 6);
        let ran = finish(&mut train(&config, &out, &["--max-steps", "5"]));
        let (name, found) = newest_good(&out).unwrap();
        let folder = if name.contains("0003") { &base } else { &whole };
        assert!(found == bytes(&folder.join(&name)), "{name}");
        if ran.code == Some(0) {
            assert!(bytes(&out.join("last.safetensors")) == bytes(&whole.join("last.safetensors")));
            break;
        }
        let ran = ran.fails(1, &["No space left"]);
        assert_eq!(temporary(&out), [""; 0], "{ran:?}");
        assert!(checkpoints(&out).len() >= 3, "{ran:?}");
        told += 1;
        std::fs::remove_file(&filler).unwrap();
        finish(&mut train(&config, &out, &["--max-steps", "5"])).ok();
        let last = "step-0000000005.ckpt";
        assert!(bytes(&out.join(last)) == bytes(&whole.join(last)));
    }
    println!("{told} runs met the full disk");
    assert!(told >= 5, "{told}: the file system is too large to be filled");
    drop(scratch);
}

/// Fills the file system up to some room.
fn fill(path: &Path, room: usize) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    let block = vec![1u8; 4096];
    let mut size = 0;
    while size < 1 << 30 {
        match file.write(&block) {
            Ok(0) | Err(_) => break,
            Ok(n) => size += n,
        }
    }
    file.set_len(size.saturating_sub(room) as u64).unwrap();
}
