//! Random changes of a training sample, all settable, all drawn from one [`Rng`] in a fixed order.
//!
//! Geometry (scale, rotation, shift, mirror) becomes one [`Crop`]; colour becomes one matrix applied in the warp; erasing,
//! blur and noise work on the finished input. Every draw is made whether or not its probability hits, so changing one
//! setting leaves the others' numbers as they were.

use serde::{Deserialize, Serialize};

use crate::geometry::Crop;
use crate::rng::Rng;

/// Settings; [`Default`] suits landmark training from scratch on a few thousand faces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LandmarkAugment {
    /// Factor on the window's size, uniform between the two.
    pub scale: [f64; 2],
    /// Largest rotation in degrees, uniform to both sides.
    pub rotation_deg: f64,
    /// Probability of a rotation.
    pub rotation_p: f64,
    /// Probability of mirroring.
    pub flip_p: f64,
    /// Largest shift of the window per axis, as a share of its side.
    pub shift: f64,
    /// Brightness factor `1 ± brightness`.
    pub brightness: f64,
    /// Contrast factor `1 ± contrast` about mid-grey.
    pub contrast: f64,
    /// Saturation factor `1 ± saturation`.
    pub saturation: f64,
    /// Factor `1 ± tint` per channel.
    pub tint: f64,
    /// Probability of a grey picture.
    pub grey_p: f64,
    /// Probability of erasing a rectangle.
    pub erase_p: f64,
    /// Largest side of that rectangle, as a share of the input's side.
    pub erase_size: f64,
    /// Probability of a 3 by 3 blur.
    pub blur_p: f64,
    /// Probability of noise.
    pub noise_p: f64,
    /// Largest deviation of the noise, in grey levels.
    pub noise: f64,
    /// Persons only: probability of looking at the upper or the lower body alone.
    pub half_body_p: f64,
}

impl Default for LandmarkAugment {
    fn default() -> Self {
        Self {
            scale: [0.75, 1.25],
            rotation_deg: 30.0,
            rotation_p: 0.6,
            flip_p: 0.5,
            shift: 0.05,
            brightness: 0.25,
            contrast: 0.25,
            saturation: 0.25,
            tint: 0.1,
            grey_p: 0.1,
            erase_p: 0.25,
            erase_size: 0.4,
            blur_p: 0.1,
            noise_p: 0.0,
            noise: 8.0,
            half_body_p: 0.0,
        }
    }
}

/// Random colours, for segmentation and classification.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColourJitter {
    /// Brightness factor `1 ± brightness`.
    pub brightness: f64,
    /// Contrast factor `1 ± contrast` about mid-grey.
    pub contrast: f64,
    /// Saturation factor `1 ± saturation`.
    pub saturation: f64,
    /// Factor `1 ± tint` per channel.
    pub tint: f64,
    /// Probability of a grey picture.
    pub grey_p: f64,
}

impl Default for ColourJitter {
    fn default() -> Self {
        Self { brightness: 0.3, contrast: 0.3, saturation: 0.3, tint: 0.1, grey_p: 0.0 }
    }
}

impl ColourJitter {
    /// No change.
    pub const NONE: Self = Self { brightness: 0.0, contrast: 0.0, saturation: 0.0, tint: 0.0, grey_p: 0.0 };

    /// Checks every setting.
    pub fn validate(&self) -> Result<(), AugmentError> {
        for (name, value) in [
            ("brightness", self.brightness),
            ("contrast", self.contrast),
            ("saturation", self.saturation),
            ("tint", self.tint),
            ("grey_p", self.grey_p),
        ] {
            check(name, value, 0.0, 1.0, "0 to 1")?;
        }
        Ok(())
    }

    /// The matrix of one sample, in the order of [`LandmarkAugment::draw`].
    pub fn draw(&self, rng: &mut Rng) -> Option<[[f32; 4]; 3]> {
        let mut around_one = |range: f64| rng.range(1.0 - range, 1.0 + range);
        let (brightness, contrast) = (around_one(self.brightness), around_one(self.contrast));
        let saturation = around_one(self.saturation);
        let tint = [around_one(self.tint), around_one(self.tint), around_one(self.tint)];
        let saturation = if rng.coin(self.grey_p) { 0.0 } else { saturation };
        colour_matrix(brightness, contrast, saturation, tint)
    }
}

/// Changes of a segmentation sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentAugment {
    /// Factor on the size of the picture, uniform in its logarithm between the two.
    pub scale: [f64; 2],
    /// Factor on the aspect ratio, `1 ± aspect`.
    pub aspect: f64,
    /// Largest rotation in degrees, uniform to both sides.
    pub rotation_deg: f64,
    /// Probability of mirroring.
    pub flip_p: f64,
    /// Probability of putting the crop about a pixel of a class drawn from those of the picture, all classes alike; otherwise
    /// it lies anywhere.
    pub rare_p: f64,
    /// Colours.
    pub colour: ColourJitter,
}

impl Default for SegmentAugment {
    fn default() -> Self {
        Self {
            scale: [0.5, 2.0],
            aspect: 0.0,
            rotation_deg: 0.0,
            flip_p: 0.5,
            rare_p: 0.0,
            colour: ColourJitter::default(),
        }
    }
}

impl SegmentAugment {
    /// No change but the crop.
    pub fn none() -> Self {
        Self {
            scale: [1.0, 1.0],
            aspect: 0.0,
            rotation_deg: 0.0,
            flip_p: 0.0,
            rare_p: 0.0,
            colour: ColourJitter::NONE,
        }
    }

    /// Checks every setting.
    pub fn validate(&self) -> Result<(), AugmentError> {
        check("scale[0]", self.scale[0], 0.05, 20.0, "0.05 to 20")?;
        check("scale[1]", self.scale[1], self.scale[0], 20.0, "scale[0] to 20")?;
        check("aspect", self.aspect, 0.0, 0.9, "0 to 0.9")?;
        check("rotation_deg", self.rotation_deg, 0.0, 180.0, "0 to 180")?;
        check("flip_p", self.flip_p, 0.0, 1.0, "0 to 1")?;
        check("rare_p", self.rare_p, 0.0, 1.0, "0 to 1")?;
        self.colour.validate()
    }
}

/// Changes of a bottom-up sample; the defaults are the published ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BottomUpAugment {
    /// Width of the window over the short side of the picture, uniform between the two.
    pub scale: [f64; 2],
    /// Largest rotation in degrees, uniform to both sides.
    pub rotation_deg: f64,
    /// Largest shift of the window per axis, as a share of its width.
    pub shift: f64,
    /// Probability of mirroring.
    pub flip_p: f64,
    /// Colours.
    pub colour: ColourJitter,
}

impl Default for BottomUpAugment {
    fn default() -> Self {
        let colour = ColourJitter::NONE;
        Self { scale: [0.75, 1.5], rotation_deg: 30.0, shift: 0.2, flip_p: 0.5, colour }
    }
}

impl BottomUpAugment {
    /// No change: the short side fills the input.
    pub fn none() -> Self {
        let colour = ColourJitter::NONE;
        Self { scale: [1.0, 1.0], rotation_deg: 0.0, shift: 0.0, flip_p: 0.0, colour }
    }

    /// Checks every setting.
    pub fn validate(&self) -> Result<(), AugmentError> {
        check("scale[0]", self.scale[0], 0.05, 20.0, "0.05 to 20")?;
        check("scale[1]", self.scale[1], self.scale[0], 20.0, "scale[0] to 20")?;
        check("rotation_deg", self.rotation_deg, 0.0, 180.0, "0 to 180")?;
        check("shift", self.shift, 0.0, 1.0, "0 to 1")?;
        check("flip_p", self.flip_p, 0.0, 1.0, "0 to 1")?;
        self.colour.validate()
    }
}

/// Changes of a classification sample: a random resized crop, mirror, colours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassAugment {
    /// Area of the crop as a share of the picture's, uniform between the two.
    pub area: [f64; 2],
    /// Aspect ratio of the crop, uniform in its logarithm between the two.
    pub ratio: [f64; 2],
    /// Probability of mirroring.
    pub flip_p: f64,
    /// Probability of erasing a rectangle.
    pub erase_p: f64,
    /// Largest side of that rectangle, as a share of the input's side.
    pub erase_size: f64,
    /// Colours.
    pub colour: ColourJitter,
}

impl Default for ClassAugment {
    fn default() -> Self {
        Self {
            area: [0.25, 1.0],
            ratio: [0.75, 4.0 / 3.0],
            flip_p: 0.5,
            erase_p: 0.0,
            erase_size: 0.4,
            colour: ColourJitter::default(),
        }
    }
}

impl ClassAugment {
    /// Checks every setting.
    pub fn validate(&self) -> Result<(), AugmentError> {
        check("area[0]", self.area[0], 0.001, 1.0, "0.001 to 1")?;
        check("area[1]", self.area[1], self.area[0], 1.0, "area[0] to 1")?;
        check("ratio[0]", self.ratio[0], 0.05, 20.0, "0.05 to 20")?;
        check("ratio[1]", self.ratio[1], self.ratio[0], 20.0, "ratio[0] to 20")?;
        for (name, value) in
            [("flip_p", self.flip_p), ("erase_p", self.erase_p), ("erase_size", self.erase_size)]
        {
            check(name, value, 0.0, 1.0, "0 to 1")?;
        }
        self.colour.validate()
    }
}

fn check(
    name: &'static str,
    value: f64,
    low: f64,
    high: f64,
    wanted: &'static str,
) -> Result<(), AugmentError> {
    // Written so that NaN fails.
    if value >= low && value <= high { Ok(()) } else { Err(AugmentError { name, value, wanted }) }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("augmentation setting {name} is {value}; it must be {wanted}")]
pub struct AugmentError {
    /// The setting.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
    /// What is allowed.
    pub wanted: &'static str,
}

/// What was drawn for one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// The window.
    pub crop: Crop,
    /// The colour matrix, when colours change.
    pub colour: Option<[[f32; 4]; 3]>,
    /// Rectangle to erase, as shares of the input (x, y, w, h), and its colour.
    pub erase: Option<([f64; 4], [f32; 3])>,
    /// Whether to blur.
    pub blur: bool,
    /// Deviation of the noise in grey levels; 0 for none.
    pub noise: f64,
}

impl LandmarkAugment {
    /// No change at all, for evaluation.
    pub fn none() -> Self {
        Self {
            scale: [1.0, 1.0],
            rotation_deg: 0.0,
            rotation_p: 0.0,
            flip_p: 0.0,
            shift: 0.0,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            tint: 0.0,
            grey_p: 0.0,
            erase_p: 0.0,
            erase_size: 0.0,
            blur_p: 0.0,
            noise_p: 0.0,
            noise: 0.0,
            half_body_p: 0.0,
        }
    }

    /// The published face recipe: scale 0.75 to 1.25, rotation up to 30 degrees in 60 %, mirror in 50 %.
    pub fn official_face() -> Self {
        Self { scale: [0.75, 1.25], rotation_deg: 30.0, rotation_p: 0.6, flip_p: 0.5, ..Self::none() }
    }

    /// Checks every setting.
    pub fn validate(&self) -> Result<(), AugmentError> {
        check("scale[0]", self.scale[0], 0.05, 20.0, "0.05 to 20")?;
        check("scale[1]", self.scale[1], self.scale[0], 20.0, "scale[0] to 20")?;
        check("rotation_deg", self.rotation_deg, 0.0, 180.0, "0 to 180")?;
        check("shift", self.shift, 0.0, 1.0, "0 to 1")?;
        for (name, value) in [
            ("rotation_p", self.rotation_p),
            ("flip_p", self.flip_p),
            ("grey_p", self.grey_p),
            ("erase_p", self.erase_p),
            ("blur_p", self.blur_p),
            ("noise_p", self.noise_p),
            ("half_body_p", self.half_body_p),
            ("erase_size", self.erase_size),
            ("brightness", self.brightness),
            ("contrast", self.contrast),
            ("saturation", self.saturation),
            ("tint", self.tint),
        ] {
            check(name, value, 0.0, 1.0, "0 to 1")?;
        }
        check("noise", self.noise, 0.0, 255.0, "0 to 255")
    }

    /// Draws the changes of one sample whose unchanged window is `base`.
    pub fn draw(&self, base: Crop, rng: &mut Rng) -> Draw {
        let mut crop = base;
        let scale = rng.range(self.scale[0], self.scale[1]);
        let rotation = rng.range(-self.rotation_deg, self.rotation_deg);
        let rotate = rng.coin(self.rotation_p);
        crop.flip ^= rng.coin(self.flip_p);
        for axis in 0..2 {
            let side = [base.side_w, base.side_h][axis];
            crop.centre[axis] += rng.range(-self.shift, self.shift) * side;
        }
        crop.side_w *= scale;
        crop.side_h *= scale;
        if rotate {
            crop.rotation_deg += rotation;
        }
        let mut around_one = |range: f64| rng.range(1.0 - range, 1.0 + range);
        let brightness = around_one(self.brightness);
        let contrast = around_one(self.contrast);
        let saturation = around_one(self.saturation);
        let tint = [around_one(self.tint), around_one(self.tint), around_one(self.tint)];
        let saturation = if rng.coin(self.grey_p) { 0.0 } else { saturation };
        let colour = colour_matrix(brightness, contrast, saturation, tint);

        let erase = draw_erase(self.erase_p, self.erase_size, rng);
        let blur = rng.coin(self.blur_p);
        let noisy = rng.coin(self.noise_p);
        let noise = rng.range(0.0, self.noise);
        Draw { crop, colour, erase, blur, noise: if noisy { noise } else { 0.0 } }
    }
}

/// A rectangle as shares of the input, and its colour.
pub(crate) fn draw_erase(p: f64, size: f64, rng: &mut Rng) -> Option<([f64; 4], [f32; 3])> {
    let erase = rng.coin(p);
    let (w, h) = (rng.range(0.0, size), rng.range(0.0, size));
    let (x, y) = (rng.range(-w / 2.0, 1.0 - w / 2.0), rng.range(-h / 2.0, 1.0 - h / 2.0));
    let fill = [0; 3].map(|_| rng.range(0.0, 255.0) as f32);
    erase.then_some(([x, y, w, h], fill))
}

/// Saturation, then brightness and tint, then contrast about 127.5, as one matrix; `None` when it changes nothing.
fn colour_matrix(brightness: f64, contrast: f64, saturation: f64, tint: [f64; 3]) -> Option<[[f32; 4]; 3]> {
    if [brightness, contrast, saturation, tint[0], tint[1], tint[2]].iter().all(|&v| v == 1.0) {
        return None;
    }
    const LUMA: [f64; 3] = [0.299, 0.587, 0.114];
    Some(std::array::from_fn(|c| {
        let gain = brightness * tint[c] * contrast;
        std::array::from_fn(|k| {
            let v = match k {
                3 => 127.5 * (1.0 - contrast),
                k => gain * ((1.0 - saturation) * LUMA[k] + if k == c { saturation } else { 0.0 }),
            };
            v as f32
        })
    }))
}

/// Erases the drawn rectangle from a normalised input `[3, h, w]`. `scale` and `offset` turn grey levels into input values.
pub(crate) fn erase(
    input: &mut [f32],
    h: usize,
    w: usize,
    erase: Option<([f64; 4], [f32; 3])>,
    scale: [f32; 3],
    offset: [f32; 3],
) {
    let Some(([x, y, rw, rh], fill)) = erase else { return };
    let range = |start: f64, len: f64, side: usize| {
        let low = (start.max(0.0) * side as f64) as usize;
        let high = ((start + len).clamp(0.0, 1.0) * side as f64) as usize;
        low.min(high)..high
    };
    let (columns, rows) = (range(x, rw, w), range(y, rh, h));
    for (c, plane) in input.chunks_exact_mut(h * w).enumerate() {
        for row in rows.clone() {
            plane[row * w + columns.start..row * w + columns.end].fill(fill[c] * scale[c] + offset[c]);
        }
    }
}

/// Blurs `[3, h, w]` with 1-2-1 on both axes; the border repeats.
pub(crate) fn blur(input: &mut [f32], h: usize, w: usize) {
    let mut line = vec![0.0; w.max(h)];
    for plane in input.chunks_exact_mut(h * w) {
        for row in plane.chunks_exact_mut(w) {
            line[..w].copy_from_slice(row);
            for x in 0..w {
                row[x] = (line[x.saturating_sub(1)] + 2.0 * line[x] + line[(x + 1).min(w - 1)]) * 0.25;
            }
        }
        for x in 0..w {
            for y in 0..h {
                line[y] = plane[y * w + x];
            }
            for y in 0..h {
                plane[y * w + x] =
                    (line[y.saturating_sub(1)] + 2.0 * line[y] + line[(y + 1).min(h - 1)]) * 0.25;
            }
        }
    }
}

/// Adds noise; `scale` is the input value of one grey level per channel.
pub(crate) fn noise(input: &mut [f32], plane: usize, deviation: f64, scale: [f32; 3], rng: &mut Rng) {
    if deviation > 0.0 {
        for (c, plane) in input.chunks_exact_mut(plane).enumerate() {
            for v in plane {
                *v += (deviation * rng.normal()) as f32 * scale[c];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    fn rng() -> Rng {
        Rng::new(1, Purpose::Augment, 2, 3)
    }

    #[test]
    fn none_changes_nothing_and_defaults_are_valid() {
        let base = Crop::new([10.0, 20.0], 30.0, 40.0);
        let draw = LandmarkAugment::none().draw(base, &mut rng());
        assert_eq!(draw, Draw { crop: base, colour: None, erase: None, blur: false, noise: 0.0 });
        for a in [LandmarkAugment::none(), LandmarkAugment::official_face(), LandmarkAugment::default()] {
            assert_eq!(a.validate(), Ok(()));
        }
        let bad = LandmarkAugment { flip_p: f64::NAN, ..LandmarkAugment::none() };
        assert_eq!(bad.validate().unwrap_err().name, "flip_p");
    }

    #[test]
    fn one_setting_does_not_move_the_others() {
        let base = Crop::new([100.0, 100.0], 80.0, 80.0);
        let a = LandmarkAugment::default().draw(base, &mut rng());
        let b = LandmarkAugment { rotation_p: 0.0, grey_p: 0.0, erase_p: 1.0, ..LandmarkAugment::default() };
        let b = b.draw(base, &mut rng());
        assert_eq!((a.crop.side_w, a.crop.centre, a.crop.flip), (b.crop.side_w, b.crop.centre, b.crop.flip));
        assert_eq!((a.blur, a.noise), (b.blur, b.noise));
    }

    #[test]
    fn settings_are_read_strictly() {
        let ok: LandmarkAugment = serde_json::from_str(r#"{"flip_p": 0.0, "scale": [0.9, 1.1]}"#).unwrap();
        assert_eq!((ok.flip_p, ok.scale, ok.rotation_deg), (0.0, [0.9, 1.1], 30.0));
        assert!(serde_json::from_str::<LandmarkAugment>(r#"{"rotate": 3}"#).is_err());
    }

    #[test]
    fn colour_matrix_by_hand() {
        let m = colour_matrix(1.0, 1.0, 0.0, [1.0; 3]).unwrap();
        let grey = |row: [f32; 4]| row[0] * 10.0 + row[1] * 20.0 + row[2] * 30.0 + row[3];
        assert!(m.iter().all(|&row| (grey(row) - (2.99 + 11.74 + 3.42)).abs() < 1e-4));
        let m = colour_matrix(1.0, 0.5, 1.0, [1.0; 3]).unwrap();
        assert_eq!(m[0], [0.5, 0.0, 0.0, 63.75]);
        assert_eq!(colour_matrix(1.0, 1.0, 1.0, [1.0; 3]), None);
    }

    #[test]
    fn blur_keeps_flat_pictures_and_the_sum() {
        let mut flat = vec![3.0; 3 * 5 * 4];
        blur(&mut flat, 5, 4);
        assert!(flat.iter().all(|&v| v == 3.0));
        let mut spike = vec![0.0; 3 * 25];
        spike[12] = 16.0;
        blur(&mut spike, 5, 5);
        assert_eq!((spike[12], spike[11], spike[6], spike.iter().sum::<f32>()), (4.0, 2.0, 1.0, 16.0));
    }

    #[test]
    fn erasing_stays_inside() {
        for rect in [[-0.5, -0.5, 0.7, 0.7], [0.9, 0.9, 0.9, 0.9], [0.2, 0.2, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]
        {
            let mut input = vec![0.0; 3 * 10 * 8];
            erase(&mut input, 10, 8, Some((rect, [1.0; 3])), [1.0; 3], [0.0; 3]);
            let filled = input.iter().filter(|&&v| v == 1.0).count();
            assert_eq!(filled > 0, rect[0] < 0.0 || rect[0] == 0.9, "{rect:?} {filled}");
        }
    }
}
