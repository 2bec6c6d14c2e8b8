//! Where the bytes of a result file go: standard output, or a temporary file that gets its name when all is written.

use super::Target;
use crate::error::{Context, Error, Result, bail};
use crate::io;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::PathBuf;

/// An open target.
pub struct Sink(Open);

enum Open {
    Stdout(std::io::Stdout),
    Whole(io::Staged),
    Stream { file: BufWriter<std::fs::File>, path: PathBuf },
}

impl Sink {
    /// A file that appears when [`Sink::finish`] is called.
    pub fn whole(to: &Target) -> Result<Self> {
        Ok(Self(match to {
            Target::Stdout => Open::Stdout(std::io::stdout()),
            Target::Path(path) => Open::Whole(io::Staged::create(path)?),
        }))
    }

    /// A file that grows under its own name.
    pub fn streaming(to: &Target) -> Result<Self> {
        Ok(Self(match to {
            Target::Stdout => Open::Stdout(std::io::stdout()),
            Target::Path(path) => {
                let shown = path.display();
                if path.is_dir() {
                    bail!("{shown} is a folder; name a file to write");
                }
                let file =
                    std::fs::File::create(path).with_context(|| format!("{shown}: cannot be created"))?;
                Open::Stream { file: BufWriter::new(file), path: path.clone() }
            }
        }))
    }

    /// The file, for messages and reports.
    pub fn path(&self) -> Option<PathBuf> {
        match &self.0 {
            Open::Stdout(_) => None,
            Open::Whole(staged) => Some(staged.path().to_path_buf()),
            Open::Stream { path, .. } => Some(path.clone()),
        }
    }

    /// Appends.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.0 {
            Open::Stdout(out) => to_stdout(out.write_all(bytes)),
            Open::Whole(staged) => staged.write(bytes),
            Open::Stream { file, path } => {
                file.write_all(bytes).with_context(|| format!("{}: cannot be written", path.display()))
            }
        }
    }

    /// Hands on what was written to whoever reads along.
    pub fn flush(&mut self) -> Result<()> {
        match &mut self.0 {
            Open::Stdout(out) => to_stdout(out.flush()),
            Open::Whole(_) => Ok(()),
            Open::Stream { file, path } => {
                file.flush().with_context(|| format!("{}: cannot be written", path.display()))
            }
        }
    }

    /// Puts the file in place.
    pub fn finish(mut self) -> Result<Option<PathBuf>> {
        self.flush()?;
        let path = self.path();
        match self.0 {
            Open::Stdout(_) => {}
            Open::Whole(staged) => staged.finish()?,
            Open::Stream { file, path } => {
                file.get_ref()
                    .sync_all()
                    .with_context(|| format!("{}: cannot be flushed to disk", path.display()))?;
            }
        }
        Ok(path)
    }
}

/// Whoever read standard output has gone away (`hrnet predict … | head`): no failure of the work.
#[derive(Debug, thiserror::Error)]
#[error("the reader of standard output has gone away")]
pub struct ClosedPipe;

fn to_stdout(written: std::io::Result<()>) -> Result<()> {
    match written {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => {
            Err(Error::from_other(crate::ErrorKind::Io, ClosedPipe))
        }
        other => other.context("standard output cannot be written"),
    }
}
