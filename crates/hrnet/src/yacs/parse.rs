//! From YAML text to dotted keys with values.
//!
//! Limits first: bytes, brackets that are open at a time (libyaml's time grows with their square), depth, and the number of
//! values after aliases are followed. Keys and types are checked while the text is read, so that errors know the line.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use super::keys::{self, Repository};
use super::{Value, YacsError};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;

/// The largest file; the official ones have about 3,000 bytes.
pub(super) const MAX_BYTES: usize = 64 * 1024;
/// Sections in sections; the repositories have four levels.
const MAX_DEPTH: usize = 8;
/// Keys and values, those of aliases counted each time; the official files have about 200.
const MAX_VALUES: usize = 4096;

/// All settings of a file by their dotted keys.
pub(super) type Settings = BTreeMap<String, Value>;

/// `MODEL.NAME`, which says whose file it is; keys are not checked.
pub(super) fn name(text: &str, pairs: &[(String, Value)]) -> Result<String, YacsError> {
    let settings = read(text, None)?;
    let given = pairs.iter().rev().find(|(key, _)| key == "MODEL.NAME").map(|(_, value)| value);
    match given.or_else(|| settings.get("MODEL.NAME")) {
        Some(Value::Text(name)) => Ok(name.clone()),
        Some(other) => {
            Err(YacsError::Setting(format!("MODEL.NAME: text is wanted, not {} ({other})", other.kind())))
        }
        None => Err(YacsError::Setting(format!(
            "MODEL.NAME is missing, so it is not known which repository's file this is; it is one of {}",
            Repository::names()
        ))),
    }
}

/// The settings, every key and type checked.
pub(super) fn settings(text: &str, repository: Repository) -> Result<Settings, YacsError> {
    read(text, Some(repository))
}

fn read(text: &str, repository: Option<Repository>) -> Result<Settings, YacsError> {
    if text.len() > MAX_BYTES {
        let size = text.len();
        return Err(YacsError::Text(format!(
            "{size} bytes; configurations of up to {MAX_BYTES} bytes are read"
        )));
    }
    let mut open = 0_usize;
    for c in text.bytes() {
        open = match c {
            b'[' | b'{' => open.saturating_add(1),
            b']' | b'}' => open.saturating_sub(1),
            _ => open,
        };
        if open > 64 {
            return Err(YacsError::Text("more than 64 open brackets".into()));
        }
    }
    let shared = Shared {
        repository,
        left: Cell::new(MAX_VALUES),
        problem: RefCell::default(),
        settings: RefCell::default(),
    };
    let reader = Section { shared: &shared, path: String::new(), depth: 0 };
    match reader.deserialize(yaml_serde::Deserializer::from_str(text)) {
        Ok(()) => Ok(shared.settings.into_inner()),
        Err(error) => Err(match (shared.problem.into_inner(), error.location()) {
            (Some(problem), Some(at)) => YacsError::Place { line: at.line(), column: at.column(), problem },
            (Some(problem), None) => YacsError::Text(problem),
            (None, _) => YacsError::Text(format!("not a YAML file: {error}")),
        }),
    }
}

/// What all readers of a text share.
struct Shared {
    repository: Option<Repository>,
    /// Values that may still come.
    left: Cell<usize>,
    /// What our side found; the error of the deserialiser adds the place.
    problem: RefCell<Option<String>>,
    settings: RefCell<Settings>,
}

impl Shared {
    fn fail<E: de::Error>(&self, problem: String) -> E {
        *self.problem.borrow_mut() = Some(problem);
        E::custom("not accepted")
    }

    fn count<E: de::Error>(&self) -> Result<(), E> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.fail(format!("more than {MAX_VALUES} values, aliases followed"))),
        }
    }
}

/// A mapping, or the value of one key.
struct Section<'a> {
    shared: &'a Shared,
    path: String,
    depth: usize,
}

impl Section<'_> {
    /// Keeps a value that is not a section.
    fn keep<E: de::Error>(&self, value: Value) -> Result<(), E> {
        self.shared.count()?;
        if self.path.is_empty() {
            return Err(self.shared.fail(format!("a mapping of sections is wanted, not {}", value.kind())));
        }
        let value = match self.shared.repository {
            Some(repository) => {
                keys::check(repository, &self.path, value).map_err(|e| self.shared.fail(e))?
            }
            None => value,
        };
        self.shared.settings.borrow_mut().insert(self.path.clone(), value);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Section<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Section<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a section, a number, text or a list of these")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.shared.count()?;
        if self.depth >= MAX_DEPTH {
            return Err(self.shared.fail(format!("{}: more than {MAX_DEPTH} levels", self.path)));
        }
        let mut seen = Vec::new();
        loop {
            let key = Key { shared: self.shared, parent: &self.path, seen: &seen };
            let Some((path, name)) = map.next_key_seed(key)? else { return Ok(()) };
            seen.push(name);
            let depth = self.depth.saturating_add(1);
            map.next_value_seed(Section { shared: self.shared, path, depth })?;
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut items = Vec::new();
        while let Some(Item(item)) = seq.next_element()? {
            self.shared.count()?;
            items.push(item);
        }
        self.keep(Value::List(items))
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<(), E> {
        self.keep(Value::Bool(v))
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<(), E> {
        self.keep(Value::Int(v))
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> Result<(), E> {
        self.keep(Value::Int(i64::try_from(v).unwrap_or(i64::MAX)))
    }
    fn visit_f64<E: de::Error>(self, v: f64) -> Result<(), E> {
        self.keep(Value::Float(v))
    }
    fn visit_str<E: de::Error>(self, v: &str) -> Result<(), E> {
        self.keep(Value::of_text(v))
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        // An empty file or section.
        if self.path.is_empty() {
            return Err(self.shared.fail("the file is empty".into()));
        }
        self.keep(Value::Null)
    }
    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        self.visit_unit()
    }
}

/// A key, whole: its dotted path, and its own name.
struct Key<'a> {
    shared: &'a Shared,
    parent: &'a str,
    seen: &'a [String],
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = (String, String);
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = (String, String);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        let path = if self.parent.is_empty() { name.into() } else { format!("{}.{name}", self.parent) };
        if self.seen.iter().any(|s| s == name) {
            return Err(self.shared.fail(format!("{path}: given twice; leave one of them out")));
        }
        if let Some(repository) = self.shared.repository {
            keys::known(repository, &path).map_err(|e| self.shared.fail(e))?;
        }
        Ok((path, name.to_string()))
    }
}

/// An element of a list.
struct Item(Value);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or text")
            }
            fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
                Ok(Value::Bool(v))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
                Ok(Value::Int(v))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
                Ok(Value::Int(i64::try_from(v).unwrap_or(i64::MAX)))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
                Ok(Value::Float(v))
            }
            fn visit_str<E>(self, v: &str) -> Result<Value, E> {
                Ok(Value::of_text(v))
            }
        }
        deserializer.deserialize_any(Scalar).map(Item)
    }
}
