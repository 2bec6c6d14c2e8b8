//! From text to [`TrainConfig`]: the task first, then the sections that it has, with their defaults.

use super::TrainConfig;
use super::sections::*;
use anyhow::{Result, anyhow};
use hrnet_data::augment::{ClassAugment, LandmarkAugment, SegmentAugment};
use hrnet_data::geometry::{IMAGENET_MEAN, IMAGENET_STD};
use hrnet_train::loss::{CrossEntropy, PixelCrossEntropy};
use hrnet_train::{Decay, HeatmapLoss, HeatmapMse, OptimizerConfig, Schedule, Warmup};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The file, with the augmentation `A` and the loss `L` of its task.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<A, L> {
    task: Task,
    #[serde(default = "one")]
    seed: u64,
    model: ModelSection,
    #[serde(default)]
    input: RawInput,
    data: DataSection,
    augment: Option<A>,
    #[serde(default)]
    target: TargetSection,
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
    epochs: u64,
    batch: usize,
    loss: Option<L>,
    optimizer: Option<OptimizerConfig>,
    schedule: Option<Schedule>,
    ema: Option<f64>,
    clip: Option<f64>,
    #[serde(default = "checkpoint_steps")]
    checkpoint_steps: u64,
    #[serde(default = "one")]
    eval_epochs: u64,
}

fn one() -> u64 {
    1
}
fn checkpoint_steps() -> u64 {
    200
}

/// Parses a file.
pub(super) fn config(text: &str) -> Result<TrainConfig> {
    #[derive(Deserialize)]
    struct OnlyTask {
        task: Task,
    }
    let OnlyTask { task } = read(text)?;
    match task {
        Task::Face | Task::Pose => {
            let raw: Raw<LandmarkAugment, HeatmapMse> = read(text)?;
            let loss = |l: Option<HeatmapMse>| {
                LossSection::Maps(
                    l.unwrap_or(HeatmapMse { foreground: 10.0, ..HeatmapMse::new(HeatmapLoss::Weighted) }),
                )
            };
            Ok(raw.finish(|a| AugmentSection::Points(a.unwrap_or_default()), loss))
        }
        Task::Segmentation => {
            let raw: Raw<SegmentAugment, PixelCrossEntropy> = read(text)?;
            let augment = |a: Option<SegmentAugment>| AugmentSection::Segmentation(a.unwrap_or_default());
            Ok(raw.finish(augment, |l| LossSection::Pixels(l.unwrap_or_default())))
        }
        Task::Classification => {
            let raw: Raw<ClassAugment, CrossEntropy> = read(text)?;
            let augment = |a: Option<ClassAugment>| AugmentSection::Classification(a.unwrap_or_default());
            Ok(raw.finish(augment, |l| LossSection::Class(l.unwrap_or_default())))
        }
    }
}

impl<A, L> Raw<A, L> {
    fn finish(
        self,
        augment: impl Fn(Option<A>) -> AugmentSection,
        loss: impl Fn(Option<L>) -> LossSection,
    ) -> TrainConfig {
        let size = match self.task {
            Task::Face => [256, 256],
            Task::Pose => [256, 192],
            Task::Segmentation => [384, 384],
            Task::Classification => [224, 224],
        };
        let RawTrain { epochs, batch, optimizer, schedule, ema, clip, checkpoint_steps, eval_epochs, .. } =
            self.train;
        TrainConfig {
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
            target: self.target,
            train: TrainSection {
                epochs,
                batch,
                loss: loss(self.train.loss),
                optimizer: optimizer.unwrap_or_else(OptimizerConfig::adam),
                schedule: schedule.unwrap_or_else(|| Schedule {
                    base: 1e-3,
                    warmup: Some(Warmup { steps: 100, start: 0.1 }),
                    decay: Decay::Cosine { epochs, end: 0.0 },
                }),
                ema,
                clip,
                checkpoint_steps,
                eval_epochs,
            },
            about: self.about,
        }
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text).map_err(|e: toml::de::Error| match nearest(e.message()) {
        Some(known) => anyhow!("{}\ndid you mean `{known}`?", e.to_string().trim_end()),
        None => anyhow!("{}", e.to_string().trim_end()),
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
fn distance(a: &str, b: &str) -> usize {
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

    #[test]
    fn unknown_keys_get_a_suggestion() {
        assert_eq!((distance("sede", "seed"), distance("", "ab"), distance("abc", "abc")), (1, 2, 0));
        let text = "task = \"pose\"\n[model]\nvariant = \"w32\"\n[data]\ntrain = \"a\"\n[train]\nepochs = 1\nbatch = 1\n";
        assert!(config(text).is_ok());
        for (from, to, hint) in [
            ("[train]", "[train]\nepoch = 3", "`epochs`"),
            ("variant", "varient", "`variant`"),
            ("\"pose\"", "\"poes\"", "`pose`"),
            ("[data]", "[augment]\nflip = 0.5\n[data]", "`flip_p`"),
        ] {
            let message = format!("{:#}", config(&text.replacen(from, to, 1)).unwrap_err());
            assert!(message.contains("did you mean") && message.contains(hint), "{message}");
        }
        let message = format!("{:#}", config(&text.replace("[data]", "[data]\nzzzzzzzz = 1")).unwrap_err());
        assert!(message.contains("zzzzzzzz") && !message.contains("did you mean"), "{message}");
    }
}
