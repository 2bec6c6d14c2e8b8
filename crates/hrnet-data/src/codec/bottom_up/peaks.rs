//! Peaks of the heat maps. Most of a map lies below the threshold: only tiles whose bound is above it are made, in runs, with
//! a margin for the windows of their pixels.

use super::super::Protocol;
use super::maps::{TILE, Window};
use super::{Aggregated, Options};
use std::ops::Range;

/// A peak.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub x: usize,
    pub y: usize,
    pub score: f32,
    pub tag: Vec<f32>,
}

/// The best peaks of a joint, best first; of equal ones the first of the map. `bounds` are those of the joint's tiles.
pub(super) fn find(maps: &Aggregated, joint: usize, bounds: &[f32], options: &Options) -> Vec<Found> {
    let mut candidates: Vec<(f32, usize)> = Vec::new();
    let mut room = Room::default();
    let per_row = maps.width.div_ceil(TILE);
    for (row, bounds) in bounds.chunks_exact(per_row).enumerate() {
        let rows = row * TILE..((row + 1) * TILE).min(maps.height);
        let mut at = 0;
        for run in
            bounds.chunk_by(|a, b| (*a > options.detection_threshold) == (*b > options.detection_threshold))
        {
            let columns = at * TILE..((at + run.len()) * TILE).min(maps.width);
            at += run.len();
            if run[0] > options.detection_threshold {
                search(maps, joint, columns, rows.clone(), options, &mut room, &mut candidates);
            }
        }
    }
    let better = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    if candidates.len() > options.max_people {
        candidates.select_nth_unstable_by(options.max_people - 1, better);
        candidates.truncate(options.max_people);
    }
    candidates.sort_unstable_by(better);
    let found = candidates.iter().map(|&(score, i)| {
        let (x, y) = (i % maps.width, i / maps.width);
        Found { x, y, score, tag: (0..maps.tag_len()).map(|t| maps.tag(t, joint, x, y)).collect() }
    });
    found.collect()
}

#[derive(Default)]
struct Room {
    window: Window,
    flags: Vec<u8>,
}

/// Adds the peaks within a part of the map.
fn search(
    maps: &Aggregated,
    joint: usize,
    columns: Range<usize>,
    rows: Range<usize>,
    options: &Options,
    room: &mut Room,
    candidates: &mut Vec<(f32, usize)>,
) {
    let reach = options.nms_kernel / 2;
    let x = columns.start.saturating_sub(reach)..(columns.end + reach).min(maps.width);
    let y = rows.start.saturating_sub(reach)..(rows.end + reach).min(maps.height);
    maps.window(joint, x.clone(), y.clone(), &mut room.window);
    let (heat, width) = (&room.window.heat, x.len());
    let first = columns.start - x.start;
    for row in rows {
        let at = (row - y.start) * width + first;
        let here = &heat[at..at + columns.len()];
        room.flags.clear();
        room.flags.extend(here.iter().map(|&v| u8::from(v > options.detection_threshold)));
        // Most of what is above the threshold has a larger neighbour above or below, which is seen for many pixels at a time.
        if reach > 0 {
            for next in [(row > 0).then(|| at - width), (row + 1 < maps.height).then_some(at + width)]
                .into_iter()
                .flatten()
            {
                let other = &heat[next..next + columns.len()];
                for ((flag, &v), &n) in room.flags.iter_mut().zip(here).zip(other) {
                    // As a number that is not one hides no pixel.
                    *flag &= 1 - u8::from(n > v);
                }
            }
        }
        for (i, _) in room.flags.iter().enumerate().filter(|(_, flag)| **flag != 0) {
            let v = here[i];
            if v.is_finite() && is_peak(heat, [&x, &y], [columns.start + i, row], reach, options.protocol) {
                candidates.push((v, row * maps.width + columns.start + i));
            }
        }
    }
}

/// Whether no pixel about the one at `at` is larger; in the default also none before it is equal. `heat` is the part `x`, `y`.
fn is_peak(
    heat: &[f32],
    [x, y]: [&Range<usize>; 2],
    at: [usize; 2],
    reach: usize,
    protocol: Protocol,
) -> bool {
    let width = x.len();
    let [column, row] = [at[0] - x.start, at[1] - y.start];
    let here = row * width + column;
    let v = heat[here];
    let once = protocol == Protocol::Default;
    let columns = column.saturating_sub(reach)..(column + reach + 1).min(width);
    (row.saturating_sub(reach)..(row + reach + 1).min(y.len())).all(|row| {
        columns.clone().all(|column| {
            let i = row * width + column;
            !(heat[i] > v || (once && i < here && heat[i] == v))
        })
    })
}
