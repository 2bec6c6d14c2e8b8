//! The log as pictures: `loss.png` and `metric.png` in the run folder.

use super::folder::Folder;
use crate::error::Result;
use hrnet_data::draw::chart::{Axis, Chart, Series};
use hrnet_image::encode_png;
use serde_json::Value;
use std::path::Path;

/// What the log says about the deciding figure.
pub(super) struct Shown<'a> {
    /// Key of the log.
    pub key: &'a str,
    /// Name for readers.
    pub title: &'a str,
}

/// Lines of a log; a line cut by a crash is left out. Where a step occurs twice, the later line counts.
pub(super) fn read_log(path: &Path) -> Vec<Value> {
    let Ok(text) = std::fs::read_to_string(path) else { return Vec::new() };
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Values of a key by another key, the later line first where a place occurs twice.
fn curve(log: &[Value], x: &str, y: &str) -> Vec<[f64; 2]> {
    let points: std::collections::BTreeMap<u64, f64> =
        log.iter().filter_map(|line| Some((line.get(x)?.as_u64()?, line.get(y)?.as_f64()?))).collect();
    points.into_iter().map(|(x, y)| [x as f64, y]).collect()
}

/// Draws what there is.
pub(super) fn draw(path: &Path, folder: &Folder, shown: Option<Shown>) -> Result<()> {
    let log = read_log(&path.join("log.jsonl"));
    let loss = curve(&log, "step", "loss");
    let write = |name: &str, chart: Chart| {
        let bytes = encode_png(&chart.to_image())?;
        folder.put(name, &bytes)
    };
    if loss.len() > 1 {
        let series = vec![Series::new("", loss)];
        write("loss.png", Chart::lines("Training loss", Axis::new("step"), Axis::new("loss").log(), series))?;
    }
    if let Some(Shown { key, title }) = shown {
        let metric = curve(&log, "epoch", key);
        if !metric.is_empty() {
            let axis = Axis::new(format!("{title} (%)"));
            let chart = Chart::lines(title, Axis::new("epoch"), axis, vec![Series::new("", metric).marks()]);
            write("metric.png", chart)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_with_repeated_and_cut_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log.jsonl");
        std::fs::write(
            &log,
            "{\"step\":20,\"loss\":2.0}\n{\"step\":40,\"loss\":9.0}\n{\"step\":40,\"loss\":1.0}\n{\"ep",
        )
        .unwrap();
        let lines = read_log(&log);
        assert_eq!(lines.len(), 3);
        assert_eq!(curve(&lines, "step", "loss"), [[20.0, 2.0], [40.0, 1.0]]);
        draw(dir.path(), &Folder::new(dir.path()), Some(Shown { key: "nme_percent", title: "NME" })).unwrap();
        assert!(dir.path().join("loss.png").exists() && !dir.path().join("metric.png").exists());
        std::fs::write(&log, "{\"epoch\":1,\"nme_percent\":5.0}\n").unwrap();
        draw(dir.path(), &Folder::new(dir.path()), Some(Shown { key: "nme_percent", title: "NME" })).unwrap();
        assert!(dir.path().join("metric.png").exists());
    }
}
