//! Classification: its options, and `eval` on labelled images.

use super::{Row, whole};
use crate::cli::{Eval, parse_size};
use crate::cmd::eval::{Evaluated, bar};
use clap::Args;
use hrnet::error::Result;
use hrnet::model::LoadedModel;
use hrnet::tasks::classification::measure::{measure_classification, read_classes};
use hrnet::tasks::{Classifier, ClassifyOptions, Predictor};
use hrnet_image::resize::Filter;
use hrnet_kernels::Pool;
use std::sync::Arc;

pub(super) const TASK: Row = Row { about: "A class for every image", evaluate: Some(evaluate), doubt: None };

/// Options of classification.
#[derive(Debug, Clone, Args)]
pub struct Classify {
    /// Classification: classes that are told, best first
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub top: u16,
    /// Classification: side of the crop over the short side of the resized image
    #[arg(long, value_name = "SHARE", default_value_t = 0.875)]
    pub crop_share: f64,
    /// Classification: resize bicubic instead of bilinear
    #[arg(long)]
    pub bicubic: bool,
    /// Classification: input size, height x width [default: the model's]
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    pub class_size: Option<[usize; 2]>,
}

impl Classify {
    pub fn options(&self) -> ClassifyOptions {
        ClassifyOptions {
            size: self.class_size,
            crop_share: self.crop_share,
            filter: if self.bicubic { Filter::Bicubic } else { Filter::Bilinear },
            top: usize::from(self.top),
        }
    }
}

fn evaluate(args: &Eval, loaded: LoadedModel, pool: Arc<Pool>, pictures: bool) -> Result<Evaluated> {
    let set = read_classes(&args.data, args.images.as_deref())?;
    let options = args.task_options().classify;
    let mut model = Classifier::new(loaded.weights, loaded.recipe, pool, options)?;
    let bar = bar(set.samples.len())?;
    let worst = usize::from(args.worst_count);
    let measured = measure_classification(&mut model, &set, worst, |_| bar.inc(1))?;
    bar.finish_and_clear();
    whole::evaluated(args, measured, &mut Predictor::Classifier(Box::new(model)), pictures)
}
