//! What a run shows and keeps: progress with time left, a JSON line per report, checkpoints, the best model.

use super::export;
use super::folder::Folder;
use super::group::Group;
use super::job::{Facts, Judge};
use super::kept::{Kept, LOG_STEPS};
use super::plots::{self, Shown};
use super::tensorboard::Events;
use super::{RunOptions, Summary};
use crate::config::TrainConfig;
use crate::error::{Context, Result};
use crate::stop::{Interrupted, Stop, Watch};
use hrnet_formats::Metric;
use hrnet_image::encode_png;
use hrnet_ir::{Model, Weights};
use hrnet_train::trainer::Progress as Place;
use hrnet_train::{BoxError, Checkpoints, Control, FitEnd, Observer, StepReport, Trainer};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What a run is about.
pub(super) struct Run<'a> {
    /// Its configuration.
    pub config: &'a TrainConfig,
    /// The network.
    pub model: Model,
    /// What the recipe says about points or classes.
    pub facts: Facts,
    /// Batches of an epoch.
    pub per_epoch: u64,
    /// Who judges the weights, where there is a validation set.
    pub judge: Option<Box<dyn Judge>>,
}

/// The observer of a run.
pub(super) struct Progress<'a> {
    config: &'a TrainConfig,
    model: Model,
    facts: Facts,
    out: PathBuf,
    max_steps: Option<u64>,
    checkpoints: &'a mut Checkpoints<Folder>,
    group: &'a Group,
    judge: Option<Box<dyn Judge>>,
    stop: &'a Stop,
    watch: &'a mut dyn Watch,
    log: File,
    events: Events,
    kept: Kept,
    /// Whether the run ended by `train.patience`.
    early: bool,
    started: Instant,
    /// Where the run stood when it was last saved.
    saved: Option<Place>,
    /// Whether an evaluation was given up because the run was asked to end.
    pub(super) interrupted: bool,
    /// Microseconds waited for data, in all.
    pub(super) waited: Arc<AtomicU64>,
    /// When the last line of the log was written: time, and what was waited by then.
    lap: (Instant, u64),
}

impl<'a> Progress<'a> {
    pub(super) fn new(
        run: Run<'a>,
        options: &RunOptions<'a>,
        watch: &'a mut dyn Watch,
        checkpoints: &'a mut Checkpoints<Folder>,
        trainer: &Trainer,
    ) -> Result<Self> {
        let Run { config, model, facts, per_epoch, judge } = run;
        crate::io::create_folder(&options.out.join("tensorboard"))?;
        let path = options.out.join("log.jsonl");
        let log = open_log(&path).with_context(|| format!("{}: cannot be opened", path.display()))?;
        let done = trainer.progress();
        let kept = Kept::from_text(trainer.observer_state())?;
        let events = Events::create(&options.out.join("tensorboard"));
        let events = events.with_context(|| format!("{}: no event file", options.out.display()))?;
        let total = config.train.epochs.saturating_mul(per_epoch);
        let total = options.max_steps.map_or(total, |m| m.min(total));
        watch.plan(total, done.epoch * per_epoch + done.index);
        Ok(Self {
            config,
            model,
            facts,
            out: options.out.to_path_buf(),
            max_steps: options.max_steps,
            checkpoints,
            group: options.group,
            judge,
            stop: options.stop,
            watch,
            log,
            events,
            kept,
            early: false,
            started: Instant::now(),
            saved: None,
            interrupted: false,
            waited: Arc::default(),
            lap: (Instant::now(), 0),
        })
    }

    pub(super) fn write_log(&mut self, value: &Value) -> Result<()> {
        writeln!(self.log, "{value}").context("log.jsonl cannot be written")
    }

    /// What goes into a checkpoint besides the trainer's own state.
    pub(super) fn note(&self, trainer: &mut Trainer) -> Result<()> {
        trainer.set_observer_state(self.kept.text()?);
        Ok(())
    }

    fn save(&mut self, trainer: &mut Trainer) -> Result<()> {
        let place = trainer.progress();
        if self.saved == Some(place) {
            return Ok(());
        }
        self.note(trainer)?;
        self.checkpoints.save(place.step, &trainer.save()?)?;
        self.saved = Some(place);
        Ok(())
    }

    /// What a model file would hold now.
    fn weights(&self, trainer: &Trainer) -> Weights {
        let weights = trainer.ema_weights().unwrap_or_else(|| trainer.weights());
        export::as_stored(self.config, &self.model, &self.facts, weights)
    }

    /// Measures and keeps; returns the deciding figure.
    fn judge(&mut self, trainer: &mut Trainer, epoch: u64) -> Result<Option<f64>> {
        let weights = self.weights(trainer);
        let Some(judge) = &mut self.judge else { return Ok(None) };
        let started = Instant::now();
        let judged = judge
            .measure(&weights, self.stop)
            .inspect_err(|e| self.interrupted = e.find::<Interrupted>().is_some())?;
        let best = trainer.note_metric(judged.percent, judge.higher_is_better());
        let note = if best { " (best)" } else { "" };
        self.watch.line(&format!("epoch {}: {} {:.3} %{note}", epoch + 1, judge.title(), judged.percent));
        let title = format!("{} (epoch {}, {:.3} %)", judge.title(), epoch + 1, judged.percent);
        let sheet = judge.worst(&title)?;
        let step = trainer.progress().step;
        let scalars: Vec<(String, f64)> = judged
            .figures
            .iter()
            .filter_map(|(name, value)| Some((format!("val/{name}"), value.as_f64()?)))
            .collect();
        let scalars: Vec<(&str, f64)> = scalars.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        self.events.scalars(step, &scalars).context("the event file cannot be written")?;
        let shown = Shown { key: judge.key(), title: judge.title() };
        let mut line = judged.figures;
        line.insert("epoch".into(), json!(epoch + 1));
        line.insert("step".into(), json!(step));
        line.insert("best".into(), json!(best));
        line.insert("judge_seconds".into(), json!(started.elapsed().as_secs_f64()));
        writeln!(self.log, "{}", Value::Object(line)).context("log.jsonl cannot be written")?;
        plots::draw(&self.out, self.checkpoints.storage(), Some(shown))?;
        if let Some(sheet) = sheet {
            self.checkpoints.storage().put("worst.png", &encode_png(&sheet)?)?;
        }
        self.lap = (Instant::now(), self.waited.load(Ordering::Relaxed));
        if best {
            self.export(&weights, "best.safetensors", Some(judged.percent))?;
        }
        self.kept.judge(epoch, best);
        Ok(Some(judged.percent))
    }

    fn export(&self, weights: &Weights, name: &str, percent: Option<f64>) -> Result<()> {
        let set = self.config.data.val.as_ref().and_then(|v| v.file_name());
        let metric = match (&self.judge, percent, set) {
            (Some(judge), Some(value), Some(set)) => {
                Some(Metric { name: judge.metric(), value, set: set.to_string_lossy().into_owned() })
            }
            _ => None,
        };
        let bytes = export::bytes(self.config, &self.model, &self.facts, weights, metric)?;
        self.checkpoints.storage().put(name, &bytes)
    }

    /// What a run that data have ended leaves behind: a checkpoint, where there is anything to keep.
    pub(super) fn rescue(mut self, trainer: &mut Trainer, error: crate::Error) -> crate::Error {
        self.watch.ends();
        let step = trainer.progress().step;
        if step == 0 {
            return error;
        }
        match self.save(trainer) {
            Ok(()) => error.context(format!(
                "the run stopped at step {step}, with a checkpoint; once this is mended, continue with --resume auto"
            )),
            Err(e) => error.context(format!("the run stopped at step {step} without a checkpoint ({e:#})")),
        }
    }

    /// The last checkpoint and the last model.
    pub(super) fn finish(mut self, trainer: &mut Trainer, end: FitEnd) -> Result<Summary> {
        let mut end = if self.early { FitEnd::Finished } else { end };
        // The end of an epoch that is no multiple of `accumulate` batches may lie between.
        let between = self.group.between_steps(trainer);
        if between {
            self.save(trainer)?;
        }
        let weights = self.weights(trainer);
        let metric = match (&mut self.judge, end) {
            (Some(judge), FitEnd::Finished) => match judge.measure(&weights, self.stop) {
                Err(e) if e.find::<Interrupted>().is_some() => {
                    end = FitEnd::Stopped;
                    None
                }
                judged => Some(judged?.percent),
            },
            _ => None,
        };
        self.export(&weights, "last.safetensors", metric)?;
        plots::draw(
            &self.out,
            self.checkpoints.storage(),
            self.judge.as_ref().map(|j| Shown { key: j.key(), title: j.title() }),
        )?;
        self.watch.ends();
        let step = trainer.progress().step;
        let out = self.out.display();
        if !between {
            log::info!(
                "no checkpoint of the end: it lies within an accumulated step, of which each process has a part"
            );
        }
        match end {
            FitEnd::Finished => {
                log::info!("finished after {step} steps; models and checkpoints are in {out}")
            }
            FitEnd::Stopped => {
                log::info!("stopped at step {step}; continue with --resume auto (run folder {out})")
            }
        }
        let mut best = serde_json::Map::new();
        if let Some(judge) = &self.judge {
            best.insert(format!("best_{}", judge.key()), json!(trainer.best()));
            if let Some(value) = trainer.best() {
                log::info!("best {} {value:.3} % ({out}/best.safetensors)", judge.title());
            }
        }
        Ok(Summary { out: self.out.clone(), steps: step, finished: end == FitEnd::Finished, best })
    }
}

impl Observer for Progress<'_> {
    fn after_step(&mut self, trainer: &mut Trainer, report: &StepReport) -> Result<Control, BoxError> {
        self.watch.step();
        let mean = self.kept.step(report);
        if let Some(reason) = report.skipped {
            self.watch.line(&format!("step {} skipped: {reason}", report.step));
            self.write_log(
                &json!({"step": report.step, "epoch": report.epoch, "skipped": reason.to_string()}),
            )?;
        }
        if let Some(loss) = mean {
            self.watch.state(&format!("epoch {} loss {loss:.6}", report.epoch + 1));
            let (then, waited) = self.lap;
            self.lap = (Instant::now(), self.waited.load(Ordering::Relaxed));
            let seconds = then.elapsed().as_secs_f64();
            let per_step = self.config.train.batch as u64 * u64::from(self.config.train.accumulate);
            let images = (LOG_STEPS * per_step) as f64 / seconds;
            let wait = (self.lap.1 - waited) as f64 * 1e-6;
            let scalars = [
                ("train/loss", loss),
                ("train/rate", report.rate),
                ("train/grad_norm", report.grad_norm.unwrap_or(f64::NAN)),
                ("speed/images_per_second", images),
                ("speed/data_wait_seconds", wait),
            ];
            self.events.scalars(report.step, &scalars).context("the event file cannot be written")?;
            self.write_log(&json!({
                "step": report.step, "epoch": report.epoch, "loss": loss, "rate": report.rate,
                "grad_norm": report.grad_norm, "seconds": self.started.elapsed().as_secs_f64(),
                "images_per_second": images, "data_wait_seconds": wait,
            }))?;
        }
        let between = self.group.between_steps(trainer);
        if report.updated && report.step.is_multiple_of(self.config.train.checkpoint_steps) {
            self.save(trainer)?;
        }
        let asked = self.group.any(self.stop.is_asked())?;
        let stop = asked || self.max_steps.is_some_and(|max| report.step >= max);
        Ok(if stop && between { Control::Stop } else { Control::Continue })
    }

    fn after_epoch(&mut self, trainer: &mut Trainer, epoch: u64) -> Result<Control, BoxError> {
        let mut figure = None;
        let due = (epoch + 1).is_multiple_of(self.config.train.eval_epochs)
            || epoch + 1 == self.config.train.epochs;
        if due && !self.kept.has_judged(epoch) {
            figure = match self.judge(trainer, epoch) {
                // The run was asked to end: the others stop here, too.
                Err(e) if self.interrupted => {
                    self.group.told([f64::NAN, 0.0, 1.0])?;
                    return Err(e.into());
                }
                judged => judged?,
            };
        }
        let control = match self.config.train.patience {
            Some(patience) if self.judge.is_some() && self.kept.stale() >= patience => {
                self.watch
                    .line(&format!("no new best in {} evaluations: the run ends early", self.kept.stale()));
                self.early = true;
                Control::Stop
            }
            _ => Control::Continue,
        };
        // The others wait for this: whether it is the best, and whether there is more to do.
        let flag = |on: bool| f64::from(u8::from(on));
        let stop = flag(control == Control::Stop);
        self.group.told([figure.unwrap_or(f64::NAN), flag(figure.is_some()), stop])?;
        Ok(control)
    }
}

/// Opens the log to append. What a crash left of its last line is cut off: the next line would be lost with it.
fn open_log(path: &Path) -> io::Result<File> {
    let mut log = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    let mut end = log.seek(SeekFrom::End(0))?;
    let mut piece = [0; 4096];
    while end > 0 {
        let len = end.min(piece.len() as u64);
        log.seek(SeekFrom::Start(end - len))?;
        let piece = &mut piece[..len as usize];
        log.read_exact(piece)?;
        if let Some(at) = piece.iter().rposition(|&b| b == b'\n') {
            end = end - len + at as u64 + 1;
            break;
        }
        end -= len;
    }
    log.set_len(end)?;
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_line_goes_before_the_next_one_comes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        let long = "x".repeat(5000);
        let cases = [
            ("", ""),
            ("{}\n", "{}\n"),
            ("{}\n{\"st", "{}\n"),
            ("{\"st", ""),
            (&format!("{{}}\n{long}"), "{}\n"),
            (&format!("{long}\n{long}\n{long}"), &format!("{long}\n{long}\n")),
        ];
        for (before, after) in cases {
            std::fs::write(&path, before).unwrap();
            writeln!(open_log(&path).unwrap(), "end").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{after}end\n"));
        }
    }
}
