//! Faces of a landmark table.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{ImageOptions, Images, LoaderError, SampleSpec, Samples, TrainSample};
use crate::augment::{self, Draw, LandmarkAugment};
use crate::codec::heatmap::encode_gaussian;
use crate::dataset::faces::landmark_samples;
use crate::dataset::model::{DataError, LandmarkSample};
use crate::dataset::open::{self as door, Content, LabelSet, OpenOptions};
use crate::geometry::{Crop, input_to_heatmap};
use crate::rng::{Purpose, Rng};
use crate::sets::{PointSet, flip_permutation};
use hrnet_image::Image;
use hrnet_image::warp::{Affine, ColourMap, warp_bilinear_f32};

/// How a set is opened.
#[derive(Debug, Clone)]
pub struct SetOptions {
    /// How the images are opened. Those that fail are an error, or leave their faces out.
    pub images: ImageOptions,
    /// Window side over face size.
    pub padding: f64,
    /// Points that change places when mirrored; found from the number of points when `None`.
    pub flip_pairs: Option<Vec<(usize, usize)>>,
}

impl Default for SetOptions {
    fn default() -> Self {
        Self { images: ImageOptions::default(), padding: 1.25, flip_pairs: None }
    }
}

/// A table of faces with its images.
pub struct LandmarkSet {
    samples: Vec<LandmarkSample>,
    images: Images,
    /// Index in `images` of each sample.
    image_of: Vec<usize>,
    points: usize,
    flip: Option<Vec<usize>>,
    skipped: Vec<(PathBuf, String)>,
    options: SetOptions,
}

impl LandmarkSet {
    /// Reads labels of faces for training and decodes the images that fit the memory budget.
    pub fn open(labels: &Path, image_root: &Path, options: SetOptions) -> Result<Self, LoaderError> {
        let how = OpenOptions::wanting(door::Purpose::Train, &[Content::Points], Some(image_root));
        Self::of(door::open(labels, &how)?, options)
    }

    /// The faces of a set that was opened.
    pub fn of(set: LabelSet, options: SetOptions) -> Result<Self, LoaderError> {
        if set.is_embedded() {
            let path = set.path.display();
            let text =
                format!("{path}: images inside of the label file are not trained on; convert the set first");
            return Err(LoaderError::Setting(text));
        }
        let set = set.into_points()?;
        let points = set.common_category()?.points.len();
        let (faces, left_out) = landmark_samples(&set);
        if !(options.padding > 0.0 && options.padding.is_finite()) {
            return Err(LoaderError::Setting(format!("padding {} must be above zero", options.padding)));
        }
        let size = |i: usize| set.samples.get(i).and_then(|s| set.images.get(s.image)).and_then(|i| i.size);
        let files = faces.iter().map(|(i, s)| (s.image.as_path(), size(*i)));
        let images = Images::open_labelled(files, options.images.clone(), &|_, _| {})?;
        let (mut samples, mut image_of, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        skipped.extend(left_out.into_iter().map(|why| (set.path.clone(), why)));
        for (i, (_, s)) in faces.iter().enumerate() {
            if let Some(reason) = images.bad(i) {
                skipped.push((s.image.clone(), reason.to_string()));
                continue;
            }
            samples.push(s.clone());
            image_of.push(i);
        }
        if samples.is_empty() {
            let fix = "every point of a face must be labelled";
            return Err(LoaderError::Data(DataError::Empty { path: set.path, what: "faces", fix }));
        }
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
            None => PointSet::guess(points).map(PointSet::flip_permutation),
        };
        Ok(Self { samples, images, image_of, points, flip, skipped, options })
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
        self.images.get(self.image_of[index])
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
        if augment.half_body_p > 0.0 {
            let text = "half_body_p is for persons; faces have no lower body: set it to 0";
            return Err(LoaderError::Setting(text.into()));
        }
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
        self.make(seed, epoch, index, augment, spec)
    }

    fn make(
        &self,
        seed: u64,
        epoch: u64,
        index: usize,
        augment: &LandmarkAugment,
        spec: &SampleSpec,
    ) -> Result<TrainSample, LoaderError> {
        let mut rng = Rng::new(seed, Purpose::Augment, epoch, index as u64);
        let draw = augment.draw(self.crop(index), &mut rng);
        let (h, w) = spec.input;
        let to_input = draw.crop.to_affine(w, h);
        let mut input = vec![0.0; 3 * h * w];
        render(&*self.image(index)?, &to_input, &draw, spec.mean, spec.std, [h, w], &mut rng, &mut input);

        let to_heatmap = to_input.then(&input_to_heatmap(spec.strides()));
        let (map_h, map_w) = spec.heatmap;
        let mut target = vec![0.0; self.points * map_h * map_w];
        let mut weight = vec![0.0; self.points];
        for (i, &point) in self.samples[index].points.iter().enumerate() {
            let joint = match (&self.flip, draw.crop.flip) {
                (Some(permutation), true) => permutation[i],
                _ => i,
            };
            let map = &mut target[joint * map_h * map_w..(joint + 1) * map_h * map_w];
            weight[joint] = encode_gaussian(to_heatmap.apply(point), spec.sigma, map_h, map_w, map);
        }
        Ok(TrainSample { input, target, weight, to_input, flipped: draw.crop.flip })
    }
}

/// The input of a sample: the warp with its colours, then blur, noise and the erased rectangle.
pub(super) fn render(
    image: &Image,
    to_input: &Affine,
    draw: &Draw,
    mean: [f32; 3],
    std: [f32; 3],
    [h, w]: [usize; 2],
    rng: &mut Rng,
    input: &mut [f32],
) {
    let colour = ColourMap { matrix: draw.colour, mean, std };
    warp_bilinear_f32(image, to_input, w, h, &colour, input);
    let (scale, offset) = colour.scale_and_offset();
    if draw.blur {
        augment::blur(input, h, w);
    }
    augment::noise(input, h * w, draw.noise, scale, rng);
    augment::erase(input, h, w, draw.erase, scale, offset);
}

/// Faces as training samples.
pub struct Landmarks {
    /// The faces.
    pub set: Arc<LandmarkSet>,
    /// Changes of the samples.
    pub augment: LandmarkAugment,
    /// Form of the samples.
    pub spec: SampleSpec,
}

impl Samples for Landmarks {
    type Sample = TrainSample;

    fn len(&self) -> usize {
        self.set.len()
    }

    fn check(&self) -> Result<(), LoaderError> {
        self.set.check(&self.augment, &self.spec)
    }

    fn sample(&self, seed: u64, epoch: u64, index: usize) -> Result<TrainSample, LoaderError> {
        self.set.make(seed, epoch, index, &self.augment, &self.spec)
    }
}
