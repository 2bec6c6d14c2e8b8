//! Fixtures and tolerances shared by tests. Dev-only: nothing that ships depends on it.
#![forbid(unsafe_code)]

mod absent;

pub use absent::{by_hand, data, left_out, shared};

use std::collections::BTreeMap;
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
pub fn read_fixture(name: &str) -> Vec<u8> {
    let path = fixture(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files of `testdata/checkpoints/checkpoints.pack`, written by the real PyTorch. The format is described in
/// `python/make_checkpoints.py`.
///
/// # Panics
/// When the pack is damaged.
pub fn checkpoints() -> BTreeMap<String, Vec<u8>> {
    fn take<'a>(at: &mut &'a [u8], len: usize) -> &'a [u8] {
        at.split_off(..len).unwrap()
    }
    fn varint(at: &mut &[u8]) -> usize {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = take(at, 1)[0];
            value |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    let pack = std::fs::read(repository().join("testdata/checkpoints/checkpoints.pack")).unwrap();
    let mut at = pack.strip_prefix(b"HRNETPK1").unwrap();
    let mut heads = Vec::new();
    for _ in 0..varint(&mut at) {
        let len = varint(&mut at);
        let name = String::from_utf8(take(&mut at, len).to_vec()).unwrap();
        heads.push((name, varint(&mut at)));
    }
    let mut data = Vec::new();
    loop {
        let literals = varint(&mut at);
        data.extend_from_slice(take(&mut at, literals));
        let (length, distance) = (varint(&mut at), varint(&mut at));
        if length == 0 {
            break;
        }
        let from = data.len() - distance;
        (from..from + length).for_each(|i| data.push(data[i]));
    }
    let mut rest = data.as_slice();
    heads.into_iter().map(|(name, size)| (name, take(&mut rest, size).to_vec())).collect()
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
