//! Heat maps and tags of an image at the size of the input. Neither exists at that size: values are interpolated where they are
//! read, with the same operations as if the whole map were made.

use super::super::resample::{Tap, axis};
use std::ops::Range;

/// Side of a square tile of the full size, of which bounds are known.
pub(super) const TILE: usize = 8;

/// The heat maps of a scale.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    /// `[joints, h, w]`.
    heat: Vec<f32>,
    size: [usize; 2],
    rows: Vec<Tap>,
    columns: Vec<Tap>,
}

impl Scale {
    pub fn new(heat: Vec<f32>, size: [usize; 2], full: [usize; 2]) -> Self {
        let (rows, columns) = (axis(size[0], full[0], false), axis(size[1], full[1], false));
        Self { heat, size, rows, columns }
    }

    fn plane(&self, joint: usize) -> &[f32] {
        let n = self.size[0] * self.size[1];
        &self.heat[joint * n..(joint + 1) * n]
    }
}

/// The tags of a pass: interpolated to the size of the fine heat maps, mirrored where the pass was, then to the full size.
#[derive(Debug, Clone)]
pub(super) struct Tags {
    /// `[joints, h, w]`.
    data: Vec<f32>,
    size: [usize; 2],
    /// From `size` to the fine maps; columns from the right where the pass was mirrored.
    fine: [Vec<Tap>; 2],
    /// From the fine maps to the full size.
    full: [Vec<Tap>; 2],
}

impl Tags {
    pub fn new(data: Vec<f32>, size: [usize; 2], fine: [usize; 2], full: [usize; 2], mirrored: bool) -> Self {
        let taps = |from: [usize; 2], to: [usize; 2]| [0, 1].map(|a| axis(from[a], to[a], false));
        let full = taps(fine, full);
        let mut fine = taps(size, fine);
        if mirrored {
            fine[1].reverse();
        }
        Self { data, size, fine, full }
    }

    fn plane(&self, joint: usize) -> &[f32] {
        let n = self.size[0] * self.size[1];
        &self.data[joint * n..(joint + 1) * n]
    }

    /// A value of the fine maps.
    fn fine(&self, plane: &[f32], x: usize, y: usize) -> f32 {
        let (row, column) = (self.fine[0][y], self.fine[1][x]);
        let line = |r: u32| {
            let at = r as usize * self.size[1];
            mix(column.part, plane[at + column.low as usize], plane[at + column.high as usize])
        };
        mix(row.part, line(row.low), line(row.high))
    }

    /// The source rows or columns that the pixels of a range of the full size read.
    fn sources(&self, axis: usize, range: Range<usize>) -> Range<usize> {
        let full = &self.full[axis];
        let (first, last) = (full[range.start].low as usize, full[range.end - 1].high as usize);
        let [a, b] = [first, last].map(|i| self.fine[axis][i]);
        a.low.min(b.low) as usize..a.high.max(b.high) as usize + 1
    }
}

/// The value between two others, as PyTorch computes it.
fn mix(part: f32, low: f32, high: f32) -> f32 {
    (1.0 - part) * low + part * high
}

/// Heat maps and tags of an image.
#[derive(Debug, Clone)]
pub struct Aggregated {
    pub(super) joints: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) scales: Vec<Scale>,
    pub(super) tags: Vec<Tags>,
}

impl Aggregated {
    /// The heat map of a joint at the full size, row-major. Made by this call; decoding does without.
    pub fn heat(&self, joint: usize) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.height * self.width);
        let mut window = Window::default();
        for y in (0..self.height).step_by(TILE) {
            self.window(joint, 0..self.width, y..(y + TILE).min(self.height), &mut window);
            out.extend_from_slice(&window.heat);
        }
        out
    }

    /// Height and width.
    pub fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// Values of a tag: one per pass.
    pub fn tag_len(&self) -> usize {
        self.tags.len()
    }

    /// One value of the heat map of a joint.
    pub(super) fn heat_at(&self, joint: usize, x: usize, y: usize) -> f32 {
        let mut sum = 0.0;
        for (i, scale) in self.scales.iter().enumerate() {
            let (plane, row, column) = (scale.plane(joint), scale.rows[y], scale.columns[x]);
            let line = |r: u32| {
                let at = r as usize * scale.size[1];
                mix(column.part, plane[at + column.low as usize], plane[at + column.high as usize])
            };
            let value = mix(row.part, line(row.low), line(row.high));
            sum = if i == 0 { value } else { sum + value };
        }
        if self.scales.len() > 1 { sum / self.scales.len() as f32 } else { sum }
    }

    /// One value of the tag of a joint at a pixel.
    pub fn tag(&self, part: usize, joint: usize, x: usize, y: usize) -> f32 {
        let t = &self.tags[part];
        let plane = t.plane(joint);
        let (row, column) = (t.full[0][y], t.full[1][x]);
        let line = |r: u32| {
            let at = |c: u32| t.fine(plane, c as usize, r as usize);
            mix(column.part, at(column.low), at(column.high))
        };
        mix(row.part, line(row.low), line(row.high))
    }

    /// The heat map of a joint within a window that is not empty, into `out.heat`.
    pub(super) fn window(&self, joint: usize, x: Range<usize>, y: Range<usize>, out: &mut Window) {
        let width = x.len();
        out.heat.resize(width * y.len(), 0.0);
        for (i, scale) in self.scales.iter().enumerate() {
            let (plane, columns) = (scale.plane(joint), &scale.columns[x.clone()]);
            let mut lines = Lines::new(&mut out.lines, width);
            for (out, tap) in out.heat.chunks_exact_mut(width).zip(&scale.rows[y.clone()]) {
                let [low, high] = lines.pair(*tap, |r, line| {
                    let source = &plane[r * scale.size[1]..(r + 1) * scale.size[1]];
                    for (out, c) in line.iter_mut().zip(columns) {
                        *out = mix(c.part, source[c.low as usize], source[c.high as usize]);
                    }
                });
                let values = out.iter_mut().zip(low).zip(high);
                match i {
                    0 => values.for_each(|((out, &a), &b)| *out = mix(tap.part, a, b)),
                    _ => values.for_each(|((out, &a), &b)| *out += mix(tap.part, a, b)),
                }
            }
        }
        if self.scales.len() > 1 {
            let n = self.scales.len() as f32;
            out.heat.iter_mut().for_each(|v| *v /= n);
        }
    }

    /// A part of the tags of a joint within a window that is not empty, into `out`, row-major; `room` is for what comes between.
    pub(super) fn tag_window(
        &self,
        part: usize,
        joint: usize,
        x: Range<usize>,
        y: Range<usize>,
        room: &mut Vec<f32>,
        out: &mut [f32],
    ) {
        let t = &self.tags[part];
        let plane = t.plane(joint);
        let (rows, columns) = (&t.full[0][y], &t.full[1][x]);
        let first = columns[0].low as usize;
        let fine = &t.fine[1][first..columns[columns.len() - 1].high as usize + 1];
        // Rows of the fine maps within the window, then widened.
        room.resize(3 * fine.len() + 2 * columns.len(), 0.0);
        let (pairs, rest) = room.split_at_mut(2 * fine.len());
        let (row_of_fine, wide) = rest.split_at_mut(fine.len());
        let mut pairs = Lines::of(pairs, fine.len());
        let mut lines = Lines::of(wide, columns.len());
        for (out, tap) in out.chunks_exact_mut(columns.len()).zip(rows) {
            let [low, high] = lines.pair(*tap, |r, line| {
                let tap = t.fine[0][r];
                let [a, b] = pairs.pair(tap, |r, line| {
                    let source = &plane[r * t.size[1]..(r + 1) * t.size[1]];
                    for (out, c) in line.iter_mut().zip(fine) {
                        *out = mix(c.part, source[c.low as usize], source[c.high as usize]);
                    }
                });
                for ((out, &a), &b) in row_of_fine.iter_mut().zip(a).zip(b) {
                    *out = mix(tap.part, a, b);
                }
                for (out, c) in line.iter_mut().zip(columns) {
                    let (a, b) = (row_of_fine[c.low as usize - first], row_of_fine[c.high as usize - first]);
                    *out = mix(c.part, a, b);
                }
            });
            for ((out, &a), &b) in out.iter_mut().zip(low).zip(high) {
                *out = mix(tap.part, a, b);
            }
        }
    }

    /// What no pixel of a tile of a joint's heat map exceeds, tile by tile, row-major.
    pub(super) fn heat_bounds(&self, joint: usize) -> Vec<f32> {
        let mut sum: Vec<f32> = Vec::new();
        for scale in &self.scales {
            let sources = |taps: &[Tap], range: Range<usize>| {
                taps[range.start].low as usize..taps[range.end - 1].high as usize + 1
            };
            let [rows, columns] = [(&scale.rows, self.height), (&scale.columns, self.width)]
                .map(|(taps, n)| tiles(n).map(|r| sources(taps, r)).collect::<Vec<_>>());
            let larger = |a: f32, b: f32| if b > a { b } else { a };
            let most = fold(scale.plane(joint), scale.size[1], &rows, &columns, f32::NEG_INFINITY, larger);
            // Interpolation is rounded to 32 bits.
            let most = most.into_iter().map(|v| v + 1e-6 * v.abs());
            match sum.is_empty() {
                true => sum = most.collect(),
                false => sum.iter_mut().zip(most).for_each(|(s, v)| *s += v),
            }
        }
        let n = self.scales.len() as f32;
        // Infinities of both signs bound nothing.
        sum.iter_mut().for_each(|v| *v = if v.is_nan() { f32::INFINITY } else { *v / n });
        sum
    }

    /// The least and the greatest source value of a part of the tags, tile by tile; NaN counts as nothing. Interpolated values
    /// lie between them but for rounding.
    pub(super) fn tag_bounds(&self, part: usize, joint: usize) -> [Vec<f32>; 2] {
        let t = &self.tags[part];
        let [rows, columns] = [(0, self.height), (1, self.width)]
            .map(|(a, n)| tiles(n).map(|r| t.sources(a, r)).collect::<Vec<_>>());
        let (smaller, larger) =
            (|a: f32, b: f32| if b < a { b } else { a }, |a: f32, b: f32| if b > a { b } else { a });
        [
            fold(t.plane(joint), t.size[1], &rows, &columns, f32::INFINITY, smaller),
            fold(t.plane(joint), t.size[1], &rows, &columns, f32::NEG_INFINITY, larger),
        ]
    }
}

/// The tiles of an axis.
pub(super) fn tiles(length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..length).step_by(TILE).map(move |i| i..(i + TILE).min(length))
}

/// The fold over the values of each tile, first down, then across.
fn fold(
    plane: &[f32],
    width: usize,
    rows: &[Range<usize>],
    columns: &[Range<usize>],
    start: f32,
    join: impl Fn(f32, f32) -> f32,
) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.len() * columns.len());
    let mut line = vec![start; width];
    for rows in rows {
        line.fill(start);
        for row in plane[rows.start * width..rows.end * width].chunks_exact(width) {
            line.iter_mut().zip(row).for_each(|(a, &b)| *a = join(*a, b));
        }
        out.extend(columns.iter().map(|c| line[c.clone()].iter().fold(start, |a, &b| join(a, b))));
    }
    out
}

/// A part of a heat map, and room to make it.
#[derive(Default)]
pub(super) struct Window {
    pub heat: Vec<f32>,
    pub lines: Vec<f32>,
}

/// Two source rows, widened.
struct Lines<'a> {
    kept: [Option<u32>; 2],
    data: [&'a mut [f32]; 2],
}

impl<'a> Lines<'a> {
    fn new(room: &'a mut Vec<f32>, width: usize) -> Self {
        room.resize(2 * width, 0.0);
        Self::of(room, width)
    }

    fn of(room: &'a mut [f32], width: usize) -> Self {
        let (a, b) = room.split_at_mut(width);
        Self { kept: [None; 2], data: [a, b] }
    }

    /// The lines of a tap; `make` fills one that is not there yet.
    fn pair(&mut self, tap: Tap, mut make: impl FnMut(usize, &mut [f32])) -> [&[f32]; 2] {
        if self.kept[1] == Some(tap.low) {
            self.data.swap(0, 1);
            self.kept.swap(0, 1);
        }
        for (slot, row) in [(0, tap.low), (1, tap.high)] {
            if self.kept[slot] != Some(row) {
                self.kept[slot] = Some(row);
                make(row as usize, self.data[slot]);
            }
        }
        [&*self.data[0], &*self.data[1]]
    }
}
