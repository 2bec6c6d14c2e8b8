//! JPEG files decode to the pixels of libjpeg-turbo's defaults, to the last bit (cases of `python/make_jpeg_cases.py`).
#![forbid(unsafe_code)]

use hrnet_image::{DecodeOptions, Exif, Image, Limits, Truncated, decode};
use std::path::Path;

fn read(path: &Path) -> Image {
    let bytes = std::fs::read(path).unwrap();
    let options = DecodeOptions { exif: Exif::Ignore, truncated: Truncated::Refuse };
    decode(&bytes, &Limits::default(), options).unwrap_or_else(|e| panic!("{}: {e}", path.display())).image
}

#[test]
fn every_sampling_gives_the_pixels_of_opencv() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/jpeg");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "jpg") {
            continue;
        }
        let (got, want) = (read(&path), read(&path.with_extension("png")));
        assert_eq!((got.width(), got.height()), (want.width(), want.height()), "{}", path.display());
        let other = got.data().iter().zip(want.data()).filter(|(a, b)| a != b).count();
        assert_eq!(other, 0, "{}: values of {}", path.display(), got.data().len());
        count += 1;
    }
    assert_eq!(count, 15);
}

#[test]
fn photographs_give_the_pixels_of_opencv() {
    let Some(data) = hrnet_proof::fixtures::data("") else { return };
    let list = include_str!("../testdata/jpeg/photos.txt");
    for line in list.lines() {
        let (name, sum) = line.rsplit_once(' ').unwrap();
        let path = data.join(name);
        let fnv = |value: u64, &byte: &u8| (value ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let got = read(&path).data().iter().fold(0xcbf2_9ce4_8422_2325, fnv);
        assert_eq!(format!("{got:016x}"), sum, "{name}");
    }
    assert!(list.lines().count() >= 12);
}
