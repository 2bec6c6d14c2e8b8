//! The report as a page for people.

use super::{Finding, Report, Severity, Summary};
use std::fmt::Write;

/// Classes that are listed.
const CLASSES: usize = 30;

pub(super) fn page(report: &Report) -> String {
    let mut out = String::new();
    for (i, set) in report.sets.iter().enumerate() {
        summary(&mut out, i, set);
    }
    for severity in [Severity::Defect, Severity::Warning, Severity::Note] {
        for f in report.findings.iter().filter(|f| f.severity == severity) {
            let word = match severity {
                Severity::Defect => "DEFECT ",
                Severity::Warning => "warning",
                Severity::Note => "note   ",
            };
            let of = f.of.map_or(String::new(), |n| format!(" of {n}"));
            let set = if report.sets.len() > 1 { format!(" [set {}]", f.set + 1) } else { String::new() };
            let _ = writeln!(out, "\n{word} {}{set}: {}{of} {}", f.code, f.count, f.title);
            for e in &f.examples {
                let _ = writeln!(out, "          {}: {}", e.place, e.what);
            }
            let shown = f.examples.len();
            if f.count > shown && shown > 0 {
                let _ = writeln!(out, "          ... {} in all", f.count);
            }
            let _ = writeln!(out, "        > {}", f.fix);
        }
    }
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let (defects, warnings, notes) =
        (report.count(Severity::Defect), report.count(Severity::Warning), report.count(Severity::Note));
    let _ = writeln!(
        out,
        "\n{}, {}, {}.{}",
        plural(defects, "defect"),
        plural(warnings, "warning"),
        plural(notes, "note"),
        if defects == 0 { " Nothing stands against training on this." } else { "" }
    );
    out
}

/// A finding in two lines: what, the first example, the fix.
pub(super) fn short(f: &Finding, set: &str) -> String {
    let of = f.of.map_or(String::new(), |n| format!(" of {n}"));
    let example = f.examples.first().map_or(String::new(), |e| format!(" ({}: {})", e.place, e.what));
    let (code, count, title, fix) = (f.code, f.count, f.title, f.fix);
    format!("{code} [{set}]: {count}{of} {title}{example}\n  > {fix}")
}

fn summary(out: &mut String, index: usize, s: &Summary) {
    let _ = writeln!(out, "{}{}", if index > 0 { "\n" } else { "" }, s.path);
    let skipped = if s.skipped > 0 { format!(", {} entries left out", s.skipped) } else { String::new() };
    let looked = match s.looked_at < s.images {
        true => format!(" ({} looked at)", s.looked_at),
        false => String::new(),
    };
    let (task, format, images, samples) = (s.task, s.format, s.images, s.samples);
    let _ = writeln!(out, "  {task} ({format}): {images} images{looked}, {samples} samples{skipped}");
    if let (Some(n), Some(labelled)) = (s.points.filter(|&n| n > 0), s.labelled_points) {
        let extent = s.extent.map_or(String::new(), |[x0, y0, x1, y1]| {
            format!("; x from {x0:.1} to {x1:.1}, y from {y0:.1} to {y1:.1}")
        });
        let _ = writeln!(out, "  {n} points per sample, {labelled} labelled{extent}");
    }
    let pixels: u64 = s.classes.iter().filter_map(|c| c.pixels).sum::<u64>() + s.ignored_pixels.unwrap_or(0);
    let share = |n: u64| 100.0 * n as f64 / pixels.max(1) as f64;
    // One category says nothing, and empty classes are findings.
    let listed = s.classes.iter().filter(|c| c.samples > 0 || c.pixels.is_some());
    let count = listed.clone().count();
    for c in listed.take(CLASSES).filter(|_| count > 1) {
        let name = if c.name.is_empty() { String::new() } else { format!(" {}", c.name) };
        let _ = match c.pixels {
            Some(p) => {
                writeln!(out, "  {:>5}{name}: {:.2} % of the pixels, in {} images", c.id, share(p), c.samples)
            }
            None => writeln!(out, "  {:>5}{name}: {} samples", c.id, c.samples),
        };
    }
    if count > CLASSES {
        let _ = writeln!(out, "        ... {count} in all");
    }
    if let Some(p) = s.ignored_pixels.filter(|&p| p > 0) {
        let _ = writeln!(out, "        ignored: {:.2} % of the pixels", share(p));
    }
}
