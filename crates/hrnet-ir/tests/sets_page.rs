//! docs/sets.md lists the table of sets: a row for each, no other. `HRNET_WRITE=1` writes the rows anew.

use hrnet_ir::sets::{ClassColours, ClassSet, PointSet, SigmaSource};
use std::path::Path;

fn names(list: &[&str]) -> String {
    list.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

fn point_row(s: &PointSet) -> String {
    let sigmas = match s.sigmas_from {
        SigmaSource::None => "",
        SigmaSource::Published(_) => "published",
        SigmaSource::Adapted(_) => "adapted",
    };
    let lines = s.drawn_lines().len();
    let (kind, pairs) = (s.kind.name(), s.flip_pairs.len());
    format!("| `{}` | {} | {kind} | {} | {pairs} | {lines} | {sigmas} |", s.name, names(s.aliases), s.count)
}

fn class_row(s: &ClassSet) -> String {
    let colours = match s.colours {
        ClassColours::Own(_) => "its own",
        ClassColours::Bits => "PASCAL VOC's",
    };
    format!("| `{}` | {} | {} | {colours} |", s.name, names(s.aliases), s.classes.len())
}

/// The page with the rows behind each table's head replaced.
fn with_rows(page: &str, tables: &[(&str, Vec<String>)]) -> String {
    let mut out = String::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let Some((_, rows)) = tables.iter().find(|(head, _)| line == *head) else { continue };
        out.push_str(lines.next().expect("a rule below the head"));
        out.push('\n');
        while lines.next_if(|l| l.starts_with('|')).is_some() {}
        rows.iter().for_each(|row| {
            out.push_str(row);
            out.push('\n');
        });
    }
    out
}

#[test]
fn the_page_lists_every_set() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sets.md");
    let Ok(page) = std::fs::read_to_string(&file) else {
        eprintln!("left out: the_page_lists_every_set: {} is not there", file.display());
        return;
    };
    let tables = [
        (
            "| points | also | of | count | pairs | lines | OKS constants |",
            PointSet::all().map(point_row).collect::<Vec<_>>(),
        ),
        ("| classes | also | count | colours |", ClassSet::all().map(class_row).collect()),
    ];
    for (head, _) in &tables {
        assert_eq!(page.lines().filter(|l| l == head).count(), 1, "{head}");
    }
    let wanted = with_rows(&page, &tables);
    if std::env::var_os("HRNET_WRITE").is_some() {
        std::fs::write(&file, &wanted).unwrap();
        return;
    }
    assert!(
        page == wanted,
        "docs/sets.md is not the table: HRNET_WRITE=1 cargo test -p hrnet-ir --test sets_page"
    );
}
