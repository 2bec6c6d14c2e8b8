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
    let mut border = buf.to_vec();
    for_interior(shape, |at, index| {
        match index {
            Some(index) => plain[index] = buf[at],
            None => assert!(buf[at] == 0.0, "{what}: unused lane at {at} is {}", buf[at]),
        }
        border[at] = BORDER;
    });
    assert!(border.iter().all(|&v| v == BORDER), "{what}: the border was written");
    plain
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

/// Plain convolution in f64.
pub fn conv_reference(desc: ConvDesc, src: &[f32], shape: Shape, weight: &[f32]) -> Vec<f64> {
    let ConvDesc { ic, oc, kernel, stride, padding } = desc;
    let (oh, ow) = desc.out(shape.h, shape.w);
    let mut dst = vec![0.0; shape.n * oc * oh * ow];
    for n in 0..shape.n {
        for o in 0..oc {
            for y in 0..oh {
                for x in 0..ow {
                    let mut sum = 0.0;
                    for ky in 0..kernel {
                        let sy = (y * stride + ky).wrapping_sub(padding);
                        for kx in 0..kernel {
                            let sx = (x * stride + kx).wrapping_sub(padding);
                            if sy < shape.h && sx < shape.w {
                                for i in 0..ic {
                                    let s = src[((n * ic + i) * shape.h + sy) * shape.w + sx];
                                    let w = weight[((o * ic + i) * kernel + ky) * kernel + kx];
                                    sum += f64::from(s) * f64::from(w);
                                }
                            }
                        }
                    }
                    dst[((n * oc + o) * oh + y) * ow + x] = sum;
                }
            }
        }
    }
    dst
}

/// The two gradients of a plain convolution in f64: (dx, dw).
pub fn conv_gradients(
    desc: ConvDesc,
    src: &[f32],
    shape: Shape,
    weight: &[f32],
    dy: &[f32],
) -> (Vec<f64>, Vec<f64>) {
    let ConvDesc { ic, oc, kernel, stride, padding } = desc;
    let (oh, ow) = desc.out(shape.h, shape.w);
    let (mut dx, mut dw) = (vec![0.0; src.len()], vec![0.0; weight.len()]);
    for n in 0..shape.n {
        for o in 0..oc {
            for y in 0..oh {
                for x in 0..ow {
                    let g = f64::from(dy[((n * oc + o) * oh + y) * ow + x]);
                    for ky in 0..kernel {
                        let sy = (y * stride + ky).wrapping_sub(padding);
                        for kx in 0..kernel {
                            let sx = (x * stride + kx).wrapping_sub(padding);
                            if sy < shape.h && sx < shape.w {
                                for i in 0..ic {
                                    let s = ((n * ic + i) * shape.h + sy) * shape.w + sx;
                                    let w = ((o * ic + i) * kernel + ky) * kernel + kx;
                                    dx[s] += g * f64::from(weight[w]);
                                    dw[w] += g * f64::from(src[s]);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    (dx, dw)
}

/// Plain transposed convolution (kernel 4, stride 2, padding 1) in f64.
pub fn transpose_reference(ic: usize, oc: usize, src: &[f32], shape: Shape, weight: &[f32]) -> Vec<f64> {
    let (oh, ow) = (2 * shape.h, 2 * shape.w);
    let mut dst = vec![0.0; shape.n * oc * oh * ow];
    for n in 0..shape.n {
        for i in 0..ic {
            for y in 0..shape.h {
                for x in 0..shape.w {
                    let s = f64::from(src[((n * ic + i) * shape.h + y) * shape.w + x]);
                    for ky in 0..4 {
                        let oy = (2 * y + ky).wrapping_sub(1);
                        for kx in 0..4 {
                            let ox = (2 * x + kx).wrapping_sub(1);
                            if oy < oh && ox < ow {
                                for o in 0..oc {
                                    let w = f64::from(weight[((i * oc + o) * 4 + ky) * 4 + kx]);
                                    dst[((n * oc + o) * oh + oy) * ow + ox] += s * w;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    dst
}
