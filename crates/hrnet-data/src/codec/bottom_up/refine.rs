//! Positions between pixels, and joints that no peak was found for.
//!
//! A missing joint is the pixel with the largest `heat - round(|tag - mean tag of the person|)`. No pixel of a tile can have more
//! than the tile's largest heat less the rounded distance of the mean tag from the range of the tile's tags. Squares of 4x4 tiles
//! are taken in the order of their bounds, and the tiles of a square in the order of theirs, until none reaches the best value.
//! The result is that of the full search. The values of a tile are kept for the next person, and its bounds made exact.

use super::super::Protocol;
use super::group::Group;
use super::maps::{TILE, Window};
use super::{Aggregated, Joint, Options, Person};
use std::ops::Range;

/// Tiles along the side of a square of tiles.
const SQUARE: usize = 4;

/// Squares whose greatest bound is kept.
const ROW: usize = 16;

/// Tiles of a square.
const TILES: usize = SQUARE * SQUARE;

/// What the tiles of a joint's maps hold at most, and the same of squares of tiles. The tiles of a square stand together, row by
/// row; those beyond the maps hold nothing.
struct Bounds {
    squares_per_row: usize,
    tiles: Level,
    squares: Level,
}

struct Level {
    heat: Vec<f32>,
    /// Least and greatest tag of each part.
    tags: Vec<[Vec<f32>; 2]>,
}

impl Bounds {
    fn new(maps: &Aggregated, joint: usize, heat: &[f32]) -> Self {
        let per_row = maps.width.div_ceil(TILE);
        let squares_per_row = per_row.div_ceil(SQUARE);
        let tags = (0..maps.tag_len()).map(|part| {
            let [low, high] = maps.tag_bounds(part, joint);
            [by_square(&low, per_row, f32::INFINITY), by_square(&high, per_row, f32::NEG_INFINITY)]
        });
        let tiles = Level { heat: by_square(heat, per_row, f32::NEG_INFINITY), tags: tags.collect() };
        let least =
            |tiles: &[f32]| tiles.chunks_exact(TILES).map(|t| lanes(t, f32::INFINITY, smaller)).collect();
        let greatest = |tiles: &[f32]| tiles.chunks_exact(TILES).map(most).collect();
        let squares = Level {
            heat: greatest(&tiles.heat),
            tags: tiles.tags.iter().map(|[low, high]| [least(low), greatest(high)]).collect(),
        };
        Self { squares_per_row, tiles, squares }
    }

    /// The first column and row of a tile, in tiles.
    fn place(&self, i: usize) -> [usize; 2] {
        let (square, tile) = (i / TILES, i % TILES);
        let [x, y] = [square % self.squares_per_row, square / self.squares_per_row];
        [x * SQUARE + tile % SQUARE, y * SQUARE + tile / SQUARE]
    }
}

/// Tiles, given row by row, in the order of their squares; `nothing` where there is none.
fn by_square(tiles: &[f32], per_row: usize, nothing: f32) -> Vec<f32> {
    let mut out = Vec::new();
    for rows in tiles.chunks(SQUARE * per_row) {
        let first = out.len();
        out.resize(first + per_row.div_ceil(SQUARE) * TILES, nothing);
        let squares = &mut out[first..];
        for (y, row) in rows.chunks_exact(per_row).enumerate() {
            for (square, part) in squares.chunks_exact_mut(TILES).zip(row.chunks(SQUARE)) {
                square[y * SQUARE..y * SQUARE + part.len()].copy_from_slice(part);
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

/// Heat less the distance, rounded to a whole number, ties to even; and what none of these values exceeds, NaN aside.
fn values(heat: &[f32], squares: &[f32], out: &mut [f32]) -> f32 {
    // At this size numbers have no fraction: adding rounds, by the same rule, without a call.
    const WHOLE: f32 = 8_388_608.0;
    if most(squares) < 1e13 {
        for ((out, v), square) in out.iter_mut().zip(heat).zip(squares) {
            *out = v - ((square.sqrt() + WHOLE) - WHOLE);
        }
    } else {
        for ((out, v), square) in out.iter_mut().zip(heat).zip(squares) {
            *out = v - square.sqrt().round_ties_even();
        }
    }
    most(out)
}

#[inline]
fn smaller(a: f32, b: f32) -> f32 {
    if b < a { b } else { a }
}

#[inline]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// The fold over values, many at a time: for folds to which the order does not matter.
#[inline]
fn lanes(values: &[f32], start: f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut lanes = [start; 16];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(a, &b)| *a = join(*a, b));
    }
    lanes.iter().chain(rest).fold(start, |a, &b| join(a, b))
}

/// The greatest value; NaN counts as nothing.
fn most(values: &[f32]) -> f32 {
    lanes(values, f32::NEG_INFINITY, larger)
}

/// Takes a pixel into account: the greatest value counts, of equal ones the first.
fn visit(best: &mut Option<(f32, usize)>, value: f32, i: usize) {
    let better = match *best {
        None => !value.is_nan(),
        Some((v, at)) => value > v || (value == v && i < at),
    };
    if better {
        *best = Some((value, i));
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
    /// Bounds of the squares, the greatest of each row of them, and of the tiles of one square.
    squares: Vec<f32>,
    rows: Vec<f32>,
    tiles: Vec<f32>,
}

impl<'a> Search<'a> {
    /// `heat` has the bounds of the joint's heat map.
    pub fn new(maps: &'a Aggregated, joint: usize, heat: &[f32]) -> Self {
        let bounds = Bounds::new(maps, joint, heat);
        Self {
            maps,
            joint,
            made: vec![None; bounds.tiles.heat.len()],
            bounds,
            values: Vec::new(),
            window: Window::default(),
            squares: Vec::new(),
            rows: Vec::new(),
            tiles: Vec::new(),
        }
    }

    /// The heat of a tile's pixels, then each part of their tags, `TILE * TILE` values each (fewer at the edges), and its place.
    fn tile(&mut self, i: usize) -> (usize, [usize; 4]) {
        let [x, y] = self.bounds.place(i).map(|v| v * TILE);
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
        // From here on the bounds of the tile are those of its own values.
        self.bounds.tiles.heat[i] = most(&self.values[at..at + n]);
        for part in 0..self.maps.tag_len() {
            let from = at + n * (1 + part);
            let out = &mut self.values[from..from + n];
            self.maps.tag_window(
                part,
                self.joint,
                columns.clone(),
                rows.clone(),
                &mut self.window.lines,
                out,
            );
            let [low, high] = &mut self.bounds.tiles.tags[part];
            (low[i], high[i]) = (lanes(out, f32::INFINITY, smaller), most(out));
        }
        (at, place)
    }

    /// Takes the values of a tile into account.
    fn look(&mut self, i: usize, tag: &[f32], best: &mut Option<(f32, usize)>) {
        let width = self.maps.width;
        let (at, [x, y, across, down]) = self.tile(i);
        let n = across * down;
        let heat = &self.values[at..at + n];
        let mut square = [0.0f32; TILE * TILE];
        for (part, mean) in tag.iter().enumerate() {
            let tags = &self.values[at + n * (1 + part)..at + n * (2 + part)];
            square.iter_mut().zip(tags).for_each(|(s, t)| *s += (t - mean) * (t - mean));
        }
        let mut value = [0.0f32; TILE * TILE];
        let most = values(heat, &square[..n], &mut value[..n]);
        if best.is_none_or(|(v, _)| most >= v) {
            for (row, line) in value[..n].chunks_exact(across).enumerate() {
                for (column, &value) in line.iter().enumerate() {
                    visit(best, value, (y + row) * width + x + column);
                }
            }
        }
    }

    /// The first pixel with the largest value; `None` when no value is a number.
    fn best(&mut self, group: &Group, tag: &[f32]) -> Option<(usize, usize)> {
        let (maps, width) = (self.maps, self.maps.width);
        let mut best: Option<(f32, usize)> = None;
        // Near the person's other joints tags are near: a good bound from the start.
        for &(x, y, _) in group.joints.iter().flatten() {
            let square = tag.iter().enumerate().fold(0.0, |square, (part, mean)| {
                let t = maps.tag(part, self.joint, x, y);
                square + (t - mean) * (t - mean)
            });
            let distance = f32::sqrt(square).round_ties_even();
            visit(&mut best, maps.heat_at(self.joint, x, y) - distance, y * width + x);
        }
        let (mut squares, mut tiles) = (std::mem::take(&mut self.squares), std::mem::take(&mut self.tiles));
        self.bounds.squares.bounds(0..self.bounds.squares.heat.len(), tag, &mut squares);
        self.rows.clear();
        self.rows.extend(squares.chunks(ROW).map(most));
        // The most promising square first, until none reaches the best value.
        loop {
            let bound = most(&self.rows);
            if bound == f32::NEG_INFINITY || best.is_some_and(|(v, _)| bound < v) {
                break;
            }
            let Some(row) = self.rows.iter().position(|&b| b == bound) else { break };
            let end = squares.len().min((row + 1) * ROW);
            let line = &mut squares[row * ROW..end];
            let Some(i) = line.iter().position(|&b| b == bound) else { break };
            line[i] = f32::NEG_INFINITY;
            self.rows[row] = most(line);
            let first = (row * ROW + i) * TILES;
            self.bounds.tiles.bounds(first..first + TILES, tag, &mut tiles);
            loop {
                let bound = most(&tiles);
                if bound == f32::NEG_INFINITY || best.is_some_and(|(v, _)| bound < v) {
                    break;
                }
                let Some(i) = tiles.iter().position(|&b| b == bound) else { break };
                tiles[i] = f32::NEG_INFINITY;
                self.look(first + i, tag, &mut best);
            }
        }
        (self.squares, self.tiles) = (squares, tiles);
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
