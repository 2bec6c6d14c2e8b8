//! What comments and pages cite exists: the page, the section of it that is named (`docs/hrnet.md 4.3`, also `5.3 and 5.4`,
//! `2 to 7`), for the code of a check a row of docs/reliability.md, and the source files that pages name. Pages outside of the repository are cited by nobody
//! who reads a clone.

use crate::Report;
use crate::markdown::inline_code;
use crate::repo::File;
use crate::scan::line_of;
use std::collections::{BTreeMap, BTreeSet};

/// The page with a row for each code of a check.
const LIST: &str = "docs/reliability.md";
/// A folder of pages that a clone does not have.
const ABSENT: &str = concat!("refer", "ence/");

pub fn check(files: &[File], report: &mut Report) {
    let pages: BTreeMap<&str, &str> = files
        .iter()
        .filter(|f| f.path.starts_with("docs/") && f.path.ends_with(".md"))
        .filter_map(|f| Some((f.path.as_str(), f.text()?)))
        .collect();
    let codes: BTreeSet<&str> = pages.get(LIST).copied().unwrap_or("").lines().filter_map(row).collect();
    for file in files.iter().filter(|f| !f.path.ends_with(".lock")) {
        let Some(mut text) = file.text() else { continue };
        if file.path.starts_with("xtask/src/") {
            // The tests of these checks have pages that they make up.
            text = text.split("#[cfg(test)]").next().unwrap_or("");
        }
        for (at, _) in text.match_indices("docs/") {
            let Some((page, rest)) = page_at(text, at) else { continue };
            let place = format!("{}:{}", file.path, line_of(text, at));
            let Some(cited) = pages.get(page) else {
                report.fail(format!("{place}: there is no {page}"));
                continue;
            };
            let sections: BTreeSet<&str> = cited.lines().filter_map(heading).collect();
            for number in numbers(rest).into_iter().filter(|number| !sections.contains(number)) {
                report.fail(format!("{place}: {page} has no section {number}"));
            }
        }
        for (at, _) in text.match_indices(ABSENT) {
            let name = word(&text[at + ABSENT.len()..]);
            if name.ends_with(".md") {
                let place = format!("{}:{}", file.path, line_of(text, at));
                report
                    .fail(format!("{place}: {ABSENT}{name} is not in the repository, cite a page of docs/"));
            }
        }
        if pages.contains_key(file.path.as_str()) {
            sources(file, text, files, report);
        }
        for code in cited_codes(text).filter(|code| !codes.contains(code)) {
            report.fail(format!("{}: check {code} has no row in {LIST}", file.path));
        }
    }
}

/// Source files that a page names from the root or from `crates/`: `hrnet-ir/src/zoo.rs`.
fn sources(page: &File, text: &str, files: &[File], report: &mut Report) {
    for (line, span) in inline_code(text) {
        let named = word(&span) == span && span.contains('/') && span.ends_with(".rs");
        if named && (span.starts_with("hrnet") || span.starts_with("crates/")) {
            let path = format!("crates/{}", span.trim_start_matches("crates/"));
            if !files.iter().any(|f| f.path == path) {
                report.fail(format!("{}:{line}: there is no {path}", page.path));
            }
        }
    }
}

/// The letters of a path or a number from the beginning of a text, without a full stop behind.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"._-/".contains(c)).unwrap_or(text.len());
    text[..end].trim_end_matches('.')
}

/// The page cited at `at` and the text behind it; nothing for other files, and for paths in other folders.
fn page_at(text: &str, at: usize) -> Option<(&str, &str)> {
    let before = text[..at].chars().next_back();
    let page = word(&text[at..]);
    let elsewhere = before.is_some_and(|c| c.is_alphanumeric() || "/-_.".contains(c));
    (page.ends_with(".md") && !elsewhere).then(|| (page, &text[at + page.len()..]))
}

/// The numbers of sections that follow a page: ` 4.3`, `, section 2`, ` 5.3 and 5.4`, ` 2 to 7`.
fn numbers(rest: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = rest.strip_prefix('`').unwrap_or(rest);
    let mut joints: &[&str] = &[" ", ", section "];
    while let Some(tail) = joints.iter().find_map(|joint| rest.strip_prefix(joint)) {
        let number = word(tail);
        if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
            break;
        }
        found.push(number);
        rest = &tail[number.len()..];
        joints = &[" and ", " to ", ", "];
    }
    found
}

/// The number of a heading: `4.3` of `### 4.3 Attention`, `6` of `## 6. Costs`.
fn heading(line: &str) -> Option<&str> {
    let number = line.strip_prefix('#')?.trim_start_matches('#').split_whitespace().next()?;
    number.starts_with(|c: char| c.is_ascii_digit()).then(|| number.trim_end_matches('.'))
}

fn is_code(word: &str) -> bool {
    matches!(word.as_bytes(), [b'A'..=b'G', b'1'..=b'9'])
}

/// The code of a row of the list.
fn row(line: &str) -> Option<&str> {
    line.strip_prefix("| ")?.split(" |").next().filter(|cell| is_code(cell))
}

/// The codes behind the words "check" and "checks".
fn cited_codes(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("heck").flat_map(move |(at, what)| {
        let mut rest = &text[at + what.len()..];
        rest = rest.strip_prefix('s').unwrap_or(rest);
        let mut found = Vec::new();
        let mut joints: &[&str] = &[" "];
        while let Some(tail) = joints.iter().find_map(|joint| rest.strip_prefix(joint)) {
            let code = word(tail);
            if !is_code(code) {
                break;
            }
            found.push(code);
            rest = &tail[code.len()..];
            joints = &[", ", " and ", " to "];
        }
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.into(), bytes: text.into() };
        let page = "# A page\n## 2. Two\n### 2.1 Two one\n## 3 Three\n";
        let list = "| code |\n|---|\n| A1 | x |\n| E4 | y |\n";
        let mut report = Report::default();
        check(&[file("docs/a.md", page), file(LIST, list), file("src/b.rs", text)], &mut report);
        report.findings
    }

    #[test]
    fn pages_name_files_that_exist() {
        let file = |path: &str, text: &str| File { path: path.into(), bytes: text.into() };
        let page = "`hrnet-x/src/a.rs` `crates/hrnet-x/src/a.rs` `robust/b.rs` `hrnet/src/{c, d}.rs`\n`hrnet/src/a.rs`";
        let mut report = Report::default();
        check(&[file("docs/a.md", page), file("crates/hrnet-x/src/a.rs", "")], &mut report);
        assert_eq!(report.findings, ["docs/a.md:2: there is no crates/hrnet/src/a.rs"]);
    }

    #[test]
    fn what_is_cited_exists() {
        for good in [
            "//! (docs/a.md 2.1 and 3)",
            "docs/a.md 2 to 3.",
            "`docs/a.md` 2.1",
            "docs/a.md, section 3",
            "see docs/a.md. 7 more",
            "docs/a.md says 9 things",
            "crates/x/docs/none.md, docs/picture.png",
            "Checks A1 and E4: more. Check A1. Bounds checks F16 and check of E9",
        ] {
            assert_eq!(findings(good), [""; 0], "{good}");
        }
        for (bad, count) in [
            ("docs/none.md", 1),
            ("docs/a.md 2.2", 1),
            ("docs/a.md 1 and 2.1 and 4", 2),
            ("`docs/a.md` 9", 1),
            ("Check B1", 1),
            ("checks A1, C2 and D3", 2),
            (concat!("`refer", "ence/hrnet.md` 1.1"), 1),
        ] {
            assert_eq!(findings(bad).len(), count, "{bad}: {:?}", findings(bad));
        }
    }
}
