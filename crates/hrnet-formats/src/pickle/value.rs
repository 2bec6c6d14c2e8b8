//! Values of a pickle in an arena. They refer to each other by index, so that cycles are harmless and dropping never
//! recurses.

use super::PickleError;
use super::globals::Global;
use crate::dtype::DType;

/// Index of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub(super) u32);

/// A range of the stream (text) or of the pool of tuple elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A longer integer, a float, bytes: plain data that nobody reads here.
    Opaque,
    /// Text: a range of the stream.
    Str(Span),
    /// A tuple: a range of the element pool.
    Tuple(Span),
    /// A list: index among the lists.
    List(u32),
    /// A dictionary: index among the dictionaries.
    Dict(u32),
    /// A name of the closed table.
    Global(Global),
    /// A tensor storage: index among the storages.
    Storage(u32),
    /// A tensor: index among the tensors.
    Tensor(u32),
    /// An instance of an inert class; its contents are dropped.
    Inert,
}

impl Value {
    /// A word for messages.
    pub fn kind(self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "a bool",
            Value::Int(_) => "an integer",
            Value::Opaque => "a plain value",
            Value::Str(_) => "text",
            Value::Tuple(_) => "a tuple",
            Value::List(_) => "a list",
            Value::Dict(_) => "a dictionary",
            Value::Global(_) => "a class or function",
            Value::Storage(_) => "a storage",
            Value::Tensor(_) => "a tensor",
            Value::Inert => "an opaque object",
        }
    }

    /// Whether Python accepts it as a dictionary key, as far as weight files go.
    pub(super) fn is_key(self) -> bool {
        matches!(self, Value::None | Value::Bool(_) | Value::Int(_) | Value::Opaque | Value::Str(_))
            || matches!(self, Value::Tuple(_) | Value::Inert | Value::Global(_))
    }
}

/// A storage that the stream mentions by a persistent id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageRef {
    /// Element type; `None` for untyped bytes.
    pub dtype: Option<DType>,
    /// The key under which the container keeps it.
    pub key: Span,
    /// Elements.
    pub len: u64,
    /// For views of another storage (before PyTorch 0.4): first element in the root storage, whose key is `key`.
    pub base: u64,
    /// Whether `base` and `len` describe a part of the root storage.
    pub is_view: bool,
}

/// A tensor over a storage; verified to lie inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorRef {
    /// Index of the storage.
    pub storage: u32,
    /// Element type.
    pub dtype: DType,
    /// First element, counted from the start of the root storage.
    pub offset: u64,
    /// Range of the dimension pool: shape, then strides.
    pub(super) dims: Span,
}

/// Memory spent by the machine.
#[derive(Debug)]
pub(super) struct Budget {
    used: usize,
    limit: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { used: 0, limit }
    }

    /// Makes room for one more element; growth doubles and is charged before it happens.
    pub(super) fn room<T>(&mut self, list: &mut Vec<T>, at: usize) -> Result<(), PickleError> {
        if list.len() < list.capacity() {
            return Ok(());
        }
        let wanted = list.capacity().saturating_mul(2).max(4);
        self.grow(list, wanted, at)
    }

    /// Makes room for `wanted` elements in all.
    pub(super) fn grow<T>(&mut self, list: &mut Vec<T>, wanted: usize, at: usize) -> Result<(), PickleError> {
        let size = size_of::<T>();
        let bytes = wanted.saturating_mul(size);
        let old = list.capacity().saturating_mul(size);
        // While the elements move, the old and the new block exist together.
        if self.used.saturating_add(bytes) > self.limit {
            return Err(PickleError::Limit { what: "memory", limit: self.limit, offset: at });
        }
        list.try_reserve_exact(wanted.saturating_sub(list.len())).map_err(|_| PickleError::Limit {
            what: "memory",
            limit: self.limit,
            offset: at,
        })?;
        self.used = self.used.saturating_add(bytes.saturating_sub(old));
        Ok(())
    }

    pub(super) fn push<T>(&mut self, list: &mut Vec<T>, value: T, at: usize) -> Result<(), PickleError> {
        self.room(list, at)?;
        list.push(value);
        Ok(())
    }
}
