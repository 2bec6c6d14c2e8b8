//! Crops of pictures with a class per pixel.
//!
//! Size, aspect, rotation, mirror and place of the crop are one affine map; the picture goes through it bilinearly, the classes
//! by the nearest pixel. What lies outside the picture is black and ignored.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::{ImageOptions, Images, LoaderError, Samples, images};
use crate::augment::SegmentAugment;
use crate::dataset::label_map::{IGNORE, LabelMap};
use crate::dataset::model::{DataError, SegSet};
use crate::geometry::Crop;
use crate::rng::{Purpose, Rng};
use hrnet_image::mask_png::decode_ids;
use hrnet_image::warp::{Affine, ColourMap, warp_bilinear_f32};
use hrnet_image::{Image, Limits};

/// The form of segmentation samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SegmentSpec {
    /// Height and width of the crop.
    pub input: (usize, usize),
    /// Channel means, values in 0..1.
    pub mean: [f32; 3],
    /// Channel deviations, values in 0..1.
    pub std: [f32; 3],
}

/// A crop.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentSample {
    /// `[3, h, w]`, normalised.
    pub input: Vec<f32>,
    /// `[h, w]`, class ids; 255 is ignored.
    pub labels: Vec<u8>,
    /// From image pixels to input pixels.
    pub to_input: Affine,
    /// Whether the crop is mirrored.
    pub flipped: bool,
}

/// Class ids of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelImage {
    /// Width.
    pub width: usize,
    /// Height.
    pub height: usize,
    /// One per pixel; 255 is ignored.
    pub classes: Vec<u8>,
}

/// Pictures and class maps as training samples.
pub struct Segments {
    set: SegSet,
    images: Images,
    labels: Vec<Option<Arc<LabelImage>>>,
    map: LabelMap,
    limits: Limits,
    augment: SegmentAugment,
    spec: SegmentSpec,
}

impl Segments {
    /// Decodes pictures and labels as far as the memory budget allows. Every picture must have labels; numbers are turned into
    /// class ids by `map`, and numbers that it does not know are an error.
    pub fn open(
        set: SegSet,
        map: LabelMap,
        options: ImageOptions,
        augment: SegmentAugment,
        spec: SegmentSpec,
    ) -> Result<Self, LoaderError> {
        if let Some(bare) = set.samples.iter().find(|s| s.label.is_none()) {
            return Err(LoaderError::Setting(format!(
                "{}, line {}: {} has no label image; name it after the image",
                set.path.display(),
                bare.line,
                bare.image.display()
            )));
        }
        let limits = options.limits.clone();
        // A label needs a third of its picture's memory.
        let budget = options.memory_budget;
        let options = ImageOptions { memory_budget: budget / 4 * 3, ..options };
        let files: Vec<&Path> = set.samples.iter().map(|s| s.image.as_path()).collect();
        let images = Images::open(files, options, &|_, _| {})?;
        let mut made = Self { set, images, labels: Vec::new(), map, limits, augment, spec };
        let all: Vec<usize> = (0..made.set.samples.len()).collect();
        let mut used = 0usize;
        for chunk in all.chunks(64) {
            if used >= budget / 4 {
                break;
            }
            let read: Vec<_> = chunk.par_iter().map(|&i| made.read_labels(i)).collect();
            for labels in read {
                let labels = labels?;
                used = used.saturating_add(labels.classes.len());
                made.labels.push((used <= budget / 4).then(|| Arc::new(labels)));
            }
        }
        made.labels.resize(all.len(), None);
        Ok(made)
    }

    fn read_labels(&self, index: usize) -> Result<LabelImage, LoaderError> {
        let Some(path) = &self.set.samples[index].label else {
            return Err(LoaderError::Setting(format!("picture {index} has no labels")));
        };
        let bytes = images::read(path, &self.limits)?;
        let raw = decode_ids(&bytes, &self.limits)
            .map_err(|source| LoaderError::Image { path: path.clone(), source })?;
        if let Some((number, count)) = self.map.unknown(&raw.ids).first() {
            return Err(LoaderError::Data(DataError::Format {
                path: path.clone(),
                detail: format!(
                    "{count} pixels have the number {number}, which is no class (0 to {}) and not the ignored one; \
                     correct the labels, or the classes and the ignored number of the configuration",
                    self.map.table.len().saturating_sub(1)
                ),
            }));
        }
        let classes = self.map.map(&raw.ids);
        Ok(LabelImage { width: raw.width, height: raw.height, classes })
    }

    /// The picture of a sample.
    ///
    /// # Panics
    /// When `index` is out of range.
    pub fn image(&self, index: usize) -> Result<Arc<Image>, LoaderError> {
        self.images.get(index)
    }

    /// The file of a picture.
    ///
    /// # Panics
    /// When `index` is out of range.
    pub fn file(&self, index: usize) -> &Path {
        self.images.path(index)
    }

    /// The class ids of a sample, as large as its picture.
    ///
    /// # Panics
    /// When `index` is out of range.
    pub fn labels(&self, index: usize) -> Result<Arc<LabelImage>, LoaderError> {
        match &self.labels[index] {
            Some(labels) => Ok(Arc::clone(labels)),
            None => self.read_labels(index).map(Arc::new),
        }
    }

    /// Pixels of each class over the whole set.
    pub fn class_pixels(&self, classes: usize) -> Result<Vec<u64>, LoaderError> {
        let mut counts = vec![0u64; classes];
        for i in 0..self.set.samples.len() {
            let labels = self.labels(i)?;
            for &c in &labels.classes {
                if let Some(n) = counts.get_mut(usize::from(c)) {
                    *n += 1;
                }
            }
        }
        Ok(counts)
    }

    /// The window of a sample: `input` pixels of the scaled picture, where the draw puts it.
    fn window(&self, labels: &LabelImage, rng: &mut Rng) -> Crop {
        let (h, w) = self.spec.input;
        let a = &self.augment;
        let scale = rng.range(a.scale[0].ln(), a.scale[1].ln()).exp();
        let aspect = rng.range(1.0 - a.aspect, 1.0 + a.aspect).sqrt();
        let side = [w as f64 / (scale * aspect), h as f64 * aspect / scale];
        let (u, v) = (rng.uniform(), rng.uniform());
        let (rare, which, pick) = (rng.coin(a.rare_p), rng.uniform(), rng.uniform());
        let rotation_deg = rng.range(-a.rotation_deg, a.rotation_deg);
        let flip = rng.coin(a.flip_p);
        let size = [labels.width as f64, labels.height as f64];
        // A window within the picture, or the picture within the window.
        let place = |axis: usize, t: f64| {
            let (a, b) = (side[axis] / 2.0, size[axis] - side[axis] / 2.0);
            let (low, high) = (a.min(b), a.max(b));
            low + (high - low) * t - 0.5
        };
        let mut centre = [place(0, u), place(1, v)];
        if rare && let Some(pixel) = pixel_of_a_class(labels, which, pick) {
            // About the pixel, but not at the same place in the crop each time, and inside where the crop fits.
            for (axis, t) in [u, v].into_iter().enumerate() {
                let wanted = pixel[axis] + (t - 0.5) * 0.7 * side[axis];
                let (low, high) = (place(axis, 0.0), place(axis, 1.0));
                centre[axis] = wanted.clamp(low, high);
            }
        }
        Crop { rotation_deg, flip, ..Crop::new(centre, side[0], side[1]) }
    }
}

/// A pixel of a class: `which` chooses among the classes of the picture, `pick` among its pixels; both in `[0, 1)`.
fn pixel_of_a_class(labels: &LabelImage, which: f64, pick: f64) -> Option<[f64; 2]> {
    let mut counts = [0u32; 256];
    labels.classes.iter().for_each(|&c| counts[usize::from(c)] += 1);
    counts[usize::from(IGNORE)] = 0;
    let present: Vec<usize> = (0..256).filter(|&c| counts[c] > 0).collect();
    let class = *present.get((which * present.len() as f64) as usize)?;
    let nth = (pick * f64::from(counts[class])) as usize;
    let found = labels.classes.iter().enumerate().filter(|(_, c)| usize::from(**c) == class).nth(nth)?;
    Some([(found.0 % labels.width) as f64, (found.0 / labels.width) as f64])
}

/// The class of the nearest pixel; 255 outside the picture.
fn warp_nearest(labels: &LabelImage, to_output: &Affine, width: usize, height: usize) -> Vec<u8> {
    let mut out = vec![IGNORE; width * height];
    let Some(back) = to_output.inverse() else { return out };
    let (w, h) = (labels.width as f64, labels.height as f64);
    for (y, row) in out.chunks_exact_mut(width).enumerate() {
        for (x, class) in row.iter_mut().enumerate() {
            let [sx, sy] = back.apply([x as f64, y as f64]);
            let (sx, sy) = ((sx + 0.5).floor(), (sy + 0.5).floor());
            if sx >= 0.0 && sy >= 0.0 && sx < w && sy < h {
                *class = labels.classes[sy as usize * labels.width + sx as usize];
            }
        }
    }
    out
}

impl Samples for Segments {
    type Sample = SegmentSample;

    fn len(&self) -> usize {
        self.set.samples.len()
    }

    fn check(&self) -> Result<(), LoaderError> {
        self.augment.validate()?;
        let (h, w) = self.spec.input;
        if !(1..=8192).contains(&h) || !(1..=8192).contains(&w) {
            return Err(LoaderError::Setting(format!("a crop of {w}x{h}: both sides must be 1 to 8192")));
        }
        Ok(())
    }

    fn sample(&self, seed: u64, epoch: u64, index: usize) -> Result<SegmentSample, LoaderError> {
        let (image, labels) = (self.image(index)?, self.labels(index)?);
        if (image.width(), image.height()) != (labels.width, labels.height) {
            return Err(LoaderError::Setting(format!(
                "{} has {}x{} pixels, its labels {}x{}; make them the same size",
                self.file(index).display(),
                image.width(),
                image.height(),
                labels.width,
                labels.height
            )));
        }
        let mut rng = Rng::new(seed, Purpose::Augment, epoch, index as u64);
        let (h, w) = self.spec.input;
        let crop = self.window(&labels, &mut rng);
        let to_input = crop.to_affine(w, h);
        let matrix = self.augment.colour.draw(&mut rng);
        let colour = ColourMap { matrix, mean: self.spec.mean, std: self.spec.std };
        let mut input = vec![0.0; 3 * h * w];
        warp_bilinear_f32(&image, &to_input, w, h, &colour, &mut input);
        let mut classes = warp_nearest(&labels, &to_input, w, h);
        if crop.flip {
            for &(a, b) in self.map.flip_pairs {
                for c in &mut classes {
                    *c = if *c == a {
                        b
                    } else if *c == b {
                        a
                    } else {
                        *c
                    };
                }
            }
        }
        Ok(SegmentSample { input, labels: classes, to_input, flipped: crop.flip })
    }
}
