//! `cargo xtask supply`: check G2 (docs/reliability.md). The lock file is committed and current, everything comes from
//! crates.io, licences are on the list of deny.toml, and the crates are those of xtask/vetted.txt.
//!
//! The crates looked at are those of an x86-64 Linux build, tests and optional features included; sources are checked for every platform.

use crate::licence::is_allowed;
use crate::{Report, repo};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const VETTED: &str = "xtask/vetted.txt";
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// A fixed target, so that the list does not depend on the machine that checks it.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Marks that `cargo metadata` tells; `unsafe-decoder` is the reader's judgement.
const BUILD_SCRIPT: &str = "build-script";
const PROC_MACRO: &str = "proc-macro";
const UNSAFE_DECODER: &str = "unsafe-decoder";

pub fn run(root: &Path) -> Result<Report> {
    let mut report = Report::default();
    if repo::run(root, "git", &["ls-files", "--error-unmatch", "Cargo.lock"]).is_err() {
        report.fail("Cargo.lock is not committed");
    }
    let metadata = repo::metadata(root, &["--locked", "--all-features", "--filter-platform", TARGET])
        .context(
            "the lock file is out of date, or crates are missing (then run `cargo fetch --locked` first)",
        )?;
    let read =
        |path: &str| std::fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"));
    let members: BTreeSet<&str> = repo::items(&metadata, "packages")
        .filter(|p| p["source"].is_null())
        .map(|p| repo::text(p, "name"))
        .collect();
    sources(&read("Cargo.lock")?, &members, &mut report)?;
    licences(&metadata, &read("deny.toml")?, &mut report)?;
    vetted(&crates(&metadata), &read(VETTED)?, &mut report);
    duplicates(&metadata, &mut report);
    cargo_deny(root, &mut report);
    Ok(report)
}

/// Every locked package comes from crates.io with a checksum, or is a member of this workspace.
fn sources(lock: &str, members: &BTreeSet<&str>, report: &mut Report) -> Result<()> {
    let lock: toml::Table = lock.parse().context("Cargo.lock is not TOML")?;
    for package in lock.get("package").and_then(|p| p.as_array()).into_iter().flatten() {
        let field = |key: &str| package.get(key).and_then(|v| v.as_str());
        let name = field("name").unwrap_or("?");
        match (field("source"), field("checksum")) {
            (Some(REGISTRY), Some(_)) => {}
            (Some(REGISTRY), None) => report.fail(format!("{name}: no checksum in Cargo.lock")),
            (Some(other), _) => report.fail(format!("{name}: comes from {other}, not from crates.io")),
            (None, _) if members.contains(name) => {}
            (None, _) => report.fail(format!("{name}: a path outside the workspace")),
        }
    }
    Ok(())
}

/// Licences can be met with those that deny.toml allows, one list for this check and for cargo-deny.
fn licences(metadata: &Value, deny: &str, report: &mut Report) -> Result<()> {
    let deny: toml::Table = deny.parse().context("deny.toml is not TOML")?;
    let list = deny.get("licenses").and_then(|l| l.get("allow")).and_then(|l| l.as_array());
    let list = list.context("deny.toml has no licenses.allow")?;
    let allowed: Vec<String> = list.iter().filter_map(|v| v.as_str()).map(String::from).collect();
    for package in repo::items(metadata, "packages") {
        let (name, licence) = (repo::text(package, "name"), repo::text(package, "license"));
        match is_allowed(licence, &allowed) {
            Ok(true) => {}
            Ok(false) => report.fail(format!("{name}: licence '{licence}' is not allowed by deny.toml")),
            Err(error) => report.fail(format!("{name}: licence '{licence}': {error}")),
        }
    }
    Ok(())
}

/// The crates of others in a build, each with the marks that metadata tells.
fn crates(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut crates: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in repo::items(metadata, "packages").filter(|p| !p["source"].is_null()) {
        let marks = crates.entry(repo::text(package, "name").to_string()).or_default();
        for kind in
            repo::items(package, "targets").flat_map(|t| repo::items(t, "kind")).filter_map(Value::as_str)
        {
            match kind {
                "custom-build" => drop(marks.insert(BUILD_SCRIPT.into())),
                "proc-macro" => drop(marks.insert(PROC_MACRO.into())),
                _ => {}
            }
        }
    }
    crates
}

/// The vetted list says exactly what the build has: `name mark mark` on each line, `#` begins a comment.
fn vetted(found: &BTreeMap<String, BTreeSet<String>>, list: &str, report: &mut Report) {
    let mut listed: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (i, line) in list.lines().enumerate() {
        let mut words = line.split('#').next().unwrap_or("").split_whitespace();
        let Some(name) = words.next() else { continue };
        let marks: BTreeSet<String> = words.map(String::from).collect();
        if let Some(mark) =
            marks.iter().find(|m| ![BUILD_SCRIPT, PROC_MACRO, UNSAFE_DECODER].contains(&m.as_str()))
        {
            report.fail(format!("{VETTED}:{}: unknown mark '{mark}'", i + 1));
        }
        if listed.insert(name, marks).is_some() {
            report.fail(format!("{VETTED}:{}: {name} stands there twice", i + 1));
        }
    }
    for (name, marks) in found {
        let line = std::iter::once(name).chain(marks).map(String::as_str).collect::<Vec<_>>().join(" ");
        match listed.remove(name.as_str()) {
            None => report.fail(format!("new crate: look at it, then add the line `{line}` to {VETTED}")),
            Some(mut known) => {
                known.remove(UNSAFE_DECODER);
                if known != *marks {
                    report.fail(format!(
                        "{name} changed what it runs at build time: `{line}` belongs in {VETTED}"
                    ));
                }
            }
        }
    }
    for name in listed.keys() {
        report.fail(format!("{VETTED}: {name} is no longer used, remove its line"));
    }
}

/// Crates built in more than one version: a note.
fn duplicates(metadata: &Value, report: &mut Report) {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in repo::items(metadata, "packages") {
        versions.entry(repo::text(package, "name")).or_default().push(repo::text(package, "version"));
    }
    for (name, list) in versions.iter().filter(|(_, list)| list.len() > 1) {
        report.note(format!("{name} is built in {} versions: {}", list.len(), list.join(", ")));
    }
}

/// A second opinion where cargo-deny is installed. Advisories need its database, so they are a step of a release.
fn cargo_deny(root: &Path, report: &mut Report) {
    if repo::run(root, "cargo", &["deny", "--version"]).is_err() {
        report.note("cargo-deny is not installed: bans and advisories are not checked");
    } else if let Err(error) =
        repo::run(root, "cargo", &["deny", "--offline", "check", "bans", "licenses", "sources"])
    {
        report.fail(format!("{error:#}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn findings(check: impl FnOnce(&mut Report)) -> Vec<String> {
        let mut report = Report::default();
        check(&mut report);
        report.findings
    }

    #[test]
    fn the_vetted_list_must_match() {
        let metadata = json!({ "packages": [
            { "name": "ours", "source": null, "targets": [{ "kind": ["custom-build"] }] },
            { "name": "libc", "source": REGISTRY, "targets": [{ "kind": ["lib"] }, { "kind": ["custom-build"] }] },
            { "name": "png", "source": REGISTRY, "targets": [{ "kind": ["lib"] }] },
        ]});
        let check = |list: &str| findings(|report| vetted(&crates(&metadata), list, report)).len();
        assert_eq!(check("# note\nlibc build-script # C types\npng unsafe-decoder\n"), 0);
        assert_eq!(check("libc build-script\n"), 1, "a new crate");
        assert_eq!(check("libc\npng\n"), 1, "a new build script");
        assert_eq!(check("libc build-script proc-macro\npng\n"), 1, "a mark too many");
        assert_eq!(check("libc build-script\npng\nserde\n"), 1, "a line too many");
        assert_eq!(check("libc build-script\npng\npng\n"), 1, "twice");
        assert_eq!(check("libc build-script\npng fine\n"), 2, "an unknown mark");
    }

    #[test]
    fn only_the_default_registry() {
        let lock =
            |source: &str| format!("version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n{source}\n");
        let check = |source: &str| {
            findings(|report| sources(&lock(source), &BTreeSet::from(["hrnet"]), report).expect("TOML")).len()
        };
        assert_eq!(check(&format!("source = \"{REGISTRY}\"\nchecksum = \"00\"")), 0);
        assert_eq!(check(&format!("source = \"{REGISTRY}\"")), 1);
        assert_eq!(check("source = \"git+https://example.org/a\"\nchecksum = \"00\""), 1);
        assert_eq!(check(""), 1, "a path outside the workspace");
    }

    #[test]
    fn licences_come_from_deny_toml() {
        let metadata =
            json!({ "packages": [{ "name": "a", "license": "MIT" }, { "name": "b", "license": null }] });
        let check = |deny: &str| findings(|report| licences(&metadata, deny, report).expect("a list")).len();
        assert_eq!(check("[licenses]\nallow = [\"MIT\"]"), 1, "b says nothing");
        assert_eq!(check("[licenses]\nallow = [\"Zlib\"]"), 2);
    }
}
