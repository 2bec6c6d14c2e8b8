//! A large image within the bound on memory: the most memory of this process, which does nothing else.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

use hrnet::tasks::{MEMORY, Resize, SegmentOptions, Segmenter};
use hrnet::timing::peak_memory;
use hrnet_formats::Recipe;
use hrnet_image::Image;
use hrnet_ir::{Arch, Depth, Fuse, Head, Model, zoo};
use hrnet_kernels::Pool;
use hrnet_proof::formula;
use std::sync::Arc;

/// The full size takes minutes: `HRNET_LARGE=all cargo test -p hrnet-cli --test segmentation_memory`.
fn by_hand() -> bool {
    std::env::var_os("HRNET_LARGE").is_some_and(|v| v == "all")
}

/// The most memory of the process after an image of this size.
fn peak_after(model: &Model, options: SegmentOptions, width: usize, height: usize, one_image: bool) -> usize {
    let weights = formula::weights(&model.build().unwrap(), "");
    let pool = Arc::new(Pool::new(2));
    let make = if one_image { Segmenter::for_one_image } else { Segmenter::new };
    let mut segmenter = make(weights, Recipe::for_model(model, "test"), pool, options).unwrap();
    let image = Image::filled(width, height, [90, 120, 150]);
    let (mask, _) = segmenter.predict(&image).unwrap();
    assert_eq!(mask.classes.len(), width * height);
    usize::try_from(peak_memory().unwrap()).unwrap()
}

#[test]
fn the_scores_of_a_large_image_are_never_all_there() {
    if by_hand() {
        return;
    }
    let arch = Arch { width: 4, depth: Depth { blocks: 1, ..Depth::SMALL_V1 }, ..Arch::small_v1() };
    let arch = arch.fuse(Fuse::Bilinear { align_corners: false });
    let model = Model { arch, head: Head::Segment { classes: 40, kernel: 1 } };
    let (memory, working) = (192 << 20, 48 << 20);
    let options = SegmentOptions { memory, working, resize: Resize::Keep, ..SegmentOptions::default() };
    // In full the scores would take 755 MB, at a quarter of the size on each axis 47.
    let peak = peak_after(&model, options, 3072, 1536, false);
    println!("{} MiB, {} are allowed", peak >> 20, memory >> 20);
    assert!(peak < memory, "{peak} bytes, {memory} are allowed");
    assert!(peak > 40 << 20, "{peak} bytes: what was measured?");
}

/// The largest published network, with as many classes as any, under the default bound.
#[test]
fn ocr_w48_at_4096_by_8192_is_within_two_gibibytes() {
    if !hrnet_proof::fixtures::by_hand("HRNET_LARGE", "all") {
        return;
    }
    let entry = zoo::find("hrnet_ocr_w48.cocostuff_520x520").expect("a name of the zoo");
    let options = SegmentOptions { resize: Resize::Keep, ..SegmentOptions::default() };
    let peak = peak_after(&entry.model, options, 8192, 4096, std::env::var_os("HRNET_ONE").is_some());
    println!("{} MiB, {} are allowed", peak >> 20, MEMORY >> 20);
    assert!(peak < MEMORY, "{peak} bytes");
}
