//! Configurations of the official repositories through the binary.
#![forbid(unsafe_code)]

mod common;

use common::{Scratch, hrnet, text};
use hrnet::config::{AugmentSection, LossSection, Task, TrainConfig};
use hrnet_data::codec::heatmap::Decoder;
use hrnet_testkit::repository;
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
    assert_eq!((config.target.sigma, config.target.decoder), (2.0, Decoder::QuarterOffset));
    assert_eq!(config.target.joint_weights, COCO_JOINT_WEIGHTS.map(|w| w as f32));
    let LossSection::Maps(loss) = &config.train.loss else { panic!("{:?}", config.train.loss) };
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
    let LossSection::Maps(loss) = &config.train.loss else { panic!("{:?}", config.train.loss) };
    assert_eq!(loss.form, HeatmapLoss::Mean);
    assert!(out.contains("momentum of batch norms: 0.1, in the official code 0.01"), "{out}");
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
fn networks_are_described_even_where_they_are_not_trained() {
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
    for name in ["higher.yaml", "ocr.yaml"] {
        hrnet!["train", "--cfg", file(name), "--print-config"].fails(1, &[name, "train"]);
        let shown = hrnet!["info", file(name)].ok().out;
        assert!(shown.contains("not trained"), "{shown}");
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
