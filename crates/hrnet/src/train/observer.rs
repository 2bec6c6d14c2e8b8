//! What a run shows and keeps: progress with time left, a JSON line per report, checkpoints, the best model.

use super::folder::Folder;
use super::{RunOptions, Summary};
use crate::config::TrainConfig;
use crate::face::Evaluator;
use anyhow::{Context, Result};
use hrnet_ir::{Model, Weights};
use hrnet_train::{BoxError, Checkpoints, Control, FitEnd, Observer, StepReport, Trainer};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Steps between two lines of the log.
const LOG_STEPS: u64 = 20;

/// The observer of a run.
pub(super) struct Progress<'a> {
    config: &'a TrainConfig,
    model: Model,
    out: PathBuf,
    max_steps: Option<u64>,
    checkpoints: &'a mut Checkpoints<Folder>,
    evaluator: Option<Evaluator>,
    bar: ProgressBar,
    log: File,
    started: Instant,
    loss_sum: f64,
    loss_count: u32,
    saved_step: Option<u64>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(
        config: &'a TrainConfig,
        model: &Model,
        options: &RunOptions,
        per_epoch: u64,
        checkpoints: &'a mut Checkpoints<Folder>,
        evaluator: Option<Evaluator>,
        done: hrnet_train::trainer::Progress,
    ) -> Result<Self> {
        let path = options.out.join("log.jsonl");
        let log = OpenOptions::new().create(true).append(true).open(&path);
        let log = log.with_context(|| format!("{}: cannot be opened", path.display()))?;
        let total = config.train.epochs.saturating_mul(per_epoch);
        let bar = ProgressBar::new(options.max_steps.map_or(total, |m| m.min(total)));
        let style = "{bar:30} step {pos}/{len}  {elapsed_precise} elapsed, {eta_precise} left  {msg}";
        bar.set_style(ProgressStyle::with_template(style)?);
        bar.set_position(done.epoch * per_epoch + done.index);
        bar.reset_eta();
        Ok(Self {
            config,
            model: *model,
            out: options.out.to_path_buf(),
            max_steps: options.max_steps,
            checkpoints,
            evaluator,
            bar,
            log,
            started: Instant::now(),
            loss_sum: 0.0,
            loss_count: 0,
            saved_step: None,
        })
    }

    fn write_log(&mut self, value: &Value) -> Result<()> {
        writeln!(self.log, "{value}").context("log.jsonl cannot be written")
    }

    fn save(&mut self, trainer: &Trainer) -> Result<()> {
        let step = trainer.progress().step;
        if self.saved_step == Some(step) {
            return Ok(());
        }
        self.checkpoints.save(step, &trainer.save()?)?;
        self.saved_step = Some(step);
        Ok(())
    }

    fn judge(&mut self, trainer: &mut Trainer, epoch: u64) -> Result<()> {
        let Some(evaluator) = &mut self.evaluator else { return Ok(()) };
        let weights = trainer.ema_weights().unwrap_or_else(|| trainer.weights());
        let report = evaluator.measure(&weights)?;
        let best = trainer.note_metric(report.nme, false);
        let percent = 100.0 * report.nme;
        self.bar.println(format!(
            "epoch {}: NME {percent:.3} %{}",
            epoch + 1,
            if best { " (best)" } else { "" }
        ));
        self.write_log(&json!({"epoch": epoch + 1, "nme_percent": percent, "auc_08": report.auc_08,
            "failure_rate_08": report.failure_rate_08, "best": best}))?;
        if best {
            self.export(&weights, "best.safetensors", Some(percent))?;
        }
        Ok(())
    }

    fn export(&self, weights: &Weights, name: &str, nme_percent: Option<f64>) -> Result<()> {
        let bytes = crate::face::export(self.config, &self.model, weights, nme_percent)?;
        crate::io::write_atomic(&self.out.join(name), &bytes)
    }

    /// The last checkpoint and the last model.
    pub(super) fn finish(mut self, trainer: &mut Trainer, end: FitEnd) -> Result<Summary> {
        self.save(trainer)?;
        let weights = trainer.ema_weights().unwrap_or_else(|| trainer.weights());
        let metric = match (&self.evaluator, end) {
            (Some(evaluator), FitEnd::Finished) => Some(100.0 * evaluator.measure(&weights)?.nme),
            _ => None,
        };
        self.export(&weights, "last.safetensors", metric)?;
        self.bar.finish_and_clear();
        let step = trainer.progress().step;
        let out = self.out.display();
        match end {
            FitEnd::Finished => eprintln!("finished after {step} steps; models and checkpoints are in {out}"),
            FitEnd::Stopped => {
                eprintln!("stopped at step {step}; continue with --resume auto (run folder {out})")
            }
        }
        let best_nme_percent = trainer.best().map(|best| 100.0 * best);
        if let Some(best) = best_nme_percent {
            eprintln!("best NME {best:.3} % ({out}/best.safetensors)");
        }
        Ok(Summary {
            out: self.out.clone(),
            steps: step,
            finished: end == FitEnd::Finished,
            best_nme_percent,
        })
    }
}

impl Observer for Progress<'_> {
    fn after_step(&mut self, trainer: &mut Trainer, report: &StepReport) -> Result<Control, BoxError> {
        self.bar.inc(1);
        self.loss_sum += report.loss;
        self.loss_count += 1;
        if let Some(reason) = report.skipped {
            self.bar.println(format!("step {} skipped: {reason}", report.step));
            self.write_log(
                &json!({"step": report.step, "epoch": report.epoch, "skipped": reason.to_string()}),
            )?;
        }
        if report.step.is_multiple_of(LOG_STEPS) {
            let loss = self.loss_sum / f64::from(self.loss_count.max(1));
            (self.loss_sum, self.loss_count) = (0.0, 0);
            self.bar.set_message(format!("epoch {} loss {loss:.6}", report.epoch + 1));
            self.write_log(
                &json!({"step": report.step, "epoch": report.epoch, "loss": loss, "rate": report.rate,
                "grad_norm": report.grad_norm, "seconds": self.started.elapsed().as_secs_f64()}),
            )?;
        }
        if report.step.is_multiple_of(self.config.train.checkpoint_steps) {
            self.save(trainer)?;
        }
        let stop = self.max_steps.is_some_and(|max| report.step >= max);
        Ok(if stop { Control::Stop } else { Control::Continue })
    }

    fn after_epoch(&mut self, trainer: &mut Trainer, epoch: u64) -> Result<Control, BoxError> {
        if (epoch + 1).is_multiple_of(self.config.train.eval_epochs) || epoch + 1 == self.config.train.epochs
        {
            self.judge(trainer, epoch)?;
        }
        Ok(Control::Continue)
    }
}
