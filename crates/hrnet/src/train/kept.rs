//! What goes into a checkpoint beside the trainer's own state. Every process of a run keeps the same, so that each of them can save.

use crate::error::Result;
use hrnet_train::StepReport;
use serde::{Deserialize, Serialize};

/// Steps between two lines of the log.
pub(super) const LOG_STEPS: u64 = 20;

/// The state of an observer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    /// Bits of the sum of the losses since the last line of the log.
    loss_sum: u64,
    loss_count: u32,
    /// Evaluations in a row that were no new best.
    stale: u64,
    /// The last epoch that was judged: after a run was cut between judging and the next step, it is not judged again.
    judged: Option<u64>,
}

impl Kept {
    /// Reads what [`Kept::text`] wrote. Checkpoints of the first version have nothing.
    pub(super) fn from_text(text: &str) -> Result<Self> {
        if text.is_empty() { Ok(Self::default()) } else { Ok(serde_json::from_str(text)?) }
    }

    pub(super) fn text(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// Counts a step; the mean loss, where a line of the log is due.
    pub(super) fn step(&mut self, report: &StepReport) -> Option<f64> {
        if report.skipped.is_none() {
            self.loss_sum = (f64::from_bits(self.loss_sum) + report.loss).to_bits();
            self.loss_count += 1;
        }
        // Of an accumulated step the last batch alone moves the weights.
        if !report.updated || !report.step.is_multiple_of(LOG_STEPS) {
            return None;
        }
        let mean = f64::from_bits(self.loss_sum) / f64::from(self.loss_count.max(1));
        (self.loss_sum, self.loss_count) = (0, 0);
        Some(mean)
    }

    /// Notes an evaluation.
    pub(super) fn judge(&mut self, epoch: u64, best: bool) {
        self.stale = if best { 0 } else { self.stale + 1 };
        self.judged = Some(epoch);
    }

    /// Evaluations in a row that were no new best.
    pub(super) fn stale(&self) -> u64 {
        self.stale
    }

    /// Whether this epoch was judged before the run was cut.
    pub(super) fn has_judged(&self, epoch: u64) -> bool {
        self.judged == Some(epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hrnet_train::SkipReason;

    #[test]
    fn a_state_goes_on_where_it_was_written() {
        let report = |step: u64| StepReport {
            step,
            epoch: 0,
            index: step,
            loss: 1.0 / step as f64,
            grad_norm: None,
            rate: 0.1,
            updated: true,
            skipped: None,
        };
        let (mut whole, mut cut) = (Kept::default(), Kept::default());
        for step in 1..=2 * LOG_STEPS {
            assert_eq!(whole.step(&report(step)), cut.step(&report(step)), "step {step}");
            whole.judge(step, step % 3 == 0);
            cut.judge(step, step % 3 == 0);
            assert!(whole.has_judged(step) && !whole.has_judged(step + 1));
            cut = Kept::from_text(&cut.text().unwrap()).unwrap();
            assert_eq!(whole, cut);
        }
        assert_eq!(whole.stale(), 2 * LOG_STEPS % 3);
        assert_eq!(Kept::from_text("").unwrap(), Kept::default());
        // Of checkpoints before there was a mark for judged epochs.
        let old = Kept::from_text(r#"{"loss_sum":0,"loss_count":0,"stale":3}"#).unwrap();
        assert!(old.stale() == 3 && !old.has_judged(0));
    }

    #[test]
    fn a_mean_is_of_the_steps_that_were_not_skipped() {
        let mut kept = Kept::default();
        let mut report = StepReport {
            step: 1,
            epoch: 0,
            index: 0,
            loss: f64::NAN,
            grad_norm: None,
            rate: 0.1,
            updated: false,
            skipped: Some(SkipReason::Loss),
        };
        assert_eq!(kept.step(&report), None);
        (report.skipped, report.loss) = (None, 3.0);
        assert_eq!(kept.step(&report), None);
        (report.updated, report.step, report.loss) = (true, LOG_STEPS, 4.0);
        assert_eq!(kept.step(&report), Some(3.5));
    }
}
