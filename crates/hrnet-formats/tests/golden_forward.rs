//! The description against the official state dicts, and the interpreter against the official outputs.

use hrnet_ir::interp;
use hrnet_proof::fixtures::{FORWARD_CASES, left_out, read_fixture, repository, shared};
use hrnet_proof::formula;
use hrnet_proof::golden::ForwardCase;

fn case(name: &str) -> ForwardCase {
    ForwardCase::parse(&read_fixture(&format!("forward/{name}.json"))).unwrap()
}

#[test]
fn state_dicts_are_the_official_ones_in_order() {
    let table = std::fs::read_to_string(repository().join("testdata/fixtures/forward/keys.txt")).unwrap();
    for name in FORWARD_CASES {
        let net = case(name).model().unwrap().build().unwrap();
        let shape = |s: &[usize]| s.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        let lines: String =
            net.params().iter().map(|p| format!("{} {}\n", p.name, shape(&p.shape))).collect();
        let wanted = format!("{name} {} {:016x}", net.params().len(), formula::fnv1a(&lines));
        if shared().is_some() {
            let keys: Vec<(String, Vec<usize>)> =
                serde_json::from_slice(&read_fixture(&format!("forward/{name}.keys.json"))).unwrap();
            for (ours, (key, dims)) in net.params().iter().zip(&keys) {
                assert_eq!((&ours.name, &ours.shape), (key, dims), "{name}");
            }
            assert_eq!(net.params().len(), keys.len(), "{name}");
        } else {
            left_out(&format!(
                "compares a checksum: the list of keys is ../shared/fixtures/forward/{name}.keys.json"
            ));
        }
        assert!(table.lines().any(|l| l == wanted), "{name}: keys differ from the table ({wanted})");
    }
}

#[test]
fn parameter_counts_are_the_official_ones() {
    for name in FORWARD_CASES {
        let case = case(name);
        let net = case.model().unwrap().build().unwrap();
        assert_eq!(net.parameter_count(), case.parameters, "{name}");
    }
}

fn check_interpreter(name: &str) {
    let case = case(name);
    let net = case.model().unwrap().build().unwrap();
    let outputs = interp::run(&net, &formula::weights(&net, &case.salt), &case.input()).unwrap();
    assert_eq!(outputs.len(), case.outputs.len());
    for (ours, golden) in outputs.iter().zip(&case.outputs) {
        let shape = &ours.shape[..golden.shape.len()];
        assert_eq!(shape, golden.shape);
        for (&i, v) in golden.indices.iter().zip(&golden.values) {
            let error = (ours.data[i] - v).abs();
            assert!(error <= 1e-9 * golden.abs_max, "{name}[{i}]: {} against {v}", ours.data[i]);
        }
    }
}

/// The cheap cases, one of each head; `hrnet verify --executor interpreter` runs all 19.
#[test]
fn interpreter_gives_the_official_outputs() {
    for name in ["cls_hrnet_w18_small_v1", "cls_hrnet_w18", "face_hrnetv2_w18_wflw_odd"] {
        check_interpreter(name);
    }
}

#[test]
fn interpreter_gives_the_official_outputs_of_pose_networks() {
    for name in ["pose_hrnet_w32_coco_256x192", "higher_hrnet_w32_coco_512"] {
        check_interpreter(name);
    }
}

#[test]
fn interpreter_gives_the_official_outputs_of_segmentation_networks() {
    for name in ["seg_hrnet_w48_cityscapes_odd", "seg_hrnet_ocr_w48_cityscapes"] {
        check_interpreter(name);
    }
}
