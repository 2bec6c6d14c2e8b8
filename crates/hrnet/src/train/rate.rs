//! The learning-rate finder: a short run in which the rate grows from step to step, and the rate that its losses suggest.
//!
//! The loss is smoothed (0.9 of the past, corrected for the start). The run ends when it exceeds four times its least value or is not
//! finite. Suggested is the rate at which the smoothed loss falls fastest per factor in the rate, over windows of a tenth of the run.

use super::RunOptions;
use super::job::Job;
use super::start;
use crate::config::TrainConfig;
use crate::error::{Context, Result};
use crate::stop::{Stop, Watch};
use hrnet_data::draw::chart::{Axis, Chart, Series};
use hrnet_image::encode_png;
use hrnet_kernels::{Isa, Pool};
use hrnet_train::{
    Batch, BatchSource, BoxError, Control, Decay, Observer, Schedule, StepReport, TrainOptions, Trainer,
};
use serde::Serialize;
use std::sync::Arc;

/// First and last rate.
const RANGE: [f64; 2] = [1e-6, 1.0];
/// Steps when none are asked for.
const STEPS: u64 = 100;
/// The past's share in the smoothed loss.
const PAST: f64 = 0.9;
/// The run is over when the loss is so many times its least value.
const LOST: f64 = 4.0;

/// What the finder says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// Where the loss falls fastest.
    pub suggested: Option<f64>,
    /// Rate and smoothed loss of each step.
    pub curve: Vec<[f64; 2]>,
}

/// Every batch an epoch of its own, so that the schedule's factor by epochs becomes one by steps.
struct EveryStep<S>(S);

impl<S: BatchSource> BatchSource for EveryStep<S> {
    fn batches_per_epoch(&self) -> u64 {
        1
    }

    fn batch(&mut self, epoch: u64, _: u64) -> Result<Batch, BoxError> {
        let per_epoch = self.0.batches_per_epoch().max(1);
        self.0.batch(epoch / per_epoch, epoch % per_epoch)
    }
}

/// Smooths losses until the run is lost.
#[derive(Default)]
struct Curve {
    stop: Stop,
    past: f64,
    count: i32,
    least: Option<f64>,
    curve: Vec<[f64; 2]>,
}

impl Curve {
    /// Takes a loss; false when the run is lost.
    fn take(&mut self, rate: f64, loss: f64) -> bool {
        self.past = PAST * self.past + (1.0 - PAST) * loss;
        self.count += 1;
        let smooth = self.past / (1.0 - PAST.powi(self.count));
        if !smooth.is_finite() {
            return false;
        }
        self.curve.push([rate, smooth]);
        let least = self.least.map_or(smooth, |l: f64| l.min(smooth));
        self.least = Some(least);
        smooth <= LOST * least
    }
}

impl Observer for Curve {
    fn after_step(&mut self, _: &mut Trainer, report: &StepReport) -> Result<Control, BoxError> {
        let on = report.skipped.is_none() && self.take(report.rate, report.loss) && !self.stop.is_asked();
        Ok(if on { Control::Continue } else { Control::Stop })
    }
}

/// The rate at which the loss falls fastest over windows of a tenth of the curve.
fn steepest(curve: &[[f64; 2]]) -> Option<f64> {
    let reach = (curve.len() / 20).max(1);
    let fall = |i: usize| {
        let ([low, before], [high, after]) = (curve[i - reach], curve[i + reach]);
        (before - after) / (high / low).ln()
    };
    let places = reach..curve.len().checked_sub(reach)?;
    let best = places.map(|i| (fall(i), i)).filter(|f| f.0 > 0.0).max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(curve[best.1][0])
}

/// Runs the finder; nothing but `rate.png` is written.
pub fn find(config: &TrainConfig, options: &RunOptions, watch: &mut dyn Watch) -> Result<Rates> {
    watch.begins()?;
    let pool = Arc::new(Pool::new(options.threads));
    let steps = options.max_steps.unwrap_or(STEPS).max(2);
    if config.data.check && !options.skip_check {
        super::data_check::before(config, None)?;
    }
    let Job { model, source, loss, .. } = Job::open(config, pool.clone())?;
    let batch = source.batch_size();
    let net = model.build()?;
    let [h, w] = config.input.size;
    let mut train = TrainOptions::new(Isa::from_env()?, pool, loss, config.train.optimizer, RANGE[0]);
    train.schedule = Schedule {
        decay: Decay::MultiStep {
            epochs: (1..steps).collect(),
            gamma: (RANGE[1] / RANGE[0]).powf(1.0 / (steps - 1) as f64),
        },
        ..Schedule::constant(RANGE[0])
    };
    train.clip_norm = config.train.clip;
    train.freeze = config.train.freeze.freeze();
    train.layer_rates = config.train.layer_rates.clone();
    // Steps that are not finite are the end of the search, not an error.
    train.max_bad_steps = u32::MAX;
    let weights = start::weights(config, &model, &net)?;
    let mut trainer = Trainer::new(&net, &weights, train, [batch, 3, h, w])?;
    let mut losses = Curve { stop: options.stop.clone(), ..Curve::default() };
    trainer.fit(&mut EveryStep(source), steps, &mut losses)?;
    let suggested = steepest(&losses.curve);
    crate::io::create_folder(options.out)?;
    let mut series = vec![Series::new("smoothed loss", losses.curve.clone())];
    if let Some(rate) = suggested {
        let at = losses.curve.iter().find(|p| p[0] == rate).context("the suggested rate is on the curve")?;
        series.push(Series::new(format!("suggested {rate:.1e}"), vec![*at]).marks());
    }
    let chart = Chart::lines("Learning rate", Axis::new("rate").log(), Axis::new("loss").log(), series);
    let picture = options.out.join("rate.png");
    crate::io::write_atomic(&picture, &encode_png(&chart.to_image())?)?;
    match suggested {
        Some(rate) => log::info!(
            "the loss falls fastest at a rate of {rate:.2e}: try train.schedule.base = {rate:.1e} ({})",
            picture.display()
        ),
        None => log::info!(
            "no rate between {:.0e} and {:.0e} makes the loss fall ({})",
            RANGE[0],
            RANGE[1],
            picture.display()
        ),
    }
    Ok(Rates { suggested, curve: losses.curve })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steepest_place_of_a_known_curve() {
        // In the logarithm of the rate: flat, a fall centred on 1e-3, flat, a rise from 1e-1 on.
        let curve: Vec<[f64; 2]> = (0..121)
            .map(|i| {
                let exponent = -6.0 + f64::from(i) * 0.05;
                let loss = 2.0 - (1.0 + ((exponent + 3.0) * 4.0).tanh()) + (exponent + 1.0).max(0.0) * 5.0;
                [10f64.powf(exponent), loss]
            })
            .collect();
        let rate = steepest(&curve).unwrap();
        assert!((rate.log10() + 3.0).abs() < 0.06, "{rate}");
        assert_eq!(steepest(&curve[..1]), None);
        let rising: Vec<[f64; 2]> = curve.iter().map(|p| [p[0], p[0]]).collect();
        assert_eq!(steepest(&rising), None);
    }

    #[test]
    fn a_lost_run_ends() {
        let mut watch = Curve::default();
        assert!((0..20).all(|_| watch.take(1e-3, 1.0)));
        assert!((0..30).any(|_| !watch.take(1.0, 50.0)));
        assert!(!Curve::default().take(1.0, f64::NAN));
    }
}
