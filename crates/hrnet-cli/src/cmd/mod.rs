//! The verbs, one per file.

mod bench;
mod convert;
mod data;
mod data_convert;
pub(crate) mod eval;
mod info;
mod kernels;
mod predict;
mod run;
mod train;
mod verify;
mod yacs;

use crate::cli::{Cli, Compute, Verb};
use crate::outcome::Outcome;
use hrnet_formats::{LoadReport, Origin, Recipe};
use serde_json::{Value, json};

/// Runs the verb of a command line.
pub fn run(cli: Cli) -> Outcome {
    match cli.verb {
        Verb::Predict(args) => predict::run(&args),
        Verb::Train(args) => train::run(&args),
        Verb::Eval(args) => eval::run(&args),
        Verb::Info(args) => info::run(&args),
        Verb::Convert(args) => convert::run(&args),
        Verb::Verify(args) => verify::run(&args),
        Verb::Run(args) => run::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Kernels(args) => kernels::run(&args),
        Verb::Data(args) => data::run(&args),
    }
}

impl Compute {
    /// The number of threads to use.
    pub fn threads(&self) -> usize {
        self.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, Into::into), usize::from)
    }
}

/// What loading did, for people: one remark per line.
fn remarks(report: &LoadReport) -> Vec<String> {
    let mut lines = Vec::new();
    if !report.entry.is_empty() {
        lines.push(format!("weights taken from the entry '{}'", report.entry));
    }
    if !report.prefix.is_empty() {
        lines.push(format!("prefix '{}' taken off every key", report.prefix));
    }
    if !report.renamed.is_empty() {
        let (from, to) = &report.renamed[0];
        lines.push(format!("{} keys renamed, for example {from} -> {to}", report.renamed.len()));
    }
    if !report.filled.is_empty() {
        lines.push(format!("{} biases absent by design and set to 0", report.filled.len()));
    }
    for ignored in &report.ignored {
        lines.push(format!("not used: {} ({})", ignored.name, ignored.reason));
    }
    lines.extend(report.repaired.iter().map(|r| format!("repaired: {r}")));
    for c in &report.conversions {
        lines.push(format!(
            "{} tensors in {}, converted to f32 ({} values rounded)",
            c.tensors, c.dtype, c.rounded
        ));
    }
    lines.extend(report.notes.iter().cloned());
    lines
}

/// The set of points or classes and the decoder, and where they come from.
fn facts(recipe: &Recipe, in_file: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if recipe.task.has_points() || !recipe.names.is_empty() {
        lines.push(recipe.names_from(in_file));
    }
    if recipe.decoder.is_of_heatmaps() {
        lines.push(recipe.decoder_from(in_file));
    }
    lines
}

/// The same as JSON: the set's name, the names' origin, whether it is a guess, the decoder and its origin.
fn facts_json(recipe: &Recipe, in_file: bool) -> Value {
    let origin = |origin: Option<Origin>| match origin {
        Some(origin) => json!(origin),
        None if in_file => json!("recipe"),
        None => Value::Null,
    };
    json!({
        "set": recipe.set_name(),
        "from": origin(recipe.origins.names),
        "guessed": recipe.origins.names == Some(Origin::Guess),
        "said": facts(recipe, in_file),
        "decoder": recipe.decoder.name(),
        "decoder_from": origin(recipe.origins.decoder),
    })
}

/// What loading did, as JSON.
fn report_json(report: &LoadReport) -> Value {
    let ignored: Vec<Value> =
        report.ignored.iter().map(|i| json!({"name": i.name, "reason": i.reason})).collect();
    let wrong: Vec<Value> = report
        .wrong_shape
        .iter()
        .map(|w| json!({"name": w.name, "wanted": w.wanted, "found": w.found}))
        .collect();
    json!({
        "container": report.container.map(|c| c.to_string()),
        "scheme": report.scheme.map(|s| s.to_string()),
        "entry": report.entry,
        "prefix": report.prefix,
        "renamed": report.renamed.len(),
        "filled": report.filled,
        "ignored": ignored,
        "missing": report.missing,
        "unexpected": report.unexpected,
        "wrong_shape": wrong,
        "repaired": report.repaired,
        "notes": report.notes,
    })
}
