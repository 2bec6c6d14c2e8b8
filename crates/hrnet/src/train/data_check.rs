//! `hrnet data check` before a run: what would ruin it stops it, the rest is said and noted in the log.
//!
//! Labels are looked at whole. Of the images no more than [`MOST_IMAGES`] are decoded, evenly spread over both sets, so that the time
//! is bounded; of the others it is known that they are there. A resumed run checks again where the data have changed since.

use super::plots::read_log;
use crate::config::TrainConfig;
use crate::error::Result;
use crate::tasks;
use hrnet_data::check::{self, CheckOptions, Finding, Report, Severity};
use hrnet_data::dataset::open::{LabelSet, OpenOptions, Purpose, open};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// Images that are decoded.
const MOST_IMAGES: usize = 4000;

/// Data that would ruin a run.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}; nothing was trained. Look with `hrnet data check` and `hrnet data show`, correct the data, or go on all the same \
     with --skip-check or check = false in [data]",
    match .0 { 1 => "1 finding ruins a training on these data".to_string(), n => format!("{n} findings ruin a training on these data") }
)]
pub struct WrongData(usize);

/// What goes into the log of the run.
pub(super) struct Checked(Value);

/// Checks the data of a configuration. Nothing where that is not wanted, or not needed any more.
pub(super) fn before(config: &TrainConfig, resumed: Option<&Path>) -> Result<Option<Checked>> {
    let started = Instant::now();
    let (sets, names) = sets(config)?;
    let number = format!("{:016x}", check::fingerprint(&sets));
    if let Some(out) = resumed {
        let log = read_log(&out.join("log.jsonl"));
        let noted = log.iter().rev().find_map(|line| line.get("data")?.as_str());
        if noted == Some(number.as_str()) {
            return Ok(None);
        }
        if noted.is_some() {
            log::info!("warning: the data have changed since the run was begun");
        }
    }
    let mut options = CheckOptions { most_images: Some(MOST_IMAGES), ..CheckOptions::default() };
    if let Some(label_map) = tasks::training(config.task)?.label_map {
        options.label_map = Some(label_map(config)?);
    }
    let report = check::run(&sets, &options);
    let ruins = tell(&report, &names, started);
    if ruins > 0 {
        return Err(crate::Error::from_other(crate::ErrorKind::Check, WrongData(ruins)));
    }
    Ok(Some(Checked(json!({"data": number, "check": report.findings}))))
}

impl Checked {
    /// As a line of the log.
    pub(super) fn line(&self) -> &Value {
        &self.0
    }
}

/// The sets of a configuration, read as `hrnet data check` reads them. A validation set that is the training set is no leak by
/// accident: it is said, and looked at once.
fn sets(config: &TrainConfig) -> Result<(Vec<LabelSet>, Vec<&'static str>)> {
    let (data, want) = (&config.data, tasks::training(config.task)?.labels);
    // Of a set with parts the part that is used, as leniently as `hrnet data check` reads.
    let read = |path: &Path, part: Purpose, images: Option<&Path>| -> Result<LabelSet> {
        let lenient = OpenOptions::new(Purpose::Look);
        let how = OpenOptions { part, want, images: images.map(Path::to_path_buf), ..lenient };
        Ok(open(path, &how)?)
    };
    let mut sets = vec![read(&data.train, Purpose::Train, data.images.as_deref())?];
    let mut names = vec!["train"];
    if let Some(val) = &data.val {
        if std::fs::canonicalize(val).ok() == std::fs::canonicalize(&data.train).ok() {
            log::info!(
                "warning: the validation set is the training set: its figures say nothing about other images"
            );
        } else {
            let images = data.val_images.as_deref().or(data.images.as_deref());
            sets.push(read(val, Purpose::Measure, images)?);
            names.push("val");
        }
    }
    Ok((sets, names))
}

/// Prints the findings; how many ruin a run.
fn tell(report: &Report, names: &[&str], started: Instant) -> usize {
    let name = |f: &Finding| names.get(f.set).copied().unwrap_or("?");
    let (ruins, rest): (Vec<&Finding>, Vec<&Finding>) = report.findings.iter().partition(|f| f.ruins());
    let told = rest.iter().filter(|f| f.severity > Severity::Note);
    for f in told {
        log::info!("warning: {}", f.short(name(f)));
    }
    for f in &ruins {
        log::info!("DEFECT {}", f.short(name(f)));
    }
    let count = |part: fn(&check::Summary) -> usize| report.sets.iter().map(part).sum::<usize>();
    let (images, looked) = (count(|s| s.images), count(|s| s.looked_at));
    let share = if looked < images { format!("{looked} of {images}") } else { images.to_string() };
    let (samples, seconds) = (count(|s| s.samples), started.elapsed().as_secs_f64());
    log::info!("data check: {samples} samples, {share} images looked at in {seconds:.1} s");
    ruins.len()
}
