//! Convolution, transposed convolution and linear layer of the reference.

use super::array::Array;
use hrnet_ir::{Conv, ConvTranspose};

/// `out` is overwritten.
pub(super) fn forward(c: &Conv, x: &Array, weight: &[f64], bias: Option<&[f64]>, out: &mut Array) {
    let (k, s, p) = (c.kernel, c.stride, c.padding);
    let [n, oc, oh, ow] = out.shape;
    let ic = x.shape[1];
    let x = x.padded(p);
    let (size, w) = (x.size(), x.shape[3]);
    for image in 0..n {
        for o in 0..oc {
            let dst = &mut out.data[(image * oc + o) * oh * ow..][..oh * ow];
            dst.fill(bias.map_or(0.0, |b| b[o]));
            for i in 0..ic {
                let src = &x.data[(image * ic + i) * size..][..size];
                for (tap, &wt) in weight[(o * ic + i) * k * k..][..k * k].iter().enumerate() {
                    for (y, row) in dst.chunks_exact_mut(ow).enumerate() {
                        let from = &src[(y * s + tap / k) * w + tap % k..];
                        if s == 1 {
                            row.iter_mut().zip(&from[..ow]).for_each(|(d, v)| *d += wt * v);
                        } else {
                            row.iter_mut().zip(from.iter().step_by(s)).for_each(|(d, v)| *d += wt * v);
                        }
                    }
                }
            }
        }
    }
}

/// The gradient of the source; `dw`, that of the weight, is added to.
pub(super) fn backward(c: &Conv, x: &Array, weight: &[f64], dy: &Array, dw: &mut [f64]) -> Array {
    let (k, s, p) = (c.kernel, c.stride, c.padding);
    let [n, oc, oh, ow] = dy.shape;
    let ic = x.shape[1];
    let shape = x.shape;
    let x = x.padded(p);
    let mut dx = Array::zeros(x.shape);
    let (size, w) = (x.size(), x.shape[3]);
    for image in 0..n {
        for o in 0..oc {
            let grad = &dy.data[(image * oc + o) * oh * ow..][..oh * ow];
            for i in 0..ic {
                let plane = (image * ic + i) * size;
                for tap in 0..k * k {
                    let at = (o * ic + i) * k * k + tap;
                    let mut sum = 0.0;
                    for (y, row) in grad.chunks_exact(ow).enumerate() {
                        let start = plane + (y * s + tap / k) * w + tap % k;
                        if s == 1 {
                            let src = &x.data[start..start + ow];
                            sum += row.iter().zip(src).map(|(d, v)| d * v).sum::<f64>();
                            let dst = &mut dx.data[start..start + ow];
                            dst.iter_mut().zip(row).for_each(|(t, d)| *t += weight[at] * d);
                        } else {
                            for (column, d) in row.iter().enumerate() {
                                sum += d * x.data[start + column * s];
                                dx.data[start + column * s] += weight[at] * d;
                            }
                        }
                    }
                    dw[at] += sum;
                }
            }
        }
    }
    let mut cropped = Array::zeros(shape);
    let [_, _, h, width] = shape;
    for (dst, src) in cropped.data.chunks_exact_mut(h * width).zip(dx.data.chunks_exact(size)) {
        for (y, row) in dst.chunks_exact_mut(width).enumerate() {
            row.copy_from_slice(&src[(y + p) * w + p..][..width]);
        }
    }
    cropped
}

/// Adds the gradient of a bias.
pub(super) fn bias_backward(dy: &Array, db: &mut [f64]) {
    let channels = db.len();
    for (plane, values) in dy.data.chunks_exact(dy.size()).enumerate() {
        db[plane % channels] += values.iter().sum::<f64>();
    }
}

/// Adds to `out`. A transposed convolution in training has no bias.
pub(super) fn transpose_forward(c: &ConvTranspose, x: &Array, weight: &[f64], out: &mut Array) {
    taps(c, x, out.shape, |at, i, o| out.data[o] += weight[at] * x.data[i]);
}

/// The gradient of the source; `dw`, that of the weight, is added to.
pub(super) fn transpose_backward(
    c: &ConvTranspose,
    x: &Array,
    weight: &[f64],
    dy: &Array,
    dw: &mut [f64],
) -> Array {
    let mut dx = Array::zeros(x.shape);
    taps(c, x, dy.shape, |at, i, o| {
        dx.data[i] += weight[at] * dy.data[o];
        dw[at] += x.data[i] * dy.data[o];
    });
    dx
}

/// Visits (weight, source value, output value) of every product of a transposed convolution.
fn taps(c: &ConvTranspose, x: &Array, out: [usize; 4], mut visit: impl FnMut(usize, usize, usize)) {
    let ConvTranspose { kernel, stride, padding, .. } = *c;
    let ([n, ic, h, w], [_, oc, oh, ow]) = (x.shape, out);
    for image in 0..n {
        for (i, o) in (0..ic).flat_map(|i| (0..oc).map(move |o| (i, o))) {
            for pixel in 0..h * w {
                for k in 0..kernel * kernel {
                    let y = (pixel / w * stride + k / kernel).wrapping_sub(padding);
                    let x = (pixel % w * stride + k % kernel).wrapping_sub(padding);
                    if y < oh && x < ow {
                        let weight = (i * oc + o) * kernel * kernel + k;
                        let to = ((image * oc + o) * oh + y) * ow + x;
                        visit(weight, (image * ic + i) * h * w + pixel, to);
                    }
                }
            }
        }
    }
}

/// `out = weight x + bias`, image by image.
pub(super) fn linear_forward(x: &Array, weight: &[f64], bias: &[f64], out: &mut Array) {
    let (inputs, outputs) = (x.shape[1], out.shape[1]);
    for (dst, src) in out.data.chunks_exact_mut(outputs).zip(x.data.chunks_exact(inputs)) {
        for (o, d) in dst.iter_mut().enumerate() {
            let row = &weight[o * inputs..][..inputs];
            *d = bias[o] + row.iter().zip(src).map(|(a, b)| a * b).sum::<f64>();
        }
    }
}

/// The gradient of the source; `dw` is added to.
pub(super) fn linear_backward(x: &Array, weight: &[f64], dy: &Array, dw: &mut [f64]) -> Array {
    let (inputs, outputs) = (x.shape[1], dy.shape[1]);
    let mut dx = Array::zeros(x.shape);
    for n in 0..dy.shape[0] {
        for o in 0..outputs {
            let d = dy.data[n * outputs + o];
            for k in 0..inputs {
                let at = o * inputs + k;
                dx.data[n * inputs + k] += d * weight[at];
                dw[at] += d * x.data[n * inputs + k];
            }
        }
    }
    dx
}
