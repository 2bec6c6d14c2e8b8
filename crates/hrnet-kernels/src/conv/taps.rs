//! The direct micro-kernel behind every convolution.
//!
//! ```text
//! for pass      a run of input-channel blocks whose weights fit L1
//!   for row
//!     for block of <= PX pixels of the row
//!       acc[px][v] = 0
//!       for input-channel block of the pass, for tap, for input channel:
//!         w[v]        = 16 * OCV weights, streamed linearly
//!         acc[px][v] += src[pixel px at this tap][input channel] * w[v]
//!       acc += pass 0: bias, then residual; later: dst
//!       dst = last pass: relu(acc); else acc
//! ```
//!
//! Per output: a chain of multiply-adds per pass in the order (channel block, tap, channel), then the sum so far. The
//! rounding error grows with the length of a pass, not of the whole sum. Which block of pixels computes it changes nothing.
//!
//! A tap is an offset into the bordered source. With the pixel strides of source and destination free, the
//! same loop is forward (stride 1 and 2), backward-data (flipped weights; stride 2 by its four output phases)
//! and the transposed convolution (by phases).
//!
//! Registers, AVX-512 2 x 12: 24 accumulators, 2 weights, 1 broadcast; 14 loads per 24 multiply-adds.

use crate::LANES;
use crate::simd::Simd;

/// What one call computes: `rows` x `width` outputs of one block of `OCV * 16` output channels of one image.
pub(crate) struct Strip<'a> {
    /// Bordered source pixel that a tap offset of 0 means for the first output.
    pub(crate) src: *const f32,
    /// Floats between source channel blocks.
    pub(crate) src_plane: usize,
    /// Floats between the source rows of consecutive output rows.
    pub(crate) src_row: usize,
    /// Source pixels between consecutive output pixels: 1 or 2.
    pub(crate) src_stride: usize,
    /// Source channels.
    pub(crate) channels: usize,
    /// Offsets of the kernel positions, in floats.
    pub(crate) taps: &'a [usize],
    /// `[source block][tap][source channel][OCV * 16]`.
    pub(crate) weights: *const f32,
    /// `OCV * 16` floats.
    pub(crate) bias: *const f32,
    /// Addend with the layout and position of `dst` (may be `dst` itself), or null.
    pub(crate) residual: *const f32,
    pub(crate) dst: *mut f32,
    pub(crate) dst_plane: usize,
    pub(crate) dst_row: usize,
    /// Floats between consecutive output pixels.
    pub(crate) dst_pixel: usize,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    /// Source channel blocks per pass, at least 1.
    pub(crate) pass: usize,
    pub(crate) relu: bool,
}

/// A compiled instance. Safety: the processor has the level, and every address that the strip describes is
/// valid.
pub(crate) type StripFn = unsafe fn(&Strip);

/// One pass over one tile.
struct Tile {
    src: *const f32,
    weights: *const f32,
    residual: *const f32,
    dst: *mut f32,
    first: bool,
    relu: bool,
    /// Source channels of this pass.
    channels: usize,
}

/// # Safety
/// Every address that the strip describes is valid.
#[inline(always)]
pub(crate) unsafe fn strip<S: Simd, const OCV: usize, const MAX: usize>(s: S, a: &Strip) {
    let blocks = a.channels.div_ceil(LANES);
    let mut done = 0;
    // Without taps (a phase of a 1x1 kernel) there is one empty pass: bias and residual still apply.
    let blocks = if a.taps.is_empty() { 1 } else { blocks };
    while done < blocks {
        let end = (done + a.pass).min(blocks);
        let mut tile = Tile {
            src: a.src,
            weights: a.weights.wrapping_add(done * LANES * a.taps.len() * OCV * LANES),
            residual: a.residual,
            dst: a.dst,
            first: done == 0,
            relu: a.relu && end == blocks,
            channels: a.channels.min(end * LANES) - done * LANES,
        };
        let src_block = done * a.src_plane;
        for y in 0..a.rows {
            let row_src = a.src.wrapping_add(src_block + y * a.src_row);
            // Nearly equal blocks: a row of 13 is 7 + 6, not 12 + 1.
            let parts = a.width.div_ceil(MAX);
            let (size, longer) = (a.width / parts, a.width % parts);
            let mut x = 0;
            for part in 0..parts {
                let pixels = size + usize::from(part < longer);
                tile.src = row_src.wrapping_add(x * a.src_stride * LANES);
                let at = y * a.dst_row + x * a.dst_pixel;
                tile.dst = a.dst.wrapping_add(at);
                if !a.residual.is_null() {
                    tile.residual = a.residual.wrapping_add(at);
                }
                if a.src_stride == 1 {
                    // SAFETY: the tile lies inside the strip.
                    unsafe { by_pixels::<S, OCV, MAX, 1>(s, a, &tile, pixels) };
                } else {
                    // SAFETY: as above.
                    unsafe { by_pixels::<S, OCV, MAX, 2>(s, a, &tile, pixels) };
                }
                x += pixels;
            }
        }
        done = end;
    }
}

/// # Safety
/// As for [`strip`], `1 <= pixels <= MAX <= 12`.
#[inline(always)]
unsafe fn by_pixels<S: Simd, const OCV: usize, const MAX: usize, const STRIDE: usize>(
    s: S,
    a: &Strip,
    t: &Tile,
    pixels: usize,
) {
    macro_rules! instances {
        ($($px:literal)*) => {
            match pixels {
                // The guard drops the instances above MAX at compile time.
                // SAFETY: the tile has `pixels` pixels inside the strip.
                $($px if $px <= MAX => unsafe { tile::<S, OCV, $px, STRIDE>(s, a, t) },)*
                _ => unreachable!("{pixels} pixels in a tile of {MAX}"),
            }
        };
    }
    instances!(1 2 3 4 5 6 7 8 9 10 11 12);
}

/// # Safety
/// As for [`strip`]; `PX` pixels from the tile's addresses on lie inside the strip.
#[inline(always)]
unsafe fn tile<S: Simd, const OCV: usize, const PX: usize, const STRIDE: usize>(s: S, a: &Strip, t: &Tile) {
    let mut acc = [[s.splat(0.0); OCV]; PX];
    let mut weights = t.weights;
    let mut plane = t.src;
    let mut left = t.channels;
    while left > 0 {
        let channels = left.min(LANES);
        for &tap in a.taps {
            let src = plane.wrapping_add(tap);
            for channel in 0..channels {
                let mut w = [s.splat(0.0); OCV];
                for v in 0..OCV {
                    // SAFETY: the weights hold OCV * 16 floats per (tap, source channel).
                    w[v] = unsafe { s.load(weights.wrapping_add(v * LANES)) };
                }
                for px in 0..PX {
                    // SAFETY: the source pixel of this output at this tap, border included.
                    let value = unsafe { *src.wrapping_add(channel + px * STRIDE * LANES) };
                    let value = s.splat(value);
                    for v in 0..OCV {
                        acc[px][v] = s.mul_add(value, w[v], acc[px][v]);
                    }
                }
                weights = weights.wrapping_add(OCV * LANES);
            }
        }
        plane = plane.wrapping_add(a.src_plane);
        left -= channels;
    }
    if t.first {
        for v in 0..OCV {
            // SAFETY: `bias` holds OCV * 16 floats.
            let bias = unsafe { s.load(a.bias.wrapping_add(v * LANES)) };
            for px in 0..PX {
                acc[px][v] = s.add(acc[px][v], bias);
            }
        }
        if !t.residual.is_null() {
            for px in 0..PX {
                for v in 0..OCV {
                    let p = t.residual.wrapping_add(px * a.dst_pixel + v * a.dst_plane);
                    // SAFETY: the residual has the layout of dst.
                    let r = unsafe { s.load(p) };
                    acc[px][v] = s.add(acc[px][v], r);
                }
            }
        }
    } else {
        for px in 0..PX {
            for v in 0..OCV {
                let p = t.dst.wrapping_add(px * a.dst_pixel + v * a.dst_plane);
                // SAFETY: an output of this strip.
                let sum = unsafe { s.load(p) };
                acc[px][v] = s.add(acc[px][v], sum);
            }
        }
    }
    for px in 0..PX {
        for v in 0..OCV {
            let value = if t.relu { s.relu(acc[px][v]) } else { acc[px][v] };
            // SAFETY: an output of this strip.
            unsafe { s.store(t.dst.wrapping_add(px * a.dst_pixel + v * a.dst_plane), value) };
        }
    }
}
