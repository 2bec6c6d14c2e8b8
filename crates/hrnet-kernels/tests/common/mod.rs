//! Shared by the test files: number sources, blocked tensors between guard pages, scalar f64 references.
#![allow(dead_code)] // each test file uses a part

use hrnet_kernels::*;

/// A small deterministic generator (splitmix64).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Integers in -4..=4: sums of products stay far below 2^24, so every order of summation is exact.
    pub fn ints(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| (self.next() % 9) as f32 - 4.0).collect()
    }

    /// Uniform in [-1, 1).
    pub fn reals(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    pub fn numbers(&mut self, len: usize, exact: bool) -> Vec<f32> {
        if exact { self.ints(len) } else { self.reals(len) }
    }
}

pub fn plain_len(shape: Shape) -> usize {
    shape.n * shape.c * shape.h * shape.w
}

/// What the border of an output is filled with, to see that nobody writes it.
pub const BORDER: f32 = 777.0;

/// A blocked input: border and unused lanes zero.
pub fn blocked(plain: &[f32], shape: Shape) -> Vec<f32> {
    let mut buf = vec![0.0; shape.len()];
    to_blocked(&Pool::new(1), plain, shape, &mut buf);
    buf
}

/// A blocked output: border poisoned, interior (unused lanes too) NaN.
pub fn output(shape: Shape) -> Vec<f32> {
    let mut buf = vec![BORDER; shape.len()];
    for_interior(shape, |at, _| buf[at] = f32::NAN);
    buf
}

/// A blocked output that already holds a tensor: border poisoned, unused lanes zero.
pub fn output_holding(plain: &[f32], shape: Shape) -> Vec<f32> {
    let mut buf = vec![BORDER; shape.len()];
    to_blocked(&Pool::new(1), plain, shape, &mut buf);
    buf
}

/// Calls `f(offset, Some(plain index) or None for an unused lane)` for every interior float.
pub fn for_interior(shape: Shape, mut f: impl FnMut(usize, Option<usize>)) {
    for n in 0..shape.n {
        for channel in 0..shape.blocks() * LANES {
            for y in 0..shape.h {
                for x in 0..shape.w {
                    let plane = (n * shape.blocks() + channel / LANES) * shape.plane();
                    let at = plane + (y + 1) * shape.row() + (x + 1) * LANES + channel % LANES;
                    let plain = ((n * shape.c + channel) * shape.h + y) * shape.w + x;
                    f(at, (channel < shape.c).then_some(plain));
                }
            }
        }
    }
}

/// The plain tensor of an output; checks that the border is as poisoned and unused lanes are zero.
pub fn unblock(buf: &[f32], shape: Shape, what: &str) -> Vec<f32> {
    let mut plain = vec![0.0; plain_len(shape)];
    if let Err(problem) = unblock_into(buf, shape, &mut plain) {
        panic!("{what}: {problem}");
    }
    plain
}

/// [`unblock`] that says what is wrong: nothing is written but the interior, and unused lanes are zero.
pub fn unblock_into(buf: &[f32], shape: Shape, plain: &mut [f32]) -> Result<(), String> {
    let (row, plane) = (shape.row(), shape.plane());
    for (index, cells) in buf.chunks_exact(plane).enumerate() {
        let (n, block) = (index / shape.blocks(), index % shape.blocks());
        for (y, cells) in cells.chunks_exact(row).enumerate() {
            for (x, lanes) in cells.chunks_exact(LANES).enumerate() {
                let at = || format!("of image {n}, channel block {block}, bordered pixel ({x}, {y})");
                if y == 0 || y > shape.h || x == 0 || x > shape.w {
                    if lanes.iter().any(|&v| v != BORDER) {
                        return Err(format!("the border was written: {lanes:?} {}", at()));
                    }
                    continue;
                }
                for (lane, &value) in lanes.iter().enumerate() {
                    let channel = block * LANES + lane;
                    if channel < shape.c {
                        plain[((n * shape.c + channel) * shape.h + y - 1) * shape.w + x - 1] = value;
                    } else if value != 0.0 {
                        return Err(format!("unused lane {lane} is {value} {}", at()));
                    }
                }
            }
        }
    }
    Ok(())
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Exact on integer data; on real data within `tolerance` times the rms of the reference.
pub fn compare(got: &[f32], want: &[f64], exact: bool, tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let rms = (want.iter().map(|v| v * v).sum::<f64>() / want.len() as f64).sqrt();
    let bound = if exact { 0.0 } else { tolerance * rms.max(1e-3) };
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(g) - w).abs();
        assert!(
            error <= bound,
            "{what}: value {i} is {g}, the reference {w}; error {error:e}, bound {bound:e}"
        );
    }
}

/// The number type of a reference: f32 where integer data makes every sum exact, else f64.
pub trait Number: Copy + Default + From<f32> + std::ops::AddAssign + std::ops::Mul<Output = Self> {}
impl Number for f32 {}
impl Number for f64 {}

/// The outputs of one axis that see the image at kernel position `k`, and the input of the first one.
fn seen(k: usize, desc: ConvDesc, input: usize, output: usize) -> (std::ops::Range<usize>, usize) {
    let first = desc.padding.saturating_sub(k).div_ceil(desc.stride);
    // The last output whose input index is below `input`.
    let end = (input + desc.padding).saturating_sub(k).div_ceil(desc.stride).min(output);
    (first.min(end)..end, (first * desc.stride + k).saturating_sub(desc.padding))
}

/// Calls `f(output row, input row, weight index)` for every pair of rows that meet: offsets of the first values
/// that meet, their number, and the step of the input is the stride.
fn rows_that_meet(desc: ConvDesc, shape: Shape, mut f: impl FnMut(usize, usize, usize, usize)) {
    let ConvDesc { ic, oc, kernel, stride, .. } = desc;
    let (oh, ow) = desc.out(shape.h, shape.w);
    for n in 0..shape.n {
        for (o, i) in (0..oc).flat_map(|o| (0..ic).map(move |i| (o, i))) {
            for ky in 0..kernel {
                let (ys, y_in) = seen(ky, desc, shape.h, oh);
                for kx in 0..kernel {
                    let (xs, x_in) = seen(kx, desc, shape.w, ow);
                    let w = ((o * ic + i) * kernel + ky) * kernel + kx;
                    for (at, y) in ys.clone().enumerate() {
                        let to = ((n * oc + o) * oh + y) * ow + xs.start;
                        let from = ((n * ic + i) * shape.h + y_in + at * stride) * shape.w + x_in;
                        f(to, from, w, xs.len());
                    }
                }
            }
        }
    }
}

/// Plain convolution.
pub fn conv_reference<T: Number>(desc: ConvDesc, src: &[f32], shape: Shape, weight: &[f32]) -> Vec<T> {
    let (oh, ow) = desc.out(shape.h, shape.w);
    let src: Vec<T> = src.iter().map(|&v| v.into()).collect();
    let mut dst = vec![T::default(); shape.n * desc.oc * oh * ow];
    rows_that_meet(desc, shape, |to, from, w, count| {
        if count > 0 {
            let w = T::from(weight[w]);
            let last = from + (count - 1) * desc.stride;
            add_row(&mut dst[to..to + count], &src[from..=last], desc.stride, w);
        }
    });
    dst
}

fn add_row<T: Number>(dst: &mut [T], src: &[T], stride: usize, w: T) {
    if stride == 1 {
        dst.iter_mut().zip(src).for_each(|(d, &s)| *d += s * w);
    } else {
        dst.iter_mut().zip(src.iter().step_by(stride)).for_each(|(d, &s)| *d += s * w);
    }
}

/// The two gradients of a plain convolution: (dx, dw).
pub fn conv_gradients<T: Number>(
    desc: ConvDesc,
    src: &[f32],
    shape: Shape,
    weight: &[f32],
    dy: &[f32],
) -> (Vec<T>, Vec<T>) {
    let (mut dx, mut dw) = (vec![T::default(); src.len()], vec![T::default(); weight.len()]);
    rows_that_meet(desc, shape, |to, from, w, count| {
        let mut sum = T::default();
        for x in 0..count {
            let g = T::from(dy[to + x]);
            dx[from + x * desc.stride] += g * T::from(weight[w]);
            sum += g * T::from(src[from + x * desc.stride]);
        }
        dw[w] += sum;
    });
    (dx, dw)
}

/// Plain transposed convolution (kernel 4, stride 2, padding 1): the input gradient of the convolution with
/// the roles of input and output exchanged.
pub fn transpose_reference<T: Number>(
    ic: usize,
    oc: usize,
    src: &[f32],
    shape: Shape,
    weight: &[f32],
) -> Vec<T> {
    let desc = ConvDesc { ic: oc, oc: ic, kernel: 4, stride: 2, padding: 1 };
    let large = Shape { n: shape.n, c: oc, h: 2 * shape.h, w: 2 * shape.w };
    let mut dst = vec![T::default(); plain_len(large)];
    rows_that_meet(desc, large, |small, from, w, count| {
        for x in 0..count {
            dst[from + 2 * x] += T::from(src[small + x]) * T::from(weight[w]);
        }
    });
    dst
}
