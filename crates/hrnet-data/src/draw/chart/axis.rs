//! Ranges and ticks: steps of 1, 2 or 5 times a power of ten; decades on logarithmic axes.

use super::super::text::text_size;
use super::Axis;
use super::scene::BODY;

/// An axis with its ends and ticks.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    log: bool,
    /// Values and what is written at them.
    pub ticks: Vec<(f64, String)>,
}

impl Scale {
    /// A scale for these values. `fits` says whether the labels of some ticks fit on the axis; the densest that fit are taken.
    /// With `round`, ends that come from the data are moved to ticks.
    pub fn new(
        axis: &Axis,
        values: impl Iterator<Item = f64>,
        round: bool,
        fits: impl Fn(&[(f64, String)]) -> bool,
    ) -> Self {
        let usable = |v: &f64| v.is_finite() && v.abs() < 1e150 && (!axis.log || *v > 1e-150);
        let (low, high) =
            values.filter(usable).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let given = axis.range.filter(|[a, b]| usable(a) && usable(b) && a < b);
        let [low, high] = given.unwrap_or_else(|| data_range(low, high, axis.log));
        let round = round && given.is_none();
        let mut best = None;
        for wanted in (1..=10).rev() {
            let (low, high, ticks) = if axis.log {
                log_ticks(low, high, wanted, axis.percent)
            } else {
                linear_ticks(low, high, wanted, round, axis.percent)
            };
            let scale = Self { low, high, log: axis.log, ticks };
            let fit = fits(&scale.ticks);
            best = Some(scale);
            if fit {
                break;
            }
        }
        best.unwrap_or(Self { low, high, log: axis.log, ticks: Vec::new() })
    }

    /// Where a value lies between the ends, 0 to 1; `None` for gaps. Values beyond the ends lie outside 0 to 1, by at most 1.
    pub fn place(&self, value: f64) -> Option<f64> {
        let (v, low, high) = if self.log {
            if value.is_nan() || value <= 0.0 {
                return None;
            }
            (value.log10(), self.low.log10(), self.high.log10())
        } else {
            (value, self.low, self.high)
        };
        v.is_finite().then(|| ((v - low) / (high - low)).clamp(-1.0, 2.0))
    }

    /// The width of the widest tick label.
    pub fn label_width(&self) -> f64 {
        self.ticks.iter().map(|(_, t)| text_size(t, BODY)[0]).max().unwrap_or(0) as f64
    }
}

/// Ends for data, wider than nothing.
fn data_range(low: f64, high: f64, log: bool) -> [f64; 2] {
    match (low <= high, log) {
        (false, false) => [0.0, 1.0],
        (false, true) => [0.1, 1.0],
        (true, true) if high / low < 1.0001 => [low / 2.0, high * 2.0],
        (true, false) if high - low <= 1e-12 * high.abs().max(1e-12) => {
            let half = if high == 0.0 { 0.5 } else { high.abs() * 0.1 };
            [low - half, high + half]
        }
        _ => [low, high],
    }
}

/// The step of 1, 2 or 5 times a power of ten that gives at most `wanted` steps.
fn step(span: f64, wanted: usize) -> f64 {
    let raw = span / wanted.max(1) as f64;
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= raw * (1.0 - 1e-9)).unwrap_or(10.0);
    factor * power
}

fn linear_ticks(
    low: f64,
    high: f64,
    wanted: usize,
    round: bool,
    percent: bool,
) -> (f64, f64, Vec<(f64, String)>) {
    let step = step(high - low, wanted);
    let (mut low, mut high) = (low, high);
    if round {
        (low, high) = ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step);
    }
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    let count = (last - first).clamp(0.0, 40.0) as usize;
    let ticks = (0..=count)
        .map(|i| (first + i as f64) * step)
        .filter(|v| *v >= low - step * 1e-6 && *v <= high + step * 1e-6)
        .map(|v| (v, number(v, step, percent)))
        .collect();
    (low, high, ticks)
}

fn log_ticks(low: f64, high: f64, wanted: usize, percent: bool) -> (f64, f64, Vec<(f64, String)>) {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let decades = high.log10() - low.log10();
    // Few decades have room for the numbers between.
    let between: &[f64] = match (decades, wanted) {
        (d, 8..) if d < 1.2 => &[1.0, 2.0, 3.0, 4.0, 5.0, 7.0],
        (d, 5..) if d < 3.0 => &[1.0, 2.0, 5.0],
        _ => &[1.0],
    };
    let stride = if between.len() > 1 {
        1
    } else {
        ((f64::from(last - first) / wanted as f64).ceil() as usize).max(1)
    };
    let mut ticks = Vec::new();
    for e in (first..=last).step_by(stride) {
        for factor in between {
            let v = factor * 10f64.powi(e);
            if v >= low * (1.0 - 1e-9) && v <= high * (1.0 + 1e-9) {
                ticks.push((v, number(v, v, percent)));
            }
        }
    }
    (low, high, ticks)
}

/// A number with the decimals that `step` needs.
pub fn number(value: f64, step: f64, percent: bool) -> String {
    let (value, step) = if percent { (value * 100.0, step * 100.0) } else { (value, step) };
    let value = if value.abs() < step.abs() * 1e-6 { 0.0 } else { value };
    let decimals = (-(step.abs().max(1e-300).log10() + 1e-9).floor()).max(0.0);
    let text = if value == 0.0 && decimals > 4.0 {
        "0".into()
    } else if value != 0.0 && (value.abs() >= 1e6 || decimals > 4.0) {
        let text = format!("{value:.1e}");
        text.replace(".0e", "e")
    } else {
        format!("{value:.*}", decimals as usize)
    };
    if percent { format!("{text}%") } else { text }
}
