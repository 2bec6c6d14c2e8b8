//! A translated page (`README.zh-CN.md`) keeps step with its original (`README.md`): the same headings by level, the same rows of
//! tables, the same code and the same links; and each links to the other.

use crate::Report;
use crate::markdown::{inline_code, relative_links};
use crate::repo::File;

/// What follows the stem of a translated page.
const LANGUAGES: [&str; 1] = [".zh-CN.md"];

/// What must be the same in both pages, in words and as a list.
type Aspect = (&'static str, fn(&str) -> Vec<String>);

const ASPECTS: [Aspect; 5] = [
    ("heading levels", headings),
    ("code blocks", blocks),
    ("table columns", rows),
    ("links", links),
    ("inline code", code),
];

/// Compares every translated page with its original.
pub fn check(files: &[File], report: &mut Report) {
    let page = |path: &str| files.iter().find(|f| f.path == path).and_then(File::text);
    for file in files {
        let Some(stem) = LANGUAGES.iter().find_map(|end| file.path.strip_suffix(end)) else { continue };
        let path = format!("{stem}.md");
        let (Some(translated), Some(original)) = (file.text(), page(&path)) else {
            report.fail(format!("{}: there is no {path} that it translates", file.path));
            continue;
        };
        for (text, at, other) in [(original, &path, &file.path), (translated, &file.path, &path)] {
            let name = other.rsplit('/').next().unwrap_or(other);
            if !relative_links(text).iter().any(|(_, target)| target == name) {
                report.fail(format!("{at}: no link to {name}"));
            }
        }
        for (what, list) in ASPECTS {
            let (here, there) = (list(original), list(translated));
            if let Some(at) = (0..here.len().max(there.len())).find(|&i| here.get(i) != there.get(i)) {
                let shown = |l: &[String]| l.get(at).map_or("nothing".into(), |s| format!("{s:?}"));
                report.fail(format!(
                    "{}: other {what} than {path}: {} where that has {}",
                    file.path,
                    shown(&there),
                    shown(&here)
                ));
            }
        }
    }
}

/// Each line and whether it belongs to a fenced block (the fences do).
fn lines(page: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut fenced = false;
    page.lines().map(move |line| {
        let fence = line.trim_start().starts_with("```");
        let inside = fenced || fence;
        fenced ^= fence;
        (inside, line)
    })
}

fn headings(page: &str) -> Vec<String> {
    let level = |line: &str| line.chars().take_while(|c| *c == '#').collect::<String>();
    lines(page)
        .filter(|(inside, line)| !inside && line.starts_with('#'))
        .map(|(_, line)| level(line))
        .collect()
}

fn blocks(page: &str) -> Vec<String> {
    lines(page).filter(|(inside, _)| *inside).map(|(_, line)| line.to_string()).collect()
}

/// The number of columns of every row.
fn rows(page: &str) -> Vec<String> {
    lines(page)
        .filter(|(inside, line)| !inside && line.starts_with('|'))
        .map(|(_, line)| line.matches('|').count().to_string())
        .collect()
}

/// Sorted, for another language has another order of words; without the links between the pages.
fn links(page: &str) -> Vec<String> {
    let own = |path: &str| path.starts_with("README.") && !path.contains('/');
    let mut links: Vec<String> =
        relative_links(page).into_iter().map(|(_, path)| path).filter(|p| !own(p)).collect();
    links.sort();
    links
}

/// Sorted, as the links are.
fn code(page: &str) -> Vec<String> {
    let mut spans: Vec<String> = inline_code(page).into_iter().map(|(_, span)| span).collect();
    spans.sort();
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "# A\n[b](README.zh-CN.md) [x](x.md) `y`\n```sh\nrun a\n# no heading\n```\n| a | b |\n## B\n";

    fn findings(translated: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.into(), bytes: text.as_bytes().to_vec() };
        let files = [file("README.md", PAGE), file("README.zh-CN.md", translated)];
        let mut report = Report::default();
        check(&files, &mut report);
        report.findings
    }

    #[test]
    fn every_difference_is_found() {
        let same = PAGE.replace("README.zh-CN.md", "README.md").replace("# A", "# 甲");
        assert_eq!(findings(&same), [""; 0]);
        let changes = [
            ("## B", "### B", "heading levels"),
            ("## B\n", "", "heading levels"),
            ("run a", "run b", "code blocks"),
            ("| a | b |", "| a |", "table columns"),
            ("x.md", "z.md", "links"),
            ("`y`", "`z`", "inline code"),
            ("README.md", "z/README.md", "no link to README.md"),
        ];
        for (from, to, what) in changes {
            let found = findings(&same.replace(from, to));
            assert!(found.iter().any(|f| f.contains(what)), "{from} -> {to}: {found:?}");
        }
    }

    #[test]
    fn a_translation_of_nothing_is_found() {
        let file = File { path: "docs/a.zh-CN.md".into(), bytes: Vec::new() };
        let mut report = Report::default();
        check(&[file], &mut report);
        assert_eq!(report.findings, ["docs/a.zh-CN.md: there is no docs/a.md that it translates"]);
    }
}
