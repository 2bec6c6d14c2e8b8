//! Measuring classification: top-1 and top-5, a figure per class, the confusion, the worst images.
//!
//! Classes of the data and of the model are matched by name where the model has names and every name of the data is among
//! them (letters and digits alone count, so `traffic_light` is `Traffic light`); else by number, which wants as many classes.

use crate::error::{Result, bail};
use crate::measure::{Column, ConfusionMatrix, Failed, Measured, Table, Unit, Worst, WorstList};
use crate::tasks::Classifier;
use hrnet_data::codec::classification::softmax;
use hrnet_data::dataset::model::{ClassSample, ClassSet};
use hrnet_data::dataset::open::{Content, OpenOptions, Purpose, open};
use hrnet_data::metric::topk::TopK;
use hrnet_formats::Task;
use hrnet_image::{Image, Limits};
use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

/// Largest number of classes whose confusion is kept.
const MATRIX: usize = 200;

/// Reads a folder of class folders, or a table whose images lie in `images` or beside it.
pub fn read_classes(data: &Path, images: Option<&Path>) -> Result<ClassSet> {
    let how = OpenOptions::wanting(Purpose::Measure, &[Content::Classes], images);
    Ok(open(data, &how)?.into_classes()?)
}

/// How the classes of the data were matched with those of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matching {
    /// The model's class of each class of the data.
    pub classes: Vec<usize>,
    /// Whether names were compared.
    pub by_name: bool,
}

/// Matches classes by name, else by number.
pub fn match_classes(data: &[String], model: &[String]) -> Result<Matching> {
    let plain = |name: &str| -> String {
        name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let mut known: HashMap<String, Option<usize>> = HashMap::new();
    for (i, name) in model.iter().enumerate() {
        // A name that occurs twice is no name.
        known.entry(plain(name)).and_modify(|v| *v = None).or_insert(Some(i));
    }
    let found: Vec<Option<usize>> = data.iter().map(|n| known.get(&plain(n)).copied().flatten()).collect();
    let matched = found.iter().flatten().count();
    if !data.is_empty() && matched == data.len() {
        return Ok(Matching { classes: found.into_iter().flatten().collect(), by_name: true });
    }
    if matched > 0 {
        let missing = data.iter().zip(&found).find(|(n, f)| f.is_none() && !n.is_empty());
        if let Some((name, _)) = missing {
            bail!(
                "the data's class '{name}' is none of the model's, though {matched} others are; rename its folder or take it out"
            );
        }
    }
    if data.len() > model.len() {
        bail!("the data have {} classes, the model has {}", data.len(), model.len());
    }
    // A table may leave out the last classes; folders may not, or numbers would be those of other classes.
    let unnamed = data.iter().all(String::is_empty);
    if data.len() != model.len() && !unnamed {
        bail!(
            "the data have {} classes and the model {}, and their names differ; name the folders as the model's classes \
             (hrnet info shows them), or give a table with class numbers",
            data.len(),
            model.len()
        );
    }
    Ok(Matching { classes: (0..data.len()).collect(), by_name: false })
}

/// Measures a model on every image of a set. `seen` is called after each image with its index; `worst` images are kept.
pub fn measure_classification(
    model: &mut Classifier,
    set: &ClassSet,
    worst: usize,
    mut seen: impl FnMut(usize),
) -> Result<Measured> {
    let names = model.schema().names.clone();
    let matching = match_classes(&set.classes, &names)?;
    let mut out = Measured::new(Task::Classification, "images");
    let mut counter = Counter::new(names.len(), worst);
    let indices: Vec<usize> = (0..set.samples.len()).collect();
    for group in indices.chunks(model.batch()) {
        let started = Instant::now();
        let mut images = Vec::new();
        for &i in group {
            match read(&set.samples[i]) {
                Ok(image) => images.push((i, image)),
                Err(e) => fail(&mut out, &set.samples[i], &e),
            }
        }
        out.time.read += started.elapsed();
        let inputs: Vec<&Image> = images.iter().map(|(_, m)| m).collect();
        let (logits, which) = match model.logits(&inputs) {
            Ok((logits, time)) => {
                out.time += time;
                (logits, images.iter().map(|p| p.0).collect())
            }
            // One image of the group is at fault: each for itself.
            Err(_) => {
                let (mut logits, mut which) = (Vec::new(), Vec::new());
                for (i, image) in &images {
                    match model.logits(&[image]) {
                        Ok((one, time)) => {
                            out.time += time;
                            logits.extend(one);
                            which.push(*i);
                        }
                        Err(e) => fail(&mut out, &set.samples[*i], &e),
                    }
                }
                (logits, which)
            }
        };
        let started = Instant::now();
        for (logits, i) in logits.iter().zip::<Vec<usize>>(which) {
            let sample = &set.samples[i];
            if let Err(e) = counter.add(i, sample, matching.classes[sample.class], logits, &names) {
                fail(&mut out, sample, &e);
            }
        }
        out.time.post += started.elapsed();
        group.iter().for_each(|&i| seen(i));
    }
    let Some(report) = counter.top.compute() else {
        match out.failed.first() {
            Some(f) => bail!("no image could be measured; the first: {}: {}", f.image.display(), f.error),
            None => bail!("{}: no images", set.path.display()),
        }
    };
    out.samples = report.samples;
    out.set("input", model.input_text());
    out.set("flip", "no");
    out.set("protocol", "official (Pillow's resize; there is no other)");
    out.set("classes", if matching.by_name { "matched by name" } else { "matched by number" });
    out.set(
        "metric",
        "share of images whose class is among the best k; of equal scores the smaller class is first",
    );
    for (k, share) in &report.accuracy {
        out.figure(format!("top{k}"), format!("top-{k} accuracy"), *share, Unit::Share);
        out.figure(format!("top{k}_error"), format!("top-{k} error"), 1.0 - share, Unit::Share);
    }
    counter.finish(&mut out, &names);
    Ok(out)
}

fn fail(out: &mut Measured, sample: &ClassSample, error: &crate::Error) {
    out.failed.push(Failed { image: sample.image.clone(), error: crate::error::one_line(error) });
}

fn read(sample: &ClassSample) -> Result<Image> {
    crate::measure::read_labelled(&sample.image, None, &Limits::default())
}

/// Counts of all kinds.
struct Counter {
    top: TopK,
    /// Images, right at 1, right at 5 of each class.
    classes: Vec<[u64; 3]>,
    matrix: Option<Vec<u64>>,
    worst: WorstList,
}

impl Counter {
    fn new(classes: usize, worst: usize) -> Self {
        let matrix = (classes <= MATRIX).then(|| vec![0; classes * classes]);
        Self { top: TopK::new(&[1, 5]), classes: vec![[0; 3]; classes], matrix, worst: WorstList::new(worst) }
    }

    fn add(
        &mut self,
        index: usize,
        sample: &ClassSample,
        class: usize,
        logits: &[f32],
        names: &[String],
    ) -> Result<()> {
        let rank = self.top.update(logits, class)?;
        let counts = &mut self.classes[class];
        counts[0] += 1;
        counts[1] += u64::from(rank < 1);
        counts[2] += u64::from(rank < 5);
        let best = hrnet_data::codec::classification::top_k(logits, 1)[0];
        if let Some(matrix) = &mut self.matrix {
            matrix[class * names.len() + best.class] += 1;
        }
        let own = softmax(logits)[class];
        if rank > 0 && self.worst.takes(1.0 - f64::from(own)) {
            let note = format!(
                "{} taken for {} ({:.1} %)",
                names[class],
                names[best.class],
                100.0 * best.probability
            );
            let worst = Worst { index, value: f64::from(own), image: sample.image.clone(), note };
            self.worst.add(1.0 - f64::from(own), worst);
        }
        Ok(())
    }

    fn finish(self, out: &mut Measured, names: &[String]) {
        let column = |key, label: &str, unit| Column { key, label: label.into(), unit };
        let share = |right: u64, of: u64| (of > 0).then(|| right as f64 / of as f64);
        let seen = |(_, c): &(&String, &[u64; 3])| c[0] > 0;
        let row = |(name, c): (&String, &[u64; 3])| {
            (name.clone(), vec![share(c[1], c[0]), share(c[2], c[0]), Some(c[0] as f64)])
        };
        out.tables.push(Table {
            key: "classes",
            label: "class".into(),
            rows_are: "class",
            columns: vec![
                column("top1", "top-1", Unit::Share),
                column("top5", "top-5", Unit::Share),
                column("images", "images", Unit::Count),
            ],
            rows: names.iter().zip(&self.classes).filter(seen).map(row).collect(),
        });
        out.confusion =
            self.matrix.map(|counts| ConfusionMatrix { names: names.to_vec(), counts_are: "images", counts });
        out.worst_by = ("probability of the right class".into(), Unit::Share);
        out.worst = self.worst.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn classes_are_matched_by_name_or_number() {
        let model = names(&["Traffic light", "car", "bus"]);
        let by_name = match_classes(&names(&["bus", "traffic_light"]), &model).unwrap();
        assert_eq!((by_name.classes, by_name.by_name), (vec![2, 0], true));
        let numbered = match_classes(&names(&["n1", "n2", "n3"]), &model).unwrap();
        assert_eq!((numbered.classes, numbered.by_name), (vec![0, 1, 2], false));
        assert_eq!(match_classes(&names(&["", ""]), &model).unwrap().classes, [0, 1]);
        let error = |data: &[&str]| match_classes(&names(data), &model).unwrap_err().to_string();
        assert!(error(&["bus", "tram"]).contains("'tram'"));
        assert!(error(&["a", "b"]).contains("names differ"));
        assert!(error(&["a", "b", "c", "d"]).contains("4 classes"));
    }
}
