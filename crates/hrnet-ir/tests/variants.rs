//! What the description allows beyond the published networks: ablations, sizes, widths, and what it refuses.

use hrnet_ir::{
    Arch, Exchange, Fuse, Head, Model, ModelError, Net, PyramidPool, Resolutions, ShapeError, interp,
};
use hrnet_proof::formula;

const POSE: Head = Head::Pose { joints: 5, kernel: 1, branch: 0 };

fn build(arch: Arch, head: Head) -> Net {
    Model { arch, head }.build().unwrap()
}

/// Modules that own exchange layers.
fn exchanges(net: &Net) -> usize {
    let modules: std::collections::BTreeSet<&str> =
        net.params().iter().filter_map(|p| p.name.split_once(".fuse_layers").map(|(m, _)| m)).collect();
    modules.len()
}

#[test]
fn the_papers_exchange_counts() {
    for (exchange, count) in [(Exchange::Every, 8), (Exchange::StageEnds, 3), (Exchange::Final, 1)] {
        let net = build(Arch { exchange, ..Arch::new(4) }, POSE);
        assert_eq!(exchanges(&net), count, "{exchange:?}");
    }
}

#[test]
fn all_resolutions_from_the_start() {
    let net = build(Arch { resolutions: Resolutions::FromStart, ..Arch::new(4) }, POSE);
    let has = |name: &str| net.params().iter().any(|p| p.name == name);
    assert!(has("transition1.3.2.0.weight") && has("stage2.0.branches.3.3.conv2.weight"));
    assert!(!has("transition2.2.0.0.weight"));
    assert_eq!(net.shapes([1, 3, 64, 64]).unwrap()[net.outputs()[0].value.index()], [1, 5, 16, 16]);
}

#[test]
fn heat_maps_from_any_branch() {
    for branch in 0..4 {
        let net = build(Arch::new(4), Head::Pose { joints: 5, kernel: 3, branch });
        let shape = net.shapes([1, 3, 64, 96]).unwrap()[net.outputs()[0].value.index()];
        assert_eq!(shape, [1, 5, 16 >> branch, 24 >> branch]);
    }
}

#[test]
fn nearest_fusion_names_the_size_to_pad_to() {
    let net = build(Arch::new(4), POSE);
    let error = net.shapes([1, 3, 250, 192]).unwrap_err();
    assert!(matches!(error, ShapeError::Multiple { padded_height: 256, padded_width: 192, .. }));
    assert!(error.to_string().contains("256x192"));
}

#[test]
fn bilinear_fusion_takes_any_size() {
    let arch = Arch::small_v1().fuse(Fuse::Bilinear { align_corners: false });
    let net = build(Arch { width: 2, ..arch }, Head::Landmark { points: 3, kernel: 1 });
    let weights = formula::weights(&net, "");
    for (h, w) in [(1, 1), (1, 33), (7, 5), (31, 64), (65, 33)] {
        let out = interp::run(&net, &weights, &formula::input("x", &[1, 3, h, w])).unwrap();
        assert_eq!(out[0].shape, [1, 3, h.div_ceil(4), w.div_ceil(4)]);
        assert!(out[0].data.iter().all(|v| v.is_finite()));
    }
}

#[test]
fn the_pyramid_has_its_strides() {
    let head = Head::Pyramid { channels: 8, levels: 5, pool: PyramidPool::Max };
    let net = build(Arch::new(4), head);
    let shapes = net.shapes([1, 3, 64, 128]).unwrap();
    let sizes: Vec<_> = net.outputs().iter().map(|o| shapes[o.value.index()]).collect();
    assert_eq!(sizes, [[1, 8, 16, 32], [1, 8, 8, 16], [1, 8, 4, 8], [1, 8, 2, 4], [1, 8, 1, 2]]);
    assert!(matches!(net.shapes([1, 3, 32, 32]), Err(ShapeError::TooSmall { .. })));
}

#[test]
fn impossible_descriptions_are_refused() {
    for (arch, head) in [
        (Arch { width: 0, ..Arch::new(4) }, POSE),
        (Arch { width: 1 << 40, ..Arch::new(4) }, POSE),
        (Arch { bn_momentum: 0.0, ..Arch::new(4) }, POSE),
        (Arch { bn_momentum: f64::NAN, ..Arch::new(4) }, POSE),
        (Arch::new(4), Head::Pose { joints: 0, kernel: 1, branch: 0 }),
        (Arch::new(4), Head::Pose { joints: 1, kernel: 2, branch: 0 }),
        (Arch::new(4), Head::Pose { joints: 1, kernel: 1, branch: 4 }),
        (Arch::new(4), Head::Classify { classes: usize::MAX, bias: true }),
    ] {
        assert!(matches!(Model { arch, head }.build(), Err(ModelError::Range { .. })));
    }
    let net = build(Arch::new(4), POSE);
    for shape in [[0, 3, 64, 64], [1, 1, 64, 64], [1, 3, 0, 64], [1, 3, 64, usize::MAX]] {
        assert!(matches!(net.shapes(shape), Err(ShapeError::Input(_))));
    }
}

#[test]
fn folding_batch_norms_changes_nothing_but_rounding() {
    for head in [
        POSE,
        Head::Higher { joints: 3 },
        Head::Ocr { classes: 4 },
        Head::Classify { classes: 6, bias: false },
    ] {
        let net = build(Arch { width: 2, ..Arch::small_v1() }, head);
        let weights = formula::weights(&net, "");
        let (folded, folded_weights) = hrnet_ir::pass::fold_batch_norm(&net, weights.clone()).unwrap();
        assert!(folded.params().len() < net.params().len());
        hrnet_ir::verify(&folded).unwrap();
        let input = formula::input("x", &[1, 3, 64, 64]);
        let before = interp::run(&net, &weights, &input).unwrap();
        let after = interp::run(&folded, &folded_weights, &input).unwrap();
        for (a, b) in before.iter().zip(&after) {
            let max = a.data.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            assert!(a.data.iter().zip(&b.data).all(|(x, y)| (x - y).abs() <= 1e-5 * max));
        }
    }
}

#[test]
fn missing_weights_are_named() {
    let net = build(Arch::new(2), POSE);
    let full = formula::weights(&net, "");
    let partial =
        full.iter().filter(|(n, _)| *n != "conv2.weight").map(|(n, t)| (n.to_string(), t.clone())).collect();
    let error = interp::run(&net, &partial, &formula::input("x", &[1, 3, 32, 32])).unwrap_err();
    assert!(error.to_string().contains("conv2.weight"));
    assert_eq!(partial.compare(&net).missing, ["conv2.weight"]);
    assert!(full.compare(&net).is_exact());
}
