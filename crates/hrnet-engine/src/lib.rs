//! CPU inference: a network and its weights become a plan for this machine, and a plan runs.
//!
//! ```
//! use hrnet_engine::{Engine, EngineOptions, Session};
//! use hrnet_ir::{Arch, Head, Model, formula};
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
//! * [`Engine`]: batch norms folded, operations fused, weights packed for one instruction set. Once per checkpoint.
//! * [`Plan`]: kernels, order and arena offsets for one input shape. Its `Display` is stable text.
//! * [`Session`]: a plan with its working memory. `run` cannot fail for the planned shape and allocates nothing but
//!   its results; [`Session::run_into`] not even those (the kernels for global averages and OCR still take a little
//!   scratch of their own).
//!
//! Results depend on the values, the network, the image size and the instruction set: never on threads, batch size or
//! the position in a batch.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

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

pub use error::{EngineError, PlanError, RunError, WeightProblems};
pub use plan::{Plan, PlanOutput};
pub use profile::{Profile, StepProfile};
pub use run::Session;

use hrnet_ir::{Net, Weights};
use hrnet_kernels::{Isa, IsaError};
use std::fmt;
use std::sync::Arc;

/// How to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Instruction set of the kernels.
    pub isa: Isa,
    /// Bytes of working memory that one session may take.
    pub memory_limit: usize,
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
        Self { isa: Isa::detect(), memory_limit: Self::DEFAULT_MEMORY_LIMIT }
    }
}

/// A network made ready for this machine: shared by all plans and threads, cheap to clone.
#[derive(Clone)]
pub struct Engine {
    packed: Arc<pack::Packed>,
    memory_limit: usize,
}

impl Engine {
    /// Folds, fuses and packs. `weights` must hold every parameter of `net`; other tensors are ignored. They come by value
    /// and each is dropped as soon as it is packed, so that the process never holds all of them twice.
    pub fn new(net: &Net, weights: Weights, options: EngineOptions) -> Result<Self, EngineError> {
        let packed = Arc::new(pack::Packed::new(net, weights, options.isa)?);
        Ok(Self { packed, memory_limit: options.memory_limit })
    }

    /// The plan for an input shape `[n, 3, h, w]`.
    pub fn plan(&self, input: [usize; 4]) -> Result<Arc<Plan>, PlanError> {
        Ok(Arc::new(Plan::new(&self.packed, input, self.memory_limit)?))
    }

    /// [`Engine::plan`] for the only shape that will be wanted.
    pub fn into_plan(self, input: [usize; 4]) -> Result<Arc<Plan>, PlanError> {
        self.plan(input)
    }

    /// A session with a plan of its own; to share a plan, use [`Session::new`].
    pub fn session(&self, input: [usize; 4]) -> Result<Session, PlanError> {
        Session::new(&self.plan(input)?)
    }

    /// The instruction set of its kernels.
    pub fn isa(&self) -> Isa {
        self.packed.isa
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({} layers, isa {})", self.packed.layers.len(), self.packed.isa)
    }
}
