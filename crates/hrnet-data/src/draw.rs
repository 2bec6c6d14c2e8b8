//! Pictures for people to look at.
//!
//! | subject | module |
//! |---|---|
//! | discs, lines, rectangles, boxes | [`shape`] |
//! | text and labels | [`text`] |
//! | landmarks of faces | [`landmarks`] |
//! | persons and animals of any set of points | [`skeleton`] |
//! | class masks: overlay, legend, colours | [`mask`], [`palette`] |
//! | heat maps over their crop | [`heat`] |
//! | pages of pictures with captions, labels under predictions | [`sheet`] |
//! | curves, bars, matrices, as pictures and as SVG | [`chart`] |
//!
//! Nothing here fails on odd numbers: what is not finite or lies outside is not drawn. Sizes follow what is drawn, so that a
//! picture of 64 pixels and one of 6000 both look right.

pub mod chart;
mod colour;
pub mod heat;
pub mod landmarks;
pub mod mask;
pub mod palette;
pub mod shape;
pub mod sheet;
pub mod skeleton;
pub mod text;

pub use landmarks::{Style, draw_landmarks};
pub use shape::{disc, draw_box, fill_rect, stroke};
pub use sheet::{Tile, contact_sheet, resized, scale_points, tile_sheet};
pub use skeleton::{Person, PoseStyle, Schema, draw_people};
pub use text::{Anchor, TextStyle, draw_label, draw_text, text_size};
