//! The one-euro filter (Casiez, Roussel, Vogel, CHI 2012): a low-pass whose cutoff rises with speed, so that a still point is steady
//! and a moving one does not lag.

use crate::result::Instance;
use std::collections::HashMap;
use std::f64::consts::PI;

/// Settings of the filter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Smoothing {
    /// Cutoff of a still point, in hertz. Lower is steadier.
    pub min_cutoff: f64,
    /// How fast the cutoff rises with speed, in hertz per (size of the instance per second). Higher lags less. The size is the root
    /// of the area of the box, so that the setting is the same for near and far persons and for any resolution.
    pub beta: f64,
    /// Cutoff of the estimate of the speed, in hertz.
    pub speed_cutoff: f64,
    /// After this many seconds without the instance its filters begin anew.
    pub max_gap: f64,
}

impl Default for Smoothing {
    fn default() -> Self {
        Self { min_cutoff: 1.5, beta: 5.0, speed_cutoff: 1.0, max_gap: 1.0 }
    }
}

/// Smooths one number over time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OneEuro {
    /// Time, smoothed value, smoothed speed.
    last: Option<(f64, f64, f64)>,
}

impl OneEuro {
    /// The smoothed value at a time in seconds. `size` is the unit of speed, see [`Smoothing::beta`]. A value that is not finite
    /// comes back as it is and is forgotten; after a gap, or when time does not advance, the filter begins anew.
    pub fn next(&mut self, seconds: f64, value: f64, size: f64, how: &Smoothing) -> f64 {
        if !value.is_finite() || !seconds.is_finite() {
            return value;
        }
        let (smoothed, speed) = match self.last {
            Some((before, last, last_speed)) if seconds > before && seconds - before <= how.max_gap => {
                let dt = seconds - before;
                let alpha = |cutoff: f64| 1.0 / (1.0 + 1.0 / (2.0 * PI * cutoff * dt));
                // In the form `a + alpha (b - a)` a constant stays the same to the bit.
                let speed = last_speed + alpha(how.speed_cutoff) * ((value - last) / dt - last_speed);
                let unit = if size.is_finite() && size > 0.0 { size } else { 1.0 };
                let cutoff = how.min_cutoff + how.beta * speed.abs() / unit;
                (last + alpha(cutoff) * (value - last), speed)
            }
            _ => (value, 0.0),
        };
        // Settings out of range (a cutoff of 0, say) must not spread.
        let good = smoothed.is_finite() && speed.is_finite();
        let (smoothed, speed) = if good { (smoothed, speed) } else { (value, 0.0) };
        self.last = Some((seconds, smoothed, speed));
        smoothed
    }
}

/// Smooths the points of instances that have ids.
#[derive(Debug, Clone)]
pub struct Smoother {
    how: Smoothing,
    filters: HashMap<u64, State>,
}

#[derive(Debug, Clone)]
struct State {
    seen: f64,
    points: Vec<[OneEuro; 2]>,
}

impl Smoother {
    /// A smoother that has seen nothing.
    pub fn new(how: Smoothing) -> Self {
        Self { how, filters: HashMap::new() }
    }

    /// Forgets everything, for the next video.
    pub fn cut(&mut self) {
        self.filters.clear();
    }

    /// Smooths the points of the instances at a time; `raw` keeps what they were. Instances without an id stay as they are.
    pub fn update(&mut self, seconds: f64, instances: &mut [Instance]) {
        let gap = self.how.max_gap;
        self.filters.retain(|_, s| seconds - s.seen <= gap);
        for instance in instances {
            let Some(id) = instance.track else { continue };
            let count = instance.points.len();
            let state = self.filters.entry(id).or_insert_with(|| State { seen: seconds, points: Vec::new() });
            state.seen = seconds;
            state.points.resize(count, Default::default());
            let size = (instance.bbox[2] * instance.bbox[3]).abs().sqrt();
            instance.raw = Some(instance.points.iter().map(|p| p.at).collect());
            for (p, filters) in instance.points.iter_mut().zip(&mut state.points) {
                for (v, filter) in p.at.iter_mut().zip(filters) {
                    *v = filter.next(seconds, *v, size, &self.how);
                }
            }
        }
    }
}
