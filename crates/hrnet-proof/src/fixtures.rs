//! Where tests find golden files, checkpoints and data: beside the checkout, or in the repository's `testdata`. For tests
//! only: what is missing is a panic.

mod absent;

pub use absent::{beside, by_hand, data, left_out, shared};

use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// The repository root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/<name> lies two levels down")
        .into()
}

/// A golden file, for example `forward/cls_hrnet_w18.json`: the full one where the shared folder is there, else the
/// repository's copy with fewer samples.
///
/// # Panics
/// When neither exists.
pub fn fixture(name: &str) -> PathBuf {
    let full = shared().map(|dir| dir.join("fixtures").join(name)).filter(|p| p.is_file());
    let path = full.unwrap_or_else(|| {
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            left_out("compares fewer samples: the full golden vectors are in ../shared/fixtures")
        });
        repository().join("testdata/fixtures").join(name)
    });
    assert!(path.is_file(), "no fixture {name}: neither in the shared folder nor in testdata");
    path
}

/// The bytes of a golden file.
///
/// # Panics
/// When it cannot be read.
pub fn read_fixture(name: &str) -> Vec<u8> {
    let path = fixture(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files of `testdata/checkpoints/checkpoints.gz`, written by the real PyTorch, by name. `python/make_checkpoints.py`
/// describes the format.
///
/// # Panics
/// When the pack is missing or damaged.
pub fn checkpoints() -> BTreeMap<String, Vec<u8>> {
    let path = repository().join("testdata/checkpoints/checkpoints.gz");
    let packed = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut plain = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut plain).expect("a whole gzip file");
    let line = plain.iter().position(|&b| b == b'\n').expect("a line of JSON before the bytes");
    let (index, pool) = (&plain[..line], &plain[line + 1..]);
    let index: BTreeMap<String, Vec<[usize; 2]>> = serde_json::from_slice(index).expect("pieces by name");
    let bytes =
        |pieces: Vec<[usize; 2]>| pieces.iter().flat_map(|&[at, len]| &pool[at..][..len]).copied().collect();
    index.into_iter().map(|(name, pieces)| (name, bytes(pieces))).collect()
}

/// Names of the 19 inference cases.
pub const FORWARD_CASES: [&str; 19] = [
    "cls_hrnet_w18",
    "cls_hrnet_w18_small_v1",
    "cls_hrnet_w18_small_v2",
    "cls_hrnet_w32",
    "cls_hrnet_w48",
    "cls_hrnet_w64",
    "face_hrnetv2_w18_300w",
    "face_hrnetv2_w18_aflw",
    "face_hrnetv2_w18_cofw",
    "face_hrnetv2_w18_wflw",
    "face_hrnetv2_w18_wflw_odd",
    "higher_hrnet_w32_coco_512",
    "pose_hrnet_w32_coco_256x192",
    "pose_hrnet_w32_mpii_256x256",
    "pose_hrnet_w48_coco_384x288",
    "seg_hrnet_ocr_w48_cityscapes",
    "seg_hrnet_w48_ade20k_aligned",
    "seg_hrnet_w48_cityscapes",
    "seg_hrnet_w48_cityscapes_odd",
];
