//! What measuring a model on labelled data gives, for every task: the figures with how they were measured, tables, curves,
//! the worst samples and where the time went. The verb `eval` prints it, writes it as JSON and shows it in a report.

mod page;

pub use page::page;

use crate::error::Result;
use crate::timing::TimeSplit;
use hrnet_data::loader::decode_as_labelled;
use hrnet_formats::Task;
use hrnet_image::{DecodeOptions, Image, Limits};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// A labelled image, in the orientation of its labels: upright, unless `size`, the width and height that the labels give, is
/// that of the pixels as stored. Training reads images by the same rule.
pub fn read_labelled(path: &Path, size: Option<[usize; 2]>, limits: &Limits) -> Result<Image> {
    Ok(decode_as_labelled(&crate::io::read(path)?, size, limits, DecodeOptions::default())?)
}

/// How a value is shown; in JSON every value is what it is (shares from 0 to 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// From 0 to 1, shown in percent.
    Share,
    /// A plain number.
    Number,
    /// Pixels of the original image.
    Pixels,
    /// A whole number.
    Count,
}

impl Unit {
    /// The value for people; a dash where there is none.
    pub fn show(self, value: Option<f64>) -> String {
        let Some(v) = value else { return "-".into() };
        match self {
            Self::Share => format!("{:.2} %", 100.0 * v),
            Self::Number => format!("{v:.4}"),
            Self::Pixels => format!("{v:.2} px"),
            Self::Count => format!("{v:.0}"),
        }
    }
}

/// How something was measured: `box_source`, `flip`, `decoder`, `protocol`, `metric`, `ignored`, ...
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Name in JSON; stable.
    pub key: &'static str,
    /// The value, in words.
    pub value: String,
}

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Name in JSON; stable.
    pub key: String,
    /// Name for people.
    pub label: String,
    /// Nothing where there was nothing to measure.
    pub value: Option<f64>,
    /// How it is shown.
    pub unit: Unit,
}

/// A curve, such as a cumulative error distribution or precision over recall.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Name in JSON; stable.
    pub key: String,
    /// Name for people.
    pub label: String,
    /// What x is.
    pub x: String,
    /// What y is.
    pub y: String,
    /// x and y, x rising.
    pub points: Vec<[f64; 2]>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name in JSON; stable.
    pub key: &'static str,
    /// Name for people.
    pub label: String,
    /// How its values are shown.
    pub unit: Unit,
}

/// Figures of each class, point or subset.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Name in JSON; stable.
    pub key: &'static str,
    /// Name for people.
    pub label: String,
    /// What the rows are: `class`, `point`, `subset`.
    pub rows_are: &'static str,
    /// The columns.
    pub columns: Vec<Column>,
    /// Name of the row and a value per column.
    pub rows: Vec<(String, Vec<Option<f64>>)>,
}

/// Which class was taken for which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    /// Names of the classes.
    pub names: Vec<String>,
    /// What is counted: `pixels`, `images`.
    pub counts_are: &'static str,
    /// Row-major: a row per label, a column per prediction.
    pub counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// The share of each label's count in each prediction; rows without counts are 0.
    pub fn shares(&self) -> Vec<f64> {
        let rows = self.counts.chunks(self.names.len().max(1));
        rows.flat_map(|row| {
            let sum = row.iter().sum::<u64>().max(1) as f64;
            row.iter().map(move |&n| n as f64 / sum)
        })
        .collect()
    }
}

/// A sample that went badly.
#[derive(Clone, Debug, PartialEq)]
pub struct Worst {
    /// Index of the sample in the set.
    pub index: usize,
    /// The value it is sorted by; its name is [`Measured::worst_by`].
    pub value: f64,
    /// Its image.
    pub image: PathBuf,
    /// What was there and what was found, where that is a line of text.
    pub note: String,
}

/// A sample that could not be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The file.
    pub image: PathBuf,
    /// Why.
    pub error: String,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// What the model is for.
    pub task: Task,
    /// What the samples are: `images`, `faces`, `persons`.
    pub samples_are: &'static str,
    /// Samples that were measured.
    pub samples: u64,
    /// How, in the order of reading: box source, flip, decoder, protocol, metric.
    pub settings: Vec<Setting>,
    /// The figures, most important first.
    pub figures: Vec<Figure>,
    /// Figures of parts.
    pub tables: Vec<Table>,
    /// Curves.
    pub curves: Vec<Curve>,
    /// Which class was taken for which.
    pub confusion: Option<ConfusionMatrix>,
    /// What the worst samples are sorted by, with how it is shown.
    pub worst_by: (String, Unit),
    /// The worst samples, worst first.
    pub worst: Vec<Worst>,
    /// What could not be measured.
    pub failed: Vec<Failed>,
    /// Where the time went, all samples together.
    pub time: TimeSplit,
}

impl Measured {
    /// Without samples.
    pub fn new(task: Task, samples_are: &'static str) -> Self {
        Self {
            task,
            samples_are,
            samples: 0,
            settings: Vec::new(),
            figures: Vec::new(),
            tables: Vec::new(),
            curves: Vec::new(),
            confusion: None,
            worst_by: (String::new(), Unit::Number),
            worst: Vec::new(),
            failed: Vec::new(),
            time: TimeSplit::default(),
        }
    }

    /// Adds a row that says how it was measured.
    pub fn set(&mut self, key: &'static str, value: impl Into<String>) {
        self.settings.push(Setting { key, value: value.into() });
    }

    /// Adds a figure.
    pub fn figure(
        &mut self,
        key: impl Into<String>,
        label: impl Into<String>,
        value: impl Into<Option<f64>>,
        unit: Unit,
    ) {
        let value = value.into().filter(|v| v.is_finite());
        self.figures.push(Figure { key: key.into(), label: label.into(), value, unit });
    }

    /// The value of a figure.
    pub fn value(&self, key: &str) -> Option<f64> {
        self.figures.iter().find(|f| f.key == key)?.value
    }

    /// The whole as JSON: figures and settings by name; `schema` says which form this is.
    pub fn json(&self) -> Value {
        let by_name = |f: &Figure| (f.key.clone(), json!(f.value));
        let table = |t: &Table| {
            let row = |(name, values): &(String, Vec<Option<f64>>)| {
                let cells = t.columns.iter().zip(values).map(|(c, v)| (c.key.to_string(), json!(v)));
                Value::Object([(t.rows_are.to_string(), json!(name))].into_iter().chain(cells).collect())
            };
            (t.key.to_string(), t.rows.iter().map(row).collect())
        };
        let curve = |c: &Curve| (c.key.clone(), json!({"x": c.x, "y": c.y, "points": c.points}));
        let worst = |w: &Worst| json!({"index": w.index, "value": w.value, "image": w.image, "note": w.note});
        let time = self.time.parts().map(|(k, v)| (format!("{k}_seconds"), json!(v.as_secs_f64())));
        json!({
            "schema": "hrnet.eval/1",
            "task": self.task,
            "samples": self.samples,
            "samples_are": self.samples_are,
            "settings": self.settings.iter().map(|s| (s.key.into(), json!(s.value))).collect::<Map<_, _>>(),
            "figures": self.figures.iter().map(by_name).collect::<Map<_, _>>(),
            "tables": self.tables.iter().map(table).collect::<Map<String, Value>>(),
            "curves": self.curves.iter().map(curve).collect::<Map<_, _>>(),
            "confusion": self.confusion.as_ref().map(|c| json!({
                "names": c.names,
                "counts_are": c.counts_are,
                "rows": c.counts.chunks(c.names.len().max(1)).collect::<Vec<_>>(),
            })),
            "worst_by": self.worst_by.0,
            "worst": self.worst.iter().map(worst).collect::<Vec<_>>(),
            "failed": self.failed.iter().map(|f| json!({"image": f.image, "error": f.error})).collect::<Vec<_>>(),
            "time": time.into_iter().collect::<Map<_, _>>(),
        })
    }

    /// The whole for people, a line each.
    pub fn lines(&self) -> Vec<String> {
        let labels = self.figures.iter().map(|f| f.label.chars().count());
        let keys = self.settings.iter().map(|s| s.key.chars().count());
        let wide = labels.chain(keys).max().unwrap_or(0) + 2;
        let mut lines = vec![format!("{} {}", self.samples, self.samples_are)];
        lines.extend(self.settings.iter().map(|s| format!("{:wide$}{}", s.key.replace('_', " "), s.value)));
        lines.push(String::new());
        lines.extend(self.figures.iter().map(|f| format!("{:wide$}{}", f.label, f.unit.show(f.value))));
        for t in &self.tables {
            let first = t.rows.iter().map(|r| r.0.chars().count()).max().unwrap_or(0).max(t.label.len()) + 2;
            let head: String = t.columns.iter().map(|c| format!("{:>14}", c.label)).collect();
            lines.extend([String::new(), format!("{:first$}{head}", t.label)]);
            for (name, values) in &t.rows {
                let cells: String =
                    t.columns.iter().zip(values).map(|(c, &v)| format!("{:>14}", c.unit.show(v))).collect();
                lines.push(format!("{name:first$}{cells}"));
            }
        }
        let split: Vec<String> =
            self.time.parts().iter().map(|(k, v)| format!("{k} {:.2} s", v.as_secs_f64())).collect();
        lines.extend([String::new(), format!("{:wide$}{}", "time", split.join(", "))]);
        lines
    }
}

/// Keeps the worst samples of a long run: those with the largest `badness`, of equal ones the first.
#[derive(Clone, Debug)]
pub struct WorstList {
    limit: usize,
    kept: Vec<(f64, Worst)>,
}

impl WorstList {
    /// For so many samples.
    pub fn new(limit: usize) -> Self {
        Self { limit, kept: Vec::new() }
    }

    /// Whether a sample of this badness would be kept.
    pub fn takes(&self, badness: f64) -> bool {
        self.kept.len() < self.limit || self.kept.last().is_some_and(|last| badness > last.0)
    }

    /// Adds a sample.
    pub fn add(&mut self, badness: f64, sample: Worst) {
        let at = self.kept.partition_point(|k| k.0.total_cmp(&badness).is_ge());
        self.kept.insert(at, (badness, sample));
        self.kept.truncate(self.limit);
    }

    /// The samples, worst first.
    pub fn finish(self) -> Vec<Worst> {
        self.kept.into_iter().map(|k| k.1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hrnet_image::encode_jpeg;

    /// Labels of the upright picture, of its pixels as stored, or that say no size: figures are those of the orientation that
    /// the labels are for, for persons and for faces.
    #[test]
    fn labels_decide_about_the_orientation_of_a_photo() {
        let folder = tempfile::tempdir().unwrap();
        let jpeg = encode_jpeg(&Image::filled(40, 30, [9; 3]), 90).unwrap();
        // EXIF orientation 6: shown turned by a quarter.
        let tiff = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let mut turned = vec![0xff, 0xd8, 0xff, 0xe1, 0, (tiff.len() + 2) as u8];
        turned.extend(tiff);
        turned.extend_from_slice(&jpeg[2..]);
        let photo = folder.path().join("a.jpg");
        std::fs::write(&photo, turned).unwrap();
        for (size, want) in [(json!([40, 30]), [40, 30]), (json!([30, 40]), [30, 40]), (json!([]), [30, 40])]
        {
            let labels = folder.path().join("labels.json");
            let mut image = json!({"id": 1, "file_name": "a.jpg"});
            if let [w, h] = &size.as_array().unwrap()[..] {
                image["width"] = w.clone();
                image["height"] = h.clone();
            }
            let set = json!({
                "images": [image],
                "categories": [{"id": 1, "name": "face", "keypoints": ["a", "b", "c"], "skeleton": []}],
                "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 100,
                    "num_keypoints": 3, "bbox": [5, 5, 20, 20], "keypoints": [6, 6, 2, 20, 8, 2, 9, 19, 2]}],
            });
            std::fs::write(&labels, set.to_string()).unwrap();
            let set = crate::tasks::pose::measure::read::open(&labels, None, &Default::default()).unwrap();
            let read = read_labelled(&photo, set.images[0].size, &Limits::default()).unwrap();
            assert_eq!([read.width(), read.height()], want, "{size}");
            let faces = crate::tasks::face::measure::FaceSet::open(&labels, &Default::default()).unwrap();
            let read = faces.image(0).unwrap();
            assert_eq!([read.width(), read.height()], want, "{size}");
        }
    }

    #[test]
    fn json_has_every_part_under_stable_names() {
        let mut m = Measured::new(Task::Segmentation, "images");
        m.samples = 2;
        m.set("protocol", "default");
        m.figure("mean_iou", "mIoU", 0.5, Unit::Share);
        m.figure("nothing", "nothing", f64::NAN, Unit::Number);
        let column = Column { key: "iou", label: "IoU".into(), unit: Unit::Share };
        let rows = vec![("road".to_string(), vec![Some(0.25)]), ("sky".to_string(), vec![None])];
        m.tables.push(Table {
            key: "classes",
            label: "class".into(),
            rows_are: "class",
            columns: vec![column],
            rows,
        });
        let names = vec!["a".to_string(), "b".to_string()];
        m.confusion = Some(ConfusionMatrix { names, counts_are: "pixels", counts: vec![3, 1, 0, 0] });
        let j = m.json();
        assert_eq!((&j["figures"]["mean_iou"], &j["figures"]["nothing"]), (&json!(0.5), &Value::Null), "{j}");
        assert_eq!(j["settings"]["protocol"], "default");
        assert_eq!(
            j["tables"]["classes"],
            json!([{"class": "road", "iou": 0.25}, {"class": "sky", "iou": null}])
        );
        assert_eq!(j["confusion"]["rows"], json!([[3, 1], [0, 0]]));
        assert_eq!(m.confusion.as_ref().unwrap().shares(), [0.75, 0.25, 0.0, 0.0]);
        let text = m.lines().join("\n");
        assert!(text.contains("50.00 %") && text.contains("25.00 %") && text.contains("sky"), "{text}");
    }

    #[test]
    fn the_worst_are_kept_in_order() {
        let mut list = WorstList::new(3);
        for (index, badness) in [1.0, 5.0, 2.0, 5.0, 0.5].into_iter().enumerate() {
            list.add(
                badness,
                Worst { index, value: badness, image: PathBuf::from("x"), note: String::new() },
            );
        }
        assert!(!list.takes(1.0) && list.takes(3.0));
        assert_eq!(list.finish().iter().map(|w| w.index).collect::<Vec<_>>(), [1, 3, 2]);
    }
}
