//! `hrnet data check` and `hrnet data show`.

use crate::cli::data::{Data, DataCheck, DataShow, DataVerb, Look, Reading};
use crate::outcome::{Failure, Outcome};
use crate::say;
use hrnet::error::Context;
use hrnet::io::write_atomic;
use hrnet_data::check::{self, CheckOptions, Depth};
use hrnet_data::dataset::label_map::{self, LabelMap};
use hrnet_data::dataset::model::Base;
use hrnet_data::dataset::open::{Kind, LabelSet, OpenOptions, open};
use hrnet_data::sheet::{SheetOptions, sheet};
use hrnet_image::encode_png;
use serde_json::json;
use std::path::PathBuf;

pub(super) fn run(args: &Data) -> Outcome {
    match &args.verb {
        DataVerb::Check(args) => check(args),
        DataVerb::Show(args) => show(args),
        DataVerb::Convert(args) => super::data_convert::run(args),
    }
}

/// The options of a set by its place among those given.
pub(super) fn options(reading: &Reading, index: usize, sets: usize) -> Result<OpenOptions, Failure> {
    let kind = match &reading.format {
        None => None,
        Some(name) => Some(Kind::from_name(name).ok_or_else(|| {
            let known: Vec<&str> = Kind::ALL.iter().map(|k| k.name()).collect();
            Failure::Usage(format!("there is no format '{name}'; there are {}", known.join(", ")))
        })?),
    };
    let images: Option<PathBuf> = match reading.images.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many if many.len() == sets => many.get(index).cloned(),
        many => {
            let n = many.len();
            return Err(Failure::Usage(format!(
                "--images is given {n} times for {sets} sets; give one, or one for each"
            )));
        }
    };
    let base = reading.base.map(|b| if b == 0 { Base::Zero } else { Base::One });
    Ok(OpenOptions { kind, images, base, segmentation: true, ..OpenOptions::default() })
}

/// The label map that was named.
pub(super) fn named_map(reading: &Reading) -> Result<Option<LabelMap>, Failure> {
    let Some(name) = &reading.label_map else { return Ok(None) };
    match label_map::by_name(name) {
        Some(map) => Ok(Some(map.clone())),
        None => Err(Failure::Usage(format!(
            "there is no label map '{name}'; there are cityscapes, camvid, lip, ade20k, pascal-context-59, \
             pascal-context-60, coco-stuff"
        ))),
    }
}

fn check(args: &DataCheck) -> Outcome {
    let options = CheckOptions {
        images: match args.look {
            Look::Names => Depth::Names,
            Look::Headers => Depth::Headers,
            Look::Pixels => Depth::Pixels,
        },
        classes: args.classes.map(usize::from),
        label_map: named_map(&args.reading)?,
        ..CheckOptions::default()
    };
    let mut sets: Vec<LabelSet> = Vec::with_capacity(args.paths.len());
    for (i, path) in args.paths.iter().enumerate() {
        sets.push(open(path, &self::options(&args.reading, i, args.paths.len())?)?);
    }
    let report = check::run(&sets, &options);
    if args.json {
        say!("{}", serde_json::to_string(&report).context("the report as JSON")?);
    } else {
        say!("{}", report.text().trim_end());
    }
    match report.count(check::Severity::Defect) {
        0 => Ok(()),
        1 => Err(Failure::Check("1 kind of defect".into())),
        n => Err(Failure::Check(format!("{n} kinds of defects"))),
    }
}

fn show(args: &DataShow) -> Outcome {
    let set = open(&args.set, &options(&args.reading, 0, 1)?)?;
    let how = SheetOptions {
        count: usize::from(args.count),
        cell: usize::from(args.cell),
        whole: args.whole,
        label_map: named_map(&args.reading)?,
        ..SheetOptions::default()
    };
    let (image, tiles) = sheet(&set, &how)?;
    write_atomic(&args.out, &encode_png(&image)?)?;
    if args.json {
        let tiles: Vec<_> =
            tiles.iter().map(|t| json!({"image": t.image, "labels": t.labels, "error": t.error})).collect();
        let out = json!({
            "schema": "hrnet.data-show/1",
            "set": args.set.display().to_string(),
            "format": set.kind.name(),
            "picture": args.out.display().to_string(),
            "tiles": tiles,
        });
        say!("{out}");
        return Ok(());
    }
    say!("{}: {} images of {} ({})", args.out.display(), tiles.len(), args.set.display(), set.kind);
    for (i, t) in tiles.iter().enumerate() {
        say!("{:>4}  {}: {}", i + 1, t.image, t.error.as_deref().unwrap_or(&t.labels));
    }
    Ok(())
}
