//! Pictures at another size: as Pillow does ([`resize_pil`]) and as OpenCV does ([`resize_bilinear`], [`scaled_part`]).

mod bilinear;
mod pillow;

pub use bilinear::{Planes, resize_bilinear, scaled_part};
pub use pillow::{Filter, MAX_RESIZED_PIXELS, ResizeError, centre_crop, resize_pil, resize_short_side};
