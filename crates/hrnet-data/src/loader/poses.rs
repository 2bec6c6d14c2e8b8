//! Persons (or animals) in boxes, for top-down pose.
//!
//! The window of a person is the middle of the box, the box grown on one axis to the aspect of the input, times the padding.
//! Scale, rotation, shift, mirror and the choice of half a body change the window; picture and points then go through one
//! affine map each, straight from the decoded image.

use std::path::Path;
use std::sync::Arc;

use super::landmarks::render;
use super::{ImageOptions, Images, LoaderError, Samples, TrainSample};
use crate::augment::LandmarkAugment;
use crate::codec::heatmap::encode_gaussian;
use crate::codec::udp;
use crate::dataset::model::{Category, PairSource, PosePoint, PoseSample, PoseSet, extent};
use crate::geometry::{Convention, Crop, grow_to_aspect, input_to_heatmap, udp_affine};
use crate::rng::{Purpose, Rng};
use hrnet_image::Image;
use hrnet_image::warp::Affine;

/// Half a body needs so many labelled points on the person.
const HALF_BODY_POINTS: usize = 8;
/// Window of half a body over the extent of its points (the official 1.5).
const HALF_BODY_PADDING: f64 = 1.5;

/// The form of pose samples.
#[derive(Debug, Clone, PartialEq)]
pub struct PoseSpec {
    /// Sizes, colours and the deviation of the targets.
    pub form: super::SampleSpec,
    /// Window over box.
    pub padding: f64,
    /// How maps, input and image relate.
    pub convention: Convention,
    /// UDP's combined head: three maps per point, a disc and the offsets to the point.
    pub combined: bool,
    /// Weight of each point; all 1 when empty.
    pub joint_weights: Vec<f32>,
}

/// The window of a box `[x, y, w, h]` at the aspect of an input of `input_w` by `input_h`.
pub fn pose_window([x, y, w, h]: [f64; 4], [input_h, input_w]: [usize; 2], padding: f64) -> Crop {
    let aspect = input_w as f64 / input_h as f64;
    let [w_full, h_full] = grow_to_aspect([w, h], aspect);
    Crop::new([x + w / 2.0, y + h / 2.0], w_full * padding, h_full * padding)
}

/// Persons as training samples.
pub struct Poses {
    set: PoseSet,
    category: Category,
    /// Sample of the set, its box, and its image in `images`.
    chosen: Vec<(usize, [f64; 4], usize)>,
    images: Images,
    /// Whether each point belongs to the upper body; empty where that cannot be told.
    upper: Vec<bool>,
    augment: LandmarkAugment,
    spec: PoseSpec,
}

impl Poses {
    /// The persons of a set that can be learned from: a box or points, at least one label, no crowd.
    pub fn open(
        set: PoseSet,
        images: ImageOptions,
        augment: LandmarkAugment,
        spec: PoseSpec,
    ) -> Result<Self, LoaderError> {
        let category = set.common_category()?.clone();
        let usable =
            |s: &PoseSample| s.frame().filter(|b| b[2] > 0.0 && b[3] > 0.0 && !s.crowd && s.labelled() > 0);
        let mut chosen: Vec<(usize, [f64; 4])> =
            set.samples.iter().enumerate().filter_map(|(i, s)| usable(s).map(|b| (i, b))).collect();
        if chosen.is_empty() {
            return Err(LoaderError::Setting(format!(
                "{}: none of the {} persons has a box and a labelled point",
                set.path.display(),
                set.samples.len()
            )));
        }
        let files = chosen.iter().map(|c| {
            let image = &set.images[set.samples[c.0].image];
            (image.file.as_path(), image.size)
        });
        let images = Images::open_labelled(files, images, &|_, _| {})?;
        let chosen: Vec<_> = chosen
            .drain(..)
            .enumerate()
            .filter(|(k, _)| images.bad(*k).is_none())
            .map(|(k, (i, bbox))| (i, bbox, k))
            .collect();
        let upper = upper_body(&category.points);
        Ok(Self { set, category, chosen, images, upper, augment, spec })
    }

    /// Names, lines and mirror pairs.
    pub fn category(&self) -> &Category {
        &self.category
    }

    /// The annotated person of a sample, with the box that is used.
    ///
    /// # Panics
    /// When `index` is out of range.
    pub fn person(&self, index: usize) -> (&PoseSample, [f64; 4]) {
        let (i, bbox, _) = self.chosen[index];
        (&self.set.samples[i], bbox)
    }

    /// The image of a sample.
    ///
    /// # Panics
    /// When `index` is out of range.
    pub fn image(&self, index: usize) -> Result<Arc<Image>, LoaderError> {
        self.images.get(self.chosen[index].2)
    }

    /// The image file of a sample.
    ///
    /// # Panics
    /// When `index` is out of range.
    pub fn file(&self, index: usize) -> &Path {
        self.images.path(self.chosen[index].2)
    }

    /// The annotations.
    pub fn set(&self) -> &PoseSet {
        &self.set
    }

    /// The form of the samples.
    pub fn spec(&self) -> &PoseSpec {
        &self.spec
    }

    /// From image pixels to input pixels for a window.
    pub fn to_input(&self, crop: &Crop) -> Affine {
        let (h, w) = self.spec.form.input;
        match self.spec.convention {
            Convention::Centres => return crop.to_affine(w, h),
            Convention::Corners => {
                return crop.to_affine(w, h).then(&Affine([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]]));
            }
            Convention::Unbiased => {}
        }
        // A window without area is black in either measure. UDP turns the picture the other way round.
        let size = [crop.side_w, crop.side_h];
        let Some(map) = udp_affine(crop.centre, size, -crop.rotation_deg, w, h) else {
            return crop.to_affine(w, h);
        };
        match crop.flip {
            true => map.then(&Affine([[-1.0, 0.0, w as f64 - 1.0], [0.0, 1.0, 0.0]])),
            false => map,
        }
    }

    /// From input pixels to heat-map pixels.
    pub fn to_heatmap(&self) -> Affine {
        let form = &self.spec.form;
        let areas = input_to_heatmap(form.strides());
        match self.spec.convention {
            Convention::Centres => areas,
            Convention::Corners => {
                let [sx, sy] = form.strides();
                Affine([[1.0 / sx, 0.0, 0.0], [0.0, 1.0 / sy, 0.0]])
            }
            Convention::Unbiased => {
                let wide =
                    udp::input_to_heatmap([form.input.1, form.input.0], [form.heatmap.1, form.heatmap.0]);
                wide.unwrap_or(areas)
            }
        }
    }

    /// The window of half a body, or `base`.
    fn half_body(&self, person: &PoseSample, base: Crop, rng: &mut Rng) -> Crop {
        let (wanted, top) = (rng.coin(self.augment.half_body_p), rng.coin(0.5));
        if !wanted || self.upper.is_empty() || person.labelled() <= HALF_BODY_POINTS {
            return base;
        }
        let part = |upper: bool| -> Vec<[f64; 2]> {
            let labelled = person.points.iter().zip(&self.upper);
            labelled.filter(|(p, u)| p.visibility.labelled() && **u == upper).map(|(p, _)| p.at).collect()
        };
        let (first, other) = (part(top), part(!top));
        let points = if first.len() > 2 { first } else { other };
        let Some([x0, y0, x1, y1]) = extent(points.iter().copied()).filter(|_| points.len() > 2) else {
            return base;
        };
        let bbox = [x0, y0, x1 - x0, y1 - y0];
        // Points on one line make no window.
        if bbox[2] < 1.0 || bbox[3] < 1.0 {
            return base;
        }
        let (h, w) = self.spec.form.input;
        pose_window(bbox, [h, w], HALF_BODY_PADDING)
    }
}

/// Which points are above the hips, by their names; empty unless both halves have at least two points.
fn upper_body(names: &[String]) -> Vec<bool> {
    const LOWER: [&str; 8] = ["hip", "knee", "ankle", "toe", "heel", "foot", "hock", "tail"];
    let upper: Vec<bool> = names
        .iter()
        .map(|name| {
            let name = name.to_lowercase();
            !LOWER.iter().any(|word| name.contains(word))
        })
        .collect();
    let count = upper.iter().filter(|u| **u).count();
    if count >= 2 && upper.len() - count >= 2 { upper } else { Vec::new() }
}

impl Samples for Poses {
    type Sample = TrainSample;

    fn len(&self) -> usize {
        self.chosen.len()
    }

    fn check(&self) -> Result<(), LoaderError> {
        let fail = |text: String| Err(LoaderError::Setting(text));
        self.augment.validate()?;
        self.spec.form.check()?;
        if !(self.spec.padding > 0.0 && self.spec.padding.is_finite()) {
            return fail(format!("padding {} must be above zero", self.spec.padding));
        }
        if self.augment.flip_p > 0.0 && self.category.pairs_from == PairSource::None {
            return fail(format!(
                "{}: nothing says which points change places in a mirrored image; add flip_pairs to the category, \
                 name the points left_... and right_..., or set flip_p to 0",
                self.set.path.display()
            ));
        }
        if self.spec.combined && self.spec.convention != Convention::Unbiased {
            return fail("the combined maps of UDP need its measure: set udp".into());
        }
        let (weights, points) = (self.spec.joint_weights.len(), self.category.points.len());
        if weights != 0 && weights != points {
            return fail(format!("{weights} joint weights for {points} points"));
        }
        Ok(())
    }

    fn sample(&self, seed: u64, epoch: u64, index: usize) -> Result<TrainSample, LoaderError> {
        let (person, bbox) = self.person(index);
        let form = &self.spec.form;
        let (h, w) = form.input;
        let mut rng = Rng::new(seed, Purpose::Augment, epoch, index as u64);
        let base = self.half_body(person, pose_window(bbox, [h, w], self.spec.padding), &mut rng);
        let draw = self.augment.draw(base, &mut rng);
        let to_input = self.to_input(&draw.crop);
        let mut input = vec![0.0; 3 * h * w];
        render(&*self.image(index)?, &to_input, &draw, form.mean, form.std, [h, w], &mut rng, &mut input);

        let to_heatmap = to_input.then(&self.to_heatmap());
        let permutation = self.category.flip_permutation();
        let (map_h, map_w) = form.heatmap;
        let points = permutation.len();
        let size = map_h * map_w * if self.spec.combined { 3 } else { 1 };
        let (mut target, mut weight) = (vec![0.0; points * size], vec![0.0; points]);
        for (i, PosePoint { at, visibility }) in person.points.iter().enumerate().take(points) {
            let joint = if draw.crop.flip { permutation[i] } else { i };
            if !visibility.labelled() {
                continue;
            }
            let map = &mut target[joint * size..(joint + 1) * size];
            let centre = to_heatmap.apply(*at);
            let unbiased = self.spec.convention == Convention::Unbiased;
            let seen = match (self.spec.combined, unbiased) {
                (true, _) => udp::encode_combined(centre, udp::RADIUS_FACTOR, map_h, map_w, map),
                (_, true) => udp::encode_gaussian(centre, form.sigma, map_h, map_w, map),
                (_, false) => encode_gaussian(centre, form.sigma, map_h, map_w, map),
            };
            weight[joint] = seen * self.spec.joint_weights.get(joint).copied().unwrap_or(1.0);
        }
        Ok(TrainSample { input, target, weight, to_input, flipped: draw.crop.flip })
    }
}
