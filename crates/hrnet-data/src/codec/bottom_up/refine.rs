//! Positions between pixels, and joints that no peak was found for.
//!
//! A missing joint is the pixel with the largest `heat - round(|tag - mean tag of the person|)`. No pixel of a tile can have more
//! than the tile's largest heat less the rounded distance of the mean tag from the range of the tile's tags. Tiles are taken in
//! the order of these bounds, first in squares of 4x4 tiles, until none reaches the best value. The result is that of the full
//! search.

use super::super::Protocol;
use super::group::Group;
use super::maps::{TILE, Window};
use super::{Aggregated, Joint, Options, Person};
use std::collections::BinaryHeap;
use std::ops::Range;

/// Tiles along the side of a square of tiles.
const SQUARE: usize = 4;

/// What the tiles of a joint's maps hold at most, and the same of squares of tiles.
struct Bounds {
    per_row: usize,
    tiles: Level,
    squares_per_row: usize,
    squares: Level,
}

struct Level {
    heat: Vec<f32>,
    /// Least and greatest tag of each part.
    tags: Vec<[Vec<f32>; 2]>,
}

impl Bounds {
    fn new(maps: &Aggregated, joint: usize, heat: Vec<f32>) -> Self {
        let per_row = maps.width.div_ceil(TILE);
        let tags: Vec<_> = (0..maps.tag_len()).map(|part| maps.tag_bounds(part, joint)).collect();
        let squares_per_row = per_row.div_ceil(SQUARE);
        let smaller = |a: f32, b: f32| if b < a { b } else { a };
        let larger = |a: f32, b: f32| if b > a { b } else { a };
        let squares = Level {
            heat: squares(&heat, per_row, f32::NEG_INFINITY, larger),
            tags: tags
                .iter()
                .map(|[low, high]| {
                    [
                        squares(low, per_row, f32::INFINITY, smaller),
                        squares(high, per_row, f32::NEG_INFINITY, larger),
                    ]
                })
                .collect(),
        };
        Self { per_row, tiles: Level { heat, tags }, squares_per_row, squares }
    }
}

/// The fold over the tiles of each square.
fn squares(tiles: &[f32], per_row: usize, start: f32, join: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let mut out = Vec::new();
    for rows in tiles.chunks(SQUARE * per_row) {
        let first = out.len();
        out.resize(first + per_row.div_ceil(SQUARE), start);
        for row in rows.chunks_exact(per_row) {
            for (out, part) in out[first..].iter_mut().zip(row.chunks(SQUARE)) {
                *out = part.iter().fold(*out, |a, &b| join(a, b));
            }
        }
    }
    out
}

impl Level {
    /// For each entry of a range, what no value of it exceeds; the entries of `out` become one for each.
    fn bounds(&self, range: Range<usize>, tag: &[f32], out: &mut Vec<f32>) {
        let larger = |a: f32, b: f32| if a > b { a } else { b };
        out.clear();
        out.resize(range.len(), 0.0);
        for ([low, high], &mean) in self.tags.iter().zip(tag) {
            for ((out, low), high) in out.iter_mut().zip(&low[range.clone()]).zip(&high[range.clone()]) {
                // Interpolation and distance are rounded to 32 bits: some 1e-6 of the numbers. What is not a number ends as 0.
                let slack = 1e-5 * larger(larger(low.abs(), high.abs()), mean.abs());
                let apart = larger(larger(low - mean, mean - high) - slack, 0.0);
                *out += apart * apart;
            }
        }
        for (out, heat) in out.iter_mut().zip(&self.heat[range]) {
            let square = *out * (1.0 - 1e-5);
            let far = square.sqrt() * (1.0 - 1e-5) - 0.5;
            // The rounded distance, or less.
            let least = if square > 2.25 { far } else { 1.0 };
            let least = if square > 0.25 { least } else { 0.0 };
            let bound = heat - least;
            // Infinities of both signs bound nothing.
            *out = if bound.is_nan() { f32::INFINITY } else { bound };
        }
    }
}

/// Heat less the distance, rounded to a whole number, ties to even.
fn values(heat: &[f32], squares: &[f32], out: &mut [f32]) {
    // At this size numbers have no fraction: adding rounds, by the same rule, without a call.
    const WHOLE: f32 = 8_388_608.0;
    if squares.iter().all(|s| *s < 1e13) {
        for ((out, v), square) in out.iter_mut().zip(heat).zip(squares) {
            *out = v - ((square.sqrt() + WHOLE) - WHOLE);
        }
    } else {
        for ((out, v), square) in out.iter_mut().zip(heat).zip(squares) {
            *out = v - square.sqrt().round_ties_even();
        }
    }
}

/// Something to look at: the greatest bound first, then the first entry.
#[derive(PartialEq)]
struct Due {
    bound: f32,
    square: bool,
    i: usize,
}

impl Eq for Due {}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bound.total_cmp(&other.bound).then(other.i.cmp(&self.i)).then(self.square.cmp(&other.square))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The search of one joint.
pub(super) struct Search<'a> {
    maps: &'a Aggregated,
    joint: usize,
    bounds: Bounds,
    /// Where a tile's values begin in `values`, once they are made.
    made: Vec<Option<usize>>,
    values: Vec<f32>,
    window: Window,
    due: BinaryHeap<Due>,
    /// Bounds of squares, then of tiles.
    room: Vec<f32>,
}

impl<'a> Search<'a> {
    /// `heat` has the bounds of the joint's heat map.
    pub fn new(maps: &'a Aggregated, joint: usize, heat: Vec<f32>) -> Self {
        Self {
            maps,
            joint,
            made: vec![None; heat.len()],
            bounds: Bounds::new(maps, joint, heat),
            values: Vec::new(),
            window: Window::default(),
            due: BinaryHeap::new(),
            room: Vec::new(),
        }
    }

    /// The heat of a tile's pixels, then each part of their tags, `TILE * TILE` values each (fewer at the edges), and its place.
    fn tile(&mut self, i: usize) -> (usize, [usize; 4]) {
        let (x, y) = (i % self.bounds.per_row * TILE, i / self.bounds.per_row * TILE);
        let (columns, rows) = (x..(x + TILE).min(self.maps.width), y..(y + TILE).min(self.maps.height));
        let place = [x, y, columns.len(), rows.len()];
        if let Some(at) = self.made[i] {
            return (at, place);
        }
        let at = self.values.len();
        self.made[i] = Some(at);
        self.maps.window(self.joint, columns.clone(), rows.clone(), &mut self.window);
        self.values.extend_from_slice(&self.window.heat);
        let n = self.window.heat.len();
        self.values.resize(at + n * (1 + self.maps.tag_len()), 0.0);
        for part in 0..self.maps.tag_len() {
            let from = at + n * (1 + part);
            let out = &mut self.values[from..from + n];
            self.maps.tag_window(part, self.joint, columns.clone(), rows.clone(), out);
        }
        (at, place)
    }

    /// The first pixel with the largest value; `None` when no value is a number.
    fn best(&mut self, group: &Group, tag: &[f32]) -> Option<(usize, usize)> {
        let (maps, width) = (self.maps, self.maps.width);
        let mut best: Option<(f32, usize)> = None;
        let visit = |best: &mut Option<(f32, usize)>, value: f32, i: usize| {
            let better = match *best {
                None => !value.is_nan(),
                Some((v, at)) => value > v || (value == v && i < at),
            };
            if better {
                *best = Some((value, i));
            }
        };
        // Near the person's other joints tags are near: a good bound from the start.
        for &(x, y, _) in group.joints.iter().flatten() {
            let square = tag.iter().enumerate().fold(0.0, |square, (part, mean)| {
                let t = maps.tag(part, self.joint, x, y);
                square + (t - mean) * (t - mean)
            });
            let distance = f32::sqrt(square).round_ties_even();
            visit(&mut best, maps.heat_at(self.joint, x, y) - distance, y * width + x);
        }
        self.due.clear();
        self.bounds.squares.bounds(0..self.bounds.squares.heat.len(), tag, &mut self.room);
        for (i, &bound) in self.room.iter().enumerate() {
            if best.is_none_or(|(v, _)| bound >= v) {
                self.due.push(Due { bound, square: true, i });
            }
        }
        while let Some(next) = self.due.pop() {
            if best.is_some_and(|(v, _)| next.bound < v) {
                break;
            }
            if next.square {
                let (rows, columns) =
                    (next.i / self.bounds.squares_per_row, next.i % self.bounds.squares_per_row);
                let (per_row, tiles) = (self.bounds.per_row, self.bounds.tiles.heat.len());
                let columns = columns * SQUARE..((columns + 1) * SQUARE).min(per_row);
                for first in (rows * SQUARE..(rows + 1) * SQUARE).map(|r| r * per_row).filter(|&f| f < tiles)
                {
                    let range = first + columns.start..first + columns.end;
                    self.bounds.tiles.bounds(range.clone(), tag, &mut self.room);
                    for (i, &bound) in range.zip(&self.room) {
                        if best.is_none_or(|(v, _)| bound >= v) {
                            self.due.push(Due { bound, square: false, i });
                        }
                    }
                }
                continue;
            }
            let (at, [x, y, across, down]) = self.tile(next.i);
            let n = across * down;
            let heat = &self.values[at..at + n];
            let mut square = [0.0f32; TILE * TILE];
            for (part, mean) in tag.iter().enumerate() {
                let tags = &self.values[at + n * (1 + part)..at + n * (2 + part)];
                square.iter_mut().zip(tags).for_each(|(s, t)| *s += (t - mean) * (t - mean));
            }
            let mut value = [0.0f32; TILE * TILE];
            values(heat, &square[..n], &mut value[..n]);
            let most = value[..n].iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
            if best.is_none_or(|(v, _)| most >= v) {
                for (i, &value) in value[..n].iter().enumerate() {
                    visit(&mut best, value, (y + i / across) * width + x + i % across);
                }
            }
        }
        best.map(|(_, i)| (i % width, i / width))
    }

    /// The joint of the persons that lack it, or nothing.
    pub fn complete(
        &mut self,
        groups: &[Group],
        tags: &[Vec<f32>],
        people: &mut [Person],
        protocol: Protocol,
    ) {
        for ((group, tag), person) in groups.iter().zip(tags).zip(people) {
            if group.joints[self.joint].is_none()
                && let Some((x, y)) = self.best(group, tag)
            {
                let value = self.maps.heat_at(self.joint, x, y);
                if value > 0.0 && value.is_finite() {
                    let [dx, dy] = offset(self.maps, self.joint, x, y, protocol);
                    person.joints[self.joint] =
                        Joint { x: x as f64 + 0.5 + dx, y: y as f64 + 0.5 + dy, score: value };
                }
            }
        }
    }
}

/// The person of a group, with the joints that were found.
pub(super) fn person(maps: &Aggregated, group: &Group, options: &Options) -> Person {
    let place = |joint: usize, x: usize, y: usize, score: f32| {
        let [dx, dy] = if options.adjust { offset(maps, joint, x, y, options.protocol) } else { [0.0; 2] };
        // Without adjustment the official code leaves whole pixels.
        let half = if options.adjust { 0.5 } else { 0.0 };
        Joint { x: x as f64 + half + dx, y: y as f64 + half + dy, score }
    };
    let joints: Vec<Joint> = group
        .joints
        .iter()
        .enumerate()
        .map(|(j, at)| at.map_or_else(Joint::default, |(x, y, score)| place(j, x, y, score)))
        .collect();
    let total: f64 = joints.iter().map(|j| f64::from(j.score)).sum();
    let score = (total / joints.len() as f64) as f32;
    Person { joints, score }
}

/// The mean of the tags at the person's own joints.
pub(super) fn mean_tag(maps: &Aggregated, group: &Group) -> Vec<f32> {
    let parts = maps.tag_len();
    let mut mean = vec![0.0f32; parts];
    let mut n = 0.0f32;
    for (joint, &(x, y, _)) in group.joints.iter().enumerate().filter_map(|(j, at)| Some((j, at.as_ref()?))) {
        for (part, mean) in mean.iter_mut().enumerate() {
            *mean += maps.tag(part, joint, x, y);
        }
        n += 1.0;
    }
    mean.iter_mut().for_each(|v| *v /= n);
    mean
}

/// The offset of the position from a pixel.
fn offset(maps: &Aggregated, joint: usize, x: usize, y: usize, protocol: Protocol) -> [f64; 2] {
    let (width, height) = (maps.width, maps.height);
    let at = |x: usize, y: usize| f64::from(maps.heat_at(joint, x, y));
    let (left, right) = (at(x.saturating_sub(1), y), at((x + 1).min(width - 1), y));
    let (up, down) = (at(x, y.saturating_sub(1)), at(x, (y + 1).min(height - 1)));
    let here = at(x, y);
    let axis = |low: f64, high: f64, inside: bool| match protocol {
        Protocol::Official => {
            if high > low {
                0.25
            } else {
                -0.25
            }
        }
        Protocol::Default => {
            let bend = 2.0 * here - low - high;
            let shift = (high - low) / (2.0 * bend);
            if inside && bend > 0.0 && shift.is_finite() { shift.clamp(-0.5, 0.5) } else { 0.0 }
        }
    };
    [axis(left, right, x > 0 && x + 1 < width), axis(up, down, y > 0 && y + 1 < height)]
}
