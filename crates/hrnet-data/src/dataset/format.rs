//! What a format of labels is: a name, how it is recognised, its reader, where its images lie, how a place in it is named.
//!
//! Each format has a file with a constant [`Format`]; all fields are required. The table of them is in [`super::open`].
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::{DataError, file_name};
use super::images::{Finder, ends_with};
use super::model::{ClassSet, Detections, PoseSample, PoseSet, SegSet};
use super::reader::{Base, Broken, MissingImages, ReadOptions};
use hrnet_image::{Image, Limits};

/// How much of a file is looked at to tell its format.
const HEAD: u64 = 1 << 16;

/// What a set is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// To look at it, check it, convert it: broken entries are left out and kept as errors, missing images are no error, of a set
    /// with parts all are read.
    #[default]
    Look,
    /// To measure a model on it: a broken entry or a missing image is an error, of a set with parts that for validation is read.
    Measure,
    /// To learn from it: as strict, of a set with parts that for training is read.
    Train,
}

/// What labels are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Points, boxes, outlines.
    Points,
    /// Label images.
    Masks,
    /// A class per image.
    Classes,
    /// What a program found: boxes or points with scores. No labels.
    Detections,
}

impl Content {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Points => "points",
            Self::Masks => "masks",
            Self::Classes => "classes",
            Self::Detections => "detections",
        }
    }
}

/// All that is labelled by people.
pub const LABELS: &[Content] = &[Content::Points, Content::Masks, Content::Classes];

/// How to open a set.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenOptions {
    /// What for.
    pub purpose: Purpose,
    /// Of a set with parts that of this purpose is read.
    pub part: Purpose,
    /// What is wanted; a path that holds something else is an error that says what.
    pub want: &'static [Content],
    /// Its format; found from its content when `None`.
    pub kind: Option<Kind>,
    /// Folder of the images; looked for when `None`. See [`super::images`].
    pub images: Option<PathBuf>,
    /// Whether the images are needed; otherwise nobody looks for them.
    pub needs_images: bool,
    /// A part of a set that has parts: of 300W, 300VW, YOLO. That of the purpose when `None`.
    pub split: Option<String>,
    /// Broken entries, missing files, limits.
    pub read: ReadOptions,
    /// Keep polygons and run lengths.
    pub segmentation: bool,
    /// What the first pixel is called in `.pts`, WFLW, COFW and LSP files, where it is not the usual thing.
    pub base: Option<Base>,
}

impl OpenOptions {
    /// For a purpose.
    pub fn new(purpose: Purpose) -> Self {
        let (missing, broken) = match purpose {
            Purpose::Look => (MissingImages::DoNotCheck, Broken::Skip),
            Purpose::Measure | Purpose::Train => (MissingImages::Refuse, Broken::Refuse),
        };
        // Where numbers decide, names stay below the folders that are looked in.
        let allow_outside_root = purpose == Purpose::Look;
        let read = ReadOptions { missing, broken, allow_outside_root, ..ReadOptions::default() };
        Self {
            purpose,
            part: purpose,
            want: LABELS,
            kind: None,
            images: None,
            needs_images: true,
            split: None,
            read,
            segmentation: false,
            base: None,
        }
    }

    /// For a purpose, with what is wanted and the folder of the images.
    pub fn wanting(purpose: Purpose, want: &'static [Content], images: Option<&Path>) -> Self {
        Self { want, images: images.map(Path::to_path_buf), ..Self::new(purpose) }
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new(Purpose::Look)
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
    /// What a program found; only where [`Content::Detections`] is wanted.
    Detections(Detections),
}

/// A part of a set that is reported on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Indices of its samples.
    pub samples: Vec<usize>,
}

/// Images that lie inside of a label file.
pub(crate) trait Embedded: std::fmt::Debug + Send {
    /// The image of an id of the set.
    fn image(&mut self, id: u64, limits: &Limits) -> Result<Image, DataError>;
}

/// What a reader returns.
#[derive(Debug)]
pub(crate) struct Opened {
    pub labels: Labels,
    /// Which set it was taken for, where the format's name says less.
    pub title: Option<String>,
    pub parts: Vec<Part>,
    /// Lines with NaN or Infinity, read as missing.
    pub not_numbers: Vec<u64>,
    pub embedded: Option<Box<dyn Embedded>>,
    /// The folder that names are relative to, where the reader found the images by itself.
    pub root: Option<PathBuf>,
}

impl From<Labels> for Opened {
    fn from(labels: Labels) -> Self {
        Self { labels, title: None, parts: Vec::new(), not_numbers: Vec::new(), embedded: None, root: None }
    }
}

impl From<PoseSet> for Opened {
    fn from(set: PoseSet) -> Self {
        Labels::Points(set).into()
    }
}

impl From<SegSet> for Opened {
    fn from(set: SegSet) -> Self {
        Labels::Masks(set).into()
    }
}

impl From<ClassSet> for Opened {
    fn from(set: ClassSet) -> Self {
        Labels::Classes(set).into()
    }
}

/// Where the images of a format lie.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Where {
    /// The labels name them: found by [`Finder`], which also looks in these folders, relative to that of the labels.
    Named(&'static [&'static str]),
    /// The reader walks folders of images or finds each beside its label.
    Found,
    /// Inside of the label file.
    Inside,
}

/// How well a path fits a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Not at all.
    No,
    /// It has the form but not the content; what is missing, in words.
    Almost(String),
    /// Where nothing fits better.
    Loosely,
    /// It is that.
    Surely,
}

impl Fit {
    /// Surely, or not at all.
    pub fn sure(yes: bool) -> Self {
        if yes { Self::Surely } else { Self::No }
    }
}

/// A format of labels. A new one is a file with such a constant and a row of the table in [`super::open`].
pub(crate) struct Format {
    /// Its name on the command line.
    pub name: &'static str,
    /// Other usual names.
    pub aliases: &'static [&'static str],
    /// What its labels are about.
    pub content: Content,
    /// Whether a path is of it.
    pub recognise: fn(&Glance<'_>) -> Fit,
    /// Reads a path. The finder of the options is ready.
    pub read: fn(&Path, &OpenOptions) -> Result<Opened, DataError>,
    /// Where its images lie.
    pub images: Where,
    /// Whether its files call the first pixel 1, so that one is taken from their coordinates.
    pub takes_one: bool,
    /// Whether its sets may have parts such as train and val.
    pub has_splits: bool,
    /// How people find a sample in it: its number and its image's name.
    pub place: fn(&PoseSample, &str) -> String,
}

/// A format of labels, by its row in the table: `Kind::Coco`, ...
#[derive(Clone, Copy)]
pub struct Kind(pub(super) &'static Format);

impl Kind {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Other names that are understood.
    pub fn aliases(self) -> &'static [&'static str] {
        self.0.aliases
    }

    /// What its labels are about.
    pub fn content(self) -> Content {
        self.0.content
    }
}

impl Kind {
    /// Whether its files call the first pixel 1, so that one is taken from their coordinates.
    pub fn takes_one(self) -> bool {
        self.0.takes_one
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Kind {}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Format {
    /// How the images of a path are found.
    pub fn finder(&self, path: &Path, options: &OpenOptions) -> Finder {
        let given = options.images.as_deref();
        match self.images {
            _ if !options.needs_images => Finder::without_images(path, given),
            Where::Named(usual) => Finder::new(path, given, usual),
            Where::Found | Where::Inside => Finder::default(),
        }
    }
}

/// A path as it looks from outside: its ending, the beginning of a file, the names in a folder.
#[derive(Debug)]
pub(crate) struct Glance<'a> {
    /// The path.
    pub path: &'a Path,
    /// What is wanted of it.
    pub options: &'a OpenOptions,
    /// The first bytes of a file.
    pub head: Vec<u8>,
    /// The same as text, without a byte order mark and blanks at the beginning.
    pub text: String,
    /// Folders in a folder, by name.
    pub folders: Vec<PathBuf>,
    /// Files in a folder, by name.
    pub files: Vec<PathBuf>,
    /// Whether it is a folder.
    pub is_folder: bool,
}

impl<'a> Glance<'a> {
    /// Looks at a path.
    pub fn new(path: &'a Path, options: &'a OpenOptions) -> Result<Self, DataError> {
        let is_folder = path.is_dir();
        let (mut head, mut names) = (Vec::new(), Vec::new());
        if is_folder {
            for entry in std::fs::read_dir(path).map_err(|e| DataError::io(path, &e))? {
                names.push(entry.map_err(|e| DataError::io(path, &e))?.path());
            }
            names.sort();
        } else {
            let file = std::fs::File::open(path).map_err(|e| DataError::io(path, &e))?;
            file.take(HEAD).read_to_end(&mut head).map_err(|e| DataError::io(path, &e))?;
        }
        let (folders, files) = names.into_iter().partition(|p: &PathBuf| p.is_dir());
        let text = String::from_utf8_lossy(&head);
        let text = text.trim_start_matches('\u{feff}').trim_start().to_string();
        Ok(Self { path, options, head, text, folders, files, is_folder })
    }

    /// A file with one of these endings.
    pub fn is_file(&self, endings: &[&str]) -> bool {
        !self.is_folder && ends_with(self.path, endings)
    }

    /// A file of JSON: by its ending, or by its first character where the ending says nothing.
    pub fn is_json(&self, first: char) -> bool {
        !self.is_folder && self.text.starts_with(first)
    }

    /// Whether a key of JSON occurs in the beginning.
    pub fn has_key(&self, key: &str) -> bool {
        self.text.contains(&format!("\"{key}\""))
    }

    /// The first file of a folder with one of these endings.
    pub fn first_file(&self, endings: &[&str]) -> Option<&PathBuf> {
        self.files.iter().find(|f| ends_with(f, endings))
    }

    /// Whether a folder has a folder of this name.
    pub fn has_folder(&self, name: &str) -> bool {
        self.folders.iter().any(|f| file_name(f) == name)
    }

    /// The first line of a list that says something.
    pub fn first_line(&self) -> Option<&str> {
        self.text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'))
    }

    /// Whether it is a list in text: by its ending, or where the ending is of no other format.
    pub fn is_list(&self) -> bool {
        self.is_file(&["txt", "lst", "list"])
    }

    /// Whether only this content is wanted.
    pub fn wants_only(&self, content: Content) -> bool {
        self.options.want.iter().all(|w| *w == content)
    }
}
