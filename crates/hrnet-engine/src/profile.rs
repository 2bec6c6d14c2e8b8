//! Time per step: data, nothing is printed here.
//!
//! A profiled run executes the steps of a wave one after another, each on all threads, so that each has a time of its own.
//! The sum is therefore more than the time of an ordinary run, where the steps of a wave run side by side.

use crate::plan::Plan;
use std::time::Duration;

/// Times of the steps of one plan, summed over runs.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Steps in the order in which they run.
    pub steps: Vec<StepProfile>,
    /// Number of runs.
    pub runs: u32,
}

/// One step.
#[derive(Clone, Debug)]
pub struct StepProfile {
    /// Node of the network.
    pub name: String,
    /// Kernel, by the grammar `op_dtype_tile_isa` where it is a row of the kernel table.
    pub kernel: String,
    /// The convolution as `hrnet bench` reads it, for example `ic64ih56iw56oc64k3s1p1`.
    pub case: Option<String>,
    /// Multiply-accumulates of one run.
    pub macs: u64,
    /// Time over all runs.
    pub total: Duration,
    /// The fastest run.
    pub fastest: Duration,
}

impl Profile {
    /// An empty profile for a plan.
    pub fn new(plan: &Plan) -> Self {
        let steps = plan.steps.iter().enumerate().map(|(i, step)| StepProfile {
            name: step.name.clone(),
            kernel: plan.kernel_name(i),
            case: plan.conv_case(step).map(|case| case.to_string()),
            macs: step.macs,
            total: Duration::ZERO,
            fastest: Duration::MAX,
        });
        Self { steps: steps.collect(), runs: 0 }
    }

    /// Adds a run: the time of every step.
    pub(crate) fn add_run(&mut self, times: &[Duration]) {
        self.runs += 1;
        for (step, &time) in self.steps.iter_mut().zip(times) {
            step.total += time;
            step.fastest = step.fastest.min(time);
        }
    }

    /// Time of all steps over all runs.
    pub fn total(&self) -> Duration {
        self.steps.iter().map(|s| s.total).sum()
    }

    /// Share of a step in the total, 0 to 1.
    pub fn share(&self, step: &StepProfile) -> f64 {
        let total = self.total().as_secs_f64();
        if total > 0.0 { step.total.as_secs_f64() / total } else { 0.0 }
    }

    /// Floating-point operations per second of a step in units of 10^9 (two per multiply-accumulate), mean over the
    /// runs; nothing for steps without multiply-accumulates.
    pub fn gflops(&self, step: &StepProfile) -> Option<f64> {
        let seconds = step.total.as_secs_f64();
        (step.macs > 0 && seconds > 0.0)
            .then(|| 2.0 * step.macs as f64 * f64::from(self.runs) / seconds / 1e9)
    }

    /// Steps summed by kernel, most expensive first: kernel, steps, time, multiply-accumulates of one run.
    pub fn by_kernel(&self) -> Vec<(String, usize, Duration, u64)> {
        let mut rows: Vec<(String, usize, Duration, u64)> = Vec::new();
        for step in &self.steps {
            match rows.iter_mut().find(|row| row.0 == step.kernel) {
                Some(row) => {
                    row.1 += 1;
                    row.2 += step.total;
                    row.3 += step.macs;
                }
                None => rows.push((step.kernel.clone(), 1, step.total, step.macs)),
            }
        }
        rows.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
        rows
    }
}
