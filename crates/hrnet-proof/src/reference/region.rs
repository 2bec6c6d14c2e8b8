//! The two attention pieces of the object-contextual head in the reference.

use super::array::Array;

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

/// Pixels gathered into regions: every region is the mean of `feats` under the softmax of its `scores`. `out` is overwritten.
pub(super) fn gather_forward(scores: &Array, feats: &Array, out: &mut Array) {
    let [n, channels, _, _] = out.shape;
    for image in 0..n {
        for k in 0..scores.shape[1] {
            let shares = softmax(scores.plane(image, k).iter().copied());
            for c in 0..channels {
                let feats = feats.plane(image, c);
                out.plane_mut(image, c)[k] = shares.iter().zip(feats).map(|(a, b)| a * b).sum();
            }
        }
    }
}

/// The gradients of scores and features.
pub(super) fn gather_backward(scores: &Array, feats: &Array, dy: &Array) -> [Array; 2] {
    let (mut dscores, mut dfeats) = (Array::zeros(scores.shape), Array::zeros(feats.shape));
    let [n, channels, _, _] = dy.shape;
    for image in 0..n {
        for k in 0..scores.shape[1] {
            let shares = softmax(scores.plane(image, k).iter().copied());
            let mut slopes = vec![0.0; shares.len()];
            for c in 0..channels {
                let d = dy.plane(image, c)[k];
                slopes.iter_mut().zip(feats.plane(image, c)).for_each(|(s, f)| *s += d * f);
                let dfeats = dfeats.plane_mut(image, c);
                dfeats.iter_mut().zip(&shares).for_each(|(t, share)| *t += d * share);
            }
            dscores.plane_mut(image, k).copy_from_slice(&softmax_backward(&shares, &slopes));
        }
    }
    [dscores, dfeats]
}

/// Regions given back to pixels: every pixel is the mean of `value` under the softmax of `scale * query . key`. `out` is
/// overwritten.
pub(super) fn attend_forward(scale: f64, [query, key, value]: [&Array; 3], out: &mut Array) {
    let [n, channels, _, _] = out.shape;
    for image in 0..n {
        for p in 0..query.size() {
            let shares = attention(query, key, scale, image, p);
            for v in 0..channels {
                let values = value.plane(image, v);
                out.plane_mut(image, v)[p] = shares.iter().zip(values).map(|(a, b)| a * b).sum();
            }
        }
    }
}

/// The gradients of query, key and value.
pub(super) fn attend_backward(scale: f64, [query, key, value]: [&Array; 3], dy: &Array) -> [Array; 3] {
    let [mut dquery, mut dkey, mut dvalue] = [query, key, value].map(|x| Array::zeros(x.shape));
    let [n, channels, _, _] = dy.shape;
    for image in 0..n {
        for p in 0..query.size() {
            let shares = attention(query, key, scale, image, p);
            let mut slopes = vec![0.0; shares.len()];
            for v in 0..channels {
                let d = dy.plane(image, v)[p];
                slopes.iter_mut().zip(value.plane(image, v)).for_each(|(s, v)| *s += d * v);
                let dvalue = dvalue.plane_mut(image, v);
                dvalue.iter_mut().zip(&shares).for_each(|(t, share)| *t += d * share);
            }
            let logits = softmax_backward(&shares, &slopes);
            for c in 0..query.shape[1] {
                let (query, key) = (query.plane(image, c)[p], key.plane(image, c));
                let dot: f64 = logits.iter().zip(key).map(|(l, k)| l * k).sum();
                dquery.plane_mut(image, c)[p] += scale * dot;
                let dkey = dkey.plane_mut(image, c);
                dkey.iter_mut().zip(&logits).for_each(|(t, l)| *t += scale * l * query);
            }
        }
    }
    [dquery, dkey, dvalue]
}

/// The shares of the regions at a pixel.
fn attention(query: &Array, key: &Array, scale: f64, image: usize, p: usize) -> Vec<f64> {
    let regions = key.size();
    softmax((0..regions).map(|k| {
        let channels = 0..query.shape[1];
        scale * channels.map(|c| query.plane(image, c)[p] * key.plane(image, c)[k]).sum::<f64>()
    }))
}
