//! A small counter-based random number generator without hidden state.
//!
//! Every stream is named by (seed, purpose, epoch, index): sample 17 of epoch 3 sees the same numbers whatever the number of
//! threads, and after a resume. The numbers come from SplitMix64 (Steele, Lea, Flood 2014).

/// A stream of pseudo-random numbers. Cheap to make; make one per sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng {
    state: u64,
}

/// What a stream is used for, so that two uses of one seed never share numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// The order of the samples of an epoch.
    Order = 1,
    /// The augmentation of one sample.
    Augment = 2,
    /// Anything else, such as tests.
    Other = 3,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// The stream named by the four numbers.
    pub fn new(seed: u64, purpose: Purpose, epoch: u64, index: u64) -> Self {
        // Each step is a bijection of the state, so streams differ when one number differs.
        let mut state = 0x9e37_79b9_7f4a_7c15;
        for part in [seed, purpose as u64, epoch, index] {
            state = mix(state ^ mix(part.wrapping_add(0x632b_e59b_d9b4_e019)).rotate_left(17))
                .wrapping_mul(0xd134_2543_de82_ef95);
        }
        Self { state }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `[low, high)`; `low` when the range is empty.
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low).max(0.0) * self.uniform()
    }

    /// True with probability `p`. Always draws one number, so later draws do not depend on `p`.
    pub fn coin(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Uniform in `0..n` without bias; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        // Lemire 2019: reject the few products that would make low results too frequent.
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// Normal with mean 0 and deviation 1 (Box and Muller; one of the pair is thrown away to keep no state).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_repeatable_and_distinct() {
        let first = |s, p, e, i| Rng::new(s, p, e, i).next_u64();
        let base = first(1, Purpose::Order, 2, 3);
        assert_eq!(base, first(1, Purpose::Order, 2, 3));
        for other in [
            first(2, Purpose::Order, 2, 3),
            first(1, Purpose::Augment, 2, 3),
            first(1, Purpose::Order, 3, 2),
            first(1, Purpose::Order, 2, 4),
        ] {
            assert_ne!(base, other);
        }
        let mut all: Vec<u64> =
            (0..100).flat_map(|e| (0..100).map(move |i| first(7, Purpose::Augment, e, i))).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 10_000);
    }

    #[test]
    fn moments_and_bounds() {
        let mut rng = Rng::new(11, Purpose::Other, 0, 0);
        let n = 200_000;
        let (mut sum, mut square, mut uniform) = (0.0, 0.0, 0.0);
        let mut counts = [0u32; 5];
        for _ in 0..n {
            let x = rng.normal();
            sum += x;
            square += x * x;
            let u = rng.uniform();
            assert!((0.0..1.0).contains(&u));
            uniform += u;
            counts[rng.below(5) as usize] += 1;
        }
        let n = f64::from(n);
        // Five standard errors.
        assert!(
            (sum / n).abs() < 0.012 && (square / n - 1.0).abs() < 0.016 && (uniform / n - 0.5).abs() < 0.0033
        );
        assert!(counts.iter().all(|&c| (f64::from(c) / n - 0.2).abs() < 0.0045));
    }

    #[test]
    fn shuffle_is_a_permutation() {
        let mut items: Vec<usize> = (0..1000).collect();
        Rng::new(5, Purpose::Order, 0, 0).shuffle(&mut items);
        assert_ne!(items, (0..1000).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..1000).collect::<Vec<_>>());
    }
}
