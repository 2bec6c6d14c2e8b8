//! Which layout a value has, and the reorders between them.
//!
//! Feature maps are blocked (`hrnet_kernels::Shape`), or planar (`hrnet_kernels::PlanarShape`) where a convolution with an
//! odd channel count computes on tiles: a branch of W18 is planar from its first convolution to its last. The vectors of a
//! classifier (global average, linear layers) are plain `[n][c]`. Reading a value in another layout inserts a reorder, made
//! once per value. The input and every blocked output cost one reorder each.

use crate::lower::{Id, Program, Step};
use crate::step::StepOp;
use hrnet_kernels::{MapLayout, PlanarShape, Shape};
use std::collections::HashMap;

/// How a value lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Layout {
    /// `[n][channel block][h + 2][w + 2][16]` with a border.
    Blocked,
    /// Tiles of 4 x 4 pixels as lanes.
    Planar,
    /// `[n][c][h][w]`.
    Plain,
}

impl From<MapLayout> for Layout {
    fn from(layout: MapLayout) -> Self {
        match layout {
            MapLayout::Blocked => Layout::Blocked,
            MapLayout::Planar => Layout::Planar,
        }
    }
}

impl Layout {
    /// Floats of a value, or nothing if that overflows.
    pub(crate) fn checked_len(self, shape: Shape) -> Option<usize> {
        let Shape { n, c, h, w } = shape;
        match self {
            Layout::Blocked => shape.checked_len(),
            Layout::Planar => PlanarShape::from(shape).checked_len(),
            Layout::Plain => hrnet_ir::element_count(&[n, c, h, w]),
        }
    }

    /// The layout of a feature map.
    pub(crate) fn map(self) -> Option<MapLayout> {
        match self {
            Layout::Blocked => Some(MapLayout::Blocked),
            Layout::Planar => Some(MapLayout::Planar),
            Layout::Plain => None,
        }
    }
}

/// The layout of a step's result, and of what it reads (`None`: blocked or plain).
fn layouts(op: &StepOp<Id>, conv_layout: impl Fn(usize) -> MapLayout) -> (Layout, Option<Layout>) {
    match op {
        StepOp::Conv { layer, .. } => {
            let layout = conv_layout(*layer).into();
            (layout, Some(layout))
        }
        StepOp::Linear { .. } => (Layout::Plain, Some(Layout::Plain)),
        StepOp::GlobalAvgPool { .. } | StepOp::ToPlain { .. } => (Layout::Plain, Some(Layout::Blocked)),
        StepOp::ToBlocked { .. } => (Layout::Blocked, Some(Layout::Plain)),
        StepOp::ToPlanar { .. } => (Layout::Planar, Some(Layout::Blocked)),
        StepOp::FromPlanar { .. } => (Layout::Blocked, Some(Layout::Planar)),
        StepOp::Output { .. } => (Layout::Plain, None),
        _ => (Layout::Blocked, Some(Layout::Blocked)),
    }
}

/// The values of a program and what was reordered so far.
struct Reorders<'a> {
    program: &'a mut Program,
    layout: Vec<Layout>,
    done: HashMap<(Id, Layout), Id>,
}

impl Reorders<'_> {
    /// The value in the wanted layout.
    fn get(&mut self, src: Id, wanted: Layout) -> Id {
        if self.layout[src] == wanted {
            return src;
        }
        if let Some(&done) = self.done.get(&(src, wanted)) {
            return done;
        }
        let op = match (self.layout[src], wanted) {
            (Layout::Planar, Layout::Plain) | (Layout::Plain, Layout::Planar) => {
                let blocked = self.get(src, Layout::Blocked);
                return self.get(blocked, wanted);
            }
            (Layout::Planar, _) => StepOp::FromPlanar { src },
            (_, Layout::Planar) => StepOp::ToPlanar { src },
            (_, Layout::Plain) => StepOp::ToPlain { src },
            (_, Layout::Blocked) => StepOp::ToBlocked { src },
        };
        let node = self.program.values[src];
        let dst = self.program.value(node);
        self.program.steps.push(Step { node, op, dst: Some(dst) });
        self.layout.push(wanted);
        self.done.insert((src, wanted), dst);
        dst
    }
}

/// Inserts reorders; returns the layout of every value. `conv_layout` is the layout in which a layer convolves.
pub(crate) fn assign(program: &mut Program, conv_layout: impl Fn(usize) -> MapLayout) -> Vec<Layout> {
    let layout = vec![Layout::Blocked; program.values.len()];
    let steps = std::mem::take(&mut program.steps);
    let mut reorders = Reorders { program, layout, done: HashMap::new() };
    for step in steps {
        let (result, wanted) = layouts(&step.op, &conv_layout);
        let op = step.op.map(|&src| match (wanted, reorders.layout[src]) {
            (Some(wanted), _) => reorders.get(src, wanted),
            (None, Layout::Planar) => reorders.get(src, Layout::Blocked),
            (None, _) => src,
        });
        if let Some(dst) = step.dst {
            reorders.layout[dst] = result;
        }
        reorders.program.steps.push(Step { op, ..step });
    }
    reorders.layout
}

/// Steps that only change the layout: the price of having two.
pub(crate) fn reorders<R>(op: &StepOp<R>, source: impl Fn(&R) -> Layout) -> bool {
    match op {
        StepOp::Input
        | StepOp::ToPlain { .. }
        | StepOp::ToBlocked { .. }
        | StepOp::ToPlanar { .. }
        | StepOp::FromPlanar { .. } => true,
        StepOp::Output { src, .. } => source(src) == Layout::Blocked,
        _ => false,
    }
}
