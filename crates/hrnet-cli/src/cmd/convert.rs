//! `hrnet convert`: any checkpoint to our safetensors file with its recipe.

use crate::cli::{Convert, Precision};
use crate::outcome::{Failure, Outcome};
use crate::say;
use hrnet::error::Context;
use hrnet::model::LoadedModel;
use hrnet_formats::LoadOptions;
use hrnet_formats::{Precision as Stored, to_safetensors};
use serde_json::json;

pub(super) fn run(args: &Convert) -> Outcome {
    if args.output.extension().is_none_or(|e| e != "safetensors") {
        let output = args.output.display();
        return Err(Failure::Usage(format!(
            "{output}: the output is a safetensors file; give it that extension"
        )));
    }
    let described = args.cfg.as_deref().map(super::yacs::network).transpose()?;
    let options = LoadOptions {
        allow_non_finite: args.allow_non_finite,
        align_corners: described.as_ref().map_or(args.align_corners, |d| d.align_corners()),
        ..Default::default()
    };
    let mut loaded = LoadedModel::open(&args.input, &options)?;
    let remarks = loaded.name_facts(&args.facts.named(), true)?;
    remarks.iter().for_each(|remark| eprintln!("remark: {remark}"));
    if loaded.recipe.source.is_none() {
        loaded.recipe.source = args.input.file_name().map(|n| n.to_string_lossy().into_owned());
    }
    if let Some(described) = &described {
        described.complete(&mut loaded)?;
    }
    let precision = match args.precision {
        Precision::F32 => Stored::F32,
        Precision::F16 => Stored::F16,
    };
    let bytes = to_safetensors(&loaded.weights, Some(&loaded.recipe), precision)
        .with_context(|| format!("{}: cannot be converted", args.input.display()))?;
    hrnet::io::write_atomic(&args.output, &bytes)?;
    if args.json {
        say!(
            "{}",
            json!({"input": args.input, "output": args.output, "bytes": bytes.len(), "model": loaded.model.to_string(),
                "tensors": loaded.weights.len(), "recipe": loaded.recipe, "points": super::facts_json(&loaded.recipe, loaded.has_recipe), "report": super::report_json(&loaded.report)})
        );
        return Ok(());
    }
    say!("{}: {}", args.input.display(), loaded.model);
    for line in super::remarks(&loaded.report) {
        say!("  {line}");
    }
    for line in super::facts(&loaded.recipe, loaded.has_recipe) {
        say!("  {line}");
    }
    let from = if loaded.has_recipe { "kept from the file" } else { "from the defaults of the family" };
    say!("{}: {} tensors, {} bytes, recipe {from}", args.output.display(), loaded.weights.len(), bytes.len());
    Ok(())
}
