//! The instruction loop and the meaning of each allowed opcode.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![deny(clippy::cast_possible_truncation, clippy::panic)]

use super::globals::{Global, advice, lookup};
use super::value::{Budget, Id, Span, StorageRef, TensorRef, Value};
use super::{Pickle, PickleError};
use crate::dtype::DType;
use crate::limits::Limits;

/// Longest integer in bytes; nothing here reads integers beyond 64 bits.
const MAX_LONG: usize = 1024;
const NO_SLOT: u32 = u32::MAX;
const NONE: Id = Id(0);
const TRUE: Id = Id(1);
const FALSE: Id = Id(2);
const EMPTY_TUPLE: Id = Id(3);

pub(super) struct Machine<'a> {
    out: Pickle<'a>,
    /// Depth of each value: leaves 0, containers one more than their deepest element at the time of insertion.
    depths: Vec<u16>,
    stack: Vec<Id>,
    marks: Vec<u32>,
    memo: Vec<u32>,
    memo_count: usize,
    at: usize,
    /// Start of the current instruction.
    op: usize,
    budget: Budget,
    max_depth: usize,
    max_memo: usize,
    max_objects: usize,
    max_rank: usize,
}

type Step<T = ()> = Result<T, PickleError>;

impl<'a> Machine<'a> {
    pub(super) fn new(stream: &'a [u8], file: u64, limits: &Limits) -> Step<Self> {
        let half = usize::try_from(file >> 1).unwrap_or(usize::MAX);
        let mut machine = Self {
            out: Pickle {
                stream,
                values: Vec::new(),
                elements: Vec::new(),
                lists: Vec::new(),
                dicts: Vec::new(),
                storages: Vec::new(),
                tensors: Vec::new(),
                dims: Vec::new(),
                root: NONE,
                length: 0,
            },
            depths: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            memo_count: 0,
            at: 0,
            op: 0,
            budget: Budget::new(limits.pickle_memory.saturating_add(half)),
            max_depth: limits.pickle_depth.min(u16::MAX.into()),
            max_memo: limits.pickle_memo,
            max_objects: limits.pickle_objects.min(u32::MAX as usize),
            max_rank: limits.rank,
        };
        let empty = Value::Tuple(Span { start: 0, len: 0 });
        for value in [Value::None, Value::Bool(true), Value::Bool(false), empty] {
            machine.new_value(value, 0)?;
        }
        Ok(machine)
    }

    pub(super) fn run(mut self) -> Step<Pickle<'a>> {
        loop {
            self.op = self.at;
            let [code] = self.array()?;
            if code == b'.' {
                break;
            }
            self.step(code)?;
        }
        if !self.marks.is_empty() {
            return Err(PickleError::Unfinished { problem: "an open mark", offset: self.op });
        }
        let root = self.pop()?;
        if !self.stack.is_empty() {
            return Err(PickleError::Unfinished { problem: "more than one value", offset: self.op });
        }
        self.out.root = root;
        self.out.length = self.at;
        Ok(self.out)
    }

    fn step(&mut self, code: u8) -> Step {
        match code {
            0x80 => {
                let [version] = self.array()?;
                if !(2..=5).contains(&version) {
                    return Err(self.malformed(format!("protocol {version}; torch.save writes 2 to 5")));
                }
                Ok(())
            }
            0x95 => {
                let length = u64::from_le_bytes(self.array()?);
                let left = self.out.stream.len().saturating_sub(self.at) as u64;
                if length > left {
                    return Err(PickleError::Truncated { offset: self.op });
                }
                Ok(())
            }
            b'(' => {
                if self.marks.len() >= self.max_depth {
                    let limit = self.max_depth;
                    return Err(PickleError::Limit { what: "open marks", limit, offset: self.op });
                }
                let height = u32::try_from(self.stack.len()).map_err(|_| self.too_many())?;
                self.budget.push(&mut self.marks, height, self.op)
            }
            b'0' => {
                // Python's POP removes an open mark that lies on top.
                if self.marks.last().is_some_and(|&m| m as usize == self.stack.len()) {
                    self.marks.pop();
                    return Ok(());
                }
                self.pop().map(drop)
            }
            b'1' => self.pop_mark().map(drop),
            b'N' => self.push(NONE),
            0x88 => self.push(TRUE),
            0x89 => self.push(FALSE),
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push_new(Value::Int(value.into()), 0)
            }
            b'K' => {
                let [value] = self.array()?;
                self.push_new(Value::Int(value.into()), 0)
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?);
                self.push_new(Value::Int(value.into()), 0)
            }
            0x8A => {
                let [len] = self.array()?;
                self.long(len.into())
            }
            0x8B => {
                let len = self.length32()?;
                if len > MAX_LONG {
                    return Err(self.malformed(format!("an integer of {len} bytes")));
                }
                self.long(len)
            }
            b'G' => {
                self.take(8)?;
                self.push_new(Value::Opaque, 0)
            }
            b'X' | b'T' => {
                let len = self.length32()?;
                self.text(len, code == b'X')
            }
            0x8C | b'U' => {
                let [len] = self.array()?;
                self.text(len.into(), code == 0x8C)
            }
            0x8D => {
                let len = self.length64()?;
                self.text(len, true)
            }
            b'B' => {
                let len = self.length32()?;
                self.opaque(len)
            }
            b'C' => {
                let [len] = self.array()?;
                self.opaque(len.into())
            }
            0x8E | 0x96 => {
                let len = self.length64()?;
                self.opaque(len)
            }
            b')' => self.push(EMPTY_TUPLE),
            b't' => {
                let from = self.pop_mark()?;
                self.tuple(from)
            }
            0x85..=0x87 => {
                let from = self.need(usize::from(code.wrapping_sub(0x84)))?;
                self.tuple(from)
            }
            b']' => self.push_list().map(drop),
            b'a' => {
                let from = self.need(1)?;
                self.append("APPEND", from)
            }
            b'e' => {
                let from = self.pop_mark()?;
                self.append("APPENDS", from)
            }
            b'}' => self.push_dict().map(drop),
            b's' => {
                let from = self.need(2)?;
                self.set_items("SETITEM", from)
            }
            b'u' => {
                let from = self.pop_mark()?;
                self.set_items("SETITEMS", from)
            }
            0x8F => self.push_new(Value::Inert, 0),
            0x90 => {
                let from = self.pop_mark()?;
                self.stack.truncate(from);
                match self.top()? {
                    (_, Value::Inert) => Ok(()),
                    (_, other) => Err(self.operand("ADDITEMS", other.kind(), "a set")),
                }
            }
            0x91 => {
                let from = self.pop_mark()?;
                self.stack.truncate(from);
                self.push_new(Value::Inert, 0)
            }
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.global(module, name)
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                match (self.out.as_str(module), self.out.as_str(name)) {
                    (Some(module), Some(name)) => self.global(module, name),
                    _ => {
                        let found = self.out.value(name).kind();
                        Err(self.operand("STACK_GLOBAL", found, "two texts"))
                    }
                }
            }
            b'R' => self.reduce(),
            0x81 => self.new_object(),
            b'b' => self.build(),
            b'Q' => self.persistent(),
            b'q' => {
                let [slot] = self.array()?;
                self.put(slot.into())
            }
            b'r' => {
                let slot = self.length32()?;
                self.put(slot)
            }
            0x94 => self.put(self.memo_count),
            b'h' => {
                let [slot] = self.array()?;
                self.get(slot.into())
            }
            b'j' => {
                let slot = self.length32()?;
                self.get(slot)
            }
            _ => Err(PickleError::OpcodeRefused { code, name: opcode_name(code), offset: self.op }),
        }
    }

    // ---- reading the stream

    fn take(&mut self, len: usize) -> Step<&'a [u8]> {
        let end = self.at.checked_add(len).ok_or(PickleError::Truncated { offset: self.op })?;
        let bytes = self.out.stream.get(self.at..end).ok_or(PickleError::Truncated { offset: self.op })?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        self.take(N)?.first_chunk().copied().ok_or(PickleError::Truncated { offset: self.op })
    }

    fn length32(&mut self) -> Step<usize> {
        let len = u32::from_le_bytes(self.array()?);
        usize::try_from(len).map_err(|_| PickleError::Truncated { offset: self.op })
    }

    fn length64(&mut self) -> Step<usize> {
        let len = u64::from_le_bytes(self.array()?);
        usize::try_from(len).map_err(|_| PickleError::Truncated { offset: self.op })
    }

    /// Text up to a line feed, as the GLOBAL opcode has it.
    fn line(&mut self) -> Step<&'a str> {
        let rest = self.out.stream.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|&b| b == b'\n').ok_or(PickleError::Truncated { offset: self.op })?;
        let bytes = self.take(len)?;
        self.take(1)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("a name that is not UTF-8".into()))
    }

    fn long(&mut self, len: usize) -> Step {
        let bytes = self.take(len)?;
        if len > 8 {
            return self.push_new(Value::Opaque, 0);
        }
        let negative = bytes.last().is_some_and(|&b| b >= 0x80);
        let mut wide = if negative { [0xFF; 8] } else { [0; 8] };
        for (to, from) in wide.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.push_new(Value::Int(i64::from_le_bytes(wide)), 0)
    }

    fn text(&mut self, len: usize, unicode: bool) -> Step {
        let start = u32::try_from(self.at).map_err(|_| self.too_many())?;
        let bytes = self.take(len)?;
        match (std::str::from_utf8(bytes), u32::try_from(len)) {
            (Ok(_), Ok(len)) => self.push_new(Value::Str(Span { start, len }), 0),
            (Err(_), _) if !unicode => self.push_new(Value::Opaque, 0),
            _ => Err(self.malformed("text that is not UTF-8".into())),
        }
    }

    fn opaque(&mut self, len: usize) -> Step {
        self.take(len)?;
        self.push_new(Value::Opaque, 0)
    }

    // ---- stack and arena

    fn new_value(&mut self, value: Value, depth: u16) -> Step<Id> {
        if self.out.values.len() >= self.max_objects {
            return Err(self.too_many());
        }
        let id = Id(u32::try_from(self.out.values.len()).map_err(|_| self.too_many())?);
        self.budget.push(&mut self.out.values, value, self.op)?;
        self.budget.push(&mut self.depths, depth, self.op)?;
        Ok(id)
    }

    fn push(&mut self, id: Id) -> Step {
        self.budget.push(&mut self.stack, id, self.op)
    }

    fn push_new(&mut self, value: Value, depth: u16) -> Step {
        let id = self.new_value(value, depth)?;
        self.push(id)
    }

    fn push_list(&mut self) -> Step<u32> {
        let index = u32::try_from(self.out.lists.len()).map_err(|_| self.too_many())?;
        self.budget.push(&mut self.out.lists, Vec::new(), self.op)?;
        self.push_new(Value::List(index), 0)?;
        Ok(index)
    }

    fn push_dict(&mut self) -> Step<u32> {
        let index = u32::try_from(self.out.dicts.len()).map_err(|_| self.too_many())?;
        self.budget.push(&mut self.out.dicts, Vec::new(), self.op)?;
        self.push_new(Value::Dict(index), 0)?;
        Ok(index)
    }

    /// Height above which values may be taken: the innermost open mark.
    fn floor(&self) -> usize {
        self.marks.last().map_or(0, |&m| m as usize)
    }

    fn underflow(&self) -> PickleError {
        PickleError::StackUnderflow { offset: self.op }
    }

    fn pop(&mut self) -> Step<Id> {
        if self.stack.len() <= self.floor() {
            return Err(self.underflow());
        }
        self.stack.pop().ok_or_else(|| self.underflow())
    }

    fn top(&self) -> Step<(Id, Value)> {
        if self.stack.len() <= self.floor() {
            return Err(self.underflow());
        }
        let id = *self.stack.last().ok_or_else(|| self.underflow())?;
        Ok((id, self.out.value(id)))
    }

    /// Stack height below the top `count` values.
    fn need(&self, count: usize) -> Step<usize> {
        self.stack.len().checked_sub(count).filter(|&h| h >= self.floor()).ok_or_else(|| self.underflow())
    }

    /// Closes the innermost mark and returns the height at which it was set.
    fn pop_mark(&mut self) -> Step<usize> {
        self.marks.pop().map(|m| m as usize).ok_or_else(|| self.underflow())
    }

    fn depth(&self, id: Id) -> u16 {
        self.depths.get(id.0 as usize).copied().unwrap_or(0)
    }

    /// Depth of a container of these values.
    fn depth_over(&self, deepest: u16) -> Step<u16> {
        let depth = deepest.saturating_add(1);
        if usize::from(depth) > self.max_depth {
            let limit = self.max_depth;
            return Err(PickleError::Limit { what: "levels of nesting", limit, offset: self.op });
        }
        Ok(depth)
    }

    fn deepen(&mut self, container: Id, deepest: u16) -> Step {
        let depth = self.depth_over(deepest)?;
        if let Some(own) = self.depths.get_mut(container.0 as usize) {
            *own = depth.max(*own);
        }
        Ok(())
    }

    fn tuple(&mut self, from: usize) -> Step {
        let count = self.stack.len().saturating_sub(from);
        if count == 0 {
            return self.push(EMPTY_TUPLE);
        }
        let start = u32::try_from(self.out.elements.len()).map_err(|_| self.too_many())?;
        let len = u32::try_from(count).map_err(|_| self.too_many())?;
        let mut deepest = 0;
        for i in from..self.stack.len() {
            let id = self.stack.get(i).copied().unwrap_or(NONE);
            deepest = deepest.max(self.depth(id));
            self.budget.push(&mut self.out.elements, id, self.op)?;
        }
        let depth = self.depth_over(deepest)?;
        self.stack.truncate(from);
        self.push_new(Value::Tuple(Span { start, len }), depth)
    }

    fn tuple_elements(&self, span: Span) -> &[Id] {
        let start = span.start as usize;
        self.out.elements.get(start..start.saturating_add(span.len as usize)).unwrap_or_default()
    }

    fn append(&mut self, opcode: &'static str, from: usize) -> Step {
        let target = from.checked_sub(1).filter(|&t| t >= self.floor()).ok_or_else(|| self.underflow())?;
        let id = self.stack.get(target).copied().unwrap_or(NONE);
        let Value::List(list) = self.out.value(id) else {
            return Err(self.operand(opcode, self.out.value(id).kind(), "a list"));
        };
        let mut deepest = 0;
        for i in from..self.stack.len() {
            let element = self.stack.get(i).copied().unwrap_or(NONE);
            deepest = deepest.max(self.depth(element));
            if let Some(list) = self.out.lists.get_mut(list as usize) {
                self.budget.push(list, element, self.op)?;
            }
        }
        self.stack.truncate(from);
        self.deepen(id, deepest)
    }

    fn set_items(&mut self, opcode: &'static str, from: usize) -> Step {
        let target = from.checked_sub(1).filter(|&t| t >= self.floor()).ok_or_else(|| self.underflow())?;
        let id = self.stack.get(target).copied().unwrap_or(NONE);
        let Value::Dict(dict) = self.out.value(id) else {
            return Err(self.operand(opcode, self.out.value(id).kind(), "a dictionary"));
        };
        let count = self.stack.len().saturating_sub(from);
        if count & 1 != 0 {
            return Err(self.operand(opcode, "a key without a value", "pairs"));
        }
        let mut deepest = 0;
        for i in (from..self.stack.len()).step_by(2) {
            let key = self.stack.get(i).copied().unwrap_or(NONE);
            let value = self.stack.get(i.saturating_add(1)).copied().unwrap_or(NONE);
            self.insert(opcode, dict, key, value)?;
            deepest = deepest.max(self.depth(key)).max(self.depth(value));
        }
        self.stack.truncate(from);
        self.deepen(id, deepest)
    }

    fn insert(&mut self, opcode: &'static str, dict: u32, key: Id, value: Id) -> Step {
        let kind = self.out.value(key);
        if !kind.is_key() {
            return Err(self.operand(opcode, kind.kind(), "a key that can be hashed"));
        }
        match self.out.dicts.get_mut(dict as usize) {
            Some(entries) => self.budget.push(entries, (key, value), self.op),
            None => Ok(()),
        }
    }

    fn put(&mut self, slot: usize) -> Step {
        let (id, _) = self.top()?;
        if slot >= self.max_memo {
            return Err(PickleError::Limit { what: "memo slots", limit: self.max_memo, offset: self.op });
        }
        if slot >= self.memo.len() {
            let wanted = slot.saturating_add(1);
            if wanted > self.memo.capacity() {
                let wanted = wanted.max(self.memo.capacity().saturating_mul(2)).min(self.max_memo);
                self.budget.grow(&mut self.memo, wanted, self.op)?;
            }
            self.memo.resize(wanted, NO_SLOT);
        }
        if let Some(entry) = self.memo.get_mut(slot) {
            if *entry == NO_SLOT {
                self.memo_count = self.memo_count.saturating_add(1);
            }
            *entry = id.0;
        }
        Ok(())
    }

    fn get(&mut self, slot: usize) -> Step {
        match self.memo.get(slot) {
            Some(&id) if id != NO_SLOT => self.push(Id(id)),
            _ => Err(PickleError::Memo { slot, offset: self.op }),
        }
    }

    // ---- names, objects, tensors

    fn global(&mut self, module: &str, name: &str) -> Step {
        match lookup(module, name) {
            Some(global) => self.push_new(Value::Global(global), 0),
            None => Err(PickleError::GlobalRefused {
                module: module.chars().take(200).collect(),
                name: name.chars().take(200).collect(),
                offset: self.op,
                advice: advice(module, name),
            }),
        }
    }

    fn reduce(&mut self) -> Step {
        let args = self.pop()?;
        let callee = self.pop()?;
        let Value::Tuple(args) = self.out.value(args) else {
            return Err(self.operand("REDUCE", self.out.value(args).kind(), "a tuple of arguments"));
        };
        let Value::Global(global) = self.out.value(callee) else {
            return Err(self.operand("REDUCE", self.out.value(callee).kind(), "a known function"));
        };
        match global {
            Global::OrderedDict => self.ordered_dict(args),
            Global::RebuildTensor | Global::RebuildTensorV2 | Global::RebuildTensorV3 => {
                self.tensor(global, args)
            }
            Global::RebuildParameter => {
                let data = self.tuple_elements(args).first().copied();
                match data.map(|id| (id, self.out.value(id))) {
                    Some((id, Value::Tensor(_))) => self.push(id),
                    _ => Err(self.operand("_rebuild_parameter", "other arguments", "a tensor first")),
                }
            }
            Global::Size => match *self.tuple_elements(args) {
                [] => self.push(EMPTY_TUPLE),
                [id] if matches!(self.out.value(id), Value::Tuple(_)) => self.push(id),
                _ => Err(self.operand("torch.Size", "other arguments", "one tuple")),
            },
            Global::Inert => self.push_new(Value::Inert, 0),
            Global::Storage(_) | Global::UntypedStorage | Global::DType(_) | Global::Namespace => {
                Err(self.operand("REDUCE", "a class that is never called", "a known function"))
            }
        }
    }

    /// `OrderedDict()`, or `OrderedDict([[key, value], ...])` as Python 2 writes it.
    fn ordered_dict(&mut self, args: Span) -> Step {
        let pairs = match *self.tuple_elements(args) {
            [] => return self.push_dict().map(drop),
            [id] => id,
            _ => return Err(self.operand("OrderedDict", "several arguments", "none or one list of pairs")),
        };
        let Value::List(list) = self.out.value(pairs) else {
            let found = self.out.value(pairs).kind();
            return Err(self.operand("OrderedDict", found, "none or one list of pairs"));
        };
        let deepest = self.depth(pairs);
        let dict = self.push_dict()?;
        for i in 0..self.out.list(list).len() {
            let pair = self.out.list(list).get(i).copied().unwrap_or(NONE);
            let pair = match self.out.value(pair) {
                Value::List(pair) => self.out.list(pair),
                Value::Tuple(span) => self.tuple_elements(span),
                _ => &[],
            };
            let &[key, value] = pair else {
                return Err(self.operand("OrderedDict", "an element that is no pair", "a list of pairs"));
            };
            self.insert("OrderedDict", dict, key, value)?;
        }
        let (id, _) = self.top()?;
        self.deepen(id, deepest)
    }

    fn new_object(&mut self) -> Step {
        let args = self.pop()?;
        let class = self.pop()?;
        match (self.out.value(class), self.out.value(args)) {
            (Value::Global(Global::Namespace), Value::Tuple(Span { len: 0, .. })) => {
                self.push_new(Value::Inert, 0)
            }
            (class, _) => Err(self.operand("NEWOBJ", class.kind(), "argparse.Namespace without arguments")),
        }
    }

    /// BUILD gives an object its state: the metadata of a state dict, or the contents of an inert object. Both are dropped.
    fn build(&mut self) -> Step {
        let state = self.pop()?;
        let state = self.out.value(state);
        let (_, target) = self.top()?;
        match (target, state) {
            (Value::Dict(_) | Value::Inert, Value::Dict(_) | Value::Tuple(_)) => Ok(()),
            (Value::Dict(_) | Value::Inert, state) => {
                Err(self.operand("BUILD", state.kind(), "a dictionary or tuple of state"))
            }
            (target, _) => Err(self.operand("BUILD", target.kind(), "a state dict or an inert object")),
        }
    }

    /// `('storage', class, key, location, elements)`, in legacy files with a sixth element that describes a view.
    fn persistent(&mut self) -> Step {
        let id = self.pop()?;
        let wanted = "('storage', class, key, location, elements)";
        let Value::Tuple(span) = self.out.value(id) else {
            return Err(self.operand("BINPERSID", self.out.value(id).kind(), wanted));
        };
        let (head, view) = match *self.tuple_elements(span) {
            [a, b, c, d, e] => ([a, b, c, d, e], NONE),
            [a, b, c, d, e, view] => ([a, b, c, d, e], view),
            _ => return Err(self.operand("BINPERSID", "a tuple of another length", wanted)),
        };
        let [tag, class, key, location, len] = head;
        if self.out.as_str(tag) == Some("module") {
            return Err(PickleError::GlobalRefused {
                module: "torch.nn".into(),
                name: "Module (with its source code)".into(),
                offset: self.op,
                advice: advice("torch.nn", "Module"),
            });
        }
        let values = [tag, class, key, location, len].map(|id| self.out.value(id));
        let [Value::Str(tag), Value::Global(class), Value::Str(key), Value::Str(_), Value::Int(len)] = values
        else {
            return Err(self.operand("BINPERSID", "elements of other types", wanted));
        };
        let dtype = match class {
            Global::Storage(dtype) => Some(dtype),
            Global::UntypedStorage => None,
            _ => return Err(self.operand("BINPERSID", "a class that is no storage", wanted)),
        };
        if self.out.text(tag) != "storage" {
            return Err(self.operand("BINPERSID", "another tag", wanted));
        }
        let negative = |_| self.malformed("a storage with a negative size".into());
        let mut len = u64::try_from(len).map_err(negative)?;
        let (mut base, mut is_view) = (0, false);
        if let Value::Tuple(view) = self.out.value(view) {
            // (key of the view, first element in the root, elements)
            let parts = match *self.tuple_elements(view) {
                [_, offset, size] => [self.out.value(offset), self.out.value(size)],
                _ => return Err(self.operand("BINPERSID", "a view of another form", wanted)),
            };
            let [Value::Int(offset), Value::Int(size)] = parts else {
                return Err(self.operand("BINPERSID", "a view of another form", wanted));
            };
            let (offset, size) =
                (u64::try_from(offset).map_err(negative)?, u64::try_from(size).map_err(negative)?);
            if offset.checked_add(size).is_none_or(|end| end > len) {
                return Err(self.tensor_error("a storage view reaches outside its storage".into()));
            }
            (base, len, is_view) = (offset, size, true);
        } else if self.out.value(view) != Value::None {
            return Err(self.operand("BINPERSID", "a view of another form", wanted));
        }
        if dtype.is_none() && is_view {
            return Err(self.operand("BINPERSID", "a view of an untyped storage", wanted));
        }
        let index = u32::try_from(self.out.storages.len()).map_err(|_| self.too_many())?;
        let storage = StorageRef { dtype, key, len, base, is_view };
        self.budget.push(&mut self.out.storages, storage, self.op)?;
        self.push_new(Value::Storage(index), 0)
    }

    fn tensor(&mut self, global: Global, args: Span) -> Step {
        let wanted = "(storage, offset, size, stride, ...)";
        let operand = |m: &Self, found: &str| Err(m.operand("_rebuild_tensor", found, wanted));
        let ids = self.tuple_elements(args);
        let count_fits = match global {
            Global::RebuildTensor => ids.len() == 4,
            Global::RebuildTensorV2 => (6..=7).contains(&ids.len()),
            _ => (7..=8).contains(&ids.len()),
        };
        let &[storage, offset, size, stride, ref more @ ..] = ids else {
            return operand(self, "too few arguments");
        };
        if !count_fits {
            return operand(self, "another number of arguments");
        }
        let stated = more.get(2).map(|&id| self.out.value(id));
        let values = [storage, offset, size, stride].map(|id| self.out.value(id));
        let [Value::Storage(index), Value::Int(offset), Value::Tuple(size), Value::Tuple(stride)] = values
        else {
            return operand(self, "arguments of other types");
        };
        let Some(storage) = self.out.storages.get(index as usize).copied() else {
            return operand(self, "an unknown storage");
        };
        let (dtype, len): (DType, u64) = match (global, storage.dtype, stated) {
            (Global::RebuildTensorV3, None, Some(Value::Global(Global::DType(dtype)))) => {
                (dtype, storage.len.checked_div(dtype.size()).unwrap_or(0))
            }
            (Global::RebuildTensor | Global::RebuildTensorV2, Some(dtype), _) => (dtype, storage.len),
            _ => return operand(self, "a storage whose type does not fit"),
        };
        if size.len != stride.len {
            return Err(self.tensor_error("a tensor has more sizes than strides, or fewer".into()));
        }
        if size.len as usize > self.max_rank {
            return Err(PickleError::Limit { what: "dimensions", limit: self.max_rank, offset: self.op });
        }
        let start = u32::try_from(self.out.dims.len()).map_err(|_| self.too_many())?;
        for i in 0..size.len.saturating_add(stride.len) as usize {
            let id = self.tuple_elements(size).iter().chain(self.tuple_elements(stride)).nth(i).copied();
            let Some(Value::Int(n)) = id.map(|id| self.out.value(id)) else {
                return operand(self, "a size or stride that is no integer");
            };
            let n = u64::try_from(n)
                .map_err(|_| self.tensor_error("a tensor has a negative size or stride".into()))?;
            self.budget.push(&mut self.out.dims, n, self.op)?;
        }
        let offset = u64::try_from(offset)
            .map_err(|_| self.tensor_error("a tensor has a negative storage offset".into()))?;
        let dims = Span { start, len: size.len.saturating_add(stride.len) };
        let mut tensor = TensorRef { storage: index, dtype, offset, dims };
        let (shape, strides) = self.out.dims(&tensor);
        if !inside(shape, strides, offset, len) {
            let problem =
                format!("a tensor of shape {shape:?} reaches outside its storage of {len} elements");
            return Err(self.tensor_error(problem));
        }
        tensor.offset = offset.saturating_add(storage.base);
        let index = u32::try_from(self.out.tensors.len()).map_err(|_| self.too_many())?;
        self.budget.push(&mut self.out.tensors, tensor, self.op)?;
        self.push_new(Value::Tensor(index), 0)
    }

    // ---- errors

    fn too_many(&self) -> PickleError {
        PickleError::Limit { what: "objects", limit: self.max_objects, offset: self.op }
    }

    fn malformed(&self, problem: String) -> PickleError {
        PickleError::Malformed { problem, offset: self.op }
    }

    fn tensor_error(&self, problem: String) -> PickleError {
        PickleError::Tensor { problem, offset: self.op }
    }

    fn operand(&self, opcode: &'static str, found: &str, wanted: &'static str) -> PickleError {
        PickleError::Operand { opcode, found: found.to_string(), wanted, offset: self.op }
    }
}

/// Whether every element of a strided tensor lies inside a storage of `len` elements. All arithmetic is checked; the
/// number of elements must fit as well, whatever the strides.
fn inside(shape: &[u64], strides: &[u64], offset: u64, len: u64) -> bool {
    let Some(count) = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d)) else { return false };
    if count == 0 {
        return offset <= len;
    }
    let last = shape.iter().zip(strides).try_fold(offset, |at, (&d, &s)| {
        // d >= 1 here, since no dimension is zero.
        d.saturating_sub(1).checked_mul(s).and_then(|step| at.checked_add(step))
    });
    last.is_some_and(|last| last < len)
}

/// Names of the opcodes that are refused; the others never reach this.
fn opcode_name(code: u8) -> &'static str {
    match code {
        b'P' => "PERSID",
        b'i' => "INST",
        b'o' => "OBJ",
        0x92 => "NEWOBJ_EX",
        0x82 => "EXT1",
        0x83 => "EXT2",
        0x84 => "EXT4",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        b'2' => "DUP",
        b'I' => "INT",
        b'L' => "LONG",
        b'F' => "FLOAT",
        b'S' => "STRING",
        b'V' => "UNICODE",
        b'g' => "GET",
        b'p' => "PUT",
        b'd' => "DICT",
        b'l' => "LIST",
        _ => "unknown",
    }
}
