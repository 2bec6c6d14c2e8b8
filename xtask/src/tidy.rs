//! `cargo xtask tidy`: what this repository promises about itself and a machine can see.

use crate::Report;
use crate::markdown::{Piece, inline_code, relative_links, shell_lines};
use crate::repo::{self, File};
use crate::scan::{attributes, code_only, line_of, macros, words};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What each crate may use of ours as a normal or build dependency; a star is everything that ships.
const LAYERS: &[(&str, &[&str])] = &[
    ("hrnet-ir", &[]),
    ("hrnet-kernels", &[]),
    ("hrnet-engine", &["hrnet-ir", "hrnet-kernels"]),
    ("hrnet-train", &["hrnet-ir", "hrnet-kernels"]),
    ("hrnet-image", &[]),
    ("hrnet-data", &["hrnet-image", "hrnet-ir"]),
    ("hrnet-formats", &["hrnet-ir"]),
    (
        "hrnet",
        &[
            "hrnet-ir",
            "hrnet-kernels",
            "hrnet-engine",
            "hrnet-train",
            "hrnet-image",
            "hrnet-data",
            "hrnet-formats",
        ],
    ),
    (
        "hrnet-proof",
        &["hrnet-ir", "hrnet-kernels", "hrnet-engine", "hrnet-train", "hrnet-image", "hrnet-data"],
    ),
    ("hrnet-cli", &["*"]),
    ("hrnet-bench", &["*"]),
    ("xtask", &[]),
];
/// Crates that nothing which ships may use.
const DEV_ONLY: &[&str] = &["hrnet-bench", "xtask"];

/// The library, which other programs use.
const LIBRARY: &str = "crates/hrnet";
/// What belongs to a command line and not into the library: crates, and names of the standard library.
const OF_A_PROGRAM: &[&str] = &["anyhow", "clap", "indicatif", "signal_hook", "ExitCode"];

/// The crate that may hold unsafe code, and the file with the number of uses in its `src`.
const UNSAFE_CRATE: &str = "crates/hrnet-kernels";
const UNSAFE_BUDGET: &str = "xtask/unsafe_budget.txt";
const KEYWORD: &str = concat!("un", "safe");

/// Modules that read bytes from users (check E4, docs/reliability.md). The attribute of a module covers the modules below it.
const PARSERS: &[&str] = &[
    "crates/hrnet-formats/src/",
    "crates/hrnet-image/src/decode",
    "crates/hrnet-image/src/mask_png.rs",
    "crates/hrnet-image/src/video",
    "crates/hrnet-data/src/dataset/",
];
const PARSER_LINTS: &[&str] = &[
    "clippy::unwrap_used",
    "clippy::expect_used",
    "clippy::indexing_slicing",
    "clippy::arithmetic_side_effects",
    "clippy::cast_possible_truncation",
    "clippy::panic",
];

/// Paths of the machines this was written on, in two parts so that this file holds none.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/tmp/", "bash_jobs"), concat!("/ro", "ot/"), concat!("/fa", "rm/")];

const LINES_NOTE: usize = 700;
const LINES_LIMIT: usize = 1000;
const BYTES_LIMIT: usize = 4_300_000;

pub fn run(root: &Path) -> Result<Report> {
    let files = repo::files(root)?;
    let metadata = repo::metadata(root, &["--no-deps"])?;
    let sources: Vec<Source> = files
        .iter()
        .filter(|f| f.path.ends_with(".rs"))
        .filter_map(|f| f.text().map(|text| Source { file: f, text, code: code_only(text) }))
        .collect();
    let mut report = Report::default();
    layers(&metadata, &sources, &mut report);
    library(&metadata, &sources, &mut report);
    unsafe_code(root, &metadata, &files, &sources, &mut report)?;
    for source in &sources {
        unfinished(source, &mut report);
        parser_lints(source, &sources, &mut report);
        size(source, &mut report);
    }
    for file in &files {
        anywhere(file, &mut report);
    }
    images(&files, &mut report);
    links(&files, &mut report);
    readme_commands(&files, &mut report);
    crate::citations::check(&files, &mut report);
    crate::translation::check(&files, &mut report);
    Ok(report)
}

/// A Rust file, its text and its text without comments and literals.
struct Source<'a> {
    file: &'a File,
    text: &'a str,
    code: String,
}

impl Source<'_> {
    fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.file.path, line_of(&self.code, offset))
    }

    /// Tests, examples and benches: built by `cargo test`, shipped to nobody.
    fn is_dev_only(&self) -> bool {
        ["/tests/", "/examples/", "/benches/"].iter().any(|folder| self.file.path.contains(folder))
            || self.file.path.ends_with("/tests.rs")
    }
}

/// The dependency rule of docs/ARCHITECTURE.md.
fn layers(metadata: &Value, sources: &[Source], report: &mut Report) {
    let ours: BTreeSet<&str> = repo::items(metadata, "packages").map(|p| repo::text(p, "name")).collect();
    for package in repo::items(metadata, "packages") {
        let name = repo::text(package, "name");
        let Some((_, allowed)) = LAYERS.iter().find(|(crate_name, _)| *crate_name == name) else {
            report
                .fail(format!("crate {name} has no row in LAYERS of xtask/src/tidy.rs: say what it may use"));
            continue;
        };
        for dependency in repo::items(package, "dependencies") {
            let used = repo::text(dependency, "name");
            if !ours.contains(used) || repo::text(dependency, "kind") == "dev" {
                continue;
            }
            if DEV_ONLY.contains(&used) && !DEV_ONLY.contains(&name) {
                report.fail(format!("{name} uses {used}, which is for dev-dependencies only"));
            } else if !allowed.contains(&used) && !allowed.contains(&"*") {
                report.fail(format!("{name} may not use {used} (the dependency rule, docs/ARCHITECTURE.md)"));
            }
        }
    }
    for source in sources.iter().filter(|s| s.file.path.starts_with("crates/hrnet-data/src/")) {
        for at in words(&source.code, "hrnet_ir") {
            let path = source.code[at..].trim_start_matches("hrnet_ir").trim_start_matches("::");
            if !["Tensor", "tensor", "sets", "Decoder"].iter().any(|allowed| path.starts_with(allowed)) {
                report.fail(format!(
                    "{}: hrnet-data may use hrnet_ir::Tensor, hrnet_ir::sets and hrnet_ir::Decoder only",
                    source.place(at)
                ));
            }
        }
    }
}

/// No errors without a type, no arguments, bars, signals or exit codes in the library: those are the program's.
fn library(metadata: &Value, sources: &[Source], report: &mut Report) {
    for package in repo::items(metadata, "packages").filter(|p| repo::text(p, "name") == "hrnet") {
        for dependency in repo::items(package, "dependencies") {
            let used = repo::text(dependency, "name");
            if OF_A_PROGRAM.contains(&used.replace('-', "_").as_str()) {
                report.fail(format!("{LIBRARY}/Cargo.toml: {used} is for programs, not for the library"));
            }
        }
    }
    let folder = format!("{LIBRARY}/src/");
    for source in sources.iter().filter(|s| s.file.path.starts_with(&folder)) {
        for name in OF_A_PROGRAM {
            for at in words(&source.code, name) {
                report.fail(format!("{}: {name} in the library", source.place(at)));
            }
        }
        for call in ["process::exit", "process::abort"] {
            for (at, _) in source.code.match_indices(call) {
                report.fail(format!("{}: {call} in the library", source.place(at)));
            }
        }
    }
}

/// Unsafe code stays in one crate, and its amount changes only together with the number in UNSAFE_BUDGET.
fn unsafe_code(
    root: &Path,
    metadata: &Value,
    files: &[File],
    sources: &[Source],
    report: &mut Report,
) -> Result<()> {
    let mut count = 0;
    for source in sources {
        for at in words(&source.code, KEYWORD) {
            if source.file.package() != UNSAFE_CRATE {
                report.fail(format!("{}: {KEYWORD} outside {UNSAFE_CRATE}", source.place(at)));
            } else if source.file.path.starts_with(&format!("{UNSAFE_CRATE}/src/")) {
                count += 1;
            }
        }
    }
    let budget = files.iter().find(|f| f.path == UNSAFE_BUDGET).and_then(File::text).unwrap_or("");
    let budget: usize = budget.trim().parse().with_context(|| format!("{UNSAFE_BUDGET} holds no number"))?;
    report.note(format!("{KEYWORD} in {UNSAFE_CRATE}/src: {count} uses, {UNSAFE_BUDGET} says {budget}"));
    if count != budget {
        report.fail(format!(
            "{UNSAFE_BUDGET} says {budget}, counted {count}: change it in the same commit, and say why"
        ));
    }

    // Every target but tests and examples is a crate root of its own and needs its own attribute.
    for package in repo::items(metadata, "packages") {
        for target in repo::items(package, "targets") {
            let shipped =
                repo::items(target, "kind").any(|k| matches!(k.as_str(), Some("lib" | "bin" | "proc-macro")));
            let path = Path::new(repo::text(target, "src_path"));
            let path = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
            let Some(source) = sources.iter().find(|s| s.file.path == path) else { continue };
            let forbids = attributes(&source.code, "#![forbid(")
                .any(|(_, names)| words(names, concat!("un", "safe_code")).next().is_some());
            if shipped && source.file.package() != UNSAFE_CRATE && !forbids {
                report.fail(format!("{path}: #![forbid({KEYWORD}_code)] is missing"));
            }
        }
    }
    Ok(())
}

/// No unfinished code, no ignored tests; printing is the business of the command line.
fn unfinished(source: &Source, report: &mut Report) {
    for name in ["todo", "unimplemented", "dbg"] {
        for at in macros(&source.code, name) {
            report.fail(format!("{}: {name}!", source.place(at)));
        }
    }
    for open in [concat!("#[", "ignore"), ", ignore)]"] {
        for (at, _) in source.code.match_indices(open) {
            report.fail(format!("{}: ignored test", source.place(at)));
        }
    }
    if !["bench", "crates/hrnet-cli", "xtask"].contains(&source.file.package()) && !source.is_dev_only() {
        for name in ["print", "println", "eprint", "eprintln"] {
            for at in macros(&source.code, name) {
                report.fail(format!("{}: {name}! in a library", source.place(at)));
            }
        }
    }
}

/// Check E4: a parser module denies every way to panic or to wrap, and allows one only where it says why.
fn parser_lints(source: &Source, sources: &[Source], report: &mut Report) {
    let path = source.file.path.as_str();
    if !PARSERS.iter().any(|p| path.starts_with(p)) || source.is_dev_only() {
        return;
    }
    let parents = sources.iter().filter(|s| is_above(&s.file.path, path));
    let denied: Vec<&str> = std::iter::once(source)
        .chain(parents)
        .flat_map(|s| ["#![deny(", "#![forbid("].iter().flat_map(|open| attributes(&s.code, open)))
        .map(|(_, names)| names)
        .collect();
    let denied = denied.join(",");
    let missing: Vec<&str> =
        PARSER_LINTS.iter().copied().filter(|lint| words(&denied, lint).next().is_none()).collect();
    if !missing.is_empty() {
        report.fail(format!("{path}: a parser module without #![deny({})]", missing.join(", ")));
    }
    let lines: Vec<&str> = source.text.lines().collect();
    for open in ["#[allow(", "#[expect(", "#![allow("] {
        for (at, names) in attributes(&source.code, open) {
            if !PARSER_LINTS.iter().any(|lint| words(names, lint).next().is_some()) {
                continue;
            }
            let number = line_of(&source.code, at);
            let line = lines.get(number - 1).copied().unwrap_or("");
            let above = number.checked_sub(2).and_then(|i| lines.get(i)).map_or("", |l| l.trim());
            let explained =
                line.contains("//") || words(names, "reason").next().is_some() || above.starts_with("//");
            if !explained && above != "#[cfg(test)]" {
                report.fail(format!("{path}:{number}: a parser lint is allowed without a reason beside it"));
            }
        }
    }
}

/// Whether the file of one module holds another's: `a.rs`, `a/mod.rs` and `lib.rs` beside it stand above `a/b.rs`.
fn is_above(parent: &str, child: &str) -> bool {
    let folder = match parent.rsplit_once('/') {
        Some((folder, "lib.rs" | "main.rs" | "mod.rs")) => folder,
        _ => parent.trim_end_matches(".rs"),
    };
    parent != child && child.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn size(source: &Source, report: &mut Report) {
    let lines = source.text.lines().count();
    if lines > LINES_LIMIT {
        report.fail(format!("{}: {lines} lines, the limit is {LINES_LIMIT}", source.file.path));
    } else if lines > LINES_NOTE {
        report.note(format!("{}: {lines} lines, is it one subject?", source.file.path));
    }
}

/// What no file of the repository may be or hold.
fn anywhere(file: &File, report: &mut Report) {
    if file.bytes.len() > BYTES_LIMIT {
        report.fail(format!("{}: {} bytes, the limit is {BYTES_LIMIT}", file.path, file.bytes.len()));
    }
    let Some(text) = file.text().filter(|_| !file.path.ends_with(".lock")) else { return };
    for path in MACHINE_PATHS {
        if let Some(at) = text.find(path) {
            report.fail(format!("{}:{}: machine path {path}", file.path, line_of(text, at)));
        }
    }
}

/// Every picture is named, with its source, in the README.md of its folder: no data-set image is passed on unnoticed.
fn images(files: &[File], report: &mut Report) {
    for file in files {
        let magic = [&b"\xff\xd8\xff"[..], b"\x89PNG\r\n", b"GIF8"].iter().any(|m| file.bytes.starts_with(m));
        let lower = file.path.to_ascii_lowercase();
        let extension = lower.rsplit('.').next().unwrap_or("");
        if !magic
            && !["jpg", "jpeg", "png", "bmp", "webp", "gif", "tif", "tiff", "ppm", "pgm"].contains(&extension)
        {
            continue;
        }
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let credits = format!("{folder}/README.md");
        let text = files.iter().find(|f| f.path == credits).and_then(File::text).unwrap_or("");
        if !text.contains(&format!("`{name}`")) {
            report.fail(format!("{}: say where `{name}` is from in {credits}", file.path));
        }
    }
}

/// Every relative link of a page leads to a file or a folder of the repository.
fn links(files: &[File], report: &mut Report) {
    let known: BTreeMap<&str, ()> = files.iter().map(|f| (f.path.as_str(), ())).collect();
    for file in files.iter().filter(|f| f.path.ends_with(".md")) {
        for (line, target) in relative_links(file.text().unwrap_or("")) {
            let exists = resolve(&file.path, &target).is_some_and(|path| {
                known.contains_key(path.as_str()) || path.is_empty() || {
                    let folder = format!("{path}/");
                    known.range(folder.as_str()..).next().is_some_and(|(next, ())| next.starts_with(&folder))
                }
            });
            if !exists {
                report.fail(format!("{}:{line}: broken link {target}", file.path));
            }
        }
    }
}

/// The path a link means, from the root; `None` when it leaves the repository.
fn resolve(page: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = if target.starts_with('/') { vec![] } else { page.split('/').collect() };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The commands that README.md shows exist: verbs of `hrnet` are the files of crates/hrnet-cli/src/cmd.
fn readme_commands(files: &[File], report: &mut Report) {
    let Some(page) = files.iter().find(|f| f.path == "README.md").and_then(File::text) else {
        return report.fail("there is no README.md");
    };
    let verbs: BTreeSet<&str> = files
        .iter()
        .filter_map(|f| f.path.strip_prefix("crates/hrnet-cli/src/cmd/")?.strip_suffix(".rs"))
        .filter(|name| !name.contains('/') && *name != "mod")
        .collect();
    let commands: Vec<Piece> = shell_lines(page).into_iter().chain(inline_code(page)).collect();
    for (line, command) in commands {
        if let Some(problem) = unknown_command(&command, &verbs) {
            report.fail(format!("README.md:{line}: {problem} in `{command}`"));
        }
    }
}

/// What is wrong with a `cargo ...` or `hrnet ...` command; other text is not looked at.
fn unknown_command(command: &str, verbs: &BTreeSet<&str>) -> Option<String> {
    let mut words = command.split_whitespace();
    let verb = match (words.next()?, words.next()) {
        ("hrnet", verb) => verb,
        ("cargo", Some("run")) => words.skip_while(|w| *w != "--").nth(1),
        ("cargo", Some("xtask")) => {
            let task = words.next().unwrap_or("");
            return (!["tidy", "supply"].contains(&task)).then(|| format!("unknown task '{task}'"));
        }
        ("cargo", Some(sub)) => {
            let known =
                ["build", "check", "clippy", "doc", "fmt", "install", "package", "test"].contains(&sub);
            return (!known).then(|| format!("unknown cargo command '{sub}'"));
        }
        _ => return None,
    };
    let verb = verb.filter(|v| !v.starts_with('-'))?;
    (!verbs.contains(verb)).then(|| format!("unknown verb '{verb}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), bytes: text.as_bytes().to_vec() }
    }

    /// The findings of a per-source check on one Rust file.
    fn findings(path: &str, text: &str, check: fn(&Source, &mut Report)) -> Vec<String> {
        let file = file(path, text);
        let mut report = Report::default();
        check(&Source { file: &file, text, code: code_only(text) }, &mut report);
        report.findings
    }

    #[test]
    fn a_forbidden_dependency_is_found() {
        let metadata = |kind: &str, used: &str| {
            let dependency = serde_json::json!({ "name": used, "kind": if kind.is_empty() { Value::Null } else { kind.into() } });
            serde_json::json!({ "packages": [
                { "name": "hrnet-engine", "dependencies": [dependency] },
                { "name": "hrnet-ir" }, { "name": "hrnet-train" }, { "name": "xtask" },
            ]})
        };
        let count = |kind, used| {
            let mut report = Report::default();
            layers(&metadata(kind, used), &[], &mut report);
            report.findings.len()
        };
        assert_eq!((count("", "hrnet-ir"), count("", "serde"), count("dev", "xtask")), (0, 0, 0));
        assert_eq!((count("", "hrnet-train"), count("build", "hrnet-train"), count("", "xtask")), (1, 1, 1));
    }

    #[test]
    fn a_library_is_no_program() {
        let none = |source: &Source, report: &mut Report| {
            library(&serde_json::json!({ "packages": [] }), std::slice::from_ref(source), report);
        };
        let exits = "fn f() { std::process::exit(1) }";
        assert_eq!(findings("crates/hrnet/src/a.rs", exits, none).len(), 1);
        assert!(findings("crates/hrnet-cli/src/a.rs", exits, none).is_empty());
        assert!(findings("crates/hrnet/src/a.rs", "// anyhow\nfn f() -> &str { \"clap\" }", none).is_empty());
        assert_eq!(findings("crates/hrnet/src/a.rs", "use anyhow::Result;", none).len(), 1);
        let mut report = Report::default();
        let packages = serde_json::json!({ "packages": [
            { "name": "hrnet", "dependencies": [{ "name": "signal-hook", "kind": Value::Null }] },
            { "name": "hrnet-cli", "dependencies": [{ "name": "clap", "kind": Value::Null }] },
        ]});
        library(&packages, &[], &mut report);
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    }

    #[test]
    fn unfinished_code_and_printing() {
        assert_eq!(
            findings("crates/hrnet-ir/src/a.rs", "fn f() { dbg!(1) }\n// dbg!(1)", unfinished).len(),
            1
        );
        let print = "fn f() { println!(\"x\") }";
        assert_eq!(findings("crates/hrnet-ir/src/a.rs", print, unfinished).len(), 1);
        for path in ["crates/hrnet-cli/src/a.rs", "xtask/src/a.rs", "crates/hrnet-ir/tests/a.rs"] {
            assert!(findings(path, print, unfinished).is_empty(), "{path}");
        }
        let ignored = format!("#[test]\n{} = \"slow\"]\nfn f() {{}}", concat!("#[", "ignore"));
        assert_eq!(findings("crates/hrnet-ir/tests/a.rs", &ignored, unfinished).len(), 1);
    }

    #[test]
    fn parser_modules_deny_the_lints() {
        let alone = |source: &Source, report: &mut Report| parser_lints(source, &[], report);
        let path = "crates/hrnet-formats/src/zip.rs";
        let all = format!("#![deny({})]\n", PARSER_LINTS.join(",\n"));
        assert!(findings(path, &all, alone).is_empty());
        assert_eq!(findings(path, &all.replace("clippy::panic", "clippy::todo"), alone).len(), 1);
        assert_eq!(findings(path, &format!("// {}", all.replace('\n', "")), alone).len(), 1);
        assert!(findings("crates/hrnet-ir/src/net.rs", "", alone).is_empty());
        let allow = "#[allow(clippy::panic)]";
        assert_eq!(findings(path, &format!("{all}fn a() {{}}\n{allow}\nfn b() {{}}"), alone).len(), 1);
        for good in [format!("#[cfg(test)]\n{allow}\nmod t {{}}"), format!("{allow} // why\nfn b() {{}}")] {
            assert!(findings(path, &format!("{all}{good}"), alone).is_empty(), "{good}");
        }
        // The attribute of the parent counts, that of a neighbour does not.
        let child = file("crates/hrnet-image/src/video/avi.rs", "");
        for (above, findings) in
            [("src/video.rs", 0), ("src/lib.rs", 0), ("src/yuv.rs", 1), ("src/video/y4m.rs", 1)]
        {
            let parent = file(&format!("crates/hrnet-image/{above}"), &all);
            let source = |file| Source { file, text: "", code: code_only(file.text().unwrap_or("")) };
            let mut report = Report::default();
            parser_lints(&source(&child), &[source(&parent), source(&child)], &mut report);
            assert_eq!(report.findings.len(), findings, "{above}");
        }
    }

    #[test]
    fn links_resolve_inside_the_repository() {
        let files = [
            file(
                "docs/a.md",
                "[b](b.md) [top](../README.md) [folder](../crates/x/) [root](/docs) [c](c.md) [out](../../d)",
            ),
            file("docs/b.md", ""),
            file("README.md", ""),
            file("crates/x/src/lib.rs", ""),
        ];
        let mut report = Report::default();
        links(&files, &mut report);
        assert_eq!(report.findings, ["docs/a.md:1: broken link c.md", "docs/a.md:1: broken link ../../d"]);
    }

    #[test]
    fn images_need_a_source() {
        let files = [
            file("examples/README.md", "| `a.jpg` | public domain |"),
            file("examples/a.jpg", ""),
            file("examples/b.png", ""),
            file("crates/x/testdata/c.JPG", ""),
            file("testdata/d.bin", "GIF89a"),
            file("testdata/README.md", "`e.png`, drawn by make.py; d.bin"),
            file("testdata/e.png", ""),
        ];
        let mut report = Report::default();
        images(&files, &mut report);
        assert_eq!(report.findings.len(), 3, "{:?}", report.findings);
    }

    #[test]
    fn machine_paths_and_large_files() {
        let count = |path: &str, bytes: Vec<u8>| {
            let mut report = Report::default();
            anywhere(&File { path: path.into(), bytes }, &mut report);
            report.findings.len()
        };
        let text = format!("see {}x", MACHINE_PATHS[0]);
        assert_eq!((count("a.md", text.clone().into()), count("a.lock", text.into())), (1, 0));
        assert_eq!(
            (count("m.bin", vec![0xff; BYTES_LIMIT + 1]), count("m.bin", vec![0xff; BYTES_LIMIT])),
            (1, 0)
        );
    }

    #[test]
    fn readme_verbs() {
        let verbs = BTreeSet::from(["info", "predict"]);
        for good in [
            "hrnet info pose_w32",
            "hrnet --help",
            "hrnet",
            "cargo run --release -- predict a.jpg",
            "cargo xtask tidy",
            "cargo test --workspace",
            "ls",
        ] {
            assert_eq!(unknown_command(good, &verbs), None, "{good}");
        }
        for bad in ["hrnet fly", "cargo run -- fly", "cargo xtask fly", "cargo fly"] {
            assert!(unknown_command(bad, &verbs).is_some(), "{bad}");
        }
    }
}
