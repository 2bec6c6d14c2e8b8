//! Bottom-up pose (HigherHRNet): all persons of an image in one look, without boxes.
//!
//! ```text
//! image -> short side to the input size, sides to multiples of 64, once per scale [geometry::bottom_up_crop]
//!       -> network, and again on the mirrored input                              [Runner]
//!       -> heat maps and tags at the size of scale 1, persons                     [codec::bottom_up]
//!       -> points of the image
//! ```
//!
//! Coordinates run through the published three-point map in both protocols: it is what the published weights learned,
//! and the half pixel that its targets drop is given back by the codec. The official protocol differs by its fixed-point
//! warp and by the habits that [`hrnet_data::codec::bottom_up`] lists.

use crate::error::{Context, Result, bail};
use crate::result::{Instance, Point, Predicted, Schema};
use crate::runner::Runner;
use crate::tasks::{Prediction, Request};
use crate::timing::TimeSplit;
use hrnet_data::codec::Protocol;
use hrnet_data::codec::bottom_up::{self as codec, Aggregator, Outputs, Person};
use hrnet_data::codec::heatmap::mirror_planes;
use hrnet_data::geometry::{bottom_up_crop, pose_affine, to_tensor};
use hrnet_formats::{Recipe, Task};
use hrnet_image::Image;
use hrnet_image::warp::{Affine, ColourMap, warp_bilinear_f32, warp_opencv_u8};
use hrnet_ir::{Head, Tensor, Weights};
use hrnet_kernels::Pool;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most values of all aggregated maps together: 1 GiB.
const MAX_VALUES: usize = 1 << 28;

/// How persons are looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Published habits, or what is right.
    pub protocol: Protocol,
    /// Average with the mirrored image; tags of both are kept.
    pub flip: bool,
    /// Sizes to look at, relative to the input size. Tags come from scale 1 alone, or from the only one.
    pub scales: Vec<f64>,
    /// Short side of the input in pixels; the recipe's where `None`.
    pub input: Option<usize>,
    /// A peak must be above this.
    pub detection_threshold: f32,
    /// A peak joins a person when its tag is nearer than this.
    pub tag_threshold: f64,
    /// Most persons, and most peaks of a joint.
    pub max_people: usize,
    /// Sub-pixel adjustment.
    pub adjust: bool,
    /// Search of the joints that a person lacks.
    pub refine: bool,
    /// Persons with a lower score are left out. Published: 0.
    pub min_score: f64,
}

impl Default for Options {
    fn default() -> Self {
        let published = codec::Options::new(17, Protocol::Default);
        Self {
            protocol: Protocol::Default,
            flip: true,
            scales: vec![1.0],
            input: None,
            detection_threshold: published.detection_threshold,
            tag_threshold: published.tag_threshold,
            max_people: published.max_people,
            adjust: published.adjust,
            refine: published.refine,
            min_score: 0.0,
        }
    }
}

/// Persons, with the time each part took.
#[derive(Clone, Debug, Default)]
pub struct Persons {
    /// In the order in which they were grouped.
    pub people: Vec<Instance>,
    /// Where the time went; nothing is read here. `post` contains `grouping`.
    pub time: TimeSplit,
    /// Aggregation of the maps, peaks, grouping and refinement.
    pub grouping: Duration,
    /// Width and height of the network's input at each scale, in the order of looking: largest first.
    pub inputs: Vec<[usize; 2]>,
}

/// A bottom-up model with everything needed to use it.
#[derive(Debug)]
pub struct BottomUp {
    runner: Runner,
    recipe: Recipe,
    schema: Schema,
    options: Options,
    decode: codec::Options,
    flip: Vec<usize>,
}

impl BottomUp {
    /// A model from weights and their recipe.
    pub fn new(weights: Weights, recipe: Recipe, pool: Arc<Pool>, options: Options) -> Result<Self> {
        let joints = match recipe.model.head {
            Head::Higher { joints } if recipe.task == Task::BottomUpPose => joints,
            head => {
                bail!("this is a model for {} ({:?}), not for bottom-up pose", head.family(), recipe.task)
            }
        };
        check(&options)?;
        let decode = codec::Options {
            detection_threshold: options.detection_threshold,
            tag_threshold: options.tag_threshold,
            max_people: options.max_people,
            adjust: options.adjust,
            refine: options.refine,
            ..codec::Options::new(joints, options.protocol)
        };
        let pairs: Vec<(usize, usize)> = recipe.flip_pairs.iter().map(|&[a, b]| (a, b)).collect();
        if options.flip && pairs.is_empty() && joints > 1 {
            bail!("the recipe has no flip pairs for its {joints} points: turn the flip test off");
        }
        let flip = hrnet_data::sets::flip_permutation(joints, &pairs);
        let net = recipe.model.build()?;
        let runner = Runner::new(&net, weights, pool)?;
        let schema = Schema::of(&recipe, joints);
        Ok(Self { runner, recipe, schema, options, decode, flip })
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Names, lines, pairs.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// How persons are looked for.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Points of a person.
    pub fn joints(&self) -> usize {
        self.flip.len()
    }

    pub(crate) fn predict_requests(&mut self, requests: &[Request]) -> Result<Vec<Prediction>> {
        let predict = |request: &Request| {
            let Persons { people, time, .. } = self.predict(request.image)?;
            Ok(Prediction { predicted: Predicted::Instances(people), time, stages: Vec::new() })
        };
        requests.iter().map(predict).collect()
    }

    /// Finds the persons of an image.
    pub fn predict(&mut self, image: &Image) -> Result<Persons> {
        let mut persons = Persons::default();
        let short = self.options.input.unwrap_or(self.recipe.input_size.0.min(self.recipe.input_size.1));
        let least = self.options.scales.iter().copied().fold(f64::INFINITY, f64::min);
        let window = |scale: f64| {
            bottom_up_crop(image.width(), image.height(), short, scale, least).with_context(|| {
                format!(
                    "an image of {}x{} cannot be looked at with a short side of {short} at scale {scale}: \
                     a side of the input would be 0 or above 16384",
                    image.width(),
                    image.height()
                )
            })
        };
        // Heat maps are collected at the size of scale 1, also where that is not among the scales.
        let ([width, height], base) = window(1.0)?;
        if width.saturating_mul(height).saturating_mul(self.joints()) > MAX_VALUES {
            bail!("an image of {}x{} needs maps of {width}x{height}; cut it", image.width(), image.height());
        }
        let mut sum = Aggregator::new([height, width], &self.flip)?;
        let mut scales = self.options.scales.clone();
        scales.sort_by(|a, b| b.total_cmp(a));
        for &scale in &scales {
            let ([w, h], rule) = window(scale)?;
            persons.inputs.push([w, h]);
            let started = Instant::now();
            let to_input = pose_affine(&rule, 0.0, w, h).context("the image has no size")?;
            let input = self.input(image, &to_input, w, h)?;
            persons.time.pre += started.elapsed();

            let started = Instant::now();
            let plain = self.runner.run(&input)?;
            let mut mirrored = None;
            if self.options.flip {
                let mut other = input;
                mirror_planes(other.data_mut(), w);
                mirrored = Some(self.runner.run(&other)?);
            }
            persons.time.network += started.elapsed();

            let started = Instant::now();
            let with_tags = scale == 1.0 || scales.len() == 1;
            let flipped = mirrored.as_deref().map(outputs).transpose()?;
            sum.add(outputs(&plain)?, flipped, with_tags)?;
            persons.grouping += started.elapsed();
        }
        let started = Instant::now();
        let people = codec::decode(&sum.finish()?, &self.decode)?;
        persons.grouping += started.elapsed();
        let started = Instant::now();
        let back = pose_affine(&base, 0.0, width, height).and_then(|m| m.inverse());
        let back = back.context("the image has no size")?;
        let instances = people.iter().map(|p| instance(p, &back, self.options.protocol));
        persons.people = instances.filter(|i| i.score >= self.options.min_score).collect();
        persons.time.post = persons.grouping + started.elapsed();
        Ok(persons)
    }

    /// The normalised input of a scale.
    fn input(&self, image: &Image, to_input: &Affine, w: usize, h: usize) -> Result<Tensor> {
        let (mean, std) = (self.recipe.mean.map(|v| v as f32), self.recipe.std.map(|v| v as f32));
        if self.options.protocol == Protocol::Official {
            return Ok(to_tensor(&warp_opencv_u8(image, to_input, w, h), mean, std));
        }
        let mut data = vec![0.0; 3 * h * w];
        warp_bilinear_f32(image, to_input, w, h, &ColourMap::normalise(mean, std), &mut data);
        Ok(Tensor::new([1, 3, h, w], data)?)
    }
}

fn check(options: &Options) -> Result<()> {
    let scales = &options.scales;
    if scales.is_empty() || scales.iter().any(|s| !(0.05..=8.0).contains(s)) {
        bail!("scales {scales:?}: give one or more from 0.05 to 8");
    }
    let mut sorted = scales.clone();
    sorted.sort_by(f64::total_cmp);
    if sorted.windows(2).any(|p| p[0] == p[1]) {
        bail!("scales {scales:?}: give each once");
    }
    if scales.len() > 1 && !scales.contains(&1.0) {
        bail!("scales {scales:?}: scale 1 must be among them, since tags come from it alone");
    }
    if options.input.is_some_and(|n| !(64..=8192).contains(&n)) {
        bail!("the short side of the input must be 64 to 8192 pixels, not {:?}", options.input);
    }
    Ok(())
}

/// The two outputs of the network for one image.
fn outputs(tensors: &[Tensor]) -> Result<Outputs<'_>> {
    let [low, high] = tensors else { bail!("the network has {} outputs, want 2", tensors.len()) };
    let size = |t: &Tensor| t.dims4().map(|[_, _, h, w]| [h, w]).context("the network gave no maps");
    Ok(Outputs { low: low.data(), low_size: size(low)?, high: high.data(), high_size: size(high)? })
}

/// A person in image pixels. A joint that was not found has score 0; it is at (0, 0), or, in the official protocol, where the
/// map sends (0, 0).
fn instance(person: &Person, back: &Affine, protocol: Protocol) -> Instance {
    let official = protocol == Protocol::Official;
    let place = |j: &codec::Joint| {
        let found = j.score > 0.0 || official;
        Point { at: if found { back.apply([j.x, j.y]) } else { [0.0; 2] }, score: j.score }
    };
    let points: Vec<Point> = person.joints.iter().map(place).collect();
    // The published box is the extent of all points, missing ones included.
    let within = points.iter().filter(|p| p.score > 0.0 || official).map(|p| p.at);
    let [x0, y0, x1, y1] = hrnet_data::dataset::model::extent(within).unwrap_or_default();
    Instance {
        bbox: [x0, y0, x1 - x0, y1 - y0],
        score: f64::from(person.score),
        points,
        track: None,
        raw: None,
    }
}
