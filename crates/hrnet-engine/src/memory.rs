//! Lifetimes to offsets in one arena, and which borders must be cleared.
//!
//! Values that accumulate in place share a buffer. Buffers are placed from large to small (ties: by time) into the
//! smallest gap that fits among those alive at the same time. Time is counted in waves: what one wave reads and what it
//! writes is alive together, so the steps of a wave never meet, in whatever order they run. Offsets and lengths are
//! multiples of 16 floats (64 bytes). Buffers of one size thus stack onto the same places.
//!
//! In a segment that runs image by image (`waves.rs`), time runs from its first wave to its last once per image:
//!
//! ```text
//! written and read in one such segment only:   local: room for one image, which serves all of them in turn;
//!                                              alive from wave to wave as ever, since an image writes before it reads
//! other values of the segment:                 room for all images, alive during the whole segment: image 1 is in the
//!                                              first wave after image 0 was in the last
//! ```
//!
//! Local buffers are small and are used again and again, so they stay in cache.
//!
//! Border: kernels never write it and 3x3 kernels read it as zero. The arena starts as zeros and is kept between runs.
//! A buffer whose border somebody reads is cleared at its first write unless its place held, since an earlier clean
//! buffer of this run, only buffers of the very same shape and offset, or never holds anything else. A local buffer that
//! shares its place with a local buffer of its segment of another shape is cleared for every image: for the second image
//! what came after it comes before it.

use crate::layout::Layout;
use crate::lower::{Id, Program};
use crate::step::StepOp;
use crate::waves::{Order, Segment};
use hrnet_kernels::Shape;
use std::ops::Range;

/// Alignment in floats.
const ALIGN: usize = 16;

/// A place in the arena that serves one or more values in turn, one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    /// With the images that it has room for.
    pub(crate) shape: Shape,
    pub(crate) layout: Layout,
    /// Floats, a multiple of [`ALIGN`].
    pub(crate) len: usize,
    /// First and last wave at which it is alive, both inclusive.
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// The step that writes it first.
    pub(crate) writer: usize,
    /// Whether a step reads its border.
    pub(crate) border: bool,
    /// Whether its first write covers the border too.
    pub(crate) whole: bool,
    /// The segment that it is local to.
    pub(crate) local: Option<usize>,
    pub(crate) offset: usize,
}

impl Buffer {
    fn lives_with(&self, other: &Buffer) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn touches(&self, other: &Buffer) -> bool {
        self.offset < other.offset + other.len && other.offset < self.offset + self.len
    }

    fn same_place(&self, other: &Buffer) -> bool {
        (self.offset, self.shape, self.layout) == (other.offset, other.shape, other.layout)
    }
}

/// Where everything lies.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) buffers: Vec<Buffer>,
    /// Buffer of each value.
    pub(crate) buffer_of: Vec<usize>,
    /// Length of the arena in floats.
    pub(crate) len: usize,
    /// Steps that clear the border of their destination first.
    pub(crate) clear_border: Vec<bool>,
}

/// Values to buffers: a step whose addend is read by nothing else at that time or later writes over it.
pub(crate) fn buffers(
    program: &Program,
    waves: &[Range<usize>],
    layouts: &[Layout],
    shapes: &[Shape],
    lens: &[usize],
) -> (Vec<Buffer>, Vec<usize>) {
    // For each value, the last wave that reads it and how often that one does.
    let mut last_reads = vec![(0, 0); program.values.len()];
    for (time, wave) in waves.iter().enumerate() {
        for step in &program.steps[wave.clone()] {
            step.op.each_read(|&v| {
                let (last, count) = &mut last_reads[v];
                *count = if *last == time { *count + 1 } else { 1 };
                *last = time;
            });
        }
    }
    let mut buffers: Vec<Buffer> = Vec::new();
    let mut buffer_of = vec![usize::MAX; program.values.len()];
    for (time, wave) in waves.iter().enumerate() {
        for writer in wave.clone() {
            let step = &program.steps[writer];
            let reads_border = step.op.reads_border(|layer| program.layers[layer].kernel());
            let addend = step.op.addend().copied();
            let mut reads: Vec<Id> = Vec::new();
            step.op.each_read(|&v| reads.push(v));
            reads.iter().for_each(|&v| buffers[buffer_of[v]].last = time);
            if addend.is_some() {
                // The last one; what remains are the sources.
                reads.pop();
            }
            reads.iter().for_each(|&v| buffers[buffer_of[v]].border |= reads_border);
            let Some(dst) = step.dst else { continue };
            buffer_of[dst] = match addend.filter(|&a| last_reads[a] == (time, 1)) {
                Some(addend) => buffer_of[addend],
                None => {
                    buffers.push(Buffer {
                        shape: shapes[dst],
                        layout: layouts[dst],
                        len: lens[dst].next_multiple_of(ALIGN),
                        first: time,
                        last: time,
                        writer,
                        border: false,
                        whole: matches!(step.op, StepOp::ToPlanar { .. }),
                        local: None,
                        offset: 0,
                    });
                    buffers.len() - 1
                }
            };
        }
    }
    (buffers, buffer_of)
}

/// Buffers that are local to a segment get room for one image, others live through the segments that run image by image.
pub(crate) fn localize(buffers: &mut [Buffer], segments: &[Segment]) {
    let segment_of = |time: usize| segments.partition_point(|s| s.waves.end <= time);
    for buffer in buffers {
        let (first, last) = (segment_of(buffer.first), segment_of(buffer.last));
        if first == last && segments[first].by_image {
            buffer.local = Some(first);
            buffer.len = (buffer.len / buffer.shape.n).next_multiple_of(ALIGN);
            buffer.shape.n = 1;
            continue;
        }
        if segments[first].by_image {
            buffer.first = segments[first].waves.start;
        }
        if segments[last].by_image {
            buffer.last = segments[last].waves.end - 1;
        }
    }
}

/// Gives every buffer its offset; returns the length of the arena, or nothing if it overflows.
pub(crate) fn place(buffers: &mut [Buffer]) -> Option<usize> {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&b| (usize::MAX - buffers[b].len, buffers[b].first, b));
    let mut placed: Vec<usize> = Vec::with_capacity(order.len());
    let mut total = 0usize;
    for b in order {
        let mut busy: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&o| buffers[o].lives_with(&buffers[b]))
            .map(|&o| (buffers[o].offset, buffers[o].offset + buffers[o].len))
            .collect();
        busy.sort_unstable();
        let (mut end, mut best) = (0usize, None);
        for (from, to) in busy {
            let gap = from.saturating_sub(end);
            if gap >= buffers[b].len && best.is_none_or(|(size, _)| gap < size) {
                best = Some((gap, end));
            }
            end = end.max(to);
        }
        buffers[b].offset = best.map_or(end, |(_, offset)| offset);
        total = total.max(buffers[b].offset.checked_add(buffers[b].len)?);
        placed.push(b);
    }
    Some(total)
}

/// For each buffer, whether its border must be cleared at its first write.
pub(crate) fn dirty_borders(buffers: &[Buffer]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&b| (buffers[b].first, b));
    let mut clean = vec![false; buffers.len()];
    let mut clear = vec![false; buffers.len()];
    for &b in &order {
        let buffer = &buffers[b];
        let others: Vec<&Buffer> =
            buffers.iter().filter(|o| o.touches(buffer) && !o.same_place(buffer)).collect();
        let kept_since = |earlier: usize| {
            !others.iter().any(|o| o.first > buffers[earlier].last && o.first < buffer.first)
        };
        let inherited = (0..buffers.len()).any(|p| {
            clean[p] && buffers[p].last < buffer.first && buffers[p].same_place(buffer) && kept_since(p)
        });
        let inherited = inherited && !others.iter().any(|o| o.local.is_some() && o.local == buffer.local);
        clear[b] = buffer.border && !others.is_empty() && !inherited && !buffer.whole;
        clean[b] = others.is_empty() || inherited || clear[b] || buffer.whole;
    }
    clear
}

/// Plans the arena. Nothing if its length overflows.
pub(crate) fn plan(
    program: &Program,
    order: &Order,
    layouts: &[Layout],
    shapes: &[Shape],
    lens: &[usize],
) -> Option<Memory> {
    let (mut buffers, buffer_of) = buffers(program, &order.waves, layouts, shapes, lens);
    localize(&mut buffers, &order.segments);
    let len = place(&mut buffers)?;
    let clear = dirty_borders(&buffers);
    let mut clear_border = vec![false; program.steps.len()];
    for (buffer, clear) in buffers.iter().zip(clear) {
        clear_border[buffer.writer] |= clear;
    }
    Some(Memory { buffers, buffer_of, len, clear_border })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small deterministic generator (splitmix64).
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) % n as u64) as usize
        }
    }

    fn buffer(side: usize, first: usize, last: usize, border: bool) -> Buffer {
        let shape = Shape { n: 1, c: 16, h: side, w: side };
        Buffer {
            shape,
            layout: Layout::Blocked,
            len: shape.len(),
            first,
            last,
            writer: first,
            border,
            whole: false,
            local: None,
            offset: 0,
        }
    }

    fn random_buffers(seed: u64) -> Vec<Buffer> {
        let mut random = Random(seed);
        (0..60)
            .map(|first| {
                let side = 1 + random.below(4);
                buffer(side, first, first + random.below(8), random.below(2) == 0)
            })
            .collect()
    }

    #[test]
    fn buffers_alive_together_never_touch() {
        for seed in 0..200 {
            let mut buffers = random_buffers(seed);
            let len = place(&mut buffers).unwrap();
            for (i, a) in buffers.iter().enumerate() {
                assert!(a.offset + a.len <= len && a.offset % ALIGN == 0);
                for b in &buffers[..i] {
                    assert!(!(a.lives_with(b) && a.touches(b)), "seed {seed}: {a:?} and {b:?}");
                }
            }
            // No better than what is alive at the worst moment, and not far above it.
            let worst =
                |i: usize| buffers.iter().filter(|b| b.first <= i && i <= b.last).map(|b| b.len).sum();
            let bound: usize = (0..60).map(worst).max().unwrap();
            assert!(bound <= len && len <= 2 * bound, "seed {seed}: {len} floats, {bound} alive");
        }
    }

    /// Runs the buffers twice over a simulated arena whose cells say whether they are zero.
    #[test]
    fn every_border_that_is_read_is_zero() {
        for seed in 0..200 {
            let mut buffers = random_buffers(seed);
            let len = place(&mut buffers).unwrap();
            let clear = dirty_borders(&buffers);
            let mut zero = vec![true; len];
            for _run in 0..2 {
                for (i, b) in buffers.iter().enumerate() {
                    let side = b.shape.h + 2;
                    for cell in 0..b.len {
                        let (y, x) = (cell / b.shape.row(), cell % b.shape.row() / 16);
                        let border = y == 0 || x == 0 || y == side - 1 || x == side - 1;
                        let at = &mut zero[b.offset + cell];
                        *at = if border { *at || clear[i] } else { false };
                        assert!(!(border && b.border) || *at, "seed {seed}, buffer {i}");
                    }
                }
            }
        }
    }

    /// The 60 waves cut into segments of 1 to 12 waves that alternate.
    fn random_segments(seed: u64) -> Vec<Segment> {
        let mut random = Random(seed);
        let (mut start, mut by_image, mut segments) = (0, random.below(2) == 0, Vec::new());
        while start < 60 {
            let end = (start + 1 + random.below(12)).min(60);
            segments.push(Segment { waves: start..end, by_image });
            (start, by_image) = (end, !by_image);
        }
        segments
    }

    /// Runs buffers of three images twice in the order of segments. Every cell of the arena knows who wrote it last, for
    /// which image, and whether it is zero.
    #[test]
    fn image_by_image_reads_what_the_image_wrote() {
        const IMAGES: usize = 3;
        let mut locals = 0;
        for seed in 0..200 {
            let segments = random_segments(seed);
            let plain: Vec<Buffer> = random_buffers(seed)
                .into_iter()
                .map(|b| {
                    let shape = Shape { n: IMAGES, ..b.shape };
                    Buffer { shape, len: shape.len(), last: b.last.min(59), ..b }
                })
                .collect();
            let mut buffers = plain.clone();
            localize(&mut buffers, &segments);
            locals += buffers.iter().filter(|b| b.local.is_some()).count();
            let len = place(&mut buffers).unwrap();
            let clear = dirty_borders(&buffers);
            let mut cells = vec![(usize::MAX, 0, true); len];
            let cells_of = |b: &Buffer, image: usize| {
                let (at, len) = (if b.shape.n == 1 { 0 } else { image }, b.shape.image());
                b.offset + at * len..b.offset + (at + 1) * len
            };
            let is_border = |b: &Buffer, cell: usize| {
                let (side, cell) = (b.shape.h + 2, cell % b.shape.plane());
                let (y, x) = (cell / b.shape.row(), cell % b.shape.row() / 16);
                y == 0 || x == 0 || y == side - 1 || x == side - 1
            };
            let mut run_wave = |time: usize, image: usize| {
                // `plain` has the times at which the buffer is really used.
                for (i, b) in buffers.iter().enumerate() {
                    if plain[i].first < time && time <= plain[i].last {
                        for (cell, at) in cells_of(b, image).enumerate() {
                            let (writer, of, zero) = cells[at];
                            match is_border(b, cell) {
                                true => assert!(zero || !b.border, "seed {seed}: border of {i} at {time}"),
                                false => assert_eq!((writer, of), (i, image), "seed {seed} at {time}"),
                            }
                        }
                    }
                }
                for (i, b) in buffers.iter().enumerate().filter(|&(i, _)| plain[i].first == time) {
                    for (cell, at) in cells_of(b, image).enumerate() {
                        match is_border(b, cell) {
                            true if clear[i] => cells[at] = (i, image, true),
                            true => {}
                            false => cells[at] = (i, image, false),
                        }
                    }
                }
            };
            for _run in 0..2 {
                for Segment { waves, by_image } in &segments {
                    match by_image {
                        true => (0..IMAGES).for_each(|i| waves.clone().for_each(|time| run_wave(time, i))),
                        false => waves.clone().for_each(|time| (0..IMAGES).for_each(|i| run_wave(time, i))),
                    }
                }
            }
        }
        assert!(locals > 2000, "{locals} local buffers");
    }

    #[test]
    fn a_local_border_under_another_local_shape_is_cleared_for_every_image() {
        let (small, large) = (Shape { n: 4, c: 16, h: 2, w: 2 }, Shape { n: 4, c: 16, h: 3, w: 3 });
        let of =
            |shape: Shape, first, last| Buffer { shape, len: shape.len(), ..buffer(3, first, last, true) };
        // Two of one shape, then another one on the place of the first.
        let mut buffers = vec![of(large, 0, 0), of(large, 1, 1), of(small, 2, 2)];
        localize(&mut buffers, &[Segment { waves: 0..3, by_image: true }]);
        assert_eq!(place(&mut buffers), Some(large.image()));
        assert_eq!(dirty_borders(&buffers), [true; 3]);
        // Of one shape only: never.
        buffers.pop();
        assert_eq!(dirty_borders(&buffers), [false; 2]);
    }

    #[test]
    fn a_place_of_one_shape_is_never_cleared() {
        let mut buffers = vec![buffer(3, 0, 1, true), buffer(3, 1, 2, true), buffer(3, 2, 3, true)];
        assert_eq!(place(&mut buffers), Some(2 * 400));
        assert_eq!(dirty_borders(&buffers), [false; 3]);
        // Another shape in between: both are cleared at each first write.
        let mut buffers = vec![buffer(3, 0, 0, true), buffer(2, 1, 1, true), buffer(3, 2, 3, true)];
        assert_eq!(place(&mut buffers), Some(400));
        assert_eq!(dirty_borders(&buffers), [true; 3]);
    }
}
