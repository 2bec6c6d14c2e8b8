//! The one door for labels: any data set by one call. What a path is, and its labels in one form.
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
//! | `seg-folders` | folder with `images/` and `labels/`, or of label images | masks |
//! | `class-folder` (ImageFolder) | folder with a folder per class | classes |
//! | `class-csv` | `.csv` with a class column | classes |
//! | `coco-results` | `.json`, a list with scores | detections |
//! | `box-csv` | table with image, x, y, w, h | detections |
//!
//! Points of every kind become a [`PoseSet`](super::model::PoseSet), faces included. How images are found: [`super::images`].
//!
//! A new format is a file with a constant `Format` and a row of the table below.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub use super::error::file_name;
pub use super::format::{Content, Kind, LABELS, Labels, OpenOptions, Part, Purpose};
use super::format::{Embedded, Fit, Glance};
use super::images::is_image;
use super::model::{DataError, PoseSample, read_bytes};
use super::{
    ai_challenger, box_table, classification, coco, cofw, cvat, labelme, landmark_csv, lsp, mpii,
    segmentation, vw300, w300, wflw, yolo,
};
use hrnet_image::{DecodeOptions, Image, Limits, decode};

macro_rules! formats {
    ($($name:ident $format:path;)*) => {
        #[allow(non_upper_case_globals)] // The names of an enumeration.
        impl Kind {
            $(
                #[doc = concat!("`", stringify!($name), "` of the table.")]
                pub const $name: Kind = Kind(&$format);
            )*
            /// All of them. Where a path fits several equally well, the first is taken.
            pub const ALL: &[Kind] = &[$(Kind::$name),*];
        }
    };
}

formats! {
    Vw300 vw300::FORMAT;
    Pts w300::FORMAT;
    Yolo yolo::FORMAT;
    LabelMe labelme::FORMAT;
    Coco coco::FORMAT;
    AiChallenger ai_challenger::FORMAT;
    Mpii mpii::FORMAT;
    Lsp lsp::FORMAT;
    Cofw cofw::FORMAT;
    Wflw wflw::FORMAT;
    LandmarkCsv landmark_csv::FORMAT;
    Cvat cvat::FORMAT;
    SegFolders segmentation::FOLDERS;
    SegList segmentation::LIST;
    ClassFolder classification::FOLDER;
    ClassTable classification::TABLE;
    Results coco::RESULTS;
    BoxTable box_table::FORMAT;
}

impl Kind {
    /// A format by its name or another usual one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| k.name() == name || k.aliases().contains(&name))
    }
}

/// A set that was opened.
#[derive(Debug)]
pub struct LabelSet {
    /// What was given.
    pub path: PathBuf,
    /// Its format.
    pub kind: Kind,
    /// Which set it was taken for, in words.
    pub title: String,
    /// The labels.
    pub labels: Labels,
    /// Parts that are reported on their own.
    pub parts: Vec<Part>,
    /// The folder that the names of images are relative to.
    pub image_root: PathBuf,
    /// The folders in which images were looked for.
    pub looked: Vec<PathBuf>,
    /// Lines of the text that hold NaN or Infinity, which is no JSON: read as missing, so that their entries are left out.
    pub not_numbers: Vec<u64>,
    /// Images of COFW lie inside of its file.
    embedded: Option<Mutex<Box<dyn Embedded>>>,
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
            Labels::Detections(_) => Vec::new(),
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
        let mut roots = std::iter::once(&self.image_root).chain(&self.looked);
        let name = roots.find_map(|r| file.strip_prefix(r).ok()).map(Path::to_path_buf);
        let name = name.unwrap_or_else(|| PathBuf::from(file_name(file)));
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
            Labels::Detections(_) => Vec::new(),
        }
    }

    /// Entries that were left out.
    pub fn skipped(&self) -> &[DataError] {
        match &self.labels {
            Labels::Points(set) => &set.skipped,
            Labels::Masks(set) => &set.skipped,
            Labels::Classes(set) => &set.skipped,
            Labels::Detections(set) => &set.skipped,
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
        (self.kind.0.place)(sample, &name)
    }

    /// The points, where it is a set of points.
    pub fn into_points(self) -> Result<super::model::PoseSet, DataError> {
        match self.labels {
            Labels::Points(set) => Ok(set),
            _ => Err(DataError::format(&self.path, other_content(self.kind, &[Content::Points]))),
        }
    }

    /// The label images, where it is a set of these.
    pub fn into_masks(self) -> Result<super::model::SegSet, DataError> {
        match self.labels {
            Labels::Masks(set) => Ok(set),
            _ => Err(DataError::format(&self.path, other_content(self.kind, &[Content::Masks]))),
        }
    }

    /// The classes, where it is a set of these.
    pub fn into_classes(self) -> Result<super::model::ClassSet, DataError> {
        match self.labels {
            Labels::Classes(set) => Ok(set),
            _ => Err(DataError::format(&self.path, other_content(self.kind, &[Content::Classes]))),
        }
    }
}

/// That a set holds something else.
fn other_content(kind: Kind, want: &[Content]) -> String {
    let wanted: Vec<&str> = want.iter().map(|c| c.name()).collect();
    match kind.content() {
        Content::Detections => "this is a detection or result file, not labels".to_string(),
        content => {
            format!("its format is {kind}, which holds {}; wanted {}", content.name(), wanted.join(" or "))
        }
    }
}

/// The format of a file or folder of labels.
pub fn detect(path: &Path) -> Result<Kind, DataError> {
    detect_for(path, &OpenOptions::default())
}

/// The format of a path that holds what is wanted: the row of the table that fits best.
fn detect_for(path: &Path, options: &OpenOptions) -> Result<Kind, DataError> {
    let at = Glance::new(path, options)?;
    let refuse = |detail: String| {
        let names: Vec<&str> = Kind::ALL.iter().map(|k| k.name()).collect();
        DataError::format(path, format!("{detail}; name its format ({})", names.join(", ")))
    };
    if !at.is_folder && is_image(path) {
        return Err(refuse("a picture is no data set".into()));
    }
    let fits: Vec<(Kind, Fit)> = Kind::ALL.iter().map(|k| (*k, (k.0.recognise)(&at))).collect();
    let wanted = |k: &Kind| options.want.contains(&k.content());
    for fit in [Fit::Surely, Fit::Loosely] {
        if let Some((kind, _)) = fits.iter().find(|(k, f)| *f == fit && wanted(k)) {
            return Ok(*kind);
        }
    }
    if let Some((kind, _)) = fits.iter().find(|(_, f)| *f == Fit::Surely) {
        return Err(refuse(other_content(*kind, options.want)));
    }
    let almost = fits.into_iter().find_map(|(_, fit)| match fit {
        Fit::Almost(detail) => Some(detail),
        _ => None,
    });
    Err(refuse(almost.unwrap_or_else(|| nothing(&at))))
}

/// Why nothing fits.
fn nothing(at: &Glance<'_>) -> String {
    if !at.is_folder {
        return match at.text.is_empty() {
            true => "the file is empty".into(),
            false if at.head.starts_with(b"\xff\xfe") || at.head.starts_with(b"\xfe\xff") => {
                "it is UTF-16 text; save it as UTF-8".into()
            }
            false if at.is_file(&["json"]) => "this JSON file is of no known format".into(),
            false => "its ending tells no format".into(),
        };
    }
    let endings = ["json", "csv", "txt", "lst", "xml", "mat", "yaml", "yml"];
    let labels = at.files.iter().filter(|f| super::images::ends_with(f, &endings));
    let labels: Vec<String> = labels.take(4).map(|f| file_name(f)).collect();
    match labels.is_empty() {
        true => "the folder has no labels that are known".into(),
        false => format!("the folder is no set in itself; give a file in it: {}", labels.join(", ")),
    }
}

/// Opens a set.
pub fn open(path: &Path, options: &OpenOptions) -> Result<LabelSet, DataError> {
    let mut options = options.clone();
    if let Some(given) = options.images.take() {
        options.images = Some(named_folder(path, &given)?);
    }
    let kind = match options.kind {
        Some(kind) => kind,
        None => detect_for(path, &options)?,
    };
    if !options.want.contains(&kind.content()) {
        return Err(DataError::format(path, other_content(kind, options.want)));
    }
    if let Some(split) = options.split.as_ref().filter(|_| !kind.0.has_splits) {
        let detail = format!("a set of the format {kind} has no split {split:?}; give the file of the split");
        return Err(DataError::format(path, detail));
    }
    let finder = kind.0.finder(path, &options);
    options.read.finder = finder.clone();
    let opened = (kind.0.read)(path, &options)?;
    let own = || match path.is_dir() {
        true => path.to_path_buf(),
        false => path.parent().map(Path::to_path_buf).unwrap_or_default(),
    };
    let image_root = opened.root.unwrap_or_else(|| if finder.is_plain() { own() } else { finder.root() });
    Ok(LabelSet {
        path: path.to_path_buf(),
        kind,
        title: opened.title.unwrap_or_else(|| kind.name().to_string()),
        labels: opened.labels,
        parts: opened.parts,
        image_root,
        looked: finder.looked(),
        not_numbers: opened.not_numbers,
        embedded: opened.embedded.map(Mutex::new),
    })
}

/// The folder that a user named for the images: as it is, or from the folder of the labels.
fn named_folder(path: &Path, given: &Path) -> Result<PathBuf, DataError> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let found = [given.to_path_buf(), folder.join(given)].into_iter().find(|f| f.is_dir());
    found.ok_or_else(|| DataError::Io {
        path: given.to_path_buf(),
        reason: format!("there is no such folder of images, neither here nor in {}", folder.display()),
    })
}
