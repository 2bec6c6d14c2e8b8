//! Classes of streets and of dressed people.

use super::class::{ClassColours, ClassSet, rgb};

/// Cityscapes, 19 classes by train id.
#[rustfmt::skip]
pub const CITYSCAPES: ClassSet = ClassSet {
    name: "cityscapes",
    aliases: &["cs"],
    classes: &[
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
        "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle",
        "bicycle",
    ],
    colours: ClassColours::Own(&rgb([
        0x804080, 0xf423e8, 0x464646, 0x66669c, 0xbe9999, 0x999999, 0xfaaa1e, 0xdcdc00, 0x6b8e23, 0x98fb98,
        0x4682b4, 0xdc143c, 0xff0000, 0x00008e, 0x000046, 0x003c64, 0x005064, 0x0000e6, 0x770b20,
    ])),
    flip_pairs: &[],
    source: "cityscapesScripts, labels.py (train ids)",
};

/// CamVid with the 11 classes of SegNet.
#[rustfmt::skip]
pub const CAMVID: ClassSet = ClassSet {
    name: "camvid",
    aliases: &[],
    classes: &[
        "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian",
        "Bicyclist",
    ],
    colours: ClassColours::Own(&rgb([
        0x808080, 0x800000, 0xc0c080, 0x804080, 0x3c28de, 0x808000, 0xc08080, 0x404080, 0x400080, 0x404000,
        0x0080c0,
    ])),
    flip_pairs: &[],
    source: "SegNet tutorial",
};

/// Look into Person: background and 19 parts of clothing and body.
#[rustfmt::skip]
pub const LIP: ClassSet = ClassSet {
    name: "lip",
    aliases: &["look_into_person"],
    classes: &[
        "background", "hat", "hair", "glove", "sunglasses", "upper clothes", "dress", "coat", "socks",
        "pants", "jumpsuits", "scarf", "skirt", "face", "left arm", "right arm", "left leg", "right leg",
        "left shoe", "right shoe",
    ],
    colours: ClassColours::Own(&rgb([
        0x000000, 0x800000, 0xff0000, 0x005500, 0xaa0033, 0xff5500, 0x000055, 0x0077dd, 0x555500, 0x005555,
        0x553300, 0x345680, 0x008000, 0x0000ff, 0x33aadd, 0x00ffff, 0x55ffaa, 0xaaff55, 0xffff00, 0xffaa00,
    ])),
    flip_pairs: &[(14, 15), (16, 17), (18, 19)],
    source: "Look into Person; HRNet/HRNet-Semantic-Segmentation",
};
