//! Which set a path is, and its faces.

use super::{FaceOptions, Images, Part};
use crate::error::{Context, Result, bail};
use hrnet_data::codec::Protocol;
use hrnet_data::dataset::landmark_csv::{self, CsvOptions};
use hrnet_data::dataset::model::{Base, DataError, LandmarkSample, PoseSet, face_centre_scale};
use hrnet_data::dataset::w300::{self, PtsOptions, PtsSet, Split};
use hrnet_data::dataset::wflw::{ATTRIBUTES, WflwOptions};
use hrnet_data::dataset::{cofw, vw300, wflw};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// What a path holds.
pub(super) struct Opened {
    pub name: String,
    pub samples: Vec<LandmarkSample>,
    pub images: Images,
    /// Width and height of images, where the labels say them.
    pub sizes: HashMap<PathBuf, [usize; 2]>,
    pub parts: Vec<Part>,
    pub skipped: Vec<String>,
}

impl Opened {
    fn files(name: impl Into<String>, samples: Vec<LandmarkSample>, skipped: &[DataError]) -> Self {
        let skipped = skipped.iter().map(ToString::to_string).collect();
        Self {
            name: name.into(),
            samples,
            images: Images::Files,
            sizes: HashMap::new(),
            parts: Vec::new(),
            skipped,
        }
    }
}

pub(super) fn open(path: &Path, options: &FaceOptions<'_>) -> Result<Opened> {
    if path.is_dir() {
        return folder(path, options);
    }
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    if options.split.is_some() {
        bail!(
            "{}: only the folders of 300W and 300VW have splits; give the file of the split",
            path.display()
        );
    }
    match extension.as_str() {
        "csv" => table(path, options),
        "mat" => cofw(path, options),
        "json" => coco(path, options),
        _ => text(path, options),
    }
}

/// The folder of a file's images: as given, `images` beside it, or its own folder.
fn root(path: &Path, options: &FaceOptions<'_>) -> PathBuf {
    options.images.map_or_else(
        || {
            let folder = path.parent().unwrap_or(Path::new("."));
            let beside = folder.join("images");
            if beside.is_dir() { beside } else { folder.to_path_buf() }
        },
        Path::to_path_buf,
    )
}

fn pts_options(options: &FaceOptions<'_>, points: Option<usize>) -> PtsOptions {
    let base = if options.protocol == Protocol::Official { Base::Zero } else { Base::One };
    PtsOptions { read: options.read.clone(), base, points }
}

fn folder(path: &Path, options: &FaceOptions<'_>) -> Result<Opened> {
    let has = |name: &str| path.join(name).is_dir();
    if ["helen", "lfpw", "ibug", "afw", "300W", "01_Indoor"].iter().any(|n| has(n)) {
        return w300(path, options);
    }
    let numbered = std::fs::read_dir(path)
        .with_context(|| path.display().to_string())?
        .filter_map(Result::ok)
        .any(|e| e.path().is_dir() && e.file_name().to_str().is_some_and(|n| n.parse::<u16>().is_ok()));
    if numbered {
        return vw300(path, options);
    }
    if options.split.is_some() {
        bail!(
            "{}: this is neither the folder of 300W nor that of 300VW, so it has no splits",
            path.display()
        );
    }
    let set = w300::read_folder(path, &pts_options(options, None))?;
    Ok(Opened::files("folder of .pts files", set.samples, &set.skipped))
}

fn w300(path: &Path, options: &FaceOptions<'_>) -> Result<Opened> {
    let name = options.split.unwrap_or("full");
    let split = match name {
        "train" => Split::Train,
        "common" => Split::Common,
        "challenge" => Split::Challenge,
        "full" | "valid" => Split::Full,
        "test" => Split::Test,
        _ => bail!("300W has no split {name:?}; there are train, common, challenge, full and test"),
    };
    let read = |split| w300::read_split(path, split, &pts_options(options, Some(68)));
    if split != Split::Full {
        let PtsSet { samples, skipped } = read(split)?;
        return Ok(Opened::files(format!("300W {name}"), samples, &skipped));
    }
    let (common, challenge) = (read(Split::Common)?, read(Split::Challenge)?);
    let (n, all) = (common.samples.len(), common.samples.len() + challenge.samples.len());
    let samples = [common.samples, challenge.samples].concat();
    let skipped = [common.skipped, challenge.skipped].concat();
    let parts = vec![
        Part { name: "common".into(), faces: (0..n).collect() },
        Part { name: "challenge".into(), faces: (n..all).collect() },
    ];
    Ok(Opened { parts, ..Opened::files("300W full", samples, &skipped) })
}

fn vw300(path: &Path, options: &FaceOptions<'_>) -> Result<Opened> {
    use vw300::Split;
    const CATEGORIES: [(Split, &str); 3] =
        [(Split::Category1, "category1"), (Split::Category2, "category2"), (Split::Category3, "category3")];
    let name = options.split.unwrap_or("test");
    let wanted = |split: Split| match name {
        "train" => split == Split::Train,
        "test" => split != Split::Train,
        _ => CATEGORIES.contains(&(split, name)),
    };
    if !["train", "test", "category1", "category2", "category3"].contains(&name) {
        bail!("300VW has no split {name:?}; there are train, test, category1, category2 and category3");
    }
    let (mut samples, mut skipped, mut of) = (Vec::new(), Vec::new(), Vec::new());
    for video in vw300::find(path)?.iter().filter(|v| wanted(v.split)) {
        let set = vw300::read(video, &pts_options(options, Some(68)))?;
        of.extend(std::iter::repeat_n(video.split, set.samples.len()));
        samples.extend(set.samples);
        skipped.extend(set.skipped);
    }
    let part = |(split, name): (Split, &'static str)| {
        let faces: Vec<usize> = (0..of.len()).filter(|&i| of[i] == split).collect();
        (name, faces)
    };
    let parts: Vec<Part> = CATEGORIES
        .into_iter()
        .map(part)
        .filter(|(_, faces)| name == "test" && !faces.is_empty())
        .map(|(name, faces)| Part { name: name.into(), faces })
        .collect();
    Ok(Opened { parts, ..Opened::files(format!("300VW {name}"), samples, &skipped) })
}

fn table(path: &Path, options: &FaceOptions<'_>) -> Result<Opened> {
    let csv = CsvOptions {
        missing: options.read.missing,
        allow_outside_root: options.read.allow_outside_root,
        ..CsvOptions::default()
    };
    let table = landmark_csv::read(path, &root(path, options), &csv)?;
    let name = match table.points {
        19 => "AFLW table",
        29 => "COFW table",
        68 => "table of 68 points",
        98 => "WFLW table",
        _ => "table",
    };
    let skipped = table.skipped.iter().map(|(line, image)| format!("line {line}: no {}", image.display()));
    Ok(Opened { skipped: skipped.collect(), ..Opened::files(name, table.samples, &[]) })
}

fn cofw(path: &Path, options: &FaceOptions<'_>) -> Result<Opened> {
    let base = if options.protocol == Protocol::Official { Base::Zero } else { Base::One };
    let file = cofw::open(path, &cofw::CofwOptions { read: options.read.clone(), base })?;
    let samples = file.faces.iter().map(|f| f.sample.clone()).collect();
    let found = Opened::files("COFW", samples, &file.skipped);
    Ok(Opened { images: Images::Cofw(Box::new(Mutex::new(file))), ..found })
}

/// WFLW's list, or a list of images or `.pts` files.
fn text(path: &Path, options: &FaceOptions<'_>) -> Result<Opened> {
    let bytes = crate::io::read(path)?;
    let first = bytes.split(|b| *b == b'\n').find(|l| !l.trim_ascii().is_empty()).unwrap_or_default();
    if first.split(u8::is_ascii_whitespace).filter(|f| !f.is_empty()).count() < 100 {
        let set = w300::read_list(path, &root(path, options), &pts_options(options, None))?;
        return Ok(Opened::files("list of .pts files", set.samples, &set.skipped));
    }
    let images = options.images.map_or_else(
        || {
            let folder = path.parent().unwrap_or(Path::new("."));
            let places = ["WFLW_images", "../WFLW_images", "../../WFLW_images", "../../../WFLW_images"];
            let found = places.iter().map(|p| folder.join(p)).find(|p| p.is_dir());
            found.unwrap_or_else(|| root(path, options))
        },
        Path::to_path_buf,
    );
    let wflw = WflwOptions { read: options.read.clone(), ..WflwOptions::default() };
    let set = wflw::parse(&bytes, path, &images, &wflw)?;
    let part = |(a, name): (usize, &&str)| {
        let faces: Vec<usize> = (0..set.faces.len()).filter(|&i| set.faces[i].attributes[a]).collect();
        Part { name: (*name).into(), faces }
    };
    let parts: Vec<Part> = ATTRIBUTES.iter().enumerate().map(part).filter(|p| !p.faces.is_empty()).collect();
    let samples = set.faces.iter().map(|f| f.sample.clone()).collect();
    Ok(Opened { parts, ..Opened::files("WFLW", samples, &set.skipped) })
}

/// Faces in COCO's form: mmpose's copies of 300W, WFLW, COFW and AFLW, and own ones.
fn coco(path: &Path, options: &FaceOptions<'_>) -> Result<Opened> {
    let images = options.images.map(Path::to_path_buf);
    let set = crate::tasks::pose::measure::read::open(path, images.as_deref(), &options.read)?;
    let category = set.common_category()?;
    let name = format!("{} points in COCO's form", category.points.len());
    let (mut samples, mut skipped) = (Vec::new(), Vec::new());
    for s in set.samples.iter().filter(|s| !s.crowd && !s.points.is_empty()) {
        match face(&set, s) {
            Some(sample) => samples.push(sample),
            None => skipped.push(format!("annotation {}: a point is not labelled, or it has no size", s.id)),
        }
    }
    skipped.extend(set.skipped.iter().map(ToString::to_string));
    let sizes = set.images.iter().filter_map(|i| Some((i.file.clone(), i.size?))).collect();
    Ok(Opened { sizes, skipped, ..Opened::files(name, samples, &[]) })
}

/// A face whose points are all labelled; its centre and scale as annotated, else by the rule of the official tables.
fn face(set: &PoseSet, s: &hrnet_data::dataset::model::PoseSample) -> Option<LandmarkSample> {
    if s.labelled() != s.points.len() {
        return None;
    }
    let points: Vec<[f64; 2]> = s.points.iter().map(|p| p.at).collect();
    let (centre, scale) = s.centre_scale.or_else(|| face_centre_scale(&points)).filter(|c| c.1 > 0.0)?;
    // AFLW's box size is 200 times the annotated scale.
    let box_size = s.centre_scale.map(|c| 200.0 * c.1).or_else(|| s.bbox.map(|b| b[2].max(b[3])));
    let box_size = box_size.filter(|v| *v > 0.0);
    let line = u64::try_from(s.id).unwrap_or(0);
    Some(LandmarkSample {
        image: set.images.get(s.image)?.file.clone(),
        line,
        centre,
        scale,
        box_size,
        points,
    })
}
