//! The repository as data: its files as git sees them, and what `cargo metadata` says.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository root. `cargo run` tells the folder of this package; a path from compile time would be another
/// checkout's where two share a build folder.
pub fn root() -> Result<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").context("start this as `cargo xtask`")?;
    Ok(Path::new(&here).parent().context("the package has no parent folder")?.to_path_buf())
}

/// One file, with its path relative to the root.
pub struct File {
    pub path: String,
    pub bytes: Vec<u8>,
}

impl File {
    /// The text, or `None` for a binary file.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }

    /// `crates/hrnet-ir/src/net.rs` -> `crates/hrnet-ir`; `xtask/src/main.rs` -> `xtask`.
    pub fn package(&self) -> &str {
        let depth = if self.path.starts_with("crates/") { 2 } else { 1 };
        self.path.match_indices('/').nth(depth - 1).map_or("", |(at, _)| &self.path[..at])
    }
}

/// Tracked files, and new ones that are not ignored, so that a finding appears before the commit.
pub fn files(root: &Path) -> Result<Vec<File>> {
    let list = run(root, "git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    let mut paths: Vec<&str> = list.split('\0').filter(|p| !p.is_empty()).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let full = root.join(path);
        if full.is_file() {
            let bytes = std::fs::read(&full).with_context(|| format!("reading {path}"))?;
            files.push(File { path: path.to_string(), bytes });
        }
    }
    ensure!(!files.is_empty(), "git lists no files in {}", root.display());
    Ok(files)
}

/// `cargo metadata` with further arguments.
pub fn metadata(root: &Path, args: &[&str]) -> Result<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let text = run(root, &cargo, &[&["metadata", "--offline", "--format-version", "1"], args].concat())?;
    serde_json::from_str(&text).context("cargo metadata did not print JSON")
}

/// Standard output of a program that must succeed.
pub fn run(root: &Path, program: &str, args: &[&str]) -> Result<String> {
    let shown = format!("`{program} {}`", args.join(" "));
    let out = Command::new(program)
        .args(args)
        .current_dir(root)
        .output()
        .with_context(|| format!("starting {shown}"))?;
    if !out.status.success() {
        bail!("{shown} failed: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    String::from_utf8(out.stdout).with_context(|| format!("{shown} printed no UTF-8"))
}

/// The elements of a JSON array field; empty when it is absent.
pub fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// A string field; empty when it is absent.
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::File;

    #[test]
    fn package_of_a_path() {
        let package = |path: &str| File { path: path.into(), bytes: vec![] }.package().to_string();
        assert_eq!(package("crates/hrnet-ir/src/heads/mod.rs"), "crates/hrnet-ir");
        assert_eq!(package("xtask/src/main.rs"), "xtask");
        assert_eq!(package("README.md"), "");
    }
}
