//! `hrnet predict`: points in images, an overlay picture and a JSON file for each.

use crate::cli::Predict;
use crate::model::LoadedModel;
use crate::outcome::{Failure, Outcome, chain};
use crate::result::{self, Instance};
use crate::say;
use crate::task::{Ask, Options, Predictor, Stages};
use crate::timing::{TimeSplit, Timing, ms};
use crate::{inputs, io, npy};
use anyhow::{Context, Result};
use hrnet_data::draw::{Style, draw_box, draw_landmarks};
use hrnet_data::image::{DecodeOptions, Exif, Image, Limits, decode, encode_png};
use hrnet_kernels::Pool;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// Below this mean score the box was probably not a face (faces in their boxes reach 0.8 to 1).
const UNSURE: f64 = 0.65;
/// Colour of the box on overlays.
const BOX_COLOUR: [u8; 3] = [255, 255, 255];

pub(super) fn run(args: &Predict) -> Outcome {
    let timing = Timing::start();
    let files = inputs::expand(&args.images)?;
    let table = args.boxes_file.as_deref().map(inputs::read_boxes).transpose()?;
    // One image ahead: the first is decoded while the model is loaded, the next ones while the network runs.
    let (sender, images) = sync_channel(0);
    std::thread::scope(|scope| {
        let (files, exif) = (&files, if args.ignore_orientation { Exif::Ignore } else { Exif::Honour });
        let reader = move || files.iter().map(|f| Photo::read(f, exif)).try_for_each(|p| sender.send(p));
        // Without a second thread each image is read when it is wanted.
        let images = match std::thread::Builder::new().spawn_scoped(scope, reader) {
            Ok(_) => Photos::Ahead(images),
            Err(_) => Photos::OnDemand(exif),
        };
        predict(args, files, table, images, timing)
    })
}

fn predict(
    args: &Predict,
    files: &[PathBuf],
    table: Option<HashMap<String, Vec<[f64; 4]>>>,
    photos: Photos,
    mut timing: Timing,
) -> Outcome {
    let loaded = LoadedModel::for_task(args.model.as_deref(), args.task.map(Into::into))?;
    let pool = Arc::new(Pool::new(args.compute.threads()));
    // A table has any number of boxes per image.
    let faces = if table.is_some() { 1 } else { args.boxes.len() };
    let options = Options {
        find: args.find(),
        refine: args.refine,
        keep_stages: args.dump_stages.is_some(),
        boxes: Some(faces),
        ..Options::default()
    };
    let model = Predictor::new(loaded, pool, options)?;
    timing.loaded();
    io::create_folder(&args.out)?;
    if let Some(folder) = &args.dump_stages {
        io::create_folder(folder)?;
    }
    let mut job = Job { args, model, table, names: HashSet::new(), timing };
    let mut results = Vec::new();
    let mut failed = Vec::new();
    let bar = if files.len() > 1 { ProgressBar::new(files.len() as u64) } else { ProgressBar::hidden() };
    for file in files {
        match photos.next(file).and_then(|photo| job.image(file, photo)) {
            Ok(found) => {
                if !args.json {
                    bar.suspend(|| found.iter().for_each(|f| say!("{}", f.line)));
                }
                results.extend(found.into_iter().map(|f| f.json));
            }
            Err(error) => {
                bar.suspend(|| eprintln!("error: {}: {}", file.display(), chain(&error)));
                failed.push(json!({"input": file, "error": chain(&error)}));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let failures = failed.len();
    if args.json {
        // One image: its fields also stand at the top level, for scripts that look at one image at a time.
        let mut object = match results.as_slice() {
            [Value::Object(only)] => only.clone(),
            _ => serde_json::Map::new(),
        };
        object.insert("schema".into(), json!("hrnet.predict/1"));
        object.insert("images".into(), json!(results));
        object.insert("failed".into(), json!(failed));
        object.insert("timing".into(), job.timing.json());
        say!("{}", Value::Object(object));
    }
    match failures {
        0 => {}
        // The one error was said above.
        1 if files.len() == 1 => return Err(Failure::Reported),
        _ => {
            let message = format!("{failures} of {} images failed", files.len());
            return Err(Failure::Runtime(anyhow::anyhow!(message)));
        }
    }
    Ok(())
}

/// A decoded image.
struct Photo {
    image: Image,
    /// As EXIF numbers it.
    orientation: u8,
    read: Duration,
}

impl Photo {
    fn read(file: &Path, exif: Exif) -> Result<Self> {
        let started = Instant::now();
        let bytes = io::read(file)?;
        let decoded = decode(&bytes, &Limits::default(), DecodeOptions { exif, ..DecodeOptions::default() })?;
        let orientation = decoded.orientation_applied as u8 + 1;
        Ok(Self { image: decoded.image, orientation, read: started.elapsed() })
    }
}

/// The images in order.
enum Photos {
    /// From the thread that reads them.
    Ahead(Receiver<Result<Photo>>),
    OnDemand(Exif),
}

impl Photos {
    fn next(&self, file: &Path) -> Result<Photo> {
        match self {
            Photos::Ahead(photos) => photos.recv().context("the thread that reads images has ended")?,
            Photos::OnDemand(exif) => Photo::read(file, *exif),
        }
    }
}

struct Job<'a> {
    args: &'a Predict,
    model: Predictor,
    table: Option<HashMap<String, Vec<[f64; 4]>>>,
    /// Output names in use.
    names: HashSet<String>,
    timing: Timing,
}

/// A face that was found.
struct Found {
    json: Value,
    line: String,
}

impl Job<'_> {
    fn image(&mut self, file: &Path, photo: Photo) -> Result<Vec<Found>> {
        let Photo { image, orientation, read } = photo;
        let boxes = self.boxes(file, &image)?;
        let answer = self.model.look(&[Ask { image: &image, boxes: Some(&boxes) }])?.swap_remove(0);
        let result::Found::Instances(instances) = answer.found else {
            anyhow::bail!("not a model of points")
        };
        self.timing.result();
        if self.args.refine == 0
            && boxes.len() == 1
            && boxes[0] == whole(&image)
            && instances[0].score < UNSURE
        {
            eprintln!(
                "{}: the whole image was taken as the face and the points are unsure; give the face's place with --box x,y,w,h",
                file.display()
            );
        }
        let names = self.model.schema().names.clone();
        let time = TimeSplit { read, ..answer.time };
        self.timing.images += time;
        let timings = time.json_ms();
        let stem = self.stem(file);
        let overlay = self.args.out.join(format!("{stem}.points.png"));
        if !self.args.no_overlay {
            let picture = overlay_of(&self.model, &image, &boxes, &instances);
            io::write_atomic(&overlay, &encode_png(&picture)?)?;
        }
        let mut found = Vec::new();
        for (i, (face, b)) in instances.iter().zip(&boxes).enumerate() {
            let points: Vec<Value> = names
                .iter()
                .zip(&face.points)
                .map(|(name, p)| json!({"name": name, "x": p.at[0], "y": p.at[1], "score": p.score}))
                .collect();
            let score = face.score;
            let json = json!({
                "input": file,
                "width": image.width(),
                "height": image.height(),
                "exif_orientation": orientation,
                "box": b,
                "score": score,
                "points": points,
                "overlay": if self.args.no_overlay { Value::Null } else { json!(overlay) },
                "timings": timings,
            });
            let shown = if self.args.no_overlay { self.json_path(&stem) } else { overlay.clone() };
            let [x, y, w, h] = b;
            let line = format!(
                "{}: {} points in box {x:.0},{y:.0},{w:.0},{h:.0}, mean score {score:.2}, {:.1} ms -> {}",
                file.display(),
                names.len(),
                ms(time.network),
                shown.display()
            );
            if let (Some(folder), Some(stages)) = (&self.args.dump_stages, answer.stages.get(i)) {
                self.dump(folder, &format!("{stem}.{i}"), stages, face)?;
            }
            found.push(Found { json, line });
        }
        let faces: Vec<&Value> = found.iter().map(|f| &f.json).collect();
        let text = serde_json::to_vec_pretty(&json!({"schema": "hrnet.predict/1", "images": faces}))?;
        io::write_atomic(&self.json_path(&stem), &text)?;
        Ok(found)
    }

    fn json_path(&self, stem: &str) -> PathBuf {
        self.args.out.join(format!("{stem}.json"))
    }

    /// A name for the results of an image that no other image of this call has.
    fn stem(&mut self, file: &Path) -> String {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut name = stem.clone();
        let mut number = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{stem}-{number}");
            number += 1;
        }
        name
    }

    /// Boxes of an image: from the table, from the command line, or the whole image.
    fn boxes(&self, file: &Path, image: &Image) -> Result<Vec<[f64; 4]>> {
        let whole = whole(image);
        let boxes = match &self.table {
            Some(table) => {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let key = file.to_string_lossy();
                let found = table.get(key.as_ref()).or_else(|| table.get(name.as_ref()));
                found.with_context(|| format!("no box for '{name}' in the --boxes file"))?.clone()
            }
            None if self.args.boxes.is_empty() => return Ok(vec![whole]),
            None => self.args.boxes.clone(),
        };
        for [x, y, w, h] in &boxes {
            let outside = *x >= whole[2] || *y >= whole[3] || x + w <= 0.0 || y + h <= 0.0;
            anyhow::ensure!(
                !outside,
                "box {x},{y},{w},{h} lies outside the image of {}x{} pixels",
                whole[2],
                whole[3]
            );
        }
        Ok(boxes)
    }

    fn dump(&self, folder: &Path, name: &str, stages: &Stages, face: &Instance) -> Result<()> {
        let recipe = self.model.recipe();
        let (h, w) = recipe.input_size;
        npy::write(&folder.join(format!("{name}.input.npy")), &[1, 3, h, w], &stages.input)?;
        let points = stages.heatmaps.len() / (h.div_ceil(4) * w.div_ceil(4));
        let (mh, mw) = (h.div_ceil(4), w.div_ceil(4));
        npy::write(&folder.join(format!("{name}.heatmaps.npy")), &[1, points, mh, mw], &stages.heatmaps)?;
        let mut crop = Image::filled(w, h, [0; 3]);
        for (i, rgb) in crop.data_mut().chunks_exact_mut(3).enumerate() {
            for (c, v) in rgb.iter_mut().enumerate() {
                let value = f64::from(stages.input[c * h * w + i]) * recipe.std[c] + recipe.mean[c];
                *v = (value * 255.0).round().clamp(0.0, 255.0) as u8;
            }
        }
        io::write_atomic(&folder.join(format!("{name}.crop.png")), &encode_png(&crop)?)?;
        let (points, scores): (Vec<[f64; 2]>, Vec<f32>) = face.points.iter().map(|p| (p.at, p.score)).unzip();
        let text = serde_json::to_vec_pretty(
            &json!({"image_to_input": stages.to_input.0, "points": points, "scores": scores}),
        )?;
        io::write_atomic(&folder.join(format!("{name}.stages.json")), &text)
    }
}

/// The whole image as a box.
fn whole(image: &Image) -> [f64; 4] {
    [0.0, 0.0, image.width() as f64, image.height() as f64]
}

fn overlay_of(model: &Predictor, image: &Image, boxes: &[[f64; 4]], faces: &[Instance]) -> Image {
    let mut picture = image.clone();
    let whole = whole(image);
    for (face, b) in faces.iter().zip(boxes) {
        if *b != whole {
            draw_box(&mut picture, *b, BOX_COLOUR, (image.width() as f64 / 400.0).max(1.0));
        }
        let (points, scores): (Vec<[f64; 2]>, Vec<f32>) = face.points.iter().map(|p| (p.at, p.score)).unzip();
        let set = model.schema().point_set();
        draw_landmarks(&mut picture, &points, Some(&scores), set, &Style::default());
    }
    picture
}
