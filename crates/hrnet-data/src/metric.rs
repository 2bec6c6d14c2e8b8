//! Metrics: `reset` forgets, `update` adds one sample or image, `compute` gives the figures.
//!
//! | module | figures | equal to |
//! |---|---|---|
//! | [`coco`] | AP and AR of key points and boxes | pycocotools |
//! | [`oks`] | OKS, OKS NMS, soft OKS NMS, rescoring | the official pose code |
//! | [`pck`] | PCKh (MPII), PCK by box, head or torso, AUC, end-point error | the official pose code, mmpose |
//! | [`nme`] | NME, failure rate, AUC and CED of landmarks | the official face code |
//! | [`segmentation`] | mIoU, pixel and mean accuracy, confusion | the official segmentation code, mmsegmentation |
//! | [`topk`] | top-1, top-5 | torchvision |
//!
//! Figures are fractions, not percent. A mean over nothing is `None`, never NaN; the functions that speak a file format of
//! others say what they write instead. All sums are in a fixed order, so that a result does not depend on threads.

pub mod coco;
pub mod nme;
pub mod oks;
pub mod pck;
pub mod segmentation;
pub mod topk;

/// Whose convention a figure follows. Each difference is named at the metric and in `docs/protocols.md`.
pub use crate::codec::Protocol;

/// The sum of numbers in numpy's order (pairwise, eight partial sums, blocks of 128), so that a comparison with a
/// threshold falls on the same side as in the published code.
fn numpy_sum(values: &[f64]) -> f64 {
    let n = values.len();
    if n < 8 {
        return values.iter().sum();
    }
    if n > 128 {
        let half = n / 2 - (n / 2) % 8;
        return numpy_sum(&values[..half]) + numpy_sum(&values[half..]);
    }
    let mut r = [0.0; 8];
    let chunks = values.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (total, v) in r.iter_mut().zip(chunk) {
            *total += v;
        }
    }
    let mut sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for v in rest {
        sum += v;
    }
    sum
}

/// The mean in numpy's order; `None` of nothing.
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| numpy_sum(values) / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_in_numpys_order() {
        // np.sum(1 / (1 + np.arange(n))) of numpy 2.4, and the plain sum where it differs.
        for (n, want) in REFERENCE {
            let values: Vec<f64> = (0..n).map(|i| 1.0 / (1 + i) as f64).collect();
            assert_eq!(numpy_sum(&values), want, "{n}");
        }
        assert_eq!((mean(&[]), mean(&[1.0, 2.0])), (None, Some(1.5)));
    }

    const REFERENCE: [(usize, f64); 6] = [
        (0, 0.0),
        (7, 2.5928571428571425),
        (17, 3.439552522640758),
        (100, 5.187377517639621),
        (129, 5.440899030573669),
        (5000, 9.094508852984436),
    ];
}
