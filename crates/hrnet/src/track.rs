//! Instances over the frames of a video: the same id for the same person or face, and smoothed points.
//!
//! [`Follow`] does both and keeps what the network gave in [`Instance::raw`]. Without either it changes nothing. Everything is a
//! function of the frames in their order; nothing depends on time of day or threads.

mod one_euro;

use crate::result::{FrameTime, ImageResult, Instance, Predicted};
use hrnet_data::codec::bottom_up::assign;
use hrnet_data::metric::oks::{PoseCandidate, oks};
use hrnet_data::sets::COCO17;

pub use one_euro::{OneEuro, Smoother, Smoothing};

/// How alike two instances are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// Object key point similarity of the points.
    Oks,
    /// Intersection over union of the boxes.
    Iou,
}

impl Likeness {
    /// Both.
    pub const ALL: &[Self] = &[Self::Oks, Self::Iou];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Oks => "oks",
            Self::Iou => "iou",
        }
    }

    /// What it is, in a few words.
    pub fn about(self) -> &'static str {
        match self {
            Self::Oks => "Object key point similarity of the points",
            Self::Iou => "Intersection over union of the boxes",
        }
    }
}

/// Settings of a [`Tracker`].
#[derive(Debug, Clone, PartialEq)]
pub struct TrackOptions {
    /// What is compared.
    pub by: Likeness,
    /// Instances less alike than this are different ones.
    pub threshold: f64,
    /// An instance that is not seen for more frames than this gets a new id when it comes back.
    pub memory: u64,
    /// Deviations of the points for OKS; empty for COCO's where there are 17 points, and 0.05 for each point elsewhere.
    pub sigmas: Vec<f64>,
    /// Points below this score do not count for OKS, if two or more are left.
    pub min_point_score: f32,
}

impl Default for TrackOptions {
    fn default() -> Self {
        Self { by: Likeness::Oks, threshold: 0.3, memory: 30, sigmas: Vec::new(), min_point_score: 0.2 }
    }
}

/// The sigma of points of which nothing is known.
const SIGMA: f64 = 0.05;
/// Share of the newest step in the estimate of the velocity.
const VELOCITY_SHARE: f64 = 0.5;
/// An instance that is out of sight is expected to go on moving for this many frames at most.
const COAST: f64 = 10.0;
/// Cost of a pair that may not be.
const FORBIDDEN: f64 = 1e6;

/// Gives ids to instances of successive frames: the assignment with the greatest sum of likeness, between the instances of this
/// frame and where those of the last frames are expected (constant velocity).
#[derive(Debug, Clone)]
pub struct Tracker {
    options: TrackOptions,
    next: u64,
    known: Vec<Known>,
}

/// An instance that was seen.
#[derive(Debug, Clone)]
struct Known {
    id: u64,
    points: Vec<[f64; 2]>,
    scores: Vec<f32>,
    bbox: [f64; 4],
    /// Pixels per frame.
    velocity: [f64; 2],
    seen: u64,
}

impl Tracker {
    /// A tracker that knows nobody; ids begin at 1.
    pub fn new(options: TrackOptions) -> Self {
        Self { options, next: 1, known: Vec::new() }
    }

    /// Forgets everybody; ids go on, so that none occurs twice in a call. For the next video.
    pub fn cut(&mut self) {
        self.known.clear();
    }

    /// Sets `track` of the instances of frame `frame`. Frames come in rising order; numbers may be missing.
    pub fn update(&mut self, frame: u64, instances: &mut [Instance]) {
        let memory = self.options.memory;
        self.known.retain(|k| k.seen < frame && frame - k.seen <= memory.saturating_add(1));
        let seen: Vec<Known> = instances.iter().map(|i| Known::of(i, frame)).collect();
        let (rows, tracks) = (seen.len(), self.known.len());
        // A column per known instance, and one per row for "new": as good as a pair at the threshold.
        let columns = tracks + rows;
        let mut cost = vec![FORBIDDEN; rows * columns];
        for (row, s) in seen.iter().enumerate() {
            for (column, k) in self.known.iter().enumerate() {
                let likeness = self.likeness(s, &k.expected(frame));
                if likeness >= self.options.threshold {
                    cost[row * columns + column] = 1.0 - likeness;
                }
            }
            cost[row * columns + tracks + row] = 1.0 - self.options.threshold + 1e-9;
        }
        let places = if rows == 0 { Vec::new() } else { assign(&cost, rows, columns) };
        for ((instance, mut s), place) in instances.iter_mut().zip(seen).zip(places) {
            match self.known.get_mut(place) {
                Some(known) => {
                    s.id = known.id;
                    s.velocity = known.velocity_to(&s);
                    *known = s;
                    instance.track = Some(known.id);
                }
                None => {
                    s.id = self.next;
                    self.next += 1;
                    instance.track = Some(s.id);
                    self.known.push(s);
                }
            }
        }
    }

    fn likeness(&self, a: &Known, b: &Known) -> f64 {
        match self.options.by {
            Likeness::Iou => iou(a.bbox, b.bbox),
            Likeness::Oks => self.oks(a, b),
        }
    }

    fn oks(&self, a: &Known, b: &Known) -> f64 {
        let n = a.points.len();
        if n != b.points.len() {
            return 0.0;
        }
        let finite = |i: usize| a.points[i].iter().chain(&b.points[i]).all(|v| v.is_finite());
        let sure = |i: usize| a.scores[i].min(b.scores[i]) >= self.options.min_point_score;
        let mut chosen: Vec<usize> = (0..n).filter(|&i| finite(i) && sure(i)).collect();
        if chosen.len() < 2 {
            chosen = (0..n).filter(|&i| finite(i)).collect();
        }
        let sigma = |i: usize| match (self.options.sigmas.get(i), n == COCO17.count) {
            (Some(&s), _) => s,
            (None, true) => COCO17.sigmas[i],
            (None, false) => SIGMA,
        };
        let sigmas: Vec<f64> = chosen.iter().map(|&i| sigma(i)).collect();
        let pose = |k: &Known| PoseCandidate {
            points: chosen.iter().map(|&i| k.points[i]).collect(),
            score: 0.0,
            area: k.area(),
        };
        oks(&pose(a), &pose(b), &sigmas)
    }
}

impl Known {
    fn of(instance: &Instance, frame: u64) -> Self {
        Self {
            id: 0,
            points: instance.points.iter().map(|p| p.at).collect(),
            scores: instance.points.iter().map(|p| p.score).collect(),
            bbox: instance.bbox,
            velocity: [0.0; 2],
            seen: frame,
        }
    }

    /// The extent of the points, or the box where there are none.
    fn extent(&self) -> [f64; 4] {
        let finite = self.points.iter().filter(|p| p.iter().all(|v| v.is_finite()));
        hrnet_data::dataset::model::extent(finite.copied()).unwrap_or(self.bbox)
    }

    fn area(&self) -> f64 {
        let [_, _, w, h] = self.extent();
        (w * h).max(1.0)
    }

    fn centre(&self) -> [f64; 2] {
        let [x, y, w, h] = self.extent();
        [x + w / 2.0, y + h / 2.0]
    }

    fn expected(&self, frame: u64) -> Self {
        let frames = ((frame - self.seen) as f64).min(COAST);
        let [dx, dy] = self.velocity.map(|v| v * frames);
        let mut moved = self.clone();
        moved.points.iter_mut().for_each(|[x, y]| (*x, *y) = (*x + dx, *y + dy));
        moved.bbox[0] += dx;
        moved.bbox[1] += dy;
        moved
    }

    fn velocity_to(&self, next: &Self) -> [f64; 2] {
        let frames = (next.seen - self.seen).max(1) as f64;
        let (from, to) = (self.centre(), next.centre());
        [0, 1].map(|axis| {
            let step = (to[axis] - from[axis]) / frames;
            let mixed = self.velocity[axis] + VELOCITY_SHARE * (step - self.velocity[axis]);
            if mixed.is_finite() { mixed } else { 0.0 }
        })
    }
}

/// Intersection over union of boxes `x y w h`.
pub fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let overlap =
        |axis: usize| ((a[axis] + a[axis + 2]).min(b[axis] + b[axis + 2]) - a[axis].max(b[axis])).max(0.0);
    let both = overlap(0) * overlap(1);
    let union = a[2] * a[3] + b[2] * b[3] - both;
    if union > 0.0 { both / union } else { 0.0 }
}

/// Tracking and smoothing of the results of a call, video by video.
#[derive(Debug, Clone, Default)]
pub struct Follow {
    tracker: Option<Tracker>,
    smoother: Option<Smoother>,
    clip: Option<usize>,
}

impl Follow {
    /// Smoothing needs ids; with smoothing alone ids are given, too.
    pub fn new(track: Option<TrackOptions>, smooth: Option<Smoothing>) -> Self {
        let track = track.or_else(|| smooth.map(|_| TrackOptions::default()));
        Self { tracker: track.map(Tracker::new), smoother: smooth.map(Smoother::new), clip: None }
    }

    /// Whether it does anything.
    pub fn is_on(&self) -> bool {
        self.tracker.is_some()
    }

    /// Adds ids and smooths, in place. `clip` numbers the videos of the call ([`crate::source::Frame::clip`]); images that belong
    /// to no video are left alone.
    pub fn update(&mut self, clip: Option<usize>, result: &mut ImageResult) {
        let (Some(clip), Some(FrameTime { index, seconds })) = (clip, result.frame) else { return };
        let (Some(tracker), Predicted::Instances(instances)) = (&mut self.tracker, &mut result.predicted)
        else {
            return;
        };
        if self.clip != Some(clip) {
            tracker.cut();
            if let Some(s) = &mut self.smoother {
                s.cut();
            }
            self.clip = Some(clip);
        }
        tracker.update(index, instances);
        if let Some(s) = &mut self.smoother {
            s.update(seconds, instances);
        }
    }
}

#[cfg(test)]
mod tests;
