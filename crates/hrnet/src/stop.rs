//! A wish to end, and who watches a run.

use crate::error::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A wish to end that threads share: whoever holds a clone can [ask](Stop::ask), long work looks at it between steps.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    urged: Arc<AtomicBool>,
}

/// Something long was given up because it was asked to end.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl From<Interrupted> for crate::Error {
    fn from(error: Interrupted) -> Self {
        Self::from_other(crate::ErrorKind::Stopped, error)
    }
}

impl Stop {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the work to end where it can be continued.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether the work was asked to end.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// For loops that take long and have nothing to save.
    ///
    /// # Errors
    /// Once the work was asked to end.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.is_asked() { Err(Interrupted) } else { Ok(()) }
    }

    /// The flag behind [`Stop::ask`], for handlers of signals.
    pub fn asked_flag(&self) -> Arc<AtomicBool> {
        self.asked.clone()
    }

    /// A second flag: asked by someone who soon ends the process by force, as launchers of several processes do.
    pub fn urged_flag(&self) -> Arc<AtomicBool> {
        self.urged.clone()
    }

    #[cfg(feature = "mpi")]
    pub(crate) fn is_urged(&self) -> bool {
        self.urged.load(Ordering::Relaxed)
    }
}

/// Who watches a training run: a command line shows a bar, a notebook a plot. Every method does nothing by default. What a run says
/// besides goes through the `log` crate.
pub trait Watch {
    /// From now on the run can be stopped and continued: the time to listen for signals. An error ends the run before its first
    /// step.
    fn begins(&mut self) -> Result<()> {
        Ok(())
    }

    /// The number of steps in all, and how many are done.
    fn plan(&mut self, _total: u64, _done: u64) {}

    /// A step is done.
    fn step(&mut self) {}

    /// How the run stands, in a few words.
    fn state(&mut self, _text: &str) {}

    /// A line to keep: an evaluation, a step that was left out.
    fn line(&mut self, _text: &str) {}

    /// There are no more steps.
    fn ends(&mut self) {}
}

/// Nobody watches.
impl Watch for () {}
