//! A class for every pixel: whole images or windows, several scales, the mirrored image, within a bound on memory.
//!
//! ```text
//! image -> base size -> scales -> windows -> network (and its mirrored twin) -> blended rows -> scales fused -> class
//! ```
//!
//! Rows of the result are made one after the other. Scores exist as network outputs of the windows about the current row
//! and as a few image rows, so that memory grows with the width of an image, not with its area.
//!
//! | step | default | [`Protocol::Official`] |
//! |---|---|---|
//! | base size | antialiased resize, where the set is resized at all | OpenCV's rule without antialiasing; then filled up to multiples of 8 with the mean colour after a short-side resize |
//! | scale `s` | base size times `s` | long side `int(base * s + 0.5)`, base 2048 (Cityscapes), 473 (LIP), 520 |
//! | network input | filled up to multiples of 32 with the mean colour | as it is (Cityscapes), or filled up to the crop with black |
//! | windows | where the whole does not fit into memory; overlapping by a quarter, fading into each other | Cityscapes: above scale 1, side by side, the last one moved inward; other sets: where the image is larger than the crop, a third overlapping, the last ones filled up; pixels that several windows see are averaged |
//! | several scales | mean of the probabilities | sum of the exponentials of the scores |
//! | to the image's size | scores, once | exponentials, to the base size and from there to the image's |

use crate::error::{Context, Result, bail};
use crate::result::{Mask, Predicted, Schema};
use crate::runner::Runner;
use crate::tasks::{Prediction, Request};
use crate::timing::TimeSplit;
use hrnet_data::codec::Protocol;
use hrnet_data::codec::heatmap::mirror_planes;
use hrnet_data::codec::segmentation::{
    Before, Blend, LastWindow, Overlap, Resample, Window, WindowPlan, best_of_row, merge_flip, plan,
    softmax_row,
};
use hrnet_formats::{Colour, Recipe, Task};
use hrnet_image::Image;
use hrnet_image::resize::{Filter, Planes, resize_bilinear, resize_pil, scaled_part};
use hrnet_ir::{Head, Tensor, Weights};
use hrnet_kernels::Pool;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

/// Bytes that the process may take.
pub const MEMORY: usize = 2 << 30;
/// Of these, bytes for the network's working memory and its outputs.
pub const WORKING: usize = 768 << 20;
/// Bytes of the process without image, weights and network: code, threads, files.
const BASE: usize = 40 << 20;
/// Bytes a pixel of an image: itself and its mask (5), the overlay and its file (6), the next image in its decoder (6).
const PIXEL: usize = 17;
/// Maps of all branches line up at multiples of this.
const ALIGN: usize = 32;
/// Sides of windows that are tried where the whole image does not fit.
const SIDES: [usize; 8] = [2048, 1536, 1280, 1024, 768, 512, 384, 256];

/// The base size of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resize {
    /// As the model's set is treated: LIP 473x473, PASCAL-Context, ADE20K and COCO-Stuff short side 520, else the image's own.
    #[default]
    Auto,
    /// The image's own.
    Keep,
    /// Short side; the other in proportion.
    Short(usize),
    /// Long side; the other in proportion.
    Long(usize),
    /// Height and width.
    Fixed([usize; 2]),
}

/// How much of an image the network sees at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Windows {
    /// The whole, or windows where that does not fit into memory; under the official protocol as published.
    #[default]
    Auto,
    /// The whole image.
    Whole,
    /// Windows.
    Sliding {
        /// Height and width; rounded up to multiples of 32.
        size: [usize; 2],
        /// Pixels that neighbours share, vertically and horizontally; rounded to multiples of 32.
        overlap: [usize; 2],
    },
}

/// How images are looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentOptions {
    /// Published rules, quirks included.
    pub protocol: Protocol,
    /// Base size.
    pub resize: Resize,
    /// Windows.
    pub windows: Windows,
    /// Scales of the base size.
    pub scales: Vec<f64>,
    /// Average with the mirrored image.
    pub flip: bool,
    /// Bytes that the process may take: the program itself, the weights, an image of up to this size with its results, and what
    /// the network needs for its windows. [`Windows::Auto`] keeps within it; of the others, whose sizes are given, no
    /// network that needs more by itself is run.
    pub memory: usize,
    /// Of these, bytes for what grows with a window: the network's working memory and its outputs.
    pub working: usize,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self {
            protocol: Protocol::Default,
            resize: Resize::Auto,
            windows: Windows::Auto,
            scales: vec![1.0],
            flip: false,
            memory: MEMORY,
            working: WORKING,
        }
    }
}

/// What each class got at every pixel of an image: a probability, or the official sum of exponentials.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Width.
    pub width: usize,
    /// Height.
    pub height: usize,
    /// `[classes, height, width]`.
    pub values: Vec<f32>,
}

/// A segmentation model with everything needed to use it.
#[derive(Debug)]
pub struct Segmenter {
    runner: Runner,
    recipe: Recipe,
    schema: Schema,
    planes: Planes,
    flip: Vec<usize>,
    align_corners: bool,
    options: SegmentOptions,
    /// No second image will come.
    one_image: bool,
}

/// One scale of an image.
struct Layer {
    size: [usize; 2],
    /// Height and width of the network's input.
    input: [usize; 2],
    blend: Blend,
    resample: Resample,
}

/// The plan of an image.
struct Passes<'a> {
    base: Cow<'a, Image>,
    layers: Vec<Layer>,
    /// Size at which scales are fused.
    canvas: [usize; 2],
    /// From the canvas without its filling to the image.
    last: Resample,
    kept: [usize; 2],
}

impl Segmenter {
    /// A model from weights and their recipe.
    pub fn new(weights: Weights, recipe: Recipe, pool: Arc<Pool>, options: SegmentOptions) -> Result<Self> {
        if recipe.task != Task::Segmentation {
            bail!("this is a model for {}, not for segmentation", recipe.task.title());
        }
        let (Head::Segment { classes, .. } | Head::Ocr { classes }) = recipe.model.head else {
            bail!("the recipe says segmentation, the network's head is {}", recipe.model.head);
        };
        check(&options)?;
        let net = recipe.model.build()?;
        let schema = Schema::of(&recipe, classes);
        let mut flip = schema.flip_permutation();
        if is_lip(&recipe) && recipe.flip_pairs.is_empty() {
            let pairs = hrnet_data::sets::LIP.flip_pairs;
            pairs.iter().for_each(|&(a, b)| flip.swap(usize::from(a), usize::from(b)));
        }
        let (mean, std) = (recipe.mean.map(|v| v as f32), recipe.std.map(|v| v as f32));
        let official = options.protocol == Protocol::Official;
        let planes = Planes::new(mean, std, recipe.colour == Colour::Bgr, official);
        let runner = Runner::limited(&net, weights, pool, options.memory)?;
        let align_corners = recipe.model.arch.fuse.head_align_corners();
        Ok(Self { runner, schema, planes, flip, align_corners, recipe, options, one_image: false })
    }

    /// A model for one image: the weights are kept for its windows only, once their size is known. The results are those of
    /// [`Segmenter::new`].
    pub fn for_one_image(
        weights: Weights,
        recipe: Recipe,
        pool: Arc<Pool>,
        options: SegmentOptions,
    ) -> Result<Self> {
        Ok(Self { one_image: true, ..Self::new(weights, recipe, pool, options)? })
    }

    /// What the classes are called.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The options.
    pub fn options(&self) -> &SegmentOptions {
        &self.options
    }

    pub(crate) fn predict_requests(&mut self, requests: &[Request]) -> Result<Vec<Prediction>> {
        let predict = |request: &Request| {
            let (mask, time) = self.predict(request.image)?;
            Ok(Prediction { predicted: Predicted::Mask(mask), time, stages: Vec::new() })
        };
        requests.iter().map(predict).collect()
    }

    /// The class of every pixel, and where the time went; nothing is read here.
    pub fn predict(&mut self, image: &Image) -> Result<(Mask, TimeSplit)> {
        let (width, height) = (image.width(), image.height());
        let mut classes = vec![0u16; width * height];
        let mut best = vec![0.0; width];
        let time = self.rows(image, false, &mut |y, row| {
            best_of_row(row, &mut best, &mut classes[y * width..(y + 1) * width]);
        })?;
        Ok((Mask { width, height, classes }, time))
    }

    /// The probability of every class at every pixel (under the official protocol the sum of exponentials). They must fit into
    /// the bound on memory.
    pub fn scores(&mut self, image: &Image) -> Result<(Scores, TimeSplit)> {
        let (width, height, classes) = (image.width(), image.height(), self.flip.len());
        let bytes = (width * height).saturating_mul(classes).saturating_mul(4);
        if bytes > self.options.memory {
            bail!(
                "the scores of {classes} classes at {width}x{height} pixels take {} MB, the bound is {}; ask for the \
                 classes alone, or raise the bound",
                bytes >> 20,
                self.options.memory >> 20
            );
        }
        let mut values = vec![0.0; width * height * classes];
        let time = self.rows(image, true, &mut |y, row| {
            for (plane, row) in values.chunks_exact_mut(width * height).zip(row.chunks_exact(width)) {
                plane[y * width..(y + 1) * width].copy_from_slice(row);
            }
        })?;
        Ok((Scores { width, height, values }, time))
    }

    /// Gives every row of the image, `[classes, width]`, to `sink`: the scores themselves where one scale is looked at and
    /// no probabilities are asked for.
    fn rows(
        &mut self,
        image: &Image,
        probabilities: bool,
        sink: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<TimeSplit> {
        let mut time = TimeSplit::default();
        let started = Instant::now();
        let mut passes = self.plan(image, probabilities)?;
        if self.one_image
            && let Some(first) = passes.layers.first()
            && passes.layers.iter().all(|layer| layer.input == first.input)
        {
            self.runner.settle([1, 3, first.input[0], first.input[1]])?;
        }
        time.pre += started.elapsed();
        let classes = self.flip.len();
        let official = self.options.protocol == Protocol::Official;
        let (several, scales) = (passes.layers.len() > 1, 1.0 / passes.layers.len() as f32);
        let [kept_h, kept_w] = passes.kept;
        let (canvas_w, width) = (passes.canvas[1], image.width());
        let mut sum = vec![0.0; classes * canvas_w];
        let mut one = vec![0.0; classes * canvas_w];
        let mut out = vec![0.0; classes * width];
        let Passes { base, layers, last, .. } = &mut passes;
        let started = Instant::now();
        let network_before = time.pre + time.network;
        for y in 0..image.height() {
            last.row(y, &mut out, |y, kept| -> Result<()> {
                debug_assert!(y < kept_h);
                sum.fill(0.0);
                for layer in layers.iter_mut() {
                    let Layer { size, input, blend, resample } = layer;
                    resample.row(y, &mut one, |y, row| -> Result<()> {
                        while let Some(windows) = blend.wanted(y) {
                            let (scores, output) =
                                self.window_scores(base, *size, *input, &windows, &mut time)?;
                            blend.push(scores, output)?;
                        }
                        blend.row(y, row);
                        Ok(())
                    })?;
                    if !official && (several || probabilities) {
                        softmax_row(&mut one, canvas_w);
                    }
                    let factor = if several && !official { scales } else { 1.0 };
                    sum.iter_mut().zip(&one).for_each(|(to, &v)| *to += factor * v);
                }
                for (to, from) in kept.chunks_exact_mut(kept_w).zip(sum.chunks_exact(canvas_w)) {
                    to.copy_from_slice(&from[..kept_w]);
                }
                Ok(())
            })?;
            sink(y, &out);
        }
        // What was neither making inputs nor the network.
        let others = time.pre + time.network - network_before;
        time.post += started.elapsed().saturating_sub(others);
        Ok(time)
    }

    /// The network's scores for windows of the base image at a scale.
    fn window_scores(
        &mut self,
        base: &Image,
        size: [usize; 2],
        input: [usize; 2],
        windows: &[Window],
        time: &mut TimeSplit,
    ) -> Result<(Vec<Vec<f32>>, [usize; 2])> {
        let mut tensor = Tensor::zeros([1, 3, input[0], input[1]]);
        let (mut all, mut output) = (Vec::with_capacity(windows.len()), [0; 2]);
        for w in windows {
            let started = Instant::now();
            scaled_part(base, size, [w.x, w.y, w.width, w.height], &self.planes, input, tensor.data_mut());
            time.pre += started.elapsed();
            let started = Instant::now();
            let scores = self.runner.run(&tensor)?.pop().context("a network without outputs")?;
            let [_, _, h, w] = scores.dims4().context("scores without four dimensions")?;
            output = [h, w];
            let mut scores = scores.into_data();
            if self.options.flip {
                mirror_planes(tensor.data_mut(), input[1]);
                let mirrored = self.runner.run(&tensor)?.pop().context("a network without outputs")?;
                merge_flip(&mut scores, mirrored.into_data(), h, w, &self.flip);
            }
            time.network += started.elapsed();
            all.push(scores);
        }
        Ok((all, output))
    }

    /// Bytes left for the network: without the program, the weights as they came, an image with its results, and rows.
    fn room(&self, image: &Image, base: &Image, scores: bool) -> usize {
        let pixels = image.width().saturating_mul(image.height());
        let resized = if std::ptr::eq(image, base) { 0 } else { base.data().len() };
        let classes = self.flip.len();
        let scores = if scores { pixels.saturating_mul(classes * 4) } else { 0 };
        // About ten rows of scores are there at a time.
        let rows = image.width().max(base.width()).saturating_mul(classes * 4 * 10);
        let parts = [BASE, pixels.saturating_mul(PIXEL), resized, scores, rows, self.runner.weight_bytes()];
        parts.iter().fold(self.options.memory, |left, part| left.saturating_sub(*part))
    }

    fn plan<'a>(&mut self, image: &'a Image, scores: bool) -> Result<Passes<'a>> {
        let own = [image.height(), image.width()];
        let official = self.options.protocol == Protocol::Official;
        let (base, kept) = self.base(image)?;
        let room = self.room(image, &base, scores);
        self.runner.set_memory(room);
        let base_size = [base.height(), base.width()];
        let canvas = if official { base_size } else { own };
        let kept = if official { kept } else { own };
        let mut layers = Vec::with_capacity(self.options.scales.len());
        for scale in self.options.scales.clone() {
            let size = match official {
                true => official_scale(base_size, self.official_base(), scale),
                false => base_size.map(|v| ((v as f64 * scale).round() as usize).max(1)),
            };
            let most = hrnet_ir::shape::MAX_SIDE;
            if size.iter().any(|&v| v == 0 || v > most) {
                bail!("scale {scale} makes the image {}x{} pixels; sides are 1 to {most}", size[1], size[0]);
            }
            let windows = self.windows(size, scale, room)?;
            let overlap = if official { Overlap::Even } else { Overlap::Ramp };
            let before = if official { Before::Exp } else { Before::Scores };
            let classes = self.flip.len();
            let blend = Blend::new(classes, size, &windows, overlap, before, self.align_corners)?;
            let resample = Resample::new(classes, size, canvas, official && self.align_corners);
            layers.push(Layer { size, input: windows.size, blend, resample });
        }
        let last = Resample::new(self.flip.len(), kept, own, official && self.align_corners);
        Ok(Passes { base, layers, canvas, last, kept })
    }

    /// The image at its base size, and how much of it (height, width) is not filling.
    fn base<'a>(&self, image: &'a Image) -> Result<(Cow<'a, Image>, [usize; 2])> {
        let own = [image.height(), image.width()];
        let resize = match self.options.resize {
            Resize::Auto => self.auto_resize(),
            other => other,
        };
        let size = match resize {
            Resize::Auto | Resize::Keep => own,
            Resize::Fixed(size) => size,
            Resize::Short(side) => in_proportion(own, side, own[0] < own[1]),
            Resize::Long(side) => in_proportion(own, side, own[0] > own[1]),
        };
        if size == own {
            return Ok((Cow::Borrowed(image), own));
        }
        if self.options.protocol == Protocol::Default {
            return Ok((Cow::Owned(resize_pil(image, size[1], size[0], Filter::Bilinear)?), size));
        }
        if size.iter().any(|&v| v > hrnet_ir::shape::MAX_SIDE) {
            bail!("the resized image would have {}x{} pixels", size[1], size[0]);
        }
        let resized = resize_bilinear(image, size[1], size[0]);
        if !matches!(resize, Resize::Short(_)) {
            return Ok((Cow::Owned(resized), size));
        }
        let [height, width] = size.map(|v| v.next_multiple_of(8));
        let mean = self.recipe.mean.map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8);
        let mut filled = Image::filled(width, height, mean);
        let rows = filled.data_mut().chunks_exact_mut(width * 3);
        for (to, from) in rows.zip(resized.data().chunks_exact(size[1] * 3)) {
            to[..size[1] * 3].copy_from_slice(from);
        }
        Ok((Cow::Owned(filled), size))
    }

    fn auto_resize(&self) -> Resize {
        let input = [self.recipe.input_size.0, self.recipe.input_size.1];
        match (self.flip.len(), input) {
            _ if is_lip(&self.recipe) => Resize::Fixed(input),
            (59 | 60, [480, 480] | [520, 520]) | (150 | 171, [520, 520]) => Resize::Short(520),
            _ => Resize::Keep,
        }
    }

    /// The official BASE_SIZE.
    fn official_base(&self) -> usize {
        let [h, w] = self.official_crop();
        if [h, w] == [480, 480] { 520 } else { h.max(w) }
    }

    /// The official size of windows: the training crop, but for Cityscapes, which is tested at its images' size.
    fn official_crop(&self) -> [usize; 2] {
        let (h, w) = self.recipe.input_size;
        if self.flip.len() == 19 && w == 2 * h { [1024, 2048] } else { [h, w] }
    }

    /// The windows of a scaled image and the network's input.
    fn windows(&mut self, size: [usize; 2], scale: f64, room: usize) -> Result<WindowPlan> {
        let whole = |input: [usize; 2]| WindowPlan {
            windows: vec![Window { x: 0, y: 0, width: size[1], height: size[0] }],
            size: input,
        };
        let official = self.options.protocol == Protocol::Official;
        match self.options.windows {
            Windows::Auto if official => self.official_windows(size, scale),
            Windows::Whole if official => Ok(whole(size)),
            Windows::Whole => Ok(whole(size.map(|v| v.next_multiple_of(ALIGN)))),
            Windows::Sliding { size: window, overlap } => sliding(size, window, overlap),
            Windows::Auto => {
                let padded = size.map(|v| v.next_multiple_of(ALIGN));
                if self.affordable(padded, 1, room, self.options.working)? {
                    return Ok(whole(padded));
                }
                // Less than for a whole image: large images themselves take memory.
                for side in SIDES {
                    let window = padded.map(|v| v.min(side));
                    if window == padded {
                        continue;
                    }
                    let plan = sliding(size, window, [side / 4; 2])?;
                    let columns = plan.windows.iter().take_while(|w| w.y == plan.windows[0].y).count();
                    // Two rows of windows are held while one fades into the next.
                    if self.affordable(plan.size, 2 * columns, room, self.options.working / 3 * 2)? {
                        return Ok(plan);
                    }
                }
                bail!(
                    "{} MB ({} MB of them for windows) do not hold the network even for windows of {} pixels; raise the \
                     bound on memory",
                    self.options.memory >> 20,
                    self.options.working.min(room) >> 20,
                    SIDES[SIDES.len() - 1]
                )
            }
        }
    }

    /// Whether the network for an input and so many of its outputs fit into so many bytes, and together with its packed
    /// weights into the room there is.
    fn affordable(&mut self, input: [usize; 2], outputs: usize, room: usize, working: usize) -> Result<bool> {
        let pixels = input[0].div_ceil(4) * input[1].div_ceil(4);
        let bytes = pixels.saturating_mul(self.flip.len() * 4).saturating_mul(outputs);
        if bytes > working {
            return Ok(false);
        }
        let needed = self.runner.needs([1, 3, input[0], input[1]])?;
        Ok(needed.is_some_and(|needs| {
            let grows = needs.arena.saturating_add(bytes);
            grows <= working && grows.saturating_add(needs.packed) <= room
        }))
    }

    fn official_windows(&self, size: [usize; 2], scale: f64) -> Result<WindowPlan> {
        let crop = self.official_crop();
        let whole = |input: [usize; 2]| WindowPlan {
            windows: vec![Window { x: 0, y: 0, width: size[1], height: size[0] }],
            size: input,
        };
        if crop[0] != crop[1] {
            // Cityscapes: an input is never filled up.
            if scale <= 1.0 {
                return Ok(whole(size));
            }
            let window = [crop[0].min(size[0]), crop[1].min(size[1])];
            return Ok(plan(size, window, window, 1, LastWindow::ShiftInward)?);
        }
        if size[0].max(size[1]) <= crop[0] {
            return Ok(whole(crop));
        }
        let stride = crop.map(|c| (c * 2 / 3).max(1));
        Ok(plan(size, crop, stride, 1, LastWindow::Pad)?)
    }
}

fn sliding(size: [usize; 2], window: [usize; 2], overlap: [usize; 2]) -> Result<WindowPlan> {
    let most = size.map(|v| v.next_multiple_of(ALIGN));
    let window = [0, 1].map(|i| window[i].next_multiple_of(ALIGN).min(most[i]));
    let step = |i: usize| {
        let overlap = (overlap[i] / ALIGN * ALIGN).min(window[i] - ALIGN);
        window[i] - overlap
    };
    Ok(plan(size, window, [step(0), step(1)], ALIGN, LastWindow::ShiftInward)?)
}

/// One side given, the other `int(other * side / of + 0.5)` as everywhere in the official code.
fn in_proportion(own: [usize; 2], side: usize, height_given: bool) -> [usize; 2] {
    let other = |other: usize, of: usize| ((other as f64 * side as f64 / of as f64 + 0.5) as usize).max(1);
    if height_given { [side, other(own[1], own[0])] } else { [other(own[0], own[1]), side] }
}

fn official_scale(base: [usize; 2], long: usize, scale: f64) -> [usize; 2] {
    let long = (long as f64 * scale + 0.5) as usize;
    in_proportion(base, long, base[0] > base[1])
}

fn is_lip(recipe: &Recipe) -> bool {
    recipe.model.head.outputs().1 == 20 && recipe.input_size == (473, 473)
}

fn check(options: &SegmentOptions) -> Result<()> {
    if options.scales.is_empty() || options.scales.len() > 32 {
        bail!("{} scales; give 1 to 32", options.scales.len());
    }
    if let Some(bad) = options.scales.iter().find(|s| !s.is_finite() || **s < 0.05 || **s > 16.0) {
        bail!("scale {bad}: scales are 0.05 to 16");
    }
    let sides: &[usize] = match &options.resize {
        Resize::Auto | Resize::Keep => &[],
        Resize::Short(side) | Resize::Long(side) => &[*side],
        Resize::Fixed(size) => size,
    };
    let windows: &[usize] = match &options.windows {
        Windows::Sliding { size, .. } => size,
        _ => &[],
    };
    let most = hrnet_ir::shape::MAX_SIDE;
    if let Some(bad) = sides.iter().chain(windows).find(|&&v| v == 0 || v > most) {
        bail!("a side of {bad} pixels; sides are 1 to {most}");
    }
    Ok(())
}
