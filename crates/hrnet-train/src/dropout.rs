//! Which channels dropout drops: a function of seed, batch and position, so that a resumed run drops the same ones.

use crate::init::CounterRng;

/// The draws of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch of the batch.
    pub epoch: u64,
    /// The batch within its epoch.
    pub index: u64,
    /// Position of the first image in the whole batch, where several processes share one.
    pub first_image: u64,
}

impl Draw {
    /// One factor per image and channel, appended: 0 with probability `p`, else `1 / (1 - p)`.
    pub fn factors(&self, node: &str, p: f64, images: usize, channels: usize, factors: &mut Vec<f32>) {
        let rng = CounterRng::new(self.seed, &format!("dropout/{node}/{}/{}", self.epoch, self.index));
        let kept = (1.0 / (1.0 - p)) as f32;
        let first = self.first_image.wrapping_mul(channels as u64);
        let draws = (0..(images * channels) as u64).map(|i| rng.uniform(first.wrapping_add(i)));
        factors.extend(draws.map(|u| if u < p { 0.0 } else { kept }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_positions() {
        let draw = Draw { seed: 3, epoch: 1, index: 4, first_image: 0 };
        let factors = |draw: Draw, images| {
            let mut factors = Vec::new();
            draw.factors("head.dropout", 0.25, images, 500, &mut factors);
            factors
        };
        let all = factors(draw, 8);
        let dropped = all.iter().filter(|&&f| f == 0.0).count() as f64 / 4000.0;
        assert!((dropped - 0.25).abs() < 0.03, "{dropped}");
        assert!(all.iter().all(|&f| f == 0.0 || (f - 4.0 / 3.0).abs() < 1e-6));
        assert_eq!(all[2500..], factors(Draw { first_image: 5, ..draw }, 3));
        assert_ne!(all, factors(Draw { index: 5, ..draw }, 8));
        assert_ne!(all, factors(Draw { seed: 4, ..draw }, 8));
    }
}
