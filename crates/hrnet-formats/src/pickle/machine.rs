//! The instruction loop: stream, stack, memo and containers. What names and objects mean is in `objects.rs`.

use super::value::{Budget, Id, Span, Value};
use super::{Pickle, PickleError};
use crate::limits::Limits;

/// Longest integer in bytes; nothing here reads integers beyond 64 bits.
const MAX_LONG: usize = 1024;
const NO_SLOT: u32 = u32::MAX;
pub(super) const NONE: Id = Id(0);
const TRUE: Id = Id(1);
const FALSE: Id = Id(2);
pub(super) const EMPTY_TUPLE: Id = Id(3);

pub(super) struct Machine<'a> {
    pub(super) out: Pickle<'a>,
    /// Depth of each value: leaves 0, containers one more than their deepest element at the time of insertion.
    depths: Vec<u16>,
    stack: Vec<Id>,
    marks: Vec<u32>,
    memo: Vec<u32>,
    memo_count: usize,
    at: usize,
    /// Start of the current instruction.
    pub(super) op: usize,
    pub(super) budget: Budget,
    max_depth: usize,
    max_memo: usize,
    max_objects: usize,
    pub(super) max_rank: usize,
    /// A `getattr` that has not stood with the one class that may have it: its module and place.
    pub(super) getattr: Option<(&'static str, usize)>,
}

pub(super) type Step<T = ()> = Result<T, PickleError>;

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
            getattr: None,
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
        if let Some((module, offset)) = self.getattr {
            return Err(self.refused(module, "getattr", offset));
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

    pub(super) fn new_value(&mut self, value: Value, depth: u16) -> Step<Id> {
        if self.out.values.len() >= self.max_objects {
            return Err(self.too_many());
        }
        let id = Id(u32::try_from(self.out.values.len()).map_err(|_| self.too_many())?);
        self.budget.push(&mut self.out.values, value, self.op)?;
        self.budget.push(&mut self.depths, depth, self.op)?;
        Ok(id)
    }

    pub(super) fn push(&mut self, id: Id) -> Step {
        self.budget.push(&mut self.stack, id, self.op)
    }

    pub(super) fn push_new(&mut self, value: Value, depth: u16) -> Step {
        let id = self.new_value(value, depth)?;
        self.push(id)
    }

    pub(super) fn push_list(&mut self) -> Step<u32> {
        let index = u32::try_from(self.out.lists.len()).map_err(|_| self.too_many())?;
        self.budget.push(&mut self.out.lists, Vec::new(), self.op)?;
        self.push_new(Value::List(index), 0)?;
        Ok(index)
    }

    pub(super) fn push_dict(&mut self) -> Step<u32> {
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

    pub(super) fn pop(&mut self) -> Step<Id> {
        if self.stack.len() <= self.floor() {
            return Err(self.underflow());
        }
        self.stack.pop().ok_or_else(|| self.underflow())
    }

    pub(super) fn top(&self) -> Step<(Id, Value)> {
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

    pub(super) fn depth(&self, id: Id) -> u16 {
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

    pub(super) fn deepen(&mut self, container: Id, deepest: u16) -> Step {
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

    pub(super) fn tuple_elements(&self, span: Span) -> &[Id] {
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

    pub(super) fn insert(&mut self, opcode: &'static str, dict: u32, key: Id, value: Id) -> Step {
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

    // ---- errors

    pub(super) fn too_many(&self) -> PickleError {
        PickleError::Limit { what: "objects", limit: self.max_objects, offset: self.op }
    }

    pub(super) fn malformed(&self, problem: String) -> PickleError {
        PickleError::Malformed { problem, offset: self.op }
    }

    pub(super) fn tensor_error(&self, problem: String) -> PickleError {
        PickleError::Tensor { problem, offset: self.op }
    }

    pub(super) fn operand(&self, opcode: &'static str, found: &str, wanted: &'static str) -> PickleError {
        PickleError::Operand { opcode, found: found.to_string(), wanted, offset: self.op }
    }
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
