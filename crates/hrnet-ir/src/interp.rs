//! The interpreter: slow, obvious, single-threaded, f64 throughout. It defines what every operation means; everything
//! fast is tested against it.

use crate::net::{BatchNorm, Conv, ConvTranspose, Net, Op, ParamId};
use crate::{ShapeError, Tensor, Weights};

/// An activation `[n, c, h, w]` in f64, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array64 {
    /// `[n, c, h, w]`.
    pub shape: [usize; 4],
    /// The values.
    pub data: Vec<f64>,
}

/// Why a network could not be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterpError {
    /// The input does not fit.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The input has not four dimensions.
    #[error("the input has shape {0:?}, want [n, 3, h, w]")]
    Rank(Vec<usize>),
    /// A parameter is absent or has another shape.
    #[error("{name}: wanted a tensor of shape {wanted:?}, found {found:?}")]
    Weight {
        /// State-dict name.
        name: String,
        /// Shape in the network.
        wanted: Vec<usize>,
        /// Shape in the weights, if it is there.
        found: Option<Vec<usize>>,
    },
}

/// Runs a network in inference mode and returns its outputs in order.
pub fn run(net: &Net, weights: &Weights, input: &Tensor) -> Result<Vec<Array64>, InterpError> {
    let dims = input.dims4().ok_or_else(|| InterpError::Rank(input.shape().to_vec()))?;
    let shapes = net.shapes(dims)?;
    let params = Params { net, weights };
    let mut readers = net.use_counts();
    let mut values: Vec<Option<Array64>> = vec![None; net.nodes().len()];
    for (i, node) in net.nodes().iter().enumerate() {
        let inputs: Vec<&Array64> = node
            .inputs
            .iter()
            .map(|v| values[v.index()].as_ref().expect("computed before its readers"))
            .collect();
        let mut out = Array64::zeros(shapes[i]);
        match node.op {
            Op::Input => out.data = input.data().iter().map(|&v| f64::from(v)).collect(),
            Op::Conv(conv) => convolve(&params, &conv, inputs[0], &mut out)?,
            Op::ConvTranspose(conv) => convolve_transpose(&params, &conv, inputs[0], &mut out)?,
            Op::BatchNorm(bn) => batch_norm(&params, &bn, inputs[0], &mut out)?,
            Op::Relu => out.data = inputs[0].data.iter().map(|v| v.max(0.0)).collect(),
            Op::Add => out.data = inputs[0].data.iter().zip(&inputs[1].data).map(|(a, b)| a + b).collect(),
            Op::UpsampleNearest { factor } => upsample_nearest(inputs[0], factor, &mut out),
            Op::ResizeBilinear { align_corners } => resize_bilinear(inputs[0], align_corners, &mut out),
            Op::Concat => concat(&inputs, &mut out),
            Op::AvgPool { size } => {
                pool(inputs[0], size, &mut out, |w| w.iter().sum::<f64>() / w.len() as f64)
            }
            Op::MaxPool { size } => {
                pool(inputs[0], size, &mut out, |w| w.iter().copied().fold(f64::MIN, f64::max))
            }
            Op::GlobalAvgPool => {
                for (o, plane) in out.data.iter_mut().zip(inputs[0].planes()) {
                    *o = plane.iter().sum::<f64>() / plane.len() as f64;
                }
            }
            Op::Linear { weight, bias } => linear(&params, weight, bias, inputs[0], &mut out)?,
            Op::RegionGather => region_gather(inputs[0], inputs[1], &mut out),
            Op::RegionAttend { scale } => region_attend(inputs[0], inputs[1], inputs[2], scale, &mut out),
            Op::Dropout { .. } => out.data.clone_from(&inputs[0].data),
        }
        values[i] = Some(out);
        for v in &node.inputs {
            readers[v.index()] -= 1;
            if readers[v.index()] == 0 {
                values[v.index()] = None;
            }
        }
    }
    Ok(net.outputs().iter().map(|o| values[o.value.index()].clone().expect("outputs stay alive")).collect())
}

impl Array64 {
    fn zeros(shape: [usize; 4]) -> Self {
        Self { shape, data: vec![0.0; shape.iter().product()] }
    }

    /// The maps of all images and channels, in order.
    pub fn planes(&self) -> impl Iterator<Item = &[f64]> {
        self.data.chunks_exact(self.shape[2] * self.shape[3])
    }

    fn plane(&self, n: usize, c: usize) -> &[f64] {
        let size = self.shape[2] * self.shape[3];
        &self.data[(n * self.shape[1] + c) * size..][..size]
    }

    /// The values rounded to f32.
    pub fn to_tensor(&self) -> Tensor {
        Tensor::new(self.shape.to_vec(), self.data.iter().map(|&v| v as f32).collect())
            .expect("one value each")
    }
}

struct Params<'a> {
    net: &'a Net,
    weights: &'a Weights,
}

impl Params<'_> {
    fn get(&self, id: ParamId) -> Result<Vec<f64>, InterpError> {
        let param = self.net.param(id);
        match self.weights.get(&param.name) {
            Some(t) if t.shape() == param.shape => Ok(t.data().iter().map(|&v| f64::from(v)).collect()),
            found => Err(InterpError::Weight {
                name: param.name.clone(),
                wanted: param.shape.clone(),
                found: found.map(|t| t.shape().to_vec()),
            }),
        }
    }

    fn bias(&self, id: Option<ParamId>, channels: usize) -> Result<Vec<f64>, InterpError> {
        id.map_or_else(|| Ok(vec![0.0; channels]), |id| self.get(id))
    }
}

/// The output positions `o` in `0..out` for which `o * stride + tap - padding` lies inside `0..size`.
fn valid(out: usize, size: usize, stride: usize, tap: usize, padding: usize) -> std::ops::Range<usize> {
    let first = padding.saturating_sub(tap).div_ceil(stride);
    let end = (size + padding).saturating_sub(tap).div_ceil(stride).min(out);
    first..end.max(first)
}

fn convolve(params: &Params, conv: &Conv, x: &Array64, out: &mut Array64) -> Result<(), InterpError> {
    let weight = params.get(conv.weight)?;
    let [n, oc, oh, ow] = out.shape;
    let [_, ic, h, w] = x.shape;
    let bias = params.bias(conv.bias, oc)?;
    let (k, s, p) = (conv.kernel, conv.stride, conv.padding);
    for image in 0..n {
        for o in 0..oc {
            let dst = &mut out.data[(image * oc + o) * oh * ow..][..oh * ow];
            dst.fill(bias[o]);
            for i in 0..ic {
                let src = x.plane(image, i);
                for (tap, &wt) in weight[(o * ic + i) * k * k..][..k * k].iter().enumerate() {
                    let (ky, kx) = (tap / k, tap % k);
                    let xs = valid(ow, w, s, kx, p);
                    for oy in valid(oh, h, s, ky, p) {
                        let row = &src[(oy * s + ky - p) * w..][..w];
                        let dst = &mut dst[oy * ow..][..ow][xs.clone()];
                        let first = (xs.start * s + kx).saturating_sub(p);
                        if s == 1 {
                            for (d, v) in dst.iter_mut().zip(&row[first.min(w)..]) {
                                *d += wt * v;
                            }
                        } else {
                            for (d, v) in dst.iter_mut().zip(row[first.min(w)..].iter().step_by(s)) {
                                *d += wt * v;
                            }
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

fn convolve_transpose(
    params: &Params,
    conv: &ConvTranspose,
    x: &Array64,
    out: &mut Array64,
) -> Result<(), InterpError> {
    let weight = params.get(conv.weight)?;
    let [n, oc, oh, ow] = out.shape;
    let [_, ic, h, w] = x.shape;
    let bias = params.bias(conv.bias, oc)?;
    let (k, s, p) = (conv.kernel, conv.stride, conv.padding);
    for image in 0..n {
        for o in 0..oc {
            let dst = &mut out.data[(image * oc + o) * oh * ow..][..oh * ow];
            dst.fill(bias[o]);
            for i in 0..ic {
                let src = x.plane(image, i);
                for (tap, &wt) in weight[(i * oc + o) * k * k..][..k * k].iter().enumerate() {
                    let (ky, kx) = (tap / k, tap % k);
                    for y in valid(h, oh, s, ky, p) {
                        for xx in valid(w, ow, s, kx, p) {
                            dst[(y * s + ky - p) * ow + xx * s + kx - p] += wt * src[y * w + xx];
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

fn batch_norm(params: &Params, bn: &BatchNorm, x: &Array64, out: &mut Array64) -> Result<(), InterpError> {
    let (gamma, beta) = (params.get(bn.gamma)?, params.get(bn.beta)?);
    let (mean, var) = (params.get(bn.mean)?, params.get(bn.var)?);
    let size = x.shape[2] * x.shape[3];
    for (i, (dst, src)) in out.data.chunks_exact_mut(size).zip(x.planes()).enumerate() {
        let c = i % x.shape[1];
        let scale = gamma[c] / (var[c] + bn.eps).sqrt();
        for (d, v) in dst.iter_mut().zip(src) {
            *d = (v - mean[c]) * scale + beta[c];
        }
    }
    Ok(())
}

fn upsample_nearest(x: &Array64, factor: usize, out: &mut Array64) {
    let (w, ow) = (x.shape[3], out.shape[3]);
    let size = out.shape[2] * ow;
    for (dst, src) in out.data.chunks_exact_mut(size).zip(x.planes()) {
        for (i, d) in dst.iter_mut().enumerate() {
            *d = src[(i / ow / factor) * w + (i % ow) / factor];
        }
    }
}

/// Source position and weight of the second sample for every output position (PyTorch's rule).
fn bilinear_axis(size: usize, out: usize, align_corners: bool) -> Vec<(usize, usize, f64)> {
    (0..out)
        .map(|o| {
            let pos = match align_corners {
                true if out > 1 => o as f64 * (size - 1) as f64 / (out - 1) as f64,
                true => 0.0,
                false => ((o as f64 + 0.5) * size as f64 / out as f64 - 0.5).max(0.0),
            };
            let low = (pos as usize).min(size - 1);
            (low, (low + 1).min(size - 1), pos - low as f64)
        })
        .collect()
}

fn resize_bilinear(x: &Array64, align_corners: bool, out: &mut Array64) {
    let [_, _, h, w] = x.shape;
    let [_, _, oh, ow] = out.shape;
    let (ys, xs) = (bilinear_axis(h, oh, align_corners), bilinear_axis(w, ow, align_corners));
    for (dst, src) in out.data.chunks_exact_mut(oh * ow).zip(x.planes()) {
        for (row, &(y0, y1, fy)) in dst.chunks_exact_mut(ow).zip(&ys) {
            for (d, &(x0, x1, fx)) in row.iter_mut().zip(&xs) {
                let top = src[y0 * w + x0] * (1.0 - fx) + src[y0 * w + x1] * fx;
                let bottom = src[y1 * w + x0] * (1.0 - fx) + src[y1 * w + x1] * fx;
                *d = top * (1.0 - fy) + bottom * fy;
            }
        }
    }
}

fn concat(inputs: &[&Array64], out: &mut Array64) {
    let mut data = Vec::with_capacity(out.data.len());
    for n in 0..out.shape[0] {
        for x in inputs {
            let image = x.data.len() / x.shape[0];
            data.extend_from_slice(&x.data[n * image..][..image]);
        }
    }
    out.data = data;
}

fn pool(x: &Array64, size: usize, out: &mut Array64, reduce: impl Fn(&[f64]) -> f64) {
    let (w, ow) = (x.shape[3], out.shape[3]);
    let plane = out.shape[2] * ow;
    let mut window = vec![0.0; size * size];
    for (dst, src) in out.data.chunks_exact_mut(plane).zip(x.planes()) {
        for (i, d) in dst.iter_mut().enumerate() {
            for (k, v) in window.iter_mut().enumerate() {
                *v = src[(i / ow * size + k / size) * w + i % ow * size + k % size];
            }
            *d = reduce(&window);
        }
    }
}

fn linear(
    params: &Params,
    weight: ParamId,
    bias: ParamId,
    x: &Array64,
    out: &mut Array64,
) -> Result<(), InterpError> {
    let (weight, bias) = (params.get(weight)?, params.get(bias)?);
    let (inputs, outputs) = (x.shape[1], out.shape[1]);
    for (dst, src) in out.data.chunks_exact_mut(outputs).zip(x.data.chunks_exact(inputs)) {
        for (o, d) in dst.iter_mut().enumerate() {
            *d = bias[o] + weight[o * inputs..][..inputs].iter().zip(src).map(|(a, b)| a * b).sum::<f64>();
        }
    }
    Ok(())
}

fn softmax(values: &mut [f64]) {
    let max = values.iter().copied().fold(f64::MIN, f64::max);
    let mut sum = 0.0;
    for v in values.iter_mut() {
        *v = (*v - max).exp();
        sum += *v;
    }
    for v in values {
        *v /= sum;
    }
}

fn region_gather(scores: &Array64, feats: &Array64, out: &mut Array64) {
    let [n, regions, _, _] = scores.shape;
    let channels = feats.shape[1];
    for image in 0..n {
        for k in 0..regions {
            let mut p = scores.plane(image, k).to_vec();
            softmax(&mut p);
            for c in 0..channels {
                let sum = p.iter().zip(feats.plane(image, c)).map(|(a, b)| a * b).sum();
                out.data[(image * channels + c) * regions + k] = sum;
            }
        }
    }
}

fn region_attend(query: &Array64, key: &Array64, value: &Array64, scale: f64, out: &mut Array64) {
    let [n, channels, h, w] = query.shape;
    let regions = key.shape[2];
    let values = value.shape[1];
    let size = h * w;
    let mut p = vec![0.0; regions];
    for image in 0..n {
        for pixel in 0..size {
            for (k, p) in p.iter_mut().enumerate() {
                let dot: f64 =
                    (0..channels).map(|c| query.plane(image, c)[pixel] * key.plane(image, c)[k]).sum();
                *p = scale * dot;
            }
            softmax(&mut p);
            for d in 0..values {
                let sum = p.iter().zip(value.plane(image, d)).map(|(a, b)| a * b).sum();
                out.data[(image * values + d) * size + pixel] = sum;
            }
        }
    }
}
