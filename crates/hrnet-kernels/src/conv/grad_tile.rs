//! The micro-kernel of the weight gradient.
//!
//! `part[tap][ic][OCV * 16] += sum over the pixels of some rows of dy[pixel][oc] * src[pixel at tap][ic]`.
//!
//! A tile holds `OCV` vectors of output channels times `ICG` input channels in registers over all pixels of
//! the rows, then adds its sums to the partial buffer: two-level sums, and the rows stay in L1 over all taps.
//! Registers, AVX-512 2 x 8: 16 accumulators, 2 vectors of dy, 1 broadcast; 10 loads per 16 multiply-adds.

use crate::LANES;
use crate::simd::Simd;

/// Some rows of one image for one (output block, input block).
pub(crate) struct GradStrip<'a> {
    /// Bordered source pixel that a tap offset of 0 means for the first output pixel.
    pub(crate) src: *const f32,
    /// Floats between the source rows of consecutive output rows.
    pub(crate) src_row: usize,
    /// Source pixels between consecutive output pixels: 1 or 2.
    pub(crate) src_stride: usize,
    /// Input channels of this block, 1 to 16.
    pub(crate) channels: usize,
    pub(crate) taps: &'a [usize],
    /// First output pixel.
    pub(crate) dy: *const f32,
    pub(crate) dy_plane: usize,
    pub(crate) dy_row: usize,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    /// `[tap][16][OCV * 16]`.
    pub(crate) part: *mut f32,
    /// Write the sums instead of adding them.
    pub(crate) first: bool,
}

/// A compiled instance. Safety: the processor has the level, and every address that the strip describes is
/// valid.
pub(crate) type GradFn = unsafe fn(&GradStrip);

/// # Safety
/// Every address that the strip describes is valid.
#[inline(always)]
pub(crate) unsafe fn grad<S: Simd, const OCV: usize, const MAX: usize>(s: S, a: &GradStrip) {
    let groups = a.channels.div_ceil(MAX);
    let (size, longer) = (a.channels / groups, a.channels % groups);
    for (index, &tap) in a.taps.iter().enumerate() {
        let mut first = 0;
        for group in 0..groups {
            let channels = size + usize::from(group < longer);
            let src = a.src.wrapping_add(tap + first);
            let part = a.part.wrapping_add((index * LANES + first) * OCV * LANES);
            if a.src_stride == 1 {
                // SAFETY: `first..first + channels` are channels of this block.
                unsafe { by_channels::<S, OCV, MAX, 1>(s, a, src, part, channels) };
            } else {
                // SAFETY: as above.
                unsafe { by_channels::<S, OCV, MAX, 2>(s, a, src, part, channels) };
            }
            first += channels;
        }
    }
}

/// # Safety
/// As for [`grad`], `1 <= channels <= MAX <= 16`.
#[inline(always)]
unsafe fn by_channels<S: Simd, const OCV: usize, const MAX: usize, const STRIDE: usize>(
    s: S,
    a: &GradStrip,
    src: *const f32,
    part: *mut f32,
    channels: usize,
) {
    macro_rules! instances {
        ($($n:literal)*) => {
            match channels {
                // SAFETY: `channels` input channels from `src` on belong to the strip.
                $($n if $n <= MAX => unsafe { tile::<S, OCV, $n, STRIDE>(s, a, src, part) },)*
                _ => unreachable!("{channels} channels in a tile of {MAX}"),
            }
        };
    }
    instances!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
}

/// # Safety
/// As for [`grad`]; `ICG` input channels from `src` on belong to the strip.
#[inline(always)]
unsafe fn tile<S: Simd, const OCV: usize, const ICG: usize, const STRIDE: usize>(
    s: S,
    a: &GradStrip,
    src: *const f32,
    part: *mut f32,
) {
    let mut acc = [[s.splat(0.0); OCV]; ICG];
    for y in 0..a.rows {
        let src_row = src.wrapping_add(y * a.src_row);
        let dy_row = a.dy.wrapping_add(y * a.dy_row);
        for x in 0..a.width {
            let mut d = [s.splat(0.0); OCV];
            for v in 0..OCV {
                // SAFETY: an output pixel of the strip.
                d[v] = unsafe { s.load(dy_row.wrapping_add(x * LANES + v * a.dy_plane)) };
            }
            let pixel = src_row.wrapping_add(x * STRIDE * LANES);
            for channel in 0..ICG {
                // SAFETY: the source pixel of this output at this tap, border included.
                let value = s.splat(unsafe { *pixel.wrapping_add(channel) });
                for v in 0..OCV {
                    acc[channel][v] = s.mul_add(value, d[v], acc[channel][v]);
                }
            }
        }
    }
    for channel in 0..ICG {
        for v in 0..OCV {
            let p = part.wrapping_add((channel * OCV + v) * LANES);
            let mut sum = acc[channel][v];
            if !a.first {
                // SAFETY: inside the partial buffer of this task.
                sum = s.add(unsafe { s.load(p) }, sum);
            }
            // SAFETY: as above.
            unsafe { s.store(p, sum) };
        }
    }
}
