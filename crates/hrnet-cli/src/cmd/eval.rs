//! `hrnet eval`: a model measured on labelled images. What differs from task to task is in `tasks`.

use crate::cli::Eval;
use crate::outcome::{Failure, Outcome};
use crate::say;
use crate::tasks;
use hrnet::error::{Context, Result};
use hrnet::measure::{Measured, page};
use hrnet::model::LoadedModel;
use hrnet_data::draw::{Tile, tile_sheet};
use hrnet_image::{Image, encode_png};
use hrnet_kernels::Pool;
use indicatif::ProgressBar;
use serde_json::json;
use std::sync::Arc;

/// Columns of the picture of the worst, and the size of a cell.
const COLUMNS: usize = 5;
const CELL: [usize; 2] = [300, 300];

/// Figures with pictures of the worst samples and their captions.
pub(crate) struct Evaluated {
    pub measured: Measured,
    pub worst: Vec<(Image, String)>,
}

pub(super) fn run(args: &Eval) -> Outcome {
    let pictures = args.worst.is_some() || args.report.is_some();
    let mut done = if let Some(results) = &args.results {
        tasks::pose::of_results(args, results)?
    } else {
        let mut loaded = LoadedModel::for_task(args.model.as_deref(), args.task)?;
        let remarks = loaded.name_facts(&args.own.points.named(), false)?;
        remarks.iter().for_each(|remark| eprintln!("remark: {remark}"));
        let pool = Arc::new(Pool::new(args.compute.threads()));
        let Some(evaluate) = tasks::row(loaded.recipe.task).evaluate else {
            return Err(Failure::Usage("there is no measure for models without results of their own".into()));
        };
        evaluate(args, loaded, pool, pictures)?
    };
    let model = match (&args.model, &args.results) {
        (Some(path), _) => path.display().to_string(),
        (None, Some(_)) => "none, a results file".into(),
        (None, None) => "built in".into(),
    };
    let first = [("data", args.data.display().to_string()), ("model", model)];
    let settings = first.map(|(key, value)| hrnet::measure::Setting { key, value });
    done.measured.settings.splice(0..0, settings);
    write(args, &done)?;
    if args.json {
        say!("{}", done.measured.json());
    } else {
        done.measured.lines().iter().for_each(|line| say!("{line}"));
        for failed in &done.measured.failed {
            eprintln!("error: {}: {}", failed.image.display(), failed.error);
        }
    }
    match done.measured.failed.len() {
        0 => Ok(()),
        n => Err(Failure::Runtime(hrnet::err!(
            "{n} samples could not be measured; the figures are over the rest"
        ))),
    }
}

/// The picture of the worst and the report.
fn write(args: &Eval, done: &Evaluated) -> Result<()> {
    if let Some(path) = &args.worst {
        let tile =
            |(image, caption): &(Image, String)| Tile { image: image.clone(), caption: caption.clone() };
        let tiles: Vec<Tile> = done.worst.iter().map(tile).collect();
        let title = format!("the worst by {}", done.measured.worst_by.0);
        let sheet = tile_sheet(&tiles, COLUMNS, CELL, &title).context("there are no samples to show")?;
        hrnet::io::write_atomic(path, &encode_png(&sheet)?)?;
    }
    if let Some(path) = &args.report {
        let name = args.data.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let report = page(&done.measured, &format!("hrnet eval: {name}"), &done.worst)?;
        hrnet::io::write_atomic(path, report.to_html().as_bytes())?;
    }
    Ok(())
}

/// A bar over samples.
pub(crate) fn bar(samples: usize) -> Result<ProgressBar> {
    let style = crate::progress::style("{bar:30} {pos}/{len}  {per_sec}, {eta_precise} left")?;
    Ok(ProgressBar::new(samples as u64).with_style(style))
}

/// Whether the labels are those of a flip test, in words.
pub(crate) fn flip(on: bool) -> &'static str {
    if on { "average with the mirrored image" } else { "no" }
}

/// The protocol in words.
pub(crate) fn protocol(args: &Eval) -> String {
    json!(hrnet_data::codec::Protocol::from(args.protocol)).as_str().unwrap_or_default().to_string()
}
