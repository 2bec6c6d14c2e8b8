//! Sums of resized maps in one pass: the fusion step of an exchange.
//!
//! ```text
//! dst = act(((addend + resize(src 0)) + resize(src 1)) + ...)        up to 4 terms
//! ```
//!
//! Additions in the order of the terms, whatever the kernel: one term after the other has the same bits. Without an
//! addend the first term takes its place.
//!
//! * Nearest with factors 1, 2, 4, 8 (all powers of two): per run of equal pixels one load per term (from L1: a source row
//!   serves `factor` rows), per pixel one load of the addend and one store. The up-sampled maps are never written.
//! * Bilinear: a source row is mixed horizontally once, into the thread's scratch, where the next output rows find it
//!   again; the vertical mix of all terms, the additions and the store are one loop. Two loads and three operations per
//!   term and pixel instead of four and seven.
//! * Anything else (a factor of 3, both kinds in one sum, rows too wide for the scratch): one pass over the row per term.
//!
//! Measured (Zen 4, one thread, AVX-512, three terms, best of 3000, microseconds) against one pass over the map per term with
//! four loads per bilinear pixel:
//!
//! ```text
//! nearest   32 channels  64 x 48    9.5   was 13.8        bilinear  18 channels   64 x 64    42    was 128
//! nearest   48 channels  96 x 72   31     was 52          bilinear  48 channels  128 x 256 600    was 1541
//! ```
//!
//! The numerics of the bilinear mix are described in `resize.rs`.

use crate::conv::Residual;
use crate::isa::Proven;
use crate::par::Bands;
use crate::pool::SCRATCH_FLOATS;
use crate::resize::{Axis, Taps};
use crate::simd::Simd;
use crate::{Isa, LANES, Pool, Shape};

/// The largest number of terms of one [`Sum`].
pub const MAX_TERMS: usize = 4;

/// Rows of a bilinear task: the first of them mixes two source rows per term, the next ones fewer than one.
const BILINEAR_ROWS: usize = 8;

/// How a term gets the size of the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// Pixel replication; factor 1 is the map itself.
    Nearest {
        /// Replicas along each axis.
        factor: usize,
    },
    /// As PyTorch's `interpolate(mode="bilinear")`, to the size of the sum.
    Bilinear {
        /// Whether the corner pixels' centres stay where they are.
        align_corners: bool,
    },
}

/// A sum prepared for its shapes.
pub struct Sum {
    proven: Proven,
    dst: Shape,
    terms: Vec<Term>,
    kind: Kind,
}

struct Term {
    shape: Shape,
    resize: Resize,
    /// Bilinear only: the vertical axis, and the taps of every column.
    vertical: Axis,
    columns: Vec<Taps>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// All nearest, all factors powers of two.
    Nearest,
    /// All bilinear, two mixed rows of every term fit the scratch.
    Bilinear,
    /// One pass per term.
    Passes,
}

/// The buffers of a sum, for its tasks.
#[derive(Clone, Copy)]
pub(crate) struct SumCall {
    pub(crate) srcs: [*const f32; MAX_TERMS],
    /// Null for none, may be `dst`.
    pub(crate) addend: *const f32,
    pub(crate) dst: *mut f32,
    pub(crate) relu: bool,
}

// SAFETY: the pointers are used only in `Sum::task`, whose callers promise that the buffers outlive it and that tasks
// write disjoint parts.
unsafe impl Sync for SumCall {}

/// Which rows are in the scratch: for each term and slot the source row.
type Mixed = [[Option<usize>; 2]; MAX_TERMS];

impl Sum {
    /// A sum of maps of these shapes. Panics if there are more than [`MAX_TERMS`] terms, if images or channels differ,
    /// or if a factor does not lead to `dst`.
    pub fn new(isa: Isa, dst: Shape, terms: &[(Shape, Resize)]) -> Sum {
        assert!(terms.len() <= MAX_TERMS, "sum of {} terms, at most {MAX_TERMS}", terms.len());
        let prepared: Vec<Term> =
            terms.iter().map(|&(shape, resize)| Term::new(shape, resize, dst)).collect();
        let all = |f: fn(&Resize) -> bool| terms.iter().all(|(_, resize)| f(resize));
        let kind = if all(|r| matches!(r, Resize::Nearest { factor } if factor.is_power_of_two())) {
            Kind::Nearest
        } else if all(|r| matches!(r, Resize::Bilinear { .. }))
            && 2 * terms.len() * dst.w * LANES <= SCRATCH_FLOATS
        {
            Kind::Bilinear
        } else {
            Kind::Passes
        };
        Sum { proven: isa.prove(), dst, terms: prepared, kind }
    }

    /// The shape of the result.
    pub fn dst_shape(&self) -> Shape {
        self.dst
    }

    /// The shapes of the terms.
    pub fn src_shapes(&self) -> impl Iterator<Item = Shape> + '_ {
        self.terms.iter().map(|term| term.shape)
    }

    /// What it does, for plans: the resizes of the terms.
    pub fn kernel_name(&self) -> String {
        let name = |term: &Term| match term.resize {
            Resize::Nearest { factor: 1 } => "1".to_string(),
            Resize::Nearest { factor } => format!("x{factor}"),
            Resize::Bilinear { .. } => "bilinear".to_string(),
        };
        match self.terms.is_empty() {
            true => "relu".into(),
            false => format!("sum_{}", self.terms.iter().map(name).collect::<Vec<_>>().join("_")),
        }
    }

    /// `dst = act(addend + sum of the resized sources)`.
    pub fn run(&self, pool: &Pool, srcs: &[&[f32]], addend: Residual<'_>, dst: &mut [f32], relu: bool) {
        assert!(srcs.len() == self.terms.len(), "sum of {} terms, {} given", self.terms.len(), srcs.len());
        self.dst.check("sum: dst", dst.len());
        let mut pointers = [std::ptr::null(); MAX_TERMS];
        for ((pointer, src), term) in pointers.iter_mut().zip(srcs).zip(&self.terms) {
            term.shape.check("sum: src", src.len());
            *pointer = src.as_ptr();
        }
        let dst_ptr = dst.as_mut_ptr();
        let addend = match addend {
            Residual::None => std::ptr::null(),
            Residual::InPlace => dst_ptr.cast_const(),
            Residual::From(addend) => {
                self.dst.check("sum: addend", addend.len());
                addend.as_ptr()
            }
        };
        let call = SumCall { srcs: pointers, addend, dst: dst_ptr, relu };
        pool.run_scratch(self.tasks(), &|index, scratch| {
            // SAFETY: all lengths were checked, every index comes once, and the buffers are borrowed until
            // `run_scratch` returns.
            unsafe { self.task(index, &call, scratch) };
        });
    }

    /// Into how many tasks the work is cut.
    pub(crate) fn tasks(&self) -> usize {
        self.bands().tasks()
    }

    fn bands(&self) -> Bands {
        Bands::of_rows(self.dst, if self.kind == Kind::Bilinear { BILINEAR_ROWS } else { 1 })
    }

    /// Floats that are read and written.
    pub(crate) fn floats(&self) -> usize {
        self.dst.len() * (2 + self.terms.len())
    }

    /// Computes one task.
    ///
    /// # Safety
    /// The buffers of `call` have the shapes of this sum, `addend` is null, `dst` or apart from it, the sources are apart
    /// from `dst`, and no other thread uses the rows of `dst` that this task writes.
    pub(crate) unsafe fn task(&self, index: usize, call: &SumCall, scratch: &mut [f32]) {
        let width = self.dst.w * LANES;
        let bands = self.bands();
        for band in bands.of_task(index) {
            let mut mixed = Mixed::default();
            for y in band.y0..band.y0 + (band.end - band.start) / self.dst.row() {
                let at = self.dst.offset(band.n, band.cb, y + 1) + LANES;
                // SAFETY: the interior of a row of this task.
                let dst = unsafe { std::slice::from_raw_parts_mut(call.dst.wrapping_add(at), width) };
                let has_addend = !call.addend.is_null();
                if has_addend && call.addend != call.dst.cast_const() {
                    // SAFETY: the same row of the addend, apart from dst.
                    let addend = unsafe { std::slice::from_raw_parts(call.addend.wrapping_add(at), width) };
                    dst.copy_from_slice(addend);
                }
                let row_of = |k: usize, y: usize| {
                    let shape = self.terms[k].shape;
                    let at = shape.offset(band.n, band.cb, y + 1) + LANES;
                    // SAFETY: the interior of a row of source `k`, apart from dst.
                    unsafe { std::slice::from_raw_parts(call.srcs[k].wrapping_add(at), shape.w * LANES) }
                };
                self.row(y, &row_of, has_addend, dst, call.relu, &mut mixed, scratch);
            }
        }
    }

    /// One output row; `dst` holds the addend if there is one.
    fn row<'a>(
        &self,
        y: usize,
        row_of: &impl Fn(usize, usize) -> &'a [f32],
        addend: bool,
        dst: &mut [f32],
        relu: bool,
        mixed: &mut Mixed,
        scratch: &mut [f32],
    ) {
        let count = self.terms.len();
        match self.kind {
            Kind::Nearest => {
                let (mut rows, mut shifts) = ([&[][..]; MAX_TERMS], [0; MAX_TERMS]);
                for (k, term) in self.terms.iter().enumerate() {
                    let Resize::Nearest { factor } = term.resize else { unreachable!("{:?}", self.kind) };
                    (rows[k], shifts[k]) = (row_of(k, y / factor), factor.trailing_zeros());
                }
                nearest_row(self.proven, &rows, &shifts, count, addend, dst, relu);
            }
            Kind::Bilinear => {
                let width = dst.len();
                let (mut slots, mut weights) = ([[0; 2]; MAX_TERMS], [0.0; MAX_TERMS]);
                for (k, term) in self.terms.iter().enumerate() {
                    let taps = term.vertical.at(y);
                    weights[k] = taps.weight;
                    for (slot, source) in slots[k].iter_mut().zip([taps.low, taps.high]) {
                        // Neighbouring rows lie in different slots.
                        let parity = source % 2;
                        *slot = (2 * k + parity) * width;
                        if mixed[k][parity] != Some(source) {
                            let to = &mut scratch[*slot..*slot + width];
                            mix_columns(self.proven, row_of(k, source), &term.columns, to);
                            mixed[k][parity] = Some(source);
                        }
                    }
                }
                let mut rows = [[&[][..]; 2]; MAX_TERMS];
                for (rows, slots) in rows.iter_mut().zip(&slots[..count]) {
                    *rows = slots.map(|slot| &scratch[slot..slot + width]);
                }
                mix_rows(self.proven, &rows, &weights, count, addend, dst, relu);
            }
            Kind::Passes => {
                for (k, term) in self.terms.iter().enumerate() {
                    let (addend, relu) = (addend || k > 0, relu && k + 1 == count);
                    match term.resize {
                        Resize::Nearest { factor } => {
                            replicate(self.proven, row_of(k, y / factor), factor, dst, addend, relu);
                        }
                        Resize::Bilinear { .. } => {
                            let taps = term.vertical.at(y);
                            let (above, below) = (row_of(k, taps.low), row_of(k, taps.high));
                            let columns = &term.columns;
                            mix_pixels(self.proven, above, below, taps.weight, columns, dst, addend, relu);
                        }
                    }
                }
            }
        }
    }
}

impl Term {
    fn new(shape: Shape, resize: Resize, dst: Shape) -> Term {
        assert!((shape.n, shape.c) == (dst.n, dst.c), "sum: a term of {shape:?} into {dst:?}");
        let (align_corners, columns) = match resize {
            Resize::Nearest { factor } => {
                let fits = (shape.h * factor, shape.w * factor) == (dst.h, dst.w);
                assert!(factor >= 1 && fits, "sum: {shape:?} times {factor} into {dst:?}");
                (false, 0)
            }
            Resize::Bilinear { align_corners } => (align_corners, dst.w),
        };
        let horizontal = Axis::new(shape.w, dst.w, align_corners);
        Term {
            shape,
            resize,
            vertical: Axis::new(shape.h, dst.h, align_corners),
            columns: (0..columns).map(|x| horizontal.at(x)).collect(),
        }
    }
}

multiversion! {
    fn nearest_row[s](
        rows: &[&[f32]; MAX_TERMS],
        shifts: &[u32; MAX_TERMS],
        count: usize,
        addend: bool,
        dst: &mut [f32],
        relu: bool,
    ) {
        // All terms are constant over runs of this many pixels.
        match shifts[..count].iter().min() {
            Some(0) | None => nearest_runs::<_, 1>(s, rows, shifts, count, addend, dst, relu),
            Some(1) => nearest_runs::<_, 2>(s, rows, shifts, count, addend, dst, relu),
            Some(_) => nearest_runs::<_, 4>(s, rows, shifts, count, addend, dst, relu),
        }
    }
}

#[inline(always)]
fn nearest_runs<S: Simd, const RUN: usize>(
    s: S,
    rows: &[&[f32]; MAX_TERMS],
    shifts: &[u32; MAX_TERMS],
    count: usize,
    addend: bool,
    dst: &mut [f32],
    relu: bool,
) {
    match (count, addend) {
        (0, _) => nearest::<_, RUN, 0, true>(s, rows, shifts, dst, relu),
        (1, true) => nearest::<_, RUN, 1, true>(s, rows, shifts, dst, relu),
        (2, true) => nearest::<_, RUN, 2, true>(s, rows, shifts, dst, relu),
        (3, true) => nearest::<_, RUN, 3, true>(s, rows, shifts, dst, relu),
        (_, true) => nearest::<_, RUN, 4, true>(s, rows, shifts, dst, relu),
        (1, false) => nearest::<_, RUN, 1, false>(s, rows, shifts, dst, relu),
        (2, false) => nearest::<_, RUN, 2, false>(s, rows, shifts, dst, relu),
        (3, false) => nearest::<_, RUN, 3, false>(s, rows, shifts, dst, relu),
        (_, false) => nearest::<_, RUN, 4, false>(s, rows, shifts, dst, relu),
    }
}

#[inline(always)]
fn nearest<S: Simd, const RUN: usize, const COUNT: usize, const ADDEND: bool>(
    s: S,
    rows: &[&[f32]; MAX_TERMS],
    shifts: &[u32; MAX_TERMS],
    dst: &mut [f32],
    relu: bool,
) {
    let (mut cells, mut shift) = ([&[][..]; COUNT], [0; COUNT]);
    for k in 0..COUNT {
        cells[k] = rows[k].as_chunks::<LANES>().0;
        shift[k] = shifts[k] - RUN.trailing_zeros();
    }
    let (runs, _) = dst.as_chunks_mut::<LANES>().0.as_chunks_mut::<RUN>();
    for (x, run) in runs.iter_mut().enumerate() {
        let mut terms = [s.splat(0.0); COUNT];
        for k in 0..COUNT {
            terms[k] = s.get(&cells[k][x >> shift[k]]);
        }
        for d in run {
            let mut v = if ADDEND { s.get(d) } else { terms[0] };
            for k in usize::from(!ADDEND)..COUNT {
                v = s.add(v, terms[k]);
            }
            s.put(d, if relu { s.relu(v) } else { v });
        }
    }
}

multiversion! {
    /// One source row at the columns of dst.
    fn mix_columns[s](src: &[f32], columns: &[Taps], dst: &mut [f32]) {
        let src = src.as_chunks::<LANES>().0;
        for (taps, d) in columns.iter().zip(dst.as_chunks_mut::<LANES>().0) {
            let (w0, w1) = (s.splat(1.0 - taps.weight), s.splat(taps.weight));
            let (low, high) = (s.get(&src[taps.low]), s.get(&src[taps.high]));
            s.put(d, s.add(s.mul(w0, low), s.mul(w1, high)));
        }
    }
}

multiversion! {
    /// The vertical mix of all terms.
    fn mix_rows[s](
        rows: &[[&[f32]; 2]; MAX_TERMS],
        weights: &[f32; MAX_TERMS],
        count: usize,
        addend: bool,
        dst: &mut [f32],
        relu: bool,
    ) {
        match (count, addend) {
            (1, true) => mix::<_, 1, true>(s, rows, weights, dst, relu),
            (2, true) => mix::<_, 2, true>(s, rows, weights, dst, relu),
            (3, true) => mix::<_, 3, true>(s, rows, weights, dst, relu),
            (_, true) => mix::<_, 4, true>(s, rows, weights, dst, relu),
            (1, false) => mix::<_, 1, false>(s, rows, weights, dst, relu),
            (2, false) => mix::<_, 2, false>(s, rows, weights, dst, relu),
            (3, false) => mix::<_, 3, false>(s, rows, weights, dst, relu),
            (_, false) => mix::<_, 4, false>(s, rows, weights, dst, relu),
        }
    }
}

#[inline(always)]
fn mix<S: Simd, const COUNT: usize, const ADDEND: bool>(
    s: S,
    rows: &[[&[f32]; 2]; MAX_TERMS],
    weights: &[f32; MAX_TERMS],
    dst: &mut [f32],
    relu: bool,
) {
    let dst = dst.as_chunks_mut::<LANES>().0;
    let (mut above, mut below) = ([&[][..]; COUNT], [&[][..]; COUNT]);
    let (mut w0, mut w1) = ([s.splat(0.0); COUNT], [s.splat(0.0); COUNT]);
    for k in 0..COUNT {
        above[k] = &rows[k][0].as_chunks::<LANES>().0[..dst.len()];
        below[k] = &rows[k][1].as_chunks::<LANES>().0[..dst.len()];
        (w0[k], w1[k]) = (s.splat(1.0 - weights[k]), s.splat(weights[k]));
    }
    for x in 0..dst.len() {
        let mut sum = s.get(&dst[x]);
        for k in 0..COUNT {
            let v = s.add(s.mul(w0[k], s.get(&above[k][x])), s.mul(w1[k], s.get(&below[k][x])));
            sum = if ADDEND || k > 0 { s.add(sum, v) } else { v };
        }
        s.put(&mut dst[x], if relu { s.relu(sum) } else { sum });
    }
}

multiversion! {
    fn replicate[s](src: &[f32], factor: usize, dst: &mut [f32], addend: bool, relu: bool) {
        let mut cells = dst.as_chunks_mut::<LANES>().0.iter_mut();
        for cell in src.as_chunks::<LANES>().0 {
            let v = s.get(cell);
            for d in cells.by_ref().take(factor) {
                let v = if addend { s.add(s.get(d), v) } else { v };
                s.put(d, if relu { s.relu(v) } else { v });
            }
        }
    }
}

multiversion! {
    fn mix_pixels[s](
        above: &[f32],
        below: &[f32],
        weight: f32,
        columns: &[Taps],
        dst: &mut [f32],
        addend: bool,
        relu: bool,
    ) {
        let (above, below) = (above.as_chunks::<LANES>().0, below.as_chunks::<LANES>().0);
        let (wy0, wy1) = (s.splat(1.0 - weight), s.splat(weight));
        for (taps, d) in columns.iter().zip(dst.as_chunks_mut::<LANES>().0) {
            let (wx0, wx1) = (s.splat(1.0 - taps.weight), s.splat(taps.weight));
            let (a0, a1) = (s.get(&above[taps.low]), s.get(&above[taps.high]));
            let (b0, b1) = (s.get(&below[taps.low]), s.get(&below[taps.high]));
            let top = s.add(s.mul(wx0, a0), s.mul(wx1, a1));
            let bottom = s.add(s.mul(wx0, b0), s.mul(wx1, b1));
            let mut value = s.add(s.mul(wy0, top), s.mul(wy1, bottom));
            if addend {
                value = s.add(s.get(d), value);
            }
            s.put(d, if relu { s.relu(value) } else { value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zero_border;

    fn map(pool: &Pool, shape: Shape, salt: usize) -> Vec<f32> {
        let value = |i: usize| ((i * 7919 + salt * 31) % 1013) as f32 / 37.0 - 13.0;
        let mut buf: Vec<f32> = (0..shape.len()).map(value).collect();
        zero_border(pool, &mut buf, shape);
        buf
    }

    /// One pass over the tensor per term, in plain Rust.
    fn by_passes(dst: &mut [f32], to: Shape, terms: &[(&[f32], Shape, Resize)], addend: bool, relu: bool) {
        for n in 0..to.n {
            for cb in 0..to.blocks() {
                for y in 0..to.h {
                    for x in 0..to.w {
                        for lane in 0..LANES {
                            let d = &mut dst[to.offset(n, cb, y + 1) + (x + 1) * LANES + lane];
                            let mut sum = addend.then_some(*d);
                            for (src, from, resize) in terms {
                                let at = |y: usize, x: usize| {
                                    src[from.offset(n, cb, y + 1) + (x + 1) * LANES + lane]
                                };
                                let v = match *resize {
                                    Resize::Nearest { factor } => at(y / factor, x / factor),
                                    Resize::Bilinear { align_corners } => {
                                        let v = Axis::new(from.h, to.h, align_corners).at(y);
                                        let h = Axis::new(from.w, to.w, align_corners).at(x);
                                        let row =
                                            |y| (1.0 - h.weight) * at(y, h.low) + h.weight * at(y, h.high);
                                        (1.0 - v.weight) * row(v.low) + v.weight * row(v.high)
                                    }
                                };
                                sum = Some(sum.map_or(v, |sum| sum + v));
                            }
                            let sum = sum.unwrap();
                            *d = if relu && sum < 0.0 { 0.0 } else { sum };
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn fused_sums_have_the_bits_of_one_pass_per_term() {
        let nearest = |factor| Resize::Nearest { factor };
        let (half, aligned) =
            (Resize::Bilinear { align_corners: false }, Resize::Bilinear { align_corners: true });
        let pool = Pool::new(3);
        type Case<'a> = (usize, usize, &'a [(usize, usize, Resize)]);
        let cases: [Case; 9] = [
            (8, 24, &[(4, 12, nearest(2)), (2, 6, nearest(4)), (1, 3, nearest(8))]),
            (40, 8, &[(40, 8, nearest(1)), (20, 4, nearest(2))]),
            (6, 9, &[(2, 3, nearest(3))]),
            (5, 7, &[(5, 7, nearest(1)); 4]),
            (37, 23, &[(19, 12, half), (10, 6, half), (5, 3, half)]),
            (37, 23, &[(19, 12, aligned), (10, 6, aligned)]),
            (8, 8, &[(4, 4, nearest(2)), (3, 5, aligned), (8, 8, nearest(1))]),
            (1, 1, &[(1, 1, half), (4, 3, aligned)]),
            // Two rows of four terms do not fit the scratch.
            (3, 2600, &[(2, 1300, half), (3, 7, aligned), (1, 1, half), (2, 2, aligned)]),
        ];
        for (h, w, terms) in cases {
            let to = Shape { n: 2, c: 17, h, w };
            let shapes: Vec<(Shape, Resize)> =
                terms.iter().map(|&(h, w, resize)| (Shape { h, w, ..to }, resize)).collect();
            let srcs: Vec<Vec<f32>> =
                shapes.iter().enumerate().map(|(i, &(shape, _))| map(&pool, shape, i)).collect();
            let refs: Vec<&[f32]> = srcs.iter().map(|src| &src[..]).collect();
            let named: Vec<_> = refs.iter().zip(&shapes).map(|(&src, &(shape, r))| (src, shape, r)).collect();
            let start = map(&pool, to, 9);
            for isa in Isa::available() {
                let sum = Sum::new(isa, to, &shapes);
                for (addend, relu) in [(false, false), (false, true), (true, false), (true, true)] {
                    let mut wanted = start.clone();
                    by_passes(&mut wanted, to, &named, addend, relu);
                    let mut found = start.clone();
                    let residual = if addend { Residual::InPlace } else { Residual::None };
                    sum.run(&pool, &refs, residual, &mut found, relu);
                    assert!(found == wanted, "{isa} {h}x{w} {terms:?} addend {addend} relu {relu}");
                    if addend {
                        let mut found = vec![f32::NAN; to.len()];
                        zero_border(&pool, &mut found, to);
                        sum.run(&pool, &refs, Residual::From(&start), &mut found, relu);
                        assert!(found == wanted, "{isa} {h}x{w} {terms:?} from elsewhere");
                    }
                }
            }
        }
    }

    #[test]
    fn no_term_is_the_relu_of_the_addend() {
        let pool = Pool::new(2);
        let shape = Shape { n: 1, c: 20, h: 3, w: 4 };
        let start = map(&pool, shape, 3);
        let mut found = vec![0.0; shape.len()];
        Sum::new(Isa::detect(), shape, &[]).run(&pool, &[], Residual::From(&start), &mut found, true);
        assert!(found.iter().zip(&start).all(|(f, s)| *f == s.max(0.0)));
    }

    #[test]
    #[should_panic(expected = "times 2 into")]
    fn a_factor_must_lead_to_the_sum() {
        let to = Shape { n: 1, c: 1, h: 5, w: 4 };
        Sum::new(Isa::Portable, to, &[(Shape { h: 2, w: 2, ..to }, Resize::Nearest { factor: 2 })]);
    }
}
