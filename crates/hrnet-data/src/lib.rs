//! Labels, geometry of crops, data sets, codecs, metrics, drawing.
//!
//! This crate knows labels and the pixels under them, not networks; pictures are `hrnet_image`. Its path for one face is
//!
//! ```text
//! bytes -> hrnet_image::decode -> geometry::Crop -> warp (normalised [3, h, w]) -> (network) -> codec::heatmap -> points
//! ```
//!
//! Conventions, everywhere unless a function says otherwise:
//!
//! * x before y; pixels of the original image; the centre of a pixel has integer coordinates, so an image of width `w`
//!   covers `-0.5 ..= w - 0.5`;
//! * images are 8-bit RGB, row-major; network inputs are `f32`, `[3, h, w]`, RGB, normalised;
//! * heat maps are `f32`, `[joints, h, w]`;
//! * `official` in a name means: the behaviour of the published code, its quirks included.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod augment;
pub mod check;
pub mod codec;
pub mod convert;
pub mod dataset;
pub mod draw;
pub mod geometry;
pub mod loader;
pub mod metric;
pub use hrnet_ir::sets;
pub mod rng;
pub mod sheet;
