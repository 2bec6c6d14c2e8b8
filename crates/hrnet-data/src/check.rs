//! What silently ruins a training: defects of labels and images, found before the first step.
//!
//! [`run`] takes sets that [`crate::dataset::open`] opened (for findings, broken entries have to be skipped, not refused: the
//! default of its options) and returns a [`Report`]. Nothing is changed. The same data gives the same report on any number of
//! threads; findings come in the order of [`Code::ALL`], those of one code by set.

mod classes;
mod codes;
mod files;
mod masks;
mod points;
mod sets;
mod text;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;

pub use codes::{Code, Severity};

use crate::dataset::label_map::LabelMap;
use crate::dataset::model::DataError;
use crate::dataset::open::{LabelSet, Labels, file_name};
use hrnet_image::Limits;

/// The version of the JSON form of a [`Report`].
pub const SCHEMA: &str = "hrnet.data-check/1";
/// Examples that a finding keeps.
const EXAMPLES: usize = 3;

/// How far images are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// Only whether they are there.
    Names,
    /// Their size too.
    Headers,
    /// Every pixel, and byte for byte duplicates.
    #[default]
    Pixels,
}

/// What is checked against.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// How far images are looked at.
    pub images: Depth,
    /// Classes of label images: numbers from 0 to one less.
    pub classes: Option<usize>,
    /// The meaning of the numbers in label images.
    pub label_map: Option<LabelMap>,
    /// Look at no more than so many images of all sets together, evenly spread over them; of the others only whether they are
    /// there. All when `None`.
    pub most_images: Option<usize>,
    /// What an image may ask for.
    pub limits: Limits,
}

impl CheckOptions {
    /// How far image `index` of `count` in a set is looked at, where a set may have `most`.
    fn depth_of(&self, index: usize, count: usize, most: usize) -> Depth {
        let chosen = |i: usize| (i as u128).saturating_mul(most as u128).checked_div(count as u128);
        match most >= count || chosen(index) != chosen(index.saturating_add(1)) {
            true => self.images,
            false => Depth::Names,
        }
    }
}

/// One example of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// File, line, entry.
    pub place: String,
    /// What is there.
    pub what: String,
}

/// Something that was found, with its number and examples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// The set: its index in [`Report::sets`].
    pub set: usize,
    /// In words.
    pub title: &'static str,
    /// How often.
    pub count: usize,
    /// Of how many, where that says something.
    pub of: Option<usize>,
    /// The first few.
    pub examples: Vec<Example>,
    /// What to do.
    pub fix: &'static str,
}

impl Finding {
    /// Whether a training on the set is ruined: by most defects wherever they are, by those of single samples when they are in
    /// more than one of a hundred.
    pub fn ruins(&self) -> bool {
        let few = self.of.is_some_and(|of| self.count.saturating_mul(100) <= of);
        self.severity == Severity::Defect && !(few && self.code.is_bearable())
    }

    /// In two lines, with a name for its set.
    pub fn short(&self, set: &str) -> String {
        text::short(self, set)
    }
}

/// How often a class or a number occurs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// Class id; the number in the file where classes are not known.
    pub id: usize,
    /// Its name, where known.
    pub name: String,
    /// Samples (points, classes) or images (masks) with it.
    pub samples: u64,
    /// Pixels, for masks.
    pub pixels: Option<u64>,
}

/// A set in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// What was given.
    pub path: String,
    /// Its format.
    pub format: &'static str,
    /// `points`, `masks` or `classes`.
    pub task: &'static str,
    /// Images.
    pub images: usize,
    /// Images that were looked at, all of them unless [`CheckOptions::most_images`] says otherwise.
    pub looked_at: usize,
    /// Samples that could be read.
    pub samples: usize,
    /// Entries that could not.
    pub skipped: usize,
    /// Points per sample, for points.
    pub points: Option<usize>,
    /// Labelled points.
    pub labelled_points: Option<usize>,
    /// Least and greatest x and y of labelled points: `[x0, y0, x1, y1]`.
    pub extent: Option<[f64; 4]>,
    /// Categories, classes, or numbers of masks.
    pub classes: Vec<ClassCount>,
    /// Pixels to ignore, for masks.
    pub ignored_pixels: Option<u64>,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The sets, in the order given.
    pub sets: Vec<Summary>,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|f| f.severity == severity).count()
    }

    /// Whether anything is wrong, warnings aside.
    pub fn has_defects(&self) -> bool {
        self.count(Severity::Defect) > 0
    }

    /// The report as a page for people.
    pub fn text(&self) -> String {
        text::page(self)
    }
}

/// Collects findings by code and set.
#[derive(Default)]
struct Findings(BTreeMap<(Code, usize), Finding>);

impl Findings {
    fn add(&mut self, code: Code, set: usize, place: impl FnOnce() -> String, what: impl FnOnce() -> String) {
        self.add_many(code, set, 1, place, what);
    }

    fn add_many(
        &mut self,
        code: Code,
        set: usize,
        count: usize,
        place: impl FnOnce() -> String,
        what: impl FnOnce() -> String,
    ) {
        let finding = self.0.entry((code, set)).or_insert_with(|| Finding {
            code,
            severity: code.severity(),
            set,
            title: code.title(),
            count: 0,
            of: None,
            examples: Vec::new(),
            fix: code.fix(),
        });
        finding.count += count;
        if finding.examples.len() < EXAMPLES {
            finding.examples.push(Example { place: place(), what: what() });
        }
    }

    /// Of how many things those of a finding are.
    fn of(&mut self, code: Code, set: usize, total: usize) {
        if let Some(f) = self.0.get_mut(&(code, set)) {
            f.of = Some(total);
        }
    }

    fn count(&self, code: Code, set: usize) -> usize {
        self.0.get(&(code, set)).map_or(0, |f| f.count)
    }

    fn remove(&mut self, code: Code, set: usize) {
        self.0.remove(&(code, set));
    }
}

/// Checks sets. Two or more are also held against each other: those of a training and of its validation.
pub fn run(sets: &[LabelSet], options: &CheckOptions) -> Report {
    let mut findings = Findings::default();
    let mut summaries = Vec::with_capacity(sets.len());
    let mut facts = Vec::with_capacity(sets.len());
    let all: usize = sets.iter().map(|s| s.image_files().len()).sum();
    for (index, set) in sets.iter().enumerate() {
        read_errors(set, index, &mut findings);
        let count = set.image_files().len();
        // A set's share of what may be looked at, one at least.
        let most = match options.most_images {
            Some(most) if most < all => (most.saturating_mul(count) / all.max(1)).max(1),
            _ => count,
        };
        let depth = |i: usize| options.depth_of(i, count, most);
        let images = files::look(set, &depth, options);
        files::judge(set, index, &images, &mut findings);
        let mut summary = match &set.labels {
            Labels::Points(pose) => points::check(set, pose, index, &images, &mut findings),
            Labels::Masks(masks) => masks::check(set, masks, index, &images, &depth, options, &mut findings),
            Labels::Classes(classes) => classes::check(set, classes, index, &images, &mut findings),
            // What a program found is no label: there is nothing to hold against it.
            Labels::Detections(found) => Summary {
                path: set.path.display().to_string(),
                format: set.kind.name(),
                task: set.kind.content().name(),
                images: 0,
                looked_at: 0,
                samples: found.entries.len(),
                skipped: found.skipped.len(),
                points: None,
                labelled_points: None,
                extent: None,
                classes: Vec::new(),
                ignored_pixels: None,
            },
        };
        summary.looked_at = (0..count).filter(|&i| depth(i) != Depth::Names).count();
        summaries.push(summary);
        facts.push(images);
    }
    sets::check(sets, &facts, &mut findings);
    Report { schema: SCHEMA, sets: summaries, findings: findings.0.into_values().collect() }
}

/// A number for what sets say: the label files, and names and lengths of images and label images. It tells whether data have
/// changed since a number was noted; it is no checksum of the images.
pub fn fingerprint(sets: &[LabelSet]) -> u64 {
    let mut sum = DefaultHasher::new();
    let length = |path: &Path| std::fs::metadata(path).map_or(u64::MAX, |m| m.len());
    for set in sets {
        if set.path.is_file() {
            std::fs::read(&set.path).unwrap_or_default().hash(&mut sum);
        }
        let mut files: Vec<&Path> = if set.is_embedded() { Vec::new() } else { set.image_files() };
        if let Labels::Masks(masks) = &set.labels {
            files.extend(masks.samples.iter().filter_map(|s| s.label.as_deref()));
        }
        let lengths: Vec<u64> = files.par_iter().map(|path| length(path)).collect();
        files.iter().map(|path| file_name(path)).collect::<Vec<_>>().hash(&mut sum);
        lengths.hash(&mut sum);
    }
    sum.finish()
}

/// What the readers could not read.
fn read_errors(set: &LabelSet, index: usize, findings: &mut Findings) {
    for line in &set.not_numbers {
        findings.add(
            Code::NotANumber,
            index,
            || format!("{}, line {line}", set.path.display()),
            || "NaN or Infinity".into(),
        );
    }
    for error in set.skipped() {
        let message = error.to_string();
        let code = match error {
            DataError::MissingFile { .. } => Code::MissingImage,
            DataError::Duplicate { .. } => Code::DuplicateEntry,
            DataError::Entry { problem, .. } if problem.contains("flip_pairs") => Code::FlipPairs,
            DataError::Entry { problem, .. } if is_not_finite(problem) => Code::NotANumber,
            DataError::Empty { what: "images", .. } => Code::EmptyClass,
            // The value of an entry that Python wrote as NaN was counted with its line.
            DataError::Entry { problem, .. }
                if !set.not_numbers.is_empty() && problem.contains("invalid type: null") =>
            {
                continue;
            }
            _ => Code::BrokenEntry,
        };
        findings.add(code, index, || set.path.display().to_string(), || message);
    }
}

/// Whether a reader's message is about NaN or infinity: it shows the value.
fn is_not_finite(problem: &str) -> bool {
    problem
        .split(|c: char| !c.is_alphanumeric())
        .any(|w| ["nan", "inf", "infinity"].contains(&w.to_ascii_lowercase().as_str()))
        || problem.contains("not a finite number")
}
