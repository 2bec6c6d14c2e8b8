//! `hrnet data convert`: a set in another format, whole or not at all.

use super::data::{named_map, options};
use crate::cli::data::{DataConvert, ToFormat};
use crate::outcome::{Failure, Outcome};
use crate::say;
use hrnet::error::{Context, Result, bail, err};
use hrnet::io::{read, write_atomic};
use hrnet_data::convert::{ConvertOptions, Target, convert};
use hrnet_data::dataset::model::Broken;
use hrnet_data::dataset::open::{Labels, open};
use hrnet_data::draw::palette::Palette;
use serde_json::json;
use std::path::{Path, PathBuf};

pub(super) fn run(args: &DataConvert) -> Outcome {
    let target = target(args.to);
    let mut how = options(&args.reading, 0, 1)?;
    if !args.skip_broken {
        how.read.broken = Broken::Refuse;
    }
    let set = open(&args.input, &how)?;
    if let Some(line) = set.not_numbers.first().filter(|_| !args.skip_broken) {
        let input = args.input.display();
        return Err(Failure::Runtime(err!(
            "{input}, line {line}: NaN or Infinity is no number; correct it, or leave such entries out with --skip-broken"
        )));
    }
    let settings = ConvertOptions {
        palette: args.palette.as_deref().map(read_palette).transpose()?,
        label_map: named_map(&args.reading)?,
        copy_images: args.copy_images,
        ..ConvertOptions::default()
    };
    if target.is_file() && args.copy_images {
        return Err(Failure::Usage(
            "--copy-images is for formats that are a folder; this one is a file".into(),
        ));
    }
    let mut done = if target.is_file() {
        let mut file = Vec::new();
        let done = convert(&set, target, &settings, &mut |_, bytes| {
            file.extend_from_slice(bytes);
            Ok(())
        })?;
        write_atomic(&args.output, &file)?;
        done
    } else {
        let folder = NewFolder::create(&args.output)?;
        let done = convert(&set, target, &settings, &mut |name, bytes| folder.put(name, bytes))?;
        folder.keep()?;
        done
    };
    if let Labels::Points(labels) = &set.labels {
        done.notes.splice(0..0, labels.notes.iter().cloned());
    }
    let skipped = set.skipped().len();
    if skipped > 0 {
        done.notes.push(format!("{skipped} entries could not be read and are left out"));
    }
    if args.json {
        let out = json!({
            "schema": "hrnet.data-convert/1",
            "input": args.input.display().to_string(),
            "output": args.output.display().to_string(),
            "from": set.kind.name(),
            "images": done.images,
            "samples": done.samples,
            "files": done.files,
            "notes": done.notes,
        });
        say!("{out}");
    } else {
        let (out, from) = (args.output.display(), set.kind);
        say!("{out}: {} samples of {} images, from {from}; {} files", done.samples, done.images, done.files);
        for note in &done.notes {
            say!("  {note}");
        }
    }
    Ok(())
}

fn target(to: ToFormat) -> Target {
    match to {
        ToFormat::Coco => Target::Coco,
        ToFormat::Cvat => Target::Cvat,
        ToFormat::Labelme => Target::LabelMe,
        ToFormat::YoloPose => Target::Yolo,
        ToFormat::Wflw => Target::Wflw,
        ToFormat::Pts => Target::Pts,
        ToFormat::LandmarkCsv => Target::Csv,
        ToFormat::IdMasks => Target::IdMasks,
        ToFormat::ColourMasks => Target::ColourMasks,
    }
}

fn read_palette(path: &Path) -> Result<Palette> {
    let bytes = read(path)?;
    let text = std::str::from_utf8(&bytes).with_context(|| format!("{} is no text", path.display()))?;
    Palette::parse(text).map_err(|e| err!("{}: {e}", path.display()))
}

/// A folder that appears under its name when it is complete. Dropped before that, it is removed.
struct NewFolder {
    made: tempfile::TempDir,
    target: PathBuf,
}

impl NewFolder {
    fn create(target: &Path) -> Result<Self> {
        let shown = target.display();
        let occupied = std::fs::read_dir(target).map(|mut d| d.next().is_some());
        if target.is_file() || occupied.unwrap_or(false) {
            bail!("{shown} exists already; name a new folder");
        }
        let parent = match target.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let made = tempfile::Builder::new()
            .prefix(".hrnet-")
            .tempdir_in(parent)
            .with_context(|| format!("{shown}: cannot create a folder in {}", parent.display()))?;
        Ok(Self { made, target: target.to_path_buf() })
    }

    fn put(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let path = self.made.path().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, bytes)
    }

    fn keep(self) -> Result<()> {
        let shown = self.target.display();
        if self.target.is_dir() {
            // Empty, as was seen at the start; if something came in since, this fails.
            std::fs::remove_dir(&self.target).with_context(|| format!("{shown}: cannot be replaced"))?;
        }
        open_to_all(self.made.path());
        std::fs::rename(self.made.path(), &self.target)
            .with_context(|| format!("{shown}: cannot be put in place"))?;
        // Nothing is left to remove.
        let _ = self.made.keep();
        Ok(())
    }
}

/// Temporary folders are private; results get the usual permissions instead.
#[cfg(unix)]
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    // A file system without permissions refuses this, which does no harm.
    let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755));
}

#[cfg(not(unix))]
fn open_to_all(_: &Path) {}
