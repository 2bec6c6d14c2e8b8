//! Repository checks: `cargo xtask tidy` (layers, unsafe code, parser lints, sizes, links) and `cargo xtask supply`
//! (lock file, sources, licences, vetted crates) on every change; `cargo xtask nightly [part ...]` the slow checks and
//! those that want tools (docs/checks.md). A check that finds something prints every finding and exits with 1.
#![forbid(unsafe_code)]

mod citations;
mod licence;
mod markdown;
mod nightly;
mod repo;
mod scan;
mod supply;
mod tidy;
mod translation;

use std::process::ExitCode;

/// What a check found. Notes are printed and never fail.
#[derive(Default)]
pub struct Report {
    pub findings: Vec<String>,
    pub notes: Vec<String>,
}

impl Report {
    pub fn fail(&mut self, text: impl Into<String>) {
        self.findings.push(text.into());
    }

    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

fn main() -> ExitCode {
    let verbs: Vec<String> = std::env::args().skip(1).collect();
    let verbs: Vec<&str> = verbs.iter().map(String::as_str).collect();
    let outcome = match verbs[..] {
        ["tidy"] => repo::root().and_then(|root| tidy::run(&root)),
        ["supply"] => repo::root().and_then(|root| supply::run(&root)),
        ["nightly", ref parts @ ..] => repo::root().and_then(|root| nightly::run(&root, parts)),
        _ => {
            eprintln!("usage: cargo xtask tidy | supply | nightly [part ...]");
            return ExitCode::from(2);
        }
    };
    let verb = verbs[0];
    let report = match outcome {
        Ok(report) => report,
        Err(error) => {
            eprintln!("{verb}: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    for note in &report.notes {
        println!("{verb}: note: {note}");
    }
    for finding in &report.findings {
        println!("{verb}: {finding}");
    }
    if report.findings.is_empty() {
        println!("{verb}: ok");
        ExitCode::SUCCESS
    } else {
        println!("{verb}: {} findings", report.findings.len());
        ExitCode::FAILURE
    }
}
