//! The closed table of names that a pickle may mention. A name is a tag here: nothing is imported, looked up or called.

use crate::dtype::DType;

/// What an allowed name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch._utils._rebuild_tensor`: storage, offset, size, stride.
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v2`: the same with `requires_grad` and hooks.
    RebuildTensorV2,
    /// `torch._utils._rebuild_tensor_v3`: the same with a dtype over an untyped storage.
    RebuildTensorV3,
    /// `torch._utils._rebuild_parameter` and `..._with_state`: a tensor and facts about it.
    RebuildParameter,
    /// `torch.FloatStorage` and its like, also under `torch.cuda`.
    Storage(DType),
    /// `torch.storage.UntypedStorage`.
    UntypedStorage,
    /// `torch.float32` and its like.
    DType(DType),
    /// `torch.Size`: a tuple.
    Size,
    /// A class whose instances are plain data that nobody reads here: numpy scalars, sets, dates, counters.
    Inert,
    /// `argparse.Namespace`, made by the NEWOBJ opcode; equally unread.
    Namespace,
    /// `getattr` of that module, by which mmengine's record of losses names its own methods. Nothing is looked up: with that class
    /// and a text it gives an unread object, with anything else it is refused.
    Getattr(&'static str),
    /// `mmengine.logging.history_buffer.HistoryBuffer`: as `Namespace`, and what [`Global::Getattr`] may stand with.
    HistoryBuffer,
}

/// The allowed global of that exact module and name.
pub(super) fn lookup(module: &str, name: &str) -> Option<Global> {
    match module {
        "collections" => match name {
            "OrderedDict" => Some(Global::OrderedDict),
            "Counter" => Some(Global::Inert),
            _ => None,
        },
        "torch._utils" => match name {
            "_rebuild_tensor" => Some(Global::RebuildTensor),
            "_rebuild_tensor_v2" => Some(Global::RebuildTensorV2),
            "_rebuild_tensor_v3" => Some(Global::RebuildTensorV3),
            "_rebuild_parameter" | "_rebuild_parameter_with_state" => Some(Global::RebuildParameter),
            _ => None,
        },
        "torch" => match name {
            "Size" => Some(Global::Size),
            "device" => Some(Global::Inert),
            _ => storage(name).or_else(|| dtype(name)),
        },
        "torch.cuda" => storage(name),
        "torch.storage" => match name {
            "UntypedStorage" | "_UntypedStorage" => Some(Global::UntypedStorage),
            _ => None,
        },
        "numpy" => matches!(name, "dtype" | "ndarray").then_some(Global::Inert),
        "numpy.core.multiarray" | "numpy._core.multiarray" => {
            matches!(name, "scalar" | "_reconstruct").then_some(Global::Inert)
        }
        "_codecs" => (name == "encode").then_some(Global::Inert),
        "datetime" => matches!(name, "datetime" | "date" | "time" | "timedelta").then_some(Global::Inert),
        "__builtin__" | "builtins" => {
            let module = if module == "builtins" { "builtins" } else { "__builtin__" };
            match name {
                "set" | "frozenset" | "complex" => Some(Global::Inert),
                "getattr" => Some(Global::Getattr(module)),
                _ => None,
            }
        }
        "mmengine.logging.history_buffer" => (name == "HistoryBuffer").then_some(Global::HistoryBuffer),
        "argparse" => (name == "Namespace").then_some(Global::Namespace),
        _ => None,
    }
}

fn storage(name: &str) -> Option<Global> {
    let dtype = match name {
        "DoubleStorage" => DType::F64,
        "FloatStorage" => DType::F32,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "CharStorage" => DType::I8,
        "ByteStorage" => DType::U8,
        "BoolStorage" => DType::Bool,
        _ => return None,
    };
    Some(Global::Storage(dtype))
}

fn dtype(name: &str) -> Option<Global> {
    let dtype = match name {
        "float64" | "double" => DType::F64,
        "float32" | "float" => DType::F32,
        "float16" | "half" => DType::F16,
        "bfloat16" => DType::BF16,
        "int64" | "long" => DType::I64,
        "int32" | "int" => DType::I32,
        "int16" | "short" => DType::I16,
        "int8" => DType::I8,
        "uint8" => DType::U8,
        "bool" => DType::Bool,
        _ => return None,
    };
    Some(Global::DType(dtype))
}

/// What to do about a refused name.
pub(super) fn advice(module: &str, name: &str) -> &'static str {
    let root = module.split('.').next().unwrap_or_default();
    let object = "this file pickles a Python object together with its class; load it in PyTorch where its code is, \
                  and save only model.state_dict()";
    let module_object = "this file pickles the Python module object itself; load it in PyTorch where its code is, and \
                         save model.state_dict() (model.module.state_dict() for DataParallel)";
    match root {
        "torch" if module.starts_with("torch.nn") || name == "Module" => module_object,
        "models"
        | "lib"
        | "mmcv"
        | "mmpose"
        | "mmseg"
        | "mmdet"
        | "mmpretrain"
        | "mmcls"
        | "timm"
        | "torchvision"
        | "segmentation_models_pytorch" => module_object,
        "mmengine" | "numpy" | "omegaconf" | "yacs" | "easydict" | "pathlib" => object,
        "torch" | "pandas" | "sklearn" => object,
        "__main__" => module_object,
        _ => {
            "nothing was executed; weight files have no use for this name, so treat the file as hostile unless you \
             know who wrote it, and then save only model.state_dict()"
        }
    }
}
