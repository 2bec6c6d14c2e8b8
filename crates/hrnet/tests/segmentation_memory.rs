//! A large image within the bound on memory: the most memory of this process, which does nothing else.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

use hrnet::task::{Resize, SegmentOptions, Segmenter};
use hrnet::timing::peak_memory;
use hrnet_data::image::Image;
use hrnet_formats::Recipe;
use hrnet_ir::{Arch, Depth, Fuse, Head, Model, formula};
use hrnet_kernels::Pool;
use std::sync::Arc;

#[test]
fn the_scores_of_a_large_image_are_never_all_there() {
    let arch = Arch { width: 4, depth: Depth { blocks: 1, ..Depth::SMALL_V1 }, ..Arch::small_v1() };
    let arch = arch.fuse(Fuse::Bilinear { align_corners: false });
    let model = Model { arch, head: Head::Segment { classes: 40, kernel: 1 } };
    let weights = formula::weights(&model.build().unwrap(), "");
    let memory = 64 << 20;
    let options = SegmentOptions { memory, resize: Resize::Keep, ..SegmentOptions::default() };
    let pool = Arc::new(Pool::new(2));
    let mut segmenter = Segmenter::new(weights, Recipe::for_model(&model, "test"), pool, options).unwrap();
    let (width, height) = (3072, 1536);
    let image = Image::filled(width, height, [90, 120, 150]);
    let before = peak_memory().unwrap();
    let (mask, _) = segmenter.predict(&image).unwrap();
    assert_eq!(mask.classes.len(), width * height);
    let grown = peak_memory().unwrap() - before;
    // The mask, the bound, and half as much again for one window's input and result, rows and packed weights.
    let allowed = (2 * width * height + memory + memory / 2) as u64;
    // In full the scores would take 755 MB, at a quarter of the size on each axis 47.
    assert!(grown < allowed, "{grown} bytes, {allowed} are allowed");
    assert!(grown > memory as u64 / 8, "{grown} bytes: what was measured?");
}
