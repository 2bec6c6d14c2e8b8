//! YAML of label files under limits: bytes, brackets that are open at a time, depth, and the number of values after aliases are
//! followed, so that a small file cannot become a large one.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use std::cell::Cell;
use std::fmt;
use std::path::Path;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::error::DataError;

/// The largest file.
pub const MAX_BYTES: usize = 1 << 20;
/// Brackets that are open at a time: the parser's time grows with their square.
const MAX_OPEN: usize = 64;
/// Mappings and lists in each other.
const MAX_DEPTH: usize = 16;
/// Keys and values, those of aliases counted each time.
const MAX_VALUES: usize = 100_000;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A text, a number or a truth value, as text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Keys and values, in the order of the file.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// The value of a key of a mapping; the last where a key stands twice.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// A text or number.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The texts of a list, of a mapping's values in the order of its numbers (`0: a, 1: b`), or of one text; nothing where they
    /// are not all texts.
    pub fn texts(&self) -> Option<Vec<String>> {
        let one = |v: &Self| v.text().map(String::from);
        match self {
            Self::Null => Some(Vec::new()),
            Self::Text(text) => Some(vec![text.clone()]),
            Self::List(list) => list.iter().map(one).collect(),
            Self::Map(entries) => {
                let mut numbered: Vec<(usize, &Self)> =
                    entries.iter().map(|(k, v)| Some((k.trim().parse().ok()?, v))).collect::<Option<_>>()?;
                numbered.sort_by_key(|(n, _)| *n);
                numbered.into_iter().map(|(_, v)| one(v)).collect()
            }
        }
    }
}

/// Reads a document; `path` is its name in messages.
pub fn parse(text: &str, path: &Path) -> Result<Value, DataError> {
    let too_much = |what: &'static str, limit: usize| DataError::Limit {
        path: path.to_path_buf(),
        what,
        limit: limit as u64,
    };
    if text.len() > MAX_BYTES {
        return Err(too_much("bytes", MAX_BYTES));
    }
    let mut open = 0usize;
    for c in text.bytes() {
        open = match c {
            b'[' | b'{' => open.saturating_add(1),
            b']' | b'}' => open.saturating_sub(1),
            _ => open,
        };
        if open > MAX_OPEN {
            return Err(too_much("open brackets", MAX_OPEN));
        }
    }
    let left = Cell::new(MAX_VALUES);
    let node = Node { left: &left, depth: 0 };
    node.deserialize(yaml_serde::Deserializer::from_str(text)).map_err(|e| match left.get() {
        0 => too_much("values, aliases followed", MAX_VALUES),
        _ => DataError::format(path, format!("it is no YAML: {e}")),
    })
}

/// A value of any kind.
#[derive(Clone, Copy)]
struct Node<'a> {
    left: &'a Cell<usize>,
    depth: usize,
}

impl Node<'_> {
    fn count<E: de::Error>(&self) -> Result<(), E> {
        let left = self.left.get().saturating_sub(1);
        self.left.set(left);
        if left == 0 {
            return Err(E::custom("too many values"));
        }
        if self.depth > MAX_DEPTH {
            return Err(E::custom(format!("mappings and lists are nested {MAX_DEPTH} deep")));
        }
        Ok(())
    }

    fn inner(&self) -> Self {
        Self { left: self.left, depth: self.depth.saturating_add(1) }
    }

    fn scalar<E: de::Error>(self, text: String) -> Result<Value, E> {
        self.count()?;
        Ok(Value::Text(text))
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Value, E> {
        self.scalar(v.to_string())
    }

    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Value, E> {
        self.scalar(v.to_string())
    }

    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Value, E> {
        self.scalar(v.to_string())
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Value, E> {
        self.scalar(v.to_string())
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Value, E> {
        self.scalar(v.to_string())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        self.count()?;
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        self.deserialize(from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        self.count()?;
        let mut out = Vec::new();
        while let Some(value) = from.next_element_seed(self.inner())? {
            out.push(value);
        }
        Ok(Value::List(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        self.count()?;
        let mut out = Vec::new();
        while let Some(key) = from.next_key_seed(self.inner())? {
            let value = from.next_value_seed(self.inner())?;
            let key = match key {
                Value::Text(text) => text,
                Value::Null => String::new(),
                _ => return Err(de::Error::custom("a key is a list or a mapping")),
            };
            out.push((key, value));
        }
        Ok(Value::Map(out))
    }
}
