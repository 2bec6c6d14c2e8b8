//! Which layout a value has, and the reorders between them.
//!
//! All feature maps are blocked (`hrnet_kernels::Shape`); the vectors of a classifier (global average, linear layers)
//! are plain `[n][c]`. Reading a value in the other layout inserts a reorder, made once per value. The input and every
//! blocked output cost one reorder each; a published network has no other.

use crate::lower::{Id, Program, Step};
use crate::step::StepOp;

/// How a value lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[n][channel block][h + 2][w + 2][16]` with a border.
    Blocked,
    /// `[n][c][h][w]`.
    Plain,
}

/// The layout of a step's result, and of what it reads (`None`: either).
fn layouts(op: &StepOp<Id>) -> (Layout, Option<Layout>) {
    match op {
        StepOp::Linear { .. } => (Layout::Plain, Some(Layout::Plain)),
        StepOp::GlobalAvgPool { .. } | StepOp::ToPlain { .. } => (Layout::Plain, Some(Layout::Blocked)),
        StepOp::ToBlocked { .. } => (Layout::Blocked, Some(Layout::Plain)),
        StepOp::Output { .. } => (Layout::Plain, None),
        _ => (Layout::Blocked, Some(Layout::Blocked)),
    }
}

/// Inserts reorders; returns the layout of every value.
pub(crate) fn assign(program: &mut Program) -> Vec<Layout> {
    let mut layout: Vec<Layout> = vec![Layout::Blocked; program.values.len()];
    let mut reordered: Vec<Option<Id>> = vec![None; program.values.len()];
    let steps = std::mem::take(&mut program.steps);
    for step in steps {
        let (result, wanted) = layouts(&step.op);
        let op = step.op.map(|&src| {
            let Some(wanted) = wanted.filter(|&w| w != layout[src]) else { return src };
            if let Some(done) = reordered[src] {
                return done;
            }
            let node = program.values[src];
            let dst = program.value(node);
            let op = match wanted {
                Layout::Plain => StepOp::ToPlain { src },
                Layout::Blocked => StepOp::ToBlocked { src },
            };
            program.steps.push(Step { node, op, dst: Some(dst) });
            layout.push(wanted);
            reordered.push(None);
            reordered[src] = Some(dst);
            dst
        });
        if let Some(dst) = step.dst {
            layout[dst] = result;
        }
        program.steps.push(Step { op, ..step });
    }
    layout
}

/// Steps that only change the layout: the price of having two.
pub(crate) fn reorders<R>(op: &StepOp<R>, source: impl Fn(&R) -> Layout) -> bool {
    match op {
        StepOp::Input | StepOp::ToPlain { .. } | StepOp::ToBlocked { .. } => true,
        StepOp::Output { src, .. } => source(src) == Layout::Blocked,
        _ => false,
    }
}
