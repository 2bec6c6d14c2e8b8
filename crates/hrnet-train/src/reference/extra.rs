//! The rarer operations of the reference, forward and backward.

use super::Array;

/// One operation: what it computes from its sources, and what a gradient gives to each of them.
pub(super) enum Extra<'a> {
    /// Weight `[ic][oc][k][k]`, stride, padding.
    Transpose {
        weight: &'a [f64],
        kernel: usize,
        stride: usize,
        padding: usize,
    },
    AvgPool {
        size: usize,
    },
    MaxPool {
        size: usize,
    },
    Gather,
    Attend {
        scale: f64,
    },
}

fn softmax(logits: impl Iterator<Item = f64>) -> Vec<f64> {
    let logits: Vec<f64> = logits.collect();
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|v| (v - top).exp()).sum();
    logits.iter().map(|v| (v - top).exp() / sum).collect()
}

/// `share (slope - mean slope)`: the gradient of logits from that of their softmax.
fn softmax_backward(shares: &[f64], slopes: &[f64]) -> Vec<f64> {
    let mean: f64 = shares.iter().zip(slopes).map(|(a, b)| a * b).sum();
    shares.iter().zip(slopes).map(|(share, slope)| share * (slope - mean)).collect()
}

impl Array {
    /// A channel of an image.
    fn plane(&self, n: usize, c: usize) -> &[f64] {
        let size = self.size();
        &self.data[(n * self.shape[1] + c) * size..][..size]
    }

    fn plane_mut(&mut self, n: usize, c: usize) -> &mut [f64] {
        let size = self.size();
        &mut self.data[(n * self.shape[1] + c) * size..][..size]
    }
}

/// Pixels of a window.
fn window(w: usize, ow: usize, size: usize, out: usize) -> impl Iterator<Item = usize> {
    let (y, x) = (out / ow * size, out % ow * size);
    (0..size * size).map(move |k| (y + k / size) * w + x + k % size)
}

impl Extra<'_> {
    pub fn forward(&self, x: &[&Array], out: &mut Array) {
        let [n, channels, _, ow] = out.shape;
        let [_, _, _, w] = x[0].shape;
        match *self {
            Extra::Transpose { weight, .. } => {
                self.taps(x[0], out.shape, |at, i, o| out.data[o] += weight[at] * x[0].data[i]);
            }
            Extra::AvgPool { size } | Extra::MaxPool { size } => {
                let average = matches!(self, Extra::AvgPool { .. });
                for plane in 0..n * channels {
                    let src = x[0].plane(plane / channels, plane % channels);
                    for (i, d) in out.plane_mut(plane / channels, plane % channels).iter_mut().enumerate() {
                        let values = window(w, ow, size, i).map(|at| src[at]);
                        *d = match average {
                            true => values.sum::<f64>() / (size * size) as f64,
                            false => values.fold(f64::NEG_INFINITY, f64::max),
                        };
                    }
                }
            }
            Extra::Gather => {
                let regions = x[0].shape[1];
                for image in 0..n {
                    for k in 0..regions {
                        let shares = softmax(x[0].plane(image, k).iter().copied());
                        for c in 0..channels {
                            let feats = x[1].plane(image, c);
                            out.plane_mut(image, c)[k] = shares.iter().zip(feats).map(|(a, b)| a * b).sum();
                        }
                    }
                }
            }
            Extra::Attend { scale } => {
                for image in 0..n {
                    for p in 0..x[0].size() {
                        let shares = attention(x[0], x[1], scale, image, p);
                        for v in 0..channels {
                            let values = x[2].plane(image, v);
                            out.plane_mut(image, v)[p] = shares.iter().zip(values).map(|(a, b)| a * b).sum();
                        }
                    }
                }
            }
        }
    }

    /// Gradients of the sources; `dw` is that of the weight.
    pub fn backward(&self, x: &[&Array], dy: &Array, dw: &mut [f64]) -> Vec<Array> {
        let mut dx: Vec<Array> = x.iter().map(|x| Array::zeros(x.shape)).collect();
        let [n, channels, _, ow] = dy.shape;
        let w = x[0].shape[3];
        match *self {
            Extra::Transpose { weight, .. } => {
                let src = &x[0].data;
                self.taps(x[0], dy.shape, |at, i, o| {
                    dx[0].data[i] += weight[at] * dy.data[o];
                    dw[at] += src[i] * dy.data[o];
                });
            }
            Extra::AvgPool { size } | Extra::MaxPool { size } => {
                let average = matches!(self, Extra::AvgPool { .. });
                for plane in 0..n * channels {
                    let (image, c) = (plane / channels, plane % channels);
                    for (i, &d) in dy.plane(image, c).iter().enumerate() {
                        let src = x[0].plane(image, c);
                        if average {
                            let dst = dx[0].plane_mut(image, c);
                            window(w, ow, size, i).for_each(|at| dst[at] += d / (size * size) as f64);
                        } else {
                            let first = window(w, ow, size, i).next().expect("a window has pixels");
                            let best = window(w, ow, size, i)
                                .fold(first, |best, at| if src[at] > src[best] { at } else { best });
                            dx[0].plane_mut(image, c)[best] += d;
                        }
                    }
                }
            }
            Extra::Gather => {
                for image in 0..n {
                    for k in 0..x[0].shape[1] {
                        let shares = softmax(x[0].plane(image, k).iter().copied());
                        let mut slopes = vec![0.0; shares.len()];
                        for c in 0..channels {
                            let d = dy.plane(image, c)[k];
                            slopes.iter_mut().zip(x[1].plane(image, c)).for_each(|(s, f)| *s += d * f);
                            let dfeats = dx[1].plane_mut(image, c);
                            dfeats.iter_mut().zip(&shares).for_each(|(t, share)| *t += d * share);
                        }
                        dx[0].plane_mut(image, k).copy_from_slice(&softmax_backward(&shares, &slopes));
                    }
                }
            }
            Extra::Attend { scale } => {
                for image in 0..n {
                    for p in 0..x[0].size() {
                        let shares = attention(x[0], x[1], scale, image, p);
                        let mut slopes = vec![0.0; shares.len()];
                        for v in 0..channels {
                            let d = dy.plane(image, v)[p];
                            slopes.iter_mut().zip(x[2].plane(image, v)).for_each(|(s, v)| *s += d * v);
                            let dvalue = dx[2].plane_mut(image, v);
                            dvalue.iter_mut().zip(&shares).for_each(|(t, share)| *t += d * share);
                        }
                        let logits = softmax_backward(&shares, &slopes);
                        for c in 0..x[0].shape[1] {
                            let (query, key) = (x[0].plane(image, c)[p], x[1].plane(image, c));
                            let dot: f64 = logits.iter().zip(key).map(|(l, k)| l * k).sum();
                            dx[0].plane_mut(image, c)[p] += scale * dot;
                            let dkey = dx[1].plane_mut(image, c);
                            dkey.iter_mut().zip(&logits).for_each(|(t, l)| *t += scale * l * query);
                        }
                    }
                }
            }
        }
        dx
    }

    /// Visits (weight, source value, output value) of every product of a transposed convolution.
    fn taps(&self, x: &Array, out: [usize; 4], mut visit: impl FnMut(usize, usize, usize)) {
        let Extra::Transpose { kernel, stride, padding, .. } = *self else {
            unreachable!("asked by it only")
        };
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
}

/// The shares of the regions at a pixel.
fn attention(query: &Array, key: &Array, scale: f64, image: usize, p: usize) -> Vec<f64> {
    let regions = key.size();
    softmax((0..regions).map(|k| {
        let channels = 0..query.shape[1];
        scale * channels.map(|c| query.plane(image, c)[p] * key.plane(image, c)[k]).sum::<f64>()
    }))
}
