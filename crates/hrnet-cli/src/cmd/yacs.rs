//! `--cfg`: configurations of the official repositories in `hrnet train` and `hrnet convert`.

use crate::cli::Train;
use crate::say;
use hrnet::config::TrainConfig;
use hrnet::error::{Result, bail};
use hrnet::model::LoadedModel;
use hrnet::yacs::Imported;
use hrnet_ir::{Fuse, Head};
use std::path::{Path, PathBuf};

/// The run of a file. Remarks go to stderr, with `--print-config` in front of the text as comments.
pub(super) fn config(args: &Train, path: &Path) -> Result<TrainConfig> {
    // The first of the pairs stands where a configuration stands without --cfg.
    let first = args.config.iter().map(|key| key.to_string_lossy().into_owned());
    let settings: Vec<String> = first.chain(args.settings.iter().cloned()).collect();
    let read = Imported::read(path, &settings, args.data_dir.as_deref())?;
    let config = match read.config {
        Ok(config) => config,
        Err(why) => bail!("{}: {why}; `hrnet info` describes its network", path.display()),
    };
    if args.print_config {
        say!("# From a configuration of {}. Not taken over, or not exactly:", read.repository);
        read.remarks.iter().for_each(|remark| say!("# {}", remark.replace(['\n', '\r'], " ")));
    } else {
        read.remarks.iter().for_each(|remark| eprintln!("remark: {remark}"));
    }
    Ok(config)
}

/// What a file says about a checkpoint.
pub(super) struct Described {
    file: PathBuf,
    read: Imported,
}

pub(super) fn network(path: &Path) -> Result<Described> {
    Ok(Described { file: path.to_path_buf(), read: Imported::read(path, &[], None)? })
}

impl Described {
    /// For the networks where it matters.
    pub fn align_corners(&self) -> Option<bool> {
        let model = self.read.model;
        let asks = matches!(model.head, Head::Segment { .. } | Head::Ocr { .. });
        match model.arch.fuse {
            Fuse::Bilinear { align_corners } if asks => Some(align_corners),
            _ => None,
        }
    }

    /// Checks that the checkpoint is this network, and puts the size of the input into its recipe.
    pub fn complete(&self, loaded: &mut LoadedModel) -> Result<()> {
        let (wanted, found) = (self.read.model, loaded.model);
        // SSLD's classification heads lack biases, which no file says.
        let same_head = match (wanted.head, found.head) {
            (Head::Classify { classes: a, .. }, Head::Classify { classes: b, .. }) => a == b,
            (a, b) => a == b,
        };
        if !same_head || (wanted.arch.width, wanted.arch.depth) != (found.arch.width, found.arch.depth) {
            bail!("{}: describes {wanted}, but the checkpoint is {found}", self.file.display());
        }
        loaded.recipe.input_size = self.read.input.into();
        Ok(())
    }
}
