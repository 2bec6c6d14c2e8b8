//! Segmentation: its options, and `eval` on labelled images.

use super::{Row, whole};
use crate::cli::{Eval, parse_size};
use crate::cmd::eval::{Evaluated, bar};
use clap::Args;
use hrnet::error;
use hrnet::model::LoadedModel;
use hrnet::tasks::segmentation::measure::{SegmentationMeasure, measure_segmentation, read_masks};
use hrnet::tasks::{MEMORY, Predictor, Resize, SegmentOptions, Segmenter, WORKING, Windows};
use hrnet_data::codec::Protocol;
use hrnet_kernels::Pool;
use std::sync::Arc;

pub(super) const TASK: Row = Row { about: "A class for every pixel", evaluate: Some(evaluate), doubt: None };

/// Options of segmentation.
#[derive(Debug, Clone, Default, Args)]
pub struct Segmentation {
    /// Scales of the image, separated by commas; their probabilities are averaged [default: 1]
    #[arg(long, value_name = "S,..", value_delimiter = ',', value_parser = parse_scale)]
    pub scales: Vec<f64>,
    /// Look through windows, height x width [default: only where the whole does not fit into --memory-mb]
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    pub window: Option<[usize; 2]>,
    /// Pixels that neighbouring windows share [default: a quarter of the window]
    #[arg(long, value_name = "PIXELS", requires = "window")]
    pub overlap: Option<usize>,
    /// Look at the whole image at once, however large
    #[arg(long, conflicts_with = "window")]
    pub whole: bool,
    /// Size before scaling: keep, short:520, long:2048 or HxW [default: what the model's data set asks for]
    #[arg(long, value_name = "RULE", value_parser = parse_resize)]
    pub resize: Option<Resize>,
    /// Megabytes for the whole process [default: 2048, with at most 768 for the network's maps; 16384 with --whole]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    pub memory_mb: Option<u32>,
}

impl Segmentation {
    /// The options of the task, with those that other tasks have too.
    pub fn options(&self, flip: bool, protocol: Protocol) -> SegmentOptions {
        let windows = match self.window {
            _ if self.whole => Windows::Whole,
            None => Windows::Auto,
            Some(size) => {
                let overlap = self.overlap.map_or(size.map(|v| v / 4), |o| [o; 2]);
                Windows::Sliding { size, overlap }
            }
        };
        let given = self.memory_mb.map(|mb| (mb as usize) << 20);
        let given = given.or(self.whole.then_some(16 << 30));
        SegmentOptions {
            protocol,
            resize: self.resize.unwrap_or_default(),
            windows,
            scales: if self.scales.is_empty() { vec![1.0] } else { self.scales.clone() },
            flip,
            memory: given.unwrap_or(MEMORY),
            working: given.unwrap_or(WORKING),
        }
    }
}

/// Options of `eval`.
#[derive(Debug, Args)]
pub struct MaskLabels {
    /// Segmentation: numbers of the labels, such as cityscapes, ade20k [default: the model's classes from 0; CamVid's and LIP's
    /// own for a model with their classes]
    #[arg(long, value_name = "SET")]
    pub label_map: Option<String>,
    /// Segmentation: a label number that does not count
    #[arg(long, value_name = "N")]
    pub ignore: Option<u16>,
}

fn evaluate(args: &Eval, loaded: LoadedModel, pool: Arc<Pool>, pictures: bool) -> error::Result<Evaluated> {
    let set = read_masks(&args.data, args.images.as_deref())?;
    let mut model = Segmenter::new(loaded.weights, loaded.recipe, pool, args.task_options().segment)?;
    let (names, labels) = (&model.schema().names, &args.labels.segmentation);
    let worst = usize::from(args.worst_count);
    let how = SegmentationMeasure::new(labels.label_map.as_deref(), names, labels.ignore, worst)?;
    let bar = bar(set.samples.len())?;
    let measured = measure_segmentation(&mut model, &set, &how, |_| bar.inc(1))?;
    bar.finish_and_clear();
    whole::evaluated(args, measured, &mut Predictor::Segmenter(Box::new(model)), pictures)
}

fn parse_scale(text: &str) -> Result<f64, String> {
    let scale = text.trim().parse::<f64>().ok().filter(|s| (0.05..=16.0).contains(s));
    scale.ok_or_else(|| format!("'{text}' is no scale; scales are 0.05 to 16, for example 0.75,1,1.25"))
}

fn parse_resize(text: &str) -> Result<Resize, String> {
    let side = |text: &str| {
        let side = text.trim().parse().ok().filter(|v| (1..=hrnet_ir::shape::MAX_SIDE).contains(v));
        side.ok_or_else(|| format!("'{text}' is not a number of pixels"))
    };
    match text.trim().split_once(':') {
        None if text.trim() == "keep" => Ok(Resize::Keep),
        None => parse_size(text)
            .map(Resize::Fixed)
            .map_err(|_| format!("'{text}' is no rule; write keep, short:520, long:2048 or 473x473")),
        Some(("short", value)) => Ok(Resize::Short(side(value)?)),
        Some(("long", value)) => Ok(Resize::Long(side(value)?)),
        Some((name, _)) => Err(format!("'{name}' is no rule; write keep, short:520, long:2048 or 473x473")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        segmentation: Segmentation,
    }

    fn parse(args: &[&str]) -> Result<SegmentOptions, String> {
        let line = Line::try_parse_from(std::iter::once(&"x").chain(args)).map_err(|e| e.to_string())?;
        Ok(line.segmentation.options(true, Protocol::Official))
    }

    #[test]
    fn arguments_become_options() {
        let plain = parse(&[]).unwrap();
        let official =
            SegmentOptions { flip: true, protocol: Protocol::Official, ..SegmentOptions::default() };
        assert_eq!(plain, official);
        let all = parse(&["--scales", "0.5,1", "--window", "512x1024", "--resize", "short:520"]).unwrap();
        assert_eq!(all.windows, Windows::Sliding { size: [512, 1024], overlap: [128, 256] });
        assert_eq!((all.scales, all.resize), (vec![0.5, 1.0], Resize::Short(520)));
        let near = parse(&["--window", "64x64", "--overlap", "32", "--memory-mb", "100"]).unwrap();
        assert_eq!(
            (near.windows, near.memory),
            (Windows::Sliding { size: [64; 2], overlap: [32; 2] }, 100 << 20)
        );
        assert_eq!(parse(&["--whole"]).unwrap().memory, 16 << 30);
        for (text, want) in [
            ("keep", Resize::Keep),
            ("long:2048", Resize::Long(2048)),
            ("473x473", Resize::Fixed([473, 473])),
        ] {
            assert_eq!(parse(&["--resize", text]).unwrap().resize, want);
        }
        for bad in [
            &["--scales", "0"][..],
            &["--scales", "nan"],
            &["--resize", "wide:5"],
            &["--resize", "short:0"],
            &["--overlap", "5"],
            &["--whole", "--window", "64x64"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
