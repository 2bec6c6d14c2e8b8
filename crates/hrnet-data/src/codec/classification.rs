//! Classification: softmax and the best classes.

/// A class and its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// Index of the class.
    pub class: usize,
    /// Softmax over all classes.
    pub probability: f32,
}

/// Softmax in 64 bits, by the maximum; a logit that is NaN counts as minus infinity. Without a finite maximum all
/// probabilities are zero, but for plus infinity, which shares the whole.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let value = |v: f32| if v.is_nan() { f64::NEG_INFINITY } else { f64::from(v) };
    let highest = logits.iter().map(|&v| value(v)).fold(f64::NEG_INFINITY, f64::max);
    if highest == f64::NEG_INFINITY {
        return vec![0.0; logits.len()];
    }
    let weight = |v: f32| {
        // Infinity less infinity is not a number.
        if value(v) == highest { 1.0 } else { (value(v) - highest).exp() }
    };
    let total: f64 = logits.iter().map(|&v| weight(v)).sum();
    logits.iter().map(|&v| (weight(v) / total) as f32).collect()
}

/// The `k` best classes, best first; of equal logits the smaller index. Classes whose logit is NaN are left out.
pub fn top_k(logits: &[f32], k: usize) -> Vec<Ranked> {
    let probabilities = softmax(logits);
    let mut order: Vec<usize> = (0..logits.len()).filter(|&i| !logits[i].is_nan()).collect();
    let better = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
    if k < order.len() && k > 0 {
        order.select_nth_unstable_by(k - 1, better);
    }
    order.truncate(k);
    order.sort_unstable_by(better);
    order.into_iter().map(|class| Ranked { class, probability: probabilities[class] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Rng};

    #[test]
    fn softmax_by_hand_and_at_the_extremes() {
        // exp: 1, 2, 4 over 7.
        let p = softmax(&[0.0, 2f32.ln(), 4f32.ln()]);
        for (p, want) in p.iter().zip([1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0]) {
            assert!((p - want).abs() < 1e-7);
        }
        assert_eq!(softmax(&[1e30, -1e30]), [1.0, 0.0]);
        assert_eq!(softmax(&[f32::INFINITY, 1.0, f32::INFINITY]), [0.5, 0.0, 0.5]);
        assert_eq!(softmax(&[f32::NAN, f32::NEG_INFINITY]), [0.0, 0.0]);
        assert_eq!(softmax(&[f32::NAN, 3.0]), [0.0, 1.0]);
        assert!(softmax(&[]).is_empty());
    }

    #[test]
    fn the_best_classes_are_those_of_a_full_sort() {
        let mut rng = Rng::new(1, Purpose::Other, 0, 0);
        for n in [1usize, 2, 7, 1000] {
            // Few values, so that ties occur.
            let logits: Vec<f32> = (0..n).map(|_| rng.below(20) as f32).collect();
            let mut want: Vec<usize> = (0..n).collect();
            want.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
            for k in [0, 1, 5, n, n + 3] {
                let got: Vec<usize> = top_k(&logits, k).iter().map(|r| r.class).collect();
                assert_eq!(got, want[..k.min(n)]);
            }
        }
        let got = top_k(&[f32::NAN, 1.0, f32::NAN, 2.0], 5);
        assert_eq!(got.iter().map(|r| r.class).collect::<Vec<_>>(), [3, 1]);
    }
}
