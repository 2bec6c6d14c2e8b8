//! `hrnet info`: what a variant or a checkpoint is, and what is odd about it.

mod training;

use crate::cli::Info;
use crate::outcome::{Failure, Outcome};
use crate::say;
use hrnet::config::TrainConfig;
use hrnet::error::Context;
use hrnet::model::{LoadedModel, created_by, recipe_of, remarks_on};
use hrnet::yacs::Imported;
use hrnet_formats::{LoadOptions, Recipe, inspect_path, load_path};
use hrnet_ir::summary::Summary;
use hrnet_ir::{Model, Weights, zoo};
use serde_json::{Map, Value, json};
use std::path::Path;

pub(super) fn run(args: &Info) -> Outcome {
    if args.what == "list" {
        return list(args);
    }
    let path = Path::new(&args.what);
    if hrnet::yacs::is_yaml(path) {
        return yaml(args, path);
    }
    if training::is_one(path) {
        return training::describe(path, args.json);
    }
    if path.exists() {
        return file(args, path);
    }
    let Some(entry) = zoo::find(&args.what) else {
        return Err(Failure::Usage(format!(
            "'{}' is neither a file nor a variant; `hrnet info list` shows the published networks, short forms such as \
             pose_w32 or cls_w18_small_v1 work too",
            args.what
        )));
    };
    let input = args.input_size.unwrap_or(entry.input);
    let summary = summarise(&entry.model, input)?;
    if args.json {
        let mut object = describe_json(&entry.model, &summary);
        object.insert("id".into(), json!(entry.id));
        object.insert("published_metric".into(), non_empty(entry.metric));
        object.insert("source".into(), json!(entry.source));
        object.insert("licence".into(), json!(entry.licence));
        object.insert("problems".into(), json!([]));
        say!("{}", Value::Object(object));
        return Ok(());
    }
    say!("{}  ({})", entry.model, entry.id);
    if !entry.metric.is_empty() {
        say!("published: {}  [{}]", entry.metric, entry.source);
    }
    print_summary(&summary);
    Ok(())
}

/// A checkpoint: what it is, what is odd about it. Problems do not make the verb fail: it was asked to describe them.
fn file(args: &Info, path: &Path) -> Outcome {
    let shown = path.display();
    let options = LoadOptions { allow_non_finite: true, ..LoadOptions::default() };
    let inspection = inspect_path(path, &options).with_context(|| format!("{shown}: cannot be read"))?;
    let mut problems = inspection.problems.clone();
    let mut report = inspection.report.clone();
    if problems.is_empty() {
        // Structure is in order; values can still be wrong.
        match load_path(path, &LoadOptions::default()).or_else(|error| {
            problems.push(error.to_string());
            load_path(path, &options)
        }) {
            Ok(checkpoint) => report = checkpoint.report,
            Err(error) => problems.push(error.to_string()),
        }
    }
    problems.dedup();
    report.notes.extend(remarks_on(&inspection.meta));
    let summary = match &inspection.model {
        Some(model) => {
            let recipe = match inspection.recipe.clone() {
                Some(recipe) => Ok(recipe),
                None => recipe_of(model, &inspection.meta),
            };
            // A file that contradicts itself is described as its family is.
            let recipe = recipe.unwrap_or_else(|error| {
                problems.push(error.to_string());
                Recipe::for_model(model, created_by())
            });
            let mut named = LoadedModel {
                weights: Weights::new(),
                model: *model,
                recipe,
                has_recipe: inspection.recipe.is_some(),
                report: report.clone(),
            };
            report.notes.extend(
                named.name_facts(&args.facts.named(), true)?.into_iter().filter(|r| r.starts_with("--")),
            );
            let recipe = named.recipe;
            let (h, w) = recipe.input_size;
            Some((model, summarise(model, args.input_size.unwrap_or([h, w]))?, recipe))
        }
        None => None,
    };
    if args.json {
        let mut object = match &summary {
            Some((model, summary, recipe)) => {
                let mut object = describe_json(model, summary);
                object.insert("recipe".into(), json!(recipe));
                object.insert(
                    "points_and_decoder".into(),
                    super::facts_json(recipe, inspection.recipe.is_some()),
                );
                object.insert("recipe_in_file".into(), json!(inspection.recipe.is_some()));
                object
            }
            None => Map::new(),
        };
        object.insert("file".into(), json!(path));
        object.insert("bytes".into(), json!(inspection.size));
        object.insert("tensors".into(), json!(inspection.tensors.len()));
        object.insert("problems".into(), json!(problems));
        object.insert("report".into(), super::report_json(&report));
        say!("{}", Value::Object(object));
        return unrecognised(path, summary.is_none(), &problems);
    }
    if let Some((model, summary, recipe)) = &summary {
        say!("{shown}: {model}");
        let container = report.container.map_or_else(String::new, |c| c.to_string());
        let scheme = report.scheme.map_or_else(String::new, |s| format!(", {s} names"));
        say!("{container}{scheme}, {} tensors, {} bytes", inspection.tensors.len(), inspection.size);
        for line in super::remarks(&report) {
            say!("  {line}");
        }
        for line in super::facts(recipe, inspection.recipe.is_some()) {
            say!("  {line}");
        }
        say!();
        print_summary(summary);
    }
    if summary.is_some() {
        problems.iter().for_each(|problem| say!("problem: {problem}"));
    }
    unrecognised(path, summary.is_none(), &problems)
}

/// A configuration of an official repository: the network that it describes, and what a run of ours would not take over.
fn yaml(args: &Info, path: &Path) -> Outcome {
    let read = Imported::read(path, &[], None)?;
    let summary = summarise(&read.model, args.input_size.unwrap_or(read.input))?;
    if args.json {
        let mut object = describe_json(&read.model, &summary);
        let config = read.config.as_ref().ok().map(TrainConfig::to_toml).transpose()?;
        object.insert("file".into(), json!(path));
        object.insert("repository".into(), json!(read.repository.to_string()));
        object.insert("config".into(), json!(config));
        object.insert("remarks".into(), json!(read.remarks));
        object.insert("problems".into(), json!(read.config.as_ref().err().into_iter().collect::<Vec<_>>()));
        say!("{}", Value::Object(object));
        return Ok(());
    }
    say!("{}: {}, a configuration of {}", path.display(), read.model, read.repository);
    read.remarks.iter().for_each(|remark| say!("  {remark}"));
    say!();
    print_summary(&summary);
    match &read.config {
        Ok(_) => say!("as our configuration: hrnet train --cfg {} --print-config", path.display()),
        Err(why) => say!("not trained: {why}"),
    }
    Ok(())
}

/// A file that is no network at all is an error; an odd network is described.
fn unrecognised(path: &Path, unrecognised: bool, problems: &[String]) -> Outcome {
    if !unrecognised {
        return Ok(());
    }
    let reason = problems.first().map_or("no network recognised", String::as_str);
    Err(Failure::Runtime(hrnet::err!("{}: {reason}", path.display())))
}

fn list(args: &Info) -> Outcome {
    let rows = zoo::entries();
    if args.json {
        let rows: Vec<Value> = rows
            .iter()
            .map(|r| {
                json!({"id": r.id, "family": r.model.head.family(), "variant": r.model.arch.variant(),
                "input": r.input, "published_metric": non_empty(r.metric), "source": r.source})
            })
            .collect();
        say!("{}", json!({ "networks": rows }));
        return Ok(());
    }
    say!("{:<36} {:<17} {:>9}  {}", "id", "family", "input", "published");
    for row in rows {
        let size = format!("{}x{}", row.input[0], row.input[1]);
        say!("{:<36} {:<17} {size:>9}  {}", row.id, row.model.head.family(), row.metric);
    }
    Ok(())
}

fn summarise(model: &Model, [h, w]: [usize; 2]) -> hrnet::Result<Summary> {
    Ok(Summary::new(&model.build()?, [1, 3, h, w])?)
}

fn non_empty(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

/// The facts that do not depend on a file.
fn describe_json(model: &Model, summary: &Summary) -> Map<String, Value> {
    let (what, count) = model.head.outputs();
    let mut object = Map::new();
    object.insert("family".into(), json!(model.head.family()));
    object.insert("variant".into(), json!(model.arch.variant()));
    object.insert("head".into(), json!(model.head.representation()));
    object.insert(what.into(), json!(count));
    object.insert("parameters".into(), json!(summary.total.parameters));
    object.insert("buffers".into(), json!(summary.buffers));
    object.insert("input".into(), json!(summary.input));
    object.insert("macs".into(), json!(summary.total.macs));
    object.insert("exact_macs".into(), json!(summary.total.exact_macs));
    object.insert("published_gflops".into(), json!(summary.published_gflops()));
    object.insert("activation_bytes".into(), json!(summary.total.activation_bytes));
    object.insert("peak_bytes".into(), json!(summary.peak_bytes));
    let outputs: Vec<Value> = summary.outputs.iter().map(|(n, s)| json!({"name": n, "shape": s})).collect();
    object.insert("outputs".into(), json!(outputs));
    let stages: Vec<Value> = summary
        .stages
        .iter()
        .map(|s| json!({"name": s.name, "parameters": s.parameters, "macs": s.macs, "activation_bytes": s.activation_bytes}))
        .collect();
    object.insert("stages".into(), json!(stages));
    object.insert("model".into(), json!(model));
    object
}

fn print_summary(summary: &Summary) {
    let [_, _, h, w] = summary.input;
    say!("input {h}x{w} (height x width)\n");
    say!("{:<12} {:>14} {:>16} {:>16}", "", "parameters", "MACs", "activations");
    for stage in summary.stages.iter().chain([&summary.total]) {
        let mib = stage.activation_bytes as f64 / f64::from(1 << 20);
        say!("{:<12} {:>14} {:>16} {:>12.2} MiB", stage.name, stage.parameters, stage.macs, mib);
    }
    let peak = summary.peak_bytes as f64 / f64::from(1 << 20);
    say!(
        "\n{:.3} GMAC, published convention (divided by 2^30): {:.2}; at most {peak:.1} MiB of activations alive",
        summary.total.macs as f64 / 1e9,
        summary.published_gflops()
    );
    if summary.total.exact_macs != summary.total.macs {
        say!(
            "really multiplied: {:.3} GMAC (attention products counted, transposed convolutions by input pixel)",
            summary.total.exact_macs as f64 / 1e9
        );
    }
    for (name, shape) in &summary.outputs {
        say!("output {name} {shape:?}");
    }
}
