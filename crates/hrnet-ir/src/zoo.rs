//! The published networks by name: one line per checkpoint, no topology.
//!
//! [`find`] accepts an id of the table (`hrnet_w32.coco_256x192`), the file names of the official repositories, and
//! short forms such as `pose-w32`, `face w18 wflw`, `cls_w18_small_v1` or `seg-w48 19`: a family, a width and, where it
//! matters, a data set or size, in any order.

use crate::arch::{Arch, Fuse, Model};
use crate::heads::{Head, PyramidPool};

/// One published network.
#[derive(Clone, Debug, PartialEq)]
pub struct ZooEntry {
    /// `architecture.tag`.
    pub id: &'static str,
    /// Its description.
    pub model: Model,
    /// Height and width of the input it is published with.
    pub input: [usize; 2],
    /// The published metric, as its repository states it.
    pub metric: &'static str,
    /// Where the weights come from.
    pub source: &'static str,
    /// Terms of the code and of the training data.
    pub licence: &'static str,
}

const POSE: &str = "leoxiaobin/deep-high-resolution-net.pytorch";
const FACE: &str = "HRNet/HRNet-Facial-Landmark-Detection";
const SEG: &str = "HRNet/HRNet-Semantic-Segmentation";
const CLS: &str = "HRNet/HRNet-Image-Classification";
const HIGHER: &str = "HRNet/HigherHRNet-Human-Pose-Estimation";
const DET: &str = "HRNet/HRNet-Object-Detection";
const MIT: &str = "code MIT; weights follow the terms of their training data";
const APACHE: &str = "code Apache-2.0; weights follow the terms of their training data";

fn trunk(width: &str) -> Arch {
    match width {
        "w18_small_v1" => Arch::small_v1(),
        "w18_small_v2" => Arch::small_v2(),
        w => Arch::new(w.trim_start_matches('w').parse().expect("a width of the table")),
    }
}

/// The table.
pub fn entries() -> Vec<ZooEntry> {
    let mut rows = Vec::new();
    let mut row = |id, arch, head, input, metric, source, licence| {
        rows.push(ZooEntry { id, model: Model { arch, head }, input, metric, source, licence });
    };
    let half = Fuse::Bilinear { align_corners: false };
    let aligned = Fuse::Bilinear { align_corners: true };
    let pose = |joints| Head::Pose { joints, kernel: 1, branch: 0 };
    for (id, width, joints, input, metric) in [
        ("hrnet_w32.coco_256x192", "w32", 17, [256, 192], "AP 74.4"),
        ("hrnet_w32.coco_384x288", "w32", 17, [384, 288], "AP 75.8"),
        ("hrnet_w48.coco_256x192", "w48", 17, [256, 192], "AP 75.1"),
        ("hrnet_w48.coco_384x288", "w48", 17, [384, 288], "AP 76.3"),
        ("hrnet_w32.mpii_256x256", "w32", 16, [256, 256], "PCKh@0.5 90.3"),
        ("hrnet_w48.mpii_256x256", "w48", 16, [256, 256], ""),
    ] {
        row(id, trunk(width), pose(joints), input, metric, POSE, MIT);
    }
    for (id, points, metric) in [
        ("hrnetv2_w18.300w_256x256", 68, "NME 3.34 % (full)"),
        ("hrnetv2_w18.wflw_256x256", 98, "NME 4.60 %"),
        ("hrnetv2_w18.cofw_256x256", 29, "NME 3.45 %"),
        ("hrnetv2_w18.aflw_256x256", 19, "NME 1.57 %"),
    ] {
        let arch = trunk("w18").fuse(half).bn_momentum(0.01);
        row(id, arch, Head::Landmark { points, kernel: 1 }, [256, 256], metric, FACE, MIT);
    }
    for (id, width, error) in [
        ("hrnet_w18_small_v1.in1k", "w18_small_v1", "top-1 error 27.7 %"),
        ("hrnet_w18_small_v2.in1k", "w18_small_v2", "top-1 error 24.9 %"),
        ("hrnet_w18.in1k", "w18", "top-1 error 23.2 %"),
        ("hrnet_w30.in1k", "w30", "top-1 error 21.8 %"),
        ("hrnet_w32.in1k", "w32", "top-1 error 21.5 %"),
        ("hrnet_w40.in1k", "w40", "top-1 error 21.1 %"),
        ("hrnet_w44.in1k", "w44", "top-1 error 21.1 %"),
        ("hrnet_w48.in1k", "w48", "top-1 error 20.7 %"),
        ("hrnet_w64.in1k", "w64", "top-1 error 20.5 %"),
    ] {
        row(id, trunk(width), Head::Classify { classes: 1000, bias: true }, [224, 224], error, CLS, MIT);
    }
    for (id, width, classes, fuse, input, metric) in [
        ("hrnetv2_w18_small_v1.cityscapes", "w18_small_v1", 19, half, [512, 1024], "mIoU 70.3 %"),
        ("hrnetv2_w18_small_v2.cityscapes", "w18_small_v2", 19, half, [512, 1024], "mIoU 76.2 %"),
        ("hrnetv2_w48.cityscapes", "w48", 19, half, [512, 1024], "mIoU 81.1 %"),
        ("hrnetv2_w48.lip_473x473", "w48", 20, half, [473, 473], "mIoU 55.8 %"),
        ("hrnetv2_w48.pascal_context_480x480", "w48", 59, half, [480, 480], "mIoU 54.1 %"),
        ("hrnetv2_w48.ade20k_520x520", "w48", 150, aligned, [520, 520], "mIoU 43.1 %"),
        ("hrnetv2_w48.cocostuff_520x520", "w48", 171, aligned, [520, 520], "mIoU 36.2 %"),
    ] {
        let arch = trunk(width).fuse(fuse).bn_momentum(0.01);
        row(id, arch, Head::Segment { classes, kernel: 1 }, input, metric, SEG, MIT);
    }
    for (id, classes, input, metric) in [
        ("hrnet_ocr_w48.cityscapes", 19, [512, 1024], "mIoU 81.6 %"),
        ("hrnet_ocr_w48.lip_473x473", 20, [473, 473], "mIoU 56.48 %"),
        ("hrnet_ocr_w48.pascal_context_520x520", 59, [520, 520], "mIoU 56.2 %"),
        ("hrnet_ocr_w48.ade20k_520x520", 150, [520, 520], "mIoU 44.5 %"),
        ("hrnet_ocr_w48.cocostuff_520x520", 171, [520, 520], "mIoU 39.7 %"),
    ] {
        row(id, trunk("w48").fuse(aligned), Head::Ocr { classes }, input, metric, SEG, MIT);
    }
    for (id, width, joints, side, metric) in [
        ("higher_hrnet_w32.coco_512", "w32", 17, 512, "AP 67.1"),
        ("higher_hrnet_w32.coco_640", "w32", 17, 640, "AP 68.5"),
        ("higher_hrnet_w48.coco_640", "w48", 17, 640, "AP 69.9"),
        ("higher_hrnet_w32.crowdpose_512", "w32", 14, 512, "AP 65.9"),
    ] {
        row(id, trunk(width), Head::Higher { joints }, [side, side], metric, HIGHER, MIT);
    }
    for (id, width) in [
        ("hrnetv2p_w18.coco", "w18"),
        ("hrnetv2p_w32.coco", "w32"),
        ("hrnetv2p_w40.coco", "w40"),
        ("hrnetv2p_w48.coco", "w48"),
    ] {
        let head = Head::Pyramid { channels: 256, levels: 5, pool: PyramidPool::Average };
        row(id, trunk(width), head, [800, 1344], "neck of the detectors", DET, APACHE);
    }
    rows
}

/// The networks a name can mean, best first; the first one is what [`find`] takes.
pub fn find(name: &str) -> Option<ZooEntry> {
    let rows = entries();
    if let Some(i) = rows.iter().position(|r| r.id == name) {
        return rows.into_iter().nth(i);
    }
    let wanted = Words::parse(name)?;
    let best = rows.iter().filter(|r| wanted.fits(&Words::of(r))).max_by_key(|r| {
        // Ties go to the earlier row, so the score carries the position.
        let position = rows.iter().position(|o| o.id == r.id).unwrap_or(0);
        (wanted.score(&Words::of(r)), usize::MAX - position)
    })?;
    let mut entry = best.clone();
    if let Some(width) = wanted.width.filter(|_| !wanted.width_in(&rows)) {
        // Any other width of the family: the same facts over another trunk.
        entry.model.arch.width = width;
        entry.metric = "";
        entry.id = "custom";
    }
    Some(entry)
}

/// A name taken apart.
#[derive(Debug, Default)]
struct Words {
    family: Option<&'static str>,
    width: Option<usize>,
    small: Option<u8>,
    set: Option<&'static str>,
    size: Option<[usize; 2]>,
}

const FAMILIES: [(&str, &str); 28] = [
    ("pose", "pose"),
    ("human", "pose"),
    ("body", "pose"),
    ("face", "face"),
    ("landmark", "face"),
    ("facial", "face"),
    ("cls", "classification"),
    ("classification", "classification"),
    ("classify", "classification"),
    ("imagenet", "classification"),
    ("in1k", "classification"),
    ("seg", "segmentation"),
    ("segmentation", "segmentation"),
    ("fcn", "segmentation"),
    ("ocr", "segmentation-ocr"),
    ("ocrnet", "segmentation-ocr"),
    ("higher", "bottom-up pose"),
    ("higherhrnet", "bottom-up pose"),
    ("bottomup", "bottom-up pose"),
    ("hrnetv2p", "detection"),
    ("v2p", "detection"),
    ("det", "detection"),
    ("detection", "detection"),
    ("fpn", "detection"),
    ("hrfpn", "detection"),
    ("mpii", "pose"),
    ("300w", "face"),
    ("wflw", "face"),
];

const SETS: [(&str, &str); 16] = [
    ("coco", "coco"),
    ("mpii", "mpii"),
    ("300w", "300w"),
    ("wflw", "wflw"),
    ("cofw", "cofw"),
    ("aflw", "aflw"),
    ("in1k", "in1k"),
    ("imagenet", "in1k"),
    ("cityscapes", "cityscapes"),
    ("cs", "cityscapes"),
    ("lip", "lip"),
    ("pascal", "pascal"),
    ("context", "pascal"),
    ("ade20k", "ade20k"),
    ("cocostuff", "cocostuff"),
    ("crowdpose", "crowdpose"),
];

/// Families of data sets that name a family by themselves.
const SET_FAMILY: [(&str, &str); 9] = [
    ("mpii", "pose"),
    ("cofw", "face"),
    ("aflw", "face"),
    ("cityscapes", "segmentation"),
    ("lip", "segmentation"),
    ("pascal", "segmentation"),
    ("ade20k", "segmentation"),
    ("cocostuff", "segmentation"),
    ("crowdpose", "bottom-up pose"),
];

impl Words {
    fn parse(name: &str) -> Option<Self> {
        let lower = name.to_lowercase();
        let stem = lower.strip_suffix(".pth").unwrap_or(&lower);
        let tokens: Vec<&str> =
            stem.split(|c: char| !c.is_ascii_alphanumeric()).filter(|t| !t.is_empty()).collect();
        let mut words = Self::default();
        let mut known = 0;
        for (i, &token) in tokens.iter().enumerate() {
            let before = known;
            if let Some(width) = width_of(token) {
                words.width = Some(width);
                known += 1;
            }
            if token.starts_with("small") || token.ends_with("18s") || token == "s1" || token == "s2" {
                let next = tokens.get(i + 1).copied().unwrap_or_default();
                let second = token.ends_with("v2") || next == "v2" || token == "s2" || token.ends_with("18s");
                words.small = Some(if second { 2 } else { 1 });
                words.width.get_or_insert(18);
                known += 1;
            }
            if let Some((_, family)) = FAMILIES.iter().find(|(t, _)| *t == token) {
                // The more specific word wins: `seg_hrnet_ocr` is OCR, `higher_hrnet ... pose` bottom-up.
                let specific = matches!(*family, "segmentation-ocr" | "bottom-up pose" | "detection");
                if specific || words.family.is_none() {
                    words.family = Some(family);
                }
                known += 1;
            }
            if let Some((_, set)) = SETS.iter().find(|(t, _)| *t == token) {
                words.set = Some(set);
                known += 1;
            }
            if let Some((h, w)) = token.split_once('x')
                && let (Ok(h), Ok(w)) = (h.parse(), w.parse())
            {
                words.size = Some([h, w]);
                known += 1;
            }
            let filler =
                matches!(token, "hrnet" | "hrnetv2" | "v1" | "v2" | "net" | "aligned" | "odd" | "torch11")
                    || token.bytes().all(|b| b.is_ascii_digit());
            if known == before && !filler {
                return None;
            }
        }
        if words.family.is_none() {
            words.family = SET_FAMILY.iter().find(|(s, _)| Some(*s) == words.set).map(|(_, f)| *f);
        }
        (words.width.is_some() && known > 0).then_some(words)
    }

    fn of(entry: &ZooEntry) -> Self {
        let mut words = Self::parse(entry.id).unwrap_or_default();
        words.family = Some(entry.model.head.family());
        words.size = Some(entry.input);
        words
    }

    fn width_in(&self, rows: &[ZooEntry]) -> bool {
        rows.iter().any(|r| Words::of(r).width == self.width)
    }

    fn fits(&self, row: &Words) -> bool {
        let family = self.family.unwrap_or("classification");
        let family_fits = row.family == Some(family);
        let set_fits = self.set.is_none() || self.set == row.set || self.family.is_some();
        family_fits && set_fits && self.small == row.small
    }

    fn score(&self, row: &Words) -> u32 {
        let same = |a: bool, weight| if a { weight } else { 0 };
        same(self.width == row.width, 8)
            + same(self.set.is_some() && self.set == row.set, 4)
            + same(self.size.is_some() && self.size == row.size, 2)
    }
}

/// `w32`, `hr32`, `hrnet32`, `hr18s` -> the width.
fn width_of(token: &str) -> Option<usize> {
    let digits = ["hrnetv2w", "hrnetw", "hrnet", "hr", "w"].iter().find_map(|p| token.strip_prefix(p))?;
    let digits = digits.strip_suffix('s').unwrap_or(digits);
    digits.parse().ok().filter(|w| (1..=crate::arch::MAX_WIDTH).contains(w))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_builds_and_finds_itself() {
        for row in entries() {
            row.model.build().unwrap_or_else(|e| panic!("{}: {e}", row.id));
            assert_eq!(find(row.id).unwrap(), row);
        }
    }

    #[test]
    fn names_people_type() {
        for (name, id) in [
            ("pose_hrnet_w32_256x192.pth", "hrnet_w32.coco_256x192"),
            ("pose-w48-384x288", "hrnet_w48.coco_384x288"),
            ("pose_hrnet_w32_mpii_256x256", "hrnet_w32.mpii_256x256"),
            ("W32", "hrnet_w32.in1k"),
            ("hrnet_w18_small_v1", "hrnet_w18_small_v1.in1k"),
            ("cls_hrnet_w18_small_v2", "hrnet_w18_small_v2.in1k"),
            ("face w18 wflw", "hrnetv2_w18.wflw_256x256"),
            ("HR18-COFW.pth", "hrnetv2_w18.cofw_256x256"),
            ("face_w18", "hrnetv2_w18.300w_256x256"),
            ("seg_hrnet_w48_cityscapes", "hrnetv2_w48.cityscapes"),
            ("seg_hrnet_ocr_w48_cityscapes", "hrnet_ocr_w48.cityscapes"),
            ("higher_hrnet_w32_coco_512", "higher_hrnet_w32.coco_512"),
            ("hrnetv2p_w40", "hrnetv2p_w40.coco"),
        ] {
            assert_eq!(find(name).unwrap_or_else(|| panic!("{name}")).id, id, "{name}");
        }
        let odd = find("pose_w24").unwrap();
        assert_eq!((odd.model.arch.width, odd.id), (24, "custom"));
        for nonsense in ["", "w", "resnet50", "pose", "w99999999999", "hello_w32"] {
            assert!(find(nonsense).is_none(), "{nonsense}");
        }
    }
}
