//! Where a top-down model looks: the boxes of every image of a set, from the labels, from a detector, or the whole image.
//!
//! | boxes | default | official |
//! |---|---|---|
//! | annotated, with `bbox` | as annotated | clipped by the published rule, which takes one pixel off width and height |
//! | annotated, MPII | about the annotated centre | the centre moved down by 15 scale |
//! | annotated, without either | extent of the labelled points | the same |
//! | detections | as given, above the score | the same |
//!
//! Persons without a labelled point are not looked at, nor are crowds: no metric counts them.

use super::box_of;
use hrnet_data::codec::Protocol;
use hrnet_data::dataset::coco::{Detection, detections_by_image, official_training};
use hrnet_data::dataset::model::{PoseSample, PoseSet, box_about};
use hrnet_data::dataset::mpii;

/// Where boxes come from.
#[derive(Clone, Copy, Debug)]
pub enum BoxSource<'a> {
    /// The labels.
    Annotated,
    /// A detection file, from a score on. Published: all.
    Detections {
        /// Its entries.
        entries: &'a [Detection],
        /// The least score.
        least: f64,
        /// Only this category, person in COCO; all where `None`.
        category: Option<i64>,
    },
    /// The whole image.
    WholeImage,
}

/// A box to look in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlannedBox {
    /// x, y, width, height; `None` for the whole image.
    pub bbox: Option<[f64; 4]>,
    /// The score of the box; 1 for labels and the whole image.
    pub score: f64,
    /// The labelled person, where the box is its label.
    pub sample: Option<usize>,
}

impl PlannedBox {
    /// The box, for an image of this width and height.
    pub fn within(&self, width: usize, height: usize) -> [f64; 4] {
        self.bbox.unwrap_or([0.0, 0.0, width as f64, height as f64])
    }
}

/// The boxes of every image.
#[derive(Clone, Debug, PartialEq)]
pub struct PosePlan {
    images: Vec<Vec<PlannedBox>>,
    source: String,
    left_out: usize,
}

impl PosePlan {
    /// The boxes of a set.
    pub fn new(set: &PoseSet, source: BoxSource<'_>, protocol: Protocol) -> Self {
        let mut images = vec![Vec::new(); set.images.len()];
        let mut left_out = 0;
        let source = match source {
            BoxSource::Annotated => {
                for (sample, bbox) in annotated(set, protocol) {
                    images[set.samples[sample].image].push(PlannedBox {
                        bbox: Some(bbox),
                        score: 1.0,
                        sample: Some(sample),
                    });
                }
                left_out = set.samples.len() - images.iter().map(Vec::len).sum::<usize>();
                match protocol {
                    Protocol::Official => "annotated boxes, clipped by the published rule".to_string(),
                    Protocol::Default => "annotated boxes".to_string(),
                }
            }
            BoxSource::Detections { entries, least, category } => {
                let (by_image, elsewhere) = detections_by_image(set, entries);
                left_out = elsewhere;
                for (image, found) in by_image.iter().enumerate() {
                    for d in found {
                        let score = d.score.unwrap_or(1.0);
                        let wanted = category.is_none_or(|c| d.category_id == c) && score >= least;
                        match d.bbox.filter(|b| wanted && b[2] > 0.0 && b[3] > 0.0) {
                            Some(bbox) => {
                                images[image].push(PlannedBox { bbox: Some(bbox), score, sample: None })
                            }
                            None => left_out += 1,
                        }
                    }
                }
                format!("detections with a score of at least {least}")
            }
            BoxSource::WholeImage => {
                images.fill(vec![PlannedBox { bbox: None, score: 1.0, sample: None }]);
                "the whole image".to_string()
            }
        };
        Self { images, source, left_out }
    }

    /// The boxes of an image, by its index in the set.
    pub fn boxes(&self, image: usize) -> &[PlannedBox] {
        self.images.get(image).map_or(&[], Vec::as_slice)
    }

    /// Images with at least one box, and their boxes; the others have nothing to look at.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[PlannedBox])> {
        self.images.iter().enumerate().filter(|(_, b)| !b.is_empty()).map(|(i, b)| (i, b.as_slice()))
    }

    /// Boxes of all images.
    pub fn len(&self) -> usize {
        self.images.iter().map(Vec::len).sum()
    }

    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the boxes come from, in words: the setting `box_source`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Labels or detections that gave no box.
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

/// Sample and box of every labelled person that is looked at.
fn annotated(set: &PoseSet, protocol: Protocol) -> Vec<(usize, [f64; 4])> {
    let sized =
        |s: &PoseSample| s.bbox.is_some() && set.images.get(s.image).is_some_and(|i| i.size.is_some());
    if protocol == Protocol::Official && set.samples.iter().all(sized) {
        // The published loader asks for an area; sets without one have that of the box.
        let filled = PoseSet {
            samples: set
                .samples
                .iter()
                .map(|s| PoseSample { area: s.area.or_else(|| s.bbox.map(|b| b[2] * b[3])), ..s.clone() })
                .collect(),
            ..set.clone()
        };
        return official_training(&filled);
    }
    let place = |s: &PoseSample| match protocol {
        // The published factor of 1.25 is the padding that every box gets; only the shift is left.
        Protocol::Official if s.bbox.is_none() => {
            mpii::official_centre_scale(s).map(|(c, scale)| box_about(c, scale / 1.25)).or_else(|| box_of(s))
        }
        _ => box_of(s),
    };
    let kept = |(i, s): (usize, &PoseSample)| {
        let bbox = place(s).filter(|b| b[2] > 0.0 && b[3] > 0.0)?;
        (!s.crowd && s.labelled() > 0).then_some((i, bbox))
    };
    set.samples.iter().enumerate().filter_map(kept).collect()
}
