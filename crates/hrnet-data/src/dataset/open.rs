//! Any data set by one call: what a path is, and its labels in one form.
//!
//! | kind | path | read as |
//! |---|---|---|
//! | `coco` (also CrowdPose, AP-10K, any COCO-style file) | `.json` | points |
//! | `ai-challenger` | `.json`, a list with `keypoint_annotations` | points |
//! | `mpii` | `.json`, a list with `joints_vis` | points |
//! | `lsp` | `joints.mat` | points |
//! | `pts` (300W) | folder of `.pts`, a list of them, one `.pts` | points |
//! | `300vw` | folder of numbered videos | points |
//! | `wflw` | text of 207 fields per line | points |
//! | `cofw` | `.mat` of version 7.3 | points |
//! | `landmark-csv` (300W, WFLW, AFLW tables) | `.csv` | points |
//! | `cvat` | `.xml` | points |
//! | `labelme` | folder of `.json`, or one | points, polygons |
//! | `yolo-pose` | `data.yaml`, or its folder | points |
//! | `seg-list` | text, `image label` per line | masks |
//! | `seg-folders` | folder with `images/` and `labels/` | masks |
//! | `class-folder` (ImageFolder) | folder with a folder per class | classes |
//! | `class-csv` | `.csv` with a class column | classes |
//!
//! Points of every kind become a [`PoseSet`], faces included. Where the image folder is not given it is looked for: the
//! folder of the file, `images` beside it, and for COCO's `annotations/*_<split>.json` the folder `<split>` beside that.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

mod detect;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::model::{
    Base, Broken, Category, ClassSet, DataError, LandmarkSample, MissingImages, PairSource, PoseImage,
    PosePoint, PoseSample, PoseSet, ReadOptions, SegSet, Visibility, read_bytes,
};
use super::{
    ai_challenger, classification, coco, cofw, cvat, labelme, landmark_csv, lsp, mpii, segmentation, vw300,
    w300, wflw, yolo,
};
use crate::sets::PointSet;
use hrnet_image::{DecodeOptions, Image, Limits, decode};

pub use detect::detect;

macro_rules! kinds {
    ($($variant:ident $name:literal $(| $alias:literal)* : $doc:literal;)*) => {
        /// A format of labels.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $(#[doc = $doc] $variant,)* }

        impl Kind {
            /// All of them.
            pub const ALL: &[Kind] = &[$(Kind::$variant),*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$variant => $name,)* }
            }

            /// A format by its name or another usual one.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name $(| $alias)* => Some(Kind::$variant),)* _ => None }
            }
        }
    };
}

kinds! {
    Coco "coco" | "crowdpose" | "ap10k" | "ap-10k" | "coco-keypoints": "COCO-style JSON.";
    AiChallenger "ai-challenger" | "aic": "AI Challenger's own JSON.";
    Mpii "mpii": "MPII's official JSON.";
    Lsp "lsp" | "lspet": "LSP's or LSPET's `joints.mat`.";
    Pts "pts" | "300w": "`.pts` files.";
    Vw300 "300vw": "300VW: a folder per video.";
    Wflw "wflw" | "wflw-list": "WFLW's text.";
    Cofw "cofw": "COFW's `.mat`, images inside.";
    LandmarkCsv "landmark-csv" | "csv" | "aflw": "Landmark CSV.";
    Cvat "cvat": "CVAT's XML for images.";
    LabelMe "labelme": "LabelMe's JSON files.";
    Yolo "yolo-pose" | "yolo": "YOLO-pose text files with their `data.yaml`.";
    SegList "seg-list": "A list of images and label images.";
    SegFolders "seg-folders": "A folder of images and one of label images.";
    ClassFolder "class-folder" | "image-folder" | "imagefolder": "A folder per class.";
    ClassTable "class-csv": "A table of images and classes.";
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How to open a set.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenOptions {
    /// Its format; found from its content when `None`.
    pub kind: Option<Kind>,
    /// Folder of the images; looked for when `None`.
    pub images: Option<PathBuf>,
    /// Broken entries, missing files, limits. The default skips broken entries and does not look for files.
    pub read: ReadOptions,
    /// Keep polygons and run lengths.
    pub segmentation: bool,
    /// What the first pixel is called in `.pts`, WFLW, COFW and LSP files, where it is not the usual thing.
    pub base: Option<Base>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        let read = ReadOptions {
            missing: MissingImages::DoNotCheck,
            broken: Broken::Skip,
            allow_outside_root: true,
            ..ReadOptions::default()
        };
        Self { kind: None, images: None, read, segmentation: false, base: None }
    }
}

/// The labels of a set.
#[derive(Debug)]
pub enum Labels {
    /// Points, with boxes and outlines.
    Points(PoseSet),
    /// Label images.
    Masks(SegSet),
    /// Classes.
    Classes(ClassSet),
}

/// A set that was opened.
#[derive(Debug)]
pub struct LabelSet {
    /// What was given.
    pub path: PathBuf,
    /// Its format.
    pub kind: Kind,
    /// The labels.
    pub labels: Labels,
    /// The folder that the names of images are relative to.
    pub image_root: PathBuf,
    /// Lines of the text that hold NaN or Infinity, which is no JSON: read as missing, so that their entries are left out.
    pub not_numbers: Vec<u64>,
    /// Images of COFW lie inside of its file.
    embedded: Option<Mutex<cofw::CofwFile<std::fs::File>>>,
}

impl LabelSet {
    /// Whether the images lie inside of the label file.
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// The image files, in order, those of all samples once each.
    pub fn image_files(&self) -> Vec<&Path> {
        match &self.labels {
            Labels::Points(set) => set.images.iter().map(|i| i.file.as_path()).collect(),
            Labels::Masks(set) => set.samples.iter().map(|s| s.image.as_path()).collect(),
            Labels::Classes(set) => set.samples.iter().map(|s| s.image.as_path()).collect(),
        }
    }

    /// The name of an image relative to the folder of the images, with `/` between its parts.
    pub fn image_name(&self, index: usize) -> String {
        let files = self.image_files();
        let Some(file) = files.get(index) else { return String::new() };
        if self.is_embedded() {
            // `set.mat#3`
            return file_name(file).replace('#', "_") + ".png";
        }
        let name = file.strip_prefix(&self.image_root).map(Path::to_path_buf);
        let name = name.unwrap_or_else(|_| PathBuf::from(file_name(file)));
        // Names of other sets may lead out of their folder; what is written stays inside of its own.
        let parts = name.components().filter_map(|c| match c {
            std::path::Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
            _ => None,
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// The samples of each image; only points have several.
    pub fn samples_by_image(&self) -> Vec<Vec<usize>> {
        match &self.labels {
            Labels::Points(set) => set.by_image(),
            Labels::Masks(set) => (0..set.samples.len()).map(|i| vec![i]).collect(),
            Labels::Classes(set) => (0..set.samples.len()).map(|i| vec![i]).collect(),
        }
    }

    /// Entries that were left out.
    pub fn skipped(&self) -> &[DataError] {
        match &self.labels {
            Labels::Points(set) => &set.skipped,
            Labels::Masks(set) => &set.skipped,
            Labels::Classes(set) => &set.skipped,
        }
    }

    /// Decodes an image by its index in [`image_files`](Self::image_files).
    pub fn image(&self, index: usize, limits: &Limits) -> Result<Image, DataError> {
        if let (Some(file), Labels::Points(set)) = (&self.embedded, &self.labels) {
            let id = set.images.get(index).and_then(|i| u64::try_from(i.id).ok()).unwrap_or(0);
            let mut file = file.lock().map_err(|_| DataError::format(&self.path, "a read failed before"))?;
            return file.image(id, limits);
        }
        let path = self.image_files().get(index).map(|p| p.to_path_buf()).unwrap_or_default();
        let bytes = read_bytes(&path, limits.max_file as u64)?;
        decode(&bytes, limits, DecodeOptions::default())
            .map(|d| d.image)
            .map_err(|e| DataError::format(&path, e.to_string()))
    }

    /// A sample of points as people find it in the file.
    pub fn place(&self, sample: &PoseSample) -> String {
        let Labels::Points(set) = &self.labels else { return String::new() };
        let name = set.images.get(sample.image).map(|i| file_name(&i.file)).unwrap_or_default();
        match self.kind {
            Kind::Coco => format!("annotation id {} ({name})", sample.id),
            Kind::LandmarkCsv | Kind::Wflw => format!("line {} ({name})", sample.id),
            Kind::Cofw | Kind::Pts | Kind::Vw300 | Kind::LabelMe => name,
            _ => format!("{name}, entry {}", sample.id),
        }
    }
}

/// The last part of a path, for messages.
pub fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_else(|| path.display().to_string())
}

/// Opens a set.
pub fn open(path: &Path, options: &OpenOptions) -> Result<LabelSet, DataError> {
    let kind = match options.kind {
        Some(kind) => kind,
        None => detect(path)?,
    };
    let read = &options.read;
    let none = Path::new("");
    let mut embedded = None;
    let mut not_numbers = Vec::new();
    let base = |usual: Base| options.base.unwrap_or(usual);
    let mut json = || -> Result<Vec<u8>, DataError> {
        let bytes = read_bytes(path, read.limits.max_bytes)?;
        let (bytes, lines) = without_nan(bytes);
        not_numbers = lines;
        Ok(bytes)
    };
    let pts = w300::PtsOptions { read: read.clone(), base: base(Base::One), points: None };
    let faces = |samples: Vec<LandmarkSample>, skipped| faces(path, samples, skipped);
    let labels = match kind {
        Kind::Coco => {
            let o = coco::CocoOptions {
                read: read.clone(),
                segmentation: options.segmentation,
                bad_category: read.broken,
                ..coco::CocoOptions::default()
            };
            Labels::Points(coco::parse(&json()?, path, none, &o)?)
        }
        Kind::AiChallenger => Labels::Points(ai_challenger::read(path, none, read)?),
        Kind::Mpii => Labels::Points(mpii::read(path, none, read)?),
        Kind::Lsp => {
            let mut o = lsp::LspOptions { read: read.clone(), ..lsp::LspOptions::default() };
            o.base = options.base.unwrap_or(o.base);
            Labels::Points(lsp::read(path, none, &o)?)
        }
        Kind::Pts => {
            let root = options.images.clone().unwrap_or_else(|| parent(path));
            let set = if path.is_dir() {
                w300::read_tree(path, &pts)?
            } else if ends_with(path, &["pts"]) {
                w300::read_one(path, &pts)?
            } else {
                w300::read_list(path, &root, &pts)?
            };
            faces(set.samples, set.skipped)
        }
        Kind::Vw300 => {
            let (mut samples, mut skipped) = (Vec::new(), Vec::new());
            for video in vw300::find(path)? {
                let mut set = vw300::read(&video, &pts)?;
                samples.append(&mut set.samples);
                skipped.append(&mut set.skipped);
            }
            faces(samples, skipped)
        }
        Kind::Wflw => {
            let o = wflw::WflwOptions {
                read: read.clone(),
                base: base(Base::Zero),
                ..wflw::WflwOptions::default()
            };
            let set = wflw::read(path, none, &o)?;
            let boxes: Vec<[f64; 4]> = set.faces.iter().map(|f| f.rectangle).collect();
            let mut labels = faces(set.faces.into_iter().map(|f| f.sample).collect(), set.skipped);
            if let Labels::Points(set) = &mut labels {
                set.samples.iter_mut().zip(boxes).for_each(|(s, b)| s.bbox = Some(b));
            }
            labels
        }
        Kind::Cofw => {
            let o = cofw::CofwOptions { read: read.clone(), base: base(Base::One) };
            let mut file = cofw::open(path, &o)?;
            let skipped = std::mem::take(&mut file.skipped);
            let mut labels = faces(file.faces.iter().map(|f| f.sample.clone()).collect(), skipped);
            if let Labels::Points(set) = &mut labels {
                for (s, f) in set.samples.iter_mut().zip(&file.faces) {
                    s.bbox = f.bbox;
                    for (p, _) in s.points.iter_mut().zip(f.occluded).filter(|(_, hidden)| *hidden) {
                        p.visibility = Visibility::Hidden;
                    }
                }
                // The image's id is its number in the file.
                for s in &set.samples {
                    set.images.get_mut(s.image).into_iter().for_each(|i| i.id = s.id);
                }
            }
            embedded = Some(Mutex::new(file));
            labels
        }
        Kind::LandmarkCsv => {
            let o = landmark_csv::CsvOptions {
                missing: read.missing,
                broken: read.broken,
                allow_outside_root: read.allow_outside_root,
                ..landmark_csv::CsvOptions::default()
            };
            let table = landmark_csv::read(path, none, &o)?;
            faces(table.samples, table.broken)
        }
        Kind::Cvat => Labels::Points(cvat::read(path, none, read)?),
        Kind::LabelMe => Labels::Points(labelme::read(path, read)?),
        Kind::Yolo => Labels::Points(yolo::read(path, options.images.as_deref(), read)?),
        Kind::SegList => Labels::Masks(segmentation::read_list(path, none, read)?),
        Kind::SegFolders => {
            let (images, labels) = detect::mask_folders(path).ok_or_else(|| {
                DataError::format(path, "it has no images/ with labels/, masks/ or annotations/ beside it")
            })?;
            Labels::Masks(segmentation::read_folders(&images, &labels, "", "", read)?)
        }
        Kind::ClassFolder => Labels::Classes(classification::read_folder(path, read)?),
        Kind::ClassTable => Labels::Classes(classification::read_table(path, none, read)?),
    };
    let image_root = match kind {
        Kind::Yolo => options
            .images
            .clone()
            .unwrap_or_else(|| if path.is_dir() { path.join("images") } else { parent(path).join("images") }),
        Kind::SegFolders => detect::mask_folders(path).map(|(images, _)| images).unwrap_or_default(),
        _ if path.is_dir() => path.to_path_buf(),
        _ => parent(path),
    };
    let mut set = LabelSet { path: path.to_path_buf(), kind, labels, image_root, not_numbers, embedded };
    if !set.is_embedded() {
        rebase(&mut set, options.images.as_deref());
    }
    Ok(set)
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

fn ends_with(path: &Path, endings: &[&str]) -> bool {
    path.extension()
        .and_then(|e| e.to_str())
        .is_some_and(|e| endings.iter().any(|k| k.eq_ignore_ascii_case(e)))
}

/// Puts the image folder before names that the readers left relative.
fn rebase(set: &mut LabelSet, given: Option<&Path>) {
    let relative = matches!(
        set.kind,
        Kind::Coco
            | Kind::AiChallenger
            | Kind::Mpii
            | Kind::Lsp
            | Kind::Wflw
            | Kind::LandmarkCsv
            | Kind::Cvat
            | Kind::SegList
            | Kind::ClassTable
    );
    if !relative {
        return;
    }
    let folder = parent(&set.path);
    let root = match given {
        Some(root) => root.to_path_buf(),
        None => {
            let stem = set.path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            let split = stem.rsplit('_').next().unwrap_or("");
            let above = folder.join("..");
            let choices = [
                folder.clone(),
                folder.join("images"),
                above.join("images"),
                above.join(split),
                above.join("images").join(split),
                above.clone(),
            ];
            let files = set.image_files();
            let there = |root: &&PathBuf| files.iter().take(20).any(|f| root.join(f).is_file());
            choices.iter().find(there).cloned().unwrap_or(folder)
        }
    };
    set.image_root.clone_from(&root);
    let put = |p: &mut PathBuf| *p = root.join(&*p);
    match &mut set.labels {
        Labels::Points(set) => set.images.iter_mut().for_each(|i| put(&mut i.file)),
        Labels::Masks(set) => set.samples.iter_mut().for_each(|s| {
            put(&mut s.image);
            s.label.iter_mut().for_each(put);
        }),
        Labels::Classes(set) => set.samples.iter_mut().for_each(|s| put(&mut s.image)),
    }
}

/// Faces as a set of poses: an image once however many faces it has; `id` is the face's line or number.
pub fn faces(path: &Path, samples: Vec<LandmarkSample>, skipped: Vec<DataError>) -> Labels {
    let count = samples.first().map_or(0, |s| s.points.len());
    let mut out = PoseSet {
        path: path.to_path_buf(),
        images: Vec::new(),
        categories: vec![face_category(count)],
        samples: Vec::with_capacity(samples.len()),
        skipped,
        notes: Vec::new(),
    };
    let mut index: HashMap<PathBuf, usize> = HashMap::new();
    for s in samples {
        let next = out.images.len();
        let image = *index.entry(s.image.clone()).or_insert(next);
        if image == next {
            let id = i64::try_from(next).unwrap_or(i64::MAX);
            out.images.push(PoseImage { id, file: s.image, size: None, crowd_index: None });
        }
        let points: Vec<PosePoint> =
            s.points.iter().map(|&at| PosePoint { at, visibility: Visibility::Visible }).collect();
        if points.len() != count {
            let problem = format!("it has {} points, the first has {count}", points.len());
            let place = super::model::Place::Item { list: "faces", index: out.samples.len() };
            let e = DataError::entry(path, place, problem, "keep faces of another kind in another set");
            out.skipped.push(e);
            continue;
        }
        out.samples.push(PoseSample {
            id: i64::try_from(s.line).unwrap_or(i64::MAX),
            image,
            num_keypoints: points.len(),
            points,
            centre_scale: Some((s.centre, s.scale)),
            ..PoseSample::default()
        });
    }
    Labels::Points(out)
}

/// The category of a face with so many points.
pub fn face_category(count: usize) -> Category {
    let set = PointSet::guess(count).filter(|s| s.is_face());
    Category {
        id: 1,
        name: "face".into(),
        points: match set {
            Some(set) => set.names(),
            None => (0..count).map(|i| format!("point_{i}")).collect(),
        },
        skeleton: set.map(PointSet::drawn_lines).unwrap_or_default(),
        flip_pairs: set.map(|s| s.flip_pairs.to_vec()).unwrap_or_default(),
        pairs_from: set.map_or(PairSource::None, |s| PairSource::Known(s.name)),
        sigmas: None,
    }
}

/// Python's `json` writes NaN and Infinity. Puts `null` in their place, outside of strings, and tells the lines.
fn without_nan(bytes: Vec<u8>) -> (Vec<u8>, Vec<u64>) {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut out = Vec::new();
    let mut lines = Vec::new();
    let (mut rest, mut line, mut in_string) = (bytes.as_slice(), 1u64, false);
    while let Some((&b, after)) = rest.split_first() {
        if !in_string && let Some(after) = WORDS.iter().find_map(|w| rest.strip_prefix(*w)) {
            out.extend_from_slice(b"null");
            lines.push(line);
            rest = after;
            continue;
        }
        out.push(b);
        rest = after;
        match b {
            b'"' => in_string = !in_string,
            b'\n' => line = line.saturating_add(1),
            b'\\' if in_string => {
                if let Some((&escaped, after)) = rest.split_first() {
                    out.push(escaped);
                    rest = after;
                }
            }
            _ => {}
        }
    }
    if lines.is_empty() { (bytes, lines) } else { (out, lines) }
}
