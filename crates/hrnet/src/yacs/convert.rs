//! The checked settings as network, training configuration and remarks.

use super::keys::{self, Fate, Repository};
use super::network::{self, fail};
use super::parse::Settings;
use super::{Imported, Value, YacsError, sections};
use crate::config::TrainConfig;
use hrnet_ir::Model;
use std::path::{Path, PathBuf};

/// The settings of one file; types are those of the table.
pub(super) struct Facts<'a> {
    pub repository: Repository,
    pub settings: &'a Settings,
    pub data_dir: Option<&'a Path>,
}

impl Facts<'_> {
    pub fn bool(&self, key: &str, default: bool) -> bool {
        match self.settings.get(key) {
            Some(&Value::Bool(b)) => b,
            _ => default,
        }
    }

    pub fn whole(&self, key: &str, default: i64) -> i64 {
        match self.settings.get(key) {
            Some(&Value::Int(n)) => n,
            _ => default,
        }
    }

    pub fn number(&self, key: &str, default: f64) -> f64 {
        match self.settings.get(key) {
            Some(&Value::Float(x)) => x,
            _ => default,
        }
    }

    pub fn text(&self, key: &str) -> &str {
        match self.settings.get(key) {
            Some(Value::Text(t)) => t,
            _ => "",
        }
    }

    pub fn wholes(&self, key: &str) -> Option<Vec<i64>> {
        match self.settings.get(key) {
            Some(Value::List(items)) => Some(
                items.iter().filter_map(|v| if let Value::Int(n) = v { Some(*n) } else { None }).collect(),
            ),
            // Keys whose table row says one number, asked for as a list.
            Some(&Value::Int(n)) => Some(vec![n]),
            _ => None,
        }
    }

    pub fn numbers(&self, key: &str) -> Option<Vec<f64>> {
        match self.settings.get(key) {
            Some(Value::List(items)) => {
                let number = |v: &Value| match v {
                    Value::Float(x) => Some(*x),
                    Value::Int(n) => Some(*n as f64),
                    _ => None,
                };
                Some(items.iter().filter_map(number).collect())
            }
            _ => None,
        }
    }

    pub fn texts(&self, key: &str) -> Vec<String> {
        match self.settings.get(key) {
            Some(Value::List(items)) => items
                .iter()
                .filter_map(|v| if let Value::Text(t) = v { Some(t.clone()) } else { None })
                .collect(),
            _ => Vec::new(),
        }
    }

    pub fn wanted_whole(&self, key: &str) -> Result<i64, YacsError> {
        self.settings.contains_key(key).then(|| self.whole(key, 0)).ok_or_else(|| missing(key))
    }

    pub fn wanted_wholes(&self, key: &str) -> Result<Vec<i64>, YacsError> {
        self.wholes(key).ok_or_else(|| missing(key))
    }

    /// Refuses another text than `wanted`.
    pub fn only(&self, key: &str, wanted: &str) -> Result<(), YacsError> {
        match self.settings.get(key) {
            Some(value) if *value != Value::Text(wanted.into()) => Err(fail(key, &value.to_string(), wanted)),
            _ => Ok(()),
        }
    }

    pub fn only_whole(&self, key: &str, wanted: i64) -> Result<(), YacsError> {
        match self.whole(key, wanted) {
            n if n == wanted => Ok(()),
            n => Err(fail(key, &n.to_string(), &wanted.to_string())),
        }
    }

    pub fn only_wholes(&self, key: &str, wanted: &[i64]) -> Result<(), YacsError> {
        match self.wholes(key) {
            Some(list) if list != wanted => Err(fail(key, &format!("{list:?}"), &format!("{wanted:?}"))),
            _ => Ok(()),
        }
    }

    /// Refuses another value than `wanted`, in a list too.
    pub fn only_bool(&self, key: &str, wanted: bool) -> Result<(), YacsError> {
        let same = |v: &Value| *v == Value::Bool(wanted);
        match self.settings.get(key) {
            Some(Value::List(items)) if items.iter().all(same) => Ok(()),
            Some(value) if !same(value) => Err(fail(key, &value.to_string(), &wanted.to_string())),
            _ => Ok(()),
        }
    }

    /// `MODEL.ALIGN_CORNERS`, whose default is true in the branch with OCR.
    pub fn align_corners(&self) -> bool {
        self.bool("MODEL.ALIGN_CORNERS", true)
    }

    /// A size that the file gives as width and height: as height and width.
    pub fn size(&self, key: &str, default: [i64; 2]) -> Result<[usize; 2], YacsError> {
        let list = self.wholes(key).unwrap_or(default.to_vec());
        let &[w, h] = &list[..] else { return Err(fail(key, &format!("{list:?}"), "width and height")) };
        let side = |n| network::bounded(key, n, hrnet_ir::shape::MAX_SIDE);
        Ok([side(h)?, side(w)?])
    }

    /// A path of the file.
    pub fn path(&self, text: &str) -> PathBuf {
        let path = Path::new(text);
        match (self.data_dir, self.text("DATA_DIR")) {
            (Some(folder), _) => folder.join(path),
            (None, "") => path.to_path_buf(),
            (None, folder) => Path::new(folder).join(path),
        }
    }
}

fn missing(key: &str) -> YacsError {
    YacsError::Setting(format!("{key} is missing; it decides about the network"))
}

pub(super) fn convert(
    repository: Repository,
    settings: Settings,
    data_dir: Option<&Path>,
) -> Result<Imported, YacsError> {
    let facts = Facts { repository, settings: &settings, data_dir };
    let model = network::model(&facts)?;
    let input = match repository {
        Repository::Segmentation { .. } => facts.size("TRAIN.IMAGE_SIZE", [1024, 512])?,
        Repository::Higher => {
            let side =
                network::bounded("DATASET.INPUT_SIZE", facts.whole("DATASET.INPUT_SIZE", 512), 1 << 16)?;
            facts.only_wholes("DATASET.OUTPUT_SIZE", &[side as i64 / 4, side as i64 / 2])?;
            [side, side]
        }
        _ => facts.size("MODEL.IMAGE_SIZE", [256, 256])?,
    };
    if matches!(repository, Repository::Pose | Repository::Face) {
        let maps = facts.size("MODEL.HEATMAP_SIZE", [input[1] as i64 / 4, input[0] as i64 / 4])?;
        if maps.map(|n| n * 4) != input {
            let [h, w] = input;
            let found = format!("[{}, {}]", maps[1], maps[0]);
            return Err(fail(
                "MODEL.HEATMAP_SIZE",
                &found,
                &format!("[{}, {}], a quarter of the input", w / 4, h / 4),
            ));
        }
    }
    let mut remarks = Vec::new();
    let config = train(&facts, &model, input, &mut remarks);
    remarks.extend(kept_out(&facts));
    Ok(Imported { repository, model, input, config, remarks })
}

/// The run, with its remarks.
fn train(
    facts: &Facts,
    model: &Model,
    input: [usize; 2],
    remarks: &mut Vec<String>,
) -> Result<TrainConfig, String> {
    let table = sections::table(facts, model, input, remarks).map_err(|e| e.to_string())?;
    let text = toml::to_string(&table).map_err(|e| e.to_string())?;
    let config = TrainConfig::parse(&text).map_err(|e| format!("{e:#}"))?;
    // What the configuration describes must be what the file describes.
    let (_, outputs) = model.head.outputs();
    let ours = config.model(outputs).map_err(|e| format!("{e:#}"))?;
    if ours != *model {
        return Err(format!("a configuration has no way to say {model}; it would be {ours}"));
    }
    Ok(config)
}

/// One line per key that goes nowhere, and one for all those without effect.
fn kept_out(facts: &Facts) -> Vec<String> {
    let mut lines = Vec::new();
    let mut idle = Vec::new();
    for (path, value) in facts.settings {
        match keys::find(path).map(|k| k.fate) {
            Some(Fate::Remark(why)) => lines.push(format!("{path} = {value}: {why}")),
            Some(Fate::Idle) => idle.push(path.as_str()),
            _ => {}
        }
    }
    let coded = matches!(facts.repository, Repository::Pose | Repository::Face | Repository::Higher);
    if coded && facts.settings.keys().any(|k| k.starts_with("MODEL.EXTRA.STAGE1.")) {
        lines.push(
            "MODEL.EXTRA.STAGE1: the code of this repository does not read it; stage 1 has 4 blocks of 64"
                .into(),
        );
    }
    if !idle.is_empty() {
        lines.push(format!("without effect on results here: {}", idle.join(", ")));
    }
    lines
}
