//! 300VW: videos of faces with a `.pts` file per frame.
//!
//! ```text
//! 001/vid.avi   001/annot/000001.pts, 000002.pts, ...   (frames extracted by the user:) 001/frames/000001.jpg
//! ```
//!
//! Frame 1 of the video is `000001.pts`. 68 points, 1-based. Of the 114 videos 50 are for training; the 64 for testing are in
//! three categories: well-lit (31), unconstrained light (19), arbitrary (14). Decoding `vid.avi` is the business of the video
//! reader; where frames lie as images in `frames/`, in `images/` or beside the `.pts` files, they are found.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::path::{Path, PathBuf};

use super::faces::faces;
use super::format::{Content, Fit, Format, OpenOptions, Opened, Part, Purpose, Where};
use super::images::beside;
use super::model::{Base, DataError, MissingImages, Place, Reader};
use super::pts;
use super::w300::{PtsOptions, PtsSet, face_sample, pts_files};

pub(crate) static FORMAT: Format = Format {
    name: "300vw",
    aliases: &[],
    content: Content::Points,
    recognise: |at| {
        let numbered = |f: &PathBuf| {
            f.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.parse::<u16>().is_ok())
                && ["annot", "annot2"].iter().any(|a| f.join(a).is_dir())
        };
        Fit::sure(at.folders.iter().any(numbered))
    },
    read: open,
    images: Where::Found,
    takes_one: true,
    has_splits: true,
    place: |_, image| image.to_string(),
};

/// The categories of the test videos with their names.
const CATEGORIES: [(Split, &str); 3] =
    [(Split::Category1, "category1"), (Split::Category2, "category2"), (Split::Category3, "category3")];

fn open(path: &Path, how: &OpenOptions) -> Result<Opened, DataError> {
    let all = how.part == Purpose::Look && how.split.is_none();
    let usual = if how.part == Purpose::Train { "train" } else { "test" };
    let name = how.split.as_deref().unwrap_or(usual);
    let wanted = |split: Split| match name {
        _ if all => true,
        "train" => split == Split::Train,
        "test" => split != Split::Train,
        _ => CATEGORIES.contains(&(split, name)),
    };
    if !["train", "test", "category1", "category2", "category3"].contains(&name) {
        let detail =
            format!("300VW has no split {name:?}; there are train, test, category1, category2 and category3");
        return Err(DataError::format(path, detail));
    }
    let points = if how.part == Purpose::Look { None } else { Some(68) };
    let options = PtsOptions { read: how.read.clone(), base: how.base.unwrap_or(Base::One), points };
    let (mut samples, mut skipped, mut of) = (Vec::new(), Vec::new(), Vec::new());
    for video in find(path)?.iter().filter(|v| wanted(v.split)) {
        let set = read(video, &options)?;
        of.extend(std::iter::repeat_n(video.split, set.samples.len()));
        samples.extend(set.samples);
        skipped.extend(set.skipped);
    }
    let part = |(split, name): (Split, &'static str)| Part {
        name: name.into(),
        samples: of.iter().enumerate().filter(|(_, s)| **s == split).map(|(i, _)| i).collect(),
    };
    let parts = CATEGORIES.into_iter().map(part).filter(|p| !all && name == "test" && !p.samples.is_empty());
    let title = (!all).then(|| format!("300VW {name}"));
    let parts = parts.collect();
    Ok(Opened { title, parts, ..faces(path, samples, skipped, how.read.broken)?.into() })
}

/// Test videos in well-lit surroundings.
pub const CATEGORY_1: [u16; 31] = [
    114, 124, 125, 126, 150, 158, 401, 402, 505, 506, 507, 508, 509, 510, 511, 514, 515, 518, 519, 520, 521,
    522, 524, 525, 537, 538, 540, 541, 546, 547, 548,
];
/// Test videos in unconstrained light.
pub const CATEGORY_2: [u16; 19] =
    [203, 208, 211, 212, 213, 214, 218, 224, 403, 404, 405, 406, 407, 408, 409, 412, 550, 551, 553];
/// Test videos in arbitrary conditions.
pub const CATEGORY_3: [u16; 14] = [410, 411, 516, 517, 526, 528, 529, 530, 531, 533, 557, 558, 559, 562];

/// A part of the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Everything that is in no test category.
    Train,
    /// [`CATEGORY_1`].
    Category1,
    /// [`CATEGORY_2`].
    Category2,
    /// [`CATEGORY_3`].
    Category3,
}

impl Split {
    /// The part of a video by its folder's number.
    pub fn of(video: u16) -> Self {
        if CATEGORY_1.contains(&video) {
            Self::Category1
        } else if CATEGORY_2.contains(&video) {
            Self::Category2
        } else if CATEGORY_3.contains(&video) {
            Self::Category3
        } else {
            Self::Train
        }
    }
}

/// One video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Video {
    /// Its folder.
    pub folder: PathBuf,
    /// Its number: the folder's name.
    pub number: u16,
    /// Its part.
    pub split: Split,
    /// The video file, where it is there.
    pub movie: Option<PathBuf>,
    /// Frame number, 1-based, and annotation, in order of frames.
    pub annotations: Vec<(u32, PathBuf)>,
}

/// Finds the videos under a folder, by number. Folders whose name is no number are passed over.
pub fn find(root: &Path) -> Result<Vec<Video>, DataError> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(root).map_err(|e| DataError::io(root, &e))? {
        let folder = entry.map_err(|e| DataError::io(root, &e))?.path();
        let number = folder.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse::<u16>().ok());
        let Some(number) = number.filter(|_| folder.is_dir()) else { continue };
        let annot = ["annot", "annot2", ""].iter().map(|a| folder.join(a)).find(|a| a.is_dir());
        let mut annotations = Vec::new();
        for file in pts_files(annot.as_deref().unwrap_or(&folder))? {
            let frame = file.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse::<u32>().ok());
            let Some(frame) = frame.filter(|&f| f > 0) else {
                return Err(DataError::format(
                    &file,
                    "its name is no frame number; name it 000001.pts and so on",
                ));
            };
            annotations.push((frame, file));
        }
        annotations.sort();
        let movie = ["vid.avi", "vid.mp4"].iter().map(|m| folder.join(m)).find(|m| m.is_file());
        out.push(Video { folder, number, split: Split::of(number), movie, annotations });
    }
    if out.is_empty() {
        let fix = "give the folder that holds 001, 002, ...";
        return Err(DataError::Empty { path: root.to_path_buf(), what: "videos", fix });
    }
    out.sort_by_key(|v| v.number);
    Ok(out)
}

/// Reads the annotations of a video whose frames were extracted to images; `line` of a sample is the frame.
/// With [`MissingImages::DoNotCheck`] samples carry the name a frame would have.
pub fn read(video: &Video, options: &PtsOptions) -> Result<PtsSet, DataError> {
    let mut reader = Reader::new(&video.folder, &options.read);
    reader.count(video.annotations.len(), "frames")?;
    let mut samples = Vec::with_capacity(video.annotations.len());
    for (i, (frame, file)) in video.annotations.iter().enumerate() {
        let place = Place::Item { list: "frames", index: i };
        let result = pts::read(file, options.base, &options.read.limits).and_then(|points| {
            let image = frame_image(video, *frame, file, &reader, &place)?;
            face_sample(image, u64::from(*frame), points, options.points, file)
        });
        samples.extend(reader.keep(result)?);
    }
    Ok(PtsSet { samples, skipped: reader.skipped })
}

fn frame_image(
    video: &Video,
    frame: u32,
    pts: &Path,
    reader: &Reader<'_>,
    place: &Place,
) -> Result<PathBuf, DataError> {
    let labels = ["frames", "images"]
        .iter()
        .map(|f| video.folder.join(f).join(format!("{frame:06}.pts")))
        .chain([pts.to_path_buf()]);
    let expected = video.folder.join("frames").join(format!("{frame:06}.jpg"));
    match labels.into_iter().find_map(|label| beside(&label)) {
        Some(image) => Ok(image),
        None if reader.options.missing == MissingImages::DoNotCheck => Ok(expected),
        None => Err(reader.missing(&expected.to_string_lossy(), expected.clone(), place)),
    }
}
