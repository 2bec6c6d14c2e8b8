//! What the data sets have in common: samples of each task.
//!
//! Points and boxes are `f64`, in pixels of the original image, pixel centres at integers. A box is `[x, y, w, h]`.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::path::PathBuf;

pub use super::error::{DataError, Place};
pub(crate) use super::error::{ordinal, read_bytes, short, text, whole};
pub use super::reader::{Base, Broken, MissingImages, ReadLimits, ReadOptions};
pub(crate) use super::reader::{Reader, Seen};

/// Whether a point is labelled, and seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Visibility {
    /// No label: the coordinates mean nothing (COCO `v = 0`).
    #[default]
    Absent,
    /// Labelled but hidden (COCO `v = 1`).
    Hidden,
    /// Labelled and seen (COCO `v = 2`).
    Visible,
}

impl Visibility {
    /// COCO's flag.
    pub fn flag(self) -> u8 {
        match self {
            Self::Absent => 0,
            Self::Hidden => 1,
            Self::Visible => 2,
        }
    }

    /// Whether there is a label.
    pub fn labelled(self) -> bool {
        self != Self::Absent
    }
}

/// One point of a pose.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PosePoint {
    /// x, y; (0, 0) where absent.
    pub at: [f64; 2],
    /// Its label.
    pub visibility: Visibility,
}

/// One person or animal in one image.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PoseSample {
    /// Id in the file, or the entry's number where the format has none.
    pub id: i64,
    /// Index in [`PoseSet::images`].
    pub image: usize,
    /// Index in [`PoseSet::categories`].
    pub category: usize,
    /// Box `[x, y, w, h]` as annotated.
    pub bbox: Option<[f64; 4]>,
    /// The points in the order of the category; empty when there are no labels at all.
    pub points: Vec<PosePoint>,
    /// The annotated count of labelled points; 0 makes COCO's metric ignore the instance.
    pub num_keypoints: usize,
    /// Area of the segment in square pixels.
    pub area: Option<f64>,
    /// A group that is not labelled one by one.
    pub crowd: bool,
    /// The size that normalises PCKh: 0.6 of the head box's diagonal.
    pub head_size: Option<f64>,
    /// Annotated centre, and size over 200 pixels without padding.
    pub centre_scale: Option<([f64; 2], f64)>,
    /// What a face's errors are divided by, where the set says it (AFLW).
    pub box_size: Option<f64>,
    /// The outline or mask, where the file has one and it was asked for.
    pub segmentation: Option<super::coco_mask::Segmentation>,
}

impl PoseSample {
    /// Points with a label.
    pub fn labelled(&self) -> usize {
        self.points.iter().filter(|p| p.visibility.labelled()).count()
    }

    /// The box to look in, for training, prediction and evaluation alike: as annotated, about the annotated centre, or the extent of
    /// the labelled points. Who looks in it leaves out what has no size.
    pub fn frame(&self) -> Option<[f64; 4]> {
        let about = || self.centre_scale.map(|(centre, scale)| box_about(centre, scale));
        self.bbox.or_else(about).or_else(|| self.box_or_extent())
    }

    /// The box as annotated, or the extent of the labelled points.
    pub fn box_or_extent(&self) -> Option<[f64; 4]> {
        self.bbox.or_else(|| {
            extent(self.points.iter().filter(|p| p.visibility.labelled()).map(|p| p.at))
                .map(|[x0, y0, x1, y1]| [x0, y0, x1 - x0, y1 - y0])
        })
    }
}

/// The square box about an annotated centre: 200 scale wide and high.
pub fn box_about(centre: [f64; 2], scale: f64) -> [f64; 4] {
    let side = 200.0 * scale;
    [centre[0] - side / 2.0, centre[1] - side / 2.0, side, side]
}

/// Least and greatest x and y: `[x0, y0, x1, y1]`.
pub fn extent(points: impl IntoIterator<Item = [f64; 2]>) -> Option<[f64; 4]> {
    points.into_iter().fold(None, |e: Option<[f64; 4]>, [x, y]| {
        let [x0, y0, x1, y1] = e.unwrap_or([x, y, x, y]);
        Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)])
    })
}

/// The face box rule of the official CSV files: whole pixels outwards, centre and larger side over 200.
///
/// Checked against the 300W and WFLW entries of mmpose's sample files, which repeat the CSVs.
pub fn face_centre_scale(points: &[[f64; 2]]) -> Option<([f64; 2], f64)> {
    let [x0, y0, x1, y1] = extent(points.iter().copied())?;
    let (x0, y0, x1, y1) = (x0.floor(), y0.floor(), x1.ceil(), y1.ceil());
    Some(([(x0 + x1) / 2.0, (y0 + y1) / 2.0], (x1 - x0).max(y1 - y0) / 200.0))
}

/// One face: where its image is and where its points are.
#[derive(Debug, Clone, PartialEq)]
pub struct LandmarkSample {
    /// The image file: image folder joined with the name in the table.
    pub image: PathBuf,
    /// Line of the table, 1-based, the header being line 1.
    pub line: u64,
    /// Middle of the face box, in image pixels.
    pub centre: [f64; 2],
    /// Size of the face over 200 pixels, without padding.
    pub scale: f64,
    /// The normaliser of AFLW.
    pub box_size: Option<f64>,
    /// The points, in image pixels.
    pub points: Vec<[f64; 2]>,
}

/// One image of a pose set.
#[derive(Debug, Clone, PartialEq)]
pub struct PoseImage {
    /// Id in the file, or its number.
    pub id: i64,
    /// The image file.
    pub file: PathBuf,
    /// Width and height as the file says.
    pub size: Option<[usize; 2]>,
    /// CrowdPose's measure of crowding, 0 to 1.
    pub crowd_index: Option<f64>,
}

/// Where the flip pairs of a category come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairSource {
    /// `flip_pairs` in the file.
    File,
    /// A known set with these names, or this many unnamed points.
    Known(&'static str),
    /// `left` and `right` in the names.
    Names,
    /// Nothing tells them: no pairs, every point maps to itself. Do not flip before looking at it.
    None,
}

/// What is labelled: names, lines, mirror pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Category {
    /// Id in the file.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Names of the points.
    pub points: Vec<String>,
    /// Lines for drawing, 0-based.
    pub skeleton: Vec<[usize; 2]>,
    /// Points that change places in a mirrored image, 0-based.
    pub flip_pairs: Vec<(usize, usize)>,
    /// Where the pairs come from.
    pub pairs_from: PairSource,
    /// OKS constants per point, where the file has them.
    pub sigmas: Option<Vec<f64>>,
}

impl Category {
    /// The index of each point in the mirrored image.
    pub fn flip_permutation(&self) -> Vec<usize> {
        crate::sets::flip_permutation(self.points.len(), &self.flip_pairs)
    }
}

/// A pose set that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct PoseSet {
    /// The annotation file.
    pub path: PathBuf,
    /// The images, in file order, those without samples included.
    pub images: Vec<PoseImage>,
    /// The categories, in file order.
    pub categories: Vec<Category>,
    /// The samples, in file order.
    pub samples: Vec<PoseSample>,
    /// Entries that were left out, with the reason.
    pub skipped: Vec<DataError>,
    /// Odd things that were put right or passed over, in words.
    pub notes: Vec<String>,
}

impl PoseSet {
    /// The one category of the set, or the first when all have the same points (AP-10K's 54 animals).
    pub fn common_category(&self) -> Result<&Category, DataError> {
        let first = self.categories.first().ok_or_else(|| DataError::Empty {
            path: self.path.clone(),
            what: "categories",
            fix: "add a category with the names of the points",
        })?;
        match self.categories.iter().position(|c| c.points != first.points) {
            None => Ok(first),
            Some(i) => Err(DataError::entry(
                &self.path,
                Place::Item { list: "categories", index: i },
                "it has other points than the first category",
                "split the file by category, or choose one",
            )),
        }
    }

    /// Indices of the samples of each image.
    pub fn by_image(&self) -> Vec<Vec<usize>> {
        let mut out = vec![Vec::new(); self.images.len()];
        for (i, s) in self.samples.iter().enumerate() {
            if let Some(list) = out.get_mut(s.image) {
                list.push(i);
            }
        }
        out
    }
}

/// One image and its label image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegSample {
    /// The image.
    pub image: PathBuf,
    /// Its labels; `None` in lists for prediction.
    pub label: Option<PathBuf>,
    /// Line of the list, 1-based; the number of the pair where there is no list.
    pub line: u64,
}

/// A segmentation set that was read.
#[derive(Debug)]
pub struct SegSet {
    /// The list or folder.
    pub path: PathBuf,
    /// Pairs in list order.
    pub samples: Vec<SegSample>,
    /// Lines left out, with the reason.
    pub skipped: Vec<DataError>,
}

/// One image and its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassSample {
    /// The image.
    pub image: PathBuf,
    /// Index in [`ClassSet::classes`].
    pub class: usize,
}

/// A classification set that was read.
#[derive(Debug)]
pub struct ClassSet {
    /// The folder or table.
    pub path: PathBuf,
    /// Names of the classes, by index. Where a table leaves an index out, its name is empty.
    pub classes: Vec<String>,
    /// The images.
    pub samples: Vec<ClassSample>,
    /// Entries left out, with the reason.
    pub skipped: Vec<DataError>,
}

/// One entry of a detection or result file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Detection {
    /// Id of the image; `None` where the file names it.
    pub image_id: Option<i64>,
    /// Name of the image.
    pub file_name: Option<String>,
    /// Category; 1 where the file has none.
    pub category_id: i64,
    /// Score of the instance.
    pub score: Option<f64>,
    /// Box `[x, y, w, h]`.
    pub bbox: Option<[f64; 4]>,
    /// x, y and score of each point.
    pub keypoints: Vec<[f64; 3]>,
    /// Frame of a video.
    pub frame: Option<u64>,
    /// Where it stands in the file.
    pub place: Place,
}

/// Detections that were read.
#[derive(Debug, Clone, PartialEq)]
pub struct Detections {
    /// The file.
    pub path: PathBuf,
    /// In file order.
    pub entries: Vec<Detection>,
    /// Entries left out, with the reason.
    pub skipped: Vec<DataError>,
}
