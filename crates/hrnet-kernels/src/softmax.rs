//! Softmax over the channels of plain rows `[c][w]`, for losses on pixels.
//!
//! `exp` is a polynomial after reduction by powers of two (the coefficients of Cephes' `expf`): the compiler vectorises
//! it, unlike calls of the C library, and it gives the same bits on every system.

use crate::Isa;

/// Below it, `exp` would leave the normal numbers; a softmax share of 1e-38 is nothing.
const LEAST: f32 = -87.0;
/// Adding it rounds to the nearest integer, which then stands in the low bits.
const ROUND: f32 = 12_582_912.0;
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// `e^x` for `x <= 0`; NaN stays NaN.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = if x < LEAST { LEAST } else { x };
    let t = x * std::f32::consts::LOG2_E + ROUND;
    let k = t - ROUND;
    let r = x - k * LN2_HIGH - k * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + c;
    }
    let power = f32::from_bits((t.to_bits() << 23).wrapping_add(0x3F80_0000));
    (p * r * r + r + 1.0) * power
}

multiversion! {
    fn rows(logits: &mut [f32], tops: &mut [f32], sums: &mut [f32]) {
        let width = tops.len();
        tops.fill(f32::NEG_INFINITY);
        sums.fill(0.0);
        for row in logits.chunks_exact(width) {
            tops.iter_mut().zip(row).for_each(|(t, &v)| *t = if v > *t { v } else { *t });
        }
        for row in logits.chunks_exact_mut(width) {
            for ((v, &top), sum) in row.iter_mut().zip(&*tops).zip(&mut *sums) {
                *v = exp(*v - top);
                *sum += *v;
            }
        }
        for row in logits.chunks_exact_mut(width) {
            row.iter_mut().zip(&*sums).for_each(|(v, &sum)| *v /= sum);
        }
    }
}

/// Replaces `logits` `[c][w]` by their softmax over `c`. `tops[x]` becomes the largest logit, `sums[x]` the sum of
/// `exp(logit - top)`: the negative log-likelihood of a class is `top - logit + ln(sum)`. A NaN spoils its pixel.
///
/// # Panics
/// When the lengths do not fit.
pub fn softmax_channels(isa: Isa, logits: &mut [f32], tops: &mut [f32], sums: &mut [f32]) {
    let width = tops.len();
    assert!(
        sums.len() == width && width > 0 && logits.len().is_multiple_of(width),
        "softmax_channels: {} logits, {width} maxima, {} sums",
        logits.len(),
        sums.len()
    );
    rows(isa.prove(), logits, tops, sums);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_formula_in_f64() {
        let (classes, width) = (7, 37);
        let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 31.0 - 16.0;
        let logits: Vec<f32> = (0..classes * width).map(value).collect();
        let mut first: Option<Vec<f32>> = None;
        for isa in Isa::available() {
            let (mut got, mut tops, mut sums) = (logits.clone(), vec![0.0; width], vec![0.0; width]);
            softmax_channels(isa, &mut got, &mut tops, &mut sums);
            for x in 0..width {
                let at = |c: usize| f64::from(logits[c * width + x]);
                let total: f64 = (0..classes).map(|c| at(c).exp()).sum();
                for c in 0..classes {
                    let wanted = at(c).exp() / total;
                    let error = (f64::from(got[c * width + x]) - wanted).abs();
                    // The difference to the largest logit is rounded, and exp makes that relative.
                    let limit = 4e-7 + 6e-8 * (at(c) - f64::from(tops[x])).abs();
                    assert!(error < limit * wanted + 1e-37, "{}: {error} of {wanted}", isa.name());
                    let nll = f64::from(tops[x]) - at(c) + f64::from(sums[x]).ln();
                    assert!((nll + wanted.ln()).abs() < 1e-6 * (1.0 + nll.abs()));
                }
            }
            assert_eq!(*first.get_or_insert_with(|| got.clone()), got, "{}", isa.name());
        }
    }

    #[test]
    fn far_apart_logits_and_nan() {
        let isa = Isa::detect();
        let mut logits = [0.0, f32::NAN, 1000.0, 0.0, -1000.0, 1.0];
        let (mut tops, mut sums) = ([0.0; 2], [0.0; 2]);
        softmax_channels(isa, &mut logits, &mut tops, &mut sums);
        assert_eq!((logits[2], tops[0], sums[0]), (1.0, 1000.0, 1.0));
        assert!(logits[0] < 1e-37 && logits[4] < 1e-37);
        assert!(logits[1].is_nan() && logits[3].is_nan() && sums[1].is_nan());
    }
}
