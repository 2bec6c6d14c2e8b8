//! Values as yacs reads them: a YAML scalar or list, or a Python literal in a string such as `(0,1,2,3)`.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic
)]

use super::YacsError;
use std::fmt;

/// A value of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list or a tuple.
    List(Vec<Value>),
}

impl Value {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
        }
    }

    /// What a string means.
    pub(super) fn of_text(text: &str) -> Value {
        let text = text.trim();
        let inside = |open, close| text.strip_prefix(open).and_then(|t: &str| t.strip_suffix(close));
        if let Some(inner) = inside('(', ')').or_else(|| inside('[', ']')) {
            // One level is enough: no key of the repositories holds lists of lists.
            let items = inner.split(',').map(str::trim).filter(|item| !item.is_empty());
            return Value::List(items.map(Value::of_word).collect());
        }
        Value::of_word(text)
    }

    fn of_word(text: &str) -> Value {
        for quote in ['\'', '"'] {
            if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
                return Value::Text(inner.to_string());
            }
        }
        let numeric = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
        match text {
            "True" | "true" => Value::Bool(true),
            "False" | "false" => Value::Bool(false),
            "None" | "null" | "~" => Value::Null,
            _ if !numeric => Value::Text(text.to_string()),
            _ => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(n), _) => Value::Int(n),
                (_, Ok(x)) if x.is_finite() => Value::Float(x),
                _ => Value::Text(text.to_string()),
            },
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(n) => write!(f, "{n}"),
            Value::Float(x) => write!(f, "{x}"),
            // A value may be long; a message shows its beginning.
            Value::Text(t) if t.chars().count() > 80 => {
                write!(f, "'{}...'", t.chars().take(80).collect::<String>())
            }
            Value::Text(t) => write!(f, "'{t}'"),
            Value::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().take(40).enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}{item}")?;
                }
                f.write_str("]")
            }
        }
    }
}

/// `KEY VALUE KEY VALUE ...` of the command line.
pub(super) fn pairs(words: &[String]) -> Result<Vec<(String, Value)>, YacsError> {
    words
        .chunks(2)
        .map(|pair| match pair {
            [key, value] => Ok((key.clone(), Value::of_text(value))),
            [key, ..] => Err(YacsError::Setting(format!("{key}: no value after it; write KEY VALUE pairs"))),
            [] => Err(YacsError::Setting("write KEY VALUE pairs".into())),
        })
        .collect()
}
