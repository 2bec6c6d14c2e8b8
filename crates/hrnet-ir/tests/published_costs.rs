//! Parameters and multiply-accumulates of the published networks (counts to the unit, MACs to the digits given).

use hrnet_ir::{Arch, Fuse, Head, Model, summary::Summary, zoo};

fn check(name: &str, input: [usize; 2], parameters: u64, macs: &str, published: &str) {
    let model = zoo::find(name).unwrap_or_else(|| panic!("{name}")).model;
    check_model(name, &model, input, parameters, macs, published);
}

/// `macs` in units of 10^9 and `published` in units of 2^30, both with the digits of the table.
fn check_model(name: &str, model: &Model, [h, w]: [usize; 2], parameters: u64, macs: &str, published: &str) {
    let summary = Summary::new(&model.build().unwrap(), [1, 3, h, w]).unwrap();
    assert_eq!(summary.total.parameters, parameters, "{name}: parameters");
    let digits = |s: &str| s.split_once('.').map_or(0, |(_, d)| d.len());
    let shown = format!("{:.*}", digits(macs), summary.total.macs as f64 / 1e9);
    assert_eq!(shown, macs, "{name}: {} MACs", summary.total.macs);
    if !published.is_empty() {
        let shown = format!("{:.*}", digits(published), summary.published_gflops());
        assert_eq!(shown, published, "{name}: published GFLOPs");
    }
}

#[test]
fn classification() {
    for (name, parameters, macs, published) in [
        ("cls_w18_small_v1", 13_187_464, "1.602", "1.49"),
        ("cls_w18_small_v2", 15_597_464, "2.596", "2.42"),
        ("cls_w18", 21_299_004, "4.284", "3.99"),
        ("cls_w30", 37_712_220, "8.106", "7.55"),
        ("cls_w32", 41_232_680, "8.921", "8.31"),
        ("cls_w40", 57_557_160, "12.692", "11.8"),
        ("cls_w44", 67_064_984, "14.883", "13.9"),
        ("cls_w48", 77_469_864, "17.278", "16.1"),
        ("cls_w64", 128_059_944, "28.895", "26.9"),
    ] {
        check(name, [224, 224], parameters, macs, published);
    }
}

#[test]
fn pose_and_faces() {
    check("pose_w32_256x192", [256, 192], 28_536_113, "7.645", "7.1");
    check("pose_w32_384x288", [384, 288], 28_536_113, "17.20", "16.0");
    check("pose_w48_256x192", [256, 192], 63_595_745, "15.69", "14.6");
    check("pose_w48_384x288", [384, 288], 63_595_745, "35.31", "32.9");
    check("pose_w32_mpii", [256, 256], 28_536_080, "10.19", "9.5");
    check("pose_w48_mpii", [256, 256], 63_595_696, "20.92", "19.5");
    for (set, parameters) in
        [("300w", 9_654_398), ("wflw", 9_662_528), ("cofw", 9_643_829), ("aflw", 9_641_119)]
    {
        let model = zoo::find(&format!("face_w18_{set}")).unwrap().model;
        assert_eq!(model.build().unwrap().parameter_count(), parameters, "{set}");
    }
    check("face_w18_300w", [256, 256], 9_654_398, "4.66", "4.34");
    check("higher_w32", [512, 512], 28_645_331, "47.9", "");
    check("higher_w32", [640, 640], 28_645_331, "74.8", "");
    check("higher_w48", [640, 640], 63_827_139, "154.3", "");
}

#[test]
fn segmentation() {
    let big = [1024, 2048];
    check("seg_w18_small_v1", big, 1_540_819, "33.39", "31.1");
    check("seg_w18_small_v2", big, 3_939_579, "76.86", "71.6");
    check("seg_w48_cityscapes", big, 65_859_379, "747.5", "696.2");
    check("seg_w48_cityscapes", [512, 1024], 65_859_379, "186.9", "174.0");
    let aligned = zoo::find("seg_w48_ade20k").unwrap().model;
    assert_eq!(aligned.build().unwrap().parameter_count(), 65_953_830);
    let w40 = Model {
        arch: Arch::new(40).fuse(Fuse::Bilinear { align_corners: false }),
        head: Head::Segment { classes: 19, kernel: 1 },
    };
    // The table's 498.6 is 535.4 (already rounded) / 2^30 * 10^9; the exact quotient is 498.7 when rounded.
    check_model("seg_w40", &w40, big, w40.build().unwrap().parameter_count(), "535.4", "");
    assert_eq!(format!("{:.2}", w40.build().unwrap().parameter_count() as f64 / 1e6), "45.89");
    check("ocr_w48_cityscapes", big, 70_372_678, "1295", "1206");
    check("seg_w48_lip", [473, 473], 65_860_100, "81.6", "76");
    check("seg_w48_pascal", [480, 480], 65_888_219, "82.5", "76.9");
    // Likewise: the table's 92.8 is 99.6 / 2^30 * 10^9, the exact quotient rounds to 92.7.
    check("seg_w48_ade20k", [520, 520], 65_953_830, "99.6", "");
}

#[test]
fn trunks() {
    let trunk = |arch| Model { arch, head: Head::Features }.build().unwrap().parameter_count();
    assert_eq!(trunk(Arch::small_v1()), 1_477_920);
    assert_eq!(trunk(Arch::small_v2()), 3_860_720);
    for (width, parameters) in [
        (18, 9_562_260),
        (30, 25_812_276),
        (32, 29_305_536),
        (40, 45_521_216),
        (44, 54_974_640),
        (48, 65_325_120),
        (64, 115_697_600),
    ] {
        assert_eq!(trunk(Arch::new(width)), parameters, "W{width}");
    }
    assert_eq!(trunk(Arch::new(18)), 9_562_260);
}
