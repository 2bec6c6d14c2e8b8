//! CPU inference: a network and its weights become a plan for this machine, and a plan runs.
//!
//! ```
//! use hrnet_engine::{Engine, EngineOptions, Session};
//! use hrnet_ir::{Arch, Head, Model};
//! use hrnet_proof::formula;
//! use hrnet_kernels::Pool;
//! let model = Model { arch: Arch { width: 8, ..Arch::small_v1() }, head: Head::Pose { joints: 5, kernel: 1, branch: 0 } };
//! let net = model.build()?;
//! let engine = Engine::new(&net, formula::weights(&net, ""), EngineOptions::default())?;
//! let plan = engine.plan([1, 3, 64, 32])?;
//! let mut session = Session::new(&plan)?;
//! let heat_maps = session.run(&Pool::new(1), &formula::input("image", &[1, 3, 64, 32]))?;
//! assert_eq!(heat_maps[0].shape(), [1, 5, 16, 8]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * [`Engine`]: batch norms folded, operations fused. Once per checkpoint.
//! * [`Plan`]: weights packed, kernels, waves and arena offsets for one input shape. Its `Display` is stable text. Plans that live
//!   at the same time share what is packed in the same form; the engine keeps the weights as they came for further plans,
//!   [`Engine::into_plan`] does not.
//! * [`Session`]: a plan with its working memory. `run` cannot fail for the planned shape and allocates nothing but
//!   its results; [`Session::run_into`] not even those.
//!
//! Results depend on the values, the network, the image size and the instruction set: never on threads, batch size or
//! the position in a batch.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod error;
mod layout;
mod lower;
mod memory;
mod pack;
mod plan;
mod profile;
mod run;
mod step;
#[cfg(test)]
mod tests;
mod waves;

pub use error::{EngineError, PlanError, RunError, WeightProblems};
pub use plan::{Plan, PlanOutput};
pub use profile::{Profile, StepProfile};
pub use run::Session;

use hrnet_ir::{Net, Weights};
use hrnet_kernels::{Isa, IsaError};
use plan::Draft;
use std::fmt;
use std::sync::Arc;

/// How to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Instruction set of the kernels.
    pub isa: Isa,
    /// Bytes of working memory that one session may take.
    pub memory_limit: usize,
    /// Threads that pack weights, and that plans are balanced for; 0: as many as there are processors. Plans run on pools
    /// of any size, with the same bits.
    pub threads: usize,
}

impl EngineOptions {
    /// 16 GiB: a 4096 x 4096 image through a W48 segmentation network takes 5.7.
    pub const DEFAULT_MEMORY_LIMIT: usize = 16 << 30;

    /// The default with the instruction set that `HRNET_ISA` names, if it is set.
    pub fn from_env() -> Result<Self, IsaError> {
        Ok(Self { isa: Isa::from_env()?, ..Self::default() })
    }
}

impl Default for EngineOptions {
    /// The best instruction set of this processor.
    fn default() -> Self {
        Self { isa: Isa::detect(), memory_limit: Self::DEFAULT_MEMORY_LIMIT, threads: 0 }
    }
}

/// Bytes that a plan takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Working memory of each session.
    pub arena: usize,
    /// Packed weights.
    pub packed: usize,
    /// Those of them that no living plan has.
    pub new: usize,
}

/// A network made ready for this machine: shared by all plans and threads, cheap to clone.
#[derive(Clone)]
pub struct Engine {
    lowered: Arc<pack::Lowered>,
    sources: Arc<Vec<pack::Source>>,
    cache: Arc<pack::Cache>,
    options: EngineOptions,
}

impl Engine {
    /// Folds and fuses. `weights` must hold every parameter of `net`; other tensors are ignored.
    pub fn new(net: &Net, weights: Weights, options: EngineOptions) -> Result<Self, EngineError> {
        let (lowered, sources) = pack::Lowered::new(net, weights, options.isa)?;
        let (lowered, sources) = (Arc::new(lowered), Arc::new(sources));
        Ok(Self { lowered, sources, cache: Arc::default(), options })
    }

    /// The plan for an input shape `[n, 3, h, w]`. Packs the weights that no living plan has in the same form.
    pub fn plan(&self, input: [usize; 4]) -> Result<Arc<Plan>, PlanError> {
        let draft = Draft::new(&self.lowered, input, self.options.memory_limit)?;
        let threads = self.threads();
        let layers = pack::layers(&self.lowered, self.sources.to_vec(), &draft.cases, &self.cache, threads);
        Ok(Arc::new(Plan::new(draft, layers, threads)))
    }

    /// [`Engine::plan`] for the only shape that will be wanted: weights are freed as soon as they are packed.
    pub fn into_plan(self, input: [usize; 4]) -> Result<Arc<Plan>, PlanError> {
        let draft = Draft::new(&self.lowered, input, self.options.memory_limit)?;
        let threads = self.threads();
        // If a clone lives on, so do its weights.
        let sources = Arc::unwrap_or_clone(self.sources);
        let layers = pack::layers(&self.lowered, sources, &draft.cases, &self.cache, threads);
        Ok(Arc::new(Plan::new(draft, layers, threads)))
    }

    /// What a plan for an input shape takes, without making it.
    pub fn needs(&self, input: [usize; 4]) -> Result<Needs, PlanError> {
        let draft = Draft::new(&self.lowered, input, self.options.memory_limit)?;
        let (packed, new) = self.lowered.packing(&draft.cases, &self.cache);
        Ok(Needs { arena: draft.arena_bytes(), packed, new })
    }

    /// Bytes of the weights that are kept for further plans.
    pub fn weight_bytes(&self) -> usize {
        pack::source_bytes(&self.sources)
    }

    /// Bytes of packed weights of all plans that live.
    pub fn packed_bytes(&self) -> usize {
        self.lowered.packed(&self.cache)
    }

    fn threads(&self) -> usize {
        match self.options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// A session with a plan of its own; to share a plan, use [`Session::new`].
    pub fn session(&self, input: [usize; 4]) -> Result<Session, PlanError> {
        Session::new(&self.plan(input)?)
    }

    /// The instruction set of its kernels.
    pub fn isa(&self) -> Isa {
        self.lowered.isa
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({} layers, isa {})", self.sources.len(), self.lowered.isa)
    }
}

/// The example of README.md.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
