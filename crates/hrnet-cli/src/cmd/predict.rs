//! `hrnet predict`: points, masks or classes in images and videos; a picture and a result for each.
//!
//! ```text
//! sources -> groups of frames that run together -> answers -> tracking -> result files, overlays, lines on the screen
//! ```
//!
//! Everything is in input order. What cannot be read or looked at is listed and the run goes on; the exit code is then 1.

use crate::cli::Predict;
use crate::outcome::{Failure, Outcome};
use crate::progress::style;
use crate::say;
use hrnet::error::one_line;
use hrnet::error::{Context, Result};
use hrnet::io;
use hrnet::model::LoadedModel;
use hrnet::npy;
use hrnet::output::{self, Format, Target, Writer, WriterOptions, json};
use hrnet::result::{ImageResult, Kind, Predicted, Schema, palette};
use hrnet::source::{self, Boxes, Failed, Frame, Sources};
use hrnet::tasks::points::show;
use hrnet::tasks::{self, Options, Prediction, Predictor, Request, Stages};
use hrnet::timing::{TimeSplit, Timing, ms};
use hrnet::track::Follow;
use hrnet_image::encode_png;
use hrnet_kernels::Pool;
use indicatif::ProgressBar;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// Frames that wait for one another to fill a batch, at most.
const WAITING: usize = 8;

pub(super) fn run(args: &Predict) -> Outcome {
    let mut timing = Timing::start();
    let reading = source::Options { leave_out: Some(args.out.clone()), ..args.source.options() };
    let sources = Sources::of(&args.images, &reading)?;
    let boxes = args.boxes_file.as_deref().map(|path| Boxes::read(path, &args.box_options())).transpose()?;
    let single = sources.count() == Some(1) && boxes.is_none();
    let video = sources.inputs().iter().any(|i| i.is_video());
    let total = sources.count();
    // The first image is decoded while the model is loaded, the next ones while the network runs.
    let frames = sources.frames();
    let mut loaded = LoadedModel::for_task(args.model.as_deref(), args.task)?;
    let remarks = loaded.name_facts(&args.own.points.named(), false)?;
    remarks.iter().for_each(|remark| eprintln!("remark: {remark}"));
    let pool = Arc::new(Pool::new(args.compute.threads()));
    let options = Options { boxes: single.then_some(args.boxes.len().max(1)), ..args.task_options() };
    let predictor = Predictor::new(loaded, pool, options)?;
    timing.loaded();
    if !predictor.takes_boxes() && (!args.boxes.is_empty() || boxes.is_some()) {
        return Err(Failure::Usage("this model looks at whole images; leave --box and --boxes out".into()));
    }
    let mut job = Job::new(args, predictor, boxes, video, total, timing)?;
    let mut group = Vec::new();
    for item in frames {
        match item {
            Ok(frame) => group.push(job.with_boxes(frame)),
            Err(failed) => group.push(Err(failed)),
        }
        if group.len() >= WAITING || job.is_full(&group) {
            job.group(std::mem::take(&mut group))?;
        }
    }
    job.group(group)?;
    job.finish()
}

/// A frame with the boxes to look in.
struct Pending {
    frame: Frame,
    /// Nothing for the whole image.
    boxes: Option<Vec<[f64; 4]>>,
}

struct Job<'a> {
    args: &'a Predict,
    predictor: Predictor,
    boxes: Option<Boxes>,
    follow: Follow,
    writers: Vec<Writer>,
    /// A JSON file beside each picture.
    beside: bool,
    /// JSON lines, which begin with the first result, so that a video that cannot be read leaves no file.
    lines_due: bool,
    overlays: bool,
    video: Option<io::Staged>,
    bar: ProgressBar,
    timing: Timing,
    done: usize,
    failures: usize,
}

impl<'a> Job<'a> {
    fn new(
        args: &'a Predict,
        predictor: Predictor,
        boxes: Option<Boxes>,
        video: bool,
        total: Option<usize>,
        timing: Timing,
    ) -> Result<Self> {
        io::create_folder(&args.out)?;
        if let Some(folder) = &args.dump_stages {
            io::create_folder(folder)?;
        }
        let mut formats = args.formats.clone();
        formats.dedup();
        let beside = formats.is_empty() && !video;
        if beside && tasks::kind(predictor.schema().task) == Some(Kind::Mask) {
            formats.push(Format::PaletteMasks);
        }
        let options = WriterOptions {
            image_ids: args.annotations.as_deref().map(output::ids_of_annotations).transpose()?,
            palette: palette(predictor.schema()).colours().to_vec(),
            ..WriterOptions::default()
        };
        let mut writers = Vec::new();
        for format in formats {
            writers.push(writer(args, format, predictor.schema(), &options)?);
        }
        if args.json {
            writers.push(Writer::create(Format::Json, &Target::Stdout, predictor.schema(), &options)?);
        }
        let bar = match total {
            Some(1) => ProgressBar::hidden(),
            Some(n) => ProgressBar::new(n as u64),
            None => ProgressBar::no_length().with_style(style("{pos} frames, {per_sec}")?),
        };
        let overlay_video = args.overlay_video.as_deref().map(io::Staged::create).transpose()?;
        Ok(Self {
            args,
            predictor,
            boxes,
            follow: args.follow(),
            writers,
            beside,
            lines_due: args.formats.is_empty() && video,
            overlays: !args.no_overlay && (beside || args.overlay),
            video: overlay_video,
            bar,
            timing,
            done: 0,
            failures: 0,
        })
    }

    /// The frame with its boxes, or why they cannot be had.
    fn with_boxes(&self, frame: Frame) -> Result<Pending, Failed> {
        match self.boxes_of(&frame) {
            Ok(boxes) => Ok(Pending { frame, boxes }),
            Err(error) => Err(Failed { input: frame.input, time: frame.time, error }),
        }
    }

    /// Boxes of an image: from the file, from the command line, or nothing for the whole image.
    fn boxes_of(&self, frame: &Frame) -> Result<Option<Vec<[f64; 4]>>> {
        let boxes: Vec<[f64; 4]> = match &self.boxes {
            Some(boxes) => {
                let found = boxes.of(&frame.input, frame.time);
                let found =
                    found.with_context(|| format!("no box for '{}' in the --boxes file", frame.input))?;
                found.into_iter().map(|b| b.rect).collect()
            }
            None if self.args.boxes.is_empty() => return Ok(None),
            None => self.args.boxes.clone(),
        };
        let (width, height) = (frame.image.width() as f64, frame.image.height() as f64);
        for [x, y, w, h] in &boxes {
            let outside = *x >= width || *y >= height || x + w <= 0.0 || y + h <= 0.0;
            hrnet::ensure!(!outside, "box {x},{y},{w},{h} lies outside the image of {width}x{height} pixels");
        }
        Ok(Some(boxes))
    }

    /// Whether a group fills the batches of the network.
    fn is_full(&self, group: &[Result<Pending, Failed>]) -> bool {
        let boxes: usize = group.iter().flatten().map(|w| w.boxes.as_ref().map_or(1, Vec::len)).sum();
        boxes >= self.predictor.batch()
    }

    /// Looks at a group together and hands out its results in order.
    fn group(&mut self, group: Vec<Result<Pending, Failed>>) -> Outcome {
        let requests: Vec<Request> = group
            .iter()
            .flatten()
            .map(|w| Request { image: &w.frame.image, boxes: w.boxes.as_deref() })
            .collect();
        let mut predictions: Vec<Result<Prediction>> = match self.predictor.predict(&requests) {
            Ok(predictions) => predictions.into_iter().map(Ok).collect(),
            // One of them is the reason: each on its own tells which.
            Err(_) if requests.len() > 1 => requests
                .iter()
                .map(|&request| self.predictor.predict(&[request]).map(|mut only| only.swap_remove(0)))
                .collect(),
            Err(error) => vec![Err(error)],
        };
        drop(requests);
        predictions.reverse();
        for item in group {
            self.done += 1;
            let failed = match item {
                Ok(pending) => {
                    let (input, time) = (pending.frame.input.clone(), pending.frame.time);
                    let prediction = predictions.pop().context("an answer for every image").and_then(|a| a);
                    match prediction.and_then(|prediction| self.result(pending, prediction)) {
                        Ok(()) => None,
                        Err(error) => Some(Failed { input, time, error }),
                    }
                }
                Err(failed) => Some(failed),
            };
            if let Some(Failed { input, time, error }) = failed {
                self.failures += 1;
                let place = time.map_or_else(String::new, |t| format!(", frame {}", t.index));
                self.bar.suspend(|| eprintln!("error: {input}{place}: {}", one_line(&error)));
                for writer in &mut self.writers {
                    writer.failed(&input, time, &one_line(&error))?;
                }
            }
            self.bar.inc(1);
        }
        Ok(())
    }

    /// Writes and says what was found in a frame.
    fn result(&mut self, pending: Pending, prediction: Prediction) -> Result<()> {
        let Pending { frame, boxes } = pending;
        self.timing.result();
        let time = TimeSplit { read: frame.read, ..prediction.time };
        self.timing.images += time;
        let mut result = ImageResult {
            input: frame.input,
            stem: frame.stem,
            frame: frame.time,
            width: frame.image.width(),
            height: frame.image.height(),
            exif_orientation: frame.exif_orientation,
            predicted: prediction.predicted,
            time,
        };
        for note in &frame.notes {
            self.bar.suspend(|| eprintln!("{}: {note}", result.input));
        }
        let doubt = crate::tasks::row(self.predictor.schema().task).doubt.filter(|_| boxes.is_none());
        if let Some(text) = doubt.and_then(|doubt| doubt(self.args, &result.predicted)) {
            self.bar.suspend(|| eprintln!("{}: {text}", result.input));
        }
        self.follow.update(frame.clip, &mut result);
        if std::mem::take(&mut self.lines_due) {
            let schema = self.predictor.schema();
            self.writers.insert(0, writer(self.args, Format::Jsonl, schema, &WriterOptions::default())?);
        }
        let schema = self.predictor.schema();
        let mut shown = None;
        let mut overlay = None;
        if self.overlays || self.video.is_some() {
            let boxed = boxes.is_some() || !self.predictor.takes_boxes();
            let picture = result.predicted.overlay(&frame.image, schema, boxed);
            if self.overlays {
                let path =
                    self.args.out.join(format!("{}.{}.png", result.stem, result.predicted.overlay_name()));
                io::write_atomic(&path, &encode_png(&picture)?)?;
                shown = Some(path.clone());
                overlay = Some(path);
            }
            if let Some(video) = &mut self.video {
                video.write(&hrnet_image::encode_jpeg(&picture, 90)?)?;
            }
        }
        if self.beside {
            let path = self.args.out.join(format!("{}.json", result.stem));
            let document = json::document(&result, schema, overlay.as_deref());
            io::write_atomic(&path, &serde_json::to_vec_pretty(&document)?)?;
            shown.get_or_insert(path);
        }
        for (i, stages) in prediction.stages.iter().enumerate() {
            let name = format!("{}.{i}", result.stem);
            if self.args.heat_maps
                && let Some(size) = self.predictor.map_size()
                && let Some(sheet) = show::heat_maps(stages, self.predictor.recipe(), schema, size)
            {
                let path = self.args.out.join(format!("{name}.heatmaps.png"));
                io::write_atomic(&path, &encode_png(&sheet)?)?;
            }
            if let Some(folder) = &self.args.dump_stages {
                self.dump(folder, &name, stages, &result.predicted, i)?;
            }
        }
        for writer in &mut self.writers {
            writer.add_with(&result, overlay.as_deref())?;
        }
        if !self.args.json && (self.beside || frame.clip.is_none()) {
            self.bar.suspend(|| {
                lines(&result, self.predictor.schema(), shown.as_deref()).iter().for_each(|l| say!("{l}"))
            });
        }
        Ok(())
    }

    fn dump(
        &self,
        folder: &Path,
        name: &str,
        stages: &Stages,
        predicted: &Predicted,
        index: usize,
    ) -> Result<()> {
        let recipe = self.predictor.recipe();
        let (h, w) = recipe.input_size;
        npy::write(&folder.join(format!("{name}.input.npy")), &[1, 3, h, w], &stages.input)?;
        if let Some([mh, mw]) = self.predictor.map_size() {
            let maps = stages.heatmaps.len() / (mh * mw);
            npy::write(&folder.join(format!("{name}.heatmaps.npy")), &[1, maps, mh, mw], &stages.heatmaps)?;
        }
        let crop = show::crop_image(stages, recipe);
        io::write_atomic(&folder.join(format!("{name}.crop.png")), &encode_png(&crop)?)?;
        let Predicted::Instances(instances) = predicted else { return Ok(()) };
        let points = instances.get(index).map(|i| i.points.as_slice()).unwrap_or_default();
        let (points, scores): (Vec<[f64; 2]>, Vec<f32>) = points.iter().map(|p| (p.at, p.score)).unzip();
        let text = serde_json::to_vec_pretty(
            &json!({"image_to_input": stages.to_input.0, "points": points, "scores": scores}),
        )?;
        io::write_atomic(&folder.join(format!("{name}.stages.json")), &text)
    }

    fn finish(self) -> Outcome {
        self.bar.finish_and_clear();
        for writer in self.writers {
            let written = writer.finish(Some(&self.timing))?;
            for note in written.notes {
                eprintln!("{note}");
            }
            if let ([file], false, false) = (&written.files[..], self.args.json, self.beside) {
                say!("{} results -> {}", self.done - self.failures, file.display());
            }
        }
        if let (Some(video), Some(path)) = (self.video, &self.args.overlay_video) {
            video.finish()?;
            if !self.args.json {
                say!("overlays -> {}", path.display());
            }
        }
        match (self.failures, self.done) {
            (0, _) => Ok(()),
            // The one error was said above.
            (1, 1) => Err(Failure::Reported(1)),
            (failed, all) => Err(Failure::Runtime(hrnet::err!("{failed} of {all} images failed"))),
        }
    }
}

/// A writer into the folder of results.
fn writer(args: &Predict, format: Format, schema: &Schema, options: &WriterOptions) -> Result<Writer> {
    let path = match format.per_image() {
        true => args.out.clone(),
        false => args.out.join(format.file_name()),
    };
    Writer::create(format, &Target::Path(path), schema, options)
}

/// What was found, for people.
fn lines(result: &ImageResult, schema: &Schema, shown: Option<&Path>) -> Vec<String> {
    let end = shown.map_or_else(String::new, |p| format!(" -> {}", p.display()));
    let time = format!("{:.1} ms", ms(result.time.network));
    let line = |found: String| format!("{}: {found}, {time}{end}", result.input);
    result.predicted.lines(schema).into_iter().map(line).collect()
}
