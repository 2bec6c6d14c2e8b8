//! What the processes behind the first do between steps: they write nothing and decide as it decides.

use super::Summary;
use super::group::Group;
use super::kept::Kept;
use crate::error::Result;
use crate::stop::Stop;
use hrnet_train::{BoxError, Control, Observer, StepReport, Trainer};

/// The observer of a process that is not the first.
pub(super) struct Follower<'a> {
    group: &'a Group,
    stop: &'a Stop,
    max_steps: Option<u64>,
    higher_is_better: bool,
    kept: Kept,
}

impl<'a> Follower<'a> {
    pub(super) fn new(
        group: &'a Group,
        stop: &'a Stop,
        max_steps: Option<u64>,
        higher_is_better: bool,
        trainer: &Trainer,
    ) -> Result<Self> {
        let kept = Kept::from_text(trainer.observer_state())?;
        Ok(Self { group, stop, max_steps, higher_is_better, kept })
    }

    /// What this process would write into a checkpoint.
    pub(super) fn note(&self, trainer: &mut Trainer) -> Result<()> {
        trainer.set_observer_state(self.kept.text()?);
        Ok(())
    }

    /// What this process has to tell at the end.
    pub(super) fn finish(self, trainer: &Trainer) -> Summary {
        Summary { steps: trainer.progress().step, ..Summary::default() }
    }
}

impl Observer for Follower<'_> {
    fn after_step(&mut self, trainer: &mut Trainer, report: &StepReport) -> Result<Control, BoxError> {
        self.kept.step(report);
        let asked = self.group.any(self.stop.is_asked())?;
        let stop = asked || self.max_steps.is_some_and(|max| report.step >= max);
        Ok(if stop && self.group.between_steps(trainer) { Control::Stop } else { Control::Continue })
    }

    fn after_epoch(&mut self, trainer: &mut Trainer, epoch: u64) -> Result<Control, BoxError> {
        let [figure, judged, stop] = self.group.told([0.0; 3])?;
        if judged > 0.0 {
            let best = trainer.note_metric(figure, self.higher_is_better);
            self.kept.judge(epoch, best);
        }
        Ok(if stop > 0.0 { Control::Stop } else { Control::Continue })
    }
}
