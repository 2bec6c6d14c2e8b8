//! Safe splitting of a buffer over the pool, and one plain-Rust body compiled for every instruction-set
//! level.

use std::marker::PhantomData;
use std::ops::Range;

use crate::{Pool, Shape};

/// A mutable buffer that several tasks write in disjoint parts.
pub(crate) struct SharedMut<'a> {
    ptr: *mut f32,
    len: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: it only hands out parts through `slice`, whose callers promise disjointness; f32 is Send.
unsafe impl Sync for SharedMut<'_> {}

impl<'a> SharedMut<'a> {
    pub(crate) fn new(buf: &'a mut [f32]) -> Self {
        SharedMut { ptr: buf.as_mut_ptr(), len: buf.len(), life: PhantomData }
    }

    /// # Safety
    /// No other live slice overlaps this range.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &mut [f32] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        let start = self.ptr.wrapping_add(range.start);
        // SAFETY: inside the buffer (checked above); exclusive by the promise of the caller.
        unsafe { std::slice::from_raw_parts_mut(start, range.len()) }
    }
}

/// Floats that one task of a memory-bound loop should touch at least: below it, the hand-out costs more than
/// it gains.
const TASK_FLOATS: usize = 8192;

/// Calls `f(index, chunk)` for every chunk of `chunk` floats of `buf`.
pub(crate) fn par_chunks(pool: &Pool, buf: &mut [f32], chunk: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    let chunks = buf.len() / chunk;
    let group = (TASK_FLOATS / chunk).max(1);
    let shared = SharedMut::new(buf);
    pool.run(chunks.div_ceil(group), &|task| {
        for index in task * group..((task + 1) * group).min(chunks) {
            // SAFETY: every index is visited once, and the chunks of two indices do not overlap.
            let part = unsafe { shared.slice(index * chunk..(index + 1) * chunk) };
            f(index, part);
        }
    });
}

/// Calls `f(start, part)` for consecutive parts of `len` floats of `buf`, the last one shorter.
pub(crate) fn par_chunks_uneven(
    pool: &Pool,
    buf: &mut [f32],
    len: usize,
    f: impl Fn(usize, &mut [f32]) + Sync,
) {
    let total = buf.len();
    let shared = SharedMut::new(buf);
    pool.run(total.div_ceil(len), &|index| {
        let start = index * len;
        // SAFETY: every index is visited once, and the parts of two indices do not overlap.
        let part = unsafe { shared.slice(start..(start + len).min(total)) };
        f(start, part);
    });
}

/// Some rows of one plane: image, channel block, rows from `y0` on, and where they lie in the buffer.
#[derive(Clone, Copy)]
pub(crate) struct Band {
    pub(crate) n: usize,
    pub(crate) cb: usize,
    pub(crate) y0: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Band {
    /// The same rows of another buffer of the same shape.
    pub(crate) fn of<'a>(&self, buf: &'a [f32]) -> &'a [f32] {
        &buf[self.start..self.end]
    }
}

/// A tensor cut into bands, grouped into tasks.
pub(crate) struct Bands {
    shape: Shape,
    rows: usize,
    per_plane: usize,
    group: usize,
    total: usize,
}

impl Bands {
    pub(crate) fn new(shape: Shape) -> Bands {
        Bands::of_rows(shape, 1)
    }

    /// Bands of at least `least` rows, where the map has that many.
    pub(crate) fn of_rows(shape: Shape, least: usize) -> Bands {
        let rows = (TASK_FLOATS / shape.row()).max(least).clamp(1, shape.h);
        let per_plane = shape.h.div_ceil(rows);
        let group = (TASK_FLOATS / (rows * shape.row())).max(1);
        Bands { shape, rows, per_plane, group, total: shape.n * shape.blocks() * per_plane }
    }

    pub(crate) fn tasks(&self) -> usize {
        self.total.div_ceil(self.group)
    }

    pub(crate) fn of_task(&self, task: usize) -> impl Iterator<Item = Band> + '_ {
        (task * self.group..((task + 1) * self.group).min(self.total)).map(|index| {
            let (plane, part) = (index / self.per_plane, index % self.per_plane);
            let (n, cb) = (plane / self.shape.blocks(), plane % self.shape.blocks());
            let y0 = part * self.rows;
            let y1 = (y0 + self.rows).min(self.shape.h);
            let start = self.shape.offset(n, cb, y0 + 1);
            Band { n, cb, y0, start, end: start + (y1 - y0) * self.shape.row() }
        })
    }
}

/// Calls `f` once for every band of interior rows. The slice holds whole bordered rows: the first and last 16
/// floats of each are border and must be left alone.
pub(crate) fn par_bands(pool: &Pool, shape: Shape, dst: &mut [f32], f: impl Fn(Band, &mut [f32]) + Sync) {
    par_bands2(pool, shape, dst, None, |band, dst, _| f(band, dst));
}

/// [`par_bands`] over two buffers of the same shape.
pub(crate) fn par_bands2(
    pool: &Pool,
    shape: Shape,
    first: &mut [f32],
    second: Option<&mut [f32]>,
    f: impl Fn(Band, &mut [f32], Option<&mut [f32]>) + Sync,
) {
    let bands = Bands::new(shape);
    let first = SharedMut::new(first);
    let second = second.map(SharedMut::new);
    pool.run(bands.tasks(), &|task| {
        for band in bands.of_task(task) {
            // SAFETY: every band is visited once and bands do not overlap.
            let a = unsafe { first.slice(band.start..band.end) };
            let b = second.as_ref().map(|second| {
                // SAFETY: as above, in the other buffer.
                unsafe { second.slice(band.start..band.end) }
            });
            f(band, a, b);
        }
    });
}

/// Compiles one function for every instruction-set level; the generated function takes the proven level
/// first.
///
/// Two forms. `fn f(x: ...)` is plain Rust: right for flat loops over slices, which the compiler vectorises.
/// `fn f[s](x: ...)` has 16-lane arithmetic in `s`, a [`crate::simd::Simd`]: right for loops over pixels of
/// 16 lanes, which the compiler may vectorise across pixels instead, a factor of 10 slower (measured on Zen
/// 4, rustc 1.95). Without `mul_add` all levels give the same bits.
macro_rules! multiversion {
    ($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        fn $name(proven: $crate::isa::Proven, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body
            multiversion!(
                @levels proven,
                [$($arg: $ty),*],
                [$($ret)?],
                body($($arg),*),
                body($($arg),*),
                body($($arg),*)
            )
        }
    };
    (
        $(#[$meta:meta])*
        fn $name:ident[$s:ident]($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    ) => {
        $(#[$meta])*
        fn $name(proven: $crate::isa::Proven, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<S: $crate::simd::Simd>($s: S, $($arg: $ty),*) $(-> $ret)? $body
            multiversion!(
                @levels proven,
                [$($arg: $ty),*],
                [$($ret)?],
                body($crate::simd::Portable, $($arg),*),
                {
                    // SAFETY: this function runs only where the level is there.
                    let s = unsafe { $crate::simd::Avx2::assume() };
                    body(s, $($arg),*)
                },
                {
                    // SAFETY: this function runs only where the level is there.
                    let s = unsafe { $crate::simd::Avx512::assume() };
                    body(s, $($arg),*)
                }
            )
        }
    };
    (
        @levels $proven:ident,
        [$($arg:ident: $ty:ty),*],
        [$($ret:ty)?],
        $portable:expr,
        $avx2:expr,
        $avx512:expr
    ) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2($($arg: $ty),*) $(-> $ret)? {
            $avx2
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
        fn avx512($($arg: $ty),*) $(-> $ret)? {
            $avx512
        }

        match $proven.isa() {
            $crate::Isa::Portable => $portable,
            // SAFETY: the level was proven on this processor.
            #[cfg(target_arch = "x86_64")]
            $crate::Isa::Avx2 => unsafe { avx2($($arg),*) },
            // SAFETY: the level was proven on this processor.
            #[cfg(target_arch = "x86_64")]
            $crate::Isa::Avx512 => unsafe { avx512($($arg),*) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => $portable,
        }
    }};
}
