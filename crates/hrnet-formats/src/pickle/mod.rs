//! A closed pickle machine: the opcodes that `torch.save` emits, a fixed table of names, and nothing that could run.
//!
//! Python's unpickler imports what a stream names and calls what it finds. Here a name is looked up in
//! a fixed table or refused; REDUCE knows the few results a weight file can mean (dictionary, tensor, parameter,
//! size) and turns instances of inert classes into opaque values. There is no recursion: the stack is a vector, values
//! lie in an arena and refer to each other by index. Memory, depth, memo and object count are bounded by [`Limits`].
//!
//! Format: the opcode list of CPython's `pickletools`, protocols 2 to 5 without out-of-band buffers.

mod globals;
mod machine;
mod objects;
mod value;

pub use globals::Global;
pub use value::{Id, Span, StorageRef, TensorRef, Value};

use crate::limits::Limits;

/// Why a pickle is refused. Offsets are bytes from the start of the stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// A name outside the closed table.
    #[error("the pickle names {} (byte {offset}), which is not data: {advice}", crate::limits::quote(&format!("{module}.{name}")))]
    GlobalRefused {
        /// Module.
        module: String,
        /// Name in the module.
        name: String,
        /// Where.
        offset: usize,
        /// What to do.
        advice: &'static str,
    },
    /// An opcode that weight files do not use.
    #[error("pickle opcode {name} ({code:#04x}) at byte {offset} is not allowed: no weight file needs it")]
    OpcodeRefused {
        /// Its byte.
        code: u8,
        /// Its name.
        name: &'static str,
        /// Where.
        offset: usize,
    },
    /// An allowed opcode on values it does not fit.
    #[error("pickle byte {offset}: {opcode} on {found}; wanted {wanted}")]
    Operand {
        /// The opcode.
        opcode: &'static str,
        /// What it found.
        found: String,
        /// What it needs.
        wanted: &'static str,
        /// Where.
        offset: usize,
    },
    /// The stream ends inside an instruction or without STOP.
    #[error("the pickle ends at byte {offset} without STOP: the file is cut short, download it again")]
    Truncated {
        /// Where.
        offset: usize,
    },
    /// Fewer values on the stack than an opcode takes.
    #[error("pickle byte {offset}: the stack is empty")]
    StackUnderflow {
        /// Where.
        offset: usize,
    },
    /// STOP with unfinished business.
    #[error("pickle byte {offset}: STOP with {problem}")]
    Unfinished {
        /// What is left.
        problem: &'static str,
        /// Where.
        offset: usize,
    },
    /// A memo slot that was never filled.
    #[error("pickle byte {offset}: memo slot {slot} is empty")]
    Memo {
        /// The slot.
        slot: usize,
        /// Where.
        offset: usize,
    },
    /// A number in the stream that makes no sense.
    #[error("pickle byte {offset}: {problem}")]
    Malformed {
        /// What.
        problem: String,
        /// Where.
        offset: usize,
    },
    /// A tensor that does not lie inside its storage, or whose sizes overflow.
    #[error("pickle byte {offset}: {problem}")]
    Tensor {
        /// What.
        problem: String,
        /// Where.
        offset: usize,
    },
    /// More than the limits allow.
    #[error("pickle byte {offset}: more {what} than the limit of {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// Where.
        offset: usize,
    },
}

/// The finished arena of one stream.
#[derive(Debug)]
pub struct Pickle<'a> {
    pub(self) stream: &'a [u8],
    values: Vec<Value>,
    elements: Vec<Id>,
    lists: Vec<Vec<Id>>,
    dicts: Vec<Vec<(Id, Id)>>,
    storages: Vec<StorageRef>,
    tensors: Vec<TensorRef>,
    dims: Vec<u64>,
    root: Id,
    length: usize,
}

/// Runs one pickle from the start of `stream` to its STOP. `file` is the size of the whole file, from which the memory
/// limit follows.
pub fn run<'a>(stream: &'a [u8], file: u64, limits: &Limits) -> Result<Pickle<'a>, PickleError> {
    let cap = usize::try_from(limits.pickle_stream).unwrap_or(usize::MAX).min(u32::MAX as usize);
    if stream.len() > cap {
        return Err(PickleError::Limit { what: "bytes of pickle", limit: cap, offset: 0 });
    }
    machine::Machine::new(stream, file, limits)?.run()
}

impl<'a> Pickle<'a> {
    /// The object that the stream describes.
    pub fn root(&self) -> Id {
        self.root
    }

    /// Bytes up to and including STOP.
    pub fn length(&self) -> usize {
        self.length
    }

    /// A value.
    pub fn value(&self, id: Id) -> Value {
        self.values.get(id.0 as usize).copied().unwrap_or(Value::None)
    }

    /// A text range.
    pub fn text(&self, span: Span) -> &'a str {
        let start = span.start as usize;
        let bytes = self.stream.get(start..start.saturating_add(span.len as usize)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The text of a value that is text.
    pub fn as_str(&self, id: Id) -> Option<&'a str> {
        match self.value(id) {
            Value::Str(span) => Some(self.text(span)),
            _ => None,
        }
    }

    /// Elements of a tuple.
    pub fn tuple(&self, span: Span) -> &[Id] {
        let start = span.start as usize;
        self.elements.get(start..start.saturating_add(span.len as usize)).unwrap_or_default()
    }

    /// Elements of a list.
    pub fn list(&self, list: u32) -> &[Id] {
        self.lists.get(list as usize).map_or(&[], Vec::as_slice)
    }

    /// Entries of a dictionary in the order of insertion; keys may repeat.
    pub fn dict(&self, dict: u32) -> &[(Id, Id)] {
        self.dicts.get(dict as usize).map_or(&[], Vec::as_slice)
    }

    /// All tensors of the stream.
    pub fn tensors(&self) -> &[TensorRef] {
        &self.tensors
    }

    /// A tensor.
    pub fn tensor(&self, tensor: u32) -> Option<&TensorRef> {
        self.tensors.get(tensor as usize)
    }

    /// All storages, one per mention.
    pub fn storages(&self) -> &[StorageRef] {
        &self.storages
    }

    /// Shape and strides of a tensor, in elements.
    pub fn dims(&self, tensor: &TensorRef) -> (&[u64], &[u64]) {
        let start = tensor.dims.start as usize;
        let dims = self.dims.get(start..start.saturating_add(tensor.dims.len as usize)).unwrap_or_default();
        dims.split_at_checked(dims.len() >> 1).unwrap_or_default()
    }
}
