//! Bottom-up pose (HigherHRNet, associative embedding): from two resolutions of maps to persons.
//!
//! ```text
//! low [2 J, h, w] (heat, tags), high [J, 2h, 2w] (heat)        per scale, plain and mirrored
//!   -> heat: low up-sampled to high, mean; mean with the mirrored; up-sampled to the input's size; mean over scales
//!   -> tags: scale 1 only, up-sampled; one value per pass, so two with a flip test         [aggregate]
//!   -> peaks: pixels that are the maximum of their 5x5 window, best 30 per joint, above 0.1 [peaks]
//!   -> joint by joint: peaks are assigned to persons by tag distance       [group, assign]
//!   -> sub-pixel adjustment; score = mean over all joints, missing ones as 0
//!   -> missing joints: the pixel where `heat - round(tag distance)` is largest              [refine]
//! ```
//!
//! Points are pixels of the aggregated maps, plus 1/2: the training targets truncate to whole pixels, so a pixel stands for the
//! half-open square right and below of it, in both protocols. They go back to the image by the inverse of
//! [`crate::geometry::pose_affine`] with the rule of [`crate::geometry::bottom_up_crop`].
//!
//! [`Protocol::Official`] repeats these habits of the published code, which the default mends:
//!
//! * all pixels of a plateau are peaks (default: its first);
//! * persons whose first tags are equal numbers become one (default: never);
//! * the cost of an assignment is `100 round(d) - score`, so persons within half a tag are alike (default: `d` added);
//! * a joint moves by a quarter pixel on each axis even where both neighbours are equal (default: vertex of the parabola);
//! * persons beyond `max_people` are created, but never extended (default: not created).
//!
//! Where several assignments cost the same, which is common with whole distances, the official protocol takes the one that the
//! published code's solver (the package munkres 1.x) finds (`munkres`).
//!
//! Neither heat maps nor tags ever exist at full size: they are interpolated where they are read (`maps`).

use super::Protocol;

mod aggregate;
mod assign;
mod group;
mod maps;
mod munkres;
mod peaks;
mod refine;

pub use aggregate::{Aggregator, Outputs};
pub use assign::assign;
pub use maps::Aggregated;

/// Why maps are not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BottomUpError {
    /// The number of values is not that of the shape.
    #[error("{what}: {values} values are not {maps} maps of {width}x{height}")]
    Shape {
        /// Which output.
        what: &'static str,
        /// Values given.
        values: usize,
        /// Maps expected.
        maps: usize,
        /// Width.
        width: usize,
        /// Height.
        height: usize,
    },
    /// A size is zero or absurd.
    #[error(
        "maps of {joints} joints of {width}x{height}: numbers must be above 0 and the product below 2^30"
    )]
    Size {
        /// Joints.
        joints: usize,
        /// Width.
        width: usize,
        /// Height.
        height: usize,
    },
    /// The options contradict the maps.
    #[error("{0}")]
    Options(String),
    /// Nothing was added, or no scale had tags.
    #[error("no scale with tags was added; add the outputs of scale 1 with tags")]
    NoTags,
}

/// How persons are found.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// A peak must be above this.
    pub detection_threshold: f32,
    /// A peak joins a person when its tag is nearer than this.
    pub tag_threshold: f64,
    /// Peaks per joint, and persons that can be extended.
    pub max_people: usize,
    /// Side of the window of which a peak is the maximum, odd.
    pub nms_kernel: usize,
    /// Joints in the order of grouping.
    pub joint_order: Vec<usize>,
    /// Sub-pixel adjustment of the peaks.
    pub adjust: bool,
    /// Search of missing joints.
    pub refine: bool,
    /// Quirks or not.
    pub protocol: Protocol,
}

impl Options {
    /// The published settings for a number of joints: head and shoulders, hips, arms, legs.
    pub fn new(joints: usize, protocol: Protocol) -> Self {
        const ORDER: [usize; 17] = [0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16];
        let joint_order = match joints {
            14..=17 => ORDER.into_iter().filter(|&j| j < joints).collect(),
            _ => (0..joints).collect(),
        };
        Self {
            detection_threshold: 0.1,
            tag_threshold: 1.0,
            max_people: 30,
            nms_kernel: 5,
            joint_order,
            adjust: true,
            refine: true,
            protocol,
        }
    }

    fn check(&self, joints: usize) -> Result<(), BottomUpError> {
        let mut order = self.joint_order.clone();
        order.sort_unstable();
        if order != (0..joints).collect::<Vec<_>>() {
            let text = format!("the order of joints must name each of 0..{joints} once");
            return Err(BottomUpError::Options(text));
        }
        if self.nms_kernel.is_multiple_of(2) || self.nms_kernel > 99 || !(1..=1000).contains(&self.max_people)
        {
            let text = "the window of peaks must be odd and at most 99, the number of people 1 to 1000";
            return Err(BottomUpError::Options(text.into()));
        }
        if self.detection_threshold.is_nan() || self.tag_threshold.is_nan() {
            return Err(BottomUpError::Options("a threshold is not a number".into()));
        }
        Ok(())
    }
}

/// A joint of a person.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Joint {
    /// Position in the aggregated maps.
    pub x: f64,
    /// Position in the aggregated maps.
    pub y: f64,
    /// Value of the heat map; 0 for a missing joint, whose position is (0, 0).
    pub score: f32,
}

/// A person.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// One entry per joint.
    pub joints: Vec<Joint>,
    /// Mean of the scores of all joints, missing ones as 0, before missing joints are searched.
    pub score: f32,
}

/// Finds the persons.
pub fn decode(maps: &Aggregated, options: &Options) -> Result<Vec<Person>, BottomUpError> {
    options.check(maps.joints)?;
    let bounds: Vec<Vec<f32>> = (0..maps.joints).map(|joint| maps.heat_bounds(joint)).collect();
    let found: Vec<_> =
        bounds.iter().enumerate().map(|(j, bounds)| peaks::find(maps, j, bounds, options)).collect();
    let groups = group::group(maps, &found, options);
    let mut people: Vec<Person> = groups.iter().map(|g| refine::person(maps, g, options)).collect();
    if options.refine {
        let tags: Vec<Vec<f32>> = groups.iter().map(|g| refine::mean_tag(maps, g)).collect();
        for (joint, bounds) in bounds.iter().enumerate() {
            if groups.iter().any(|g| g.joints[joint].is_none()) {
                let mut search = refine::Search::new(maps, joint, bounds);
                search.complete(&groups, &tags, &mut people, options.protocol);
            }
        }
    }
    Ok(people)
}

#[cfg(test)]
mod tests;
