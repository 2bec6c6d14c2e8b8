//! The outputs of scales and flips, joined to one heat map per joint and scale.

use super::super::resample::for_each_row;
use super::BottomUpError;
use super::maps::{Aggregated, Scale, Tags};

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

    /// The mean of both heat maps of a joint at the high size, into `out`.
    fn heat(&self, joint: usize, out: &mut [f32]) {
        let low = self.low_size[0] * self.low_size[1];
        let high = self.high_size[0] * self.high_size[1];
        let width = self.high_size[1];
        let fine = &self.high[joint * high..(joint + 1) * high];
        let coarse = &self.low[joint * low..(joint + 1) * low];
        for_each_row(coarse, self.low_size, self.high_size, false, |y, row| {
            let part = y * width..(y + 1) * width;
            for ((out, &up), &v) in out[part.clone()].iter_mut().zip(row).zip(&fine[part]) {
                *out = (up + v) * 0.5;
            }
        });
    }
}

/// Sums the outputs of scales and flips.
#[derive(Debug, Clone)]
pub struct Aggregator {
    joints: usize,
    height: usize,
    width: usize,
    permutation: Vec<usize>,
    scales: Vec<Scale>,
    tags: Vec<Tags>,
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
            scales: Vec::new(),
            tags: Vec::new(),
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
        let plane = size[0] * size[1];
        let mut heat = vec![0.0f32; self.joints * plane];
        let mut other = vec![0.0f32; if flipped.is_some() { plane } else { 0 }];
        // Joint by joint, so that its maps stay in the cache.
        for (joint, heat) in heat.chunks_exact_mut(plane).enumerate() {
            plain.heat(joint, heat);
            if let Some(flipped) = flipped {
                flipped.heat(self.permutation[joint], &mut other);
                for (row, mirrored) in heat.chunks_exact_mut(size[1]).zip(other.chunks_exact(size[1])) {
                    for (v, m) in row.iter_mut().zip(mirrored.iter().rev()) {
                        *v = (*v + m) * 0.5;
                    }
                }
            }
        }
        let full = [self.height, self.width];
        self.scales.push(Scale::new(heat, size, full));
        if with_tags {
            let identity: Vec<usize> = (0..self.joints).collect();
            let passes = [Some((plain, &identity, false)), flipped.map(|f| (f, &self.permutation, true))];
            for (outputs, order, mirrored) in passes.into_iter().flatten() {
                let low = outputs.low_size[0] * outputs.low_size[1];
                let plane = |&j: &usize| &outputs.low[(self.joints + j) * low..(self.joints + j + 1) * low];
                let data: Vec<f32> = order.iter().flat_map(plane).copied().collect();
                self.tags.push(Tags::new(data, outputs.low_size, size, full, mirrored));
            }
        }
        Ok(())
    }

    /// The mean over the scales.
    pub fn finish(self) -> Result<Aggregated, BottomUpError> {
        if self.tags.is_empty() {
            return Err(BottomUpError::NoTags);
        }
        let Self { joints, height, width, scales, tags, .. } = self;
        Ok(Aggregated { joints, height, width, scales, tags })
    }
}
