//! The operations of the tape, one file each: what its layer holds, `forward` and `backward`.
//!
//! A `forward` gets the tape's state as [`ctx::Ctx`] and the buffer of its result; a `backward` gets the gradient of its result and
//! adds to those of its sources, [`ctx::Grads`]. [`layer`] calls them by the kind of a unit. The tape decides the order and the
//! buffers.

pub(crate) mod batch_norm;
pub(crate) mod concat;
pub(crate) mod conv;
pub(crate) mod ctx;
pub(crate) mod dropout;
pub(crate) mod identity;
pub(crate) mod layer;
pub(crate) mod linear;
pub(crate) mod pool;
pub(crate) mod region;
pub(crate) mod resize;
pub(crate) mod shared;
pub(crate) mod transpose;
