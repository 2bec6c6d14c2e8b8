//! State dicts and forward passes.

use super::{Case, Check, Executor, Result, Setup, because, ensure};
use crate::formula;
use crate::golden::ForwardCase;
use hrnet_engine::{Engine, EngineOptions, Session};
use hrnet_ir::interp;
use std::path::Path;

/// The engine may err this many times as much as PyTorch's own f32 run does over the whole output.
const ENGINE_FACTOR: f64 = 4.0;
/// Relative to the largest value of the output.
const INTERPRETER_LIMIT: f64 = 1e-9;

pub(super) fn verify_forward(context: &Setup, bytes: &[u8]) -> Result<Case> {
    let case = ForwardCase::parse(bytes)?;
    let net = case.model()?.build()?;
    let weights = formula::weights(&net, &case.salt);
    let input = case.input();
    let outputs: Vec<(Vec<usize>, Vec<f64>)> = match context.executor {
        Executor::Interpreter => {
            let outputs = interp::run(&net, &weights, &input)?;
            outputs.into_iter().map(|o| (o.shape.to_vec(), o.data)).collect()
        }
        Executor::Engine => {
            let options = EngineOptions { threads: context.pool.threads(), ..EngineOptions::from_env()? };
            let shape = input.dims4().ok_or("the input is not [n, 3, h, w]")?;
            let plan = Engine::new(&net, weights, options)?.into_plan(shape)?;
            let outputs = Session::new(&plan)?.run(&context.pool, &input)?;
            outputs
                .iter()
                .map(|o| (o.shape().to_vec(), o.data().iter().map(|&v| f64::from(v)).collect()))
                .collect()
        }
    };
    ensure(outputs.len() == case.outputs.len(), || {
        format!("{} outputs in the file, the network has {}", case.outputs.len(), outputs.len())
    })?;
    let mut checks =
        vec![Check::new("parameters", net.parameter_count().abs_diff(case.parameters) as f64, 0.0)];
    for ((golden, (shape, data)), output) in case.outputs.iter().zip(&outputs).zip(net.outputs()) {
        let elements = golden.shape.iter().product::<usize>();
        let same = elements == data.len() && golden.shape[..] == shape[..golden.shape.len().min(shape.len())];
        ensure(same, || {
            let (name, found) = (&output.name, &golden.shape);
            format!("output {name}: shape {found:?} in the file, the network gives {shape:?}")
        })?;
        let errors = golden.indices.iter().zip(&golden.values).map(|(&i, v)| (data[i] - v).abs());
        let error = largest(errors);
        let limit = match context.executor {
            Executor::Interpreter => INTERPRETER_LIMIT * golden.abs_max,
            Executor::Engine => ENGINE_FACTOR * golden.torch_f32_max_abs_err,
        };
        checks.push(Check::new(format!("{} ({} samples)", output.name, golden.indices.len()), error, limit));
    }
    Ok(Case { name: case.case, kind: "forward", checks })
}

/// The maximum, or NaN if any is NaN.
pub(super) fn largest(errors: impl Iterator<Item = f64>) -> f64 {
    errors.fold(0.0, |m, e| if e.is_nan() || m.is_nan() { f64::NAN } else { m.max(e) })
}

/// `<case>.keys.json` against the network of `<case>.json` beside it.
pub(super) fn verify_keys(context: &Setup, name: &str, path: &Path, bytes: &[u8]) -> Result<Case> {
    let keys: Vec<(String, Vec<usize>)> =
        serde_json::from_slice(bytes).map_err(because("not a list of [key, shape]"))?;
    let case_name = name.strip_suffix(".keys").unwrap_or(name);
    let beside = path.with_file_name(format!("{case_name}.json"));
    let wanted = "a key list is compared with the network of the case beside it";
    let case = context.files.bytes(&beside).map_err(because(wanted))?;
    let net = ForwardCase::parse(&case)?.model()?.build()?;
    let different =
        net.params().iter().zip(&keys).filter(|(p, (k, s))| p.name != *k || p.shape != *s).count()
            + net.params().len().abs_diff(keys.len());
    let checks = vec![Check::count(format!("keys and shapes that differ, of {}", keys.len()), different)];
    Ok(Case { name: case_name.to_string(), kind: "keys", checks })
}
