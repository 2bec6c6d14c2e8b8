//! What the processes behind the first do between steps: they write nothing and decide as it decides.

use super::group::Group;
use super::{Summary, interrupt};
use hrnet_train::{BoxError, Control, Observer, StepReport, Trainer};

/// The observer of a process that is not the first.
pub(super) struct Follower<'a> {
    group: &'a Group,
    max_steps: Option<u64>,
    higher_is_better: bool,
}

impl<'a> Follower<'a> {
    pub(super) fn new(group: &'a Group, max_steps: Option<u64>, higher_is_better: bool) -> Self {
        Self { group, max_steps, higher_is_better }
    }

    /// What this process has to tell at the end.
    pub(super) fn finish(self, trainer: &Trainer) -> Summary {
        Summary { steps: trainer.progress().step, ..Summary::default() }
    }
}

impl Observer for Follower<'_> {
    fn after_step(&mut self, trainer: &mut Trainer, report: &StepReport) -> Result<Control, BoxError> {
        let asked = self.group.any(interrupt::asked())?;
        let stop = asked || self.max_steps.is_some_and(|max| report.step >= max);
        Ok(if stop && self.group.between_steps(trainer) { Control::Stop } else { Control::Continue })
    }

    fn after_epoch(&mut self, trainer: &mut Trainer, _: u64) -> Result<Control, BoxError> {
        let [figure, stop] = self.group.told([0.0; 2])?;
        trainer.note_metric(figure, self.higher_is_better);
        Ok(if stop > 0.0 { Control::Stop } else { Control::Continue })
    }
}
