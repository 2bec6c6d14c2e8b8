//! Mixed images for classification: mixup (weighted means of two images) and cutmix (a box of one image in another), with
//! the classes in the same shares. Draws are a function of the generator, so a batch stays a function of its place.

use crate::error::LossError;
use crate::init::CounterRng;
use crate::loss::Target;
use crate::trainer::Batch;
use hrnet_ir::Tensor;
use serde::{Deserialize, Serialize};

/// How batches are mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// Alpha of mixup's Beta distribution; 0 turns it off. 0.2 is usual.
    pub mixup: f64,
    /// Alpha of cutmix's Beta distribution; 0 turns it off. 1 is usual.
    pub cutmix: f64,
    /// The share of batches that are mixed, where one of both is on; the two are equally likely then.
    pub probability: f64,
}

impl Mix {
    /// Checks the numbers.
    pub fn check(&self) -> Result<(), LossError> {
        let options = [("mixup", self.mixup, f64::MAX), ("cutmix", self.cutmix, f64::MAX)];
        for (option, value, most) in options.into_iter().chain([("probability", self.probability, 1.0)]) {
            if !(0.0..=most).contains(&value) {
                let wanted = if most == 1.0 { "a probability" } else { "0 or more" }.into();
                return Err(LossError::Option { option, value: value.to_string(), wanted });
            }
        }
        Ok(())
    }

    /// Mixes every image of a batch with its mirror place in the batch (the first with the last); labels become shares of
    /// `classes` classes, also where this batch is left alone.
    pub fn apply(&self, batch: &mut Batch, classes: usize, rng: &CounterRng) -> Result<(), LossError> {
        self.check()?;
        let mut shares = one_hot(&batch.target, classes)?;
        let on = [self.mixup > 0.0, self.cutmix > 0.0];
        if (on[0] || on[1]) && rng.uniform(0) < self.probability {
            let cut = on[1] && (!on[0] || rng.uniform(1) < 0.5);
            let alpha = if cut { self.cutmix } else { self.mixup };
            let lambda = beta(alpha, rng);
            let lambda = match cut {
                true => paste(&mut batch.input, lambda, rng),
                false => {
                    blend(&mut batch.input, lambda);
                    lambda
                }
            };
            blend(&mut shares, lambda);
        }
        batch.target = Target::Shares(shares);
        Ok(())
    }
}

fn one_hot(target: &Target, classes: usize) -> Result<Tensor, LossError> {
    let Target::Labels(labels) = target else {
        let (loss, wanted, found) = ("mixup and cutmix", "class labels", target.kind());
        return Err(LossError::Kind { loss, wanted, found });
    };
    let mut shares = Tensor::zeros([labels.len(), classes]);
    for (image, (row, &label)) in shares.data_mut().chunks_exact_mut(classes).zip(labels).enumerate() {
        *row.get_mut(label).ok_or(LossError::Label { image, label, classes })? = 1.0;
    }
    Ok(shares)
}

/// `lambda` of every row and the rest of the row at the mirror place.
fn blend(rows: &mut Tensor, lambda: f64) {
    let count = rows.shape()[0];
    let len = rows.len() / count.max(1);
    let old = rows.data().to_vec();
    let (own, other) = (lambda as f32, (1.0 - lambda) as f32);
    for (row, dst) in rows.data_mut().chunks_exact_mut(len).enumerate() {
        let partner = &old[(count - 1 - row) * len..][..len];
        dst.iter_mut().zip(partner).for_each(|(d, p)| *d = own * *d + other * p);
    }
}

/// Pastes a box of the partner into every image; returns the share of the image that stays.
fn paste(images: &mut Tensor, lambda: f64, rng: &CounterRng) -> f64 {
    let Some([n, c, h, w]) = images.dims4() else { return 1.0 };
    let side = (1.0 - lambda).sqrt();
    // The box of the paper: centre anywhere, clipped at the border.
    let range = |size: usize, draw: u64| {
        let (half, centre) = ((side * size as f64) as usize / 2, (rng.uniform(draw) * size as f64) as usize);
        centre.saturating_sub(half)..(centre + half).min(size)
    };
    let (rows, columns) = (range(h, 2), range(w, 3));
    let old = images.data().to_vec();
    for (plane, dst) in images.data_mut().chunks_exact_mut(h * w).enumerate() {
        let (image, channel) = (plane / c, plane % c);
        let partner = &old[((n - 1 - image) * c + channel) * h * w..][..h * w];
        for y in rows.clone() {
            let line = y * w + columns.start..y * w + columns.end;
            dst[line.clone()].copy_from_slice(&partner[line]);
        }
    }
    1.0 - (rows.len() * columns.len()) as f64 / (h * w) as f64
}

/// A draw of Beta(a, a) as a ratio of two Gamma draws.
fn beta(a: f64, rng: &CounterRng) -> f64 {
    let (x, y) = (gamma(a, rng, 1 << 20), gamma(a, rng, 1 << 21));
    if x + y > 0.0 { x / (x + y) } else { 0.5 }
}

/// A draw of Gamma(a, 1) by Marsaglia and Tsang's method, from draws `first` on.
fn gamma(a: f64, rng: &CounterRng, first: u64) -> f64 {
    if a < 1.0 {
        let u = 1.0 - rng.uniform(first);
        return gamma(a + 1.0, rng, first + 8) * u.powf(1.0 / a);
    }
    let d = a - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    let mut at = first;
    loop {
        // A normal draw takes the two uniform ones at twice its number.
        let (x, u) = (rng.normal(at), 1.0 - rng.uniform(2 * at + 2));
        at += 2;
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        let data = (0..4 * 3 * 8 * 8).map(|i| (i / (3 * 8 * 8)) as f32).collect();
        Batch { input: Tensor::new([4, 3, 8, 8], data).unwrap(), target: Target::Labels(vec![0, 1, 2, 1]) }
    }

    #[test]
    fn shares_follow_the_pixels() {
        let mixup = Mix { mixup: 0.4, probability: 1.0, ..Mix::default() };
        let cutmix = Mix { cutmix: 1.0, probability: 1.0, ..Mix::default() };
        for mix in [mixup, cutmix] {
            let mut mixed = 0;
            for draw in 0..50 {
                let mut batch = batch();
                mix.apply(&mut batch, 3, &CounterRng::new(draw, "mix")).unwrap();
                let Target::Shares(shares) = &batch.target else { panic!("{:?}", batch.target) };
                // Image i is full of the number i: its mean tells how much is of its partner, image 3 - i.
                let mean = batch.input.data()[..192].iter().sum::<f32>() / 192.0;
                let partner = mean / 3.0;
                let row = &shares.data()[..3];
                assert!(
                    (row[0] - (1.0 - partner)).abs() < 1e-5 && (row[1] - partner).abs() < 1e-5,
                    "{row:?}"
                );
                mixed += usize::from(partner > 0.01 && partner < 0.99);
                let mut again = super::tests::batch();
                mix.apply(&mut again, 3, &CounterRng::new(draw, "mix")).unwrap();
                assert_eq!(again, batch);
            }
            assert!(mixed > 25, "{mix:?}: {mixed}");
        }
    }

    #[test]
    fn off_and_wrong() {
        let mut plain = batch();
        Mix::default().apply(&mut plain, 3, &CounterRng::new(1, "mix")).unwrap();
        assert_eq!(plain.input, batch().input);
        assert!(matches!(&plain.target, Target::Shares(s) if s.data()[..3] == [1.0, 0.0, 0.0]));
        assert!(matches!(
            Mix::default().apply(&mut batch(), 2, &CounterRng::new(1, "mix")),
            Err(LossError::Label { image: 2, label: 2, classes: 2 })
        ));
        let error = Mix { probability: 2.0, ..Mix::default() }.check().unwrap_err();
        assert!(error.to_string().contains("probability"), "{error}");
    }

    #[test]
    fn the_beta_distribution_has_its_moments() {
        for a in [0.2, 1.0, 3.0] {
            let draws: Vec<f64> = (0..4000).map(|i| beta(a, &CounterRng::new(i, "beta"))).collect();
            let mean = draws.iter().sum::<f64>() / 4000.0;
            let var = draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4000.0;
            let wanted = 1.0 / (4.0 * (2.0 * a + 1.0));
            assert!(
                (mean - 0.5).abs() < 0.02 && (var / wanted - 1.0).abs() < 0.08,
                "{a}: {mean} {var} {wanted}"
            );
        }
    }
}
