#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod affine;
mod decode;
mod encode;
mod error;
mod image;
mod jpeg_samples;
pub mod mask_png;
pub mod resize;
pub mod video;
pub mod warp;
pub mod yuv;

pub use crate::decode::{
    DecodeOptions, Decoded, Exif, Limits, Orientation, Truncated, decode, dimensions, shown_size,
};
pub use crate::encode::{encode_jpeg, encode_png};
pub use crate::error::{Format, ImageError};
pub use crate::image::Image;
