//! `hrnet run`: raw tensor in, raw tensors out.

use crate::cli::Run;
use crate::outcome::{Failure, Outcome};
use crate::say;
use hrnet::error::Context;
use hrnet::model::LoadedModel;
use hrnet::npy;
use hrnet::runner::{Runner, shape_of};
use hrnet::timing::Timing;
use hrnet_formats::LoadOptions;
use hrnet_ir::{Net, Op, Tensor, interp};
use hrnet_kernels::Pool;
use hrnet_proof::verify::Executor;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) fn run(args: &Run) -> Outcome {
    if args.output.file_name().is_none() || args.output.is_dir() {
        return Err(Failure::Usage(format!("--output {} is not a file name", args.output.display())));
    }
    let options = LoadOptions {
        allow_non_finite: args.allow_non_finite,
        align_corners: args.align_corners,
        ..Default::default()
    };
    let mut timing = Timing::start();
    let loaded = LoadedModel::open(&args.model, &options)?;
    let net = loaded.model.build()?;
    let input = npy::read(&args.input)?;
    let place = || format!("{}: this input does not fit {}", args.input.display(), loaded.model);
    let outputs = match args.executor {
        Executor::Interpreter => {
            let outputs = interp::run(&net, &loaded.weights, &input).with_context(place)?;
            outputs.iter().map(interp::Array64::to_tensor).collect()
        }
        Executor::Engine => {
            let pool = Arc::new(Pool::new(args.compute.threads()));
            let shape = shape_of(&input).with_context(place)?;
            let mut runner = Runner::for_shape(&net, loaded.weights, pool, shape).with_context(place)?;
            timing.loaded();
            runner.run(&input).with_context(place)?
        }
    };
    timing.result();
    let mut written = Vec::new();
    for (i, output) in outputs.iter().enumerate() {
        let name = &net.outputs()[i].name;
        let path = if i == 0 { args.output.clone() } else { sibling(&args.output, name) };
        let shape = official_shape(&net, i, output);
        npy::write(&path, shape, output.data())?;
        if !args.json {
            say!("{name} {shape:?} -> {}", path.display());
        }
        written.push(json!({"name": name, "shape": shape, "file": path}));
    }
    if args.json {
        say!("{}", json!({"model": loaded.model.to_string(), "outputs": written, "timing": timing.json()}));
    }
    Ok(())
}

/// Class scores are `[n, classes]`, as PyTorch gives them; maps are `[n, c, h, w]`.
fn official_shape<'a>(net: &Net, output: usize, tensor: &'a Tensor) -> &'a [usize] {
    let linear = matches!(net.node(net.outputs()[output].value).op, Op::Linear { .. });
    if linear { &tensor.shape()[..2] } else { tensor.shape() }
}

/// `out.npy` and `aux` give `out.aux.npy`.
fn sibling(path: &Path, name: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map_or_else(|| "npy".into(), |e| e.to_string_lossy());
    path.with_file_name(format!("{stem}.{name}.{extension}"))
}
