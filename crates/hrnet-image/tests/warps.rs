//! The OpenCV warps against OpenCV itself, on a formula image (`testdata/make_warps.py`).
#![forbid(unsafe_code)]

use hrnet_image::warp::{Affine, warp_opencv_u8, warp_opencv5_u8};
use hrnet_image::{DecodeOptions, Image, Limits, decode};

const MAPS: [[[f64; 3]; 2]; 3] = [
    [[1.7, 0.0, -12.3], [0.0, 1.7, -20.9]],
    [[0.9, 0.55, -9.0], [-0.55, 0.9, 17.25]],
    [[0.6, -0.2, 11.0], [0.2, 0.6, 3.0]],
];

fn formula() -> Image {
    let value = |x: usize, y: usize, c: usize| ((x * 7 + y * 13 + c * 50 + (x * y) % 31 * 5) % 256) as u8;
    let data = (0..37 * 53).flat_map(|i| [0, 1, 2].map(|c| value(i % 53, i / 53, c))).collect();
    Image::new(53, 37, data).unwrap()
}

/// The largest difference from the three golden warps, which are stacked in one picture.
fn worst(golden: &[u8], warp: fn(&Image, &Affine, usize, usize) -> Image) -> u8 {
    let golden = decode(golden, &Limits::default(), DecodeOptions::default()).unwrap().image;
    let image = formula();
    let ours: Vec<u8> = MAPS.iter().flat_map(|m| warp(&image, &Affine(*m), 48, 40).into_data()).collect();
    assert_eq!(ours.len(), golden.data().len());
    ours.iter().zip(golden.data()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn fixed_point_is_equal_to_opencv_4() {
    assert_eq!(worst(include_bytes!("../testdata/warps_opencv_4.8.1.png"), warp_opencv_u8), 0);
}

#[test]
fn floating_point_is_within_one_level_of_opencv_5() {
    assert!(worst(include_bytes!("../testdata/warps_opencv_5.0.0.png"), warp_opencv5_u8) <= 1);
}
