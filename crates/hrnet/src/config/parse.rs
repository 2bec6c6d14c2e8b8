//! From text to [`TrainConfig`]: the task first, then the sections that it has, with their defaults.

use super::sections::*;
use super::{FreezeSection, TrainConfig};
use crate::error::{Result, bail, err};
use crate::tasks::{self, AugmentSection, Defaults, LossSection, TRAINED};
use hrnet_data::geometry::{IMAGENET_MEAN, IMAGENET_STD};
use hrnet_ir::Task;
use hrnet_train::mix::Mix;
use hrnet_train::{Decay, LayerRate, OptimizerConfig, Schedule, Warmup};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The file, with the augmentation `A` and the loss `L` of its task.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Raw<A, L> {
    #[serde(with = "task_key")]
    task: Task,
    #[serde(default = "one")]
    seed: u64,
    #[serde(default)]
    model: ModelSection,
    #[serde(default)]
    input: RawInput,
    data: DataSection,
    augment: Option<A>,
    target: Option<TargetSection>,
    #[serde(default = "RawTrain::plain")]
    train: RawTrain<L>,
    #[serde(default)]
    about: AboutSection,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInput {
    size: Option<[usize; 2]>,
    padding: Option<f64>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrain<L> {
    epochs: Option<u64>,
    batch: Option<usize>,
    loss: Option<L>,
    optimizer: Option<OptimizerConfig>,
    schedule: Option<Schedule>,
    ema: Option<f64>,
    clip: Option<f64>,
    #[serde(default)]
    loss_weights: Vec<f64>,
    accumulate: Option<u32>,
    mix: Option<Mix>,
    #[serde(default)]
    freeze: FreezeSection,
    #[serde(default)]
    layer_rates: Vec<LayerRate>,
    #[serde(default = "checkpoint_steps")]
    checkpoint_steps: u64,
    #[serde(default = "one")]
    eval_epochs: u64,
    patience: Option<u64>,
}

impl<L> RawTrain<L> {
    /// A file without the section.
    fn plain() -> Self {
        Self {
            epochs: None,
            batch: None,
            loss: None,
            optimizer: None,
            schedule: None,
            ema: Some(0.998),
            clip: None,
            loss_weights: Vec::new(),
            accumulate: None,
            mix: None,
            freeze: FreezeSection::default(),
            layer_rates: Vec::new(),
            checkpoint_steps: checkpoint_steps(),
            eval_epochs: one(),
            patience: None,
        }
    }
}

fn one() -> u64 {
    1
}
fn checkpoint_steps() -> u64 {
    200
}

/// Settings of the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// In place of `task`.
    pub task: Option<String>,
    /// In place of `model.variant`.
    pub variant: Option<String>,
    /// In place of `model.start`.
    pub start: Option<std::path::PathBuf>,
    /// In place of `train.epochs`.
    pub epochs: Option<u64>,
    /// In place of `train.batch`.
    pub batch: Option<u64>,
}

/// The sections; a file without `[data]` is one data section.
const SECTIONS: [&str; 9] = ["task", "seed", "model", "input", "data", "augment", "target", "train", "about"];

/// Puts the settings of the command line into the text. The text stays as it is, with its line numbers, where there are none.
fn complete(text: &str, overrides: &Overrides) -> Result<String> {
    let mut table: toml::Table = read(text)?;
    if *overrides == Overrides::default() && table.contains_key("data") {
        return Ok(text.to_string());
    }
    if !table.contains_key("data") {
        // `train` is a section, or the path of the training set.
        let is_path = |k: &String| k == "train" && !table["train"].is_table();
        let keys: Vec<String> =
            table.keys().filter(|k| !SECTIONS.contains(&k.as_str()) || is_path(k)).cloned().collect();
        let data: toml::Table =
            keys.into_iter().filter_map(|k| Some((k.clone(), table.remove(&k)?))).collect();
        table.insert("data".into(), data.into());
    }
    let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut put = |section: Option<&str>, key: &str, value: Option<toml::Value>| -> Result<()> {
        let Some(value) = value else { return Ok(()) };
        let home = match section {
            None => &mut table,
            Some(name) => {
                let section = table.entry(name).or_insert_with(|| toml::Table::new().into());
                section.as_table_mut().ok_or_else(|| err!("`{name}` is not a section"))?
            }
        };
        home.insert(key.into(), value);
        Ok(())
    };
    let task = overrides.task.as_deref().map(|t| t.replace('-', "_"));
    // OCR is a head of segmentation.
    let ocr = task.as_deref() == Some("ocr");
    put(None, "task", task.map(|t| if ocr { "segmentation".into() } else { t.into() }))?;
    put(Some("model"), "head", ocr.then(|| "ocr".into()))?;
    put(Some("model"), "variant", overrides.variant.clone().map(Into::into))?;
    put(Some("train"), "epochs", overrides.epochs.map(|n| whole(n).into()))?;
    put(Some("train"), "batch", overrides.batch.map(|n| whole(n).into()))?;
    if !table.contains_key("task") {
        let mut names = TRAINED.map(|task| format!("\"{}\"", task_name(task))).to_vec();
        let last = names.pop().unwrap_or_default();
        bail!("it does not say what is trained: add task = {} or {last}, or give --head", names.join(", "));
    }
    Ok(toml::to_string(&table)?)
}

/// Parses a file.
pub(super) fn config(text: &str, overrides: &Overrides) -> Result<TrainConfig> {
    #[derive(Deserialize)]
    struct OnlyTask {
        #[serde(with = "task_key")]
        task: Task,
    }
    let text = &complete(text, overrides)?;
    let OnlyTask { task } = read(text)?;
    (tasks::training(task)?.read)(text)
}

impl<A, L> Raw<A, L> {
    /// Reads the text of a file of a task.
    pub(crate) fn read(text: &str) -> Result<Self>
    where
        A: DeserializeOwned,
        L: DeserializeOwned,
    {
        read(text)
    }

    /// The target where the file has none.
    pub(crate) fn usual_target(&mut self, target: TargetSection) {
        self.target.get_or_insert(target);
    }

    /// The configuration, with the defaults of the task.
    pub(crate) fn finish(
        self,
        augment: impl Fn(Option<A>) -> AugmentSection,
        loss: impl Fn(Option<L>) -> LossSection,
    ) -> Result<TrainConfig> {
        let Defaults { size, epochs, batch } = tasks::training(self.task)?.defaults;
        let epochs = self.train.epochs.unwrap_or(epochs);
        let batch = self.train.batch.unwrap_or(batch);
        let RawTrain { optimizer, schedule, ema, clip, checkpoint_steps, eval_epochs, patience, .. } =
            self.train;
        let RawTrain { loss_weights, accumulate, mix, freeze, layer_rates, .. } = self.train;
        Ok(TrainConfig {
            task: self.task,
            seed: self.seed,
            model: self.model,
            input: InputSection {
                size: self.input.size.unwrap_or(size),
                padding: self.input.padding.unwrap_or(1.25),
                mean: self.input.mean.unwrap_or(IMAGENET_MEAN),
                std: self.input.std.unwrap_or(IMAGENET_STD),
            },
            data: self.data,
            augment: augment(self.augment),
            target: self.target.unwrap_or_default(),
            train: TrainSection {
                epochs,
                batch,
                loss: loss(self.train.loss),
                optimizer: optimizer.unwrap_or_else(OptimizerConfig::adam),
                schedule: schedule.unwrap_or(Schedule {
                    base: 1e-3,
                    warmup: Some(Warmup { steps: 100, start: 0.1 }),
                    decay: Decay::Cosine { epochs, end: 0.0 },
                }),
                loss_weights,
                ema,
                clip,
                accumulate: accumulate.unwrap_or(1),
                mix,
                freeze,
                layer_rates,
                checkpoint_steps,
                eval_epochs,
                patience,
            },
            about: self.about,
        })
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text).map_err(|e: toml::de::Error| match nearest(e.message()) {
        Some(known) => err!("{}\ndid you mean `{known}`?", e.to_string().trim_end()),
        None => err!("{}", e.to_string().trim_end()),
    })
}

/// The known key that is nearest to the unknown one of a message such as "unknown field `a`, expected one of `b`, `c`".
fn nearest(message: &str) -> Option<String> {
    let (before, after) = message.split_once(", expected ")?;
    let unknown = before.strip_prefix("unknown ")?.split('`').nth(1)?;
    let known = after.split('`').skip(1).step_by(2);
    let best = known.map(|k| (distance(unknown, k), k)).min()?;
    // Half of the letters may be wrong; beyond that a guess is no help.
    (best.0 * 2 <= unknown.chars().count().max(2)).then(|| best.1.to_string())
}

/// Letters to insert, remove, change or exchange with the next.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, _) => j,
                (_, 0) => i,
                _ => {
                    let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let mut least = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                    if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                        least = least.min(rows[i - 2][j - 2] + 1);
                    }
                    least
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TrainConfig> {
        config(text, &Overrides::default())
    }

    #[test]
    fn unknown_keys_get_a_suggestion() {
        assert_eq!((distance("sede", "seed"), distance("", "ab"), distance("abc", "abc")), (1, 2, 0));
        let text = "task = \"pose\"\n[model]\nvariant = \"w32\"\n[data]\ntrain = \"a\"\n[train]\nepochs = 1\nbatch = 1\n";
        assert!(parse(text).is_ok());
        for (from, to, hint) in [
            ("[train]", "[train]\nepoch = 3", "`epochs`"),
            ("variant", "varient", "`variant`"),
            ("\"pose\"", "\"poes\"", "`pose`"),
            ("[data]", "[augment]\nflip = 0.5\n[data]", "`flip_p`"),
        ] {
            let message = format!("{:#}", parse(&text.replacen(from, to, 1)).unwrap_err());
            assert!(message.contains("did you mean") && message.contains(hint), "{message}");
        }
        let message = format!("{:#}", parse(&text.replace("[data]", "[data]\nzzzzzzzz = 1")).unwrap_err());
        assert!(message.contains("zzzzzzzz") && !message.contains("did you mean"), "{message}");
    }

    #[test]
    fn a_file_of_paths_is_enough() {
        let text = "train = \"a.json\"\nval = \"b.json\"\n";
        let message = parse(text).unwrap_err().to_string();
        assert!(message.contains("--head"), "{message}");
        let wanted = Overrides {
            task: Some("pose".into()),
            variant: Some("w18-small".into()),
            epochs: Some(7),
            ..Overrides::default()
        };
        let got = config(text, &wanted).unwrap();
        assert_eq!((got.task, got.train.epochs, got.train.batch), (Task::Pose, 7, 16));
        assert_eq!(got.data.val, Some("b.json".into()));
        assert_eq!(got.model.variant, "w18-small");
        // What is printed is the whole configuration.
        assert_eq!(parse(&got.to_toml().unwrap()).unwrap(), got);
        for task in ["face", "segmentation", "classification", "bottom-up", "ocr"] {
            let got = config(text, &Overrides { task: Some(task.into()), ..Overrides::default() }).unwrap();
            assert_eq!(parse(&got.to_toml().unwrap()).unwrap(), got, "{task}");
        }
        // Keys of another task and misspelt ones are named.
        let e = config(&format!("{text}ignore = [3]\n"), &wanted).unwrap().check().unwrap_err().to_string();
        assert!(e.contains("data.ignore") && e.contains("segmentation"), "{e}");
        let e = config(&format!("{text}imagse = \"x\"\n"), &wanted).unwrap_err().to_string();
        assert!(e.contains("did you mean `images`"), "{e}");
    }
}
