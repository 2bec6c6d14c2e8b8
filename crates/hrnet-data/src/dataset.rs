//! Data sets: find, read, validate. One file per data set or container; [`model`] holds what they have in common.
//!
//! | set | file | coordinates in the file | what is returned |
//! |---|---|---|---|
//! | COCO, CrowdPose, AP-10K, any COCO-style JSON | [`coco`] | 0-based | unchanged |
//! | AI Challenger, own JSON | [`ai_challenger`] | not documented, read as 0-based | unchanged |
//! | MPII, official JSON and `gt_valid.mat` | [`mpii`] | 1-based (MATLAB) | one less |
//! | LSP, LSPET | [`lsp`] | not documented | unchanged, or one less by option |
//! | 300W, 300VW, other `.pts` | [`pts`], [`w300`], [`vw300`] | 1-based (MATLAB) | one less, by option unchanged |
//! | WFLW text | [`wflw`] | not documented, read as 0-based | unchanged, or one less by option |
//! | COFW | [`cofw`] | 1-based (MATLAB) | one less, by option unchanged |
//! | 300W, WFLW, AFLW as CSV | [`landmark_csv`] | as its maker left them: the official files are 1-based | unchanged |
//! | CVAT XML, LabelMe JSON | [`cvat`], [`labelme`] | 0-based | unchanged |
//! | YOLO-pose | [`yolo`] | over width and height of the image | times these |
//! | segmentation lists | [`segmentation`], tables in [`label_map`] | - | - |
//! | class folders, class tables | [`classification`] | - | - |
//!
//! # Design
//!
//! [`open`] is the one door: it tells what a path is and reads any set into one form, for a purpose (to look, to measure, to learn).
//! Nothing else in the repository reads labels, boxes or results from files.
//!
//! * A format is one file with a constant of `format::Format` (name, how a path of it looks, reader, where its images lie, how a
//!   place in it is called) and one row of the table in [`open`]; the compiler asks for every field. Code that all formats share
//!   knows none of them.
//! * [`images`] is the one rule that finds an image from its label, and the only list of endings.
//! * The size of a picture is that with which it is shown (`hrnet_image::shown_size`); [`faces`] and [`model`] hold the rules for boxes.
//! * JSON of COCO is parsed in [`coco`] alone, CSV in [`table`], YAML under limits in [`yaml`].
//! * Files know those below them: `error`, [`images`], `reader`, [`model`], `format`, the formats, [`open`].
//!
//! Returned points are in pixel-centre coordinates: the middle of the top left pixel is (0, 0).
//!
//! The official face code takes every CSV for 1-based: it subtracts one before its affine map. With `Base::Zero` the readers
//! of faces return a file's own numbers, which is what that code starts from (`Protocol::Official`).
//!
//! # Errors
//! Every reader returns a [`model::DataError`] that names the file, the line or entry, and what to do. Under
//! [`model::Broken::Skip`] a broken entry is left out and its error is kept in `skipped`, so that a caller can count and
//! show it; damage to the file as a whole is always an error.

pub mod ai_challenger;
pub mod box_table;
mod categories;
pub mod classification;
pub mod coco;
pub mod coco_mask;
pub mod cofw;
mod cursor;
pub mod cvat;
pub(crate) mod error;
pub mod faces;
mod format;
pub mod hdf5;
pub mod images;
mod json;
pub mod label_map;
pub mod labelme;
pub mod landmark_csv;
pub mod lsp;
pub mod mat5;
pub mod model;
pub mod mpii;
pub mod open;
pub mod pts;
mod reader;
pub mod segmentation;
pub mod table;
pub mod vw300;
pub mod w300;
pub mod wflw;
pub mod yaml;
pub mod yolo;
