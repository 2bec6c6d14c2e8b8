//! Real PyTorch files of every published kind: bits, names, prefixes, reports. The files were written by
//! `python/make_checkpoints.py`; expected values are recomputed from the formula.

mod common;

use hrnet_formats::{
    Checkpoint, Container, DType, LoadError, LoadOptions, Scheme, inspect, load, load_reader, pth,
};
use hrnet_ir::{Arch, Depth, Fuse, Head, Model, ParamRole, PyramidPool, Tensor};
use hrnet_proof::fixtures::checkpoints;
use hrnet_proof::formula;

fn arch() -> Arch {
    let depth = Depth { layer1_planes: 2, layer1_blocks: 1, modules: [1, 1, 2], blocks: 1 };
    Arch { depth, ..Arch::new(2) }
}

fn bilinear(momentum: f64) -> Arch {
    arch().fuse(Fuse::Bilinear { align_corners: false }).bn_momentum(momentum)
}

fn pose() -> Model {
    Model { arch: arch(), head: Head::Pose { joints: 3, kernel: 1, branch: 0 } }
}

fn face(momentum: f64) -> Model {
    Model { arch: bilinear(momentum), head: Head::Landmark { points: 5, kernel: 1 } }
}

fn segment() -> Model {
    Model { arch: bilinear(0.1), head: Head::Segment { classes: 4, kernel: 1 } }
}

fn pyramid() -> Model {
    Model { arch: arch(), head: Head::Pyramid { channels: 4, levels: 5, pool: PyramidPool::Average } }
}

/// What each file is: model, container, scheme, prefix, entry.
fn expectations() -> Vec<(&'static str, Model, Container, Scheme, &'static str, &'static str)> {
    use Container::{Safetensors, TorchLegacy, TorchZip};
    let higher = Model { arch: arch(), head: Head::Higher { joints: 2 } };
    let features = Model { arch: arch(), head: Head::Features };
    vec![
        ("official.pth", pose(), TorchZip, Scheme::Official, "", ""),
        ("official.legacy.pth", pose(), TorchLegacy, Scheme::Official, "", ""),
        ("official.safetensors", pose(), Safetensors, Scheme::Official, "", ""),
        ("data_parallel.pth", face(0.01), TorchZip, Scheme::Official, "module.", ""),
        ("higher_fp16_wrapper.pth", higher, TorchZip, Scheme::Official, "1.", ""),
        ("features.pth", features, TorchZip, Scheme::Official, "", ""),
        ("pose_training.pth", pose(), TorchZip, Scheme::Official, "module.", "state_dict"),
        ("pose_training.legacy.pth", pose(), TorchLegacy, Scheme::Official, "module.", "state_dict"),
        ("segmentation_training.pth", segment(), TorchZip, Scheme::Official, "model.", "state_dict"),
        ("inplace_abn.pth", segment(), TorchZip, Scheme::Official, "model.", ""),
        ("mmpose1.pth", pose(), TorchZip, Scheme::Mmpose1, "", "state_dict"),
        ("mmpose0.pth", pose(), TorchZip, Scheme::Mmpose0, "", "state_dict"),
        ("mmpose1_v2.pth", face(0.1), TorchZip, Scheme::Mmpose1, "", "state_dict"),
        ("mmpose0_v2.pth", face(0.1), TorchZip, Scheme::Mmpose0, "", "state_dict"),
        ("mmpose0_higher.pth", higher, TorchZip, Scheme::Mmpose0, "", "state_dict"),
        ("mmseg_ema.pth", segment(), TorchZip, Scheme::MmsegFcn, "", "state_dict"),
        ("mmdet.pth", pyramid(), TorchZip, Scheme::Mmdet, "", "state_dict"),
        ("maskrcnn_benchmark.pth", pyramid(), TorchZip, Scheme::MaskrcnnBenchmark, "module.", "model"),
        ("f16.pth", pose(), TorchZip, Scheme::Official, "", ""),
        ("f16.safetensors", pose(), Safetensors, Scheme::Official, "", ""),
        ("bf16.pth", pose(), TorchZip, Scheme::Official, "", ""),
        ("f64.pth", pose(), TorchZip, Scheme::Official, "", ""),
        ("views.pth", pose(), TorchZip, Scheme::Official, "", ""),
        ("views.legacy.pth", pose(), TorchLegacy, Scheme::Official, "", ""),
    ]
}

/// The value a file stores for `v`, as f32.
fn stored(file: &str, rank: usize, v: f32) -> f32 {
    match file {
        "f16.pth" => half::f16::from_f32(v).to_f32(),
        "f16.safetensors" if rank > 1 => half::f16::from_f32(v).to_f32(),
        "bf16.pth" => half::bf16::from_f32(v).to_f32(),
        _ => v,
    }
}

fn check_bits(file: &str, loaded: &Checkpoint) {
    let net = loaded.model.build().unwrap();
    let names: Vec<&str> = loaded.weights.iter().map(|(n, _)| n).collect();
    let wanted: Vec<&str> = net.params().iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, wanted, "{file}: names in network order");
    let no_counters = file.starts_with("inplace") || file.starts_with("maskrcnn");
    for param in net.params() {
        let mut expected = formula::tensor(param, "");
        if param.role == ParamRole::BatchCount {
            expected = Tensor::scalar(if no_counters { 0.0 } else { 7.0 });
        }
        if file == "mmseg_ema.pth" && param.name == "last_layer.0.bias" {
            expected = Tensor::zeros(param.shape.clone());
        }
        let rank = param.shape.len();
        for v in expected.data_mut() {
            if param.role != ParamRole::BatchCount {
                *v = stored(file, rank, *v);
            }
            if file == "inplace_abn.pth" && param.role == ParamRole::Gamma {
                *v += 1e-5;
            }
        }
        let found = loaded.weights.get(&param.name).unwrap();
        assert_eq!(found.shape(), expected.shape(), "{file}: {}", param.name);
        let bits = |t: &Tensor| t.data().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(found), bits(&expected), "{file}: {}", param.name);
    }
}

#[test]
fn every_published_kind_gives_the_right_bits() {
    let files = checkpoints();
    for (name, model, container, scheme, prefix, entry) in expectations() {
        let bytes = &files[name];
        let loaded = load(bytes, &LoadOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let report = &loaded.report;
        assert_eq!(loaded.model, model, "{name}");
        assert_eq!(report.container, Some(container), "{name}");
        assert_eq!(report.scheme, Some(scheme), "{name}");
        assert_eq!((report.prefix.as_str(), report.entry.as_str()), (prefix, entry), "{name}");
        assert!(report.missing.is_empty() && report.unexpected.is_empty() && report.wrong_shape.is_empty());
        check_bits(name, &loaded);
        let streamed = load_reader(std::io::Cursor::new(bytes), &LoadOptions::default()).unwrap();
        assert_eq!(streamed.weights, loaded.weights, "{name}: bytes and reader");
    }
    let refused = ["module.pth", "module.legacy.pth", "module_dict.pth", "module_dict.legacy.pth"];
    assert_eq!(files.len(), expectations().len() + refused.len(), "every file of the pack is tested");
    for name in refused {
        let error = load(&files[name], &LoadOptions::default()).unwrap_err();
        assert!(matches!(error, LoadError::Pth(pth::PthError::Pickle(_))), "{name}: {error}");
        assert!(error.to_string().contains("model.state_dict()"), "{name}: {error}");
    }
}

#[test]
fn reports_name_what_was_done() {
    let files = checkpoints();
    let report = |name: &str| load(&files[name], &LoadOptions::default()).unwrap().report;
    let ignored = |name: &str| report(name).ignored.into_iter().map(|i| i.name).collect::<Vec<_>>();
    assert!(ignored("segmentation_training.pth").contains(&"loss.criterion.weight".to_string()));
    assert!(ignored("pose_training.pth").contains(&"best_state_dict".to_string()));
    assert!(ignored("pose_training.pth").contains(&"optimizer".to_string()));
    assert!(ignored("mmseg_ema.pth").contains(&"ema_backbone_conv1_weight".to_string()));
    assert!(ignored("mmdet.pth").contains(&"rpn_head.rpn_conv.weight".to_string()));
    assert_eq!(report("mmseg_ema.pth").filled, ["last_layer.0.bias"]);
    assert_eq!(report("inplace_abn.pth").repaired.len(), 1);
    assert!(report("official.pth").repaired.is_empty());
    let conversions = |name: &str| report(name).conversions.into_iter().map(|c| c.dtype).collect::<Vec<_>>();
    assert_eq!(conversions("f16.pth"), [DType::F16]);
    assert_eq!(conversions("bf16.pth"), [DType::BF16]);
    assert_eq!(conversions("f64.pth"), [DType::F64]);
    assert!(conversions("official.pth").is_empty());
    let renamed = report("mmpose1_v2.pth").renamed;
    let pair = ("head.final_layer.bias".to_string(), "head.3.bias".to_string());
    assert!(renamed.contains(&pair));
}

#[test]
fn another_entry_can_be_chosen() {
    let files = checkpoints();
    let options = LoadOptions { entry: Some("best_state_dict".into()), ..LoadOptions::default() };
    let loaded = load(&files["pose_training.pth"], &options).unwrap();
    assert_eq!((loaded.report.entry.as_str(), loaded.report.prefix.as_str()), ("best_state_dict", ""));
    let options = LoadOptions { entry: Some("nothing".into()), ..LoadOptions::default() };
    let error = load(&files["pose_training.pth"], &options).unwrap_err().to_string();
    assert!(error.contains("nothing") && error.contains("best_state_dict"), "{error}");
}

#[test]
fn align_corners_can_be_set() {
    let files = checkpoints();
    let options = LoadOptions { align_corners: Some(true), ..LoadOptions::default() };
    let loaded = load(&files["segmentation_training.pth"], &options).unwrap();
    assert_eq!(loaded.model.arch.fuse, Fuse::Bilinear { align_corners: true });
}

#[test]
fn inspection_does_not_read_tensors_and_agrees() {
    for (name, bytes) in checkpoints() {
        let seen = inspect(&bytes, &LoadOptions::default());
        let loaded = load(&bytes, &LoadOptions::default()).ok();
        assert_eq!(seen.model, loaded.as_ref().map(|l| l.model), "{name}");
        assert_eq!(seen.problems.is_empty(), loaded.is_some(), "{name}: {:?}", seen.problems);
        assert_eq!(seen.size, bytes.len() as u64);
    }
}

#[test]
fn every_truncation_is_an_error() {
    let files = checkpoints();
    for name in ["official.pth", "official.legacy.pth", "official.safetensors"] {
        let bytes = &files[name];
        for i in 0..64 {
            let cut = &bytes[..bytes.len() * i / 64];
            let error = load(cut, &LoadOptions::default()).unwrap_err();
            let known =
                matches!(error, LoadError::Pth(_) | LoadError::Safetensors(_) | LoadError::NotWeights { .. });
            assert!(known, "{name} cut to {}: {error}", cut.len());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(load(&longer, &LoadOptions::default()).is_err(), "{name} with a byte more");
    }
}
