//! Landmark sets in memory and batches for training.
//!
//! A sample is a pure function of (set, seed, epoch, index): the same whatever the number of threads, the batch size or the
//! point of a resume. [`Batches`] prefetches on its own threads with bounded memory and delivers in order.

mod batches;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::augment::{self, AugmentError, LandmarkAugment};
use crate::codec::heatmap::encode_gaussian;
use crate::dataset::landmark_csv::{self, CsvError, CsvOptions, LandmarkSample};
use crate::geometry::{
    Affine, ColourMap, Crop, IMAGENET_MEAN, IMAGENET_STD, input_to_heatmap, warp_bilinear_f32,
};
use crate::image::{DecodeOptions, Exif, Image, ImageError, Limits, decode};
use crate::points::{PointSet, flip_permutation};
use crate::rng::{Purpose, Rng};

pub use batches::{Batch, BatchPlan, Batches, Position};

/// Why a set or a sample could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    /// The table.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// An image file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The image.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
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

/// How a set is opened.
#[derive(Debug, Clone)]
pub struct SetOptions {
    /// How the table is read.
    pub csv: CsvOptions,
    /// Limits of the images.
    pub limits: Limits,
    /// Decoding. Orientation is ignored by default: labels belong to the pixels as stored.
    pub decode: DecodeOptions,
    /// Images that fail.
    pub bad_images: BadImages,
    /// Bytes of decoded images to keep; the others are decoded for each sample.
    pub memory_budget: usize,
    /// Window side over face size.
    pub padding: f64,
    /// Points that change places when mirrored; found from the number of points when `None`.
    pub flip_pairs: Option<Vec<(usize, usize)>>,
}

impl Default for SetOptions {
    fn default() -> Self {
        Self {
            csv: CsvOptions::default(),
            limits: Limits::default(),
            decode: DecodeOptions { exif: Exif::Ignore, ..DecodeOptions::default() },
            bad_images: BadImages::Refuse,
            memory_budget: 1 << 30,
            padding: 1.25,
            flip_pairs: None,
        }
    }
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

    fn check(&self) -> Result<(), LoaderError> {
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

enum Stored {
    Decoded(Arc<Image>),
    File,
}

/// A table of faces with its images.
pub struct LandmarkSet {
    samples: Vec<LandmarkSample>,
    images: Vec<Stored>,
    points: usize,
    flip: Option<Vec<usize>>,
    skipped: Vec<(PathBuf, String)>,
    options: SetOptions,
}

impl LandmarkSet {
    /// Reads the table and decodes the images that fit the memory budget.
    pub fn open(table: &Path, image_root: &Path, options: SetOptions) -> Result<Self, LoaderError> {
        Self::open_with_progress(table, image_root, options, &|_, _| {})
    }

    /// The same; `progress` is told (images done, images in all) now and then.
    pub fn open_with_progress(
        table: &Path,
        image_root: &Path,
        options: SetOptions,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self, LoaderError> {
        const CHUNK: usize = 64;
        let table = landmark_csv::read(table, image_root, &options.csv)?;
        if !(options.padding > 0.0 && options.padding.is_finite()) {
            return Err(LoaderError::Setting(format!("padding {} must be above zero", options.padding)));
        }
        let mut paths: Vec<&PathBuf> = Vec::new();
        let mut known = HashMap::new();
        for s in &table.samples {
            known.entry(&s.image).or_insert_with(|| {
                paths.push(&s.image);
                paths.len() - 1
            });
        }
        let mut decoded: Vec<Option<Result<Arc<Image>, LoaderError>>> = Vec::with_capacity(paths.len());
        let mut used = 0usize;
        for (i, chunk) in paths.chunks(CHUNK).enumerate() {
            if used >= options.memory_budget {
                break;
            }
            let images: Vec<_> = chunk.par_iter().map(|p| load(p, &options).map(Arc::new)).collect();
            for image in images {
                let bytes = image.as_ref().map_or(0, |i| i.data().len());
                used = used.saturating_add(bytes);
                // An image over the budget is forgotten again; a bad one is kept as an error.
                decoded.push((used <= options.memory_budget || image.is_err()).then_some(image));
            }
            progress((i * CHUNK + chunk.len()).min(paths.len()), paths.len());
        }
        decoded.resize_with(paths.len(), || None);

        let (mut samples, mut images, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        skipped.extend(table.skipped.iter().map(|(_, p)| (p.clone(), "missing".to_string())));
        for s in &table.samples {
            let slot = &mut decoded[known[&s.image]];
            match slot {
                Some(Ok(image)) => images.push(Stored::Decoded(Arc::clone(image))),
                None => images.push(Stored::File),
                Some(Err(_)) if options.bad_images == BadImages::Refuse => {
                    if let Some(Err(e)) = slot.take() {
                        return Err(e);
                    }
                }
                Some(Err(e)) => {
                    skipped.push((s.image.clone(), e.to_string()));
                    continue;
                }
            }
            samples.push(s.clone());
        }
        if samples.is_empty() {
            return Err(LoaderError::Csv(CsvError::Empty { path: table.path }));
        }
        let points = table.points;
        let flip = match &options.flip_pairs {
            Some(pairs) => {
                if let Some(bad) = pairs.iter().find(|p| p.0 >= points || p.1 >= points) {
                    return Err(LoaderError::Setting(format!(
                        "flip pair {bad:?} is outside of {points} points"
                    )));
                }
                let permutation = flip_permutation(points, pairs);
                if (0..points).any(|i| permutation[permutation[i]] != i) {
                    return Err(LoaderError::Setting("a point is in two flip pairs".into()));
                }
                Some(permutation)
            }
            None => PointSet::of_count(points).map(PointSet::flip_permutation),
        };
        Ok(Self { samples, images, points, flip, skipped, options })
    }

    /// Number of faces.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Never true: opening an empty table is an error.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Points per face.
    pub fn points(&self) -> usize {
        self.points
    }

    /// The faces.
    pub fn samples(&self) -> &[LandmarkSample] {
        &self.samples
    }

    /// Files left out, and why.
    pub fn skipped(&self) -> &[(PathBuf, String)] {
        &self.skipped
    }

    /// The index of each point in a mirrored face, when known.
    pub fn flip_permutation(&self) -> Option<&[usize]> {
        self.flip.as_deref()
    }

    /// The image of a face.
    ///
    /// # Panics
    /// When `index` is not below [`Self::len`].
    pub fn image(&self, index: usize) -> Result<Arc<Image>, LoaderError> {
        match &self.images[index] {
            Stored::Decoded(image) => Ok(Arc::clone(image)),
            Stored::File => load(&self.samples[index].image, &self.options).map(Arc::new),
        }
    }

    /// The unchanged window of a face.
    ///
    /// # Panics
    /// When `index` is not below [`Self::len`].
    pub fn crop(&self, index: usize) -> Crop {
        let s = &self.samples[index];
        Crop::face(s.centre, s.scale, self.options.padding)
    }

    /// Checks settings that belong together; [`Self::sample`] relies on it.
    pub fn check(&self, augment: &LandmarkAugment, spec: &SampleSpec) -> Result<(), LoaderError> {
        augment.validate()?;
        spec.check()?;
        if augment.flip_p > 0.0 && self.flip.is_none() {
            return Err(LoaderError::Setting(format!(
                "mirroring needs flip pairs, and {} points are no known set; give the pairs or set flip_p to 0",
                self.points
            )));
        }
        Ok(())
    }

    /// Sample `index` of `epoch` under `seed`.
    ///
    /// # Panics
    /// When `index` is not below [`Self::len`].
    pub fn sample(
        &self,
        seed: u64,
        epoch: u64,
        index: usize,
        augment: &LandmarkAugment,
        spec: &SampleSpec,
    ) -> Result<TrainSample, LoaderError> {
        self.check(augment, spec)?;
        let mut input = vec![0.0; 3 * spec.input.0 * spec.input.1];
        let mut target = vec![0.0; self.points * spec.heatmap.0 * spec.heatmap.1];
        let mut weight = vec![0.0; self.points];
        let (to_input, flipped) =
            self.sample_into(seed, epoch, index, augment, spec, &mut input, &mut target, &mut weight)?;
        Ok(TrainSample { input, target, weight, to_input, flipped })
    }

    fn sample_into(
        &self,
        seed: u64,
        epoch: u64,
        index: usize,
        augment: &LandmarkAugment,
        spec: &SampleSpec,
        input: &mut [f32],
        target: &mut [f32],
        weight: &mut [f32],
    ) -> Result<(Affine, bool), LoaderError> {
        let mut rng = Rng::new(seed, Purpose::Augment, epoch, index as u64);
        let draw = augment.draw(self.crop(index), &mut rng);
        let (h, w) = spec.input;
        let to_input = draw.crop.to_affine(w, h);
        let colour = ColourMap { matrix: draw.colour, mean: spec.mean, std: spec.std };
        let image = self.image(index)?;
        warp_bilinear_f32(&image, &to_input, w, h, &colour, input);
        let (scale, offset) = colour.affine();
        if draw.blur {
            augment::blur(input, h, w);
        }
        augment::noise(input, h * w, draw.noise, scale, &mut rng);
        augment::erase(input, h, w, &draw, scale, offset);

        let to_heatmap = to_input.then(&input_to_heatmap(spec.strides()));
        let (map_h, map_w) = spec.heatmap;
        for (i, &point) in self.samples[index].points.iter().enumerate() {
            let joint = match (&self.flip, draw.crop.flip) {
                (Some(permutation), true) => permutation[i],
                _ => i,
            };
            let map = &mut target[joint * map_h * map_w..(joint + 1) * map_h * map_w];
            weight[joint] = encode_gaussian(to_heatmap.apply(point), spec.sigma, map_h, map_w, map);
        }
        Ok((to_input, draw.crop.flip))
    }
}

fn load(path: &Path, options: &SetOptions) -> Result<Image, LoaderError> {
    let read = |source| LoaderError::Read { path: path.to_path_buf(), source };
    let size = std::fs::metadata(path).map_err(read)?.len();
    let image = |source| LoaderError::Image { path: path.to_path_buf(), source };
    if size > options.limits.max_file as u64 {
        let (bytes, limit) = (usize::try_from(size).unwrap_or(usize::MAX), options.limits.max_file);
        return Err(image(ImageError::FileTooLarge { bytes, limit }));
    }
    let bytes = std::fs::read(path).map_err(read)?;
    decode(&bytes, &options.limits, options.decode).map(|d| d.image).map_err(image)
}
