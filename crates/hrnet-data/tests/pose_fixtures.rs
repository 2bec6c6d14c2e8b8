//! The golden vectors of the official pose pipeline: crops, targets, decoding, OKS suppression.
#![forbid(unsafe_code)]

use hrnet_data::codec::heatmap::{Decoder, argmax, decode, encode_official_pose};
use hrnet_data::geometry::{
    CropRule, IMAGENET_MEAN, IMAGENET_STD, pose_affine, pose_box_to_centre_scale, to_tensor, warp_opencv5_u8,
};
use hrnet_data::image::{DecodeOptions, Exif, Image, Limits, decode as decode_image};
use hrnet_data::metric::oks::{COCO_SIGMAS, PoseCandidate, oks_nms};
use hrnet_testkit::{read_fixture, shared};
use serde::Deserialize;

fn json<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    serde_json::from_slice(&read_fixture(&format!("pose/{name}"))).expect(name)
}

/// Shape and values of a little-endian f32 file.
fn npy(name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = read_fixture(&format!("pose/{name}"));
    assert_eq!(&bytes[..6], b"\x93NUMPY");
    let len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + len]).unwrap();
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split('(').nth(1).unwrap().split(')').next().unwrap();
    let shape = shape.split(',').filter_map(|s| s.trim().parse().ok()).collect();
    let values =
        bytes[10 + len..].chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect();
    (shape, values)
}

fn read_image(bytes: &[u8]) -> Image {
    let options = DecodeOptions { exif: Exif::Ignore, ..DecodeOptions::default() };
    decode_image(bytes, &Limits::default(), options).unwrap().image
}

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
    keypoints_image: Vec<[f64; 3]>,
    keypoints_in_crop: Vec<[f64; 2]>,
}

#[test]
fn crops() {
    // The photographs may not be copied into the repository.
    let Some(shared) = shared() else { return };
    for case in json::<Vec<Crop>>("pose_crops.json") {
        let [w, h] = case.input_wh;
        let rule = pose_box_to_centre_scale(case.bbox_clipped, w, h);
        assert_eq!(rule, CropRule { centre: case.center, scale: case.scale_200px });
        let affine = pose_affine(&rule, case.rotation_deg, w, h).unwrap();
        for (ours, theirs) in affine.0.iter().flatten().zip(case.affine.iter().flatten()) {
            assert!((ours - theirs).abs() < 1e-6 * theirs.abs().max(1.0), "{affine:?} {:?}", case.affine);
        }
        for (p, want) in case.keypoints_image.iter().zip(&case.keypoints_in_crop) {
            let got = affine.apply([p[0], p[1]]);
            assert!((got[0] - want[0]).hypot(got[1] - want[1]) < 1e-3);
        }
        let golden = read_image(&read_fixture(&format!("pose/{}", case.crop_rgb_png)));
        let path = ["train2017", "val2017"].map(|d| shared.join("data/coco-mini").join(d).join(&case.image));
        let path = path.into_iter().find(|p| p.is_file()).expect("the image is in one of both folders");
        let crop = warp_opencv5_u8(&read_image(&std::fs::read(path).unwrap()), &affine, w, h);
        let mut histogram = [0usize; 256];
        for (a, b) in crop.data().iter().zip(golden.data()) {
            histogram[usize::from(a.abs_diff(*b))] += 1;
        }
        // The warp itself is within one level (tests/warps.rs and, for these crops, checked on pixels that OpenCV decoded).
        // What is left comes from the JPEG decoders, which differ in chroma smoothing: at most 3 levels, on few pixels.
        let (total, near) = (crop.data().len(), histogram[0] + histogram[1]);
        assert!(
            histogram[4..].iter().all(|&n| n == 0) && near * 1000 >= total * 999,
            "{:?}",
            &histogram[..8]
        );

        let tensor = to_tensor(&golden, IMAGENET_MEAN, IMAGENET_STD);
        for (&i, want) in case.normalised_chw_indices.iter().zip(&case.normalised_values) {
            assert!((tensor.data()[i] - want).abs() < 1e-6);
        }
    }
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

#[test]
fn decoding() {
    for case in json::<Vec<Decoded>>("pose_decode.json") {
        let (shape, maps) = npy(&case.heatmaps);
        let [.., joints, h, w] = shape[..] else { panic!("{shape:?}") };
        let rule = CropRule { centre: case.center, scale: case.scale_200px };
        let back = pose_affine(&rule, 0.0, w, h).unwrap().inverse().unwrap();
        let plain = decode(&maps, h, w, Decoder::Argmax);
        let quarter = decode(&maps, h, w, Decoder::QuarterOffset);
        assert_eq!((plain.len(), plain.len()), (joints, case.keypoints.len()));
        for j in 0..joints {
            assert_eq!((plain[j].point(), plain[j].score), (case.argmax[j], case.scores[j]), "joint {j}");
            let got = back.apply(quarter[j].point());
            let want = case.keypoints[j];
            // The published code rounds to 32 bits on the way.
            assert!((got[0] - want[0]).hypot(got[1] - want[1]) < 1e-3, "joint {j}: {got:?} {want:?}");
        }
    }
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

#[test]
fn targets() {
    for case in json::<Vec<Targets>>("pose_targets.json") {
        let [w, h] = case.image_wh.map(|n| n / 4);
        let mut maps = vec![9.0; case.joints.len() * h * w];
        for (j, map) in maps.chunks_exact_mut(h * w).enumerate() {
            let weight =
                encode_official_pose(case.joints[j], case.visible[j], [4.0, 4.0], case.sigma, h, w, map);
            assert_eq!(weight, case.weights[j], "joint {j}");
            let sum: f64 = map.iter().map(|&v| f64::from(v)).sum();
            assert!((sum - case.sum_per_joint[j]).abs() < 1e-4, "joint {j}");
            assert_eq!(argmax(map).0, case.argmax_per_joint[j], "joint {j}");
        }
        for (&i, want) in case.indices.iter().zip(&case.values) {
            assert!((maps[i] - want).abs() < 1e-6);
        }
    }
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

#[test]
fn oks_suppression() {
    let detections: Vec<Detection> = json("coco_detections.json");
    for case in json::<Vec<Nms>>("oks_nms.json") {
        let poses: Vec<PoseCandidate> = case
            .detection_indices
            .iter()
            .map(|&i| PoseCandidate {
                points: detections[i].keypoints.chunks_exact(3).map(|p| [p[0], p[1]]).collect(),
                score: detections[i].score,
                area: case.area,
            })
            .collect();
        assert_eq!(oks_nms(&poses, &COCO_SIGMAS, case.threshold), case.keep);
    }
}
