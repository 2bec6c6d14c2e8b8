//! Order statistics of timed runs.

/// Times in milliseconds, in ascending order; at least one.
pub(super) struct Times(Vec<f64>);

impl Times {
    pub(super) fn new(mut times: Vec<f64>) -> Times {
        assert!(!times.is_empty(), "at least one run is timed");
        times.sort_by(f64::total_cmp);
        Times(times)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The time that a share of the runs did not exceed, 0 to 1; between two runs by a straight line.
    pub(super) fn at(&self, share: f64) -> f64 {
        let place = (self.0.len() - 1) as f64 * share;
        let (low, high) = (self.0[place.floor() as usize], self.0[place.ceil() as usize]);
        low + (high - low) * place.fract()
    }

    pub(super) fn median(&self) -> f64 {
        self.at(0.5)
    }

    pub(super) fn min(&self) -> f64 {
        self.0[0]
    }

    /// The 10th and the 90th percentile.
    pub(super) fn range(&self) -> String {
        format!("{:.3}..{:.3}", self.at(0.1), self.at(0.9))
    }

    /// Distance of the 10th and the 90th percentile, as a share of the median.
    pub(super) fn spread(&self) -> f64 {
        (self.at(0.9) - self.at(0.1)) / self.median()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let times = Times::new(vec![3.0, 1.0, 2.0, 5.0, 4.0]);
        assert_eq!((times.min(), times.median(), times.at(1.0), times.count()), (1.0, 3.0, 5.0, 5));
        assert_eq!(times.at(0.1), 1.4);
        assert!((times.spread() - 3.2 / 3.0).abs() < 1e-12);
        assert_eq!(Times::new(vec![1.0, 2.0]).median(), 1.5);
        let one = Times::new(vec![7.0]);
        assert_eq!((one.median(), one.at(0.1), one.spread()), (7.0, 7.0, 0.0));
    }
}
