//! Landmarks of faces on every labelled set: the set with its images, boxes and normaliser, and the figures.
//!
//! | set | given as | split | normaliser | parts |
//! |---|---|---|---|---|
//! | 300W | the folder that holds `helen`, `lfpw`, `ibug`, `afw`, `300W` | `train`, `common`, `challenge`, `full`, `test` | outer eye corners | common and challenge of full |
//! | WFLW | `list_98pt_rect_attr_test.txt` | - | outer eye corners | the six attributes |
//! | COFW | `COFW_test_color.mat` | - | outer eye corners | - |
//! | 300VW | the folder that holds `001`, `002`, ... with frames as images | `train`, `category1`, `category2`, `category3`, `test` | outer eye corners | the three categories of test |
//! | AFLW, and 300W or WFLW as the official CSV | the table | - | box size (AFLW), outer eye corners | - |
//! | own | a table; a folder or list of `.pts` files; COCO-style JSON | - | by the number of points, else the diagonal | - |
//!
//! The default takes one from coordinates that a set counts from 1; the official protocol keeps a file's own numbers, as the
//! published code does, whose crops start from them.

mod read;

use crate::error::{Context, Result, bail};
use crate::measure::{Column, Curve, Measured, Table, Unit, Worst, WorstList};
use hrnet_data::codec::Protocol;
use hrnet_data::dataset::model::{LandmarkSample, ReadOptions};
use hrnet_data::dataset::open::LabelSet;
use hrnet_data::metric::nme::{MeanShape, Nme, Normaliser};
use hrnet_data::sets::PointSet;
use hrnet_formats::Task;
use hrnet_image::{Image, Limits};
use std::path::Path;
use std::sync::Arc;

/// Steps of the curve of errors.
const CED_STEPS: usize = 100;
/// Its largest error, as papers show it.
const CED_END: f64 = 0.10;

/// How a set is opened.
#[derive(Clone, Debug, Default)]
pub struct FaceOptions<'a> {
    /// Folder of the images, for sets given as a table or list.
    pub images: Option<&'a Path>,
    /// A part of 300W or 300VW; full and test where `None`.
    pub split: Option<&'a str>,
    /// Whose numbers: see the module.
    pub protocol: Protocol,
    /// Missing images, broken entries, limits.
    pub read: ReadOptions,
    /// Limits of the images.
    pub limits: Limits,
    /// The set's own where `None`.
    pub normaliser: Option<Normaliser>,
}

/// A part of a set that is reported on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Indices of its faces.
    pub faces: Vec<usize>,
}

/// Labelled faces with their images.
pub struct FaceSet {
    name: String,
    samples: Vec<LandmarkSample>,
    set: LabelSet,
    /// The image of each face in the set, and its size where the labels say it.
    images: Vec<(usize, Option<[usize; 2]>)>,
    normaliser: Normaliser,
    parts: Vec<Part>,
    skipped: Vec<String>,
    points: usize,
    limits: Limits,
}

impl FaceSet {
    /// Opens a set by what its path is.
    pub fn open(path: &Path, options: &FaceOptions<'_>) -> Result<Self> {
        let found = read::open(path, options)?;
        let shown = path.display();
        let points = found.samples.first().map_or(0, |s| s.points.len());
        if let Some(other) = found.samples.iter().find(|s| s.points.len() != points) {
            bail!("{shown}: faces of {points} and of {} points (line {})", other.points.len(), other.line);
        }
        if found.samples.is_empty() {
            bail!("{shown}: no faces");
        }
        let boxes = found.samples.iter().all(|s| s.box_size.is_some());
        let published = match Normaliser::published(points) {
            Some(Normaliser::BoxSize) if !boxes => None,
            other => other,
        };
        let normaliser = options.normaliser.or(published).unwrap_or(Normaliser::Diagonal);
        Ok(Self {
            name: found.name,
            samples: found.samples,
            set: found.set,
            images: found.images,
            normaliser,
            parts: found.parts,
            skipped: found.skipped,
            points,
            limits: options.limits.clone(),
        })
    }

    /// What set it was taken for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of faces.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Never: a set without faces is not opened.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Points of a face.
    pub fn points(&self) -> usize {
        self.points
    }

    /// The faces: image, centre and scale (the longer side over 200, before padding), points.
    pub fn samples(&self) -> &[LandmarkSample] {
        &self.samples
    }

    /// What errors are divided by.
    pub fn normaliser(&self) -> Normaliser {
        self.normaliser
    }

    /// Parts that are reported on their own.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Entries left out, and why.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// The image of a face.
    pub fn image(&self, index: usize) -> Result<Arc<Image>> {
        let sample = self.samples.get(index).with_context(|| format!("there are {} faces", self.len()))?;
        let (image, size) = self.images[index];
        Ok(Arc::new(if self.set.is_embedded() {
            self.set.image(image, &self.limits)?
        } else {
            let read = crate::measure::read_labelled(&sample.image, size, &self.limits);
            read.with_context(|| sample.image.display().to_string())?
        }))
    }

    /// The error of the mean shape of training faces: what a network must beat.
    pub fn mean_shape_error(&self, train: &Self) -> Result<f64> {
        let faces = train.samples.iter().map(|s| (s.centre, s.scale, s.points.as_slice()));
        let shape = MeanShape::fit(faces).context("the training set has faces of different points")?;
        let mut nme = Nme::new(self.normaliser);
        for s in &self.samples {
            nme.update(&shape.place(s.centre, s.scale), &s.points, s.box_size).with_context(|| place(s))?;
        }
        nme.mean().context("no faces")
    }

    /// The figures of predicted points: pairs of index and points, each face at most once, in any order.
    pub fn measure(
        &self,
        found: impl IntoIterator<Item = (usize, Vec<[f64; 2]>)>,
        worst: usize,
    ) -> Result<Measured> {
        let mut predicted: Vec<Option<Vec<[f64; 2]>>> = vec![None; self.len()];
        for (index, points) in found {
            let slot = predicted.get_mut(index).with_context(|| format!("there are {} faces", self.len()))?;
            if slot.replace(points).is_some() {
                bail!("face {index} has results twice");
            }
        }
        let mut nme = Nme::new(self.normaliser);
        let mut errors: Vec<Option<f64>> = vec![None; self.len()];
        let mut list = WorstList::new(worst);
        for (index, (points, s)) in predicted.iter().zip(&self.samples).enumerate() {
            let Some(points) = points else { continue };
            let error = nme.update(points, &s.points, s.box_size).with_context(|| place(s))?;
            errors[index] = Some(error);
            if list.takes(error) {
                let (image, note) = (s.image.clone(), format!("line {}", s.line));
                list.add(error, Worst { index, value: error, image, note });
            }
        }
        let report = nme.compute().context("no face was looked at")?;
        let mut out = Measured::new(Task::Face, "faces");
        out.samples = report.images as u64;
        out.set("set", self.name.clone());
        out.set("metric", format!("NME over all points, divided by the {}", self.normaliser));
        let missing = self.len() - report.images;
        if missing + self.skipped.len() > 0 {
            let text = format!("{missing} faces without a result, {} unusable entries", self.skipped.len());
            out.set("ignored", text);
        }
        for (key, label, value, unit) in [
            ("nme", "NME", report.nme, Unit::Share),
            ("nme_median", "NME, median", report.median, Unit::Share),
            ("failure_rate_08", "faces above 0.08", report.failure_rate_08, Unit::Share),
            ("failure_rate_10", "faces above 0.10", report.failure_rate_10, Unit::Share),
            ("auc_08", "AUC to 0.08", report.auc_08, Unit::Number),
            ("auc_10", "AUC to 0.10", report.auc_10, Unit::Number),
            ("offset_x", "mean offset in x", report.offset[0], Unit::Share),
            ("offset_y", "mean offset in y", report.offset[1], Unit::Share),
        ] {
            out.figure(key, label, value, unit);
        }
        if !self.parts.is_empty() {
            out.tables.push(self.parts_table(&predicted)?);
        }
        let names = PointSet::guess(self.points)
            .map_or_else(|| (0..self.points).map(|i| format!("point_{i}")).collect(), PointSet::names);
        out.tables.push(Table {
            key: "points",
            label: "point".into(),
            rows_are: "point",
            columns: vec![Column { key: "nme", label: "NME".into(), unit: Unit::Share }],
            rows: names.into_iter().zip(report.per_point.iter().map(|&v| vec![Some(v)])).collect(),
        });
        out.curves.push(Curve {
            key: "ced".into(),
            label: "cumulative errors".into(),
            x: "NME".into(),
            y: "share of faces".into(),
            points: nme.ced_curve(CED_END, CED_STEPS).into_iter().map(|(x, y)| [x, y]).collect(),
        });
        out.worst_by = ("NME".into(), Unit::Share);
        out.worst = list.finish();
        Ok(out)
    }

    fn parts_table(&self, predicted: &[Option<Vec<[f64; 2]>>]) -> Result<Table> {
        let column = |key, label: &str, unit| Column { key, label: label.into(), unit };
        let mut rows = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let mut nme = Nme::new(self.normaliser);
            for &i in &part.faces {
                let s = &self.samples[i];
                if let Some(points) = &predicted[i] {
                    nme.update(points, &s.points, s.box_size).with_context(|| place(s))?;
                }
            }
            let report = nme.compute();
            let of = |get: fn(&hrnet_data::metric::nme::NmeReport) -> f64| report.as_ref().map(get);
            let values = vec![
                Some(report.as_ref().map_or(0.0, |r| r.images as f64)),
                of(|r| r.nme),
                of(|r| r.failure_rate_08),
                of(|r| r.failure_rate_10),
                of(|r| r.auc_08),
                of(|r| r.auc_10),
            ];
            rows.push((part.name.clone(), values));
        }
        Ok(Table {
            key: "parts",
            label: "part".into(),
            rows_are: "part",
            columns: vec![
                column("faces", "faces", Unit::Count),
                column("nme", "NME", Unit::Share),
                column("failure_rate_08", "FR@0.08", Unit::Share),
                column("failure_rate_10", "FR@0.10", Unit::Share),
                column("auc_08", "AUC@0.08", Unit::Number),
                column("auc_10", "AUC@0.10", Unit::Number),
            ],
            rows,
        })
    }
}

fn place(s: &LandmarkSample) -> String {
    format!("{} (line {})", s.image.display(), s.line)
}

#[cfg(test)]
mod tests;
