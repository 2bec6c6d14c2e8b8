//! Positions between pixels, and joints that no peak was found for.
//!
//! A missing joint is the pixel with the largest `heat - round(|tag - mean tag of the person|)`. Since the second term is never
//! negative, a block of pixels whose maximum is below the best value so far cannot hold it: blocks are visited in sweeps of
//! falling maxima until that is so for all the rest. The result is that of the full search.

use super::super::Protocol;
use super::group::Group;
use super::peaks::{BLOCK, Blocks};
use super::{Aggregated, Joint, Options, Person};

pub(super) fn person(maps: &Aggregated, blocks: &Blocks, group: &Group, options: &Options) -> Person {
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
                && let Some((x, y)) = search(maps, blocks, group, joint, &tag)
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
    blocks: &Blocks,
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
    let mut above = f32::INFINITY;
    for floor in [0.1, 0.03, 0.01, 0.003, 0.001, 0.0, f32::NEG_INFINITY] {
        for (i, &maximum) in blocks.of(joint).iter().enumerate() {
            // Blocks of this sweep that can still hold the best value or an equal one before it.
            let due = maximum <= above && (maximum > floor || floor == f32::NEG_INFINITY);
            if due && best.is_none_or(|(v, _)| maximum >= v) {
                let (y, first) = (i / blocks.per_row, i % blocks.per_row * BLOCK);
                for x in first..(first + BLOCK).min(width) {
                    visit(&mut best, x, y);
                }
            }
        }
        above = floor;
        if best.is_some_and(|(v, _)| v > floor) {
            break;
        }
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
