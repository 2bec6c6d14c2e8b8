//! Sets in memory and batches for training.
//!
//! A sample is a pure function of (set, seed, epoch, index): the same whatever the number of threads, the batch size or the
//! point of a resume. [`Batches`] prefetches on its own threads with bounded memory and delivers in order; what it
//! prefetches is made by one of
//!
//! | maker | samples |
//! |---|---|
//! | [`Landmarks`] | faces of a landmark table, heat-map targets |
//! | [`Poses`] | persons in boxes, heat-map targets |
//! | [`People`] | whole pictures with all persons, heat maps at two sizes, a mask, joints for tags |
//! | [`Segments`] | crops with a class per pixel |
//! | [`Classes`] | crops with one class |

mod batches;
mod classes;
mod images;
mod landmarks;
mod people;
mod poses;
mod segments;

use std::path::PathBuf;

use crate::augment::AugmentError;
use crate::dataset::model::DataError;
use crate::geometry::{IMAGENET_MEAN, IMAGENET_STD};
use hrnet_image::ImageError;
use hrnet_image::warp::Affine;

pub use batches::{Batch, BatchPlan, Batches, Position, Samples};
pub use classes::{ClassSample, ClassSpec, Classes};
pub use images::{ImageOptions, Images, decode_as_labelled};
pub use landmarks::{LandmarkSet, Landmarks, SetOptions};
pub use people::{JointPixel, People, PeopleMaps, PeopleSample};
pub use poses::{PoseSpec, Poses, pose_window};
pub use segments::{SegmentSample, SegmentSpec, Segments};

/// Why a set or a sample could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    /// An image file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The image.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An annotation file or a label image.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An image cannot be decoded.
    #[error("{}: {source}", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
    /// A setting of the augmentation.
    #[error(transparent)]
    Augment(#[from] AugmentError),
    /// A setting of the loader.
    #[error("{0}")]
    Setting(String),
    /// A worker died; this is a bug.
    #[error("a loader thread failed on batch {batch} of epoch {epoch}")]
    Worker {
        /// Epoch of the batch.
        epoch: u64,
        /// The batch.
        batch: u64,
    },
}

/// What to do with images that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BadImages {
    /// Return an error that names the file.
    #[default]
    Refuse,
    /// Leave the faces out; [`LandmarkSet::skipped`] reports them.
    Skip,
}

/// The form of inputs and targets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleSpec {
    /// Input height and width.
    pub input: (usize, usize),
    /// Heat-map height and width.
    pub heatmap: (usize, usize),
    /// Deviation of the target in heat-map pixels.
    pub sigma: f64,
    /// Channel means, values in 0..1.
    pub mean: [f32; 3],
    /// Channel deviations, values in 0..1.
    pub std: [f32; 3],
}

impl SampleSpec {
    /// Square input and heat map with the usual normalisation.
    pub fn square(input: usize, heatmap: usize, sigma: f64) -> Self {
        Self {
            input: (input, input),
            heatmap: (heatmap, heatmap),
            sigma,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
        }
    }

    /// Input size over heat-map size in x and y.
    pub fn strides(&self) -> [f64; 2] {
        [self.input.1 as f64 / self.heatmap.1 as f64, self.input.0 as f64 / self.heatmap.0 as f64]
    }

    pub(crate) fn check(&self) -> Result<(), LoaderError> {
        let sides = [self.input.0, self.input.1, self.heatmap.0, self.heatmap.1];
        if sides.iter().any(|s| !(1..=8192).contains(s)) || !(self.sigma > 0.0 && self.sigma.is_finite()) {
            return Err(LoaderError::Setting(format!(
                "input {:?}, heat map {:?} and sigma {} must be above zero, sides at most 8192",
                self.input, self.heatmap, self.sigma
            )));
        }
        Ok(())
    }
}

/// One training sample.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainSample {
    /// `[3, h, w]`, normalised.
    pub input: Vec<f32>,
    /// `[joints, h, w]`.
    pub target: Vec<f32>,
    /// 1 for points inside the crop, else 0.
    pub weight: Vec<f32>,
    /// From image pixels to input pixels.
    pub to_input: Affine,
    /// Whether the input is mirrored (the target's points are exchanged accordingly).
    pub flipped: bool,
}
