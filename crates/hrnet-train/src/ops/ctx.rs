//! What an operation sees while it runs: the tape's values, the gradients that it writes, and the mode of the step.

use crate::dropout::Draw;
use crate::error::BoxError;
use crate::memory::{Dest, Memory};
use crate::par;
use crate::plan::Unit;
use crate::reduce::Reduce;
use hrnet_kernels::{AlignedBuf, Isa, Pool, Shape, Wanted};
use std::sync::{Arc, Mutex};

/// What is the same for all units of a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mode {
    /// What dropout draws; without it nothing is dropped.
    pub draw: Option<Draw>,
    /// The other processes of the run.
    pub shared: Option<Arc<dyn Reduce>>,
    /// Whether batch norms share their statistics with them.
    pub sync: bool,
    /// The first exchange with them that failed.
    pub failure: Arc<Mutex<Option<String>>>,
}

impl Mode {
    /// With whom batch norms share their statistics.
    pub fn statistics(&self) -> Option<&Arc<dyn Reduce>> {
        self.shared.as_ref().filter(|_| self.sync)
    }

    /// Keeps the first failure; the tape reports it at the end of its walk.
    pub fn note(&self, result: Result<(), BoxError>) {
        if let Err(error) = result {
            let mut failure = par::lock(&self.failure);
            failure.get_or_insert_with(|| error.to_string());
        }
    }
}

/// Which walk a unit runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Forward,
    /// Forward once more, with the statistics of the first time.
    Again,
    Backward,
}

/// A unit that runs, and where its values are.
pub(crate) struct Ctx<'a> {
    pub isa: Isa,
    pub pool: &'a Pool,
    pub unit: &'a Unit,
    /// The source or addend whose buffer the result overwrites.
    pub host: Option<usize>,
    pub memory: &'a Memory,
    pub phase: Phase,
    pub bufs: &'a [AlignedBuf],
    pub mode: &'a Mode,
}

impl<'a> Ctx<'a> {
    pub fn value(&self, v: usize) -> &'a [f32] {
        let buf = if self.phase == Phase::Forward { self.memory.values[v] } else { self.memory.again[v] };
        &self.bufs[buf]
    }

    pub fn shape(&self, v: usize) -> Shape {
        self.memory.forms[v].map()
    }

    /// The first source.
    pub fn x(&self) -> &'a [f32] {
        self.value(self.unit.sources[0])
    }

    pub fn x_shape(&self) -> Shape {
        self.shape(self.unit.sources[0])
    }

    /// The source at a position.
    pub fn source(&self, index: usize) -> &'a [f32] {
        self.value(self.unit.sources[index])
    }

    pub fn source_shape(&self, index: usize) -> Shape {
        self.shape(self.unit.sources[index])
    }

    pub fn out_shape(&self) -> Shape {
        self.shape(self.unit.out)
    }
}

/// A gradient buffer, and whether to add to what is there.
pub(crate) type Grad = (AlignedBuf, bool);

/// The gradients that a backward step writes, taken out of the tape's buffers while it does.
pub(crate) struct Grads {
    /// Per source; nothing for the image.
    pub sources: Vec<Option<Grad>>,
    pub addend: Option<Grad>,
}

impl Grads {
    pub fn take(bufs: &mut [AlignedBuf], sources: &[Option<Dest>], addend: Option<Dest>) -> Self {
        let mut take = |d: Dest| (std::mem::take(&mut bufs[d.buf]), d.accumulate);
        Self { sources: sources.iter().map(|d| d.map(&mut take)).collect(), addend: addend.map(&mut take) }
    }

    pub fn put_back(self, bufs: &mut [AlignedBuf], sources: &[Option<Dest>], addend: Option<Dest>) {
        let dests = sources.iter().chain([&addend]).flatten();
        for (dest, (buf, _)) in dests.zip(self.sources.into_iter().chain([self.addend]).flatten()) {
            bufs[dest.buf] = buf;
        }
    }

    /// Of the first sources, in order.
    pub fn each<const N: usize>(&mut self) -> [Wanted<'_>; N] {
        let mut all = self.sources.iter_mut().map(|g| g.as_mut().map(|(buf, add)| (&mut buf[..], *add)));
        std::array::from_fn(|_| all.next().flatten())
    }

    /// Of the first source.
    pub fn first(&mut self) -> Option<(&mut [f32], bool)> {
        self.sources[0].as_mut().map(|(buf, accumulate)| (&mut buf[..], *accumulate))
    }
}
