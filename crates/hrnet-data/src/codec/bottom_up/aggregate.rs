//! One heat map per joint at the size of the input, and tags that are interpolated on demand.

use super::super::resample::{Tap, axis, for_each_row};
use super::BottomUpError;
use std::ops::Range;

/// Pixels of a block of a row, of which the maximum is kept.
pub(super) const BLOCK: usize = 32;

/// The outputs of one pass of the network; sizes are (height, width).
#[derive(Debug, Clone, Copy)]
pub struct Outputs<'a> {
    /// Heat maps, then tags: `[2 * joints, h, w]`.
    pub low: &'a [f32],
    /// Size of a low map.
    pub low_size: [usize; 2],
    /// Heat maps `[joints, h, w]` at twice the resolution.
    pub high: &'a [f32],
    /// Size of a high map.
    pub high_size: [usize; 2],
}

impl Outputs<'_> {
    fn check(&self, joints: usize) -> Result<(), BottomUpError> {
        let parts = [
            ("low-resolution output", self.low, 2 * joints, self.low_size),
            ("high-resolution output", self.high, joints, self.high_size),
        ];
        for (what, data, maps, [height, width]) in parts {
            let size = height.checked_mul(width).and_then(|n| n.checked_mul(maps));
            if size != Some(data.len()) || data.is_empty() {
                return Err(BottomUpError::Shape { what, values: data.len(), maps, width, height });
            }
        }
        Ok(())
    }

    /// The mean of both heat maps of a joint at the high size.
    fn heat(&self, joint: usize, out: &mut Vec<f32>) {
        let low = self.low_size[0] * self.low_size[1];
        let high = self.high_size[0] * self.high_size[1];
        let width = self.high_size[1];
        out.clear();
        out.extend_from_slice(&self.high[joint * high..(joint + 1) * high]);
        for_each_row(
            &self.low[joint * low..(joint + 1) * low],
            self.low_size,
            self.high_size,
            false,
            |y, row| {
                for (v, &up) in out[y * width..(y + 1) * width].iter_mut().zip(row) {
                    *v = (up + *v) * 0.5;
                }
            },
        );
    }

    /// The tags of a joint at the high size, mirrored where wanted, added to `out`.
    fn tags(&self, joint: usize, joints: usize, mirror: bool, out: &mut Vec<f32>) {
        let low = self.low_size[0] * self.low_size[1];
        let plane = &self.low[(joints + joint) * low..(joints + joint + 1) * low];
        for_each_row(plane, self.low_size, self.high_size, false, |_, row| match mirror {
            false => out.extend_from_slice(row),
            true => out.extend(row.iter().rev()),
        });
    }
}

/// Tags `[joints, h, w]`, read at the full size.
#[derive(Debug, Clone)]
struct Tags {
    data: Vec<f32>,
    height: usize,
    width: usize,
    rows: Vec<Tap>,
    columns: Vec<Tap>,
}

/// Sums the outputs of scales and flips.
#[derive(Debug, Clone)]
pub struct Aggregator {
    joints: usize,
    height: usize,
    width: usize,
    permutation: Vec<usize>,
    /// One map per joint, empty before the first scale.
    heat: Vec<Vec<f32>>,
    maxima: Vec<Vec<f32>>,
    tags: Vec<Tags>,
    scales: usize,
}

impl Aggregator {
    /// For maps of `size` (height, width), usually the network's input at scale 1. `permutation` gives each joint's index in a
    /// mirrored image; its length is the number of joints.
    pub fn new(size: [usize; 2], permutation: &[usize]) -> Result<Self, BottomUpError> {
        let ([height, width], joints) = (size, permutation.len());
        let length = joints.checked_mul(height).and_then(|n| n.checked_mul(width));
        if !length.is_some_and(|n| n > 0 && n < 1 << 30) {
            return Err(BottomUpError::Size { joints, width, height });
        }
        let mut heat = vec![Vec::new(); joints];
        if heat.iter_mut().any(|map| map.try_reserve_exact(height * width).is_err()) {
            return Err(BottomUpError::Size { joints, width, height });
        }
        let mut sorted = permutation.to_vec();
        sorted.sort_unstable();
        if sorted != (0..joints).collect::<Vec<_>>() {
            return Err(BottomUpError::Options("the flip pairs are not a permutation of the joints".into()));
        }
        Ok(Self {
            joints,
            height,
            width,
            permutation: permutation.to_vec(),
            heat,
            maxima: vec![vec![0.0; height * width.div_ceil(BLOCK)]; joints],
            tags: Vec::new(),
            scales: 0,
        })
    }

    /// Adds one scale: its outputs, and those of the mirrored input for a flip test. `with_tags` for scale 1 only, as published.
    pub fn add(
        &mut self,
        plain: Outputs<'_>,
        flipped: Option<Outputs<'_>>,
        with_tags: bool,
    ) -> Result<(), BottomUpError> {
        plain.check(self.joints)?;
        let size = plain.high_size;
        if let Some(flipped) = flipped {
            flipped.check(self.joints)?;
            if flipped.high_size != size {
                let text = "the outputs of the mirrored input have another size";
                return Err(BottomUpError::Options(text.into()));
            }
        }
        // Joint by joint, so that its maps stay in the cache.
        let (mut heat, mut other) = (Vec::new(), Vec::new());
        for joint in 0..self.joints {
            plain.heat(joint, &mut heat);
            if let Some(flipped) = flipped {
                flipped.heat(self.permutation[joint], &mut other);
                for (row, mirrored) in heat.chunks_exact_mut(size[1]).zip(other.chunks_exact(size[1])) {
                    for (v, m) in row.iter_mut().zip(mirrored.iter().rev()) {
                        *v = (*v + m) * 0.5;
                    }
                }
            }
            self.add_heat(joint, &heat, size);
        }
        if with_tags {
            let passes = [Some((plain, false)), flipped.map(|f| (f, true))];
            for (outputs, mirrored) in passes.into_iter().flatten() {
                let mut data = Vec::with_capacity(self.joints * size[0] * size[1]);
                for joint in 0..self.joints {
                    let from = if mirrored { self.permutation[joint] } else { joint };
                    outputs.tags(from, self.joints, mirrored, &mut data);
                }
                let (rows, columns) = (axis(size[0], self.height, false), axis(size[1], self.width, false));
                self.tags.push(Tags { data, height: size[0], width: size[1], rows, columns });
            }
        }
        self.scales += 1;
        Ok(())
    }

    /// Adds a joint's map at the full size, and notes the maxima of its blocks.
    fn add_heat(&mut self, joint: usize, plane: &[f32], from: [usize; 2]) {
        let width = self.width;
        let per_row = width.div_ceil(BLOCK);
        let (map, maxima) = (&mut self.heat[joint], &mut self.maxima[joint]);
        let first = self.scales == 0;
        for_each_row(plane, from, [self.height, width], false, |y, row| {
            if first {
                map.extend_from_slice(row);
            } else {
                map[y * width..(y + 1) * width].iter_mut().zip(row).for_each(|(s, v)| *s += v);
            }
            block_maxima(&map[y * width..(y + 1) * width], &mut maxima[y * per_row..(y + 1) * per_row]);
        });
    }

    /// The mean over the scales.
    pub fn finish(mut self) -> Result<Aggregated, BottomUpError> {
        if self.tags.is_empty() {
            return Err(BottomUpError::NoTags);
        }
        if self.scales > 1 {
            // Division keeps order: the largest stays the largest.
            let n = self.scales as f32;
            self.heat.iter_mut().chain(&mut self.maxima).flatten().for_each(|v| *v /= n);
        }
        let Self { joints, height, width, heat, maxima, tags, .. } = self;
        Ok(Aggregated { joints, height, width, heat, maxima, tags })
    }
}

/// Heat maps and tags of an image.
#[derive(Debug, Clone)]
pub struct Aggregated {
    pub(super) joints: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    heat: Vec<Vec<f32>>,
    maxima: Vec<Vec<f32>>,
    tags: Vec<Tags>,
}

impl Aggregated {
    /// The heat map of a joint, row-major.
    pub fn heat(&self, joint: usize) -> &[f32] {
        &self.heat[joint]
    }

    /// The largest values of blocks of [`BLOCK`] pixels of a row, row by row; NaN counts as nothing.
    pub(super) fn maxima(&self, joint: usize) -> &[f32] {
        &self.maxima[joint]
    }

    /// Height and width.
    pub fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// Values of a tag: one per pass.
    pub fn tag_len(&self) -> usize {
        self.tags.len()
    }

    /// One value of the tag of a joint at a pixel.
    pub fn tag(&self, part: usize, joint: usize, x: usize, y: usize) -> f32 {
        let t = &self.tags[part];
        let plane = &t.data[joint * t.height * t.width..];
        let (row, column) = (t.rows[y], t.columns[x]);
        let line = |r: u32| {
            let at = r as usize * t.width;
            (1.0 - column.part) * plane[at + column.low as usize]
                + column.part * plane[at + column.high as usize]
        };
        (1.0 - row.part) * line(row.low) + row.part * line(row.high)
    }

    /// [`Self::tag`] of a few pixels of a row from `x` on; `lines` keeps what rows have in common.
    pub(super) fn tag_row(&self, part: usize, joint: usize, x: usize, y: usize, lines: &mut Lines) {
        let t = &self.tags[part];
        let plane = &t.data[joint * t.height * t.width..(joint + 1) * t.height * t.width];
        let (row, columns) = (t.rows[y], &t.columns[x..(x + BLOCK).min(self.width)]);
        if lines.rows[1] == Some(row.low) {
            lines.rows.swap(0, 1);
            lines.values.swap(0, 1);
        }
        for (slot, r) in [(0, row.low), (1, row.high)] {
            if lines.rows[slot] != Some(r) {
                lines.rows[slot] = Some(r);
                let source = &plane[r as usize * t.width..(r as usize + 1) * t.width];
                for (out, c) in lines.values[slot].iter_mut().zip(columns) {
                    *out = (1.0 - c.part) * source[c.low as usize] + c.part * source[c.high as usize];
                }
            }
        }
        let [low, high] = &lines.values;
        for ((out, a), b) in lines.tags.iter_mut().zip(low).zip(high) {
            *out = (1.0 - row.part) * a + row.part * b;
        }
    }

    /// The least and the greatest source value of a part of the tag that the pixels of columns `x` and rows `y` read; NaN
    /// counts as nothing. Interpolated values lie between them but for rounding.
    pub(super) fn tag_range(&self, part: usize, joint: usize, x: Range<usize>, y: Range<usize>) -> [f32; 2] {
        let t = &self.tags[part];
        let plane = &t.data[joint * t.height * t.width..(joint + 1) * t.height * t.width];
        let rows = t.rows[y.start].low as usize..=t.rows[y.end - 1].high as usize;
        let columns = t.columns[x.start].low as usize..=t.columns[x.end - 1].high as usize;
        let mut range = [f32::INFINITY, f32::NEG_INFINITY];
        for row in rows {
            for &v in &plane[row * t.width..(row + 1) * t.width][columns.clone()] {
                range = [if v < range[0] { v } else { range[0] }, if v > range[1] { v } else { range[1] }];
            }
        }
        range
    }
}

/// Two source rows at the full width of a block, and the tags of the last row that was asked for.
#[derive(Default)]
pub(super) struct Lines {
    rows: [Option<u32>; 2],
    values: [[f32; BLOCK]; 2],
    /// One per pixel of the block.
    pub tags: [f32; BLOCK],
}

/// The maximum of each block of a row.
fn block_maxima(row: &[f32], out: &mut [f32]) {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    for (block, out) in row.chunks(BLOCK).zip(out) {
        let mut lanes = [f32::NEG_INFINITY; 8];
        let mut eights = block.chunks_exact(8);
        for eight in &mut eights {
            for (lane, &v) in lanes.iter_mut().zip(eight) {
                *lane = larger(*lane, v);
            }
        }
        let rest = eights.remainder().iter().copied().fold(f32::NEG_INFINITY, larger);
        *out = lanes.into_iter().fold(rest, larger);
    }
}
