//! The top-down path of human pose: crops, decoding, targets, suppression.

use super::network::largest;
use super::{Case, Check, Result, Setup, because, ensure};
use hrnet_data::codec::heatmap::{SubPixel, argmax, decode, encode_official_pose};
use hrnet_data::geometry::{
    CropRule, IMAGENET_MEAN, IMAGENET_STD, pose_affine, pose_box_to_centre_scale, to_tensor,
};
use hrnet_data::metric::oks::{PoseCandidate, oks_nms};
use hrnet_data::sets::COCO17;
use hrnet_image::warp::warp_opencv5_u8;
use hrnet_image::{DecodeOptions, Exif, Image, Limits, decode as decode_image};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Affine entries and back-projected points, in pixels.
const PIXEL_LIMIT: f64 = 1e-3;
/// Target and normalised values.
const VALUE_LIMIT: f64 = 1e-6;
/// Largest grey-level difference of a crop: one for the warp, two more for JPEG decoders, which round the inverse
/// transform differently (the golden crops were made from pixels that libjpeg-turbo read): on 60 photographs without chroma
/// subsampling, Y, Cb and Cr differ by at most 1 on 0.5 % of the values, which makes up to 3 in RGB.
const GREY_LIMIT: f64 = 3.0;
/// Share of crop values that may differ by more than one level, for the same reason.
const GREY_SHARE: f64 = 1e-3;
/// The largest map or crop that a golden file may ask for, in values.
const MAX_VALUES: usize = 1 << 26;

#[derive(Deserialize)]
struct Crop {
    image: String,
    bbox_clipped: [f64; 4],
    input_wh: [usize; 2],
    rotation_deg: f64,
    center: [f32; 2],
    scale_200px: [f32; 2],
    affine: [[f64; 3]; 2],
    crop_rgb_png: String,
    normalised_chw_indices: Vec<usize>,
    normalised_values: Vec<f32>,
}

/// A name that stays in its folder.
fn plain_name(name: &str) -> Result<&str> {
    let plain = Path::new(name).file_name().is_some_and(|f| f == name);
    ensure(plain, || format!("'{name}' is not a plain file name"))?;
    Ok(name)
}

fn read_image(context: &Setup, path: &Path) -> Result<Image> {
    let options = DecodeOptions { exif: Exif::Ignore, ..DecodeOptions::default() };
    let decoded = decode_image(&context.files.bytes(path)?, &Limits::default(), options);
    Ok(decoded.map_err(because(path.display().to_string()))?.image)
}

/// The named image in the folder of `--images`, or in the COCO folders beside the fixtures.
fn find_image(context: &Setup, path: &Path, name: &str) -> Result<PathBuf> {
    let name = plain_name(name)?;
    let mut folders: Vec<PathBuf> = context.images.iter().cloned().collect();
    let data = path.parent().unwrap_or(Path::new("")).join("../../data/coco-mini");
    folders.extend([data.join("val2017"), data.join("train2017")]);
    let found = folders.iter().map(|f| f.join(name)).find(|p| p.is_file());
    Ok(found.ok_or_else(|| format!("{name}: not found; name the folder of the images with --images"))?)
}

pub(super) fn verify_crops(context: &Setup, name: String, path: &Path, bytes: &[u8]) -> Result<Case> {
    let cases: Vec<Crop> = serde_json::from_slice(bytes)?;
    let (mut rules, mut affines, mut values, mut greys) = (0, Vec::new(), Vec::new(), [0u64; 256]);
    for case in &cases {
        let [w, h] = case.input_wh;
        let size = w.saturating_mul(h);
        ensure(size > 0 && size < MAX_VALUES, || format!("a crop of {w}x{h} pixels"))?;
        let rule = pose_box_to_centre_scale(case.bbox_clipped, w, h);
        rules += usize::from(rule != CropRule { centre: case.center, scale: case.scale_200px });
        let affine = pose_affine(&rule, case.rotation_deg, w, h).ok_or("a box without size")?;
        affines
            .extend(affine.0.iter().flatten().zip(case.affine.iter().flatten()).map(|(a, b)| (a - b).abs()));
        let golden = read_image(context, &path.with_file_name(plain_name(&case.crop_rgb_png)?))?;
        ensure((golden.width(), golden.height()) == (w, h), || {
            format!("{} is not {w}x{h} pixels", case.crop_rgb_png)
        })?;
        let source = read_image(context, &find_image(context, path, &case.image)?)?;
        let crop = warp_opencv5_u8(&source, &affine, w, h);
        for (a, b) in crop.data().iter().zip(golden.data()) {
            greys[usize::from(a.abs_diff(*b))] += 1;
        }
        let tensor = to_tensor(&golden, IMAGENET_MEAN, IMAGENET_STD);
        for (&i, want) in case.normalised_chw_indices.iter().zip(&case.normalised_values) {
            let found = tensor.data().get(i).copied().unwrap_or(f32::NAN);
            values.push(f64::from((found - want).abs()));
        }
    }
    let total: u64 = greys.iter().sum();
    let worst = greys.iter().rposition(|&n| n > 0).unwrap_or(0);
    let far = greys[2..].iter().sum::<u64>() as f64 / total.max(1) as f64;
    let checks = vec![
        Check::count(format!("centres and scales that differ, of {}", cases.len()), rules),
        Check::new("affine entries", largest(affines.into_iter()), PIXEL_LIMIT),
        Check::new("crop, grey levels", worst as f64, GREY_LIMIT),
        Check::new("crop, share off by more than one level", far, GREY_SHARE),
        Check::new("normalised values", largest(values.into_iter()), VALUE_LIMIT),
    ];
    Ok(Case { name, kind: "pose crops", checks })
}

#[derive(Deserialize)]
struct Decoded {
    heatmaps: String,
    center: [f32; 2],
    scale_200px: [f32; 2],
    argmax: Vec<[f64; 2]>,
    scores: Vec<f32>,
    keypoints: Vec<[f64; 2]>,
}

pub(super) fn verify_decode(context: &Setup, name: String, path: &Path, bytes: &[u8]) -> Result<Case> {
    let cases: Vec<Decoded> = serde_json::from_slice(bytes)?;
    let (mut different, mut distances) = (0, Vec::new());
    for case in &cases {
        let maps = context.files.array(&path.with_file_name(plain_name(&case.heatmaps)?))?;
        let [.., joints, h, w] = maps.shape()[..] else {
            return Err(format!("{}: not [joints, h, w]", case.heatmaps).into());
        };
        let one = maps.len() == joints * h * w && h * w > 0;
        ensure(one, || format!("{}: more than one image", case.heatmaps))?;
        let counts = [case.argmax.len(), case.scores.len(), case.keypoints.len()];
        ensure(counts == [joints; 3], || format!("{}: {joints} maps, {counts:?} results", case.heatmaps))?;
        let rule = CropRule { centre: case.center, scale: case.scale_200px };
        let back = pose_affine(&rule, 0.0, w, h).and_then(|a| a.inverse()).ok_or("a box without size")?;
        let plain = decode(maps.data(), h, w, SubPixel::Argmax);
        let quarter = decode(maps.data(), h, w, SubPixel::QuarterOffset);
        for j in 0..joints {
            different += usize::from((plain[j].point(), plain[j].score) != (case.argmax[j], case.scores[j]));
            let [x, y] = back.apply(quarter[j].point());
            distances.push((x - case.keypoints[j][0]).hypot(y - case.keypoints[j][1]));
        }
    }
    let checks = vec![
        Check::count("maxima and scores that differ", different),
        Check::new("key points, pixels", largest(distances.into_iter()), PIXEL_LIMIT),
    ];
    Ok(Case { name, kind: "pose decode", checks })
}

#[derive(Deserialize)]
struct Targets {
    image_wh: [usize; 2],
    sigma: f64,
    joints: Vec<[f64; 2]>,
    visible: Vec<f32>,
    weights: Vec<f32>,
    sum_per_joint: Vec<f64>,
    argmax_per_joint: Vec<usize>,
    indices: Vec<usize>,
    values: Vec<f32>,
}

pub(super) fn verify_targets(name: String, bytes: &[u8]) -> Result<Case> {
    let cases: Vec<Targets> = serde_json::from_slice(bytes)?;
    let (mut different, mut sums, mut values) = (0, Vec::new(), Vec::new());
    for case in &cases {
        let [w, h] = case.image_wh.map(|n| n / 4);
        let joints = case.joints.len();
        let size = joints.saturating_mul(h.saturating_mul(w));
        ensure(size > 0 && size < MAX_VALUES, || format!("targets of {joints} x {h} x {w} values"))?;
        let counts =
            [case.visible.len(), case.weights.len(), case.sum_per_joint.len(), case.argmax_per_joint.len()];
        ensure(counts == [joints; 4], || format!("{joints} joints, {counts:?} results"))?;
        let mut maps = vec![0.0; size];
        for (j, map) in maps.chunks_exact_mut(h * w).enumerate() {
            let weight =
                encode_official_pose(case.joints[j], case.visible[j], [4.0, 4.0], case.sigma, h, w, map);
            different += usize::from(weight != case.weights[j] || argmax(map).0 != case.argmax_per_joint[j]);
            // The stored sums are f32: compare at their precision.
            sums.push((map.iter().map(|&v| f64::from(v)).sum::<f64>() - case.sum_per_joint[j]).abs());
        }
        for (&i, want) in case.indices.iter().zip(&case.values) {
            values.push(f64::from((maps.get(i).copied().unwrap_or(f32::NAN) - want).abs()));
        }
    }
    let checks = vec![
        Check::count("weights and maxima that differ", different),
        Check::new("target values", largest(values.into_iter()), VALUE_LIMIT),
        Check::new("sum of each map", largest(sums.into_iter()), 1e-4),
    ];
    Ok(Case { name, kind: "pose targets", checks })
}

#[derive(Deserialize)]
struct Detection {
    keypoints: Vec<f64>,
    score: f64,
}

#[derive(Deserialize)]
struct Nms {
    detection_indices: Vec<usize>,
    area: f64,
    threshold: f64,
    keep: Vec<usize>,
}

pub(super) fn verify_oks_nms(context: &Setup, name: String, path: &Path, bytes: &[u8]) -> Result<Case> {
    let cases: Vec<Nms> = serde_json::from_slice(bytes)?;
    let beside = path.with_file_name("coco_detections.json");
    let detections =
        context.files.bytes(&beside).map_err(because("the cases refer to the detections beside them"))?;
    let detections: Vec<Detection> = serde_json::from_slice(&detections)?;
    let mut different = 0;
    for case in &cases {
        let mut poses = Vec::new();
        for &i in &case.detection_indices {
            let found = detections.get(i).ok_or_else(|| format!("no detection {i}"))?;
            let points = found.keypoints.chunks_exact(3).map(|p| [p[0], p[1]]).collect();
            poses.push(PoseCandidate { points, score: found.score, area: case.area });
        }
        different += usize::from(oks_nms(&poses, COCO17.sigmas, case.threshold) != case.keep);
    }
    let checks = vec![Check::count(format!("images with other survivors, of {}", cases.len()), different)];
    Ok(Case { name, kind: "OKS NMS", checks })
}
