//! PyTorch checkpoints: the zip container (PyTorch 1.6 and later) and the legacy stream (before).
//!
//! Zip: `<top>/data.pkl` describes the objects, `<top>/data/<key>` holds each storage, `<top>/byteorder` and
//! `<top>/version` state facts. Legacy: pickles of a magic number, the protocol number 1001, facts about the system, the
//! object and the list of storage keys, then for each key the number of elements (8 bytes) and the raw elements.
//!
//! The state dict of a training checkpoint lies under one of a few well-known entries; tensors outside it (optimizer
//! state) are parsed and skipped.

use crate::dtype::DType;
use crate::file::{Container, Ignored, Region, TensorFile, View};
use crate::limits::{Limits, quote};
use crate::meta::Meta;
use crate::pickle::{self, Pickle, PickleError, StorageRef, Value};
use crate::source::{Source, read_vec};
use crate::zip::{Zip, ZipError};
use std::collections::{HashMap, HashSet};
use std::io;

/// The pickle of the legacy magic number, byte for byte.
pub const LEGACY_MAGIC: [u8; 15] =
    [0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E];

/// Entries of training checkpoints that hold a state dict, in order of preference.
pub const STATE_DICT_ENTRIES: [&str; 12] = [
    "state_dict",
    "model",
    "model_state",
    "model_state_dict",
    "best_state_dict",
    "net",
    "network",
    "weights",
    "params",
    "state_dict_ema",
    "ema_state_dict",
    "model_ema",
];

/// Longest parameter name.
const MAX_NAME: usize = 512;
/// First guess at the length of the pickles of a legacy file.
const LEGACY_GUESS: u64 = 1 << 20;

/// Why a PyTorch file is refused.
#[derive(Debug, thiserror::Error)]
pub enum PthError {
    /// Reading failed.
    #[error("reading the checkpoint: {0}")]
    Io(#[from] io::Error),
    /// The archive.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// The object description.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// A zip archive of another program.
    #[error("{0}")]
    NotACheckpoint(String),
    /// Big-endian or of an unknown version.
    #[error("{0}")]
    Unsupported(String),
    /// Storage records and object description disagree.
    #[error("storage {key}: {problem}")]
    Storage {
        /// Storage key.
        key: String,
        /// What is wrong.
        problem: String,
    },
    /// No tensors where a state dict is expected.
    #[error("no state dict in this file: {found}; save model.state_dict() with torch.save")]
    NoStateDict {
        /// What there is instead.
        found: String,
    },
    /// A bad or repeated key.
    #[error("state dict key {name}: {problem}")]
    Key {
        /// The key.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// More than the limits allow.
    #[error("{what}: {value}, the limit is {limit}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The limit.
        limit: u64,
    },
}

/// Opens a zip checkpoint. `entry` chooses a state dict by name, for example `best_state_dict`.
pub fn open_zip(
    source: &mut impl Source,
    limits: &Limits,
    entry: Option<&str>,
) -> Result<TensorFile, PthError> {
    let zip = Zip::open(source, limits)?;
    let top = top_folder(&zip)?;
    let small = |source: &mut _, name: &str| -> Result<Option<Vec<u8>>, PthError> {
        match zip.get(&format!("{top}{name}")) {
            Some(e) if e.size > 64 => Err(PthError::NotACheckpoint(format!(
                "entry {name} has {} bytes, at most 64 make sense",
                e.size
            ))),
            Some(e) => Ok(Some(e.read(source)?)),
            None => Ok(None),
        }
    };
    if small(source, "byteorder")?.is_some_and(|order| order.trim_ascii() != b"little") {
        let problem = "the file is big-endian; load it on the machine that wrote it and save it there with \
                       torch.serialization.set_default_load_endianness, or convert it on a little-endian one";
        return Err(PthError::Unsupported(problem.into()));
    }
    if let Some(version) = small(source, "version")? {
        let number = std::str::from_utf8(&version).ok().and_then(|v| v.trim().parse::<u32>().ok());
        if !number.is_some_and(|n| (1..=10).contains(&n)) {
            let shown = quote(&String::from_utf8_lossy(&version));
            return Err(PthError::Unsupported(format!("archive version {shown} is not known")));
        }
    }
    let Some(description) = zip.get(&format!("{top}data.pkl")) else {
        return Err(PthError::NotACheckpoint("no data.pkl in this archive".into()));
    };
    if description.size > limits.pickle_stream {
        let (value, limit) = (description.size, limits.pickle_stream);
        return Err(PthError::Limit { what: "bytes of data.pkl", value, limit });
    }
    let stream = description.read(source)?;
    let pickle = pickle::run(&stream, source.size(), limits)?;
    if pickle.length() != stream.len() {
        return Err(PthError::NotACheckpoint("data.pkl goes on after its end".into()));
    }
    let regions = zip
        .entries()
        .iter()
        .map(|e| Region { name: e.name.clone(), offset: e.offset, size: e.size, crc: Some(e.crc) })
        .collect();
    let mut storages: HashMap<&str, (usize, &StorageRef)> = HashMap::new();
    for storage in pickle.storages() {
        let key = pickle.text(storage.key);
        if storage.is_view {
            return Err(storage_error(key, "views of storages do not occur in zip files"));
        }
        let Some(position) = zip.position(&format!("{top}data/{key}")) else {
            return Err(storage_error(key, "the archive has no record of it"));
        };
        let record = zip.entries().get(position).map_or(0, |e| e.size);
        if storage_bytes(storage) != Some(record) {
            let wanted = storage_bytes(storage).map_or("more than 2^64".into(), |b| b.to_string());
            return Err(storage_error(
                key,
                &format!("announced with {wanted} bytes, its record has {record}"),
            ));
        }
        match storages.get(key) {
            Some((_, other)) if !same_storage(other, storage) => {
                return Err(storage_error(key, "mentioned with two types or sizes"));
            }
            _ => drop(storages.insert(key, (position, storage))),
        }
    }
    let region_of = |storage: &StorageRef| storages.get(pickle.text(storage.key)).map(|(r, _)| *r);
    state_dict(&pickle, Container::TorchZip, regions, region_of, limits, entry)
}

/// Opens a legacy checkpoint.
pub fn open_legacy(
    source: &mut impl Source,
    limits: &Limits,
    entry: Option<&str>,
) -> Result<TensorFile, PthError> {
    let file = source.size();
    let longest = limits.pickle_stream.min(file);
    let mut guess = LEGACY_GUESS.min(longest);
    loop {
        let stream = read_vec(source, 0, guess)?;
        match legacy_pickles(&stream, file, limits) {
            Err(PthError::Pickle(PickleError::Truncated { .. })) if guess < longest => {
                guess = guess.saturating_mul(8).min(longest);
            }
            Err(PthError::Pickle(PickleError::Truncated { .. })) if longest < file => {
                let (value, limit) = (file, limits.pickle_stream);
                return Err(PthError::Limit { what: "bytes of pickle in a file of", value, limit });
            }
            Err(error) => return Err(error),
            Ok((pickle, keys, start)) => {
                return legacy_storages(source, &pickle, &keys, start, limits, entry);
            }
        }
    }
}

/// The object, the storage keys in order and the position of the first storage.
type Legacy<'a> = (Pickle<'a>, Vec<&'a str>, u64);

fn legacy_pickles<'a>(stream: &'a [u8], file: u64, limits: &Limits) -> Result<Legacy<'a>, PthError> {
    let mut at = LEGACY_MAGIC.len();
    if stream.get(..at) != Some(&LEGACY_MAGIC) {
        return Err(PthError::NotACheckpoint("the legacy magic number is missing".into()));
    }
    let mut next = || -> Result<Pickle<'a>, PthError> {
        let rest = stream.get(at..).unwrap_or_default();
        let pickle = pickle::run(rest, file, limits)?;
        at = at.saturating_add(pickle.length());
        Ok(pickle)
    };
    let protocol = next()?;
    if protocol.value(protocol.root()) != Value::Int(1001) {
        return Err(PthError::Unsupported("legacy protocol other than 1001".into()));
    }
    let system = next()?;
    let Value::Dict(facts) = system.value(system.root()) else {
        return Err(PthError::Unsupported("the legacy system facts are not a dictionary".into()));
    };
    for &(key, value) in system.dict(facts) {
        if system.as_str(key) == Some("little_endian") && system.value(value) != Value::Bool(true) {
            let problem = "the file is big-endian; convert it on the machine that wrote it";
            return Err(PthError::Unsupported(problem.into()));
        }
    }
    let object = next()?;
    let list = next()?;
    let Value::List(index) = list.value(list.root()) else {
        return Err(PthError::Unsupported("the legacy list of storage keys is missing".into()));
    };
    let mut keys = Vec::new();
    for &id in list.list(index) {
        let problem = "the legacy list of storage keys holds something that is no text";
        keys.push(list.as_str(id).ok_or_else(|| PthError::Unsupported(problem.into()))?);
    }
    Ok((object, keys, at as u64))
}

fn legacy_storages(
    source: &mut impl Source,
    pickle: &Pickle,
    keys: &[&str],
    start: u64,
    limits: &Limits,
    entry: Option<&str>,
) -> Result<TensorFile, PthError> {
    // Root size of each storage: what a plain mention says, or for views at least what the view needs.
    let mut mentioned: HashMap<&str, &StorageRef> = HashMap::new();
    for storage in pickle.storages() {
        let key = pickle.text(storage.key);
        match mentioned.get(key) {
            Some(other) if other.dtype != storage.dtype => {
                return Err(storage_error(key, "mentioned with two types"));
            }
            Some(other) if !other.is_view && !storage.is_view && other.len != storage.len => {
                return Err(storage_error(key, "mentioned with two sizes"));
            }
            Some(other) if !other.is_view => {}
            _ => drop(mentioned.insert(key, storage)),
        }
    }
    let mut regions: Vec<Region> = Vec::new();
    let mut index: HashMap<&str, usize> = HashMap::new();
    let mut at = start;
    for &key in keys {
        let Some(storage) = mentioned.get(key) else {
            return Err(storage_error(key, "listed, but no tensor mentions it"));
        };
        let mut count = [0; 8];
        source.read_at(at, &mut count)?;
        let count = u64::from_le_bytes(count);
        if !storage.is_view && count != storage.len {
            let problem = format!("announced with {} elements, its record has {count}", storage.len);
            return Err(storage_error(key, &problem));
        }
        let size = storage.dtype.map_or(1, DType::size).checked_mul(count);
        let offset = at.saturating_add(8);
        let end = size.and_then(|s| offset.checked_add(s)).filter(|&e| e <= source.size());
        let (Some(size), Some(end)) = (size, end) else {
            return Err(storage_error(
                key,
                "its record reaches past the end of the file, which is cut short",
            ));
        };
        if index.insert(key, regions.len()).is_some() {
            return Err(storage_error(key, "listed twice"));
        }
        regions.push(Region { name: format!("storage {key}"), offset, size, crc: None });
        at = end;
    }
    if at != source.size() {
        let left = source.size().saturating_sub(at);
        return Err(PthError::NotACheckpoint(format!("{left} bytes follow the last storage")));
    }
    for storage in pickle.storages() {
        let key = pickle.text(storage.key);
        let Some(region) = index.get(key).and_then(|&i| regions.get(i)) else {
            return Err(storage_error(key, "the file has no record of it"));
        };
        let end = storage.base.checked_add(storage.len);
        let bytes = end.and_then(|e| e.checked_mul(storage.dtype.map_or(1, DType::size)));
        if bytes.is_none_or(|b| b > region.size) {
            return Err(storage_error(key, "a view reaches past its record"));
        }
    }
    let region_of = |storage: &StorageRef| index.get(pickle.text(storage.key)).copied();
    let mut file = state_dict(pickle, Container::TorchLegacy, regions.clone(), region_of, limits, entry)?;
    file.regions = regions;
    Ok(file)
}

fn storage_bytes(storage: &StorageRef) -> Option<u64> {
    storage.len.checked_mul(storage.dtype.map_or(1, DType::size))
}

fn same_storage(a: &StorageRef, b: &StorageRef) -> bool {
    a.dtype == b.dtype && a.len == b.len
}

fn storage_error(key: &str, problem: &str) -> PthError {
    PthError::Storage { key: quote(key), problem: problem.into() }
}

/// The folder that holds the one `data.pkl`, with its slash; all entries must lie in it.
fn top_folder(zip: &Zip) -> Result<String, PthError> {
    let mut found = None;
    for entry in zip.entries() {
        let name = entry.name.rsplit('/').next().unwrap_or_default();
        if name == "data.pkl" && found.replace(entry.name.as_str()).is_some() {
            return Err(PthError::NotACheckpoint("two entries are called data.pkl".into()));
        }
    }
    let holds = |tail: &str| zip.entries().iter().any(|e| e.name.rsplit('/').next() == Some(tail));
    let Some(found) = found else {
        let what = if holds("[Content_Types].xml") {
            "this zip archive is an office document, not a checkpoint"
        } else if zip.entries().iter().any(|e| e.name.ends_with(".npy")) {
            "this zip archive holds numpy arrays (.npz), not a checkpoint of torch.save"
        } else {
            "this zip archive has no data.pkl: it was not written by torch.save; unpack it and pass the file inside"
        };
        return Err(PthError::NotACheckpoint(what.into()));
    };
    let top = found.strip_suffix("data.pkl").unwrap_or_default();
    if top.trim_end_matches('/').contains('/') {
        return Err(PthError::NotACheckpoint(format!(
            "data.pkl lies deeper than expected, at {}",
            quote(found)
        )));
    }
    if let Some(stray) = zip.entries().iter().find(|e| !e.name.starts_with(top)) {
        return Err(PthError::NotACheckpoint(format!(
            "entry {} lies outside {}",
            quote(&stray.name),
            quote(top)
        )));
    }
    if holds("constants.pkl") || zip.entries().iter().any(|e| e.name.starts_with(&format!("{top}code/"))) {
        let problem = "this is a TorchScript archive, which contains a program; load it in PyTorch and save \
                       its state_dict()";
        return Err(PthError::NotACheckpoint(problem.into()));
    }
    Ok(top.to_string())
}

/// Finds the state dict and turns its tensors into views.
fn state_dict(
    pickle: &Pickle,
    container: Container,
    regions: Vec<Region>,
    region_of: impl Fn(&StorageRef) -> Option<usize>,
    limits: &Limits,
    entry: Option<&str>,
) -> Result<TensorFile, PthError> {
    let root = pickle.value(pickle.root());
    let Value::Dict(root) = root else {
        return Err(PthError::NoStateDict { found: format!("it holds {}", root.kind()) });
    };
    let mut file = TensorFile {
        container,
        entry: String::new(),
        views: Vec::new(),
        regions,
        ignored: Vec::new(),
        notes: Vec::new(),
        meta: Meta::read(pickle, root),
        recipe: None,
    };
    let chosen = choose(pickle, root, entry, &mut file)?;
    let mut names = HashSet::new();
    for &(key, value) in pickle.dict(chosen) {
        let Some(name) = pickle.as_str(key) else {
            return Err(PthError::Key { name: pickle.value(key).kind().into(), problem: "is not text" });
        };
        if name.is_empty() || name.len() > MAX_NAME || name.contains(char::is_control) {
            return Err(PthError::Key { name: quote(name), problem: "is not a parameter name" });
        }
        if !names.insert(name) {
            return Err(PthError::Key { name: quote(name), problem: "occurs twice" });
        }
        let tensor = match pickle.value(value) {
            Value::Tensor(index) => pickle.tensor(index),
            other => {
                let reason = format!("holds {}, not a tensor", other.kind());
                file.ignored.push(Ignored { name: name.into(), reason });
                continue;
            }
        };
        let storage = tensor.and_then(|t| pickle.storages().get(t.storage as usize));
        let (Some(tensor), Some(storage)) = (tensor, storage) else { continue };
        let region =
            region_of(storage).ok_or_else(|| storage_error(pickle.text(storage.key), "has no record"))?;
        let (shape, strides) = pickle.dims(tensor);
        let shape: Option<Vec<usize>> = shape.iter().map(|&d| usize::try_from(d).ok()).collect();
        let shape = shape.ok_or(PthError::Key { name: quote(name), problem: "is too large" })?;
        if file.views.len() >= limits.tensors {
            let limit = limits.tensors as u64;
            return Err(PthError::Limit { what: "tensors", value: limit.saturating_add(1), limit });
        }
        file.views.push(View {
            name: name.into(),
            dtype: tensor.dtype,
            region,
            offset: tensor.offset,
            shape,
            strides: strides.to_vec(),
        });
    }
    Ok(file)
}

/// The dictionary that is the state dict: the root itself when it holds tensors, else a well-known entry.
fn choose(pickle: &Pickle, root: u32, entry: Option<&str>, file: &mut TensorFile) -> Result<u32, PthError> {
    let tensors = |dict: u32| {
        let values = pickle.dict(dict).iter().map(|&(_, v)| pickle.value(v));
        values.filter(|v| matches!(v, Value::Tensor(_))).count()
    };
    let holds_tensors = |dict: u32| tensors(dict) > 0;
    let nested: Vec<(&str, u32)> = pickle
        .dict(root)
        .iter()
        .filter_map(|&(key, value)| match (pickle.as_str(key), pickle.value(value)) {
            (Some(name), Value::Dict(dict)) if holds_tensors(dict) => Some((name, dict)),
            _ => None,
        })
        .collect();
    let find = |name: &str| nested.iter().find(|(n, _)| *n == name).copied();
    let chosen = match entry {
        Some(name) => match find(name) {
            Some(found) => Some(found),
            None => {
                let there: Vec<String> = nested.iter().map(|(n, _)| quote(n)).collect();
                let found =
                    format!("no entry {} with tensors (there are: {})", quote(name), there.join(", "));
                return Err(PthError::NoStateDict { found });
            }
        },
        None => match STATE_DICT_ENTRIES.iter().find_map(|name| find(name)) {
            // A few tensors beside a state dict (a learning rate, a mean) do not make the whole a state dict.
            Some(found) if tensors(found.1) >= tensors(root) => Some(found),
            _ if holds_tensors(root) => None,
            Some(found) => Some(found),
            None => {
                let keys: Vec<String> = pickle
                    .dict(root)
                    .iter()
                    .filter_map(|&(k, _)| pickle.as_str(k))
                    .take(12)
                    .map(quote)
                    .collect();
                let found = format!("its entries are {}", keys.join(", "));
                return Err(PthError::NoStateDict { found });
            }
        },
    };
    let Some((name, dict)) = chosen else { return Ok(root) };
    file.entry = name.to_string();
    for &(key, _) in pickle.dict(root) {
        let key = pickle.as_str(key).unwrap_or("(a key that is no text)");
        if key == name {
            continue;
        }
        let reason = match STATE_DICT_ENTRIES.contains(&key) && find(key).is_some() {
            true => "another state dict of the same checkpoint",
            false => "part of the training checkpoint, not of the weights",
        };
        file.ignored.push(Ignored { name: key.into(), reason: reason.into() });
    }
    Ok(dict)
}
