//! The trunk: stem, stages, transitions, exchange. The only file that knows what HRNet is.
//!
//! Specification: the official code, restated in docs/hrnet.md 2 and 5.1. Branch `b` has `C * 2^b` channels
//! and stride `4 * 2^b`.

use crate::arch::{Arch, Fuse};
use crate::net::{Op, Value};
use crate::scope::{ConvSpec, NetBuilder, Scope};

/// Which outputs the last module of stage 4 computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastExchange {
    /// All branches.
    All,
    /// One branch; the official `multi_scale_output = False` with branch 0.
    Only(usize),
}

/// Builds the trunk; returns its branches from high to low resolution (one value with [`LastExchange::Only`]).
pub(crate) fn build(builder: &mut NetBuilder, arch: &Arch, image: Value, last: LastExchange) -> Vec<Value> {
    if arch.fuse == Fuse::Nearest {
        builder.require_multiple(32);
    }
    let mut root = builder.root();
    let x = stem(&mut root, image);
    let x = layer1(&mut root, arch, x);
    let mut branches = vec![x];
    for stage in 2..=4 {
        branches = transition(&mut root.at(format!("transition{}", stage - 1)), arch, stage, &branches);
        let modules = arch.depth.modules[stage - 2];
        for module in 0..modules {
            let outputs = if stage == 4 && module + 1 == modules { last } else { LastExchange::All };
            let mut scope = root.at(format!("stage{stage}.{module}"));
            for (b, x) in branches.iter_mut().enumerate() {
                for block in 0..arch.depth.blocks {
                    *x = basic_block(&mut scope.at(format!("branches.{b}.{block}")), *x);
                }
            }
            branches = match arch.exchanges(stage, module) {
                true => exchange(&mut scope, arch, &branches, outputs),
                false => branches,
            };
        }
    }
    branches
}

fn stem(root: &mut Scope, image: Value) -> Value {
    let x = root.conv_bn("conv1", "bn1", image, ConvSpec::k3(64).stride(2));
    let x = root.relu(x);
    let x = root.conv_bn("conv2", "bn2", x, ConvSpec::k3(64).stride(2));
    root.relu(x)
}

fn layer1(root: &mut Scope, arch: &Arch, mut x: Value) -> Value {
    for block in 0..arch.depth.layer1_blocks {
        x = bottleneck(&mut root.at(format!("layer1.{block}")), x, arch.depth.layer1_planes);
    }
    x
}

/// A 1x1 - 3x3 - 1x1 block with four times `planes` output channels; a projection where the channels differ.
pub(crate) fn bottleneck(s: &mut Scope, x: Value, planes: usize) -> Value {
    let y = s.conv_bn("conv1", "bn1", x, ConvSpec::k1(planes));
    let y = s.relu(y);
    let y = s.conv_bn("conv2", "bn2", y, ConvSpec::k3(planes));
    let y = s.relu(y);
    let y = s.conv_bn("conv3", "bn3", y, ConvSpec::k1(4 * planes));
    let skip = match s.channels(x) == 4 * planes {
        true => x,
        false => s.conv_bn("downsample.0", "downsample.1", x, ConvSpec::k1(4 * planes)),
    };
    let y = s.add("add", y, skip);
    s.relu(y)
}

/// Two 3x3 convolutions with a residual.
pub(crate) fn basic_block(s: &mut Scope, x: Value) -> Value {
    let channels = s.channels(x);
    let y = s.conv_bn("conv1", "bn1", x, ConvSpec::k3(channels));
    let y = s.relu(y);
    let y = s.conv_bn("conv2", "bn2", y, ConvSpec::k3(channels));
    let y = s.add("add", y, x);
    s.relu(y)
}

/// Brings the branches of the previous stage to the channels of `stage` and starts the new branches from the last one.
fn transition(s: &mut Scope, arch: &Arch, stage: usize, previous: &[Value]) -> Vec<Value> {
    let last = *previous.last().expect("at least one branch");
    (0..arch.branches(stage))
        .map(|b| {
            let channels = arch.channels(b);
            let Some(&x) = previous.get(b) else {
                let steps = b + 1 - previous.len();
                return (0..steps).fold(last, |x, step| {
                    let out = if step + 1 == steps { channels } else { s.channels(last) };
                    let mut s = s.at(format!("{b}.{step}"));
                    let y = s.conv_bn("0", "1", x, ConvSpec::k3(out).stride(2));
                    s.relu(y)
                });
            };
            if s.channels(x) == channels {
                return x;
            }
            let mut s = s.at(b);
            let y = s.conv_bn("0", "1", x, ConvSpec::k3(channels));
            s.relu(y)
        })
        .collect()
}

/// Every output branch is the ReLU of the sum of all branches, brought to its size and channels, in branch order.
fn exchange(s: &mut Scope, arch: &Arch, branches: &[Value], outputs: LastExchange) -> Vec<Value> {
    let wanted = match outputs {
        LastExchange::All => 0..branches.len(),
        LastExchange::Only(b) => b..b + 1,
    };
    wanted
        .map(|i| {
            let mut s = s.at(format!("fuse_layers.{i}"));
            let mut sum = None;
            for (j, &x) in branches.iter().enumerate() {
                let term = exchange_term(&mut s, arch, branches[i], x, i, j);
                sum = Some(match sum {
                    None => term,
                    Some(sum) => s.add(&format!("add{j}"), sum, term),
                });
            }
            s.relu(sum.expect("at least one branch"))
        })
        .collect()
}

fn exchange_term(s: &mut Scope, arch: &Arch, target: Value, x: Value, i: usize, j: usize) -> Value {
    let channels = s.channels(target);
    if i == j {
        return x;
    }
    let mut s = s.at(j);
    if j > i {
        let y = s.conv_bn("0", "1", x, ConvSpec::k1(channels));
        return match arch.fuse {
            Fuse::Nearest => s.op("2", Op::UpsampleNearest { factor: 1 << (j - i) }, &[y], channels),
            Fuse::Bilinear { align_corners } => s.resize_like("resize", y, target, align_corners),
        };
    }
    (0..i - j).fold(x, |x, step| {
        let mut s = s.at(step);
        let last = step + 1 == i - j;
        let out = if last { channels } else { s.channels(x) };
        let y = s.conv_bn("0", "1", x, ConvSpec::k3(out).stride(2));
        if last { y } else { s.relu(y) }
    })
}
