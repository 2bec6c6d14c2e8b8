//! Which buffer holds what, for one input shape: forward values, and gradients along the reverse walk.
//!
//! A value has its own buffer, except sums that are added in place. Gradients live from their first writer to the
//! backward step of the unit that made the value; a buffer is reused by the next gradient of the same shape, because
//! a zero border and zero lanes stay valid for one shape only. The order of the writers of a gradient is the reverse
//! order of the units: fixed by the network.
//!
//! With recomputation, values that no backward step reads go when their last reader has run, and so do the values *inside* a
//! chain of convolutions and batch norms, which are computed again from the chain's input when the reverse walk reaches
//! its end ([`Back::Again`]); what is left goes when the unit that made it has had its backward step. All these buffers
//! serve one after another, gradients included.

use crate::error::TapeError;
use crate::plan::{Kind, Unit, Units};
use hrnet_ir::Net;
use hrnet_kernels::Shape;

/// Layout of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// The blocked layout of the kernels.
    Map(Shape),
    /// `n * c` plain values.
    Vector { n: usize, c: usize },
}

impl Form {
    pub fn map(self) -> Shape {
        match self {
            Form::Map(shape) => shape,
            Form::Vector { n, c } => Shape { n, c, h: 1, w: 1 },
        }
    }

    fn checked_len(self) -> Option<usize> {
        match self {
            Form::Map(shape) => shape.checked_len(),
            Form::Vector { n, c } => n.checked_mul(c),
        }
    }
}

/// Where a gradient goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dest {
    pub buf: usize,
    /// Add to what is there.
    pub accumulate: bool,
}

/// One step of the reverse walk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Back {
    /// `dst = dy where y > 0, else 0`.
    Mask { y: usize, dy: usize, dst: usize, shape: Shape },
    /// Through the `f` of a unit: gradients of its sources (none for the image) and parameters. A batch norm with ReLU
    /// masks itself and serves its addend.
    Unit { unit: usize, dy: usize, sources: Vec<Option<Dest>>, addend: Option<Dest> },
    /// `dst += src`.
    Add { src: usize, dst: usize, shape: Shape },
    /// Runs a unit forward once more.
    Again { unit: usize },
    /// `dst = src`.
    Copy { src: usize, dst: usize, shape: Shape },
}

/// Buffers and steps for one input shape.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// Layout of every value.
    pub forms: Vec<Form>,
    /// Buffer of every value that a unit makes, and of the input, in the forward pass.
    pub values: Vec<usize>,
    /// The same in the reverse walk: another one for values that are computed again.
    pub again: Vec<usize>,
    /// For every unit: the source or addend whose buffer it writes in place.
    pub in_place: Vec<Option<usize>>,
    /// Gradient buffers of the outputs.
    pub output_grads: Vec<usize>,
    /// The reverse walk.
    pub backward: Vec<Back>,
    /// Floats of every buffer.
    pub lens: Vec<usize>,
    /// Whether values are dropped and computed again.
    pub recompute: bool,
}

/// No buffer yet, or none at all.
const NONE: usize = usize::MAX;

impl Memory {
    pub fn new(net: &Net, plan: &Units, input: [usize; 4], recompute: bool) -> Result<Self, TapeError> {
        let shapes = net.shapes(input)?;
        let forms: Vec<Form> = net
            .nodes()
            .iter()
            .zip(&shapes)
            .map(|(node, &[n, c, h, w])| match node.op {
                hrnet_ir::Op::GlobalAvgPool | hrnet_ir::Op::Linear { .. } => Form::Vector { n, c },
                _ => Form::Map(Shape { n, c, h, w }),
            })
            .collect();
        for unit in &plan.units {
            check_unit(unit, &forms, &plan.readers)?;
        }
        let lives = Lives::new(plan, forms.len(), recompute);
        let mut walk = Walk {
            forms: &forms,
            lives: &lives,
            plan,
            grads: vec![None; forms.len()],
            values: vec![NONE; forms.len()],
            again: Vec::new(),
            spare: Vec::new(),
            steps: Vec::new(),
            lens: Vec::new(),
        };
        walk.values[0] = walk.take(forms[0])?;
        let mut masked = vec![false; forms.len()];
        let mut in_place = Vec::with_capacity(plan.units.len());
        for (i, unit) in plan.units.iter().enumerate() {
            // A value may be overwritten when nobody else reads it and its own backward does not need it.
            let free = |&v: &usize| v != 0 && plan.readers[v] == 1 && !masked[v];
            let host = match unit.kind {
                Kind::Identity => unit.addend.filter(free).or(Some(unit.sources[0]).filter(free)),
                Kind::UpsampleNearest { .. } | Kind::ResizeBilinear { .. } => unit.addend.filter(free),
                _ => None,
            };
            walk.values[unit.out] = match host {
                Some(v) => walk.values[v],
                None => walk.take(forms[unit.out])?,
            };
            masked[unit.out] = unit.relu;
            in_place.push(host);
            let mut read: Vec<usize> = unit.sources.iter().copied().chain(unit.addend).collect();
            read.sort_unstable();
            read.dedup();
            for v in read.into_iter().filter(|&v| Some(v) != host && lives.dies_at(v, i)) {
                walk.release(forms[v], walk.values[v]);
            }
        }
        walk.again = walk.values.clone();
        for (v, buf) in walk.again.iter_mut().enumerate() {
            if lives.inside[v] {
                *buf = NONE;
            }
        }
        let output_grads = plan.outputs.iter().map(|&v| walk.start(v)).collect::<Result<_, _>>()?;
        for (i, unit) in plan.units.iter().enumerate().rev() {
            for &v in &unit.sources {
                walk.compute_again(v)?;
            }
            walk.unit(i, unit)?;
            if lives.ends_with_backward(unit.out) {
                walk.release(forms[unit.out], walk.again[unit.out]);
            }
        }
        let Walk { steps: backward, lens, values, again, .. } = walk;
        Ok(Self { values, again, in_place, output_grads, backward, lens, forms, recompute })
    }
}

/// How long values are kept.
struct Lives {
    recompute: bool,
    /// The unit that makes each value.
    made_by: Vec<usize>,
    /// The last unit that reads each value in the forward pass.
    last_reader: Vec<usize>,
    /// Values of which a backward step reads more than the shape.
    needed: Vec<bool>,
    /// Values inside a chain, computed again: needed, but not kept.
    inside: Vec<bool>,
    output: Vec<bool>,
}

impl Lives {
    fn new(plan: &Units, values: usize, recompute: bool) -> Self {
        let mut lives = Self {
            recompute,
            made_by: vec![NONE; values],
            last_reader: vec![NONE; values],
            needed: vec![false; values],
            inside: vec![false; values],
            output: vec![false; values],
        };
        plan.outputs.iter().for_each(|&v| lives.output[v] = true);
        for (i, unit) in plan.units.iter().enumerate() {
            lives.made_by[unit.out] = i;
            unit.sources.iter().chain(&unit.addend).for_each(|&v| lives.last_reader[v] = i);
            unit.sources.iter().for_each(|&v| lives.needed[v] |= !unit.kind.is_linear());
            lives.needed[unit.out] |= unit.relu || unit.kind.keeps_result();
        }
        if recompute {
            for unit in &plan.units {
                let chain = |unit: &Unit| {
                    matches!(unit.kind, Kind::Conv(_) | Kind::BatchNorm(_)) && unit.sources.len() == 1
                };
                let v = unit.sources[0];
                // The image is given.
                let Some(maker) = plan.units.get(lives.made_by[v]) else { continue };
                lives.inside[v] = chain(unit)
                    && chain(maker)
                    && maker.addend.is_none()
                    && plan.readers[v] == 1
                    && !lives.output[v];
            }
        }
        lives
    }

    /// Whether the forward pass needs a value no more, and keeps it no longer, after this unit.
    fn dies_at(&self, v: usize, unit: usize) -> bool {
        let given = v == 0 || self.output[v];
        self.recompute && !given && self.last_reader[v] == unit && (self.inside[v] || !self.needed[v])
    }

    /// Whether a value is there until the backward step of its unit, and not longer.
    fn ends_with_backward(&self, v: usize) -> bool {
        self.recompute && !self.output[v] && self.needed[v]
    }
}

fn check_unit(unit: &Unit, forms: &[Form], readers: &[usize]) -> Result<(), TapeError> {
    let vector = |v: usize| matches!(forms[v], Form::Vector { .. });
    let wants_vector = matches!(unit.kind, Kind::Linear { .. });
    if unit.sources.iter().chain(&unit.addend).any(|&v| vector(v) != wants_vector) {
        let op = "reader of a pooled vector, or a linear layer on a map".to_string();
        return Err(TapeError::NotTrainable { node: unit.name.clone(), op });
    }
    if wants_vector && readers[unit.sources[0]] != 1 {
        let op = "one of several readers of a pooled vector".to_string();
        return Err(TapeError::NotTrainable { node: unit.name.clone(), op });
    }
    if matches!(unit.kind, Kind::BatchNorm(_)) {
        let Shape { n, h, w, .. } = forms[unit.out].map();
        if n * h * w < 2 {
            return Err(TapeError::OneValue { node: unit.name.clone() });
        }
    }
    Ok(())
}

struct Walk<'a> {
    forms: &'a [Form],
    lives: &'a Lives,
    plan: &'a Units,
    values: Vec<usize>,
    again: Vec<usize>,
    /// The gradient buffer of each value, once it has a writer.
    grads: Vec<Option<usize>>,
    spare: Vec<(Form, usize)>,
    steps: Vec<Back>,
    lens: Vec<usize>,
}

impl Walk<'_> {
    fn take(&mut self, form: Form) -> Result<usize, TapeError> {
        if let Some(i) = self.spare.iter().position(|(f, _)| *f == form) {
            return Ok(self.spare.swap_remove(i).1);
        }
        self.lens.push(form.checked_len().ok_or(TapeError::Memory { bytes: u64::MAX })?);
        Ok(self.lens.len() - 1)
    }

    fn start(&mut self, value: usize) -> Result<usize, TapeError> {
        let buf = self.take(self.forms[value])?;
        self.grads[value] = Some(buf);
        Ok(buf)
    }

    /// Where the next contribution to the gradient of `value` goes.
    fn dest(&mut self, value: usize) -> Result<Dest, TapeError> {
        match self.grads[value] {
            Some(buf) => Ok(Dest { buf, accumulate: true }),
            None => Ok(Dest { buf: self.start(value)?, accumulate: false }),
        }
    }

    fn release(&mut self, form: Form, buf: usize) {
        self.spare.push((form, buf));
    }

    /// Makes sure that a value is there: computes it and what it follows from, back to a value that was kept.
    fn compute_again(&mut self, v: usize) -> Result<(), TapeError> {
        if self.again[v] == NONE {
            let unit = self.lives.made_by[v];
            self.compute_again(self.plan.units[unit].sources[0])?;
            self.again[v] = self.take(self.forms[v])?;
            self.steps.push(Back::Again { unit });
        }
        Ok(())
    }

    fn unit(&mut self, index: usize, unit: &Unit) -> Result<(), TapeError> {
        let form = self.forms[unit.out];
        let mut dy = self.grads[unit.out].ok_or_else(|| TapeError::Dead { node: unit.name.clone() })?;
        let self_masking = unit.relu && matches!(unit.kind, Kind::BatchNorm(_));
        if unit.relu && !self_masking {
            let dst = self.take(form)?;
            self.steps.push(Back::Mask { y: self.again[unit.out], dy, dst, shape: form.map() });
            self.release(form, dy);
            dy = dst;
        }
        // Values to which dy itself goes.
        let mut straight: Vec<usize> = Vec::new();
        if unit.kind == Kind::Identity {
            straight.push(unit.sources[0]);
        } else {
            let mut sources = Vec::with_capacity(unit.sources.len());
            for &v in &unit.sources {
                sources.push(if v == 0 { None } else { Some(self.dest(v)?) });
            }
            let addend = match unit.addend {
                Some(v) if self_masking => Some(self.dest(v)?),
                _ => None,
            };
            self.steps.push(Back::Unit { unit: index, dy, sources, addend });
        }
        if !self_masking {
            straight.extend(unit.addend);
        }
        straight.retain(|&v| v != 0);
        // The first value without a gradient takes the buffer over; the others get a copy or a sum.
        let heir = straight.iter().copied().find(|&v| self.grads[v].is_none());
        for v in straight.into_iter().filter(|&v| Some(v) != heir) {
            let step = match self.dest(v)? {
                Dest { buf, accumulate: true } => Back::Add { src: dy, dst: buf, shape: form.map() },
                Dest { buf, accumulate: false } => Back::Copy { src: dy, dst: buf, shape: form.map() },
            };
            self.steps.push(step);
        }
        match heir {
            Some(v) => self.grads[v] = Some(dy),
            None => self.release(form, dy),
        }
        Ok(())
    }
}
