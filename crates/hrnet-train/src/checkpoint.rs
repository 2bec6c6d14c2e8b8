//! A run in one self-describing file: safetensors with one JSON entry and checksums over every bit.
//!
//! Tensors: `model/<name>` (parameters and buffers), `optimizer.<state>/<name>`, `ema/<name>`, `gradient/<name>` (only
//! in the middle of an accumulated step), and `header.crc32`. The header's JSON entry `hrnet.checkpoint` holds the
//! CRC-32 of every other tensor; `header.crc32` holds that of the header itself, length field included. f64 values are
//! kept as their bits: decimal text would have to be trusted to come back exactly.

use crate::error::CheckpointError;
use hrnet_ir::{Tensor, Weights, element_count};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The version that this crate writes and the newest that it reads.
pub const VERSION: u32 = 2;
const ENTRY: &str = "hrnet.checkpoint";
const VERSION_ENTRY: &str = "hrnet.checkpoint.version";
const HEADER_CRC: &str = "header.crc32";

/// The scalars of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// The configuration as text.
    pub config: String,
    /// Seed of the batch source.
    pub seed: u64,
    /// ISA level of the kernels; a run is bit-exact within one level.
    pub isa: String,
    /// Shape of the last batch.
    pub input: [usize; 4],
    /// Name of the optimiser.
    pub optimizer: String,
    /// Its steps.
    pub optimizer_steps: u64,
    /// Updates of the average.
    pub ema_updates: u64,
    /// Optimiser steps done.
    pub step: u64,
    /// Epoch of the next batch.
    pub epoch: u64,
    /// The next batch within its epoch.
    pub index: u64,
    /// Epochs that the observer has seen end.
    pub epochs_reported: u64,
    /// Batches in an epoch.
    pub batches_per_epoch: u64,
    /// Batches in the gradients so far.
    pub pending: u32,
    /// Steps skipped in all.
    pub skipped: u64,
    /// Steps skipped since the last good one.
    pub bad_in_a_row: u32,
    /// Bits of the best metric.
    pub best: Option<u64>,
    /// State of the batch source.
    pub source_state: String,
    /// State of the observer; version 1 had none.
    #[serde(default)]
    pub observer_state: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    written_by: String,
    run: Meta,
    crc32: BTreeMap<String, u32>,
}

/// A run at rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Scalars.
    pub meta: Meta,
    /// Parameters and buffers.
    pub weights: Weights,
    /// State arrays of the optimiser by name.
    pub optimizer: Vec<(String, Weights)>,
    /// The average.
    pub ema: Option<Weights>,
    /// Gradients in the middle of an accumulated step.
    pub gradients: Option<Weights>,
}

impl Checkpoint {
    /// The file.
    pub fn encode(&self) -> Result<Vec<u8>, CheckpointError> {
        self.encode_as(VERSION)
    }

    fn encode_as(&self, version: u32) -> Result<Vec<u8>, CheckpointError> {
        let fail = |e: &dyn std::fmt::Display| CheckpointError::Encode(e.to_string());
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        for (group, weights) in self.groups() {
            for (name, tensor) in weights.iter() {
                let bytes = tensor.data().iter().flat_map(|v| v.to_le_bytes()).collect();
                tensors.push((format!("{group}/{name}"), tensor.shape().to_vec(), bytes));
            }
        }
        let header = Header {
            written_by: concat!("hrnet-train ", env!("CARGO_PKG_VERSION")).to_string(),
            run: self.meta.clone(),
            crc32: tensors.iter().map(|(name, _, bytes)| (name.clone(), crc32fast::hash(bytes))).collect(),
        };
        let json = serde_json::to_string(&header).map_err(|e| fail(&e))?;
        // Two entries in a hash map would be written in random order: the version goes into the same one.
        let json = format!("{{\"{VERSION_ENTRY}\":{version},\"header\":{json}}}");
        let no_crc = [0u8; 4];
        let mut views = Vec::with_capacity(tensors.len() + 1);
        for (name, shape, bytes) in &tensors {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|e| fail(&e))?;
            views.push((name.as_str(), view));
        }
        views.push((HEADER_CRC, TensorView::new(Dtype::U32, vec![1], &no_crc).map_err(|e| fail(&e))?));
        let metadata = HashMap::from([(ENTRY.to_string(), json)]);
        let mut file = safetensors::serialize(views, Some(metadata)).map_err(|e| fail(&e))?;
        let (size, parsed) = SafeTensors::read_metadata(&file).map_err(|e| fail(&e))?;
        let start = 8 + size + parsed.info(HEADER_CRC).map_or(0, |info| info.data_offsets.0);
        let crc = crc32fast::hash(&file[..8 + size]);
        file[start..start + 4].copy_from_slice(&crc.to_le_bytes());
        Ok(file)
    }

    /// Reads a file; every bit of it is checked.
    pub fn decode(file: &[u8]) -> Result<Self, CheckpointError> {
        let malformed = |e: &dyn std::fmt::Display| CheckpointError::Malformed(e.to_string());
        let (size, metadata) = SafeTensors::read_metadata(file).map_err(|e| malformed(&e))?;
        let parsed = SafeTensors::deserialize(file).map_err(|e| malformed(&e))?;
        let stored = parsed.tensor(HEADER_CRC).map_err(|_| malformed(&"it has no header checksum"))?;
        let header = &file[..8 + size];
        if stored.data() != crc32fast::hash(header).to_le_bytes() {
            return Err(CheckpointError::Checksum { part: "the header".into() });
        }
        let json = metadata.metadata().as_ref().and_then(|m| m.get(ENTRY));
        let json = json.ok_or_else(|| malformed(&"it has no run state"))?;
        let outer: serde_json::Value = serde_json::from_str(json).map_err(|e| malformed(&e))?;
        let version = outer.get(VERSION_ENTRY).and_then(|v| v.as_u64()).unwrap_or(0);
        let version = u32::try_from(version).unwrap_or(u32::MAX);
        if version > VERSION {
            return Err(CheckpointError::Future { found: version, supported: VERSION });
        }
        if version == 0 {
            return Err(malformed(&"it has no version"));
        }
        let inner = outer.get("header").cloned().unwrap_or_default();
        let header: Header = serde_json::from_value(inner).map_err(|e| malformed(&e))?;
        let mut checkpoint = Checkpoint { meta: header.run, ..Checkpoint::default() };
        if header.crc32.len() + 1 != parsed.len() {
            return Err(malformed(&"tensors and their checksums differ in number"));
        }
        // In the order of the checksums, so that the result does not depend on a hash map.
        for (name, &crc) in &header.crc32 {
            let view = parsed.tensor(name).map_err(|e| malformed(&e))?;
            if crc32fast::hash(view.data()) != crc {
                return Err(CheckpointError::Checksum { part: format!("tensor {name}") });
            }
            let (group, key) =
                name.split_once('/').ok_or_else(|| malformed(&format!("tensor name {name}")))?;
            let len = element_count(view.shape()).unwrap_or(usize::MAX);
            if view.dtype() != Dtype::F32 || len.checked_mul(4) != Some(view.data().len()) {
                return Err(malformed(&format!("tensor {name} is not f32")));
            }
            let data = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            let tensor = Tensor::new(view.shape().to_vec(), data).map_err(|e| malformed(&e))?;
            let weights = match group {
                "model" => &mut checkpoint.weights,
                "ema" => checkpoint.ema.get_or_insert_default(),
                "gradient" => checkpoint.gradients.get_or_insert_default(),
                _ => {
                    let state = group.strip_prefix("optimizer.");
                    let state = state.ok_or_else(|| malformed(&format!("tensor group {group}")))?;
                    checkpoint.optimizer_group(state)
                }
            };
            weights.insert(key, tensor);
        }
        Ok(checkpoint)
    }

    fn groups(&self) -> impl Iterator<Item = (String, &Weights)> {
        std::iter::once(("model".to_string(), &self.weights))
            .chain(self.optimizer.iter().map(|(name, w)| (format!("optimizer.{name}"), w)))
            .chain(self.ema.iter().map(|w| ("ema".to_string(), w)))
            .chain(self.gradients.iter().map(|w| ("gradient".to_string(), w)))
    }

    fn optimizer_group(&mut self, state: &str) -> &mut Weights {
        let at = self.optimizer.iter().position(|(name, _)| name == state).unwrap_or_else(|| {
            self.optimizer.push((state.to_string(), Weights::new()));
            self.optimizer.len() - 1
        });
        &mut self.optimizer[at].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::CounterRng;

    fn tiny() -> Checkpoint {
        let tensor = |name: &str, shape: &[usize]| {
            let rng = CounterRng::new(1, name);
            let len: usize = shape.iter().product();
            Tensor::new(shape.to_vec(), (0..len as u64).map(|i| rng.normal(i) as f32).collect()).unwrap()
        };
        let group = |salt: &str| -> Weights {
            [("conv.weight", vec![4, 3, 3, 3]), ("conv.bias", vec![4]), ("bn.count", vec![])]
                .into_iter()
                .map(|(name, shape)| (name.to_string(), tensor(&format!("{salt}{name}"), &shape)))
                .collect()
        };
        Checkpoint {
            meta: Meta {
                config: "[train]\nrate = \"é\"".into(),
                best: Some(0.1f64.to_bits()),
                ..Meta::default()
            },
            weights: group("a"),
            optimizer: vec![("exp_avg".into(), group("b")), ("exp_avg_sq".into(), group("c"))],
            ema: Some(group("d")),
            gradients: None,
        }
    }

    /// Weights do not keep their order in the file; compare by name.
    fn same(a: &Weights, b: &Weights) -> bool {
        a.len() == b.len()
            && a.iter().all(|(name, t)| {
                b.get(name).is_some_and(|u| {
                    t.shape() == u.shape()
                        && t.data().iter().zip(u.data()).all(|(x, y)| x.to_bits() == y.to_bits())
                })
            })
    }

    #[test]
    fn what_is_written_is_read() {
        let mut written = tiny();
        written.weights.get_mut("conv.bias").unwrap().data_mut()[1] = f32::from_bits(0x7FC0_1234);
        written.weights.get_mut("conv.bias").unwrap().data_mut()[2] = -0.0;
        let file = written.encode().unwrap();
        let read = Checkpoint::decode(&file).unwrap();
        assert_eq!(read.meta, written.meta);
        assert!(same(&read.weights, &written.weights));
        assert!(same(read.ema.as_ref().unwrap(), written.ema.as_ref().unwrap()));
        assert_eq!(read.optimizer.len(), 2);
        for ((a, x), (b, y)) in read.optimizer.iter().zip(&written.optimizer) {
            assert!(a == b && same(x, y));
        }
        assert!(read.gradients.is_none());
        assert_eq!(file, written.encode().unwrap(), "the same run gives the same bytes");
        assert_eq!(file, read.encode().unwrap());
    }

    #[test]
    fn every_flip_truncation_and_swap_is_detected() {
        let file = tiny().encode().unwrap();
        assert!(Checkpoint::decode(&file).is_ok());
        let rng = CounterRng::new(7, "damage");
        let mut damaged = file.clone();
        let bits = file.len() as u64 * 8;
        for i in 0..10_000 {
            let bit = rng.bits(i) % bits;
            damaged[(bit / 8) as usize] ^= 1 << (bit % 8);
            assert!(Checkpoint::decode(&damaged).is_err(), "flip of bit {bit} is not detected");
            damaged[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        assert_eq!(damaged, file);
        for len in 0..file.len() {
            assert!(Checkpoint::decode(&file[..len]).is_err(), "truncation to {len} is not detected");
        }
        assert!(Checkpoint::decode(&[&file[..], &[0]].concat()).is_err());
        let blocks = file.len() as u64 / 64;
        let mut swaps = 0;
        for i in 0u64.. {
            let at = |k: u64| (rng.bits(20_000 + 2 * i + k) % blocks) as usize * 64;
            let (a, b) = (at(0), at(1));
            if file[a..a + 64] == file[b..b + 64] {
                continue;
            }
            let mut damaged = file.clone();
            damaged[a..a + 64].copy_from_slice(&file[b..b + 64]);
            damaged[b..b + 64].copy_from_slice(&file[a..a + 64]);
            assert!(Checkpoint::decode(&damaged).is_err(), "swap of blocks {a} and {b} is not detected");
            swaps += 1;
            if swaps == 200 {
                break;
            }
        }
    }

    #[test]
    fn runs_of_version_1_go_on() {
        let meta = Meta { step: 3, ..Meta::default() };
        let mut json = serde_json::to_value(&meta).unwrap();
        json.as_object_mut().unwrap().remove("observer_state").unwrap();
        assert_eq!(serde_json::from_value::<Meta>(json).unwrap(), meta);
        assert!(Checkpoint::decode(&tiny().encode_as(1).unwrap()).is_ok());
    }

    #[test]
    fn newer_versions_are_refused_with_advice() {
        let file = tiny().encode_as(VERSION + 1).unwrap();
        let error = Checkpoint::decode(&file).unwrap_err();
        assert_eq!(error, CheckpointError::Future { found: VERSION + 1, supported: VERSION });
        assert!(error.to_string().contains("newer"), "{error}");
        assert!(Checkpoint::decode(&tiny().encode_as(0).unwrap()).is_err());
    }
}
