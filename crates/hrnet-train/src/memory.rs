//! Which buffer holds what, for one input shape: forward values, and gradients along the reverse walk.
//!
//! Every value has its own buffer, except sums that are added in place. Gradients live from their first writer to the
//! backward step of the unit that made the value; a buffer is reused by the next gradient of the same shape, because
//! a zero border and zero lanes stay valid for one shape only. The order of the writers of a gradient is the reverse
//! order of the units: fixed by the network.

use crate::plan::{Kind, Unit, Units};
use crate::tape::TapeError;
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
    /// `dst = src`.
    Copy { src: usize, dst: usize, shape: Shape },
}

/// Buffers and steps for one input shape.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// Layout of every value.
    pub forms: Vec<Form>,
    /// Buffer of every value that a unit makes, and of the input.
    pub values: Vec<usize>,
    /// For every unit: the source or addend whose buffer it writes in place.
    pub in_place: Vec<Option<usize>>,
    /// Gradient buffers of the outputs.
    pub output_grads: Vec<usize>,
    /// The reverse walk.
    pub backward: Vec<Back>,
    /// Floats of every buffer.
    pub lens: Vec<usize>,
}

impl Memory {
    pub fn new(net: &Net, plan: &Units, input: [usize; 4]) -> Result<Self, TapeError> {
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
        let mut lens = Vec::new();
        let mut new_buffer = |form: Form| -> Result<usize, TapeError> {
            lens.push(form.checked_len().ok_or(TapeError::Memory { bytes: u64::MAX })?);
            Ok(lens.len() - 1)
        };
        let mut values = vec![usize::MAX; forms.len()];
        values[0] = new_buffer(forms[0])?;
        let mut masked = vec![false; forms.len()];
        let mut in_place = Vec::with_capacity(plan.units.len());
        for unit in &plan.units {
            // A value may be overwritten when nobody else reads it and its own backward does not need it.
            let free = |&v: &usize| v != 0 && plan.readers[v] == 1 && !masked[v];
            let host = match unit.kind {
                Kind::Identity => unit.addend.filter(free).or(Some(unit.sources[0]).filter(free)),
                Kind::UpsampleNearest { .. } | Kind::ResizeBilinear { .. } => unit.addend.filter(free),
                _ => None,
            };
            values[unit.out] = match host {
                Some(v) => values[v],
                None => new_buffer(forms[unit.out])?,
            };
            masked[unit.out] = unit.relu;
            in_place.push(host);
        }
        let mut walk = Walk {
            forms: &forms,
            grads: vec![None; forms.len()],
            spare: Vec::new(),
            steps: Vec::new(),
            lens,
        };
        let output_grads = plan.outputs.iter().map(|&v| walk.start(v)).collect::<Result<_, _>>()?;
        for (i, unit) in plan.units.iter().enumerate().rev() {
            walk.unit(i, unit, &values)?;
        }
        let Walk { steps: backward, lens, .. } = walk;
        Ok(Self { values, in_place, output_grads, backward, lens, forms })
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

    fn unit(&mut self, index: usize, unit: &Unit, values: &[usize]) -> Result<(), TapeError> {
        let form = self.forms[unit.out];
        let mut dy = self.grads[unit.out].ok_or_else(|| TapeError::Dead { node: unit.name.clone() })?;
        let self_masking = unit.relu && matches!(unit.kind, Kind::BatchNorm(_));
        if unit.relu && !self_masking {
            let dst = self.take(form)?;
            self.steps.push(Back::Mask { y: values[unit.out], dy, dst, shape: form.map() });
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
