//! Positions between pixels, and joints that no peak was found for.
//!
//! A missing joint is the pixel with the largest `heat - round(|tag - mean tag of the person|)`. No pixel of a tile can have more
//! than the tile's largest heat less the rounded distance of the mean tag from the range of the tile's tags, so only tiles
//! whose bound reaches the best value are looked at. The result is that of the full search.

use super::super::Protocol;
use super::aggregate::{BLOCK, Lines};
use super::group::Group;
use super::{Aggregated, Joint, Options, Person};

/// Rows of a tile; it is as wide as a block of the maxima.
const TILE_ROWS: usize = 8;

/// What a tile of a joint's maps holds at most.
struct Tile {
    x: usize,
    y: usize,
    heat: f32,
    /// Least and greatest tag of each part.
    tags: Vec<[f32; 2]>,
}

/// The tiles of the joints that were searched so far.
pub(super) struct Tiles(Vec<Option<Vec<Tile>>>);

impl Tiles {
    pub fn new(joints: usize) -> Self {
        Self((0..joints).map(|_| None).collect())
    }

    fn of(&mut self, maps: &Aggregated, joint: usize) -> &[Tile] {
        self.0[joint].get_or_insert_with(|| {
            let per_row = maps.width.div_ceil(BLOCK);
            let maxima = maps.maxima(joint);
            let mut tiles = Vec::with_capacity(per_row * maps.height.div_ceil(TILE_ROWS));
            for y in (0..maps.height).step_by(TILE_ROWS) {
                let rows = y..(y + TILE_ROWS).min(maps.height);
                for x in (0..maps.width).step_by(BLOCK) {
                    let columns = x..(x + BLOCK).min(maps.width);
                    let heat = rows.clone().map(|r| maxima[r * per_row + x / BLOCK]);
                    let heat = heat.fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
                    let range = |part| maps.tag_range(part, joint, columns.clone(), rows.clone());
                    tiles.push(Tile { x, y, heat, tags: (0..maps.tag_len()).map(range).collect() });
                }
            }
            tiles
        })
    }
}

impl Tile {
    /// No value of the tile is above this.
    fn bound(&self, tag: &[f32]) -> f32 {
        let mut square = 0.0f64;
        for (&[low, high], &mean) in self.tags.iter().zip(tag) {
            let (low, high, mean) = (f64::from(low), f64::from(high), f64::from(mean));
            // Interpolation and distance are rounded to 32 bits: some 1e-6 of the numbers.
            let slack = 1e-5 * low.abs().max(high.abs()).max(mean.abs());
            let apart = ((low - mean).max(mean - high) - slack).max(0.0);
            square += apart * apart;
        }
        self.heat - ((square.sqrt() * (1.0 - 1e-5)).round_ties_even() as f32)
    }
}

pub(super) fn person(maps: &Aggregated, tiles: &mut Tiles, group: &Group, options: &Options) -> Person {
    let place = |joint: usize, x: usize, y: usize, score: f32| {
        let [dx, dy] = if options.adjust { offset(maps, joint, x, y, options.protocol) } else { [0.0; 2] };
        // Without adjustment the official code leaves whole pixels.
        let half = if options.adjust { 0.5 } else { 0.0 };
        Joint { x: x as f64 + half + dx, y: y as f64 + half + dy, score }
    };
    let mut joints: Vec<Joint> = group
        .joints
        .iter()
        .enumerate()
        .map(|(j, at)| at.map_or_else(Joint::default, |(x, y, score)| place(j, x, y, score)))
        .collect();
    let total: f64 = joints.iter().map(|j| f64::from(j.score)).sum();
    let score = (total / joints.len() as f64) as f32;
    if options.refine {
        let tag = mean_tag(maps, group);
        for (joint, out) in joints.iter_mut().enumerate() {
            if group.joints[joint].is_none()
                && let Some((x, y)) = search(maps, tiles.of(maps, joint), group, joint, &tag)
            {
                let value = maps.heat(joint)[y * maps.width + x];
                if value > 0.0 && value.is_finite() {
                    let [dx, dy] = offset(maps, joint, x, y, options.protocol);
                    *out = Joint { x: x as f64 + 0.5 + dx, y: y as f64 + 0.5 + dy, score: value };
                }
            }
        }
    }
    Person { joints, score }
}

/// The mean of the tags at the person's own joints.
fn mean_tag(maps: &Aggregated, group: &Group) -> Vec<f32> {
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

/// The first pixel with the largest value; `None` when no value is a number.
fn search(
    maps: &Aggregated,
    tiles: &[Tile],
    group: &Group,
    joint: usize,
    tag: &[f32],
) -> Option<(usize, usize)> {
    let (heat, width) = (maps.heat(joint), maps.width);
    let mut best: Option<(f32, usize)> = None;
    let visit = |best: &mut Option<(f32, usize)>, x: usize, y: usize| {
        let i = y * width + x;
        if best.is_some_and(|(v, _)| heat[i] < v) {
            return;
        }
        let mut square = 0.0;
        for (part, mean) in tag.iter().enumerate() {
            square += (maps.tag(part, joint, x, y) - mean).powi(2);
        }
        let value = heat[i] - square.sqrt().round_ties_even();
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
        visit(&mut best, x, y);
    }
    let bounds: Vec<f32> = tiles.iter().map(|t| t.bound(tag)).collect();
    let (maxima, per_row) = (maps.maxima(joint), width.div_ceil(BLOCK));
    let look = |best: &mut Option<(f32, usize)>, tile: &Tile| {
        let mut lines: Vec<Lines> = tag.iter().map(|_| Lines::default()).collect();
        for y in tile.y..(tile.y + TILE_ROWS).min(maps.height) {
            if best.is_some_and(|(v, _)| maxima[y * per_row + tile.x / BLOCK] < v) {
                continue;
            }
            let columns = tile.x..(tile.x + BLOCK).min(width);
            let mut square = [0.0f32; BLOCK];
            for (part, (mean, lines)) in tag.iter().zip(&mut lines).enumerate() {
                maps.tag_row(part, joint, tile.x, y, lines);
                for (square, t) in square.iter_mut().zip(&lines.tags) {
                    *square += (t - mean) * (t - mean);
                }
            }
            // Rounding takes at most 1/2 off the distance; the rest makes up for 32 bits. Most pixels end here, several at a time.
            let mut most = [0.0f32; BLOCK];
            let row = &heat[y * width..][columns.clone()];
            for ((most, &v), square) in most.iter_mut().zip(row).zip(&square) {
                *most = v + 1e-6 * v.abs() + 0.501 - square.sqrt() * (1.0 - 1e-6);
            }
            for (x, &most) in columns.zip(&most) {
                if !best.is_some_and(|(v, _)| most < v) {
                    visit(best, x, y);
                }
            }
        }
    };
    // The most promising tiles first, until none can hold the best value or an equal one before it. NaN bounds nothing, and comes
    // first.
    let mut due: Vec<(f32, usize)> = Vec::new();
    for (i, tile) in tiles.iter().enumerate() {
        let bound = tile.bound(tag);
        if !best.is_some_and(|(v, _)| bound < v) {
            due.push((if bound.is_nan() { f32::INFINITY } else { bound }, i));
        }
    }
    due.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for (bound, i) in due {
        if best.is_some_and(|(v, _)| bound < v) {
            break;
        }
        look(&mut best, &tiles[i]);
    }
    best.map(|(_, i)| (i % width, i / width))
}

/// The offset of the position from a pixel.
fn offset(maps: &Aggregated, joint: usize, x: usize, y: usize, protocol: Protocol) -> [f64; 2] {
    let (heat, width, height) = (maps.heat(joint), maps.width, maps.height);
    let at = |x: usize, y: usize| f64::from(heat[y * width + x]);
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
