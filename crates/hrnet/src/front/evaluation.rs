//! A model measured on labelled images, as `hrnet eval` does without options.

use super::Model;
use crate::error::{Result, bail};
use crate::measure::Measured;
use crate::tasks;
use std::path::Path;

impl Model {
    /// Measures the model on labelled images: AP or PCK for poses, the normalised mean error for faces, mIoU for segmentation, top-1 and
    /// top-5 for classification. `data` is what `hrnet eval --data` takes; images lie where the labels say, or as is usual for their
    /// format. Boxes come from the labels.
    ///
    /// # Errors
    /// When the labels cannot be read, or are not of the model's points or classes. Images that cannot be read are listed in
    /// [`Measured::failed`], where the task can do without them.
    ///
    /// ```no_run
    /// # fn main() -> hrnet::Result<()> {
    /// let measured = hrnet::Model::open("pose14")?.evaluate("annotations/val.json")?;
    /// println!("{}", measured.lines().join("\n"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn evaluate(&mut self, data: impl AsRef<Path>) -> Result<Measured> {
        self.evaluate_in(data, None)
    }

    /// [`Model::evaluate`] with the folder of the images.
    ///
    /// # Errors
    /// As [`Model::evaluate`].
    pub fn evaluate_in(&mut self, data: impl AsRef<Path>, images: Option<&Path>) -> Result<Measured> {
        let task = self.task();
        match tasks::row(task).evaluate {
            Some(evaluate) => evaluate(self.predictor_mut(), data.as_ref(), images),
            None => bail!("there is no measure for {}", task.title()),
        }
    }
}
