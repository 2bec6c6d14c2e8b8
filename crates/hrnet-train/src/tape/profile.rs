//! Where the time of a step goes: per direction, operation and shape.

use crate::ops::ctx::Ctx;
use crate::ops::layer::Layer;
use crate::ops::shared::Shared;
use crate::plan::Kind;
use hrnet_kernels::Shape;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Of which walk an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Inputs to outputs.
    Forward,
    /// Inputs to outputs once more, for the backward walk.
    Again,
    /// Outputs to inputs.
    Backward,
}

/// The time of all operations of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Walk.
    pub direction: Direction,
    /// What is computed, on which channels and map.
    pub operation: String,
    /// How often it ran.
    pub count: u64,
    /// The sum of its times.
    pub time: Duration,
}

/// Nothing is measured unless it was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    costs: Option<HashMap<(Direction, String), (u64, Duration)>>,
}

impl Profile {
    pub fn new(on: bool) -> Self {
        Self { costs: on.then(HashMap::new) }
    }

    pub fn start(&self) -> Option<Instant> {
        self.costs.as_ref().map(|_| Instant::now())
    }

    fn add(&mut self, start: Option<Instant>, direction: Direction, operation: impl FnOnce() -> String) {
        if let (Some(costs), Some(start)) = (&mut self.costs, start) {
            let time = start.elapsed();
            let cost = costs.entry((direction, operation())).or_default();
            cost.0 += 1;
            cost.1 += time;
        }
    }

    /// Notes a unit.
    pub fn note(
        &mut self,
        start: Option<Instant>,
        direction: Direction,
        ctx: &Ctx,
        layer: &Layer,
        shared: &Shared,
    ) {
        self.add(start, direction, || {
            let (from, to) = (ctx.x_shape(), ctx.out_shape());
            let kind = match ctx.unit.kind {
                Kind::Conv(conv) => format!("conv{0}x{0}s{1}", conv.kernel, conv.stride),
                other => {
                    let text = format!("{other:?}");
                    text.split([' ', '(', '{']).next().unwrap_or_default().to_string()
                }
            };
            let extra = match (ctx.unit.addend.is_some(), ctx.unit.relu) {
                (true, true) => " add relu",
                (true, false) => " add",
                (false, true) => " relu",
                (false, false) => "",
            };
            let how = match layer {
                Layer::Conv(conv) => conv.algorithms(shared),
                _ => String::new(),
            };
            format!("{kind}{extra} {}->{} {}x{} {how}", from.c, to.c, to.h, to.w)
        });
    }

    /// Notes a loop of the reverse walk that belongs to no unit.
    pub fn note_flat(&mut self, start: Option<Instant>, name: &str, shape: Shape) {
        let Shape { c, h, w, .. } = shape;
        self.add(start, Direction::Backward, || format!("{name} {c} {h}x{w}"));
    }

    pub fn costs(&self) -> Vec<Cost> {
        let mut costs: Vec<Cost> = self
            .costs
            .iter()
            .flatten()
            .map(|((direction, operation), &(count, time))| Cost {
                direction: *direction,
                operation: operation.clone(),
                count,
                time,
            })
            .collect();
        costs.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.operation.cmp(&b.operation)));
        costs
    }
}
