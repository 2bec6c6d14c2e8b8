//! Pictures with one class each.

use std::path::Path;
use std::sync::Arc;

use super::{ImageOptions, Images, LoaderError, Samples};
use crate::augment::{self, ClassAugment};
use crate::dataset::model::ClassSet;
use crate::geometry::Crop;
use crate::rng::{Purpose, Rng};
use hrnet_image::Image;
use hrnet_image::warp::{Affine, ColourMap, warp_bilinear_f32};

/// The form of classification samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassSpec {
    /// Height and width of the input.
    pub input: (usize, usize),
    /// Channel means, values in 0..1.
    pub mean: [f32; 3],
    /// Channel deviations, values in 0..1.
    pub std: [f32; 3],
}

/// A picture and its class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassSample {
    /// `[3, h, w]`, normalised.
    pub input: Vec<f32>,
    /// The class.
    pub class: usize,
    /// From image pixels to input pixels.
    pub to_input: Affine,
}

/// Pictures and classes as training samples.
pub struct Classes {
    set: ClassSet,
    images: Images,
    augment: ClassAugment,
    spec: ClassSpec,
}

impl Classes {
    /// Decodes the pictures as far as the memory budget allows.
    pub fn open(
        set: ClassSet,
        options: ImageOptions,
        augment: ClassAugment,
        spec: ClassSpec,
    ) -> Result<Self, LoaderError> {
        let files: Vec<&Path> = set.samples.iter().map(|s| s.image.as_path()).collect();
        let images = Images::open(files, options, &|_, _| {})?;
        Ok(Self { set, images, augment, spec })
    }

    /// The set.
    pub fn set(&self) -> &ClassSet {
        &self.set
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

    /// A part of the picture with the drawn area and aspect; where it does not fit, the largest part in the middle with an
    /// aspect within the range (torchvision's rule).
    fn window(&self, [w, h]: [f64; 2], rng: &mut Rng) -> Crop {
        let a = &self.augment;
        let mut side = None;
        // Ten draws are always made, so that what follows does not depend on the picture's size.
        for _ in 0..10 {
            let area = rng.range(a.area[0], a.area[1]) * w * h;
            let ratio = rng.range(a.ratio[0].ln(), a.ratio[1].ln()).exp();
            let (x, y) = ((area * ratio).sqrt(), (area / ratio).sqrt());
            side = side.or((x <= w && y <= h).then_some([x, y]));
        }
        let (u, v) = (rng.uniform(), rng.uniform());
        let flip = rng.coin(a.flip_p);
        let [x, y] = side.unwrap_or_else(|| {
            let ratio = (w / h).clamp(a.ratio[0], a.ratio[1]);
            [w.min(h * ratio), h.min(w / ratio)]
        });
        let centre = [x / 2.0 + (w - x) * u - 0.5, y / 2.0 + (h - y) * v - 0.5];
        Crop { flip, ..Crop::new(centre, x, y) }
    }
}

impl Samples for Classes {
    type Sample = ClassSample;

    fn len(&self) -> usize {
        self.set.samples.len()
    }

    fn check(&self) -> Result<(), LoaderError> {
        self.augment.validate()?;
        let (h, w) = self.spec.input;
        if !(1..=8192).contains(&h) || !(1..=8192).contains(&w) {
            return Err(LoaderError::Setting(format!("an input of {w}x{h}: both sides must be 1 to 8192")));
        }
        Ok(())
    }

    fn sample(&self, seed: u64, epoch: u64, index: usize) -> Result<ClassSample, LoaderError> {
        let image = self.image(index)?;
        let mut rng = Rng::new(seed, Purpose::Augment, epoch, index as u64);
        let (h, w) = self.spec.input;
        let crop = self.window([image.width() as f64, image.height() as f64], &mut rng);
        let to_input = crop.to_affine(w, h);
        let matrix = self.augment.colour.draw(&mut rng);
        let erase = augment::draw_erase(self.augment.erase_p, self.augment.erase_size, &mut rng);
        let colour = ColourMap { matrix, mean: self.spec.mean, std: self.spec.std };
        let mut input = vec![0.0; 3 * h * w];
        warp_bilinear_f32(&image, &to_input, w, h, &colour, &mut input);
        let (scale, offset) = colour.scale_and_offset();
        augment::erase(&mut input, h, w, erase, scale, offset);
        Ok(ClassSample { input, class: self.set.samples[index].class, to_input })
    }
}
