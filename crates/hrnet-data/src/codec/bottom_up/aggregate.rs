//! One heat map per joint at the size of the input, and tags that are interpolated on demand.

use super::super::heatmap::flip_maps_back;
use super::super::resample::{Tap, axis, for_each_row};
use super::BottomUpError;

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

    /// The mean of both heat maps, and the tags, at the high size.
    fn merged(&self, joints: usize, with_tags: bool) -> (Vec<f32>, Vec<f32>) {
        let low = self.low_size[0] * self.low_size[1];
        let high = self.high_size[0] * self.high_size[1];
        let width = self.high_size[1];
        let (mut heat, mut tags) =
            (self.high.to_vec(), vec![0.0; if with_tags { self.high.len() } else { 0 }]);
        for (plane, heat) in self.low[..joints * low].chunks_exact(low).zip(heat.chunks_exact_mut(high)) {
            for_each_row(plane, self.low_size, self.high_size, false, |y, row| {
                for (v, &up) in heat[y * width..(y + 1) * width].iter_mut().zip(row) {
                    *v = (up + *v) * 0.5;
                }
            });
        }
        for (plane, tags) in self.low[joints * low..].chunks_exact(low).zip(tags.chunks_exact_mut(high)) {
            for_each_row(plane, self.low_size, self.high_size, false, |y, row| {
                tags[y * width..(y + 1) * width].copy_from_slice(row);
            });
        }
        (heat, tags)
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
    heat: Vec<f32>,
    tags: Vec<Tags>,
    scales: usize,
}

impl Aggregator {
    /// For maps of `size` (height, width), usually the network's input at scale 1. `permutation` gives each joint's index in a
    /// mirrored image; its length is the number of joints.
    pub fn new(size: [usize; 2], permutation: &[usize]) -> Result<Self, BottomUpError> {
        let ([height, width], joints) = (size, permutation.len());
        let length = joints.checked_mul(height).and_then(|n| n.checked_mul(width));
        let mut heat = Vec::new();
        match length {
            Some(n) if n > 0 && n < 1 << 30 && heat.try_reserve_exact(n).is_ok() => heat.resize(n, 0.0),
            _ => return Err(BottomUpError::Size { joints, width, height }),
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
        let (mut heat, tags) = plain.merged(self.joints, with_tags);
        let mut all = vec![tags];
        if let Some(flipped) = flipped {
            flipped.check(self.joints)?;
            if flipped.high_size != size {
                let text = "the outputs of the mirrored input have another size";
                return Err(BottomUpError::Options(text.into()));
            }
            let (mut mirrored, mut tags) = flipped.merged(self.joints, with_tags);
            flip_maps_back(&mut mirrored, size[0], size[1], &self.permutation);
            super::super::heatmap::average(&mut heat, &mirrored);
            if with_tags {
                flip_maps_back(&mut tags, size[0], size[1], &self.permutation);
            }
            all.push(tags);
        }
        if with_tags {
            let (rows, columns) = (axis(size[0], self.height, false), axis(size[1], self.width, false));
            self.tags.extend(all.into_iter().map(|data| Tags {
                data,
                height: size[0],
                width: size[1],
                rows: rows.clone(),
                columns: columns.clone(),
            }));
        }
        let (to, width) = ([self.height, self.width], self.width);
        let first = self.scales == 0;
        for (plane, sums) in
            heat.chunks_exact(size[0] * size[1]).zip(self.heat.chunks_exact_mut(self.height * width))
        {
            for_each_row(plane, size, to, false, |y, row| {
                let sums = &mut sums[y * width..(y + 1) * width];
                if first {
                    sums.copy_from_slice(row);
                } else {
                    sums.iter_mut().zip(row).for_each(|(s, v)| *s += v);
                }
            });
        }
        self.scales += 1;
        Ok(())
    }

    /// The mean over the scales.
    pub fn finish(mut self) -> Result<Aggregated, BottomUpError> {
        if self.tags.is_empty() {
            return Err(BottomUpError::NoTags);
        }
        if self.scales > 1 {
            let n = self.scales as f32;
            self.heat.iter_mut().for_each(|v| *v /= n);
        }
        let Self { joints, height, width, heat, tags, .. } = self;
        Ok(Aggregated { joints, height, width, heat, tags })
    }
}

/// Heat maps and tags of an image.
#[derive(Debug, Clone)]
pub struct Aggregated {
    pub(super) joints: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    heat: Vec<f32>,
    tags: Vec<Tags>,
}

impl Aggregated {
    /// The heat map of a joint, row-major.
    pub fn heat(&self, joint: usize) -> &[f32] {
        let size = self.height * self.width;
        &self.heat[joint * size..(joint + 1) * size]
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
}
