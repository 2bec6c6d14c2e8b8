//! What names, calls, storages and tensors mean: the part of the machine that in Python would import and call.

use super::PickleError;
use super::globals::{Global, advice, lookup};
use super::machine::{EMPTY_TUPLE, Machine, NONE, Step};
use super::value::{Span, StorageRef, TensorRef, Value};
use crate::dtype::DType;

impl Machine<'_> {
    pub(super) fn global(&mut self, module: &str, name: &str) -> Step {
        match lookup(module, name) {
            Some(Global::Getattr(module)) => {
                // Until it stands with its class it may be anything: see `reduce` and `Machine::run`.
                self.getattr.get_or_insert((module, self.op));
                self.push_new(Value::Global(Global::Getattr(module)), 0)
            }
            Some(global) => self.push_new(Value::Global(global), 0),
            None => Err(self.refused(module, name, self.op)),
        }
    }

    pub(super) fn refused(&self, module: &str, name: &str, offset: usize) -> PickleError {
        PickleError::GlobalRefused {
            module: module.chars().take(200).collect(),
            name: name.chars().take(200).collect(),
            offset,
            advice: advice(module, name),
        }
    }

    pub(super) fn reduce(&mut self) -> Step {
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
            Global::Getattr(module) => {
                let of = self.tuple_elements(args).iter().map(|&id| self.out.value(id)).collect::<Vec<_>>();
                match *of.as_slice() {
                    [Value::Global(Global::HistoryBuffer), Value::Str(_)] => {
                        self.getattr = None;
                        self.push_new(Value::Inert, 0)
                    }
                    _ => Err(self.refused(module, "getattr", self.op)),
                }
            }
            Global::Storage(_)
            | Global::UntypedStorage
            | Global::DType(_)
            | Global::Namespace
            | Global::HistoryBuffer => {
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

    pub(super) fn new_object(&mut self) -> Step {
        let args = self.pop()?;
        let class = self.pop()?;
        match (self.out.value(class), self.out.value(args)) {
            (Value::Global(Global::Namespace | Global::HistoryBuffer), Value::Tuple(Span { len: 0, .. })) => {
                self.push_new(Value::Inert, 0)
            }
            (Value::Global(Global::Getattr(module)), _) => Err(self.refused(module, "getattr", self.op)),
            (class, _) => Err(self.operand("NEWOBJ", class.kind(), "argparse.Namespace without arguments")),
        }
    }

    /// BUILD gives an object its state: the metadata of a state dict, or the contents of an inert object. Both are dropped.
    pub(super) fn build(&mut self) -> Step {
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
    pub(super) fn persistent(&mut self) -> Step {
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
            Global::Getattr(module) => return Err(self.refused(module, "getattr", self.op)),
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
