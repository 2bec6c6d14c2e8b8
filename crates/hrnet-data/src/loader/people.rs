//! Whole pictures with all their persons, for bottom-up pose (HigherHRNet).
//!
//! A window about the middle of the picture, as wide as its short side times the drawn scale, is turned and shifted; picture,
//! points and mask go through one affine map. Targets are at a quarter and at a half of the input: heat maps with the Gaussians of
//! all persons (where they overlap the larger value), a mask that is 0 on persons without labels, and for the tags the pixel
//! of every joint of every person, at a quarter.
//!
//! As published, a Gaussian sits on a whole pixel, the truncated position: what [`crate::codec::bottom_up`] gives back. Two things
//! differ from the published loader: a mirrored picture's points are mirrored about the same axis as its pixels (published:
//! up to one pixel off), and what lies outside of the picture is background that counts (published: it does not).

use std::sync::Arc;

use super::{ImageOptions, Images, LoaderError, SampleSpec, Samples};
use crate::augment::BottomUpAugment;
use crate::dataset::model::{Category, PairSource, PoseSample, PoseSet};
use crate::geometry::{CropRule, pose_affine};
use crate::rng::{Purpose, Rng};
use hrnet_image::Image;
use hrnet_image::warp::{Affine, ColourMap, warp_bilinear_f32};

/// Input sizes over map sizes.
const STRIDES: [usize; 2] = [4, 2];

/// A joint of a person: its number, and the pixel at a quarter of the input.
pub type JointPixel = (usize, usize, usize);

/// Targets of one output.
#[derive(Debug, Clone, PartialEq)]
pub struct PeopleMaps {
    /// Height and width.
    pub size: [usize; 2],
    /// `[joints, h, w]`.
    pub maps: Vec<f32>,
    /// `[h, w]`: 0 on persons without labels, else 1.
    pub mask: Vec<f32>,
}

/// A picture with its persons.
#[derive(Debug, Clone, PartialEq)]
pub struct PeopleSample {
    /// `[3, h, w]`, normalised.
    pub input: Vec<f32>,
    /// At a quarter and at a half of the input.
    pub outputs: [PeopleMaps; 2],
    /// The joints of every person that has any within the input.
    pub people: Vec<Vec<JointPixel>>,
    /// From image pixels to input pixels.
    pub to_input: Affine,
    /// Whether the input is mirrored.
    pub flipped: bool,
}

/// Pictures with persons as training samples.
pub struct People {
    set: PoseSet,
    category: Category,
    /// Image of the set, and its samples.
    chosen: Vec<(usize, Vec<usize>)>,
    images: Images,
    augment: BottomUpAugment,
    /// Sizes and colours; `heatmap` is not read, the maps follow from the input.
    spec: SampleSpec,
}

impl People {
    /// The pictures of a set with at least one labelled person. Outlines of the set, where it was read with them, say where
    /// persons without labels are; otherwise their boxes do.
    pub fn open(
        set: PoseSet,
        images: ImageOptions,
        augment: BottomUpAugment,
        spec: SampleSpec,
    ) -> Result<Self, LoaderError> {
        let category = set.common_category()?.clone();
        let labelled = |i: &usize| set.samples[*i].labelled() > 0 && !set.samples[*i].crowd;
        let chosen: Vec<(usize, Vec<usize>)> =
            set.by_image().into_iter().enumerate().filter(|(_, list)| list.iter().any(labelled)).collect();
        if chosen.is_empty() {
            return Err(LoaderError::Setting(format!(
                "{}: none of the {} persons has a labelled point",
                set.path.display(),
                set.samples.len()
            )));
        }
        let files = chosen.iter().map(|c| (set.images[c.0].file.as_path(), set.images[c.0].size));
        let images = Images::open_labelled(files, images, &|_, _| {})?;
        Ok(Self { set, category, chosen, images, augment, spec })
    }

    /// Names, lines and mirror pairs.
    pub fn category(&self) -> &Category {
        &self.category
    }

    /// The annotations.
    pub fn set(&self) -> &PoseSet {
        &self.set
    }

    /// The picture of a sample.
    ///
    /// # Panics
    /// When `index` is out of range.
    pub fn image(&self, index: usize) -> Result<Arc<Image>, LoaderError> {
        self.images.get(index)
    }

    /// The annotations, the picture of the set of each sample, and the images of the samples.
    pub fn into_parts(self) -> (PoseSet, Vec<usize>, Images) {
        (self.set, self.chosen.into_iter().map(|c| c.0).collect(), self.images)
    }

    /// The drawn map from image pixels to input pixels, and whether it mirrors.
    fn draw(&self, size: [usize; 2], rng: &mut Rng) -> Result<(Affine, bool), LoaderError> {
        let (h, w) = self.spec.input;
        let a = &self.augment;
        let short = size[0].min(size[1]) as f64 * w as f64 / w.min(h) as f64;
        let side = short * rng.range(a.scale[0], a.scale[1]);
        let rotation = rng.range(-a.rotation_deg, a.rotation_deg);
        let mut shift = || side * rng.range(-a.shift, a.shift);
        let (dx, dy) = (shift(), shift());
        let flip = rng.coin(a.flip_p);
        let middle = |len: usize| (len as f64 / 2.0 + 0.5).trunc();
        let rule = CropRule {
            centre: [(middle(size[0]) + dx) as f32, (middle(size[1]) + dy) as f32],
            scale: [(side / 200.0) as f32; 2],
        };
        let map = pose_affine(&rule, rotation, w, h);
        let map = map.ok_or_else(|| LoaderError::Setting("a picture without pixels".into()))?;
        let mirror = Affine([[-1.0, 0.0, w as f64 - 1.0], [0.0, 1.0, 0.0]]);
        Ok((if flip { map.then(&mirror) } else { map }, flip))
    }

    /// Where persons without labels are, row by row; nothing where there are none.
    fn unlabelled(&self, samples: &[usize], [w, h]: [usize; 2]) -> Option<Vec<bool>> {
        let mut out: Option<Vec<bool>> = None;
        for sample in samples.iter().map(|&i| &self.set.samples[i]).filter(|s| s.crowd || s.labelled() == 0) {
            let area = out.get_or_insert_with(|| vec![false; w * h]);
            match sample.segmentation.as_ref().and_then(|s| s.mask(w, h)) {
                Some(mask) => area.iter_mut().zip(mask).for_each(|(a, m)| *a |= m),
                None => fill_box(area, [w, h], sample),
            }
        }
        out
    }

    fn targets(
        &self,
        stride: usize,
        people: &[Vec<(usize, [f64; 2])>],
        to_input: &Affine,
        unlabelled: Option<&[bool]>,
        image: [usize; 2],
    ) -> PeopleMaps {
        let (in_h, in_w) = self.spec.input;
        let (h, w) = (in_h / stride, in_w / stride);
        let mut maps = vec![0.0; self.category.points.len() * h * w];
        for &(joint, at) in people.iter().flatten() {
            if let Some((x, y)) = pixel(at, stride, [w, h]) {
                let map = &mut maps[joint * h * w..(joint + 1) * h * w];
                add_gaussian([x, y], self.spec.sigma, [w, h], map);
            }
        }
        let mut mask = vec![1.0; h * w];
        if let (Some(area), Some(back)) = (unlabelled, to_input.inverse()) {
            for (i, m) in mask.iter_mut().enumerate() {
                // The middle of the square that the pixel stands for.
                let at = [(i % w) as f64 + 0.5, (i / w) as f64 + 0.5].map(|v| v * stride as f64);
                let [x, y] = back.apply(at).map(|v| (v + 0.5).floor());
                let inside = x >= 0.0 && y >= 0.0 && x < image[0] as f64 && y < image[1] as f64;
                if inside && area[y as usize * image[0] + x as usize] {
                    *m = 0.0;
                }
            }
        }
        PeopleMaps { size: [h, w], maps, mask }
    }
}

/// The pixel of a map for a position in the input.
fn pixel(at: [f64; 2], stride: usize, [w, h]: [usize; 2]) -> Option<(usize, usize)> {
    let [x, y] = at.map(|v| v / stride as f64);
    let inside = x >= 0.0 && y >= 0.0 && x < w as f64 && y < h as f64;
    inside.then_some((x as usize, y as usize))
}

/// The larger of the map and a Gaussian on a whole pixel, within 3 deviations and a pixel of it.
fn add_gaussian([cx, cy]: [usize; 2], sigma: f64, [w, h]: [usize; 2], map: &mut [f32]) {
    let reach = (3.0 * sigma + 1.0) as usize;
    for y in cy.saturating_sub(reach)..(cy + reach + 1).min(h) {
        for x in cx.saturating_sub(reach)..(cx + reach + 1).min(w) {
            let (dx, dy) = (x as f64 - cx as f64, y as f64 - cy as f64);
            let value = (-(dx * dx + dy * dy) / (2.0 * sigma * sigma)).exp() as f32;
            let old = &mut map[y * w + x];
            *old = old.max(value);
        }
    }
}

/// Marks the box of a person.
fn fill_box(area: &mut [bool], [w, h]: [usize; 2], sample: &PoseSample) {
    let Some([x, y, bw, bh]) = sample.bbox else { return };
    let clip = |v: f64, most: usize| v.clamp(0.0, most as f64) as usize;
    let (x0, x1) = (clip(x, w), clip((x + bw).ceil(), w));
    let (y0, y1) = (clip(y, h), clip((y + bh).ceil(), h));
    for row in area.chunks_exact_mut(w).take(y1).skip(y0) {
        row[x0..x1.max(x0)].fill(true);
    }
}

impl Samples for People {
    type Sample = PeopleSample;

    fn len(&self) -> usize {
        self.chosen.len()
    }

    fn check(&self) -> Result<(), LoaderError> {
        let fail = |text: String| Err(LoaderError::Setting(text));
        self.augment.validate()?;
        self.spec.check()?;
        let (h, w) = self.spec.input;
        if !h.is_multiple_of(64) || !w.is_multiple_of(64) {
            return fail(format!("an input of {h}x{w}: bottom-up networks want multiples of 64"));
        }
        if self.augment.flip_p > 0.0 && self.category.pairs_from == PairSource::None {
            return fail(format!(
                "{}: nothing says which points change places in a mirrored image; add flip_pairs to the category, \
                 name the points left_... and right_..., or set flip_p to 0",
                self.set.path.display()
            ));
        }
        Ok(())
    }

    fn sample(&self, seed: u64, epoch: u64, index: usize) -> Result<PeopleSample, LoaderError> {
        let image = self.image(index)?;
        let size = [image.width(), image.height()];
        let mut rng = Rng::new(seed, Purpose::Augment, epoch, index as u64);
        let (to_input, flipped) = self.draw(size, &mut rng)?;
        let (h, w) = self.spec.input;
        let matrix = self.augment.colour.draw(&mut rng);
        let colour = ColourMap { matrix, mean: self.spec.mean, std: self.spec.std };
        let mut input = vec![0.0; 3 * h * w];
        warp_bilinear_f32(&image, &to_input, w, h, &colour, &mut input);

        let samples = &self.chosen[index].1;
        let permutation = self.category.flip_permutation();
        let people: Vec<Vec<(usize, [f64; 2])>> = samples
            .iter()
            .map(|&i| &self.set.samples[i])
            .filter(|s| !s.crowd)
            .map(|s| {
                let labelled = s.points.iter().enumerate().take(permutation.len());
                labelled
                    .filter(|(_, p)| p.visibility.labelled())
                    .map(|(j, p)| (if flipped { permutation[j] } else { j }, to_input.apply(p.at)))
                    .collect()
            })
            .collect();
        let unlabelled = self.unlabelled(samples, size);
        let outputs =
            STRIDES.map(|stride| self.targets(stride, &people, &to_input, unlabelled.as_deref(), size));
        let [map_h, map_w] = outputs[0].size;
        let people = people
            .iter()
            .map(|joints| {
                let place = |&(j, at): &(usize, [f64; 2])| {
                    pixel(at, STRIDES[0], [map_w, map_h]).map(|(x, y)| (j, x, y))
                };
                joints.iter().filter_map(place).collect::<Vec<JointPixel>>()
            })
            .filter(|joints| !joints.is_empty())
            .collect();
        Ok(PeopleSample { input, outputs, people, to_input, flipped })
    }
}
