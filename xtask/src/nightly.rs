//! `cargo xtask nightly [part ...]`: the checks that are too slow for every change, or that want tools. Without a part
//! all of them run. A missing tool is a failure that says what to install, not a skipped check.
//!
//! Each part has its build folder below `target/nightly`: compiler flags of one must not rebuild the others.

use crate::Report;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// The target that sanitizers want named: then build scripts and procedural macros stay without.
const TARGET: &str = "x86_64-unknown-linux-gnu";

struct Part {
    name: &'static str,
    /// What must start, and the Debian package that has it.
    tool: Option<(&'static str, &'static str)>,
    env: &'static [(&'static str, &'static str)],
    cargo: &'static [&'static str],
}

const PARTS: &[Part] = &[
    // E1, and D2 with all its repeats.
    Part {
        name: "guard",
        tool: None,
        env: &[("HRNET_SWEEP", "full")],
        cargo: &["test", "-p", "hrnet-kernels", "--test", "guard_pages", "--test", "guard_loops"],
    },
    Part {
        name: "noise",
        tool: None,
        env: &[("HRNET_SWEEP", "full")],
        cargo: &["test", "-p", "hrnet-cli", "--test", "processors", "busy"],
    },
    // C1 to C6 with the numbers of a release.
    Part {
        name: "robust",
        tool: Some(("strace", "strace")),
        env: &[
            ("HRNET_RESUME", "all"),
            ("HRNET_KILLS", "100"),
            ("HRNET_CALLS", "all"),
            ("HRNET_FLIPS", "10000"),
            ("HRNET_SIGNALS", "20"),
        ],
        // One after another, so that the ten seconds of a signalled run are its own.
        cargo: &["test", "-p", "hrnet-cli", "--test", "robust", "--", "--nocapture", "--test-threads", "1"],
    },
    // E5.
    Part {
        name: "loom",
        tool: None,
        env: &[("RUSTFLAGS", "--cfg loom")],
        cargo: &["test", "-p", "hrnet-kernels", "--test", "pool_model"],
    },
    // E2. Documentation tests have no sanitizer runtime; xtask has nothing to sanitize. Some tests ask for more memory
    // than there is and want the refusal.
    Part {
        name: "asan",
        tool: None,
        env: &[
            ("RUSTC_BOOTSTRAP", "1"),
            ("RUSTFLAGS", "-Zsanitizer=address"),
            ("ASAN_OPTIONS", "allocator_may_return_null=1"),
        ],
        cargo: &[
            "test",
            "--workspace",
            "--exclude",
            "xtask",
            "--lib",
            "--bins",
            "--tests",
            "--no-fail-fast",
            "--target",
            TARGET,
        ],
    },
    // E2. Valgrind 3.19 has no AVX-512. Pointers into the middle, such as the runtime's to its main thread, count as
    // possible leaks only.
    Part {
        name: "valgrind",
        tool: Some(("valgrind", "valgrind")),
        env: &[
            (
                "HRNET_WRAPPER",
                "valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \
                 --errors-for-leak-kinds=definite",
            ),
            ("HRNET_WRAPPER_LEVEL", "avx2"),
        ],
        cargo: &["test", "-p", "hrnet-cli", "--test", "processors", "under_a_program"],
    },
    // D3: a processor from before AVX. The level is left to the binary.
    Part {
        name: "qemu",
        tool: Some(("qemu-x86_64", "qemu-user")),
        env: &[("HRNET_WRAPPER", "qemu-x86_64 -cpu Nehalem"), ("HRNET_WRAPPER_LEVEL", "detected")],
        cargo: &["test", "-p", "hrnet-cli", "--test", "processors", "under_a_program"],
    },
];

/// Runs the named parts, or all.
pub fn run(root: &Path, names: &[&str]) -> Result<Report> {
    let known: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        bail!("no part '{unknown}'; there are: {}", known.join(", "));
    }
    let mut report = Report::default();
    for part in PARTS.iter().filter(|part| names.is_empty() || names.contains(&part.name)) {
        let begin = Instant::now();
        println!("== {}", part.name);
        match run_part(root, part) {
            Ok(()) => report.note(format!("{}: ok, {} s", part.name, begin.elapsed().as_secs())),
            Err(error) => report.fail(format!("{}: {error:#}", part.name)),
        }
    }
    Ok(report)
}

fn run_part(root: &Path, part: &Part) -> Result<()> {
    if let Some((tool, package)) = part.tool {
        let found = Command::new(tool).arg("--version").output().is_ok_and(|out| out.status.success());
        if !found {
            bail!("{tool} does not start: install it (Debian package {package})");
        }
    }
    let folder = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root.join(folder),
        None => root.join("target"),
    };
    // Parts with the flags of the plain test command share its build.
    let flags = part.env.iter().any(|(name, _)| *name == "RUSTFLAGS");
    let folder = if flags { folder.join("nightly").join(part.name) } else { folder };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(part.cargo)
        .args(["--locked", "--", "--nocapture"])
        .envs(part.env.iter().copied())
        .env("CARGO_TARGET_DIR", folder)
        .current_dir(root)
        .status()
        .context("starting cargo")?;
    if !status.success() {
        bail!("`cargo {}` ended with {status}", part.cargo.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_part_is_refused_with_the_list() {
        let error = run(Path::new("."), &["guard", "gard"]).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("'gard'") && error.contains("valgrind, qemu"), "{error}");
    }

    #[test]
    fn a_missing_tool_is_a_failure() {
        let part =
            Part { name: "x", tool: Some(("no-such-tool-here", "toolbox")), env: &[], cargo: &["--version"] };
        let error = run_part(Path::new("."), &part).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("no-such-tool-here") && error.contains("toolbox"), "{error}");
    }
}
