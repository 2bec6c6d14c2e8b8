//! The CSV of `--record`: what bench/record keeps.

use super::Measured;
use super::machine::{commit, today};
use hrnet::error::{Context, Result, bail};
use hrnet::io;
use std::path::{Path, PathBuf};

const HEADER: &str =
    "date,cpu,commit,version,isa,threads,batch,case,kernel,runs,ms,min_ms,p10_ms,p90_ms,gflops,share_of_peak";

/// A file and the rows to append to it.
pub(super) struct Record {
    path: PathBuf,
    date: String,
    commit: String,
    text: String,
}

impl Record {
    /// Reads the file, which must be a record or absent.
    pub(super) fn open(path: &Path) -> Result<Record> {
        let shown = path.display();
        let mut text = match path.exists() {
            false => format!("{HEADER}\n"),
            true => {
                String::from_utf8(io::read(path)?).ok().with_context(|| format!("{shown} is not text"))?
            }
        };
        if text.lines().next() != Some(HEADER) {
            bail!("{shown} is no record of hrnet bench: its first line must be {HEADER}");
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            bail!("{shown}: there is no folder {}", folder.display());
        }
        let commit = commit(folder).unwrap_or_default();
        Ok(Record { path: path.into(), date: today(), commit, text })
    }

    /// Adds a row.
    pub(super) fn add(&mut self, cpu: &str, m: &Measured, share: Option<f64>) {
        let t = &m.times;
        let fields = [
            self.date.clone(),
            quoted(cpu),
            self.commit.clone(),
            env!("CARGO_PKG_VERSION").into(),
            m.isa.to_string(),
            m.threads.to_string(),
            m.batch.to_string(),
            quoted(m.case),
            quoted(m.kernel),
            t.count().to_string(),
            format!("{:.4}", t.median()),
            format!("{:.4}", t.min()),
            format!("{:.4}", t.at(0.1)),
            format!("{:.4}", t.at(0.9)),
            format!("{:.1}", m.gflops()),
            share.map_or_else(String::new, |s| format!("{s:.4}")),
        ];
        self.text += &fields.join(",");
        self.text.push('\n');
    }

    /// Writes the file, whole or not at all.
    pub(super) fn save(self) -> Result<()> {
        io::write_atomic(&self.path, self.text.as_bytes())
    }
}

/// A CSV field.
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stats::Times;
    use super::*;
    use hrnet_kernels::Isa;

    #[test]
    fn rows_are_appended_and_other_files_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.csv");
        let measured = Measured {
            case: "a, \"b\"",
            kernel: "network",
            isa: Isa::Portable,
            threads: 2,
            batch: 8,
            macs: 3_000_000,
            times: Times::new(vec![1.0, 2.0, 3.0]),
        };
        for rows in 1..=2 {
            let mut record = Record::open(&path).unwrap();
            record.add("cpu", &measured, Some(0.25));
            record.save().unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().count(), 1 + rows);
            let last = text.lines().last().unwrap();
            assert!(last.contains(",portable,2,8,\"a, \"\"b\"\"\",network,3,2.0000,1.0000,"), "{last}");
            assert!(last.ends_with(",3.0,0.2500"), "{last}");
        }
        std::fs::write(&path, "image,x\n").unwrap();
        assert!(Record::open(&path).is_err());
        assert!(Record::open(&dir.path().join("absent/r.csv")).is_err());
    }
}
