//! Weight files in and out: PyTorch checkpoints, safetensors, recipes.
//!
//! No input can do more than return an error. Parsers see bytes and [`Limits`]; they follow no path, call nothing and
//! allocate nothing that the file has not paid for with its own size.
//!
//! * [`load`], [`load_path`] and [`load_reader`]: any supported file to weights under official names in network order, the
//!   recognised [`hrnet_ir::Model`] and a report; [`inspect`] gives the report without failing.
//! * [`to_safetensors`]: weights and a [`Recipe`] to the bytes of our own file.
//! * [`sniff`]: what a file is, and what to do when it is no weight file.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
// Every module here sees bytes from users, or what was read from them.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![deny(clippy::cast_possible_truncation, clippy::panic)]

mod detect;
mod dtype;
mod families;
pub mod file;
mod limits;
mod load;
mod meta;
mod origin;
pub mod pickle;
pub mod pth;
mod recipe;
mod rename;
mod repair;
mod report;
pub mod safetensors;
mod sniff;
mod source;
pub mod zip;

pub use detect::{DetectError, Detected, Shapes, detect, detect_shapes};
pub use dtype::DType;
pub use file::{Container, Ignored};
pub use hrnet_ir::{Decoder, Task};
pub use limits::Limits;
pub use load::{
    Checkpoint, Inspection, LoadOptions, inspect, inspect_path, inspect_reader, load, load_path, load_reader,
};
pub use meta::{ConfigFacts, DatasetMeta, Meta};
pub use origin::{Origin, Origins};
pub use recipe::{Colour, Crop, MAX_RECIPE, Metric, RECIPE_VERSION, Recipe, RecipeError};
pub use rename::{Fate, RenameError, Renamed, Scheme, rename};
pub use report::{Conversion, Incomplete, LoadError, LoadReport};
pub use safetensors::{Precision, WriteError, to_bytes as to_safetensors};
pub use sniff::{FileKind, SNIFF_BYTES, sniff};
#[cfg(any(unix, windows))]
pub use source::PositionedFile;
pub use source::{SharedSource, Source, Stream};
