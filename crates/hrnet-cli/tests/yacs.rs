//! Configurations of the official repositories through the binary.
#![forbid(unsafe_code)]

mod common;

use common::{Scratch, hrnet, text};
use hrnet::config::{AugmentSection, LossSection, MapLoss, OtherMapLoss, SegmentHead, TrainConfig};
use hrnet_data::codec::heatmap::SubPixel;
use hrnet_ir::Task;
use hrnet_proof::fixtures::repository;
use hrnet_train::loss::{CITYSCAPES_WEIGHTS, COCO_JOINT_WEIGHTS};
use hrnet_train::{Decay, HeatmapLoss, OptimizerConfig};
use serde_json::json;
use std::path::{Path, PathBuf};

fn file(name: &str) -> PathBuf {
    repository().join("testdata/yacs").join(name)
}

/// What `--print-config` writes, read again as our configuration.
fn printed(name: &str) -> (String, TrainConfig) {
    let out = hrnet!["train", "--cfg", file(name), "--print-config"].ok().out;
    let config = TrainConfig::parse(&out).unwrap();
    assert_eq!(TrainConfig::parse(&config.to_toml().unwrap()).unwrap(), config);
    (out, config)
}

#[test]
fn pose() {
    let (out, config) = printed("pose.yaml");
    assert_eq!(config.task, Task::Pose);
    assert_eq!(config.input.size, [256, 192]);
    assert_eq!(config.model(17).unwrap().arch.variant(), "W32");
    assert_eq!(config.model.start.as_deref(), Some(Path::new("models/start.pth")));
    assert_eq!((config.train.epochs, config.train.batch), (210, 96));
    assert_eq!(config.data.train, Path::new("data/coco/annotations/person_keypoints_train2017.json"));
    assert_eq!(config.data.val_images.as_deref(), Some(Path::new("data/coco/images/val2017")));
    assert_eq!((config.target.sigma, config.target.decoder), (2.0, SubPixel::QuarterOffset));
    assert_eq!(config.target.joint_weights, COCO_JOINT_WEIGHTS.map(|w| w as f32));
    let LossSection::Maps(MapLoss::Mse(loss)) = &config.train.loss else { panic!("{:?}", config.train.loss) };
    assert_eq!((loss.form, loss.foreground), (HeatmapLoss::Joints, 0.0));
    assert_eq!(config.train.optimizer, OptimizerConfig::adam());
    assert_eq!(config.train.schedule.base, 1e-3);
    assert_eq!(config.train.schedule.decay, Decay::MultiStep { epochs: vec![169, 199], gamma: 0.1 });
    assert_eq!((config.train.schedule.warmup, config.train.ema), (None, None));
    let AugmentSection::Points(augment) = &config.augment else { panic!("{:?}", config.augment) };
    assert_eq!((augment.scale, augment.rotation_deg, augment.half_body_p), ([0.65, 1.35], 45.0, 0.3));
    assert_eq!((augment.brightness, augment.erase_p, augment.shift), (0.0, 0.0, 0.0));
    // Nothing is dropped in silence.
    for remark in [
        "# TEST.SHIFT_HEATMAP = true: --shift-heatmap",
        "# TEST.FLIP_TEST",
        "# MODEL.EXTRA.PRETRAINED_LAYERS = ['conv1', 'bn1']",
        "# TRAIN.WD = 0.0001: 0, because",
        "# train.batch = 96: 24 on each of 4 GPUs",
        "WORKERS, ",
    ] {
        assert!(out.contains(remark) || out.contains(remark.trim_end_matches(", ")), "{remark}: {out}");
    }
}

#[test]
fn face() {
    let (out, config) = printed("face.yaml");
    assert_eq!((config.task, config.input.size), (Task::Face, [256, 256]));
    assert_eq!(config.model(98).unwrap().arch.variant(), "W18");
    assert_eq!((config.train.epochs, config.train.batch, config.train.schedule.base), (60, 16, 1e-4));
    assert_eq!(config.target.sigma, 1.5);
    let LossSection::Maps(MapLoss::Mse(loss)) = &config.train.loss else { panic!("{:?}", config.train.loss) };
    assert_eq!(loss.form, HeatmapLoss::Mean);
    assert_eq!(config.model(98).unwrap().arch.bn_momentum, 0.01, "{out}");
}

#[test]
fn segmentation() {
    let (_, config) = printed("segmentation.yaml");
    assert_eq!((config.task, config.input.size), (Task::Segmentation, [512, 1024]));
    assert_eq!(config.model(19).unwrap().arch.variant(), "W18-small-v2");
    assert_eq!((config.train.epochs, config.train.batch), (484, 6));
    assert_eq!(config.train.optimizer, OptimizerConfig::sgd(0.9, false, 5e-4));
    assert_eq!(config.train.schedule.decay, Decay::Poly { epochs: 484, power: 0.9, end: 0.0 });
    let LossSection::Pixels(loss) = &config.train.loss else { panic!("{:?}", config.train.loss) };
    let ohem = loss.ohem.unwrap();
    assert_eq!((ohem.threshold, ohem.keep, loss.ignore, loss.align_corners), (0.9, 131_072, 255, false));
    assert_eq!(loss.class_weights, CITYSCAPES_WEIGHTS);
    let AugmentSection::Segmentation(augment) = &config.augment else { panic!("{:?}", config.augment) };
    assert_eq!((augment.scale, augment.flip_p), ([0.5, 2.1], 0.5));
    assert_eq!(config.data.numbering.as_deref(), Some("cityscapes"));
}

#[test]
fn classification() {
    let (_, config) = printed("classification.yaml");
    assert_eq!((config.task, config.input.size), (Task::Classification, [224, 224]));
    assert_eq!(config.model(1000).unwrap().arch.variant(), "W18-small-v1");
    assert_eq!((config.train.epochs, config.train.batch), (100, 128));
    assert_eq!(config.train.optimizer, OptimizerConfig::sgd(0.9, true, 1e-4));
    assert_eq!(config.train.schedule.decay, Decay::MultiStep { epochs: vec![29, 59, 89], gamma: 0.1 });
    assert_eq!(config.data.train, Path::new("data/imagenet/train"));
}

#[test]
fn ocr() {
    let (_, config) = printed("ocr.yaml");
    assert_eq!((config.task, config.model.head), (Task::Segmentation, SegmentHead::Ocr));
    let model = config.model(19).unwrap();
    assert_eq!(model.head, hrnet_ir::Head::Ocr { classes: 19 });
    assert_eq!(model.arch.fuse, hrnet_ir::Fuse::Bilinear { align_corners: true });
    assert_eq!(config.train.loss_weights, [0.4, 1.0]);
    let rates: Vec<(&str, f64)> =
        config.train.layer_rates.iter().map(|r| (r.prefix.as_str(), r.factor)).collect();
    // In the order of the network's parameters.
    let mut names: Vec<&str> = rates.iter().map(|r| r.0).collect();
    names.sort_unstable();
    assert_eq!(names, ["aux_head", "cls_head", "conv3x3_ocr", "ocr_distri_head"]);
    assert!(rates.iter().all(|r| r.1 == 10.0), "{rates:?}");
}

#[test]
fn higher() {
    let (_, config) = printed("higher.yaml");
    assert_eq!((config.task, config.input.size, config.target.sigma), (Task::BottomUpPose, [512, 512], 2.0));
    assert_eq!(config.model(17).unwrap().head, hrnet_ir::Head::Higher { joints: 17 });
    let AugmentSection::BottomUp(augment) = &config.augment else { panic!("{:?}", config.augment) };
    assert_eq!((augment.scale, augment.rotation_deg, augment.shift), ([0.75, 1.5], 30.0, 0.2));
    let LossSection::People(loss) = config.train.loss else { panic!("{:?}", config.train.loss) };
    assert_eq!((loss.heatmaps, loss.push, loss.pull), (1.0, 1e-3, 1e-3));
    let more = ["LOSS.HEATMAPS_LOSS_FACTOR", "(2.0, 1.0)", "LOSS.PUSH_LOSS_FACTOR", "(0.01, 0.01)"];
    let mut args: Vec<std::ffi::OsString> = vec!["train".into(), "--cfg".into(), file("higher.yaml").into()];
    args.push("--print-config".into());
    args.extend(more.map(Into::into));
    let config = TrainConfig::parse(&common::run(args).ok().out).unwrap();
    let LossSection::People(loss) = config.train.loss else { panic!("{:?}", config.train.loss) };
    assert_eq!((loss.heatmaps, loss.push, &config.train.loss_weights[..]), (2.0, 0.01, &[1.0, 0.5][..]));
    hrnet!["train", "--cfg", file("higher.yaml"), "--print-config", "LOSS.AE_LOSS_TYPE", "max"]
        .fails(1, &["LOSS.AE_LOSS_TYPE"]);
}

#[test]
fn the_hardest_key_points_frozen_layers_and_kernels() {
    let ran = hrnet![
        "train",
        "--cfg",
        file("pose.yaml"),
        "--print-config",
        "LOSS.USE_OHKM",
        "True",
        "LOSS.TOPK",
        "5",
        "MODEL.EXTRA.FINAL_CONV_KERNEL",
        "3"
    ];
    let config = TrainConfig::parse(&ran.ok().out).unwrap();
    let LossSection::Maps(MapLoss::Other(OtherMapLoss::Ohkm(loss))) = &config.train.loss else {
        panic!("{:?}", config.train.loss)
    };
    assert_eq!(loss.top, 5);
    assert_eq!(config.model(17).unwrap().head, hrnet_ir::Head::Pose { joints: 17, kernel: 3, branch: 0 });
    let ran = hrnet![
        "train",
        "--cfg",
        file("segmentation.yaml"),
        "--print-config",
        "TRAIN.FREEZE_LAYERS",
        "conv1,layer1",
        "TRAIN.NONBACKBONE_KEYWORDS",
        "['last']",
        "TRAIN.NONBACKBONE_MULT",
        "4"
    ];
    let config = TrainConfig::parse(&ran.ok().out).unwrap();
    // The official code does not read this key.
    assert!(config.train.freeze.layers.is_empty());
    let rates = &config.train.layer_rates;
    assert_eq!((rates.len(), rates[0].prefix.as_str(), rates[0].factor), (1, "last_layer", 4.0));
    hrnet!["train", "--cfg", file("pose.yaml"), "--print-config", "LOSS.USE_OHKM", "True", "LOSS.TOPK", "18"]
        .fails(1, &["LOSS.TOPK"]);
}

#[test]
fn networks_are_described() {
    for (name, variant, family_head, parameters) in [
        // The counts of the published networks.
        ("pose.yaml", "W32", "points", 28_536_113),
        ("higher.yaml", "W32", "points", 28_645_331),
        ("ocr.yaml", "W48", "classes", 70_372_678),
    ] {
        let result = hrnet!["info", file(name), "--json"].ok().json();
        assert_eq!(result["variant"], json!(variant), "{name}");
        let spread = (result["parameters"].as_i64().unwrap() - parameters).abs();
        assert!(spread * 100 < parameters, "{name} {family_head}: {}", result["parameters"]);
    }
    let shown = hrnet!["info", file("segmentation.yaml")].ok().out;
    assert!(shown.contains("input 512x1024") && shown.contains("TEST.FLIP_TEST"), "{shown}");
}

#[test]
fn settings_of_the_command_line_replace_those_of_the_file() {
    let ran = hrnet![
        "train",
        "--cfg",
        file("classification.yaml"),
        "--data-dir",
        "elsewhere",
        "--print-config",
        "TRAIN.LR",
        "0.2",
        "TRAIN.LR_STEP",
        "(5,)",
        "GPUS",
        "(0,)",
        "TRAIN.NESTEROV",
        "False"
    ]
    .ok();
    let config = TrainConfig::parse(&ran.out).unwrap();
    assert_eq!((config.train.schedule.base, config.train.batch), (0.2, 32));
    assert_eq!(config.train.schedule.decay, Decay::MultiStep { epochs: vec![4], gamma: 0.1 });
    assert_eq!(config.data.train, Path::new("elsewhere/data/imagenet/train"));
    let cfg = file("classification.yaml");
    hrnet!["train", "--cfg", &cfg, "TRAIN.LRR", "1"].fails(1, &["TRAIN.LRR", "did you mean TRAIN.LR?"]);
    hrnet!["train", "--cfg", &cfg, "TRAIN.LR"].fails(1, &["TRAIN.LR", "no value"]);
    hrnet!["train", "--cfg", &cfg, "TRAIN.LR", "fast"].fails(1, &["TRAIN.LR", "a number is wanted"]);
    hrnet!["train", &cfg, "TRAIN.LR", "1"].fails(2, &["--cfg"]);
    hrnet!["train", "--cfg", &cfg, "--epochs", "3"].fails(2, &["--epochs"]);
}

#[test]
fn mistakes_in_a_file_have_a_line_and_a_near_name() {
    let scratch = Scratch::new();
    let good = text(&file("pose.yaml"));
    for (from, to, words) in [
        (
            "NUM_CHANNELS",
            "NUM_CHANELS",
            &["MODEL.EXTRA.STAGE2.NUM_CHANELS", "did you mean MODEL.EXTRA.STAGE2.NUM_CHANNELS?", "line 28"][..],
        ),
        ("OPTIMIZER", "OPTIMISER", &["TRAIN.OPTIMISER", "TRAIN.OPTIMIZER"]),
        ("SIGMA: 2", "SIGMA: wide", &["MODEL.SIGMA", "a number is wanted", "line"]),
        ("END_EPOCH: 210", "END_EPOCH: [1]", &["TRAIN.END_EPOCH", "a whole number is wanted, not a list"]),
        ("[48, 64]", "[64, 64]", &["MODEL.HEATMAP_SIZE", "[48, 64]"]),
        ("NUM_CHANNELS: [32, 64]", "NUM_CHANNELS: [32, 60]", &["STAGE2.NUM_CHANNELS", "[32, 64]"]),
        ("pose_hrnet", "pose_resnet", &["MODEL.NAME", "pose_resnet"]),
        ("TARGET_TYPE: gaussian", "TARGET_TYPE: offset", &["MODEL.TARGET_TYPE"]),
    ] {
        let path = scratch.write("a.yaml", good.replacen(from, to, 1));
        hrnet!["train", "--cfg", &path, "--print-config"].fails(1, words);
    }
    hrnet!["info", scratch.path("absent.yaml")].fails(1, &["absent.yaml"]);
}
