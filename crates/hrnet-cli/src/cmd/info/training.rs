//! `hrnet info` on a checkpoint of a training run.

use crate::outcome::Outcome;
use crate::say;
use hrnet::error::Context;
use hrnet_train::Checkpoint;
use serde_json::json;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Whether a file says of itself that it is one. Damage to these first bytes makes it an unknown file, which is an error
/// just as well.
pub(super) fn is_one(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(128).read_to_end(&mut start));
    let entry = b"\"hrnet.checkpoint\"";
    read.is_ok() && start.windows(entry.len()).any(|w| w == entry)
}

/// Where the run stood. A damaged file is an error.
pub(super) fn describe(path: &Path, as_json: bool) -> Outcome {
    let shown = path.display();
    let bytes = hrnet::io::read(path)?;
    let size = bytes.len();
    let checkpoint = Checkpoint::decode(&bytes).with_context(|| shown.to_string())?;
    drop(bytes);
    let meta = &checkpoint.meta;
    let best = meta.best.map(f64::from_bits);
    let values: usize = checkpoint.weights.iter().map(|(_, t)| t.len()).sum();
    if as_json {
        let training = json!({
            "step": meta.step, "epoch": meta.epoch, "batch": meta.index, "batches_per_epoch": meta.batches_per_epoch,
            "optimizer": meta.optimizer, "seed": meta.seed, "instruction_set": meta.isa, "best": best,
            "skipped_steps": meta.skipped, "average": checkpoint.ema.is_some(), "config": meta.config,
        });
        say!(
            "{}",
            json!({"file": path, "bytes": size, "tensors": checkpoint.weights.len(), "values": values, "training": training})
        );
        return Ok(());
    }
    say!("{shown}: a checkpoint of a training run, intact");
    say!("step {}, epoch {}, batch {} of {}", meta.step, meta.epoch + 1, meta.index, meta.batches_per_epoch);
    let average = if checkpoint.ema.is_some() { ", with an average" } else { "" };
    say!("{} tensors, {values} values{average}, {size} bytes", checkpoint.weights.len());
    say!("optimizer {}, seed {}, kernels {}", meta.optimizer, meta.seed, meta.isa);
    if let Some(best) = best {
        say!("best figure {best:.3}");
    }
    if meta.skipped > 0 {
        say!("{} steps were skipped because they were not finite", meta.skipped);
    }
    say!(
        "\nIt goes on with `hrnet train CONFIG --resume {shown}`; for predictions take the .safetensors files beside it."
    );
    Ok(())
}
