//! The four feature maps of a trunk.

use super::{Builder, Image};
use crate::error::{Result, bail};
use crate::model::LoadedModel;
use crate::tasks::{ClassifyOptions, Features};
use hrnet_ir::Tensor;
use hrnet_kernels::Pool;
use std::path::Path;
use std::sync::Arc;

/// The trunk of a network: four maps of an image, at strides 4, 8, 16 and 32.
///
/// Any checkpoint whose last exchange is complete will do: segmentation, faces, classification, detection, or a bare trunk. (Pose
/// networks compute their highest resolution only.) An image becomes an input as for classification: short side, centre, normalised.
///
/// ```
/// # fn main() -> hrnet::Result<()> {
/// # std::env::set_current_dir("../..")?;
/// let mut trunk = hrnet::FeatureModel::open("face68")?;
/// let maps = trunk.features(&hrnet::Image::open("examples/camera.jpg")?)?;
/// assert_eq!([maps[0].stride, maps[3].stride], [4, 32]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FeatureModel {
    features: Features,
}

/// A feature map.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureMap {
    /// Pixels of the input per value: 4, 8, 16 or 32.
    pub stride: usize,
    /// Number of channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[channels, height, width]`, row-major.
    pub data: Vec<f32>,
}

impl FeatureMap {
    /// The mean of every channel, a description of the whole image.
    pub fn mean(&self) -> Vec<f32> {
        let size = (self.height * self.width).max(1);
        let mean = |plane: &[f32]| plane.iter().map(|&v| f64::from(v)).sum::<f64>() / size as f64;
        self.data.chunks_exact(size).map(|plane| mean(plane) as f32).collect()
    }
}

impl FeatureModel {
    /// Opens the trunk of a built-in model or of any checkpoint, on all processors.
    ///
    /// # Errors
    /// As [`super::Model::open`]; and for networks that compute their highest resolution only.
    pub fn open(model: impl AsRef<Path>) -> Result<Self> {
        Builder::default().open_features(model)
    }

    pub(super) fn new(loaded: LoadedModel, pool: Arc<Pool>, options: ClassifyOptions) -> Result<Self> {
        let features = Features::new(loaded.weights, loaded.recipe, pool, options)?;
        Ok(Self { features })
    }

    /// Channels of the four maps.
    pub fn channels(&self) -> [usize; 4] {
        self.features.channels()
    }

    /// The four maps of an image, finest first.
    ///
    /// # Errors
    /// When the image is too narrow to be resized.
    pub fn features(&mut self, image: &Image) -> Result<[FeatureMap; 4]> {
        let maps: Vec<FeatureMap> =
            self.features.of(image.as_ref())?.into_iter().enumerate().map(map).collect();
        match <[FeatureMap; 4]>::try_from(maps) {
            Ok(maps) => Ok(maps),
            Err(other) => bail!(Model, "the trunk gave {} maps, want 4", other.len()),
        }
    }
}

/// Map `level` of one image.
fn map((level, tensor): (usize, Tensor)) -> FeatureMap {
    let [_, channels, height, width] = tensor.dims4().unwrap_or_default();
    FeatureMap { stride: 4 << level, channels, height, width, data: tensor.into_data() }
}
