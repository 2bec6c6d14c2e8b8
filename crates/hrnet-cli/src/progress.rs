//! Progress on stderr.

use crate::signals;
use hrnet::{Error, ErrorKind, Result, Stop, Watch};
use indicatif::{ProgressBar, ProgressStyle};

const TRAINING: &str = "{bar:30} step {pos}/{len}  {elapsed_precise} elapsed, {eta_precise} left  {msg}";

/// A style by its template.
pub fn style(template: &str) -> Result<ProgressStyle> {
    ProgressStyle::with_template(template).map_err(|e| Error::from_other(ErrorKind::Invalid, e))
}

/// Shows a run on stderr and listens for signals while it lasts.
pub struct TrainBar<'a> {
    stop: &'a Stop,
    bar: ProgressBar,
}

impl<'a> TrainBar<'a> {
    /// A bar that appears when the run says how long it is.
    pub fn new(stop: &'a Stop) -> Result<Self> {
        let style = style(TRAINING)?;
        Ok(Self { stop, bar: ProgressBar::hidden().with_style(style) })
    }
}

impl Watch for TrainBar<'_> {
    fn begins(&mut self) -> Result<()> {
        signals::listen(self.stop)
    }

    fn plan(&mut self, total: u64, done: u64) {
        self.bar = ProgressBar::new(total).with_style(self.bar.style());
        self.bar.set_position(done);
        self.bar.reset_eta();
    }

    fn step(&mut self) {
        self.bar.inc(1);
    }

    fn state(&mut self, text: &str) {
        self.bar.set_message(text.to_string());
    }

    fn line(&mut self, text: &str) {
        self.bar.println(text);
    }

    fn ends(&mut self) {
        self.bar.finish_and_clear();
    }
}
