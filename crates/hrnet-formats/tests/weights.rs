//! Check A7 and all that happens after parsing: schemes with large heads, detection of every variant, weights that are
//! wrong, recipes, our own file, kinds of files.

mod common;

use common::{Asm, floats, safetensors_file, torch_zip};
use hrnet_formats::{
    DetectError, FileKind, LoadError, LoadOptions, Metric, Precision, Recipe, RecipeError, Scheme, Task,
    WriteError, detect, detect_shapes, inspect, load, rename, sniff, to_safetensors,
};
use hrnet_ir::{
    Arch, Depth, Exchange, Fuse, Head, Model, ParamRole, PyramidPool, Resolutions, Tensor, Weights,
};
use hrnet_proof::formula;

fn tiny() -> Arch {
    let depth = Depth { layer1_planes: 2, layer1_blocks: 1, modules: [1, 1, 1], blocks: 1 };
    Arch { depth, ..Arch::new(2) }
}

fn pose() -> Model {
    Model { arch: tiny(), head: Head::Pose { joints: 17, kernel: 1, branch: 0 } }
}

fn bilinear(align_corners: bool) -> Arch {
    tiny().fuse(Fuse::Bilinear { align_corners })
}

fn weights(model: &Model) -> Weights {
    formula::weights(&model.build().unwrap(), "")
}

fn file(weights: &Weights) -> Vec<u8> {
    to_safetensors(weights, None, Precision::F32).unwrap()
}

fn renamed(weights: &Weights, rule: impl Fn(&str) -> Option<String>) -> Weights {
    weights.iter().filter_map(|(n, t)| Some((rule(n)?, t.clone()))).collect()
}

fn with(mut weights: Weights, name: &str, tensor: Tensor) -> Weights {
    weights.insert(name, tensor);
    weights
}

fn same_bits(a: &Weights, b: &Weights) -> bool {
    let bits = |w: &Weights| {
        w.iter()
            .map(|(n, t)| (n.to_string(), t.data().iter().map(|v| v.to_bits()).collect::<Vec<_>>()))
            .collect::<Vec<_>>()
    };
    bits(a) == bits(b)
}

// ---- schemes whose heads are too large for files in the repository

/// The names of mmseg's OCR head, written down from its source independently of the reader's table.
fn mmseg_ocr_name(official: &str) -> Option<String> {
    let block = "decode_head.1.object_context_block";
    let official_block = "ocr_distri_head.object_context_block";
    let mut table = vec![
        ("aux_head.0.weight".to_string(), "decode_head.0.convs.0.conv.weight".to_string()),
        ("aux_head.1.".into(), "decode_head.0.convs.0.bn.".into()),
        ("aux_head.3.".into(), "decode_head.0.conv_seg.".into()),
        ("conv3x3_ocr.0.weight".into(), "decode_head.1.bottleneck.conv.weight".into()),
        ("conv3x3_ocr.1.".into(), "decode_head.1.bottleneck.bn.".into()),
        ("cls_head.".into(), "decode_head.1.conv_seg.".into()),
        ("ocr_distri_head.conv_bn_dropout.0.".into(), format!("{block}.bottleneck.conv.")),
        ("ocr_distri_head.conv_bn_dropout.1.0.".into(), format!("{block}.bottleneck.bn.")),
        (format!("{official_block}.f_down.0."), format!("{block}.value_project.conv.")),
        (format!("{official_block}.f_down.1.0."), format!("{block}.value_project.bn.")),
        (format!("{official_block}.f_up.0."), format!("{block}.out_project.conv.")),
        (format!("{official_block}.f_up.1.0."), format!("{block}.out_project.bn.")),
    ];
    for (ours, theirs) in [("f_pixel", "query_project"), ("f_object", "key_project")] {
        for (from, to) in [("0", "0.conv"), ("1.0", "0.bn"), ("2", "1.conv"), ("3.0", "1.bn")] {
            table.push((format!("{official_block}.{ours}.{from}."), format!("{block}.{theirs}.{to}.")));
        }
    }
    if ["aux_head.0.bias", "conv3x3_ocr.0.bias"].contains(&official) {
        return None;
    }
    let hit =
        table.iter().find_map(|(from, to)| official.strip_prefix(from.as_str()).map(|t| format!("{to}{t}")));
    Some(hit.unwrap_or_else(|| format!("backbone.{official}")))
}

#[test]
fn mmseg_ocr() {
    let model = Model { arch: bilinear(false), head: Head::Ocr { classes: 5 } };
    let mut official = weights(&model);
    let theirs = renamed(&official, mmseg_ocr_name);
    let loaded = load(&file(&theirs), &LoadOptions::default()).unwrap();
    assert_eq!(loaded.model, model);
    assert_eq!(loaded.report.scheme, Some(Scheme::MmsegOcr));
    assert_eq!(loaded.report.filled, ["conv3x3_ocr.0.bias", "aux_head.0.bias"]);
    for name in ["conv3x3_ocr.0.bias", "aux_head.0.bias"] {
        official.get_mut(name).unwrap().data_mut().fill(0.0);
    }
    assert!(same_bits(&loaded.weights, &official));
}

#[test]
fn official_ocr_is_aligned_and_keeps_its_biases() {
    let model = Model { arch: bilinear(true), head: Head::Ocr { classes: 5 } };
    let official = weights(&model);
    let wrapped = renamed(&official, |n| Some(format!("model.{n}")));
    let loaded = load(&file(&wrapped), &LoadOptions::default()).unwrap();
    assert_eq!(loaded.model, model);
    assert!(same_bits(&loaded.weights, &official));
    let without = renamed(&official, |n| (n != "aux_head.0.bias").then(|| n.to_string()));
    let error = load(&file(&without), &LoadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("missing: aux_head.0.bias"), "{error}");
}

#[test]
fn mmpretrain_and_the_bias_free_head() {
    let model = Model { arch: tiny(), head: Head::Classify { classes: 7, bias: false } };
    let official = weights(&model);
    let loaded = load(&file(&official), &LoadOptions::default()).unwrap();
    assert_eq!(loaded.model, model, "the SSLD form under official names");
    let theirs = renamed(&official, |n| {
        let parts = |n: &str| n.replacen("0.", "conv.", 1);
        let norm = |n: &str| n.replacen("1.", "bn.", 1);
        let conv_bn = |n: &str| if n.starts_with("0.") { parts(n) } else { norm(n) };
        Some(if let Some(rest) = n.strip_prefix("incre_modules.") {
            format!("neck.increase_layers.{rest}")
        } else if let Some(rest) = n.strip_prefix("downsamp_modules.") {
            let (level, rest) = rest.split_once('.').unwrap();
            format!("neck.downsample_layers.{level}.{}", conv_bn(rest))
        } else if let Some(rest) = n.strip_prefix("final_layer.") {
            format!("neck.final_layer.{}", conv_bn(rest))
        } else if let Some(rest) = n.strip_prefix("classifier.") {
            format!("head.fc.{rest}")
        } else {
            format!("backbone.{n}")
        })
    });
    let loaded = load(&file(&theirs), &LoadOptions::default()).unwrap();
    assert_eq!((loaded.model, loaded.report.scheme), (model, Some(Scheme::Mmpretrain)));
    assert!(same_bits(&loaded.weights, &official));
    // Without its classifier it is a trunk with parts that nobody reads.
    let headless = renamed(&official, |n| (!n.starts_with("classifier.")).then(|| n.to_string()));
    let loaded = load(&file(&headless), &LoadOptions::default()).unwrap();
    assert_eq!(loaded.model.head, Head::Features);
    assert!(loaded.report.ignored.iter().any(|i| i.name == "final_layer.0.weight"));
}

#[test]
fn inplace_abn_is_repaired_only_where_it_was_used() {
    let negative = |model: &Model, counters: bool| {
        let mut w = renamed(&weights(model), |n| {
            (counters || !n.ends_with("num_batches_tracked")).then(|| n.to_string())
        });
        for v in w.get_mut("bn1.weight").unwrap().data_mut() {
            *v = -*v;
        }
        let loaded = load(&file(&w), &LoadOptions::default()).unwrap();
        let value = loaded.weights.get("bn1.weight").unwrap().data()[0];
        (loaded.report.repaired.len(), value, w.get("bn1.weight").unwrap().data()[0])
    };
    let segment = Model { arch: bilinear(false), head: Head::Segment { classes: 3, kernel: 1 } };
    let (repaired, found, stored) = negative(&segment, false);
    assert_eq!((repaired, found), (1, stored.abs() + 1e-5));
    let (repaired, found, stored) = negative(&segment, true);
    assert_eq!((repaired, found), (0, stored));
    let (repaired, found, stored) = negative(&pose(), false);
    assert_eq!((repaired, found), (0, stored), "pose never used InPlaceABN");
}

#[test]
fn a_frozen_norm_with_another_epsilon_is_folded() {
    let model =
        Model { arch: tiny(), head: Head::Pyramid { channels: 4, levels: 5, pool: PyramidPool::Average } };
    let official = weights(&model);
    let mut theirs = renamed(&official, |n| {
        Some(match n.strip_prefix("neck.") {
            Some(rest) => format!("backbone.neck.{rest}"),
            None => format!("backbone.body.{n}"),
        })
    });
    theirs.insert("backbone.body.bn1.eps", Tensor::new([64], vec![0.5; 64]).unwrap());
    let loaded = load(&file(&theirs), &LoadOptions::default()).unwrap();
    assert_eq!(loaded.report.repaired.len(), 1);
    let (before, after) =
        (official.get("bn1.running_var").unwrap(), loaded.weights.get("bn1.running_var").unwrap());
    for (b, a) in before.data().iter().zip(after.data()) {
        assert_eq!(*a, b + (0.5 - 1e-5));
    }
    assert_eq!(official.get("bn2.running_var"), loaded.weights.get("bn2.running_var"));
}

// ---- detection

#[test]
fn every_variant_is_recognised_from_names_and_shapes() {
    let mut trunks = vec![Arch::small_v1(), Arch::small_v2(), tiny()];
    trunks.extend([18, 30, 32, 40, 44, 48, 60, 64].map(Arch::new));
    for exchange in [Exchange::StageEnds, Exchange::Final] {
        trunks.push(Arch { exchange, ..Arch::new(32) });
    }
    trunks.push(Arch { resolutions: Resolutions::FromStart, ..Arch::new(32) });
    for trunk in trunks {
        let bilinear = |align_corners| trunk.fuse(Fuse::Bilinear { align_corners });
        let models = [
            Model { arch: trunk, head: Head::Pose { joints: 17, kernel: 1, branch: 0 } },
            Model { arch: trunk, head: Head::Pose { joints: 16, kernel: 3, branch: 0 } },
            Model { arch: trunk, head: Head::Pose { joints: 5, kernel: 1, branch: 2 } },
            Model { arch: bilinear(false).bn_momentum(0.01), head: Head::Landmark { points: 98, kernel: 3 } },
            Model { arch: bilinear(false), head: Head::Segment { classes: 19, kernel: 1 } },
            Model { arch: bilinear(true), head: Head::Ocr { classes: 150 } },
            Model { arch: trunk, head: Head::Classify { classes: 1000, bias: true } },
            Model { arch: trunk, head: Head::Classify { classes: 10, bias: false } },
            Model { arch: trunk, head: Head::Higher { joints: 14 } },
            Model {
                arch: trunk,
                head: Head::Pyramid { channels: 256, levels: 5, pool: PyramidPool::Average },
            },
            Model { arch: trunk, head: Head::Features },
        ];
        for model in models {
            let net = model.build().unwrap();
            let shapes = net.params().iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect();
            let found = detect_shapes(&shapes, Scheme::Official).unwrap();
            // With one module per stage every module is the last of its stage: the two ablations are the same network.
            assert_eq!(found.model, model, "{model}");
            assert!(!found.notes.is_empty());
        }
    }
    assert_eq!(detect(&weights(&pose())).unwrap().model, pose());
}

#[test]
fn a_pose_file_with_all_fused_resolutions_still_loads() {
    let features = Model { arch: tiny(), head: Head::Features };
    let mut w = weights(&features);
    for (name, tensor) in weights(&pose()).iter().filter(|(n, _)| n.starts_with("final_layer")) {
        w.insert(name, tensor.clone());
    }
    let loaded = load(&file(&w), &LoadOptions::default()).unwrap();
    assert_eq!(loaded.model, pose());
    assert!(loaded.report.ignored.iter().any(|i| i.name.starts_with("stage4.0.fuse_layers.3.")));
    assert!(same_bits(&loaded.weights, &weights(&pose())));
}

#[test]
fn files_without_a_network_are_explained() {
    let one = |names: &[&str]| {
        let tensors: Vec<_> = names.iter().map(|n| (n.to_string(), vec![1usize], vec![0.5f32])).collect();
        load(&safetensors_file(&tensors), &LoadOptions::default()).unwrap_err().to_string()
    };
    assert!(one(&["layer1.0.conv1.weight", "layer4.0.conv1.weight"]).contains("ResNet"));
    assert!(one(&["x"]).contains("not the state dict of an HRNet"));
    let lite = "backbone.stage0.0.layers.0.cross_resolution_weighting.conv1.conv.weight";
    assert!(one(&[lite]).contains("Lite-HRNet"));
    let both = renamed(&weights(&pose()), |n| Some(format!("teacher.{n}")));
    let both = both.iter().chain(weights(&pose()).iter()).map(|(n, t)| (n.to_string(), t.clone())).collect();
    let error = load(&file(&both), &LoadOptions::default()).unwrap_err();
    assert!(matches!(error, LoadError::Rename(_)) && error.to_string().contains("teacher."), "{error}");
    let two = with(weights(&pose()), "classifier.weight", Tensor::zeros([3, 2048]));
    let error = load(&file(&two), &LoadOptions::default()).unwrap_err();
    assert!(matches!(error, LoadError::Detect(DetectError::SeveralHeads { .. })), "{error}");
}

#[test]
fn a_moving_average_beside_the_weights_is_left_out() {
    let w = weights(&pose());
    let average = renamed(&w, |n| Some(format!("ema_model.{n}")));
    let both = w.iter().chain(average.iter()).map(|(n, t)| (n.to_string(), t.clone())).collect();
    let loaded = load(&file(&both), &LoadOptions::default()).unwrap();
    assert_eq!(loaded.report.ignored.len(), w.len());
    assert!(same_bits(&loaded.weights, &w));
}

#[test]
fn a_tensor_beside_a_state_dict_does_not_hide_it() {
    let tensor = |asm: Asm| asm.tensor("0", 2, 0, &[2], &[1]);
    let inner = tensor(Asm::default().ordered_dict().mark().text("w")).op(b'u');
    let outer = tensor(Asm::new().op(b'}').mark().text("lr"));
    let stream = outer.text("state_dict").raw(&inner.0).op(b'u').stop();
    let bytes = torch_zip(&stream, &[("0", &floats(&[1.5, 2.5]))]);
    let file =
        hrnet_formats::pth::open_zip(&mut &bytes[..], &hrnet_formats::Limits::default(), None).unwrap();
    assert_eq!((file.entry.as_str(), file.views[0].name.as_str()), ("state_dict", "w"));
    assert_eq!(file.ignored[0].name, "lr");
}

#[test]
fn two_keys_for_one_parameter_are_refused() {
    let keys = [
        "backbone.stage2.0.branches.0.0.conv1.weight",
        "keypoint_head.final_layer.0.bias",
        "keypoint_head.x",
    ];
    assert!(rename(&keys).is_ok());
    let keys = ["stage2.0.branches.0.0.conv1.weight", "module.stage2.0.branches.0.0.conv1.weight"];
    assert!(rename(&keys).unwrap_err().to_string().contains("2 networks"));
    let keys = [
        "backbone.stage2.0.branches.0.0.conv1.weight",
        "neck.fpn_convs.0.conv.bias",
        "neck.fpn_conv.0.bias",
        "neck.reduction_conv.conv.weight",
    ];
    assert!(rename(&keys).unwrap_err().to_string().contains("neck.fpn_conv.0.bias"));
}

#[test]
fn a_few_names_cannot_ask_for_a_giant() {
    let mut tensors = Vec::new();
    let mut add = |name: String| tensors.push((name, vec![1usize, 1, 1, 1], vec![0.5f32]));
    add("layer1.0.conv1.weight".into());
    for i in 0..64 {
        add(format!("stage2.0.branches.0.{i}.conv1.weight"));
        for stage in 2..5 {
            add(format!("stage{stage}.{i}.fuse_layers.0.1.0.weight"));
        }
    }
    let error = load(&safetensors_file(&tensors), &LoadOptions::default()).unwrap_err();
    assert!(matches!(error, LoadError::Detect(DetectError::Implausible { .. })), "{error}");
    let huge = [("stage2.0.branches.0.0.conv1.weight", 1 << 20), ("layer1.0.conv1.weight", 1)];
    let tensors: Vec<_> = huge.iter().map(|(n, d)| (n.to_string(), vec![*d, 0, 1, 1], Vec::new())).collect();
    let error = load(&safetensors_file(&tensors), &LoadOptions::default()).unwrap_err();
    assert!(matches!(error, LoadError::Model(_)), "{error}");
}

// ---- A7: weights that parse but are wrong

#[test]
fn a7_missing_unexpected_and_misshapen_tensors_are_listed_together() {
    let mut w = renamed(&weights(&pose()), |n| match n {
        "stage3.0.branches.1.0.conv2.weight" | "transition1.0.0.weight" => None,
        "bn2.bias" => Some("bn2.beta".into()),
        n => Some(n.to_string()),
    });
    w.insert("conv2.weight", Tensor::zeros([64, 64, 1, 1]));
    let error = load(&file(&w), &LoadOptions::default()).unwrap_err();
    let LoadError::Incomplete(what) = &error else { panic!("{error}") };
    assert_eq!(what.missing, ["bn2.bias", "transition1.0.0.weight", "stage3.0.branches.1.0.conv2.weight"]);
    assert_eq!(what.unexpected, ["bn2.beta"]);
    assert_eq!(
        (&what.wrong_shape[0].wanted, &what.wrong_shape[0].found),
        (&vec![64, 64, 3, 3], &vec![64, 64, 1, 1])
    );
    let text = error.to_string();
    for name in ["transition1.0.0.weight", "stage3.0.branches.1.0.conv2.weight", "bn2.bias", "bn2.beta"] {
        assert!(text.contains(name), "{text}");
    }
    assert!(text.contains("wanted [64, 64, 3, 3], found [64, 64, 1, 1]"), "{text}");
    let seen = inspect(&file(&w), &LoadOptions::default());
    assert_eq!(seen.report.missing, what.missing);
    assert_eq!((seen.model, seen.problems.len()), (Some(pose()), 1));
}

#[test]
fn a7_one_element_is_not_a_vector() {
    let w = with(weights(&pose()), "bn1.bias", Tensor::zeros([1]));
    let error = load(&file(&w), &LoadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("bn1.bias: wanted [64], found [1]"), "{error}");
}

#[test]
fn a7_unexpected_tensors_need_permission() {
    let w = with(weights(&pose()), "extra.weight", Tensor::zeros([1]));
    assert!(matches!(load(&file(&w), &LoadOptions::default()), Err(LoadError::Incomplete(_))));
    let options = LoadOptions { allow_unexpected: true, ..LoadOptions::default() };
    let loaded = load(&file(&w), &options).unwrap();
    assert_eq!(loaded.report.unexpected, ["extra.weight"]);
    assert!(same_bits(&loaded.weights, &weights(&pose())));
}

#[test]
fn a7_values_that_are_no_weights_are_named_and_counted() {
    let change = |name: &str, values: &[f32]| {
        let mut w = weights(&pose());
        w.get_mut(name).unwrap().data_mut()[..values.len()].copy_from_slice(values);
        file(&w)
    };
    let allow = LoadOptions { allow_non_finite: true, ..LoadOptions::default() };
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let bytes = change("conv2.weight", &[bad, 1.0, bad]);
        match load(&bytes, &LoadOptions::default()) {
            Err(LoadError::NonFinite { tensors }) => assert_eq!(tensors, [("conv2.weight".to_string(), 2)]),
            other => panic!("{:?}", other.map(|c| c.report)),
        }
        let loaded = load(&bytes, &allow).unwrap();
        assert!(loaded.report.notes.iter().any(|n| n.contains("NaN")));
        assert_eq!(loaded.weights.get("conv2.weight").unwrap().data()[0].to_bits(), bad.to_bits());
    }
    let bytes = change("bn1.running_var", &[-1.0, -0.5]);
    match load(&bytes, &LoadOptions::default()) {
        Err(LoadError::NegativeVariance { tensors }) => {
            assert_eq!(tensors, [("bn1.running_var".to_string(), 2)]);
        }
        other => panic!("{:?}", other.map(|c| c.report)),
    }
    assert!(load(&bytes, &allow).is_ok());
    let notes = |bytes: &[u8]| load(bytes, &LoadOptions::default()).unwrap().report.notes;
    let zero = notes(&change("bn1.running_var", &[0.0]));
    assert!(zero.iter().any(|n| n.contains("bn1.running_var (1)")), "{zero:?}");
    let tiny = notes(&change("final_layer.bias", &[1e-40; 17]));
    assert!(tiny.iter().any(|n| n.contains("final_layer.bias holds denormal")), "{tiny:?}");
}

/// Half of a file in the wrong byte order gives absurd numbers, some of them NaN or huge; it must not pass quietly.
#[test]
fn a7_swapped_bytes_do_not_pass() {
    let mut bytes = file(&weights(&pose()));
    let from = bytes.len() / 2 / 4 * 4;
    let end = bytes.len();
    bytes[from..end].as_chunks_mut::<4>().0.iter_mut().for_each(|b| b.reverse());
    let result = load(&bytes, &LoadOptions::default());
    assert!(matches!(result, Err(LoadError::NonFinite { .. } | LoadError::NegativeVariance { .. })));
}

#[test]
fn a7_integer_and_half_storages_convert_exactly() {
    use hrnet_formats::file::Loaded;
    use hrnet_formats::{DType, Limits, Source, pth};
    let classes: [(&str, DType, Vec<u8>, Vec<f32>); 8] = [
        ("torch.CharStorage", DType::I8, vec![0x80, 0xFF, 0x7F], vec![-128.0, -1.0, 127.0]),
        ("torch.ByteStorage", DType::U8, vec![0, 128, 255], vec![0.0, 128.0, 255.0]),
        ("torch.BoolStorage", DType::Bool, vec![0, 1, 1], vec![0.0, 1.0, 1.0]),
        ("torch.ShortStorage", DType::I16, vec![0, 0x80, 1, 0, 0xFF, 0x7F], vec![-32768.0, 1.0, 32767.0]),
        (
            "torch.HalfStorage",
            DType::F16,
            vec![0, 0x3C, 1, 0, 0, 0x7C],
            vec![1.0, 5.960_464_5e-8, f32::INFINITY],
        ),
        (
            "torch.BFloat16Storage",
            DType::BF16,
            vec![0x80, 0x3F, 0, 0xC0, 1, 0],
            vec![1.0, -2.0, 9.183_55e-41],
        ),
        (
            "torch.cuda.IntStorage",
            DType::I32,
            [5i32, -7, 16_777_217].iter().flat_map(|v| v.to_le_bytes()).collect(),
            vec![5.0, -7.0, 16_777_216.0],
        ),
        (
            "torch.DoubleStorage",
            DType::F64,
            [0.1f64, 1e300, -0.5].iter().flat_map(|v| v.to_le_bytes()).collect(),
            vec![0.1, f32::INFINITY, -0.5],
        ),
    ];
    for (class, dtype, bytes, values) in classes {
        let storage = Asm::default().storage(class, "k", 3);
        let stream = Asm::dict_of(Asm::default().tensor_over(storage, 0, &[3], &[1]));
        let zipped = torch_zip(&stream, &[("k", &bytes)]);
        let legacy = common::legacy(&stream, &[("k", 3, &bytes)]);
        for (what, bytes) in [("zip", zipped), ("legacy", legacy)] {
            let mut source = &bytes[..];
            let file = match what {
                "zip" => pth::open_zip(&mut source, &Limits::default(), None).unwrap(),
                _ => pth::open_legacy(&mut source, &Limits::default(), None).unwrap(),
            };
            assert_eq!(file.views[0].dtype, dtype);
            let Loaded { tensor, rounded, .. } = file.read(&mut source, &[0]).unwrap().remove(0);
            assert_eq!(tensor.data(), values, "{class} in {what}");
            let wanted = match dtype {
                DType::I32 => 1,
                DType::F64 => 2,
                _ => 0,
            };
            assert_eq!(rounded, wanted, "{class}: rounded values");
            assert_eq!(source.size(), bytes.len() as u64);
        }
    }
}

#[test]
fn python_2_dictionaries_and_parameters_are_read() {
    // OrderedDict([['w', tensor], ['p', Parameter]]) with byte strings, as Python 2 wrote it.
    let tensor = |asm: Asm| asm.tensor("0", 2, 0, &[2], &[1]);
    let pair = |asm: Asm, name: &str, value: Asm| {
        asm.op(b']').mark().op(b'U').op(name.len() as u8).raw(name.as_bytes()).raw(&value.0).op(b'e')
    };
    let parameter = Asm::default().global("torch._utils", "_rebuild_parameter");
    let parameter = tensor(parameter).op(0x88).ordered_dict().op(0x87).reduce();
    let list = Asm::new().global("collections", "OrderedDict").op(b']').mark();
    let list = pair(list, "w", tensor(Asm::default()));
    let stream = pair(list, "p", parameter).op(b'e').op(0x85).reduce().stop();
    let bytes = torch_zip(&stream, &[("0", &floats(&[1.5, 2.5]))]);
    let mut source = &bytes[..];
    let file = hrnet_formats::pth::open_zip(&mut source, &hrnet_formats::Limits::default(), None).unwrap();
    let names: Vec<&str> = file.views.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["w", "p"]);
    // Both views share one storage, which is read once.
    let tensors = file.read(&mut source, &[0, 1]).unwrap();
    for loaded in tensors {
        assert_eq!(loaded.tensor.data(), [1.5, 2.5]);
    }
}

// ---- our own file

fn recipe() -> Recipe {
    Recipe {
        training_data: Some("synthetic".into()),
        licence: Some("MIT".into()),
        metric: Some(Metric { name: "AP".into(), value: 0.744, set: "val2017".into() }),
        source: Some("hrnet_w32.pth".into()),
        ..Recipe::for_model(&pose(), "test")
    }
}

#[test]
fn what_is_written_is_read_back_bit_for_bit() {
    let mut w = weights(&pose());
    *w.get_mut("bn1.num_batches_tracked").unwrap() = Tensor::scalar(123_456.0);
    let bytes = to_safetensors(&w, Some(&recipe()), Precision::F32).unwrap();
    assert_eq!(
        bytes,
        to_safetensors(&w, Some(&recipe()), Precision::F32).unwrap(),
        "the same bytes every time"
    );
    let loaded = load(&bytes, &LoadOptions::default()).unwrap();
    assert!(same_bits(&loaded.weights, &w));
    assert_eq!((loaded.recipe, loaded.model), (Some(recipe()), pose()));
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(theirs.tensor("bn1.num_batches_tracked").unwrap().dtype(), safetensors::Dtype::I64);
    for (precision, dtype) in
        [(Precision::F16, safetensors::Dtype::F16), (Precision::BF16, safetensors::Dtype::BF16)]
    {
        let bytes = to_safetensors(&w, Some(&recipe()), precision).unwrap();
        let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(theirs.tensor("conv1.weight").unwrap().dtype(), dtype);
        assert_eq!(theirs.tensor("bn1.running_var").unwrap().dtype(), safetensors::Dtype::F32);
        let once = load(&bytes, &LoadOptions::default()).unwrap();
        let again = to_safetensors(&once.weights, Some(&recipe()), precision).unwrap();
        assert_eq!(bytes, again, "{precision:?}: a second trip changes nothing");
    }
}

#[test]
fn what_cannot_be_written_says_why() {
    let mut w = weights(&pose());
    w.get_mut("conv1.weight").unwrap().data_mut()[0] = 1e6;
    let error = to_safetensors(&w, None, Precision::F16).unwrap_err();
    assert!(matches!(error, WriteError::Overflow { count: 1, .. }), "{error}");
    assert!(to_safetensors(&w, None, Precision::BF16).is_ok());
    *w.get_mut("bn1.num_batches_tracked").unwrap() = Tensor::scalar(0.5);
    assert!(matches!(to_safetensors(&w, None, Precision::F32), Err(WriteError::Counter { .. })));
    let other = Recipe::for_model(&Model { head: Head::Features, ..pose() }, "test");
    let error = to_safetensors(&weights(&pose()), Some(&other), Precision::F32).unwrap_err();
    assert!(matches!(error, WriteError::Recipe(RecipeError::Disagrees { .. })), "{error}");
}

#[test]
fn a_recipe_is_not_written_over_other_tensors() {
    let extra = with(weights(&pose()), "extra", Tensor::zeros([1]));
    let error = to_safetensors(&extra, Some(&recipe()), Precision::F32).unwrap_err();
    assert!(matches!(error, WriteError::Recipe(RecipeError::Disagrees { .. })), "{error}");
}

/// A file whose recipe was exchanged for that of another network.
#[test]
fn a_recipe_that_is_not_of_these_tensors_is_an_error() {
    let bytes = to_safetensors(&weights(&pose()), Some(&recipe()), Precision::F32).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let write = |json: &str| {
        let metadata = std::collections::HashMap::from([("hrnet.recipe".to_string(), json.to_string())]);
        safetensors::serialize(theirs.tensors(), Some(metadata)).unwrap()
    };
    let json = recipe().to_json().unwrap();
    assert!(load(&write(&json), &LoadOptions::default()).is_ok());
    let wrong = json.replace("\"joints\":17", "\"joints\":16");
    let error = load(&write(&wrong), &LoadOptions::default()).unwrap_err();
    assert!(matches!(error, LoadError::Recipe(_)), "{error}");
    let wider = json.replace("\"width\":2,", "\"width\":4,");
    assert_ne!(json, wider);
    let error = load(&write(&wider), &LoadOptions::default()).unwrap_err();
    assert!(matches!(error, LoadError::Recipe(RecipeError::Disagrees { .. })), "{error}");
    let cases = [
        ("not JSON", "{".to_string()),
        ("a future version", json.replace("\"version\":1", "\"version\":2")),
        ("an unknown field", json.replacen('{', "{\"x\":1,", 1)),
        ("no mean", json.replace("\"mean\"", "\"meen\"")),
        ("zero std", json.replace("0.229", "0.0")),
        ("negative padding", json.replace("\"padding\":1.25", "\"padding\":-1.25")),
        ("size 0", json.replace("[256,192]", "[0,192]")),
        ("another task", json.replace("\"task\":\"pose\"", "\"task\":\"face\"")),
        ("a flip pair outside", json.replace("[15,16]]", "[15,17]]")),
        ("a point in two flip pairs", json.replace("[15,16]]", "[15,1]]")),
        ("a name too many", json.replace("\"nose\"", "\"nose\",\"chin\"")),
    ];
    for (what, changed) in cases {
        assert_ne!(json, changed, "{what}");
        let error = load(&write(&changed), &LoadOptions::default()).expect_err(what);
        assert!(matches!(error, LoadError::Recipe(_)), "{what}: {error}");
    }
}

#[test]
fn default_recipes_are_valid_for_every_family() {
    let heads = [
        (Head::Pose { joints: 17, kernel: 1, branch: 0 }, Task::Pose, (256, 192), 8),
        (Head::Pose { joints: 16, kernel: 1, branch: 0 }, Task::Pose, (256, 256), 6),
        (Head::Pose { joints: 3, kernel: 1, branch: 0 }, Task::Pose, (256, 192), 0),
        (Head::Higher { joints: 17 }, Task::BottomUpPose, (512, 512), 8),
        (Head::Landmark { points: 68, kernel: 1 }, Task::Face, (256, 256), 29),
        (Head::Landmark { points: 98, kernel: 1 }, Task::Face, (256, 256), 44),
        (Head::Landmark { points: 29, kernel: 1 }, Task::Face, (256, 256), 11),
        (Head::Landmark { points: 19, kernel: 1 }, Task::Face, (256, 256), 8),
        (Head::Segment { classes: 19, kernel: 1 }, Task::Segmentation, (1024, 2048), 0),
        (Head::Ocr { classes: 150 }, Task::Segmentation, (520, 520), 0),
        (Head::Classify { classes: 1000, bias: true }, Task::Classification, (224, 224), 0),
        (
            Head::Pyramid { channels: 256, levels: 5, pool: PyramidPool::Average },
            Task::Detection,
            (800, 1344),
            0,
        ),
        (Head::Features, Task::Features, (224, 224), 0),
    ];
    for (head, task, size, pairs) in heads {
        let recipe = Recipe::for_model(&Model { arch: tiny(), head }, "test");
        assert_eq!((recipe.task, recipe.input_size, recipe.flip_pairs.len()), (task, size, pairs), "{head}");
        let json = recipe.to_json().unwrap();
        assert_eq!(Recipe::from_json(&json).unwrap(), recipe);
    }
}

#[test]
fn batch_counters_do_not_decide() {
    let without =
        renamed(&weights(&pose()), |n| (!n.ends_with("num_batches_tracked")).then(|| n.to_string()));
    let loaded = load(&file(&without), &LoadOptions::default()).unwrap();
    assert!(loaded.report.notes.iter().any(|n| n.contains("num_batches_tracked")));
    let net = pose().build().unwrap();
    for param in net.params().iter().filter(|p| p.role == ParamRole::BatchCount) {
        assert_eq!(loaded.weights.get(&param.name), Some(&Tensor::scalar(0.0)));
    }
    let as_vectors = weights(&pose())
        .iter()
        .map(|(n, t)| match n.ends_with("num_batches_tracked") {
            true => (n.to_string(), Tensor::new([1], t.data().to_vec()).unwrap()),
            false => (n.to_string(), t.clone()),
        })
        .collect();
    assert!(load(&file(&as_vectors), &LoadOptions::default()).is_ok());
}

// ---- kinds of files

#[test]
fn other_files_are_recognised_with_advice() {
    let mut tar = vec![0u8; 512];
    tar[..4].copy_from_slice(b"x.pt");
    tar[257..262].copy_from_slice(b"ustar");
    let cases: Vec<(&[u8], FileKind)> = vec![
        (b"", FileKind::Empty),
        (b"PK\x03\x04rest", FileKind::Zip),
        (b"<!DOCTYPE html><html>", FileKind::Html),
        (b"\n  <HTML lang=en>", FileKind::Html),
        (b"<?xml version=\"1.0\"?><Error>", FileKind::Xml),
        (b"{\"error\": \"not found\"}", FileKind::Json),
        (b"version https://git-lfs.github.com/spec/v1\noid", FileKind::GitLfsPointer),
        (b"\x08\x07\x12\x07pytorch\x1a", FileKind::Onnx),
        (b"\x89HDF\r\n\x1a\n\0\0", FileKind::Hdf5),
        (b"\x1f\x8b\x08\0", FileKind::Gzip),
        (b"\x93NUMPY\x01\0", FileKind::Npy),
        (b"GGUF\x03\0\0\0", FileKind::Gguf),
        (b"\x1c\0\0\0TFL3", FileKind::TfLite),
        (b"\x89PNG\r\n\x1a\n", FileKind::Media),
        (b"\xff\xd8\xff\xe0", FileKind::Media),
        (b"\0\0\0\x18ftypmp42", FileKind::Media),
        (b"%PDF-1.7", FileKind::Pdf),
        (b"\x7fELF\x02", FileKind::Executable),
        (b"7z\xbc\xaf\x27\x1c", FileKind::OtherArchive),
        (b"\x80\x04\x95\0", FileKind::BarePickle),
        (b"\x80\x02}q\0X\x1b\0\0\0StructuredToParameterName@@", FileKind::Paddle),
        (b"MODEL:\n  NAME: pose_hrnet\n", FileKind::Text),
        (&[0; 100], FileKind::Zeros),
        (b"\x01\x02\x03\x04\xfe\xff", FileKind::Unknown),
        (&tar, FileKind::Tar),
        (b"\x02\0\0\0\0\0\0\0{}", FileKind::Safetensors),
    ];
    for (bytes, kind) in cases {
        assert_eq!(sniff(bytes, bytes.len() as u64), kind, "{:?}", String::from_utf8_lossy(bytes));
        assert!(!kind.advice().is_empty());
        if !kind.is_weights() {
            let error = load(bytes, &LoadOptions::default()).unwrap_err();
            assert!(matches!(error, LoadError::NotWeights { kind: k } if k == kind), "{error}");
            assert!(error.to_string().starts_with("this is "), "{error}");
        }
    }
}

#[test]
fn folders_and_missing_files_are_errors() {
    let dir = env!("CARGO_MANIFEST_DIR");
    let error = hrnet_formats::load_path(dir, &LoadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("folder"), "{error}");
    assert!(hrnet_formats::load_path("does/not/exist", &LoadOptions::default()).is_err());
}
